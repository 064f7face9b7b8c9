package dialect

import (
	"encoding/json"

	"decouple.dev/decouple"
)

// converseBody is a whole answer, or the payload of an event.
type converseBody struct {
	Output struct {
		Message struct {
			Content []converseGiven `json:"content"`
		} `json:"message"`
	} `json:"output"`
	StopReason string            `json:"stopReason"`
	Usage      json.RawMessage   `json:"usage"`
	Tier       *converseTierType `json:"serviceTier"`
	Type       string            `json:"__type"`
	Message    string            `json:"message"`
	Capital    string            `json:"Message"`

	Index int            `json:"contentBlockIndex"`
	Start converseGiven  `json:"start"`
	Delta *converseDelta `json:"delta"`
}

type converseGiven struct {
	Text      string             `json:"text"`
	ToolUse   *converseUse       `json:"toolUse"`
	Reasoning *converseReasoning `json:"reasoningContent"`
	Cited     *struct {
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
	} `json:"citationsContent"`
}

type converseDelta struct {
	Text    string `json:"text"`
	ToolUse *struct {
		Input string `json:"input"`
	} `json:"toolUse"`
	Reasoning *struct {
		Text      string `json:"text"`
		Signature string `json:"signature"`
		Redacted  string `json:"redactedContent"`
	} `json:"reasoningContent"`
}

// Decode reads a whole answer. Blocks of a sort that is not known are left out.
func (converseClient) Decode(body []byte, names Names) (decouple.Answer, error) {
	r := newConverseReader(names)
	var b converseBody
	if err := json.Unmarshal(body, &b); err != nil {
		return decouple.Answer{}, decouple.Errorf(decouple.Unavailable, "the answer is not the JSON of Converse: %w", err)
	}
	if b.Type != "" {
		return decouple.Answer{}, &Fault{Type: amazonType(b.Type), Message: b.Message + b.Capital}
	}
	for i, c := range b.Output.Message.Content {
		if err := r.block(i, c); err != nil {
			return decouple.Answer{}, err
		}
		r.stopPart(i)
	}
	if err := r.stop(b.StopReason); err != nil {
		return decouple.Answer{}, err
	}
	r.metadata(b)
	return r.answer()
}

// Reader reads a streamed answer.
func (converseClient) Reader(names Names) Reader { return newConverseReader(names) }

type converseReader struct {
	gather
	binaryFrames
	names Names
	at    map[int]int
	usage tally
	said  string
	ended bool
}

func newConverseReader(names Names) *converseReader {
	r := &converseReader{names: names, at: map[int]int{}, usage: newTally()}
	r.usage.apart = true
	r.end.Usage.Estimated = true
	return r
}

// Feed takes bytes and gives what they brought.
func (r *converseReader) Feed(p []byte) ([]Event, error) {
	err := r.feed(p, r.event)
	return r.take(), err
}

// Done says that the last event has come.
func (r *converseReader) Done() bool { return r.ended }

// End is the answer. A stream without usage is whole if the model had said why it stopped.
func (r *converseReader) End() (decouple.Answer, error) {
	if r.said == "" {
		return r.partial(), errCut()
	}
	return r.answer()
}

func (r *converseReader) event(e binaryEvent) error {
	if r.ended {
		return nil
	}
	if f := e.fault(); f != nil {
		return f
	}
	var b converseBody
	if err := json.Unmarshal(e.payload, &b); err != nil {
		return decouple.Errorf(decouple.Unavailable, "an event of the stream is not JSON: %w", err)
	}
	switch e.name {
	case "messageStart":
		r.out = append(r.out, Event{Kind: Begin})
	case "contentBlockStart":
		return r.block(b.Index, b.Start)
	case "contentBlockDelta":
		return r.delta(b.Index, b.Delta)
	case "contentBlockStop":
		r.stopPart(b.Index)
	case "messageStop":
		return r.stop(b.StopReason)
	case "metadata":
		r.metadata(b)
		r.ended = true
		return r.finish()
	}
	return nil
}

// fault is what an exception says; nil for an event.
func (e binaryEvent) fault() *Fault {
	switch e.kind {
	case "event":
		return nil
	case "error":
		return &Fault{Type: e.name, Message: e.message}
	}
	f := ParseFault(0, e.payload)
	f.Type = upperFirst(e.name)
	return f
}

// part is the part of a block; a text and a thought begin with their first piece.
func (r *converseReader) part(index int) (int, error) {
	if part, ok := r.at[index]; ok {
		return part, nil
	}
	if len(r.parts) >= maxParts {
		return 0, decouple.Errorf(decouple.Unavailable, "the answer holds more than %d parts", maxParts)
	}
	r.at[index] = r.next()
	return r.at[index], nil
}

func (r *converseReader) block(index int, c converseGiven) error {
	if c.Cited != nil {
		for _, piece := range c.Cited.Content {
			c.Text += piece.Text
		}
	}
	if c.Text == "" && c.ToolUse == nil && c.Reasoning == nil {
		return nil
	}
	part, err := r.part(index)
	if err != nil || r.parts[part].kind != Begin {
		return err
	}
	switch {
	case c.ToolUse != nil:
		if err := r.begin(part, decouple.ToolCall{ID: c.ToolUse.ID, Name: r.names.Own(c.ToolUse.Name)}); err != nil {
			return err
		}
		r.argue(part, string(c.ToolUse.Input))
	case c.Reasoning != nil:
		t := decouple.Thought{Maker: string(Converse), Opaque: c.Reasoning.Redacted}
		if said := c.Reasoning.Text; said != nil {
			t.Signature = said.Signature
			r.think(part, t)
			if said.Text != "" {
				r.write(ThoughtDelta, part, said.Text)
			}
			return nil
		}
		r.think(part, t)
	default:
		r.write(TextDelta, part, c.Text)
	}
	return nil
}

