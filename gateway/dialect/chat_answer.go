package dialect

import (
	"encoding/json"

	"decouple.dev/decouple"
)

// chatBody is a whole answer (choices with a message) or a chunk of a stream (choices with a delta).
type chatBody struct {
	ID      string          `json:"id"`
	Object  string          `json:"object"`
	Error   json.RawMessage `json:"error"`
	Model   string          `json:"model"`
	Choices []chatChoice    `json:"choices"`
	Usage   json.RawMessage `json:"usage"`
	Tier    string          `json:"service_tier"`
}

type chatChoice struct {
	Index        int           `json:"index"`
	Message      chatDelta     `json:"message"`
	Delta        chatDelta     `json:"delta"`
	FinishReason string        `json:"finish_reason"`
	Logprobs     *chatLogprobs `json:"logprobs"`
}

type chatLogprobs struct {
	Content []json.RawMessage `json:"content"`
	Refusal []json.RawMessage `json:"refusal"`
}

type chatDelta struct {
	Content          json.RawMessage `json:"content"` // text, null, or a list of parts
	Refusal          string          `json:"refusal"`
	Reasoning        string          `json:"reasoning"`
	ReasoningContent string          `json:"reasoning_content"`
	Details          []chatDetail    `json:"reasoning_details"`
	ToolCalls        []chatCallDelta `json:"tool_calls"`
}

// chatDetail is how we give thoughts of another maker to a Chat caller, beside reasoning_content.
type chatDetail struct {
	Type      string `json:"type"` // reasoning.text or reasoning.encrypted
	Text      string `json:"text,omitempty"`
	Signature string `json:"signature,omitempty"` // a token of ours
	Data      string `json:"data,omitempty"`      // likewise
	Format    string `json:"format,omitempty"`
	Index     int    `json:"index"`
}

type chatPart struct {
	Text string `json:"text"`
}

type chatCallDelta struct {
	Index    *int       `json:"index"`
	ID       string     `json:"id"`
	Extra    *chatExtra `json:"extra_content"`
	Function struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"` // text, or an object
	} `json:"function"`
}

// Decode reads a whole answer.
func (chatClient) Decode(data []byte, names Names) (decouple.Answer, error) {
	r := newChatReader(names)
	if err := r.add(data); err != nil {
		return decouple.Answer{}, err
	}
	if err := r.settle(); err != nil {
		return decouple.Answer{}, err
	}
	return r.answer()
}

// Reader reads a streamed answer.
func (chatClient) Reader(names Names) Reader { return newChatReader(names) }

// chatReader gathers an answer, from one body or from the chunks of a stream.
type chatReader struct {
	gather
	frames
	names   Names
	open    int // the text, refusal or thought that goes on, -1 if none does
	calls   []*chatCalling
	refused bool
	stop    string
	begun   bool
	ended   bool
}

// chatCalling is a call that is coming in.
type chatCalling struct {
	index, part int
	id, name    string
	signature   string
	held        string // arguments that came before the name
	begun       bool
}

func newChatReader(names Names) *chatReader {
	r := &chatReader{names: names, open: -1}
	r.end.Usage.Estimated = true
	return r
}

// Feed takes bytes and gives what they brought.
func (r *chatReader) Feed(p []byte) ([]Event, error) {
	err := r.feed(p, r.frame)
	return r.take(), err
}

func (r *chatReader) frame(_, data []byte) error {
	switch {
	case r.ended:
		return nil
	case string(data) == "[DONE]":
		r.ended = true
		if err := r.settle(); err != nil {
			return err
		}
		return r.finish()
	}
	return r.add(data)
}

// Done says that the end mark has come.
func (r *chatReader) Done() bool { return r.ended }

// End is the answer. A stream without its end mark is whole if the model had said why it stopped.
func (r *chatReader) End() (decouple.Answer, error) {
	if err := r.flush(r.frame); err != nil {
		return r.partial(), err
	}
	if !r.ended && r.stop == "" {
		return r.partial(), errCut()
	}
	if err := r.settle(); err != nil {
		return r.partial(), err
	}
	return r.answer()
}

func errCut() error {
	return decouple.Errorf(decouple.Unavailable, "the stream was cut off before the answer's end")
}

func (r *chatReader) add(data []byte) error {
	var b chatBody
	if err := json.Unmarshal(data, &b); err != nil {
		return decouple.Errorf(decouple.Unavailable, "the answer is not the JSON of a chat completion: %w", err)
	}
	if f := parseFault(b.Error); f != nil {
		return f
	}
	if b.Object == "error" {
		return parseFault(data)
	}
	if b.Model != "" {
		r.end.Model = b.Model
	}
	if b.ID != "" {
		r.end.ID = b.ID
	}
	if b.Tier != "" {
		r.end.Tier = b.Tier
	}
	if !r.begun {
		r.begun = true
		r.out = append(r.out, Event{Kind: Begin, ID: b.ID, Model: b.Model})
	}
	if present(b.Usage) {
		s := sight{usage: newTally()}
		s.chatUsage(&scanner{b: b.Usage})
		r.end.Usage, _ = s.usage.usage()
	}
	for _, c := range b.Choices {
		if c.Index != 0 {
			continue
		}
		if err := r.choice(c); err != nil {
			return err
		}
	}
	return nil
}

