package gateway

import (
	"context"
	"slices"
	"time"

	"decouple.dev/decouple/gateway/route"
)

// hedged asks a second endpoint when the first one has brought nothing in time. Whichever begins first answers the caller; the other one is hung up on, and what it may cost is in
// the settlement.
func (c *call) hedged(ctx context.Context, a *attempt, d route.Decision) (route.Advice, *failure) {
	first := c.beside(ctx, a)
	timer := time.NewTimer(d.After)
	defer timer.Stop()
	select {
	case e := <-first:
		return e.advice, e.failed
	case <-timer.C:
	}
	if c.winner.Load() != nil || !c.g.retry(c) {
		e := <-first
		return e.advice, e.failed
	}
	if _, err := c.still(a.ep.ID, atHedge); err != nil || len(c.need.Endpoints) == 0 { // contracts have changed: what is under way goes on, and nothing is begun
		e := <-first
		return e.advice, e.failed
	}
	n := c.need
	n.Tried = append(slices.Clone(n.Tried), a.ep.ID)
	again := c.g.take(c, n)
	if again.Chosen == "" || again.Chosen == a.ep.ID {
		e := <-first
		return e.advice, e.failed
	}
	b := c.attempt(again.Chosen, a.out)
	second := c.beside(ctx, b)
	if second == nil {
		c.g.end(b, &failure{what: route.Canceled})
		e := <-first
		return e.advice, e.failed
	}
	var e ending
	for range 2 {
		select {
		case e = <-first:
			first = nil
		case e = <-second:
			second = nil
			c.need.Tried = append(c.need.Tried, b.ep.ID)
		}
		if e.failed == nil || c.winner.Load() == e.attempt {
			c.others(e.attempt)
			return e.advice, e.failed
		}
	}
	return e.advice, e.failed
}

// ending is how an attempt ended.
type ending struct {
	attempt *attempt
	advice  route.Advice
	failed  *failure
}

// beside makes an attempt beside others of the same call; nil is that the call has been settled.
func (c *call) beside(ctx context.Context, a *attempt) <-chan ending {
	out := make(chan ending, 1)
	ctx, a.cancel = context.WithCancelCause(ctx)
	a.done = make(chan struct{})
	if a.n == 0 && !c.enrol(a) {
		a.cancel(nil)
		return nil
	}
	go func() {
		defer close(a.done)
		defer a.cancel(nil)
		advice, f := c.ask(ctx, a)
		out <- ending{a, advice, f}
	}()
	return out
}
