package api

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
	"unicode"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/knowledge"
	"decouple.dev/decouple/registry"
)

// Run is a run as the interface shows it. Its totals are its own, without its children's.
type Run struct {
	ID        decouple.RunID     `json:"id"`
	Parent    decouple.RunID     `json:"parent"`
	Root      decouple.RunID     `json:"root"`
	Agent     decouple.AgentName `json:"agent"`
	Question  string             `json:"question"`
	Status    decouple.RunStatus `json:"status"`
	Wait      decouple.Wait      `json:"wait,omitzero"` // of a parked run
	Cause     decouple.CauseKind `json:"cause"`         // of an ended run
	Why       string             `json:"why,omitempty"`
	Steps     int                `json:"steps"`
	TokensIn  int64              `json:"tokens_in"`
	TokensOut int64              `json:"tokens_out"`
	USD       float64            `json:"usd"` // for display; cost is exact
	Cost      decouple.Money     `json:"cost_nano_usd"`
	Created   time.Time          `json:"created"`
	Updated   time.Time          `json:"updated"` // of the last commit that touched it
	WallMS    int64              `json:"wall_ms"`

	Tenant    decouple.TenantID    `json:"tenant"`
	Version   decouple.VersionHash `json:"version"` // of its agent
	Class     string               `json:"class,omitempty"`
	Labels    []string             `json:"labels,omitempty"`
	Team      string               `json:"team,omitempty"`   // of the key that it was started with
	Caller    string               `json:"caller,omitempty"` // that key's id
	Site      decouple.Site        `json:"site,omitzero"`
	Priority  int                  `json:"priority,omitempty"`
	Deadline  time.Time            `json:"deadline,omitzero"`
	Key       string               `json:"idempotency_key,omitempty"`
	Trace     decouple.TraceID     `json:"trace,omitempty"`
	Sources   decouple.Sources     `json:"sources,omitzero"`
	Failure   decouple.Kind        `json:"failure,omitempty"` // of a failed run, the kind of its error
	Estimated bool                 `json:"estimated,omitempty"`
	Node      decouple.NodeID      `json:"node,omitempty"` // that has or had it
	Epoch     journal.Epoch        `json:"epoch,omitempty"`
	Events    decouple.Seq         `json:"events"`   // in its stream
	Inbox     journal.InboxSeq     `json:"inbox"`    // newest message
	Consumed  journal.InboxSeq     `json:"consumed"` // newest message that it has taken
	Until     journal.InboxSeq     `json:"until,omitempty"`
	Wake      time.Time            `json:"wake,omitzero"` // a parked run goes on then by itself
	Row       int64                `json:"row"`           // its place in the list by creation
}

// RunOf is a row of the view of runs as the interface shows it.
func RunOf(r journal.RunRow) Run {
	return Run{
		ID: r.ID, Parent: r.Parent, Root: r.Root, Agent: r.Agent, Question: r.Label, Status: r.Status, Wait: r.Wait, Cause: r.Cause.Kind, Why: r.Cause.Why,
		Steps: r.Steps, TokensIn: r.Usage.TokensIn, TokensOut: r.Usage.TokensOut, USD: r.Usage.Cost.Dollars(), Cost: r.Usage.Cost,
		Created: r.Created, Updated: r.Updated, WallMS: r.Updated.Sub(r.Created).Milliseconds(),
		Tenant: r.Tenant, Version: r.Version, Class: r.Class, Labels: r.Labels, Team: r.Team, Caller: r.Caller, Site: r.Site, Priority: r.Priority, Deadline: r.Deadline, Key: r.IdempotencyKey, Trace: r.Trace,
		Sources: r.Sources, Failure: r.Cause.Err, Estimated: r.Usage.Estimated, Node: r.Node, Epoch: r.Epoch, Events: r.Seq, Inbox: r.Inbox, Consumed: r.Consumed,
		Until: r.Until, Wake: r.Wake, Row: r.Row,
	}
}

// RunsOf is [RunOf] for a list, which is never null.
func RunsOf(rows []journal.RunRow) []Run {
	out := make([]Run, 0, len(rows))
	for _, r := range rows {
		out = append(out, RunOf(r))
	}
	return out
}

