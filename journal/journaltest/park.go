package journaltest

import (
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

func parkCases() []testCase {
	return []testCase{
		{"refused when the inbox has moved", testParkRefused},
		{"the next message wakes", testWakeNext},
		{"a number wakes only when it is reached", testWakeUntil},
		{"a number that is reached within one commit wakes", testWakeUntilAtOnce},
		{"an urgent message wakes", testWakeUrgent},
		{"a time wakes", testWakeTime},
		{"a message that came before the time wakes once", testWakeBeforeTime},
		{"a result and a wake-up are one commit", testJoin},
		{"messages to a running or ready run wake nobody else", testPutNotParked},
	}
}

func testParkRefused(f *fixture) {
	f.start("r")
	parked := func(seen, until journal.InboxSeq) journal.Mutation {
		m := f.on("r")
		m.Events = numbered(1)
		m.Status = &journal.StatusChange{Status: decouple.RunParked, Wait: decouple.Wait{Kind: decouple.WaitChild}, Seen: seen, Until: until}
		return m
	}
	f.put(put("r", "joined", "a", `1`))
	f.refuse(decouple.Conflict, parked(0, 0))
	f.put(put("r", "joined", "b", `2`))
	f.refuse(decouple.Conflict, parked(1, 0))
	f.refuse(decouple.Conflict, parked(1, 7))
	f.commit(parked(2, 0))
	f.status("r", decouple.RunParked)

	// What the refusal guards against is a message that comes while the park is on its way: then one of the two must have woken the run.
	for round := range 30 {
		id := decouple.RunID("race-" + string(f.id()))
		f.start(id)
		m := f.on(id)
		m.ID, m.Status = f.id(), &journal.StatusChange{Status: decouple.RunParked, Wait: decouple.Wait{Kind: decouple.WaitChild}}
		msg := f.sending(put(id, "joined", "x", `1`))
		errs := together(2, func(i int) error {
			_, err := f.Commit(f.ctx(), []journal.Mutation{m, msg}[i])
			return err
		})
		if errs[1] != nil {
			f.t.Fatalf("round %d: put: %v", round, errs[1])
		}
		switch decouple.KindOf(errs[0]) {
		case "":
			f.status(id, decouple.RunReady)
		case decouple.Conflict:
			f.status(id, decouple.RunRunning)
		default:
			f.t.Fatalf("round %d: park: %v", round, errs[0])
		}
	}
}

func testWakeNext(f *fixture) {
	f.start("r")
	f.put(put("r", "joined", "a", `1`))
	f.park("r", journal.StatusChange{Seen: 1})
	f.idle("r")
	f.put(put("r", "joined", "b", `2`))
	f.status("r", decouple.RunReady)
	f.claim("r", "r")
}

func testWakeUntil(f *fixture) {
	f.start("r")
	f.put(put("r", "joined", "a", `1`))
	f.park("r", journal.StatusChange{Seen: 1, Until: 4})
	for _, from := range []string{"b", "c"} {
		f.put(put("r", "joined", from, `1`))
		f.put(put("r", "joined", from, `1`)) // again: does not count
		f.status("r", decouple.RunParked)
	}
	f.reopen()
	f.idle("r")
	f.put(put("r", "joined", "d", `4`))
	f.status("r", decouple.RunReady)
	f.claim("r", "r")
	equal(f, "messages", len(f.inbox("r")), 4)
}

func testWakeUntilAtOnce(f *fixture) {
	f.start("r")
	f.park("r", journal.StatusChange{Until: 3})
	f.put(put("r", "joined", "a", `1`), put("r", "joined", "b", `2`), put("r", "joined", "c", `3`), put("r", "joined", "d", `4`))
	f.claim("r", "r")
	f.park("r", journal.StatusChange{Seen: 4})
	f.idle("r")
}

func testWakeUrgent(f *fixture) {
	cancel := func(id decouple.RunID) journal.Put {
		p := put(id, "cancel", "somebody", `{}`)
		p.Urgent = true
		return p
	}
	for id, s := range map[decouple.RunID]journal.StatusChange{
		"far":         {Until: 1000},
		"timer":       {Until: 9, Wake: time.Now().Add(time.Hour), Wait: decouple.Wait{Kind: decouple.WaitTimer}},
		"person":      {Until: 9, Wait: decouple.Wait{Kind: decouple.WaitPerson}},
		"interrupted": {Until: 9, Wait: decouple.Wait{Kind: decouple.WaitInterrupted}},
	} {
		f.start(id)
		f.park(id, s)
		f.put(put(id, "joined", "a", `1`))
		f.status(id, decouple.RunParked)
		f.put(cancel(id))
		f.status(id, decouple.RunReady)
		f.claim(id, id)
	}
}

func testWakeTime(f *fixture) {
	f.start("r")
	wake := time.Now().Add(time.Second) // far enough that a slow machine looks before it
	f.park("r", journal.StatusChange{Wake: wake, Until: 5, Wait: decouple.Wait{Kind: decouple.WaitTimer}})
	f.start("s")
	second := wake.Add(150 * time.Millisecond)
	f.park("s", journal.StatusChange{Wake: second, Until: 5})
	f.idle("")
	f.claim("", "r")
	if now := time.Now(); now.Before(wake) {
		f.t.Errorf("woken %v too early", wake.Sub(now))
	}
	f.claim("", "s")
	if now := time.Now(); now.Before(second) {
		f.t.Errorf("the second one was woken %v too early", second.Sub(now))
	}

	f.park("r", journal.StatusChange{Wake: time.Now().Add(-time.Second)})
	f.claim("r", "r")

	wake = time.Now().Add(100 * time.Millisecond)
	f.park("r", journal.StatusChange{Wake: wake, Until: 5})
	f.reopen()
	f.claim("", "r")
	if now := time.Now(); now.Before(wake) {
		f.t.Errorf("woken %v too early after reopening", wake.Sub(now))
	}
}

func testWakeBeforeTime(f *fixture) {
	f.start("r")
	wake := time.Now().Add(60 * time.Millisecond)
	f.park("r", journal.StatusChange{Wake: wake})
	f.put(put("r", "joined", "a", `1`))
	f.claim("r", "r")
	f.park("r", journal.StatusChange{Seen: 1})
	<-time.After(time.Until(wake))
	f.idle("r")
	f.status("r", decouple.RunParked)
}

// testJoin ends a child and gives its result to the parent in one commit.
func testJoin(f *fixture) {
	f.start("p")
	m := f.on("p")
	m.Create = []journal.NewRun{newRun("p.1")}
	m.Status = &journal.StatusChange{Status: decouple.RunParked, Wait: decouple.Wait{Kind: decouple.WaitChild, For: "p.1"}}
	f.commit(m)
	f.claim("p", "p.1")
	m = f.on("p.1")
	m.Events = numbered(1)
	m.Status = &journal.StatusChange{Status: decouple.RunEnded, Cause: decouple.Cause{Kind: decouple.CauseDone}}
	m.Put = []journal.Put{put("p", "joined", "p.1", `{"answer":42}`)}
	stale := m
	stale.Expect--
	f.refuse(decouple.Conflict, stale)
	f.status("p", decouple.RunParked)
	f.commit(m)
	f.claim("p", "p")
	m = f.on("p")
	m.Events, m.Consume = numbered(1), 1
	f.commit(m)
	equal(f, "inbox", f.inbox("p"), nil)
	equal(f, "events of the parent: nobody but itself appended", len(f.read(decouple.RunStream(tenant, "p"))), 3)
}

func testPutNotParked(f *fixture) {
	f.start("running")
	f.create("ready")
	f.start("parked")
	f.park("parked", journal.StatusChange{})
	f.put(put("running", "k", "a", `1`), put("ready", "k", "a", `1`))
	f.status("running", decouple.RunRunning)
	f.status("ready", decouple.RunReady)
	f.status("parked", decouple.RunParked)
	f.claim("", "ready")
	f.idle("")
}
