package api_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/risk/whatif"
)

const house = `id: house
title: House rules
confidence: signed
clauses:
  - id: eu-only
    kind: residency
    text: Personal data of Europeans stays in the EU.
    binds: {label: eu-personal}
    in: [{geo: eu}]
  - id: azure-first
    kind: share
    text: At least 60 % of the spend is with Azure.
    share: {at_least: 60%, of: spend, by: vendor, with: [azure], each: month}
`

const quarrel = `id: quarrel
confidence: announced
clauses:
  - id: runtime
    kind: exclusive_host
    text: The runtime is at one cloud, or at two.
    classes: [stateful_runtime]
    binds: {lab: openai}
    host: [azure]
    readings:
      - {reads: deny, by: one, text: It is at one cloud., confidence: reported}
      - {reads: allow, by: the other, text: It is at two., confidence: reported}
`

// withDesk gives a server contracts, and a desk that answers by them.
func withDesk(t *testing.T, s *api.Server, store journal.Store) {
	t.Helper()
	cat, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	k, err := registry.NewContracts(store)
	if err != nil {
		t.Fatal(err)
	}
	s.Desk = api.NewDesk(api.DeskConfig{Contracts: k, Catalog: cat, Journal: store, Ledger: s.Ledger})
}

func text(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// contracts is what a program does with contracts, and with what follows from them. The run has made one call.
func (s *site) contracts(ada, decision string) {
	t := s.t
	v := read[registry.ContractVersion](s, ada, "PUT", "/api/v1/contracts/house?file=house.yaml", house)
	if v.Version != 1 || v.By.ID != "ada" || v.Text != "" {
		t.Errorf("put: %+v", v)
	}
	if again := read[registry.ContractVersion](s, ada, "PUT", "/api/v1/contracts/house", house); again.Version != 1 {
		t.Errorf("put again: %+v", again)
	}
	changed := strings.Replace(house, "Personal data", "Data", 1)
	if code, text := s.ask(ada, "PUT", "/api/v1/contracts/house", changed); code != 409 || !strings.Contains(text, "replaces 1") {
		t.Errorf("a change that replaces nothing: %d %s", code, text)
	}
	read[registry.ContractVersion](s, ada, "PUT", "/api/v1/contracts/house?replaces=1", changed)
	if d := read[api.ContractChange](s, ada, "GET", "/api/v1/contracts/house/diff", ""); d.From != 1 || d.To != 2 || len(d.Lines) < 2 {
		t.Errorf("diff: %+v", d)
	}
	if one := read[registry.ContractVersion](s, ada, "GET", "/api/v1/contracts/house?version=1", ""); one.Text != house {
		t.Errorf("show: %+v", one)
	}
	if list := read[[]registry.ContractVersion](s, ada, "GET", "/api/v1/contracts/house/history", ""); len(list) != 2 {
		t.Errorf("history: %+v", list)
	}
	read[registry.ContractVersion](s, ada, "PUT", "/api/v1/contracts/quarrel", quarrel)
	s.placement(ada, decision)
	signed := read[registry.SignedOff](s, ada, "POST", "/api/v1/contracts/quarrel/sign-off", `{"clause":"runtime","class":"stateful_runtime","why":"counsel agrees"}`)
	if signed.Clause != "quarrel/runtime" || signed.By.ID != "ada" {
		t.Errorf("signed off: %+v", signed)
	}
	if a := read[whatif.Answer](s, ada, "POST", "/api/v1/placement/explain", `{"model":"gpt-5.4","class":"stateful_runtime","at":"aws"}`); a.Chosen == "" {
		t.Errorf("after the sign-off: %+v", a)
	}
	l := read[api.ContractList](s, ada, "GET", "/api/v1/contracts", "")
	if len(l.Contracts) != 2 || len(l.SignOffs) != 1 || len(l.Version) != 12 {
		t.Errorf("list: %+v", l)
	}
	if v := read[registry.ContractVersion](s, ada, "DELETE", "/api/v1/contracts/quarrel?why=settled", ""); !v.Withdrawn || v.Why != "settled" {
		t.Errorf("withdraw: %+v", v)
	}
}

func (s *site) placement(ada, decision string) {
	t := s.t
	a := read[whatif.Answer](s, ada, "POST", "/api/v1/placement/explain", `{"model":"gpt-5.4","class":"stateful_runtime","labels":["eu-personal"],"at":"azure"}`)
	if a.Verdict != placement.Allow || !strings.HasPrefix(a.Chosen, "azure/") || len(a.Endpoints) < 2 || len(a.Clauses) == 0 {
		t.Errorf("explain: %+v", a)
	}
	if a := read[whatif.Answer](s, ada, "POST", "/api/v1/placement/explain", `{"model":"gpt-5.4","class":"stateful_runtime","at":"aws"}`); a.Verdict != placement.Disputed || a.Chosen != "" || len(a.Needs) == 0 {
		t.Errorf("explain a quarrel: %+v", a)
	}
	past := read[[]api.PastCall](s, ada, "GET", "/api/v1/placement/calls?id="+decision, "")
	if len(past) != 1 || past[0].Answer.Chosen != "builtin/builtin" || !past[0].Derived || past[0].Answer.Verdict != placement.Allow || !past[0].Answer.AsOf.Equal(past[0].Call.At) {
		t.Errorf("a past call: %+v", past)
	}
	draft := `[{"file":"draft.yaml","text":` + text("id: house\nconfidence: signed\nclauses:\n  - {id: no-builtin, kind: forbid, text: Nothing is asked of the builtin model., binds: {vendor: builtin}}\n") + `}]`
	r := read[whatif.Replayed](s, ada, "POST", "/api/v1/placement/replay", `{"drafts":`+draft+`}`)
	if r.Calls == 0 || r.Denied != r.Calls || len(r.Agents) == 0 || r.Agents[0].Clauses[0] != "house/no-builtin" {
		t.Errorf("replay: %+v", r)
	}
	if code, text := s.ask(ada, "POST", "/api/v1/placement/replay", `{"drafts":[{"file":"d.yaml","text":"id: x\nbad: 1\n"}]}`); code != 400 || !strings.Contains(text, "d.yaml:2") {
		t.Errorf("a draft that is wrong: %d %s", code, text)
	}
	if st := read[api.Standing](s, ada, "GET", "/api/v1/placement/standing?since=2020-01-01T00:00:00Z", ""); len(st.Shares) != 1 || st.Shares[0].Promised != "60 %" || len(st.Parts) < 4 {
		t.Errorf("standing: %+v", st)
	}
	if code, text := s.ask(ada, "GET", "/api/v1/placement/cedar", ""); code != 200 || !strings.Contains(text, "permit") && !strings.Contains(text, "forbid") {
		t.Errorf("cedar: %d %s", code, text)
	}
}

// TestContractRights lets only persons with the right sign off, and nobody see what is another tenant's.
func TestContractRights(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.describe()
	ada := s.key("ours", "ada", registry.RoleOperator)
	read[registry.ContractVersion](s, ada, "PUT", "/api/v1/contracts/quarrel", quarrel)
	_, robot, err := s.keys.Create(t.Context(), registry.Key{Tenant: "ours", Actor: decouple.Actor{Kind: decouple.ActorAgent, ID: "lead"}, Role: registry.RoleDeveloper})
	if err != nil {
		t.Fatal(err)
	}
	_, service, err := s.keys.Create(t.Context(), registry.Key{Tenant: "ours", Actor: decouple.Actor{Kind: decouple.ActorService, ID: "ci"}, Role: registry.RoleOperator})
	if err != nil {
		t.Fatal(err)
	}
	const off = "/api/v1/contracts/quarrel/sign-off"
	for _, q := range []struct {
		bearer, method, path, body string
		code                       int
	}{
		{robot, "PUT", "/api/v1/contracts/house", house, 403}, {robot, "DELETE", "/api/v1/contracts/quarrel", "", 403}, {robot, "POST", off, `{"clause":"runtime","why":"x"}`, 403},
		{service, "POST", off, `{"clause":"runtime","why":"x"}`, 403}, {service, "PUT", "/api/v1/contracts/house", house, 200}, {s.key("ours", "dev", registry.RoleDeveloper), "POST", off, `{"clause":"runtime","why":"x"}`, 403},
		{s.key("ours", "boss", registry.RoleApprover), "POST", off, `{"clause":"runtime","why":"x"}`, 200}, {s.key("ours", "boss", registry.RoleApprover), "PUT", "/api/v1/contracts/house", house, 403},
		{ada, "PUT", "/api/v1/contracts/other", house, 400}, {ada, "PUT", "/api/v1/contracts/house", "id: house\nbad: 1\n", 400}, {ada, "POST", off, `{"clause":"runtime"}`, 400}, {ada, "POST", off, `{"clause":"none","why":"x"}`, 404},
		{ada, "GET", "/api/v1/contracts/house?version=9", "", 404}, {ada, "POST", "/api/v1/placement/explain", `{}`, 400}, {ada, "POST", "/api/v1/placement/replay", `{}`, 400}, {ada, "GET", "/api/v1/placement/calls", "", 400},
		{ada, "GET", "/api/v1/placement/standing?since=soon", "", 400}, {ada, "POST", "/api/v1/placement/explain", `{"model":"no-such-model"}`, 404},
	} {
		if code, text := s.ask(q.bearer, q.method, q.path, q.body); code != q.code {
			t.Errorf("%s %s %s: %d %s, not %d", q.method, q.path, q.body, code, text, q.code)
		}
	}
	eve := s.key("theirs", "eve", registry.RoleAdmin)
	if l := read[api.ContractList](s, eve, "GET", "/api/v1/contracts", ""); len(l.Contracts) != 0 || len(l.SignOffs) != 0 || l.Version != "" {
		t.Errorf("another tenant sees %+v", l)
	}
	for _, q := range []struct{ method, path, body string }{{"GET", "/api/v1/contracts/quarrel", ""}, {"GET", "/api/v1/contracts/quarrel/history", ""}, {"GET", "/api/v1/contracts/quarrel/diff", ""}, {"DELETE", "/api/v1/contracts/quarrel", ""},
		{"POST", off, `{"clause":"runtime","why":"x"}`}, {"GET", "/api/v1/placement/calls?run=r1", ""}} {
		if code, text := s.ask(eve, q.method, q.path, q.body); code != 404 {
			t.Errorf("%s %s of another tenant: %d %s", q.method, q.path, code, text)
		}
	}
	if a := read[whatif.Answer](s, eve, "POST", "/api/v1/placement/explain", `{"model":"gpt-5.4","class":"stateful_runtime","at":"aws"}`); a.Verdict != placement.Allow || len(a.Clauses) != 0 {
		t.Errorf("another tenant is bound by it: %+v", a)
	}
}

// TestKeyLabels starts runs and sessions with a key whose data has a label: they have it, whatever is asked for, and nothing of that key is told to a run without it.
func TestKeyLabels(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.describe()
	created, bearer, err := s.keys.Create(t.Context(), registry.Key{Tenant: "ours", Actor: decouple.Actor{Kind: decouple.ActorPerson, ID: "doc"}, Role: registry.RoleDeveloper, Scope: &registry.Scope{Labels: []string{"phi"}, Team: "ward"}})
	if err != nil {
		t.Fatal(err)
	}
	labels := func(begun string) []string {
		t.Helper()
		st, err := engine.Load(t.Context(), s.store, "ours", decouple.RunID(begun))
		if err != nil {
			t.Fatal(err)
		}
		if st.Run.Team != "ward" || st.Run.Caller != created.ID {
			t.Errorf("the run is of team %q and key %q", st.Run.Team, st.Run.Caller)
		}
		return st.Run.Labels
	}
	run := read[api.Begun](s, bearer, "POST", "/api/v1/runs", `{"agent":"talker","task":{"question":"who?"},"labels":["x"]}`, "Idempotency-Key", "k1")
	talk := read[api.Begun](s, bearer, "POST", "/api/v1/sessions", `{"agent":"talker"}`, "Idempotency-Key", "k2")
	if got, told := labels(string(run.Run)), labels(string(talk.Run)); !slices.Equal(got, []string{"x", "phi"}) || !slices.Equal(told, []string{"phi"}) {
		t.Errorf("the run has %q, the session %q", got, told)
	}
	ada := s.key("ours", "ada", registry.RoleOperator)
	plain := read[api.Begun](s, ada, "POST", "/api/v1/sessions", `{"agent":"talker"}`, "Idempotency-Key", "k3")
	for _, id := range []string{string(plain.Run), string(talk.Run)} {
		code, text := s.ask(bearer, "POST", "/api/v1/sessions/"+id+"/input", `{"text":"a patient's name"}`, "Idempotency-Key", "k4"+id)
		if want := map[bool]int{true: 403, false: 200}[id == string(plain.Run)]; code != want {
			t.Errorf("said in %s: %d %s", id, code, text)
		}
	}
	read[registry.ContractVersion](s, ada, "PUT", "/api/v1/contracts/quarrel", quarrel)
	off := `{"clause":"runtime","why":"x","run":` + text(string(plain.Run)) + `}`
	if code, said := s.ask(ada, "POST", "/api/v1/contracts/quarrel/sign-off", off); code != 403 || !strings.Contains(said, "started the run") {
		t.Errorf("whoever started a run signs off for it: %d %s", code, said)
	}
	if code, said := s.ask(s.key("ours", "boss", registry.RoleApprover), "POST", "/api/v1/contracts/quarrel/sign-off", off); code != 200 {
		t.Errorf("somebody else does not: %d %s", code, said)
	}
}
