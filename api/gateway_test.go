package api_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/risk/drill"
	"decouple.dev/decouple/risk/exposure"
	"decouple.dev/decouple/risk/parity"
	"decouple.dev/decouple/risk/sign"
)

// withModels gives a server the gateway of the builtin model, and accounts of it.
func withModels(t *testing.T, s *api.Server, store journal.Store) {
	t.Helper()
	cat, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	if s.Ledger, err = ledger.Open(ledger.Config{Dir: t.TempDir(), Store: store}); err != nil {
		t.Fatal(err)
	}
	if s.Models, err = gateway.New(gateway.Config{Catalog: cat, Ledger: s.Ledger}); err != nil {
		t.Fatal(err)
	}
	s.Risk = func(_ context.Context, _ decouple.TenantID, q api.RiskQuery) (exposure.Report, error) {
		facts, err := exposure.Facts{}.Over(q.File, []byte(q.Facts))
		return exposure.Assess(exposure.Input{Catalog: cat, Place: func(ep catalog.Endpoint) placement.Place { return gateway.PlaceOf(cat, ep) }, Facts: facts, Since: q.Since, Now: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)}), err
	}
	s.Parity = desk{s.Models, store}
	s.Drills = &drill.Desk{Log: store, Sign: func() (*sign.Key, error) { return sign.Parse(strings.Repeat("1", 64), "the test") }, Catalog: func() *catalog.Catalog { return cat }, Ledger: s.Ledger, Gateway: s.Models}
	s.Seal = func(id string) ([]byte, string, error) { return []byte("sealed"), "secret of " + id, nil }
	t.Cleanup(func() {
		s.Drills.Close()
		_ = s.Models.Close(context.Background())
		_ = s.Ledger.Close()
	})
}

// desk compares the builtin model with itself under two names.
type desk struct {
	models *gateway.Gateway
	store  journal.Store
}

func (d desk) Evaluate(ctx context.Context, tenant decouple.TenantID, q api.ParityQuery, by decouple.Actor) ([]parity.Report, error) {
	suite, err := parity.Parse(q.File, []byte(q.Cases))
	if err != nil {
		return nil, err
	}
	list, err := parity.Run(ctx, parity.Evaluation{ID: "par_api", Suite: suite, Primary: q.Primary, Alternates: q.Alternates, For: decouple.Asker{Tenant: tenant},
		Model: func(catalog.EndpointID) parity.Model { return gateway.Agents{Gateway: d.models, Model: "builtin"} }})
	for _, r := range list {
		err = errors.Join(err, parity.Keep(ctx, d.store, tenant, r, by))
	}
	return list, err
}

func (d desk) Latest(ctx context.Context, tenant decouple.TenantID) ([]parity.Report, error) {
	return parity.Latest(ctx, d.store, tenant)
}

