package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Model answers: the gateway, behind one door.
type Model interface {
	Answer(ctx context.Context, req decouple.Request) (decouple.Answer, error)
	Price(model string) decouple.Price
}

// Config is what an engine needs. Store, Model and Agents are required.
type Config struct {
	Store   journal.Store
	Model   Model
	Tools   []decouple.Tool
	Agents  []decouple.Agent
	Workers int            // runs at work at once, default 64
	Watch   func(Signal)   // told what goes on; must not block
	Actor   decouple.Actor // who starts and resumes runs; default the person "local"
	// MaxResult is how many bytes a tool's result may have, default 64 MiB; a longer one is an error that the model is told.
	MaxResult int64
	Log       *slog.Logger  // of what goes wrong with single runs while serving; default none
	Contracts Contracts     // say where work may be done; nil are none
	HoldFor   time.Duration // how long people have to sign off what contracts hold; default without end
}

// Engine drives runs.
type Engine struct {
	Config
	tools  map[string]decouple.Tool
	agents map[decouple.AgentName]decouple.Agent

	mu      sync.Mutex
	jobs    map[decouple.RunID]*job
	urgent  map[decouple.RunID]bool // have an urgent message, and no job yet that could be told
	states  stateCache
	known   map[agentVersion]bool // are in the journal
	puts    map[agentVersion]deployed
	recall  context.CancelCauseFunc   // interrupts this node while it waits for work
	yielded time.Time                 // when this node last let others go first
	turned  map[decouple.RunID]turned // runs that this node has put down, because contracts do not let it work on them
}

// agentVersion names a version of an agent in a tenant's journal.
type agentVersion struct {
	tenant  decouple.TenantID
	name    decouple.AgentName
	version decouple.VersionHash
}

