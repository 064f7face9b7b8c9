package ledger_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
)

// TestHistory reads events and a file as the first version wrote them, for ever.
func TestHistory(t *testing.T) {
	t.Parallel()
	store := openStore(t, t.TempDir())
	sample := func(stream decouple.Stream, kind decouple.EventKind, expect decouple.Seq) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join("testdata", "history", string(kind)+".1.json"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = store.Commit(t.Context(), journal.Mutation{ID: decouple.CommitID(kind), Stream: stream, Expect: expect, Events: []journal.NewEvent{{Kind: kind, KindVersion: 1, Payload: b}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	budget := decouple.Stream{Tenant: "acme", Kind: "budget", ID: "b"}
	sample(budget, "budget.set", 0)
	slice := decouple.Stream{Tenant: "acme", Kind: "slice", ID: "b/total"}
	sample(slice, "budget.granted", 0)
	sample(slice, "budget.returned", 1)
	sample(decouple.Stream{Tenant: "acme", Kind: "usage", ID: "lold/1"}, "usage.recorded", 0)

	l := openLedger(t, t.TempDir(), store)
	st, err := l.Budgets(t.Context(), "acme")
	want := []ledger.Standing{{
		Budget: ledger.Budget{ID: "b", Tenant: "acme", Scope: ledger.ForTeam, Name: "search", Period: ledger.Total, Limit: ledger.Amount{USD: 5 * decouple.USD, Tokens: 1_000_000}},
		Window: "total", Spent: ledger.Amount{USD: 12345, Tokens: 1500}, Held: ledger.Amount{USD: decouple.USD / 2, Tokens: 100_000},
	}}
	if d := cmp.Diff(want, st); d != "" || err != nil {
		t.Errorf("%s, %v", d, err)
	}
	rows := total(t, l, ledger.ByHour, ledger.ByAgent, ledger.BySource, ledger.ByOutcome)
	wantRows := []ledger.Row{
		{Group: ledger.Group{Hour: "2026-11-30T12", Agent: "researcher", Source: ledger.Reported, Outcome: ledger.OK}, Calls: 1, Usage: decouple.Usage{TokensIn: 1200, TokensOut: 300, Cost: 12345, Cached: 1000, CacheWrite: 50, CacheLong: 20, Thought: 100}},
		{Group: ledger.Group{Hour: "2026-11-30T13", Outcome: ledger.Cached}, Calls: 1},
		{Group: ledger.Group{Hour: "2026-11-30T13", Source: ledger.Estimated, Outcome: ledger.Lost}, Calls: 1, Unpriced: 1, Usage: decouple.Usage{TokensIn: 1, Estimated: true}},
		{Group: ledger.Group{Hour: "2026-11-30T13", Source: ledger.Unknown, Outcome: ledger.Lost}, Calls: 1, Unseen: 1, Usage: decouple.Usage{TokensOut: 9, Cost: 77, Estimated: true}},
	}
	if d := cmp.Diff(wantRows, rows); d != "" {
		t.Error(d)
	}
	sample(budget, "budget.removed", 1)
	if st, err = l.Budgets(t.Context(), "acme"); len(st) != 0 || err != nil {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestHistoryOfFiles opens a folder as the first version left it when it was killed.
func TestHistoryOfFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "history", "folder"))); err != nil {
		t.Fatal(err)
	}
	store := openStore(t, t.TempDir())
	l := openLedger(t, dir, store)
	if l.Damaged() != 0 || l.Holder() != "lold" {
		t.Errorf("%s has %d damaged lines", l.Holder(), l.Damaged())
	}
	want := []ledger.Row{
		{Group: ledger.Group{Outcome: ledger.Lost}, Calls: 1},
		{Group: ledger.Group{Outcome: ledger.OK, Endpoint: "azure/x", Source: ledger.Reported}, Calls: 2, Usage: decouple.Usage{TokensIn: 2, TokensOut: 2, Cost: 60}},
		{Group: ledger.Group{Outcome: ledger.Lost, Endpoint: "azure/y", Source: ledger.Unknown}, Calls: 1, Unseen: 1, Usage: decouple.Usage{TokensOut: 9, Cost: 300, Estimated: true}},
	}
	if d := cmp.Diff(want, total(t, l, ledger.ByOutcome, ledger.ByEndpoint, ledger.BySource)); d != "" {
		t.Error(d)
	}
}

// TestTorn cuts a folder's file everywhere, and spoils a byte of it everywhere: all whole lines are read, and the folder can be used.
func TestTorn(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob(filepath.Join("testdata", "history", "folder", "*.log"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	p, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for i := range p {
		open, settled, damaged := ledger.Fold(p[:i])
		whole := i == 0 || p[i-1] == '\n'
		if whole {
			lines++
		}
		if (damaged == 0) != whole || open+settled > lines {
			t.Errorf("cut at %d: %d under way, %d settled, %d damaged", i, open, settled, damaged)
		}
		spoiled := append([]byte(nil), p...)
		spoiled[i] ^= 1 << (i % 8)
		if _, _, damaged := ledger.Fold(spoiled); damaged < 1 || damaged > 2 {
			t.Errorf("spoiled at %d: %d damaged", i, damaged)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "000000000001.log"), p[:len(p)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	l := openLedger(t, dir, openStore(t, t.TempDir()))
	if l.Damaged() != 1 {
		t.Errorf("%d damaged lines", l.Damaged())
	}
	do(t, l, call("new", 1, 1), used("azure/x", 1, 0, 1))
}

// FuzzFold reads anything as a file.
func FuzzFold(f *testing.F) {
	names, err := filepath.Glob(filepath.Join("testdata", "history", "folder", "*.log"))
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		p, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		open, settled, damaged := ledger.Fold(p)
		if open < 0 || settled < 0 || damaged > len(p) {
			t.Error(open, settled, damaged)
		}
	})
}

// FuzzNames has calls with any names: what can be kept is read again as it was, and the rest is refused.
func FuzzNames(f *testing.F) {
	f.Add("c1", "smart", `a "quoted" \ name`)
	f.Add("c\n", "ü", "\u2028")
	f.Add("\xff", "", "\x7f")
	f.Fuzz(func(t *testing.T, id, model, endpoint string) {
		c := call(id, 1, 1)
		c.Model = model
		gotID, gotModel, gotEndpoint, kept := ledger.RoundTrip(c, used(endpoint, 1, 1, 1))
		if kept && (gotID != id || gotModel != model || gotEndpoint != endpoint) {
			t.Errorf("%q %q %q came back as %q %q %q", id, model, endpoint, gotID, gotModel, gotEndpoint)
		}
	})
}
