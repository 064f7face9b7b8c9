package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/placement"
)

// Contracts says by the contracts of a run's tenant where its work may be done. An error is that they cannot be read: nothing is done then.
type Contracts interface {
	// Site rules whether this node may work on a run.
	Site(r *decouple.Run) (placement.Ruling, error)
	// Tool rules whether a call of a tool may be made from this node.
	Tool(u *ToolUse) (placement.Ruling, error)
}

// ToolUse is a tool call that is about to be made.
type ToolUse struct {
	Run    *decouple.Run
	Tool   string
	Args   []byte   // as decouple.Canonical spells them
	Host   string   // that it is about to reach; empty is the one that its arguments name, if they do
	Signed []string // clauses that a person has signed off for the run
}

// holding is an error of the gateway behind which a person can let a call pass.
type holding interface {
	error
	Held() []placement.Cited
}

// heldBy gives the clauses that hold a model call, if that is why it failed.
func heldBy(err error) []clause {
	var h holding
	if decouple.KindOf(err) != decouple.Denied || !errors.As(err, &h) {
		return nil
	}
	return clausesOf(h.Held())
}

func clausesOf(cited []placement.Cited) []clause {
	var out []clause
	for _, c := range cited {
		id := c.ID
		if c.Contract != "" && !strings.HasPrefix(id, c.Contract+"/") {
			id = c.Contract + "/" + id
		}
		if !slices.ContainsFunc(out, func(k clause) bool { return k.ID == id }) { // one clause may be cited once for each of its readings
			out = append(out, clause{ID: id, Reads: c.Reads, Text: c.Text, Confidence: c.Confidence})
		}
	}
	return out
}

// because is a ruling's sentence, with the clauses that it does not name itself.
func because(r *placement.Ruling) string {
	why := r.Why
	for _, c := range clausesOf(r.Clauses) {
		if !strings.Contains(why, c.ID) {
			why += " (" + c.ID + ")"
		}
	}
	return why
}

// named lists ids of clauses for a sentence.
func named(list []clause) string {
	ids := make([]string, len(list))
	for i, c := range list {
		ids[i] = c.ID
	}
	return strings.Join(ids, ", ")
}

// question is what people are asked about a call that clauses hold: whoever may approve calls may sign, and those whom the agent's own rules name if there are any.
func (j *job) heldQuestion(t *try, r *placement.Ruling) held {
	q := j.s.question(t.call, t.effect, j.bind(t), stamp())
	if len(q.Rules) == 0 {
		q.Rules = []askedRule{{Quorum: 1}}
	}
	q.Expires = j.expiry(q.Expires, q.At)
	return held{asked: q, Clauses: clausesOf(r.Clauses), Why: r.Why}
}

// expiry is when a question about contracts, asked at a time, is over.
func (j *job) expiry(had, at time.Time) time.Time {
	if j.HoldFor <= 0 {
		return had
	}
	return earlier(had, at.Add(j.HoldFor))
}

