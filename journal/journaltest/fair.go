package journaltest

import (
	"context"
	"fmt"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

func fairCases() []testCase {
	return []testCase{
		{"a small tree beside a large one, and another tenant", testFairTrees},
		{"only of the tenant", testFairTenant},
		{"the node is alive and says what it has", testFairNode},
	}
}

// testFairTrees has hundreds of runs of one tree ready: a run of one and another tenant have their turn within a few claims.
func testFairTrees(f *fixture) {
	var m journal.Mutation
	for i := range 300 {
		m.Create = append(m.Create, newRun(decouple.RunID(fmt.Sprintf("big.%d", i+1))))
	}
	f.commit(m)
	for range 5 {
		f.next(journal.Want{})
	}
	theirs := newRun("theirs")
	theirs.Run.Tenant = "acme"
	f.commit(journal.Mutation{Create: []journal.NewRun{newRun("small"), theirs}})
	seen := map[decouple.RunID]bool{}
	for range 6 {
		seen[f.next(journal.Want{}).Run.ID] = true
	}
	if !seen["small"] || !seen["theirs"] {
		f.t.Errorf("after six claims the small run and the other tenant's had not both had a turn: %v", seen)
	}
}

func testFairTenant(f *fixture) {
	theirs := newRun("theirs")
	theirs.Run.Tenant = "acme"
	f.commit(journal.Mutation{Create: []journal.NewRun{newRun("ours"), theirs}})
	if c := f.next(journal.Want{Tenant: "acme"}); c.Run.ID != "theirs" {
		f.t.Errorf("of the tenant acme %s was claimed", c.Run.ID)
	}
	if c := f.next(journal.Want{}); c.Run.ID != "ours" {
		f.t.Errorf("%s was claimed", c.Run.ID)
	}
}

func testFairNode(f *fixture) {
	f.create("a", "b")
	f.next(journal.Want{})
	if _, err := f.Runs(f.ctx(), journal.RunFilter{Tenant: tenant}); err != nil { // claims are in the view from here on
		f.t.Fatal(err)
	}
	nodes, err := f.Nodes(f.ctx())
	if err != nil || len(nodes) == 0 {
		f.t.Fatalf("the nodes are %v, %v", nodes, err)
	}
	for _, n := range nodes {
		if n.Epoch == f.Epoch() && n.Alive && n.ID != "" && n.Running == 1 {
			return
		}
	}
	f.t.Errorf("no node of lease %d is alive with one run: %+v", f.Epoch(), nodes)
}

// next claims whatever goes first.
func (f *fixture) next(w journal.Want) journal.Claim {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.ctx(), patience)
	defer cancel()
	c, err := f.Claim(ctx, w)
	if err != nil {
		f.t.Fatalf("Claim(%+v): %v", w, err)
	}
	f.held[c.Run.ID] = c.Epoch
	return c
}
