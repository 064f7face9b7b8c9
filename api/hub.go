package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
)

// Hub tells watchers what happens. One follower of the journal serves all of them: an event is written as text once, and each watcher has a bounded
// queue of such texts. A watcher that is slow loses its place in the queue, not an event: it reads on from the journal at its own pace, and nobody waits for it.
type Hub struct {
	log     journal.Reader
	metrics *metrics
	quit    chan struct{} // closed when the server ends
	once    sync.Once
	running atomic.Bool
	wanted  chan struct{} // somebody has begun to watch
	idle    func()        // ends the following that nobody watches any more; under mu

	mu       sync.Mutex
	watchers map[watched]map[*watcher]struct{}
	answers  map[watched]map[decouple.RunID]*answering // by tree
	relay    *relay                                    // of a journal that other nodes share
}

// watched is what a watcher looks at: a tree, or, without a root, all of a tenant.
type watched struct {
	tenant decouple.TenantID
	root   decouple.RunID
}

// answering is the answer that a run is being given now, as far as it has come.
type answering struct {
	signal  engine.Signal // the newest
	attempt int
	text    strings.Builder
}

// Bounds of what is kept for watchers.
const (
	queue     = 256 // frames
	maxLive   = 256 << 10
	keepAlive = 15 * time.Second
	slowest   = 30 * time.Second // for one write to a watcher
	stillMay  = time.Second      // between looks whether a watcher's key is still good
)

// NewHub makes a hub over a journal.
func NewHub(log journal.Reader) *Hub {
	return &Hub{log: log, metrics: newMetrics(), quit: make(chan struct{}), wanted: make(chan struct{}, 1), watchers: map[watched]map[*watcher]struct{}{}, answers: map[watched]map[decouple.RunID]*answering{}}
}

// leave tells the watchers to come back elsewhere.
func (h *Hub) leave() { h.once.Do(func() { close(h.quit) }) }

// Run follows the journal until ctx ends, as long as somebody watches. While the journal cannot be reached watchers wait. Of several calls one does the work.
func (h *Hub) Run(ctx context.Context) error {
	if !h.running.CompareAndSwap(false, true) {
		<-ctx.Done()
		return nil
	}
	if h.relay != nil {
		var work sync.WaitGroup
		work.Go(func() { h.relay.run(ctx) })
		defer work.Wait()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.wanted:
		}
		following, stop := context.WithCancel(ctx)
		h.mu.Lock()
		h.idle = stop
		none := len(h.watchers) == 0
		h.mu.Unlock()
		for !none && following.Err() == nil {
			if err := h.follow(following); err != nil && following.Err() == nil {
				pause(following, time.Second)
			}
		}
		stop()
	}
}

// follow tells the watchers of what comes from now on. What came before they read from the journal, now that nothing after it is missed.
func (h *Hub) follow(ctx context.Context) error {
	head, err := h.log.Head(ctx)
	if err != nil {
		return err
	}
	h.allBehind()
	return h.log.Follow(ctx, head, func(e decouple.Event) error {
		h.event(e)
		return nil
	})
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// frame is a piece of a stream as it is sent.
type frame struct {
	at   decouple.Position // of an event; 0 is live
	end  bool              // of the run that is watched
	run  string            // whose event it is
	kind decouple.StreamKind
	text []byte
}

// watcher is somebody who watches.
type watcher struct {
	what   watched
	run    decouple.RunID // this one and all under it; empty is everything
	kind   decouple.StreamKind
	frames chan *frame

	mu     sync.Mutex
	behind bool // the queue was full: nothing is put in it until the journal has been read
}

// put puts a frame in the queue. A live one gives way to events.
func (w *watcher) put(f *frame) {
	if f.run != "" && w.run != "" && !within(f.run, w.run) || w.kind != "" && f.kind != "" && f.kind != w.kind {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.behind && len(f.text) > 0 || f.at == 0 && len(w.frames) > queue/2 {
		return
	}
	select {
	case w.frames <- f:
	default:
		w.behind = true
	}
}

// fallen says whether frames were lost, and takes the watcher back into the queue.
func (w *watcher) fallen() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.behind
	w.behind = false
	return was
}

func (h *Hub) allBehind() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ws := range h.watchers {
		for w := range ws {
			w.put(&frame{}) // wakes it
			w.mu.Lock()
			w.behind = true
			w.mu.Unlock()
		}
	}
}

