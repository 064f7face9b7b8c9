package drill_test

import (
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/risk/drill"
)

const least = "id: own\ntitle: Something is gone\nlasts: 1h\nlose:\n  - {what: outage, vendor: azure}\n"

// TestFaultsAreNamed has every sort of mistake in a file: each is named with its line.
func TestFaultsAreNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             "own.yaml: the file is empty",
		"id: own\ncolour: red\n":       `own.yaml:2: there is no key "colour" here`,
		"id: own\nlasts: long\n":       "own.yaml:2: \"long\" is not a length of time",
		least + "---\nid: second\n":    "one scenario",
		"id: Own\ntitle: x\nlasts: 1h": "own.yaml:1: id: ",
		"id: own\ntitle: x\nlasts: 1h": "lose: say what is lost",
		"id: own\ntitle: x\nlose:\n  - {what: fire, vendor: a, to: 1h}\n":                `own.yaml:4: what: there is no loss of kind "fire"`,
		"id: own\ntitle: x\nlose:\n  - {what: outage, to: 1h}\n":                         "own.yaml:4: say what is lost",
		"id: own\ntitle: x\nlose:\n  - {what: outage, vendor: a, ancestor: b, to: 1h}\n": "ancestor stands instead",
		"id: own\ntitle: x\nlose:\n  - {what: outage, vendor: a, from: 2h, to: 1h}\n":    "own.yaml:4: a loss goes from a time to a later one",
		"id: own\ntitle: x\nlose:\n  - {what: outage, vendor: a, to: 1h, share: 0%}\n":   "own.yaml:4: \"0%\" is not a share",
		"id: own\ntitle: x\nlose:\n  - {what: refuse, vendor: a, to: 1h, status: 500}\n": "own.yaml:4: status:",
		"id: own\ntitle: x\nlose:\n  - {what: stall, vendor: a, to: 1h}\n":               "own.yaml:4: for: say how long",
		"id: own\ntitle: x\nlose:\n  - {what: price, vendor: a, to: 1h}\n":               "own.yaml:4: factor:",
		"id: own\ntitle: x\nlose:\n  - {what: clause, to: 1h}\n":                         "own.yaml:4: of a clause give either",
		"id: own\ntitle: x\nlose:\n  - {what: clause, clause: a/b, vendor: x, to: 1h}\n": "own.yaml:4: a clause is lost as a whole",
		least + "workloads:\n  - {name: a, model: m}\n  - {name: a, model: m}\n":         "own.yaml:8: there are two workloads",
		least + "workloads:\n  - {name: a, model: m, per_second: -1}\n":                  "own.yaml:7: per_second",
		least + "expect: {failed_share: much}\n":                                         "own.yaml:6: \"much\" is not a limit",
		least + "every: 1m\n":                                                            "own.yaml:6: every:",
		least + "ancestors: {dns: [{}]}\n":                                               `what hangs on "dns"`,
		"id: own\ntitle: x\nlasts: 30d\nlose:\n  - {what: outage, vendor: azure}\n":      "own.yaml:3: lasts: a drill is played over at most 7d",
		least + "mark: X\n": "own.yaml:6: mark:",
	} {
		_, err := drill.Read("own.yaml", []byte(text))
		if decouple.KindOf(err) != decouple.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, and not %q", text, err, want)
		}
	}
	if _, err := drill.Read("own.yaml", []byte(least+"# "+strings.Repeat("x", drill.MaxFile))); decouple.KindOf(err) != decouple.TooLarge {
		t.Errorf("a file of more than the most: %v", err)
	}
}

// TestWorldRefuses has mistakes that only the world can see.
func TestWorldRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		least: "needs workloads",
		least + "workloads: [{name: a, model: nothing}]\n":                                                                   "the workload a",
		strings.Replace(least, "azure", "nobody", 1) + "workloads: [{name: a, model: gpt-5.4}]\n":                            "this entry loses nothing: there is no endpoint at nobody",
		least + "aliases: {chat: [nothing/at/all]}\nworkloads: [{name: a, model: chat}]\n":                                   "neither an endpoint nor a model",
		"id: own\ntitle: x\nlose: [{what: clause, clause: a/b, to: 1h}]\nworkloads: [{name: a, model: gpt-5.4}]\n":           "there is no clause a/b",
		least + "contracts: [{id: c, clauses: [{id: x, kind: strange, text: y}]}]\nworkloads: [{name: a, model: gpt-5.4}]\n": "the contract at line 6",
	} {
		s, err := drill.Read("own.yaml", []byte(text))
		if err == nil {
			_, err = drill.Simulate(t.Context(), s, order())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, and not %q", text, err, want)
		}
	}
}

