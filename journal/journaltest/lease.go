package journaltest

import (
	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

func leaseCases() []testCase {
	return []testCase{
		{"epochs grow", testEpochsGrow},
		{"who lost the lease is fenced off", testStaleEpoch},
		{"who has no lease may not touch a running run", testUnfenced},
		{"reclaim", testReclaim},
		{"reclaim leaves the living alone", testReclaimLiving},
		{"a run that was claimed and never written is not lost", testClaimedUnwritten},
		{"a run that was left running is called so until it commits", testLeft},
	}
}

func testEpochsGrow(f *fixture) {
	last := journal.Epoch(0)
	for range 5 {
		if e := f.Epoch(); e <= last {
			f.t.Fatalf("epoch %d after %d", e, last)
		}
		last = f.Epoch()
		equal(f, "epoch asked again", f.Epoch(), last)
		f.reopen()
	}
}

// variants are the sorts of change that a caller may attempt on a run.
func variants(m journal.Mutation) map[string]journal.Mutation {
	with := func(change func(*journal.Mutation)) journal.Mutation {
		c := m
		change(&c)
		return c
	}
	return map[string]journal.Mutation{
		"append": with(func(m *journal.Mutation) { m.Events = numbered(1) }),
		"status": with(func(m *journal.Mutation) {
			m.Status = &journal.StatusChange{Status: decouple.RunEnded, Cause: decouple.Cause{Kind: decouple.CauseDone}}
		}),
		"park": with(func(m *journal.Mutation) {
			m.Status = &journal.StatusChange{Status: decouple.RunParked, Wait: decouple.Wait{Kind: decouple.WaitChild}, Seen: 1}
		}),
		"consume": with(func(m *journal.Mutation) { m.Consume = 1 }),
		"spawn": with(func(m *journal.Mutation) {
			m.Events, m.Create = numbered(1), []journal.NewRun{newRun("r.1")}
		}),
	}
}

func testStaleEpoch(f *fixture) {
	f.start("r")
	f.put(put("r", "joined", "a", `1`))
	stale := f.on("r")
	old := f.Epoch()
	f.reopen()
	if f.Epoch() == old {
		f.t.Fatal("the epoch did not grow")
	}
	for _, m := range variants(stale) {
		f.refuse(decouple.Conflict, m)
	}
	if _, err := f.Reclaim(f.ctx(), tenant, "r"); err != nil {
		f.t.Fatal(err)
	}
	f.claim("r", "r")
	for _, m := range variants(stale) {
		f.refuse(decouple.Conflict, m)
	}
	future := stale
	future.Epoch = f.Epoch() + 1
	for _, m := range variants(future) {
		f.refuse(decouple.Conflict, m)
	}
	m := f.on("r")
	m.Events = numbered(1)
	f.commit(m)
}

func testUnfenced(f *fixture) {
	f.start("r")
	f.put(put("r", "joined", "a", `1`))
	m := f.on("r")
	m.Epoch = 0
	for _, m := range variants(m) {
		f.refuse(decouple.Conflict, m)
	}
	f.park("r", journal.StatusChange{Seen: 1})
	m = f.on("r")
	m.Epoch = 0
	m.Events = numbered(1)
	f.commit(m)
	f.status("r", decouple.RunParked)
}

func testReclaim(f *fixture) {
	f.create("r", "r.1", "r.2", "r.3", "r.4", "r.5", "s")
	for _, id := range []decouple.RunID{"r", "r.1", "r.2", "r.3", "r.4"} {
		f.claim("r", id)
		f.step(id)
	}
	f.claim("s", "s")
	f.step("s")
	f.park("r.1", journal.StatusChange{Wait: decouple.Wait{Kind: decouple.WaitInterrupted}, Until: 9})
	f.park("r.2", journal.StatusChange{Wait: decouple.Wait{Kind: decouple.WaitPerson}})
	f.end("r.3")
	f.reopen()
	reclaim := func(t decouple.TenantID, root decouple.RunID, want int) {
		f.t.Helper()
		n, err := f.Reclaim(f.ctx(), t, root)
		if err != nil || n != want {
			f.t.Fatalf("Reclaim(%s, %s) = %d, %v, want %d", t, root, n, err, want)
		}
	}
	reclaim("acme", "r", 0)
	reclaim(tenant, "nothing", 0)
	reclaim(tenant, "r", 3)
	reclaim(tenant, "r", 0)
	for id, want := range map[decouple.RunID]decouple.RunStatus{
		"r": decouple.RunReady, "r.1": decouple.RunReady, "r.2": decouple.RunParked, "r.3": decouple.RunEnded, "r.4": decouple.RunReady, "r.5": decouple.RunReady,
		"s": decouple.RunRunning,
	} {
		f.status(id, want)
	}
	for _, id := range []decouple.RunID{"r", "r.1", "r.4", "r.5"} {
		equal(f, "epoch of a reclaimed run", f.claim("r", id).Epoch, f.Epoch())
	}
	f.idle("r")
}

// testClaimedUnwritten leaves it to the store whether a claim alone is remembered over a restart; the run may be ready or running, and after a
// reclaim it is ready.
func testClaimedUnwritten(f *fixture) {
	f.create("r")
	f.put(put("r", "joined", "a", `1`))
	f.claim("r", "r")
	stale := f.on("r")
	f.reopen()
	for _, m := range variants(stale) {
		f.refuse(decouple.Conflict, m)
	}
	if n, err := f.Reclaim(f.ctx(), tenant, "r"); err != nil || n > 1 {
		f.t.Fatalf("Reclaim = %d, %v, want at most 1", n, err)
	}
	f.status("r", decouple.RunReady)
	f.claim("r", "r")
	f.idle("r")
}

func testReclaimLiving(f *fixture) {
	f.start("r")
	if n, err := f.Reclaim(f.ctx(), tenant, "r"); err != nil || n != 0 {
		f.t.Fatalf("Reclaim = %d, %v, want 0: the run is running under the living lease", n, err)
	}
	m := f.on("r")
	m.Events = numbered(1)
	f.commit(m)

	// A reclaim wakes whoever waits for the tree's runs.
	f.park("r", journal.StatusChange{Wait: decouple.Wait{Kind: decouple.WaitInterrupted}, Until: 9})
	ch := f.waiting(f.ctx(), "r")
	if n, err := f.Reclaim(f.ctx(), tenant, "r"); err != nil || n != 1 {
		f.t.Fatalf("Reclaim = %d, %v, want 1: the run was interrupted", n, err)
	}
	if c := f.arrive(ch); c.id != "r" || c.err != nil {
		f.t.Fatalf("Claim = %q, %v, want r", c.id, c.err)
	}
}

// testLeft leaves a run in the middle of its work, twice. Whoever claims it must hear that what it had begun has no recorded outcome.
func testLeft(f *fixture) {
	f.start("r")
	for range 2 {
		f.reopen()
		if _, err := f.Reclaim(f.ctx(), tenant, "r"); err != nil {
			f.t.Fatal(err)
		}
		equal(f, "left", f.claim("r", "r").Left, true)
	}
	f.park("r", journal.StatusChange{Wait: decouple.Wait{Kind: decouple.WaitInterrupted}})
	f.reopen()
	if n, err := f.Reclaim(f.ctx(), tenant, "r"); err != nil || n != 1 {
		f.t.Fatalf("Reclaim = %d, %v, want 1", n, err)
	}
	equal(f, "left, of a run that parked in good order", f.claim("r", "r").Left, false)
}
