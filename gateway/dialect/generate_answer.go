package dialect

import (
	"encoding/json"

	"decouple.dev/decouple"
)

// generateBody is a whole answer, or a chunk of a stream.
type generateBody struct {
	ID         string              `json:"responseId"`
	Model      string              `json:"modelVersion"`
	Candidates []generateCandidate `json:"candidates"`
	Feedback   struct {
		Reason  string `json:"blockReason"`
		Message string `json:"blockReasonMessage"`
	} `json:"promptFeedback"`
	Usage json.RawMessage `json:"usageMetadata"`
	Error json.RawMessage `json:"error"`
}

type generateCandidate struct {
	Index   int             `json:"index"`
	Content generateContent `json:"content"`
	Reason  string          `json:"finishReason"`
	Message string          `json:"finishMessage"`
}

// Decode reads a whole answer. Parts that only tools of the server's own bring are left out.
func (generateClient) Decode(body []byte, names Names) (decouple.Answer, error) {
	r := newGenerateReader(names)
	if err := r.add(body); err != nil {
		return decouple.Answer{}, err
	}
	r.leave()
	return r.answer()
}

// Reader reads a streamed answer, as server-sent events or as a JSON array.
func (generateClient) Reader(names Names) Reader { return newGenerateReader(names) }

type generateReader struct {
	gather
	pieces
	names Names
	usage tally
	open  int // the text or thought that goes on, -1 if none does
	begun bool
	said  string
}

func newGenerateReader(names Names) *generateReader {
	r := &generateReader{names: names, open: -1, usage: newTally()}
	r.end.Usage.Estimated = true
	return r
}

// Feed takes bytes and gives what they brought.
func (r *generateReader) Feed(p []byte) ([]Event, error) {
	over := r.closed
	err := r.pieces.feed(p, r.add)
	if err == nil && r.closed && !over {
		if r.said == "" {
			err = errCut()
		} else {
			err = r.finish()
		}
	}
	return r.take(), err
}

// Done says that a JSON array was closed; a stream of server-sent events has no end mark.
func (r *generateReader) Done() bool { return r.closed }

// End is the answer; it is whole if the model had said why it stopped.
func (r *generateReader) End() (decouple.Answer, error) {
	if err := r.pieces.flush(r.add); err != nil {
		return r.partial(), err
	}
	if r.said == "" {
		return r.partial(), errCut()
	}
	return r.answer()
}

func (r *generateReader) add(data []byte) error {
	var b generateBody
	if err := json.Unmarshal(data, &b); err != nil {
		return decouple.Errorf(decouple.Unavailable, "the answer is not the JSON of generateContent: %w", err)
	}
	if f := parseFault(b.Error); f != nil {
		return f
	}
	if b.ID != "" {
		r.end.ID = b.ID
	}
	if b.Model != "" {
		r.end.Model = b.Model
	}
	if !r.begun {
		r.begun = true
		r.out = append(r.out, Event{Kind: Begin, ID: b.ID, Model: b.Model})
	}
	if present(b.Usage) {
		r.usage.generate(&scanner{b: b.Usage})
		r.end.Usage, _ = r.usage.usage()
	}
	for _, c := range b.Candidates {
		if c.Index != 0 {
			continue
		}
		for _, p := range c.Content.Parts {
			if err := r.part(p); err != nil {
				return err
			}
		}
		if c.Reason != "" && c.Reason != "FINISH_REASON_UNSPECIFIED" {
			r.said = c.Reason
		}
	}
	if b.Feedback.Reason != "" {
		r.said = "SAFETY"
		r.refuse(b.Feedback.Message)
	}
	if f := generateBroken(r.said); f != nil {
		return f
	}
	r.end.Finish = generateReason(r.said, r.calls > 0)
	return nil
}

func (r *generateReader) refuse(why string) {
	if why != "" {
		r.turn(RefusalDelta)
		r.write(RefusalDelta, r.open, why)
		r.leave()
	}
}

func (r *generateReader) part(p generatePart) error {
	if len(r.parts) >= maxParts {
		return decouple.Errorf(decouple.Unavailable, "the answer holds more than %d parts", maxParts)
	}
	switch {
	case p.Call != nil:
		r.leave()
		part := r.next()
		if err := r.begin(part, decouple.ToolCall{ID: p.Call.ID, Name: r.names.Own(p.Call.Name), Signature: p.Signature}); err != nil {
			return err
		}
		r.argue(part, string(p.Call.Args))
		r.done(part)
	case p.Thought:
		if p.Text != nil && *p.Text != "" || p.Signature != "" {
			if r.turn(ThoughtDelta) || p.Signature != "" {
				r.think(r.open, decouple.Thought{Maker: string(Generate), Signature: p.Signature})
			}
		}
		if p.Text != nil && *p.Text != "" {
			r.write(ThoughtDelta, r.open, *p.Text)
		}
		if p.Signature != "" {
			r.leave()
		}
	case p.Text != nil || p.Signature != "":
		if p.Text != nil && *p.Text != "" {
			r.turn(TextDelta)
			r.write(TextDelta, r.open, *p.Text)
		}
		if p.Signature != "" {
			r.leave()
			part := r.next()
			r.think(part, decouple.Thought{Maker: string(Generate), Signature: p.Signature})
			r.done(part)
		}
	}
	return nil
}

