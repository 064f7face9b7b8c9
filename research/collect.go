package research

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
)

// Collector turns what the journal holds of a run tree into findings and reports. It answers [Tasks] and [Found]. Its methods may be called from many goroutines.
type Collector struct {
	log   journal.Reader
	src   Sources
	tasks sync.Map // decouple.RunID to decouple.Task, which never changes
}

// NewCollector makes a collector over a journal and the notes that its runs read.
func NewCollector(log journal.Reader, src Sources) *Collector { return &Collector{log: log, src: src} }

// Report is the report of the tree of a root run, ended or not. An unknown run is NotFound.
func (c *Collector) Report(ctx context.Context, tenant decouple.TenantID, root decouple.RunID) (Report, error) {
	t, err := c.tree(ctx, tenant, root)
	if err != nil {
		return Report{}, err
	}
	return Assemble(ctx, c.src, t)
}

// Found is everything that the tree of a run has found up to now, numbered in spawn order.
func (c *Collector) Found(ctx context.Context, run decouple.Run) (decouple.FindingsResult, error) {
	t, err := c.tree(ctx, run.Tenant, run.Root)
	if err != nil {
		return decouple.FindingsResult{}, err
	}
	h, err := gather(ctx, c.src, t)
	if err != nil {
		return decouple.FindingsResult{}, fmt.Errorf("check the findings of run %s: %w", run.Root, err)
	}
	if h.findings == nil {
		h.findings = []decouple.Finding{}
	}
	return decouple.FindingsResult{Question: t.root().Task.Question, Findings: h.findings}, nil
}

// Task is what a run was asked.
func (c *Collector) Task(ctx context.Context, run decouple.Run) (decouple.Task, error) {
	key := string(run.Tenant) + "/" + string(run.ID)
	if t, ok := c.tasks.Load(key); ok {
		return t.(decouple.Task), nil
	}
	s, err := engine.Load(ctx, c.log, run.Tenant, run.ID)
	if err != nil {
		return decouple.Task{}, fmt.Errorf("read what run %s was asked: %w", run.ID, err)
	}
	t := taskIn(s)
	c.tasks.Store(key, t)
	return t, nil
}

// tree reads the whole tree of a root run.
func (c *Collector) tree(ctx context.Context, tenant decouple.TenantID, root decouple.RunID) (Tree, error) {
	rows, err := c.log.Runs(ctx, journal.RunFilter{Tenant: tenant, Root: root})
	if err != nil {
		return Tree{}, fmt.Errorf("list the runs of %s: %w", root, err)
	}
	var t Tree
	writer := decouple.AgentName("")
	for _, row := range rows {
		s, err := engine.Load(ctx, c.log, tenant, row.ID)
		if err != nil {
			return Tree{}, fmt.Errorf("read run %s: %w", row.ID, err)
		}
		if row.ID == root {
			writer = s.Agent.Writer
		}
		t.Records = append(t.Records, recordOf(row, s))
	}
	if len(rows) == 0 {
		return Tree{}, decouple.Errorf(decouple.NotFound, "there is no run %s; `decouple runs ls` lists them", root)
	}
	t.Order()
	for _, r := range t.Records {
		if writer != "" && r.Run.Agent == writer && r.Run.Parent == root {
			t.Writer = r.Run.ID // the last one is the engine's own
		}
	}
	return t, nil
}

// recordOf joins a row of the view and the state of a run.
func recordOf(row journal.RunRow, s engine.State) Record {
	r := Record{Run: row.Run, Task: taskIn(s), Status: row.Status, Wait: row.Wait, Cause: row.Cause, Steps: s.Steps, Usage: s.Usage, Answer: lastWords(s),
		Created: row.Created, Updated: row.Updated}
	// A call that was sent and whose end nobody saw is paid for in full; how many tokens it had is not known.
	if s.Lost.USD > 0 {
		r.Usage = r.Usage.Add(decouple.Usage{Cost: s.Lost.USD, Estimated: true})
	}
	for _, call := range s.Calls {
		r.Calls = append(r.Calls, Call{Name: call.Name, Args: call.Args, Outcome: call.Outcome, Child: call.Child})
	}
	return r
}

// lastWords is what a run itself said last; the answer of a root's state is its writer's.
func lastWords(s engine.State) string {
	for _, m := range slices.Backward(s.Messages) {
		if text := m.Text(); m.Role == decouple.Assistant && text != "" {
			return text
		}
	}
	return ""
}

// taskIn is the first message of a run, which is a task as JSON or else the question itself.
func taskIn(s engine.State) decouple.Task {
	if len(s.Messages) == 0 {
		return decouple.Task{Question: s.Label}
	}
	text := s.Messages[0].Text()
	var t decouple.Task
	if json.Unmarshal([]byte(text), &t) != nil || t.Question == "" {
		t.Question = text
	}
	return t
}
