package engine

import (
	"encoding/json"
	"time"

	"decouple.dev/decouple"
)

// The kinds of event in a run's stream, and the version this program writes. A kind version's meaning never changes.
const (
	kindCreated     decouple.EventKind = "run.created"
	kindAnswered    decouple.EventKind = "model.answered"
	kindLost        decouple.EventKind = "model.lost"
	kindReturned    decouple.EventKind = "tools.returned"
	kindCanceled    decouple.EventKind = "run.canceled"
	kindInterrupted decouple.EventKind = "run.interrupted"
	kindEnded       decouple.EventKind = "run.ended"
	kindStarted     decouple.EventKind = "calls.started"
	kindFailed      decouple.EventKind = "call.failed"
	kindDoubted     decouple.EventKind = "call.doubted"
	kindResolved    decouple.EventKind = "call.resolved"
	kindAsked       decouple.EventKind = "approval.asked"
	kindDecided     decouple.EventKind = "approval.decided"
	kindTimed       decouple.EventKind = "timer.set"
	kindSignaled    decouple.EventKind = "signal.received"
	kindInput       decouple.EventKind = "input.received"
	kindCompacted   decouple.EventKind = "conversation.compacted"
	kindAgent       decouple.EventKind = "agent.versioned" // in an agent's stream
	kindPut         decouple.EventKind = "agent.put"       // in an agent's stream: from now on this one

	kindVersion = 1
)

// created is the payload of run.created.
type created struct {
	Run      decouple.Run      `json:"run"`
	Label    string            `json:"label,omitempty"`
	Task     json.RawMessage   `json:"task"`
	Call     decouple.CallID   `json:"call,omitempty"` // of the parent, that spawned it
	Envelope decouple.Envelope `json:"envelope,omitzero"`
	Price    decouple.Price    `json:"price,omitzero"` // of its model, when it was created
	Reserve  *account          `json:"reserve,omitempty"`
	By       decouple.Actor    `json:"by,omitzero"` // who started the root
	From     *origin           `json:"from,omitempty"`
	Session  BusyPolicy        `json:"session,omitempty"` // it is one
	Led      []string          `json:"led,omitempty"`     // ids of those whose words led to it, but for who started the root
}

// origin is the run whose conversation another one goes on with.
type origin struct {
	Run     decouple.RunID `json:"run"`
	Step    int            `json:"step,omitempty"`    // up to this answer and its results; 0 is all of it
	Fork    bool           `json:"fork,omitempty"`    // calls and their results are inherited too
	Effects bool           `json:"effects,omitempty"` // calls with effects may be made again
}

// progress is what most events carry: what came back since the last one, and what is set aside for the next call.
type progress struct {
	Results []result        `json:"results,omitempty"`
	Input   string          `json:"input,omitempty"` // of a session, that the child answers
	Spawned []spawned       `json:"spawned,omitempty"`
	Wrap    *decouple.Cause `json:"wrap,omitempty"` // why the search ended, when the writer is spawned
	Reserve *account        `json:"reserve,omitempty"`
}

// answered is the payload of model.answered.
type answered struct {
	progress
	Step    int              `json:"step"`
	Prefix  string           `json:"prefix"` // hash of the conversation that the model was given
	Message decouple.Message `json:"message"`
	Finish  decouple.Finish  `json:"finish"`
	Model   string           `json:"model"`
	Usage   decouple.Usage   `json:"usage"`
	Final   string           `json:"final,omitempty"` // why the model was told to finish
	// Effects are those of the tools that the message calls, in its order; empty for one that has none or is not known.
	Effects []decouple.Effect `json:"effects,omitempty"`
}

// lost is the payload of model.lost: a call whose outcome nobody recorded is settled at what was reserved for it.
type lost struct {
	progress
	Step    int     `json:"step"`
	Settled account `json:"settled"`
}

// canceled is the payload of run.canceled.
type canceled struct {
	By  string `json:"by"`
	Why string `json:"why,omitempty"`
}

// interrupted is the payload of run.interrupted: the node was told to stop, the run goes on when somebody resumes it.
type interrupted struct {
	By string `json:"by"`
}

// ended is the payload of run.ended.
type ended struct {
	progress
	Cause   decouple.Cause `json:"cause"`
	Answer  string         `json:"answer,omitempty"`
	Settled *account       `json:"settled,omitempty"` // for a call that failed, or whose outcome is not known
}

