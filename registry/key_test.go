package registry_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/registry"
)

func openKeys(t *testing.T) (*sqlite.Store, *registry.Keys) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir(), Owner: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store, registry.NewKeys(store)
}

func TestFirstKey(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, keys := openKeys(t)
	bearer, made, err := keys.First(ctx)
	if err != nil || !made {
		t.Fatalf("First: %v %v", made, err)
	}
	who, err := keys.Authenticate(ctx, bearer)
	if err != nil || who.Role != registry.RoleOwner || who.Tenant != decouple.LocalTenant || who.Key != "first" {
		t.Fatalf("the first key is %+v, %v", who, err)
	}
	if again, made, err := registry.NewKeys(store).First(ctx); made || again != "" || err != nil {
		t.Fatalf("a second first key was made: %v %v", made, err)
	}
	if err := keys.Revoke(ctx, decouple.LocalTenant, "first", who.Actor); decouple.KindOf(err) != decouple.Conflict {
		t.Fatalf("the last owner's key was revoked: %v", err)
	}
	events, err := store.Read(ctx, decouple.Stream{Tenant: decouple.LocalTenant, Kind: decouple.StreamKey, ID: "first"}, 0, 0)
	if err != nil || len(events) != 1 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	if _, secret, _ := strings.Cut(strings.TrimPrefix(bearer, "dck_"), "_"); strings.Contains(string(events[0].Payload), secret) {
		t.Error("the journal holds the secret")
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, keys := openKeys(t)
	admin := decouple.Actor{Kind: decouple.ActorPerson, ID: "root"}
	want := registry.Key{Tenant: "acme", Actor: decouple.Actor{Kind: decouple.ActorPerson, ID: "ada"}, Role: registry.RoleOperator, Label: "laptop", By: admin}
	key, bearer, err := keys.Create(ctx, want)
	if err != nil || key.Tenant != "acme" || key.Role != registry.RoleOperator || key.By != admin || key.Created.IsZero() {
		t.Fatalf("Create: %+v %v", key, err)
	}
	other := registry.NewKeys(store) // another node
	if who, err := other.Authenticate(ctx, bearer); err != nil || who.Actor.ID != "ada" || who.Tenant != "acme" {
		t.Fatalf("the other node knows %+v, %v", who, err)
	}
	for _, bad := range []string{"", "dck_", "dck_x", bearer + "x", bearer[:len(bearer)-1], strings.ToUpper(bearer), "dck_" + key.ID + "_", "dck_unknown_unknown", strings.Repeat("dck_a_", 100)} {
		if _, err := keys.Authenticate(ctx, bad); decouple.KindOf(err) != decouple.Unauthenticated {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := keys.Revoke(ctx, "other", key.ID, admin); decouple.KindOf(err) != decouple.NotFound {
		t.Errorf("another tenant's key: %v", err)
	}
	if err := keys.Revoke(ctx, "acme", key.ID, admin); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Authenticate(ctx, bearer); decouple.KindOf(err) != decouple.Unauthenticated {
		t.Errorf("a revoked key: %v", err)
	}
	if err := keys.Revoke(ctx, "acme", key.ID, admin); decouple.KindOf(err) != decouple.Conflict {
		t.Errorf("revoked twice: %v", err)
	}
	list, err := keys.List(ctx, "acme")
	if err != nil || len(list) != 1 || list[0].Revoked.IsZero() {
		t.Errorf("List: %+v %v", list, err)
	}
}

func TestKeyRefused(t *testing.T) {
	t.Parallel()
	_, keys := openKeys(t)
	ada := decouple.Actor{Kind: decouple.ActorPerson, ID: "ada"}
	bot := decouple.Actor{Kind: decouple.ActorAgent, ID: "bot"}
	for name, bad := range map[string]registry.Key{
		"role":     {Actor: ada, Role: "king"},
		"actor":    {Actor: decouple.Actor{Kind: decouple.ActorSystem, ID: "x"}, Role: registry.RoleViewer},
		"nameless": {Actor: decouple.Actor{Kind: decouple.ActorPerson}, Role: registry.RoleViewer},
		"tenant":   {Tenant: "../x", Actor: ada, Role: registry.RoleViewer},
		"expired":  {Actor: ada, Role: registry.RoleViewer, Expires: time.Unix(1, 0)},
		"agent":    {Actor: bot, Role: registry.RoleApprover},
	} {
		if _, _, err := keys.Create(t.Context(), bad); err == nil {
			t.Errorf("%s: was made", name)
		}
	}
	if _, _, err := keys.Create(t.Context(), registry.Key{Actor: bot, Role: registry.RoleDeveloper}); err != nil {
		t.Error(err)
	}
}

// TestKeyHistory reads events of keys as the first version wrote them, for ever.
func TestKeyHistory(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, keys := openKeys(t)
	const bearer = "dck_old_abcdefghijklmnopqrstuvwxyz"
	stream := decouple.Stream{Tenant: "acme", Kind: decouple.StreamKey, ID: "old"}
	write := func(id decouple.CommitID, expect decouple.Seq, kind decouple.EventKind, payload string) {
		t.Helper()
		_, err := store.Commit(ctx, journal.Mutation{ID: id, Stream: stream, Expect: expect, Events: []journal.NewEvent{{Kind: kind, KindVersion: 1, Actor: decouple.Actor{Kind: decouple.ActorPerson, ID: "root"}, Payload: []byte(payload)}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	write("1", 0, "key.created", `{"hash":"c72bb2e9d11a5bbdf1cbf47be8ff1e1d1d4a1e4f2b5d5b1a7f0e7e0a3f1d5c11","actor":{"kind":"service","id":"ci"},"role":"developer","label":"build"}`)
	sum := sha256.Sum256([]byte(bearer))
	stream.ID = "old2"
	write("2", 0, "key.created", `{"hash":"`+hex.EncodeToString(sum[:])+`","actor":{"kind":"service","id":"ci"},"role":"developer","label":"build","expires":"2099-01-02T03:04:05Z"}`)
	if _, err := keys.Authenticate(ctx, bearer); decouple.KindOf(err) != decouple.Unauthenticated {
		t.Errorf("a key whose hash is another's: %v", err)
	}
	list, err := keys.List(ctx, "acme")
	if err != nil || len(list) != 2 || list[0].Role != registry.RoleDeveloper || list[0].Label != "build" || list[1].Expires.Year() != 2099 {
		t.Errorf("%+v, %v", list, err)
	}
	stream.ID = "old"
	write("3", 1, "key.revoked", `{}`)
	if list, err = keys.List(ctx, "acme"); err != nil || list[0].Revoked.IsZero() {
		t.Errorf("%+v, %v", list, err)
	}
}
