package gateway

import (
	"context"
	"errors"
	"hash/maphash"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/dialect"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/gateway/transport"
	"decouple.dev/decouple/placement"
)

// call is one call from its first byte to its settlement: reserve, attempt until one endpoint has answered, settle once.
type call struct {
	g        *Gateway
	world    *world
	id       string // of the decision and the settlement
	answerID string // of the answer, as the caller sees it
	door     dialect.Format
	server   dialect.Server
	in       dialect.Inbound
	sketch   dialect.Sketch
	who      Caller
	class    string
	labels   []string
	asked    string // the model or alias, as the caller named it
	stream   bool   // the caller wants a stream
	alias    catalog.Alias
	need     route.Need
	judge    Judge                              // the contracts by which its endpoints were judged; nil is that there are none
	want     placement.Need                     // what was judged
	row      []atomic.Pointer[placement.Ruling] // what they say to it, by the number of the endpoint
	signed   []string                           // clauses that a person has signed off for this call
	cleared  []*endpoint                        // that may be asked
	barred   *barred                            // what contracts keep it from
	patience Patience
	deadline time.Time
	began    time.Time
	parent   string            // W3C trace context, as it came
	array    bool              // Generate: the stream is a JSON array
	options  []transport.Field // headers with which the caller asks for features of its format
	tell     func(dialect.Event)
	restart  func() // the answer begins anew: a caller of this process can take that

	reading sync.Once
	parsed  *decouple.Request
	unread  error

	entry     *ledger.Entry
	decisions []route.Decision
	winner    atomic.Pointer[attempt]
	mu        sync.Mutex // of attempts
	attempts  []*attempt

	embeds  bool             // vectors are asked for
	run     decouple.RunID   // of an agent
	starter string           // the id of the key that the run was started with
	drill   *drill           // that it is a canary of; nil is none
	storeAs *StoredResponse  // nil stores nothing
	making  *answer          // others wait for this call's answer
	copied  []byte           // what was sent, for them
	answer  *decouple.Answer // where it was translated

	settled bool
	status  string // hit or shared, of an answer from the cache
	used    decouple.Usage
	took    time.Duration
	outcome decouple.Kind
	why     string
}

// newCall reads what a visitor asks for.
func (g *Gateway) newCall(v *visit) (*call, error) {
	in := dialect.Inbound{Body: v.body, Model: v.model, Stream: v.stream}
	sketch, err := dialect.SketchOf(v.door, in)
	if err != nil {
		return nil, err
	}
	c := g.blank(v.who)
	_, c.server, _ = dialect.Of(v.door)
	c.door, c.in, c.sketch, c.asked, c.stream = v.door, in, sketch, sketch.Model, sketch.Stream || v.stream
	c.array = v.door == dialect.Generate && v.stream && v.r.URL.Query().Get("alt") != "sse"
	for _, name := range optionHeaders {
		if value := v.r.Header[name]; len(value) > 0 {
			c.options = append(c.options, transport.Field{Name: name, Value: value[0]})
		}
	}
	if err := c.heed(v.r.Header); err != nil {
		return nil, err
	}
	err = c.choose()
	if len(c.decisions) > 0 { // it can be explained why nothing may be asked
		c.mark(v.w.Header(), nil)
	}
	return c, err
}

// Limits of what a caller says of a call: it is kept with the call's decision and its usage.
const (
	maxName   = 64 // bytes of a class or a label
	maxLabels = 32
)

// heed reads the headers that say how a call is to be made. They hold at every door.
func (c *call) heed(h http.Header) error {
	c.parent = h.Get("Traceparent")
	if c.class = h.Get("X-Decouple-Class"); len(c.class) > maxName || len(h["X-Decouple-Class"]) > 1 {
		return decouple.Errorf(decouple.Invalid, "the header x-decouple-class names one class, of up to %d bytes", maxName)
	}
	if lines := h["X-Decouple-Labels"]; len(lines) > 0 { // a proxy may have put a line of its own beside the caller's
		c.labels = slices.Clone(c.labels)
		for l := range strings.SplitSeq(strings.Join(lines, ","), ",") {
			if l = strings.TrimSpace(l); l == "" {
				continue
			}
			if len(l) > maxName || len(c.labels) >= maxLabels {
				return decouple.Errorf(decouple.Invalid, "the header x-decouple-labels may make up to %d labels, with those of the key, of up to %d bytes", maxLabels, maxName)
			}
			c.labels = append(c.labels, l)
		}
	}
	if d := h.Get("X-Decouple-Deadline"); d != "" {
		span, err := time.ParseDuration(d)
		if err != nil || span <= 0 {
			return decouple.Errorf(decouple.Invalid, "the header x-decouple-deadline is a span such as 30s, not %q", d)
		}
		c.deadline = c.began.Add(min(span, c.patience.Call))
	}
	if p := h.Get("X-Decouple-Priority"); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil || n > c.who.Priority {
			return decouple.Errorf(decouple.Denied, "the header x-decouple-priority is a number up to %d, which is what the key may", c.who.Priority)
		}
		c.need.Priority = n
	}
	return nil
}

