package route

import (
	"math"
	"time"
)

// stage is where a breaker stands at an instant.
type stage uint8

const (
	closed  stage = iota // calls pass
	due                  // the time is over: one call may probe
	probing              // it does
	opened               // nothing passes
)

// probeFor is how long a probe holds its place when nobody says how it ended.
const probeFor = int64(2 * time.Minute)

// breaker keeps calls from what has failed. All times are in nanoseconds.
type breaker struct {
	open  bool
	until int64 // when a probe is due
	since int64 // when it opened last
	probe int64 // when the probe that is under way began; 0 for none
	times int   // how often in a row it opened: the power of the back-off
	oks   int   // successes since it closed, or since the last failure
	why   string
}

// stage says whether calls pass at t.
func (b *breaker) stage(t int64) stage {
	switch {
	case !b.open:
		return closed
	case t < b.until:
		return opened
	case b.probe != 0 && t-b.probe < probeFor:
		return probing
	}
	return due
}

// fault is what opens a breaker.
type fault struct {
	began  int64         // when the call began
	after  time.Duration // Retry-After
	random uint64
	why    string
}

// trip opens the breaker, or holds it open for longer. The deadline is never brought forward. A call that began before the breaker opened tells nothing new: only its Retry-After counts.
func (b *breaker) trip(f fault, t int64, cfg *Config) {
	until := t + int64(f.after)
	if !b.open || f.began > b.since {
		until = max(until, t+backOff(b.times, f.random, cfg))
		b.times++
		b.since, b.oks, b.probe, b.why = t, 0, 0, f.why
	}
	b.open = true
	b.until = max(b.until, until)
}

// close lets calls pass again. How often it opened is forgotten only after some of them in a row went well and some time, so that a relapse waits longer.
func (b *breaker) close() {
	b.open, b.probe, b.oks = false, 0, 0
}

// worked counts a success.
func (b *breaker) worked(t int64, cfg *Config) {
	if b.times > 0 && !b.open {
		if b.oks++; b.oks >= 5 && t-b.since > int64(cfg.Window) {
			b.times, b.oks = 0, 0
		}
	}
}

// backOff doubles with each time and is spread by a fifth to both sides.
func backOff(times int, random uint64, cfg *Config) int64 {
	d := float64(cfg.BackOff) * math.Exp2(float64(min(times, 30)))
	d = min(d, float64(cfg.BackOffMax))
	return int64(d * (0.8 + 0.4*unit(dice(random))))
}

// fading is a count of which half is forgotten in a given time.
type fading struct {
	n  float64
	at int64
}

// value is the count at t.
func (f fading) value(t int64, half time.Duration) float64 {
	if t <= f.at || f.n == 0 {
		return f.n
	}
	return f.n * math.Exp2(-float64(t-f.at)/float64(half))
}

// add counts at t.
func (f *fading) add(by float64, t int64, half time.Duration) {
	f.n = f.value(t, half) + by
	f.at = max(f.at, t)
}

// health is the evidence of an endpoint's successes and failures.
type health struct {
	ok, bad fading
	run     int   // failures since the last success
	okAt    int64 // the last success
	badAt   int64 // the last failure or 429
	limited int   // 429s since the last success
}

// share is the part of calls that failed lately, and on how many that rests.
func (h *health) share(t int64, cfg *Config) (share, n float64) {
	ok, bad := h.ok.value(t, cfg.Window), h.bad.value(t, cfg.Window)
	if n = ok + bad; n == 0 {
		return 0, 0
	}
	return bad / n, n
}

// Samples from which a share of failures means something.
const (
	fewSamples = 8
	minSamples = 10
)

// degraded tells an endpoint that fails too often to be among the first.
func (h *health) degraded(t int64, cfg *Config) bool {
	if h.bad.n == 0 {
		return false
	}
	share, n := h.share(t, cfg)
	return n >= minSamples && share >= cfg.Degraded
}

// shaky is how likely an endpoint is thought to fail the next call, in thousandths; 0 for one that failed seldom and not the last time.
func (e *endpoint) shaky(t int64, cfg *Config) int {
	if e.health.bad.n == 0 && e.refusal.run == 0 && e.health.run == 0 && e.breaker.times == 0 {
		return 0
	}
	share, n := e.health.share(t, cfg)
	switch {
	case e.health.run > 0 || e.refusal.run > 0 || e.breaker.times > 0:
		return int(1000 * max(share, 0.5)) // it may relapse
	case n < 1 || share < 0.05:
		return 0
	}
	return int(1000 * share)
}

// factor is 1 for an endpoint that never fails and falls with the square of the share that works; few samples weigh little.
func (h *health) factor(t int64, cfg *Config) float64 {
	if h.bad.n == 0 {
		return 1
	}
	share, n := h.share(t, cfg)
	works := 1 - share*n/(n+3)
	return works * works
}

// fresh forgets the counts: the breaker remembers from here on. A relapse is seen after two failures.
func (h *health) fresh(run int) {
	h.ok, h.bad, h.run, h.limited = fading{}, fading{}, max(0, run-2), 0
}
