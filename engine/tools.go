package engine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/placement"
)

const (
	toolTimeout = 5 * time.Minute // of one attempt of a tool that names none
	maxAttempts = 5
	firstPause  = 200 * time.Millisecond // before the second attempt; each further one is four times as long, give or take a half
	pageBytes   = 48 << 10               // of a long result, that the model is shown at once
)

// ownSpecs are the tools that the engine performs itself.
var ownSpecs = map[string]decouple.ToolSpec{
	decouple.ToolSleep: {
		Name: decouple.ToolSleep, Effect: decouple.EffectNone, Description: "Waits, at no cost: for a duration such as 90s, 15m or 72h, or until a time (RFC 3339).",
		Params: json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{"for":{"type":"string"},"until":{"type":"string","format":"date-time"}}}`),
	},
	decouple.ToolSignal: {
		Name: decouple.ToolSignal, Effect: decouple.EffectNone, Description: "Waits, at no cost, until a signal of this name comes from outside, and gives what it brings; with for or until, no longer than that.",
		Params: json.RawMessage(`{"type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string"},"for":{"type":"string"},"until":{"type":"string","format":"date-time"}}}`),
	},
	decouple.ToolResultRead: {
		Name: decouple.ToolResultRead, Effect: decouple.EffectNone, Description: "Gives a page of the result of an earlier call, which was too long or is left out by now. Pages count from 1.",
		Params: json.RawMessage(`{"type":"object","required":["call"],"additionalProperties":false,"properties":{"call":{"type":"string"},"page":{"type":"integer","minimum":1}}}`),
	},
}

// try is one attempt at a call and what came of it.
type try struct {
	call    CallRecord
	tool    decouple.Tool // nil where the engine answers itself
	effect  decouple.Effect
	result  result
	failed  *failed
	doubted *doubted
	pin     decouple.BlobID
	err     error
}

// callTools performs calls at once. Results of tools without effects ride with the next commit; others get a commit of their own, and a call that must not be
// made twice is announced in a commit before it.
func (j *job) callTools(eff CallTools) error {
	tries := make([]*try, len(eff.Calls))
	var once []startedCall
	for i, c := range eff.Calls {
		t := j.prepare(c)
		tries[i] = t
		if t.tool == nil {
			continue
		}
		if j.judge(t) {
			return nil
		}
		if t.tool == nil {
			continue
		}
		if c.ask != nil && c.ask.Hash != j.bind(t) {
			j.note(j.s.question(c, t.effect, j.bind(t), stamp()))
			return nil // what was approved is not what would be called: it is asked again
		}
		if t.effect == decouple.EffectOnce {
			now := stamp()
			once = append(once, startedCall{Call: c.ID, Effect: t.effect, Attempt: c.Attempts + 1, At: now, Until: now.Add(j.timeout(t.tool))})
		}
	}
	if len(once) > 0 {
		p := started{Calls: once}
		if _, err := j.commit(p, nil); err != nil {
			return err
		}
	}
	if err := j.held(); err != nil {
		return err
	}
	j.attempt(tries)
	return j.collect(tries)
}

// prepare finds the tool of a call, or the answer of the engine in its place.
func (j *job) prepare(c CallRecord) *try {
	t := &try{call: c, result: result{Call: c.ID, At: stamp()}}
	tool := j.tools[c.Name]
	if c.Name == decouple.ToolResultRead {
		t.result.Text, t.result.Error, t.err = j.readResult(c.Args)
		t.result.Refused = ownResult
		return t
	}
	if tool == nil || !slices.Contains(j.s.Agent.Tools, c.Name) {
		t.result.Error, t.result.Refused = true, refusedAgent
		t.result.Text = fmt.Sprintf("there is no tool %q here; the tools are %v", c.Name, j.s.Agent.Tools)
		return t
	}
	t.effect = tool.Spec().Effect
	if f := j.s.From; f != nil && f.Fork && !f.Effects && (t.effect == decouple.EffectOnce || t.effect == decouple.EffectKeyed) {
		t.result.Error, t.result.Refused = true, refusedFork
		t.result.Text = "this run is a fork that was begun without effects, so the call was not made"
		return t
	}
	t.tool = tool
	return t
}

// attempt performs the calls that have a tool, at the same time.
func (j *job) attempt(tries []*try) {
	var real []*try
	for _, t := range tries {
		if t.tool != nil {
			real = append(real, t)
			j.tell(j.s, SignalTool, t.call.Name)
		}
	}
	if len(real) == 1 {
		j.callTool(real[0])
		return
	}
	var wg sync.WaitGroup
	for _, t := range real {
		wg.Go(func() { j.callTool(t) })
	}
	wg.Wait()
}

// collect takes what came of the tries into the state, and commits it if a tool with effects was called.
func (j *job) collect(tries []*try) error {
	var results []result
	var errs []error
	effects := false
	for _, t := range tries {
		switch {
		case t.err != nil:
			errs = append(errs, t.err) // stopped: asked for again
			continue
		case t.failed != nil:
			j.note(*t.failed)
		case t.doubted != nil:
			j.note(*t.doubted)
		default:
			results = append(results, t.result)
		}
		if t.pin != "" {
			j.pins = append(j.pins, t.pin)
		}
		effects = effects || t.tool != nil && t.effect != decouple.EffectNone
	}
	again := errors.Join(errs...)
	j.ride(results)
	if !effects {
		return again
	}
	_, err := j.commit(progress{}, nil)
	return cmp.Or(err, again)
}

// timeout is how long one attempt of a tool may take.
func (j *job) timeout(t decouple.Tool) time.Duration {
	d := t.Spec().Timeout
	if d <= 0 {
		d = toolTimeout
	}
	if step := j.s.Envelope.StepTime; step > 0 {
		d = min(d, step)
	}
	return d
}

// callTool makes one attempt at a call within its time. A call that must not be made twice is let come to its end even if the run is stopped.
func (j *job) callTool(t *try) {
	spec := t.tool.Spec()
	base := j.ctx
	if t.effect == decouple.EffectOnce {
		base = context.WithoutCancel(base)
	} else if d := j.s.searchDeadline(); !d.IsZero() {
		var cancel context.CancelFunc
		base, cancel = context.WithDeadline(base, d)
		defer cancel()
	}
	ctx, cancel := context.WithTimeout(base, j.timeout(t.tool))
	defer cancel()
	beat, quiet := j.listen(ctx, cancel, spec)
	defer quiet()
	var out decouple.Outcome
	err := unharmed("the tool "+t.call.Name, func() (err error) {
		out, err = t.tool.Do(ctx, j.invocation(t, beat))
		return err
	})
	if err != nil && j.ctx.Err() != nil && t.effect != decouple.EffectOnce {
		t.err = errAgain
		return
	}
	if err != nil {
		j.failed(t, err)
		return
	}
	t.result.Text, t.result.Error, t.result.Found = strings.ToValidUTF8(out.Text, "\ufffd"), out.Error, out.Found
	j.sign(t)
	t.err = j.page(t)
}

func (j *job) invocation(t *try, beat func(string)) decouple.Invocation {
	return decouple.Invocation{
		Run: j.s.Run, Call: t.call.ID, Key: effectKey(j.s.Run.ID, t.call.ID), Name: t.call.Name, Args: t.call.Args,
		Actor: j.s.By, Attempt: t.call.Attempts + 1, Beat: beat, Reach: j.reach(t.call.Name, t.call.Args),
	}
}

// effectKey is the idempotency key of a call, the same over retries.
func effectKey(run decouple.RunID, call decouple.CallID) string {
	return string(run) + "/" + string(call)
}

// sign writes into a result when it came, and what sort of call it answers.
func (j *job) sign(t *try) {
	t.result.At = stamp()
	if t.effect != decouple.EffectNone {
		t.result.Effect, t.result.Attempt = t.effect, t.call.Attempts+1
	}
}

// listen gives the function by which a tool says that it is alive, and stops the tool when it is silent for too long.
func (j *job) listen(ctx context.Context, cancel context.CancelFunc, spec decouple.ToolSpec) (beat func(string), quiet func()) {
	tell := func(text string) {
		if text != "" {
			j.tell(j.s, SignalTool, spec.Name+": "+text)
		}
	}
	if spec.Heartbeat <= 0 {
		return tell, func() {}
	}
	timer := time.AfterFunc(spec.Heartbeat, cancel)
	return func(text string) {
		if ctx.Err() == nil {
			timer.Reset(spec.Heartbeat)
		}
		tell(text)
	}, func() { timer.Stop() }
}

// failed decides what a tool's own failure means: another try, an answer for the model, or an outcome that nobody knows.
func (j *job) failed(t *try, err error) {
	if spec := t.tool.Spec(); spec.Heartbeat > 0 && errors.Is(err, context.Canceled) && j.ctx.Err() == nil {
		err = decouple.Errorf(decouple.Deadline, "the tool %s gave no sign of life for %s: %w", spec.Name, spec.Heartbeat, err)
	}
	kind, attempt := decouple.KindOf(err), t.call.Attempts+1
	sure := kind == decouple.Unavailable || kind == decouple.RateLimited || kind == decouple.Invalid || kind == decouple.Denied || kind == decouple.NotFound || kind == decouple.TooLarge
	if t.effect == decouple.EffectOnce && !sure {
		t.doubted = &doubted{Call: t.call.ID, Why: err.Error(), At: stamp()}
		return
	}
	pause := time.Duration(float64(firstPause) * float64(int64(1)<<(2*min(attempt-1, 8))) * (0.5 + rand.Float64()))
	retry := stamp().Add(pause)
	d := j.s.searchDeadline()
	if kind.Rule().Retry && attempt < maxAttempts && (d.IsZero() || retry.Before(d)) {
		t.failed = &failed{Call: t.call.ID, Effect: t.effect, Attempt: attempt, Kind: kind, Why: err.Error(), At: stamp(), Retry: retry}
		return
	}
	t.result.Text, t.result.Error = "the tool failed: "+strings.ToValidUTF8(err.Error(), "\ufffd"), true
	if attempt > 1 {
		t.result.Text += fmt.Sprintf(" (%d tries)", attempt)
	}
	j.sign(t)
}

// page keeps a long result as a blob, and leaves its first page; one over the limit becomes an error.
func (j *job) page(t *try) error {
	size := len(t.result.Text)
	if size <= pageBytes {
		return nil
	}
	if int64(size) > j.MaxResult {
		t.result.Text = fmt.Sprintf("too_large: the tool %s answered %d bytes, and a result may have %d: ask it for less; the same call is not made again by itself", t.call.Name, size, j.MaxResult)
		t.result.Error = true
		return nil
	}
	blob, err := j.Store.PutBlob(context.WithoutCancel(j.ctx), j.s.Run.Tenant, j.s.Run.Subject, strings.NewReader(t.result.Text))
	if err != nil {
		return err
	}
	t.pin, t.result.Blob, t.result.Size = blob.ID, blob.ID, int64(size)
	t.result.Text = pageOf(t.result.Text[:pageBytes], t.call.ID, 1, int64(size))
	return nil
}

// pageOf frames a page of a long result.
func pageOf(text string, call decouple.CallID, page int, size int64) string {
	pages := (size + pageBytes - 1) / pageBytes
	s := strings.ToValidUTF8(text, "") + fmt.Sprintf("\n[page %d of %d, %d bytes in all", page, pages, size)
	if int64(page) < pages {
		s += fmt.Sprintf("; %s {\"call\": \"%s\", \"page\": %d} gives the next", decouple.ToolResultRead, call, page+1)
	}
	return s + "]"
}

// readResult answers the tool result.read.
func (j *job) readResult(args json.RawMessage) (text string, bad bool, err error) {
	var a struct {
		Call decouple.CallID `json:"call"`
		Page int             `json:"page"`
	}
	if err := json.Unmarshal(args, &a); err != nil {
		return "the arguments are not {call, page}: " + err.Error(), true, nil
	}
	c := j.s.record(a.Call)
	if c == nil || c.Outcome == nil {
		return fmt.Sprintf("there is no call %q with a result; calls are named like \"3/1\"", a.Call), true, nil
	}
	a.Page = max(1, a.Page)
	if c.Blob == "" {
		if a.Page > 1 {
			return "this result has one page", true, nil
		}
		return c.Outcome.Text, c.Outcome.Error, nil
	}
	from := int64(a.Page-1) * pageBytes
	if from >= c.Size {
		return fmt.Sprintf("this result has %d pages", (c.Size+pageBytes-1)/pageBytes), true, nil
	}
	r, err := j.Store.GetBlob(context.WithoutCancel(j.ctx), j.s.Run.Tenant, c.Blob)
	if err != nil {
		return "", false, err
	}
	defer func() { _ = r.Close() }()
	if _, err := io.CopyN(io.Discard, r, from); err != nil {
		return "", false, err
	}
	b, err := io.ReadAll(io.LimitReader(r, pageBytes))
	return pageOf(string(b), a.Call, a.Page, c.Size), false, err
}

// ask has people asked about calls. A call whose tool is not here is not asked about: performing it says so.
func (j *job) ask(calls []CallRecord) {
	for _, c := range calls {
		t := &try{call: c, tool: j.tools[c.Name]}
		if t.tool != nil {
			t.effect = t.tool.Spec().Effect
		}
		if j.Contracts != nil && t.tool != nil { // one question for both
			if r, err := j.Contracts.Tool(j.use(c.Name, c.Args, "")); err == nil && r.Effect == placement.Hold {
				j.note(j.heldQuestion(t, &r))
				continue
			}
		}
		j.note(j.s.question(c, t.effect, j.bind(t), stamp()))
	}
}

// bind is a hash over all that an approval is given for: the arguments, the tool as it is defined, the agent's version and the effect key.
func (j *job) bind(t *try) string {
	var spec decouple.ToolSpec
	if t.tool != nil {
		spec = t.tool.Spec()
	}
	b, err := json.Marshal(struct {
		Spec    decouple.ToolSpec
		Args    json.RawMessage
		Version decouple.VersionHash
		Key     string
	}{spec, t.call.Args, j.s.Run.Version, effectKey(j.s.Run.ID, t.call.ID)})
	if err != nil {
		b = []byte(err.Error()) // a definition without a form is bound by what is wrong with it
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// settle finds out what became of calls whose worker is gone: by the tool's query where it has one, else a person is asked.
func (j *job) settle(calls []CallRecord) error {
	for _, c := range calls {
		t := &try{call: c, tool: j.tools[c.Name], effect: c.Effect, result: result{Call: c.ID}}
		why := "the worker that began it is gone"
		var query decouple.Tool
		if t.tool != nil {
			query = j.tools[t.tool.Spec().Query]
		}
		if query == nil {
			j.note(doubted{Call: c.ID, Why: why, At: stamp()})
			continue
		}
		if err := j.held(); err != nil {
			return err
		}
		if err := j.mayAsk(query, c.Args); err != nil {
			j.note(doubted{Call: c.ID, Why: why + ", and " + query.Spec().Name + " was not asked: " + err.Error(), At: stamp()})
			continue
		}
		ctx, cancel := context.WithTimeout(j.ctx, j.timeout(query))
		var out decouple.Outcome
		err := unharmed("the tool "+query.Spec().Name, func() (err error) {
			inv := j.invocation(t, func(string) {})
			inv.Name = query.Spec().Name
			out, err = query.Do(ctx, inv)
			return err
		})
		cancel()
		switch {
		case j.ctx.Err() != nil:
			return errAgain
		case err == nil && out.Status == decouple.QueryDone:
			t.result.Text, t.result.Error, t.result.Query = out.Text, out.Error, query.Spec().Name
			t.result.Effect, t.result.Attempt, t.result.At = c.Effect, c.Attempts, stamp()
			if err := j.page(t); err != nil {
				return err
			}
			if t.pin != "" {
				j.pins = append(j.pins, t.pin)
			}
			j.ride([]result{t.result})
		case err == nil && out.Status == decouple.QueryNotDone:
			j.note(resolved{Call: c.ID, Redo: true, By: decouple.Actor{Kind: decouple.ActorSystem, ID: "the tool " + query.Spec().Name}, At: stamp()})
		case err != nil:
			j.note(doubted{Call: c.ID, Why: why + ", and " + query.Spec().Name + " failed: " + err.Error(), At: stamp()})
		default:
			j.note(doubted{Call: c.ID, Why: why + ", and " + query.Spec().Name + " does not know", At: stamp()})
		}
	}
	return nil
}