// gateway is what a program does with endpoints, decisions, usage, budgets and the limits of keys.  It gives the decision of a call.
func (s *site) gateway(ada string) string {
	t := s.t
	admin := s.key("", "grace", registry.RoleAdmin)
	s.drills(ada)
	list := read[gateway.Inventory](s, ada, "GET", "/api/v1/endpoints", "")
	if len(list.Endpoints) != 1 || !list.Endpoints[0].Local || !list.Endpoints[0].Priced || list.Stale {
		t.Errorf("the endpoints are %+v", list)
	}
	trial := read[gateway.Trial](s, ada, "POST", "/api/v1/endpoints/"+url.PathEscape(string(list.Endpoints[0].ID))+"/test", "{}")
	if !trial.OK || trial.Usage.TokensOut == 0 || trial.Decision == "" {
		t.Errorf("the endpoint's trial is %+v", trial)
	}
	if r := read[gateway.Record](s, ada, "GET", "/api/v1/decisions/"+trial.Decision, ""); len(r.Attempts) != 1 || r.Chosen != trial.Endpoint {
		t.Errorf("the decision is %+v", r)
	}
	if all := read[[]gateway.Record](s, ada, "GET", "/api/v1/decisions?limit=1", ""); len(all) != 1 || all[0].ID != trial.Decision {
		t.Errorf("the decisions are %+v", all)
	}
	if u := read[api.Usage](s, ada, "GET", "/api/v1/usage?by=key&by=model&since=2020-01-01T00:00:00Z", ""); len(u.Rows) != 1 || u.Rows[0].TokensOut != trial.Usage.TokensOut || u.Total.USD != "0.00" || u.Rows[0].Key == "" {
		t.Errorf("the usage is %+v", u)
	}
	// budgets: set, changed, seen, removed
	for _, usd := range []string{"1", "12.000000001"} {
		read[api.None](s, admin, "PUT", "/api/v1/budgets/b1", `{"scope":"team","name":"search","period":"month","usd":"`+usd+`"}`)
	}
	if b := read[[]api.Budget](s, ada, "GET", "/api/v1/budgets", ""); len(b) != 1 || b[0].Limit != 12_000_000_001 || b[0].USD != "12.000000001" || b[0].Renews.IsZero() {
		t.Errorf("the budgets are %+v", b)
	}
	read[api.None](s, admin, "DELETE", "/api/v1/budgets/b1", "")
	for _, bad := range []struct{ id, body string }{{"key:x:day", `{"scope":"key","name":"x","period":"day","usd":"1"}`}, {"b", `{"scope":"team","name":"x","period":"day","usd":"lots"}`},
		{"b", `{"scope":"team","period":"day","usd":"1"}`}, {"b", `{"scope":"team","name":"x","period":"week","usd":"1"}`}, {"b", `{"scope":"team","name":"x","period":"day"}`}} {
		if code, text := s.ask(admin, "PUT", "/api/v1/budgets/"+bad.id, bad.body); code != 400 {
			t.Errorf("the budget %s %s is answered %d %s", bad.id, bad.body, code, text)
		}
	}
	// a key with limits, which are budgets too
	made := read[api.MadeKey](s, admin, "POST", "/api/v1/keys", `{"actor":{"kind":"service","id":"shop"},"role":"developer","scope":{"models":["smart"],"budgets":[{"period":"day","usd":5}]}}`)
	changed := read[registry.Key](s, admin, "PUT", "/api/v1/keys/"+made.ID, `{"scope":{"team":"search","budgets":[{"period":"day","tokens":7}]}}`)
	if changed.Scope == nil || changed.Scope.Team != "search" || changed.Scope.Models != nil {
		t.Errorf("the changed key is %+v", changed)
	}
	if b := read[[]api.Budget](s, ada, "GET", "/api/v1/budgets", ""); len(b) != 1 || b[0].ID != "key:"+made.ID+":day" || !b[0].OfKey || b[0].Tokens != 7 {
		t.Errorf("the budgets with a key's are %+v", b)
	}
	if sign := read[api.Signing](s, admin, "POST", "/api/v1/keys/"+made.ID+"/sigv4", "{}"); sign.ID != made.ID || sign.Secret != "secret of "+made.ID {
		t.Errorf("the key signs with %+v", sign)
	}
	if _, text := s.ask(admin, "GET", "/api/v1/keys", ""); strings.Contains(text, "sealed") || !strings.Contains(text, `"signs":true`) {
		t.Errorf("the keys are %s", text)
	}
	read[api.None](s, admin, "DELETE", "/api/v1/keys/"+made.ID, "")
	if b := read[[]api.Budget](s, ada, "GET", "/api/v1/budgets", ""); len(b) != 0 {
		t.Errorf("a revoked key leaves the budgets %+v", b)
	}
	return trial.Decision
}

// TestNoModels says what to do where a process asks no models.
func TestNoModels(t *testing.T) {
	t.Parallel()
	c, _ := listening(t, t.TempDir())
	for _, err := range []error{second(c.Endpoints(t.Context())), second(c.Decisions(t.Context(), "", 1)), second(c.Usage(t.Context(), ledger.Query{})), second(c.Budgets(t.Context(), ""))} {
		if decouple.KindOf(err) != decouple.Unavailable || !strings.Contains(err.Error(), "decouple serve") {
			t.Errorf("it says %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// risk is what a program does with exposure and parity.
func (s *site) risk(ada string) {
	t := s.t
	if r := read[api.Exposure](s, ada, "GET", "/api/v1/risk?since=2026-11-01T00:00:00Z", ""); r.Basis != exposure.Assumed || len(r.Dimensions) == 0 || r.Since.IsZero() {
		t.Errorf("the exposure is %+v", r)
	}
	if r := read[api.Exposure](s, ada, "POST", "/api/v1/risk", `{"file":"own.yaml","facts":"criticality: [{class: x, level: low}]"}`); len(r.Notes) == 0 {
		t.Errorf("the exposure under facts is %+v", r)
	}
	if code, text := s.ask(ada, "POST", "/api/v1/risk", `{"file":"own.yaml","facts":"colour: blue"}`); code != 400 || !strings.Contains(text, "own.yaml:1: there is no key") {
		t.Errorf("facts that are wrong: %d %s", code, text)
	}
	if got := read[[]api.ParityReport](s, ada, "GET", "/api/v1/parity", ""); len(got) != 0 {
		t.Errorf("evaluations before there was one: %+v", got)
	}
	ran := read[[]api.ParityReport](s, ada, "POST", "/api/v1/parity", `{"primary":"a","alternates":["b"],"file":"own.yaml","cases":"cases: [{id: one, ask: What time is it}]"}`)
	if kept := read[[]api.ParityReport](s, ada, "GET", "/api/v1/parity", ""); len(ran) != 1 || len(kept) != 1 || ran[0].Verdict != parity.TooFew || kept[0].Why != ran[0].Why {
		t.Errorf("an evaluation: %+v, kept %+v", ran, kept)
	}
}