// holdModel takes down that contracts hold the next model call. A look that brings the same again is no news.
func (j *job) holdModel(err error, by []clause, model string) {
	g := j.s.gate
	if g != nil && g.verdict == nil && slices.Equal(g.clauses, by) {
		j.s.checked = stamp()
		return
	}
	at := stamp()
	id := callID(j.s.Steps+1, -1) // beside the tool calls of the step, which count from 1
	t := &try{call: CallRecord{ID: id, Name: ToolModel, Args: []byte(`{"model":` + quoted(model) + `,"clauses":` + quoted(named(by)) + `}`)}}
	j.note(held{asked: asked{Call: id, Rules: []askedRule{{Quorum: 1}}, Hash: j.bind(t), At: at, Expires: j.expiry(time.Time{}, at)}, Step: j.s.Steps + 1, Model: model, Clauses: by, Why: err.Error()})
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

// judge sees whether contracts let a call be made now. It says whether the call is to be left alone: people are asked about it, or the contracts could not be read.
func (j *job) judge(t *try) (leave bool) {
	if j.Contracts == nil {
		return false
	}
	r, err := j.Contracts.Tool(j.use(t.call.Name, t.call.Args, ""))
	switch {
	case err != nil:
		j.failed(t, decouple.Errorf(decouple.Unavailable, "the contracts cannot be read, and no call is made without them: %w", err))
		t.tool, t.doubted = nil, nil // it was not made
	case r.Effect == placement.Stop:
		t.tool = nil
		t.result.Error, t.result.Refused = true, refusedContract
		t.result.Text = "contracts do not allow this call, so it was not made: " + because(&r)
	case r.Effect == placement.Hold:
		q := j.heldQuestion(t, &r)
		if c := j.s.record(t.call.ID); c.ask != nil && c.verdict == nil && slices.Equal(c.clauses, q.Clauses) {
			j.s.checked = q.At
		} else {
			j.note(q)
		}
		return true
	case t.call.clauses != nil && t.call.verdict == nil: // what held it does so no longer
		j.note(lifted{Call: t.call.ID, At: stamp()})
		return true
	}
	return false
}

// use is a call as contracts see it.
func (j *job) use(tool string, args []byte, host string) *ToolUse {
	run := j.s.Run
	return &ToolUse{Run: &run, Tool: tool, Args: args, Host: host, Signed: j.s.signed}
}

// mayAsk says why contracts do not let a tool be asked what became of a call, or nothing.
func (j *job) mayAsk(query decouple.Tool, args []byte) error {
	if j.Contracts == nil {
		return nil
	}
	return denial(j.Contracts.Tool(j.use(query.Spec().Name, args, "")))
}

// reach lets a tool see whether contracts let its call reach a host that its arguments do not name, such as the one that it is redirected to.
func (j *job) reach(tool string, args []byte) func(host string) error {
	if j.Contracts == nil {
		return nil
	}
	u := j.use(tool, args, "")
	return func(host string) error {
		at := *u
		at.Host = host
		return denial(j.Contracts.Tool(&at))
	}
}

// denial is the error that a ruling other than an allowance comes to.
func denial(r placement.Ruling, err error) error {
	if err != nil || r.Effect == placement.Go {
		return err
	}
	return decouple.Errorf(decouple.Denied, "contracts do not allow it: %s", because(&r))
}

// misplaced says why contracts do not let this node do the next piece of a run's work, or nothing.
func (j *job) misplaced(eff Effect) string {
	switch eff.(type) {
	case CallModel, CallTools, Settle, Spawn:
	default:
		return ""
	}
	if j.Contracts == nil {
		return ""
	}
	r, err := j.Contracts.Site(&j.s.Run)
	switch {
	case err != nil:
		return "a node that can read the contracts: " + err.Error()
	case r.Effect == placement.Go:
		return ""
	}
	why := "a site where contracts let it run: at this one, " + because(&r)
	if len(why) > maxParked {
		why = strings.ToValidUTF8(why[:maxParked], "") + "..."
	}
	return why
}

// The shortest and the longest time for which a node leaves a run alone that it may not work on: others may take it meanwhile.
const (
	shortAside = 250 * time.Millisecond
	longAside  = 30 * time.Second
)

// turned is a run that this node has put down.
type turned struct {
	n    int // how often
	wake time.Time
}

// A node that has put a run down lets others go first when it is to be had again: it takes nothing for a moment, and not so often that its other work would feel it.
const (
	yieldFor   = 200 * time.Millisecond
	yieldEvery = 2 * time.Second
)

// yieldAt is ctx until a run is to be had again that this node has put down.
func (e *Engine) yieldAt(ctx context.Context) (context.Context, context.CancelFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var next time.Time
	now := time.Now()
	for id, t := range e.turned {
		switch {
		case now.Sub(t.wake) > 2*longAside: // somebody has it
			delete(e.turned, id)
		case t.wake.After(now):
			next = earlier(next, t.wake)
		}
	}
	ctx, recall := context.WithCancelCause(ctx)
	e.recall = recall
	if next.IsZero() || !next.Equal(e.yielded) && next.Sub(e.yielded) < yieldEvery {
		return ctx, func() { recall(nil) }
	}
	e.yielded = next
	ctx, cancel := context.WithDeadline(ctx, next.Add(-5*time.Millisecond))
	return ctx, func() { cancel(); recall(nil) }
}

// errRecalled interrupts a node that waits for work because it has put a run down meanwhile.
var errRecalled = errors.New("a run was put down")

// aside puts a run down that this node may not work on, for longer each time. A process that works for one tree only says so and ends.
func (j *job) aside(why string) error {
	j.mu.Lock()
	if len(j.turned) > 10_000 {
		clear(j.turned)
	}
	t := j.turned[j.s.Run.ID]
	pause := min(longAside, shortAside<<min(t.n, 10))
	pause += time.Duration(rand.Int64N(int64(pause)))
	t.n, t.wake = t.n+1, stamp().Add(pause)
	j.turned[j.s.Run.ID] = t
	j.mu.Unlock()
	_, err := j.commit(nil, Wait{Site: why, Wake: t.wake})
	j.mu.Lock()
	if j.recall != nil && j.handing {
		j.recall(errRecalled)
	}
	j.mu.Unlock()
	if err == nil && !j.handing {
		err = decouple.Errorf(decouple.Denied, "run %s waits for %s", j.s.Run.ID, why)
	}
	return err
}