// optionHeaders ask for features of a format: an endpoint that speaks the same one is told.
var optionHeaders = []string{"Anthropic-Beta", "Openai-Beta"}

// blank is a call of somebody, of nothing yet.
func (g *Gateway) blank(who Caller) *call {
	c := &call{g: g, world: g.world.Load(), id: newID("dec"), who: who, labels: who.Labels, patience: g.cfg.Patience, began: time.Now()}
	c.answerID = strings.TrimPrefix(c.id, "dec_")
	c.deadline = c.began.Add(c.patience.Call)
	c.need.Priority = who.Priority
	return c
}

// choose finds the endpoints that may take the call.
func (c *call) choose() error {
	if c.asked == "" {
		return &decouple.Error{Kind: decouple.Invalid, Msg: "no model is named: give a model or an alias; GET /v1/models lists them", Err: &paramError{"model"}}
	}
	if err := c.allowed(); err != nil {
		return err
	}
	alias, err := c.world.catalog.Resolve(c.asked)
	if err != nil {
		return err
	}
	c.alias = alias
	if alias.Priority > c.need.Priority {
		c.need.Priority = alias.Priority
	}
	c.need.ID, c.need.Alias, c.need.Tenant, c.need.Key = c.id, alias, string(c.who.Tenant), c.who.Key
	c.need.TokensIn, c.need.MaxOut, c.need.Deadline = c.sketch.TokensIn, c.sketch.MaxOut, c.deadline
	c.need.Stream, c.need.Random = c.stream, dice()
	c.need.Sticky = c.sticky()
	if c.judge, err = c.g.policy(c.who.Tenant); err != nil {
		return err
	}
	if c.want, err = c.wanted(c.judge); err != nil {
		return err
	}
	c.prefer()
	members := c.world.catalog.Members(alias)
	c.cleared = make([]*endpoint, 0, len(members))
	for _, id := range members {
		ep := c.world.endpoints[id]
		if why := c.unfit(ep); why != "" {
			c.need.Refused = append(c.need.Refused, route.Candidate{Endpoint: id, Verdict: route.Denied, Why: why})
			continue
		}
		if c.clear(ep, atChoice) {
			c.need.Endpoints = append(c.need.Endpoints, id)
		}
	}
	if len(c.need.Endpoints) == 0 {
		if c.barred != nil {
			return c.turnedDown()
		}
		why := "there is no endpoint for it: `decouple endpoints ls` lists what there is"
		if len(c.need.Refused) > 0 {
			why = string(c.need.Refused[0].Endpoint) + ": " + c.need.Refused[0].Why
		}
		return decouple.Errorf(decouple.NotFound, "nothing can answer for the model %s: %s", c.asked, why)
	}
	return nil
}

// turnedDown keeps a call that contracts let nobody answer, so that it can be explained, and says why.
func (c *call) turnedDown() error {
	err := c.barred.error(c.asked)
	c.decisions = append(c.decisions, route.Decision{Candidates: c.need.Refused, Refused: decouple.Denied, Why: err.Error()})
	c.outcome, c.why, c.took = decouple.Denied, err.Error(), time.Since(c.began)
	c.g.keep(c)
	return err
}

// stopped is the end of a call that contracts let nobody answer any more.
func (c *call) stopped(last *failure, err error) error {
	switch {
	case err != nil:
		return err
	case c.barred != nil:
		return c.barred.error(c.asked)
	}
	return c.giveUp(last)
}

