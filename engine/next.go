package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"decouple.dev/decouple"
)

// Effect is something that Next asks the driver to do.
type Effect interface{ effect() }

// CallModel asks the model for the next message.
type CallModel struct {
	Step      int
	Offer     []string // tools, by name
	NoTools   bool     // it may not call any now
	Final     string   // why it is told to finish, if it is
	Need      account  // to be reserved before the call leaves
	MaxTokens int64
}

// CallTools performs open calls, all at once.
type CallTools struct{ Calls []CallRecord }

// Refuse answers open calls without performing them.
type Refuse struct{ results []result }

// Spawn creates children and waits for them.
type Spawn struct {
	Children []ChildPlan
	Wrap     *decouple.Cause // why the search ended, if this is the write-up
}

// ChildPlan is a child that is to be created.
type ChildPlan struct {
	ID       decouple.RunID
	Call     decouple.CallID
	Agent    decouple.AgentName
	Task     json.RawMessage
	Label    string
	Grant    account
	Deadline time.Time
	From     *origin // whose conversation it goes on with
	Turn     string  // of a session, the input that it answers
}

// Wait parks the run until one of the things that it waits for has come.
type Wait struct {
	Children  []decouple.RunID
	People    []string  // what people must decide, in words
	Contracts []string  // what contracts hold, in words
	Site      string    // where contracts let it run, in words: not here
	Signals   []string  // names
	Wake      time.Time // the first of the times that it waits for; zero is none
	Why       string    // what that time is, in words
}

// Ask asks people whether calls may be made.
type Ask struct{ Calls []CallRecord }

// Expire answers for people who have not decided in time.
type Expire struct{ Calls []CallRecord }

// SetTimer begins to wait for a time or a signal.
type SetTimer struct{ Calls []CallRecord }

// Settle finds out what became of calls that were begun by a worker that is gone.
type Settle struct{ Calls []CallRecord }

// Compact shortens what the model is shown of the conversation; everything is kept.
type Compact struct {
	Before int // long results in the messages before this one are elided
	Bytes  int // of the conversation then
}

// Finish ends the run.
type Finish struct {
	Cause  decouple.Cause
	Answer string
	Cancel []decouple.RunID // children that are still at work and are to be canceled
}

func (CallModel) effect() {}
func (CallTools) effect() {}
func (Refuse) effect()    {}
func (Spawn) effect()     {}
func (Wait) effect()      {}
func (Finish) effect()    {}
func (Ask) effect()       {}
func (Expire) effect()    {}
func (SetTimer) effect()  {}
func (Settle) effect()    {}
func (Compact) effect()   {}

// Why the engine refuses a call.
const (
	refusedRepeat   = "repeated"
	refusedLimit    = "limit" // an amount is used up: the run counts as exhausted
	refusedShape    = "shape" // too deep or too many: the agent has to do it itself
	refusedAgent    = "agent"
	refusedPerson   = "denied"
	refusedLate     = "late" // the run's time is over
	refusedFork     = "fork"
	refusedSize     = "too_large"
	refusedContract = "contract"
	ownResult       = "engine" // not refused: the engine answered it itself
)

const (
	maxRepeats = 3 // identical calls that are performed; the next is refused
	maxBarren  = 2 // answers in a row whose tools found nothing new
)

// Next says what is to be done now; nil for a run that has ended.
func Next(s *State) Effect {
	switch {
	case s.Ended():
		return nil
	case s.stop != nil:
		return s.finish(decouple.Cause{Kind: decouple.CauseCanceled, Why: stopWhy(*s.stop)})
	}
	open := s.openChildren()
	if s.Session != "" {
		return s.nextTurn(open)
	}
	if s.writing {
		if len(open) > 0 {
			return Wait{Children: open}
		}
		return s.finish(s.doneCause())
	}
	if s.final != "" && s.Messages[len(s.Messages)-1].Role == decouple.Assistant {
		return s.wrapUp(s.doneCause()) // what it asks for after it was told to finish is left alone
	}
	if e := s.openCalls(open); e != nil {
		return e
	}
	if s.Messages[len(s.Messages)-1].Role == decouple.Assistant {
		return s.wrapUp(s.doneCause())
	}
	return s.nextCall()
}

func stopWhy(c canceled) string {
	if c.Why == "" {
		return "canceled by " + c.By
	}
	return fmt.Sprintf("canceled by %s: %s", c.By, c.Why)
}

// doneCause is why a run that came to its end has ended: it is exhausted if a limit kept it from something.
func (s *State) doneCause() decouple.Cause {
	if s.wrap.Kind != "" && s.wrap.Kind != decouple.CauseDone {
		return s.wrap
	}
	if s.short != "" {
		return decouple.Cause{Kind: decouple.CauseExhausted, Why: s.short}
	}
	return decouple.Cause{Kind: decouple.CauseDone}
}

func (s *State) finish(c decouple.Cause) Finish {
	f := Finish{Cause: c, Answer: s.Answer, Cancel: s.openChildren()}
	for i := len(s.Messages) - 1; i >= 0 && f.Answer == ""; i-- {
		if s.Messages[i].Role == decouple.Assistant {
			f.Answer = s.Messages[i].Text()
		}
	}
	return f
}

