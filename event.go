package decouple

import "time"

// StreamKind says what kind of thing a stream is about.
type StreamKind string

// The kinds of stream that have events.
const (
	StreamRun      StreamKind = "run"
	StreamAgent    StreamKind = "agent"
	StreamNote     StreamKind = "note"
	StreamMemory   StreamKind = "memory"   // what agents remember, by scope
	StreamSchedule StreamKind = "schedule" // of an agent: the times at which runs were started
	StreamKey      StreamKind = "key"      // of the interface's callers
	StreamRequest  StreamKind = "request"  // of an idempotency key: what was asked under it
)

// Stream names the ordered events of one thing.
type Stream struct {
	Tenant TenantID   `json:"tenant"`
	Kind   StreamKind `json:"kind"`
	ID     string     `json:"id"`
}

// String is "tenant/kind/id".
func (s Stream) String() string { return string(s.Tenant) + "/" + string(s.Kind) + "/" + s.ID }

// RunStream is the stream of a run.
func RunStream(t TenantID, id RunID) Stream { return Stream{t, StreamRun, string(id)} }

// Seq is an event's place in its stream, from 1; 0 is the place before the first.
type Seq int64

// Position is an event's place in the whole log: dense, stable, from 1.
type Position int64

// EventKind names what happened, for example "run.created"; kinds are never renamed.
type EventKind string

// ActorKind says what sort of principal acted.
type ActorKind string

// The kinds of actor.
const (
	ActorSystem  ActorKind = "system"
	ActorPerson  ActorKind = "person"
	ActorAgent   ActorKind = "agent"
	ActorKey     ActorKind = "key"
	ActorService ActorKind = "service"
)

// Actor is who did it.
type Actor struct {
	Kind ActorKind `json:"kind"`
	ID   string    `json:"id"`
}

// Event is one fact. The header is the same for every kind and complete: fields are never added to it later.
type Event struct {
	ID          EventID
	Stream      Stream
	Seq         Seq
	Position    Position
	Kind        EventKind
	KindVersion int
	Time        time.Time // of the store, UTC, to the microsecond
	Actor       Actor
	Causation   EventID // the event that led to this one
	RootRun     RunID
	Trace       TraceID
	Subject     SubjectID
	Commit      CommitID
	Checksum    [32]byte // SHA-256 over the previous event's checksum, the header and the payload
	Payload     []byte   // JSON, at most 64 kB
}
