package prose_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple/prose"
)

func TestFoldMakesFormsOne(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"synchronize synchronise synchronizes synchronised synchronization synchronisation synchronizing synchronizer",
		"colour color colours coloured coloring", "behaviour behavior behaviours behave", "centre center centres centred", "litre liter litres",
		"programme program programmes programmed programming", "catalogue catalog catalogues", "dialogue dialog", "licence license", "defence defense",
		"cancel cancelled canceled cancelling cancellation", "traveller traveler", "travel travelled traveled", "controller controllers", "analyse analyze analysed analyzing",
		"install installs installed installing installation", "allocate allocates allocation allocated", "create creates created creating creation",
		"document documents documented documentation", "write writes writing written wrote", "copy copies copied copying", "cache caches cached caching",
		"match matches matched matching", "class classes", "box boxes", "go goes gone went", "add adds added adding", "use uses used using", "type types typed typing", "embed embeds embedded embedding",
		"atomic atomically", "possible possibly", "exact exactly", "visible visibility", "compatible compatibility", "manage manages management",
		"dependent dependency dependencies", "refer refers referred", "remove delete removed deletes erased", "folder directory directories",
		"implement implementation implements", "run execute executes executing ran", "convert conversion conversions converting", "panic panicking panics", "compile compiler compiles compilers", "config configure configuration", "order sequence sequenced", "apply applies applied", "stop stopped stopping", "set sets setting settings", "file files", "tie ties tied",
		"correct correctness correctly", "secure security", "collect collector collection", "call calls called calling", "replace replacement", "initialiser initialize",
		"child children", "status", "process processes", "tree trees", "agree agrees", "alias aliases", "generate generator generated generation", "argument arguments",
	} {
		words := strings.Fields(line)
		for _, w := range words[1:] {
			if got, want := prose.Fold(w), prose.Fold(words[0]); got != want {
				t.Errorf("Fold(%q) = %q, but Fold(%q) = %q", w, got, words[0], want)
			}
		}
	}
}

func TestFoldKeepsWordsApart(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"statement state", "file fill", "string str", "station state", "need nee", "four for", "hour hor", "course corse", "universe unit", "mode mod", "pointer point",
		"pass past", "this thi", "us u", "red r", "sing s", "bring br", "thing th", "session sess", "version verse", "action act",
	} {
		w := strings.Fields(line)
		if prose.Fold(w[0]) == prose.Fold(w[1]) {
			t.Errorf("%q and %q both fold to %q", w[0], w[1], prose.Fold(w[0]))
		}
	}
	for _, w := range []string{"ab", "x1", "größe", "v1.2", "42"} {
		if got := prose.Fold(w); got != w {
			t.Errorf("Fold(%q) = %q; it must not be stemmed", w, got)
		}
	}
}

func TestTerms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"How does a Go program make a write visible?", "go program make writ visibl"},
		{"sync.Once and once.Do(f)", "sync.once synchronis once once.do once"},
		{"the file package-lock.json", "file package-lock.json packag lock json"},
		{"set GOMAXPROCS=4", "set gomaxproc 4"},
		{"npm install --save-dev", "npm instal save-dev save develop"},
		{"WaitGroup HTTPServer RLock iOS", "waitgroup wait group httpserver http server rlock lock ios os"},
		{"a well-known race-free program", "well know race free program"},
		{"C++ and C# and C", "c++ c#"},
		{"the lock's owner's", "lock owner"},
		{"version 1.26 of x86_64, 3 of them", "version 1.26 x86_64 x86 64 3"},
		{"@scope/name or $HOME", "scope/name scop name home"},
		{"don’t can't", ""},
		{"É größer", "é größer"},
		{"---- -- - $", ""},
		{"_ ___ a_", ""},
		{"foo__bar os/signal:Notify", "foo__bar foo bar os/signal:notify os signal notify"},
	} {
		if d := cmp.Diff(c.want, strings.Join(prose.Terms(c.in), " ")); d != "" {
			t.Errorf("Terms(%q) (-want +got):\n%s", c.in, d)
		}
	}
}

