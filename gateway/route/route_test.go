package route_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/route"
)

// TestPrices takes the price of the day, of the tier, with the uplift of the region, and ranks an unknown one last.
func TestPrices(t *testing.T) {
	t.Parallel()
	cat, ids := catalogOf(place("a/x", "a", "eu", "", "m"), place("b/x", "b", "us", "", "m"))
	cat.Prices = map[string][]catalog.Price{"a/m": {
		{Tiers: []catalog.Tier{{In: 2 * decouple.USD, Out: 10 * decouple.USD}, {Above: 200_000, In: 4 * decouple.USD, Out: 15 * decouple.USD}}},
		{From: start.Add(time.Hour), Tiers: []catalog.Tier{{In: decouple.USD, Out: decouple.USD}}, Uplift: map[string]catalog.Part{"eu": 1100}},
	}}
	s := route.New(cat, route.Config{})
	for _, c := range []struct {
		in   int64
		at   time.Time
		want decouple.Money
	}{
		{100_000, start, 200_000_000 + 1_000_000},
		{300_000, start, 1_200_000_000 + 1_500_000},
		{100_000, start.Add(2 * time.Hour), 110_000_000 + 110_000},
	} {
		d := s.Decide(route.Need{Alias: catalog.Alias{Strategy: catalog.Cheapest}, Endpoints: ids, TokensIn: c.in, MaxOut: 100}, c.at)
		got, _ := d.Find("a/x")
		if got.Price != c.want || !got.Priced || d.Chosen != "a/x" {
			t.Errorf("%d tokens at %s: %s, want %s", c.in, c.at, got.Price, c.want)
		}
		if b, _ := d.Find("b/x"); b.Priced {
			t.Errorf("an unknown price is known: %+v", b)
		}
	}
	if _, ok := s.Decide(route.Need{Endpoints: ids}, start).Find("c/x"); ok {
		t.Error("a candidate that is none")
	}
	cat.Prices["a/m"] = []catalog.Price{{From: start.Add(time.Hour), Tiers: []catalog.Tier{{In: 1}}}}
	s.With(cat)
	if a, _ := s.Decide(route.Need{Endpoints: ids}, start).Find("a/x"); a.Priced {
		t.Error("a price of tomorrow is known today")
	}
}

// TestHeard takes headers in when they come, and only once.
func TestHeard(t *testing.T) {
	t.Parallel()
	cat, ids := catalogOf(place("a/x", "a", "", "", "m"))
	s := route.New(cat, route.Config{Replicas: 2})
	room := func() float64 { return s.Snapshot(start)[0].Headroom }
	n := route.Need{ID: "1", Endpoints: ids, TokensIn: 100}
	s.Begin("1", ids[0], n, start)
	full := route.Limits{Requests: route.Limit{Limit: 1000, Remaining: 0, Reset: time.Minute}}
	s.Heard("1", ids[0], full, start)
	s.Heard("unknown", ids[0], route.Limits{Requests: route.Limit{Limit: 1, Remaining: 1}}, start)
	if room() != 0 {
		t.Errorf("%v left", room())
	}
	later := full
	later.Requests.Remaining = 1000
	s.End(route.Outcome{Call: "1", Endpoint: ids[0], Kind: route.OK, Limits: later}, start)
	if room() != 0 {
		t.Errorf("%v left: the headers of the same answer counted twice", room())
	}
	if d := s.Decide(n, start); d.Wait.Sub(start) != 120*time.Millisecond {
		t.Errorf("half of 1000 a minute is one in 120 ms: %s", d.Wait.Sub(start))
	}
}

// TestUnknown is told of what it does not know.
func TestUnknown(t *testing.T) {
	t.Parallel()
	cat, ids := catalogOf(place("a/x", "a", "", "", "m"), place("b/x", "b", "", "", "m"))
	s := route.New(cat, route.Config{})
	s.Begin("1", "no/such", route.Need{}, start)
	s.FirstToken("1", "no/such", start)
	if a := s.End(route.Outcome{Call: "1", Endpoint: "no/such", Kind: route.Failed}, start); a.Retry {
		t.Error(a)
	}
	for range 5 {
		s.End(route.Outcome{Call: "never begun", Endpoint: ids[0], Kind: route.Failed, Duration: time.Second}, start)
	}
	if got := s.Snapshot(start)[0].State; got != route.Open {
		t.Errorf("failures of calls that nobody began do not count: %s", got)
	}
	if d := s.Decide(route.Need{Deadline: start}, start); d.Refused != decouple.Deadline {
		t.Errorf("%+v", d)
	}
	if d := s.Decide(route.Need{}, start); d.Refused != decouple.NotFound {
		t.Errorf("%+v", d)
	}
	if a := s.End(route.Outcome{Call: "w", Endpoint: ids[1], Kind: route.WrongRefusal, Duration: time.Second}, start); !a.Retry || s.Snapshot(start)[1].State != route.Open {
		t.Error("a refusal that is known to be wrong did not close the endpoint")
	}
}

