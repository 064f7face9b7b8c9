package fleet

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/route"
)

// call is one call of the gateway from its coming to its end.
type call struct {
	r      *run
	i      int32
	no     uint64
	need   route.Need
	began  int64
	policy int         // how many policies there had been when its endpoints were judged
	n      int         // attempts so far
	live   [2]*attempt // under way: the second is a hedge
	winner *attempt    // answers the caller
	since  int64       // when it began to wait
	failed string      // how its last attempt ended
	at     int         // of the naive router: in need.Endpoints
	asked  int         // likewise: endpoints
	waits  int         // likewise: for Retry-After
}

// newCall is a call of a run's present step.
func (f *fleet) newCall(r *run) *call {
	c, i := f.calls.get()
	f.callNo++
	w := r.w
	tried := c.need.Tried[:0]
	*c = call{r: r, i: i, no: f.callNo, policy: f.changes, began: f.now}
	c.need = route.Need{
		ID: strconv.FormatUint(c.no, 36), Alias: w.alias, TokensIn: r.in, MaxOut: w.MaxOut, Tenant: w.Tenant, Key: r.key, Priority: max(w.Priority, w.alias.Priority),
		Deadline: f.clock.Add(cmp.Or(w.Deadline, f.Router.Patience.Call)), Sticky: r.sticky, Tried: tried, Stream: w.Stream, Prefer: w.prefer,
	}
	return c
}

// pursue asks the router for an endpoint, and begins there, or waits.
func (f *fleet) pursue(c *call) {
	n := &c.need
	n.Random = f.dice.next()
	if f.Router.Naive {
		f.pursueNaive(c)
		return
	}
	f.router.DecideInto(&f.d, n, f.clock)
	d := &f.d
	if len(n.Tried) == 0 && f.queue.Len() > 0 && d.Chosen != "" {
		d.Chosen, d.Wait = "", f.clock // behind those that wait already
	}
	switch {
	case d.Chosen != "":
		f.launch(c)
	case d.Wait.IsZero():
		f.fail(c, string(cmp.Or(d.Refused, decouple.RateLimited)))
	case d.Wait.Sub(f.clock) > f.Router.MaxWait:
		f.fail(c, string(decouple.RateLimited))
	default:
		f.wait(c, d.Wait)
	}
}

// launch begins an attempt where the decision f.d says.
func (f *fleet) launch(c *call) {
	chosen, patience, hedge, after := f.d.Chosen, f.d.Patience, f.d.Hedge, f.d.After
	f.router.Begin(c.need.ID, chosen, c.need, f.clock)
	if c.n > 0 && c.need.Alias.Strategy != catalog.Cascade && !f.router.Retry(f.clock) {
		f.router.End(route.Outcome{Call: c.need.ID, Endpoint: chosen, Kind: route.Canceled}, f.clock)
		f.moved()
		f.fail(c, c.failed)
		return
	}
	a := f.begin(c, f.byID[chosen], patience)
	if hedge != "" && c.n == 1 {
		f.cal.add(entry{at: f.now + int64(after), what: hedges, ref: a.i, gen: a.gen})
	}
}

// hedge asks a second endpoint beside one that has brought nothing so far.
func (f *fleet) hedge(a *attempt) {
	c := a.c
	if c.winner != nil || c.live[1] != nil || !f.router.Retry(f.clock) {
		return
	}
	f.rejudge(c)
	n := c.need
	n.Tried = append(slices.Clone(n.Tried), f.targets[a.to].ID)
	f.router.DecideInto(&f.d, &n, f.clock)
	if f.d.Chosen == "" || f.d.Chosen == f.targets[a.to].ID {
		return
	}
	f.router.Begin(n.ID, f.d.Chosen, n, f.clock)
	c.r.w.row.Hedges++
	f.begin(c, f.byID[f.d.Chosen], f.Router.Patience.FirstToken)
}

