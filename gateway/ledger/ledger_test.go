package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
)

func openStore(t testing.TB, dir string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), sqlite.Config{Dir: dir, Owner: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// openLedger opens a ledger that journals when it is told to.
func openLedger(t testing.TB, dir string, store journal.Log) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(ledger.Config{Dir: dir, Store: store, Journal: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

var by = decouple.Actor{Kind: decouple.ActorPerson, ID: "ada"}

func call(id string, usd decouple.Money, tokens int64) ledger.Call {
	return ledger.Call{ID: id, Tenant: "acme", Key: "k1", Team: "search", Agent: "researcher", Run: "r1", Door: ledger.Chat, Model: "smart", Reserve: ledger.Amount{USD: usd, Tokens: tokens}}
}

func used(endpoint string, in, out int64, cost decouple.Money) ledger.Settlement {
	return ledger.Settlement{Outcome: ledger.OK, Took: time.Second, Lines: []ledger.Line{{
		Endpoint: endpoint, Model: "gpt", Source: ledger.Reported, Usage: decouple.Usage{TokensIn: in, TokensOut: out, Cost: cost},
	}}}
}

// do makes a whole call.
func do(t *testing.T, l *ledger.Ledger, c ledger.Call, s ledger.Settlement) {
	t.Helper()
	e, err := l.Begin(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Attempt(t.Context(), "azure/x", "gpt", ledger.Amount{}); err != nil {
		t.Fatal(err)
	}
	if err := e.Settle(s); err != nil {
		t.Fatal(err)
	}
}

func total(t *testing.T, l *ledger.Ledger, by ...ledger.By) []ledger.Row {
	t.Helper()
	rows, err := l.Usage(t.Context(), ledger.Query{By: by})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestOneCall(t *testing.T) {
	t.Parallel()
	dir, store := t.TempDir(), openStore(t, t.TempDir())
	l := openLedger(t, dir, store)
	e, err := l.Begin(t.Context(), call("c1", 100, 10))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Begin(t.Context(), call("c1", 100, 10)); decouple.KindOf(err) != decouple.Conflict {
		t.Errorf("begun twice: %v", err)
	}
	if err := e.Attempt(t.Context(), "azure/x", "gpt", ledger.Amount{}); err != nil {
		t.Fatal(err)
	}
	s := used("azure/x", 7, 3, 42)
	s.Lines[0].Usage.Cached = 5
	if err := e.Settle(s); err != nil {
		t.Fatal(err)
	}
	if err := e.Settle(s); decouple.KindOf(err) != decouple.Conflict {
		t.Errorf("settled twice: %v", err)
	}
	want := []ledger.Row{{
		Group: ledger.Group{Tenant: "acme", Key: "k1", Team: "search", Agent: "researcher", Asked: "smart", Model: "gpt", Endpoint: "azure/x", Door: ledger.Chat, Source: ledger.Reported, Outcome: ledger.OK},
		Calls: 1, Usage: decouple.Usage{TokensIn: 7, TokensOut: 3, Cost: 42, Cached: 5},
	}}
	dims := []ledger.By{ledger.ByTenant, ledger.ByKey, ledger.ByTeam, ledger.ByAgent, ledger.ByAsked, ledger.ByModel, ledger.ByEndpoint, ledger.ByDoor, ledger.BySource, ledger.ByOutcome}
	if d := cmp.Diff(want, total(t, l, dims...)); d != "" {
		t.Errorf("before it is journaled: %s", d)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, total(t, l, dims...)); d != "" {
		t.Errorf("after it is journaled: %s", d)
	}
	if rows, err := ledger.NewView(store).Usage(t.Context(), ledger.Query{By: dims}); err != nil || cmp.Diff(want, rows) != "" {
		t.Errorf("whoever has only the journal sees %+v, %v", rows, err)
	}
	for name, q := range map[string]ledger.Query{
		"another tenant": {Tenant: "other"}, "later": {Since: time.Now().Add(2 * time.Hour)}, "before": {Until: time.Now().Add(-2 * time.Hour)},
	} {
		if rows, err := l.Usage(t.Context(), q); err != nil || len(rows) != 0 {
			t.Errorf("%s: %+v, %v", name, rows, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLedger(t, dir, store)
	if d := cmp.Diff(want, total(t, l, dims...)); d != "" {
		t.Errorf("after it is opened again: %s", d)
	}
	if _, err := l.Usage(t.Context(), ledger.Query{By: []ledger.By{"colour"}}); decouple.KindOf(err) != decouple.Invalid {
		t.Errorf("by colour: %v", err)
	}
}

func TestFolderIsTaken(t *testing.T) {
	t.Parallel()
	dir, store := t.TempDir(), openStore(t, t.TempDir())
	l := openLedger(t, dir, store)
	if _, err := ledger.Open(ledger.Config{Dir: dir, Store: store}); decouple.KindOf(err) != decouple.Conflict {
		t.Errorf("opened twice: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	openLedger(t, dir, store)
}

// TestBudget spends a budget to its end, and no further.
func TestBudget(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		budget ledger.Budget
		limit  string
	}{
		"tenant": {ledger.Budget{Scope: ledger.ForTenant, Period: ledger.Total, Limit: ledger.Amount{USD: 1000}}, "usd"},
		"key":    {ledger.Budget{Scope: ledger.ForKey, Name: "k1", Period: ledger.Day, Limit: ledger.Amount{Tokens: 100}}, "tokens"},
		"team":   {ledger.Budget{Scope: ledger.ForTeam, Name: "search", Period: ledger.Month, Limit: ledger.Amount{USD: 1000, Tokens: 1 << 40}}, "usd"},
		"agent":  {ledger.Budget{Scope: ledger.ForAgent, Name: "researcher", Period: ledger.Total, Limit: ledger.Amount{USD: 1 << 40, Tokens: 100}}, "tokens"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := openLedger(t, t.TempDir(), openStore(t, t.TempDir()))
			b := c.budget
			b.ID, b.Tenant = "b", "acme"
			if err := l.SetBudget(t.Context(), b, by); err != nil {
				t.Fatal(err)
			}
			for i := range 10 { // each reserves more than it uses
				do(t, l, call(fmt.Sprint(i), 110-decouple.Money(i), 11), used("azure/x", 5, 5, 100))
				if i == 8 {
					e, err := l.Begin(t.Context(), call("more", 101, 11))
					if refusal := (*ledger.Refusal)(nil); !errors.As(err, &refusal) || decouple.KindOf(err) != decouple.Exhausted || refusal.Budget != "b" || refusal.Limit != c.limit || refusal.Renews.IsZero() != (b.Period == ledger.Total) {
						t.Fatalf("more than is left: %v, %v, %+v", e, err, refusal)
					}
					do(t, l, call("last", 100, 10), used("azure/x", 5, 5, 100))
					break
				}
			}
			if _, err := l.Begin(t.Context(), call("over", 1, 1)); decouple.KindOf(err) != decouple.Exhausted {
				t.Errorf("after the last: %v", err)
			}
			other := call("other", 1, 1)
			other.Tenant = "other"
			do(t, l, other, used("azure/x", 1, 0, 1))
			st, err := l.Budgets(t.Context(), "acme")
			if err != nil || len(st) != 1 || st[0].Spent != (ledger.Amount{USD: 1000, Tokens: 100}) {
				t.Errorf("%+v, %v", st, err)
			}
			b.Limit = ledger.Amount{USD: 2000, Tokens: 200}
			if err := l.SetBudget(t.Context(), b, by); err != nil {
				t.Fatal(err)
			}
			if err := l.RemoveBudget(t.Context(), "acme", "b", by); err != nil {
				t.Fatal(err)
			}
			do(t, l, call("free", 1<<40, 1<<40), used("azure/x", 1, 0, 1))
		})
	}
}

// TestAllOrNothing has a call stopped by the second of its budgets: the first keeps what it had.
func TestAllOrNothing(t *testing.T) {
	t.Parallel()
	l := openLedger(t, t.TempDir(), openStore(t, t.TempDir()))
	for id, n := range map[string]int64{"a": 100, "b": 50} {
		if err := l.SetBudget(t.Context(), ledger.Budget{ID: id, Tenant: "acme", Scope: ledger.ForTenant, Period: ledger.Total, Limit: ledger.Amount{Tokens: n}}, by); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Begin(t.Context(), call("1", 0, 60)); decouple.KindOf(err) != decouple.Exhausted {
		t.Fatalf("over b: %v", err)
	}
	do(t, l, call("2", 0, 50), used("azure/x", 25, 25, 0))
	if err := l.RemoveBudget(t.Context(), "acme", "b", by); err != nil {
		t.Fatal(err)
	}
	do(t, l, call("3", 0, 50), used("azure/x", 25, 25, 0))
}

// TestUnpriced refuses a call whose price is not known where money is counted, and lets it pass where tokens are.
func TestUnpriced(t *testing.T) {
	t.Parallel()
	l := openLedger(t, t.TempDir(), openStore(t, t.TempDir()))
	c := call("1", 0, 10)
	c.Unpriced = true
	c.Budgets = []ledger.Budget{{ID: "key:k1", Tenant: "acme", Scope: ledger.ForKey, Name: "k1", Period: ledger.Day, Limit: ledger.Amount{USD: 5}}}
	if _, err := l.Begin(t.Context(), c); decouple.KindOf(err) != decouple.Denied {
		t.Errorf("where money counts: %v", err)
	}
	c.Budgets[0].Limit = ledger.Amount{Tokens: 15}
	s := used("azure/x", 5, 5, 0)
	s.Lines[0].Unpriced = true
	do(t, l, c, s)
	c.ID = "2"
	if _, err := l.Begin(t.Context(), c); decouple.KindOf(err) != decouple.Exhausted {
		t.Errorf("over the tokens: %v", err)
	}
	if rows := total(t, l); len(rows) != 1 || rows[0].Unpriced != 1 {
		t.Errorf("%+v", rows)
	}
}

// TestAttemptReservesMore has a second endpoint that costs more.
func TestAttemptReservesMore(t *testing.T) {
	t.Parallel()
	l := openLedger(t, t.TempDir(), openStore(t, t.TempDir()))
	c := call("1", 60, 0)
	c.Budgets = []ledger.Budget{{ID: "key:k1", Tenant: "acme", Scope: ledger.ForKey, Name: "k1", Period: ledger.Day, Limit: ledger.Amount{USD: 100}}}
	e, err := l.Begin(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Attempt(t.Context(), "a", "m", ledger.Amount{USD: 50}); decouple.KindOf(err) != decouple.Exhausted {
		t.Errorf("more than there is: %v", err)
	}
	if err := e.Attempt(t.Context(), "a", "m", ledger.Amount{USD: 40}); err != nil || e.Reserved().USD != 100 {
		t.Errorf("all there is: %v, %v", e.Reserved(), err)
	}
	if err := e.Settle(used("a", 1, 1, 30)); err != nil {
		t.Fatal(err)
	}
	c.ID, c.Reserve.USD = "2", 70
	do(t, l, c, used("a", 1, 1, 70))
}

// TestKeepsWhatIsUnderWay opens a folder as a process that was killed left it.
func TestKeepsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	store := openStore(t, t.TempDir())
	dir := t.TempDir()
	l := openLedger(t, dir, store)
	budget := ledger.Budget{ID: "b", Tenant: "acme", Scope: ledger.ForTenant, Period: ledger.Total, Limit: ledger.Amount{USD: 1000}}
	if err := l.SetBudget(t.Context(), budget, by); err != nil {
		t.Fatal(err)
	}
	do(t, l, call("done", 50, 1), used("azure/x", 1, 1, 30))
	asked, err := l.Begin(t.Context(), call("asked", 200, 9))
	if err != nil {
		t.Fatal(err)
	}
	if err := asked.Attempt(t.Context(), "azure/y", "gpt", ledger.Amount{USD: 100}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Begin(t.Context(), call("unasked", 400, 9)); err != nil {
		t.Fatal(err)
	}
	do(t, l, call("after", 50, 1), used("azure/x", 1, 1, 30)) // writes what was begun before it

	again := openLedger(t, copyOf(t, dir), store)
	rows := total(t, again, ledger.ByOutcome, ledger.ByEndpoint, ledger.BySource)
	want := []ledger.Row{
		{Group: ledger.Group{Outcome: ledger.Lost}, Calls: 1},
		{Group: ledger.Group{Outcome: ledger.OK, Endpoint: "azure/x", Source: ledger.Reported}, Calls: 2, Usage: decouple.Usage{TokensIn: 2, TokensOut: 2, Cost: 60}},
		{Group: ledger.Group{Outcome: ledger.Lost, Endpoint: "azure/y", Source: ledger.Unknown}, Calls: 1, Unseen: 1, Usage: decouple.Usage{TokensOut: 9, Cost: 300, Estimated: true}},
	}
	if d := cmp.Diff(want, rows); d != "" {
		t.Error(d)
	}
	if again.Under() != 0 || again.Damaged() != 0 {
		t.Errorf("%d under way, %d damaged", again.Under(), again.Damaged())
	}
	// 360 of 1,000 are gone.
	if _, err := again.Begin(t.Context(), call("over", 641, 1)); decouple.KindOf(err) != decouple.Exhausted {
		t.Errorf("more than is left: %v", err)
	}
	do(t, again, call("rest", 640, 1), used("azure/x", 1, 1, 640))
}

// copyOf is a ledger's folder as it is on the disk now.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(to, "lock")); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestRoll goes through many small files; those that are not needed are gone.
func TestRoll(t *testing.T) {
	t.Parallel()
	dir, store := t.TempDir(), openStore(t, t.TempDir())
	l, err := ledger.Open(ledger.Config{Dir: dir, Store: store, Journal: time.Millisecond, Segment: 2000, Batch: 7, Refresh: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	long, err := l.Begin(t.Context(), call("long", 100, 10))
	if err != nil {
		t.Fatal(err)
	}
	if err := long.Attempt(t.Context(), "azure/x", "gpt", ledger.Amount{}); err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		do(t, l, call(fmt.Sprint(i), 100, 10), used("azure/x", 2, 1, 3))
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names, err := filepath.Glob(filepath.Join(dir, "*.log")); err != nil || len(names) > 100 || names[0] == filepath.Join(dir, "000000000001.log") {
		t.Errorf("%d files are left from %s on, %v", len(names), names[0], err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLedger(t, dir, store)
	want := []ledger.Row{
		{Group: ledger.Group{Outcome: ledger.Lost}, Calls: 1, Unseen: 1, Usage: decouple.Usage{TokensOut: 10, Cost: 100, Estimated: true}},
		{Group: ledger.Group{Outcome: ledger.OK}, Calls: 2000, Usage: decouple.Usage{TokensIn: 4000, TokensOut: 2000, Cost: 6000}},
	}
	if d := cmp.Diff(want, total(t, l, ledger.ByOutcome)); d != "" {
		t.Error(d)
	}
}
