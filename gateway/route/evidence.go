package route

import "fmt"

// learn takes in what an attempt says about its endpoint, account and region.
func (s *State) learn(f *flight, o *Outcome, t int64) Advice {
	e := f.e
	switch o.Kind {
	case OK:
		s.worked(f, o, t)
		return Advice{Why: "it worked"}
	case Canceled:
		f.release()
		return Advice{Why: "the call was cancelled: that says nothing about the endpoint"}
	case CallerFault:
		f.release()
		return Advice{Why: "the caller got it wrong: that says nothing about the endpoint"}
	case Refused:
		return s.refusedBy(f, o, t)
	case WrongRefusal:
		s.trip(f, t, "it refuses calls that others accept")
		return Advice{Retry: true, Why: "the endpoint refused a call that it should have taken"}
	case KeyRefused:
		s.keyRefused(f, o, t)
		return Advice{Retry: true, Why: "the key of the endpoint's account was refused"}
	case RateLimited:
		s.limited(f, o, t)
		return Advice{Retry: true, Why: "the endpoint has no room: another may have"}
	}
	if o.Kind == Overloaded {
		e.load.learned.less(f.began, t, e.load.perSecond(t))
	}
	s.failed(f, o, t)
	return Advice{Retry: true, Why: "the endpoint failed: another may not"}
}

// worked takes in a success.
func (s *State) worked(f *flight, o *Outcome, t int64) {
	e := f.e
	took := float64(o.Duration)
	if took == 0 {
		took = float64(t - f.began)
	}
	if f.first == 0 && o.FirstToken > 0 {
		s.sawFirst(f, f.began+int64(o.FirstToken), t)
	}
	if f.first != 0 {
		took -= float64(f.first - f.began)
	}
	e.speed.sawAnswer(o.TokensOut, took, t)
	if f.sticky != "" {
		s.prefixes.went(f.sticky, e, t)
	}
	if f.slow {
		return // it has counted as a failure already
	}
	s.well(f)
	e.health.ok.add(1, t, s.cfg.Window)
	e.health.run, e.health.limited, e.health.okAt = 0, 0, t
	e.account.okAt, e.account.okOf = t, e
	if e.account.denied == e {
		e.account.denied = nil
	}
	for _, b := range e.breakers() {
		b.worked(t, &s.cfg)
	}
	e.refusal.accepted(f.key, t)
}

// failed takes in a failure. It opens the breaker when the evidence is enough, or when the call was the probe. What began before the breaker opened last is known already: it
// neither counts again nor spoils the record of an endpoint that is well again.
func (s *State) failed(f *flight, o *Outcome, t int64) {
	e, h := f.e, &f.e.health
	h.badAt = t
	if e.breaker.since != 0 && f.began <= e.breaker.since {
		return
	}
	h.bad.add(1, t, s.cfg.Window)
	h.run++
	e.breaker.oks = 0
	share, n := h.share(t, &s.cfg)
	what := o.Kind.say(o.Status)
	switch {
	case f.probe():
		s.trip(f, t, "the call that was to find out whether it is well again failed: "+what)
	case e.breaker.open:
		e.breaker.trip(fault{began: f.began, random: f.random, why: e.breaker.why}, t, &s.cfg)
	case h.run >= s.cfg.Run:
		s.trip(f, t, fmt.Sprintf("%d calls in a row failed, the last one so: %s", h.run, what))
	case n >= fewSamples && share >= s.cfg.FailShare:
		s.trip(f, t, fmt.Sprintf("%.0f %% of its calls lately failed, the last one so: %s", share*100, what))
	}
}

// trip opens the breaker of an endpoint, those whose probe this was, and that of its region if others there are down too.
func (s *State) trip(f *flight, t int64, why string) {
	e := f.e
	x := fault{began: f.began, random: f.random, why: why}
	for i, b := range e.breakers() {
		if i == 0 || f.probing(i) {
			b.trip(x, t, s.pace(i))
		}
	}
	e.health.fresh(s.cfg.Run)
	e.health.badAt = t
	s.suspectKin(e, t)
	s.suspectRegion(e, x, t)
}

