package journaltest

import (
	"fmt"
	"slices"
	"sync"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

func concurrentCases() []testCase {
	return []testCase{
		{"chains of many callers, stale ones fail alone", testChains},
		{"one of many who expect the same wins", testRace},
		{"who builds on a failed commit fails", testBuildersOnFailed},
		{"an idempotency key is taken once", testKeyRace},
		{"messages from everywhere are all there", testPutRace},
	}
}

// testChains lets each writer append to a stream of its own while a stale caller keeps coming with a wrong expectation of it. What is
// acknowledged must be in the log just where its receipt says.
func testChains(f *fixture) {
	const chains, length = 8, 40
	var mu sync.Mutex
	receipts := map[decouple.CommitID]journal.Receipt{}
	errs := together(2*chains, func(i int) error {
		s := note(fmt.Sprint("chain-", i/2))
		for n := range length {
			m := journal.Mutation{ID: decouple.CommitID(fmt.Sprintf("%d/%d", i, n)), Stream: s, Expect: decouple.Seq(2 * n), Events: numbered(2)}
			if i%2 == 1 {
				m.Expect = decouple.Seq(2*n + 1) // between the two events of a commit: no caller ever sees the stream there
			}
			r, err := f.Commit(f.ctx(), m)
			if i%2 == 1 {
				if decouple.KindOf(err) != decouple.Conflict {
					return fmt.Errorf("stale caller of %s: %v, want conflict", s, err)
				}
				continue
			}
			if err != nil {
				return fmt.Errorf("chain %s at %d: %w", s, m.Expect, err)
			}
			mu.Lock()
			receipts[m.ID] = r
			mu.Unlock()
		}
		return nil
	})
	f.allFine(errs)
	es := f.scan(journal.Filter{})
	equal(f, "events", len(es), 2*chains*length)
	for i, e := range es {
		equal(f, "position", e.Position, decouple.Position(i+1))
		r, ok := receipts[e.Commit]
		if !ok {
			f.t.Fatalf("event %d is of commit %s, which nobody was told of", e.Position, e.Commit)
		}
		if e.Seq%2 == 0 {
			equal(f, "receipt", r, journal.Receipt{Seq: e.Seq, Position: e.Position, Event: e.ID, Time: e.Time})
		}
	}
}

func testRace(f *fixture) {
	const rounds, callers = 20, 8
	s := note("s")
	for round := range rounds {
		errs := together(callers, func(i int) error {
			_, err := f.Commit(f.ctx(), journal.Mutation{ID: decouple.CommitID(fmt.Sprintf("%d/%d", round, i)), Stream: s, Expect: decouple.Seq(round), Events: numbered(1)})
			return err
		})
		equal(f, "winners and losers of a race", kinds(errs), map[decouple.Kind]int{"": 1, decouple.Conflict: callers - 1})
	}
	equal(f, "events", len(f.read(s)), rounds)
}

// kinds counts errors by kind; the empty one is no error.
func kinds(errs []error) map[decouple.Kind]int {
	n := map[decouple.Kind]int{}
	for _, err := range errs {
		n[decouple.KindOf(err)]++
	}
	return n
}

// testBuildersOnFailed submits at one moment a commit that fails, several that build on what it would have done, and some that have nothing
// to do with it. Whatever order they arrive in, exactly the last sort goes through.
func testBuildersOnFailed(f *fixture) {
	for round := range 20 {
		of := func(i int) decouple.CommitID { return decouple.CommitID(fmt.Sprintf("%d/%d", round, i)) }
		s, parent := note(fmt.Sprint("s", round)), decouple.RunID(fmt.Sprint("p", round))
		child := parent + ".1"
		f.commit(journal.Mutation{Stream: s, Events: numbered(1)})
		f.create(parent)
		ms := []journal.Mutation{
			{ID: of(0), Stream: s, Expect: 5, Events: numbered(1), Create: []journal.NewRun{newRun(child)}},
			{ID: of(1), Stream: s, Expect: 6, Events: numbered(1)},
			{ID: of(2), Stream: s, Expect: 7, Events: numbered(1)},
			{ID: of(3), Stream: note("of" + string(parent)), Events: numbered(1), Put: []journal.Put{{To: child, Kind: "k", From: "f", Body: []byte(`1`)}}},
			{ID: of(4), Stream: decouple.RunStream(tenant, child), Expect: 1, Events: numbered(1)},
			{ID: of(5), Stream: note("free" + string(parent)), Events: numbered(2)},
			{ID: of(6), Create: []journal.NewRun{newRun(parent + ".2")}},
			{ID: of(7), Stream: note("put" + string(parent)), Events: numbered(1), Put: []journal.Put{{To: parent, Kind: "k", From: "f", Body: []byte(`1`)}}},
		}
		errs := together(len(ms), func(i int) error {
			_, err := f.Commit(f.ctx(), ms[i])
			return err
		})
		for i, err := range errs {
			if i < 5 && err == nil {
				f.t.Fatalf("commit %d, which builds on a failed one, went through", i)
			}
			if i >= 5 && err != nil {
				f.t.Fatalf("commit %d, which has nothing to do with the failed one: %v", i, err)
			}
		}
		equal(f, "events of the stream", len(f.read(s)), 1)
		equal(f, "runs of the tree", len(f.runs(journal.RunFilter{Root: parent})), 2)
		equal(f, "messages", len(f.inbox(parent)), 1)
	}
}

func testKeyRace(f *fixture) {
	const rounds, callers = 10, 8
	for round := range rounds {
		errs := together(callers, func(i int) error {
			n := newRun(decouple.RunID(fmt.Sprintf("r%d-%d", round, i)))
			n.Run.IdempotencyKey = fmt.Sprint("key-", round)
			_, err := f.Commit(f.ctx(), journal.Mutation{ID: decouple.CommitID(n.Run.ID), Create: []journal.NewRun{n}})
			return err
		})
		equal(f, "winners and losers of a key", kinds(errs), map[decouple.Kind]int{"": 1, decouple.Conflict: callers - 1})
		equal(f, "runs of the key", len(f.runs(journal.RunFilter{Tenant: tenant, Key: fmt.Sprint("key-", round)})), 1)
	}
}

// testPutRace has many senders put messages for one run, each of them twice under different commit ids: numbers are dense, nobody is lost or doubled.
func testPutRace(f *fixture) {
	const senders, each = 8, 20
	f.create("hub")
	f.allFine(together(2*senders, func(i int) error {
		for n := range each {
			id := fmt.Sprintf("%d/%d", i, n)
			_, err := f.Commit(f.ctx(), journal.Mutation{
				ID: decouple.CommitID(id), Stream: note(fmt.Sprint("sender-", i)), Expect: decouple.Seq(n), Events: numbered(1),
				Put: []journal.Put{{To: "hub", Kind: "joined", From: fmt.Sprintf("%d/%d", i/2, n), Body: []byte(`1`)}},
			})
			if err != nil {
				return err
			}
		}
		return nil
	}))
	var from []string
	for i, m := range f.inbox("hub") {
		equal(f, "number of a message", m.Seq, journal.InboxSeq(i+1))
		from = append(from, m.From)
	}
	slices.Sort(from)
	equal(f, "senders, each once", len(slices.Compact(from)), senders*each)
	equal(f, "messages", len(f.inbox("hub")), senders*each)
	equal(f, "newest message in the view", f.row("hub").Inbox, senders*each)
}
