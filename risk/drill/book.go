package drill

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/risk/sign"
)

// StreamDrill is the kind of the streams of drills: each has one.
const StreamDrill decouple.StreamKind = "drill"

// The kinds of event in a drill's stream.
const (
	Started decouple.EventKind = "drill.started"
	Ended   decouple.EventKind = "drill.ended"
)

// storedStart is what is stored of a drill that begins.
type storedStart struct {
	Scenario string        `json:"scenario"`
	Title    string        `json:"title"`
	Hash     string        `json:"sha256"`
	Mode     Mode          `json:"mode"`
	Every    time.Duration `json:"every_ns,omitempty"`
	Node     string        `json:"node,omitempty"`
	Until    time.Time     `json:"until,omitzero"` // of a live one: it ends by itself
	Canary   *Canary       `json:"canary,omitempty"`
}

// storedEnd is what is stored of one that has ended. The envelope is kept as the text that was signed.
type storedEnd struct {
	Envelope string `json:"envelope"`
	Passed   bool   `json:"passed"`
	Aborted  string `json:"aborted,omitempty"`
}

// Log is the part of a journal that drills are kept in.
type Log interface {
	Scan(ctx context.Context, f journal.Filter) ([]decouple.Event, error)
	Read(ctx context.Context, s decouple.Stream, after decouple.Seq, limit int) ([]decouple.Event, error)
	Commit(ctx context.Context, m journal.Mutation) (journal.Receipt, error)
}

// Reader is the part of a journal that drills are read from.
type Reader interface {
	Scan(ctx context.Context, f journal.Filter) ([]decouple.Event, error)
	Read(ctx context.Context, s decouple.Stream, after decouple.Seq, limit int) ([]decouple.Event, error)
}

// Entry is a drill as lists show it.
type Entry struct {
	ID       string         `json:"id"`
	Scenario string         `json:"scenario"`
	Title    string         `json:"title"`
	Mode     Mode           `json:"mode"`
	Started  time.Time      `json:"started"`
	By       decouple.Actor `json:"by"`
	Node     string         `json:"node,omitempty"`
	Until    time.Time      `json:"until,omitzero"`
	Ended    time.Time      `json:"ended,omitzero"`
	State    State          `json:"state"`
	Aborted  string         `json:"aborted,omitempty"`
	Every    time.Duration  `json:"every_ns,omitempty"`
	Due      time.Time      `json:"due,omitzero"`     // when the scenario is to be drilled again
	Result   *Result        `json:"result,omitempty"` // of one that has ended; in lists without its chart and its explanations

	envelope []byte
}

// State is how a drill stands.
type State string

// The states.
const (
	Running State = "running"
	Passed  State = "passed"
	Failed  State = "not passed"
	Aborted State = "aborted"
	Lost    State = "cut off" // its node ended, or it did not tell what came of it
)

// begin keeps that a drill begins.
func begin(ctx context.Context, log Log, tenant decouple.TenantID, r *Result, s storedStart) error {
	s.Scenario, s.Title, s.Hash, s.Mode, s.Every, s.Node = r.Scenario.ID, r.Scenario.Title, r.Scenario.Hash, r.Mode, r.Scenario.Every, r.Node
	return commit(ctx, log, tenant, r, 0, Started, s)
}

// keep signs the result of a drill and keeps it.
func keep(ctx context.Context, log Log, tenant decouple.TenantID, r *Result, key *sign.Key) ([]byte, error) {
	envelope, err := r.Sign(key)
	if err == nil && len(envelope) > journal.MaxPayload-4<<10 {
		r.Chart = nil // what is left is the figures, which are what counts
		r.Measures = append(slices.Clone(r.Measures), "The charts were left out: the document would have been larger than an event may be.")
		envelope, err = r.Sign(key)
	}
	if err != nil {
		return nil, err
	}
	return envelope, commit(ctx, log, tenant, r, 1, Ended, storedEnd{string(envelope), r.Passed, r.Aborted})
}

func commit[P storedStart | storedEnd](ctx context.Context, log Log, tenant decouple.TenantID, r *Result, after decouple.Seq, kind decouple.EventKind, p P) error {
	b, err := json.Marshal(p)
	if err != nil {
		return decouple.Errorf(decouple.Internal, "the drill cannot be kept: %w", err)
	}
	_, err = log.Commit(ctx, journal.Mutation{
		ID: decouple.CommitID(string(kind) + "/" + r.ID), Stream: decouple.Stream{Tenant: tenant, Kind: StreamDrill, ID: r.ID}, Expect: after,
		Events: []journal.NewEvent{{Kind: kind, KindVersion: 1, Actor: r.By, Payload: b}},
	})
	return err
}

