package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/registry"
)

// signedDoor is a gateway of the builtin model whose callers sign.
type signedDoor struct {
	t    *testing.T
	keys *registry.Keys
	door *doorKeys
	url  string
}

func newSignedDoor(t *testing.T, dir string) *signedDoor {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	cat, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	d := &signedDoor{t: t, keys: registry.NewKeys(store)}
	d.door = &doorKeys{keys: d.keys, seals: &sealer{path: filepath.Join(dir, sealFile)}}
	g, err := gateway.New(gateway.Config{Catalog: cat, Keys: d.door})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(g)
	t.Cleanup(func() {
		web.Close()
		_ = g.Close(t.Context())
	})
	d.url = web.URL
	return d
}

func (d *signedDoor) create(role registry.Role) registry.Key {
	d.t.Helper()
	key, _, err := d.keys.Create(d.t.Context(), registry.Key{Actor: decouple.Actor{Kind: decouple.ActorService, ID: "shop"}, Role: role, Scope: &registry.Scope{Team: "search", Budgets: []registry.KeyBudget{{Period: "day", USD: 5}}, Models: []string{"builtin"}, Requests: 9}})
	if err != nil {
		d.t.Fatal(err)
	}
	return key
}

// call asks for an answer as the AWS SDK would, and gives the status and what was said.
func (d *signedDoor) call(id, secret string) (int, string) {
	d.t.Helper()
	body := []byte(`{"messages":[{"role":"user","content":[{"text":"When is it late?"}]}]}`)
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.url+"/model/builtin/converse", bytes.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(d.t.Context(), aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, req, hex.EncodeToString(sum[:]), "bedrock", "us-east-1", time.Now()); err != nil {
		d.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestSignedCalls lets in who signs with the secret of a key that may sign, and nobody else; the journal holds nothing to sign with.
func TestSignedCalls(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newSignedDoor(t, dir)
	key, plain, viewer := d.create(registry.RoleDeveloper), d.create(registry.RoleDeveloper), d.create(registry.RoleViewer)
	sign := func(k registry.Key) api.Signing {
		s, err := api.Sign(t.Context(), d.keys, api.NewSigning{Tenant: k.Tenant, Key: k.ID, Seal: d.door.seals.make})
		if err != nil || len(s.Secret) != 40 {
			t.Fatalf("the key signs with %+v, %v", s, err)
		}
		return s
	}
	old := sign(key)
	s := sign(key) // takes the place of the one before
	weak := sign(viewer)
	for _, q := range []struct {
		what, id, secret string
		code             int
	}{
		{"the secret", s.ID, s.Secret, 200}, {"another secret", s.ID, "x" + s.Secret, 403}, {"the secret before", s.ID, old.Secret, 403}, {"no secret", s.ID, "", 403},
		{"a key that may not sign", plain.ID, s.Secret, 403}, {"an unknown key", "nobody", s.Secret, 403}, {"a viewer's key", weak.ID, weak.Secret, 403},
	} {
		if code, text := d.call(q.id, q.secret); code != q.code && (q.code == 200 || code/100 != 4) || strings.Contains(text, s.Secret) {
			t.Errorf("who signs with %s is answered %d %s", q.what, code, text)
		}
	}
	if err := d.keys.Revoke(t.Context(), key.Tenant, key.ID, decouple.Actor{}); err != nil {
		t.Fatal(err)
	}
	if code, text := d.call(s.ID, s.Secret); code/100 != 4 {
		t.Errorf("a revoked key is answered %d %s", code, text)
	}
	if _, err := api.Sign(t.Context(), d.keys, api.NewSigning{Tenant: "other", Key: plain.ID, Seal: d.door.seals.make}); decouple.KindOf(err) != decouple.NotFound {
		t.Errorf("a key of another tenant is made to sign: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err != nil || bytes.Contains(b, []byte(s.Secret)) {
			t.Errorf("%s holds the secret, or cannot be read: %v", f, err)
		}
	}
}

// TestSealer opens only what it sealed itself, for the key that it was sealed for, and says what to do else.
func TestSealer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mine := &sealer{path: filepath.Join(dir, sealFile)}
	if _, err := mine.open("k", []byte("x")); decouple.KindOf(err) != decouple.NotFound {
		t.Errorf("without a key: %v", err)
	}
	sealed, secret, err := mine.make("k")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(mine.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file is %v, %v", info, err)
	}
	again := &sealer{path: mine.path}
	if got, err := again.open("k", sealed); err != nil || got != secret {
		t.Errorf("opened again it is %q, %v", got, err)
	}
	other := &sealer{given: strings.Repeat("0f", sealBytes), shared: true}
	for _, bad := range []struct {
		s      *sealer
		id     string
		sealed []byte
	}{{mine, "l", sealed}, {other, "k", sealed}, {mine, "k", sealed[:5]}, {mine, "k", append(bytes.Clone(sealed[:len(sealed)-1]), sealed[len(sealed)-1]^1)}} {
		if got, err := bad.s.open(bad.id, bad.sealed); err == nil {
			t.Errorf("it opens as %q", got)
		}
	}
	if _, _, err := (&sealer{shared: true, path: mine.path}).make("k"); decouple.KindOf(err) != decouple.Invalid || !strings.Contains(err.Error(), sealVariable) {
		t.Errorf("a shared journal without a key: %v", err)
	}
	if _, _, err := (&sealer{given: "short"}).make("k"); decouple.KindOf(err) != decouple.Invalid {
		t.Errorf("a short key: %v", err)
	}
	if err := os.Chmod(mine.path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := (&sealer{path: mine.path}).open("k", sealed); decouple.KindOf(err) != decouple.Denied || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read: %v", err)
	}
}

// TestCallerOf limits what a scope limits and nothing else.
func TestCallerOf(t *testing.T) {
	t.Parallel()
	who := registry.Principal{Tenant: "acme", Key: "k", Actor: decouple.Actor{Kind: decouple.ActorAgent, ID: "lead"}}
	if c := callerOf(who); c.Models != nil || c.Classes != nil || c.Budgets != nil || c.Agent != "lead" || c.Rate != (ledger.Rate{}) {
		t.Errorf("without a scope it is %+v", c)
	}
	who.Scope = &registry.Scope{Team: "search", Models: []string{"smart"}, Classes: []string{}, Labels: []string{"eu"}, Priority: 3, Requests: 7, Tokens: 8,
		Budgets: []registry.KeyBudget{{Period: "day", USD: 5}, {Period: "total", Tokens: 6}}}
	c := callerOf(who)
	if c.Team != "search" || c.Models[0] != "smart" || c.Classes != nil || c.Labels[0] != "eu" || c.Priority != 3 || c.Rate != (ledger.Rate{Requests: 7, Tokens: 8}) {
		t.Errorf("with a scope it is %+v", c)
	}
	want := []ledger.Budget{{ID: "key:k:day", Tenant: "acme", Scope: ledger.ForKey, Name: "k", Period: ledger.Day, Limit: ledger.Amount{USD: 5}}, {ID: "key:k:total", Tenant: "acme", Scope: ledger.ForKey, Name: "k", Period: ledger.Total, Limit: ledger.Amount{Tokens: 6}}}
	if len(c.Budgets) != 2 || c.Budgets[0] != want[0] || c.Budgets[1] != want[1] {
		t.Errorf("the budgets are %+v", c.Budgets)
	}
}