// row is the inverse of RunOf.
func (r Run) row() journal.RunRow {
	return journal.RunRow{
		Run: decouple.Run{ID: r.ID, Tenant: r.Tenant, Parent: r.Parent, Root: r.Root, Agent: r.Agent, Version: r.Version, Class: r.Class, Labels: r.Labels, Team: r.Team, Caller: r.Caller, Site: r.Site,
			Priority: r.Priority, Deadline: r.Deadline, IdempotencyKey: r.Key, Trace: r.Trace, Sources: r.Sources},
		Label: r.Question, Status: r.Status, Wait: r.Wait, Cause: decouple.Cause{Kind: r.Cause, Why: r.Why, Err: r.Failure}, Node: r.Node, Epoch: r.Epoch, Seq: r.Events,
		Inbox: r.Inbox, Consumed: r.Consumed, Until: r.Until, Wake: r.Wake, Row: r.Row, Steps: r.Steps,
		Usage:   decouple.Usage{TokensIn: r.TokensIn, TokensOut: r.TokensOut, Cost: r.Cost, Estimated: r.Estimated},
		Created: r.Created, Updated: r.Updated,
	}
}

// Event is an event as the interface shows it: all of it, so that whoever reads a stream can check its chain of checksums.
type Event struct {
	Position  decouple.Position  `json:"position"`
	Time      string             `json:"time"`
	Run       string             `json:"run,omitempty"` // of a run's stream
	Seq       decouple.Seq       `json:"seq"`
	Kind      decouple.EventKind `json:"kind"`
	Version   int                `json:"version"`
	ID        decouple.EventID   `json:"id"`
	Causation decouple.EventID   `json:"causation,omitempty"`
	Actor     decouple.Actor     `json:"actor"`
	Stream    decouple.Stream    `json:"stream"`
	Root      decouple.RunID     `json:"root,omitempty"`
	Trace     decouple.TraceID   `json:"trace,omitempty"`
	Subject   decouple.SubjectID `json:"subject,omitempty"`
	Commit    decouple.CommitID  `json:"commit"`
	Checksum  string             `json:"checksum"` // SHA-256, in hex, over the one before it in the stream, the header and the payload
	Payload   json.RawMessage    `json:"payload"`
}

// Precise is how the interface writes the times of events: to the microsecond.
const Precise = "2006-01-02T15:04:05.000000Z07:00"

// EventOf is an event as the interface shows it.
func EventOf(e decouple.Event) Event {
	run := ""
	if e.Stream.Kind == decouple.StreamRun {
		run = e.Stream.ID
	}
	return Event{e.Position, e.Time.Format(Precise), run, e.Seq, e.Kind, e.KindVersion, e.ID, e.Causation, e.Actor, e.Stream, e.RootRun, e.Trace, e.Subject, e.Commit, hex.EncodeToString(e.Checksum[:]), e.Payload}
}

// event is the inverse of EventOf.
func (e Event) event() (decouple.Event, error) {
	out := decouple.Event{ID: e.ID, Stream: e.Stream, Seq: e.Seq, Position: e.Position, Kind: e.Kind, KindVersion: e.Version, Actor: e.Actor, Causation: e.Causation,
		RootRun: e.Root, Trace: e.Trace, Subject: e.Subject, Commit: e.Commit, Payload: e.Payload}
	var err error
	if out.Time, err = time.Parse(Precise, e.Time); err == nil {
		_, err = hex.Decode(out.Checksum[:], []byte(e.Checksum))
	}
	if err != nil || len(e.Checksum) != 2*len(out.Checksum) {
		return out, decouple.Errorf(decouple.Internal, "the server's event at position %d cannot be read", e.Position)
	}
	out.Time = out.Time.UTC()
	return out, nil
}

// Limits are an envelope as the interface takes it; a field that is left out is as the agent says.
type Limits struct {
	USD       float64 `json:"usd,omitempty" jsonschema:"most that the tree may cost, in dollars"`
	Tokens    int64   `json:"tokens,omitempty" jsonschema:"most tokens, in and out together"`
	ToolCalls int64   `json:"tool_calls,omitempty"`
	Agents    int64   `json:"agents,omitempty" jsonschema:"most runs in the tree, the root included"`
	Depth     int     `json:"depth,omitempty" jsonschema:"of the deepest run; the root is at 0"`
	Children  int     `json:"children,omitempty" jsonschema:"of one run"`
	Steps     int     `json:"steps,omitempty" jsonschema:"model calls of one run"`
	Time      string  `json:"time,omitempty" jsonschema:"from start to deadline, such as 90s or 5m"`
	StepTime  string  `json:"step_time,omitempty" jsonschema:"of one model call or tool call, such as 90s"`
}

