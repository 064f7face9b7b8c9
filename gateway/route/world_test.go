package route_test

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/route"
)

// answer is what an endpoint of the world does with an attempt, and how long that takes. A stream's first token comes after first.
type answer struct {
	kind       route.Kind
	status     int
	first      time.Duration
	took       time.Duration
	retryAfter time.Duration
	limits     route.Limits
	out        int64
}

// provider answers attempts: the world's own truth, of which the router sees only answers.
type provider func(e catalog.EndpointID, n *route.Need, now time.Time) answer

// world plays calls against providers in virtual time, with the router's shell as a gateway would have it.
type world struct {
	s        *route.State
	ask      provider
	now      time.Time
	queue    events
	seq      int
	calls    int
	attempts int
	ok       int
	failed   int
	late     int // answered after more than 20 s
	lastBad  time.Time
	waits    int
	cost     time.Duration // of all answers
	errs     map[string]int
	decided  func(n *route.Need, d *route.Decision, now time.Time)
	ended    func(o *route.Outcome, now time.Time)
	first    func(n *route.Need, id catalog.EndpointID)
	canceled func(n *route.Need) bool
	begun    func(n *route.Need, d *route.Decision, now time.Time)
	q        *route.Queue
	waiting  map[string]*turn
	pumpAt   time.Time
	lastID   string
	trace    interface{ Write([]byte) (int, error) }
	hash     func() uint64
	d        route.Decision
}

func newWorld(s *route.State, ask provider) *world {
	h := fnv.New64a()
	return &world{s: s, ask: ask, now: start, errs: map[string]int{}, trace: h, hash: h.Sum64, q: route.NewQueue(route.QueueConfig{}), waiting: map[string]*turn{}}
}

type event struct {
	at  time.Time
	seq int
	do  func()
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].seq < q[j].seq
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(v any)   { *q = append(*q, v.(event)) }
func (q *events) Pop() any {
	old := *q
	v := old[len(old)-1]
	*q = old[:len(old)-1]
	return v
}

func (w *world) at(t time.Time, do func()) {
	w.seq++
	heap.Push(&w.queue, event{t, w.seq, do})
}

// run plays until nothing is left to happen.
func (w *world) run() {
	for len(w.queue) > 0 {
		w.step()
	}
}

// step plays the next thing that happens.
func (w *world) step() {
	e := heap.Pop(&w.queue).(event)
	w.now = e.at
	e.do()
}

// call starts a call at t.
func (w *world) call(t time.Time, n route.Need) {
	w.at(t, func() {
		w.calls++
		w.try(&turn{n: n, began: t})
	})
}

// turn is a call on its way.
type turn struct {
	n      route.Need
	began  time.Time
	failed string // how its last attempt ended
}

// try decides and begins, or waits in the queue, behind those that wait already.
func (w *world) try(c *turn) {
	c.n.Random = c.n.Random*6364136223846793005 + 1442695040888963407
	if w.q.Len() == 0 {
		w.decide(&c.n)
		switch d := &w.d; {
		case d.Chosen != "":
			w.begin(c)
			return
		case d.Wait.IsZero():
			w.done(c, cmp.Or(c.failed, string(d.Refused)))
			return
		}
	}
	w.waits++
	p := w.q.Enqueue(c.n.ID, c.n, w.now)
	if p.Evicted != "" {
		e := w.waiting[p.Evicted]
		delete(w.waiting, p.Evicted)
		w.done(e, "evicted")
	}
	if p.Refused != "" {
		w.done(c, cmp.Or(c.failed, string(p.Refused)))
		return
	}
	w.waiting[c.n.ID] = c
	w.pump()
}

// decide asks the router.
func (w *world) decide(n *route.Need) {
	w.s.DecideInto(&w.d, n, w.now)
	if w.decided != nil {
		w.decided(n, &w.d, w.now)
	}
}

// pump lets those go on who wait and can be served, and comes back when the next can.
func (w *world) pump() {
	for _, id := range w.q.Expire(w.now) {
		c := w.waiting[id]
		delete(w.waiting, id)
		w.done(c, cmp.Or(c.failed, "waited too long"))
	}
	next := w.q.Wake()
	for w.q.Len() > 0 {
		id, _, ok := w.q.Next(w.now, func(_ string, n *route.Need) bool {
			w.decide(n)
			if w.d.Chosen == "" && !w.d.Wait.IsZero() && w.d.Wait.Before(next) {
				next = w.d.Wait
			}
			return w.d.Chosen != "" || w.d.Wait.IsZero()
		})
		if !ok {
			break
		}
		c := w.waiting[id]
		delete(w.waiting, id)
		if w.d.Chosen == "" {
			w.done(c, cmp.Or(c.failed, string(w.d.Refused)))
			continue
		}
		w.begin(c)
	}
	if w.q.Len() > 0 && !(w.pumpAt.After(w.now) && !next.Before(w.pumpAt)) {
		w.pumpAt = next
		w.at(next, func() {
			if w.pumpAt.Equal(w.now) {
				w.pump()
			}
		})
	}
}

