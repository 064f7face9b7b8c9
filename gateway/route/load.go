package route

import (
	"math"
	"time"

	"decouple.dev/decouple/catalog"
)

// bucket is a limit that fills with time. Its level may be below zero: calls may turn out larger than was thought.
type bucket struct {
	size  float64 // 0: there is no such limit
	rate  float64 // a second
	level float64
	at    int64
	taken float64 // all that was ever taken, to tell what came after a header was sent
}

// now is the level at t.
func (b *bucket) now(t int64) float64 {
	if t <= b.at {
		return b.level
	}
	return min(b.size, b.level+b.rate*float64(t-b.at)/1e9)
}

// take removes n, which may be negative.
func (b *bucket) take(n float64, t int64) {
	if b.size == 0 {
		return
	}
	b.level = min(b.size, b.now(t)-n)
	b.at = max(b.at, t)
	b.taken += n
}

// room says what part of the bucket is left after n, and when n is there. What is larger than the bucket fits a full one.
func (b *bucket) room(n float64, t int64) (share float64, when int64) {
	n = min(n, b.size)
	level := b.now(t)
	if level >= n {
		return (level - n) / b.size, 0
	}
	return 0, t + int64(min(math.Ceil((n-level)/b.rate*1e9), float64(longest)))
}

// resize gives the bucket another size a minute and leaves the same share of it filled.
func (b *bucket) resize(perMinute float64) {
	switch {
	case perMinute == b.size:
		return
	case perMinute <= 0:
		*b = bucket{}
		return
	case b.size == 0:
		b.level = perMinute
	default:
		b.level *= perMinute / b.size
	}
	b.size, b.rate = perMinute, perMinute/60
}

// hear corrects the bucket by a header. before is what had been taken when the call that brought it began: what was taken since may or may not be in the header's figure.
func (b *bucket) hear(l Limit, before float64, t int64, replicas float64) {
	if l == (Limit{}) {
		return
	}
	if size := float64(l.Limit) / replicas; size > 0 && size != b.size {
		fresh := b.size == 0
		b.resize(size)
		if fresh {
			b.at, before = t, b.taken
		}
	}
	if b.size == 0 {
		return
	}
	remaining := float64(l.Remaining) / replicas
	if used := b.size - remaining; l.Reset > 0 && used > 0 {
		b.rate = used / l.Reset.Seconds()
	}
	b.level = min(max(b.now(t), remaining-(b.taken-before)), remaining, b.size)
	b.at = max(b.at, t)
}

// learned is a rate of requests that 429s have taught: a part less after each, a little more with time.
type learned struct {
	bucket bucket  // size 0: nothing was learned
	rate   float64 // requests a second
	step   float64 // by which it rises in a second
	top    float64 // the rate that was too much
	cutAt  int64
	at     int64
}

// Constants of the learned rate.
const (
	cut       = 0.7                     // what is left of it after a 429
	recovery  = 0.01                    // by how much of the rate that was too much it rises in a second
	roof      = 4.0                     // up to how much of that rate it rises untested
	leastStep = 0.02                    // by which it rises in a second at least
	leastRoof = 2.0                     // up to which it rises untested at least
	forget    = int64(10 * time.Minute) // without a 429, and it is unlimited again
	cutPause  = int64(time.Second)      // 429s of one burst cut once
	slowest   = 0.02                    // requests a second
	rateHalf  = 5 * time.Second         // of the count of requests that tells the rate
	leastSize = 2.0
)

// less is told of a 429 to a call that began at began, while requests were sent at a rate a second.
func (l *learned) less(began, t int64, seen float64) {
	if l.bucket.size > 0 && began < l.cutAt+cutPause {
		return
	}
	l.rise(t)
	from := seen
	if l.bucket.size > 0 {
		from = min(max(seen, l.rate*cut), l.rate)
	}
	l.top = max(from, slowest)
	l.rate = max(from*cut, slowest)
	l.step = max(l.top*recovery, leastStep)
	l.cutAt, l.at = t, t
	l.fit(t)
	l.bucket.level = 1
}

