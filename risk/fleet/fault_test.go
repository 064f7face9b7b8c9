package fleet_test

import (
	"testing"
	"time"

	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/risk/fleet"
	"decouple.dev/decouple/sim"
)

// incident is the failure of one model at Azure in seven regions, for twenty hours: 400 and 429, as on 9 March 2026.
func incident(t *testing.T) fleet.Plan {
	const from, to = 5 * time.Minute, 5*time.Minute + 20*time.Hour + 12*time.Minute
	a := catalog.Alias{Name: "primary", Strategy: catalog.Ordered}
	for _, r := range []string{"eastus2", "centralus", "swedencentral", "uksouth", "norwayeast", "koreacentral", "australiaeast"} {
		a.Targets = append(a.Targets, catalog.Target{Endpoint: catalog.EndpointID("azure/" + r + "/gpt-5.4")})
	}
	a.Targets = append(a.Targets, catalog.Target{Endpoint: "openai/us/gpt-5.4"})
	return fleet.Plan{
		Seed: 7, Start: start, Span: to + 30*time.Minute, Clouds: clouds(t, "azure", "openai"), Overlay: catalog.Overlay{Aliases: map[string]catalog.Alias{"primary": a}},
		Workloads: []fleet.Workload{{Name: "w", Model: "primary", Keys: 3, Arrive: fleet.Arrival{Rate: 3}, In: fleet.Always(500), Out: fleet.Always(200), MaxOut: 1000, Stream: true, Late: 20 * time.Second}},
		Faults: []sim.Fault{
			{Cloud: "azure", Model: "gpt-5.4", Kind: sim.Wrong400, Share: 0.7, From: from, To: to},
			{Cloud: "azure", Model: "gpt-5.4", Kind: sim.Storm, RetryAfter: 5 * time.Second, From: from, To: to},
		},
	}
}

// TestFaultRecovered wants twenty hours of 400 and 429 to be over within thirty seconds for the router, and not for one that trusts status codes.
func TestFaultRecovered(t *testing.T) {
	t.Parallel()
	p := incident(t)
	ours := run(t, p).Workloads[0]
	if took, back := ours.Recovered(5 * time.Minute); !back || took > 30*time.Second || ours.Lost() > ours.Calls/1000 || ours.Amplified > 1.2 {
		t.Errorf("it was back after %s (%v), with %d calls lost of %d and %.2f attempts a call: %v", took, back, ours.Lost(), ours.Calls, ours.Amplified, ours.Failed)
	}
	p.Router.Naive = true
	naive := run(t, p).Workloads[0]
	if took, _ := naive.Recovered(5 * time.Minute); took < 20*time.Hour || naive.Lost() < naive.Calls/2 {
		t.Errorf("a router that trusts status codes was back after %s, with %d calls lost of %d: %v", took, naive.Lost(), naive.Calls, naive.Failed)
	}
}

// TestNoAlternate wants calls that fail without another vendor to be counted as such.
func TestNoAlternate(t *testing.T) {
	t.Parallel()
	p := incident(t)
	p.Span = 10 * time.Minute
	p.Workloads[0].Model = "azure/gpt-5.4"
	w := run(t, p).Workloads[0]
	if _, back := w.Recovered(5 * time.Minute); back || w.NoAlternate == 0 || w.NoAlternate != w.Lost() {
		t.Errorf("back: %v; of %d lost calls %d had no alternate", back, w.Lost(), w.NoAlternate)
	}
}

// ruling is a policy that says one thing of every place, or of those of one vendor.
type ruling struct {
	effect placement.Effect
	vendor string
	signs  bool // what is signed off may go
}

func (r ruling) Judge(n *placement.Need, p *placement.Place) placement.Ruling {
	out := placement.Ruling{Effect: r.effect, Why: "by the test", Clauses: []placement.Cited{{ID: "test/one"}}}
	if r.vendor != "" && r.vendor != p.Vendor || r.signs && len(n.Signed) == 1 && n.Signed[0] == "test/one" {
		out.Effect = placement.Go
	}
	return out
}

// TestFailClosed wants nothing to be sent where everything is denied or held.
func TestFailClosed(t *testing.T) {
	t.Parallel()
	for _, effect := range []placement.Effect{placement.Stop, placement.Hold, ""} {
		for _, naive := range []bool{false, true} {
			p := small(t)
			p.Span = time.Minute
			p.Router.Naive = naive
			p.Policies = []fleet.Change{{Policy: ruling{effect: effect}}}
			for _, w := range run(t, p).Workloads {
				if w.Attempts != 0 || w.Cost != 0 || w.Runs == 0 || w.Calls != 0 || w.Runs != w.RunsDenied+w.RunsHeld || (effect == placement.Hold) != (w.RunsHeld > 0) {
					t.Errorf("%s, %s: %d attempts; of %d runs %d were denied and %d held", effect, w.Name, w.Attempts, w.Runs, w.RunsDenied, w.RunsHeld)
				}
			}
		}
	}
}

