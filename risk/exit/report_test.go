package exit_test

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/risk/exit"
	"decouple.dev/decouple/risk/sign"
)

// endpoints are a catalog with the endpoints that the world's calls went to.
func endpoints(t *testing.T) *catalog.Catalog {
	t.Helper()
	cat, err := catalog.Embedded()
	if err == nil {
		cat, err = cat.WithEndpoints([]catalog.Endpoint{
			{ID: "openai/gpt-5.4", Provider: "openai", Account: "prod", Cloud: "azure", Region: "us", Model: "gpt-5.4", Name: "gpt-5.4", Format: "openai-chat", URL: "https://127.0.0.1"},
			{ID: "azure/gpt-5.4", Provider: "azure", Account: "eu", Cloud: "azure", Region: "swedencentral", Model: "gpt-5.4", Name: "gpt-5.4", Format: "openai-chat", URL: "https://127.0.0.1"},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

func TestRegister(t *testing.T) {
	t.Parallel()
	store := newPlace(t, false).open()
	build(t, store)
	cat := endpoints(t)
	now := time.Now()
	flows, err := exit.Flows(t.Context(), store, cat, ledger.Span{}, now)
	if err != nil || len(flows) != 3 {
		t.Fatalf("%+v %v", flows, err)
	}
	c, err := placement.Parse("deal.yaml", []byte("id: deal-7\nconfidence: signed\nparties: [us, azure]\nclauses:\n  - {id: commit, kind: min_commit, binds: {vendor: [azure]}, amount: 100, valid: {from: 2026-01-01, to: 2027-01-01}, text: We spend 100.}\n"))
	if err != nil {
		t.Fatal(err)
	}
	sheets := exit.Register(flows, placement.Book{Contracts: []placement.Contract{c}}, cat, exit.Institution{LEI: "LEI"}, now)
	want := map[string]int{"b_02.01": 5, "b_02.02": 18, "b_05.01": 9, "b_05.02": 7, "b_06.01": 10, "b_07.01": 12} // columns of the regulation
	text := map[string]string{}
	for _, s := range sheets {
		rows, err := csv.NewReader(strings.NewReader(string(s.CSV()))).ReadAll()
		if err != nil || len(rows) != len(s.Rows)+1 || len(rows[0]) != want[s.Name] || len(s.Titles) != want[s.Name] || len(s.Unknown) == 0 {
			t.Errorf("%s: %v, %d columns", s.Name, err, len(rows[0]))
		}
		text[s.Name] = string(s.CSV())
		delete(want, s.Name)
	}
	if len(want) > 0 {
		t.Errorf("missing are %v", want)
	}
	for sheet, row := range map[string]string{
		"b_02.01": "deal-7,,,eba_CU:USD,0.000000124\n",
		"b_02.02": "deal-7,LEI,decouple:azure,,F1,,2026-01-01,2027-01-01,",
		"b_05.01": "decouple:openai,,openai,,,eba_CU:USD,0.000000123,,\n",
		"b_05.02": "decouple:openai/prod,,decouple:azure,,2,decouple:openai,\n",
		"b_06.01": "F1,,stateless_api / node,LEI,",
		"b_07.01": "deal-7,decouple:azure,,,,,,,,,eba_BT:x28,openai\n",
	} {
		if !strings.Contains(text[sheet], row) {
			t.Errorf("%s lacks %q:\n%s", sheet, row, text[sheet])
		}
	}
}

// TestFocusOfLedger holds the export against what `decouple usage` sums.
func TestFocusOfLedger(t *testing.T) {
	t.Parallel()
	store := newPlace(t, false).open()
	build(t, store)
	rows, err := exit.Charges(t.Context(), store, endpoints(t), ledger.Span{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := exit.WriteFocus(csv.NewWriter(&b), rows); err != nil {
		t.Fatal(err)
	}
	cells, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var sum decouple.Money
	for _, row := range cells[1:] {
		for i, id := range cells[0] {
			if id == "BilledCost" {
				m, err := decouple.ParseMoney(row[i])
				if err != nil {
					t.Fatal(err)
				}
				sum += m
			}
		}
	}
	total, err := ledger.NewView(store).Usage(t.Context(), ledger.Query{})
	if err != nil || len(total) != 1 || sum != total[0].Usage.Cost || sum != 123+124+125 || len(cells) != 4 {
		t.Errorf("FOCUS sums to %s in %d rows, the ledger to %+v %v", sum, len(cells)-1, total, err)
	}
}

// TestReport has a world with drills, bundles and contracts, and looks for what an auditor asks.
func TestReport(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store := newPlace(t, false).open()
	build(t, store)
	path, s := bundle(t, store.(exit.Log))
	s.Path = path
	me := decouple.Actor{Kind: decouple.ActorPerson, ID: "ada"}
	for _, kind := range []decouple.EventKind{exit.Bundled, exit.Verified} {
		if err := exit.Note(ctx, store, kind, s, me); err != nil {
			t.Fatal(err)
		}
	}
	other, err := sign.Parse(strings.Repeat("6", 64), "the test")
	if err != nil {
		t.Fatal(err)
	}
	drill := func(id string, k *sign.Key) {
		e, err := k.Envelope("application/vnd.decouple.drill+json", []byte(`{"id":"`+id+`","scenario":{"id":"gone","title":"A vendor | is gone","every_ns":86400000000000,"lost":["all of azure"]},"mode":"sim","ran":"2026-11-30T00:00:00Z","passed":true,
			"total":{"during":{"calls":100,"failed":3},"recover_ns":12000000000,"effects_duplicated":0,"residency_breaches":0,"contract_breaches":0}}`))
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(map[string]any{"envelope": string(e), "passed": true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Commit(ctx, journal.Mutation{ID: decouple.CommitID(id), Stream: decouple.Stream{Tenant: "acme", Kind: "drill", ID: id}, Events: []journal.NewEvent{{Kind: "drill.ended", KindVersion: 1, Payload: b}}}); err != nil {
			t.Fatal(err)
		}
	}
	drill("d1", other)
	drill("d2", key(t))
	contracts, err := registry.NewContracts(store, registry.ContractFile{Name: "deal.yaml", Text: []byte("id: deal-7\nconfidence: signed\nclauses:\n  - {id: commit, kind: min_commit, binds: {vendor: [azure]}, amount: 100, valid: {from: 2026-01-01, to: 2030-01-01}, text: We spend 100.}\n  - {id: notice, kind: retirement_notice, binds: {vendor: [azure]}, days: 60, text: Sixty days.}\n")})
	if err != nil {
		t.Fatal(err)
	}
	r, err := exit.NewReport(ctx, exit.Input{Log: store, Catalog: endpoints(t), Contracts: contracts, Key: key(t).Public(), Program: "test", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Drills) != 2 || r.Drills[0].Signed || !r.Drills[1].Signed || r.Drills[1].Recover == nil || r.Drills[1].Due.IsZero() {
		t.Errorf("drills: %+v", r.Drills)
	}
	if len(r.Accounts) != 3 || len(r.Keys) != 1 || len(r.Bundles) != 2 || r.Open["person"] != 1 || r.Open["timer"] != 1 || len(r.Data) != 3 {
		t.Errorf("%d accounts, %d keys, %d bundles, open %v", len(r.Accounts), len(r.Keys), len(r.Bundles), r.Open)
	}
	var found bool
	for _, c := range r.Commits {
		found = found || c.Tenant == "acme" && c.Spent == 124 && c.Forfeit == 100*decouple.USD-124
	}
	if !found {
		t.Errorf("commitments: %+v", r.Commits)
	}
	md := r.Markdown()
	for _, want := range []string{"Was the loss of each vendor rehearsed", "| deal-7/notice |", "60", "12s", "does not hold", "azure/gpt-5.4", "swedencentral", "On " + time.Now().UTC().Format(time.DateOnly)} {
		if !strings.Contains(md, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	b, err := r.Sign(key(t))
	if err != nil {
		t.Fatal(err)
	}
	if payload, err := sign.Open(b, exit.ReportType, key(t).Public()); err != nil || !strings.Contains(string(payload), `"questions"`) && !strings.Contains(string(payload), `"points"`) {
		t.Errorf("the signed report: %v", err)
	}
}
