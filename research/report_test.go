package research

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
)

// handIn is a call of findings.add with the outcome that the tool gives.
func handIn(t *testing.T, src Sources, question, claim string, quotes ...decouple.QuoteArg) Call {
	t.Helper()
	args, err := json.Marshal(decouple.FindingArgs{Claim: claim, Quotes: quotes})
	if err != nil {
		t.Fatal(err)
	}
	out, err := NewAdd(src, taskOf{Question: question}).Do(context.Background(), decouple.Invocation{Args: args})
	if err != nil {
		t.Fatal(err)
	}
	return Call{Name: decouple.ToolFindingsAdd, Args: args, Outcome: &out}
}

func from(note decouple.NoteID, text string) decouple.QuoteArg {
	return decouple.QuoteArg{Note: note, Text: text}
}

// record is a run that has ended well.
func record(id decouple.RunID, agent decouple.AgentName, question string, calls ...Call) Record {
	return Record{Run: decouple.Run{ID: id, Root: id.Root(), Parent: id.Parent(), Agent: agent}, Task: decouple.Task{Question: question},
		Status: decouple.RunEnded, Cause: decouple.Cause{Kind: decouple.CauseDone}, Steps: 2, Usage: decouple.Usage{TokensIn: 100, TokensOut: 10}, Calls: calls}
}

const (
	startQ  = "When does the pump start?"
	stopQ   = "What does a stop of the pump do?"
	pressQ  = "How is the pressure of the pump watched?"
	rootQ   = "How is the pump run?"
	startIs = "The pump starts when the valve is open and the tank holds at least 40 litres."
	stopIs  = "A stop does not empty the tank."
)

// pumpTree is a tree in which one researcher found what it was asked, one hands in what does not hold, and one failed after its first finding.
func pumpTree(t *testing.T, src Sources) Tree {
	t.Helper()
	began := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	root := record("r", Lead, rootQ)
	root.Created, root.Updated = began, began.Add(time.Second)
	failed := record("r.2", Researcher, stopQ, handIn(t, src, stopQ, stopIs, from("pump.md", stopIs)))
	failed.Cause = decouple.Cause{Kind: decouple.CauseFailed, Why: "the model answered 500"}
	writer := record("r.10", Writer, rootQ)
	writer.Answer = "The pump starts when the valve is open [1]. A stop does not empty the tank [2]. A stop empties the tank [2]. All is well."
	writer.Updated = began.Add(3 * time.Second)
	return Tree{Writer: "r.10", Records: []Record{
		writer,
		failed,
		root,
		record("r.1", Researcher, startQ, handIn(t, src, startQ, startIs, from("pump.md", startIs))),
		record("r.3", Researcher, pressQ,
			handIn(t, src, pressQ, "The pressure never exceeds 9 bar.", from("pump.md", "The pressure never exceeds 6 bar.")),
			handIn(t, src, pressQ, "The pressure is watched by the sensor.", from("pump.md", "A sensor reads it 20 times a second.")),
			handIn(t, src, pressQ, "The pressure falls in March.", from("garden.md", "Roses are cut in March."))),
	}}
}

func TestAssemble(t *testing.T) {
	t.Parallel()
	src := shelfOf(t)
	r, err := Assemble(context.Background(), src, pumpTree(t, src))
	if err != nil {
		t.Fatal(err)
	}
	if want := "The pump starts when the valve is open [1]. A stop does not empty the tank [2]."; r.Answer != want {
		t.Errorf("answer %q, want %q", r.Answer, want)
	}
	var claims []string
	for _, f := range r.Findings {
		claims = append(claims, f.Claim)
		for _, q := range f.Quotes {
			if source := src[decouple.NoteID(q.Path)]; source[q.Start:q.End] != q.Text || strings.Count(source[:q.Start], "\n")+1 != q.Line {
				t.Errorf("the quotation %+v is not where it says", q)
			}
		}
	}
	if diff := cmp.Diff([]string{startIs, stopIs}, claims); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	wantGaps := []Gap{
		{stopQ, "failed: the model answered 500; what it had found until then is in the report"},
		{pressQ, "what was handed in did not pass the citation check"},
	}
	if diff := cmp.Diff(wantGaps, r.Gaps); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
	for _, text := range []string{"9 bar", "20 times a second", "falls in March", "A stop empties", "All is well"} {
		if !slices.ContainsFunc(r.Dropped, func(d Dropped) bool { return strings.Contains(d.Text, text) }) {
			t.Errorf("%q is not listed as removed: %+v", text, r.Dropped)
		}
	}
	if want := (Totals{ID: "r", Agents: 5, Steps: 10, ToolCalls: 5, TokensIn: 500, TokensOut: 50, WallMS: 3000}); r.Run != want {
		t.Errorf("totals %+v, want %+v", r.Run, want)
	}
}

func TestAssembleWithoutWriter(t *testing.T) {
	t.Parallel()
	src := shelfOf(t)
	tests := []struct {
		name, written, answer, why string
	}{
		{"nothing written", "", "- " + startIs[:len(startIs)-1] + " [1].\n- " + stopIs[:len(stopIs)-1] + " [2].", "wrote nothing"},
		{"nothing holds", "All is well. The pump is red [7].", "- " + startIs[:len(startIs)-1] + " [1].\n- " + stopIs[:len(stopIs)-1] + " [2].", "nothing that the writer wrote"},
		{"judged not to answer", "Not found in the sources.", NotFound, "judged"},
	}
	for _, test := range tests {
		tree := pumpTree(t, src)
		tree.Records[0].Answer = test.written
		r, err := Assemble(context.Background(), src, tree)
		if err != nil {
			t.Fatal(err)
		}
		if r.Answer != test.answer || !strings.Contains(r.Gaps[len(r.Gaps)-1].Why, test.why) {
			t.Errorf("%s: answer %q, gaps %+v", test.name, r.Answer, r.Gaps)
		}
	}
}

