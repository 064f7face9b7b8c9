package route_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/route"
)

// fickle is a provider whose endpoints are well or ill for random times.
type fickle struct {
	r     *rand.Rand
	state map[catalog.EndpointID]*mood
}

type mood struct {
	kind  route.Kind
	share float64
	until time.Time
}

func (f *fickle) ask(e catalog.EndpointID, n *route.Need, now time.Time) answer {
	m := f.state[e]
	if m == nil {
		m = &mood{}
		f.state[e] = m
	}
	if now.After(m.until) {
		kinds := []route.Kind{route.OK, route.OK, route.OK, route.RateLimited, route.Failed, route.Overloaded, route.Unreachable, route.Slow, route.Stalled, route.Cut, route.Empty, route.KeyRefused, route.Refused}
		m.kind, m.share = kinds[f.r.IntN(len(kinds))], f.r.Float64()
		m.until = now.Add(time.Duration(f.r.IntN(120)) * time.Second)
	}
	a := good(f.r, 400*time.Millisecond)
	if f.r.Float64() > m.share || m.kind == route.OK {
		return a
	}
	switch m.kind {
	case route.RateLimited:
		a = answer{kind: m.kind, status: 429, took: 50 * time.Millisecond, retryAfter: time.Duration(f.r.IntN(20)) * time.Second}
	case route.Overloaded:
		a = answer{kind: m.kind, status: 529, took: 50 * time.Millisecond, retryAfter: time.Duration(f.r.IntN(5)) * time.Second}
	case route.KeyRefused:
		a = answer{kind: m.kind, status: 401 + 2*f.r.IntN(2), took: 30 * time.Millisecond}
	case route.Slow:
		a.first = 2 * time.Minute
	case route.Cut, route.Stalled:
		a.kind = m.kind
	default:
		a = answer{kind: m.kind, status: 500, took: 100 * time.Millisecond}
	}
	return a
}

// law checks what must hold of every decision, from what the world knows by itself.
type law struct {
	t        *testing.T
	seed     uint64
	leave    map[catalog.EndpointID]time.Time // Retry-After
	probes   map[catalog.EndpointID]string
	inFlight map[catalog.EndpointID]int
	most     map[catalog.EndpointID]int
	w        *world
}

func (l *law) decided(n *route.Need, d *route.Decision, now time.Time) {
	for _, c := range d.Candidates {
		if c.Why == "" || c.Verdict == "" {
			l.t.Errorf("seed %d: %s at %s is not explained: %+v", l.seed, n.ID, now, c)
		}
	}
	if d.Chosen == "" {
		if d.Wait.IsZero() == (d.Refused == "") {
			l.t.Errorf("seed %d: neither chosen nor one of wait and refused: %+v", l.seed, d)
		}
		if !d.Wait.IsZero() && !d.Wait.After(now) {
			l.t.Errorf("seed %d: waits until %s at %s", l.seed, d.Wait, now)
		}
	}
}

func (l *law) begun(n *route.Need, d *route.Decision, now time.Time) {
	if until := l.leave[d.Chosen]; now.Before(until) {
		l.t.Errorf("seed %d: %s asked to be left alone until %s and is called at %s", l.seed, d.Chosen, until, now)
	}
	if by := l.probes[d.Chosen]; by != "" {
		l.t.Errorf("seed %d: %s is called by %s while %s is its probe", l.seed, d.Chosen, n.ID, by)
	}
	for _, h := range l.w.s.Snapshot(now) {
		if h.Endpoint != d.Chosen {
			continue
		}
		switch h.State {
		case route.Open, route.Limited, route.NoHeadroom, route.Probing:
			l.t.Errorf("seed %d: %s is %s and called at %s", l.seed, d.Chosen, h.State, now)
		case route.HalfOpen:
			if !d.Probe {
				l.t.Errorf("seed %d: %s is half-open and called by no probe", l.seed, d.Chosen)
			}
		}
	}
	if d.Probe {
		l.probes[d.Chosen] = n.ID
	}
	if l.inFlight[d.Chosen]++; l.most[d.Chosen] > 0 && l.inFlight[d.Chosen] > l.most[d.Chosen] {
		l.t.Errorf("seed %d: %s has %d in flight of %d", l.seed, d.Chosen, l.inFlight[d.Chosen], l.most[d.Chosen])
	}
}

// first is a probe that has shown enough.
func (l *law) first(n *route.Need, id catalog.EndpointID) {
	if l.probes[id] == n.ID {
		delete(l.probes, id)
	}
}

