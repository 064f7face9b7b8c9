package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// job is a run while a worker has it.
type job struct {
	*Engine
	claim   journal.Claim
	s       *State
	riding  []result           // came back, applied to s, not yet committed
	facts   []payload          // likewise
	pins    []decouple.BlobID  // that riding results speak of
	said    []decouple.Message // the conversation as the model gets it
	consume journal.InboxSeq   // newest message that riding or s holds
	wakened bool               // the inbox is to be read
	noted   bool               // the journal says that the run is at work
	handing bool               // to be handed to another node when this one stops
	parent  context.Context
	ctx     context.Context // of what it is doing; stopped by an urgent message
	stop    context.CancelCauseFunc
}

// work takes a run as far as it goes now: to its end, or to where it waits. Its error is fatal for the drive.
func (d *drive) work(ctx context.Context, c journal.Claim) error {
	e := d.Engine
	j := &job{Engine: e, claim: c, consume: c.Consumed, parent: ctx, handing: d.node}
	j.ctx, j.stop = context.WithCancelCause(ctx)
	if c.Lost != nil {
		done := make(chan struct{})
		defer close(done)
		go j.watchLease(done)
	}
	e.mu.Lock()
	e.jobs[c.Run.ID] = j
	j.wakened = c.Inbox > c.Consumed || e.urgent[c.Run.ID]
	delete(e.urgent, c.Run.ID)
	j.s = e.states.take(c.Run.ID, c.Seq)
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		j.stop(nil)
		delete(e.jobs, c.Run.ID)
		if j.s != nil && !j.s.Ended() {
			e.states.put(j.s)
		}
		e.mu.Unlock()
	}()
	if j.s == nil {
		s, err := Load(context.WithoutCancel(ctx), e.Store, c.Run.Tenant, c.Run.ID)
		if err != nil {
			return err
		}
		j.s = &s
	}
	j.s.event = c.Event
	e.tell(j.s, SignalWorking, "")
	err := j.run(ctx)
	if err != nil {
		j.drop()
	}
	return err
}

// errLost says that the node's lease has ended: what the job was doing is somebody else's now.
var errLost = errors.New("the lease is lost")

// watchLease stops what a job is doing when the lease ends under which it claimed its run.
func (j *job) watchLease(done <-chan struct{}) {
	select {
	case <-done:
	case <-j.claim.Lost:
		j.mu.Lock()
		defer j.mu.Unlock()
		j.stop(errLost)
	}
}

// held refuses a call that leaves this process when the lease may have ended.
func (j *job) held() error {
	if j.Store.Holds(j.claim.Epoch) {
		return nil
	}
	return errLost
}

// drop forgets the state: what was folded may not have been committed.
func (j *job) drop() { j.s = nil }

// run performs effects until the run ends or waits.
func (j *job) run(ctx context.Context) error {
	if j.claim.Left {
		if err := j.settleLost(); err != nil {
			return err
		}
	}
	for {
		if !j.Store.Holds(j.claim.Epoch) {
			return errLost
		}
		if ctx.Err() != nil {
			return j.interrupt()
		}
		if j.ctx.Err() != nil {
			j.poked()
		}
		if j.wakened {
			if err := j.readInbox(); err != nil {
				return err
			}
		}
		if now := time.Now(); now.After(j.s.Now) {
			j.s.Now = now
		}
		eff := Next(j.s)
		if eff == nil {
			return nil
		}
		if why := j.misplaced(eff); why != "" {
			return j.aside(why)
		}
		done, err := j.perform(eff)
		if errors.Is(err, errAgain) {
			err = nil
		}
		if done || err != nil {
			return err
		}
	}
}

// perform does what Next says, and says whether the worker is done with the run.
func (j *job) perform(eff Effect) (bool, error) {
	switch eff := eff.(type) {
	case CallModel:
		return j.callModel(eff)
	case CallTools:
		return false, j.callTools(eff)
	case Refuse:
		j.ride(eff.results)
	case Ask:
		j.ask(eff.Calls)
		if _, tools := Next(j.s).(CallTools); tools { // what is asked is to be seen while they are at work
			return j.commit(nil, nil)
		}
	case Expire:
		for _, c := range eff.Calls {
			j.note(decided{Call: c.ID, Expired: true, By: system, Why: "nobody decided in time", At: stamp()})
		}
	case SetTimer:
		for _, c := range eff.Calls {
			if t, err := timerOf(c, j.s.Now); err == nil {
				t.Until = t.Until.UTC().Truncate(time.Microsecond)
				j.note(t)
			}
		}
	case Settle:
		return false, j.settle(eff.Calls)
	case Compact:
		j.note(compacted(eff))
		j.said = nil
	default: // Spawn, Wait, Finish
		return j.commit(nil, eff)
	}
	return false, nil
}

