package fleet_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/meter"
	"decouple.dev/decouple/risk/fleet"
	"decouple.dev/decouple/sim"
)

var start = time.Date(2026, 3, 9, 12, 0, 0, 0, time.UTC)

// clouds are those that ship, by name; all without one.
func clouds(t testing.TB, names ...string) []sim.Cloud {
	t.Helper()
	s, err := sim.ReadSetup("clouds.yaml", sim.DefaultClouds)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		return s.Clouds
	}
	return slices.DeleteFunc(s.Clouds, func(c sim.Cloud) bool { return !slices.Contains(names, c.Name) })
}

// small is a plan of three workloads on all clouds.
func small(t testing.TB) fleet.Plan {
	return fleet.Plan{
		Seed: 1, Start: start, Span: 10 * time.Minute, Clouds: clouds(t),
		Workloads: []fleet.Workload{
			{
				Name: "research", Class: "autonomous_research", Model: "gpt-5.4", Arrive: fleet.Arrival{Rate: 1}, Calls: fleet.Spread{Shape: fleet.LogNormal, A: 6, B: 20}, Stream: true, Begun: true,
				Tools: fleet.Spread{Shape: fleet.Exponential, A: 2e9}, In: fleet.Spread{Shape: fleet.LogNormal, A: 1500, B: 6000}, Prefix: 1200, Grow: fleet.Always(400), Out: fleet.Spread{Shape: fleet.LogNormal, A: 300, B: 1200}, MaxOut: 4000,
			},
			{Name: "support", Class: "product", Model: "sonnet-4.6", Arrive: fleet.Arrival{Rate: 2, Pattern: fleet.Burst}, In: fleet.Always(900), Out: fleet.Always(200), MaxOut: 1000, Stream: true, Late: 20 * time.Second},
			{Name: "batch", Class: "batch", Model: "gpt-oss-120b", Arrive: fleet.Arrival{Rate: 5, Pattern: fleet.Steady}, In: fleet.Always(3000), Out: fleet.Spread{Shape: fleet.Exponential, A: 500}, MaxOut: 4000, Again: 2, Priority: -1},
		},
	}
}

