package fleet

import (
	"cmp"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/dialect"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/sim"
)

// attempt is one call of one endpoint.
type attempt struct {
	c     *call
	i     int32
	gen   uint32
	to    int32
	n     int
	plan  sim.Plan
	began int64
	hold  bool          // nothing is passed on before the answer is whole
	begun bool          // its first token has come
	first time.Duration // when it comes
	kind  route.Kind    // how it ends
	code  int           // status of HTTP, of a fault
	after time.Duration // how long the endpoint asks to be left alone
	left  bool          // we hang up
}

// begin asks a cloud, and notes when what will come of it.
func (f *fleet) begin(c *call, to int32, patience time.Duration) *attempt {
	w, t := c.r.w, &f.targets[to]
	c.n++
	a, i := f.tries.get()
	*a = attempt{c: c, i: i, gen: a.gen + 1, to: to, n: c.n, began: f.now, hold: c.need.Alias.Strategy == catalog.Cascade}
	if c.live[0] == nil {
		c.live[0] = a
	} else {
		c.live[1] = a
	}
	asked := t.ask
	asked.In, asked.Out, asked.MaxOut, asked.Stream = c.r.in, c.r.out, w.MaxOut, w.Stream
	asked.Prefixes = c.r.prefixes(f.prefixes[:0])
	if !f.watch(c.r, &asked) {
		w.row.Breaches++
	}
	a.plan = f.world.Ask(asked, f.clock)
	a.plan.Call.Prefixes = nil
	f.size.Attempts++
	f.books.began(w, to, f.now)
	f.mix(begins, c.no, to, uint64(c.n))
	f.tell(Event{Kind: Began, Workload: int(w.i), Run: c.r.no, Call: c.no, Endpoint: t.ID, Attempt: c.n})
	over := f.foresee(a, patience)
	if a.first > 0 && a.first < over && w.Stream {
		f.cal.add(entry{at: f.now + int64(a.first), what: begins, ref: i, gen: a.gen})
	}
	f.cal.add(entry{at: f.now + int64(over), what: ends, ref: i, gen: a.gen})
	return a
}

// keep is how long callers ask clouds to keep their prompts, where one has to ask.
const keep = 5 * time.Minute

// prefixes are the beginnings of a prompt that a cache may know: what all runs have, what the run's last call was, and all of it where another call follows.
func (r *run) prefixes(list []sim.Prefix) []sim.Prefix {
	if r.w.Prefix > 0 {
		list = append(list, sim.Prefix{Hash: stir(r.w.seed, 7), Tokens: r.w.Prefix, Keep: keep})
	}
	if r.total == 1 {
		return list
	}
	if step := uint64(r.total - r.left); step > 0 {
		list = append(list, sim.Prefix{Hash: stir(stir(r.w.seed, r.no), step), Tokens: r.before, Keep: keep})
	}
	if r.left > 1 {
		list = append(list, sim.Prefix{Hash: stir(stir(r.w.seed, r.no), uint64(r.total-r.left)+1), Tokens: r.in, Keep: keep})
	}
	return list
}

// foresee works out how an attempt ends as the gateway sees it, and after how long.
func (f *fleet) foresee(a *attempt, patience time.Duration) time.Duration {
	p, w := &a.plan, a.c.r.w
	limit := a.c.need.Deadline.Sub(f.clock)
	if p.Refusal != sim.Served {
		j := f.judge(a)
		a.kind, a.code, a.after = j.kind, p.Status, p.Wait()
		return min(p.First, max(limit, time.Millisecond))
	}
	over := p.Ends()
	a.kind = broken(p.Break.Kind)
	if !w.Stream {
		if whole := max(min(f.Router.Patience.Whole, limit), time.Millisecond); over > whole {
			a.kind, a.left, over = route.Slow, true, whole
		}
		return over
	}
	patience = max(min(cmp.Or(patience, f.Router.Patience.FirstToken), f.Router.Patience.FirstToken, limit), time.Millisecond)
	n := p.Tokens()
	if n > 0 {
		a.first = max(p.Token(0), 1)
	}
	between := f.Router.Patience.BetweenTokens
	switch {
	case n == 0 && over > patience, n > 0 && a.first > patience:
		a.kind, a.left, a.first = route.Slow, true, 0
		return patience
	case n > 1 && p.Every > between:
		over, a.kind, a.left = a.first+between, route.Stalled, true
	case p.Stall.For > 0 && p.Stall.After > 0 && p.Stall.After < n && p.Stall.For+p.Every > between:
		over, a.kind, a.left = p.Token(p.Stall.After-1)+between, route.Stalled, true
	}
	if over > limit {
		over, a.kind, a.left = limit, route.Stalled, true
	}
	return over
}

