package dialect

import (
	"encoding/json"
	"strconv"

	"decouple.dev/decouple"
)

type chatAnswer struct {
	ID      string           `json:"id"`
	Object  string           `json:"object"`
	Created int64            `json:"created"`
	Model   string           `json:"model"`
	Choices []chatAnswerOne  `json:"choices"`
	Usage   *chatAnswerUsage `json:"usage,omitempty"`
	Tier    string           `json:"service_tier,omitempty"`
}

type chatAnswerOne struct {
	Index    int               `json:"index"`
	Message  chatAnswerMessage `json:"message"`
	Logprobs json.RawMessage   `json:"logprobs"`
	Finish   string            `json:"finish_reason"`
}

type chatAnswerMessage struct {
	Role      string       `json:"role"`
	Content   *string      `json:"content"`
	Refusal   *string      `json:"refusal"`
	Reasoning string       `json:"reasoning_content,omitempty"`
	Details   []chatDetail `json:"reasoning_details,omitempty"`
	ToolCalls []chatCall   `json:"tool_calls,omitempty"`
}

type chatAnswerUsage struct {
	In    int64        `json:"prompt_tokens"`
	Out   int64        `json:"completion_tokens"`
	Total int64        `json:"total_tokens"`
	Read  chatUsageIn  `json:"prompt_tokens_details"`
	Wrote chatUsageOut `json:"completion_tokens_details"`
}

type chatUsageIn struct {
	Cached int64 `json:"cached_tokens"`
	Write  int64 `json:"cache_write_tokens,omitempty"`
}

type chatUsageOut struct {
	Thought int64 `json:"reasoning_tokens"`
}

func usageOf(u decouple.Usage) *chatAnswerUsage {
	return &chatAnswerUsage{u.TokensIn, u.TokensOut, u.TokensIn + u.TokensOut, chatUsageIn{u.Cached, u.CacheWrite + u.CacheLong}, chatUsageOut{u.Thought}}
}

// Render gives a whole answer. What the model thought is in reasoning_content, and where another maker wants it back, in reasoning_details too.
func (chatServer) Render(a decouple.Answer, h Head) ([]byte, error) {
	m := chatAnswerMessage{Role: "assistant"}
	refused := false
	for i, p := range a.Message.Parts {
		switch {
		case p.Call != nil:
			args := chatFunction{Name: p.Call.Name, Arguments: callText(p.Call.Args)}
			m.ToolCalls = append(m.ToolCalls, chatCall{ID: p.Call.ID, Type: "function", Function: args, Extra: extraOf(p.Call.Signature)})
		case p.Thought != nil:
			m.Reasoning += p.Thought.Text
			if d, ok := detailOf(*p.Thought, i); ok {
				m.Details = append(m.Details, d)
			}
		case p.Refusal:
			refused = true
			join(&m.Refusal, p.Text)
		case p.Text != "":
			join(&m.Content, p.Text)
		}
	}
	out := chatAnswer{
		ID: chatID(h.ID, a.ID), Object: "chat.completion", Created: h.Created, Model: h.named(a.Model), Tier: a.Tier, Usage: usageOf(a.Usage),
		Choices: []chatAnswerOne{{Message: m, Logprobs: a.Logprobs, Finish: chatFinish(a.Finish, refused)}},
	}
	return marshal(out)
}

// named is the model's name for the caller.
func (h Head) named(real string) string {
	if h.Model != "" {
		return h.Model
	}
	return real
}

func chatID(ours, theirs string) string {
	switch {
	case ours != "":
		return ours
	case theirs != "":
		return theirs
	}
	return "chatcmpl-0"
}

func join(to **string, text string) {
	if *to == nil {
		*to = new(string)
	}
	**to += text
}

// callText is the text of a call's arguments; what was no JSON is given as it was.
func callText(args json.RawMessage) string {
	var text string
	if len(args) > 0 && args[0] == '"' && json.Unmarshal(args, &text) == nil {
		return text
	}
	return string(callArgs(args))
}

// detailOf is how a Chat caller is given a thought that its maker wants back.
func detailOf(t decouple.Thought, index int) (chatDetail, bool) {
	if own(Chat, &t) || t.Signature == "" && t.Opaque == "" && t.ID == "" {
		return chatDetail{}, false
	}
	if t.Text == "" {
		return chatDetail{Type: "reasoning.encrypted", Data: sign(t), Format: t.Maker, Index: index}, true
	}
	return chatDetail{Type: "reasoning.text", Text: t.Text, Signature: sign(t), Format: t.Maker, Index: index}, true
}

func chatFinish(f decouple.Finish, refused bool) string {
	switch f {
	case decouple.FinishTools:
		return "tool_calls"
	case decouple.FinishLength:
		return "length"
	case decouple.FinishFilter:
		if !refused { // the maker's own servers say "stop" where the model itself refuses
			return "content_filter"
		}
	}
	return "stop"
}

// Writer writes a streamed answer.
func (chatServer) Writer(h Head) Writer { return &chatWriter{head: h} }

type chatWriter struct {
	head    Head
	before  []byte // of every chunk
	calls   map[int]*chatWriting
	thought map[int]*decouple.Thought
	refused bool
}

type chatWriting struct {
	at    int // among the calls
	wrote bool
}

