package drill

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"time"

	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/risk/fleet"
)

// saw is told what happens in a simulation.
func (p *player) saw(e *fleet.Event) {
	at := e.At - p.Before
	t := p.tallies[min(e.Workload, len(p.tallies)-1)]
	switch e.Kind {
	case fleet.Asked:
		p.open[e.Call] = &openCall{at: at}
		if p.failed[e.Run] {
			t.Repeated++
			delete(p.failed, e.Run)
		}
	case fleet.Began:
		if c := p.open[e.Call]; c != nil && t.when(c.at) == during {
			t.Attempts++
		}
		p.breaches(t, e, at)
	case fleet.First:
		if c := p.open[e.Call]; c != nil {
			c.begun = true
		}
	case fleet.Ended:
		p.attemptEnded(t, e)
	case fleet.Denied:
		p.over(t, &openCall{at: at}, e)
	case fleet.Answered:
		c := p.open[e.Call]
		if c == nil {
			t.Duplicated++ // a call that was answered already
			return
		}
		delete(p.open, e.Call)
		p.over(t, c, e)
	case fleet.Left:
		delete(p.failed, e.Run)
	}
}

// attemptEnded counts what an attempt cost, and an answer that had begun and is lost.
func (p *player) attemptEnded(t *tally, e *fleet.Event) {
	c := p.open[e.Call]
	if c == nil {
		if e.Line != nil { // a hedge that was hung up on after the answer
			t.cost[t.when(e.At-p.Before)] += e.Line.Amount
		}
		return
	}
	if e.Line != nil {
		c.cost += e.Line.Amount
	}
	if c.begun && e.Outcome != route.OK && e.Outcome != route.Canceled {
		t.Repeated++
		c.begun = false
	}
}

// over counts a call that has ended.
func (p *player) over(t *tally, c *openCall, e *fleet.Event) {
	failed := e.Failed != "" || e.Kind == fleet.Denied
	if failed {
		p.failed[e.Run] = true
	}
	first := e.First
	if first == 0 {
		first = e.Took
	}
	x := ended{at: c.at, first: first, took: e.Took, by: string(e.Endpoint), failed: failed, late: !failed && first > p.Slow, cost: c.cost}
	t.call(x)
	p.plot.call(x)
	if failed && t.when(c.at) == during {
		p.gapCall(e.Workload, c.at)
	}
}

// gapCall counts a call that failed for want of an alternate.
func (p *player) gapCall(workload int, at time.Duration) {
	var in *Gap
	for i := range p.gaps {
		if g := &p.gaps[i]; g.Workload == p.Workloads[workload].Name && g.From <= at {
			in = g
		}
	}
	if in != nil {
		in.Calls++
	}
}

// breaches counts an attempt that reaches a place where it may not be.
func (p *player) breaches(t *tally, e *fleet.Event, at time.Duration) {
	held := p.inForce(at)
	key := breachKey{e.Workload, held, e.Endpoint}
	b, known := p.breach[key]
	if !known {
		place := p.places[e.Endpoint]
		if home := p.Workloads[e.Workload].Residency; len(home) > 0 {
			b.residency = !slices.Contains(home, place.Geo)
		}
		ok, _ := held.ruling(&p.needs[e.Workload], &place)
		b.contract = !ok
		p.breach[key] = b
	}
	if b.residency {
		t.Residency++
	}
	if b.contract {
		t.Contract++
	}
}

// inForce is the terms of a time, before, during and after the loss.
func (w *world) inForce(at time.Duration) *terms {
	if at < 0 || at >= w.Lasts {
		return &w.calm
	}
	return w.at(at)
}

// keys are the keys of a map.
func keys[K cmp.Ordered, V any](m map[K]V) iter.Seq[K] { return maps.Keys(m) }