// allowed says whether the key may ask for this model and class.
func (c *call) allowed() error {
	if c.who.Models != nil && !slices.Contains(c.who.Models, c.asked) {
		return decouple.Errorf(decouple.Denied, "this key may not ask for the model %s: it may ask for %s", c.asked, strings.Join(c.who.Models, ", "))
	}
	if c.who.Classes == nil {
		return nil
	}
	if c.class == "" && len(c.who.Classes) > 0 {
		c.class = c.who.Classes[0]
	}
	if !slices.Contains(c.who.Classes, c.class) {
		return decouple.Errorf(decouple.Denied, "this key may not do work of the class %q: it may do %s", c.class, strings.Join(c.who.Classes, ", "))
	}
	return nil
}

// unfit says why an endpoint cannot take the call, or nothing.
func (c *call) unfit(ep *endpoint) string {
	s := c.sketch
	can := func(f catalog.Feature) bool { return len(ep.model.Can) == 0 || slices.Contains(ep.model.Can, f) }
	switch {
	case c.embeds && (ep.format != dialect.Chat || ep.Provider == providerBuiltin):
		return "its server gives no vectors by OpenAI's interface"
	case !c.embeds && ep.onlyVectors:
		return "it gives vectors, and no text"
	case s.Media && !can(catalog.Images) && !can(catalog.Documents):
		return "its model reads no images or documents"
	case s.Tools && !can(catalog.Tools):
		return "its model calls no tools"
	case ep.model.Context > 0 && s.TokensIn/2 > ep.model.Context: // the estimate is an upper one
		return "the conversation is longer than its model can read"
	}
	return ""
}

// request is the call in the form that every format can be translated to.
func (c *call) request() (*decouple.Request, error) {
	c.reading.Do(func() {
		if c.parsed != nil {
			return
		}
		req, err := c.server.Parse(c.in)
		c.parsed, c.unread = &req, err
	})
	return c.parsed, c.unread
}

// serve answers a caller at a door.
func (c *call) serve(ctx context.Context, out *caller) error {
	out.v.told = true
	if c.alias.Cache > 0 && c.g.drilled(c) == nil && c.fromCache(ctx, out) { // nobody waits for the answer of a canary
		return nil
	}
	defer c.made() // whatever becomes of this call, nobody waits for it in vain
	err := c.live(ctx, out)
	out.relax()
	c.made()
	began := c.winner.Load() != nil
	c.g.keep(c)
	switch {
	case began:
		return nil // what went wrong after the beginning was told in the stream
	case out.v.r.Context().Err() != nil:
		return errAnswered // nobody listens
	case err != nil:
		c.mark(out.v.w.Header(), nil)
	}
	return err
}

// live takes the call through its life: reserve, attempt until one endpoint has answered, settle. An error of a call at a door means that nothing was sent, unless there is a winner.
func (c *call) live(ctx context.Context, out outlet) error {
	err := c.reserve(ctx)
	if err == nil {
		err = c.pursue(ctx, out)
		if settled := c.settle(outcomeOf(err)); err == nil {
			err = settled
		}
	}
	if err != nil {
		c.outcome, c.why = decouple.KindOf(err), err.Error()
	}
	c.took = time.Since(c.began)
	c.tellWatcher()
	return err
}

// pursue asks one endpoint after the other until one has answered.
func (c *call) pursue(ctx context.Context, out outlet) error {
	var last *failure
	c.drill = c.g.drilled(c)
	for {
		d, err := c.take(ctx)
		if err != nil {
			return err
		}
		if d.Chosen == "" {
			if last != nil {
				return c.giveUp(last)
			}
			return c.full(d)
		}
		if ok, err := c.still(d.Chosen, atAttempt); !ok {
			c.g.giveBack(c, d.Chosen)
			if err != nil || len(c.need.Endpoints) == 0 {
				return c.stopped(last, err)
			}
			continue
		}
		a := c.attempt(d.Chosen, out)
		c.enrol(a)
		if a.n > 1 && c.alias.Strategy != catalog.Cascade && !c.g.retry(c) {
			c.g.end(a, &failure{what: route.Canceled})
			return c.giveUp(last)
		}
		advice, f := c.perform(ctx, a, d)
		if f == nil {
			return nil
		}
		last = f
		if ctx.Err() != nil {
			return f.err()
		}
		if c.winner.Load() != nil && c.restart == nil || !advice.Retry && !advice.Judge && f.what != unchecked && f.barred == nil {
			return c.giveUp(f)
		}
		c.need.Tried = append(c.need.Tried, a.ep.ID)
		c.need.Random = dice()
		if c.restart != nil && c.winner.Swap(nil) != nil {
			c.restart()
		}
	}
}