// TestThirdOpinion goes past a second endpoint that is as broken as the first.
func TestThirdOpinion(t *testing.T) {
	t.Parallel()
	cat, ids := catalogOf(place("azure/eu", "azure", "eu", "", "m"), place("azure/us", "azure", "us", "", "m"), place("azure/uk", "azure", "uk", "", "m"))
	s := route.New(cat, route.Config{})
	n := route.Need{ID: "c", Key: "k", Endpoints: ids, Alias: catalog.Alias{Strategy: catalog.Ordered}}
	now := start
	for i, want := range []struct {
		kind  route.Kind
		judge bool
	}{{route.Refused, true}, {route.Refused, true}, {route.OK, false}} {
		now = now.Add(time.Second)
		d := s.Take(n, now)
		if d.Chosen != ids[i] || d.Judge != (i > 0) {
			t.Fatalf("%d: %s, judge %v: %s", i, d.Chosen, d.Judge, d.Why)
		}
		if a := s.End(route.Outcome{Call: "c", Endpoint: d.Chosen, Kind: want.kind, Status: 400}, now.Add(time.Millisecond)); a.Judge != want.judge {
			t.Fatalf("%d: %+v", i, a)
		}
		n.Tried = append(n.Tried, d.Chosen)
	}
	if got := s.Snapshot(now)[0].State; got != route.Open {
		t.Errorf("the first is %s", got)
	}
}

// TestWhoJudges takes the opinion of an endpoint that is known to accept calls before that of the same model.
func TestWhoJudges(t *testing.T) {
	t.Parallel()
	cat, ids := catalogOf(place("azure/eu", "azure", "eu", "", "m"), place("azure/us", "azure", "us", "", "m"), place("openai/us", "openai", "us", "", "other"), place("openai/uk", "openai", "uk", "", "m"))
	s := route.New(cat, route.Config{})
	judge := func(id string) catalog.EndpointID {
		n := route.Need{ID: id, Key: id, Endpoints: ids, Tried: ids[:1]}
		s.Begin(id, ids[0], n, start)
		s.End(route.Outcome{Call: id, Endpoint: ids[0], Kind: route.Refused, Status: 400}, start.Add(time.Second))
		return s.Decide(n, start.Add(time.Second)).Chosen
	}
	if got := judge("1"); got != "openai/uk" {
		t.Errorf("of those of which nothing is known, the same model of another provider, not %s", got)
	}
	s.End(route.Outcome{Call: "x", Endpoint: "openai/us", Kind: route.OK}, start)
	if got := judge("2"); got != "openai/us" {
		t.Errorf("the one that accepts calls, not %s", got)
	}
}

// TestOneCallerCannotClose has one key send calls that one endpoint refuses and the other accepts, while other keys are served: the endpoint stays.
func TestOneCallerCannotClose(t *testing.T) {
	t.Parallel()
	cat, ids := catalogOf(place("a/x", "a", "", "", "m"), place("b/x", "b", "", "", "m"))
	s := route.New(cat, route.Config{})
	now := start
	for i := range 200 {
		now = now.Add(100 * time.Millisecond)
		id := fmt.Sprint(i)
		good := route.Need{ID: "good" + id, Key: "good", Endpoints: ids}
		s.Begin(good.ID, ids[0], good, now)
		s.End(route.Outcome{Call: good.ID, Endpoint: ids[0], Kind: route.OK}, now.Add(time.Millisecond))
		odd := route.Need{ID: "odd" + id, Key: "odd", Endpoints: ids}
		s.Begin(odd.ID, ids[0], odd, now)
		if a := s.End(route.Outcome{Call: odd.ID, Endpoint: ids[0], Kind: route.Refused, Status: 400}, now.Add(time.Millisecond)); a.Judge {
			odd.Tried = ids[:1]
			s.Begin(odd.ID, ids[1], odd, now)
			s.End(route.Outcome{Call: odd.ID, Endpoint: ids[1], Kind: route.OK}, now.Add(2*time.Millisecond))
		}
		if h := s.Snapshot(now.Add(3 * time.Millisecond))[0]; h.State == route.Open {
			t.Fatalf("after %d calls: %s", i, h.Why)
		}
	}
}

// FuzzOutcome tells the router whatever a provider may say. It must go on, and stay explicable: expectations are finite, and what it waits for is to come.
func FuzzOutcome(f *testing.F) {
	f.Add(uint8(5), int64(math.MaxInt64), int64(1), int64(0), int64(math.MaxInt64), int64(-1), int64(1<<62))
	f.Add(uint8(0), int64(0), int64(100), int64(50), int64(1000), int64(10), int64(20))
	kinds := []route.Kind{route.OK, route.Failed, route.Overloaded, route.Refused, route.KeyRefused, route.RateLimited, route.Slow, route.Canceled, "nonsense"}
	f.Fuzz(func(t *testing.T, kind uint8, after, limit, remaining, reset, in, out int64) {
		cat, ids := catalogOf(place("a/x", "a", "", "", "m"), place("b/x", "b", "", "", "m"))
		s := route.New(cat, route.Config{})
		now := start
		for i := range 12 {
			n := route.Need{ID: fmt.Sprint(i), Endpoints: ids, TokensIn: 100, Random: uint64(after) + uint64(i)}
			d := s.Take(n, now)
			if d.Chosen == "" {
				if !d.Wait.IsZero() && !d.Wait.After(now) || d.Wait.IsZero() && (d.Refused == "" || d.RetryAfter < 0) {
					t.Fatalf("%+v", d)
				}
				now = now.Add(time.Minute)
				continue
			}
			for _, c := range d.Candidates {
				if math.IsNaN(c.Score) || math.IsNaN(c.Headroom) || c.Headroom < 0 || c.Headroom > 1 || c.Total < 0 || c.Price < 0 {
					t.Fatalf("%+v", c)
				}
			}
			l := route.Limit{Limit: limit, Remaining: remaining, Reset: time.Duration(reset)}
			o := route.Outcome{Call: n.ID, Endpoint: d.Chosen, Kind: kinds[int(kind)%len(kinds)], RetryAfter: time.Duration(after), FirstToken: time.Duration(out), Duration: time.Duration(in), TokensIn: in, TokensOut: out, Limits: route.Limits{Requests: l, Tokens: l}}
			now = now.Add(time.Second)
			s.End(o, now)
		}
	})
}
