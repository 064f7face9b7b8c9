package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Fork begins a new run from a step of another one.
type Fork struct {
	Tenant   decouple.TenantID
	Run      decouple.RunID
	Step     int               // the answers of the model up to this one, and their results, are kept
	Effects  bool              // calls with effects after it are made again; without it they are refused
	Envelope decouple.Envelope // set fields go before those of the run
	Team     string            // of the caller's key, and Caller is that key's id: without one both are those of the run
	Caller   string
	Key      string // idempotency
	By       decouple.Actor
}

// Fork makes a root run that goes on from a step of another run, ready to be driven.
func (e *Engine) Fork(ctx context.Context, f Fork) (decouple.RunID, error) {
	f.Tenant = cmp.Or(f.Tenant, decouple.LocalTenant)
	req, err := newRequest(f.Key, "fork", struct {
		Run      decouple.RunID
		Step     int
		Effects  bool              `json:",omitempty"`
		Envelope decouple.Envelope `json:",omitzero"`
	}{f.Run, f.Step, f.Effects, f.Envelope})
	if err != nil {
		return "", err
	}
	if was, ok, err := e.answered(ctx, f.Tenant, req); ok || err != nil {
		return was.Run, err
	}
	o, err := Load(ctx, e.Store, f.Tenant, f.Run)
	switch {
	case err != nil:
		return "", err
	case o.Session != "":
		return "", decouple.Errorf(decouple.Invalid, "run %s is a session: fork one of its turns", f.Run)
	case f.Step < 1 || f.Step > o.Steps:
		return "", decouple.Errorf(decouple.Invalid, "run %s has steps 1 to %d, and a fork from step %d was asked for", f.Run, o.Steps, f.Step)
	}
	task, err := json.Marshal(o.Messages[0].Text())
	if err != nil {
		return "", err
	}
	p := created{
		Label: o.Label, Task: task, Envelope: over(o.Envelope, f.Envelope), By: f.By,
		From: &origin{Run: f.Run, Step: f.Step, Fork: true, Effects: f.Effects},
	}
	p.Run = decouple.Run{
		Tenant: f.Tenant, Class: o.Run.Class, Labels: o.Run.Labels, Team: o.Run.Team, Caller: o.Run.Caller, Site: o.Run.Site, Priority: o.Run.Priority, IdempotencyKey: f.Key, Subject: o.Run.Subject, Sources: o.Run.Sources,
	}
	if f.Caller != "" {
		p.Run.Team, p.Run.Caller = f.Team, f.Caller
	}
	if p.Envelope.Time > 0 {
		p.Run.Deadline = time.Now().Add(p.Envelope.Time).UTC().Truncate(time.Microsecond)
	}
	return e.begin(ctx, p, o.Agent, req)
}

// Delivery is a signal for a run: what its tool signal.wait waits for.
type Delivery struct {
	Tenant decouple.TenantID
	Run    decouple.RunID
	Name   string
	Body   json.RawMessage
	ID     string // idempotency: the same delivery with it again changes nothing; empty draws one
	By     decouple.Actor
}

// Deliver puts a signal in a run's inbox. Conflict says that the run has ended, or that the id was used for something else.
func (e *Engine) Deliver(ctx context.Context, d Delivery) error {
	if d.Name == "" {
		return decouple.Errorf(decouple.Invalid, "a signal needs a name")
	}
	d.Tenant = cmp.Or(d.Tenant, decouple.LocalTenant)
	if len(d.Body) > 0 {
		body, err := decouple.Canonical(d.Body)
		if err != nil {
			return decouple.Errorf(decouple.Invalid, "the body of the signal %s is not JSON", d.Name)
		}
		d.Body = body
	}
	req, err := newRequest(d.ID, "signal", struct {
		Run  decouple.RunID
		Name string
		Body json.RawMessage `json:",omitempty"`
	}{d.Run, d.Name, d.Body})
	if err != nil {
		return err
	}
	if _, ok, err := e.answered(ctx, d.Tenant, req); ok || err != nil {
		return err
	}
	d.ID = cmp.Or(d.ID, rand.Text())
	if req != nil {
		req.Run, req.ID = d.Run, d.ID
	}
	return send(ctx, e, letter[signaled]{
		tenant: d.Tenant, to: d.Run, kind: messageSignal, from: d.ID, by: d.By, body: signaled{ID: d.ID, Name: d.Name, Body: d.Body, By: d.By, At: stamp()},
	}, req)
}

