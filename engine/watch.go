package engine

import (
	"time"

	"decouple.dev/decouple"
)

// SignalKind says what a signal is about.
type SignalKind string

// The kinds of signal.
const (
	SignalCreated SignalKind = "created" // a run was made
	SignalWorking SignalKind = "working" // a worker has taken it up
	SignalCalling SignalKind = "calling" // the model is being asked
	SignalToken   SignalKind = "token"   // live text of the model
	SignalTool    SignalKind = "tool"    // a tool is being called
	SignalStep    SignalKind = "step"    // an answer is durable
	SignalParked  SignalKind = "parked"  // it waits
	SignalEnded   SignalKind = "ended"
)

// Signal tells whoever watches what goes on. Signals are not facts: only the journal has those.
type Signal struct {
	Kind   SignalKind
	Time   time.Time
	Tenant decouple.TenantID
	Run    decouple.RunID
	Agent  decouple.AgentName
	Label  string
	Step   int
	Text   string // of a token; a tool's name; what it waits for
	Usage  decouple.Usage
	Cause  decouple.Cause
}

func (e *Engine) tell(s *State, k SignalKind, text string) {
	e.Watch(Signal{Kind: k, Time: time.Now(), Tenant: s.Run.Tenant, Run: s.Run.ID, Agent: s.Run.Agent, Label: s.Label, Step: s.Steps, Text: text, Usage: s.Usage, Cause: s.Cause})
}
