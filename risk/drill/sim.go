package drill

import (
	"cmp"
	"context"
	"slices"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/risk/fleet"
	"decouple.dev/decouple/sim"
)

// Order is what a drill is asked to be, beside its scenario. ID and Ran are required.
type Order struct {
	ID       string
	Ran      time.Time
	By       decouple.Actor
	Node     string
	Program  string
	Seed     uint64                                     // of a simulation
	Progress func(done time.Duration, of time.Duration) // told now and then how far a simulation has come
}

// result begins the document of a drill.
func (o *Order) result(s *Scenario, mode Mode) *Result {
	return &Result{Version: 1, ID: o.ID, Mode: mode, Ran: o.Ran.UTC(), By: o.By, Node: o.Node, Program: o.Program, Simplified: s.Simplified, Scenario: s.About()}
}

// measuredSim says what the figures of a simulation are.
var measuredSim = []string{
	"The router, its queue and the placement of contracts are those of the gateway; clouds, times and prices are simulated (" + sim.Label + ").",
	"A call is late when its first token comes later than the scenario's slow_after. A call counts for the time at which it was made.",
	"Time to recover: from the beginning of the loss to the second from which on at most 1% of the calls end badly, both to the end of the loss and in the minute that follows.",
	"Attempts for each call are the retry amplification. Steps repeated are calls made anew by whoever made them, and answers that had begun and were begun anew elsewhere.",
	"Effects done twice are counted in the simulated world: each call that is answered does one effect under its own key, and a call that is answered twice does two. Crashes of a node are not part of a drill.",
	"Breaches are counted where a call reaches a cloud, not where it was decided: residency by the workload's own list and the catalog's table of places, contracts by the policy in force at that moment.",
	"Cost is what the clouds' invoices charge for all attempts, broken ones included, divided by the answers.",
}

// Simulate plays a scenario in the simulated world, and again through a router that trusts status codes. It is deterministic: the same scenario, seed and program give the same figures.
func Simulate(ctx context.Context, s Scenario, o Order) (*Result, error) {
	if len(s.Workloads) == 0 {
		return nil, noWorkloads(&s)
	}
	w, err := simWorld(&s)
	if err != nil {
		return nil, err
	}
	o.Seed = cmp.Or(o.Seed, 1)
	r := o.result(&s, Sim)
	r.Seed, r.Played, r.World, r.Measures = o.Seed, s.Before+s.Lasts+s.After, "simulated clouds, "+sim.Label, measuredSim
	ours, err := w.play(ctx, &o, false)
	if err != nil {
		return nil, err
	}
	naive, err := w.play(ctx, &o, true)
	if err != nil {
		return nil, err
	}
	r.Trace = ours.trace
	for i, t := range ours.tallies {
		r.Workloads = append(r.Workloads, t.figures())
		r.NaiveBy = append(r.NaiveBy, naive.tallies[i].figures())
	}
	r.Total = sum(ours.tallies)
	total := sum(naive.tallies)
	r.Naive, r.Gaps = &total, ours.gaps
	r.Chart = ours.plot.chart(s.Lasts, naive.plot)
	r.judge(&s)
	return r, nil
}

// player watches a simulation and counts.
type player struct {
	*world
	tallies []*tally
	needs   []placement.Need
	plot    *plot
	gaps    []Gap
	trace   string
	open    map[uint64]*openCall
	failed  map[uint64]bool // runs whose step has failed, and may come again
	breach  map[breachKey]breach
}

// openCall is a call under way.
type openCall struct {
	at    time.Duration
	cost  decouple.Money
	begun bool // an answer had begun
}

// breachKey is what a judgement of an attempt hangs on.
type breachKey struct {
	workload int
	terms    *terms
	endpoint catalog.EndpointID
}

type breach struct{ residency, contract bool }

// play plays the scenario once.
func (w *world) play(ctx context.Context, o *Order, naive bool) (*player, error) {
	p := &player{world: w, plot: newPlot(-w.Before, w.Lasts+w.After), open: map[uint64]*openCall{}, failed: map[uint64]bool{}, breach: map[breachKey]breach{}}
	plan := fleet.Plan{Name: w.ID, Seed: o.Seed, Start: w.Start, Span: w.Before + w.Lasts + w.After, Clouds: w.clouds, Catalog: w.catalog, Faults: w.faults(), Router: fleet.Router{Naive: naive}, Observe: p.saw}
	plan.Policies = w.changes()
	for i := range w.Workloads {
		k := &w.Workloads[i]
		p.needs = append(p.needs, placement.Need{Action: placement.CallModel, Class: k.Class, Labels: k.Labels, Team: k.Team, Agent: k.Agent})
		f := Figures{Workload: k.Name, Class: k.Class, Model: k.Model, Critical: k.Critical, Alternate: true}
		if err := p.findGaps(i, k, &f); err != nil {
			return nil, err
		}
		p.tallies = append(p.tallies, newTally(f, w.Lasts))
		plan.Workloads = append(plan.Workloads, k.fleet())
	}
	if o.Progress != nil {
		plan.Progress = func(at fleet.Span, _ fleet.Size) { o.Progress(at.Now, at.Of) }
	}
	res, err := fleet.Run(ctx, plan)
	if err != nil {
		return nil, err
	}
	p.trace = res.Trace
	return p, nil
}

