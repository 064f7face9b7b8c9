package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Standing says what an unfinished run waits for and since when.
type Standing struct {
	Run    decouple.RunID     `json:"run"`
	Agent  decouple.AgentName `json:"agent"`
	Label  string             `json:"label,omitempty"`
	Status decouple.RunStatus `json:"status"`
	Wait   decouple.WaitKind  `json:"wait,omitempty"`
	For    string             `json:"for"` // in words: which child, call, person, time, node
	Since  time.Time          `json:"since"`
	Until  time.Time          `json:"until,omitzero"`  // when it goes on by itself at the latest
	Stuck  bool               `json:"stuck,omitempty"` // nobody and nothing will ever wake it
	Remedy string             `json:"remedy,omitempty"`
}

// Explain says what each unfinished run of a tree waits for, parents before children. What nobody and nothing will ever wake is stuck.
func Explain(ctx context.Context, log journal.Reader, tenant decouple.TenantID, root decouple.RunID) ([]Standing, error) {
	rows, err := under(ctx, log, tenant, root)
	if err != nil {
		return nil, err
	}
	nodes, err := log.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	return standings(rows, nodes, time.Now()), nil
}

// Stuck lists the runs of all tenants that nobody and nothing will ever wake, those that wait for somebody to resume them among them.
func Stuck(ctx context.Context, log journal.Reader) ([]Standing, error) {
	rows, err := log.Runs(ctx, journal.RunFilter{Status: unended})
	if err != nil {
		return nil, err
	}
	nodes, err := log.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(standings(rows, nodes, time.Now()), func(s Standing) bool { return !s.Stuck }), nil
}

// standings says of each run among rows that has not ended what it waits for.
func standings(rows []journal.RunRow, nodes []journal.Node, now time.Time) []Standing {
	x := explainer{open: map[decouple.RunID]bool{}, nodes: nodes, now: now}
	for _, r := range rows {
		if r.Status != decouple.RunEnded {
			x.open[r.ID.Parent()] = true
		}
	}
	var out []Standing
	for _, r := range rows {
		if r.Status == decouple.RunEnded {
			continue
		}
		s := Standing{Run: r.ID, Agent: r.Agent, Label: r.Label, Status: r.Status, Wait: r.Wait.Kind, For: r.Wait.For, Since: r.Updated, Until: r.Wake}
		switch r.Status {
		case decouple.RunReady:
			x.ready(&s, r)
		case decouple.RunRunning:
			x.running(&s, r)
		case decouple.RunParked:
			x.parked(&s, r)
		}
		out = append(out, s)
	}
	return out
}

// explainer knows what a standing depends on.
type explainer struct {
	open  map[decouple.RunID]bool // has a child that has not ended
	nodes []journal.Node
	now   time.Time
}

// ready is a run that waits for a worker.
func (x explainer) ready(s *Standing, r journal.RunRow) {
	s.Wait, s.For = decouple.WaitCapacity, "a worker"
	fits, alive := false, false
	for _, n := range x.nodes {
		alive = alive || n.Alive
		fits = fits || n.Alive && r.Site.Allows(n.Site)
	}
	switch {
	case fits:
	case alive:
		s.Stuck, s.For = true, "a node at the site that it may run at"
		s.Remedy = fmt.Sprintf("start a node with cloud %q, region %q and labels %v", r.Site.Cloud, r.Site.Region, r.Site.Labels)
	default:
		s.Stuck, s.For, s.Remedy = true, "a node: none is alive", "start one with `decouple serve`, or go on with `decouple runs resume "+string(r.Root)+"`"
	}
}

// running is a run that a node has; one whose node is gone waits for the end of its lease, or for somebody to resume it.
func (x explainer) running(s *Standing, r journal.RunRow) {
	s.For = "node " + string(r.Node) + ", which works on it"
	for _, n := range x.nodes {
		if n.Epoch != r.Epoch {
			continue
		}
		if n.Alive {
			return
		}
		s.Until = n.Until
	}
	s.Wait, s.For = decouple.WaitLease, "the end of the lease of node "+string(r.Node)+", which is gone"
	for _, n := range x.nodes {
		if n.Alive && n.Epoch != r.Epoch && !n.Until.IsZero() {
			return // another node of the fleet takes it up
		}
	}
	s.Stuck, s.Remedy = true, "go on with `decouple runs resume "+string(r.Root)+"`, or start a node"
}

// parked is a run that waits for something that the journal names.
func (x explainer) parked(s *Standing, r journal.RunRow) {
	timer := !r.Wake.IsZero()
	switch r.Wait.Kind {
	case decouple.WaitInterrupted:
		s.For, s.Stuck = "somebody who resumes it", true
		s.Remedy = "go on with `decouple runs resume " + string(r.Root) + "`"
	case decouple.WaitPerson:
		s.For = "a person: " + r.Wait.For
	case decouple.WaitContract:
		if s.For = r.Wait.For; strings.HasPrefix(s.For, signer) {
			s.Remedy = "see it with `decouple approvals ls`, and decide with `decouple approvals approve` or `deny`; `decouple contracts sign-off` does it for everybody"
		}
	case decouple.WaitTool:
		if s.For = r.Wait.For; !timer {
			s.Remedy = "send it with `decouple runs signal " + string(r.ID) + " NAME`"
		}
	case decouple.WaitChild:
		s.For = "its child " + r.Wait.For
		if timer || r.Inbox >= r.Until || x.open[r.ID] {
			return
		}
		s.Stuck, s.Remedy = true, "all its children have ended and no message is left: cancel it, or fork it from its last step"
	case decouple.WaitTimer:
		if !timer {
			s.Stuck, s.Remedy = true, "it waits for a time and none is set: cancel it, or fork it from its last step"
		}
	default:
		if s.For = r.Wait.For; !timer {
			s.Stuck, s.Remedy = true, "nothing is known that wakes it: cancel it, or fork it from its last step"
		}
	}
}