func (r *chatReader) choice(c chatChoice) error {
	for i, m := range []chatDelta{c.Message, c.Delta} {
		said, err := contentText(m.Content)
		if err != nil {
			return err
		}
		r.thoughts(m)
		r.say(RefusalDelta, m.Refusal)
		r.refused = r.refused || m.Refusal != ""
		r.probable(said, c.Logprobs, i == 1)
		for _, t := range m.ToolCalls {
			if err := r.call(t, i == 0); err != nil {
				return err
			}
		}
	}
	if c.FinishReason != "" {
		r.stop = c.FinishReason
	}
	return nil
}

// probable goes on with the text, and with how likely its tokens were; a whole answer has them once.
func (r *chatReader) probable(said string, probs *chatLogprobs, delta bool) {
	if probs == nil || len(probs.Content) == 0 || !delta && said == "" {
		r.say(TextDelta, said)
		return
	}
	if delta && said == "" && len(r.probs) > 0 && r.open < 0 {
		return
	}
	r.probs = append(r.probs, probs.Content...)
	r.turn(TextDelta)
	r.write(TextDelta, r.open, said)
	r.out[len(r.out)-1].Logprobs = must(probs)
	probs.Content = nil
}

func (r *chatReader) thoughts(m chatDelta) {
	for _, text := range []struct{ text, id string }{{m.ReasoningContent, ""}, {m.Reasoning, "reasoning"}} {
		if text.text == "" || text.id != "" && m.ReasoningContent == m.Reasoning {
			continue
		}
		if r.turn(ThoughtDelta) {
			r.think(r.open, decouple.Thought{Maker: string(Chat), ID: text.id})
		}
		r.write(ThoughtDelta, r.open, text.text)
	}
}

// say goes on with a text or a refusal.
func (r *chatReader) say(kind EventKind, text string) {
	if text != "" {
		r.turn(kind)
		r.write(kind, r.open, text)
	}
}

// turn makes a part of a kind the one that goes on, and says whether it is a new one.
func (r *chatReader) turn(kind EventKind) bool {
	if r.open >= 0 && r.parts[r.open].kind == kind {
		return false
	}
	r.leave()
	r.open = r.next()
	return true
}

// leave ends the text or thought that went on.
func (r *chatReader) leave() {
	if r.open >= 0 {
		r.done(r.open)
		r.open = -1
	}
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
func (r *chatReader) call(t chatCallDelta, whole bool) error {
	c := r.find(t)
	if c == nil || whole {
		if len(r.calls) == maxCalls {
			return decouple.Errorf(decouple.Unavailable, "the answer holds more than %d tool calls", maxCalls)
		}
		r.leave()
		c = &chatCalling{index: len(r.calls)}
		if t.Index != nil {
			c.index = *t.Index
		}
		for _, earlier := range r.calls {
			if earlier.begun && r.complete(earlier.part) {
				r.done(earlier.part)
			}
		}
		r.calls = append(r.calls, c)
	}
	if c.id == "" {
		c.id = t.ID
	}
	if c.name == "" {
		c.name = t.Function.Name
	}
	if t.Extra != nil && c.signature == "" {
		c.signature = t.Extra.Google.Signature
	}
	args := plain(t.Function.Arguments)
	if !c.begun {
		c.held += args
		if args = c.held; c.name == "" {
			return nil
		}
		c.begun, c.part = true, r.next()
		if err := r.begin(c.part, decouple.ToolCall{ID: c.id, Name: r.names.Own(c.name), Signature: c.signature}); err != nil {
			return err
		}
	}
	r.argue(c.part, args)
	return nil
}

// find is the call that a piece goes on with: the further pieces of a call name its index. Nil is a new call; a server that gives no
// index, or the same one to all calls, begins one with a new id and a name.
func (r *chatReader) find(t chatCallDelta) *chatCalling {
	for i := len(r.calls) - 1; i >= 0; i-- {
		c := r.calls[i]
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

// settle says how the answer ended; a stop that is an error is a fault.
func (r *chatReader) settle() error {
	if r.stop == "error" {
		return &Fault{Message: "the model stopped with an error"}
	}
	for i, c := range r.calls {
		if !c.begun {
			return decouple.Errorf(decouple.Unavailable, "tool call %d of the answer names no tool", i+1)
		}
	}
	r.end.Finish = chatReason(r.stop, len(r.calls) > 0, r.refused)
	return nil
}