// changes are the contracts as they hold one after the other.
func (w *world) changes() []fleet.Change {
	var out []fleet.Change
	add := func(at time.Duration, t *terms) {
		c := fleet.Change{At: at, Why: t.why}
		if t.policy != nil { // a nil pointer in an interface would not be nil
			c.Policy = t.policy
		}
		if len(out) == 0 || out[len(out)-1].Policy != c.Policy {
			out = append(out, c)
		}
	}
	add(0, &w.calm)
	for i := range w.terms {
		add(w.Before+w.terms[i].from, &w.terms[i])
	}
	add(w.Before+w.Lasts, &w.calm)
	return out
}

// findGaps works out when a workload has nowhere to go.
func (p *player) findGaps(i int, k *Workload, f *Figures) error {
	alias, err := p.catalog.Resolve(k.Model)
	if err != nil {
		return decouple.Errorf(decouple.KindOf(err), "%s:%d: the workload %s: %w", p.ID, k.line, k.Name, err)
	}
	members := p.catalog.Members(alias)
	var last *Gap
	for _, at := range p.moments() {
		g := p.gap(&p.needs[i], members, at)
		if g == nil {
			last = nil
			continue
		}
		f.Alternate = false
		if last != nil && slices.Equal(last.Lost, g.Lost) && slices.Equal(last.Refused, g.Refused) {
			continue
		}
		g.Workload, last = k.Name, g
		p.gaps = append(p.gaps, *g)
	}
	return nil
}

// fleet is a workload as the simulator takes it.
func (k *Workload) fleet() fleet.Workload {
	return fleet.Workload{
		Name: k.Name, Class: k.Class, Labels: k.Labels, Team: k.Team, Agent: k.Agent, Model: k.Model, Arrive: fleet.Arrival{Pattern: fleet.Poisson, Rate: k.Rate}, Calls: fleet.Always(float64(k.Steps)),
		Tools: fleet.Always(float64(300 * time.Millisecond)), In: fleet.Spread{Shape: fleet.LogNormal, A: float64(k.In), B: 3 * float64(k.In)}, Out: fleet.Spread{Shape: fleet.LogNormal, A: float64(k.Out), B: 3 * float64(k.Out)},
		MaxOut: 8 * k.Out, Stream: k.Stream, Begun: k.Agent != "" || k.Steps > 1, Again: k.Again, Keys: 3,
	}
}

// faults are the losses as the simulated world takes them: one for every cloud, region and model that a loss is about.
func (w *world) faults() []sim.Fault {
	var out []sim.Fault
	for i := range w.Lose {
		l := &w.Lose[i]
		if l.What == Clause {
			continue
		}
		for c := range w.clouds {
			out = append(out, w.faultsAt(l, &w.clouds[c])...)
		}
	}
	return out
}

// faultsAt are a loss at one cloud: a single fault where all of it is lost.
func (w *world) faultsAt(l *Loss, c *sim.Cloud) []sim.Fault {
	var out []sim.Fault
	all := true
	base := l.fault()
	base.From, base.To, base.Cloud = w.Before+l.From, w.Before+l.To, c.Name
	for _, id := range slices.Sorted(keys(w.catalog.Endpoints)) {
		e := w.catalog.Endpoints[id]
		if e.Account != c.Name {
			continue
		}
		p := w.places[id]
		if !w.about(l, &p) {
			all = false
			continue
		}
		f := base
		f.Region, f.Model = e.Region, e.Name
		out = append(out, f)
	}
	if all && len(out) > 1 {
		return []sim.Fault{base}
	}
	return out
}

// fault is a loss without its place and time.
func (l *Loss) fault() sim.Fault {
	f := sim.Fault{Share: l.Share, After: l.After, For: l.For, Factor: l.Factor}
	if l.Share == 1 {
		f.Share = 0 // of sim: all
	}
	status := ""
	if l.Status != 0 {
		status = itoa(l.Status)
	}
	switch l.What {
	case Outage:
		f.Kind, f.Mode = sim.Outage, status
	case Storm:
		f.Kind, f.RetryAfter, f.For = sim.Storm, l.For, 0
	case Overload:
		f.Kind, f.RetryAfter, f.For = sim.Overload, l.For, 0
	case Refuse:
		f.Kind = sim.Wrong400
	case Auth:
		f.Kind, f.Mode = sim.Auth, status
	case StallFirst:
		f.Kind = sim.StallFirst
	case Stall:
		f.Kind = sim.Stall
	case Slow:
		f.Kind = sim.Slow
	case Cut:
		f.Kind = sim.Cut
	case Price:
		f.Kind = sim.PriceTimes
	case Quota:
		f.Kind = sim.QuotaTimes
	}
	return f
}
