package fleet_test

import (
	"context"
	"testing"
	"time"

	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/risk/fleet"
)

// TestMost wants the room for a fleet to be found where a quota says that it ends.
func TestMost(t *testing.T) {
	t.Parallel()
	for _, first := range []float64{1, 100} { // too few, and too many
		p := pair(func(w *fleet.Workload, a *catalog.Alias) {
			w.Model, w.Runs, w.Arrive.Rate, w.Late = "one/us/m", 0, first, 20*time.Second
		})
		p.Span = 10 * time.Minute
		p.Clouds[0].Limits.Requests = 600 // ten a second: 6,000 in ten minutes, 600 that are there at the beginning, and 100 that wait at its end
		told := 0
		all, err := fleet.Most(context.Background(), p, 0.01, func(fleet.Trial) { told++ })
		if err != nil || told != len(all) {
			t.Fatal(err)
		}
		most, least := int64(0), int64(1<<40)
		for _, x := range all {
			if x.Enough {
				most = max(most, x.Runs)
			} else {
				least = min(least, x.Runs)
			}
		}
		if most < 6000 || most > 6800 || least > 7400 || p.Workloads[0].Runs != 0 {
			t.Errorf("there is room for %d runs and not for %d: %+v", most, least, all)
		}
	}
}

// TestUnderContracts wants contracts to hold on their days, and clauses to fall away when the plan says so.
func TestUnderContracts(t *testing.T) {
	t.Parallel()
	c, err := placement.Parse("c.yaml", []byte(`id: c
title: A test
parties: [the customer]
source: nowhere
asserted_by: the test
confidence: signed
clauses:
  - {id: not-one, kind: forbid, binds: {lab: x}, at: [{endpoint: one/us/m}], valid: {from: 2026-01-01, to: 2026-03-10}, text: Not one.}
  - {id: not-two, kind: forbid, binds: {lab: x}, at: [{endpoint: two/us/m}], valid: {from: 2026-03-10}, text: Not two.}
  - {id: may, kind: permit, binds: {lab: x}, at: [{vendor: openai}], text: They may.}
`))
	if err != nil {
		t.Fatal(err)
	}
	p := pair(func(w *fleet.Workload, a *catalog.Alias) {
		w.Runs, w.Arrive.Rate = 24*60, 1.0/60
		a.Targets[0], a.Targets[1] = a.Targets[1], a.Targets[0]
	})
	p.Overlay.Models = map[catalog.ModelID]catalog.Model{"m": {ID: "m", Lab: "x"}}
	p.Span = 24 * time.Hour // from noon to noon: the day changes after twelve hours
	p.Without = []fleet.Gone{{At: 18 * time.Hour, Without: []string{"c/not-two"}}}
	book := placement.Book{Contracts: []placement.Contract{c}}
	if err := p.Under(book); err != nil {
		t.Fatal(err)
	}
	wrong := 0
	seen := map[string]int{}
	p.Observe = func(e *fleet.Event) {
		if e.Kind != fleet.Began {
			return
		}
		seen[string(e.Endpoint)]++
		if two := e.Endpoint == "two/us/m"; two != (e.At < 12*time.Hour || e.At >= 18*time.Hour) {
			wrong++
		}
	}
	w := run(t, p).Workloads[0]
	if wrong > 0 || len(seen) != 2 || w.OK != w.Calls || w.Breaches > 0 || len(p.Policies) != 3 {
		t.Errorf("%d calls went elsewhere than contracts say: %v; %d of %d were answered; %d policies", wrong, seen, w.OK, w.Calls, len(p.Policies))
	}
	p.Without[0].Without = []string{"c/nothing"}
	if err := p.Under(book); err == nil {
		t.Error("a clause that is not there falls away")
	}
}