// result answers one call: a tool's outcome, a child's end, or a refusal of the engine.
type result struct {
	Call    decouple.CallID `json:"call"`
	Text    string          `json:"text"`
	Error   bool            `json:"error,omitempty"`
	Found   []string        `json:"found,omitempty"`
	Refused string          `json:"refused,omitempty"` // why the engine did not perform it: "repeated", "limit", "agent"
	Child   *joined         `json:"child,omitempty"`

	Effect  decouple.Effect `json:"effect,omitempty"` // of the tool that was called, unless none
	Attempt int             `json:"attempt,omitempty"`
	At      time.Time       `json:"at,omitzero"`
	Blob    decouple.BlobID `json:"blob,omitempty"` // holds the whole of a long result, of which Text is the first page
	Size    int64           `json:"size,omitempty"`
	Signal  string          `json:"signal,omitempty"` // the id of the signal that it was
	Query   string          `json:"query,omitempty"`  // the tool that said so
}

// started is the payload of calls.started: calls that must not be made twice are about to be made.
type started struct {
	Calls []startedCall `json:"calls"`
}

type startedCall struct {
	Call    decouple.CallID `json:"call"`
	Effect  decouple.Effect `json:"effect"`
	Attempt int             `json:"attempt"`
	At      time.Time       `json:"at"`
	Until   time.Time       `json:"until"` // it is over by then, whatever became of it
}

// failed is the payload of call.failed: a try that may be repeated.
type failed struct {
	Call    decouple.CallID `json:"call"`
	Effect  decouple.Effect `json:"effect,omitempty"`
	Attempt int             `json:"attempt"`
	Kind    decouple.Kind   `json:"kind"`
	Why     string          `json:"why"`
	At      time.Time       `json:"at"`
	Retry   time.Time       `json:"retry"` // not before
}

// doubted is the payload of call.doubted: nobody knows whether it happened.
type doubted struct {
	Call decouple.CallID `json:"call"`
	Why  string          `json:"why"`
	At   time.Time       `json:"at"`
}

// resolved is the payload of call.resolved: somebody knows.
type resolved struct {
	Call   decouple.CallID `json:"call"`
	Redo   bool            `json:"redo,omitempty"`
	Text   string          `json:"text,omitempty"`
	Failed bool            `json:"failed,omitempty"`
	By     decouple.Actor  `json:"by"`
	Why    string          `json:"why,omitempty"`
	At     time.Time       `json:"at"`
}

// asked is the payload of approval.asked.
type asked struct {
	Call    decouple.CallID `json:"call"`
	Effect  decouple.Effect `json:"effect,omitempty"`
	Rules   []askedRule     `json:"rules"`
	Hash    string          `json:"hash"`
	At      time.Time       `json:"at"`
	Expires time.Time       `json:"expires,omitzero"`
}

// askedRule is what one rule demands.
type askedRule struct {
	By     []string `json:"by,omitempty"`
	Quorum int      `json:"quorum"`
}

// decided is the payload of approval.decided.
type decided struct {
	Call    decouple.CallID `json:"call"`
	Hash    string          `json:"hash,omitempty"` // of what was decided on
	Approve bool            `json:"approve,omitempty"`
	Expired bool            `json:"expired,omitempty"` // nobody decided in time
	By      decouple.Actor  `json:"by"`
	Why     string          `json:"why,omitempty"`
	At      time.Time       `json:"at"`
}

// timed is the payload of timer.set: a call that waits for a time or a signal.
type timed struct {
	Call  decouple.CallID `json:"call"`
	Name  string          `json:"name,omitempty"` // of the signal
	Until time.Time       `json:"until,omitzero"` // zero is for ever
}

// signaled is the payload of signal.received.
type signaled struct {
	ID   string          `json:"id"`
	Name string          `json:"name"`
	Body json.RawMessage `json:"body,omitempty"`
	By   decouple.Actor  `json:"by"`
	At   time.Time       `json:"at"`
}

// input is the payload of input.received.
type input struct {
	ID       string         `json:"id"`
	Text     string         `json:"text"`
	By       decouple.Actor `json:"by"`
	At       time.Time      `json:"at"`
	Rejected bool           `json:"rejected,omitempty"` // the session was busy
}

// compacted is the payload of conversation.compacted: long results in the messages before this one are shown to the model by their beginning only.
type compacted struct {
	Before int `json:"before"`
	Bytes  int `json:"bytes"` // of the conversation from now on
}

// spawned is a child that an event creates.
type spawned struct {
	Call  decouple.CallID `json:"call"`
	Child decouple.RunID  `json:"child"`
	Grant account         `json:"grant,omitzero"`
}