// wrapUp ends the search: a root whose agent names a writer spawns it with what is left, write-up share included; any other run ends.
func (s *State) wrapUp(c decouple.Cause) Effect {
	late := !s.Run.Deadline.IsZero() && !s.Now.Before(s.Run.Deadline)
	if s.Run.Parent != "" || s.Agent.Writer == "" || late {
		return s.finish(c)
	}
	grant := s.rest(false)
	e := s.Envelope
	if e.Tokens > 0 && grant.Tokens < leastTokens || e.USD > 0 && grant.USD == 0 || e.Agents > 0 && grant.Agents == 0 {
		if c.Kind == decouple.CauseDone {
			c = decouple.Cause{Kind: decouple.CauseExhausted, Why: "the envelope has nothing left for the write-up"}
		}
		return s.finish(c)
	}
	if s.Envelope.Agents > 0 {
		grant.Agents = 1
	}
	return Spawn{Wrap: &c, Children: []ChildPlan{{
		ID: s.childID(0), Call: writeUpCall, Agent: s.Agent.Writer, Task: json.RawMessage(s.Messages[0].Text()), Label: "write-up",
		Grant: grant, Deadline: s.Run.Deadline,
	}}}
}

func (s *State) childID(n int) decouple.RunID {
	return decouple.RunID(fmt.Sprintf("%s.%d", s.Run.ID, len(s.Children)+n+1))
}

func (s *State) openChildren() []decouple.RunID {
	var open []decouple.RunID
	for _, c := range s.Children {
		if c.End == nil {
			open = append(open, c.ID)
		}
	}
	return open
}

func (s *State) refuseRepeat(i int) result {
	r := result{Call: s.Calls[i].ID, Error: true, Refused: refusedRepeat, Text: "this call was made before and is not made again"}
	for _, c := range s.Calls[:i] {
		if c.Name == s.Calls[i].Name && bytes.Equal(c.Args, s.Calls[i].Args) && c.Outcome != nil {
			r.Text += "; its result was: " + c.Outcome.Text
			break
		}
	}
	return r
}

// spawn plans children for calls, or refuses the calls that no child may be made for.
func (s *State) spawn(calls []CallRecord) Effect {
	var refused []result
	var plans []ChildPlan
	refuse := func(c CallRecord, why, format string, args ...any) {
		refused = append(refused, result{Call: c.ID, Text: fmt.Sprintf(format, args...), Error: true, Refused: why})
	}
	grant, ok := s.share(len(calls))
	for _, c := range calls {
		var args decouple.SpawnArgs
		d := json.NewDecoder(bytes.NewReader(c.Args))
		d.DisallowUnknownFields()
		err := d.Decode(&args)
		e := s.Envelope
		switch {
		case err != nil:
			refuse(c, refusedAgent, "the arguments of %s are not {agent, task: {question, ...}}: %v", decouple.ToolSpawn, err)
		case !slices.Contains(s.Agent.Agents, args.Agent):
			refuse(c, refusedAgent, "this agent may not spawn %q; it may spawn %v", args.Agent, s.Agent.Agents)
		case args.Task.Question == "":
			refuse(c, refusedAgent, "a task needs a question")
		case e.Depth > 0 && s.Run.ID.Depth() >= e.Depth:
			refuse(c, refusedShape, "the envelope's depth of %d is reached: find out yourself", e.Depth)
		case e.Children > 0 && len(s.Children)+len(plans) >= e.Children:
			refuse(c, refusedShape, "the envelope's %d children are used up: find out yourself", e.Children)
		case !ok || e.Agents > 0 && s.rest(true).Agents-int64(len(plans))*grant.Agents < grant.Agents:
			refuse(c, refusedLimit, "the envelope has too little left for another agent: finish with what you have")
		default:
			task, err := json.Marshal(args.Task)
			if err != nil {
				refuse(c, refusedAgent, "%v", err)
				continue
			}
			plans = append(plans, ChildPlan{
				ID: s.childID(len(plans)), Call: c.ID, Agent: args.Agent, Task: task, Label: args.Task.Question,
				Grant: grant, Deadline: s.searchDeadline(),
			})
		}
	}
	if len(refused) > 0 {
		return Refuse{refused}
	}
	return Spawn{Children: plans}
}

// nextCall asks the model, if the envelope and the time allow it.
func (s *State) nextCall() Effect {
	e := s.Envelope
	if d := s.searchDeadline(); !d.IsZero() && !s.Now.Before(d) {
		return s.wrapUp(decouple.Cause{Kind: decouple.CauseDeadline, Why: "its time of " + e.Time.String() + " is over"})
	}
	if e.Steps > 0 && s.Steps >= e.Steps {
		return s.wrapUp(decouple.Cause{Kind: decouple.CauseExhausted, Why: fmt.Sprintf("its %d steps are used up", e.Steps)})
	}
	if c, ok := s.compaction(); ok {
		return c
	}
	if e := s.gated(); e != nil {
		return e
	}
	call := CallModel{Step: s.Steps + 1, Offer: s.offer()}
	switch {
	case s.barren >= maxBarren:
		call.Final = "its tools found nothing new twice"
	case e.Steps > 0 && s.Steps == e.Steps-1:
		call.Final = "it is its last step"
	}
	call.NoTools = call.Final != ""
	call.Need, call.MaxTokens = s.need()
	if !s.covers(call.Need) {
		return s.wrapUp(decouple.Cause{Kind: decouple.CauseExhausted, Why: s.shortfall(call.Need)})
	}
	return call
}

// offer lists the tools that the model is offered: to spawn is offered only where a child could be made.
func (s *State) offer() []string {
	tools := s.Agent.Tools
	e := s.Envelope
	if s.paged() && !slices.Contains(tools, decouple.ToolResultRead) {
		tools = append(slices.Clone(tools), decouple.ToolResultRead)
	}
	_, ok := s.share(1)
	if len(s.Agent.Agents) == 0 || !ok || e.Depth > 0 && s.Run.ID.Depth() >= e.Depth || e.Children > 0 && len(s.Children) >= e.Children {
		return tools
	}
	return append(slices.Clone(tools), decouple.ToolSpawn)
}
