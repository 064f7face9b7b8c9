package decouple

import (
	"context"
	"encoding/json"
	"time"
)

// Role says who speaks.
type Role string

// The roles of a conversation.
const (
	System    Role = "system"
	User      Role = "user"
	Assistant Role = "assistant"
	ToolRole  Role = "tool"
)

// Message is one turn of a conversation.
type Message struct {
	Role  Role   `json:"role"`
	Parts []Part `json:"parts"`
}

// Part is one piece of a message; of Text, Call, Result, Media and Thought exactly one is set.
type Part struct {
	Text    string      `json:"text,omitempty"`
	Call    *ToolCall   `json:"call,omitempty"`
	Result  *ToolResult `json:"result,omitempty"`
	Media   *Media      `json:"media,omitempty"`
	Thought *Thought    `json:"thought,omitempty"`
	Refusal bool        `json:"refusal,omitempty"` // Text says why the model would not answer
	Cache   string      `json:"cache,omitempty"`   // the prompt up to and with this part is worth keeping for so long: 5m or 1h
	Name    string      `json:"name,omitempty"`    // of whoever speaks, where several have one role
}

// Media is an image, a sound or a document in a conversation: Data, or a URL that the model's server fetches.
type Media struct {
	Type   string `json:"type"` // media type, such as image/png
	Data   []byte `json:"data,omitempty"`
	URL    string `json:"url,omitempty"`
	Name   string `json:"name,omitempty"`   // of a document
	Detail string `json:"detail,omitempty"` // low, high or auto
}

// Thought is what a model thought before it spoke. Its maker wants it back unharmed in the next turn, and only its maker can read Opaque.
type Thought struct {
	Text      string `json:"text,omitempty"`
	Signature string `json:"signature,omitempty"` // proves to its maker that Text is its own
	Opaque    string `json:"opaque,omitempty"`    // encrypted or redacted, instead of Text
	ID        string `json:"id,omitempty"`        // by which its maker names it
	Maker     string `json:"maker,omitempty"`     // the wire format that it came in, the only one that it may go out in
}

// ToolCall is a model's wish that a tool be called.
type ToolCall struct {
	ID   string          `json:"id"` // the model's own
	Name string          `json:"name"`
	Args json.RawMessage `json:"args"` // an object; what is not valid JSON is kept as a JSON string

	Signature string `json:"signature,omitempty"` // of the thought that led to it, where the wire has it here
}

// ToolResult answers the call of the same id.
type ToolResult struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Text  string `json:"text"`
	Error bool   `json:"error,omitempty"` // Text says what went wrong and what to do

	Media []Media `json:"media,omitempty"` // beside the text
}

// Text is a message with one text part.
func Text(r Role, s string) Message { return Message{Role: r, Parts: []Part{{Text: s}}} }

// Text joins the text parts.
func (m Message) Text() string {
	var s string
	for _, p := range m.Parts {
		s += p.Text
	}
	return s
}

// Calls lists the tool calls in order.
func (m Message) Calls() []ToolCall {
	var calls []ToolCall
	for _, p := range m.Parts {
		if p.Call != nil {
			calls = append(calls, *p.Call)
		}
	}
	return calls
}

// Effect says what a second call of a tool would do.
type Effect string

// The effects of tools.
const (
	EffectNone       Effect = "none"       // reads only
	EffectIdempotent Effect = "idempotent" // the same call twice is the same as once
	EffectKeyed      Effect = "keyed"      // takes an idempotency key
	EffectOnce       Effect = "once"       // unsafe to repeat
)

// ToolSpec is what a model is told of a tool, and what the engine must know of it.
type ToolSpec struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Params      json.RawMessage `json:"params"` // JSON Schema of the arguments
	Effect      Effect          `json:"effect"`
	Timeout     time.Duration   `json:"-"`                // of one attempt, default 5 minutes
	Heartbeat   time.Duration   `json:"-"`                // longest silence of a long call between two beats; zero asks for none
	Strict      bool            `json:"strict,omitempty"` // the arguments must follow the schema to the letter
	Cache       string          `json:"cache,omitempty"`  // the prompt up to and with this tool is worth keeping for so long: 5m or 1h
	Query       string          `json:"-"`                // of a once tool: the tool that, asked with the same arguments and key, knows what became of a call
}

// Tool is something that an agent can do.
type Tool interface {
	Spec() ToolSpec
	// Do performs a call. An error that the model can mend (wrong arguments, unknown note) is an Outcome with Error set; an error returned
	// is the tool's own failure, and its kind says whether to try again.
	Do(ctx context.Context, inv Invocation) (Outcome, error)
}

// Invocation is a tool call as a tool gets it.
type Invocation struct {
	Run     Run
	Call    CallID
	Key     string // idempotency key "run/call", the same over retries
	Name    string
	Args    json.RawMessage
	Actor   Actor                   // who started the run
	Attempt int                     // from 1
	Beat    func(text string)       // tells that a long call is alive, and how far it is; never nil when the engine calls
	Reach   func(host string) error // says whether contracts let the call reach a host that its arguments do not name; nil lets it reach any
}