// first takes in the first token of a stream. Of two attempts the first to bring one answers, and the other is hung up on.
func (f *fleet) first(a *attempt) {
	c, t := a.c, &f.targets[a.to]
	a.begun = true
	if !f.Router.Naive {
		if l := t.limits(&a.plan); l != (route.Limits{}) {
			f.router.Heard(c.need.ID, t.ID, l, f.clock)
		}
		f.router.FirstToken(c.need.ID, t.ID, f.clock)
	}
	f.mix(begins, c.no, a.to, 0)
	f.tell(Event{Kind: First, Workload: int(c.r.w.i), Run: c.r.no, Call: c.no, Endpoint: t.ID, Attempt: a.n, First: time.Duration(f.now - a.began)})
	if a.hold {
		return
	}
	if c.winner == nil {
		c.winner = a
	}
	if c.winner != a {
		f.hangUp(a)
	}
}

// over takes in how an attempt ended, and says what becomes of its call.
func (f *fleet) over(a *attempt) {
	unchecked := a.kind == route.OK && a.hold && f.unchecked(a.c)
	advice := f.settle(a, a.kind, unchecked)
	a.detach()
	if a.kind == route.OK && !unchecked {
		if beside := a.c.beside(); beside != nil {
			f.hangUp(beside)
		}
		f.succeed(a.c, a)
	} else {
		f.after(a, advice.Retry || advice.Judge || unchecked)
	}
	f.tries.put(a.i)
}

// after says what becomes of a call of which an attempt has failed.
func (f *fleet) after(a *attempt, more bool) {
	c := a.c
	c.failed = string(a.kind)
	c.need.Tried = append(c.need.Tried, f.targets[a.to].ID)
	if f.Router.Naive {
		f.afterNaive(c, a)
		return
	}
	began := c.winner == a
	if beside := c.beside(); beside != nil {
		if !began {
			return // the other one may still answer
		}
		f.hangUp(beside)
	}
	if began && !c.r.w.Begun || !more {
		f.fail(c, c.failed)
		return
	}
	c.winner = nil
	f.rejudge(c)
	if len(c.need.Endpoints) == 0 {
		f.fail(c, string(decouple.Denied))
		return
	}
	f.pursue(c)
}

// beside is an attempt that is under way, or nil.
func (c *call) beside() *attempt {
	if c.live[0] != nil {
		return c.live[0]
	}
	return c.live[1]
}

// unchecked says whether an answer of a cascade does not pass the check: that of the last endpoint is kept as it is.
func (f *fleet) unchecked(c *call) bool {
	if len(c.need.Tried)+1 >= len(c.need.Endpoints) {
		return false
	}
	return c.r.dice.unit() < c.r.w.Unchecks
}

// succeed ends a call that has its answer.
func (f *fleet) succeed(c *call, a *attempt) {
	r, w := c.r, c.r.w
	total := time.Duration(f.now - c.began)
	first := total
	if a.begun && !a.hold {
		first = time.Duration(a.began + int64(a.first) - c.began)
	}
	w.row.OK++
	w.row.firstToken.Add(first)
	w.row.total.Add(total)
	if w.Late > 0 && first > w.Late {
		w.row.Late++
		f.books.bad(w, f.now)
	} else {
		f.books.good(w, f.now)
	}
	if c.n > 1 {
		w.row.Retried++
	}
	f.mix(ends, c.no, a.to, uint64(total))
	f.tell(Event{Kind: Answered, Workload: int(w.i), Run: r.no, Call: c.no, Endpoint: f.targets[a.to].ID, Attempt: c.n, Took: total, First: first})
	r.out = a.plan.Usage.TokensOut
	f.calls.put(c.i)
	f.answered(r)
}

