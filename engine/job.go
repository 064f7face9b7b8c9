package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
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
	said    []decouple.Message // the conversation as the model gets it
	consume journal.InboxSeq   // newest message that riding or s holds
	wakened bool               // the inbox is to be read
	noted   bool               // the journal says that the run is at work
	parent  context.Context
	ctx     context.Context // of what it is doing; stopped by an urgent message
	stop    context.CancelCauseFunc
}

// work takes a run as far as it goes now: to its end, or to where it waits. Its error is fatal for the drive.
func (e *Engine) work(ctx context.Context, c journal.Claim) error {
	j := &job{Engine: e, claim: c, consume: c.Consumed, parent: ctx}
	j.ctx, j.stop = context.WithCancelCause(ctx)
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
		var done bool
		var err error
		switch eff := Next(j.s).(type) {
		case nil:
			return nil
		case CallModel:
			done, err = j.callModel(eff)
		case CallTools:
			err = j.callTools(eff)
		case Refuse:
			j.ride(eff.results)
		default: // Spawn, Wait, Finish
			done, err = j.commit(nil, eff)
		}
		if errors.Is(err, errAgain) {
			err = nil
		}
		if done || err != nil {
			return err
		}
	}
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

// readInbox takes the messages that came: ends of children, and the wish that the run be canceled.
func (j *job) readInbox() error {
	ctx := context.WithoutCancel(j.ctx)
	msgs, err := j.Store.Inbox(ctx, j.s.Run.Tenant, j.s.Run.ID)
	if err != nil {
		return err
	}
	j.wakened = false
	var results []result
	var stop *canceled
	for _, m := range msgs {
		if m.Seq <= j.consume {
			continue
		}
		j.consume = m.Seq
		body, err := fetch(ctx, j.Store, j.s.Run.Tenant, m.Body)
		if err != nil {
			return err
		}
		var c canceled
		var end joined
		switch m.Kind {
		case messageCancel:
			if err = json.Unmarshal(body, &c); stop == nil {
				stop = &c
			}
		case messageJoined:
			err = json.Unmarshal(body, &end)
			results = append(results, result{Call: end.Call, Text: endText(end), Error: end.Cause.Kind != decouple.CauseDone, Child: &end})
		default:
			err = errors.New("this program does not know its kind")
		}
		if err != nil {
			return decouple.Errorf(decouple.Internal, "message %d (%s) of run %s cannot be read: %w", m.Seq, m.Kind, j.s.Run.ID, err)
		}
	}
	// Joins reach the agent in spawn order, whatever order the children ended in.
	slices.SortStableFunc(results, func(a, b result) int { return j.spawnOrder(a.Child.Child) - j.spawnOrder(b.Child.Child) })
	j.ride(results)
	if stop != nil && j.s.stop == nil {
		_, err = j.commit(*stop, nil)
	}
	return err
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

// interrupt parks the run until somebody resumes it: the node was told to stop.
func (j *job) interrupt() error {
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
	if err := j.note(); err != nil {
		return false, err
	}
	specs := make([]decouple.ToolSpec, 0, len(eff.Offer))
	for _, name := range eff.Offer {
		if name == decouple.ToolSpawn {
			specs = append(specs, j.spawnSpec())
		} else if t := j.tools[name]; t != nil { // a run that began elsewhere may know tools that are not here
			specs = append(specs, t.Spec())
		}
	}
	req := decouple.Request{
		Run: s.Run.ID, Step: eff.Step, Model: s.Agent.Model, Tools: specs, NoTools: eff.NoTools, MaxTokens: eff.MaxTokens,
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
	if err != nil {
		return j.modelFailed(err, ans.Usage)
	}
	p := answered{
		Step: eff.Step, Prefix: s.prefixHash(), Message: tidy(ans.Message, eff.Step), Finish: ans.Finish, Model: ans.Model, Usage: ans.Usage, Final: eff.Final,
	}
	return j.commit(p, nil)
}

// note has the journal say that the run is at work before a call leaves this process, so that the call is settled should the process die.
func (j *job) note() error {
	if j.noted || j.s.Price.Local {
		return nil
	}
	_, err := j.Store.Runs(context.WithoutCancel(j.ctx), journal.RunFilter{Tenant: j.s.Run.Tenant, ID: j.s.Run.ID})
	j.noted = err == nil
	return err
}

// tidy makes a model's message one that the journal can hold and that reads the same when it comes back: an assistant's, of whole characters, with
// arguments in one spelling and calls that each have an id of their own. Arguments that are not JSON become a JSON string.
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
			b, err := json.Marshal(c.Args)
			if err != nil {
				b, _ = json.Marshal(string(c.Args)) // a string always has a form
			}
			if c.Args = b; ids[c.ID] {
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
		j.said = append(j.said, decouple.Text(decouple.System, j.s.Agent.Prompt))
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

// callTools performs calls at once. Results of tools without effects ride with the next commit; others get a commit of their own.
func (j *job) callTools(eff CallTools) error {
	results := make([]result, len(eff.Calls))
	errs := make([]error, len(eff.Calls))
	rides := true
	var wg sync.WaitGroup
	for i, c := range eff.Calls {
		t := j.tools[c.Name]
		if t == nil || !slices.Contains(j.s.Agent.Tools, c.Name) {
			results[i] = result{Call: c.ID, Error: true, Refused: refusedAgent, Text: fmt.Sprintf("there is no tool %q here; the tools are %v", c.Name, j.s.Agent.Tools)}
			continue
		}
		rides = rides && t.Spec().Effect == decouple.EffectNone
		j.tell(j.s, SignalTool, c.Name)
		if len(eff.Calls) == 1 {
			results[i], errs[i] = j.callTool(t, c)
			continue
		}
		wg.Go(func() { results[i], errs[i] = j.callTool(t, c) })
	}
	wg.Wait()
	again := errors.Join(errs...)
	results = slices.DeleteFunc(results, func(r result) bool { return r.Call == "" }) // stopped: asked for again
	j.ride(results)
	d := j.s.searchDeadline()
	late := !d.IsZero() && !time.Now().Before(d) // a commit brings the time up to date
	if rides && !late || len(results) == 0 {
		return again
	}
	_, err := j.commit(progress{}, nil)
	return cmp.Or(err, again)
}

// callTool performs one call within the run's time; what fails is told to the model, unless it was the run that was stopped.
func (j *job) callTool(t decouple.Tool, c CallRecord) (result, error) {
	ctx, cancel := j.timed()
	defer cancel()
	var out decouple.Outcome
	err := unharmed("the tool "+c.Name, func() (err error) {
		out, err = t.Do(ctx, decouple.Invocation{
			Run: j.s.Run, Call: c.ID, Key: string(j.s.Run.ID) + "/" + string(c.ID), Name: c.Name, Args: c.Args,
		})
		return err
	})
	if err != nil && j.ctx.Err() != nil {
		return result{}, errAgain
	}
	if err != nil {
		out = decouple.Outcome{Text: "the tool failed: " + err.Error(), Error: true}
	}
	return result{Call: c.ID, Text: strings.ToValidUTF8(out.Text, "\ufffd"), Error: out.Error, Found: out.Found}, nil
}

// timed is the context of a call: it ends with the run's time to search.
func (j *job) timed() (context.Context, context.CancelFunc) {
	if d := j.s.searchDeadline(); !d.IsZero() {
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
