package ledger_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
)

// clock is a time that a test sets.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()).UTC() }
func (c *clock) set(t time.Time)         { c.at.Store(t.UnixNano()) }
func (c *clock) pass(d time.Duration)    { c.at.Add(int64(d)) }
func at(s string) (t time.Time)          { t, _ = time.Parse(time.RFC3339, s); return t }
func usd(n decouple.Money) ledger.Amount { return ledger.Amount{USD: n} }

func openAt(t *testing.T, c *clock, dir string, store journal.Log) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(ledger.Config{Dir: dir, Store: store, Journal: time.Hour, Refresh: time.Hour, Now: c.now, Patience: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestRenewal has a day's budget used up and new on the next day; a call that goes on over midnight counts in the day that it began in.
func TestRenewal(t *testing.T) {
	t.Parallel()
	var c clock
	c.set(at("2026-12-31T23:59:00Z"))
	l := openAt(t, &c, t.TempDir(), openStore(t, t.TempDir()))
	day := func(id string, n decouple.Money) ledger.Call {
		in := call(id, n, 0)
		in.Budgets = []ledger.Budget{{ID: "key:k1:day", Tenant: "acme", Scope: ledger.ForKey, Name: "k1", Period: ledger.Day, Limit: usd(100)}}
		return in
	}
	late, err := l.Begin(t.Context(), day("late", 60))
	if err != nil {
		t.Fatal(err)
	}
	do(t, l, day("1", 40), used("x", 1, 1, 40))
	var r *ledger.Refusal
	if _, err := l.Begin(t.Context(), day("2", 1)); !errors.As(err, &r) || !r.Renews.Equal(at("2027-01-01T00:00:00Z")) {
		t.Errorf("over the day's budget: %v, %+v", err, r)
	}
	c.set(at("2027-01-01T00:00:00Z"))
	do(t, l, day("3", 100), used("x", 1, 1, 100))
	if err := late.Settle(used("x", 1, 1, 60)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Begin(t.Context(), day("4", 1)); decouple.KindOf(err) != decouple.Exhausted {
		t.Errorf("over the next day's budget: %v", err)
	}
}

// TestRate lets no more pass in a minute than a key's rate, a burst included, and says when the next may.
func TestRate(t *testing.T) {
	t.Parallel()
	var c clock
	c.set(at("2026-12-01T12:00:00Z"))
	l := openAt(t, &c, t.TempDir(), openStore(t, t.TempDir()))
	passed, n := 0, 0
	for range 2 * 600 { // two minutes
		in := call(fmt.Sprint(n), 0, 10)
		n++
		in.Rate = ledger.Rate{Requests: 60, Tokens: 1 << 40}
		e, err := l.Begin(t.Context(), in)
		var r *ledger.Refusal
		switch {
		case err == nil:
			passed++
			if err := e.Settle(used("x", 5, 5, 0)); err != nil {
				t.Fatal(err)
			}
		case decouple.KindOf(err) != decouple.RateLimited, !errors.As(err, &r), r.Retry <= 0, r.Retry > time.Second:
			t.Fatalf("%v, %+v", err, r)
		}
		c.pass(100 * time.Millisecond)
	}
	if passed < 120 || passed > 60*2+15 {
		t.Errorf("%d calls passed in two minutes", passed)
	}
	// Tokens: a call that used less than it had reserved gives back what it did not use, one that used more is paid for by the next.
	in := call("t1", 0, 1000)
	in.Key, in.Rate = "k2", ledger.Rate{Tokens: 4000}
	do(t, l, in, used("x", 500, 0, 0))
	in.ID, in.Reserve.Tokens = "t2", 501
	if _, err := l.Begin(t.Context(), in); decouple.KindOf(err) != decouple.RateLimited {
		t.Errorf("more than is left: %v", err)
	}
	in.Reserve.Tokens = 500
	do(t, l, in, used("x", 2500, 0, 0)) // 2,000 more than there were
	in.ID, in.Reserve.Tokens = "t3", 1
	c.pass(29 * time.Second)
	if _, err := l.Begin(t.Context(), in); decouple.KindOf(err) != decouple.RateLimited {
		t.Errorf("before the debt is paid: %v", err)
	}
	c.pass(2 * time.Second)
	do(t, l, in, used("x", 1, 0, 0))
}

// TestCutOff has a node without the store spend what it holds, and no more, while another one spends the rest, and no more.
func TestCutOff(t *testing.T) {
	t.Parallel()
	store := openStore(t, t.TempDir())
	far := &link{Log: store}
	a, b := openLedger(t, t.TempDir(), far), openLedger(t, t.TempDir(), store)
	in := call("first", 10, 0)
	in.Budgets = []ledger.Budget{{ID: "b", Tenant: "acme", Scope: ledger.ForKey, Name: "k1", Period: ledger.Total, Limit: usd(1000)}}
	do(t, a, in, used("x", 1, 1, 10))
	far.state.Store(linkCut)
	spend := func(l *ledger.Ledger, name string, end decouple.Kind) (sum decouple.Money) {
		t.Helper()
		for i := range 1000 {
			in.ID = fmt.Sprint(name, i)
			e, err := l.Begin(t.Context(), in)
			if err != nil {
				if decouple.KindOf(err) != end {
					t.Errorf("%s: %v, want %s", name, err, end)
				}
				return sum
			}
			if err := e.Settle(used("x", 1, 1, 10)); err != nil {
				t.Fatal(err)
			}
			sum += 10
		}
		t.Fatalf("%s spends without end", name)
		return 0
	}
	alone := spend(a, "alone", decouple.Unavailable)
	rest := spend(b, "rest", decouple.Exhausted)
	if alone == 0 || rest == 0 || 10+alone+rest > 1000 {
		t.Errorf("%d alone and %d elsewhere", alone, rest)
	}
	t.Logf("%d alone, %d elsewhere", alone, rest)
}

// TestDebt has calls that use more than they had reserved: the budget is exceeded by that only, and nothing more passes.
func TestDebt(t *testing.T) {
	t.Parallel()
	store := openStore(t, t.TempDir())
	a, b := openLedger(t, t.TempDir(), store), openLedger(t, t.TempDir(), store)
	budget := ledger.Budget{ID: "b", Tenant: "acme", Scope: ledger.ForTenant, Period: ledger.Total, Limit: usd(1000)}
	if err := a.SetBudget(t.Context(), budget, by); err != nil {
		t.Fatal(err)
	}
	b.Tend()
	do(t, a, call("1", 100, 0), used("x", 1, 1, 1100))
	a.Tend() // tells the others
	if _, err := b.Begin(t.Context(), call("2", 1, 0)); decouple.KindOf(err) != decouple.Exhausted {
		t.Errorf("elsewhere: %v", err)
	}
	if _, err := a.Begin(t.Context(), call("3", 1, 0)); decouple.KindOf(err) != decouple.Exhausted {
		t.Errorf("here: %v", err)
	}
	st, err := b.Budgets(t.Context(), "acme")
	if err != nil || st[0].Held != usd(1100) {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestNoStore lets no call pass before budgets could be read.
func TestNoStore(t *testing.T) {
	t.Parallel()
	far := &link{Log: openStore(t, t.TempDir())}
	far.state.Store(linkCut)
	l := openLedger(t, t.TempDir(), far)
	if _, err := l.Begin(t.Context(), call("1", 1, 1)); decouple.KindOf(err) != decouple.Unavailable {
		t.Errorf("without the store: %v", err)
	}
	far.state.Store(linkGood)
	l.Tend()
	do(t, l, call("2", 1, 1), used("x", 1, 1, 1))
}

// TestLostAnswer has the journal take a batch and its answer lost, before more is settled or the process is killed: nothing is there twice.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]bool{"goes on": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, dir := openStore(t, t.TempDir()), t.TempDir()
			far := &link{Log: store}
			l := openLedger(t, dir, far)
			do(t, l, call("1", 1, 1), used("x", 1, 1, 1))
			far.state.Store(linkLost)
			if err := l.Flush(t.Context()); decouple.KindOf(err) != decouple.Unavailable {
				t.Fatal(err)
			}
			far.state.Store(linkGood)
			do(t, l, call("2", 1, 1), used("x", 1, 1, 1))
			if kill {
				if err := l.Kill(); err != nil {
					t.Fatal(err)
				}
				l = openLedger(t, dir, far)
			}
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if kept := journaled(t, store); len(kept) != 2 {
				t.Errorf("%d calls are in the journal", len(kept))
			}
		})
	}
}
