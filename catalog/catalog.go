package catalog

import (
	"time"

	"decouple.dev/decouple"
)

// ModelID names a model wherever it is served, for example gpt-5.4 or sonnet-4.6.
type ModelID string

// EndpointID names one model at one place under one account, for example azure/swedencentral/gpt-5.4.
type EndpointID string

// Model is what is known of a model.
type Model struct {
	ID      ModelID   `json:"id"`
	Lab     string    `json:"lab"` // who made it
	Names   []string  `json:"names,omitempty"`
	Context int64     `json:"context,omitempty"`    // tokens that it can read and write in one call; 0 is not known
	MaxOut  int64     `json:"max_output,omitempty"` // tokens that it can write in one call
	Can     []Feature `json:"can,omitempty"`
	Retires time.Time `json:"retires,omitzero"`
	Open    bool      `json:"open,omitempty"` // its weights are published: whoever has them may serve it, and its lab's terms do not say where

	closed bool // of an overlay that says that they are not
}

// Feature is something that a model can do and others cannot.
type Feature string

// The features.
const (
	Tools      Feature = "tools"
	Images     Feature = "images"
	Documents  Feature = "documents"
	Shapes     Feature = "json_schema" // answers in JSON of a given schema
	Thinks     Feature = "thinking"
	Embeds     Feature = "embeddings"
	Converses  Feature = "text"
	CachesSelf Feature = "auto_cache" // a repeated prefix is cheaper without asking
)

// Endpoint is one model at one place under one account.
type Endpoint struct {
	ID       EndpointID `json:"id"`
	Provider string     `json:"provider"` // openai, azure, bedrock, anthropic, gemini, vertex, cerebras, groq, compatible, builtin
	Account  string     `json:"account"`  // whose credential it is called with
	Cloud    string     `json:"cloud,omitempty"`
	Region   string     `json:"region,omitempty"`
	Hardware string     `json:"hardware,omitempty"`
	Model    ModelID    `json:"model"`
	Name     string     `json:"name"`   // what the provider calls the model, or its deployment
	Format   string     `json:"format"` // of gateway/dialect
	URL      string     `json:"url"`    // of the provider's interface, without the path of a call
	Limits   Limits     `json:"limits,omitzero"`
	Labels   []string   `json:"labels,omitempty"` // what policies may speak of
	Retires  time.Time  `json:"retires,omitzero"` // when the provider stops serving it
}

// Limits are what a provider says it will take; zero is not known.
type Limits struct {
	Requests   int64 `json:"rpm,omitempty"`     // a minute
	Tokens     int64 `json:"tpm,omitempty"`     // in and out, a minute
	TokensIn   int64 `json:"tpm_in,omitempty"`  // a minute
	TokensOut  int64 `json:"tpm_out,omitempty"` // a minute
	Concurrent int64 `json:"concurrent,omitempty"`
	TokensDay  int64 `json:"tpd,omitempty"`         // in and out, a day
	AdmitMax   bool  `json:"admit_max,omitempty"`   // admission counts the limit of the answer, not the answer
	CachedFree bool  `json:"cached_free,omitempty"` // what is read from the prompt cache does not count
}

// Price is what a provider charges for a model from a date on.
type Price struct {
	From   time.Time       `json:"from,omitzero"`
	Source string          `json:"source,omitempty"` // where the figure is from
	Tiers  []Tier          `json:"tiers"`            // ascending by Above; the first has 0
	Uplift map[string]Part `json:"uplift,omitempty"` // by region: times
	Class  map[string]Part `json:"class,omitempty"`  // by tier of service (batch, flex, priority): times
}

// Part is a factor in thousandths: 1100 is 1.1 times.
type Part int64

// Tier is the price per million tokens of a call that reads more than Above tokens.
type Tier struct {
	Above      int64          `json:"above,omitempty"`
	In         decouple.Money `json:"in"`
	Cached     decouple.Money `json:"cached"`
	CacheWrite decouple.Money `json:"cache_write"` // for five minutes
	CacheLong  decouple.Money `json:"cache_long"`  // for an hour
	Out        decouple.Money `json:"out"`
}

