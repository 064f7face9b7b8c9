package sim

import (
	"time"

	"decouple.dev/decouple/catalog"
)

// Vendor says whose ways a cloud has: its headers, its errors, how it counts and what it bills.
type Vendor string

// The vendors.
const (
	OpenAI     Vendor = "openai"
	Azure      Vendor = "azure"
	Mantle     Vendor = "mantle" // the OpenAI-shaped interface of Amazon Bedrock
	Bedrock    Vendor = "bedrock"
	Anthropic  Vendor = "anthropic"
	Gemini     Vendor = "gemini"
	Vertex     Vendor = "vertex"
	Cerebras   Vendor = "cerebras"
	Groq       Vendor = "groq"
	Compatible Vendor = "compatible" // a server of one's own, such as vLLM
)

// Config describes a world.
type Config struct {
	Seed   uint64
	Start  time.Time // when the schedules of faults begin
	Clouds []Cloud
	Faults []Fault
}

// Cloud is one vendor's service.
type Cloud struct {
	Name       string
	Vendor     Vendor
	Hardware   string
	Regions    []string // a call that names none goes to the first
	First      Spread   // time to the first token of a cloud without load
	Rate       float64  // tokens a second of one answer on a cloud without load
	Loaded     Loaded   // what is left of the rate under load; the zero value leaves it
	Prefill    float64  // tokens of the prompt that are read in a second; 0 takes no time
	Concurrent int64    // calls that one model in one region works on at once; 0 any number
	Queue      int64    // calls that may wait for one of those; 0 any number
	Limits     Limits   // of one account
	Cache      Cache
	Cancel     Billing // of a stream whose caller went away
	Broken     Billing // of a stream that the cloud broke off
	Errors     float64 // share of calls that fail for no reason that can be seen
	Models     []Offer
}

// Spread is a log-normal distribution by two of its quantiles. Two calls in a hundred take five times as long, and P95 is the quantile with those in it.
type Spread struct {
	P50 time.Duration
	P95 time.Duration // not more than P50: always exactly P50
}

// Loaded is the rate of one answer while At calls are at work; between one call and At it falls evenly.
type Loaded struct {
	Rate float64
	At   int64
}

// Limits are the quotas of one account for one model. Zero is no limit.
type Limits struct {
	catalog.Limits
	AdmitAll  bool  // with AdmitMax: a call that names no limit is admitted with the model's
	PerRegion bool  // every region has quotas of its own
	KeepMax   bool  // with AdmitMax: what was admitted and not written is not given back
	Units     int64 // provisioned units: they take the place of quotas
	UnitIn    int64 // tokens a minute that one unit reads
	OutWeight int64 // for provisioned units: a token written counts as so many read
	Pool      Pool
}

// Pool is a quota that all customers share: in some minutes it is hot, and then a share of the calls is refused whoever makes them.
type Pool struct {
	Hot    float64 // share of the windows
	Refuse float64 // share of the calls in a hot window
	Window time.Duration
}

// CacheKind says how a cloud caches prompts.
type CacheKind string

// The kinds of prompt cache.
const (
	CacheNone  CacheKind = ""
	CacheAuto  CacheKind = "auto"  // any prefix seen before
	CacheMarks CacheKind = "marks" // prefixes that the caller marks
)

// Cache is a cloud's prompt cache.
type Cache struct {
	Kind   CacheKind
	Min    int64         // the shortest prefix that is kept, in tokens
	Step   int64         // what is found is rounded down to a multiple of this
	Keep   time.Duration // for how long, from the last use, where the caller names no time
	Writes bool          // with auto: what is written is reported and billed as such
}

// Billing says what is billed of an answer that did not reach its end.
type Billing string

// The ways of billing.
const (
	BillMade    Billing = "made"    // what was written until then
	BillWhole   Billing = "whole"   // the model writes on to the end, and that is billed
	BillNothing Billing = "nothing" // not even what was read
)

// Offer is a model as a cloud offers it.
type Offer struct {
	ID      catalog.ModelID
	Name    string   // by which the cloud knows it
	Names   []string // others that it takes
	Context int64    // tokens read and written in one call; 0 any number
	MaxOut  int64
	Out     int64 // median length of an answer whose length the caller does not say
	Embeds  bool
	Retires time.Time
	Prices  []catalog.Price // ascending by From
}

// FaultKind says what goes wrong.
type FaultKind string

// The kinds of fault.
const (
	Outage     FaultKind = "outage"       // nobody answers: Mode is refused, reset, or a status such as 500, 503, 530
	Storm      FaultKind = "storm"        // 429; Mode insufficient_quota says that the money is gone
	Overload   FaultKind = "overload"     // the vendor's own way to say that it is full: 529, 498, 503
	Auth       FaultKind = "auth"         // credentials are not understood: Mode is 401 or 403
	Wrong400   FaultKind = "wrong_400"    // a request that is right is called wrong
	StallFirst FaultKind = "stall_first"  // nothing comes before the first token for For; Mode headers: not even the headers
	Stall      FaultKind = "stall"        // nothing comes for For, after After tokens
	Slow       FaultKind = "slow"         // Factor times slower
	Cut        FaultKind = "cut"          // the stream ends after After tokens: Mode is abrupt or clean
	Reset      FaultKind = "reset"        // the connection is reset after After tokens
	ErrorIn200 FaultKind = "error_in_200" // an error instead of the rest of the stream, after After tokens
	Empty      FaultKind = "empty"        // the answer ends before it has said anything
	Truncated  FaultKind = "truncated"    // JSON that breaks off
	PriceTimes FaultKind = "price"        // everything costs Factor times as much
	QuotaTimes FaultKind = "quota"        // quotas are Factor times what they were, 0 included
)

// Fault is something that goes wrong, from a time on, for some calls.
type Fault struct {
	Name       string        // by which it is taken back; New gives one where there is none
	Cloud      string        // empty is every cloud
	Region     string        // empty is every region
	Model      string        // as the cloud knows it or as the catalog does; empty is every model
	Kind       FaultKind     //
	From, To   time.Duration // since the world's start; To 0 is for ever
	Share      float64       // of the calls; 0 is all of them
	Nth        int64         // only the n-th call of those that it is about; 0 is any
	Mode       string
	After      int64 // tokens
	For        time.Duration
	Factor     float64
	RetryAfter time.Duration // what a storm says; 0 is ten seconds, less is nothing
	Message    string        // instead of the vendor's words
}