// envelope checks limits.
func (l Limits) envelope() (decouple.Envelope, error) {
	e := decouple.Envelope{USD: decouple.Money(l.USD*1e9 + 0.5), Tokens: l.Tokens, ToolCalls: l.ToolCalls, Agents: l.Agents, Depth: l.Depth, Children: l.Children, Steps: l.Steps}
	for _, d := range []struct {
		name, text string
		into       *time.Duration
	}{{"time", l.Time, &e.Time}, {"step_time", l.StepTime, &e.StepTime}} {
		if d.text == "" {
			continue
		}
		v, err := time.ParseDuration(d.text)
		if err != nil || v <= 0 {
			return e, decouple.Errorf(decouple.Invalid, "limits.%s: %q is not a time such as 90s or 5m", d.name, d.text)
		}
		*d.into = v
	}
	if l.USD < 0 || l.USD > 1e9 || l.Tokens < 0 || l.ToolCalls < 0 || l.Agents < 0 || l.Depth < 0 || l.Children < 0 || l.Steps < 0 {
		return e, decouple.Errorf(decouple.Invalid, "limits: a limit may not be negative, and usd at most 1e9")
	}
	return e, nil
}

// Bounds of what a run is marked with.
const (
	maxLabels   = 64
	maxLabel    = 200 // bytes
	maxPriority = 1000
)

// marked checks the labels, the site and the priority of a run that is asked for.
func marked(labels []string, site decouple.Site, priority int) error {
	for name, list := range map[string][]string{"labels": labels, "site.labels": site.Labels, "site": {site.Cloud, site.Region}} {
		if len(list) > maxLabels {
			return decouple.Errorf(decouple.Invalid, "%s: there are %d, and a run has at most %d", name, len(list), maxLabels)
		}
		for _, l := range list {
			if len(l) > maxLabel || strings.ContainsFunc(l, unicode.IsControl) {
				return decouple.Errorf(decouple.Invalid, "%s: %.20q is not a text of up to %d bytes on one line", name, l, maxLabel)
			}
		}
	}
	if priority < -maxPriority || priority > maxPriority {
		return decouple.Errorf(decouple.Invalid, "priority: %d is not between -%d and %d", priority, maxPriority, maxPriority)
	}
	return nil
}

// LimitsOf is an envelope as the interface takes it.
func LimitsOf(e decouple.Envelope) Limits {
	l := Limits{USD: e.USD.Dollars(), Tokens: e.Tokens, ToolCalls: e.ToolCalls, Agents: e.Agents, Depth: e.Depth, Children: e.Children, Steps: e.Steps}
	if e.Time > 0 {
		l.Time = e.Time.String()
	}
	if e.StepTime > 0 {
		l.StepTime = e.StepTime.String()
	}
	return l
}

// NewRun starts a run.
type NewRun struct {
	Agent    decouple.AgentName `json:"agent" jsonschema:"by name; GET /api/v1/agents lists them"`
	Task     decouple.Task      `json:"task"`
	Sources  decouple.Sources   `json:"sources,omitzero" jsonschema:"notes that the tree may read; without it all notes of now"`
	Limits   Limits             `json:"limits,omitzero"`
	Labels   []string           `json:"labels,omitempty" jsonschema:"of its data"`
	Site     decouple.Site      `json:"site,omitzero" jsonschema:"where it may execute"`
	Priority int                `json:"priority,omitempty" jsonschema:"from -1000 to 1000; larger goes first within the tenant"`
}

// Begun answers what makes a run.
type Begun struct {
	Run decouple.RunID `json:"run"`
}

// RunList is a page of runs.
type RunList struct {
	Runs []Run `json:"runs"`
	Next int64 `json:"next,omitempty" jsonschema:"give it as after to get the next page; left out at the end of the list"`
}

// EventList is a page of events.
type EventList struct {
	Events []Event `json:"events"`
	Next   int64   `json:"next,omitempty" jsonschema:"give it as after to get the next page; left out at the end of the list"`
}

// Reason says why somebody does something.
type Reason struct {
	Why string `json:"why,omitempty"`
}

// Told says how many runs were told.
type Told struct {
	Told int `json:"told"`
}

// NewFork forks a run.
type NewFork struct {
	Step    int    `json:"step" jsonschema:"answers of the model up to this one, and their results, are kept"`
	Effects bool   `json:"effects,omitempty" jsonschema:"make calls with effects after it again; without it they are refused"`
	Limits  Limits `json:"limits,omitzero"`
}

// NewSignal is a signal for a run.
type NewSignal struct {
	Name string          `json:"name"`
	Body json.RawMessage `json:"body,omitempty" jsonschema:"any JSON"`
}

