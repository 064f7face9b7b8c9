package ledger

import (
	"time"

	"decouple.dev/decouple"
)

// Rate limits what a key may ask for in a minute; zero does not limit.
type Rate struct {
	Requests int64 `json:"rpm,omitempty"`
	Tokens   int64 `json:"tpm,omitempty"`
}

// burst is the part of a minute's rate that may be asked for at once.
const burst = 4

// tiny is what sums of fractions may be wrong by.
const tiny = 1e-6

// rates are the token buckets of keys on this node. Each node lets an equal share through: a rate divided by the nodes that are alive. So in any minute all
// nodes together let at most 1 1/4 of the rate through and one call a node more, and for the second until all have noticed a new node (n+1)/n of that.
// A node that is cut off keeps the share it had. Guarded by the ledger's mutex.
type rates struct {
	buckets map[accountKey]*bucket
	nodes   int
}

type bucket struct {
	rate     Rate
	requests float64 // left
	tokens   float64 // left; less than nothing after a call that used more than it had reserved
	at       time.Time
}

// share sets among how many nodes rates are divided.
func (r *rates) share(nodes int, now time.Time) {
	if nodes == r.nodes {
		return
	}
	for _, b := range r.buckets {
		b.fill(r.nodes, now)
	}
	r.nodes = nodes
}

// fill adds what has come since the last time.
func (b *bucket) fill(nodes int, now time.Time) {
	minutes := now.Sub(b.at).Minutes()
	if minutes < 0 {
		minutes = 0
	}
	b.at = now
	b.requests = min(room(b.rate.Requests, nodes), b.requests+minutes*float64(b.rate.Requests)/float64(nodes))
	b.tokens = min(room(b.rate.Tokens, nodes), b.tokens+minutes*float64(b.rate.Tokens)/float64(nodes))
}

// room is how much may be asked for at once.
func room(rate int64, nodes int) float64 { return max(1, float64(rate)/burst/float64(nodes)) }

// take lets a call pass, or says when it may. A call that is larger than the bucket passes when the bucket is full.
func (r *rates) take(e *Entry) error {
	c := &e.call
	if c.Rate == (Rate{}) {
		return nil
	}
	k := accountKey{c.Tenant, c.Key}
	b := r.buckets[k]
	if b == nil {
		if r.buckets == nil {
			r.buckets = map[accountKey]*bucket{}
		}
		b = &bucket{rate: c.Rate, requests: room(c.Rate.Requests, r.nodes), tokens: room(c.Rate.Tokens, r.nodes), at: e.begun}
		r.buckets[k] = b
	}
	b.rate = c.Rate
	b.fill(r.nodes, e.begun)
	if c.Rate.Requests > 0 && b.requests < 1-tiny {
		return r.refuse(e, "requests", c.Rate.Requests, 1-b.requests)
	}
	if need := min(float64(e.reserved.Tokens), room(c.Rate.Tokens, r.nodes)); c.Rate.Tokens > 0 && b.tokens < need-tiny {
		return r.refuse(e, "tokens", c.Rate.Tokens, need-b.tokens)
	}
	b.requests--
	b.tokens -= float64(e.reserved.Tokens)
	e.bucket = b
	return nil
}

func (r *rates) refuse(e *Entry, what string, rate int64, lack float64) error {
	wait := max(time.Millisecond, time.Duration(lack*float64(r.nodes)/float64(rate)*float64(time.Minute)))
	f := &Refusal{Limit: what + " a minute", Retry: wait, Text: "the key " + e.call.Key + " has asked for its " + what + " of this minute: wait " + wait.Round(time.Millisecond).String()}
	return &decouple.Error{Kind: decouple.RateLimited, Msg: f.Text, Err: f}
}

// correct counts what a call used in place of what it had reserved.
func (r *rates) correct(e *Entry) {
	if e.bucket != nil {
		e.bucket.tokens += float64(e.call.Reserve.Tokens - e.spent.Tokens)
	}
}

// forget drops buckets that are full again.
func (r *rates) forget(now time.Time) {
	for k, b := range r.buckets {
		if now.Sub(b.at) < 2*time.Minute {
			continue
		}
		if b.fill(r.nodes, now); b.tokens >= 0 {
			delete(r.buckets, k)
		}
	}
}