// fail ends a call that has no answer.
func (f *fleet) fail(c *call, why string) {
	r, w := c.r, c.r.w
	w.row.Failed[why]++
	f.size.Failed++
	if c.n > 1 {
		w.row.Retried++
	}
	if !f.elsewhere(c) {
		w.row.NoAlternate++
	}
	w.row.failTime.Add(time.Duration(f.now - c.began))
	f.books.bad(w, f.now)
	f.mix(ends, c.no, -1, uint64(len(why)))
	f.tell(Event{Kind: Answered, Workload: int(w.i), Run: r.no, Call: c.no, Attempt: c.n, Failed: why, Took: time.Duration(f.now - c.began)})
	f.calls.put(c.i)
	f.failed(r)
}

// elsewhere says whether the call had an endpoint at another vendor than the one that its first endpoint is of.
func (f *fleet) elsewhere(c *call) bool {
	for _, id := range c.need.Endpoints {
		if f.targets[f.byID[id]].Provider != f.targets[f.byID[c.need.Endpoints[0]]].Provider {
			return true
		}
	}
	return false
}

// wait lets a call wait in the queue.
func (f *fleet) wait(c *call, soon time.Time) {
	place := f.queue.Enqueue(c.need.ID, c.need, f.clock)
	if place.Refused != "" {
		f.fail(c, cmp.Or(c.failed, string(place.Refused)))
		return
	}
	if place.Evicted != "" {
		f.turnAway(place.Evicted)
	}
	c.since = f.now
	f.waiting[c.need.ID] = c
	f.books.waits(c.r.w, f.queue.Len(), f.now)
	f.tell(Event{Kind: Waited, Workload: int(c.r.w.i), Run: c.r.no, Call: c.no, Took: place.Expected})
	f.serve(soon)
}

// turnAway ends a call that has waited as long as it may, or lost its place.
func (f *fleet) turnAway(id string) {
	c := f.waiting[id]
	delete(f.waiting, id)
	c.r.w.row.wait.Add(time.Duration(f.now - c.since))
	f.fail(c, cmp.Or(c.failed, string(decouple.RateLimited)))
}

// moved is told that an endpoint may have room.
func (f *fleet) moved() {
	if f.queue.Len() > 0 {
		f.serve(time.Time{})
	}
}

// serve gives places to those whose turn it is.
func (f *fleet) serve(soon time.Time) {
	for {
		id, _, ok := f.queue.Next(f.clock, func(_ string, n *route.Need) bool {
			f.router.DecideInto(&f.d, n, f.clock)
			soon = sooner(soon, f.d.Wait)
			return f.d.Chosen != ""
		})
		if !ok {
			break
		}
		c := f.waiting[id]
		delete(f.waiting, id)
		c.r.w.row.wait.Add(time.Duration(f.now - c.since))
		f.router.DecideInto(&f.d, &c.need, f.clock)
		f.launch(c)
	}
	for _, id := range f.queue.Expire(f.clock) {
		f.turnAway(id)
	}
	if f.queue.Len() > 0 {
		f.wake(sooner(soon, f.queue.Wake()))
	}
}

// wake has serve called at a time, unless it is sooner already.
func (f *fleet) wake(at time.Time) {
	t := max(int64(at.Sub(f.Start)), f.now+int64(time.Millisecond))
	if f.due > f.now && t >= f.due {
		return
	}
	f.due = t
	f.cal.add(entry{at: t, what: wakes})
}

// sooner is the earlier of two times of which zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// requeue judges those that wait anew, in the order in which they came.
func (f *fleet) requeue() {
	var list []*call
	for _, c := range f.waiting {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *call) int { return cmp.Compare(a.no, b.no) })
	for _, c := range list {
		before := c.need.Endpoints
		if f.rejudge(c); slices.Equal(before, c.need.Endpoints) || !f.queue.Drop(c.need.ID) {
			continue
		}
		delete(f.waiting, c.need.ID)
		c.r.w.row.wait.Add(time.Duration(f.now - c.since))
		if len(c.need.Endpoints) == 0 {
			f.fail(c, string(decouple.Denied))
			continue
		}
		f.pursue(c)
	}
}