func run(t testing.TB, p fleet.Plan) *fleet.Result {
	t.Helper()
	r, err := fleet.Run(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSameSeed wants one seed to give one trace, and another seed another one.
func TestSameSeed(t *testing.T) {
	t.Parallel()
	one, two := run(t, small(t)), run(t, small(t))
	if one.Trace != two.Trace || one.Cost != two.Cost {
		t.Errorf("one plan gave the traces %s and %s, at %s and %s", one.Trace, two.Trace, one.Cost, two.Cost)
	}
	p := small(t)
	p.Seed = 2
	if other := run(t, p); other.Trace == one.Trace {
		t.Errorf("another seed gave the same trace %s", one.Trace)
	}
}

// ledger books what happens by itself, from the events.
type ledger struct {
	open, calls, runs map[uint64]int
	attempts          map[string]bool
	cost              decouple.Money
	own               decouple.Money // by the catalog's prices
	faults            []string
	cat               *catalog.Catalog
}

func (l *ledger) see(e *fleet.Event) {
	attempt := fmt.Sprint(e.Call, "/", e.Attempt)
	switch e.Kind {
	case fleet.Arrived:
		l.runs[e.Run]++
	case fleet.Left:
		l.runs[e.Run]--
	case fleet.Asked:
		l.open[e.Call]++
		l.calls[e.Call]++
	case fleet.Began:
		if l.attempts[attempt] {
			l.faults = append(l.faults, "the attempt "+attempt+" began twice")
		}
		l.attempts[attempt] = true
	case fleet.Ended:
		if !l.attempts[attempt] {
			l.faults = append(l.faults, "the attempt "+attempt+" ended without a beginning, or twice")
		}
		delete(l.attempts, attempt)
		if e.Line != nil {
			l.cost += e.Line.Amount
			ep := l.cat.Endpoints[e.Endpoint]
			price, ok := l.cat.PriceOf(ep, start)
			if !ok {
				l.faults = append(l.faults, "no price for "+string(e.Endpoint))
			}
			u := decouple.Usage{TokensIn: e.Line.In + e.Line.Cached + e.Line.CacheWrite + e.Line.CacheLong, Cached: e.Line.Cached, CacheWrite: e.Line.CacheWrite, CacheLong: e.Line.CacheLong, TokensOut: e.Line.Out}
			l.own += meter.Cost(price, ep.Region, e.Line.Tier, u)
		}
	case fleet.Answered:
		if l.open[e.Call]--; l.open[e.Call] != 0 {
			l.faults = append(l.faults, fmt.Sprintf("the call %d ended %d times", e.Call, 1-l.open[e.Call]))
		}
	}
}

// troubled is the small plan with hedges and a cascade, while the clouds fail in every way, one after the other.
func troubled(t *testing.T, seed uint64) fleet.Plan {
	p := small(t)
	p.Seed = seed
	base, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	if p.Catalog, err = fleet.Catalog(base, p.Clouds, nil); err != nil {
		t.Fatal(err)
	}
	alias := catalog.Alias{Name: "both", Strategy: catalog.Fastest, Hedge: 800 * time.Millisecond, Targets: []catalog.Target{{Model: "gpt-5.4"}, {Model: "sonnet-4.6"}}}
	steps := catalog.Alias{Name: "steps", Strategy: catalog.Cascade, Check: "not_empty", Targets: []catalog.Target{{Model: "gpt-oss-120b"}, {Model: "gpt-5.4"}}}
	if p.Catalog, err = p.Catalog.With(catalog.Overlay{Aliases: map[string]catalog.Alias{"both": alias, "steps": steps}}); err != nil {
		t.Fatal(err)
	}
	p.Workloads[0].Model = "both"
	p.Workloads[2].Model, p.Workloads[2].Unchecks = "steps", 0.3
	kinds := []sim.FaultKind{sim.Outage, sim.Storm, sim.Overload, sim.Auth, sim.Wrong400, sim.StallFirst, sim.Stall, sim.Slow, sim.Cut, sim.Reset, sim.ErrorIn200, sim.Empty, sim.Truncated, sim.QuotaTimes}
	for i, k := range kinds {
		from := time.Duration(i) * 40 * time.Second
		p.Faults = append(p.Faults, sim.Fault{Kind: k, From: from, To: from + 60*time.Second, Share: 0.5, After: 30, For: 90 * time.Second, Factor: 0.5})
	}
	return p
}

// TestConservation wants every call, attempt and run to end once, and the cost to be that of the clouds' invoices and of the catalog's prices, to the nano-dollar, while clouds fail in every way.
func TestConservation(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		p := troubled(t, seed)
		l := &ledger{open: map[uint64]int{}, calls: map[uint64]int{}, runs: map[uint64]int{}, attempts: map[string]bool{}, cat: p.Catalog}
		p.Observe = l.see
		r := run(t, p)
		for _, f := range l.faults {
			t.Error(f)
		}
		if len(l.attempts) > 0 {
			t.Errorf("%d attempts never ended", len(l.attempts))
		}
		for id, n := range l.open {
			if n != 0 {
				t.Errorf("the call %d is open", id)
			}
		}
		for id, n := range l.runs {
			if n != 0 {
				t.Errorf("the run %d is open", id)
			}
		}
		if r.Cost != l.cost || r.Cost != l.own || r.Cost == 0 {
			t.Errorf("it cost %s, the invoices say %s, and the catalog's prices %s", r.Cost, l.cost, l.own)
		}
		var calls int64
		for _, w := range r.Workloads {
			if w.Calls != w.OK+w.Lost() {
				t.Errorf("%s: of %d calls %d were answered and %d lost", w.Name, w.Calls, w.OK, w.Lost())
			}
			if w.Runs != w.RunsDone+w.RunsFailed+w.RunsDenied+w.RunsHeld {
				t.Errorf("%s: of %d runs %d ended well, %d badly, %d denied and %d are held", w.Name, w.Runs, w.RunsDone, w.RunsFailed, w.RunsDenied, w.RunsHeld)
			}
			calls += w.Calls
		}
		if calls != int64(len(l.calls)) {
			t.Errorf("%d calls in the result, %d seen", calls, len(l.calls))
		}
		var sum decouple.Money
		for _, s := range r.Slices {
			for _, w := range s.Workloads {
				sum += w.Cost
			}
		}
		if sum != r.Cost {
			t.Errorf("the slices of time cost %s, and all of it %s", sum, r.Cost)
		}
		if shares := r.By("vendor"); len(shares) < 3 {
			t.Errorf("shares of vendors: %v", shares)
		}
	}
}

func BenchmarkRun(b *testing.B) {
	calls := int64(0)
	for b.Loop() {
		p := small(b)
		p.Span = time.Hour
		r := run(b, p)
		for _, w := range r.Workloads {
			calls += w.Calls
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(calls), "us/call")
	b.ReportMetric(float64(calls)/float64(b.N), "calls")
}
