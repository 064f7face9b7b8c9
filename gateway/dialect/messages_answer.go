package dialect

import (
	"encoding/json"

	"decouple.dev/decouple"
)

// messagesBody is a whole answer, or an event of a stream.
type messagesBody struct {
	Type         string           `json:"type"`
	ID           string           `json:"id"`
	Model        string           `json:"model"`
	Content      []messagesGiven  `json:"content"`
	StopReason   string           `json:"stop_reason"`
	StopSequence string           `json:"stop_sequence"`
	StopDetails  *messagesDetails `json:"stop_details"`
	Usage        json.RawMessage  `json:"usage"`
	Error        json.RawMessage  `json:"error"`

	Message *messagesBody  `json:"message"`
	Index   int            `json:"index"`
	Block   messagesGiven  `json:"content_block"`
	Delta   *messagesDelta `json:"delta"`
}

type messagesDetails struct {
	Explanation string `json:"explanation"`
}

type messagesGiven struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	Signature string          `json:"signature"`
	Data      string          `json:"data"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
}

type messagesDelta struct {
	Type         string           `json:"type"`
	Text         string           `json:"text"`
	Thinking     string           `json:"thinking"`
	Signature    string           `json:"signature"`
	PartialJSON  string           `json:"partial_json"`
	StopReason   string           `json:"stop_reason"`
	StopSequence string           `json:"stop_sequence"`
	StopDetails  *messagesDetails `json:"stop_details"`
}

// Decode reads a whole answer. Blocks of a type that is not known, which only tools of the server's own bring, are left out.
func (messagesClient) Decode(body []byte, names Names) (decouple.Answer, error) {
	r := newMessagesReader(names)
	var b messagesBody
	if err := json.Unmarshal(body, &b); err != nil {
		return decouple.Answer{}, decouple.Errorf(decouple.Unavailable, "the answer is not the JSON of a message: %w", err)
	}
	if f := parseFault(b.Error); f != nil {
		return decouple.Answer{}, f
	}
	r.end.ID, r.end.Model = b.ID, b.Model
	r.counts(b.Usage)
	for i, c := range b.Content {
		if err := r.start(i, c); err != nil {
			return decouple.Answer{}, err
		}
		r.stopPart(i)
	}
	r.stop(b.StopReason, b.StopSequence, b.StopDetails)
	return r.answer()
}

// Reader reads a streamed answer.
func (messagesClient) Reader(names Names) Reader { return newMessagesReader(names) }

type messagesReader struct {
	gather
	frames
	names Names
	at    map[int]int // the part of each block
	usage tally
	said  string // why the model stopped
	ended bool
}

func newMessagesReader(names Names) *messagesReader {
	r := &messagesReader{names: names, at: map[int]int{}, usage: newTally()}
	r.usage.apart = true
	r.end.Usage.Estimated = true
	return r
}

// Feed takes bytes and gives what they brought.
func (r *messagesReader) Feed(p []byte) ([]Event, error) {
	err := r.feed(p, r.frame)
	return r.take(), err
}

// Done says that the end has come.
func (r *messagesReader) Done() bool { return r.ended }

// End is the answer. A stream without its end is whole if the model had said why it stopped.
func (r *messagesReader) End() (decouple.Answer, error) {
	if err := r.flush(r.frame); err != nil {
		return r.partial(), err
	}
	if !r.ended && r.said == "" {
		return r.partial(), errCut()
	}
	return r.answer()
}

func (r *messagesReader) frame(_, data []byte) error {
	if r.ended {
		return nil
	}
	var b messagesBody
	if err := json.Unmarshal(data, &b); err != nil {
		return decouple.Errorf(decouple.Unavailable, "an event of the stream is not the JSON of one: %w", err)
	}
	if f := parseFault(b.Error); f != nil {
		return f
	}
	switch b.Type {
	case "error":
		return &Fault{Message: "an error without a message"}
	case "message_start":
		if m := b.Message; m != nil {
			r.end.ID, r.end.Model = m.ID, m.Model
			r.counts(m.Usage)
			r.out = append(r.out, Event{Kind: Begin, ID: m.ID, Model: m.Model})
		}
	case "content_block_start":
		return r.start(b.Index, b.Block)
	case "content_block_delta":
		return r.delta(b.Index, b.Delta)
	case "content_block_stop":
		r.stopPart(b.Index)
	case "message_delta":
		r.counts(b.Usage)
		if d := b.Delta; d != nil {
			r.stop(d.StopReason, d.StopSequence, d.StopDetails)
		}
	case "message_stop":
		r.ended = true
		return r.finish()
	}
	return nil
}

// start begins the part of a block, with whatever the block holds already.
func (r *messagesReader) start(index int, c messagesGiven) error {
	if len(r.parts) >= maxParts {
		return decouple.Errorf(decouple.Unavailable, "the answer holds more than %d parts", maxParts)
	}
	switch c.Type {
	case "text", "thinking", "redacted_thinking", "tool_use":
	default:
		return nil
	}
	part := r.next()
	r.at[index] = part
	switch c.Type {
	case "text":
		if c.Text != "" {
			r.write(TextDelta, part, c.Text)
		}
	case "thinking":
		r.think(part, decouple.Thought{Maker: string(Messages), Signature: c.Signature})
		if c.Thinking != "" {
			r.write(ThoughtDelta, part, c.Thinking)
		}
	case "redacted_thinking":
		r.think(part, decouple.Thought{Maker: string(Messages), Opaque: c.Data})
	case "tool_use":
		if err := r.begin(part, decouple.ToolCall{ID: c.ID, Name: r.names.Own(c.Name)}); err != nil {
			return err
		}
		if s := string(c.Input); s != "" && s != "null" && s != "{}" {
			r.argue(part, s)
		}
	}
	return nil
}

func (r *messagesReader) delta(index int, d *messagesDelta) error {
	part, ok := r.at[index]
	if !ok || d == nil {
		return nil
	}
	kind := r.parts[part].kind
	switch {
	case d.Text != "" && (kind == TextDelta || kind == Begin):
		r.write(TextDelta, part, d.Text)
	case d.Thinking != "" && kind == ThoughtDelta:
		r.write(ThoughtDelta, part, d.Thinking)
	case d.Signature != "" && kind == ThoughtDelta:
		r.think(part, decouple.Thought{Maker: string(Messages), Signature: d.Signature})
	case d.PartialJSON != "" && kind == CallBegin:
		r.argue(part, d.PartialJSON)
	}
	return nil
}

func (r *messagesReader) stopPart(index int) {
	if part, ok := r.at[index]; ok && r.parts[part].kind != Begin {
		r.done(part)
	}
}

// counts takes up usage: what a stream reports later counts for more.
func (r *messagesReader) counts(raw json.RawMessage) {
	if !present(raw) {
		return
	}
	r.usage.messages(&scanner{b: raw})
	r.end.Usage, _ = r.usage.usage()
	var t struct {
		Tier string `json:"service_tier"`
	}
	if json.Unmarshal(raw, &t) == nil && t.Tier != "" {
		r.end.Tier = t.Tier
		if t.Tier == "standard" {
			r.end.Tier = "default"
		}
	}
}

func (r *messagesReader) stop(reason, sequence string, details *messagesDetails) {
	if reason == "" {
		return
	}
	r.said = reason
	r.end.Finish, r.end.Stopped = messagesReason(reason), sequence
	if reason == "refusal" && details != nil && details.Explanation != "" {
		part := r.next()
		r.write(RefusalDelta, part, details.Explanation)
		r.done(part)
	}
}

func messagesReason(reason string) decouple.Finish {
	switch reason {
	case "tool_use":
		return decouple.FinishTools
	case "max_tokens", "model_context_window_exceeded":
		return decouple.FinishLength
	case "refusal":
		return decouple.FinishFilter
	case "":
		return ""
	}
	return decouple.FinishStop
}

// messages reads a usage object.
func (t *tally) messages(c *scanner) {
	all := int64(-1) // written to the cache, for whatever time
	for ok := c.object(); ok && c.more('}'); {
		switch string(c.key()) {
		case "input_tokens":
			t.keep(&t.in, c)
		case "output_tokens":
			t.keep(&t.out, c)
		case "cache_read_input_tokens":
			t.keep(&t.cached, c)
		case "cache_creation_input_tokens":
			t.keep(&all, c)
		case "cache_creation":
			for ok := c.object(); ok && c.more('}'); {
				switch string(c.key()) {
				case "ephemeral_1h_input_tokens":
					t.keep(&t.long, c)
				default:
					c.skip()
				}
			}
		case "output_tokens_details":
			c.within("thinking_tokens", &t.thought)
		default:
			c.skip()
		}
	}
	if all >= 0 {
		t.long = min(t.long, all)
		t.write = all - max(0, t.long)
	}
}

// keep reads a count; null leaves the one before.
func (t *tally) keep(to *int64, c *scanner) {
	if n := c.peek(); n == 'n' {
		c.skip()
		return
	}
	*to = c.count()
}

// messagesLook reads an event of a stream, or a whole message.
func messagesLook(s *sight, _ string, data []byte) error {
	s.usage.apart = true
	c := scanner{b: data}
	if !c.open('{') {
		return mistaken(Messages)
	}
	s.messagesMembers(&c)
	if !c.whole() {
		return mistaken(Messages)
	}
	if s.stop != "" {
		s.Finish = messagesReason(s.stop)
	}
	return nil
}

func (s *sight) messagesMembers(c *scanner) {
	for c.more('}') {
		switch string(c.key()) {
		case "type":
			switch raw, _ := c.stringHere(); string(raw) {
			case "message_stop":
				s.done = true
			case "error":
				s.faulted = true
			}
		case "message":
			if c.object() {
				s.messagesMembers(c)
			}
		case "model":
			if raw, escaped := c.stringHere(); len(raw) > 0 {
				s.Model = meant(raw, escaped)
			}
		case "usage":
			s.usage.messages(c)
			s.note()
		case "content_block", "delta":
			s.messagesBlock(c)
		case "content":
			for ok := c.list(); ok && c.more(']'); {
				s.messagesBlock(c)
			}
		case "stop_reason":
			s.stopped(c)
		case "error":
			s.faultHere(c)
		default:
			c.skip()
		}
	}
}

func (s *sight) stopped(c *scanner) {
	if raw, _ := c.stringHere(); len(raw) > 0 {
		s.stop = string(raw)
	}
}

func (s *sight) messagesBlock(c *scanner) {
	for ok := c.object(); ok && c.more('}'); {
		switch string(c.key()) {
		case "text", "thinking", "partial_json", "data":
			s.wrote(c.length())
		case "type":
			if raw, _ := c.stringHere(); string(raw) == "tool_use" {
				s.Moved, s.called = true, true
			}
		case "input":
			s.TextSize += len(c.raw())
		case "stop_reason":
			s.stopped(c)
		default:
			c.skip()
		}
	}
}