// TestClauseFallsAway loses a contract that kept a workload in the Union, for a time: then it goes where it is cheaper, or nearer, and comes back. And the other way round: a contract
// that begins in the middle leaves nothing.
func TestClauseFallsAway(t *testing.T) {
	t.Parallel()
	const file = `
id: own
title: A contract changes
lose: [{what: clause, %s, to: 30m}]
contracts: [{id: home, confidence: signed, clauses: [{id: eu, kind: residency, text: Letters stay in the Union., binds: {label: letters}, in: {geo: eu}}]}]
aliases: {chat: [openai/us/gpt-5.4, openai/eu/gpt-5.4]}
workloads: [{name: letters, labels: [letters], model: chat, per_second: 1}]
`
	play := func(what string) *drill.Result {
		s, err := drill.Read("own.yaml", []byte(strings.Replace(file, "%s", what, 1)))
		if err != nil {
			t.Fatal(err)
		}
		return simulate(t, s)
	}
	away := play("clause: home/eu")
	if f := away.Workloads[0]; len(f.Shares) == 0 || f.Shares[0].Endpoint != "openai/us/gpt-5.4" || f.Contract != 0 || f.During.Failed > 0 {
		t.Errorf("without the clause: %+v", f)
	}
	other := play("contract: {id: home, confidence: signed, clauses: [{id: mars, kind: residency, text: Letters stay on Mars., binds: {label: letters}, in: {geo: mars}}]}")
	if f := other.Workloads[0]; f.Alternate || f.During.Failed != f.During.Calls || f.After.Failed > f.After.Calls/10 || len(other.Gaps) != 1 || len(other.Gaps[0].Refused) != 2 {
		t.Errorf("under another contract: %+v, gaps %+v", f, other.Gaps)
	}
}

// TestAncestor loses a host cloud and something that no catalog knows of, and a price that trebles.
func TestAncestor(t *testing.T) {
	t.Parallel()
	s, err := drill.Read("own.yaml", []byte(`
id: own
title: An identity provider is gone, and the other vendor trebles its price
lose: [{what: auth, ancestor: login, to: 20m}, {what: price, vendor: bedrock, factor: 3, to: 20m}]
ancestors: {login: [{vendor: openai}, {cloud: azure}]}
expect: {cost_times: 1.5}
workloads: [{name: chat, model: gpt-5.4, per_second: 1}]
`))
	if err != nil {
		t.Fatal(err)
	}
	r := simulate(t, s)
	f := r.Workloads[0]
	for _, by := range f.Shares {
		if !strings.HasPrefix(by.Endpoint, "aws-mantle/") {
			t.Errorf("answered by %+v", by)
		}
	}
	if times := f.CostTimes(); times < 2.5 || times > 4 || r.Passed {
		t.Errorf("an answer costs %.2f times what it did, %+v", times, r.Checks)
	}
}

// TestShort keeps the order of losses.
func TestShort(t *testing.T) {
	t.Parallel()
	s, err := drill.Find("openai-2024-12-04")
	if err != nil {
		t.Fatal(err)
	}
	short := s.Short(10 * time.Minute)
	if a, b := short.Lose[0], short.Lose[1]; a.To != b.From || b.To != short.Lasts || short.Lasts != 10*time.Minute {
		t.Errorf("%+v", short.Lose)
	}
	if s.Lose[1].To != 94*time.Minute {
		t.Error("the scenario itself was changed")
	}
}

// FuzzScenario reads anything: what is read is within bounds and can be told.
func FuzzScenario(f *testing.F) {
	all, err := drill.Embedded()
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range all {
		f.Add([]byte(s.Text))
	}
	f.Add([]byte(least))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := drill.Read("own.yaml", data)
		if err != nil {
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
				t.Errorf("a control character in %q", err)
			}
			return
		}
		if s.Lasts <= 0 || len(s.Lose) == 0 || s.Before+s.Lasts+s.After > 7*24*time.Hour {
			t.Errorf("%+v", s)
		}
		short := s.Short(10 * time.Minute)
		for _, l := range short.Lose {
			if l.To <= l.From {
				t.Errorf("%+v", l)
			}
		}
		if text := s.Describe(); strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' }) {
			t.Errorf("a control character in %q", text)
		}
	})
}
