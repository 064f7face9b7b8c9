package builtin

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/prose"
)

func TestForm(t *testing.T) {
	t.Parallel()
	for question, want := range map[string]form{
		"How many files may be open?":                                 narrow,
		"Where does the cache live?":                                  narrow,
		"Which register holds the stack pointer?":                     narrow,
		"Which tool builds the index?":                                narrow,
		"Is a lock fair?":                                             narrow,
		"How do I clear the cache?":                                   narrow,
		"What happens when the disk is full?":                         narrow,
		"What is a lease?":                                            narrow,
		"What are channels?":                                          broad,
		"What are the rules for a retry?":                             broad,
		"What stages does a request pass?":                            broad,
		"At which hour do the belt types of a machine begin?":         narrow,
		"How do I keep a pump: cleaning, painting, hanging it?":       broad,
		"Which levers does a train have?":                             several,
		"Which options exist?":                                        several,
		"Which functions?":                                            several,
		"How are keys made, kept, and thrown away?":                   broad,
		"Which modes are there, and what does each of them do?":       broad,
		"How does a write become visible?":                            open,
		"Why is a lock slower than an atomic?":                        open,
		"If nobody answers, and the line is dead, how is it noticed?": open,
		"": open,
	} {
		if got := ask(decouple.Task{Question: question}, nil).form; got != want {
			t.Errorf("%q has the form %d, want %d", question, got, want)
		}
	}
}

func TestWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	q := ask(decouple.Task{Question: "How long is the name of a package at most?"}, nil)
	if !q.number || q.named || q.reason || q.weight["long"] >= q.weight["name"] {
		t.Errorf("got %+v", q)
	}
	if q := ask(decouple.Task{Question: "Which environment variable names the folder?"}, nil); q.number || !q.named {
		t.Errorf("got %+v", q)
	}
	if q := ask(decouple.Task{Question: "Why is a lock fair?"}, nil); !q.reason {
		t.Errorf("got %+v", q)
	}
}