// New checks a configuration.
func New(cfg Config) (*Engine, error) {
	if cfg.Store == nil || cfg.Model == nil || len(cfg.Agents) == 0 {
		return nil, decouple.Errorf(decouple.Invalid, "an engine needs a journal, a model and agents")
	}
	if cfg.Workers <= 0 {
		cfg.Workers = 64
	}
	if cfg.MaxResult <= 0 {
		cfg.MaxResult = 64 << 20
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Watch == nil {
		cfg.Watch = func(Signal) {}
	}
	if cfg.Actor.Kind == "" {
		cfg.Actor = decouple.Actor{Kind: decouple.ActorPerson, ID: "local"}
	}
	e := &Engine{
		Config: cfg, tools: map[string]decouple.Tool{}, agents: map[decouple.AgentName]decouple.Agent{},
		jobs: map[decouple.RunID]*job{}, urgent: map[decouple.RunID]bool{}, known: map[agentVersion]bool{}, puts: map[agentVersion]deployed{}, turned: map[decouple.RunID]turned{},
	}
	for _, t := range cfg.Tools {
		spec := t.Spec()
		switch spec.Effect {
		case decouple.EffectNone, decouple.EffectIdempotent, decouple.EffectKeyed, decouple.EffectOnce:
		default:
			return nil, decouple.Errorf(decouple.Invalid, "the tool %s must say its effect: none, idempotent, keyed or once, not %q", spec.Name, spec.Effect)
		}
		e.tools[spec.Name] = t
	}
	for _, a := range cfg.Agents {
		e.agents[a.Name] = a
	}
	for _, a := range cfg.Agents {
		if err := e.complete(a); err != nil {
			return nil, err
		}
	}
	e.Store.Urgent(e.poke)
	return e, nil
}

// complete says whether everything that an agent names is here.
func (e *Engine) complete(a decouple.Agent) error {
	for _, name := range a.Tools {
		if _, own := ownSpecs[name]; !own && e.tools[name] == nil {
			return decouple.Errorf(decouple.Invalid, "agent %s wants the tool %s, which is not here", a.Name, name)
		}
	}
	others := a.Agents
	if a.Writer != "" {
		others = append(slices.Clone(others), a.Writer)
	}
	for _, name := range others {
		if _, ok := e.agents[name]; !ok {
			return decouple.Errorf(decouple.Invalid, "agent %s may spawn the agent %s, which is not here", a.Name, name)
		}
	}
	return nil
}

// Start is what a root run begins with. Agent and Task are required.
type Start struct {
	Tenant   decouple.TenantID // default the local one
	Agent    decouple.AgentName
	Task     decouple.Task
	Sources  decouple.Sources
	Envelope decouple.Envelope // set fields go before those of the agent
	Labels   []string
	Site     decouple.Site
	Priority int
	Team     string         // of the caller's key
	Caller   string         // that key's id
	Freeze   bool           // Sources without a position are read as they are now, whatever is captured later
	Key      string         // idempotency: the same start with it again gives the first run, and any other request is Conflict
	By       decouple.Actor // default that of the engine
}

// Start makes a root run, ready to be driven, and says its id.
func (e *Engine) Start(ctx context.Context, st Start) (decouple.RunID, error) {
	st.Tenant = cmp.Or(st.Tenant, decouple.LocalTenant)
	if st.Sources.AsOf < 0 {
		return "", decouple.Errorf(decouple.Invalid, "sources.as_of is %d: give a position of the journal, or leave it out", st.Sources.AsOf)
	}
	req, err := newRequest(st.Key, "start", struct {
		Agent    decouple.AgentName
		Task     decouple.Task
		Sources  decouple.Sources  `json:",omitzero"`
		Envelope decouple.Envelope `json:",omitzero"`
		Labels   []string          `json:",omitempty"`
		Site     decouple.Site     `json:",omitzero"`
		Priority int               `json:",omitempty"`
	}{st.Agent, st.Task, st.Sources, st.Envelope, st.Labels, st.Site, st.Priority})
	if err != nil {
		return "", err
	}
	if was, ok, err := e.answered(ctx, st.Tenant, req); ok || err != nil {
		return was.Run, err
	}
	a, err := e.lookup(ctx, st.Tenant, st.Agent)
	if err != nil {
		return "", err
	}
	if st.Freeze && st.Sources.AsOf == 0 {
		if st.Sources.AsOf, err = e.Store.Head(ctx); err != nil {
			return "", err
		}
	}
	task, err := json.Marshal(st.Task)
	if err != nil {
		return "", err
	}
	p := created{Label: st.Task.Question, Task: task, Envelope: over(a.Envelope, st.Envelope), By: st.By}
	p.Run = decouple.Run{Tenant: st.Tenant, Labels: st.Labels, Team: st.Team, Caller: st.Caller, Site: st.Site, Priority: st.Priority, IdempotencyKey: st.Key, Sources: st.Sources}
	if p.Envelope.Time > 0 {
		p.Run.Deadline = time.Now().Add(p.Envelope.Time).UTC().Truncate(time.Microsecond)
	}
	return e.begin(ctx, p, a, req)
}

// begin makes a root run of an agent, under the key of a request if there is one.
func (e *Engine) begin(ctx context.Context, p created, a decouple.Agent, req *request) (decouple.RunID, error) {
	m, s, err := e.root(ctx, p, a)
	if err != nil {
		return "", err
	}
	id := s.Run.ID
	if req != nil {
		req.Run = id
	}
	if err := req.keep(&m, s.Run.Tenant, s.By); err != nil {
		return "", err
	}
	e.warm(s)
	_, err = e.Store.Commit(ctx, m)
	if err != nil {
		e.chill(id)
	}
	if decouple.KindOf(err) == decouple.Conflict && req != nil {
		return e.begun(ctx, s, req, err)
	}
	return id, err
}

// begun finds the run that a key has begun already, here or on another node. Before requests were kept, the run alone had the key.
func (e *Engine) begun(ctx context.Context, s *State, req *request, conflict error) (decouple.RunID, error) {
	if was, ok, err := e.answered(ctx, s.Run.Tenant, req); ok || err != nil {
		return was.Run, err
	}
	rows, err := e.Store.Runs(ctx, journal.RunFilter{Tenant: s.Run.Tenant, Key: req.Key})
	switch {
	case err != nil || len(rows) != 1:
		return "", cmp.Or(err, conflict)
	case rows[0].Agent != s.Run.Agent || rows[0].Label != s.Label:
		return "", anotherRequest(req.Key, "start", rows[0].ID)
	}
	return rows[0].ID, nil
}

// root is the mutation that makes a root run, and the state that follows from it.
func (e *Engine) root(ctx context.Context, p created, a decouple.Agent) (journal.Mutation, *State, error) {
	if p.Run.Sources.Tenant = ""; p.Run.Tenant != decouple.LocalTenant {
		p.Run.Sources.Tenant = p.Run.Tenant // whatever the caller says: nobody reads the notes of another tenant
	}
	p.Price = e.Model.Price(a.Model)
	if p.Envelope.USD > 0 && !p.Price.Known {
		return journal.Mutation{}, nil, decouple.Errorf(decouple.Invalid, "a limit of %s USD cannot be kept: the price of the model is not known; say it with --price-in and --price-out, or limit tokens with --tokens", p.Envelope.USD)
	}
	if p.By.Kind == "" {
		p.By = e.Actor
	}
	id := decouple.RunID("r" + strings.ToLower(rand.Text()[:10]))
	p.Run.ID, p.Run.Root, p.Run.Trace = id, id, newTrace()
	p.Run.Agent, p.Run.Version, p.Run.Class = a.Name, a.Version, cmp.Or(a.Class, p.Run.Class)
	if err := e.keepVersion(ctx, p.Run.Tenant, a); err != nil {
		return journal.Mutation{}, nil, err
	}
	n, s, pins, err := e.newRun(ctx, p, a, p.By, "")
	return journal.Mutation{
		ID: decouple.CommitID("start/" + string(id)), Stream: decouple.RunStream(p.Run.Tenant, id), Create: []journal.NewRun{n}, Pin: pins,
	}, s, err
}

func newTrace() decouple.TraceID {
	var b [16]byte
	rand.Read(b[:])
	return decouple.TraceID(hex.EncodeToString(b[:]))
}

// over takes b's fields where they are set, else a's.
func over(a, b decouple.Envelope) decouple.Envelope {
	set := func(v, o int64) int64 {
		if o != 0 {
			return o
		}
		return v
	}
	return decouple.Envelope{
		USD: decouple.Money(set(int64(a.USD), int64(b.USD))), Tokens: set(a.Tokens, b.Tokens), ToolCalls: set(a.ToolCalls, b.ToolCalls),
		Agents: set(a.Agents, b.Agents), Depth: int(set(int64(a.Depth), int64(b.Depth))), Children: int(set(int64(a.Children), int64(b.Children))),
		Steps: int(set(int64(a.Steps), int64(b.Steps))), Time: time.Duration(set(int64(a.Time), int64(b.Time))), StepTime: time.Duration(set(int64(a.StepTime), int64(b.StepTime))),
		WriteUp: int(set(int64(a.WriteUp), int64(b.WriteUp))),
	}
}

// maxLabel bounds what lists show of a task, in bytes.
const maxLabel = 8 << 10

// newRun makes a run's first event, with the reservation for its first model call, and the state that follows from it.
func (e *Engine) newRun(ctx context.Context, p created, a decouple.Agent, by decouple.Actor, cause decouple.EventID) (journal.NewRun, *State, []decouple.BlobID, error) {
	s := &State{Agent: a}
	if len(p.Label) > maxLabel { // the task is kept whole; this is for lists
		p.Label = strings.ToValidUTF8(p.Label[:maxLabel], "") + "..."
	}
	p.apply(s)
	if p.From != nil {
		o, err := loadUpTo(ctx, e.Store, p.Run.Tenant, *p.From)
		if err != nil {
			return journal.NewRun{}, nil, nil, err
		}
		s.inherit(o)
	}
	p.Reserve = s.ahead(0)
	s.reserve(p.Reserve)
	ev, pin, err := e.encode(ctx, p, p.Run, by, cause)
	return journal.NewRun{Run: p.Run, Label: p.Label, Events: []journal.NewEvent{ev}}, s, pin, err
}

// warm keeps the state of a run that is about to be created, so that its first worker need not read it.
func (e *Engine) warm(s *State) {
	s.Seq, s.Now = 1, time.Now()
	s.Created = s.Now
	e.mu.Lock()
	e.states.put(s)
	e.mu.Unlock()
}

// chill forgets the state of a run that was not created after all.
func (e *Engine) chill(id decouple.RunID) {
	e.mu.Lock()
	e.states.take(id, 0)
	e.mu.Unlock()
}

// encode makes an event of a payload; one that is too long goes into a blob, and the event says where.
func (e *Engine) encode(ctx context.Context, p payload, run decouple.Run, by decouple.Actor, cause decouple.EventID) (journal.NewEvent, []decouple.BlobID, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return journal.NewEvent{}, nil, err
	}
	b, pins, err := e.shrink(ctx, run, b)
	return journal.NewEvent{
		Kind: p.kind(), KindVersion: kindVersion, Actor: by, Causation: cause, RootRun: run.Root, Trace: run.Trace, Subject: run.Subject, Payload: b,
	}, pins, err
}