// List gives the drills of a tenant, the newest first.
func List(ctx context.Context, log Reader, tenant decouple.TenantID, now time.Time) ([]Entry, error) {
	byID := map[string]*Entry{}
	f := journal.Filter{Tenant: tenant, Kind: StreamDrill}
	for {
		events, err := log.Scan(ctx, f)
		if err != nil {
			return nil, err
		}
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			f.After = e.Position
			if byID[e.Stream.ID] == nil {
				byID[e.Stream.ID] = &Entry{ID: e.Stream.ID}
			}
			if err := byID[e.Stream.ID].apply(e); err != nil {
				return nil, err
			}
		}
	}
	out := []Entry{}
	for _, e := range byID {
		e.stand(now)
		e.slim()
		out = append(out, *e)
	}
	slices.SortFunc(out, func(a, b Entry) int { return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(b.ID, a.ID)) })
	return out, nil
}

// slim leaves out of a result what lists do not show.
func (e *Entry) slim() {
	if r := e.Result; r != nil {
		r.Chart, r.Measures, r.NaiveBy, r.Simplified, r.Scenario.Facts = nil, []string{}, nil, nil, ""
	}
}

// Get gives one drill and, of one that has ended, the envelope with its result.
func Get(ctx context.Context, log Reader, tenant decouple.TenantID, id string, now time.Time) (Entry, []byte, error) {
	events, err := log.Read(ctx, decouple.Stream{Tenant: tenant, Kind: StreamDrill, ID: id}, 0, 0)
	if err == nil && len(events) == 0 {
		err = decouple.Errorf(decouple.NotFound, "there is no drill %q; `decouple drill ls` lists them", plain(id))
	}
	if err != nil {
		return Entry{}, nil, err
	}
	e := Entry{ID: id}
	for _, x := range events {
		if err := e.apply(x); err != nil {
			return Entry{}, nil, err
		}
	}
	e.stand(now)
	return e, e.envelope, nil
}

// apply folds an event.
func (e *Entry) apply(x decouple.Event) error {
	bad := func(err error) error {
		return decouple.Errorf(decouple.Internal, "the event %s of the drill %s cannot be read: %w", x.ID, e.ID, err)
	}
	switch x.Kind {
	case Started:
		var p storedStart
		if err := json.Unmarshal(x.Payload, &p); err != nil {
			return bad(err)
		}
		e.Scenario, e.Title, e.Mode, e.Started, e.By, e.Node, e.Until, e.Every = p.Scenario, p.Title, p.Mode, x.Time, x.Actor, p.Node, p.Until, p.Every
	case Ended:
		var p storedEnd
		if err := json.Unmarshal(x.Payload, &p); err != nil {
			return bad(err)
		}
		r, err := peek([]byte(p.Envelope))
		if err != nil {
			return bad(err)
		}
		e.Ended, e.Aborted, e.Result, e.envelope = x.Time, p.Aborted, r, []byte(p.Envelope)
	}
	return nil
}

// grace is how long a drill may take to tell what came of it, after its end or, of one that does not name it, its beginning.
const grace = 15 * time.Minute

// stand works out how a drill stands.
func (e *Entry) stand(now time.Time) {
	switch {
	case e.Result != nil && e.Aborted != "":
		e.State = Aborted
	case e.Result != nil && e.Result.Passed:
		e.State = Passed
	case e.Result != nil:
		e.State = Failed
	case now.After(cmp.Or(e.Until, e.Started).Add(grace)):
		e.State = Lost
	default:
		e.State = Running
	}
	if e.Result != nil && e.Every > 0 {
		e.Due = e.Started.Add(e.Every)
	}
}

// Peek reads the result in an envelope without checking who signed it: of the journal, which is checked itself, and never of a file of somebody else.
func Peek(envelope []byte) (*Result, error) { return peek(envelope) }

func peek(envelope []byte) (*Result, error) {
	var e struct {
		Type    string `json:"payloadType"`
		Payload string `json:"payload"`
	}
	if err := json.NewDecoder(bytes.NewReader(envelope)).Decode(&e); err != nil || e.Type != PayloadType {
		return nil, decouple.Errorf(decouple.Invalid, "this is no signed result of a drill")
	}
	b, err := base64.StdEncoding.DecodeString(e.Payload)
	if err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "the signed result of the drill is damaged")
	}
	var r Result
	if err := json.Unmarshal(b, &r); err != nil || r.Version != 1 {
		return nil, decouple.Errorf(decouple.Invalid, "the result of the drill is of a version that this program does not know: use the newer one")
	}
	return &r, nil
}
