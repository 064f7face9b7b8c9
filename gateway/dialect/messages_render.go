package dialect

import (
	"strconv"

	"decouple.dev/decouple"
)

type messagesAnswer struct {
	ID           string          `json:"id"`
	Type         string          `json:"type"`
	Role         string          `json:"role"`
	Model        string          `json:"model"`
	Content      []messagesBlock `json:"content"`
	StopReason   *string         `json:"stop_reason"`
	StopSequence *string         `json:"stop_sequence"`
	Usage        messagesUsage   `json:"usage"`
}

type messagesUsage struct {
	In      int64             `json:"input_tokens"`
	Write   int64             `json:"cache_creation_input_tokens"`
	Read    int64             `json:"cache_read_input_tokens"`
	Out     int64             `json:"output_tokens"`
	Wrote   *messagesWrote    `json:"cache_creation,omitempty"`
	Details *messagesThoughts `json:"output_tokens_details,omitempty"`
	Tier    string            `json:"service_tier,omitempty"`
}

type messagesWrote struct {
	Short int64 `json:"ephemeral_5m_input_tokens"`
	Long  int64 `json:"ephemeral_1h_input_tokens"`
}

type messagesThoughts struct {
	Thinking int64 `json:"thinking_tokens"`
}

func messagesUsageOf(a decouple.Answer) messagesUsage {
	u := a.Usage
	m := messagesUsage{In: max(0, u.TokensIn-u.Cached-u.CacheWrite-u.CacheLong), Write: u.CacheWrite + u.CacheLong, Read: u.Cached, Out: u.TokensOut}
	if m.Write > 0 {
		m.Wrote = &messagesWrote{u.CacheWrite, u.CacheLong}
	}
	if u.Thought > 0 {
		m.Details = &messagesThoughts{u.Thought}
	}
	if m.Tier = a.Tier; a.Tier == "default" {
		m.Tier = "standard"
	}
	return m
}

func messagesStop(a decouple.Answer) (reason string, sequence *string) {
	switch a.Finish {
	case decouple.FinishTools:
		return "tool_use", nil
	case decouple.FinishLength:
		return "max_tokens", nil
	case decouple.FinishFilter:
		return "refusal", nil
	}
	if a.Stopped != "" {
		return "stop_sequence", &a.Stopped
	}
	return "end_turn", nil
}

func messagesID(ours, theirs string) string {
	if ours == "" && theirs == "" {
		return "msg_0"
	}
	return chatID(ours, theirs)
}

// Render gives a whole answer.
func (messagesServer) Render(a decouple.Answer, h Head) ([]byte, error) {
	out := messagesAnswer{
		ID: messagesID(h.ID, a.ID), Type: "message", Role: "assistant", Model: h.named(a.Model), Content: []messagesBlock{}, Usage: messagesUsageOf(a),
	}
	reason, sequence := messagesStop(a)
	out.StopReason, out.StopSequence = &reason, sequence
	for _, p := range a.Message.Parts {
		switch {
		case p.Call != nil:
			if p.Call.Signature != "" {
				out.Content = append(out.Content, messagesBlock{Type: "redacted_thinking", Data: signCall(p.Call.Signature)})
			}
			out.Content = append(out.Content, messagesBlock{Type: "tool_use", ID: p.Call.ID, Name: p.Call.Name, Input: objectArgs(p.Call.Args)})
		case p.Thought != nil && p.Thought.Text == "" && (p.Thought.Signature == "" || !own(Messages, p.Thought)):
			out.Content = append(out.Content, messagesBlock{Type: "redacted_thinking", Data: secret(Messages, *p.Thought)})
		case p.Thought != nil:
			signature := proof(Messages, *p.Thought)
			out.Content = append(out.Content, messagesBlock{Type: "thinking", Thinking: &p.Thought.Text, Signature: &signature})
		case p.Text != "":
			out.Content = append(out.Content, textBlock(p.Text))
		}
	}
	return marshal(out)
}

// Writer writes a streamed answer.
func (messagesServer) Writer(h Head) Writer { return &messagesWriter{head: h} }

type messagesWriter struct {
	head    Head
	order   inOrder
	begun   bool
	blocks  int  // begun so far
	open    bool // the last of them is
	thought *decouple.Thought
	dst     []byte
}

// Event appends the events of an event.
func (w *messagesWriter) Event(dst []byte, e Event) []byte {
	w.dst = dst
	if !w.begun {
		w.begun = true
		w.start(e)
	}
	w.order.take(e, w.emit)
	dst, w.dst = w.dst, nil
	return dst
}

