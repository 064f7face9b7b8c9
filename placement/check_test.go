package placement_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/placement"
)

const head = "id: c\nconfidence: signed\nclauses:\n"

// TestFaults: what is wrong is named with its line, all of it at once, with a remedy.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string // line: part of the fault
	}{
		"empty":                  {"", []string{"1: it is no YAML"}},
		"nothing":                {"# a comment\n", []string{"1: it is no YAML"}},
		"no yaml":                {"id: [\n", []string{"it is no YAML"}},
		"a list":                 {"- id: c\n", []string{"1: here belong keys and values"}},
		"two documents":          {head + "  - {id: a, kind: permit, text: T.}\n---\nid: d\n", []string{"there is a second document"}},
		"says nothing":           {"id: c\n", []string{"1: the contract says nothing"}},
		"no id":                  {"confidence: signed\nclauses: [{id: a, kind: permit, text: T.}]\n", []string{"1: a contract has an id"}},
		"an unknown key":         {head + "  - id: a\n    kind: permit\n    text: T.\n    colour: red\n", []string{"7: there is no such key"}},
		"an unknown key of all":  {"id: c\ntitel: x\nclauses: [{id: a, kind: permit, text: T., confidence: signed}]\n", []string{"2: there is no such key"}},
		"a key twice":            {head + "  - id: a\n    kind: permit\n    kind: forbid\n    text: T.\n", []string{"6: the key is there twice"}},
		"30 February":            {head + "  - id: a\n    kind: permit\n    text: T.\n    valid: {from: 2026-02-30}\n", []string{"7: \"2026-02-30\" is no day"}},
		"an end before":          {head + "  - id: a\n    kind: permit\n    text: T.\n    valid:\n      from: 2026-05-01\n      to: 2026-04-01\n", []string{"the end is not after the beginning"}},
		"an end on the day":      {head + "  - id: a\n    kind: permit\n    text: T.\n    known: {from: 2026-05-01, to: 2026-05-01}\n", []string{"7: the end is not after the beginning"}},
		"an end known too early": {head + "  - id: a\n    kind: permit\n    text: T.\n    valid: {to: 2026-05-01, to_known: 2025-01-01}\n    known: {from: 2026-01-01}\n", []string{"4: its end was known before it was"}},
		"no end to be known":     {head + "  - id: a\n    kind: permit\n    text: T.\n    valid: {to_known: 2025-01-01}\n", []string{"7: it says since when the end is known"}},
		"no kind, no text":       {head + "  - id: a\n", []string{"4: a clause has a kind", "4: a clause has a text"}},
		"a kind that is none":    {head + "  - {id: a, kind: exclusive, text: T.}\n", []string{"4: \"exclusive\" is none of the words"}},
		"an id with a slash":     {head + "  - {id: a/b, kind: permit, text: T.}\n", []string{"4: \"a/b\" is no name"}},
		"an id twice":            {head + "  - {id: a, kind: permit, text: T.}\n  - {id: a, kind: forbid, text: T.}\n", []string{"5: two clauses have this id"}},
		"no confidence":          {"id: c\nclauses:\n  - {id: a, kind: permit, text: T.}\n", []string{"3: nothing says how well it is known"}},
		"an empty list":          {head + "  - {id: a, kind: permit, text: T., classes: []}\n", []string{"4: the list is empty"}},
		"no host":                {head + "  - {id: a, kind: exclusive_host, text: T., binds: {lab: x}}\n", []string{"4: the kind exclusive_host names a host"}},
		"binds nobody":           {head + "  - {id: a, kind: exclusive_host, text: T., host: azure}\n", []string{"4: the kind exclusive_host binds a lab"}},
		"a foreign key":          {head + "  - {id: a, kind: permit, text: T., days: 3}\n", []string{"4: the key days says nothing in the kind permit"}},
		"unless of a permission": {head + "  - {id: a, kind: permit, text: T., unless: x}\n", []string{"4: the key unless says nothing in the kind permit"}},
		"a condition of nothing": {head + "  - {id: a, kind: forbid, text: T., when: amount > 5}\n", []string{"4: a condition is on the arguments of a tool"}},
		"no condition":           {head + "  - {id: a, kind: forbid, text: T., binds: {tool: x}, when: amount is large}\n", []string{"4: the condition"}},
		"a share of nothing":     {head + "  - {id: a, kind: share, text: T., share: {at_least: 60 %, at_most: 70 %}}\n", []string{"4: a share is either at_least or at_most", "4: a share says of what"}},
		"more than all":          {head + "  - {id: a, kind: share, text: T., share: {at_least: 160 %, of: spend, by: vendor, with: x}}\n", []string{"4: \"160 %\" is no part of a hundred"}},
		"an open commitment":     {head + "  - {id: a, kind: min_commit, text: T., binds: {vendor: x}, amount: 5, valid: {from: 2026-01-01}}\n", []string{"4: a commitment has an amount and both dates"}},
		"no amount":              {head + "  - {id: a, kind: min_commit, text: T., binds: {vendor: x}, amount: much, valid: {from: 2026-01-01, to: 2027-01-01}}\n", []string{"4: \"much\" is no amount of dollars"}},
		"a star in a label":      {head + "  - {id: a, kind: forbid, text: T., binds: {label: \"per*\"}}\n", []string{"4: labels are whole words"}},
		"excepts all":            {head + "  - {id: a, kind: forbid, text: T., binds: {team: legal}, except: [{team: [legal, sales]}]}\n", []string{"4: it contradicts itself: it excepts all that it binds"}},
		"classes that never are": {head + "  - {id: a, kind: forbid, text: T., classes: batch, binds: {class: product}}\n", []string{"4: it contradicts itself: none of its classes"}},
		"one reader, two minds": {head + "  - id: a\n    kind: forbid\n    text: T.\n    readings:\n      - {reads: deny, by: M, text: N.}\n      - {reads: allow, by: M, text: Y.}\n",
			[]string{"9: it contradicts itself: M reads it in two ways"}},
		"a reading of nothing":   {head + "  - {id: a, kind: forbid, text: T., readings: [{by: M}]}\n", []string{"4: a reading says how it reads"}},
		"a waiver of nothing":    {"id: c\nwaivers: [{what: x}]\n", []string{"2: a waiver names the clause"}},
		"a fact of nothing":      {"id: c\nfacts: [{is: {training: no}}]\n", []string{"2: a fact says of what it is one"}},
		"a fact of a team":       {"id: c\nfacts: [{of: {team: x}, is: {training: no}}]\n", []string{"2: a fact is of a place"}},
		"a setting that is none": {"id: c\nsettings: {on_unknown: {batch: maybe}}\n", []string{"2: \"maybe\" is none of the words"}},
		"control characters":     {"id: c\ntitle: \"a\\x1b[31mb\"\nclauses: [{id: a, kind: permit, text: T., confidence: signed}]\n", []string{"2: here belongs a text"}},
		"all at once":            {"id: c\nx: 1\ny: 2\nclauses:\n  - {id: a, kind: nothing}\n", []string{"2: there is no such key", "3: there is no such key", "5: \"nothing\"", "5: a clause has a text", "5: nothing says how well"}},
	} {
		_, faults := placement.Read("x.yaml", []byte(c.text))
		all := faultText(faults)
		for _, w := range c.want {
			line, what, numbered := strings.Cut(w, ": ")
			if !numbered || len(line) > 2 {
				line, what = "", w
			}
			found := false
			for _, f := range faults {
				found = found || (line == "" || fmt.Sprint(f.Line) == line) && strings.Contains(f.What, what) && f.Remedy != "" && f.File == "x.yaml" && f.Where != ""
			}
			if !found {
				t.Errorf("%s: no fault %q in\n%s", name, w, all)
			}
		}
		if _, err := placement.Parse("x.yaml", []byte(c.text)); decouple.KindOf(err) != decouple.Invalid || err.Error() != strings.TrimSuffix(all, "\n") {
			t.Errorf("%s: Parse says %v", name, err)
		}
		if strings.ContainsFunc(all, func(c rune) bool { return c < ' ' && c != '\n' }) {
			t.Errorf("%s: a fault drives the terminal: %q", name, all)
		}
	}
}

