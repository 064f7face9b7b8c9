package dialect

import (
	"bytes"
	"encoding/json"
	"strings"

	"decouple.dev/decouple"
)

// responsesBody is a whole answer.
type responsesBody struct {
	ID         string           `json:"id"`
	Model      string           `json:"model"`
	Status     string           `json:"status"`
	Error      json.RawMessage  `json:"error"`
	Incomplete *responsesReason `json:"incomplete_details"`
	Output     []responsesGiven `json:"output"`
	Usage      json.RawMessage  `json:"usage"`
	Tier       string           `json:"service_tier"`
}

type responsesReason struct {
	Reason string `json:"reason"`
}

type responsesGiven struct {
	Type      string `json:"type"`
	ID        string `json:"id"`
	CallID    string `json:"call_id"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
	Encrypted string `json:"encrypted_content"`
	Content   []struct {
		Type    string            `json:"type"`
		Text    string            `json:"text"`
		Refusal string            `json:"refusal"`
		Probs   []json.RawMessage `json:"logprobs"`
	} `json:"content"`
	Summary []struct {
		Text string `json:"text"`
	} `json:"summary"`
}

// responsesEvent is an event of a stream.
type responsesEvent struct {
	Type     string            `json:"type"`
	Response *responsesBody    `json:"response"`
	Item     *responsesGiven   `json:"item"`
	Output   int               `json:"output_index"`
	Content  int               `json:"content_index"`
	Summary  int               `json:"summary_index"`
	Delta    string            `json:"delta"`
	Probs    []json.RawMessage `json:"logprobs"`
	Args     string            `json:"arguments"`
	Error    json.RawMessage   `json:"error"`
}

// Decode reads a whole answer. Items of a type that is not known, which only tools of the server's own bring, are left out.
func (responsesClient) Decode(body []byte, names Names) (decouple.Answer, error) {
	r := newResponsesReader(names)
	var b responsesBody
	if err := json.Unmarshal(body, &b); err != nil {
		return decouple.Answer{}, decouple.Errorf(decouple.Unavailable, "the answer is not the JSON of a response: %w", err)
	}
	for i, item := range b.Output {
		if err := r.item(i, item); err != nil {
			return decouple.Answer{}, err
		}
	}
	if err := r.close(b); err != nil {
		return decouple.Answer{}, err
	}
	return r.answer()
}

// Reader reads a streamed answer.
func (responsesClient) Reader(names Names) Reader { return newResponsesReader(names) }

type responsesReader struct {
	gather
	frames
	names   Names
	at      map[responsesPlace]int
	begun   bool
	ended   bool
	refused bool
}

// responsesPlace is where a part is: the content of a message has several, every other item is one.
type responsesPlace struct{ output, content int }

func newResponsesReader(names Names) *responsesReader {
	r := &responsesReader{names: names, at: map[responsesPlace]int{}}
	r.end.Usage.Estimated = true
	return r
}

// Feed takes bytes and gives what they brought.
func (r *responsesReader) Feed(p []byte) ([]Event, error) {
	err := r.feed(p, r.frame)
	return r.take(), err
}

// Done says that the last event has come.
func (r *responsesReader) Done() bool { return r.ended }

// End is the answer.
func (r *responsesReader) End() (decouple.Answer, error) {
	if err := r.flush(r.frame); err != nil {
		return r.partial(), err
	}
	if !r.ended {
		return r.partial(), errCut()
	}
	return r.answer()
}

func (r *responsesReader) frame(_, data []byte) error {
	if r.ended || string(data) == "[DONE]" {
		return nil
	}
	var e responsesEvent
	if err := json.Unmarshal(data, &e); err != nil {
		return decouple.Errorf(decouple.Unavailable, "an event of the stream is not the JSON of one: %w", err)
	}
	switch e.Type {
	case "error":
		return responsesFault(data)
	case "response.created", "response.in_progress", "response.queued":
		if r.begun = r.begun || e.Response == nil; !r.begun {
			r.begun = true
			r.end.ID, r.end.Model = e.Response.ID, e.Response.Model
			r.out = append(r.out, Event{Kind: Begin, ID: e.Response.ID, Model: e.Response.Model})
		}
	case "response.completed", "response.incomplete", "response.failed", "response.cancelled":
		if e.Response == nil {
			return responsesFault(data)
		}
		pieces := len(r.at) > 0
		for i, item := range e.Response.Output {
			if pieces { // they told everything
				break
			}
			if err := r.item(i, item); err != nil {
				return err
			}
		}
		if err := r.close(*e.Response); err != nil {
			return err
		}
		r.ended = true
		return r.finish()
	default:
		if present(e.Error) {
			return responsesFault(data)
		}
		return r.piece(e)
	}
	return nil
}

// responsesFault reads an error event, whose fields stand in it or in an object of its own.
func responsesFault(data []byte) *Fault {
	var b struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(data, &b) == nil && present(b.Error) {
		data = b.Error
	}
	f := parseFault(data)
	if f == nil {
		f = &Fault{}
	}
	if f.Type == "error" {
		f.Type = ""
	}
	return f
}

func (r *responsesReader) piece(e responsesEvent) error {
	switch e.Type {
	case "response.output_item.added":
		if e.Item != nil && e.Item.Type == "function_call" {
			_, err := r.call(e.Output, *e.Item)
			return err
		}
		if e.Item != nil && e.Item.Type == "reasoning" {
			return r.thought(e.Output, decouple.Thought{ID: e.Item.ID})
		}
	case "response.output_text.delta":
		return r.text(responsesPlace{e.Output, e.Content}, TextDelta, e)
	case "response.refusal.delta":
		return r.text(responsesPlace{e.Output, e.Content}, RefusalDelta, e)
	case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
		return r.text(responsesPlace{e.Output, -1}, ThoughtDelta, e)
	case "response.reasoning_summary_part.added":
		if e.Summary > 0 {
			return r.text(responsesPlace{e.Output, -1}, ThoughtDelta, responsesEvent{Delta: "\n\n"})
		}
	case "response.function_call_arguments.delta":
		if part, ok := r.at[responsesPlace{e.Output, 0}]; ok && r.parts[part].kind == CallBegin {
			r.argue(part, e.Delta)
		}
	case "response.output_item.done":
		if e.Item != nil {
			return r.item(e.Output, *e.Item)
		}
	}
	return nil
}

// part is the part at a place, and whether it is new.
func (r *responsesReader) part(at responsesPlace) (int, bool, error) {
	if part, ok := r.at[at]; ok {
		return part, false, nil
	}
	if len(r.parts) >= maxParts {
		return 0, false, decouple.Errorf(decouple.Unavailable, "the answer holds more than %d parts", maxParts)
	}
	r.at[at] = r.next()
	return r.at[at], true, nil
}

func (r *responsesReader) text(at responsesPlace, kind EventKind, e responsesEvent) error {
	part, fresh, err := r.part(at)
	if err != nil || !fresh && r.parts[part].kind != kind || r.parts[part].ended {
		return err
	}
	if kind == ThoughtDelta && fresh {
		r.think(part, decouple.Thought{Maker: string(Responses)})
	}
	r.refused = r.refused || kind == RefusalDelta
	r.write(kind, part, e.Delta)
	if len(e.Probs) > 0 {
		r.probs = append(r.probs, e.Probs...)
		r.out[len(r.out)-1].Logprobs = must(chatLogprobs{Content: e.Probs})
	}
	return nil
}

func (r *responsesReader) thought(output int, t decouple.Thought) error {
	part, _, err := r.part(responsesPlace{output, -1})
	if err != nil || r.parts[part].ended {
		return err
	}
	t.Maker = string(Responses)
	r.think(part, t)
	return nil
}

func (r *responsesReader) call(output int, item responsesGiven) (int, error) {
	part, fresh, err := r.part(responsesPlace{output, 0})
	if err == nil && fresh {
		err = r.begin(part, decouple.ToolCall{ID: item.CallID, Name: r.names.Own(item.Name)})
	}
	return part, err
}

// item takes up a whole item, as far as its pieces have not come before, and ends its parts.
func (r *responsesReader) item(output int, item responsesGiven) error {
	switch item.Type {
	case "function_call":
		part, err := r.call(output, item)
		if err != nil {
			return err
		}
		if r.parts[part].text.Len() == 0 {
			r.argue(part, item.Arguments)
		}
		r.done(part)
	case "reasoning":
		return r.reasoned(output, item)
	case "message":
		for i, c := range item.Content {
			kind, text := TextDelta, c.Text
			if c.Type == "refusal" {
				kind, text = RefusalDelta, c.Refusal
			}
			at := responsesPlace{output, i}
			if _, ok := r.at[at]; !ok && text != "" {
				if err := r.text(at, kind, responsesEvent{Delta: text, Probs: c.Probs}); err != nil {
					return err
				}
			}
			if part, ok := r.at[at]; ok {
				r.done(part)
			}
		}
	}
	return nil
}

func (r *responsesReader) reasoned(output int, item responsesGiven) error {
	at := responsesPlace{output, -1}
	part, fresh, err := r.part(at)
	if err != nil || r.parts[part].ended {
		return err
	}
	t := decouple.Thought{ID: item.ID, Opaque: item.Encrypted}
	if fresh || t.Opaque != "" {
		if err := r.thought(output, t); err != nil {
			return err
		}
	}
	if r.parts[part].text.Len() == 0 {
		var texts []string
		for _, s := range item.Summary {
			texts = append(texts, s.Text)
		}
		if len(texts) == 0 {
			for _, c := range item.Content {
				texts = append(texts, c.Text)
			}
		}
		if text := strings.Join(texts, "\n\n"); text != "" {
			r.write(ThoughtDelta, part, text)
		}
	}
	r.done(part)
	return nil
}

// close says how the answer ended.
func (r *responsesReader) close(b responsesBody) error {
	r.end.ID, r.end.Model, r.end.Tier = b.ID, b.Model, b.Tier
	if f := responsesFailed(b.Status, b.Error); f != nil {
		return f
	}
	if present(b.Usage) {
		t := newTally()
		t.responses(&scanner{b: b.Usage})
		r.end.Usage, _ = t.usage()
	}
	reason := ""
	if b.Incomplete != nil {
		reason = b.Incomplete.Reason
	}
	r.end.Finish = responsesFinish(b.Status, reason, r.calls > 0, r.refused)
	if r.end.Finish == "" {
		return decouple.Errorf(decouple.Unavailable, "the answer is not finished: its status is %q", b.Status)
	}
	return nil
}

// responsesFailed is the fault of an answer that has failed; nil where it has not.
func responsesFailed(status string, failure json.RawMessage) *Fault {
	if f := parseFault(failure); f != nil {
		return f
	}
	if status == "failed" || status == "cancelled" {
		return &Fault{Message: "the response has " + map[string]string{"failed": "failed", "cancelled": "been cancelled"}[status]}
	}
	return nil
}

func responsesFinish(status, reason string, called, refused bool) decouple.Finish {
	switch {
	case status == "incomplete" && reason == "content_filter":
		return decouple.FinishFilter
	case status == "incomplete":
		return decouple.FinishLength
	case status != "completed" && status != "":
		return ""
	case refused:
		return decouple.FinishFilter
	case called:
		return decouple.FinishTools
	}
	return decouple.FinishStop
}

func (t *tally) responses(c *scanner) {
	for ok := c.object(); ok && c.more('}'); {
		switch string(c.key()) {
		case "input_tokens":
			t.in = c.count()
		case "output_tokens":
			t.out = c.count()
		case "input_tokens_details":
			t.cachedHere(c, "cached_tokens", "cache_write_tokens")
		case "output_tokens_details":
			c.within("reasoning_tokens", &t.thought)
		default:
			c.skip()
		}
	}
}

// responsesSight is what one event, or a whole answer, holds.
type responsesSight struct {
	kind, status, reason string
	delta, item          int
	failure              []byte
}

// responsesLook reads an event of a stream, or a whole answer.
func responsesLook(s *sight, _ string, data []byte) error {
	if string(data) == "[DONE]" {
		return nil
	}
	c := scanner{b: data}
	if !c.open('{') {
		return mistaken(Responses)
	}
	var e responsesSight
	s.responsesMembers(&c, &e, true)
	if !c.whole() {
		return mistaken(Responses)
	}
	last := e.kind == "response.completed" || e.kind == "response.incomplete" || e.kind == "response.failed" || e.kind == "response.cancelled"
	switch {
	case e.kind == "error":
		return responsesFault(data)
	case e.failure != nil && (last || e.kind == "" || !strings.HasPrefix(e.kind, "response.")):
		s.fault, s.faulted = e.failure, true
		return nil
	}
	if strings.HasSuffix(e.kind, ".delta") {
		s.wrote(e.delta)
	}
	if e.kind != "" && !last {
		return nil
	}
	if f := responsesFailed(e.status, nil); f != nil {
		return f
	}
	if s.Moved = s.Moved || e.item > 0; s.TextSize == 0 {
		s.TextSize = e.item
	}
	s.Finish = responsesFinish(e.status, e.reason, s.called, s.refused)
	if s.Finish == "" {
		return decouple.Errorf(decouple.Unavailable, "the answer is not finished: its status is %q", e.status)
	}
	s.done = true
	return nil
}

func (s *sight) responsesMembers(c *scanner, e *responsesSight, top bool) {
	for c.more('}') {
		switch key := c.key(); string(key) {
		case "type":
			if top {
				e.kind = c.text()
			} else {
				c.skip()
			}
		case "response":
			if c.object() {
				s.responsesMembers(c, e, false)
			}
		case "model":
			if raw, escaped := c.stringHere(); string(raw) != s.Model && len(raw) > 0 {
				s.Model = meant(raw, escaped)
			}
		case "status":
			e.status = c.text()
		case "incomplete_details":
			c.insideOf("reason", func() { e.reason = c.text() })
		case "error":
			if raw := c.raw(); present(raw) {
				e.failure = raw
			}
		case "usage":
			if c.peek() == '{' {
				s.usage = newTally()
				s.usage.responses(c)
				s.note()
			} else {
				c.skip()
			}
		case "delta":
			e.delta = c.length()
		case "item":
			s.responsesItem(c, e)
		case "output":
			for ok := c.list(); ok && c.more(']'); {
				s.responsesItem(c, e)
			}
		default:
			c.skip()
		}
	}
}

// insideOf reads one field of the object that comes next, and skips the others.
func (s *scanner) insideOf(name string, read func()) {
	for ok := s.object(); ok && s.more('}'); {
		if string(s.key()) == name {
			read()
		} else {
			s.skip()
		}
	}
}

// responsesItem looks over an item: what matters is whether it is a call, a refusal or holds text.
func (s *sight) responsesItem(c *scanner, e *responsesSight) {
	for ok := c.object(); ok && c.more('}'); {
		switch string(c.key()) {
		case "type":
			if raw, _ := c.stringHere(); string(raw) == "function_call" {
				s.called, s.Moved = true, true
			}
		case "arguments", "encrypted_content":
			e.item += c.length()
		case "content", "summary":
			raw := c.raw()
			if len(raw) > 4 {
				e.item += len(raw)
				s.refused = s.refused || bytes.Contains(raw, []byte(`"refusal"`))
			}
		default:
			c.skip()
		}
	}
}
