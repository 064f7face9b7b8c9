package dialect

import (
	"encoding/json"

	"decouple.dev/decouple"
)

// sight is what was seen of an answer that goes through, whole or in a stream.
type sight struct {
	Seen
	usage   tally
	done    bool
	stop    string // why the model stopped, in the words of the format
	called  bool   // the model called a tool
	refused bool   // it said why it would not answer
	fault   []byte
	faulted bool
}

// tally gathers the counts of tokens as the formats report them, some in several places. A count that was not reported is -1.
type tally struct {
	in, out, cached, write, long, thought int64
	apart                                 bool // the cached tokens are not among those of in
}

func newTally() tally { return tally{-1, -1, -1, -1, -1, -1, false} }

// number reads a count; a server that reports more than any call reaches is not believed.
func (s *scanner) count() int64 {
	n := s.number()
	if n >= 0 && n < maxTokens {
		return int64(n)
	}
	return -1
}

// usage is what the counts come to; false where the server reported none that can be believed.
func (t tally) usage() (decouple.Usage, bool) {
	if t.in < 0 || t.out < 0 {
		return decouple.Usage{Estimated: true}, false
	}
	u := decouple.Usage{
		TokensIn: t.in, TokensOut: t.out, Cached: max(0, t.cached), CacheWrite: max(0, t.write), CacheLong: max(0, t.long), Thought: max(0, t.thought),
	}
	if t.apart {
		u.TokensIn += u.Cached + u.CacheWrite + u.CacheLong
	}
	u.Cached = min(u.Cached, u.TokensIn)
	u.Thought = min(u.Thought, u.TokensOut)
	return u, true
}

// note takes up a new count of usage.
func (s *sight) note() {
	if u, ok := s.usage.usage(); ok {
		s.Usage = &u
	}
}

// look reads one frame of a stream, or a whole answer.
type look func(s *sight, event string, data []byte) error

func looks(f Format) look {
	switch f {
	case Chat:
		return chatLook
	case Responses:
		return responsesLook
	case Messages:
		return messagesLook
	case Converse:
		return converseLook
	case Generate:
		return generateLook
	case Embeddings:
		return embeddingLook
	}
	return nil
}

// passage is the Passage of the formats that stream server-sent events.
type passage struct {
	frames
	sight
	look look
}

// NewPassage looks over a streamed answer of a format; it is nil for a format that there is not.
func NewPassage(f Format) Passage {
	l := looks(f)
	if l == nil || f == Embeddings {
		return nil
	}
	switch f {
	case Converse:
		p := &conversePassage{}
		p.usage = newTally()
		return p
	case Generate:
		p := &generatePassage{}
		p.usage = newTally()
		return p
	}
	p := &passage{look: l}
	p.usage = newTally()
	return p
}

// Feed takes bytes and says what the whole frames so far brought.
func (p *passage) Feed(b []byte) (Seen, error) {
	err := p.feed(b, func(event, data []byte) error {
		if p.done {
			return nil
		}
		return p.take(p.look, event, data)
	})
	p.Whole = p.whole
	return p.Seen, err
}

func (s *sight) take(l look, event, data []byte) error {
	if err := l(s, string(event), data); err != nil {
		return err
	}
	if s.faulted {
		return s.says()
	}
	if s.Finish == decouple.FinishTools && !s.called { // the server says so, but there is none
		s.Finish = decouple.FinishStop
	}
	s.Moved = s.Moved || s.Finish == decouple.FinishLength || s.Finish == decouple.FinishFilter
	return s.hollow()
}

// hollow is the error of an answer that has ended without anything in it.
func (s *sight) hollow() error {
	if s.done && !s.Moved {
		return errEmpty()
	}
	return nil
}

func errEmpty() error {
	return decouple.Errorf(decouple.Unavailable, "the answer is empty: neither text nor a tool call")
}

// Done says that the stream has ended.
func (p *passage) Done() bool { return p.done }

// says is the fault that was seen.
func (s *sight) says() *Fault {
	if f := parseFault(s.fault); f != nil {
		return f
	}
	return &Fault{Message: "an error without a message"}
}

// UsageOf reads of a whole answer that goes through what it used, why it stopped and which model gave it. A fault inside it is a *[Fault], and an answer
// without any content Unavailable. A server that reports no usage has it estimated at zero, and the caller's to estimate.
func UsageOf(f Format, body []byte) (decouple.Usage, decouple.Finish, string, error) {
	l := looks(f)
	if l == nil {
		return decouple.Usage{}, "", "", decouple.Errorf(decouple.Invalid, "there is no wire format %q", f)
	}
	s := sight{usage: newTally()}
	if err := s.take(l, nil, body); err != nil {
		return decouple.Usage{}, "", "", err
	}
	u, _ := s.usage.usage()
	if !s.Moved {
		return u, "", s.Model, errEmpty()
	}
	return u, s.Finish, s.Model, nil
}

// mistaken is the error of an answer, or a frame, that is not JSON of its format.
func mistaken(f Format) error {
	return decouple.Errorf(decouple.Unavailable, "the answer is not the JSON of %s", f)
}