func TestRephrase(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"How do I turn numbers into strings?":    "How do I convert numbers strings?",
		"How is the cache switched off?":         "How is the cache disable",
		"What does it look at?":                  "What does it see",
		"I took the whole package off the shelf": "I remove the whole package the shelf",
		"Which tools are out of date?":           "Which tools are outdated of",
		"Turn left at the corner":                "Turn left at the corner",
	} {
		if got := rephrase(in); got != want {
			t.Errorf("rephrase(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRareAndAbsentTermsWeighMost(t *testing.T) {
	t.Parallel()
	found := []decouple.SearchResult{{Passages: 100, Terms: []decouple.Term{{Term: "lock", Passages: 2}, {Term: "program", Passages: 90}, {Term: "llvm"}, {Term: "happen", Passages: 2}}}}
	if d := cmp.Diff(map[string]bool{"6502": true, "http": true}, namesIn("How many of 6502 or 7 are HTTP?")); d != "" {
		t.Error(d)
	}
	q := ask(decouple.Task{Question: "What happens to a lock of a program under LLVM?"}, found)
	if !(q.weight["llvm"] > q.weight["lock"] && q.weight["lock"] > q.weight["program"] && q.weight["lock"] > q.weight["happen"]) {
		t.Errorf("got %v", q.weight)
	}
	if d := cmp.Diff(map[string]bool{"llvm": true}, q.names); d != "" {
		t.Error(d)
	}
	if got := (question{}).cover(map[string]bool{"x": true}); got != 0 {
		t.Errorf("a question without terms is covered by %v", got)
	}
}

// one makes a unit of one note, at a place in its text.
func one(text, words, kind string, section ...string) decouple.Unit {
	at := strings.Index(text, words)
	return decouple.Unit{Note: "n", Title: "Title", Path: "n.md", Section: section, Kind: kind, Start: at, End: at + len(words), Text: words}
}

func TestQuotable(t *testing.T) {
	t.Parallel()
	const text = `Springs hold the brake of each axle. They are made of steel.

It is never released by hand when the train moves.

This program:

	brake(1)

is guaranteed to stop the train at the next signal.

The levers have three places, which are:

- off, in which nothing is held
- on, in which all is held

Some further words that nobody asks for stand here.`
	units := []decouple.Unit{
		one(text, "Springs hold the brake of each axle. They are made of steel.", "paragraph", "A"),
		one(text, "It is never released by hand when the train moves.", "paragraph", "A"),
		one(text, "The levers have three places, which are:", "paragraph", "A"),
		one(text, "- off, in which nothing is held\n- on, in which all is held", "list", "A"),
	}
	r := reader{{Note: "n", Text: text, End: len(text), Units: units}}
	q := ask(decouple.Task{Question: "When is the brake released, and what holds the levers?"}, nil)
	long := "The brake is a thing of beauty. " + strings.Repeat("Nothing more is to be said here about the weather of that day. ", 12) + "A brake is released by hand with two levers."
	for _, c := range []struct {
		name string
		unit decouple.Unit
		want string
	}{
		{"a paragraph", units[0], units[0].Text},
		{"what leans takes the one before along", units[1], units[0].Text + "\n\n" + units[1].Text},
		{"an introduction takes its list along", units[2], units[2].Text + "\n\n" + units[3].Text},
		{"a heading", one(text, "Springs hold the brake of each axle.", "heading", "A"), ""},
		{"bare code", one(text, "brake(1)", "code", "A"), ""},
		{"mid-sentence after code", one(text, "is guaranteed to stop the train at the next signal.", "paragraph", "B"), ""},
		{"an introduction that nothing follows", one(text, "This program:", "paragraph", "B"), ""},
		{"options", decouple.Unit{Note: "n", Kind: "paragraph", Text: "[--brake|--release] [--levers]"}, ""},
		{"labels without an introduction", decouple.Unit{Note: "n", Kind: "list", Text: "- the brake of the first axle\n- the brake of the second axle"}, ""},
		{"too short", decouple.Unit{Note: "n", Kind: "paragraph", Text: "The brake."}, ""},
		{"the best sentences of a long one", decouple.Unit{Note: "n", Kind: "paragraph", Text: long}, "A brake is released by hand with two levers."},
		{"a list that begins well", decouple.Unit{Note: "n", Kind: "list", Text: "Three places hold the levers:\n\n- off, " + strings.Repeat("where all is calm ", 30) + "\n- on, " + strings.Repeat("where it is not ", 15)},
			"Three places hold the levers:\n\n- off, " + strings.Repeat("where all is calm ", 30) + "\n- on, " + strings.Repeat("where it is not ", 15)},
		{"the best item of a list too long", decouple.Unit{Note: "n", Kind: "list", Text: "These are the places:\n\n- Off is for the night. " + strings.Repeat("It is dark. ", 130) + "\n- A brake is released by the levers in place two."},
			"A brake is released by the levers in place two."},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, ok := r.quotable(c.unit, q)
			if ok && s.text != c.want || ok != (c.want != "") {
				t.Errorf("got %q, %v, want %q", s.text, ok, c.want)
			}
			if at := strings.Index(text, s.text); ok && at >= 0 && s.start != at {
				t.Errorf("it is said to stand at %d, not %d", s.start, at)
			}
		})
	}
	if s, ok := (reader{}).quotable(units[2], q); ok {
		t.Errorf("an introduction was quoted without its list: %q", s.text)
	}
}

