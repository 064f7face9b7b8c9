package fleet

import (
	"cmp"
	"context"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/sim"
)

// fleet is a simulation at work.
type fleet struct {
	Plan
	world   *sim.World
	router  *route.State
	queue   *route.Queue
	works   []*work
	targets []target
	byID    map[catalog.EndpointID]int32
	reached map[reach]int32 // targets by what reaches a cloud: of the independent check
	policy  Policy
	changes int // of the policy, so far

	shares   []placement.Share // that the policy promises
	behind   []string          // those that are not kept
	counting bool
	begun    bool
	idlers   int // in the calendar
	words    map[refusal]judged

	cal      calendar
	now      int64     // nanoseconds since the start
	clock    time.Time // the same
	midnight float64
	runs     pool[run]
	tries    pool[attempt]
	calls    pool[call]
	prefixes [3]sim.Prefix // kept for its memory
	waiting  map[string]*call
	due      int64 // when those who wait are looked at
	dice     dice  // the router's
	d        route.Decision
	runNo    uint64
	callNo   uint64
	trace    uint64
	size     Size
	ev       Event

	books books
}

// target is an endpoint of the catalog, and how its cloud is asked.
type target struct {
	catalog.Endpoint
	ask   sim.Call
	place placement.Place
}

// Run plays a plan to its end. The error is of the plan, or of the context.
func Run(ctx context.Context, p Plan) (*Result, error) {
	f, err := newFleet(p)
	if err != nil {
		return nil, err
	}
	for n := 0; ; n++ {
		if n&4095 == 0 && ctx.Err() != nil {
			return nil, decouple.Errorf(decouple.KindOf(ctx.Err()), "the simulation was ended at %s of its time: %w", time.Duration(f.now), ctx.Err())
		}
		e, ok := f.cal.take()
		if !ok {
			break
		}
		if e.at != f.now {
			f.now, f.clock = e.at, f.Start.Add(time.Duration(e.at))
		}
		f.happen(e)
	}
	return f.result(), nil
}

// happen lets one thing happen.
func (f *fleet) happen(e entry) {
	switch e.what {
	case arrives:
		f.arrive(f.works[e.ref])
	case loops:
		f.loop(f.runs.all[e.ref])
	case again:
		f.repeat(f.runs.all[e.ref])
	case resumes:
		f.pursueNaive(f.calls.all[e.ref])
	case begins:
		if a := f.tries.all[e.ref]; a.gen == e.gen {
			f.first(a)
		}
	case ends:
		if a := f.tries.all[e.ref]; a.gen == e.gen {
			f.over(a)
		}
	case hedges:
		if a := f.tries.all[e.ref]; a.gen == e.gen {
			f.hedge(a)
		}
	case wakes:
		if e.at == f.due && f.queue.Len() > 0 {
			f.serve(time.Time{})
		}
	case changes:
		f.change(&f.Policies[e.ref])
	case watches:
		f.idlers--
		f.Progress(Span{time.Duration(f.now), f.Span}, f.size)
		f.idle(entry{at: f.now + int64(f.Slice), what: watches})
	case tallies:
		f.idlers--
		f.count()
	}
}

// newFleet makes everything ready.
func newFleet(p Plan) (*fleet, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	cat, err := p.Models()
	if err != nil {
		return nil, err
	}
	p.Catalog = cat
	world, err := sim.New(sim.Config{Seed: p.Seed, Start: p.Start, Clouds: p.Clouds, Faults: p.Faults})
	if err != nil {
		return nil, err
	}
	p.Router.MaxWait = cmp.Or(p.Router.MaxWait, 10*time.Second)
	p.Router.Queue.Wait = p.Router.MaxWait
	p.Router.Patience = p.Router.Patience.filled()
	p.Slice = cmp.Or(p.Slice, max(time.Second, (p.Span/100).Truncate(time.Second)))
	f := &fleet{
		Plan: p, world: world, queue: route.NewQueue(p.Router.Queue), byID: map[catalog.EndpointID]int32{}, reached: map[reach]int32{}, words: map[refusal]judged{},
		clock: p.Start, waiting: map[string]*call{}, due: -1, dice: dice{stir(p.Seed, 1)}, trace: stir(p.Seed, 2),
	}
	f.midnight = -float64(p.Start.Sub(p.Start.UTC().Truncate(24 * time.Hour)))
	f.findTargets()
	f.router = route.New(p.Catalog, p.Router.Route)
	if err := f.findWorks(); err != nil {
		return nil, err
	}
	f.books.open(f)
	f.schedule()
	return f, nil
}

// findTargets takes those endpoints of the catalog that a cloud serves.
func (f *fleet) findTargets() {
	for _, id := range sortedKeys(f.Catalog.Endpoints) {
		e := f.Catalog.Endpoints[id]
		c, ok := serving(f.Clouds, e)
		if !ok {
			continue
		}
		t := target{Endpoint: e, place: gateway.PlaceOf(f.Catalog, e), ask: sim.Call{Cloud: c.Name, Region: cmp.Or(e.Region, c.Regions[0]), Model: e.Name, Account: e.Account}}
		i := int32(len(f.targets))
		f.byID[id] = i
		f.reached[reach{t.ask.Cloud, t.ask.Region, t.ask.Model}] = i
		f.targets = append(f.targets, t)
	}
}

// schedule notes what is known to happen from the start.
func (f *fleet) schedule() {
	for i := range f.Policies {
		if f.Policies[i].At > 0 {
			f.cal.add(entry{at: int64(f.Policies[i].At), what: changes, ref: int32(i)})
			continue
		}
		f.change(&f.Policies[i])
	}
	if len(f.Policies) == 0 || f.Policies[0].At > 0 {
		f.permitAll()
	}
	for i, w := range f.works {
		f.expect(w, int32(i), 0)
	}
	if f.Progress != nil {
		f.idle(entry{at: int64(f.Slice), what: watches})
	}
	f.begun = true
}

// tell lets the observer see what happened.
func (f *fleet) tell(e Event) {
	if f.Observe == nil {
		return
	}
	f.ev = e
	f.ev.At = time.Duration(f.now)
	f.Observe(&f.ev)
}

// mix makes what happened part of the trace.
func (f *fleet) mix(what happening, call uint64, to int32, more uint64) {
	f.trace = scramble(f.trace + golden ^ uint64(f.now))
	f.trace = scramble(f.trace + golden ^ (call<<8 | uint64(what)))
	f.trace = scramble(f.trace + golden ^ (uint64(to)<<48 ^ more))
}
