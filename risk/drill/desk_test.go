package drill_test

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/risk/drill"
	"decouple.dev/decouple/risk/fleet"
	"decouple.dev/decouple/risk/parity"
	"decouple.dev/decouple/risk/sign"
	"decouple.dev/decouple/sim"
)

// newDesk is a desk over a real journal and ledger, with the endpoints of the simulated clouds.
func newDesk(t *testing.T) (*drill.Desk, *sqlite.Store) {
	t.Helper()
	store, err := sqlite.Open(context.Background(), sqlite.Config{Dir: filepath.Join(t.TempDir(), "journal")})
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(ledger.Config{Dir: t.TempDir(), Store: store})
	if err != nil {
		t.Fatal(err)
	}
	setup, err := sim.ReadSetup("clouds.yaml", sim.DefaultClouds)
	if err != nil {
		t.Fatal(err)
	}
	base, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	cat, err := fleet.Catalog(base, setup.Clouds, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &drill.Desk{Log: store, Ledger: l, Catalog: func() *catalog.Catalog { return cat }, Sign: key, Node: "here"}
	t.Cleanup(func() {
		d.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, store
}

func key() (*sign.Key, error) { return sign.Parse(strings.Repeat("7", 64), "the test") }

// record settles a call as a gateway does.
func record(t *testing.T, l *ledger.Ledger, c ledger.Call, at string, u decouple.Usage) {
	t.Helper()
	c.ID = rand.Text()
	e, err := l.Begin(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Settle(ledger.Settlement{Outcome: ledger.OK, First: 400 * time.Millisecond, Took: 3 * time.Second, Won: 1, Lines: []ledger.Line{{Attempt: 1, Endpoint: at, Model: c.Model, Usage: u, Source: ledger.Reported}}}); err != nil {
		t.Fatal(err)
	}
}

// TestShadow decides recorded calls again without Azure: what has an alternate says which and at what price, what a contract keeps at home has none, and what was elsewhere is untouched.
func TestShadow(t *testing.T) {
	t.Parallel()
	d, _ := newDesk(t)
	c, err := placement.Parse("own.yaml", []byte("id: home\nconfidence: signed\nclauses:\n  - {id: azure, kind: residency, text: Letters stay at Azure., binds: {label: letters}, in: {vendor: azure}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	d.Contract = func(context.Context, decouple.TenantID) (placement.Book, error) {
		return placement.Book{Contracts: []placement.Contract{c}}, nil
	}
	used := decouple.Usage{TokensIn: 1000, TokensOut: 100, Cost: 4_000_000}
	for range 4 {
		record(t, d.Ledger, ledger.Call{Tenant: "local", Class: "chat", Model: "gpt-5.4"}, "azure/eastus2/gpt-5.4", used)
	}
	record(t, d.Ledger, ledger.Call{Tenant: "local", Class: "letters", Labels: []string{"letters"}, Model: "gpt-5.4"}, "azure/swedencentral/gpt-5.4", used)
	record(t, d.Ledger, ledger.Call{Tenant: "local", Class: "other", Model: "sonnet-4.6"}, "anthropic/us/sonnet-4.6", used)
	record(t, d.Ledger, ledger.Call{Tenant: "acme", Class: "chat", Model: "gpt-5.4"}, "azure/eastus2/gpt-5.4", used)
	s, err := drill.Read("own.yaml", []byte(least+"expect: {breaches: 0, no_alternate: []}\n"))
	if err != nil {
		t.Fatal(err)
	}
	r, envelope, err := d.Run(t.Context(), drill.Ask{Tenant: "local", Scenario: s, Mode: drill.Shadow, By: me})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Workloads) != 2 || !strings.HasPrefix(r.World, "6 calls") {
		t.Fatalf("%s: %+v", r.World, r.Workloads)
	}
	chat, letters := r.Workloads[0], r.Workloads[1]
	if !chat.Alternate || chat.During.Calls != 4 || chat.During.Failed != 0 || chat.During.PerCall <= 0 || chat.During.First50 <= 0 || strings.HasPrefix(chat.Shares[0].Endpoint, "azure/") {
		t.Errorf("chat: %+v", chat)
	}
	// 1,000 tokens in and 100 out cost 0.0025 + 0.0015 at OpenAI, and a tenth more at Bedrock.
	if c := chat.During.PerCall; c != 4_000_000 && c != 4_400_000 {
		t.Errorf("an answer of the alternate costs %s", c)
	}
	if letters.Alternate || letters.During.Failed != 1 || len(r.Gaps) != 1 || r.Gaps[0].Calls != 1 || !strings.Contains(strings.Join(r.Gaps[0].Refused, " "), "home/azure") {
		t.Errorf("letters: %+v, gaps %+v", letters, r.Gaps)
	}
	if u := r.Unproved; len(u) != 1 || u[0].Primary != "azure/eastus2/gpt-5.4" || u[0].Alternate != chat.Shares[0].Endpoint || u[0].Calls != 4 {
		t.Errorf("not proved: %+v", u)
	}
	proof := parity.Report{ID: "par_1", At: time.Now(), Primary: parity.Side{Endpoint: "azure/uksouth/gpt-5.4"}, Alternate: parity.Side{Endpoint: catalog.EndpointID(chat.Shares[0].Endpoint)}, Verdict: parity.Pass}
	if err := parity.Keep(t.Context(), d.Log, "local", proof, me); err != nil {
		t.Fatal(err)
	}
	record(t, d.Ledger, ledger.Call{Tenant: "local", Class: "chat", Model: "gpt-5.4", Run: parity.Prefix + "2"}, "azure/eastus2/gpt-5.4", used)
	if again, _, err := d.Run(t.Context(), drill.Ask{Tenant: "local", Scenario: s, Mode: drill.Shadow, By: me}); err != nil || len(again.Unproved) != 0 || again.Workloads[0].During.Calls != 4 {
		t.Errorf("after a parity evaluation of the same model elsewhere: %+v, %v", again, err)
	}
	if r.Passed || r.Total.Contract != 0 {
		t.Errorf("%+v", r.Checks)
	}
	k, _ := key()
	if v, err := drill.Verify(envelope, k.Public()); err != nil || v.ID != r.ID {
		t.Errorf("the envelope: %v", err)
	}
}

// TestKept plays drills and finds them again: listed, compared, graded, and refused when a byte is changed.
func TestKept(t *testing.T) {
	t.Parallel()
	d, store := newDesk(t)
	s, err := drill.Find("azure-2026-01-27")
	if err != nil {
		t.Fatal(err)
	}
	s.Lasts, s.Lose[0].To = 5*time.Minute, 5*time.Minute // as a file of its own would have it, and not in short form
	var ids []string
	for seed := range uint64(2) {
		r, _, err := d.Run(t.Context(), drill.Ask{Tenant: "local", Scenario: s, Mode: drill.Sim, Seed: seed + 1, By: me})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	now := time.Now()
	list, err := drill.List(t.Context(), store, "local", now)
	if err != nil || len(list) != 2 || list[0].ID != ids[1] || list[0].State != drill.Passed || list[0].Due.Before(now.Add(29*24*time.Hour)) {
		t.Fatalf("%v: %+v", err, list)
	}
	if others, err := drill.List(t.Context(), store, "acme", now); err != nil || len(others) != 0 {
		t.Errorf("another tenant sees %+v (%v)", others, err)
	}
	e, envelope, err := drill.Get(t.Context(), store, "local", ids[0], now)
	if err != nil || e.Result.Chart == nil {
		t.Fatalf("%v: %+v", err, e)
	}
	if len(envelope) > 48<<10 {
		t.Errorf("the signed result has %d bytes", len(envelope))
	}
	k, _ := key()
	at := strings.Index(string(envelope), `"payload":"`) + 200
	changed := append([]byte{}, envelope...)
	changed[at] ^= 1
	if _, err := drill.Verify(changed, k.Public()); err == nil {
		t.Error("a result with a byte changed is verified")
	}
	differ := drill.Compare(list[1].Result, list[0].Result)
	if len(differ) < 20 || differ[0].A != s.ID {
		t.Errorf("%+v", differ)
	}
	if points := drill.Trend(list, s.ID); len(points) != 2 || points[0].ID != ids[0] {
		t.Errorf("the trend is %+v", points)
	}
	if latest, err := drill.Latest(t.Context(), store, "local", now); err != nil || len(latest) != 1 || latest[0].ID != ids[1] {
		t.Errorf("%v: the latest are %+v", err, latest)
	}
}

// TestGrade lowers the grade of a scenario that is overdue, and of one that was not passed; short and aborted drills count for nothing.
func TestGrade(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	entry := func(id string, ago time.Duration, mode drill.Mode, state drill.State) drill.Entry {
		return drill.Entry{ID: id + ago.String(), Scenario: id, Mode: mode, Started: now.Add(-ago), State: state, Every: 30 * day, Result: &drill.Result{Total: drill.Figures{During: drill.Phase{Calls: 1}}}}
	}
	unmet := func(id string, mode drill.Mode) drill.Entry { // newer than others, and no call met it
		e := entry(id, day, mode, drill.Passed)
		e.Result = &drill.Result{}
		return e
	}
	short := entry("short", day, drill.Sim, drill.Passed)
	short.Result = &drill.Result{Scenario: drill.About{Short: true}}
	scenarios := []drill.Scenario{{ID: "never", Every: 30 * day}, {ID: "sim"}, {ID: "live"}, {ID: "old"}, {ID: "failed"}, {ID: "aborted", Every: 30 * day}, {ID: "short"}}
	list, overall := drill.Grade(scenarios, []drill.Entry{
		entry("sim", 3*day, drill.Sim, drill.Passed), entry("live", 3*day, drill.Live, drill.Passed), entry("old", 60*day, drill.Sim, drill.Passed), entry("failed", 3*day, drill.Shadow, drill.Failed),
		entry("failed", 9*day, drill.Live, drill.Passed), entry("aborted", day, drill.Live, drill.Aborted), short, entry("own", day, drill.Shadow, drill.Passed),
		unmet("never", drill.Shadow), unmet("sim", drill.Live),
	}, now)
	points := map[string]int{}
	for _, s := range list {
		points[s.Scenario] = s.Points
		if overdue := s.Scenario == "old" || s.Scenario == "never" || s.Scenario == "aborted"; s.Overdue != overdue {
			t.Errorf("%+v", s)
		}
	}
	want := map[string]int{"never": 0, "sim": 80, "live": 100, "old": 40, "failed": 30, "aborted": 0, "short": 0, "own": 100}
	for id, n := range want {
		if points[id] != n {
			t.Errorf("%s has %d points, not %d", id, points[id], n)
		}
	}
	if overall != 350/8 {
		t.Errorf("the grade is %d", overall)
	}
}