// Alias is a name that callers use for a choice among models and endpoints.
type Alias struct {
	Name     string        `json:"name"`
	Strategy Strategy      `json:"strategy"`
	Targets  []Target      `json:"targets"`            // of a cascade: the small ones first
	Hedge    time.Duration `json:"hedge,omitempty"`    // ask a second endpoint when the first has brought nothing in this time; 0 never
	Check    string        `json:"check,omitempty"`    // of a cascade: what an answer must pass to be kept: json_schema, tool_calls, not_empty, no_refusal
	Cache    time.Duration `json:"cache,omitempty"`    // identical requests are answered from memory for so long; 0 never
	Priority int           `json:"priority,omitempty"` // class of the calls: larger goes first
}

// Target is a model or an endpoint of an alias; exactly one is set.
type Target struct {
	Model    ModelID    `json:"model,omitempty"`
	Endpoint EndpointID `json:"endpoint,omitempty"`
	Weight   int        `json:"weight,omitempty"` // of the strategy weighted
}

// Strategy says how an alias chooses among the permitted endpoints that can take a call now.
type Strategy string

// The strategies.
const (
	Balanced Strategy = "balanced" // by health, head-room, expected time and price together
	Ordered  Strategy = "ordered"  // the first of the list
	Weighted Strategy = "weighted"
	Cheapest Strategy = "cheapest"
	Fastest  Strategy = "fastest"
	Cascade  Strategy = "cascade" // the first, and the next when its answer does not pass the check
)

// Provider is what a seller of model calls offers to an account, and to any account alike.
type Provider struct {
	ID       string              `json:"id"`
	Cloud    string              `json:"cloud,omitempty"`
	Format   string              `json:"format"`         // of gateway/dialect
	URL      string              `json:"url,omitempty"`  // with {region} for the region; empty: each account has its own
	URLs     map[string]string   `json:"urls,omitempty"` // of regions whose URL follows no rule
	Hardware string              `json:"hardware,omitempty"`
	Regions  []string            `json:"regions,omitempty"`  // the first is an account's that names none
	Prices   string              `json:"prices,omitempty"`   // whose price list holds where it has none of its own
	Uplift   map[string]Part     `json:"uplift,omitempty"`   // of prices that have none of their own
	Class    map[string]Part     `json:"class,omitempty"`    // likewise
	Limits   map[string]Limits   `json:"limits,omitempty"`   // by tier of account
	Tier     string              `json:"tier,omitempty"`     // of an account that names none
	Profiles map[string]string   `json:"profiles,omitempty"` // by geography: what a model's name gets before it where it is called across regions
	Serves   map[ModelID]Service `json:"serves,omitempty"`
}

// Service is a model as a provider serves it. What is empty is as the provider's.
type Service struct {
	Name     string            `json:"name"`
	Format   string            `json:"format,omitempty"`
	URL      string            `json:"url,omitempty"`
	Hardware string            `json:"hardware,omitempty"`
	Regions  []string          `json:"regions,omitempty"`
	Limits   map[string]Limits `json:"limits,omitempty"`
	Profile  bool              `json:"profile,omitempty"` // its name gets the profile of its geography
	Retires  time.Time         `json:"retires,omitzero"`
}

// Catalog is a snapshot of all of it. It is never changed: a new one takes its place.
type Catalog struct {
	Models    map[ModelID]Model
	Endpoints map[EndpointID]Endpoint
	Aliases   map[string]Alias
	Prices    map[string][]Price // by provider/model as the provider names it, ascending by From
	Date      time.Time          // of the newest price data
	Providers map[string]Provider
	Places    map[string]string // geography (us, eu, ...) of a region

	quick index // empty in a catalog that was put together by hand, which is searched instead
}
