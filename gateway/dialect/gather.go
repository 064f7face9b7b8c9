package dialect

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"decouple.dev/decouple"
)

// maxCalls is how many tool calls one answer may hold; more is a model gone astray.
const maxCalls = 256

// maxParts is how many parts one answer may hold.
const maxParts = 4096

// maxTokens is a count of tokens that no call reaches; a server that reports more is not believed.
const maxTokens = 1e9

// gather makes an answer of events, and keeps those that nobody has taken yet.
type gather struct {
	parts []*gathered
	ids   map[string]bool
	calls int
	end   decouple.Answer // all but the message
	probs []json.RawMessage
	out   []Event
	over  bool // Finish was given
}

type gathered struct {
	kind    EventKind // TextDelta, RefusalDelta, ThoughtDelta or CallBegin; Begin where nothing has come
	text    strings.Builder
	call    decouple.ToolCall
	thought decouple.Thought
	ended   bool
}

// next is the index of a part that is begun now.
func (g *gather) next() int {
	g.parts = append(g.parts, &gathered{})
	return len(g.parts) - 1
}

// take gives the events that have come since it was called last.
func (g *gather) take() []Event {
	out := g.out
	g.out = nil
	return out
}

// text goes on with a text, a refusal or a thought.
func (g *gather) write(kind EventKind, index int, text string) {
	p := g.parts[index]
	p.kind = kind
	p.text.WriteString(text)
	g.out = append(g.out, Event{Kind: kind, Index: index, Text: text})
}

// think adds what comes once to a thought.
func (g *gather) think(index int, t decouple.Thought) {
	p := g.parts[index]
	p.kind = ThoughtDelta
	p.thought.Signature += t.Signature
	p.thought.Opaque += t.Opaque
	if t.ID != "" {
		p.thought.ID = t.ID
	}
	p.thought.Maker = t.Maker
	g.out = append(g.out, Event{Kind: ThoughtDelta, Index: index, Thought: &t})
}

// begin begins a call. An id that is missing, or came before, is made up.
func (g *gather) begin(index int, c decouple.ToolCall) error {
	if g.calls++; g.calls > maxCalls {
		return decouple.Errorf(decouple.Unavailable, "the answer holds more than %d tool calls", maxCalls)
	}
	if c.Name == "" {
		return decouple.Errorf(decouple.Unavailable, "tool call %d of the answer names no tool", g.calls)
	}
	if g.ids == nil {
		g.ids = map[string]bool{}
	}
	for n := g.calls; c.ID == "" || g.ids[c.ID]; n++ {
		c.ID = "call_" + strconv.Itoa(n)
	}
	g.ids[c.ID] = true
	p := g.parts[index]
	p.kind, p.call = CallBegin, c
	g.out = append(g.out, Event{Kind: CallBegin, Index: index, Call: &c})
	return nil
}

// argue goes on with the arguments of a call. What comes after its end is no part of them.
func (g *gather) argue(index int, args string) {
	p := g.parts[index]
	if p.ended || args == "" {
		return
	}
	p.text.WriteString(args)
	g.out = append(g.out, Event{Kind: CallDelta, Index: index, Text: args})
}

// done ends a part.
func (g *gather) done(index int) {
	if p := g.parts[index]; !p.ended {
		p.ended = true
		g.out = append(g.out, Event{Kind: PartEnd, Index: index})
	}
}

// complete says that the arguments of a call are whole, as far as can be told.
func (g *gather) complete(index int) bool {
	text := g.parts[index].text.String()
	return strings.HasSuffix(strings.TrimRight(text, " \t\r\n"), "}") && json.Valid([]byte(text))
}

// finish ends all parts and the answer.
func (g *gather) finish() error {
	a, err := g.answer()
	if err != nil {
		return err
	}
	for i, p := range g.parts {
		if p.kind != Begin {
			g.done(i)
		}
	}
	last := a
	last.Message = decouple.Message{}
	g.over = true
	g.out = append(g.out, Event{Kind: Finish, Answer: &last})
	return nil
}

// rest gives the events that nobody has taken, and those of an end that the server did not mark.
func (g *gather) rest(whole bool) ([]Event, error) {
	var err error
	if whole && !g.over {
		err = g.finish()
	}
	return g.take(), err
}