// begin sends a call where it was decided.
func (w *world) begin(c *turn) {
	chosen, patience := w.d.Chosen, w.d.Patience
	n := &c.n
	if w.begun != nil {
		w.begun(n, &w.d, w.now)
	}
	w.attempts++
	w.s.Begin(n.ID, chosen, *n, w.now)
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(w.now.UnixNano()))
	w.trace.Write(b[:])
	w.trace.Write([]byte(chosen))
	w.trace.Write([]byte(n.ID))
	a := w.ask(chosen, n, w.now)
	if a.first > patience || a.kind == route.Slow {
		a = answer{kind: route.Slow, took: patience}
	}
	if a.first > 0 && n.Stream {
		w.at(w.now.Add(a.first), func() {
			w.s.FirstToken(n.ID, chosen, w.now)
			if w.first != nil {
				w.first(n, chosen)
			}
		})
	}
	w.at(w.now.Add(a.took), func() { w.end(c, chosen, a) })
}

// end is told how an attempt ended.
func (w *world) end(c *turn, id catalog.EndpointID, a answer) {
	n := &c.n
	o := route.Outcome{Call: n.ID, Endpoint: id, Kind: a.kind, Status: a.status, RetryAfter: a.retryAfter, Limits: a.limits, TokensIn: n.TokensIn, TokensOut: a.out}
	if w.canceled != nil && w.canceled(n) {
		o.Kind, o.RetryAfter = route.Canceled, 0
	}
	if w.ended != nil {
		w.ended(&o, w.now)
	}
	advice := w.s.End(o, w.now)
	c.failed = fmt.Sprint(a.kind, " ", a.status)
	switch {
	case o.Kind == route.OK || o.Kind == route.Canceled:
		w.done(c, "")
	case (advice.Retry || advice.Judge) && w.s.Retry(w.now):
		n.Tried = append(n.Tried, id)
		w.try(c)
	default:
		w.done(c, c.failed)
	}
	w.pump()
}

// done counts a call.
func (w *world) done(c *turn, failed string) {
	took := w.now.Sub(c.began)
	if failed != "" {
		w.failed++
		w.lastID = c.n.ID
		w.errs[failed]++
		w.lastBad = w.now
		return
	}
	w.ok++
	w.cost += took
	if took > 20*time.Second {
		w.late++
		w.lastBad = w.now
	}
}

// good is a healthy answer: a log-normal time to the first token, then tokens.
func good(r *rand.Rand, first time.Duration) answer {
	x := 1.0
	for range 4 {
		x *= 0.75 + 0.5*r.Float64()
	}
	f := time.Duration(float64(first) * x)
	return answer{kind: route.OK, status: 200, first: f, took: f + 2*time.Second, out: 200}
}

// place makes an endpoint for a world.
func place(id, provider, region, account, model string) catalog.Endpoint {
	return catalog.Endpoint{ID: catalog.EndpointID(id), Provider: provider, Region: region, Account: account, Model: catalog.ModelID(model), Name: model}
}

// catalogOf makes a catalog of endpoints, all at one price.
func catalogOf(es ...catalog.Endpoint) (*catalog.Catalog, []catalog.EndpointID) {
	cat := &catalog.Catalog{Models: map[catalog.ModelID]catalog.Model{}, Endpoints: map[catalog.EndpointID]catalog.Endpoint{}, Prices: map[string][]catalog.Price{}}
	var ids []catalog.EndpointID
	for _, e := range es {
		cat.Endpoints[e.ID] = e
		cat.Models[e.Model] = catalog.Model{ID: e.Model}
		cat.Prices[e.Provider+"/"+e.Name] = []catalog.Price{{Tiers: []catalog.Tier{{In: 3 * decouple.USD, Cached: 3 * decouple.USD / 10, Out: 15 * decouple.USD}}}}
		ids = append(ids, e.ID)
	}
	return cat, ids
}
