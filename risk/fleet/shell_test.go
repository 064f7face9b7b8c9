package fleet_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/risk/fleet"
	"decouple.dev/decouple/sim"
)

// plain is a cloud without chance: it takes 100 ms to the first token and 10 ms for each further one.
func plain(name string) sim.Cloud {
	return sim.Cloud{
		Name: name, Vendor: sim.OpenAI, Regions: []string{"us"}, First: sim.Spread{P50: 100 * time.Millisecond}, Rate: 100,
		Models: []sim.Offer{{ID: "m", Name: "m", Prices: []catalog.Price{{Tiers: []catalog.Tier{{In: 2 * decouple.USD, Out: 10 * decouple.USD}}}}}},
	}
}

// pair is a plan of one workload over two clouds, asked in order.
func pair(change func(*fleet.Workload, *catalog.Alias)) fleet.Plan {
	a := catalog.Alias{Name: "both", Strategy: catalog.Ordered, Targets: []catalog.Target{{Endpoint: "one/us/m"}, {Endpoint: "two/us/m"}}}
	w := fleet.Workload{Name: "w", Model: "both", Arrive: fleet.Arrival{Pattern: fleet.Steady, Rate: 1}, Runs: 100, In: fleet.Always(100), Out: fleet.Always(101), MaxOut: 500, Stream: true}
	change(&w, &a)
	return fleet.Plan{
		Start: start, Span: 100 * time.Second, Clouds: []sim.Cloud{plain("one"), plain("two")}, Workloads: []fleet.Workload{w},
		Overlay: catalog.Overlay{Aliases: map[string]catalog.Alias{"both": a}},
	}
}

// figures are what is counted of a plan.
type figures struct{ ok, attempts, one, two, hedged, discarded, retried int64 }

// TestShell wants a simulated call to go as it does in the gateway, with figures that can be worked out by hand.
func TestShell(t *testing.T) {
	t.Parallel()
	const always = 200 * time.Second
	for _, tt := range []struct {
		name   string
		change func(*fleet.Workload, *catalog.Alias)
		faults []sim.Fault
		want   figures
		first  time.Duration
		total  time.Duration
	}{
		{"all well", func(*fleet.Workload, *catalog.Alias) {}, nil, figures{ok: 100, attempts: 100, one: 100}, 100 * time.Millisecond, 1100 * time.Millisecond},
		{"not streamed", func(w *fleet.Workload, _ *catalog.Alias) { w.Stream = false }, nil, figures{ok: 100, attempts: 100, one: 100}, 1100 * time.Millisecond, 1100 * time.Millisecond},
		{
			// A fifth call earns one retry; ten are saved. A stream that has begun cannot begin anew.
			"a begun stream is lost", func(w *fleet.Workload, _ *catalog.Alias) { w.Runs = 3 }, []sim.Fault{{Kind: sim.Cut, Cloud: "one", After: 50}},
			figures{ok: 0, attempts: 3, one: 3, discarded: 3}, 0, 0,
		},
		{
			"a begun stream begins anew", func(w *fleet.Workload, _ *catalog.Alias) { w.Runs, w.Begun = 3, true }, []sim.Fault{{Kind: sim.Cut, Cloud: "one", After: 50}},
			figures{ok: 3, attempts: 6, one: 3, two: 3, discarded: 3, retried: 3}, 690 * time.Millisecond, 1690 * time.Millisecond,
		},
		{
			"a second opinion", func(w *fleet.Workload, _ *catalog.Alias) { w.Runs = 1 }, []sim.Fault{{Kind: sim.Wrong400, Cloud: "one"}},
			figures{ok: 1, attempts: 2, one: 1, two: 1, retried: 1}, 0, 0,
		},
		{
			"a caller's own fault", func(w *fleet.Workload, _ *catalog.Alias) { w.Runs = 1 }, []sim.Fault{{Kind: sim.Wrong400}},
			figures{ok: 0, attempts: 2, one: 1, two: 1, retried: 1}, 0, 0,
		},
		{
			"a hedge wins", func(w *fleet.Workload, a *catalog.Alias) { w.Runs, a.Hedge = 3, 300*time.Millisecond }, []sim.Fault{{Kind: sim.StallFirst, Cloud: "one", For: 2 * time.Second}},
			figures{ok: 3, attempts: 6, one: 3, two: 3, hedged: 3, retried: 3}, 400 * time.Millisecond, 1400 * time.Millisecond,
		},
		{
			"the hedge loses", func(w *fleet.Workload, a *catalog.Alias) { w.Runs, a.Hedge = 3, 90*time.Millisecond }, nil,
			figures{ok: 3, attempts: 6, one: 3, two: 3, hedged: 3, retried: 3, discarded: 3}, 100 * time.Millisecond, 1100 * time.Millisecond,
		},
		{
			"a cascade goes on", func(w *fleet.Workload, a *catalog.Alias) {
				a.Strategy, a.Check, w.Unchecks = catalog.Cascade, "not_empty", 1
			}, nil,
			figures{ok: 100, attempts: 200, one: 100, two: 100, retried: 100, discarded: 100}, 2200 * time.Millisecond, 2200 * time.Millisecond,
		},
		{
			"slow is dead", func(w *fleet.Workload, _ *catalog.Alias) { w.Runs = 1 }, []sim.Fault{{Kind: sim.StallFirst, Cloud: "one", For: 30 * time.Second}},
			figures{ok: 1, attempts: 2, one: 1, two: 1, retried: 1}, 5100 * time.Millisecond, 6100 * time.Millisecond,
		},
		{
			"a stall is an end", func(w *fleet.Workload, _ *catalog.Alias) { w.Runs, w.Begun = 1, true }, []sim.Fault{{Kind: sim.Stall, Cloud: "one", After: 10, For: 5 * time.Minute}},
			figures{ok: 1, attempts: 2, one: 1, two: 1, retried: 1, discarded: 1}, 60290 * time.Millisecond, 61290 * time.Millisecond,
		},
	} {
		p := pair(tt.change)
		p.Faults = tt.faults
		for i := range p.Faults {
			p.Faults[i].To = always
		}
		r := run(t, p)
		w := r.Workloads[0]
		got := figures{ok: w.OK, attempts: w.Attempts, hedged: w.Hedged, discarded: w.Discarded, retried: w.Retried}
		for i, e := range r.Endpoints {
			switch e.ID {
			case "one/us/m":
				got.one = w.Cells[i].Attempts
			case "two/us/m":
				got.two = w.Cells[i].Attempts
			}
		}
		if got != tt.want {
			t.Errorf("%s: it is %+v, want %+v (%v)", tt.name, got, tt.want, w.Failed)
		}
		near := func(d, want time.Duration) bool { return want == 0 || (d-want).Abs() <= want/50+time.Millisecond }
		if !near(w.FirstToken.Mean, tt.first) || !near(w.Total.Mean, tt.total) {
			t.Errorf("%s: the first token came after %s and the last after %s, want %s and %s", tt.name, w.FirstToken.Mean, w.Total.Mean, tt.first, tt.total)
		}
	}
}