// broken is how the gateway sees an answer that breaks off.
func broken(k sim.FaultKind) route.Kind {
	switch k {
	case "":
		return route.OK
	case sim.ErrorIn200:
		return route.Failed
	case sim.Empty:
		return route.Empty
	}
	return route.Cut
}

// refusal is all that a judgement of it hangs on.
type refusal struct {
	to      int32
	why     sim.Refusal
	status  int
	message string
}

// judged is what a refusal says to the router.
type judged struct{ kind route.Kind }

// judge reads a refusal as the gateway does: from the status and the vendor's own words. Each sort is read once.
func (f *fleet) judge(a *attempt) judged {
	p := &a.plan
	switch p.Refusal {
	case sim.Refused:
		return judged{route.Unreachable}
	case sim.Cutoff:
		return judged{route.Cut}
	}
	key := refusal{a.to, p.Refusal, p.Status, p.Message}
	if j, ok := f.words[key]; ok {
		return j
	}
	fault := dialect.FaultOf(dialect.Format(f.targets[a.to].Format), p.Status, p.Body())
	j := judged{route.Failed}
	switch kind := fault.Kind(); kind {
	case decouple.Unauthenticated, decouple.Denied:
		j.kind = route.KeyRefused
	case decouple.NotFound:
	case decouple.TooLarge, decouple.Invalid:
		j.kind = route.Refused
	case decouple.RateLimited:
		j.kind = route.RateLimited
	default:
		if p.Status == 503 || p.Status == 529 {
			j.kind = route.Overloaded
		}
	}
	f.words[key] = j
	return j
}

// limits is what the gateway reads of an answer's headers. Those of Cerebras it does not read.
func (t *target) limits(p *sim.Plan) route.Limits {
	if t.Provider == string(sim.Cerebras) {
		return route.Limits{}
	}
	room := p.Shown()
	of := func(g sim.Gauge) route.Limit { return route.Limit{Limit: g.Limit, Remaining: g.Left, Reset: g.Reset} }
	return route.Limits{Requests: of(room.Requests), Tokens: of(room.Tokens), TokensIn: of(room.In), TokensOut: of(room.Out)}
}

// settle ends an attempt with its cloud, the router and the books.
func (f *fleet) settle(a *attempt, kind route.Kind, unchecked bool) route.Advice {
	c, t := a.c, &f.targets[a.to]
	line, billed := f.world.Settle(&a.plan, a.left, f.clock)
	o := route.Outcome{Call: c.need.ID, Endpoint: t.ID, Kind: kind, Status: a.code, RetryAfter: a.after, Duration: time.Duration(f.now - a.began)}
	if a.begun {
		o.FirstToken = a.first
	} else {
		o.Limits = t.limits(&a.plan)
	}
	if kind == route.OK {
		o.TokensIn, o.TokensOut = a.plan.Usage.TokensIn, a.plan.Usage.TokensOut
	}
	f.books.ended(a, kind, unchecked, &line)
	f.mix(ends, c.no, a.to, uint64(line.Amount)<<8|uint64(len(kind)))
	if f.Observe != nil {
		e := Event{Kind: Ended, Workload: int(c.r.w.i), Run: c.r.no, Call: c.no, Endpoint: t.ID, Attempt: a.n, Outcome: kind, Took: o.Duration, First: o.FirstToken}
		if billed {
			e.Line = &line
		}
		f.tell(e)
	}
	if f.Router.Naive {
		return route.Advice{}
	}
	advice := f.router.End(o, f.clock)
	f.moved()
	return advice
}

// hangUp ends an attempt of which nobody wants the answer any more.
func (f *fleet) hangUp(a *attempt) {
	a.left = true
	f.settle(a, route.Canceled, false)
	a.detach()
	f.tries.put(a.i)
}

// detach takes an attempt out of its call.
func (a *attempt) detach() {
	for i := range a.c.live {
		if a.c.live[i] == a {
			a.c.live[i] = nil
		}
	}
	a.gen++
}
