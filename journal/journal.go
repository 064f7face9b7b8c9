package journal

import (
	"context"
	"io"
	"time"

	"decouple.dev/decouple"
)

// Limits of what one commit may carry; larger values are put as blobs first.
const (
	MaxPayload = 64 << 10
	ChunkSize  = 1 << 20
)

// Wire passes words between the nodes of a shared store, beside the journal: nothing of it is kept, and any of it may be lost. A store of one process has none.
type Wire interface {
	// Send says something to the other nodes, at most MaxWire bytes of UTF-8 without zeros.
	Send(ctx context.Context, body []byte) error
	// Hear has fn called with what other nodes say. It must not block. Call it once.
	Hear(fn func(body []byte))
}

// MaxWire is how much is sent to other nodes at once, in bytes.
const MaxWire = 7000

// Store is a journal. All methods may be called from many goroutines.
type Store interface {
	Log
	Queue
	Blobs
	// Close ends the node's lease and closes the files; what was acknowledged is kept.
	Close() error
}

// Log is a journal that can be written.
type Log interface {
	Reader
	// Commit makes all of m happen, or nothing. It returns when the change is durable. A mutation whose ID was committed before
	// returns the first receipt. Errors: Conflict (the stream has moved, the inbox has moved, the epoch is stale), Invalid, NotFound
	// (an unknown run, an unknown or incomplete blob), TooLarge, Unavailable (disk full, closed).
	Commit(ctx context.Context, m Mutation) (Receipt, error)
}

// Reader reads events, the view of runs and blobs; a process that does not own the journal has only this.
type Reader interface {
	// Read returns up to limit events of a stream after seq, checked; limit 0 is all. A checksum that does not hold is Internal and names the event.
	Read(ctx context.Context, s decouple.Stream, after decouple.Seq, limit int) ([]decouple.Event, error)
	// Follow calls fn for every event after a position, in order, and waits for new ones until ctx ends or fn fails.
	Follow(ctx context.Context, after decouple.Position, fn func(decouple.Event) error) error
	// Scan returns up to limit events of streams of a kind after a position, in order of position.
	Scan(ctx context.Context, f Filter) ([]decouple.Event, error)
	// Head is the position of the newest event.
	Head(ctx context.Context) (decouple.Position, error)
	// Runs lists rows of the view of runs, by creation.
	Runs(ctx context.Context, f RunFilter) ([]RunRow, error)
	// Nodes lists the nodes that hold a lease, and for an hour those whose lease has ended.
	Nodes(ctx context.Context) ([]Node, error)
	// Inbox lists the messages of a run that are not consumed, oldest first.
	Inbox(ctx context.Context, t decouple.TenantID, id decouple.RunID) ([]Message, error)
	// GetBlob opens a blob; its content is checked against its address while it is read. Unknown is NotFound.
	GetBlob(ctx context.Context, t decouple.TenantID, id decouple.BlobID) (io.ReadCloser, error)
}

// Queue hands runs to nodes and their workers.
type Queue interface {
	// Claim gives the ready run that goes first among those that w selects and that this node's site may execute, now running on this node, or
	// waits until there is one or ctx ends. Shares are fair: the tenant that was served least recently goes first, within it the highest
	// priority, within that the root that was served least recently, within a tree the oldest run.
	// That it is running is written by its next commit or before Runs answers, whichever is first.
	Claim(ctx context.Context, w Want) (Claim, error)
	// Reclaim makes every run of a tree that was running on an earlier epoch, or parked as interrupted, ready, and says how many.
	Reclaim(ctx context.Context, t decouple.TenantID, root decouple.RunID) (int, error)
	// Epoch is the number of this node's lease; every epoch is larger than those before it. A node that lost its lease takes a new one.
	Epoch() Epoch
	// Holds says whether what was claimed under an epoch may still act. A node counts from before it asked for the lease and stops a margin
	// early; ask right before each call that leaves the process.
	Holds(e Epoch) bool
	// Urgent has fn called for each run at work on this node that gets an urgent message, whoever sent it from wherever. It must not block. Call it once,
	// before the first claim.
	Urgent(fn func(decouple.RunID))
}

// Want selects what a worker may be given; zero fields select all.
type Want struct {
	Tenant decouple.TenantID
	Root   decouple.RunID
}

// NodeSpec is what a process says of itself when it opens a store.
type NodeSpec struct {
	ID      decouple.NodeID `json:"id"`
	Site    decouple.Site   `json:"site,omitzero"`
	Address string          `json:"address,omitempty"` // where other nodes reach it, "host:port"
	Workers int             `json:"workers,omitempty"`
	Version string          `json:"version,omitempty"` // of the program
}

// Node is a row of the view of nodes: who holds or held a lease.
type Node struct {
	NodeSpec
	Epoch   Epoch     `json:"epoch"`
	Taken   time.Time `json:"taken"`
	Until   time.Time `json:"until"` // when its lease ends unless it is renewed; zero is with the process
	Alive   bool      `json:"alive"`
	Running int       `json:"running"` // runs that it has claimed
}

