package fleet

import (
	"cmp"
	"time"

	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/sim"
)

// Plan is what is played. Start, Clouds and Workloads must be there.
type Plan struct {
	Name      string
	Seed      uint64
	Start     time.Time     // what day it is: of prices and clauses
	Span      time.Duration // runs begin within it; those under way then go on to their end. 0: every workload names its number of runs
	Clouds    []sim.Cloud
	Catalog   *catalog.Catalog    // endpoints that no cloud serves are left out; nil is that of [Plan.Models]
	Labels    map[string][]string // of the endpoints of a cloud, where Catalog is nil
	Overlay   catalog.Overlay     // laid over it, where Catalog is nil
	Workloads []Workload
	Faults    []sim.Fault // their times count from Start
	Policies  []Change    // none permits everything
	Without   []Gone      // clauses that fall away: for whoever makes the policies
	Router    Router
	Slice     time.Duration // width of the slices of time in the result; 0 makes about a hundred. It doubles where there would be more than 1,024

	Observe  func(*Event)          // told of everything that happens, in order; the event is used again
	Progress func(at Span, n Size) // told now and then
}

// Span is how far a simulation has come, in virtual time.
type Span struct{ Now, Of time.Duration }

// Size is how much has happened so far.
type Size struct{ Runs, Calls, Attempts, Failed int64 }

// Policy says what contracts say of a need at a place: *placement.Policy does.
type Policy interface {
	Judge(*placement.Need, *placement.Place) placement.Ruling
}

// Change is a policy that holds from a time on. Calls that wait, and further attempts, are judged anew.
type Change struct {
	At     time.Duration // since the plan's start
	Policy Policy        // nil permits everything
	Why    string        // a sentence, for people
}

// Router says who chooses endpoints. The zero value is the gateway's router with its defaults.
type Router struct {
	Route    route.Config
	Queue    route.QueueConfig // Wait is MaxWait's
	MaxWait  time.Duration     // for an endpoint with room; 10 s
	Patience Patience
	Naive    bool // a router that trusts status codes instead, to compare with
}

// Patience is how long a call may take. The zero value of each field stands for what its comment says, as in the gateway.
type Patience struct {
	FirstToken    time.Duration // 2 min
	BetweenTokens time.Duration // 1 min
	Whole         time.Duration // of an answer that is not streamed: 10 min
	Call          time.Duration // of a call with all its attempts: 15 min
}

// Workload is a stream of runs of one sort.
type Workload struct {
	Name   string
	Class  string // of the work, for contracts
	Labels []string
	Tenant string
	Team   string
	Agent  string
	Keys   int    // its runs share so many keys; 1
	Model  string // or alias

	Arrive Arrival
	Runs   int64 // how many come; 0 as many as come within the plan's span

	Calls  Spread        // model calls of a run; 1
	Tools  Spread        // nanoseconds between two of them
	In     Spread        // tokens that the first call reads
	Grow   Spread        // tokens that each further call reads beyond the one before it and its answer: results of tools
	Prefix int64         // of them the same in all runs: prompt and tools
	Out    Spread        // tokens of an answer
	MaxOut int64         // limit of an answer; 0 is the model's
	Stream bool          // answers are streamed
	Begun  bool          // a stream that has begun and breaks off can begin anew elsewhere, as with agents of ours; else it is lost
	Late   time.Duration // a first token (of what is not streamed: an answer) that comes later counts as bad; 0 never

	Priority int
	Deadline time.Duration // of a call; 0 is Patience.Call
	Again    int           // times that a failed call is made once more by whoever made it
	Pause    time.Duration // before that, doubled each time; 1 s
	Unchecks float64       // of a cascade: share of the answers of all but its last endpoint that do not pass the check
	SignOff  time.Duration // after so long a person signs off what is held; 0 nobody does
}

// Pattern says how runs come.
type Pattern string

// The patterns.
const (
	Poisson Pattern = "poisson" // one has nothing to do with the other
	Steady  Pattern = "steady"  // at equal intervals
	Burst   Pattern = "burst"   // for a time, every so often, Times as many
	Daily   Pattern = "daily"   // most at Peak, fewest half a day later
)

// Arrival says when runs come.
type Arrival struct {
	Pattern Pattern       // poisson
	Rate    float64       // runs a second, on the average
	Every   time.Duration // burst: from one to the next; 10 min
	For     time.Duration // burst: how long; 1 min
	Times   float64       // burst: how many times the rate it has; between bursts the rest comes. 5
	Peak    time.Duration // daily: of the day, in UTC; 14 h
	Swing   float64       // daily: share of the rate by which it rises and falls; 0.8
}

// Event is something that happened, for whoever observes.
type Event struct {
	At       time.Duration // since the plan's start
	Kind     EventKind
	Workload int    // its place in the plan
	Run      uint64 // number
	Call     uint64 // number; 0 of what is no call's
	Endpoint catalog.EndpointID
	Attempt  int        // of the call, from 1
	Outcome  route.Kind // of an attempt
	Failed   string     // of a call: why it has no answer; empty is that it has one
	Took     time.Duration
	First    time.Duration // to the first token
	Line     *sim.Line     // of the invoice, where the cloud charges for the attempt
	Why      string
}

// EventKind is one word for what happened.
type EventKind string

// The kinds of event.
const (
	Arrived  EventKind = "run"    // a run came
	Left     EventKind = "left"   // a run is over
	Asked    EventKind = "asked"  // a call came
	Waited   EventKind = "waits"  // it waits for an endpoint with room
	Began    EventKind = "began"  // an attempt
	First    EventKind = "first"  // its first token came
	Ended    EventKind = "ended"  // the attempt is over
	Answered EventKind = "done"   // the call is over
	Held     EventKind = "held"   // the call is held until a person signs off
	Denied   EventKind = "denied" // the call may go nowhere
	Changed  EventKind = "policy" // another policy holds
)

// filled is p with what its zero values stand for.
func (p Patience) filled() Patience {
	p.FirstToken = cmp.Or(p.FirstToken, 2*time.Minute)
	p.BetweenTokens = cmp.Or(p.BetweenTokens, time.Minute)
	p.Whole = cmp.Or(p.Whole, 10*time.Minute)
	p.Call = cmp.Or(p.Call, 15*time.Minute)
	return p
}
