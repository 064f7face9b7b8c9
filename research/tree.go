package research

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/prose"
)

// Tree is a run tree as the report needs it: its root first, the others in spawn order, each before those that it spawned.
type Tree struct {
	Records []Record
	Writer  decouple.RunID // the run that wrote the answer, empty if none did
}

// Record is what became of one run.
type Record struct {
	Run     decouple.Run
	Task    decouple.Task
	Status  decouple.RunStatus
	Wait    decouple.Wait
	Cause   decouple.Cause
	Steps   int
	Usage   decouple.Usage
	Calls   []Call
	Answer  string // its last message
	Created time.Time
	Updated time.Time
}

// Call is a tool call of a run.
type Call struct {
	Name    string
	Args    json.RawMessage
	Outcome *decouple.Outcome // nil if none is known
	Child   decouple.RunID    // that it spawned, if it did
}

// Order sorts the records: by their runs' path, so that a parent comes before its children and these come as they were spawned.
func (t Tree) Order() {
	slices.SortStableFunc(t.Records, func(a, b Record) int { return slices.Compare(ordinals(a.Run.ID), ordinals(b.Run.ID)) })
}

// ordinals are the numbers in a run's id, which say where it is among its siblings.
func ordinals(id decouple.RunID) []int {
	parts := strings.Split(string(id), ".")
	path := make([]int, 0, len(parts)-1)
	for _, p := range parts[1:] {
		n, err := strconv.Atoi(p)
		if err != nil {
			n = 1 << 30
		}
		path = append(path, n)
	}
	return path
}

// root is the first record; the zero one if there is none.
func (t Tree) root() Record {
	if len(t.Records) == 0 {
		return Record{}
	}
	return t.Records[0]
}

// writer is the record of the run that wrote the answer.
func (t Tree) writer() (Record, bool) {
	i := slices.IndexFunc(t.Records, func(r Record) bool { return t.Writer != "" && r.Run.ID == t.Writer })
	if i < 0 {
		return Record{}, false
	}
	return t.Records[i], true
}

// harvest is what a tree has found, and what was handed in and did not hold.
type harvest struct {
	findings []decouple.Finding
	dropped  []Dropped
}

// gather checks again everything that the tree's runs handed in and numbers what holds in spawn order. Two findings that say the same with the same
// quotations are one.
func gather(ctx context.Context, src Sources, t Tree) (harvest, error) {
	var h harvest
	for _, r := range t.Records {
		lib := library{src, r.Run.Sources}
		own := harvest{}
		for _, c := range r.Calls {
			if c.Name != decouple.ToolFindingsAdd || c.Outcome == nil {
				continue
			}
			args, err := parseFinding(c.Args)
			if err != nil {
				own.dropped = append(own.dropped, Dropped{shorten(string(c.Args), 200), "its arguments cannot be read", r.Run.ID})
				continue
			}
			f, result, err := lib.weigh(ctx, r.Task, args)
			if err != nil {
				return h, err
			}
			f.Run = r.Run.ID
			if len(f.Quotes) > 0 && !accepted(c.Outcome) {
				f.Quotes = nil
			}
			own.take(f, result, c.Outcome)
		}
		h.join(own)
	}
	return h, nil
}

// accepted says that the run was told that its finding holds.
func accepted(o *decouple.Outcome) bool {
	var r decouple.FindingResult
	return !o.Error && json.Unmarshal([]byte(o.Text), &r) == nil && r.Accepted > 0
}

// take adds one finding that was handed in, with what was refused of it, now or, if that is all there is, then.
func (h *harvest) take(f decouple.Finding, result decouple.FindingResult, told *decouple.Outcome) {
	refused := result.Refused
	if len(refused) == 0 && len(f.Quotes) == 0 {
		var then decouple.FindingResult
		if json.Unmarshal([]byte(told.Text), &then) != nil || len(then.Refused) == 0 {
			then.Refused = []decouple.Refusal{{Text: f.Claim, Why: shorten(told.Text, 300)}}
		}
		refused = then.Refused
	}
	for _, r := range refused {
		h.dropped = append(h.dropped, Dropped{r.Text, r.Why, f.Run})
	}
	if len(f.Quotes) > 0 {
		h.findings = append(h.findings, f)
	}
}

// join adds what one run has found. What the run mended itself, and what another run has found already, is left out.
func (h *harvest) join(own harvest) {
	for _, d := range own.dropped {
		if !slices.ContainsFunc(own.findings, func(f decouple.Finding) bool { return mends(f, d) }) {
			h.dropped = append(h.dropped, d)
		}
	}
	for _, f := range own.findings {
		if slices.ContainsFunc(h.findings, func(g decouple.Finding) bool { return repeats(f, g) }) {
			continue
		}
		f.Number = len(h.findings) + 1
		h.findings = append(h.findings, f)
	}
}

// mends says that a finding holds, letter for letter, what was first handed in with a slip: nearly all the words of what was refused.
func mends(f decouple.Finding, d Dropped) bool {
	return slices.ContainsFunc(f.Quotes, func(q decouple.Quote) bool { return alike(q.Text, d.Text, 0.9) })
}

// alike says that two texts of about the same length share a part of their words.
func alike(a, b string, share float64) bool {
	n, m := len(prose.Words(a)), len(prose.Words(b))
	return 2*min(n, m) > max(n, m) && prose.Overlap(a, b) > share
}

// repeats says that f claims what g claims, on the same words of the sources.
func repeats(f, g decouple.Finding) bool {
	if prose.Overlap(f.Claim, g.Claim) < 0.6 {
		return false
	}
	for _, q := range f.Quotes {
		if !slices.ContainsFunc(g.Quotes, func(p decouple.Quote) bool {
			within := p.Note == q.Note && p.Start <= q.Start && q.End <= p.End
			return within || alike(p.Text, q.Text, 0.6)
		}) {
			return false
		}
	}
	return true
}