// suspectKin doubts a model everywhere at its provider when it is down at two places.
func (s *State) suspectKin(e *endpoint, t int64) {
	k := e.kin
	switch {
	case k.first == nil || k.first == e || !k.first.breaker.open:
		if k.first = e; t >= k.down {
			return
		}
	case t >= k.down:
		k.since = t
	}
	k.down = t + int64(s.cfg.Window)
}

// suspectRegion opens the breaker of a region when several of its models are down and none of it works: what they share has failed.
func (s *State) suspectRegion(e *endpoint, x fault, t int64) {
	r := e.region
	if r.breaker.open {
		return
	}
	other := ""
	for _, m := range r.members {
		switch {
		case m.breaker.open && t-m.breaker.since <= 2*int64(s.cfg.Window) || m.breaker.open && t < m.breaker.until:
			if m.Model != e.Model {
				other = string(m.Model)
			}
		case t-m.health.okAt <= int64(s.cfg.Window)/3 && m.health.okAt != 0:
			return
		}
	}
	if other == "" {
		return
	}
	x.why = fmt.Sprintf("%s fails for several models, %s and %s among them, and works for none", r.name, other, e.Model)
	r.breaker.trip(x, t, s.pace(2))
}

// pace is how the i-th of an endpoint's breakers backs off. That of a region does so for a short time only, because it stands between calls and endpoints that may be well.
func (s *State) pace(i int) *Config {
	if i != 2 {
		return &s.cfg
	}
	c := s.cfg
	c.BackOffMax = min(c.BackOffMax, 8*c.BackOff)
	return &c
}

// keyRefused opens the breaker of the account. A 403 to one endpoint while the account's others work is about that model only.
func (s *State) keyRefused(f *flight, o *Outcome, t int64) {
	e, a := f.e, f.e.account
	x := fault{began: f.began, random: f.random, why: "the key of the account was refused: " + o.Kind.say(o.Status)}
	elsewhere := a.okOf != nil && a.okOf != e && t-a.okAt <= int64(2*s.cfg.Window) && a.denied != a.okOf
	if o.Status == 403 && elsewhere && !f.probing(1) {
		f.release()
		a.denied = e
		x.why = "the account may not use this model here, though it may use others: HTTP 403"
		e.breaker.trip(x, t, &s.cfg)
		return
	}
	f.release()
	a.breaker.trip(x, t, &s.cfg)
}

// limited takes in a 429: less is sent from now on, and nothing for a while.
func (s *State) limited(f *flight, o *Outcome, t int64) {
	e := f.e
	h := &e.health
	h.badAt = t
	e.load.learned.less(f.began, t, e.load.perSecond(t))
	if f.began > e.load.restAt {
		h.limited++
		e.load.restAt = t
	}
	why := fmt.Sprintf("HTTP 429: it asked to be left alone for %s", o.RetryAfter)
	if o.RetryAfter <= 0 {
		why = "HTTP 429, without a time: it is left alone for a while"
		e.load.pause(t+backOff(max(0, h.limited-1), f.random, &s.cfg), why)
	} else {
		e.load.pause(t+int64(o.RetryAfter), why)
	}
	if f.probe() || h.limited >= 3 {
		// It answers nothing but 429: the next call is a probe.
		x := fault{began: f.began, after: o.RetryAfter, random: f.random, why: "it answers nothing but 429"}
		for i, b := range e.breakers() {
			if i == 0 || f.probing(i) {
				b.trip(x, t, s.pace(i))
			}
		}
	}
}

// say names a kind of outcome for a sentence.
func (k Kind) say(status int) string {
	switch k {
	case Slow:
		return "no first token in time"
	case Stalled:
		return "the stream stopped without an end"
	case Cut:
		return "the stream was cut"
	case Empty:
		return "the answer was empty"
	case Unreachable:
		return "no connection"
	case Overloaded:
		return "it is overloaded"
	}
	if status != 0 {
		return fmt.Sprintf("HTTP %d", status)
	}
	return string(k)
}