func (w *messagesWriter) start(e Event) {
	m := messagesAnswer{ID: messagesID(w.head.ID, e.ID), Type: "message", Role: "assistant", Model: w.head.named(e.Model), Content: []messagesBlock{}}
	w.frame("message_start", append(append([]byte(`"message":`), must(m)...), '}'))
}

// frame appends an event; its data begins with its type, and goes on with rest, which closes it.
func (w *messagesWriter) frame(event string, rest []byte) {
	w.opening(event)
	w.dst = append(append(w.dst, rest...), "\n\n"...)
}

func (w *messagesWriter) opening(event string) {
	w.dst = append(append(w.dst, "event: "...), event...)
	w.dst = append(append(append(w.dst, "\ndata: {\"type\":\""...), event...), `",`...)
}

func (w *messagesWriter) emit(e Event) {
	switch e.Kind {
	case TextDelta, RefusalDelta:
		if e.Text != "" {
			w.block(`{"type":"text","text":""}`)
			w.delta(`{"type":"text_delta","text":`, e.Text)
		}
	case ThoughtDelta:
		w.think(e)
	case CallBegin:
		if e.Call.Signature != "" {
			w.redacted(signCall(e.Call.Signature))
		}
		b := appendString([]byte(`{"type":"tool_use","id":`), e.Call.ID)
		b = appendString(append(b, `,"name":`...), e.Call.Name)
		w.block(string(append(b, `,"input":{}}`...)))
	case CallDelta:
		w.delta(`{"type":"input_json_delta","partial_json":`, e.Text)
	case PartEnd:
		w.partEnd()
	case Finish:
		w.finish(e.Answer)
	}
}

// block begins a block, unless one is open.
func (w *messagesWriter) block(block string) {
	if w.open {
		return
	}
	w.open = true
	w.frame("content_block_start", []byte(`"index":`+strconv.Itoa(w.blocks)+`,"content_block":`+block+`}`))
	w.blocks++
}

func (w *messagesWriter) delta(delta, text string) {
	w.opening("content_block_delta")
	w.dst = strconv.AppendInt(append(w.dst, `"index":`...), int64(w.blocks-1), 10)
	w.dst = append(append(w.dst, `,"delta":`...), delta...)
	w.dst = append(appendString(w.dst, text), "}}\n\n"...)
}

func (w *messagesWriter) close() {
	if w.open {
		w.open = false
		w.frame("content_block_stop", []byte(`"index":`+strconv.Itoa(w.blocks-1)+`}`))
	}
}

func (w *messagesWriter) redacted(data string) {
	w.block(string(append(appendString([]byte(`{"type":"redacted_thinking","data":`), data), '}')))
	w.close()
}

func (w *messagesWriter) think(e Event) {
	if w.thought == nil {
		w.thought = &decouple.Thought{}
	}
	think(w.thought, e)
	if e.Text != "" {
		w.block(`{"type":"thinking","thinking":"","signature":""}`)
		w.delta(`{"type":"thinking_delta","thinking":`, e.Text)
	}
}

// partEnd ends a block; a thought is proved before, and one that has shown no text is given as a whole.
func (w *messagesWriter) partEnd() {
	t := w.thought
	w.thought = nil
	switch {
	case t == nil:
	case !w.open && (t.Signature == "" || !own(Messages, t)):
		w.redacted(secret(Messages, *t))
	default:
		w.block(`{"type":"thinking","thinking":"","signature":""}`)
		if p := proof(Messages, *t); p != "" {
			w.delta(`{"type":"signature_delta","signature":`, p)
		}
	}
	w.close()
}

func (w *messagesWriter) finish(a *decouple.Answer) {
	if a == nil {
		a = &decouple.Answer{Finish: decouple.FinishStop}
	}
	var d struct {
		Reason   string  `json:"stop_reason"`
		Sequence *string `json:"stop_sequence"`
	}
	d.Reason, d.Sequence = messagesStop(*a)
	usage := messagesUsageOf(*a)
	w.frame("message_delta", []byte(`"delta":`+string(must(d))+`,"usage":`+string(must(usage))+`}`))
	w.dst = append(w.dst, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"...)
}

// Fault ends the stream with an error.
func (w *messagesWriter) Fault(dst []byte, f *Fault) []byte {
	_, body := RenderFault(Messages, f)
	return append(append(append(dst, "event: error\ndata: "...), body...), "\n\n"...)
}
