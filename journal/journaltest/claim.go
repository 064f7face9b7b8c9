package journaltest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

func claimCases() []testCase {
	return []testCase{
		{"priority, then age", testClaimOrder},
		{"only of the tree", testClaimRoot},
		{"a claimed run is running here, at once", testClaimed},
		{"waits and is woken by a push", testClaimPush},
		{"waits and is woken by a message", testClaimPushMessage},
		{"not before its time", testClaimNotBefore},
		{"each run goes to one", testClaimOnce},
		{"a claim that is given up loses no run", testClaimGivenUp},
		{"ends when the store is closed", testClaimClosed},
	}
}

func testClaimOrder(f *fixture) {
	for i, p := range []int{0, 5, -1, 5, 0, 1 << 30, -1} {
		n := newRun(decouple.RunID(fmt.Sprint("r", i)))
		n.Run.Priority = p
		f.commit(journal.Mutation{Create: []journal.NewRun{n}})
	}
	first, second := newRun("one-commit-1"), newRun("one-commit-2")
	f.commit(journal.Mutation{Create: []journal.NewRun{first, second}})
	for _, id := range []decouple.RunID{"r5", "r1"} {
		f.claim("", id)
		f.step(id)
	}
	f.reopen()
	for _, want := range []decouple.RunID{"r3", "r0", "r4", "one-commit-1", "one-commit-2", "r2", "r6"} {
		f.claim("", want)
	}
	f.idle("")
}

func testClaimRoot(f *fixture) {
	urgent := newRun("b")
	urgent.Run.Priority = 9
	f.create("a", "ab", "a.1")
	f.commit(journal.Mutation{Create: []journal.NewRun{urgent}})
	f.create("a.1.1", "b.1")
	for _, want := range []decouple.RunID{"a", "a.1", "a.1.1"} {
		f.claim("a", want)
	}
	f.idle("a")
	f.idle("nothing")
	for _, want := range []decouple.RunID{"b", "ab", "b.1"} {
		f.claim("", want)
	}
}

func testClaimed(f *fixture) {
	f.create("r")
	f.put(put("r", "joined", "a", `1`), put("r", "joined", "b", `2`))
	c := f.claim("", "r")
	row, s := f.row("r"), decouple.RunStream(tenant, "r")
	equal(f, "claim", c, journal.Claim{Run: row.Run, Epoch: f.Epoch(), Seq: 1, Event: f.last(s), Inbox: 2})
	equal(f, "epoch of the row", row.Epoch, f.Epoch())
	equal(f, "status of the row", row.Status, decouple.RunRunning)
	if row.Node == "" {
		f.t.Error("the row of a running run names no node")
	}
	m := f.on("r")
	m.Events, m.Status, m.Consume = numbered(1), &journal.StatusChange{Status: decouple.RunReady}, 1
	f.commit(m)
	equal(f, "second claim", f.claim("r", "r"), journal.Claim{Run: row.Run, Epoch: f.Epoch(), Seq: 2, Event: f.last(s), Inbox: 2, Consumed: 1})
}

// waiting starts a claim and gives what came of it, and when.
func (f *fixture) waiting(ctx context.Context, root decouple.RunID) <-chan claimed {
	out, up := make(chan claimed, 1), make(chan struct{})
	go func() {
		close(up)
		c, err := f.Claim(ctx, journal.Want{Root: root})
		out <- claimed{c.Run.ID, err, time.Now()}
	}()
	<-up
	return out
}

type claimed struct {
	id  decouple.RunID
	err error
	at  time.Time
}

// arrive waits for a claim.
func (f *fixture) arrive(ch <-chan claimed) claimed {
	f.t.Helper()
	select {
	case c := <-ch:
		return c
	case <-time.After(patience):
		f.t.Fatal("Claim does not come back")
		return claimed{}
	}
}

// mostlySoon demands that more than half of the delays are short. Polling at any interval worth having would make about all of them long.
func (f *fixture) mostlySoon(delays []time.Duration) {
	f.t.Helper()
	const soon = 20 * time.Millisecond
	slices.Sort(delays)
	if median := delays[len(delays)/2]; median > soon {
		f.t.Errorf("a waiting claim is woken after %v (median of %d), want a push within %v", median, len(delays), soon)
	}
}

func testClaimPush(f *fixture) {
	var delays []time.Duration
	for i := range 15 {
		id := decouple.RunID(fmt.Sprint("r", i))
		root := []decouple.RunID{"", id}[i%2]
		ch := f.waiting(f.ctx(), root)
		<-time.After(time.Duration(i) * time.Millisecond) // lets the claim settle down to wait, at another phase each time
		f.create(id)
		pushed := time.Now()
		c := f.arrive(ch)
		if c.err != nil || c.id != id {
			f.t.Fatalf("Claim(%q) = %q, %v, want %s", root, c.id, c.err, id)
		}
		delays = append(delays, c.at.Sub(pushed))
	}
	f.mostlySoon(delays)
}

