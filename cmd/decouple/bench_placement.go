package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple/placement"
)

// Of bench placement: how much there is to decide by, and how often it is asked.
const (
	placementClauses = 200
	placementPlaces  = 50
	placementFirst   = 200
	placementWarm    = 20_000
)

// benchPlacement decides over fifty endpoints under 200 clauses: once with a policy that was never asked, and then again and again.
func benchPlacement(ctx context.Context, _ place) (figures, error) {
	c, err := placement.Parse("bench.yaml", []byte(placementBook()))
	if err != nil {
		return nil, err
	}
	book, moment := placement.Book{Contracts: []placement.Contract{c}}, placement.Moment{AsOf: time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC)}
	places := placementEndpoints()
	need := placement.Need{Action: placement.CallModel, Class: "stateless_api", Team: "team-1", Labels: []string{"label-1", "label-2"}}
	decide := func(p *placement.Policy) (time.Duration, int) {
		allowed := 0
		start := time.Now()
		for i := range places {
			if p.Judge(&need, &places[i]).Effect == placement.Go {
				allowed++
			}
		}
		return time.Since(start), allowed
	}
	var compiled, first, warm []time.Duration
	var p *placement.Policy
	want := -1
	for range placementFirst {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		start := time.Now()
		if p, err = placement.Compile(book, moment); err != nil {
			return nil, err
		}
		compiled = append(compiled, time.Since(start))
		d, allowed := decide(p)
		if first = append(first, d); want >= 0 && allowed != want || allowed == 0 || allowed == len(places) {
			return nil, fmt.Errorf("of %d endpoints %d are allowed, and %d before", len(places), allowed, want)
		}
		want = allowed
	}
	for range placementWarm {
		d, _ := decide(p)
		warm = append(warm, d)
	}
	for _, list := range [][]time.Duration{compiled, first, warm} {
		slices.Sort(list)
	}
	at := func(list []time.Duration, part float64) float64 {
		return float64(list[int(part*float64(len(list)-1))].Nanoseconds()) / 1000
	}
	return figures{
		"clauses": float64(len(c.Clauses)), "endpoints": float64(len(places)), "compile_p50_us": at(compiled, 0.5), "first_p50_us": at(first, 0.5), "first_p99_us": at(first, 0.99),
		"warm_p50_us": at(warm, 0.5), "warm_p99_us": at(warm, 0.99),
	}, nil
}

// placementBook is a contract of 200 clauses of the kinds that decide: the terms of twenty labs, and a customer's rules for its labels, teams and vendors.
func placementBook() string {
	var b strings.Builder
	b.WriteString("id: bench\nconfidence: signed\nclauses:\n")
	n := 0
	add := func(format string, args ...any) {
		if n < placementClauses {
			n++
			fmt.Fprintf(&b, "  - {id: c%d, text: Words of clause %d., %s}\n", n, n, fmt.Sprintf(format, args...))
		}
	}
	for lab := range 20 {
		add("kind: exclusive_host, binds: {lab: lab-%d}, classes: [stateless_api], host: [cloud-%d, cloud-%d]", lab, lab%5, (lab+1)%5)
		add("kind: first_ship, binds: {lab: lab-%d}, classes: [product], host: [cloud-%d]", lab, lab%5)
		add("kind: licence, binds: {lab: lab-%d}, classes: [training, batch]", lab)
		add("kind: exclusive_host, binds: {lab: lab-%d}, classes: [stateful_runtime], host: [cloud-%d], readings: [{reads: deny, text: No.}, {reads: allow, text: Yes.}]", lab, lab%5)
	}
	for label := range 20 {
		add("kind: residency, binds: {label: label-%d}, in: [{geo: eu}, {geo: uk}]", label)
		add("kind: no_training, binds: {label: label-%d}, requires: {training: \"no\"}", label)
	}
	for team := 0; n < placementClauses; team++ {
		add("kind: forbid, binds: {team: team-%d}, at: [{vendor: vendor-%d}]", team, team%10)
		add("kind: forbid, binds: {tool: \"tool-%d.*\"}, when: amount > 500, except: [{team: team-%d}]", team, team)
		add("kind: forbid, binds: {label: label-%d, team: team-%d}, at: [{region: region-%d}]", team%20, team, team%15)
	}
	return b.String()
}

func placementEndpoints() []placement.Place {
	places := make([]placement.Place, placementPlaces)
	for i := range places {
		places[i] = placement.Place{
			ID: fmt.Sprintf("vendor-%d/region-%d/model-%d", i%10, i%15, i), Vendor: fmt.Sprintf("vendor-%d", i%10), Cloud: fmt.Sprintf("cloud-%d", i%5), Region: fmt.Sprintf("region-%d", i%15),
			Geo: []string{"eu", "us", "uk"}[i%3], Model: fmt.Sprintf("model-%d", i), Lab: fmt.Sprintf("lab-%d", i%20), Facts: map[string]string{"training": "no"},
		}
	}
	return places
}
