package registry_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/registry"
)

var (
	root = decouple.Actor{Kind: decouple.ActorPerson, ID: "root"}
	ci   = decouple.Actor{Kind: decouple.ActorService, ID: "ci"}
)

func TestScope(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, keys := openKeys(t)
	scope := &registry.Scope{
		Team: "search", Models: []string{"smart", "gpt-5.4"}, Classes: []string{"chat"}, Labels: []string{"internal"}, Requests: 60, Tokens: 10_000, Priority: 3,
		Budgets: []registry.KeyBudget{{Period: "day", USD: 5 * decouple.USD}, {Period: "total", Tokens: 1_000_000}},
	}
	key, bearer, err := keys.Create(ctx, registry.Key{Tenant: "acme", Actor: ci, Role: registry.RoleViewer, By: root, Scope: scope})
	if err != nil {
		t.Fatal(err)
	}
	other := registry.NewKeys(store)
	who, err := other.Authenticate(ctx, bearer)
	if d := cmp.Diff(scope, who.Scope); d != "" || err != nil {
		t.Errorf("%s, %v", d, err)
	}
	narrow := &registry.Scope{Team: "search", Models: []string{"cheap"}}
	if key, err = keys.Change(ctx, "acme", key.ID, narrow, root); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(narrow, key.Scope); d != "" {
		t.Error(d)
	}
	if who, err = keys.Authenticate(ctx, bearer); err != nil || who.Scope.Models[0] != "cheap" {
		t.Errorf("here: %+v, %v", who, err)
	}
	if who, err = registry.NewKeys(store).Authenticate(ctx, bearer); err != nil || who.Scope.Models[0] != "cheap" {
		t.Errorf("another node: %+v, %v", who, err)
	}
	if _, err := keys.Change(ctx, "other", key.ID, nil, root); decouple.KindOf(err) != decouple.NotFound {
		t.Errorf("another tenant's key: %v", err)
	}
	if err := keys.Revoke(ctx, "acme", key.ID, root); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Change(ctx, "acme", key.ID, nil, root); decouple.KindOf(err) != decouple.Conflict {
		t.Errorf("a revoked key: %v", err)
	}
}

func TestScopeRefused(t *testing.T) {
	t.Parallel()
	_, keys := openKeys(t)
	for name, bad := range map[string]registry.Scope{
		"blank":    {Models: []string{""}},
		"padded":   {Team: " x"},
		"long":     {Classes: []string{strings.Repeat("x", 201)}},
		"many":     {Labels: make([]string, 101)},
		"rate":     {Requests: -1},
		"priority": {Priority: 101},
		"period":   {Budgets: []registry.KeyBudget{{Period: "week", Tokens: 1}}},
		"twice":    {Budgets: []registry.KeyBudget{{Period: "day", Tokens: 1}, {Period: "day", USD: 1}}},
		"nothing":  {Budgets: []registry.KeyBudget{{Period: "day"}}},
		"control":  {Team: "a\x1bb"},
	} {
		if _, _, err := keys.Create(t.Context(), registry.Key{Actor: ci, Role: registry.RoleViewer, Scope: &bad}); decouple.KindOf(err) != decouple.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestScopeHistory reads events of scopes as they were first written, for ever.
func TestScopeHistory(t *testing.T) {
	t.Parallel()
	store, keys := openKeys(t)
	stream := decouple.Stream{Tenant: "acme", Kind: decouple.StreamKey, ID: "old"}
	for i, e := range []struct {
		kind    decouple.EventKind
		payload string
	}{
		{"key.created", `{"hash":"c72bb2e9d11a5bbdf1cbf47be8ff1e1d1d4a1e4f2b5d5b1a7f0e7e0a3f1d5c11","actor":{"kind":"service","id":"ci"},"role":"viewer","scope":{"team":"search","models":["smart"],"classes":["chat"],"labels":["internal"],"budgets":[{"period":"day","usd":5000000000,"tokens":7}],"rpm":60,"tpm":1000,"priority":2}}`},
		{"key.changed", `{"scope":{"models":["cheap"]}}`},
		{"key.changed", `{}`},
	} {
		_, err := store.Commit(t.Context(), journal.Mutation{ID: decouple.CommitID(rune('a' + i)), Stream: stream, Expect: decouple.Seq(i), Events: []journal.NewEvent{{Kind: e.kind, KindVersion: 1, Payload: []byte(e.payload)}}})
		if err != nil {
			t.Fatal(err)
		}
		list, err := keys.List(t.Context(), "acme")
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		want := []*registry.Scope{
			{Team: "search", Models: []string{"smart"}, Classes: []string{"chat"}, Labels: []string{"internal"}, Budgets: []registry.KeyBudget{{Period: "day", USD: 5 * decouple.USD, Tokens: 7}}, Requests: 60, Tokens: 1000, Priority: 2},
			{Models: []string{"cheap"}}, nil,
		}[i]
		if d := cmp.Diff(want, list[0].Scope); d != "" {
			t.Error(d)
		}
	}
}

// cutLog is a journal that can be cut off, and one that never answers.
type cutLog struct {
	registry.KeyLog
	cut, hangs atomic.Bool
}

func (c *cutLog) Scan(ctx context.Context, f journal.Filter) ([]decouple.Event, error) {
	if c.hangs.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if c.cut.Load() {
		return nil, decouple.Errorf(decouple.Unavailable, "the journal does not answer")
	}
	return c.KeyLog.Scan(ctx, f)
}

// TestRevokedWithinASecond has a key that was revoked on one node refused on the others after a second, whether they were asked in between or not.
func TestRevokedWithinASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		store, _ := openKeys(t)
		here, busy, idle := registry.NewKeys(store), registry.NewKeys(store), registry.NewKeys(store)
		key, bearer, err := here.Create(ctx, registry.Key{Actor: ci, Role: registry.RoleViewer})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []*registry.Keys{busy, idle} {
			if _, err := k.Authenticate(ctx, bearer); err != nil {
				t.Fatal(err)
			}
		}
		if err := here.Revoke(ctx, decouple.LocalTenant, key.ID, root); err != nil {
			t.Fatal(err)
		}
		if _, err := here.Authenticate(ctx, bearer); decouple.KindOf(err) != decouple.Unauthenticated {
			t.Errorf("where it was revoked: %v", err)
		}
		for range 10 {
			time.Sleep(100 * time.Millisecond)
			_, _ = busy.Authenticate(ctx, bearer)
		}
		for name, k := range map[string]*registry.Keys{"busy": busy, "idle": idle} {
			if _, err := k.Authenticate(ctx, bearer); decouple.KindOf(err) != decouple.Unauthenticated {
				t.Errorf("%s, a second later: %v", name, err)
			}
		}
		synctest.Wait()
	})
}