// system is who acts when nobody does.
var system = decouple.Actor{Kind: decouple.ActorSystem, ID: "engine"}

// stamp is now, as precise as the journal keeps it.
func stamp() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// note applies a fact now and has the next commit carry it.
func (j *job) note(p payload) {
	p.apply(j.s)
	j.facts = append(j.facts, p)
}

// errAgain sends the job back to its loop: it was interrupted by a message or by the end of the drive, and the loop sees which.
var errAgain = errors.New("look again")

// ride applies results now and has the next commit carry them.
func (j *job) ride(rs []result) {
	j.s.applyResults(rs)
	j.riding = append(j.riding, rs...)
}

// settleLost settles the model call that was stopped, or that an ended process may have begun. A model in this process used nothing then.
func (j *job) settleLost() error {
	if j.s.reserved == (account{}) || j.s.Price.Local {
		return nil
	}
	_, err := j.commit(lost{Step: j.s.Steps + 1, Settled: j.s.reserved}, nil)
	return err
}

// readInbox takes the messages that came: ends of children, and what people and programs say.
func (j *job) readInbox() error {
	ctx := context.WithoutCancel(j.ctx)
	msgs, err := j.Store.Inbox(ctx, j.s.Run.Tenant, j.s.Run.ID)
	if err != nil {
		return err
	}
	j.wakened = false
	var results []result
	for _, m := range msgs {
		if m.Seq <= j.consume {
			continue
		}
		j.consume = m.Seq
		body, err := fetch(ctx, j.Store, j.s.Run.Tenant, m.Body)
		if err != nil {
			return err
		}
		p, err := readMessage(m.Kind, body)
		if err != nil {
			return decouple.Errorf(decouple.Internal, "message %d (%s) of run %s cannot be read: %w", m.Seq, m.Kind, j.s.Run.ID, err)
		}
		switch p := p.(type) {
		case joined:
			results = append(results, result{Call: p.Call, Text: endText(p), Error: p.Cause.Kind != decouple.CauseDone, Child: &p})
		case canceled:
			if j.s.stop == nil {
				j.note(p)
			}
		case decided:
			if c := j.s.record(p.Call); c == nil || c.ask == nil || mayDecide(j.s, c, p.By) == nil { // who has spoken since is no longer one who may
				j.note(p)
			}
		case input:
			p.Rejected = j.s.Session == BusyReject && (len(j.s.openChildren()) > 0 || len(j.s.inputs) > 0)
			j.note(p)
		case payload:
			j.note(p)
		}
	}
	// Joins reach the agent in spawn order, whatever order the children ended in.
	slices.SortStableFunc(results, func(a, b result) int { return j.spawnOrder(a.Child.Child) - j.spawnOrder(b.Child.Child) })
	j.ride(results)
	return nil
}

// readMessage decodes a message by its kind.
func readMessage(kind string, body []byte) (any, error) {
	switch kind {
	case messageCancel:
		return readAs[canceled](body)
	case messageJoined:
		return readAs[joined](body)
	case messageDecision:
		return readAs[decided](body)
	case messageResolve:
		return readAs[resolved](body)
	case messageSignal:
		return readAs[signaled](body)
	case messageInput:
		return readAs[input](body)
	}
	return nil, errors.New("this program does not know its kind")
}

func readAs[T any](body []byte) (any, error) {
	var v T
	err := json.Unmarshal(body, &v)
	return v, err
}

func (j *job) spawnOrder(id decouple.RunID) int {
	return slices.IndexFunc(j.s.Children, func(c Child) bool { return c.ID == id })
}

// endText is what a parent's agent reads of a child's end.
func endText(e joined) string {
	if e.Cause.Kind == decouple.CauseDone {
		return e.Answer
	}
	s := fmt.Sprintf("agent %s ended: %s", e.Child, e.Cause.Kind)
	if e.Cause.Why != "" {
		s += " (" + e.Cause.Why + ")"
	}
	if e.Answer != "" {
		s += "; it had said: " + e.Answer
	}
	return s
}

