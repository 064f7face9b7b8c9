package journaltest

import (
	"fmt"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

func createCases() []testCase {
	return []testCase{
		{"a run is kept whole", testRunFields},
		{"a child created twice is Conflict", testChildTwice},
		{"an idempotency key is unique per tenant", testKeyUnique},
		{"a run has its first events", testFirstEvents},
	}
}

func runsCases() []testCase {
	return []testCase{
		{"filters", testFilters},
		{"the view is the same after reopening", testViewReopened},
		{"status, wait, cause and totals", testStatus},
	}
}

// wholeRun has a value in every field.
func wholeRun() decouple.Run {
	return decouple.Run{
		ID: "root.2.1", Tenant: "acme", Parent: "root.2", Root: "root", Agent: "researcher", Version: "aa55", Class: "autonomous-research",
		Labels: []string{"personal", "eu"}, Team: "search", Caller: "k1", Site: decouple.Site{Cloud: "aws", Region: "eu-central-1", Labels: []string{"gpu", "own"}}, Priority: -3,
		Deadline: time.Date(2031, 2, 3, 4, 5, 6, 789000, time.UTC), IdempotencyKey: "key \x00 ü", Subject: "subject-9", Trace: "4bf92f3577b34da6a3ce929d0e0e4736",
		Sources: decouple.Sources{Paths: []string{"docs/a b", "ü"}, AsOf: 42},
	}
}

func testRunFields(f *fixture) {
	root, mid, run := newRun("root"), newRun("root.2"), wholeRun()
	root.Run.Tenant, mid.Run.Tenant = "acme", "acme"
	f.commit(journal.Mutation{Create: []journal.NewRun{root, mid, {Run: run, Events: numbered(3), Label: "what, \"really\"?\n"}}})
	want := journal.RunRow{Run: run, Label: "what, \"really\"?\n", Status: decouple.RunReady, Seq: 3}
	for range 2 {
		got := f.row(run.ID)
		if got.Created.IsZero() || got.Created.After(got.Updated) || time.Since(got.Created).Abs() > time.Hour {
			f.t.Errorf("created %v, updated %v", got.Created, got.Updated)
		}
		want.Created, want.Updated, want.Row = got.Created, got.Updated, max(got.Row, 1)
		equal(f, "row", got, want)
		f.reopen()
	}
	for _, id := range []decouple.RunID{"root", "root.2"} {
		f.claim("root", id)
	}
	f.idle("root") // the last one may execute only at a site that is not this one
	free := run
	free.ID, free.Site, free.IdempotencyKey = "root.2.2", decouple.Site{}, ""
	f.commit(journal.Mutation{Create: []journal.NewRun{{Run: free}}})
	equal(f, "run of the claim", f.claim("root", free.ID).Run, free)
}

func testChildTwice(f *fixture) {
	f.start("r")
	m := f.on("r")
	m.Events, m.Create = numbered(1), []journal.NewRun{newRun("r.1")}
	f.commit(m)
	again := f.on("r")
	again.Events, again.Create = numbered(1), []journal.NewRun{newRun("r.1")}
	f.refuse(decouple.Conflict, again)
	again.Create = []journal.NewRun{newRun("r.2"), newRun("r.1"), newRun("r.3")}
	f.refuse(decouple.Conflict, again)
	again.Create = []journal.NewRun{newRun("r.2"), newRun("r.2")}
	f.refuse(decouple.Conflict, again)
	f.reopen()
	f.refuse(decouple.Conflict, journal.Mutation{Create: []journal.NewRun{newRun("r.1")}})
	f.refuse(decouple.Conflict, journal.Mutation{Create: []journal.NewRun{newRun("r")}})
}

func testKeyUnique(f *fixture) {
	keyed := func(id decouple.RunID, t decouple.TenantID, key string) journal.NewRun {
		n := newRun(id)
		n.Run.Tenant, n.Run.IdempotencyKey = t, key
		return n
	}
	f.commit(journal.Mutation{Create: []journal.NewRun{keyed("a", tenant, "k")}})
	f.refuse(decouple.Conflict, journal.Mutation{Create: []journal.NewRun{keyed("b", tenant, "k")}})
	f.refuse(decouple.Conflict, journal.Mutation{Create: []journal.NewRun{keyed("c", tenant, "l"), keyed("d", tenant, "l")}})
	f.commit(journal.Mutation{Create: []journal.NewRun{keyed("e", "acme", "k")}})
	f.commit(journal.Mutation{Create: []journal.NewRun{keyed("f", tenant, "K"), keyed("g", tenant, "k ")}})
	f.commit(journal.Mutation{Create: []journal.NewRun{keyed("h", tenant, ""), keyed("i", tenant, "")}})
	f.claim("a", "a")
	f.end("a")
	f.reopen()
	f.refuse(decouple.Conflict, journal.Mutation{Create: []journal.NewRun{keyed("j", tenant, "k")}})
	for t, id := range map[decouple.TenantID]decouple.RunID{tenant: "a", "acme": "e"} {
		rows := f.runs(journal.RunFilter{Tenant: t, Key: "k"})
		if len(rows) != 1 || rows[0].ID != id {
			f.t.Fatalf("Runs of %s's key = %v, want run %s", t, ids(rows), id)
		}
	}
}

func testFirstEvents(f *fixture) {
	none := newRun("none")
	none.Events = nil
	many := newRun("many")
	many.Events = numbered(5)
	r := f.commit(journal.Mutation{ID: "c", Create: []journal.NewRun{none, many}})
	equal(f, "position of the receipt", r.Position, 5)
	equal(f, "sequence of a run without events", f.row("none").Seq, 0)
	equal(f, "sequence of a run with five", f.row("many").Seq, 5)
	for i, e := range f.read(decouple.RunStream(tenant, "many")) {
		equal(f, "sequence", e.Seq, decouple.Seq(i+1))
		equal(f, "commit", e.Commit, "c")
		equal(f, "payload", string(e.Payload), fmt.Sprintf(`{"n":%d}`, i+1))
	}
	for _, id := range []decouple.RunID{"none", "many"} {
		m := f.on(id)
		m.Events = numbered(1)
		f.commit(m)
		equal(f, "sequence after an append", f.row(id).Seq, m.Expect+1)
	}
}

func ids(rows []journal.RunRow) []decouple.RunID {
	var out []decouple.RunID
	for _, r := range rows {
		out = append(out, r.ID)
	}
	return out
}

func testFilters(f *fixture) {
	theirs := newRun("z")
	theirs.Run.Tenant = "acme"
	f.create("a", "a.1", "b", "a.2", "ab")
	f.commit(journal.Mutation{Create: []journal.NewRun{theirs}})
	f.create("a.1.1", "b.1")
	f.claim("b", "b")
	f.step("b")
	f.claim("ab", "ab")
	f.end("ab")
	for range 2 {
		for _, c := range []struct {
			filter journal.RunFilter
			want   []decouple.RunID
		}{
			{journal.RunFilter{}, []decouple.RunID{"a", "a.1", "b", "a.2", "ab", "z", "a.1.1", "b.1"}},
			{journal.RunFilter{Newest: true}, []decouple.RunID{"b.1", "a.1.1", "z", "ab", "a.2", "b", "a.1", "a"}},
			{journal.RunFilter{Limit: 3}, []decouple.RunID{"a", "a.1", "b"}},
			{journal.RunFilter{Limit: 2, Newest: true}, []decouple.RunID{"b.1", "a.1.1"}},
			{journal.RunFilter{Tenant: "acme"}, []decouple.RunID{"z"}},
			{journal.RunFilter{Tenant: tenant, Roots: true}, []decouple.RunID{"a", "b", "ab"}},
			{journal.RunFilter{Root: "a"}, []decouple.RunID{"a", "a.1", "a.2", "a.1.1"}},
			{journal.RunFilter{Root: "a", Roots: true}, []decouple.RunID{"a"}},
			{journal.RunFilter{Root: "a", Tenant: "acme"}, nil},
			{journal.RunFilter{ID: "a.1"}, []decouple.RunID{"a.1"}},
			{journal.RunFilter{ID: "a.1", Tenant: "acme"}, nil},
			{journal.RunFilter{ID: "a.9"}, nil},
			{journal.RunFilter{Status: []decouple.RunStatus{decouple.RunRunning}}, []decouple.RunID{"b"}},
			{journal.RunFilter{Status: []decouple.RunStatus{decouple.RunRunning, decouple.RunEnded}}, []decouple.RunID{"b", "ab"}},
			{journal.RunFilter{Status: []decouple.RunStatus{decouple.RunParked}}, nil},
			{journal.RunFilter{Status: []decouple.RunStatus{decouple.RunReady}, Root: "b"}, []decouple.RunID{"b.1"}},
			{journal.RunFilter{Key: "nothing"}, nil},
		} {
			equal(f, fmt.Sprintf("Runs(%+v)", c.filter), ids(f.runs(c.filter)), c.want)
		}
		f.reopen()
	}
}

func testViewReopened(f *fixture) {
	f.commit(everything(f))
	f.create("ended", "waiting")
	f.claim("ended", "ended")
	f.end("ended")
	later := newRun("later")
	later.Wake = time.Now().Add(time.Hour)
	f.commit(journal.Mutation{Create: []journal.NewRun{later}})
	f.put(journal.Put{To: "ended", Kind: "late", From: "x", Body: []byte(`{}`)})
	before := f.state()
	for range 2 {
		f.reopen()
		equal(f, "the world after reopening", f.state(), before)
	}
}

func testStatus(f *fixture) {
	f.start("r")
	step := func(s journal.StatusChange) {
		f.t.Helper()
		before := f.row("r")
		m := f.on("r")
		m.Events, m.Status = numbered(1), &s
		f.commit(m)
		row := f.row("r")
		equal(f, "status", row.Status, s.Status)
		equal(f, "wait", row.Wait, s.Wait)
		equal(f, "cause", row.Cause, s.Cause)
		equal(f, "steps", row.Steps, s.Steps)
		equal(f, "usage", row.Usage, s.Usage)
		equal(f, "run", row.Run, before.Run)
		equal(f, "creation", row.Created, before.Created)
		if row.Updated.Before(before.Updated) {
			f.t.Errorf("the row went back in time from %v to %v", before.Updated, row.Updated)
		}
	}
	step(journal.StatusChange{Status: decouple.RunRunning, Steps: 1, Usage: decouple.Usage{TokensIn: 1, TokensOut: 2, Cost: 3}})
	for _, w := range []decouple.Wait{
		{Kind: decouple.WaitPerson, For: "approval of http.request"}, {Kind: decouple.WaitTool, For: "1/2"}, {Kind: decouple.WaitCapacity}, {Kind: decouple.WaitInterrupted},
	} {
		step(journal.StatusChange{Status: decouple.RunParked, Wait: w, Steps: 2, Usage: decouple.Usage{TokensIn: 4, Estimated: true}})
		step(journal.StatusChange{Status: decouple.RunReady, Steps: 3})
		f.claim("r", "r")
	}
	cause := decouple.Cause{Kind: decouple.CauseFailed, Why: "the model\nanswered \"nothing\"", Err: decouple.Unavailable}
	step(journal.StatusChange{Status: decouple.RunEnded, Cause: cause, Steps: 4, Usage: decouple.Usage{TokensIn: 1 << 40, TokensOut: 1 << 41, Cost: 1 << 60, Estimated: true}})
	f.idle("r")
}