// elsewhere stands in an event or a message for a body that is kept as a blob.
type elsewhere struct {
	Blob decouple.BlobID `json:"in_blob"`
}

func (e *Engine) shrink(ctx context.Context, run decouple.Run, b []byte) ([]byte, []decouple.BlobID, error) {
	if len(b) <= journal.MaxPayload {
		return b, nil, nil
	}
	blob, err := e.Store.PutBlob(ctx, run.Tenant, run.Subject, strings.NewReader(string(b)))
	if err != nil {
		return nil, nil, err
	}
	b, err = json.Marshal(elsewhere{blob.ID})
	return b, []decouple.BlobID{blob.ID}, err
}

// Drive works on the tree of root until all its runs have ended, and gives the root's final state; an empty root is all runs of the tenant, and no state. When ctx ends, what is under way is parked as
// interrupted and the error is Canceled; Resume and Drive go on from there.
func (e *Engine) Drive(ctx context.Context, tenant decouple.TenantID, root decouple.RunID) (State, error) {
	d := &drive{Engine: e, tenant: tenant, root: root, ended: make(chan error, 1), idle: make(chan struct{}, 1)}
	done, err := d.over(ctx)
	if !done && err == nil {
		err = d.run(ctx)
	}
	if err == nil && ctx.Err() != nil {
		err = decouple.Errorf(decouple.Canceled, "interrupted: %w", context.Cause(ctx))
	}
	return d.final(ctx, err)
}

