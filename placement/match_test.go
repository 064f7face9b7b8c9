package placement_test

import (
	"strings"
	"testing"

	"decouple.dev/decouple/placement"
)

// TestMatches: what binds a clause, one key at a time: a place or need that fits, and one that does not.
func TestMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		clause string
		need   placement.Need
		place  placement.Place
		want   placement.Verdict
	}{
		{"binds: {endpoint: \"bedrock/*\"}", call("", ""), bedrock, placement.Deny},
		{"binds: {endpoint: \"bedrock/*\"}", call("", ""), azure, placement.Allow},
		{"binds: {hardware: [tpu, gpu]}", call("", ""), placement.Place{Hardware: "gpu"}, placement.Deny},
		{"binds: {hardware: [tpu, gpu]}", call("", ""), placement.Place{Hardware: "cpu"}, placement.Allow},
		{"binds: {model: \"GPT-*.5\"}", call("", ""), bedrock, placement.Deny},
		{"binds: {model: \"GPT-*.5\"}", call("", ""), azure, placement.Allow},
		{"binds: {lab: OpenAI, vendor: [Bedrock]}", call("", ""), bedrock, placement.Deny},
		{"binds: {lab: openai}", call("", ""), groq, placement.Deny}, // a customer's own word binds open weights too
		{"binds: {lab: openai, open: not}", call("", ""), groq, placement.Allow},
		{"binds: {lab: openai, open: not}", call("", ""), bedrock, placement.Deny},
		{"binds: {open: only}", call("", ""), groq, placement.Deny},
		{"binds: {open: only}", call("", ""), bedrock, placement.Allow},
		{"binds: {fact: {training: [\"yes\"]}}", call("", ""), placement.Place{Facts: map[string]string{"training": "yes"}}, placement.Deny},
		{"binds: {fact: {training: [\"yes\"]}}", call("", ""), placement.Place{}, placement.Allow},
		{"binds: {label: x, fact: {training: [\"yes\"]}}", call("", "", "x"), placement.Place{}, placement.Deny}, // of labelled data, what is not known counts against it
		{"binds: {agent: \"lead-*\", key: k}", placement.Need{Action: placement.CallModel, Agent: "lead-1", Key: "k"}, bedrock, placement.Deny},
		{"binds: {agent: \"lead-*\", key: k}", placement.Need{Action: placement.CallModel, Agent: "Lead-1", Key: "k"}, bedrock, placement.Allow},
		{"actions: [call, run]", placement.Need{Action: placement.RunAgent}, placement.Place{}, placement.Deny},
		{"actions: [call, run]", placement.Need{Action: placement.UseTool, Tool: "x"}, placement.Place{}, placement.Allow},
		{"at: [{geo: us, cloud: aws}, {vendor: azure}]", call("", ""), bedrock, placement.Deny},
		{"at: [{geo: us, cloud: aws}, {vendor: azure}]", call("", ""), azure, placement.Deny},
		{"at: [{geo: us, cloud: aws}, {vendor: azure}]", call("", ""), third, placement.Allow},
		{"except: [{team: legal}, {label: public}]", call("", "legal"), bedrock, placement.Allow},
		{"except: [{team: legal}, {label: public}]", call("", "sales", "public"), bedrock, placement.Allow},
		{"except: [{team: legal}, {label: public}]", call("", "sales"), bedrock, placement.Deny},
		{"classes: [Batch, training]", call("BATCH", ""), bedrock, placement.Deny},
		{"classes: [Batch, training]", call("product", ""), bedrock, placement.Allow},
	} {
		p := policy(t, book(parse(t, head+"  - id: a\n    kind: forbid\n    text: T.\n    "+c.clause+"\n")), at(t, "2026-06-15", ""))
		if r := p.Judge(&c.need, &c.place); r.Verdict != c.want {
			t.Errorf("%s: %s, want %s: %s", c.clause, r.Verdict, c.want, r.Why)
		}
	}
}

