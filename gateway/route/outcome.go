package route

import (
	"time"

	"decouple.dev/decouple/catalog"
)

// Kind is what happened to an attempt, judged by what was seen and not by the status alone.
type Kind string

// The kinds of outcome.
const (
	OK           Kind = "ok"
	CallerFault  Kind = "caller_fault"  // a 4xx that is surely the caller's own: no evidence against the endpoint
	Refused      Kind = "refused"       // a 4xx that may be either's fault (400, 404, 422)
	WrongRefusal Kind = "wrong_refusal" // a 4xx that is known to be the endpoint's fault
	KeyRefused   Kind = "key_refused"   // 401, 403, a used-up account: the key's fault, not the endpoint's
	RateLimited  Kind = "rate_limited"  // 429
	Failed       Kind = "failed"        // 5xx, or an error inside a 200
	Overloaded   Kind = "overloaded"    // 529, or a 503 that says so
	Unreachable  Kind = "unreachable"   // no connection
	Slow         Kind = "slow"          // no first token in time
	Stalled      Kind = "stalled"       // no next token in time
	Cut          Kind = "cut"           // the stream ended in the middle
	Empty        Kind = "empty"         // an answer with nothing in it
	Canceled     Kind = "canceled"      // by the caller, or the loser of a hedge: no evidence
)

// Outcome is how an attempt ended.
type Outcome struct {
	Call       string
	Endpoint   catalog.EndpointID
	Kind       Kind
	Status     int           // of HTTP, for the explanation; 403 is told from 401 by it
	RetryAfter time.Duration // how long the provider asks to be left alone; 0 is not said
	FirstToken time.Duration // of a stream, 0 is not known; not needed where [State.FirstToken] was told
	Duration   time.Duration // 0: from Begin until now
	TokensIn   int64
	TokensOut  int64
	Limits     Limits // of the answer's headers; not needed where [State.Heard] was told
}

// Limits is what the headers of an answer say of the provider's limits.
type Limits struct {
	Requests  Limit
	Tokens    Limit
	TokensIn  Limit
	TokensOut Limit
}

// Limit is one of them. The zero value says nothing.
type Limit struct {
	Limit     int64
	Remaining int64
	Reset     time.Duration // from the answer on, until all of it is there again
}

// Advice is what follows from an outcome for the call. It does not spend the retry budget.
type Advice struct {
	Retry bool   // another endpoint, or this one later, may serve the call
	Judge bool   // the refusal may be the endpoint's own fault: try the call at a second one, and if that refuses too, the refusal is the caller's to see
	Why   string // a sentence
}

// longest is the longest time that anything said by a provider is believed.
const longest = 30 * 24 * time.Hour

// sane is o without what a provider cannot mean: its figures come from the wire.
func (o Outcome) sane() Outcome {
	o.RetryAfter = min(max(o.RetryAfter, 0), longest)
	o.FirstToken = min(max(o.FirstToken, 0), longest)
	o.Duration = min(max(o.Duration, 0), longest)
	o.TokensIn, o.TokensOut = min(max(o.TokensIn, 0), 1<<40), min(max(o.TokensOut, 0), 1<<40)
	return o
}

// sane is l within what a limit can be.
func (l Limit) sane() Limit {
	l.Limit = min(max(l.Limit, 0), 1<<40)
	l.Remaining = min(max(l.Remaining, 0), 1<<40)
	if l.Limit > 0 {
		l.Remaining = min(l.Remaining, l.Limit)
	}
	l.Reset = min(max(l.Reset, 0), longest)
	return l
}
