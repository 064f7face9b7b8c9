package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
)

// plan sorts the open calls of an answer by what is to be done about them.
type plan struct {
	s       *State
	late    bool
	used    int64
	limit   int64
	signals []signaled // that no call has taken yet
	refused []result
	ask     []CallRecord
	expire  []CallRecord
	settle  []CallRecord
	timers  []CallRecord
	tools   []CallRecord
	spawns  []CallRecord
	wait    Wait
	doubts  []string
}

// openCalls says what to do about calls that are not answered: answer what needs no performing, ask, perform, spawn, and then wait. It is nil if none is open.
func (s *State) openCalls(children []decouple.RunID) Effect {
	p := plan{s: s, used: s.used.Tools, signals: s.signals, wait: Wait{Children: children}}
	p.limit = s.Envelope.ToolCalls - keptCalls(s.Envelope.ToolCalls, s.writeUp()) - s.lent.Tools
	d := s.searchDeadline()
	p.late = !d.IsZero() && !s.Now.Before(d)
	for i := s.open; i < len(s.Calls); i++ {
		if c := s.Calls[i]; c.Outcome == nil && c.Child == "" {
			p.add(i, c)
		}
	}
	switch {
	case len(p.refused) > 0:
		return Refuse{p.refused}
	case len(p.settle) > 0:
		return Settle{p.settle}
	case len(p.expire) > 0:
		return Expire{p.expire}
	case len(p.ask) > 0:
		return Ask{p.ask}
	case len(p.timers) > 0:
		return SetTimer{p.timers}
	case len(p.tools) > 0:
		return CallTools{p.tools}
	case len(p.spawns) > 0:
		return s.spawn(p.spawns)
	case p.late && len(p.doubts) > 0 && len(children) == 0:
		return s.finish(decouple.Cause{Kind: decouple.CauseUnknown, Why: "its time is over and nobody knows what became of " + strings.Join(p.doubts, ", ")})
	case len(children) > 0 || len(p.wait.People) > 0 || len(p.wait.Contracts) > 0 || len(p.wait.Signals) > 0 || !p.wait.Wake.IsZero():
		return p.wait
	}
	return nil
}

// add sorts one call.
func (p *plan) add(i int, c CallRecord) {
	own := c.Name == decouple.ToolSleep || c.Name == decouple.ToolSignal || c.Name == decouple.ToolResultRead
	listed := slices.Contains(p.s.Agent.Tools, c.Name) || c.Name == decouple.ToolSpawn || c.Name == decouple.ToolResultRead
	fresh := c.Attempts == 0 && c.ask == nil && c.timer == nil
	switch {
	case !c.Doubted.IsZero():
		p.doubts = append(p.doubts, string(c.ID)+" "+c.Name)
		p.wait.People = append(p.wait.People, fmt.Sprintf("what became of call %s (%s)", c.ID, c.Name))
	case !c.Started.IsZero():
		p.settleLater(c)
	case fresh && c.same >= maxRepeats && !own:
		p.refused = append(p.refused, p.s.refuseRepeat(i))
	case fresh && c.Name != decouple.ToolSpawn && c.Name != decouple.ToolResultRead && p.s.Envelope.ToolCalls != 0 && p.used >= p.limit:
		text := fmt.Sprintf("the envelope's %d tool calls are used up: finish with what you have", max(0, p.s.Envelope.ToolCalls))
		p.refuse(c, refusedLimit, text)
	case listed && !p.consent(c):
	case own && c.Name != decouple.ToolResultRead:
		p.used++
		p.waitFor(c)
	case c.Retry.After(p.s.Now):
		p.used++
		if p.late {
			p.refuse(c, refusedLate, "the tool failed and the run's time is over: "+c.failure)
			return
		}
		p.until(c.Retry, fmt.Sprintf("try %d of call %s (%s)", c.Attempts+1, c.ID, c.Name))
	case c.Name == decouple.ToolSpawn:
		p.spawns = append(p.spawns, c)
	default:
		p.tools = append(p.tools, c)
		p.used++
	}
}

func (p *plan) refuse(c CallRecord, why, text string) {
	p.refused = append(p.refused, result{Call: c.ID, Text: text, Error: true, Refused: why, At: p.s.Now})
}

// until has the run wake at a time, at the latest when its time is over.
func (p *plan) until(at time.Time, why string) {
	if p.wait.Wake.IsZero() || at.Before(p.wait.Wake) {
		p.wait.Wake, p.wait.Why = at, why
	}
	if d := p.s.searchDeadline(); !d.IsZero() && d.Before(p.wait.Wake) {
		p.wait.Wake, p.wait.Why = d, "the end of its time"
	}
}