func TestAssembleNothing(t *testing.T) {
	t.Parallel()
	r, err := Assemble(context.Background(), shelfOf(t), Tree{Records: []Record{record("r", Lead, "Who wrote the anthem?")}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Answer != NotFound || len(r.Gaps) != 1 {
		t.Errorf("got %+v", r)
	}
	text, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var shape map[string]json.RawMessage
	if err := json.Unmarshal(text, &shape); err != nil {
		t.Fatal(err)
	}
	if string(shape["findings"]) != "[]" || string(shape["sources"]) != "[]" {
		t.Errorf("empty lists must be arrays: %s", text)
	}
}

// The numbers in an answer are those that the writer was shown, even where a finding has gone since.
func TestRenumber(t *testing.T) {
	t.Parallel()
	src := shelfOf(t)
	tree := pumpTree(t, src)
	gone := "The motor is slowed before the valve closes, so that no wave runs back into the main."
	shown, err := json.Marshal(decouple.FindingsResult{Findings: []decouple.Finding{
		{Number: 1, Claim: startIs, Run: "r.1"}, {Number: 2, Claim: gone, Run: "r.2"}, {Number: 3, Claim: stopIs, Run: "r.2"}}})
	if err != nil {
		t.Fatal(err)
	}
	tree.Records[0].Calls = []Call{{Name: decouple.ToolFindingsList, Outcome: &decouple.Outcome{Text: string(shown)}}}
	tree.Records[0].Answer = "A stop does not empty the tank [3]. The motor is slowed before the valve closes [2]."
	r, err := Assemble(context.Background(), src, tree)
	if err != nil {
		t.Fatal(err)
	}
	if want := "A stop does not empty the tank [2]."; r.Answer != want {
		t.Errorf("answer %q, want %q", r.Answer, want)
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	src := shelfOf(t)
	again := "The pump starts when the valve is open."
	tree := Tree{Records: []Record{
		record("r", Lead, rootQ),
		record("r.1", Researcher, startQ,
			handIn(t, src, startQ, startIs, from("pump.md", strings.Replace(startIs, "valve", "gate", 1))),
			handIn(t, src, startQ, startIs, from("pump.md", startIs))),
		record("r.2", Researcher, "When may the pump be started?", handIn(t, src, startQ, again, from("pump.md", startIs))),
	}}
	h, err := gather(context.Background(), src, tree)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.findings) != 1 || len(h.dropped) != 0 {
		t.Errorf("a mended and a repeated finding: got %+v", h)
	}
	if gaps := gapsIn(tree, h); len(gaps) != 0 {
		t.Errorf("gaps %+v, want none: the second researcher found what the first one had", gaps)
	}
}

// What a run was told was refused stays so, whatever a later version of the check would say; and a part for which no agent could be sent is a gap.
func TestRefused(t *testing.T) {
	t.Parallel()
	src := shelfOf(t)
	refused := handIn(t, src, startQ, startIs, from("pump.md", startIs))
	refused.Outcome = &decouple.Outcome{Text: `{"accepted":0,"refused":[{"text":"the text","why":"the reason"}]}`, Error: true}
	spawn := Call{Name: decouple.ToolSpawn, Args: json.RawMessage(`{"agent":"researcher","task":{"question":"` + stopQ + `"}}`),
		Outcome: &decouple.Outcome{Text: "at most 8 children", Error: true}}
	r, err := Assemble(context.Background(), src, Tree{Records: []Record{record("r", Lead, startQ, refused, spawn)}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) != 0 {
		t.Errorf("findings %+v, want none", r.Findings)
	}
	if diff := cmp.Diff([]Dropped{{"the text", "the reason", "r"}}, r.Dropped); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
	want := []Gap{{startQ, "what was handed in did not pass the citation check"}, {stopQ, "no agent was sent: at most 8 children"}}
	if diff := cmp.Diff(want, r.Gaps); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	src := shelfOf(t)
	r, err := Assemble(context.Background(), src, pumpTree(t, src))
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.Findings {
		r.Findings[i].Quotes[0].Path = "/docs/manual/pump.md"
	}
	r.Sources[0].Path = "/docs/manual/pump.md"
	text := r.Markdown("/docs")
	last := 0
	for _, part := range []string{"# " + rootQ + "\n\nThe pump starts", "## Findings", "**[1]** ", "> " + startIs, "(1.1) The pump, manual/pump.md:5", "## Sources", "manual/pump.md, lines 5, 23",
		"## Gaps", stopQ, "## Removed", "9 bar", "## Agents", "| r.1 | researcher |", "| r.2 | researcher | " + stopQ + " | failed | 2 |", "| **sum** | 5 agents |"} {
		i := strings.Index(text[last:], part)
		if i < 0 {
			t.Fatalf("%q is missing, or comes too early, in:\n%s", part, text)
		}
		last += i
	}
}