// interrupt parks the run until somebody resumes it: the process was told to stop. A node of a fleet hands it to the others instead.
func (j *job) interrupt() error {
	if j.handing {
		return j.handOver()
	}
	_, err := j.commit(interrupted{By: j.Actor.ID}, nil)
	j.drop()
	return err
}

// callModel asks the model, with what is reserved for it, and commits the answer together with what follows from it.
func (j *job) callModel(eff CallModel) (bool, error) {
	s := j.s
	if eff.Need.Tokens > s.reserved.Tokens || eff.Need.USD > s.reserved.USD {
		if _, err := j.commit(progress{}, nil); err != nil { // reserves
			return false, err
		}
	}
	if err := j.begin(); err != nil {
		return false, err
	}
	specs := make([]decouple.ToolSpec, 0, len(eff.Offer))
	for _, name := range eff.Offer {
		if name == decouple.ToolSpawn {
			specs = append(specs, j.spawnSpec())
		} else if spec, ok := ownSpecs[name]; ok {
			specs = append(specs, spec)
		} else if t := j.tools[name]; t != nil { // a run that began elsewhere may know tools that are not here
			specs = append(specs, t.Spec())
		}
	}
	req := decouple.Request{
		Run: s.Run.ID, For: decouple.Asker{Tenant: s.Run.Tenant, Agent: s.Run.Agent, Class: s.Run.Class, Labels: s.Run.Labels, Team: s.Run.Team, Caller: s.Run.Caller, Priority: s.Run.Priority, Signed: s.signed}, Step: eff.Step, Model: s.Agent.Model, Tools: specs, NoTools: eff.NoTools, MaxTokens: eff.MaxTokens,
		Messages: j.request(eff.Final), Tokens: func(t string) { j.tell(s, SignalToken, t) }, // an empty text begins anew
	}
	j.tell(s, SignalCalling, "")
	ctx, cancel := j.timed()
	var ans decouple.Answer
	err := unharmed("the model "+s.Agent.Model, func() (err error) {
		ans, err = j.Model.Answer(ctx, req)
		return err
	})
	cancel()
	if by := heldBy(err); by != nil && j.ctx.Err() == nil {
		if ans.Usage != (decouple.Usage{}) { // of attempts before contracts changed
			if _, err := j.commit(lost{Step: eff.Step, Settled: account{USD: ans.Usage.Cost, Tokens: ans.Usage.TokensIn + ans.Usage.TokensOut}}, nil); err != nil {
				return false, err
			}
		}
		j.holdModel(err, by, s.Agent.Model)
		return false, nil
	}
	if err != nil {
		return j.modelFailed(err, ans.Usage)
	}
	if g := s.gate; g != nil && g.verdict == nil {
		j.note(lifted{Call: g.ID, At: stamp()})
	}
	p := answered{
		Effects: j.effects(ans.Message), Step: eff.Step, Prefix: s.prefixHash(), Message: tidy(ans.Message, eff.Step), Finish: ans.Finish, Model: ans.Model, Usage: ans.Usage, Final: eff.Final,
	}
	return j.commit(p, nil)
}

// effects are those of the tools that a message calls; nil if there are none.
func (j *job) effects(m decouple.Message) []decouple.Effect {
	var out []decouple.Effect
	some := false
	for _, c := range m.Calls() {
		effect := decouple.Effect("")
		if t := j.tools[c.Name]; t != nil && slices.Contains(j.s.Agent.Tools, c.Name) && t.Spec().Effect != decouple.EffectNone {
			effect, some = t.Spec().Effect, true
		}
		out = append(out, effect)
	}
	if !some {
		return nil
	}
	return out
}

// begin has the journal say that the run is at work before a call leaves this process, so that the call is settled should the process die.
func (j *job) begin() error {
	if err := j.held(); err != nil {
		return err
	}
	if j.noted || j.s.Price.Local {
		return nil
	}
	_, err := j.Store.Runs(context.WithoutCancel(j.ctx), journal.RunFilter{Tenant: j.s.Run.Tenant, ID: j.s.Run.ID})
	j.noted = err == nil
	return err
}

