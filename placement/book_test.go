package placement_test

import (
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple/placement"
)

func parse(t testing.TB, text string) placement.Contract {
	t.Helper()
	c, err := placement.Parse("c.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func book(list ...placement.Contract) placement.Book { return placement.Book{Contracts: list} }

const quarrel = head + `  - id: a
    kind: exclusive_host
    binds: {lab: openai}
    classes: [stateful_runtime, batch]
    host: azure
    text: T.
    readings:
      - {reads: allow, by: one, text: Yes.}
      - {reads: deny, by: another, text: No.}
`

// TestSignOff: a dispute, or what is left open, is settled by a word for this need, or by one for everybody, for its class and its time; a denial is not.
func TestSignOff(t *testing.T) {
	t.Parallel()
	day := date(t, "2026-06-15")
	for _, c := range []struct {
		name  string
		class string
		need  []string
		off   []placement.SignOff
		want  placement.Verdict
	}{
		{"nobody has", "batch", nil, nil, placement.Disputed},
		{"for this need", "batch", []string{"c/a"}, nil, placement.Allow},
		{"of another clause", "batch", []string{"c/b"}, nil, placement.Disputed},
		{"for everybody", "batch", nil, []placement.SignOff{{Clause: "c/a", Class: "batch", Who: "counsel"}}, placement.Allow},
		{"for everything", "batch", nil, []placement.SignOff{{Clause: "c/a", Who: "counsel"}}, placement.Allow},
		{"for another class", "batch", nil, []placement.SignOff{{Clause: "c/a", Class: "stateful_runtime", Who: "counsel"}}, placement.Disputed},
		{"that has ended", "batch", nil, []placement.SignOff{{Clause: "c/a", Who: "counsel", Until: day}}, placement.Disputed},
		{"that has not begun", "batch", nil, []placement.SignOff{{Clause: "c/a", Who: "counsel", From: day.Add(time.Hour)}}, placement.Disputed},
		{"of what is open, nobody", "training", nil, nil, placement.Unknown},
		{"of what is open", "training", []string{"c/a"}, nil, placement.Allow},
		{"of what is open, for everybody", "training", nil, []placement.SignOff{{Clause: "c/a", Class: "training", Who: "counsel"}}, placement.Allow},
		{"of what is open, for another class", "training", nil, []placement.SignOff{{Clause: "c/a", Class: "batch", Who: "counsel"}}, placement.Unknown},
	} {
		p := policy(t, placement.Book{Contracts: []placement.Contract{parse(t, quarrel)}, SignOffs: c.off}, placement.Moment{AsOf: day})
		n := placement.Need{Action: placement.CallModel, Class: c.class, Signed: c.need}
		r := p.Judge(&n, &bedrock)
		if r.Verdict != c.want {
			t.Errorf("%s: %s, want %s: %s", c.name, r.Verdict, c.want, r.Why)
		}
		if c.want == placement.Allow && (!strings.Contains(r.Why, "signed off") || len(r.Clauses) == 0) {
			t.Errorf("%s: it is not said that somebody signed off: %+v", c.name, r)
		}
	}
	p := policy(t, placement.Book{Contracts: []placement.Contract{parse(t, head+"  - {id: a, kind: forbid, text: T., binds: {lab: openai}}\n")}, SignOffs: []placement.SignOff{{Clause: "c/a", Who: "counsel"}}}, placement.Moment{AsOf: day})
	if r := p.Judge(&placement.Need{Action: placement.CallModel, Signed: []string{"c/a"}}, &bedrock); r.Verdict != placement.Deny {
		t.Errorf("a denial was signed away: %+v", r)
	}
}

// TestDisputeIsTold: both readings are cited with their words, and the sentence has both sides.
func TestDisputeIsTold(t *testing.T) {
	t.Parallel()
	r := policy(t, book(parse(t, quarrel)), at(t, "2026-06-15", "")).Judge(&placement.Need{Action: placement.CallModel, Class: "batch"}, &bedrock)
	if len(r.Clauses) != 2 || r.Clauses[0].Reads != placement.Deny || r.Clauses[0].Text != "No." || r.Clauses[1].Reads != placement.Allow || r.Clauses[1].Text != "Yes." {
		t.Errorf("%+v", r.Clauses)
	}
	if r.Why != "c/a is disputed; it can be read as deny (another): No. or as allow (one): Yes." || r.Effect != placement.Hold || len(r.Needs) != 1 || r.Needs[0] != "sign-off" {
		t.Errorf("%+v", r)
	}
	if r := policy(t, book(parse(t, quarrel)), at(t, "2026-06-15", "")).Judge(&placement.Need{Action: placement.CallModel, Class: "batch"}, &azure); r.Verdict != placement.Allow {
		t.Errorf("at the host nothing is disputed: %+v", r)
	}
}

// TestSettings: what follows from a dispute, and from what is left open, is the customer's to say, by class; the strictest of several files holds.
func TestSettings(t *testing.T) {
	t.Parallel()
	base := parse(t, quarrel)
	for _, c := range []struct {
		settings         []string
		disputed, opened placement.Effect
	}{
		{nil, placement.Hold, placement.Hold},
		{[]string{"on_disputed: allow\n  on_unknown: allow"}, placement.Go, placement.Go},
		{[]string{"on_disputed: {batch: deny}\n  on_unknown: {\"*\": allow, training: deny}"}, placement.Stop, placement.Stop},
		{[]string{"on_disputed: {stateful_runtime: deny}"}, placement.Hold, placement.Hold},
		{[]string{"on_disputed: {\"*\": deny, batch: allow}"}, placement.Go, placement.Hold},
		{[]string{"on_disputed: allow", "on_disputed: hold\n  on_unknown: deny"}, placement.Hold, placement.Stop},
	} {
		list := []placement.Contract{base}
		for i, s := range c.settings {
			list = append(list, parse(t, "id: s"+string(rune('0'+i))+"\nsettings:\n  "+s+"\n"))
		}
		p := policy(t, book(list...), at(t, "2026-06-15", ""))
		d := p.Judge(&placement.Need{Action: placement.CallModel, Class: "batch"}, &bedrock)
		u := p.Judge(&placement.Need{Action: placement.CallModel, Class: "training"}, &bedrock)
		if d.Verdict != placement.Disputed || d.Effect != c.disputed || u.Verdict != placement.Unknown || u.Effect != c.opened {
			t.Errorf("%q: %s %s, %s %s, want %s, %s", c.settings, d.Verdict, d.Effect, u.Verdict, u.Effect, c.disputed, c.opened)
		}
	}
}

// TestRumour: a denial that is known less well than its clause asks for is a dispute, and no other.
func TestRumour(t *testing.T) {
	t.Parallel()
	for confidence, want := range map[string]placement.Verdict{"signed": placement.Deny, "announced": placement.Deny, "reported": placement.Disputed, "disputed": placement.Disputed} {
		text := "id: c\nclauses: [{id: a, kind: forbid, text: T., binds: {lab: openai}, confidence: " + confidence + ", disputed_below: announced}]\n"
		if r := policy(t, book(parse(t, text)), at(t, "2026-06-15", "")).Judge(&placement.Need{Action: placement.CallModel}, &bedrock); r.Verdict != want {
			t.Errorf("%s: %s", confidence, r.Verdict)
		}
		if r := policy(t, book(parse(t, strings.Replace(text, ", disputed_below: announced", "", 1))), at(t, "2026-06-15", "")).Judge(&placement.Need{Action: placement.CallModel}, &bedrock); r.Verdict != placement.Deny {
			t.Errorf("%s, and nothing said of rumours: %s", confidence, r.Verdict)
		}
	}
}

// TestWaiver: it lifts its clause for what it is for, while it holds and is known.
func TestWaiver(t *testing.T) {
	t.Parallel()
	text := head + "  - {id: a, kind: rofr, text: T., binds: {lab: openai}, host: azure}\nwaivers:\n  - {clause: a, what: rofr waiver, for: [{cloud: aws, class: new_capacity}], valid: {from: 2026-02-01, to: 2026-08-01}, known: {from: 2026-03-01}}\n"
	for _, c := range []struct {
		asOf, known, class string
		place              placement.Place
		want               placement.Verdict
	}{
		{"2026-06-15", "", "new_capacity", bedrock, placement.Allow},
		{"2026-06-15", "", "training", bedrock, placement.Deny},
		{"2026-06-15", "", "new_capacity", third, placement.Deny},
		{"2026-08-01", "", "new_capacity", bedrock, placement.Deny},
		{"2026-01-31", "", "new_capacity", bedrock, placement.Deny},
		{"2026-06-15", "2026-02-15", "new_capacity", bedrock, placement.Deny},
	} {
		r := policy(t, book(parse(t, text)), at(t, c.asOf, c.known)).Judge(&placement.Need{Action: placement.CallModel, Class: c.class}, &c.place)
		if r.Verdict != c.want || (c.want == placement.Deny) != (len(r.Needs) == 1 && r.Needs[0] == "ROFR waiver") {
			t.Errorf("%+v: %+v", c, r)
		}
	}
	two := head + "  - {id: a, kind: rofr, text: T., binds: {lab: openai}, host: azure}\n  - {id: b, kind: forbid, text: T., binds: {lab: openai}, at: {cloud: aws}}\n"
	if r := policy(t, book(parse(t, two)), at(t, "2026-06-15", "")).Judge(&placement.Need{Action: placement.CallModel}, &bedrock); len(r.Needs) != 0 || len(r.Clauses) != 2 {
		t.Errorf("a waiver is said to help where another clause denies too: %+v", r)
	}
}

// TestVersions: the version that the book had at the moment decides; before the first one, it is the newest with its own dates; one that was withdrawn says nothing.
func TestVersions(t *testing.T) {
	t.Parallel()
	version := func(entered, text string) placement.Contract {
		c := parse(t, "id: c\nconfidence: signed\nclauses: ["+text+"]\n")
		c.Entered = date(t, entered)
		return c
	}
	first := version("2026-02-01", "{id: a, kind: forbid, text: T., binds: {lab: openai}}")
	second := version("2026-04-01", "{id: a, kind: forbid, text: T., binds: {lab: anthropic}}, {id: old, kind: forbid, text: T., binds: {vendor: bedrock}, known: {from: 2026-01-10}}")
	gone := placement.Contract{ID: "c", Entered: date(t, "2026-06-01"), Withdrawn: true}
	b := book(second, gone, first)
	for known, want := range map[string]placement.Verdict{
		"2026-01-05": placement.Allow, // nothing was known
		"2026-03-01": placement.Deny, "2026-05-01": placement.Deny, "2026-06-01": placement.Allow,
	} {
		r := policy(t, b, at(t, "2026-07-01", known)).Judge(&placement.Need{Action: placement.CallModel}, &bedrock)
		if r.Verdict != want {
			t.Errorf("known on %s: %+v", known, r)
		}
	}
	r := policy(t, book(second, first), at(t, "2026-07-01", "2026-01-15")).Judge(&placement.Need{Action: placement.CallModel}, &bedrock)
	if r.Verdict != placement.Deny || r.Clauses[0].ID != "c/old" {
		t.Errorf("what the newest version knows of January was not asked: %+v", r)
	}
}

// TestUntil: a policy says when it changes: at the day of any clause, waiver, sign-off, fact or version, in either time.
func TestUntil(t *testing.T) {
	t.Parallel()
	now := placement.Moment{AsOf: date(t, "2026-06-15"), Known: date(t, "2026-06-15")}
	simple := "{id: a, kind: forbid, text: T., binds: {lab: openai}"
	for _, c := range []struct{ text, want string }{
		{"clauses: [" + simple + "}]", ""},
		{"clauses: [" + simple + ", valid: {from: 2026-01-01, to: 2026-07-01}}]", "2026-07-01"},
		{"clauses: [" + simple + ", valid: {from: 2026-08-01}}]", "2026-08-01"},
		{"clauses: [" + simple + ", valid: {from: 2025-01-01, to: 2026-01-01}}]", ""},
		{"clauses: [" + simple + ", known: {from: 2026-06-20}}]", "2026-06-20"},
		{"clauses: [" + simple + ", valid: {to: 2027-01-01, to_known: 2026-07-07}}]", "2026-07-07"},
		{"clauses: [" + simple + ", readings: [{reads: deny, text: T., known: {from: 2026-06-30}}]}]", "2026-06-30"},
		{"clauses: [{id: a, kind: rofr, text: T., host: x, binds: {lab: y}}]\nwaivers: [{clause: a, what: ROFR waiver, valid: {from: 2026-06-18}}]", "2026-06-18"},
		{"facts: [{of: {vendor: x}, is: {training: no}, valid: {to: 2026-06-17}}]", "2026-06-17"},
		{"clauses: [{id: a, kind: subprocessor_notice, text: T., days: 30, accepted: [{name: x, on: 2026-06-01}]}]", "2026-07-01"},
		{"clauses: [{id: a, kind: retirement_notice, text: T., days: 30}]", "2026-06-16"},
	} {
		until := policy(t, book(parse(t, "id: c\nconfidence: signed\n"+c.text+"\n")), now).Until()
		if c.want == "" && !until.IsZero() || c.want != "" && until.Format(time.DateOnly) != c.want {
			t.Errorf("%s: until %s, want %s", c.text, until, c.want)
		}
	}
	off := policy(t, placement.Book{SignOffs: []placement.SignOff{{Clause: "c/a", Until: date(t, "2026-06-16")}}}, now).Until()
	if off != date(t, "2026-06-16") {
		t.Errorf("a sign-off's end is %s", off)
	}
	later := parse(t, "id: c\nconfidence: signed\nclauses: ["+simple+"}]\n")
	later.Entered = date(t, "2026-06-21")
	if until := policy(t, book(later), now).Until(); until != later.Entered {
		t.Errorf("a version that comes is %s", until)
	}
}

// TestMomentIsNeeded: a policy of no day is refused.
func TestMomentIsNeeded(t *testing.T) {
	t.Parallel()
	if _, err := placement.Compile(placement.Book{}, placement.Moment{}); err == nil {
		t.Error("it was compiled")
	}
}

// TestCedar: the policies are shown in Cedar, with the words of the clause, and Cedar reads them again.
func TestCedar(t *testing.T) {
	t.Parallel()
	text := policy(t, book(read(t, history)...), at(t, "2026-03-21", "")).Cedar()
	for _, want := range []string{
		`@contract("openai-microsoft")`, `@clause("api-exclusive-2025b")`, `@kind("exclusive_host")`, `@reads("deny")`, `@by("Microsoft, as the press has it")`,
		`@text("Customers of the national security of the United States may have the API on any cloud.")`,
		"forbid", "permit", `principal has class`, `resource.lab == "openai"`, `!resource.open`, "unless { resource has cloud", `@reads("names")`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s in\n%s", want, text)
		}
	}
	list, err := placement.ReadCedar(text)
	if err != nil || list != strings.Count(text, "@contract(") {
		t.Errorf("Cedar reads %d policies: %v", list, err)
	}
}
