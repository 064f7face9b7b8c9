package route_test

import (
	"fmt"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/route"
)

var start = time.Date(2026, 3, 9, 12, 0, 0, 0, time.UTC)

// fleet makes a catalog of n endpoints with limits and prices, one model.
func fleet(n int) (*catalog.Catalog, []catalog.EndpointID) {
	cat := &catalog.Catalog{
		Models:    map[catalog.ModelID]catalog.Model{"gpt-5.4": {ID: "gpt-5.4", Context: 400_000}},
		Endpoints: map[catalog.EndpointID]catalog.Endpoint{},
		Prices:    map[string][]catalog.Price{"azure/gpt-5.4": {{Tiers: []catalog.Tier{{In: 5 * decouple.USD / 2, Cached: decouple.USD / 4, Out: 15 * decouple.USD}, {Above: 272_000, In: 5 * decouple.USD, Out: 45 * decouple.USD / 2}}}}},
	}
	var ids []catalog.EndpointID
	for i := range n {
		id := catalog.EndpointID(fmt.Sprintf("azure/region%02d/gpt-5.4", i))
		cat.Endpoints[id] = catalog.Endpoint{
			ID: id, Provider: "azure", Account: fmt.Sprint("sub", i%5), Region: fmt.Sprintf("region%02d", i), Model: "gpt-5.4", Name: "gpt-5.4",
			Limits: catalog.Limits{Requests: 6_000_000, Tokens: 6_000_000_000},
		}
		ids = append(ids, id)
	}
	return cat, ids
}

func benchmarkDecide(b *testing.B, n int, into bool, mend func(*route.State, []catalog.EndpointID)) {
	cat, ids := fleet(n)
	s := route.New(cat, route.Config{})
	for i, id := range ids {
		need := route.Need{ID: "warm", TokensIn: 1000, Random: uint64(i)}
		s.Begin("warm", id, need, start)
		s.FirstToken("warm", id, start.Add(time.Duration(300+i)*time.Millisecond))
		s.End(route.Outcome{Call: "warm", Endpoint: id, Kind: route.OK, TokensIn: 1000, TokensOut: 200}, start.Add(3*time.Second))
	}
	if mend != nil {
		mend(s, ids)
	}
	now := start.Add(4 * time.Second)
	need := route.Need{ID: "call", Alias: catalog.Alias{Name: "smart"}, Endpoints: ids, TokensIn: 1200, MaxOut: 500, Sticky: "conversation", Deadline: now.Add(time.Minute), Stream: true}
	var d route.Decision
	b.ReportAllocs()
	for b.Loop() {
		need.Random++
		if into {
			s.DecideInto(&d, &need, now)
		} else {
			d = s.Decide(need, now)
		}
	}
	if d.Chosen == "" && d.Wait.IsZero() {
		b.Fatal(d.Why)
	}
}

func BenchmarkDecide3(b *testing.B)      { benchmarkDecide(b, 3, false, nil) }
func BenchmarkDecide3Into(b *testing.B)  { benchmarkDecide(b, 3, true, nil) }
func BenchmarkDecide50(b *testing.B)     { benchmarkDecide(b, 50, false, nil) }
func BenchmarkDecide50Into(b *testing.B) { benchmarkDecide(b, 50, true, nil) }

// BenchmarkDecide50Down has half of the endpoints open and half of them failing at times.
func BenchmarkDecide50Down(b *testing.B) {
	benchmarkDecide(b, 50, false, func(s *route.State, ids []catalog.EndpointID) {
		for i, id := range ids {
			for range 2 + 3*(i%2) {
				s.Begin("x", id, route.Need{}, start.Add(3*time.Second))
				s.End(route.Outcome{Call: "x", Endpoint: id, Kind: route.Failed, Status: 500}, start.Add(3500*time.Millisecond))
			}
		}
	})
}

// BenchmarkCall is a whole call of a stream: decide, begin, first token, end.
func BenchmarkCall(b *testing.B) {
	cat, ids := fleet(3)
	s := route.New(cat, route.Config{})
	now := start
	need := route.Need{ID: "call", Alias: catalog.Alias{Name: "smart"}, Endpoints: ids, TokensIn: 1200, MaxOut: 500, Sticky: "conversation", Stream: true}
	var d route.Decision
	b.ReportAllocs()
	for b.Loop() {
		need.Random++
		need.Deadline = now.Add(time.Minute)
		s.DecideInto(&d, &need, now)
		s.Begin(need.ID, d.Chosen, need, now)
		s.FirstToken(need.ID, d.Chosen, now.Add(300*time.Millisecond))
		s.End(route.Outcome{Call: need.ID, Endpoint: d.Chosen, Kind: route.OK, TokensIn: 1200, TokensOut: 300}, now.Add(time.Second))
		now = now.Add(time.Millisecond)
	}
}
