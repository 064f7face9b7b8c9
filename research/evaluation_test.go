package research

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
)

func TestQuestions(t *testing.T) {
	t.Parallel()
	questions, err := Questions()
	if err != nil {
		t.Fatal(err)
	}
	ids, halves, abstain := map[string]bool{}, map[string]int{}, map[string]int{}
	for _, q := range questions {
		if ids[q.ID] {
			t.Errorf("%s is there twice", q.ID)
		}
		ids[q.ID] = true
		halves[q.Half]++
		if q.Abstain {
			abstain[q.Half]++
		}
		if q.Abstain == (q.Answer != "") {
			t.Errorf("%s has an answer and none is to be found, or neither", q.ID)
		}
	}
	if len(halves) != 2 || halves["dev"] < 15 || halves["heldout"] < 15 || abstain["heldout"] < 5 {
		t.Errorf("questions %v, of which cannot be answered %v", halves, abstain)
	}
}

// candidate answers from reports that are made beforehand.
type candidate struct {
	reports map[string]Report
	texts   map[string]string
}

func (c candidate) Ask(_ context.Context, _ Corpus, question string) (Report, error) {
	r, ok := c.reports[question]
	if !ok {
		return r, decouple.Errorf(decouple.Unavailable, "no model")
	}
	return r, nil
}

func (c candidate) Outline(context.Context, Corpus, string) (decouple.Outline, error) {
	return decouple.Outline{Sections: []decouple.Section{{Path: []string{"The page"}, Start: 0, End: 1000}, {Path: []string{"The page", "`Taps`"}, Start: 9, End: 1000}}}, nil
}

func (c candidate) Text(_ context.Context, _ Corpus, path string) (string, error) {
	return c.texts[filepath.Base(path)], nil
}

func TestEvaluate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const page, markdown = "<h1>The page</h1><p>Water &amp; soap\nrun.</p><style>p{}</style>", "The list\n\nWater runs.\n"
	paths := map[string]string{"page.html": page, "list.md": markdown}
	texts := map[string]string{"page.html": "The page\n\nWater & soap\nrun.", "list.md": markdown}
	for name, text := range paths {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	quote := func(name, text string, start, line int) Finding {
		sum := sha256.Sum256([]byte(paths[name]))
		return Finding{Claim: text, Quotes: []Quote{{Text: text, Path: filepath.Join(dir, name), SHA256: hex.EncodeToString(sum[:]), Start: start, End: start + len(text), Line: line}}}
	}
	other := quote("list.md", "Water runs.", 10, 3)
	other.Quotes[0].SHA256 = strings.Repeat("0", 64)
	agents := []Agent{{Name: Lead}, {Name: Researcher}, {Name: Writer}}
	x := candidate{texts: texts, reports: map[string]Report{
		"good":     {Findings: []Finding{quote("page.html", "Water & soap\nrun.", 10, 3), quote("list.md", "Water runs.", 10, 3)}, Agents: agents},
		"bad":      {Findings: []Finding{quote("list.md", "Water runs.", 9, 3), quote("list.md", "Water runs.", 10, 2), other, quote("list.md", "Water walks.", 10, 3)}},
		"none":     {Agents: agents[:1]},
		"too much": {Findings: []Finding{quote("list.md", "Water runs.", 10, 3)}},
	}}
	split := true
	answered := Question{Half: "dev", Corpus: "c", Section: []string{"^taps$"}, Source: `page\.html$`, Answer: "soap", Answers: []string{"soap", "runs"}, Split: &split}
	var questions []Question
	for _, id := range []string{"good", "bad", "none", "too much", "broken"} {
		q := answered
		if id == "none" || id == "too much" {
			q = Question{Half: "heldout", Corpus: "c", Abstain: true}
		}
		q.ID, q.Question = id, id
		questions = append(questions, q)
	}
	questions = append(questions, Question{ID: "elsewhere", Corpus: "not here"})
	ev, err := evaluate(context.Background(), questions, []Corpus{{Name: "c", Root: dir}}, Evaluation{}, examiner{x, nil})
	if err != nil {
		t.Fatal(err)
	}
	want := []Sum{
		{Half: "dev", Questions: 3, Section: Tally{1, 3}, Answer: Tally{1, 3}, Parts: Tally{1, 3}, Split: Tally{1, 3}, Citations: Tally{2, 6}},
		{Half: "heldout", Questions: 2, Abstained: Tally{1, 2}, Citations: Tally{1, 1}},
	}
	if diff := cmp.Diff(want, ev.Sums); diff != "" {
		t.Errorf("sums (-want +got):\n%s\n%+v", diff, ev.Scores)
	}
	table := ev.Table()
	for _, part := range []string{"good", "33% (1/3)", "50% (1/2)", "no model"} {
		if !strings.Contains(table, part) {
			t.Errorf("%q is not in the table:\n%s", part, table)
		}
	}
}

func TestCorpora(t *testing.T) {
	t.Parallel()
	found, skipped := Corpora(context.Background())
	if len(found)+len(skipped) != 3 {
		t.Errorf("found %d corpora and skipped %v, want 3 in all", len(found), skipped)
	}
	for _, c := range found {
		for _, p := range c.Paths {
			if rel, err := filepath.Rel(c.Root, p); err != nil || strings.HasPrefix(rel, "..") || c.Name == "gosrc" && filepath.Ext(p) != ".md" {
				t.Errorf("%s: %s is not one of its documents", c.Name, p)
			}
		}
	}
}

func FuzzQuestions(f *testing.F) {
	f.Add(`{"questions":[{"id":"a","corpus":"go","question":"b","section":["("],"split":null}]}`)
	f.Add(`{"questions":[{"id":"a","corpus":"go","question":"b","answers":["(?is)c"],"split":true}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		questions, err := parseQuestions("dev", []byte(text))
		if err != nil && decouple.KindOf(err) != decouple.Invalid {
			t.Fatal(err)
		}
		for _, q := range questions {
			if err == nil {
				anyMatches(q.Section, []string{"x"})
			}
		}
	})
}