// rise lets the rate grow up to t.
func (l *learned) rise(t int64) {
	if l.bucket.size == 0 || t <= l.at {
		return
	}
	if t-l.cutAt > forget {
		*l = learned{}
		return
	}
	l.rate = min(l.rate+l.step*float64(t-l.at)/1e9, max(l.top*roof, leastRoof))
	l.at = t
	l.fit(t)
}

// fit makes the bucket hold a second of the rate.
func (l *learned) fit(t int64) {
	share := 0.0
	if l.bucket.size > 0 {
		share = l.bucket.now(t) / l.bucket.size
	}
	l.bucket.size, l.bucket.rate = max(leastSize, l.rate), l.rate
	l.bucket.level, l.bucket.at = share*l.bucket.size, t
}

// load is what an endpoint carries and may carry.
type load struct {
	requests, tokens, in, out bucket
	concurrent                float64
	admitMax                  bool
	learned                   learned
	inFlight                  int
	sent                      fading // requests, for the rate
	rest                      int64  // until when it asked to be left alone
	restAt                    int64  // when the pause that counts began
	restWhy                   string
}

// resize takes over the limits of the catalog. A limit that only headers have told stays.
func (l *load) resize(c catalog.Limits, replicas float64) {
	set := func(b *bucket, n int64) {
		if n > 0 {
			b.resize(float64(n) / replicas)
		}
	}
	set(&l.requests, c.Requests)
	set(&l.tokens, c.Tokens)
	set(&l.in, c.TokensIn)
	set(&l.out, c.TokensOut)
	l.concurrent = float64(c.Concurrent) / replicas
	if l.concurrent > 0 {
		l.concurrent = max(1, l.concurrent)
	}
	l.admitMax = c.AdmitMax
}

// Why an endpoint has no head-room.
const (
	noRequests   = "its limit of requests a minute leaves no room"
	noTokens     = "its limit of tokens a minute leaves no room for a call of this size"
	noConcurrent = "it has as many calls in flight as it takes at once"
	noLearned    = "requests would go above the rate that its 429s have taught"
)

// room is the share of the tightest limit that a call leaves, and, where that is none, when there will be some and why there is none now. busy is how long a call takes.
func (l *load) room(in, out float64, t int64, busy float64) (share float64, when int64, why string) {
	share = 1
	look := func(b *bucket, n float64, sentence string) {
		if b.size == 0 {
			return
		}
		s, w := b.room(n, t)
		share = min(share, s)
		if w > when {
			when, why = w, sentence
		}
	}
	look(&l.requests, 1, noRequests)
	look(&l.tokens, in+out, noTokens)
	look(&l.in, in, noTokens)
	look(&l.out, out, noTokens)
	if l.learned.bucket.size > 0 && t-l.learned.cutAt <= forget {
		now := l.learned
		now.rise(t)
		look(&now.bucket, 1, noLearned)
	}
	if l.concurrent > 0 {
		n := float64(l.inFlight)
		share = min(share, max(0, (l.concurrent-n-1)/l.concurrent))
		if n+1 > l.concurrent {
			if w := t + int64(busy/(n+1)) + 1; w > when {
				when, why = w, noConcurrent
			}
		}
	}
	return share, when, why
}

// take reserves what a call is expected to need.
func (l *load) take(in, out float64, t int64) {
	l.inFlight++
	l.requests.take(1, t)
	l.tokens.take(in+out, t)
	l.in.take(in, t)
	l.out.take(out, t)
	l.learned.rise(t)
	l.learned.bucket.take(1, t)
	l.sent.add(1, t, rateHalf)
}

// settle puts the difference back between what a call was expected to need and what it used.
func (l *load) settle(in, out float64, t int64) {
	l.inFlight = max(0, l.inFlight-1)
	l.tokens.take(-in-out, t)
	l.in.take(-in, t)
	l.out.take(-out, t)
}

// perSecond is the rate at which requests were sent lately.
func (l *load) perSecond(t int64) float64 {
	return l.sent.value(t, rateHalf) * math.Ln2 / rateHalf.Seconds()
}
