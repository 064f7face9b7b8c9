package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// StreamResponse is the kind of the streams that stored responses are kept in.
const StreamResponse decouple.StreamKind = "response"

// The kinds of event in a stored response's stream.
const (
	ResponseCreated  decouple.EventKind = "response.created"
	ResponseStarted  decouple.EventKind = "response.started"  // in the background, by a node
	ResponseEnded    decouple.EventKind = "response.ended"    // with the object that the caller is given
	ResponseCanceled decouple.EventKind = "response.canceled" // asked for; whoever makes it ends it
	ResponseDeleted  decouple.EventKind = "response.deleted"
)

// StoredResponse is a response that can be asked for again and gone on from.
type StoredResponse struct {
	ID         string
	Tenant     decouple.TenantID
	Key        string   // who made it
	Team       string   // of that key
	Body       []byte   // the request, as it was sent
	Items      []byte   // a JSON list: what the request added to the conversation
	Previous   string   // the response that it goes on from
	Labels     []string // of the data that is in it: those of the call, and of the responses that it goes on from
	Object     []byte   // as the caller was given it; nil while it is being made
	Background bool
	Caller     Caller // in the background: for whom it is made
	Node       decouple.NodeID
	Canceled   bool
	Created    time.Time

	seq decouple.Seq
}

// ResponseStore keeps responses. A response that is not there is NotFound.
type ResponseStore interface {
	Get(ctx context.Context, t decouple.TenantID, id string) (StoredResponse, error)
	Commit(ctx context.Context, r *StoredResponse, kind decouple.EventKind) error
	Unfinished(ctx context.Context) ([]StoredResponse, error)
}

// JournalResponses keeps responses in a journal.
type JournalResponses struct {
	Store journal.Store

	mu   sync.Mutex // of Unfinished
	upTo decouple.Position
	open map[decouple.Stream]bool
}

// responseEvent is the payload of all the kinds. What is longer than an event may be is in a blob.
type responseEvent struct {
	Key        string          `json:"key,omitempty"`
	Team       string          `json:"team,omitempty"`
	Body       kept            `json:"body,omitzero"`
	Items      kept            `json:"items,omitzero"`
	Previous   string          `json:"previous,omitempty"`
	Object     kept            `json:"object,omitzero"`
	Background bool            `json:"background,omitempty"`
	Caller     *Caller         `json:"caller,omitempty"`
	Labels     []string        `json:"labels,omitempty"`
	Node       decouple.NodeID `json:"node,omitempty"`
}

// kept is a text in an event, or the blob that has it.
type kept struct {
	JSON json.RawMessage `json:"json,omitempty"`
	Blob decouple.BlobID `json:"blob,omitempty"`
}

// inEvent is how many bytes of one text go into an event; longer ones are blobs.
const inEvent = 16 << 10

// Commit adds an event to the stream of r at the place that r was read at: Conflict if somebody else was first.
func (s *JournalResponses) Commit(ctx context.Context, r *StoredResponse, kind decouple.EventKind) error {
	e := responseEvent{}
	var pins []decouple.BlobID
	put := func(b []byte) (kept, error) {
		if len(b) <= inEvent {
			return kept{JSON: b}, nil
		}
		blob, err := s.Store.PutBlob(ctx, r.Tenant, "", bytes.NewReader(b))
		pins = append(pins, blob.ID)
		return kept{Blob: blob.ID}, err
	}
	var err error
	switch kind {
	case ResponseCreated:
		e = responseEvent{Key: r.Key, Team: r.Team, Previous: r.Previous, Background: r.Background, Labels: r.Labels}
		if r.Background {
			e.Caller = &r.Caller
			if e.Body, err = put(r.Body); err != nil {
				return err
			}
		}
		if e.Items, err = put(r.Items); err != nil {
			return err
		}
		if r.Object != nil {
			if e.Object, err = put(r.Object); err != nil {
				return err
			}
		}
	case ResponseStarted:
		e.Node = r.Node
	case ResponseEnded:
		if e.Object, err = put(r.Object); err != nil {
			return err
		}
	}
	payload, err := json.Marshal(e)
	if err != nil {
		return err
	}
	receipt, err := s.Store.Commit(ctx, journal.Mutation{
		ID: decouple.CommitID(newID("response")), Stream: decouple.Stream{Tenant: r.Tenant, Kind: StreamResponse, ID: r.ID}, Expect: r.seq, Pin: pins,
		Events: []journal.NewEvent{{Kind: kind, KindVersion: 1, Actor: decouple.Actor{Kind: decouple.ActorKey, ID: r.Key}, Payload: payload}},
	})
	r.seq = receipt.Seq
	return err
}

// Get reads a response.
func (s *JournalResponses) Get(ctx context.Context, t decouple.TenantID, id string) (StoredResponse, error) {
	events, err := s.Store.Read(ctx, decouple.Stream{Tenant: t, Kind: StreamResponse, ID: id}, 0, 0)
	if err != nil {
		return StoredResponse{}, err
	}
	r := StoredResponse{ID: id, Tenant: t}
	for _, e := range events {
		if e.Kind == ResponseDeleted {
			r.ID = ""
			break
		}
		if err := s.apply(ctx, &r, e); err != nil {
			return StoredResponse{}, err
		}
	}
	if len(events) == 0 || r.ID == "" {
		return StoredResponse{}, noResponse(id)
	}
	return r, nil
}

func (s *JournalResponses) apply(ctx context.Context, r *StoredResponse, e decouple.Event) error {
	var p responseEvent
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return decouple.Errorf(decouple.Internal, "the event %s of the response %s cannot be read: %w", e.ID, r.ID, err)
	}
	r.seq = e.Seq
	var err error
	get := func(k kept) []byte {
		if k.Blob == "" {
			return k.JSON
		}
		var b []byte
		rc, opened := s.Store.GetBlob(ctx, r.Tenant, k.Blob)
		if opened == nil {
			b, opened = io.ReadAll(rc)
			_ = rc.Close() // it was only read
		}
		if err == nil {
			err = opened
		}
		return b
	}
	switch e.Kind {
	case ResponseCreated:
		r.Key, r.Team, r.Previous, r.Background, r.Created, r.Labels = p.Key, p.Team, p.Previous, p.Background, e.Time, p.Labels
		if p.Caller != nil {
			r.Caller = *p.Caller
		}
		r.Body, r.Items, r.Object = get(p.Body), get(p.Items), get(p.Object)
	case ResponseStarted:
		r.Node = p.Node
	case ResponseEnded:
		r.Object = get(p.Object)
	case ResponseCanceled:
		r.Canceled = true
	}
	return err
}

// Unfinished lists the responses that were begun in the background and are not there yet. It reads what is new since it was last asked.
func (s *JournalResponses) Unfinished(ctx context.Context) ([]StoredResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[decouple.Stream]bool{}
	}
	for {
		events, err := s.Store.Scan(ctx, journal.Filter{Kind: StreamResponse, After: s.upTo})
		if err != nil {
			return nil, err
		}
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			s.upTo = e.Position
			switch e.Kind {
			case ResponseCreated:
				var p responseEvent
				if json.Unmarshal(e.Payload, &p) == nil && p.Background {
					s.open[e.Stream] = true
				}
			case ResponseEnded, ResponseDeleted:
				delete(s.open, e.Stream)
			}
		}
	}
	var out []StoredResponse
	for st := range s.open {
		r, err := s.Get(ctx, st.Tenant, st.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func noResponse(id string) error {
	return decouple.Errorf(decouple.NotFound, "there is no response %s: it was never stored, was deleted, or belongs to another team", id)
}