// turn makes a part of a kind the one that goes on, and says whether it is a new one.
func (r *generateReader) turn(kind EventKind) bool {
	if r.open >= 0 && r.parts[r.open].kind == kind {
		return false
	}
	r.leave()
	r.open = r.next()
	r.parts[r.open].kind = kind
	return true
}

func (r *generateReader) leave() {
	if r.open >= 0 {
		r.done(r.open)
		r.open = -1
	}
}

// generateBroken is the fault of a model whose output its server could not read.
func generateBroken(reason string) *Fault {
	switch reason {
	case "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE":
		return &Fault{Type: "UNAVAILABLE", Code: reason, Message: "the model's output was malformed: " + reason}
	}
	return nil
}

func generateReason(reason string, called bool) decouple.Finish {
	switch reason {
	case "":
		return ""
	case "MAX_TOKENS":
		return decouple.FinishLength
	case "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR":
		return decouple.FinishFilter
	}
	if called {
		return decouple.FinishTools
	}
	return decouple.FinishStop
}

// generate reads a usageMetadata object. Its prompt tokens hold the cached ones; its candidates' tokens do not hold those of thoughts.
func (t *tally) generate(c *scanner) {
	in, tools, out, thought, cached := int64(-1), int64(0), int64(0), int64(0), int64(0)
	for ok := c.object(); ok && c.more('}'); {
		switch string(c.key()) {
		case "promptTokenCount":
			in = c.count()
		case "toolUsePromptTokenCount":
			tools = c.count()
		case "candidatesTokenCount":
			out = c.count()
		case "thoughtsTokenCount":
			thought = c.count()
		case "cachedContentTokenCount":
			cached = c.count()
		default:
			c.skip()
		}
	}
	if in < 0 || out < 0 || thought < 0 {
		return
	}
	t.in, t.out, t.thought, t.cached = in+max(0, tools), out+thought, thought, cached
}

// generatePassage is the Passage of streamGenerateContent.
type generatePassage struct {
	pieces
	sight
}

// Feed takes bytes and says what the whole frames so far brought.
func (p *generatePassage) Feed(b []byte) (Seen, error) {
	err := p.pieces.feed(b, func(data []byte) error { return p.take(generateLook, nil, data) })
	p.Whole = p.pieces.whole
	if err == nil && p.closed {
		p.done = true
		err = p.hollow()
	}
	return p.Seen, err
}

// Done says that a JSON array was closed.
func (p *generatePassage) Done() bool { return p.closed }

// generateLook reads a chunk, or a whole answer.
func generateLook(s *sight, _ string, data []byte) error {
	c := scanner{b: data}
	if !c.open('{') {
		return mistaken(Generate)
	}
	for c.more('}') {
		switch string(c.key()) {
		case "modelVersion":
			if raw, escaped := c.stringHere(); string(raw) != s.Model && len(raw) > 0 {
				s.Model = meant(raw, escaped)
			}
		case "candidates":
			for ok := c.list(); ok && c.more(']'); {
				s.generateCandidate(&c)
			}
		case "promptFeedback":
			for ok := c.object(); ok && c.more('}'); {
				if string(c.key()) != "blockReason" {
					c.skip()
				} else if c.length() > 0 {
					s.stop = "SAFETY"
				}
			}
		case "usageMetadata":
			s.usage.generate(&c)
			s.note()
		case "error":
			s.faultHere(&c)
		default:
			c.skip()
		}
	}
	if !c.whole() {
		return mistaken(Generate)
	}
	if f := generateBroken(s.stop); f != nil {
		return f
	}
	s.Finish = generateReason(s.stop, s.called)
	return nil
}

func (s *sight) generateCandidate(c *scanner) {
	for ok := c.object(); ok && c.more('}'); {
		switch string(c.key()) {
		case "content":
			for ok := c.object(); ok && c.more('}'); {
				if string(c.key()) != "parts" {
					c.skip()
					continue
				}
				for ok := c.list(); ok && c.more(']'); {
					s.generatePart(c)
				}
			}
		case "finishReason":
			if raw, _ := c.stringHere(); len(raw) > 0 && string(raw) != "FINISH_REASON_UNSPECIFIED" {
				s.stop = string(raw)
			}
		default:
			c.skip()
		}
	}
}

func (s *sight) generatePart(c *scanner) {
	for ok := c.object(); ok && c.more('}'); {
		switch string(c.key()) {
		case "text":
			s.wrote(c.length())
		case "thought", "thoughtSignature":
			c.skip()
		case "functionCall":
			s.called = true
			s.wrote(len(c.raw()))
		default:
			s.wrote(len(c.raw()))
		}
	}
}