// Verdict decides on an approval.
type Verdict struct {
	Approve bool   `json:"approve"`
	Why     string `json:"why,omitempty"`
	Hash    string `json:"hash,omitempty" jsonschema:"of the approval as it was seen; one that has changed meanwhile is refused"`
}

// NewResolution says what became of a call whose outcome is unknown.
type NewResolution struct {
	Redo   bool   `json:"redo,omitempty" jsonschema:"it did not happen: make it again"`
	Text   string `json:"text,omitempty" jsonschema:"else its result"`
	Failed bool   `json:"failed,omitempty" jsonschema:"and the result is an error"`
	Why    string `json:"why,omitempty"`
}

// Message is a message in a run's inbox.
type Message struct {
	Seq  journal.InboxSeq `json:"seq"`
	Kind string           `json:"kind"`
	From string           `json:"from"`
	Body json.RawMessage  `json:"body"`
}

// Agent is an agent as the interface shows it.
type Agent struct {
	decouple.Agent
	Source string `json:"source" jsonschema:"deployed, or the file that the server was started with"`
}

// AgentChange says what a later version of an agent changes.
type AgentChange struct {
	From    decouple.VersionHash `json:"from"`
	To      decouple.VersionHash `json:"to"`
	Changes []registry.Change    `json:"changes"`
}

// NewTalk opens a session.
type NewTalk struct {
	Agent  decouple.AgentName `json:"agent"`
	Label  string             `json:"label,omitempty"`
	Busy   engine.BusyPolicy  `json:"busy,omitempty" jsonschema:"what becomes of input while a turn is going on: queue, reject or interrupt"`
	Limits Limits             `json:"limits,omitzero"`
	Labels []string           `json:"labels,omitempty"`
	Site   decouple.Site      `json:"site,omitzero"`
}

// Talk is a session with its turns.
type Talk struct {
	Run   Run           `json:"run"`
	Turns []engine.Turn `json:"turns"`
}

// Saying is input to a session.
type Saying struct {
	Text string `json:"text"`
}

// Said is the id of input to a session.
type Said struct {
	Input string `json:"input"`
}

// NewKey makes a key.
type NewKey struct {
	Actor   decouple.Actor    `json:"actor" jsonschema:"a person, a service or an agent"`
	Role    registry.Role     `json:"role"`
	Label   string            `json:"label,omitempty"`
	Tenant  decouple.TenantID `json:"tenant,omitempty" jsonschema:"another than the caller's only by the installation's owner"`
	Expires time.Time         `json:"expires,omitzero"`
	Scope   *registry.Scope   `json:"scope,omitempty" jsonschema:"what it may do at the gateway; none does not narrow it"`
}

// MadeKey is a new key with its bearer string, which is shown only here.
type MadeKey struct {
	registry.Key
	Bearer string `json:"bearer"`
}

// Addition begins a request to add notes to the data folder of the asker's own machine.
type Addition struct {
	Paths []string       `json:"paths"`          // absolute: the owner works in another folder
	Stdin bool           `json:"stdin"`          // the bytes after this object are a note
	Name  string         `json:"name,omitempty"` // of that note
	Actor decouple.Actor `json:"actor"`
}

// Frame is a line of the answer to an [Addition]; exactly one field is set.
type Frame struct {
	Progress *knowledge.Progress `json:"progress,omitempty"`
	Summary  *knowledge.Summary  `json:"summary,omitempty"`
	Error    *Fault              `json:"error,omitempty"`
}

// Fault is an error on its way to the client.
type Fault struct {
	Kind    decouple.Kind `json:"kind"`
	Message string        `json:"message"`
	Request string        `json:"request,omitempty"` // names the request in the server's log
}

// Failure is the body of every answer that is an error.
type Failure struct {
	Error Fault `json:"error"`
}

func faultOf(err error) *Fault { return &Fault{Kind: decouple.KindOf(err), Message: err.Error()} }

// asError is the error that a fault stands for.
func (f Fault) asError() error { return decouple.Errorf(f.Kind, "%s", f.Message) }

// Removed says how many notes were removed.
type Removed struct {
	Removed int `json:"removed"`
}

// About says who answers.
type About struct {
	PID     int                `json:"pid"`
	Doing   string             `json:"doing"`  // its command
	Serves  bool               `json:"serves"` // it works on every run
	Version string             `json:"version"`
	Node    decouple.NodeID    `json:"node,omitempty"`
	Head    decouple.Position  `json:"head"` // position of the newest event
	You     registry.Principal `json:"you"`
}

// None is an answer without content.
type None struct{}