// TestKinds: what a kind allows and denies beyond the golden and the customer's cases.
func TestKinds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		clause, class string
		place         placement.Place
		want          placement.Verdict
	}{
		{"kind: primary_host, binds: {lab: openai}, classes: [batch], host: azure", "batch", bedrock, placement.Allow},
		{"kind: primary_host, binds: {lab: openai}, classes: [batch], host: azure", "training", bedrock, placement.Unknown},
		{"kind: primary_host, binds: {lab: openai}", "training", bedrock, placement.Allow},
		{"kind: licence, binds: {model: gpt-5.5}, classes: [batch], host: aws", "training", bedrock, placement.Unknown},
		{"kind: licence, binds: {vendor: bedrock}, classes: [batch], host: aws", "training", bedrock, placement.Unknown},
		{"kind: licence, binds: {lab: openai}, classes: [batch], host: aws", "batch", azure, placement.Allow}, // it names the class, and denies nothing
		{"kind: exclusive_host, binds: {lab: openai, open: with}, host: azure", "batch", groq, placement.Deny},
		{"kind: exclusive_host, binds: {model: gpt-oss-120b}, host: azure", "batch", groq, placement.Deny}, // whoever names the model means it
		{"kind: exclusive_host, binds: {lab: openai}, host: azure", "batch", placement.Place{Lab: "openai"}, placement.Deny},
		{"kind: allowlist, models: {legal: [opus-5]}", "batch", bedrock, placement.Deny},
		{"kind: subprocessor_notice, days: 30, accepted: [{name: bedrock, on: 2026-05-16}]", "batch", bedrock, placement.Allow},
		{"kind: subprocessor_notice, days: 30, accepted: [{name: bedrock, on: 2026-05-17}]", "batch", bedrock, placement.Deny},
		{"kind: permit, binds: {lab: openai}, classes: [batch]", "training", bedrock, placement.Unknown},
		{"kind: forbid, binds: {lab: openai}, classes: [batch]", "training", bedrock, placement.Allow},
		{"kind: permit, binds: {lab: openai}, readings: [{reads: deny, text: No.}, {reads: allow, text: Yes.}]", "batch", bedrock, placement.Disputed},
		{"kind: permit, binds: {lab: openai}, readings: [{reads: allow, text: Yes.}]", "batch", bedrock, placement.Allow},
		{"kind: licence, binds: {lab: openai}, host: aws, readings: [{reads: deny, text: No.}]", "batch", bedrock, placement.Deny},
	} {
		p := policy(t, book(parse(t, head+"  - {id: a, text: T., "+c.clause+"}\n")), at(t, "2026-06-15", ""))
		need := call(c.class, "")
		r := p.Judge(&need, &c.place)
		if r.Verdict != c.want {
			t.Errorf("%s: %s, want %s: %s", c.clause, r.Verdict, c.want, r.Why)
		}
		if c.want == placement.Unknown && !strings.HasPrefix(r.Why, "c/a binds ") {
			t.Errorf("%s: %s", c.clause, r.Why)
		}
		if in := p.InForce(); len(in) != 1 || in["c/a"].Text != "T." {
			t.Errorf("in force are %v", in)
		}
	}
}

// TestBounds: a file that is too large, too deep or endless is a fault and no trouble.
func TestBounds(t *testing.T) {
	t.Parallel()
	bomb := "id: c\nconfidence: signed\na: &a [x, x, x, x, x, x, x, x, x, x]\nclauses:\n  - id: k\n    kind: permit\n    text: T.\n    classes: &b [a, b]\n"
	deep := "settings: " + strings.Repeat("{a: ", 100) + "x" + strings.Repeat("}", 100)
	endless := "id: c\nclauses: &c\n  - id: x\n    classes: *c\n    binds: *c\n"
	for name, text := range map[string]string{"large": "id: " + strings.Repeat("x", 1<<20), "bomb": bomb, "deep": deep, "endless": endless, "null": "id: ~\n", "keys": "? [a]\n: b\n", "merged": "<<: {id: c}\n"} {
		if _, faults := placement.Read("x.yaml", []byte(text)); len(faults) == 0 || len(faults) > 200 {
			t.Errorf("%s: %d faults", name, len(faults))
		}
	}
	c := parse(t, "id: &n c\ntitle: *n\nconfidence: signed\nclauses: [{id: a, kind: permit, text: *n, binds: {model: m}}]\n")
	if c.Title != "c" || c.Clauses[0].Text != "c" {
		t.Errorf("an alias was not followed: %+v", c)
	}
}
