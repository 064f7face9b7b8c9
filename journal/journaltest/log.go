package journaltest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

func logCases() []testCase {
	return []testCase{
		{"scan filters", testScan},
		{"scan gives 1,000 unless told otherwise", testScanDefault},
		{"head", testHead},
		{"follow sees all, once, in order", testFollow},
		{"follow ends as it is told", testFollowEnds},
		{"follow is pushed", testFollowPush},
	}
}

func testScan(f *fixture) {
	for i := range 12 {
		s := decouple.Stream{Tenant: []decouple.TenantID{tenant, "acme"}[i%2], Kind: []decouple.StreamKind{decouple.StreamNote, decouple.StreamAgent}[i/2%2], ID: fmt.Sprint(i)}
		f.commit(journal.Mutation{Stream: s, Events: numbered(1 + i%3)})
	}
	whole := f.scan(journal.Filter{})
	equal(f, "events", len(whole), 24)
	for _, t := range []decouple.TenantID{"", tenant, "acme", "nobody"} {
		for _, k := range []decouple.StreamKind{"", decouple.StreamNote, decouple.StreamAgent, decouple.StreamRun} {
			for _, after := range []decouple.Position{0, 1, 7, 23, 24, 99} {
				for _, limit := range []int{0, 1, 5} {
					var want []decouple.Event
					for _, e := range whole {
						if (t == "" || e.Stream.Tenant == t) && (k == "" || e.Stream.Kind == k) && e.Position > after && (limit == 0 || len(want) < limit) {
							want = append(want, e)
						}
					}
					q := journal.Filter{Tenant: t, Kind: k, After: after, Limit: limit}
					equal(f, fmt.Sprintf("Scan(%+v)", q), f.scan(q), want)
				}
			}
		}
	}
	for _, e := range whole {
		equal(f, "the event as its stream has it", f.read(e.Stream)[e.Seq-1], e)
	}
}

func testScanDefault(f *fixture) {
	f.commit(journal.Mutation{Stream: note("s"), Events: numbered(1100)})
	equal(f, "events of a scan without limit", len(f.scan(journal.Filter{})), 1000)
	equal(f, "events of a scan with a large limit", len(f.scan(journal.Filter{Limit: 5000})), 1100)
	equal(f, "events of the stream", len(f.read(note("s"))), 1100)
}

func testHead(f *fixture) {
	head := func(want decouple.Position) {
		f.t.Helper()
		got, err := f.Head(f.ctx())
		if err != nil {
			f.t.Fatal(err)
		}
		equal(f, "head", got, want)
	}
	head(0)
	f.reopen()
	head(0)
	f.commit(journal.Mutation{Stream: note("s"), Events: numbered(3)})
	head(3)
	f.refuse(decouple.Conflict, journal.Mutation{Stream: note("s"), Events: numbered(3)})
	head(3)
	f.create("r", "r.1")
	head(5)
	f.reopen()
	head(5)
	f.commit(journal.Mutation{Stream: note("s"), Expect: 3, Events: numbered(1)})
	head(6)
}

// following collects what Follow gives until n events are there.
func (f *fixture) following(after decouple.Position, n int) <-chan followed {
	out := make(chan followed, 1)
	ctx, cancel := context.WithTimeout(f.ctx(), patience)
	go func() {
		defer cancel()
		var es []decouple.Event
		err := f.Follow(ctx, after, func(e decouple.Event) error {
			if es = append(es, e); len(es) == n {
				return errEnough
			}
			return nil
		})
		out <- followed{es, err}
	}()
	return out
}

type followed struct {
	events []decouple.Event
	err    error
}

// errEnough ends a follow.
var errEnough = errors.New("enough")

func testFollow(f *fixture) {
	const writers, each = 6, 60
	f.commit(journal.Mutation{Stream: note("before"), Events: numbered(10)})
	const total = 10 + writers*each*2
	afters := []decouple.Position{0, 5, 10, total - 1}
	var followers []<-chan followed
	for _, after := range afters {
		followers = append(followers, f.following(after, total-int(after)))
	}
	f.allFine(together(writers, func(i int) error {
		for n := range each {
			m := journal.Mutation{ID: decouple.CommitID(fmt.Sprintf("%d/%d", i, n)), Stream: note(fmt.Sprint(i)), Expect: decouple.Seq(2 * n), Events: numbered(2)}
			if _, err := f.Commit(f.ctx(), m); err != nil {
				return err
			}
		}
		return nil
	}))
	whole := f.scan(journal.Filter{Limit: total})
	for i, after := range afters {
		got := <-followers[i]
		if !errors.Is(got.err, errEnough) {
			f.t.Fatalf("Follow after %d gave %d events and %v, want %d events and the error of fn", after, len(got.events), got.err, total-int(after))
		}
		equal(f, fmt.Sprintf("what Follow after %d gave", after), got.events, whole[after:])
	}
	f.reopen()
	got := <-f.following(3, total-3)
	equal(f, "what Follow gave after reopening", got.events, whole[3:])
}

func testFollowEnds(f *fixture) {
	f.commit(journal.Mutation{Stream: note("s"), Events: numbered(3)})
	ctx, cancel := context.WithCancel(f.ctx())
	seen := 0
	err := f.Follow(ctx, 0, func(decouple.Event) error {
		if seen++; seen == 3 {
			cancel()
		}
		return nil
	})
	if seen != 3 || decouple.KindOf(err) != decouple.Canceled {
		f.t.Errorf("Follow gave %d events and %v, want 3 and an error of kind canceled", seen, err)
	}
	seen = 0
	if err := f.Follow(f.ctx(), 1, func(decouple.Event) error { seen++; return errEnough }); !errors.Is(err, errEnough) || seen != 1 {
		f.t.Errorf("Follow gave %d events and %v, want 1 and the error of fn", seen, err)
	}
	ch := f.following(3, 1)
	<-time.After(10 * time.Millisecond) // lets it settle down to wait
	f.close()
	select {
	case got := <-ch:
		if got.err == nil || len(got.events) > 0 {
			f.t.Errorf("Follow on a store that is closed = %d events, %v", len(got.events), got.err)
		}
	case <-time.After(patience):
		f.t.Fatal("Follow does not end when the store is closed")
	}
}

func testFollowPush(f *fixture) {
	times := make(chan time.Time)
	ctx, cancel := context.WithCancel(f.ctx())
	defer cancel()
	go func() {
		_ = f.Follow(ctx, 0, func(decouple.Event) error {
			select {
			case times <- time.Now():
			case <-ctx.Done():
			}
			return nil
		})
	}()
	var delays []time.Duration
	for i := range 15 {
		<-time.After(time.Duration(i) * time.Millisecond)
		f.commit(journal.Mutation{Stream: note("s"), Expect: decouple.Seq(i), Events: numbered(1)})
		pushed := time.Now()
		select {
		case at := <-times:
			delays = append(delays, at.Sub(pushed))
		case <-time.After(patience):
			f.t.Fatal("Follow does not see a new event")
		}
	}
	f.mostlySoon(delays)
}