// run claims and works until the drive is over.
func (d *drive) run(ctx context.Context) error {
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	claims := make(chan journal.Claim)
	var claiming, work sync.WaitGroup
	claiming.Go(func() {
		defer close(claims)
		for {
			until, done := d.yieldAt(inner)
			c, err := d.Store.Claim(until, journal.Want{Tenant: d.tenant, Root: d.root})
			stepBack := context.Cause(until)
			done()
			switch {
			case err == nil:
				claims <- c
			case inner.Err() == nil && errors.Is(stepBack, errRecalled):
			case inner.Err() == nil && stepBack != nil:
				pause(inner, yieldFor)
			case inner.Err() != nil || !d.node:
				d.fail(err)
				return
			case !d.rest(inner, err):
				return
			}
		}
	})
	err := d.dispatch(inner, claims, &work)
	stop(nil)
	for c := range claims { // claimed and not begun: parked or handed over like what is under way
		err = errors.Join(err, d.work(inner, c))
	}
	work.Wait()
	claiming.Wait()
	return err
}

// final reads the root's state, whatever became of the drive.
func (d *drive) final(ctx context.Context, err error) (State, error) {
	if d.root == "" {
		return State{}, err
	}
	s, lerr := Load(context.WithoutCancel(ctx), d.Store, d.tenant, d.root)
	if err == nil {
		err = lerr
	}
	return s, err
}

// drive is one call of Drive.
type drive struct {
	*Engine
	node   bool // of a fleet: it has no end of its own, one run's failure is nobody else's, and what it leaves others take up
	tenant decouple.TenantID
	root   decouple.RunID
	ended  chan error
	idle   chan struct{}
	mu     sync.Mutex
	active int
}

// dispatch hands claims to workers until the tree has ended, ctx ends, or a worker fails.
func (d *drive) dispatch(ctx context.Context, claims <-chan journal.Claim, work *sync.WaitGroup) error {
	const patience = 250 * time.Millisecond // a run that was just made ready is claimed in far less
	hands := make(chan journal.Claim)       // to workers that have nothing to do
	defer close(hands)
	workers := 0
	stalled := time.After(patience)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-d.ended:
			return err
		case <-d.idle:
			if d.node {
				continue
			}
			if done, err := d.over(ctx); done || err != nil {
				return err
			}
			stalled = time.After(patience)
		case <-stalled:
			if d.node {
				continue
			}
			if done, err := d.over(ctx); done || err != nil { // another node may have done the rest
				return err
			}
			if err := d.stall(ctx); err != nil {
				return err
			}
			stalled = time.After(patience)
		case c, ok := <-claims:
			if !ok {
				claims = nil
				continue
			}
			d.mu.Lock()
			d.active++
			d.mu.Unlock()
			stalled = nil
			switch {
			case offer(hands, c):
			case workers < d.Workers:
				workers++
				work.Go(func() { d.serve(ctx, c, hands) })
			default:
				hands <- c
			}
		}
	}
}

// offer hands a claim to a worker that waits for one.
func offer(hands chan<- journal.Claim, c journal.Claim) bool {
	select {
	case hands <- c:
		return true
	default:
		return false
	}
}

// serve works on one claim after the other. Workers stay, because a fresh goroutine would grow its stack anew for each run.
func (d *drive) serve(ctx context.Context, c journal.Claim, hands <-chan journal.Claim) {
	for ok := true; ok; c, ok = <-hands {
		d.left(d.tolerate(ctx, c, d.work(ctx, c)))
	}
}

// left counts a worker out; the last one has it looked whether anything is left to do.
func (d *drive) left(err error) {
	d.mu.Lock()
	d.active--
	idle := d.active == 0
	d.mu.Unlock()
	if err != nil {
		d.fail(err)
	}
	if idle {
		select {
		case d.idle <- struct{}{}:
		default:
		}
	}
}