func TestUniqueAndSet(t *testing.T) {
	t.Parallel()
	if d := cmp.Diff([]string{"lock", "channel"}, prose.Unique("locks, a channel and a lock")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]bool{"lock": true, "channel": true}, prose.Set("locks, a channel and a lock")); d != "" {
		t.Error(d)
	}
	if !prose.Weak(prose.Fold("means")) || prose.Weak(prose.Fold("locks")) {
		t.Error("Weak must hold for what questions are put with and for nothing else")
	}
}

func TestOverlap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want float64
	}{
		{"", "a b", 0}, {"A b c d", "a B c d e f", 1}, {"a b c d", "c d e f", 0.5}, {"x", "y", 0},
	} {
		if got := prose.Overlap(c.a, c.b); got != c.want {
			t.Errorf("Overlap(%q, %q) = %v, want %v", c.a, c.b, got, c.want)
		}
		if got := prose.Overlap(c.b, c.a); got != c.want {
			t.Errorf("Overlap is not the same both ways for %q and %q: %v", c.a, c.b, got)
		}
	}
}

func TestSentences(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"One. Two! Three? Four", []string{"One.", "Two!", "Three?", "Four"}},
		{"Use e.g. Mutex. See Fig. 3 there.", []string{"Use e.g. Mutex.", "See Fig. 3 there."}},
		{"It is 1.5 times. A call of l.Lock() returns.", []string{"It is 1.5 times.", "A call of l.Lock() returns."}},
		{"Hans-J. Boehm wrote it. C. A. R. Hoare too.", []string{"Hans-J. Boehm wrote it.", "C. A. R. Hoare too."}},
		{"(It may crash.) Then stop.", []string{"(It may crash.)", "Then stop."}},
		{"He said \"no.\" She left... Later.", []string{"He said \"no.\"", "She left...", "Later."}},
		{"Run `a. B` now. Done.", []string{"Run `a. B` now.", "Done."}},
		{"A title\n\nA text\nthat goes on.", []string{"A title", "A text\nthat goes on."}},
		{"These:\n- one\n- two. Two\n1. three", []string{"These:", "- one", "- two.", "Two", "1. three"}},
		{"Stop it. sync.Once runs once. and goes on.", []string{"Stop it.", "sync.Once runs once. and goes on."}},
		{"  \n ", nil},
		{"An unclosed ` mark. Here.\n\nNext. One.", []string{"An unclosed ` mark. Here.", "Next.", "One."}},
	} {
		var got []string
		for _, p := range prose.Sentences(c.in) {
			got = append(got, p.Of(c.in))
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("Sentences(%q) (-want +got):\n%s", c.in, d)
		}
	}
}

func TestLeans(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"This rule holds.", "It is so.", "- They are kept.", "However, not.", "In this case nothing.", "Its value is 3.", "For example, run it.", "Because of this, x.", "it's so.", "“Such calls block.", "Sometimes, this may fail.", "In this program: x", "Without all of these it fails.", "Because it fails, nothing is done.",
	} {
		if !prose.Leans(s) {
			t.Errorf("Leans(%q) = false", s)
		}
	}
	for _, s := range []string{"A send happens before.", "In Go it is so.", "", "The result will be printed.", "Note that locks block.", "Thisbe is a name.", "The kit has these tools: a brush.", "If a lock is held, it blocks."} {
		if prose.Leans(s) {
			t.Errorf("Leans(%q) = true", s)
		}
	}
}

func TestOfItself(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{"This command removes it.": true, "- This section is empty.": true, "This rule holds.": false, "It is this command.": false, "This": false} {
		if prose.OfItself(s) != want {
			t.Errorf("OfItself(%q) = %v", s, !want)
		}
	}
}

func TestMidSentence(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"is guaranteed to print.", ", and so on.", "calling hello will print.", ") and more"} {
		if !prose.MidSentence(s) {
			t.Errorf("MidSentence(%q) = false", s)
		}
	}
	for _, s := range []string{"A text.", "l.Lock blocks.", "`go build` builds.", "/etc/hosts is read.", "./x is run.", ".npmrc is read.", "make(chan int) makes.", "", "3 of them.", "- One.", "--save keeps it."} {
		if prose.MidSentence(s) {
			t.Errorf("MidSentence(%q) = true", s)
		}
	}
}

