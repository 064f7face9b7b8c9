package knowledge_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/knowledge"
	"github.com/google/go-cmp/cmp"
)

// pdfChild is the argument by which the test binary becomes the reader of PDFs.
const pdfChild = "pdf-child"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == pdfChild {
		os.Exit(knowledge.PDFMain(os.Stdin, os.Stdout, os.Stderr))
	}
	if err := giveUpRoot(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// world is a base over a journal of its own, and a folder of documents.
type world struct {
	t       testing.TB
	journal *sqlite.Store
	base    *knowledge.Base
	index   string
	docs    string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	docs, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, journal: store, index: filepath.Join(t.TempDir(), "notes.db"), docs: docs}
	w.base = w.open()
	return w
}

// open opens the index once more, as another process would.
func (w *world) open() *knowledge.Base {
	w.t.Helper()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	base, err := knowledge.Open(w.t.Context(), knowledge.Config{Source: w.journal, Writer: w.journal, Index: w.index, PDF: []string{self, pdfChild}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = base.Close() })
	return base
}

// file writes a document and gives its path.
func (w *world) file(name, text string) string {
	w.t.Helper()
	p := filepath.Join(w.docs, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// add adds paths, the folder of documents if there are none.
func (w *world) add(paths ...string) knowledge.Summary {
	w.t.Helper()
	if len(paths) == 0 {
		paths = []string{w.docs}
	}
	sum, err := w.base.Add(w.t.Context(), knowledge.Request{Paths: paths})
	if err != nil {
		w.t.Fatal(err)
	}
	return sum
}

// search gives the texts of the units found.
func (w *world) search(base *knowledge.Base, src decouple.Sources, query string) []string {
	w.t.Helper()
	r, err := base.Search(w.t.Context(), src, decouple.SearchArgs{Query: query})
	if err != nil {
		w.t.Fatal(err)
	}
	texts := []string{}
	for _, u := range r.Units {
		texts = append(texts, u.Text)
	}
	return texts
}

func TestAddSearchQuote(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.file("guide/mem.html", "<title>Memory</title><h2>Channels</h2><p>A send on a channel is synchronized before the completion of the corresponding receive.</p><p>Locks are something else entirely, and are described below.</p>")
	w.file("other.md", "# Cooking\n\nBoil the water for the noodles before anything else is done.\n")
	if sum := w.add(); sum.Added != 2 || len(sum.Skipped) != 0 || sum.Position != 2 {
		t.Fatalf("%+v", sum)
	}
	r, err := w.base.Search(t.Context(), decouple.Sources{}, decouple.SearchArgs{Query: "When is a channel send synchronised with unicorns?"})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Units) != 1 {
		t.Fatalf("%+v", r)
	}
	u := r.Units[0]
	if u.Path != p || u.Title != "Memory" || !slices.Equal(u.Section, []string{"Channels"}) || !strings.HasPrefix(u.Text, "A send on") {
		t.Errorf("unit %+v", u)
	}
	for _, term := range r.Terms {
		if want := map[bool]int{true: 0, false: 1}[strings.HasPrefix(term.Term, "unicorn")]; term.Passages != want {
			t.Errorf("term %+v", term)
		}
	}
	text, err := w.base.Text(t.Context(), p)
	if err != nil || text[u.Start:u.End] != u.Text {
		t.Errorf("the unit is not where it says: %q, %v", text, err)
	}
	q, found, err := w.base.Locate(t.Context(), u.Note, "Locks are something else", 0)
	if err != nil || !found || q.Line != 5 || text[q.Start:q.End] != q.Text || q.Path != p || len(q.SHA256) != 64 {
		t.Errorf("%+v, %v, %v", q, found, err)
	}
	if _, found, err := w.base.Locate(t.Context(), u.Note, "Locks are something  else", 0); found || err != nil {
		t.Errorf("an altered quotation was found, or %v", err)
	}
	o, err := w.base.Outline(t.Context(), decouple.Sources{}, decouple.OutlineArgs{Note: u.Note})
	if err != nil || len(o.Sections) != 1 || o.Sections[0].Units != 2 {
		t.Errorf("%+v, %v", o, err)
	}
	read, err := w.base.Read(t.Context(), decouple.Sources{}, decouple.ReadArgs{Note: u.Note, Start: u.Start + 5, End: u.Start + 6})
	if err != nil || read.Text != u.Text || len(read.Units) != 1 {
		t.Errorf("%+v, %v", read, err)
	}
}

func TestUnchangedChangedRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("a.txt", "The old wording of the paragraph on turtles stands here.\n")
	gone := w.file("b.txt", "A paragraph on tortoises that will be gone very soon.\n")
	first := w.add()
	if sum := w.add(); sum.Added+sum.Changed+sum.Removed != 0 || sum.Unchanged != 2 {
		t.Fatalf("%+v", sum)
	}
	w.file("a.txt", "The new wording of the paragraph on turtles stands here.\n")
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if sum := w.add(); sum.Changed != 1 || sum.Removed != 1 || sum.Unchanged != 0 {
		t.Fatalf("%+v", sum)
	}
	if got := w.search(w.base, decouple.Sources{}, "turtles or tortoises"); !slices.Equal(got, []string{"The new wording of the paragraph on turtles stands here."}) {
		t.Errorf("now: %q", got)
	}
	old := decouple.Sources{AsOf: first.Position}
	want := []string{"A paragraph on tortoises that will be gone very soon.", "The old wording of the paragraph on turtles stands here."}
	got := w.search(w.base, old, "turtles or tortoises")
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("as of the first position: %s", diff)
	}
	notes, err := w.base.List(t.Context(), old)
	if err != nil || len(notes) != 2 {
		t.Fatalf("%+v, %v", notes, err)
	}
	for _, n := range notes {
		if _, err := w.base.Read(t.Context(), old, decouple.ReadArgs{Note: n.ID}); err != nil {
			t.Error(err)
		}
		if _, err := w.base.Read(t.Context(), decouple.Sources{}, decouple.ReadArgs{Note: n.ID}); decouple.KindOf(err) != decouple.NotFound {
			t.Errorf("a version that is not in force was read: %v", err)
		}
	}
}

func TestRebuiltIndexAnswersTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, text := range map[string]string{"a.md": "# Gardens\n\nRoses need sun and water on every single day.\n", "b.txt": "Water is what roses and tulips need most of all things.\n", "c.html": "<p>Nothing of the kind is said here at all, but for water.</p>"} {
		w.file(name, text)
	}
	w.add()
	w.file("a.md", "# Gardens\n\nRoses need sun and a little water on some days.\n")
	sum := w.add()
	ask := func(b *knowledge.Base, asOf decouple.Position) decouple.SearchResult {
		r, err := b.Search(t.Context(), decouple.Sources{AsOf: asOf}, decouple.SearchArgs{Query: "how much water do roses need"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	now, before := ask(w.base, 0), ask(w.base, 3)
	if len(now.Units) != 3 || len(before.Units) != 3 || cmp.Equal(now.Units, before.Units) {
		t.Fatalf("now %+v\nbefore %+v", now, before)
	}
	w.index = filepath.Join(t.TempDir(), "other.db")
	other := w.open()
	if diff := cmp.Diff(now, ask(other, sum.Position)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, ask(other, 3)); diff != "" {
		t.Error(diff)
	}
}

func TestSourcesBoundASearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("one/a.txt", "Whales are the largest animals that live in the sea.\n")
	w.file("onetwo/b.txt", "Whales sing songs that travel far through the sea.\n")
	w.add()
	src := decouple.Sources{Paths: []string{filepath.Join(w.docs, "one")}}
	r, err := w.base.Search(t.Context(), src, decouple.SearchArgs{Query: "whales sing"})
	if err != nil {
		t.Fatal(err)
	}
	want := []decouple.Term{{Term: r.Terms[0].Term, Passages: 1}, {Term: r.Terms[1].Term, Passages: 0}}
	if diff := cmp.Diff(want, r.Terms); diff != "" || r.Passages != 1 || len(r.Units) != 1 {
		t.Errorf("%s %+v", diff, r)
	}
	notes, err := w.base.List(t.Context(), decouple.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	r, err = w.base.Search(t.Context(), decouple.Sources{}, decouple.SearchArgs{Query: "whales", Sources: []decouple.NoteID{notes[1].ID}})
	if err != nil || len(r.Units) != 1 || r.Units[0].Note != notes[1].ID {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestAnotherProcessReadsWhatIsNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.open()
	w.file("a.txt", "Penguins walk a very long way to their nests each year.\n")
	sum := w.add()
	if got := w.search(other, decouple.Sources{AsOf: sum.Position}, "penguins"); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

func TestDamagedIndexIsMadeAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("a.txt", "Otters hold hands while they are asleep in the water.\n")
	w.add()
	if err := w.base.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.index, []byte(strings.Repeat("this is no database ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := w.search(w.open(), decouple.Sources{}, "otters"); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.file("a.txt", "Badgers dig deep and live together underground in setts.\n")
	w.add()
	n, err := w.base.Get(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if count, err := w.base.Remove(t.Context(), decouple.Actor{}, string(n.ID)); count != 1 || err != nil {
		t.Fatalf("%d, %v", count, err)
	}
	if got := w.search(w.base, decouple.Sources{}, "badgers"); len(got) != 0 {
		t.Errorf("%q", got)
	}
	if _, err := w.base.Remove(t.Context(), decouple.Actor{}, p); decouple.KindOf(err) != decouple.NotFound {
		t.Errorf("%v", err)
	}
	if sum := w.add(); sum.Added != 1 {
		t.Errorf("added again: %+v", sum)
	}
	if got := w.search(w.base, decouple.Sources{}, "badgers"); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

func TestStandardInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sum, err := w.base.Add(context.Background(), knowledge.Request{Stdin: strings.NewReader("Foxes hunt alone at night in the fields."), Name: "thought"})
	if err != nil || sum.Added != 1 {
		t.Fatalf("%+v, %v", sum, err)
	}
	if text, err := w.base.Text(t.Context(), "stdin:thought"); err != nil || text != "Foxes hunt alone at night in the fields." {
		t.Errorf("%q, %v", text, err)
	}
	if n, err := w.base.Get(t.Context(), "stdin:thought"); err != nil || n.Title != "thought" {
		t.Errorf("%+v, %v", n, err)
	}
}
