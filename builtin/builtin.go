// Package builtin answers "what can be said without a model?": it is the embedded model of Decouple, deterministic and extractive. It has no
// weights and knows nothing by itself: whatever it says is a sentence of a source that a tool has shown it, or one of a few fixed phrases.
//
// It speaks the protocol of every other model: a conversation and tools go in, the next message comes out, with tool calls in it. [Answer] is a
// pure function; all that an agent has done so far stands in the conversation, and each turn is worked out from it anew.
//
// What it does follows from the tools it is offered. With findings.list it writes up (write.go). With notes.search it researches: it searches,
// looks at the headings around the best hits (plan.go), splits a broad question among sub-agents if it may spawn them, and otherwise picks
// what answers (pick.go, stand.go) and hands it in. Read talk.go first: it is how the conversation is understood.
package builtin

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"decouple.dev/decouple"
)

// Name is the model's name wherever one is shown.
const Name = "builtin"

// NotFound is the whole answer of an agent that found nothing.
const NotFound = "not found in the sources"

// Answer is the next message of the conversation in req. It is Invalid if nobody has said anything.
func Answer(req decouple.Request) (decouple.Answer, error) {
	t, err := hear(req)
	if err != nil {
		return decouple.Answer{}, err
	}
	var next turn
	switch {
	case req.NoTools:
		next = say(t.summary())
	case t.offered[decouple.ToolFindingsList]:
		next = writeUp(t)
	case t.offered[decouple.ToolSearch]:
		next = research(t)
	default:
		next = say("The builtin model answers from notes alone, and no tool that searches them was offered: " + NotFound + ".")
	}
	a := next.answer(len(t.calls), req.MaxTokens)
	a.Usage = usage(req, a.Message)
	if text := a.Message.Text(); text != "" && req.Tokens != nil {
		req.Tokens(text)
	}
	return a, nil
}

// turn is what the model does next: it calls tools, or says its last word.
type turn struct {
	text  string
	calls []call
}

// call is a tool call before it has an id. Args is one of the argument types of the root package.
type call struct {
	tool string
	args any
}

func say(text string) turn { return turn{text: text} }

// answer is the turn as a message of at most max tokens: text is cut, calls that do not fit are left for the next turn.
func (n turn) answer(before int, limit int64) decouple.Answer {
	a := decouple.Answer{Model: Name, Finish: decouple.FinishStop, Message: decouple.Message{Role: decouple.Assistant}}
	if len(n.calls) == 0 {
		if limit > 0 && decouple.EstimateTokens(n.text) > limit {
			n.text, a.Finish = head(n.text, int(limit-1)*4), decouple.FinishLength
		}
		a.Message.Parts = []decouple.Part{{Text: n.text}}
		return a
	}
	a.Finish = decouple.FinishTools
	var used int64
	for i, c := range n.calls {
		args := encode(c.args)
		used += decouple.EstimateTokens(c.tool + string(args))
		if limit > 0 && used > limit {
			break
		}
		id := fmt.Sprintf("call_%d", before+i+1)
		a.Message.Parts = append(a.Message.Parts, decouple.Part{Call: &decouple.ToolCall{ID: id, Name: c.tool, Args: args}})
	}
	if len(a.Message.Parts) == 0 {
		a.Finish = decouple.FinishLength
		a.Message.Parts = []decouple.Part{{Text: ""}}
	}
	return a
}

// head is the beginning of s, at most n bytes of whole characters.
func head(s string, n int) string {
	if n >= len(s) {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// encode is JSON of one of the argument types, which cannot fail.
func encode(args any) json.RawMessage {
	b, err := json.Marshal(args)
	if err != nil {
		panic("builtin: arguments that are not JSON: " + err.Error())
	}
	return b
}

// usage estimates what the request and the answer would count.
func usage(req decouple.Request, answer decouple.Message) decouple.Usage {
	u := decouple.Usage{Estimated: true, TokensOut: tokens(answer)}
	for _, m := range req.Messages {
		u.TokensIn += tokens(m)
	}
	for _, s := range req.Tools {
		u.TokensIn += decouple.EstimateTokens(s.Name + s.Description + string(s.Params))
	}
	return u
}

func tokens(m decouple.Message) int64 {
	var n int64
	for _, p := range m.Parts {
		switch {
		case p.Call != nil:
			n += decouple.EstimateTokens(p.Call.Name + string(p.Call.Args))
		case p.Result != nil:
			n += decouple.EstimateTokens(p.Result.Text)
		default:
			n += decouple.EstimateTokens(p.Text)
		}
	}
	return n
}
