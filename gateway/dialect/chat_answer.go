package dialect

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"decouple.dev/decouple"
)

// maxCalls is how many tool calls one answer may hold; more is a model gone astray.
const maxCalls = 256

// maxTokens is a count of tokens that no call reaches; a server that reports more is not believed.
const maxTokens = 1e9

// chatBody is a whole answer (choices with a message) or a chunk of a stream (choices with a delta).
type chatBody struct {
	Object  string          `json:"object"`
	Error   json.RawMessage `json:"error"`
	Model   string          `json:"model"`
	Choices []chatChoice    `json:"choices"`
	Usage   *chatUsage      `json:"usage"`
}

type chatChoice struct {
	Index        int       `json:"index"`
	Message      chatDelta `json:"message"`
	Delta        chatDelta `json:"delta"`
	FinishReason string    `json:"finish_reason"`
}

type chatDelta struct {
	Content          json.RawMessage `json:"content"` // text, null, or a list of parts
	Refusal          string          `json:"refusal"`
	Reasoning        string          `json:"reasoning"`
	ReasoningContent string          `json:"reasoning_content"`
	ToolCalls        []chatCallDelta `json:"tool_calls"`
}

type chatPart struct {
	Text string `json:"text"`
}

type chatCallDelta struct {
	Index    *int   `json:"index"`
	ID       string `json:"id"`
	Function struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"` // text, or an object
	} `json:"function"`
}

// chatUsage counts in floating point, because some servers write 12.0.
type chatUsage struct {
	In  float64 `json:"prompt_tokens"`
	Out float64 `json:"completion_tokens"`
}

// DecodeChat reads a whole answer. Usage.Estimated says that the server reported no usable count; the counts are then zero and the
// caller's to estimate. Errors: a [Fault] that came inside the 200, Unavailable for an answer that makes no sense.
func DecodeChat(data []byte, names Names) (decouple.Answer, error) {
	a := chatAnswer{names: names}
	if _, err := a.add(data); err != nil {
		return decouple.Answer{}, err
	}
	return a.answer()
}

// chatAnswer gathers an answer, from one body or from the chunks of a stream.
type chatAnswer struct {
	names   Names
	text    strings.Builder
	calls   []*gatheredCall
	refused bool
	finish  string
	model   string
	usage   *chatUsage
}

type gatheredCall struct {
	index    int
	id, name string
	args     strings.Builder
}

// Delta is what one line of a stream brought.
type Delta struct {
	Text  string // of the answer
	Moved bool   // the model produced something, shown or not: text, thoughts, a piece of a tool call, its end
}

func (a *chatAnswer) add(data []byte) (Delta, error) {
	var b chatBody
	if err := json.Unmarshal(data, &b); err != nil {
		return Delta{}, decouple.Errorf(decouple.Unavailable, "the answer is not the JSON of a chat completion: %w", err)
	}
	if f := parseFault(b.Error); f != nil {
		return Delta{}, f
	}
	if b.Object == "error" {
		return Delta{}, parseFault(data)
	}
	if b.Model != "" {
		a.model = b.Model
	}
	if b.Usage != nil {
		a.usage = b.Usage
	}
	var d Delta
	for _, c := range b.Choices {
		if c.Index != 0 {
			continue
		}
		if err := a.choice(c, &d); err != nil {
			return d, err
		}
	}
	return d, nil
}

func (a *chatAnswer) choice(c chatChoice, d *Delta) error {
	for i, m := range []chatDelta{c.Message, c.Delta} {
		said, err := contentText(m.Content)
		if err != nil {
			return err
		}
		said += m.Refusal
		d.Text += said
		a.text.WriteString(said)
		d.Moved = d.Moved || said+m.Reasoning+m.ReasoningContent != "" || len(m.ToolCalls) > 0
		a.refused = a.refused || m.Refusal != ""
		for _, t := range m.ToolCalls {
			if err := a.call(t, i == 0); err != nil {
				return err
			}
		}
	}
	if c.FinishReason != "" {
		a.finish, d.Moved = c.FinishReason, true
	}
	return nil
}

