package sim

import (
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

// Call is what a cloud must know of a request.
type Call struct {
	Cloud    string
	Region   string // empty is the cloud's first
	Model    string // by any of its names
	Account  string // who pays, a fingerprint and never the credential; quotas and caches are the account's
	Client   string // the call's name by its caller, for the invoice
	Tier     string // of service
	In       int64  // tokens of the prompt
	Out      int64  // tokens that the model will write if nothing stops it; 0 draws a length
	MaxOut   int64  // limit of the answer; 0 is the model's
	Stream   bool
	Embed    bool // nothing is written
	Free     bool // costs nothing and counts for no quota, such as listing models
	Global   bool // asked under a name that is good in every region: no region's price
	Filtered bool // the prompt is of the sort that the cloud will not read
	Prefixes []Prefix
}

// Refusal says why a cloud does not answer a call. [Served] is the zero value.
type Refusal int

// The refusals.
const (
	Served      Refusal = iota
	Refused             // no connection
	Cutoff              // the connection is reset before an answer
	Failed              // 500
	Unavailable         // 503
	Status              // any other status that a fault names
	BadKey              // 401
	Forbidden           // 403
	NoModel             // 404: never heard of
	Retired             // 404: not any more
	WrongCall           // 400, and the cloud is to blame
	TooLong             // 400: more than the model can read
	Filtered            // 400: the content filter
	RequestRate         // 429, requests a minute
	TokenRate           // 429, tokens a minute
	InRate              // 429, tokens read a minute
	OutRate             // 429, tokens written a minute
	DayRate             // 429, tokens a day
	Provisioned         // 429, provisioned units are used up
	PoolHot             // 429, what all share is used up
	NoMoney             // 429, the account is empty
	Full                // too many calls at once, in the vendor's own words
)

// Gauge is one quota as rate-limit headers show it. Limit 0 is none.
type Gauge struct {
	Limit, Left int64
	Reset       time.Duration // until it is full
}

// Room is how much is left of an account's quotas.
type Room struct {
	Requests, Tokens, In, Out, Day Gauge
	Used                           float64 // share of the provisioned units, 0 where there are none
}

// Plan is what becomes of a call. Durations count from when it was asked.
type Plan struct {
	Call       Call
	Seq        uint64 // number of the call in this world
	Began      time.Time
	Region     string
	Model      string // the cloud's name for it
	Refusal    Refusal
	Status     int           // of HTTP; 0 is no answer at all
	RetryAfter time.Duration // 0 is not said
	Message    string        // a fault's words instead of the vendor's
	Room       Room

	Queued time.Duration // before the model began
	First  time.Duration // to the first token, or to the refusal; Queued is in it
	Every  time.Duration // between two tokens
	Stall  Pause
	Break  Break
	Finish decouple.Finish
	Usage  decouple.Usage // of the whole answer

	cloud   *cloud
	seat    *seat
	account *account
	counted counted
	slot    int32
	until   int64
	price   *catalog.Tier
	factors [3]catalog.Part
}

// Pause is a time without tokens, before the token of number After, from 0.
type Pause struct {
	After  int64
	For    time.Duration
	Silent bool // before the first token: not even the headers come
}

// Break is where an answer breaks off. Kind empty is nowhere.
type Break struct {
	Kind  FaultKind // Cut, Reset, ErrorIn200, Truncated or Empty
	After int64     // tokens
	Clean bool      // of a cut: the connection ends as if all were well
}

// Token is when the token of number i leaves, from 0.
func (p *Plan) Token(i int64) time.Duration {
	t := p.First + time.Duration(i)*p.Every
	if p.Stall.For > 0 && i >= p.Stall.After {
		t += p.Stall.For
	}
	return t
}

// Tokens is how many tokens leave: all of the answer, or those before it breaks off.
func (p *Plan) Tokens() int64 {
	if p.Break.Kind != "" {
		return min(p.Break.After, p.Usage.TokensOut)
	}
	return p.Usage.TokensOut
}

// Ends is when the last token has left, or the refusal was said.
func (p *Plan) Ends() time.Duration {
	if n := p.Tokens(); n > 0 && p.Refusal == Served {
		return p.Token(n - 1)
	}
	if p.Break.Kind != "" && p.Stall.For > 0 && p.Stall.After == 0 {
		return p.First + p.Stall.For
	}
	return p.First
}

// Made is how many tokens have been written after a time.
func (p *Plan) Made(since time.Duration) int64 {
	n := p.Tokens()
	if since < p.First || n == 0 {
		return 0
	}
	at := func(since time.Duration) int64 {
		if since < 0 {
			return 0
		}
		if p.Every <= 0 {
			return n
		}
		return min(n, int64(since/p.Every)+1)
	}
	made := at(since - p.First)
	if p.Stall.For > 0 && made > p.Stall.After {
		made = max(p.Stall.After, at(since-p.First-p.Stall.For))
	}
	return made
}