func TestOpenAndComplete(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"These rules:", "this and", "one, ", "**Note:**", "One of them, e.g."} {
		if !prose.Open(s) || prose.Complete(s) {
			t.Errorf("%q must be open and not complete", s)
		}
	}
	for _, s := range []string{"Done.", "(Done.)", "Really?", "It is \"so.\"", "And so on…", "Stop!"} {
		if prose.Open(s) || !prose.Complete(s) {
			t.Errorf("%q must be complete and not open", s)
		}
	}
	if prose.Open("A title") || prose.Complete("A title") {
		t.Error("a title is neither open nor complete")
	}
}

func TestCode(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"x := f(a, b)", "npm install --save", "go func() { a = \"hello\" }()", "{ \"name\": \"x\" }", "", "***", "var a string\n\nfunc f() {\n\tprint(a)\n}", "$ go build ./...", "for i := range 10 { f(i) }",
		"VarSpec = IdentifierList ( Type [ \"=\" ExpressionList ] | \"=\" ExpressionList ) .",
	} {
		if !prose.Code(s) {
			t.Errorf("Code(%q) = false", s)
		}
	}
	for _, s := range []string{
		"A send on a channel is synchronized before the completion of the corresponding receive from that channel.",
		"The l.Lock() call of a sync.Mutex returns when l.Unlock() is called.", "Locks block.", "call n of l.Unlock() is synchronized before call m of l.Lock() returns.",
		"Channel communication is the main method of synchronization between goroutines",
	} {
		if prose.Code(s) {
			t.Errorf("Code(%q) = true", s)
		}
	}
}

func TestOptionList(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"[--save-prod|--save-dev|--save-optional|--save-peer|--no-save] [--save-exact] [--save-bundle]", "-v verbose\n-x trace\n-n dry run", "* `--save`: Keep it.\n* `--no`: Do not.\nText", "npm install [<name> ...]\n\nnpm i <name>",
	} {
		if !prose.OptionList(s) {
			t.Errorf("OptionList(%q) = false", s)
		}
	}
	for _, s := range []string{"The option --save-dev keeps the package under devDependencies in the file.", "", "- a list item about locks\n- another one about channels", "word"} {
		if prose.OptionList(s) {
			t.Errorf("OptionList(%q) = true", s)
		}
	}
}

func TestClaim(t *testing.T) {
	t.Parallel()
	s := "The three calls can't take more than 1,000 ms in v2 without sync.Once, --save-dev or a/b; Go 1.26 has 40 of GOMAXPROCS, not two."
	if d := cmp.Diff([]string{"1000", "1.26", "40", "3", "2"}, prose.Numbers(s)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"not", "without", "not"}, prose.Negations(s)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"v2", "sync.Once", "--save-dev", "a/b", "GOMAXPROCS"}, prose.Identifiers(s)); d != "" {
		t.Error(d)
	}
}

// FuzzProse looks for panics and for spans that are not in the text, not in order or not trimmed.
func FuzzProse(f *testing.F) {
	f.Add("One. Two: `three\n- four` --five-six sync.Once’s 1.2.3 C++ É\xff")
	f.Fuzz(func(t *testing.T, s string) {
		end := 0
		for _, p := range prose.Sentences(s) {
			if p.Start < end || p.End <= p.Start || p.End > len(s) || strings.TrimSpace(p.Of(s)) != p.Of(s) {
				t.Fatalf("span %v after %d in %d bytes", p, end, len(s))
			}
			end = p.End
		}
		for _, term := range prose.Terms(s) {
			if term == "" {
				t.Fatal("an empty term")
			}
		}
		if o := prose.Overlap(s, s); o != 0 && o != 1 {
			t.Fatalf("a text shares %v of its words with itself", o)
		}
		if prose.Open(s) && prose.Complete(s) {
			t.Fatal("a text is open and complete")
		}
		if n := len(prose.Numbers(s)) + len(prose.Negations(s)) + len(prose.Identifiers(s)); n > 2*len(s) {
			t.Fatalf("%d names and numbers in %d bytes", n, len(s))
		}
		if (prose.Leans(s) || prose.MidSentence(s) || prose.OptionList(s)) && s == "" {
			t.Fatal("nothing cannot lean")
		}
	})
}

func BenchmarkTerms(b *testing.B) {
	s := strings.Repeat("A send on a channel is synchronized before the completion of the corresponding receive from that sync.Channel. ", 100)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		prose.Terms(s)
	}
}