func testClaimPushMessage(f *fixture) {
	f.start("r")
	var delays []time.Duration
	for i := range 15 {
		f.park("r", journal.StatusChange{Seen: journal.InboxSeq(i)})
		ch := f.waiting(f.ctx(), "r")
		<-time.After(time.Duration(i) * time.Millisecond)
		f.put(put("r", "joined", fmt.Sprint(i), `1`))
		pushed := time.Now()
		if c := f.arrive(ch); c.err != nil || c.id != "r" {
			f.t.Fatalf("Claim = %q, %v, want r", c.id, c.err)
		} else {
			delays = append(delays, c.at.Sub(pushed))
			f.held["r"] = f.Epoch()
		}
	}
	f.mostlySoon(delays)
}

func testClaimNotBefore(f *fixture) {
	later := newRun("later")
	later.Wake = time.Now().Add(3 * time.Second)
	later.Run.Priority = 9
	f.commit(journal.Mutation{Create: []journal.NewRun{later}})
	f.create("now")
	f.claim("", "now")
	f.idle("")
	f.claim("", "later")
	if now := time.Now(); now.Before(later.Wake) {
		f.t.Errorf("claimed %v too early", later.Wake.Sub(now))
	}
}

func testClaimOnce(f *fixture) {
	const runs, claimers = 60, 8
	ctx, cancel := context.WithTimeout(f.ctx(), patience)
	defer cancel()
	var mu sync.Mutex
	got := map[decouple.RunID]int{}
	errs := together(claimers+2, func(i int) error {
		if i >= claimers { // two who create while the others claim
			for n := range runs / 2 {
				id := decouple.RunID(fmt.Sprintf("r%d-%d", i, n))
				if _, err := f.Commit(ctx, journal.Mutation{ID: decouple.CommitID(id), Create: []journal.NewRun{newRun(id)}}); err != nil {
					return err
				}
			}
			return nil
		}
		for {
			c, err := f.Claim(ctx, journal.Want{Root: ""})
			if err != nil {
				if mu.Lock(); len(got) == runs {
					err = nil
				}
				mu.Unlock()
				return err
			}
			mu.Lock()
			got[c.Run.ID]++
			if len(got) == runs {
				cancel()
			}
			mu.Unlock()
		}
	})
	f.allFine(errs)
	for id, n := range got {
		equal(f, "claims of "+string(id), n, 1)
	}
}

// testClaimGivenUp cancels claims at about the moment runs arrive: each run was given to a claim, or is still there for the next.
func testClaimGivenUp(f *fixture) {
	const rounds, claims = 120, 4
	took := time.Millisecond // a commit, lately
	for round := range rounds {
		m := journal.Mutation{ID: f.id()}
		ctx, cancel := context.WithCancel(f.ctx())
		var chs []<-chan claimed
		for i := range claims {
			m.Create = append(m.Create, newRun(decouple.RunID(fmt.Sprintf("r%d-%d", round, i))))
			chs = append(chs, f.waiting(ctx, ""))
		}
		cancelAfter := took * time.Duration(rounds/2+round) / rounds
		f.allFine(together(2, func(k int) error {
			begin := time.Now()
			if k == 0 {
				for time.Since(begin) < cancelAfter { // a timer would not be exact enough
				}
				cancel()
				return nil
			}
			_, err := f.Commit(f.ctx(), m)
			took = (3*took + time.Since(begin)) / 4
			return err
		}))
		given := map[decouple.RunID]bool{}
		for _, ch := range chs {
			switch c := f.arrive(ch); {
			case c.err == nil && !given[c.id]:
				given[c.id] = true
			case decouple.KindOf(c.err) != decouple.Canceled:
				f.t.Fatalf("round %d: Claim = %q, %v, want another run or an error of kind canceled", round, c.id, c.err)
			}
		}
		for len(given) < claims {
			c, err := f.Claim(f.ctx(), journal.Want{})
			if err != nil || given[c.Run.ID] {
				f.t.Fatalf("round %d: Claim = %q, %v, want one of the runs that nobody was given", round, c.Run.ID, err)
			}
			given[c.Run.ID] = true
		}
	}
}

func testClaimClosed(f *fixture) {
	ch := f.waiting(f.ctx(), "")
	<-time.After(5 * time.Millisecond)
	f.close()
	if c := f.arrive(ch); decouple.KindOf(c.err) != decouple.Unavailable {
		f.t.Errorf("a claim that waits when the store is closed = %q, %v (kind %q), want unavailable", c.id, c.err, decouple.KindOf(c.err))
	}
}