// joined is what a child's end brings: the body of the message in its parent's inbox.
type joined struct {
	Child  decouple.RunID  `json:"child"`
	Call   decouple.CallID `json:"call"`
	Cause  decouple.Cause  `json:"cause"`
	Answer string          `json:"answer,omitempty"`
	Used   account         `json:"used"`
	Held   time.Duration   `json:"held,omitempty"` // that it waited for people
	Led    []string        `json:"led,omitempty"`  // ids of those whose words led to it
}

// account is an amount of everything that an envelope counts.
type account struct {
	USD    decouple.Money `json:"usd,omitempty"`
	Tokens int64          `json:"tokens,omitempty"`
	Tools  int64          `json:"tools,omitempty"`
	Agents int64          `json:"agents,omitempty"`
}

func (a account) plus(b account) account {
	return account{a.USD + b.USD, a.Tokens + b.Tokens, a.Tools + b.Tools, a.Agents + b.Agents}
}

func (a account) minus(b account) account {
	return account{a.USD - b.USD, a.Tokens - b.Tokens, a.Tools - b.Tools, a.Agents - b.Agents}
}

// CallRecord is a tool call of a run and what became of it.
type CallRecord struct {
	ID      decouple.CallID
	ModelID string // the model's own id of the call
	Name    string
	Args    json.RawMessage
	Outcome *decouple.Outcome // nil while it is open
	Child   decouple.RunID    // that it spawned
	same    int               // earlier calls that are the same

	Effect   decouple.Effect // as far as it is known: of a call that was asked about or begun
	Attempts int
	Started  time.Time // a call that must not be made twice was about to be made
	over     time.Time // and is over by then
	Doubted  time.Time // nobody knows whether it happened
	doubt    string
	Resolved string // by whom
	Retry    time.Time
	failure  string // of the last try
	Ended    time.Time
	ask      *asked
	approved []string // who has said yes
	verdict  *decided // the last word: a denial, an expiry, or the approval that was still missing
	timer    *timed
	clauses  []clause        // that ask is about
	heldBy   string          // why they hold it
	Blob     decouple.BlobID // the whole of a long result
	Size     int64
	Refused  string
}

// Child is a run that this one spawned.
type Child struct {
	ID    decouple.RunID
	Call  decouple.CallID
	Grant account
	End   *joined // nil while it is open
}

// State is the fold of a run's events.
type State struct {
	Run      decouple.Run
	Agent    decouple.Agent // the pinned version; not from the run's own events
	Label    string
	Call     decouple.CallID // of the parent
	Envelope decouple.Envelope
	Price    decouple.Price
	Seq      decouple.Seq
	event    decouple.EventID // newest, while a worker has the run
	Now      time.Time        // of the newest event
	Created  time.Time

	Messages []decouple.Message
	Steps    int // answers of the model
	Calls    []CallRecord
	made     map[string]int // how often each call was made
	open     int            // calls before this index are answered
	Children []Child
	Usage    decouple.Usage // own answers
	Lost     account        // settled for calls whose outcome is not known

	used     account // own and of children that ended
	lent     account // granted to children that have not
	reserved account // for the next model call
	prefix   [32]byte
	bytes    int // of the conversation
	found    map[string]bool
	looked   bool           // since the last answer, a tool that finds was called, or a call was repeated once too often
	fresh    bool           // and found something new
	barren   int            // answers in a row whose tools found nothing new
	final    string         // why the model was told to finish, if it was
	short    string         // which limit was met
	wrap     decouple.Cause // why the search ended
	writing  bool           // the writer was spawned
	stop     *canceled
	gate     *CallRecord    // the next model call, while contracts hold it
	signed   []string       // clauses that people have signed off for the run
	checked  time.Time      // when it was last seen whether contracts hold a call
	By       decouple.Actor // who started the root
	led      []string       // ids of those whose words led to what the run does: who spoke in its session, sent it signals, canceled what it waited for
	From     *origin
	Session  BusyPolicy
	inputs   []input       // of a session, that no turn has taken
	turns    int           // inputs of a session that a turn has taken
	signals  []signaled    // that no call has taken
	elided   int           // long results in the messages before this one are elided
	held     time.Duration // waited for people
	heldTo   time.Time

	Cause  decouple.Cause // of an ended run
	Answer string
}

// Ended says whether the run is over.
func (s *State) Ended() bool { return s.Cause.Kind != "" }

// Used says what the run and its children used of the envelope.
func (s *State) Used() decouple.Envelope {
	return decouple.Envelope{USD: s.used.USD, Tokens: s.used.Tokens, ToolCalls: s.used.Tools, Agents: s.used.Agents}
}