func (l *law) ended(o *route.Outcome, now time.Time) {
	l.inFlight[o.Endpoint]--
	if l.probes[o.Endpoint] == o.Call {
		delete(l.probes, o.Endpoint)
	}
	if o.RetryAfter > 0 {
		if until := now.Add(o.RetryAfter); until.After(l.leave[o.Endpoint]) {
			l.leave[o.Endpoint] = until
		}
	}
}

// chaos plays one seed and gives the hash of its trace.
func chaos(t *testing.T, seed uint64) uint64 {
	r := rand.New(rand.NewPCG(seed, 1))
	var es []catalog.Endpoint
	l := &law{t: t, seed: seed, leave: map[catalog.EndpointID]time.Time{}, probes: map[catalog.EndpointID]string{}, inFlight: map[catalog.EndpointID]int{}, most: map[catalog.EndpointID]int{}}
	for i := range 2 + r.IntN(7) {
		p := []string{"azure", "openai", "vertex"}[r.IntN(3)]
		e := place(fmt.Sprint(p, "/", i), p, fmt.Sprint("r", r.IntN(2)), fmt.Sprint("a", r.IntN(2)), fmt.Sprint("m", r.IntN(3)))
		if r.IntN(3) == 0 {
			l.most[e.ID] = 1 + r.IntN(8)
			e.Limits.Concurrent = int64(l.most[e.ID])
		}
		if r.IntN(3) == 0 {
			e.Limits.Requests = int64(30 + r.IntN(600))
		}
		es = append(es, e)
	}
	cat, ids := catalogOf(es...)
	cfg := route.Config{}
	w := newWorld(route.New(cat, cfg), (&fickle{r, map[catalog.EndpointID]*mood{}}).ask)
	l.w, w.decided, w.ended, w.first = w, l.decided, l.ended, l.first
	w.begun = l.begun
	w.canceled = func(*route.Need) bool { return r.IntN(20) == 0 }
	strategies := []catalog.Strategy{catalog.Balanced, catalog.Ordered, catalog.Weighted, catalog.Cheapest, catalog.Fastest, catalog.Cascade}
	alias := catalog.Alias{Name: "smart", Strategy: strategies[r.IntN(len(strategies))], Targets: []catalog.Target{{Model: "m0", Weight: 3}, {Model: "m1", Weight: 1}}}
	now := start
	for i := range 2000 {
		now = now.Add(time.Duration(r.ExpFloat64() * float64(200*time.Millisecond)))
		n := route.Need{ID: fmt.Sprint("c", i), Alias: alias, Endpoints: ids, TokensIn: int64(r.IntN(5000)), MaxOut: int64(r.IntN(1000)), Key: fmt.Sprint("k", r.IntN(4)), Random: r.Uint64(), Stream: r.IntN(2) == 0, Sticky: fmt.Sprint("s", r.IntN(50))}
		if r.IntN(2) == 0 {
			n.Deadline = now.Add(time.Duration(1+r.IntN(60)) * time.Second)
		}
		w.call(now, n)
	}
	w.run()
	took := w.now.Sub(start)
	if most := 1.2*float64(w.calls) + 10 + took.Minutes()*6; float64(w.attempts) > most {
		t.Errorf("seed %d: %d attempts for %d calls in %s", seed, w.attempts, w.calls, took)
	}
	for _, h := range w.s.Snapshot(w.now) {
		if h.InFlight != 0 {
			t.Errorf("seed %d: %s has %d in flight at the end", seed, h.Endpoint, h.InFlight)
		}
	}
	if w.ok+w.failed != w.calls {
		t.Errorf("seed %d: %d ok and %d failed of %d calls", seed, w.ok, w.failed, w.calls)
	}
	return w.hash()
}

// TestChaos plays random calls to random providers and checks every decision: an endpoint that asked to be left alone is, an open one is called by its only probe, limits hold,
// attempts stay within the budget, and every candidate is explained. The same seed gives the same trace.
func TestChaos(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		if a := chaos(t, seed); seed%10 == 0 && a != chaos(t, seed) {
			t.Errorf("seed %d: two traces", seed)
		}
		if t.Failed() {
			return
		}
	}
}

// TestAmplification has everything fail for an hour: attempts stay within the budget, exactly.
func TestAmplification(t *testing.T) {
	t.Parallel()
	cat, ids := catalogOf(place("a/1", "a", "", "", "m"), place("b/1", "b", "", "", "m"), place("c/1", "c", "", "", "m"))
	w := newWorld(route.New(cat, route.Config{}), func(catalog.EndpointID, *route.Need, time.Time) answer {
		return answer{kind: route.Failed, status: 500, took: time.Millisecond}
	})
	for i := range 7200 {
		now := start.Add(time.Duration(i) * 500 * time.Millisecond)
		w.call(now, route.Need{ID: fmt.Sprint(i), Endpoints: ids, Deadline: now.Add(time.Second), Random: uint64(i)})
	}
	w.run()
	if w.attempts > 7200*12/10+10 || w.failed != w.calls {
		t.Errorf("%d attempts, %d of %d failed", w.attempts, w.failed, w.calls)
	}
	// Open breakers keep nearly all of them from even one attempt.
	if w.attempts > 400 {
		t.Errorf("%d attempts on three dead endpoints", w.attempts)
	}
}

