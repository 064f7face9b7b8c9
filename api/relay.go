package api

import (
	"context"
	"encoding/json"
	"sync"
	"time"
	"unicode/utf8"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
)

// relay carries what goes on from the nodes that work to those that are watched: a node says what is watched at it, and the others send it the signals of these
// trees, a few times a second. Where nobody watches nothing is sent.
type relay struct {
	hub  *Hub
	wire journal.Wire
	ask  chan struct{} // somebody has begun to watch here

	mu      sync.Mutex
	wanted  map[watched]time.Time // at other nodes, until then
	waiting []engine.Signal       // to be sent
}

// How often is sent.
const (
	relayEvery  = 40 * time.Millisecond
	renewEvery  = 3 * time.Second
	wantedFor   = 10 * time.Second
	maxWaiting  = 4096
	maxRelayed  = journal.MaxWire / 3 // bytes of text in a signal: JSON may double them
	maxInterest = 100                 // trees in one message
)

// relayed is what nodes say to each other.
type relayed struct {
	Watch   []interest      `json:"w,omitempty"`
	Signals []engine.Signal `json:"s,omitempty"`
}

type interest struct {
	Tenant decouple.TenantID `json:"t"`
	Root   decouple.RunID    `json:"r,omitempty"`
}

// Join has watchers of this node see what goes on at others, and those of others what goes on here.
func (h *Hub) Join(wire journal.Wire) {
	r := &relay{hub: h, wire: wire, ask: make(chan struct{}, 1), wanted: map[watched]time.Time{}}
	h.mu.Lock()
	h.relay = r
	h.mu.Unlock()
	wire.Hear(r.hear)
}

// put keeps a signal that another node wants. One that comes faster than it can be sent is lost.
func (r *relay) put(s engine.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if !r.wanted[watched{s.Tenant, s.Run.Root()}].After(now) && !r.wanted[watched{s.Tenant, ""}].After(now) {
		return
	}
	if n := len(r.waiting); n > 0 && s.Kind == engine.SignalToken {
		if last := &r.waiting[n-1]; last.Kind == s.Kind && last.Run == s.Run && last.Step == s.Step && len(last.Text)+len(s.Text) <= maxRelayed {
			last.Text += s.Text
			return
		}
	}
	for s.Kind == engine.SignalToken && len(s.Text) > maxRelayed {
		n := maxRelayed
		for !utf8.RuneStart(s.Text[n]) {
			n--
		}
		part := s
		part.Text, s.Text = s.Text[:n], s.Text[n:]
		r.waiting = append(r.waiting, part)
	}
	if len(r.waiting) < maxWaiting {
		r.waiting = append(r.waiting, s)
	}
}

// hear takes what another node says.
func (r *relay) hear(body []byte) {
	var m relayed
	if json.Unmarshal(body, &m) != nil {
		return // of another version
	}
	for _, s := range m.Signals {
		r.hub.show(s)
	}
	for _, w := range m.Watch {
		what := watched{w.Tenant, w.Root}
		r.mu.Lock()
		fresh := !r.wanted[what].After(time.Now())
		r.wanted[what] = time.Now().Add(wantedFor)
		r.mu.Unlock()
		if fresh {
			for _, s := range r.hub.underWay(what) {
				r.put(s)
			}
		}
	}
}

// run sends until ctx ends.
func (r *relay) run(ctx context.Context) {
	send, renew := time.NewTicker(relayEvery), time.NewTicker(renewEvery)
	defer send.Stop()
	defer renew.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-send.C:
			r.flush(ctx)
		case <-r.ask:
			r.interest(ctx)
		case <-renew.C:
			r.interest(ctx)
		}
	}
}

// interest says what is watched here.
func (r *relay) interest(ctx context.Context) {
	var m relayed
	r.hub.mu.Lock()
	for w := range r.hub.watchers {
		if m.Watch = append(m.Watch, interest{w.tenant, w.root}); len(m.Watch) == maxInterest {
			break
		}
	}
	r.hub.mu.Unlock()
	if len(m.Watch) > 0 {
		r.send(ctx, m)
	}
}

// flush sends what waits, in as few messages as it fits in.
func (r *relay) flush(ctx context.Context) {
	r.mu.Lock()
	waiting := r.waiting
	r.waiting = nil
	for w, until := range r.wanted {
		if until.Before(time.Now()) {
			delete(r.wanted, w)
		}
	}
	r.mu.Unlock()
	var m relayed
	size := 0
	for _, s := range waiting {
		b, err := json.Marshal(s)
		if err != nil || len(b) > journal.MaxWire-100 {
			continue
		}
		if size+len(b) > journal.MaxWire-100 {
			r.send(ctx, m)
			m, size = relayed{}, 0
		}
		m.Signals, size = append(m.Signals, s), size+len(b)+1
	}
	if size > 0 {
		r.send(ctx, m)
	}
}

// send says something. What is lost was only live.
func (r *relay) send(ctx context.Context, m relayed) {
	if b, err := json.Marshal(m); err == nil {
		_ = r.wire.Send(ctx, b)
	}
}