// TestDefaultClass wants a call without a class to be one of an interface, as at the gateway's doors, and an agent's to have none.
func TestDefaultClass(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{"": "stateless_api", "researcher": ""} {
		p := pair(func(w *fleet.Workload, _ *catalog.Alias) { w.Agent = agent })
		seen := asked{}
		p.Policies = []fleet.Change{{Policy: seen}}
		run(t, p)
		if _, ok := seen[want]; !ok || len(seen) != 1 {
			t.Errorf("the agent %q asks for the classes %v", agent, seen)
		}
	}
}

// asked notes the classes that it is asked about.
type asked map[string]bool

func (a asked) Judge(n *placement.Need, _ *placement.Place) placement.Ruling {
	a[n.Class] = true
	return placement.Ruling{Effect: placement.Go}
}

// TestWrongPlans wants plans that cannot be played to be refused with the reason, and one that is given up to end.
func TestWrongPlans(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*fleet.Plan){
		"needs a start":           func(p *fleet.Plan) { p.Start = time.Time{} },
		"at least one workload":   func(p *fleet.Plan) { p.Workloads = nil },
		"at least one cloud":      func(p *fleet.Plan) { p.Clouds = nil },
		"there is no model":       func(p *fleet.Plan) { p.Workloads[0].Model = "nothing" },
		"no endpoint serves":      func(p *fleet.Plan) { p.Clouds = clouds(t, "groq") },
		"in the order":            func(p *fleet.Plan) { p.Policies = []fleet.Change{{At: 2}, {At: 1}} },
		"which is not there":      func(p *fleet.Plan) { p.Faults = []sim.Fault{{Kind: sim.Outage, Cloud: "nowhere"}} },
		"two workloads":           func(p *fleet.Plan) { p.Workloads = append(p.Workloads, p.Workloads[0]) },
		"a plan without a span":   func(p *fleet.Plan) { p.Span, p.Workloads[0].Runs = 0, 0 },
		"its rate is":             func(p *fleet.Plan) { p.Workloads[0].Arrive.Rate = -1 },
		"more than a hundred mil": func(p *fleet.Plan) { p.Workloads[0].Arrive.Rate, p.Span = 1e6, 24*time.Hour },
	} {
		p := small(t)
		spoil(&p)
		if _, err := fleet.Run(context.Background(), p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %s", err, want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := small(t)
	p.Slice, p.Progress = time.Second, func(at fleet.Span, _ fleet.Size) {
		if at.Now >= 5*time.Second {
			cancel()
		}
	}
	if _, err := fleet.Run(ctx, p); decouple.KindOf(err) != decouple.Canceled {
		t.Errorf("given up, it ends with %v", err)
	}
}
