package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Span selects recorded calls; zero fields select all.
type Span struct {
	Tenant decouple.TenantID
	Since  time.Time // of their beginning, included
	Until  time.Time // not included
	ID     string    // of the call or of its decision, which are mostly the same
	Run    decouple.RunID
}

// Recorded is a settled call as the journal has it.
type Recorded struct {
	ID       string             `json:"id"`
	Tenant   decouple.TenantID  `json:"tenant"`
	Key      string             `json:"key,omitempty"`
	Team     string             `json:"team,omitempty"`
	Agent    decouple.AgentName `json:"agent,omitempty"`
	Run      decouple.RunID     `json:"run,omitempty"`
	Door     Door               `json:"door,omitempty"`
	Asked    string             `json:"asked,omitempty"` // the model or alias, as the caller named it
	Class    string             `json:"class,omitempty"`
	Labels   []string           `json:"labels,omitempty"`
	Endpoint string             `json:"endpoint,omitempty"` // that answered, or else was asked last; empty is none
	Model    string             `json:"model,omitempty"`
	Usage    decouple.Usage     `json:"usage"` // of all its lines
	At       time.Time          `json:"at"`
	First    time.Duration      `json:"first_ns,omitempty"`
	Took     time.Duration      `json:"took_ns"`
	Outcome  Outcome            `json:"outcome"`
	Policy   string             `json:"policy,omitempty"` // the version of the contracts that decided where it may go
	Signed   []string           `json:"signed,omitempty"` // clauses that a person had signed off for its run
	Refused  []Refused          `json:"refused,omitempty"`
	Decision string             `json:"decision,omitempty"`
	Trace    decouple.TraceID   `json:"trace,omitempty"`
	Lines    []Line             `json:"-"` // one for every endpoint that may charge for it
}

// skew is how far the clock of a node may go before that of the journal.
const skew = 24 * time.Hour

// Calls hands every recorded call of a span to fn, in the order in which the journal got them, which is nearly that of their ends; what nodes have settled within the last
// second may be missing. An error of fn ends it and is given back.
func Calls(ctx context.Context, log journal.Reader, s Span, fn func(Recorded) error) error {
	return NewTail(log, s).Read(ctx, fn)
}

// Tail reads recorded calls of a span as they come. It is for one goroutine at a time.
type Tail struct {
	log  journal.Reader
	span Span
	upTo decouple.Position
	seen map[origin]int64
}

// NewTail has read nothing yet.
func NewTail(log journal.Reader, s Span) *Tail {
	return &Tail{log: log, span: s, seen: map[origin]int64{}}
}

// Read is [Calls] of what it has not read yet. After an error of fn it goes on with the call that it came at.
func (t *Tail) Read(ctx context.Context, fn func(Recorded) error) error {
	for {
		events, err := t.log.Scan(ctx, journal.Filter{Kind: StreamUsage, Tenant: t.span.Tenant, After: t.upTo})
		if err != nil || len(events) == 0 {
			return err
		}
		for _, e := range events {
			if t.span.mayHave(e) {
				if err := t.span.calls(e, t.seen, fn); err != nil {
					return err
				}
			}
			t.upTo = e.Position
		}
	}
}

// Calls is [Calls], with all that this node has settled.
func (l *Ledger) Calls(ctx context.Context, s Span, fn func(Recorded) error) error {
	if err := l.Flush(ctx); err != nil {
		return err
	}
	return Calls(ctx, l.cfg.Store, s, fn)
}

// Find is the call of an id, or of a decision. NotFound is that the journal has none.
func Find(ctx context.Context, log journal.Reader, tenant decouple.TenantID, id string) (Recorded, error) {
	var found *Recorded
	err := Calls(ctx, log, Span{Tenant: tenant, ID: id}, func(c Recorded) error {
		found = &c
		return nil
	})
	if err == nil && found == nil {
		err = decouple.Errorf(decouple.NotFound, "the journal has no call %s", id)
	}
	if err != nil {
		return Recorded{}, err
	}
	return *found, nil
}

// mayHave says whether an event may have a call of the span, without reading it.
func (s Span) mayHave(e decouple.Event) bool {
	if !s.Since.IsZero() && e.Time.Before(s.Since.Add(-skew)) {
		return false // it was journaled before any of them began
	}
	return names(e.Payload, s.ID) && names(e.Payload, string(s.Run))
}

// names says whether a payload may have a name: one that JSON writes in several ways is taken to be there.
func names(payload []byte, name string) bool {
	if name == "" || strings.ContainsAny(name, "\\\"<>&\u2028\u2029") {
		return true
	}
	return bytes.Contains(payload, []byte(`"`+name+`"`))
}

// calls hands on what an event has of the span. A settlement that was journaled twice, by a folder that was copied, is one call.
func (s Span) calls(e decouple.Event, seen map[origin]int64, fn func(Recorded) error) error {
	list, from, err := callsOf(e)
	if err != nil {
		return err
	}
	for i := range list {
		c := &list[i]
		if c.N <= seen[from] {
			continue
		}
		at := c.began()
		if s.ID != "" && c.ID != s.ID && c.Decision != s.ID || s.Run != "" && c.Run != s.Run || at.Before(s.Since) || !s.Until.IsZero() && !at.Before(s.Until) {
			seen[from] = c.N
			continue
		}
		if err := fn(c.recorded()); err != nil {
			return err
		}
		seen[from] = c.N
	}
	return nil
}

// callsOf reads an event of usage.
func callsOf(e decouple.Event) ([]storedCall, origin, error) {
	if e.Kind != UsageRecorded || e.KindVersion != 1 {
		return nil, origin{}, decouple.Errorf(decouple.Unavailable, "the event %s of usage is of a kind that this version does not know: use the newer program", e.ID)
	}
	var p storedUsage
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return nil, origin{}, decouple.Errorf(decouple.Internal, "the event %s of usage cannot be read: %w", e.ID, err)
	}
	holder, _, _ := strings.Cut(e.Stream.ID, "/")
	for i := range p.Calls {
		p.Calls[i].Tenant = e.Stream.Tenant
	}
	return p.Calls, origin{e.Stream.Tenant, holder}, nil
}

// recorded is a stored call as readers see it.
func (c *storedCall) recorded() Recorded {
	r := Recorded{
		ID: c.ID, Tenant: c.Tenant, Key: c.Key, Team: c.Team, Agent: c.Agent, Run: c.Run, Door: c.Door, Asked: c.Model, Class: c.Class, Labels: c.Labels, At: c.began(), First: time.Duration(c.First) * time.Microsecond,
		Took: time.Duration(c.Took) * time.Microsecond, Outcome: c.Outcome, Policy: c.Policy, Signed: c.Signed, Refused: c.Refused, Trace: c.Trace, Decision: c.Decision,
	}
	for i := range c.Lines {
		l := &c.Lines[i]
		r.Lines = append(r.Lines, Line{Attempt: l.Attempt, Endpoint: l.Endpoint, Model: l.Model, Usage: l.usage(), Source: l.Source, Unpriced: l.Unpriced})
		r.Usage = r.Usage.Add(l.usage())
	}
	if n := len(c.Lines); n > 0 {
		l := &c.Lines[n-1]
		for i := range c.Lines {
			if c.Won > 0 && c.Lines[i].Attempt == c.Won {
				l = &c.Lines[i]
			}
		}
		r.Endpoint, r.Model = l.Endpoint, l.Model
	}
	return r
}