// Blobs keeps values that are too long for an event.
type Blobs interface {
	// PutBlob stores what r holds and returns its address: the same content within (tenant, subject) has the same one.
	// Until a commit pins it, it may be swept after a day.
	PutBlob(ctx context.Context, t decouple.TenantID, s decouple.SubjectID, r io.Reader) (Blob, error)
	// Address is the keyed hash that content has within (tenant, subject).
	Address(ctx context.Context, t decouple.TenantID, s decouple.SubjectID, content []byte) (decouple.BlobID, error)
	// Sweep deletes blobs that no commit has pinned and that are older than age, and says how many.
	Sweep(ctx context.Context, age time.Duration) (int, error)
}

// Epoch numbers a lease.
type Epoch int64

// Blob is an address and a size in bytes.
type Blob struct {
	ID   decouple.BlobID
	Size int64
}

// Mutation is one change of the world. The zero value of a field does nothing.
type Mutation struct {
	ID      decouple.CommitID // recognises a repeated submission; required
	Stream  decouple.Stream   // that Events go to
	Expect  decouple.Seq      // the stream's last sequence number, checked where there are events, a status or messages to consume
	Epoch   Epoch             // the lease that the caller holds; 0 is a caller without one, who may not touch a running run
	Events  []NewEvent
	Create  []NewRun          // runs, ready or not yet
	Status  *StatusChange     // of the run whose stream this is
	Put     []Put             // messages for other runs' inboxes
	Consume InboxSeq          // the own inbox up to here, included
	Pin     []decouple.BlobID // of the stream's tenant; must be complete
}

// NewEvent is an event before it has a place.
type NewEvent struct {
	Kind        decouple.EventKind
	KindVersion int
	Actor       decouple.Actor
	Causation   decouple.EventID
	RootRun     decouple.RunID
	Trace       decouple.TraceID
	Subject     decouple.SubjectID
	Payload     []byte // JSON, at most MaxPayload
}

// NewRun creates a run: a row of the view, and the first events of its stream.
type NewRun struct {
	Run    decouple.Run
	Events []NewEvent
	Label  string    // what people see: the question
	Wake   time.Time // ready from then on; zero is now
}

// StatusChange sets the view's row of the run.
type StatusChange struct {
	Status decouple.RunStatus
	Wait   decouple.Wait
	Cause  decouple.Cause
	// Seen is the newest inbox message that the caller has taken into account: a park is refused as Conflict if the inbox has moved past it.
	Seen InboxSeq
	// Until wakes a parked run when its inbox has reached this number; 0 is at the next message. An urgent message always wakes.
	Until InboxSeq
	Wake  time.Time // wakes a parked run at this time; zero is never
	Steps int       // totals for the view
	Usage decouple.Usage
}

// InboxSeq numbers the messages of one inbox, from 1.
type InboxSeq int64

// Put is a message for another run's inbox. Messages of the same run, kind and from are put once. A message for a run that has ended is kept and never wakes it.
type Put struct {
	To     decouple.RunID
	Kind   string // for example "joined", "cancel"
	From   string // who sent it
	Body   []byte // JSON
	Urgent bool   // wakes the run whatever it waits for
}

// Message is a message in an inbox.
type Message struct {
	Seq  InboxSeq
	Kind string
	From string
	Body []byte
}

// Receipt says where a commit went.
type Receipt struct {
	Seq      decouple.Seq      // of the stream's last event
	Position decouple.Position // of the commit's last event
	Event    decouple.EventID  // of the stream's last event
	Time     time.Time
	Repeated bool // the mutation had been committed before
}

// Claim is a run to work on.
type Claim struct {
	Run      decouple.Run
	Epoch    Epoch
	Seq      decouple.Seq     // of its stream's last event
	Event    decouple.EventID // that event
	Inbox    InboxSeq         // newest message
	Consumed InboxSeq         // newest message that was consumed
	Lost     <-chan struct{}  // closed when the lease has ended; nil where a lease ends with the process only
	Left     bool             // an earlier lease ended while it was running: what it had begun has no recorded outcome
}

// RunRow is a row of the view of runs.
type RunRow struct {
	decouple.Run
	Label    string
	Status   decouple.RunStatus
	Wait     decouple.Wait
	Cause    decouple.Cause
	Node     decouple.NodeID
	Epoch    Epoch
	Seq      decouple.Seq
	Inbox    InboxSeq // newest message
	Consumed InboxSeq // newest message that was consumed
	Until    InboxSeq // a parked run wakes when its inbox reaches this number
	Wake     time.Time
	Row      int64 // grows by creation; the cursor of a list
	Steps    int
	Usage    decouple.Usage
	Created  time.Time
	Updated  time.Time // of the last commit that touched it: since when it waits
}

// RunFilter selects rows; zero fields select all.
type RunFilter struct {
	Tenant decouple.TenantID
	ID     decouple.RunID // this one
	Root   decouple.RunID // of this tree
	Roots  bool           // roots only
	Status []decouple.RunStatus
	Wait   []decouple.WaitKind // parked for one of these
	Agent  decouple.AgentName
	Key    string // of this idempotency key
	Limit  int
	Newest bool  // newest first
	After  int64 // rows that follow this Row in the list's order; 0 is from its beginning
}

// Filter selects events.
type Filter struct {
	Tenant decouple.TenantID
	Kind   decouple.StreamKind // empty is all
	After  decouple.Position
	Limit  int // 0 is 1,000
}