// tidy makes a model's message one that the journal can hold and that reads the same when it comes back: an assistant's, of whole characters, with
// arguments in one spelling, which rules, hashes and tools read alike, and calls that each have an id of their own. Arguments that are not JSON become a JSON string.
func tidy(m decouple.Message, step int) decouple.Message {
	out := decouple.Message{Role: decouple.Assistant}
	ids := map[string]bool{"": true}
	for i, p := range m.Parts {
		p.Result, p.Text = nil, strings.ToValidUTF8(p.Text, "\ufffd")
		if p.Call != nil {
			c := *p.Call
			if len(c.Args) == 0 {
				c.Args = json.RawMessage("{}")
			}
			args, err := decouple.Canonical(c.Args)
			if err != nil {
				args, _ = json.Marshal(string(c.Args)) // a string always has a form
			}
			if c.Args = args; ids[c.ID] {
				c.ID = fmt.Sprintf("call_%d_%d", step, i+1)
			}
			ids[c.ID] = true
			p.Call = &c
		}
		if p.Text != "" || p.Call != nil {
			out.Parts = append(out.Parts, p)
		}
	}
	return out
}

// request is the conversation as the model gets it: only what is new since the last call is added.
func (j *job) request(final string) []decouple.Message {
	if j.said == nil {
		j.said = append([]decouple.Message{decouple.Text(decouple.System, j.s.Agent.Prompt)}, j.s.shown(j.s.elided)...)
	}
	j.said = append(j.said, j.s.Messages[len(j.said)-1:]...)
	if final == "" {
		return slices.Clip(j.said)
	}
	return append(slices.Clip(j.said), decouple.Text(decouple.User, "Finish now with what you have, without calling a tool: "+final+"."))
}

// modelFailed decides what the gateway's last word means: a stop that the loop understands, the end of the run's time, or a failure. The gateway says
// what its tries used.
func (j *job) modelFailed(err error, u decouple.Usage) (bool, error) {
	if j.ctx.Err() != nil {
		return false, cmp.Or(j.settleLost(), errAgain) // nobody will know what it used
	}
	if decouple.KindOf(err) == decouple.Deadline && j.s.Envelope.StepTime > 0 {
		err = &decouple.Error{Kind: decouple.Deadline, Msg: fmt.Sprintf("the model did not answer within the %s of a step: %v", j.s.Envelope.StepTime, err), Err: err}
	}
	settled := account{USD: u.Cost, Tokens: u.TokensIn + u.TokensOut}
	if decouple.KindOf(err) == decouple.Deadline {
		if _, err := j.commit(lost{Step: j.s.Steps + 1, Settled: settled}, nil); err != nil { // also brings the time up to date
			return false, err
		}
		if _, again := Next(j.s).(CallModel); !again {
			return false, nil
		}
		settled = account{}
	}
	f := j.s.finish(decouple.Cause{Kind: decouple.CauseFailed, Why: err.Error(), Err: decouple.KindOf(err)})
	return j.commit(ended{Cause: f.Cause, Answer: f.Answer, Settled: &settled}, f)
}

// poked makes the job read its inbox and work on under a fresh context.
func (j *job) poked() {
	j.wakened = true
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stop(nil)
	j.ctx, j.stop = context.WithCancelCause(j.parent)
}

// timed is the context of a call: it ends with the run's time to search, or with the time of a step.
func (j *job) timed() (context.Context, context.CancelFunc) {
	d := j.s.searchDeadline()
	if step := j.s.Envelope.StepTime; step > 0 {
		d = earlier(d, time.Now().Add(step))
	}
	if !d.IsZero() {
		return context.WithDeadline(j.ctx, d)
	}
	return j.ctx, func() {}
}

// unharmed makes a panic of what others wrote an error of that call alone.
func unharmed(who string, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = decouple.Errorf(decouple.Internal, "%s has a fault: %v", who, p)
		}
	}()
	return do()
}

func (j *job) spawnSpec() decouple.ToolSpec {
	return decouple.ToolSpec{
		Name:   decouple.ToolSpawn,
		Effect: decouple.EffectIdempotent,
		Description: fmt.Sprintf("Hands a task to a sub-agent (one of %v) and waits for its answer. Several calls in one answer work at the same time; results come in the order of the calls.",
			j.s.Agent.Agents),
		Params: json.RawMessage(spawnSchema),
	}
}

const spawnSchema = `{"type":"object","required":["agent","task"],"additionalProperties":false,"properties":{` +
	`"agent":{"type":"string"},"task":{"type":"object","required":["question"],"additionalProperties":false,"properties":{` +
	`"question":{"type":"string"},"objective":{"type":"string","description":"what the answer is for"},` +
	`"theme":{"type":"array","items":{"type":"string"},"description":"terms of the whole question"},` +
	`"section":{"type":"array","items":{"type":"string"},"description":"heading path to begin at"},` +
	`"sources":{"type":"array","items":{"type":"string"},"description":"notes to begin with"}}}}}`