// TestWeights shares calls 70 to 20 to 10, smoothly: no window of ten calls is far off.
func TestWeights(t *testing.T) {
	t.Parallel()
	cat, ids := catalogOf(place("a/1", "a", "", "", "m"), place("b/1", "b", "", "", "n"), place("b/2", "b", "", "", "n"), place("c/1", "c", "", "", "o"))
	s := route.New(cat, route.Config{})
	alias := catalog.Alias{Name: "x", Strategy: catalog.Weighted, Targets: []catalog.Target{{Endpoint: "a/1", Weight: 7}, {Model: "n", Weight: 2}, {Endpoint: "c/1", Weight: 1}}}
	got := map[catalog.EndpointID]int{}
	for i := range 1000 {
		id := fmt.Sprint(i)
		d := s.Take(route.Need{ID: id, Alias: alias, Endpoints: ids, Random: uint64(i)}, start)
		got[d.Chosen]++
		s.End(route.Outcome{Call: id, Endpoint: d.Chosen, Kind: route.OK}, start)
		if i%10 == 9 && (got["a/1"] < (i+1)*7/10-1 || got["a/1"] > (i+1)*7/10+1) {
			t.Fatalf("after %d calls: %v", i+1, got)
		}
	}
	if got["a/1"] != 700 || got["b/1"]+got["b/2"] != 200 || got["b/1"] < 60 || got["c/1"] != 100 {
		t.Error(got)
	}
}

// TestLearns finds the capacity of a provider that says nothing of its limits: few 429s, and most of what it can take is used.
func TestLearns(t *testing.T) {
	t.Parallel()
	cat, ids := catalogOf(place("vertex/1", "vertex", "", "", "m"))
	level, last := 10.0, start
	refused := 0
	w := newWorld(route.New(cat, route.Config{}), func(_ catalog.EndpointID, _ *route.Need, now time.Time) answer {
		level = min(10, level+5*now.Sub(last).Seconds()) // 5 requests a second
		last = now
		if level < 1 {
			refused++
			return answer{kind: route.RateLimited, status: 429, took: 20 * time.Millisecond, retryAfter: time.Second}
		}
		level--
		return answer{kind: route.OK, first: 300 * time.Millisecond, took: time.Second, out: 100}
	})
	const n = 20 * 60 * 10 // 20 a second for ten minutes, which is four times too many
	for i := range n {
		now := start.Add(time.Duration(i) * 50 * time.Millisecond)
		w.call(now, route.Need{ID: fmt.Sprint(i), Endpoints: ids, Deadline: now.Add(5 * time.Second), Random: uint64(i), Stream: true})
	}
	w.run()
	t.Logf("%d ok of %d possible, %d refused with 429", w.ok, 5*60*10, refused)
	if w.ok < 5*60*10*7/10 {
		t.Errorf("%d served of 3000 possible", w.ok)
	}
	if refused > w.ok/10 {
		t.Errorf("%d times 429 for %d served", refused, w.ok)
	}
}

// TestRefusalIsHonest asks again when the decision said so, and is served.
func TestRefusalIsHonest(t *testing.T) {
	t.Parallel()
	e := place("a/1", "a", "", "", "m")
	e.Limits.Requests = 60
	cat, ids := catalogOf(e)
	s := route.New(cat, route.Config{})
	need := route.Need{Endpoints: ids}
	for i := range 60 {
		need.ID = fmt.Sprint(i)
		s.Begin(need.ID, ids[0], need, start)
		s.End(route.Outcome{Call: need.ID, Endpoint: ids[0], Kind: route.OK}, start)
	}
	need.Deadline = start.Add(100 * time.Millisecond)
	d := s.Decide(need, start)
	if d.Refused != decouple.RateLimited || d.RetryAfter <= 0 {
		t.Fatalf("%+v", d)
	}
	need.Deadline = time.Time{}
	if again := s.Decide(need, start.Add(d.RetryAfter)); again.Chosen == "" {
		t.Errorf("asked again after %s: %+v", d.RetryAfter, again)
	}
	if early := s.Decide(need, start.Add(d.RetryAfter-time.Millisecond)); early.Chosen != "" {
		t.Errorf("it would have taken the call earlier than it said")
	}
}
