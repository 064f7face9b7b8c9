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

// TestPromisesPreferred wants the router to prefer who brings a promised share nearer, as the gateway's does, and nobody else.
func TestPromisesPreferred(t *testing.T) {
	t.Parallel()
	part := map[bool]float64{}
	for _, promised := range []bool{false, true} {
		p := fleet.Plan{
			Seed: 1, Start: start, Span: 20 * time.Minute, Clouds: clouds(t, "azure", "openai"),
			Overlay: catalog.Overlay{Aliases: map[string]catalog.Alias{"cheap": {Name: "cheap", Strategy: catalog.Cheapest, Targets: []catalog.Target{{Model: "gpt-5.4"}}}}},
			Workloads: []fleet.Workload{
				{Name: "w", Model: "cheap", Arrive: fleet.Arrival{Rate: 2}, In: fleet.Always(500), Out: fleet.Always(100), MaxOut: 500, Stream: true},
				{Name: "other", Class: "batch", Model: "cheap", Arrive: fleet.Arrival{Rate: 0.5}, In: fleet.Always(500), Out: fleet.Always(100), MaxOut: 500, Stream: true},
			},
		}
		policy, err := placement.Compile(placement.Book{Contracts: []placement.Contract{{ID: "c", Clauses: []placement.Clause{{
			ID: "s", Kind: placement.ShareOf, Text: "Most of it is at OpenAI.", Classes: []string{"stateless_api"},
			Share: &placement.ShareTerm{Part: 600_000, Of: placement.Calls, By: placement.ByVendor, With: []string{"openai"}, Each: placement.Month},
		}}}}}, placement.Moment{AsOf: start})
		if err != nil {
			t.Fatal(err)
		}
		if promised {
			p.Policies = []fleet.Change{{Policy: policy}}
		}
		p.Progress = func(fleet.Span, fleet.Size) {} // which must not keep the simulation from ending
		r := run(t, p)
		s := r.Promises(policy)[0].State
		part[promised] = float64(s.With) / float64(s.Total)
		if r.Ended > 25*time.Minute || s.Total != r.Workloads[0].OK {
			t.Errorf("promised %v: it ended after %s; %d calls of the class count, of %d", promised, r.Ended, s.Total, r.Workloads[0].OK)
		}
		var other int64
		for i, e := range r.Endpoints {
			if e.Vendor == "openai" {
				other += r.Workloads[1].Cells[i].Answers
			}
		}
		if share := float64(other) / float64(r.Workloads[1].OK); share > 0.45 {
			t.Errorf("promised %v: %.2f of another class is there too", promised, share)
		}
	}
	if part[false] > 0.45 || part[true] < 0.58 || part[true] > 0.63 {
		t.Errorf("%.3f without a promise, %.3f with one of 0.6", part[false], part[true])
	}
}
