package research

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/prose"
)

// Report is what a research run gives, in the shape of --json.
type Report struct {
	Question string         `json:"question"`
	Answer   string         `json:"answer"` // Markdown; [n] is the nth finding
	Findings []Finding      `json:"findings"`
	Gaps     []Gap          `json:"gaps"`
	Sources  []Source       `json:"sources"`
	Run      Totals         `json:"run"`
	Dropped  []Dropped      `json:"dropped,omitempty"` // removed by the citation check
	Agents   []Agent        `json:"-"`
	Cause    decouple.Cause `json:"-"` // of the root run; its kind decides the exit code
}

// Finding is a claim with the quotations that carry it.
type Finding struct {
	Claim  string  `json:"claim"`
	Quotes []Quote `json:"quotes"`
}

// Quote is a quotation that stands, letter for letter, in its source.
type Quote struct {
	Text   string `json:"text"`
	Source string `json:"source"` // its title
	Path   string `json:"path"`
	SHA256 string `json:"sha256"` // of the file's bytes
	Start  int    `json:"start"`  // bytes in the quotable text
	End    int    `json:"end"`
	Line   int    `json:"line"` // in the quotable text, from 1
}

// Source is a document that is quoted.
type Source struct {
	Title  string `json:"title"`
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// Totals are the figures of the whole tree.
type Totals struct {
	ID        decouple.RunID `json:"id"`
	Agents    int            `json:"agents"` // runs, the root and the writer included
	Steps     int            `json:"steps"`
	ToolCalls int            `json:"tool_calls"` // spawns are not counted
	TokensIn  int64          `json:"tokens_in"`
	TokensOut int64          `json:"tokens_out"`
	USD       float64        `json:"usd"`
	WallMS    int64          `json:"wall_ms"`
}

// Agent is a row of the report's table.
type Agent struct {
	Run      decouple.RunID
	Name     decouple.AgentName
	Question string
	End      string // cause, or status where it has not ended
	Steps    int
	Usage    decouple.Usage
	Found    int // findings of its own that are in the report
}

// Assemble makes the report of a tree: it checks every quotation, claim and sentence again, and removes and lists what does not hold.
func Assemble(ctx context.Context, src Sources, t Tree) (Report, error) {
	if len(t.Records) == 0 {
		return Report{}, decouple.Errorf(decouple.NotFound, "assemble a report: the tree has no runs; give the id of a research run, as runs ls lists them")
	}
	t.Order()
	h, err := gather(ctx, src, t)
	if err != nil {
		return Report{}, fmt.Errorf("check the findings of run %s: %w", t.root().Run.ID, err)
	}
	r := Report{Question: t.root().Task.Question, Findings: []Finding{}, Sources: []Source{}, Cause: t.root().Cause, Run: totals(t), Agents: agentsOf(t, h)}
	r.Gaps = gapsIn(t, h)
	answer, dropped, gap := answerOf(t, h)
	r.Answer, r.Dropped = answer, append(h.dropped, dropped...)
	if gap != "" {
		r.Gaps = append(r.Gaps, Gap{r.Question, gap})
	}
	for _, f := range h.findings {
		r.add(f)
	}
	return r, nil
}

// answerOf is the written answer as far as it holds, or, if nothing of it does, one put together from the findings; gap says why that was done.
func answerOf(t Tree, h harvest) (answer string, dropped []Dropped, gap string) {
	if len(h.findings) == 0 {
		return NotFound, nil, ""
	}
	question := t.root().Task.Question
	w, wrote := t.writer()
	switch {
	case !wrote:
		return assembled(h.findings, question), nil, "no writer ran; the answer is put together from the findings"
	case strings.TrimSpace(w.Answer) == "":
		return assembled(h.findings, question), nil, "the writer wrote nothing (" + end(w) + "); the answer is put together from the findings"
	case strings.EqualFold(strings.Trim(w.Answer, " .*\n"), strings.Trim(NotFound, ".")):
		return NotFound, nil, "the writer judged that the findings do not answer it"
	}
	numbered, numbers := asWritten(w, h.findings)
	c := check(w.Answer, question, numbered)
	for i := range c.dropped {
		c.dropped[i].Run = w.Run.ID
	}
	if !c.says() {
		return assembled(h.findings, question), c.dropped, "nothing that the writer wrote passed the citation check; the answer is put together from the findings"
	}
	return c.render(numbers), c.dropped, ""
}

// asWritten gives the findings by the numbers that the writer was shown, and what those numbers are in the report.
func asWritten(w Record, findings []decouple.Finding) (numbered map[int]decouple.Finding, numbers map[int]int) {
	numbered, numbers = map[int]decouple.Finding{}, map[int]int{}
	shown, ok := listed(w)
	for _, f := range findings {
		n := f.Number
		if ok {
			i := slices.IndexFunc(shown, func(s decouple.Finding) bool { return s.Run == f.Run && s.Claim == f.Claim })
			if i < 0 {
				continue // the writer did not know it
			}
			n = shown[i].Number
		}
		numbered[n], numbers[n] = f, f.Number
	}
	return numbered, numbers
}

// listed is what findings.list last showed a run.
func listed(w Record) ([]decouple.Finding, bool) {
	for _, c := range slices.Backward(w.Calls) {
		var shown decouple.FindingsResult
		if c.Name == decouple.ToolFindingsList && c.Outcome != nil && !c.Outcome.Error && json.Unmarshal([]byte(c.Outcome.Text), &shown) == nil {
			return shown.Findings, true
		}
	}
	return nil, false
}

// bestCount is how many findings an answer is put together from.
const bestCount = 6

// assembled is an answer of the best findings' own claims: those that have most of the question's terms, from as many runs as there are.
func assembled(findings []decouple.Finding, question string) string {
	score := func(f decouple.Finding) int {
		there := f.Claim
		for _, q := range f.Quotes {
			there += "\n" + q.Text
		}
		return common(prose.Set(question), prose.Set(there))
	}
	ranked := slices.Clone(findings)
	slices.SortStableFunc(ranked, func(a, b decouple.Finding) int { return cmp.Compare(score(b), score(a)) })
	var best, others []decouple.Finding
	runs := map[decouple.RunID]bool{}
	for _, f := range ranked {
		if runs[f.Run] {
			others = append(others, f)
			continue
		}
		runs[f.Run] = true
		best = append(best, f)
	}
	best = append(best, others...)
	best = best[:min(len(best), bestCount)]
	slices.SortFunc(best, func(a, b decouple.Finding) int { return cmp.Compare(a.Number, b.Number) })
	lines := make([]string, len(best))
	for i, f := range best {
		lines[i] = withMarks(f.Claim, fmt.Sprintf("[%d]", f.Number))
		if len(best) > 1 {
			lines[i] = "- " + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}

// add puts a finding and its sources in the report.
func (r *Report) add(f decouple.Finding) {
	out := Finding{Claim: f.Claim}
	for _, q := range f.Quotes {
		out.Quotes = append(out.Quotes, Quote{q.Text, q.Source, q.Path, q.SHA256, q.Start, q.End, q.Line})
		if s := (Source{q.Source, q.Path, q.SHA256}); !slices.Contains(r.Sources, s) {
			r.Sources = append(r.Sources, s)
		}
	}
	r.Findings = append(r.Findings, out)
}

// totals sums up a tree.
func totals(t Tree) Totals {
	root := t.root()
	sum := Totals{ID: root.Run.ID, Agents: len(t.Records)}
	var usage decouple.Usage
	last := root.Updated
	for _, r := range t.Records {
		sum.Steps += r.Steps
		usage = usage.Add(r.Usage)
		for _, c := range r.Calls {
			if c.Name != decouple.ToolSpawn {
				sum.ToolCalls++
			}
		}
		if r.Updated.After(last) {
			last = r.Updated
		}
	}
	sum.TokensIn, sum.TokensOut, sum.USD = usage.TokensIn, usage.TokensOut, usage.Cost.Dollars()
	sum.WallMS = max(0, last.Sub(root.Created).Milliseconds())
	return sum
}

// agentsOf are the rows of the table of agents.
func agentsOf(t Tree, h harvest) []Agent {
	rows := make([]Agent, 0, len(t.Records))
	for _, r := range t.Records {
		row := Agent{Run: r.Run.ID, Name: r.Run.Agent, Question: r.Task.Question, End: end(r), Steps: r.Steps, Usage: r.Usage}
		for _, f := range h.findings {
			if f.Run == r.Run.ID {
				row.Found++
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// end is a run's cause in one word or, if it has not ended, its status.
func end(r Record) string {
	if r.Status == decouple.RunEnded {
		return string(r.Cause.Kind)
	}
	return string(r.Status)
}

// JSON is the report as --json prints it: indented, with a line's end.
func (r Report) JSON() ([]byte, error) { return encode(r, "  ") }

// encode writes JSON as people and models read it, without escaping < > and &.
func encode(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return nil, decouple.Errorf(decouple.Internal, "write JSON: %w", err)
	}
	return b.Bytes(), nil
}