// event tells the watchers of an event.
func (h *Hub) event(e decouple.Event) {
	if e.Stream.Kind == decouple.StreamKey {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	here, all := h.watchers[watched{e.Stream.Tenant, e.RootRun}], h.watchers[watched{e.Stream.Tenant, ""}]
	if e.RootRun == "" {
		here = nil
	}
	if len(here)+len(all) == 0 {
		return
	}
	f := eventFrame(e)
	for w := range here {
		w.put(f)
	}
	for w := range all {
		w.put(f)
	}
}

// eventFrame is an event as a server-sent event, whose id is its position.
func eventFrame(e decouple.Event) *frame {
	b, err := json.Marshal(EventOf(e))
	if err != nil {
		b = []byte("null") // an event holds only what was read as JSON
	}
	f := &frame{at: e.Position, kind: e.Stream.Kind, text: fmt.Appendf(nil, "id: %d\nevent: %s\ndata: %s\n\n", e.Position, e.Kind, b)}
	if e.Stream.Kind == decouple.StreamRun {
		f.run, f.end = e.Stream.ID, e.Kind == ended
	}
	return f
}

// ended is the event that ends a run.
const ended decouple.EventKind = "run.ended"

// Live is what goes on beside the events, while it goes on. Only events are facts, and only they can be had again.
type Live struct {
	Kind    engine.SignalKind  `json:"kind"`
	Time    time.Time          `json:"time"`
	Run     decouple.RunID     `json:"run"`
	Agent   decouple.AgentName `json:"agent,omitempty"`
	Label   string             `json:"label,omitempty"`
	Step    int                `json:"step"`
	Attempt int                `json:"attempt,omitempty"` // of an answer; a larger one than before makes what came of the others void
	Offset  int                `json:"offset,omitempty"`  // of a token's text in the answer, in bytes
	Text    string             `json:"text,omitempty"`
	Usage   decouple.Usage     `json:"usage,omitzero"`
	Cause   decouple.Cause     `json:"cause,omitzero"`
}

// Signal tells watchers what goes on; it is an engine's Watch.
func (h *Hub) Signal(s engine.Signal) {
	h.metrics.signal(s)
	if s.Tenant == "" {
		s.Tenant = decouple.LocalTenant
	}
	h.show(s)
	if h.relay != nil {
		h.relay.put(s)
	}
}

// show tells the watchers here.
func (h *Hub) show(s engine.Signal) {
	what := watched{s.Tenant, s.Run.Root()}
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.track(what, s)
	ws, all := h.watchers[what], h.watchers[watched{s.Tenant, ""}]
	if len(ws)+len(all) == 0 {
		return
	}
	f := liveFrame(l)
	for w := range ws {
		w.put(f)
	}
	for w := range all {
		w.put(f)
	}
}

func liveFrame(l Live) *frame {
	b, err := json.Marshal(l)
	if err != nil {
		b = []byte("null")
	}
	return &frame{run: string(l.Run), kind: decouple.StreamRun, text: fmt.Appendf(nil, "event: live\ndata: %s\n\n", b)}
}

// track keeps the answer that a run is being given, for whoever begins to watch in the middle of it. The caller holds mu.
func (h *Hub) track(what watched, s engine.Signal) Live {
	l := Live{Kind: s.Kind, Time: s.Time, Run: s.Run, Agent: s.Agent, Label: s.Label, Step: s.Step, Text: s.Text, Usage: s.Usage, Cause: s.Cause}
	tree := h.answers[what]
	a := tree[s.Run]
	switch s.Kind {
	case engine.SignalCalling:
		if tree == nil {
			tree = map[decouple.RunID]*answering{}
			h.answers[what] = tree
		}
		if a == nil || a.signal.Step != s.Step {
			a = &answering{}
			tree[s.Run] = a
		}
		a.text.Reset()
		a.attempt++
		a.signal, l.Attempt = s, a.attempt
	case engine.SignalToken:
		if a != nil {
			l.Attempt, l.Offset = a.attempt, a.text.Len()
			if a.text.Len()+len(s.Text) <= maxLive {
				a.text.WriteString(s.Text)
			}
		}
	case engine.SignalStep, engine.SignalParked, engine.SignalEnded:
		if delete(tree, s.Run); len(tree) == 0 {
			delete(h.answers, what)
		}
	}
	return l
}

// watch begins to watch. The frames that come at once are of the answers that are being given.
func (h *Hub) watch(w *watcher) {
	w.frames = make(chan *frame, queue)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers[w.what] == nil {
		h.watchers[w.what] = map[*watcher]struct{}{}
	}
	h.watchers[w.what][w] = struct{}{}
	h.metrics.watchers.Inc()
	poke(h.wanted)
	if h.relay != nil {
		poke(h.relay.ask)
	}
	for run, a := range h.answers[w.what] {
		if a.text.Len() > 0 {
			w.put(liveFrame(Live{Kind: engine.SignalToken, Time: a.signal.Time, Run: run, Agent: a.signal.Agent, Label: a.signal.Label, Step: a.signal.Step, Attempt: a.attempt, Text: a.text.String()}))
		}
	}
}

func poke(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// underWay is the answers that are being given, as signals.
func (h *Hub) underWay(what watched) []engine.Signal {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []engine.Signal
	for _, a := range h.answers[what] {
		token := a.signal
		token.Kind, token.Text = engine.SignalToken, a.text.String()
		out = append(out, a.signal, token)
	}
	return out
}

// unwatch ends it.
func (h *Hub) unwatch(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if delete(h.watchers[w.what], w); len(h.watchers[w.what]) == 0 {
		delete(h.watchers, w.what)
	}
	if len(h.watchers) == 0 && h.idle != nil {
		h.idle()
	}
	h.metrics.watchers.Dec()
}

// runEvents gives the events of a run and of all under it.
func (c *call) runEvents() error {
	first, err := c.Journal.Read(c.ctx(), decouple.RunStream(c.tenant(), c.run()), 0, 1)
	if err == nil && len(first) == 0 {
		err = decouple.Errorf(decouple.NotFound, "there is no run %s", c.run())
	}
	if err != nil {
		return err
	}
	w := &watcher{what: watched{c.tenant(), c.run().Root()}, run: c.run(), kind: decouple.StreamRun}
	return c.sendEvents(w, first[0].Position-1)
}

// events gives the events of the tenant.
func (c *call) events() error {
	return c.sendEvents(&watcher{what: watched{c.tenant(), ""}, kind: decouple.StreamKind(c.r.URL.Query().Get("kind"))}, 0)
}

// sendEvents gives what a watcher wants, as a page or as a stream. There is nothing for it up to a position.
func (c *call) sendEvents(w *watcher, from decouple.Position) error {
	after, limit, err := c.page()
	if err != nil {
		return err
	}
	if last := c.r.Header.Get("Last-Event-ID"); last != "" {
		if _, err := fmt.Sscanf(last, "%d", &after); err != nil || after < 0 {
			return decouple.Errorf(decouple.Invalid, "Last-Event-ID: %q is not the id of an event", last)
		}
	}
	at := max(from, decouple.Position(after))
	if accepts(c.r, "text/event-stream") {
		return c.live(w, at)
	}
	out := EventList{Events: []Event{}}
	err = scan(c.ctx(), c.Journal, w, at, func(e decouple.Event) error {
		if len(out.Events) == limit {
			out.Next = int64(out.Events[limit-1].Position)
			return errFull
		}
		out.Events = append(out.Events, EventOf(e))
		return nil
	}, nil)
	if err != nil && !errors.Is(err, errFull) {
		return err
	}
	reply(c.w, http.StatusOK, out)
	return nil
}

// errFull ends a page.
var errFull = errors.New("the page is full")

// scan reads from the journal what a watcher wants after a position, up to the newest, and says how far it is after each batch.
func scan(ctx context.Context, log journal.Reader, w *watcher, after decouple.Position, fn func(decouple.Event) error, reached func(decouple.Position)) error {
	for {
		events, err := log.Scan(ctx, journal.Filter{Tenant: w.what.tenant, Kind: w.kind, After: after})
		if err != nil || len(events) == 0 {
			return err
		}
		for _, e := range events {
			after = e.Position
			if w.run != "" && (e.Stream.Kind != decouple.StreamRun || !within(e.Stream.ID, w.run)) || e.Stream.Kind == decouple.StreamKey {
				continue
			}
			if err := fn(e); err != nil {
				return err
			}
		}
		if reached != nil {
			reached(after)
		}
	}
}

// errOver ends a stream whose run has ended.
var errOver = errors.New("the run has ended")

// live sends events as they come, every one once and in order, and live frames beside them, until the run ends or the watcher goes.
func (c *call) live(w *watcher, at decouple.Position) error {
	c.Hub.watch(w)
	defer c.Hub.unwatch(w)
	out := &sse{w: c.w, control: http.NewResponseController(c.w), at: at, run: string(w.run)}
	if over, err := c.over(w, at); err != nil {
		return err
	} else if over { // a browser that comes back after the end is told to stay away
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if err := out.begin(); err != nil {
		return gone(err)
	}
	catchUp := func() error {
		return scan(c.ctx(), c.Journal, w, out.at, func(e decouple.Event) error { return out.send(eventFrame(e)) }, func(p decouple.Position) { out.at = max(out.at, p) })
	}
	err := catchUp()
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	look := time.NewTicker(stillMay)
	defer look.Stop()
	for err == nil {
		if len(w.frames) == 0 {
			wrote := out.dirty
			if err = out.flush(); err != nil {
				break
			}
			if wrote {
				c.rest()
			}
		}
		select {
		case f := <-w.frames:
			err = out.send(f)
		case <-alive.C:
			err = out.comment()
		case <-look.C:
			if !c.stillMay() {
				err = errAnswered // whoever comes back is told why
			}
		case <-c.ctx().Done():
			err = errAnswered
		case <-c.Hub.quit:
			err = errAnswered
		}
		if err == nil && len(w.frames) == 0 && w.fallen() {
			c.Hub.metrics.fallen.Inc()
			err = catchUp()
		}
	}
	_ = out.flush()
	if errors.Is(err, errOver) || errors.Is(err, errAnswered) || c.ctx().Err() != nil {
		return nil
	}
	if decouple.KindOf(err) != decouple.Internal {
		return gone(err) // the journal cannot be read now: the watcher comes back
	}
	c.log().Warn("a stream of events broke off", "run", w.run, "error", err)
	return errAnswered
}

// pace is how often a watcher is sent something at most: what comes meanwhile goes together, so that a thousand watchers cost no more than what they are sent.
const pace = 20 * time.Millisecond

// rest lets frames gather, for a watcher that was sent something just now.
func (c *call) rest() {
	t := time.NewTimer(pace)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.ctx().Done():
	case <-c.Hub.quit:
	}
}

// over says whether there is nothing after a position and never will be.
func (c *call) over(w *watcher, at decouple.Position) (bool, error) {
	if w.run == "" {
		return false, nil
	}
	rows, err := c.Journal.Runs(c.ctx(), journal.RunFilter{Tenant: w.what.tenant, ID: w.run})
	if err != nil || len(rows) != 1 || rows[0].Status != decouple.RunEnded {
		return false, err
	}
	last, err := c.Journal.Read(c.ctx(), decouple.RunStream(w.what.tenant, w.run), rows[0].Seq-1, 1)
	return err == nil && len(last) == 1 && last[0].Position <= at, err
}

// sse writes server-sent events.
type sse struct {
	w       http.ResponseWriter
	control *http.ResponseController
	at      decouple.Position // of the newest event that was sent or passed over
	run     string
	dirty   bool
}

func (s *sse) begin() error {
	s.w.Header().Set("Content-Type", "text/event-stream")
	s.w.Header().Set("Cache-Control", "no-store")
	s.w.Header().Set("X-Accel-Buffering", "no")
	return s.write([]byte("retry: 1000\n\n"))
}

func (s *sse) write(b []byte) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(slowest)) // a transport without deadlines is this process's own
	s.dirty = true
	_, err := s.w.Write(b)
	return gone(err)
}

// send writes a frame, unless it is of an event that was sent.
func (s *sse) send(f *frame) error {
	if f.at != 0 && f.at <= s.at || len(f.text) == 0 {
		return nil
	}
	if err := s.write(f.text); err != nil {
		return err
	}
	s.at = max(s.at, f.at)
	if f.end && s.run != "" && f.run == s.run {
		return errOver
	}
	return nil
}

func (s *sse) flush() error {
	if !s.dirty {
		return nil
	}
	s.dirty = false
	return gone(s.control.Flush())
}

func (s *sse) comment() error {
	if err := s.write([]byte(": still here\n\n")); err != nil {
		return err
	}
	return s.flush()
}