// take asks the router for an endpoint and takes a place there, and waits while nothing has room.
func (c *call) take(ctx context.Context) (route.Decision, error) {
	d := c.g.take(c, c.need)
	c.decisions = append(c.decisions, d)
	if d.Chosen != "" || d.Wait.IsZero() {
		return d, nil
	}
	if wait := time.Until(d.Wait); wait > c.g.cfg.MaxWait {
		d.Why = "no endpoint has room before " + wait.Round(time.Second).String() + " have passed"
		d.Refused, d.RetryAfter = decouple.RateLimited, wait // an honest no now is better than the same no later
		return d, nil
	}
	var err error
	if c.drill != nil {
		d, err = c.turn(ctx, d)
	} else {
		d, err = c.g.queue.wait(ctx, c, d)
	}
	c.decisions = append(c.decisions, d)
	return d, err
}

// full is the answer when nothing can take the call in time.
func (c *call) full(d route.Decision) error {
	kind := d.Refused
	if kind == "" {
		kind = decouple.RateLimited
	}
	return &decouple.Error{Kind: kind, Msg: "the model " + c.asked + " cannot be asked: " + d.Why, Err: &asked{after: max(d.RetryAfter, time.Second)}}
}

// giveUp is the error of the whole call.
func (c *call) giveUp(f *failure) error {
	if n := len(c.list()); n > 1 {
		f.said += " (asked " + strconv.Itoa(n) + " times)"
	}
	return f.err()
}

// perform asks the endpoint of a decision, and a second one beside it when the first is slow to begin and the decision hedges.
func (c *call) perform(ctx context.Context, a *attempt, d route.Decision) (route.Advice, *failure) {
	if d.Patience > 0 && d.Patience < a.patience {
		a.patience = d.Patience
	}
	if d.Hedge != "" && a.n == 1 {
		return c.hedged(ctx, a, d)
	}
	return c.ask(ctx, a)
}

// ask asks one endpoint, passes its answer on, and tells the router and the ledger.
func (c *call) ask(ctx context.Context, a *attempt) (route.Advice, *failure) {
	err := c.enlist(ctx, a)
	if err != nil {
		f := &failure{kind: decouple.KindOf(err), what: route.Canceled, said: err.Error()}
		a.end(f)
		return c.g.end(a, f), f
	}
	f := c.through(ctx, a)
	a.end(f)
	advice := c.g.end(a, f)
	if f != nil && c.winner.Load() == a && c.restart == nil {
		a.relay.fail(c.g.faultOf(f.err()))
	}
	return advice, f
}

// through takes an attempt to its end. A fault of this program that an answer brings out is the failure of that attempt alone: other calls, and this one, go on.
func (c *call) through(ctx context.Context, a *attempt) (f *failure) {
	defer func() {
		if p := recover(); p != nil {
			c.g.log.Error("a fault of the gateway: please report it", "endpoint", a.ep.ID, "decision", c.id, "fault", p, "stack", string(debug.Stack()))
			f = &failure{kind: decouple.Unavailable, what: route.Refused, said: "the gateway could not pass on the answer of " + a.ep.host() + "; its log says why under " + c.id}
		}
	}()
	f = a.run(ctx)
	for f != nil && a.fallBack(f) {
		f = a.run(ctx)
	}
	if f == nil {
		f = c.conclude(ctx, a)
	}
	return f
}

// unchecked is an answer of a cascade that did not pass the check. It says nothing of the endpoint.
const unchecked route.Kind = "unchecked"

// conclude settles a whole answer and passes its last piece on.
func (c *call) conclude(ctx context.Context, a *attempt) *failure {
	t := a.relay.tally()
	if !t.moved {
		return &failure{kind: decouple.Unavailable, what: route.Empty, said: "the server at " + a.ep.host() + " gave an empty answer"}
	}
	if c.alias.Strategy == catalog.Cascade && len(c.need.Tried)+1 < c.choices() {
		if why := c.check(t); why != "" {
			return &failure{kind: decouple.Unavailable, what: unchecked, said: "the answer of " + string(a.ep.ID) + " did not pass the check: " + why}
		}
	}
	if !c.win(a) {
		return &failure{kind: decouple.Canceled, what: route.Canceled, said: errBeaten.Error()}
	}
	c.others(a)
	c.answer = t.answer
	err := c.store(ctx, a.relay.last())
	if err == nil {
		err = c.settle(ledger.OK)
	}
	if err == nil {
		err = a.relay.finish()
	}
	if err != nil && !errors.Is(err, errGone) {
		return &failure{kind: decouple.KindOf(err), what: route.OK, said: err.Error()}
	}
	return nil
}

