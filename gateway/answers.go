package gateway

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strconv"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
	"decouple.dev/decouple/gateway/ledger"
)

// Limits of what is remembered.
const (
	maxAnswers     = 256 << 20 // bytes of all answers
	maxOneAnswer   = 4 << 20
	answerOverhead = 512
)

// answers remembers whole answers of aliases that want it, byte for byte as they were sent, for callers with the same key. Callers who ask the same at the same time share one
// call.
type answers struct {
	mu    sync.Mutex
	known map[[32]byte]*answer
	order []*answer // by when they were put in
	size  int
}

// answer is an answer, or one that is being made.
type answer struct {
	key   [32]byte
	done  chan struct{} // closed when it is there, or will never be
	body  []byte        // nil: whoever made it got none
	from  *endpoint     // that gave it
	until time.Time
}

func newAnswers() *answers { return &answers{known: map[[32]byte]*answer{}} }

// take gives the answer for a key, or makes the caller the one who makes it.
func (s *answers) take(key [32]byte, now time.Time) (a *answer, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.known[key]; a != nil && (a.until.IsZero() || now.Before(a.until)) {
		return a, false
	}
	a = &answer{key: key, done: make(chan struct{})}
	s.known[key] = a
	return a, true
}

// put gives an answer to everybody who waits for it, and keeps it for a while. A nil body keeps nothing.
func (s *answers) put(a *answer, body []byte, life time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(a.done)
	if body == nil || len(body) > maxOneAnswer {
		a.body = body
		if s.known[a.key] == a {
			delete(s.known, a.key)
		}
		return
	}
	a.body, a.until = body, time.Now().Add(life)
	s.order = append(s.order, a)
	s.size += len(body) + answerOverhead
	for s.size > maxAnswers || len(s.order) > 0 && time.Now().After(s.order[0].until) {
		old := s.order[0]
		s.order = s.order[1:]
		s.size -= len(old.body) + answerOverhead
		if s.known[old.key] == old {
			delete(s.known, old.key)
		}
	}
}

// cacheKey says which calls are the same: the same key asks the same alias for the same, byte for byte, in the same format and framing, with the same wishes.
func (c *call) cacheKey() [32]byte {
	h := sha256.New()
	for _, s := range []string{string(c.who.Tenant), c.who.Key, string(c.door), c.asked, strconv.FormatBool(c.stream), strconv.FormatBool(c.sketch.Usage), strconv.FormatBool(c.array), strconv.FormatBool(c.embeds), strconv.FormatBool(c.storeAs != nil), c.class} {
		_, _ = h.Write([]byte(strconv.Itoa(len(s)) + ":" + s)) // a hash never fails
	}
	for _, o := range c.options {
		_, _ = h.Write([]byte(strconv.Itoa(len(o.Value)) + ":" + o.Name + ":" + o.Value))
	}
	_, _ = h.Write(c.in.Body)
	return [32]byte(h.Sum(nil))
}

// fromCache answers from memory, or with the answer that somebody else is getting; else the call is made, and its answer kept.
func (c *call) fromCache(ctx context.Context, out *caller) bool {
	key := c.cacheKey()
	a, mine := c.g.answers.take(key, time.Now())
	if mine {
		c.making = a
		out.copyTo = &c.copied
		return false
	}
	c.status = "hit"
	select {
	case <-a.done:
	default:
		c.status = "shared"
		select {
		case <-a.done:
		case <-ctx.Done():
			return false
		}
	}
	if a.body == nil || !c.mayHave(a.from) {
		c.status = ""
		return false // whoever made it failed, or had it from where this call may not go: it is made for itself
	}
	c.used = decouple.Usage{}
	if c.reserveNothing(ctx) == nil {
		_ = c.settle(ledger.Cached) // the answer cost nothing: it is given even if nobody can write that down
	}
	c.took = time.Since(c.began)
	c.tellWatcher()
	c.g.keep(c)
	h := out.v.w.Header()
	h.Set("Content-Type", dialect.ContentType(c.door, c.stream))
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	c.mark(h, nil)
	out.v.w.WriteHeader(http.StatusOK)
	_, _ = out.v.w.Write(a.body) // whoever has gone does not read it
	return true
}

// made gives what a call has brought to those who wait for the same.
func (c *call) made() {
	if c.making == nil {
		return
	}
	body := c.copied
	a := c.winner.Load()
	if a == nil || a.failed != nil || a.gone.Load() {
		body = nil
	} else {
		c.making.from = a.ep
	}
	c.g.answers.put(c.making, body, c.alias.Cache)
	c.making = nil
}
