package engine

import (
	"context"
	"encoding/json"

	"decouple.dev/decouple"
)

// Fork begins a new run from a step of another one.
type Fork struct {
	Tenant   decouple.TenantID
	Run      decouple.RunID
	Step     int               // the answers of the model up to this one, and their results, are kept
	Effects  bool              // calls with effects after it are made again; without it they are refused
	Envelope decouple.Envelope // set fields go before those of the run
	Key      string            // idempotency
	By       decouple.Actor
}

// Fork makes a root run that goes on from a step of another run, ready to be driven.
func (e *Engine) Fork(ctx context.Context, f Fork) (decouple.RunID, error) {
	return "", errUnbuilt
}

// Delivery is a signal for a run: what its tool signal.wait waits for.
type Delivery struct {
	Tenant decouple.TenantID
	Run    decouple.RunID
	Name   string
	Body   json.RawMessage
	ID     string // a second delivery with it changes nothing; empty draws one
	By     decouple.Actor
}

// Deliver puts a signal in a run's inbox. Conflict says that the run has ended.
func (e *Engine) Deliver(ctx context.Context, d Delivery) error { return errUnbuilt }

// Decision is somebody's word on a call that waits for approval.
type Decision struct {
	Tenant  decouple.TenantID
	Run     decouple.RunID
	Call    decouple.CallID
	Approve bool
	Why     string
	By      decouple.Actor
}

// Decide tells a run a decision. Denied says that this actor may not decide, Conflict that nothing is to be decided.
func (e *Engine) Decide(ctx context.Context, d Decision) error { return errUnbuilt }

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
func (e *Engine) Resolve(ctx context.Context, r Resolution) error { return errUnbuilt }

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
	Site     decouple.Site
	Key      string
	By       decouple.Actor
}

// OpenSession makes a session: a root run that waits for input, and answers each with a run of the agent that goes on with the conversation.
// It ends when it is canceled.
func (e *Engine) OpenSession(ctx context.Context, n NewSession) (decouple.RunID, error) {
	return "", errUnbuilt
}

// Input is what somebody says in a session.
type Input struct {
	Tenant  decouple.TenantID
	Session decouple.RunID
	Text    string
	ID      string // a second input with it changes nothing; empty draws one
	By      decouple.Actor
}

// Say puts input into a session and gives its id. Conflict says that the session has ended, or is busy and rejects.
func (e *Engine) Say(ctx context.Context, in Input) (string, error) { return "", errUnbuilt }

// PutAgent deploys a version of an agent for a tenant: new runs begin with it, runs under way stay on theirs.
func (e *Engine) PutAgent(ctx context.Context, tenant decouple.TenantID, a decouple.Agent, by decouple.Actor) error {
	return errUnbuilt
}

// Serve drives all runs of all tenants until ctx ends, and then hands what it has to other nodes. One run's failure ends nobody else.
func (e *Engine) Serve(ctx context.Context) error { return errUnbuilt }

var errUnbuilt = decouple.Errorf(decouple.Internal, "this is not built yet")