// Event appends the chunks of an event.
func (w *chatWriter) Event(dst []byte, e Event) []byte {
	if w.before == nil {
		dst = w.begin(dst, e)
	}
	switch e.Kind {
	case TextDelta:
		return w.delta(dst, e, "content")
	case RefusalDelta:
		w.refused = true
		return w.delta(dst, e, "refusal")
	case ThoughtDelta:
		return w.think(dst, e)
	case CallBegin:
		w.calls[e.Index] = &chatWriting{at: len(w.calls)}
		return w.call(dst, e.Index, e.Call, "")
	case CallDelta:
		if c := w.calls[e.Index]; c != nil && e.Text != "" {
			c.wrote = true
			return w.call(dst, e.Index, nil, e.Text)
		}
	case PartEnd:
		return w.partEnd(dst, e.Index)
	case Finish:
		return w.finish(dst, e.Answer)
	}
	return dst
}

func (w *chatWriter) begin(dst []byte, e Event) []byte {
	w.calls, w.thought = map[int]*chatWriting{}, map[int]*decouple.Thought{}
	b := appendString([]byte(`data: {"id":`), chatID(w.head.ID, e.ID))
	b = strconv.AppendInt(append(b, `,"object":"chat.completion.chunk","created":`...), w.head.Created, 10)
	b = appendString(append(b, `,"model":`...), w.head.named(e.Model))
	w.before = append(b, `,"choices":[`...)
	return w.chunk(dst, `"role":"assistant","content":"","refusal":null`)
}

const chunkEnd = "}\n\n"

// chunk appends a chunk with a delta of these members.
func (w *chatWriter) chunk(dst []byte, delta string) []byte {
	dst = append(append(dst, w.before...), `{"index":0,"delta":{`...)
	return w.close(append(dst, delta...), nil)
}

func (w *chatWriter) close(dst, probs []byte) []byte {
	dst = append(dst, `},"logprobs":`...)
	if probs == nil {
		probs = []byte("null")
	}
	dst = append(append(dst, probs...), `,"finish_reason":null}]`...)
	return w.end(dst)
}

func (w *chatWriter) end(dst []byte) []byte {
	if w.head.Usage {
		dst = append(dst, `,"usage":null`...)
	}
	return append(dst, chunkEnd...)
}

func (w *chatWriter) delta(dst []byte, e Event, field string) []byte {
	dst = append(append(dst, w.before...), `{"index":0,"delta":{"`...)
	dst = append(append(dst, field...), `":`...)
	return w.close(appendString(dst, e.Text), e.Logprobs)
}

func (w *chatWriter) think(dst []byte, e Event) []byte {
	t := w.thought[e.Index]
	if t == nil {
		t = &decouple.Thought{}
		w.thought[e.Index] = t
	}
	think(t, e)
	if e.Text == "" {
		return dst
	}
	return w.delta(dst, Event{Text: e.Text}, "reasoning_content")
}

func (w *chatWriter) call(dst []byte, index int, begun *decouple.ToolCall, args string) []byte {
	dst = append(append(dst, w.before...), `{"index":0,"delta":{"tool_calls":[{"index":`...)
	dst = strconv.AppendInt(dst, int64(w.calls[index].at), 10)
	dst = append(dst, ',')
	if begun != nil {
		dst = appendString(append(dst, `"id":`...), begun.ID)
		if x := extraOf(begun.Signature); x != nil {
			dst = append(append(dst, `,"extra_content":`...), must(x)...)
		}
		dst = appendString(append(dst, `,"type":"function","function":{"name":`...), begun.Name)
		dst = append(dst, ',')
	} else {
		dst = append(dst, `"function":{`...)
	}
	dst = appendString(append(dst, `"arguments":`...), args)
	return w.close(append(dst, "}}]"...), nil)
}

// partEnd gives a call that had no arguments an empty object, and a thought its signature.
func (w *chatWriter) partEnd(dst []byte, index int) []byte {
	if c := w.calls[index]; c != nil && !c.wrote {
		c.wrote = true
		return w.call(dst, index, nil, "{}")
	}
	t := w.thought[index]
	if t == nil {
		return dst
	}
	delete(w.thought, index)
	d, ok := detailOf(*t, index)
	if !ok {
		return dst
	}
	return w.chunk(dst, `"reasoning_details":`+string(must([]chatDetail{d})))
}

func (w *chatWriter) finish(dst []byte, a *decouple.Answer) []byte {
	if a == nil {
		a = &decouple.Answer{Finish: decouple.FinishStop}
	}
	for index := range sorted(w.calls) {
		dst = w.partEnd(dst, index)
	}
	dst = append(append(dst, w.before...), `{"index":0,"delta":{},"logprobs":null,"finish_reason":`...)
	dst = append(appendString(dst, chatFinish(a.Finish, w.refused)), `}]`...)
	dst = w.end(dst)
	if w.head.Usage {
		dst = append(append(dst, w.before...), `],"usage":`...)
		dst = append(append(dst, must(usageOf(a.Usage))...), chunkEnd...)
	}
	return append(dst, "data: [DONE]\n\n"...)
}

// Fault ends the stream with an error.
func (w *chatWriter) Fault(dst []byte, f *Fault) []byte {
	_, body := RenderFault(Chat, f)
	return append(append(append(dst, "data: "...), body...), "\n\n"...)
}