// choices is how many endpoints the call may be sent to.
func (c *call) choices() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.need.Endpoints)
}

// others hangs up on the other attempts that are under way, and waits until they have let go.
func (c *call) others(a *attempt) {
	for _, b := range c.list() {
		if b != a && b.done != nil {
			b.cancel(errBeaten)
			<-b.done
		}
	}
}

// list is the attempts so far.
func (c *call) list() []*attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attempts
}

// attempt makes one ready.
func (c *call) attempt(id catalog.EndpointID, out outlet) *attempt {
	ep := c.world.endpoints[id]
	a := &attempt{c: c, ep: ep, out: out, pass: c.pass(ep), patience: c.patience.FirstToken}
	had := ep.learned.Load()
	a.holdAll = c.alias.Strategy == catalog.Cascade
	a.stream = c.stream || c.tell != nil
	a.options = dialect.Options{Stream: a.stream, Model: ep.Name, NoUsage: had.noUsage, NewLimit: had.newLimit, MaxOut: ep.model.MaxOut, Asked: c.door}
	switch {
	case c.embeds:
		a.relay = &vectors{a: a, out: out}
	case c.door != "" && ep.format == c.door && ep.Provider != providerBuiltin && !a.holdAll && !c.array:
		a.relay = &passage{a: a, out: out, look: dialect.NewPassage(ep.format), stream: a.stream}
	default:
		x := &translation{a: a, out: out, stream: c.stream && c.door != "", tell: c.tell}
		if c.server != nil {
			x.write = c.server.Writer(a.head())
		}
		a.relay = x
	}
	return a
}

// enrol counts an attempt among those of the call; false is that the call has been settled.
func (c *call) enrol(a *attempt) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settled {
		return false
	}
	a.n = len(c.attempts) + 1
	c.attempts = append(c.attempts, a)
	return true
}

// win says whether an attempt may answer the caller: the first that asks, and no other.
func (c *call) win(a *attempt) bool {
	return c.winner.CompareAndSwap(nil, a) || c.winner.Load() == a
}

// mark puts what people look for into the headers of an answer.
func (c *call) mark(h http.Header, a *attempt) {
	h["X-Decouple-Decision"] = []string{c.id}
	if c.g.cfg.Node != "" {
		h["X-Decouple-Node"] = []string{string(c.g.cfg.Node)}
	}
	if a != nil {
		h["X-Decouple-Endpoint"] = []string{string(a.ep.ID)}
		h["X-Decouple-Attempts"] = []string{strconv.Itoa(a.n)}
	}
	if c.status != "" {
		h["X-Decouple-Cache"] = []string{c.status}
	}
}

// named says in the headers of the n-th attempt which call it belongs to and which trace: the name is what an endpoint's support and its invoice may know the attempt by.
func (c *call) named(header []transport.Field, n int) []transport.Field {
	parent := c.parent
	if c.g.cfg.Trace != nil {
		parent = c.g.cfg.Trace.Traceparent(c.id, parent, n)
	}
	out := make([]transport.Field, len(header), len(header)+2)
	copy(out, header)
	out = append(out, transport.Field{Name: "X-Client-Request-Id", Value: c.id + "/" + strconv.Itoa(n)})
	if parent == "" {
		return out
	}
	return append(out, transport.Field{Name: "Traceparent", Value: parent})
}

// sticky ties calls together that share the beginning of their prompt, so that they find it in the same endpoint's cache.
func (c *call) sticky() string {
	if c.sketch.User != "" { // hashed: it may be as long as the request, and is remembered
		return c.who.Key + "/" + strconv.FormatUint(maphash.String(c.g.seed, c.sketch.User), 36)
	}
	const prefix = 1 << 10
	if len(c.in.Body) < prefix {
		return ""
	}
	return c.who.Key + "/" + strconv.FormatUint(maphash.Bytes(c.g.seed, c.in.Body[:prefix]), 36)
}
