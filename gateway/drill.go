package gateway

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/dialect"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/gateway/transport"
)

// Injector pretends faults of endpoints for some calls, the canary of a drill. It is asked by every call while it is in place, and must not block.
//
// The calls of the canary have a router of their own: what it learns from faults that never were reaches no other call. A fault is pretended only before anything of an answer
// has come, so that another endpoint can still take the call.
type Injector interface {
	// Takes says whether a call is of the canary.
	Takes(c *Drilled) bool
	// Inject says what is pretended of an attempt of the canary; nil lets it go as it is.
	Inject(a *Drilled) *Pretence
	// Ended is told how a call of the canary ended; it keeps nothing of what it is given.
	Ended(f *Facts)
}

// Drilled is a call, or with an Endpoint an attempt that is about to be sent.
type Drilled struct {
	Call     string
	Tenant   decouple.TenantID
	Key      string
	Team     string
	Agent    decouple.AgentName
	Class    string
	Endpoint catalog.Endpoint
	N        int // of the attempt among the call's, from 1
}

// Pretence is what is pretended of an endpoint. The zero value is that nobody answers there.
type Pretence struct {
	Status     int           // it answers with this status
	RetryAfter time.Duration // and asks to be left alone for so long
	Cut        bool          // it breaks the connection off before its first token
	Wait       time.Duration // nothing comes for so long, and what comes then is the endpoint's own answer
}

// errRefused is what a host says where nobody listens.
var errRefused = errors.New("connection refused")

// drill is an injector in its place, with the router of its calls, which the gateway's lock guards.
type drill struct {
	in     Injector
	router *route.State
}

// Drill puts an injector in its place. Conflict says that there is one already.
func (g *Gateway) Drill(in Injector) error {
	d := &drill{in: in, router: route.New(g.world.Load().catalog, g.cfg.Route)}
	if !g.drill.CompareAndSwap(nil, d) {
		return decouple.Errorf(decouple.Conflict, "a drill is under way at this node: wait for its end, or end it with `decouple drill abort`")
	}
	return nil
}

// EndDrill takes an injector out of its place: no further attempt is harmed. It says whether it was there.
func (g *Gateway) EndDrill(in Injector) bool {
	d := g.drill.Load()
	return d != nil && d.in == in && g.drill.CompareAndSwap(d, nil)
}

// drilled is the drill that a call is of, or nil.
func (g *Gateway) drilled(c *call) *drill {
	d := g.drill.Load()
	if d == nil || !d.in.Takes(c.drilledAs()) {
		return nil
	}
	return d
}

func (c *call) drilledAs() *Drilled {
	return &Drilled{Call: c.id, Tenant: c.who.Tenant, Key: c.who.Key, Team: c.who.Team, Agent: c.who.Agent, Class: c.class}
}

// routerOf is the router of a call.
func (g *Gateway) routerOf(c *call) *route.State {
	if c.drill != nil {
		return c.drill.router
	}
	return g.router
}

// turn waits until the router of the canary, behind which there is no queue, has an endpoint with room.
func (c *call) turn(ctx context.Context, d route.Decision) (route.Decision, error) {
	for d.Chosen == "" && !d.Wait.IsZero() {
		timer := time.NewTimer(max(time.Until(d.Wait), time.Millisecond))
		select {
		case <-ctx.Done():
			timer.Stop()
			return d, ctx.Err()
		case <-timer.C:
		}
		d = c.g.take(c, c.need)
	}
	return d, nil
}

// pretend does what a drill pretends of an attempt; nil lets it go on. It is over when the drill is.
func (a *attempt) pretend(ctx context.Context) *failure {
	if a.c.g.drill.Load() != a.c.drill {
		return nil
	}
	asked := a.c.drilledAs()
	asked.Endpoint, asked.N = a.ep.Endpoint, a.n
	p := a.c.drill.in.Inject(asked)
	if p == nil {
		return nil
	}
	f := a.suffer(ctx, p)
	if a.feigned = f != nil; f != nil {
		f.said += " (pretended by a drill)"
	}
	return f
}

// suffer is the failure that a pretence leads to, in the same words and with the same consequences as a real one.
func (a *attempt) suffer(ctx context.Context, p *Pretence) *failure {
	switch {
	case p.Wait > 0:
		patience := a.patience
		if !a.stream {
			patience = a.c.patience.Whole
		}
		patience = min(patience, time.Until(a.c.deadline))
		timer := time.NewTimer(min(p.Wait, patience))
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return a.broken(ctx, context.Cause(ctx))
		case <-timer.C:
		}
		if p.Wait < patience {
			return nil
		}
		return a.broken(ctx, &transport.Error{Stage: transport.StageFirstByte, Host: a.ep.host(), Timeout: true, Err: context.DeadlineExceeded})
	case p.Cut:
		return a.broken(ctx, io.ErrUnexpectedEOF)
	case p.Status == 0:
		return a.broken(ctx, &transport.Error{Stage: transport.StageDial, Host: a.ep.host(), Err: errRefused})
	}
	a.status = p.Status
	f := &failure{fault: dialect.FaultOf(a.ep.format, p.Status, []byte("status "+strconv.Itoa(p.Status))), after: p.RetryAfter}
	a.judge(f)
	f.said = a.ep.clean(f.said)
	return f
}