func (r *converseReader) delta(index int, d *converseDelta) error {
	if d == nil {
		return nil
	}
	part, err := r.part(index)
	if err != nil {
		return err
	}
	kind := r.parts[part].kind
	switch {
	case d.Text != "" && (kind == TextDelta || kind == Begin):
		r.write(TextDelta, part, d.Text)
	case d.ToolUse != nil && kind == CallBegin:
		r.argue(part, d.ToolUse.Input)
	case d.Reasoning != nil && (kind == ThoughtDelta || kind == Begin):
		if x := d.Reasoning; kind == Begin || x.Signature != "" || x.Redacted != "" {
			r.think(part, decouple.Thought{Maker: string(Converse), Signature: x.Signature, Opaque: x.Redacted})
		}
		if d.Reasoning.Text != "" {
			r.write(ThoughtDelta, part, d.Reasoning.Text)
		}
	}
	return nil
}

func (r *converseReader) stopPart(index int) {
	if part, ok := r.at[index]; ok && r.parts[part].kind != Begin {
		r.done(part)
	}
}

func (r *converseReader) stop(reason string) error {
	if reason == "" {
		return nil
	}
	r.said = reason
	if f := converseBroken(reason); f != nil {
		return f
	}
	r.end.Finish = converseReason(reason)
	return nil
}

// converseBroken is the fault of a model whose output its server could not read.
func converseBroken(reason string) *Fault {
	if reason == "malformed_model_output" || reason == "malformed_tool_use" {
		return &Fault{Type: "ModelErrorException", Code: reason, Message: "the model's output was malformed: " + reason}
	}
	return nil
}

func converseReason(reason string) decouple.Finish {
	switch reason {
	case "tool_use":
		return decouple.FinishTools
	case "max_tokens", "model_context_window_exceeded":
		return decouple.FinishLength
	case "guardrail_intervened", "content_filtered", "refusal":
		return decouple.FinishFilter
	}
	return decouple.FinishStop
}

func (r *converseReader) metadata(b converseBody) {
	if present(b.Usage) {
		r.usage.converse(&scanner{b: b.Usage})
		r.end.Usage, _ = r.usage.usage()
	}
	if b.Tier != nil {
		r.end.Tier = b.Tier.Type
	}
}

func (t *tally) converse(c *scanner) {
	all := int64(-1)
	for ok := c.object(); ok && c.more('}'); {
		switch string(c.key()) {
		case "inputTokens":
			t.keep(&t.in, c)
		case "outputTokens":
			t.keep(&t.out, c)
		case "cacheReadInputTokens":
			t.keep(&t.cached, c)
		case "cacheWriteInputTokens":
			t.keep(&all, c)
		case "cacheDetails":
			for ok := c.list(); ok && c.more(']'); {
				t.cacheDetail(c)
			}
		default:
			c.skip()
		}
	}
	if all >= 0 {
		t.long = min(t.long, all)
		t.write = all - max(0, t.long)
	}
}

// cacheDetail reads how many tokens were written for how long.
func (t *tally) cacheDetail(c *scanner) {
	n, long := int64(0), false
	for ok := c.object(); ok && c.more('}'); {
		switch string(c.key()) {
		case "inputTokens":
			t.keep(&n, c)
		case "ttl":
			long = c.text() == "1h"
		default:
			c.skip()
		}
	}
	if long {
		t.long = max(0, t.long) + n
	}
}

// conversePassage is the Passage of ConverseStream.
type conversePassage struct {
	binaryFrames
	sight
}

// Feed takes bytes and says what the whole frames so far brought.
func (p *conversePassage) Feed(b []byte) (Seen, error) {
	err := p.feed(b, func(e binaryEvent) error {
		if p.done {
			return nil
		}
		if f := e.fault(); f != nil {
			return f
		}
		if err := p.take(converseLook, nil, e.payload); err != nil {
			return err
		}
		p.Moved = p.Moved || e.name == "contentBlockStart"
		p.done = e.name == "metadata"
		return p.hollow()
	})
	p.Whole = p.whole
	return p.Seen, err
}

// Done says that the last event has come.
func (p *conversePassage) Done() bool { return p.done }

// converseLook reads the payload of an event, or a whole answer.
func converseLook(s *sight, _ string, data []byte) error {
	s.usage.apart = true
	c := scanner{b: data}
	if !c.open('{') {
		return mistaken(Converse)
	}
	for c.more('}') {
		switch string(c.key()) {
		case "output", "message":
			s.converseInner(&c)
		case "delta", "start":
			s.converseBlock(&c)
		case "stopReason":
			s.stopped(&c)
		case "usage":
			s.usage.converse(&c)
			s.note()
		case "__type":
			s.fault, s.faulted = data, true
			c.skip()
		default:
			c.skip()
		}
	}
	if !c.whole() {
		return mistaken(Converse)
	}
	if f := converseBroken(s.stop); f != nil {
		return f
	}
	if s.stop != "" {
		s.Finish = converseReason(s.stop)
	}
	return nil
}

func (s *sight) converseInner(c *scanner) {
	for ok := c.object(); ok && c.more('}'); {
		switch string(c.key()) {
		case "message":
			s.converseInner(c)
		case "content":
			for ok := c.list(); ok && c.more(']'); {
				s.converseBlock(c)
			}
		default:
			c.skip()
		}
	}
}

func (s *sight) converseBlock(c *scanner) {
	for ok := c.object(); ok && c.more('}'); {
		switch string(c.key()) {
		case "text":
			s.wrote(c.length())
		case "toolUse":
			s.called = true
			s.wrote(len(c.raw()))
		default:
			if n := len(c.raw()); n > 2 {
				s.wrote(n)
			}
		}
	}
}
