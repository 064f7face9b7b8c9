package gateway

import (
	"time"

	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/route"
)

// The router is pure and has no locks. These are the ways to it.

// take decides and takes the place of what was chosen. A new call goes behind those that wait: it is then only told when something could take it.
func (g *Gateway) take(c *call, n route.Need) route.Decision {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if len(n.Tried) > 0 || g.queue.order.Len() == 0 || c.drill != nil {
		return g.routerOf(c).Take(n, now)
	}
	d := g.router.Decide(n, now)
	if d.Chosen != "" {
		d.Chosen, d.Wait = "", now
	}
	return d
}

// giveBack gives a place back that a call took and does not use.
func (g *Gateway) giveBack(c *call, id catalog.EndpointID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.routerOf(c).End(route.Outcome{Call: c.id, Endpoint: id, Kind: route.Canceled}, now)
	if g.queue.order.Len() > 0 {
		g.queue.serve(now, time.Time{})
	}
}

// Health is what is known of every endpoint.
func (g *Gateway) Health() []route.Health {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.router.Snapshot(time.Now())
}

// retry spends one attempt of the retry budget, if there is one.
func (g *Gateway) retry(c *call) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.routerOf(c).Retry(time.Now())
}

// heard tells the router what an endpoint says of its limits.
func (g *Gateway) heard(a *attempt, l route.Limits) {
	if l == (route.Limits{}) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.routerOf(a.c).Heard(a.c.id, a.ep.ID, l, time.Now())
}

// firstToken tells the router that an endpoint has begun to answer.
func (g *Gateway) firstToken(a *attempt) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.routerOf(a.c).FirstToken(a.c.id, a.ep.ID, time.Now())
}

// end tells the router how an attempt ended, and wakes who waits for its place.
func (g *Gateway) end(a *attempt, f *failure) route.Advice {
	o := route.Outcome{Call: a.c.id, Endpoint: a.ep.ID, Kind: route.OK}
	if !a.began.IsZero() {
		o.Duration = time.Since(a.began)
	}
	if !a.first.IsZero() {
		o.FirstToken = a.first.Sub(a.began)
	}
	if f != nil {
		o.Kind, o.RetryAfter = f.what, f.after
		if f.what == unchecked {
			o.Kind = route.OK
		}
		if f.fault != nil {
			o.Status = f.fault.Status
		}
	}
	t := a.relay.tally()
	o.TokensIn, o.TokensOut = t.usage.TokensIn, t.usage.TokensOut
	g.mu.Lock()
	now := time.Now()
	advice := g.routerOf(a.c).End(o, now)
	if g.queue.order.Len() > 0 {
		g.queue.serve(now, time.Time{})
	}
	g.mu.Unlock()
	if f != nil && o.Kind != route.Canceled && o.Kind != route.OK {
		g.log.Warn("model call failed", "endpoint", a.ep.ID, "what", o.Kind, "why", f.said, "decision", a.c.id)
	}
	return advice
}