func faultText(f placement.Faults) string {
	var b strings.Builder
	for _, x := range f {
		b.WriteString(x.String() + "\n")
	}
	return b.String()
}

// TestCheck: what is wrong among clauses and among files.
func TestCheck(t *testing.T) {
	t.Parallel()
	const bind = "binds: {lab: openai}"
	two := func(a, b string) string {
		return head + "  - {id: a, text: T., " + a + "}\n  - {id: b, text: T., " + b + "}\n"
	}
	for name, c := range map[string]struct{ text, want string }{
		"permit and forbid":              {two("kind: permit, "+bind, "kind: forbid, "+bind), "5: it contradicts c/a (c.yaml:4) at the same time: one permits what the other forbids"},
		"of several labs":                {two("kind: permit, binds: {lab: [openai, anthropic]}", "kind: forbid, binds: {labs: [anthropic, openai]}"), "5: it contradicts"},
		"of classes that meet":           {two("kind: permit, classes: [batch, training], "+bind, "kind: forbid, classes: [training], "+bind), "5: it contradicts"},
		"of classes that do not":         {two("kind: permit, classes: [batch], "+bind, "kind: forbid, classes: [training], "+bind), ""},
		"of other labs":                  {two("kind: permit, "+bind, "kind: forbid, binds: {lab: anthropic}"), ""},
		"of other places":                {two("kind: permit, at: {geo: eu}, "+bind, "kind: forbid, at: {geo: us}, "+bind), ""},
		"one after the other":            {two("kind: permit, valid: {to: 2026-01-01}, "+bind, "kind: forbid, valid: {from: 2026-01-01}, "+bind), ""},
		"known one after the other":      {two("kind: permit, known: {to: 2026-01-01}, "+bind, "kind: forbid, known: {from: 2026-01-01}, "+bind), ""},
		"before the end was known":       {two("kind: permit, known: {from: 2025-01-01}, valid: {to: 2026-01-01, to_known: 2026-01-01}, "+bind, "kind: forbid, known: {from: 2025-06-01}, valid: {from: 2026-02-01}, "+bind), "5: it contradicts"},
		"after the end was known":        {two("kind: permit, known: {from: 2025-01-01}, valid: {to: 2026-01-01, to_known: 2026-01-01}, "+bind, "kind: forbid, known: {from: 2026-01-01}, valid: {from: 2026-02-01}, "+bind), ""},
		"two exclusive hosts":            {two("kind: exclusive_host, host: azure, "+bind, "kind: exclusive_host, host: aws, "+bind), "5: it contradicts"},
		"a licence elsewhere":            {two("kind: licence, "+bind, "kind: exclusive_host, host: aws, "+bind), "5: it contradicts"},
		"a licence there":                {two("kind: licence, host: aws, "+bind, "kind: exclusive_host, host: [aws, azure], "+bind), ""},
		"what can be lifted":             {two("kind: licence, "+bind, "kind: first_ship, host: aws, "+bind), ""},
		"what is disputed":               {head + "  - {id: a, text: T., kind: permit, " + bind + "}\n  - {id: b, text: T., kind: forbid, " + bind + ", readings: [{reads: deny, by: x, text: T.}]}\n", ""},
		"the same twice":                 {two("kind: forbid, at: {geo: us}, "+bind, "kind: forbid, at: {geos: [us]}, "+bind), "5: it says what c/a (c.yaml:4) says"},
		"in the shadow":                  {two("kind: forbid, at: {geo: us}, "+bind, "kind: forbid, "+bind), "4: it never decides: c/b (c.yaml:5) forbids all of it"},
		"in the shadow for a time alone": {two("kind: forbid, at: {geo: us}, "+bind, "kind: forbid, valid: {from: 2026-01-01}, "+bind), ""},
		"a waiver of no clause":          {head + "  - {id: a, text: T., kind: rofr, host: azure, " + bind + "}\nwaivers:\n  - {clause: b, what: ROFR waiver}\n", "6: there is no clause c/b"},
		"a waiver in other words":        {head + "  - {id: a, text: T., kind: rofr, host: azure, " + bind + "}\nwaivers:\n  - {clause: a, what: a letter}\n", "6: c/a (c.yaml:4) is lifted by \"ROFR waiver\", and not by"},
		"a waiver of what stays":         {head + "  - {id: a, text: T., kind: forbid, " + bind + "}\nwaivers:\n  - {clause: a, what: a letter}\n", "6: nothing lifts c/a"},
		"a waiver at another time":       {head + "  - {id: a, text: T., kind: rofr, host: azure, valid: {to: 2025-01-01}, " + bind + "}\nwaivers:\n  - {clause: a, what: rofr waiver, valid: {from: 2026-01-01}}\n", "6: it never holds while"},
		"a waiver":                       {head + "  - {id: a, text: T., kind: rofr, host: azure, " + bind + "}\nwaivers:\n  - {clause: c/a, what: rofr waiver}\n", ""},
	} {
		contract, err := placement.Parse("c.yaml", []byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		faults := placement.Check([]placement.Contract{contract})
		if c.want == "" {
			if len(faults) > 0 {
				t.Errorf("%s: %s", name, faultText(faults))
			}
			continue
		}
		line, what, _ := strings.Cut(c.want, ": ")
		if len(faults) != 1 || fmt.Sprint(faults[0].Line) != line || !strings.Contains(faults[0].What, what) || faults[0].Remedy == "" {
			t.Errorf("%s: want %s, got %s", name, c.want, faultText(faults))
		}
	}
}

// TestCheckAmongFiles: clauses of two files are compared too, and the fault names both files.
func TestCheckAmongFiles(t *testing.T) {
	t.Parallel()
	a, err := placement.Parse("a.yaml", []byte("id: a\nconfidence: signed\nclauses: [{id: x, kind: permit, text: T., binds: {lab: openai}}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := placement.Parse("b.yaml", []byte("id: b\nconfidence: signed\nclauses:\n- {id: x, kind: forbid, text: T., binds: {lab: openai}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := faultText(placement.Check([]placement.Contract{b, a})); !strings.HasPrefix(got, "b.yaml:4: clauses.x: it contradicts a/x (a.yaml:3)") {
		t.Errorf("got %s", got)
	}
	if got := faultText(placement.Check([]placement.Contract{a, a})); !strings.Contains(got, "the contract a is in a.yaml too") {
		t.Errorf("got %s", got)
	}
}

// TestExamplesAreRight: the contracts that ship have no faults among them.
func TestExamplesAreRight(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{history, customer} {
		if faults := placement.Check(read(t, dir)); len(faults) > 0 {
			t.Errorf("%s:\n%s", dir, faultText(faults))
		}
	}
}

// FuzzParse: whatever is in a file, it is a contract that compiles, or faults with a line.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{history, customer} {
		files, _ := filepath.Glob(filepath.Join(dir, "*.yaml"))
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Add([]byte("id: &a c\nclauses: [*a]\n"))
	f.Add([]byte(head + "  - {id: a, kind: forbid, text: T., binds: {tool: \"*\", fact: {a b: c}}, when: a > 5, at: [{geo: \"e*u\"}]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, faults := placement.Read("f.yaml", data)
		for _, x := range faults {
			if x.Line < 1 || x.What == "" || x.Remedy == "" || strings.ContainsFunc(x.String(), func(c rune) bool { return c < ' ' || c == 0x7f }) {
				t.Fatalf("%q", x)
			}
		}
		if len(faults) > 0 {
			return
		}
		placement.Check([]placement.Contract{c})
		p, err := placement.Compile(placement.Book{Contracts: []placement.Contract{c}}, placement.Moment{AsOf: date(t, "2026-03-21")})
		if err != nil {
			t.Fatal(err)
		}
		n := placement.Need{Action: placement.UseTool, Class: "batch", Labels: []string{"personal"}, Tool: "http.request", Args: []byte(`{"amount":7}`)}
		if r, plain := p.Judge(&n, &bedrock), p.JudgePlainly(&n, &bedrock); r.Verdict == "" || r.Verdict != plain.Verdict {
			t.Fatalf("%+v, %+v", r, plain)
		}
	})
}