// chatLook reads a chunk, or a whole completion.
func chatLook(s *sight, _ string, data []byte) error {
	if string(data) == "[DONE]" {
		s.done = true
		return nil
	}
	c := scanner{b: data}
	if !c.open('{') {
		return mistaken(Chat)
	}
	for c.more('}') {
		switch string(c.key()) {
		case "model":
			if raw, escaped := c.stringHere(); string(raw) != s.Model && len(raw) > 0 {
				s.Model = meant(raw, escaped)
			}
		case "choices":
			for ok := c.list(); ok && c.more(']'); {
				s.chatChoice(&c)
			}
		case "usage":
			s.chatUsage(&c)
		case "error":
			s.faultHere(&c)
		case "object":
			if raw, _ := c.stringHere(); string(raw) == "error" {
				s.fault, s.faulted = data, true
			}
		default:
			c.skip()
		}
	}
	if !c.whole() {
		return mistaken(Chat)
	}
	if s.stop != "" {
		s.Finish = chatReason(s.stop, s.called, s.refused)
	}
	return nil
}

// stringHere reads a string in place; another sort of value is skipped.
func (s *scanner) stringHere() (raw []byte, escaped bool) {
	if s.peek() != '"' {
		s.skip()
		return nil, false
	}
	return s.str()
}

// list opens an array; another sort of value is skipped.
func (s *scanner) list() bool { return s.open('[') || s.skip() && false }

// object opens an object; another sort of value is skipped.
func (s *scanner) object() bool { return s.open('{') || s.skip() && false }

// raw skips a value and gives its bytes.
func (s *scanner) raw() json.RawMessage {
	s.peek()
	from := s.i
	if !s.skip() {
		return nil
	}
	return s.b[from:s.i]
}

func meant(raw []byte, escaped bool) string {
	if escaped {
		raw = unquote(raw)
	}
	return string(raw)
}

// faultHere takes up the value of the key "error", unless it says that there is none.
func (s *sight) faultHere(c *scanner) {
	if raw := c.raw(); present(raw) {
		s.fault, s.faulted = raw, true
	}
}

func (s *sight) chatChoice(c *scanner) {
	for ok := c.object(); ok && c.more('}'); {
		switch string(c.key()) {
		case "message", "delta":
			s.chatDelta(c)
		case "finish_reason":
			if raw, _ := c.stringHere(); len(raw) > 0 {
				if string(raw) == "error" {
					s.fault, s.faulted = []byte(`"the model stopped with an error"`), true
				}
				s.stop = string(raw)
			}
		default:
			c.skip()
		}
	}
}

func (s *sight) chatDelta(c *scanner) {
	for ok := c.object(); ok && c.more('}'); {
		switch string(c.key()) {
		case "content", "reasoning_content", "reasoning":
			s.wrote(c.textSize())
		case "refusal":
			n := c.length()
			s.refused = s.refused || n > 0
			s.wrote(n)
		case "tool_calls":
			if n := len(c.raw()); n > 4 {
				s.called = true
				s.wrote(n)
			}
		case "audio", "function_call":
			if n := len(c.raw()); n > 4 {
				s.wrote(n)
			}
		default:
			c.skip()
		}
	}
}

// textSize skips a text, or a list of parts with text, and tells its size.
func (s *scanner) textSize() int {
	if s.peek() == '"' {
		return s.length()
	}
	if n := len(s.raw()); n > 4 {
		return n
	}
	return 0
}

func (s *sight) wrote(n int) {
	s.TextSize += n
	s.Moved = s.Moved || n > 0
}

func (s *sight) chatUsage(c *scanner) {
	if !c.object() {
		return
	}
	t := newTally()
	for c.more('}') {
		switch string(c.key()) {
		case "prompt_tokens":
			t.in = c.count()
		case "completion_tokens":
			t.out = c.count()
		case "prompt_tokens_details":
			t.cachedHere(c, "cached_tokens", "cache_write_tokens")
		case "completion_tokens_details":
			c.within("reasoning_tokens", &t.thought)
		case "prompt_cache_hit_tokens":
			t.cached = max(t.cached, c.count())
		default:
			c.skip()
		}
	}
	if t.in == 0 { // no prompt is empty: the server does not count
		t.in = -1
	}
	s.usage = t
	s.note()
}

// cachedHere reads how many tokens were read from the prompt cache and how many were written to it.
func (t *tally) cachedHere(c *scanner, read, wrote string) {
	for ok := c.object(); ok && c.more('}'); {
		switch string(c.key()) {
		case read:
			t.cached = c.count()
		case wrote:
			t.write = c.count()
		default:
			c.skip()
		}
	}
}

// within reads one count of the object that comes next.
func (s *scanner) within(name string, to *int64) {
	for ok := s.object(); ok && s.more('}'); {
		if string(s.key()) == name {
			*to = s.count()
		} else {
			s.skip()
		}
	}
}

// chatReason says why the model stopped; tool calls count for more than a "stop".
func chatReason(said string, called, refused bool) decouple.Finish {
	switch {
	case said == "content_filter", refused:
		return decouple.FinishFilter
	case said == "length", said == "max_tokens":
		return decouple.FinishLength
	case called:
		return decouple.FinishTools
	}
	return decouple.FinishStop
}