// Decision is somebody's word on a call that waits for approval.
type Decision struct {
	Tenant  decouple.TenantID
	Run     decouple.RunID
	Call    decouple.CallID
	Approve bool
	Why     string
	Hash    string // of the question as it was seen; another one is Conflict. Empty is the question that there is
	By      decouple.Actor
}

// Decide tells a run a decision. Denied says that this actor may not decide, Conflict that nothing is to be decided.
func (e *Engine) Decide(ctx context.Context, d Decision) error {
	d.Tenant = cmp.Or(d.Tenant, decouple.LocalTenant)
	s, err := Load(ctx, e.Store, d.Tenant, d.Run)
	if err != nil {
		return err
	}
	c := s.record(d.Call)
	if c == nil || c.ask == nil || s.Ended() {
		return decouple.Errorf(decouple.NotFound, "call %s of run %s does not wait for approval", d.Call, d.Run)
	}
	if err := mayDecide(&s, c, d.By); err != nil {
		return err
	}
	switch {
	case d.Hash != "" && d.Hash != c.ask.Hash:
		return decouple.Errorf(decouple.Conflict, "what waits for approval as call %s of run %s is no longer what was seen: look at it again", d.Call, d.Run)
	case c.verdict != nil && c.verdict.Expired:
		return decouple.Errorf(decouple.Conflict, "the time to decide on call %s of run %s is over", d.Call, d.Run)
	case c.verdict != nil:
		return decouple.Errorf(decouple.Conflict, "call %s of run %s has been decided already, by %s", d.Call, d.Run, c.verdict.By.ID)
	case !c.ask.Expires.IsZero() && !time.Now().Before(c.ask.Expires):
		return decouple.Errorf(decouple.Conflict, "the time to decide on call %s of run %s was over at %s", d.Call, d.Run, c.ask.Expires.Format(time.RFC3339))
	case d.Approve && slices.Contains(c.approved, d.By.ID):
		return decouple.Errorf(decouple.Conflict, "%s has approved call %s of run %s already", d.By.ID, d.Call, d.Run)
	}
	from := fmt.Sprintf("%s/%s/%s/%t", d.Call, c.ask.Hash, d.By.ID, d.Approve)
	body := decided{Call: d.Call, Hash: c.ask.Hash, Approve: d.Approve, By: d.By, Why: d.Why, At: stamp()}
	return send(ctx, e, letter[decided]{tenant: d.Tenant, to: d.Run, kind: messageDecision, from: from, by: d.By, body: body}, nil)
}

// mayDecide refuses whoever may never approve, and whom no rule names.
func mayDecide(s *State, c *CallRecord, by decouple.Actor) error {
	if by.ID == "" || by.Kind != decouple.ActorPerson && by.Kind != decouple.ActorService {
		return decouple.Errorf(decouple.Denied, "only people and services may decide on approvals, not the %s %q", by.Kind, by.ID)
	}
	if len(c.clauses) > 0 && by.Kind != decouple.ActorPerson {
		return decouple.Errorf(decouple.Denied, "only a person signs off what contracts hold, and this is the key of %s %s", by.Kind, by.ID)
	}
	if err := s.apart(by); err != nil {
		return err
	}
	for _, r := range c.ask.Rules {
		if r.allows(by.ID) {
			return nil
		}
	}
	return decouple.Errorf(decouple.Denied, "%s is none of those who decide on this call: %s", by.ID, strings.Join(c.ask.who(), ", "))
}