// TestClauseFallsAway wants calls to leave a vendor when its clause is gone, those that wait and those that go on too, and to come back when another holds.
func TestClauseFallsAway(t *testing.T) {
	t.Parallel()
	for _, naive := range []bool{false, true} {
		p := small(t)
		p.Router.Naive = naive
		p.Clouds = clouds(t, "openai", "azure", "aws-claude", "anthropic", "groq")
		// So little room that calls wait.
		for i := range p.Clouds {
			p.Clouds[i].Limits.Requests = min(p.Clouds[i].Limits.Requests, 60)
		}
		hedged := catalog.Alias{Name: "hedged", Strategy: catalog.Fastest, Hedge: 300 * time.Millisecond, Targets: []catalog.Target{{Model: "gpt-5.4"}, {Model: "sonnet-4.6"}}}
		p.Overlay.Aliases = map[string]catalog.Alias{"hedged": hedged}
		p.Workloads[1].Model = "hedged"
		gone := ruling{effect: placement.Stop, vendor: "openai"}
		p.Policies = []fleet.Change{{At: 3 * time.Minute, Policy: gone}, {At: 6 * time.Minute}, {At: 8 * time.Minute, Policy: gone}}
		late, early := 0, 0
		p.Observe = func(e *fleet.Event) {
			if e.Kind != fleet.Began || len(e.Endpoint) < 6 || e.Endpoint[:6] != "openai" {
				return
			}
			if e.At >= 3*time.Minute && e.At < 6*time.Minute || e.At >= 8*time.Minute {
				late++
			} else {
				early++
			}
		}
		r := run(t, p)
		waited := r.Workloads[0].Waited + r.Workloads[1].Waited
		if late > 0 || early == 0 || waited == 0 && !naive {
			t.Errorf("naive %v: %d attempts at a denied vendor, %d at other times; %d calls waited", naive, late, early, waited)
		}
		for _, w := range r.Workloads {
			if w.Breaches != 0 {
				t.Errorf("%s: %d breaches", w.Name, w.Breaches)
			}
		}
	}
}

// TestHeldRuns wants a held run to go on when a person signs off, and when another policy holds.
func TestHeldRuns(t *testing.T) {
	t.Parallel()
	p := small(t)
	p.Span = time.Minute
	p.Workloads = p.Workloads[1:2]
	p.Policies = []fleet.Change{{Policy: ruling{effect: placement.Hold, signs: true}}}
	p.Workloads[0].SignOff = 5 * time.Minute
	w := run(t, p).Workloads[0]
	if w.RunsDone != w.Runs || w.Held != w.Runs || w.Breaches != 0 || w.Run.P50 < 5*time.Minute {
		t.Errorf("signed off: of %d runs %d were held and %d are done, %d breaches, in %s", w.Runs, w.Held, w.RunsDone, w.Breaches, w.Run.P50)
	}
	p.Workloads[0].SignOff = 0
	p.Policies = append(p.Policies, fleet.Change{At: 10 * time.Minute})
	if w := run(t, p).Workloads[0]; w.RunsDone < w.Runs*9/10 || w.RunsDone+w.RunsFailed != w.Runs || w.RunsHeld != 0 {
		t.Errorf("another policy: of %d runs %d are done and %d held", w.Runs, w.RunsDone, w.RunsHeld)
	}
}

// TestBreachesAreSeen wants the independent check to count what a wrong decision would send.
func TestBreachesAreSeen(t *testing.T) {
	t.Parallel()
	p := small(t)
	p.Span = time.Minute
	moody := &twice{}
	p.Policies = []fleet.Change{{Policy: moody}}
	n := int64(0)
	for _, w := range run(t, p).Workloads {
		n += w.Breaches
	}
	if n == 0 {
		t.Error("a policy that permits when calls are decided and denies when they are looked at makes no breach")
	}
}

// twice permits what it is asked first, and denies when it is asked again.
type twice struct{ seen map[string]bool }

func (m *twice) Judge(n *placement.Need, p *placement.Place) placement.Ruling {
	if m.seen == nil {
		m.seen = map[string]bool{}
	}
	key := n.Class + p.ID
	if m.seen[key] {
		return placement.Ruling{Effect: placement.Stop}
	}
	m.seen[key] = true
	return placement.Ruling{Effect: placement.Go}
}

// TestHedgeIsJudged wants the second attempt of a hedge to be judged by the policy that holds when it begins.
func TestHedgeIsJudged(t *testing.T) {
	t.Parallel()
	p := pair(func(w *fleet.Workload, a *catalog.Alias) { w.Runs, a.Hedge = 1, 300*time.Millisecond }) // it comes after a second
	p.Faults = []sim.Fault{{Kind: sim.StallFirst, Cloud: "one", For: 2 * time.Second}}
	if w := run(t, p).Workloads[0]; w.Hedged != 1 {
		t.Fatalf("%d hedges", w.Hedged)
	}
	p.Policies = []fleet.Change{{At: 1100 * time.Millisecond, Policy: only{"one/us/m"}}}
	if w := run(t, p).Workloads[0]; w.Hedged != 0 || w.OK != 1 || w.Breaches != 0 {
		t.Errorf("%d hedges, %d breaches; %d calls were answered", w.Hedged, w.Breaches, w.OK)
	}
}

// only permits one endpoint.
type only struct{ id string }

func (o only) Judge(_ *placement.Need, p *placement.Place) placement.Ruling {
	if p.ID == o.id {
		return placement.Ruling{Effect: placement.Go}
	}
	return placement.Ruling{Effect: placement.Stop}
}