// Outcome is what a tool answers.
type Outcome struct {
	Text   string // JSON or plain text, as the model shall read it
	Error  bool
	Status QueryStatus // of a query: what became of the call that it was asked about
	Found  []string    // names of what it brought to light, for example passages; a run that finds nothing new twice stops searching. Nil: not that sort of tool
}

// QueryStatus is what a query tool knows of an earlier call with the same key.
type QueryStatus string

// What a query can answer; anything else leaves the outcome unknown.
const (
	QueryDone    QueryStatus = "done"     // it happened, and Text is its result
	QueryNotDone QueryStatus = "not_done" // it did not happen and never will under this key: it may be made again
)

// Request asks a model for the next message.
type Request struct {
	Run       RunID
	For       Asker
	Step      int // model calls of the run so far, from 1
	Model     string
	Messages  []Message
	Tools     []ToolSpec
	NoTools   bool              // the model may not call a tool now, although the conversation did
	MaxTokens int64             // of the answer; 0 leaves it to the model
	Tokens    func(text string) // gets the text as it comes; an empty text says that the answer begins anew and what came before is void

	Sampling
	Choice   ToolChoice // which tool to call; the zero value leaves it to the model
	Serial   bool       // at most one tool call in an answer
	Format   *Shape     // of the answer, where it must be JSON
	Thinking Thinking
	User     string // whom the call is made for, as the model's maker may know him
	Tier     string // of service: "", auto, default, flex, priority, batch
}

// Asker is for whom a model is asked, as policies and bills see it.
type Asker struct {
	Tenant   TenantID
	Agent    AgentName
	Class    string   // of the work
	Labels   []string // of the data
	Team     string   // of the key that the run was started with
	Caller   string   // that key's id
	Priority int      // larger goes first
	Signed   []string // clauses (contract/clause) that a person has signed off for this work
}

// Sampling is how the model picks its words; nil and empty leave it to the model.
type Sampling struct {
	Temperature      *float64
	TopP             *float64
	TopK             *int64
	FrequencyPenalty *float64
	PresencePenalty  *float64
	Seed             *int64
	Stop             []string
	Answers          int  // how many answers to give, default 1
	Logprobs         bool // tell how likely each token was
	TopLogprobs      int
}

// ToolChoice says which tools the model must call.
type ToolChoice struct {
	Mode string // "", auto, none, any (at least one), tool (the one of Name)
	Name string
}

// Shape says that an answer must be JSON, and of which form.
type Shape struct {
	Name        string
	Description string
	Schema      json.RawMessage // JSON Schema; nil is any object
	Strict      bool
}

// Thinking is how much a model may think before it answers. The zero value leaves it to the model.
type Thinking struct {
	Effort  string // none, minimal, low, medium, high, xhigh, max
	Budget  int64  // tokens
	Off     bool   // not at all
	Summary string // auto, concise, detailed: tell what was thought
}

// Finish says why a model stopped.
type Finish string

// The reasons to stop.
const (
	FinishStop   Finish = "stop"
	FinishTools  Finish = "tools"
	FinishLength Finish = "length"
	FinishFilter Finish = "filter"
)

// Answer is a model's next message and what it used.
type Answer struct {
	Message Message `json:"message"`
	Finish  Finish  `json:"finish"`
	Model   string  `json:"model"` // who really answered
	Usage   Usage   `json:"usage"`

	ID       string          `json:"id,omitempty"`       // the server's own
	Stopped  string          `json:"stopped,omitempty"`  // the stop sequence that ended it
	Logprobs json.RawMessage `json:"logprobs,omitempty"` // as OpenAI writes them; no other wire format has them
	Tier     string          `json:"tier,omitempty"`     // of service that it was given
}

// Usage is what was used. TokensIn counts all that was read, cached or not; TokensOut all that was written, thoughts included.
type Usage struct {
	TokensIn  int64 `json:"tokens_in"`
	TokensOut int64 `json:"tokens_out"`
	Cost      Money `json:"cost"`
	Estimated bool  `json:"estimated,omitempty"` // not reported by the server

	Cached     int64 `json:"cached,omitempty"`      // of TokensIn, read from the prompt cache
	CacheWrite int64 `json:"cache_write,omitempty"` // of TokensIn, written to the prompt cache for five minutes
	CacheLong  int64 `json:"cache_long,omitempty"`  // of TokensIn, written to it for an hour
	Thought    int64 `json:"thought,omitempty"`     // of TokensOut
}

// Add sums two usages.
func (u Usage) Add(v Usage) Usage {
	return Usage{
		TokensIn: u.TokensIn + v.TokensIn, TokensOut: u.TokensOut + v.TokensOut, Cost: u.Cost + v.Cost, Estimated: u.Estimated || v.Estimated,
		Cached: u.Cached + v.Cached, CacheWrite: u.CacheWrite + v.CacheWrite, CacheLong: u.CacheLong + v.CacheLong, Thought: u.Thought + v.Thought,
	}
}

// EstimateTokens is a rough count for texts whose tokenizer is not known: one token for every four bytes, at least one.
func EstimateTokens(s string) int64 { return int64(len(s))/4 + 1 }
