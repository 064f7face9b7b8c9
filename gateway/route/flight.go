package route

import (
	"time"

	"decouple.dev/decouple/catalog"
)

// flightKey names an attempt: a call is at one endpoint once at a time.
type flightKey struct {
	call string
	to   catalog.EndpointID
}

// flight is an attempt under way. It has 128 bytes: a larger one would cost an allocation in the map of flights.
type flight struct {
	e           *endpoint
	began       int64
	first       int64   // when its first token came; 0 not yet
	slow        bool    // its first token came far too late
	heard       bool    // its headers were taken in
	probes      [3]bool // the breakers, of endpoint.breakers, that it is the probe of
	risk        int16   // how likely it was thought to fail, in thousandths
	fresh       float64 // tokens of input that are expected not to be cached
	in, written float64 // what is reserved
	taken       [4]float64
	random      uint64
	key, sticky string
}

// Begin is told that an attempt starts: its capacity is reserved, and it takes the place of the probe where one is due.
func (s *State) Begin(call string, to catalog.EndpointID, n Need, now time.Time) {
	e := s.endpoints[to]
	if e == nil {
		return
	}
	t := now.UnixNano()
	if len(n.Tried) == 0 {
		s.retries.called(&s.cfg)
	}
	in, written := e.reserve(&n, &s.cfg)
	f := flight{e: e, began: t, fresh: in, in: in, written: written, random: dice(n.Random) ^ dice(uint64(t)), key: n.Key, sticky: n.Sticky}
	if n.Sticky != "" {
		if v, ok := s.prefixes.find(n.Sticky); ok && v.warm(e, t, n.CacheFor) {
			f.fresh -= in * cachedShare
		}
	}
	for i, b := range e.breakers() {
		if b.stage(t) == due {
			b.probe, f.probes[i] = max(t, 1), true
		}
	}
	if f.risk = int16(e.shaky(t, &s.cfg)); f.probes != [3]bool{} {
		f.risk = 1000
	}
	s.risk += int(f.risk)
	ewma(&e.speed.busy, &e.speed.busies, float64(e.load.inFlight), 0.02)
	e.load.take(in, written, t)
	for i, b := range e.load.buckets() {
		f.taken[i] = b.taken
	}
	if n.Alias.Strategy == catalog.Weighted {
		for i, id := range n.Endpoints {
			if id == to {
				if name, w := n.target(i, e); w > 0 {
					s.turns.took(n.Alias.Name, name, w)
				}
				break
			}
		}
	}
	s.flights[flightKey{call, to}] = f
}

// breakers are those that a call to the endpoint passes.
func (e *endpoint) breakers() [3]*breaker {
	return [...]*breaker{&e.breaker, &e.account.breaker, &e.region.breaker}
}

// buckets are the limits that headers speak of.
func (l *load) buckets() [4]*bucket {
	return [...]*bucket{&l.requests, &l.tokens, &l.in, &l.out}
}

// Heard is told what the headers of an answer say of limits, as soon as they come.
func (s *State) Heard(call string, to catalog.EndpointID, l Limits, now time.Time) {
	key := flightKey{call, to}
	f, ok := s.flights[key]
	if !ok {
		return
	}
	f.heard = true
	s.flights[key] = f
	s.hear(&f, l, now.UnixNano())
}

// hear corrects the buckets of an endpoint.
func (s *State) hear(f *flight, l Limits, t int64) {
	if l == (Limits{}) {
		return
	}
	said := [4]Limit{l.Requests, l.Tokens, l.TokensIn, l.TokensOut}
	for i, b := range f.e.load.buckets() {
		b.hear(said[i].sane(), f.taken[i], t, float64(s.cfg.Replicas))
	}
}

// FirstToken is told that the first content of a stream came. A probe that gets so far has shown that the endpoint is well again.
func (s *State) FirstToken(call string, to catalog.EndpointID, now time.Time) {
	key := flightKey{call, to}
	f, ok := s.flights[key]
	if !ok || f.first != 0 {
		return
	}
	t := now.UnixNano()
	s.sawFirst(&f, t, t)
	if f.sticky != "" && !f.slow {
		s.prefixes.went(f.sticky, f.e, t)
	}
	s.flights[key] = f
}

// sawFirst takes in that the first token came at first, told at t. Slow is dead: one that comes far too late counts as a failure at once, though the caller will have an answer.
func (s *State) sawFirst(f *flight, first, t int64) {
	e := f.e
	f.first = max(first, 1)
	f.slow = e.speed.sawFirst(float64(first-f.began), f.fresh, t, &s.cfg)
	if f.slow {
		s.failed(f, &Outcome{Kind: Slow}, t)
		return
	}
	s.well(f)
}

// well closes what a probe has found to work again.
func (s *State) well(f *flight) {
	for i, b := range f.e.breakers() {
		if !f.probing(i) {
			continue
		}
		b.close()
		if i == 0 {
			f.e.health.fresh(s.cfg.Run)
		}
	}
	f.probes = [3]bool{}
}

// probing tells whether the attempt is the probe of the i-th breaker still: a probe that took too long loses its place.
func (f *flight) probing(i int) bool {
	return f.probes[i] && f.e.breakers()[i].probe == max(f.began, 1)
}

// probe tells whether the attempt is the probe of any breaker.
func (f *flight) probe() bool { return f.probing(0) || f.probing(1) || f.probing(2) }

// release gives the place of a probe back that told nothing.
func (f *flight) release() {
	for i, b := range f.e.breakers() {
		if f.probing(i) {
			b.probe = 0
		}
	}
}

// End is told how an attempt ended. It gives back what the attempt had reserved beyond its use, takes in the evidence, and says whether the call should go on elsewhere.
func (s *State) End(o Outcome, now time.Time) Advice {
	o = o.sane()
	key := flightKey{o.Call, o.Endpoint}
	f, ok := s.flights[key]
	if !ok {
		// Nobody told that it began: what happened still counts.
		e := s.endpoints[o.Endpoint]
		if e == nil {
			return Advice{Why: "the endpoint is not in the catalog any more"}
		}
		f = flight{e: e, began: now.UnixNano() - int64(o.Duration), fresh: float64(o.TokensIn), heard: true}
	} else {
		delete(s.flights, key)
		s.risk -= int(f.risk)
		s.settle(&f, &o, now.UnixNano())
	}
	t := now.UnixNano()
	if o.RetryAfter > 0 && o.Kind != OK && o.Kind != RateLimited {
		f.e.load.pause(t+int64(o.RetryAfter), "it asked to be left alone until then")
	}
	advice := s.learn(&f, &o, t)
	s.verdict(&f, &o, advice, t)
	return advice
}

// settle corrects what an attempt had reserved.
func (s *State) settle(f *flight, o *Outcome, t int64) {
	l := &f.e.load
	in, written := float64(o.TokensIn), float64(o.TokensOut)
	switch {
	case o.Kind == RateLimited || o.Kind == Unreachable || o.Kind == Refused || o.Kind == CallerFault || o.Kind == KeyRefused || o.Kind == WrongRefusal:
		in, written = 0, 0
	case in == 0 && written == 0:
		in, written = f.in, f.written // not known: nothing comes back
	}
	l.settle(f.in-in, f.written-written, t)
	if !f.heard {
		s.hear(f, o.Limits, t)
	}
}

// pause leaves an endpoint alone until then, or for longer.
func (l *load) pause(until int64, why string) {
	if until > l.rest {
		l.rest, l.restWhy = until, why
	}
}