// fail ends the drive; the first error is the one that is told.
func (d *drive) fail(err error) {
	select {
	case d.ended <- err:
	default:
	}
}

// unended are the statuses of runs that have not ended.
var unended = []decouple.RunStatus{decouple.RunReady, decouple.RunRunning, decouple.RunParked}

// over says whether every run has ended.
func (d *drive) over(ctx context.Context) (bool, error) {
	rows, err := d.Store.Runs(ctx, journal.RunFilter{Tenant: d.tenant, Root: d.root, Status: unended, Limit: 1})
	return err == nil && len(rows) == 0, err
}

// stall is called when nobody has worked for a while: if nothing is ready and nothing waits for a time, nothing will ever wake the rest, and that is said.
func (d *drive) stall(ctx context.Context) error {
	rows, err := d.Store.Runs(ctx, journal.RunFilter{Tenant: d.tenant, Root: d.root, Status: unended})
	if err != nil {
		return err
	}
	var stuck []string
	held := false
	for _, r := range rows {
		if r.Status != decouple.RunParked || r.Wait.Kind == decouple.WaitTimer {
			return nil
		}
		held = held || r.Wait.Kind == decouple.WaitContract
		stuck = append(stuck, string(r.ID)+" waits for "+string(r.Wait.Kind)+" "+r.Wait.For)
	}
	if held {
		return decouple.Errorf(decouple.Denied, "contracts hold run %s: %s; `decouple approvals ls` lists what is to be signed off, and `decouple runs resume %s` goes on", d.root, strings.Join(stuck, "; "), d.root)
	}
	return decouple.Errorf(decouple.Internal, "nothing will wake what is left of run %s: %s", d.root, strings.Join(stuck, "; "))
}

// Resume makes what an ended process left of a tree ready again, and says how many runs.
func (e *Engine) Resume(ctx context.Context, tenant decouple.TenantID, root decouple.RunID) (int, error) {
	return e.Store.Reclaim(ctx, tenant, root)
}

// Cancel ends a run and everything under it. Runs at work stop at once; the others when a worker takes them up. It says how many were told.
func (e *Engine) Cancel(ctx context.Context, tenant decouple.TenantID, id decouple.RunID, c Cancellation) (int, error) {
	rows, err := e.Store.Runs(ctx, journal.RunFilter{Tenant: tenant, Root: id.Root()})
	if err != nil {
		return 0, err
	}
	m := journal.Mutation{ID: decouple.CommitID("cancel/" + string(id) + "/" + rand.Text()[:8]), Stream: decouple.RunStream(tenant, id)}
	if m.Put, err = cancels(rows, id, c); err != nil {
		return 0, err
	}
	switch {
	case !slices.ContainsFunc(rows, func(r journal.RunRow) bool { return r.ID == id }):
		return 0, decouple.Errorf(decouple.NotFound, "there is no run %s", id)
	case len(m.Put) == 0:
		return 0, decouple.Errorf(decouple.Conflict, "run %s has ended already", id)
	}
	if _, err := e.Store.Commit(ctx, m); err != nil {
		return 0, err
	}
	return len(m.Put), nil
}

// cancels are the messages that end a run and everything under it, of the rows of its tree.
func cancels(rows []journal.RunRow, id decouple.RunID, c Cancellation) ([]journal.Put, error) {
	body, err := json.Marshal(canceled(c))
	if err != nil {
		return nil, err
	}
	var out []journal.Put
	for _, r := range rows {
		if r.Status != decouple.RunEnded && (r.ID == id || strings.HasPrefix(string(r.ID), string(id)+".")) {
			out = append(out, journal.Put{To: r.ID, Kind: messageCancel, From: c.By, Body: body, Urgent: true})
		}
	}
	return out, nil
}

// poke interrupts a job that an urgent message is for. A run that was claimed before its message came, and is not at work yet, is told when it begins.
func (e *Engine) poke(id decouple.RunID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if j := e.jobs[id]; j != nil {
		j.stop(errPoked)
	} else {
		e.urgent[id] = true
	}
}

// Cancellation says who cancels and why.
type Cancellation struct {
	By  string `json:"by"`
	Why string `json:"why,omitempty"`
}

// errPoked interrupts what a job is doing because its inbox has something urgent.
var errPoked = errors.New("there is an urgent message")

// The kinds of message in a run's inbox.
const (
	messageJoined = "joined"
	messageCancel = "cancel"

	messageDecision = "decision"
	messageResolve  = "resolve"
	messageSignal   = "signal"
	messageInput    = "input"
)