// TestGrace cuts a node off from the journal: without grace nobody is let in after a second, with it those who are known are, until it is over.
func TestGrace(t *testing.T) {
	t.Parallel()
	for name, hangs := range map[string]bool{"cut": false, "hangs": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { checkGrace(t, hangs) })
		})
	}
}

func checkGrace(t *testing.T, hangs bool) {
	store, first := openKeys(t)
	_, bearer, err := first.Create(context.Background(), registry.Key{Actor: ci, Role: registry.RoleViewer})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	log := &cutLog{KeyLog: store}
	strict, lenient := registry.NewKeys(log), registry.NewKeys(log)
	lenient.Grace = time.Minute
	both := func(want, wantLenient decouple.Kind) {
		t.Helper()
		began := time.Now()
		if _, err := lenient.Authenticate(ctx, bearer); decouple.KindOf(err) != wantLenient {
			t.Errorf("with grace: %v", err)
		}
		if wait := time.Since(began); wantLenient == "" && wait > time.Second {
			t.Errorf("with grace, it took %v", wait)
		}
		if _, err := strict.Authenticate(ctx, bearer); decouple.KindOf(err) != want {
			t.Errorf("without grace: %v", err)
		}
	}
	both("", "")
	log.cut.Store(true)
	log.hangs.Store(hangs)
	no := decouple.Unavailable
	if hangs {
		no = decouple.Deadline
	}
	both("", "")
	time.Sleep(1100 * time.Millisecond)
	both(no, "")
	time.Sleep(10 * time.Second)
	both(no, "")
	time.Sleep(time.Minute)
	both(no, no)
	log.cut.Store(false)
	log.hangs.Store(false)
	both("", "")
	time.Sleep(11 * time.Second) // whoever still waits gives up
	synctest.Wait()
}

func BenchmarkAuthenticate(b *testing.B) {
	store, err := sqlite.Open(b.Context(), sqlite.Config{Dir: b.TempDir(), Owner: "test"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	keys := registry.NewKeys(store)
	_, bearer, err := keys.Create(b.Context(), registry.Key{Actor: ci, Role: registry.RoleViewer})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := keys.Authenticate(b.Context(), bearer); err != nil {
				b.Error(err)
			}
		}
	})
}