// apart refuses whoever has started a run or told it what to do.
func (s *State) apart(by decouple.Actor) error {
	if by.ID == s.By.ID {
		return decouple.Errorf(decouple.Denied, "%s started the run and may not decide on its approvals: somebody else has to", by.ID)
	}
	if slices.Contains(s.led, by.ID) {
		return decouple.Errorf(decouple.Denied, "%s has told the run what to do, in its session, by a signal or by a schedule, and may not decide on its approvals: somebody else has to", by.ID)
	}
	return nil
}

// MaySign says whether somebody may sign off clauses for a run: not whoever has started it or told it what to do.
func (e *Engine) MaySign(ctx context.Context, tenant decouple.TenantID, run decouple.RunID, by decouple.Actor) error {
	s, err := Load(ctx, e.Store, cmp.Or(tenant, decouple.LocalTenant), run)
	if err != nil {
		return err
	}
	return s.apart(by)
}

// who lists those whom the rules name.
func (p asked) who() []string {
	var names []string
	for _, r := range p.Rules {
		names = append(names, r.By...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Resolution is somebody's word on what became of a call whose outcome is unknown.
type Resolution struct {
	Tenant decouple.TenantID
	Run    decouple.RunID
	Call   decouple.CallID
	Redo   bool   // it did not happen: make it again
	Text   string // else, its result
	Failed bool   // and the result is an error
	Why    string
	By     decouple.Actor
}

// Resolve tells a run what became of a call.
func (e *Engine) Resolve(ctx context.Context, r Resolution) error {
	r.Tenant = cmp.Or(r.Tenant, decouple.LocalTenant)
	s, err := Load(ctx, e.Store, r.Tenant, r.Run)
	if err != nil {
		return err
	}
	c := s.record(r.Call)
	switch {
	case c == nil || c.Doubted.IsZero() || s.Ended():
		return decouple.Errorf(decouple.NotFound, "the outcome of call %s of run %s is not in doubt", r.Call, r.Run)
	case r.By.ID == "" || r.By.Kind != decouple.ActorPerson && r.By.Kind != decouple.ActorService:
		return decouple.Errorf(decouple.Denied, "only people and services may say what became of a call, not the %s %q", r.By.Kind, r.By.ID)
	}
	from := fmt.Sprintf("%s/%d/%s", r.Call, c.Doubted.UnixMicro(), r.By.ID)
	body := resolved{Call: r.Call, Redo: r.Redo, Text: r.Text, Failed: r.Failed, By: r.By, Why: r.Why, At: stamp()}
	return send(ctx, e, letter[resolved]{tenant: r.Tenant, to: r.Run, kind: messageResolve, from: from, by: r.By, body: body}, nil)
}

// BusyPolicy says what becomes of input to a session while a turn is going on.
type BusyPolicy string

// The policies for input while a session is busy.
const (
	BusyQueue     BusyPolicy = "queue"     // it waits its turn
	BusyReject    BusyPolicy = "reject"    // Say answers Conflict
	BusyInterrupt BusyPolicy = "interrupt" // the turn is canceled and the input goes next
)

// NewSession is what a session begins with. Agent is required.
type NewSession struct {
	Tenant   decouple.TenantID
	Agent    decouple.AgentName
	Label    string
	Busy     BusyPolicy // default queue
	Envelope decouple.Envelope
	Labels   []string
	Team     string // of the caller's key
	Caller   string // that key's id
	Site     decouple.Site
	Key      string
	By       decouple.Actor
}

// OpenSession makes a session: a root run that waits for input, and answers each with a run of the agent that goes on with the conversation.
// It ends when it is canceled.
func (e *Engine) OpenSession(ctx context.Context, n NewSession) (decouple.RunID, error) {
	n.Tenant, n.Busy = cmp.Or(n.Tenant, decouple.LocalTenant), cmp.Or(n.Busy, BusyQueue)
	if n.Busy != BusyQueue && n.Busy != BusyReject && n.Busy != BusyInterrupt {
		return "", decouple.Errorf(decouple.Invalid, "a busy session can queue, reject or interrupt, not %q", n.Busy)
	}
	req, err := newRequest(n.Key, "open", struct {
		Agent    decouple.AgentName
		Label    string `json:",omitempty"`
		Busy     BusyPolicy
		Envelope decouple.Envelope `json:",omitzero"`
		Labels   []string          `json:",omitempty"`
		Site     decouple.Site     `json:",omitzero"`
	}{n.Agent, n.Label, n.Busy, n.Envelope, n.Labels, n.Site})
	if err != nil {
		return "", err
	}
	if was, ok, err := e.answered(ctx, n.Tenant, req); ok || err != nil {
		return was.Run, err
	}
	a, err := e.lookup(ctx, n.Tenant, n.Agent)
	if err != nil {
		return "", err
	}
	p := created{Label: cmp.Or(n.Label, "session with "+string(n.Agent)), Task: json.RawMessage(`""`), Envelope: over(a.Envelope, n.Envelope), By: n.By, Session: n.Busy}
	p.Run = decouple.Run{Tenant: n.Tenant, Labels: n.Labels, Team: n.Team, Caller: n.Caller, Site: n.Site, IdempotencyKey: n.Key}
	return e.begin(ctx, p, a, req)
}

// Input is what somebody says in a session.
type Input struct {
	Tenant  decouple.TenantID
	Session decouple.RunID
	Text    string
	ID      string // idempotency: the same input with it again changes nothing; empty draws one
	By      decouple.Actor
}

// Say puts input into a session and gives its id. Conflict says that the session has ended, or is busy and rejects, or that the id was used for something else.
func (e *Engine) Say(ctx context.Context, in Input) (string, error) {
	in.Tenant = cmp.Or(in.Tenant, decouple.LocalTenant)
	if strings.TrimSpace(in.Text) == "" {
		return "", decouple.Errorf(decouple.Invalid, "say something: the input is empty")
	}
	req, err := newRequest(in.ID, "say", struct {
		Session decouple.RunID
		Text    string
	}{in.Session, in.Text})
	if err != nil {
		return "", err
	}
	if was, ok, err := e.answered(ctx, in.Tenant, req); ok || err != nil {
		return was.ID, err
	}
	s, err := Load(ctx, e.Store, in.Tenant, in.Session)
	if err != nil {
		return "", err
	}
	open := s.openChildren()
	switch {
	case s.Session == "":
		return "", decouple.Errorf(decouple.Invalid, "run %s is not a session", in.Session)
	case s.Session == BusyReject && len(open)+len(s.inputs) > 0:
		return "", decouple.Errorf(decouple.Conflict, "session %s is busy with a turn and takes no input until it has ended", in.Session)
	}
	in.ID = cmp.Or(in.ID, strings.ToLower(rand.Text()))
	if req != nil {
		req.Run, req.ID = in.Session, in.ID
	}
	l := letter[input]{tenant: in.Tenant, to: in.Session, kind: messageInput, from: in.ID, by: in.By, body: input{ID: in.ID, Text: in.Text, By: in.By, At: stamp()}}
	if s.Session == BusyInterrupt && len(open) > 0 {
		rows, err := e.Store.Runs(ctx, journal.RunFilter{Tenant: in.Tenant, Root: in.Session})
		if err != nil {
			return "", err
		}
		for _, id := range open {
			stop, err := cancels(rows, id, Cancellation{By: cmp.Or(in.By.ID, "session"), Why: "interrupted by the next input"})
			if err != nil {
				return "", err
			}
			l.with = append(l.with, stop...)
		}
	}
	return in.ID, send(ctx, e, l, req)
}
