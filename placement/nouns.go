package placement

import (
	"encoding/json"
	"time"
)

// Action is what somebody wants to do.
type Action string

// The actions.
const (
	CallModel Action = "call" // ask a model at an endpoint
	UseTool   Action = "tool" // call a tool, at the site of the node or at the host that it reaches
	RunAgent  Action = "run"  // work on a run at a site
)

// Need is what somebody wants to do, as far as contracts can speak of it.
type Need struct {
	Action Action
	Class  string   // of the work: stateless_api, stateful_runtime, autonomous_research, training, batch, new_capacity, product, or the customer's own
	Labels []string // of the data
	Team   string
	Agent  string
	Key    string
	Tool   string          // of UseTool
	Args   json.RawMessage // of UseTool, as decouple.Canonical spells them
	Signed []string        // ids (contract/clause) of disputed or held clauses that a person has signed off for this need
}

// Place is where it would be done: an endpoint, a site, or the host that a tool reaches. What is empty is not known, and a clause that asks for it denies.
type Place struct {
	ID       string            `json:"name"`             // of the endpoint or site
	Vendor   string            `json:"vendor,omitempty"` // who sells it: openai, azure, bedrock, anthropic, vertex, ...
	Cloud    string            `json:"cloud,omitempty"`  // whose machines it is on: azure, aws, gcp, openai, ...
	Region   string            `json:"region,omitempty"`
	Geo      string            `json:"geo,omitempty"` // us, eu, uk, ...: of the region
	Hardware string            `json:"hardware,omitempty"`
	Model    string            `json:"model,omitempty"`
	Lab      string            `json:"lab,omitempty"`    // who made the model
	Open     bool              `json:"open,omitempty"`   // its weights are: no lab's terms bind where it runs
	Labels   []string          `json:"labels,omitempty"` // of the endpoint or site
	Facts    map[string]string `json:"facts,omitempty"`  // what is known of it beside: training, retention, subprocessor, ...
}

// Verdict is one word for what the clauses say.
type Verdict string

// The verdicts.
const (
	Allow    Verdict = "allow"
	Deny     Verdict = "deny"
	Disputed Verdict = "disputed" // its readings are of two minds
	Unknown  Verdict = "unknown"  // a clause names the vendor or model, and none the class
)

// Effect is what follows from a verdict under the customer's settings.
type Effect string

// The effects.
const (
	Go   Effect = "allow"
	Hold Effect = "hold" // until a person signs off
	Stop Effect = "deny"
)

// Confidence says how well a clause is known.
type Confidence string

// The confidences, the best first.
const (
	Signed    Confidence = "signed"
	Announced Confidence = "announced"
	Reported  Confidence = "reported"
	Contested Confidence = "disputed"
)

// Cited is a clause that had a part in a ruling.
type Cited struct {
	ID         string     `json:"id"`
	Contract   string     `json:"contract"`
	Reads      Verdict    `json:"reads"` // what it says here
	Text       string     `json:"text"`  // a sentence that a lawyer can read
	Confidence Confidence `json:"confidence"`
}

// Ruling is the answer for one need at one place.
type Ruling struct {
	Verdict Verdict  `json:"verdict"`
	Effect  Effect   `json:"effect"`
	Needs   []string `json:"needs,omitempty"` // what would lift it
	Clauses []Cited  `json:"clauses"`         // that decided, the strongest first
	Why     string   `json:"why"`             // a sentence; `no clause` where none speaks of it
}

// Moment is a point in both times: what holds on a day, by what was known on a day.
type Moment struct {
	AsOf  time.Time `json:"as_of"`
	Known time.Time `json:"known"`
}