// Rest is End for whoever forwards the events: it also gives those that were not given yet, up to Finish. Streams may end without the end of their last frame, or
// without an end mark.
func Rest(r Reader) ([]Event, decouple.Answer, error) {
	a, err := r.End()
	g, ok := r.(interface {
		rest(whole bool) ([]Event, error)
	})
	if !ok {
		return nil, a, err
	}
	events, broken := g.rest(err == nil)
	if err == nil {
		err = broken
	}
	return events, a, err
}

// said is the text so far.
func (g *gather) said() string {
	var b strings.Builder
	for _, p := range g.parts {
		if p.kind == TextDelta || p.kind == RefusalDelta {
			b.WriteString(p.text.String())
		}
	}
	return b.String()
}

// answer is what there is; one that is empty, though the model is said to have stopped by itself, is Unavailable.
func (g *gather) answer() (decouple.Answer, error) {
	a := g.partial()
	for _, p := range a.Message.Parts {
		if p.Thought == nil {
			return a, nil
		}
	}
	if a.Finish == decouple.FinishStop || a.Finish == "" {
		return a, errEmpty()
	}
	return a, nil
}

func (g *gather) partial() decouple.Answer {
	a := g.end
	if a.Finish == decouple.FinishTools && g.calls == 0 { // the server says so, but there is none
		a.Finish = decouple.FinishStop
	}
	a.Message = decouple.Message{Role: decouple.Assistant}
	for _, p := range g.parts {
		switch text := p.text.String(); p.kind {
		case TextDelta, RefusalDelta:
			if text != "" {
				a.Message.Parts = append(a.Message.Parts, decouple.Part{Text: text, Refusal: p.kind == RefusalDelta})
			}
		case ThoughtDelta:
			t := p.thought
			t.Text = text
			a.Message.Parts = append(a.Message.Parts, decouple.Part{Thought: &t})
		case CallBegin:
			c := p.call
			c.Args = decodeArgs(text)
			a.Message.Parts = append(a.Message.Parts, decouple.Part{Call: &c})
		}
	}
	if len(g.probs) > 0 {
		a.Logprobs = append(append([]byte(`{"content":[`), bytes.Join(rawBytes(g.probs), []byte(","))...), `],"refusal":null}`...)
	}
	return a
}

func rawBytes(list []json.RawMessage) [][]byte {
	var all [][]byte
	for _, r := range list {
		all = append(all, r)
	}
	return all
}

// Events gives a whole answer as the events of a streamed one, for a caller who wants a stream of what came whole.
func Events(a decouple.Answer) []Event {
	all := []Event{{Kind: Begin, ID: a.ID, Model: a.Model}}
	for i, p := range a.Message.Parts {
		e := Event{Index: i}
		switch {
		case p.Call != nil:
			c := *p.Call
			c.Args = nil
			all = append(all, Event{Kind: CallBegin, Index: i, Call: &c})
			e.Kind, e.Text = CallDelta, string(callArgs(p.Call.Args))
		case p.Thought != nil:
			e.Kind, e.Text = ThoughtDelta, p.Thought.Text
			t := *p.Thought
			t.Text = ""
			e.Thought = &t
		case p.Refusal:
			e.Kind, e.Text = RefusalDelta, p.Text
		default:
			e.Kind, e.Text = TextDelta, p.Text
			if a.Logprobs != nil {
				e.Logprobs = a.Logprobs
				a.Logprobs = nil
			}
		}
		all = append(all, e, Event{Kind: PartEnd, Index: i})
	}
	last := a
	last.Message = decouple.Message{}
	return append(all, Event{Kind: Finish, Answer: &last})
}

// callArgs gives arguments as they go over the wire: a text that is not JSON goes as it was.
func callArgs(args json.RawMessage) json.RawMessage {
	trimmed := bytes.TrimSpace(args)
	if len(trimmed) == 0 {
		return json.RawMessage("{}")
	}
	return trimmed
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

// objectArgs gives an object whatever the model had sent: servers fail on anything else in earlier calls.
func objectArgs(args json.RawMessage) json.RawMessage {
	trimmed := bytes.TrimSpace(args)
	switch {
	case len(trimmed) == 0:
		return json.RawMessage("{}")
	case trimmed[0] == '{' && json.Valid(trimmed):
		return trimmed
	case !json.Valid(trimmed):
		trimmed = keep(string(args))
	}
	return json.RawMessage(`{"invalid_arguments":` + string(trimmed) + `}`)
}

// keep makes a JSON string of a text, which cannot fail: bytes that are not UTF-8 are replaced.
func keep(s string) json.RawMessage {
	data, _ := json.Marshal(s)
	return data
}
