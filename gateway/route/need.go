package route

import (
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

// Need is what a call asks for. Placement has already said where it may go.
type Need struct {
	ID        string                        // of the call: the same for all its attempts
	Alias     catalog.Alias                 // resolved; a plain model is an alias with one target
	Endpoints []catalog.EndpointID          // permitted ones, in the order of the alias's targets
	Weights   []int                         // beside Endpoints, of the strategy weighted; without them the weights of the alias's targets hold
	Prefer    map[catalog.EndpointID]string // those that keep a promise, and which: taken instead of the best where they cost at most Config.Dearer more. It is only read
	Refused   []Candidate                   // not permitted, with the reason: they go through to the decision
	TokensIn  int64                         // estimated
	MaxOut    int64                         // limit of the answer; 0 is not known
	Tenant    string
	Key       string
	Priority  int // class: larger goes first
	Deadline  time.Time
	Sticky    string               // hash of the conversation or its prefix, or the caller's prompt_cache_key
	CacheFor  time.Duration        // how long the provider keeps the prefix; 0 is five minutes
	Tried     []catalog.EndpointID // by this call, in order; one that was tried twice is there twice
	Random    uint64               // dice: the same number gives the same decision
	Stream    bool                 // the caller reads tokens as they come
}

// Verdict is one word for what became of a candidate.
type Verdict string

// The verdicts.
const (
	Chosen     Verdict = "chosen"
	Hedge      Verdict = "hedge"       // asked too, if the chosen one is silent for long
	Ready      Verdict = "ready"       // could have taken it; another was better
	Degraded   Verdict = "degraded"    // fails too often to be among the first
	Suspect    Verdict = "suspect"     // refuses more than it used to; nobody knows yet whose fault that is
	HalfOpen   Verdict = "half-open"   // its breaker waits for a probe, and this call was not it
	Probing    Verdict = "probing"     // its probe is under way
	Open       Verdict = "open"        // its breaker is open
	Limited    Verdict = "limited"     // it asked to be left alone
	NoHeadroom Verdict = "no-headroom" // its limits leave no room for this call
	Denied     Verdict = "denied"      // not permitted
	Held       Verdict = "held"        // not before a person has signed it off
	Tried      Verdict = "tried"       // by this call already
	TooSlow    Verdict = "too-slow-for-deadline"
	TooSmall   Verdict = "too-small-context"
	Missing    Verdict = "not-in-catalog"
)

// Candidate is one endpoint in a decision. Figures are expectations.
type Candidate struct {
	Endpoint   catalog.EndpointID `json:"endpoint"`
	Verdict    Verdict            `json:"verdict"`
	Why        string             `json:"why"` // a sentence
	Score      float64            `json:"score"`
	FirstToken time.Duration      `json:"first_token"`
	Total      time.Duration      `json:"total"`
	Price      decouple.Money     `json:"price"`
	Priced     bool               `json:"priced"`            // an unknown price is not zero
	Warm       bool               `json:"warm,omitempty"`    // it is expected to hold the prefix in its cache
	Headroom   float64            `json:"headroom"`          // share of its tightest limit that would be left; 1 where no limit is known
	Until      time.Time          `json:"until,omitzero"`    // when it can take the call, where that is later than now
	Ruling     string             `json:"ruling,omitempty"`  // what contracts say of it, where they refuse it: deny, disputed, unknown
	Clauses    []string           `json:"clauses,omitempty"` // contract/clause, that say so
}

// Decision is where a call goes, or when to ask again, or that it cannot be served; and why.
type Decision struct {
	Candidates []Candidate        `json:"candidates"` // in the order of Need.Endpoints, then Need.Refused
	Chosen     catalog.EndpointID `json:"chosen,omitempty"`
	Hedge      catalog.EndpointID `json:"hedge,omitempty"` // asked too when the chosen one is silent After that long, if [State.Retry] lets it
	After      time.Duration      `json:"after,omitempty"`
	Patience   time.Duration      `json:"patience,omitempty"`    // without a first token by then the attempt is [Slow]; of a call that does not stream, without the answer
	Wait       time.Time          `json:"wait,omitzero"`         // nothing can take it now: the earliest time that something can, before the deadline
	Refused    decouple.Kind      `json:"refused,omitempty"`     // nothing can take it in time: the kind of error to answer with
	RetryAfter time.Duration      `json:"retry_after,omitempty"` // with Refused: when something can; 0 is not known
	Probe      bool               `json:"probe,omitempty"`       // the call tells whether a failed endpoint is well again
	Judge      bool               `json:"judge,omitempty"`       // the last endpoint tried refused the call, and this one tells whose fault that was
	Why        string             `json:"why"`
}

// Find gives the candidate of an endpoint.
func (d Decision) Find(id catalog.EndpointID) (Candidate, bool) {
	for _, c := range d.Candidates {
		if c.Endpoint == id {
			return c, true
		}
	}
	return Candidate{}, false
}