func TestClaim(t *testing.T) {
	t.Parallel()
	q := ask(decouple.Task{Question: "What releases the brake?"}, nil)
	for text, want := range map[string]string{
		"The axle turns all the time. However, the lever releases\nthe brake.":                                   "The lever releases the brake.",
		"It releases the brake of the axle. Nobody knows more about that.":                                       "Nobody knows more about that.",
		"The brake is released by these parts:\n\n- the lever;\n- the hand wheel.":                               "The brake is released by these parts: the lever; the hand wheel.",
		"The brake is released by these:\n\nlever":                                                               "",
		"All of the parts wear out: \n\n- What releases the brake of an axle\n- What releases brakes wears out.": "What releases brakes wears out.",
		"See the manual of the brake to release it.":                                                             "",
		"It is so. They are so.": "",
	} {
		if got, ok := claimOf(q, text); got != want || ok != (want != "") {
			t.Errorf("claimOf(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestPickDropsWhatRepeats(t *testing.T) {
	t.Parallel()
	u := func(at int, text string) decouple.Unit {
		return decouple.Unit{Note: "n", Title: "Brake", Section: []string{"Brake"}, Kind: "paragraph", Start: at, Text: text, Score: 1}
	}
	units := []decouple.Unit{
		u(0, "The lever releases the brake of the first axle in less than a second."),
		u(100, "The lever releases the brake of the second axle in less than a second."),
		u(200, "When somebody pulls a lever, every brake on board is slowly released by springs under it."),
		u(300, "The weather was fine that day and nobody had anything better to do."),
		u(400, "The lever releases the brake of the first axle in less than a second."),
	}
	q := ask(decouple.Task{Question: "What does the lever of the brake release?"}, nil)
	cands := rank(q, units)
	if len(cands) != 4 {
		t.Errorf("%d candidates of 4 different texts", len(cands))
	}
	picked := pick(q, nil, cands, 3)
	var starts []int
	for _, p := range picked {
		starts = append(starts, p.start)
	}
	if len(picked) != 2 || picked[1].start != 200 {
		t.Errorf("picked %v", starts)
	}
}

func TestNumbersAreAskedFor(t *testing.T) {
	t.Parallel()
	q := ask(decouple.Task{Question: "How many levers has the brake?"}, nil)
	c := func(text string) candidate {
		return rank(q, []decouple.Unit{{Note: "n", Kind: "paragraph", Text: text, Score: 1}})[0]
	}
	if q.fits(c("The brake has levers that are painted red.")) {
		t.Error("a text without an amount answers how many")
	}
	for _, s := range []string{"The brake has 3 levers.", "The brake has any number of levers, without limit."} {
		if !q.fits(c(s)) {
			t.Errorf("%q does not answer how many", s)
		}
	}
}

func TestYearsAreAskedFor(t *testing.T) {
	t.Parallel()
	q := ask(decouple.Task{Question: "In which year was the brake of the train built?"}, nil)
	c := func(text string) candidate {
		return rank(q, []decouple.Unit{{Note: "n", Kind: "paragraph", Text: text, Score: 1}})[0]
	}
	if q.fits(c("The brake of the train was built with 2 levers.")) || !q.fits(c("The brake of the train was built in 1869.")) {
		t.Error("a question for a year is answered by a year alone")
	}
}

func TestWhatTheSourcesNeverSay(t *testing.T) {
	t.Parallel()
	task := decouple.Task{Question: "Why has a brake on the train a zeppelin?"}
	for passages, want := range map[int]bool{100: false, 3: true} {
		terms := []decouple.Term{{Term: "brake", Passages: passages / 2}, {Term: "train", Passages: passages / 2}, {Term: "zeppelin"}}
		q := ask(task, []decouple.SearchResult{{Passages: passages, Terms: terms}})
		c := rank(q, []decouple.Unit{{Note: "n", Kind: "paragraph", Text: "The brake on the train is there because it has to stop.", Score: 1}})[0]
		c.outer, c.whole, c.inner = 0.9, 0.9, 0.9
		if got := q.fits(c); got != want {
			t.Errorf("of %d passages: %v with %.2f missing", passages, got, q.missing)
		}
	}
}

func TestForeignNames(t *testing.T) {
	t.Parallel()
	found := []decouple.SearchResult{{Passages: 50, Terms: []decouple.Term{{Term: "brake", Passages: 30}, {Term: "lever", Passages: 30}, {Term: "westinghous", Passages: 1}}}}
	q := ask(decouple.Task{Question: "What brake and lever has a Westinghouse?"}, found)
	c := rank(q, []decouple.Unit{{Note: "n", Kind: "paragraph", Text: "The brake has a lever that is painted red.", Score: 1}})[0]
	if q.fits(c) {
		t.Error("a text that never names what is asked about answers")
	}
}

func TestSectionsOf(t *testing.T) {
	t.Parallel()
	o := decouple.Outline{Note: "n", Sections: []decouple.Section{
		{Path: []string{}, Start: 0, End: 5}, {Path: []string{"A"}, Start: 5, End: 50}, {Path: []string{"A", "One"}, Start: 10, End: 20}, {Path: []string{"A", "See also"}, Start: 20, End: 30},
		{Path: []string{"A", "Two"}, Start: 30, End: 50}, {Path: []string{"Configuration"}, Start: 50, End: 90}, {Path: []string{"Configuration", "x"}, Start: 60, End: 70}, {Path: []string{"Configuration", "y"}, Start: 70, End: 90},
	}}
	got := sectionsOf(o)
	if len(got) != 1 || len(got[0].parts) != 2 || got[0].parts[1].path[1] != "Two" {
		t.Errorf("got %+v", got)
	}
}

func TestThemeIsWhatMostPartsShare(t *testing.T) {
	t.Parallel()
	p := func(texts ...string) part {
		var p part
		for _, s := range texts {
			p.units = append(p.units, decouple.Unit{Text: s})
		}
		return p
	}
	parts := []part{p("The lock orders 3 writes."), p("A channel orders writes, and a lock too."), p("Once orders the calls."), p("Nothing.")}
	even := func(string) float64 { return 1 }
	if d := cmp.Diff([]string{"order"}, themeOf(even, parts, 3)); d != "" {
		t.Error(d)
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	which := ask(decouple.Task{Question: "Which variable names the brake?"}, nil)
	named := rank(which, []decouple.Unit{{Text: "The brake is named by the owner.", Kind: "code", Score: 1}, {Start: 1, Text: "The brake is named by BRAKE_NAME.", Score: 1}})
	if named[0].unit.Start != 1 {
		t.Errorf("the name of the variable is not first: %+v", named)
	}
	q := ask(decouple.Task{Question: "Why is the brake red?"}, nil)
	c := rank(q, []decouple.Unit{{Text: "The brake is red like all of the train.", Score: 1}, {Start: 1, Text: "The brake is red because children look at it.", Score: 1}})
	if c[0].unit.Start != 1 {
		t.Errorf("the reason is not first: %+v", c)
	}
}

func TestEvidenceIsSpread(t *testing.T) {
	t.Parallel()
	p := func(inner, plain float64) part { return part{inner: inner, plain: plain} }
	theme := []string{"a", "b"}
	for _, c := range []struct {
		name string
		s    split
		want bool
	}{
		{"three alike", split{theme: theme, parts: []part{p(0.4, 0.5), p(0.5, 0.5), p(0.4, 0.4), p(0.1, 0.1)}}, true},
		{"one stands out in its text", split{theme: theme, parts: []part{p(0.9, 0.9), p(0.3, 0.8), p(0.3, 0.8)}}, false},
		{"one stands out by its heading", split{theme: theme, parts: []part{p(0.3, 0.9), p(0.3, 0.3), p(0.3, 0.3)}}, false},
		{"two parts", split{theme: theme, parts: []part{p(0.4, 0.5), p(0.5, 0.5)}}, false},
		{"no theme", split{parts: []part{p(0.4, 0.5), p(0.5, 0.5), p(0.5, 0.5)}}, false},
	} {
		if got := c.s.spread(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestAbout(t *testing.T) {
	t.Parallel()
	q := ask(decouple.Task{Question: "How does the select statement choose?"}, nil)
	if !q.about("Select statements") || q.about("Send statements") || q.about("") {
		t.Error("a question is about a heading whose terms are all its own, and about no other")
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "", 2: "Gr", 3: "Gr", 4: "Grü", 9: "Grüße"} {
		if got := head("Grüße", n); got != want {
			t.Errorf("head of %d bytes is %q", n, got)
		}
	}
}

func TestNeighbourhoodsAreBounded(t *testing.T) {
	t.Parallel()
	var units []decouple.Unit
	for i := range 2 * contexts {
		units = append(units, decouple.Unit{Note: "n", Kind: "paragraph", Start: 10 * i, Text: "It leans on brake number " + strings.Repeat("x", i+1), Score: 1})
	}
	q := ask(decouple.Task{Question: "What leans on the brake?"}, nil)
	if calls := neighbourhoods(q, nil, rank(q, units)); len(calls) != contexts {
		t.Errorf("%d neighbourhoods are read", len(calls))
	}
}

func TestFillFromTheSearchWhereNothingWasRead(t *testing.T) {
	t.Parallel()
	s := split{note: "n", parts: []part{{start: 0, end: 10}, {start: 10, end: 20}}}
	s.fill(nil, []candidate{{unit: decouple.Unit{Note: "n", Start: 12, End: 15}}, {unit: decouple.Unit{Note: "n", Start: 12, End: 15}}, {unit: decouple.Unit{Note: "m", Start: 2}}})
	if len(s.parts[0].units) != 0 || len(s.parts[1].units) != 1 {
		t.Errorf("got %+v", s.parts)
	}
	p := part{}
	if p.weigh(question{}, nil); p.fit != 0 {
		t.Errorf("a part without units fits by %v", p.fit)
	}
}

func TestBackwardGivesUp(t *testing.T) {
	t.Parallel()
	const text = "This is one. More of this.\n\nIt is two. More of it.\n\nThey are three and red."
	units := []decouple.Unit{one(text, "This is one. More of this.", "paragraph", "A"), one(text, "It is two. More of it.", "paragraph", "A"), one(text, "They are three and red.", "paragraph", "A")}
	r := reader{{Note: "n", Text: text, End: len(text), Units: units}}
	q := ask(decouple.Task{Question: "Which are red?"}, nil)
	if s, ok := r.quotable(units[2], q); ok {
		t.Errorf("quoted %q", s.text)
	}
	if s, ok := window(stretch{text: "- This one. A brake is red and\n- the other one. It is green and big today."}, q); ok {
		t.Errorf("a window over two items: %q", s.text)
	}
}

func TestSame(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{{`{"a":1,"b":2}`, `{ "b":2, "a":1 }`, true}, {`{"a":1}`, `{"a":2}`, false}, {`{`, `{}`, false}, {`{`, `{`, true}} {
		if got := same([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}

func TestUnitsOfASection(t *testing.T) {
	t.Parallel()
	inside, outside := one("a b", "a", "paragraph", "A", "B"), one("a b", "b", "paragraph", "A")
	read := string(encode(decouple.ReadResult{Note: "n", Text: "a b", Units: []decouple.Unit{inside, outside}}))
	talk := talk{task: decouple.Task{Section: []string{"A", "B"}}, calls: []exchange{{tool: decouple.ToolRead, result: decouple.ToolResult{Text: read}}}}
	got := unitsFor(talk, []decouple.SearchResult{{Units: []decouple.Unit{outside}}})
	if d := cmp.Diff([]decouple.Unit{inside}, got); d != "" {
		t.Error(d)
	}
}

func TestNothingSharedNothingAsked(t *testing.T) {
	t.Parallel()
	if calls := rarity([]split{{parts: []part{{}, {}}}}); calls != nil {
		t.Errorf("got %v", calls)
	}
}

// What is asked in other words than the sources' is held in part, and the parts of a name of code weigh less than the name.
func TestWeights(t *testing.T) {
	t.Parallel()
	q := ask(decouple.Task{Question: "How do I shut a pump?"}, nil)
	full, related, none := q.cover(prose.Set("shut the pump")), q.cover(prose.Set("close the pump")), q.cover(prose.Set("paint the pump"))
	if full <= related || related <= none {
		t.Errorf("the word itself covers %.2f, a related one %.2f, another %.2f", full, related, none)
	}
	if lit := q.literal().cover(prose.Set("close the pump")); lit != none {
		t.Errorf("a literal question is covered %.2f by a related word, want %.2f", lit, none)
	}
	q = ask(decouple.Task{Question: "Where does package.json stand?"}, nil)
	if q.weight[prose.Fold("package")] >= q.weight["package.json"]/2 || !q.where {
		t.Errorf("weights %v, asks for a place: %v", q.weight, q.where)
	}
	q = ask(decouple.Task{Question: "How is a pump painted, cleaned or hung?"}, nil)
	for _, term := range q.terms {
		if q.weight[term] > 0.6*q.total {
			t.Errorf("%s weighs %.2f of %.2f", term, q.weight[term], q.total)
		}
	}
}
