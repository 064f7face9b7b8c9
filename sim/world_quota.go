package sim

import (
	"math"
	"time"

	"decouple.dev/decouple"
)

// bucket is a token bucket that fills evenly.
type bucket struct {
	size  float64 // 0 is no limit
	level float64
	rate  float64 // per nanosecond
	at    int64
}

func newBucket(size int64, per time.Duration) bucket {
	return bucket{size: float64(size), level: float64(size), rate: float64(size) / float64(per)}
}

// fill brings the bucket up to a time. times is what is left of the quota, usually 1.
func (b *bucket) fill(now int64, times float64) {
	if b.size == 0 {
		return
	}
	if now > b.at {
		b.level += float64(float64(now-b.at) * b.rate * times)
		b.at = now
	}
	b.level = min(b.level, b.size*times)
}

// crumb is what the arithmetic of levels may be wrong by.
const crumb = 1e-6

// lacks is how long it takes until n are there; 0 they are, the longest duration never.
func (b *bucket) lacks(n, times float64) time.Duration {
	switch {
	case b.size == 0 || b.level >= n-crumb:
		return 0
	case n > b.size*times:
		return math.MaxInt64
	}
	return time.Duration(math.Ceil((n - b.level) / (b.rate * times)))
}

// take takes n, or gives back if n is negative. The bucket may go below zero.
func (b *bucket) take(n float64) {
	if b.size != 0 {
		b.level = min(b.size, b.level-n)
	}
}

// gauge shows the bucket as headers do.
func (b *bucket) gauge(times float64) Gauge {
	if b.size == 0 {
		return Gauge{}
	}
	g := Gauge{Limit: int64(b.size * times), Left: int64(max(0, b.level))}
	if b.rate*times > 0 {
		g.Reset = time.Duration((b.size*times - b.level) / (b.rate * times))
	}
	return g
}

// account is what one account has used of one model.
type account struct {
	requests, tokens, in, out, day, units bucket
	prompts                               prompts
}

func newAccount(l *Limits) *account {
	return &account{
		requests: newBucket(l.Requests, time.Minute), tokens: newBucket(l.Tokens, time.Minute), day: newBucket(l.TokensDay, 24*time.Hour),
		in: newBucket(l.TokensIn, time.Minute), out: newBucket(l.TokensOut, time.Minute),
		units:   newBucket(l.Units*l.UnitIn, time.Minute),
		prompts: prompts{kept: map[uint64]kept{}, sweep: 1024},
	}
}

func (a *account) fill(now int64, times float64) {
	for _, b := range a.buckets() {
		b.fill(now, times)
	}
}

func (a *account) buckets() [6]*bucket {
	return [6]*bucket{&a.requests, &a.tokens, &a.in, &a.out, &a.day, &a.units}
}

// counted is what a call counts for each quota.
type counted struct {
	in, out float64 // out: what is admitted before it is known
}

func (l *Limits) count(u decouple.Usage, limit int64) counted {
	c := counted{in: float64(u.TokensIn)}
	if l.CachedFree {
		c.in -= float64(u.Cached)
	}
	if l.AdmitMax || l.Units > 0 {
		c.out = float64(limit)
	}
	return c
}

// admit says which quota refuses a call, or takes what the call counts.
func (a *account) admit(l *Limits, c counted, times float64) (Refusal, time.Duration) {
	if l.Units > 0 {
		if a.units.lacks(1, times) > 0 {
			return Provisioned, a.units.lacks(1, times)
		}
		a.units.take(c.in + c.out*float64(l.OutWeight))
		return Served, 0
	}
	outNow := c.out
	if outNow == 0 {
		outNow = 1 // what is not known before is admitted as long as anything is left
	}
	for _, q := range [...]struct {
		b       *bucket
		n       float64
		refusal Refusal
	}{
		{&a.requests, 1, RequestRate}, {&a.tokens, c.in + c.out, TokenRate}, {&a.in, c.in, InRate}, {&a.out, outNow, OutRate}, {&a.day, c.in + c.out, DayRate},
	} {
		if wait := q.b.lacks(q.n, times); wait > 0 {
			return q.refusal, wait
		}
	}
	a.requests.take(1)
	a.tokens.take(c.in + c.out)
	a.in.take(c.in)
	a.out.take(c.out)
	a.day.take(c.in + c.out)
	return Served, 0
}

// settle counts what was written instead of what was admitted.
func (a *account) settle(l *Limits, c counted, out int64) {
	more := float64(out) - c.out
	if more < 0 && l.KeepMax {
		return
	}
	a.tokens.take(more)
	a.out.take(more)
	a.day.take(more)
	a.units.take(more * float64(l.OutWeight))
}

// hot says whether the pool refuses a call now. Whether a window is hot follows from the seed alone.
func (p *Pool) hot(seed uint64, now int64, d *dice) bool {
	if p.Hot <= 0 || p.Window <= 0 {
		return false
	}
	window := dice{state: stir(seed, uint64(now/int64(p.Window)))}
	return window.unit() <= p.Hot && d.unit() <= p.Refuse
}