// contentText joins the texts of a message's content.
func contentText(raw json.RawMessage) (string, error) {
	if !present(raw) {
		return "", nil
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s, nil
	}
	var parts []chatPart
	if err := json.Unmarshal(raw, &parts); err != nil {
		return "", decouple.Errorf(decouple.Unavailable, "the answer's content is neither text nor a list of parts with text")
	}
	for _, p := range parts {
		s += p.Text
	}
	return s, nil
}

// call takes up a whole tool call, or a piece of one.
func (a *chatAnswer) call(t chatCallDelta, whole bool) error {
	c := a.find(t)
	if c == nil || whole {
		if len(a.calls) == maxCalls {
			return decouple.Errorf(decouple.Unavailable, "the answer holds more than %d tool calls", maxCalls)
		}
		c = &gatheredCall{index: len(a.calls)}
		if t.Index != nil {
			c.index = *t.Index
		}
		a.calls = append(a.calls, c)
	}
	if c.id == "" {
		c.id = t.ID
	}
	if c.name == "" {
		c.name = t.Function.Name
	}
	c.args.WriteString(plain(t.Function.Arguments))
	return nil
}

// find is the call that a piece goes on with: the further pieces of a call name its index. Nil is a new call; a server that gives no
// index, or the same one to all calls, begins one with a new id and a name.
func (a *chatAnswer) find(t chatCallDelta) *gatheredCall {
	for _, c := range slices.Backward(a.calls) {
		if t.Index != nil && c.index != *t.Index {
			continue
		}
		another := t.Function.Name != "" && (t.ID != "" && t.ID != c.id || t.Index == nil && t.ID == "")
		if another {
			return nil
		}
		return c
	}
	return nil
}

func (a *chatAnswer) answer() (decouple.Answer, error) {
	if a.finish == "error" {
		return decouple.Answer{}, &Fault{Message: "the model stopped with an error"}
	}
	m := decouple.Message{Role: decouple.Assistant}
	if a.text.Len() > 0 {
		m.Parts = append(m.Parts, decouple.Part{Text: a.text.String()})
	}
	slices.SortStableFunc(a.calls, func(x, y *gatheredCall) int { return cmp.Compare(x.index, y.index) })
	ids := map[string]bool{}
	for i, c := range a.calls {
		if c.name == "" {
			return decouple.Answer{}, decouple.Errorf(decouple.Unavailable, "tool call %d of the answer names no tool", i+1)
		}
		for n := i + 1; c.id == "" || ids[c.id]; n++ {
			c.id = "call_" + strconv.Itoa(n)
		}
		ids[c.id] = true
		m.Parts = append(m.Parts, decouple.Part{Call: &decouple.ToolCall{ID: c.id, Name: a.names.Own(c.name), Args: decodeArgs(c.args.String())}})
	}
	finish := a.reason()
	if len(m.Parts) == 0 && finish == decouple.FinishStop {
		return decouple.Answer{}, decouple.Errorf(decouple.Unavailable, "the answer is empty: neither text nor a tool call")
	}
	return decouple.Answer{Message: m, Finish: finish, Model: a.model, Usage: a.counted()}, nil
}

// reason says why the model stopped; tool calls count for more than a "stop".
func (a *chatAnswer) reason() decouple.Finish {
	switch {
	case a.finish == "content_filter", a.refused:
		return decouple.FinishFilter
	case a.finish == "length", a.finish == "max_tokens":
		return decouple.FinishLength
	case len(a.calls) > 0:
		return decouple.FinishTools
	}
	return decouple.FinishStop
}

func (a *chatAnswer) counted() decouple.Usage {
	if u := a.usage; u != nil && u.In >= 1 && u.In < maxTokens && u.Out >= 0 && u.Out < maxTokens {
		return decouple.Usage{TokensIn: int64(u.In), TokensOut: int64(u.Out)}
	}
	return decouple.Usage{Estimated: true}
}

// decodeArgs keeps arguments that are JSON, and makes a JSON string of those that are not.
func decodeArgs(s string) json.RawMessage {
	trimmed := bytes.TrimSpace([]byte(s))
	switch {
	case len(trimmed) == 0, string(trimmed) == "null":
		return json.RawMessage("{}")
	case json.Valid(trimmed):
		return trimmed
	}
	return keep(s)
}