// settleLater finds out about a call that a worker began who is gone, once it is surely over.
func (p *plan) settleLater(c CallRecord) {
	if p.s.Now.Before(c.over) {
		p.wait.Wake, p.wait.Why = earlier(p.wait.Wake, c.over), fmt.Sprintf("the end of call %s (%s), which was begun by a worker that is gone", c.ID, c.Name)
		return
	}
	p.settle = append(p.settle, c)
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// consent says whether people allow a call, or need not be asked.
func (p *plan) consent(c CallRecord) bool {
	if c.ask == nil {
		if len(p.s.rules(c)) > 0 {
			p.ask = append(p.ask, c)
			return false
		}
		return true
	}
	switch v := c.verdict; {
	case v == nil && !c.ask.Expires.IsZero() && !p.s.Now.Before(c.ask.Expires):
		p.expire = append(p.expire, c)
	case v == nil && c.clauses != nil:
		return !p.heldCall(c)
	case v == nil:
		p.wait.People = append(p.wait.People, fmt.Sprintf("approval of call %s (%s)", c.ID, c.Name))
		if !c.ask.Expires.IsZero() {
			p.wait.Wake, p.wait.Why = earlier(p.wait.Wake, c.ask.Expires), fmt.Sprintf("the end of the time to approve call %s", c.ID)
		}
	case v.Expired:
		p.refuse(c, refusedPerson, "nobody approved this call in time, so it was not made")
	case !v.Approve:
		text := fmt.Sprintf("%s denied this call, so it was not made", v.By.ID)
		if v.Why != "" {
			text += ": " + v.Why
		}
		p.refuse(c, refusedPerson, text)
	default:
		return true
	}
	return false
}

// rules are the rules of the agent that a call falls under. A condition that cannot be evaluated counts as met.
func (s *State) rules(c CallRecord) []decouple.Approval {
	var hit []decouple.Approval
	for _, r := range s.Agent.Approve {
		if r.Tool != c.Name {
			continue
		}
		if ok, err := r.When.Holds(c.Args); ok || err != nil {
			hit = append(hit, r)
		}
	}
	return hit
}

// question is what people are asked about a call.
func (s *State) question(c CallRecord, effect decouple.Effect, hash string, now time.Time) asked {
	q := asked{Call: c.ID, Effect: effect, Hash: hash, At: now}
	for _, r := range s.rules(c) {
		q.Rules = append(q.Rules, askedRule{By: r.By, Quorum: max(1, r.Quorum)})
		if r.Expires > 0 {
			q.Expires = earlier(q.Expires, now.Add(r.Expires))
		}
	}
	return q
}

// timerArgs are the arguments of time.sleep and signal.wait.
type timerArgs struct {
	For   string    `json:"for"`
	Until time.Time `json:"until"`
	Name  string    `json:"name"`
}

// timerOf reads the arguments of a call that waits.
func timerOf(c CallRecord, now time.Time) (timed, error) {
	var a timerArgs
	t := timed{Call: c.ID}
	if err := json.Unmarshal(c.Args, &a); err != nil {
		return t, fmt.Errorf("the arguments are not {for, until, name}: %w", err)
	}
	if t.Until = a.Until; a.For != "" {
		d, err := time.ParseDuration(a.For)
		if err != nil || d < 0 {
			return t, fmt.Errorf("%q is not a duration such as 90s, 15m or 72h", a.For)
		}
		t.Until = now.Add(d)
	}
	switch {
	case c.Name == decouple.ToolSleep && t.Until.IsZero():
		return t, fmt.Errorf("say how long with for, or until when with until")
	case c.Name == decouple.ToolSignal && a.Name == "":
		return t, fmt.Errorf("say the name of the signal")
	case c.Name == decouple.ToolSignal:
		t.Name = a.Name
	}
	return t, nil
}

// waitFor sees whether the time or the signal that a call waits for has come.
func (p *plan) waitFor(c CallRecord) {
	s := p.s
	if c.timer == nil {
		t, err := timerOf(c, s.Now)
		d := s.searchDeadline()
		switch {
		case err != nil:
			p.refuse(c, refusedAgent, err.Error())
		case c.Name == decouple.ToolSleep && !d.IsZero() && t.Until.After(d):
			p.refuse(c, refusedLate, "the run's time ends before that, at "+d.UTC().Format(time.RFC3339))
		default:
			p.timers = append(p.timers, c)
		}
		return
	}
	if c.timer.Name != "" {
		if i := slices.IndexFunc(p.signals, func(g signaled) bool { return g.Name == c.timer.Name }); i >= 0 {
			g := p.signals[i]
			p.signals = slices.Delete(slices.Clone(p.signals), i, i+1)
			text := string(g.Body)
			if text == "" {
				text = "null"
			}
			p.refused = append(p.refused, result{Call: c.ID, Text: text, Refused: ownResult, Signal: g.ID, At: s.Now})
			return
		}
	}
	end := c.timer.Until
	switch {
	case !end.IsZero() && !s.Now.Before(end) && c.timer.Name == "":
		p.refused = append(p.refused, result{Call: c.ID, Text: "it is " + s.Now.UTC().Format(time.RFC3339) + " now", Refused: ownResult, At: s.Now})
	case !end.IsZero() && !s.Now.Before(end):
		p.refuse(c, refusedLate, "no signal "+c.timer.Name+" came in time")
	case p.late:
		p.refuse(c, refusedLate, "the run's time is over")
	default:
		if c.timer.Name != "" {
			p.wait.Signals = append(p.wait.Signals, c.timer.Name)
		}
		if d := s.searchDeadline(); !end.IsZero() || !d.IsZero() {
			p.until(orLater(end, d), "call "+string(c.ID)+" ("+c.Name+")")
		}
	}
}

// orLater is a, or b if there is no a.
func orLater(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return a
}

// nextTurn says what a session does: end its turn, begin the next one, or wait for input.
func (s *State) nextTurn(open []decouple.RunID) Effect {
	switch {
	case len(open) > 0:
		return Wait{Children: open}
	case len(s.inputs) == 0:
		return Wait{People: []string{waitInput}}
	}
	in := s.inputs[0]
	grant, e := s.rest(false), s.Envelope
	if e.Tokens > 0 && grant.Tokens < leastTokens || e.USD > 0 && grant.USD == 0 || e.Agents > 0 && grant.Agents == 0 {
		return s.finish(decouple.Cause{Kind: decouple.CauseExhausted, Why: "the session's envelope has nothing left for another turn"})
	}
	task, err := json.Marshal(in.Text)
	if err != nil {
		task = []byte(`""`) // cannot happen: a string always has a form
	}
	c := ChildPlan{ID: s.childID(0), Call: turnCall, Agent: s.Run.Agent, Task: task, Label: in.Text, Grant: grant, Turn: in.ID}
	if e.Time > 0 {
		c.Deadline = s.Now.Add(e.Time).UTC().Truncate(time.Microsecond)
	}
	for i := len(s.Children) - 1; i >= 0; i-- {
		if s.Children[i].End != nil {
			c.From = &origin{Run: s.Children[i].ID}
			break
		}
	}
	return Spawn{Children: []ChildPlan{c}}
}

// waitInput is what a session waits for when nothing is left to answer.
const waitInput = "input"

// turnCall is the call that a turn of a session answers; no model made it.
const turnCall decouple.CallID = "turn"

const (
	compactAt   = 120_000 // tokens of a conversation at which long results in its older part are elided
	keepTokens  = 30_000  // of its newest part, which are shown in full
	shownBytes  = 300     // of an elided result
	elideOver   = 1_000   // bytes of a result that is worth eliding
	elisionText = "\n[the rest of %d bytes is left out here; %s {\"call\": \"%s\"} gives it back]"
)

// compaction says from where on a long conversation is to be shown in full, if that saves much.
func (s *State) compaction() (Compact, bool) {
	if s.promptTokens() < compactAt {
		return Compact{}, false
	}
	kept, before := 0, len(s.Messages)
	for before > 0 && kept < keepTokens*3 {
		before--
		kept += messageBytes(s.Messages[before])
	}
	if before <= s.elided {
		return Compact{}, false
	}
	bytes := 0
	for _, m := range s.shown(before) {
		bytes += messageBytes(m)
	}
	if bytes > s.bytes*9/10 {
		return Compact{}, false
	}
	return Compact{Before: before, Bytes: bytes}, true
}

func messageBytes(m decouple.Message) int {
	n := 40
	for _, p := range m.Parts {
		n += len(p.Text) + 60
		if p.Call != nil {
			n += len(p.Call.Args) + len(p.Call.Name)
		}
		if p.Result != nil {
			n += len(p.Result.Text)
		}
	}
	return n
}

// shown is the conversation with long results elided in the messages before a number.
func (s *State) shown(before int) []decouple.Message {
	out := slices.Clone(s.Messages)
	call := 0
	for i := range out[:before] {
		if out[i].Role != decouple.ToolRole {
			continue
		}
		parts := slices.Clone(out[i].Parts)
		for k := range parts {
			if r := parts[k].Result; r != nil && call < len(s.Calls) {
				if len(r.Text) > elideOver {
					short := *r
					short.Text = strings.ToValidUTF8(r.Text[:shownBytes], "") + fmt.Sprintf(elisionText, len(r.Text), decouple.ToolResultRead, s.Calls[call].ID)
					parts[k].Result = &short
				}
				call++
			}
		}
		out[i].Parts = parts
	}
	return out
}

// paged says whether the model has seen only part of a result.
func (s *State) paged() bool {
	return s.elided > 0 || slices.ContainsFunc(s.Calls, func(c CallRecord) bool { return c.Blob != "" })
}
