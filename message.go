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

// Part is one piece of a message; exactly one of its fields is set.
type Part struct {
	Text   string      `json:"text,omitempty"`
	Call   *ToolCall   `json:"call,omitempty"`
	Result *ToolResult `json:"result,omitempty"`
}

// ToolCall is a model's wish that a tool be called.
type ToolCall struct {
	ID   string          `json:"id"` // the model's own
	Name string          `json:"name"`
	Args json.RawMessage `json:"args"` // an object; what is not valid JSON is kept as a JSON string
}

// ToolResult answers the call of the same id.
type ToolResult struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Text  string `json:"text"`
	Error bool   `json:"error,omitempty"` // Text says what went wrong and what to do
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
	Timeout     time.Duration   `json:"-"` // of one attempt, default 5 minutes
	Heartbeat   time.Duration   `json:"-"` // longest silence of a long call between two beats; zero asks for none
	Query       string          `json:"-"` // of a once tool: the tool that, asked with the same arguments and key, knows what became of a call
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
	Actor   Actor             // who started the run
	Attempt int               // from 1
	Beat    func(text string) // tells that a long call is alive, and how far it is; never nil when the engine calls
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
	Step      int // model calls of the run so far, from 1
	Model     string
	Messages  []Message
	Tools     []ToolSpec
	NoTools   bool              // the model may not call a tool now, although the conversation did
	MaxTokens int64             // of the answer; 0 leaves it to the model
	Tokens    func(text string) // gets the text as it comes; an empty text says that the answer begins anew and what came before is void
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
}

// Usage is what was used.
type Usage struct {
	TokensIn  int64 `json:"tokens_in"`
	TokensOut int64 `json:"tokens_out"`
	Cost      Money `json:"cost"`
	Estimated bool  `json:"estimated,omitempty"` // not reported by the server
}

// Add sums two usages.
func (u Usage) Add(v Usage) Usage {
	return Usage{u.TokensIn + v.TokensIn, u.TokensOut + v.TokensOut, u.Cost + v.Cost, u.Estimated || v.Estimated}
}

// EstimateTokens is a rough count for texts whose tokenizer is not known: one token for every four bytes, at least one.
func EstimateTokens(s string) int64 { return int64(len(s))/4 + 1 }
