package dialect

import (
	"strings"

	"decouple.dev/decouple"
)

type generateAnswer struct {
	Candidates []generateGiven `json:"candidates"`
	Usage      *generateUsage  `json:"usageMetadata,omitempty"`
	Model      string          `json:"modelVersion,omitempty"`
	ID         string          `json:"responseId,omitempty"`
}

type generateGiven struct {
	Content generateContent `json:"content"`
	Finish  string          `json:"finishReason,omitempty"`
	Index   int             `json:"index"`
}

type generateUsage struct {
	In      int64 `json:"promptTokenCount"`
	Cached  int64 `json:"cachedContentTokenCount,omitempty"`
	Out     int64 `json:"candidatesTokenCount"`
	Thought int64 `json:"thoughtsTokenCount,omitempty"`
	Total   int64 `json:"totalTokenCount"`
}

func generateUsageOf(u decouple.Usage) *generateUsage {
	return &generateUsage{u.TokensIn, u.Cached, u.TokensOut - u.Thought, u.Thought, u.TokensIn + u.TokensOut}
}

func generateFinish(f decouple.Finish) string {
	switch f {
	case decouple.FinishLength:
		return "MAX_TOKENS"
	case decouple.FinishFilter:
		return "SAFETY"
	}
	return "STOP"
}

// Render gives a whole answer.
func (generateServer) Render(a decouple.Answer, h Head) ([]byte, error) {
	parts := []generatePart{}
	for _, p := range a.Message.Parts {
		switch {
		case p.Call != nil:
			parts = append(parts, callPart(*p.Call))
		case p.Thought != nil:
			parts = append(parts, thoughtPart(*p.Thought, p.Thought.Text))
		case p.Text != "":
			parts = append(parts, generatePart{Text: &p.Text})
		}
	}
	out := h.generate(a.ID, a.Model, parts)
	out.Candidates[0].Finish, out.Usage = generateFinish(a.Finish), generateUsageOf(a.Usage)
	return marshal(out)
}

func (h Head) generate(id, model string, parts []generatePart) generateAnswer {
	if h.ID != "" {
		id = h.ID
	}
	return generateAnswer{Candidates: []generateGiven{{Content: generateContent{"model", parts}}}, Model: h.named(model), ID: id}
}

func callPart(c decouple.ToolCall) generatePart {
	return generatePart{Call: &generateCall{c.ID, c.Name, objectArgs(c.Args)}, Signature: c.Signature}
}

// thoughtPart is a thought with its proof. One of this maker without text is the signature of what it said before.
func thoughtPart(t decouple.Thought, text string) generatePart {
	return generatePart{Text: &text, Thought: !own(Generate, &t) || t.Text != "", Signature: proof(Generate, t)}
}

// Writer writes a streamed answer.
func (generateServer) Writer(h Head) Writer { return &generateWriter{head: h} }

type generateWriter struct {
	head      Head
	order     inOrder
	id, model string
	call      *decouple.ToolCall
	args      strings.Builder
	thought   *decouple.Thought
	begun     bool // something was written
	dst       []byte
}

// Event appends the chunks of an event. A call goes out as a whole.
func (w *generateWriter) Event(dst []byte, e Event) []byte {
	w.dst = dst
	w.order.take(e, w.emit)
	dst, w.dst = w.dst, nil
	return dst
}

func (w *generateWriter) emit(e Event) {
	switch e.Kind {
	case Begin:
		w.id, w.model = e.ID, e.Model
	case TextDelta, RefusalDelta:
		if e.Text != "" {
			w.parts(generatePart{Text: &e.Text})
		}
	case ThoughtDelta:
		if w.thought == nil {
			w.thought = &decouple.Thought{}
		}
		think(w.thought, e)
		if e.Text != "" {
			w.parts(generatePart{Text: &e.Text, Thought: true})
		}
	case CallBegin:
		w.call = e.Call
		w.args.Reset()
	case CallDelta:
		w.args.WriteString(e.Text)
	case PartEnd:
		w.partEnd()
	case Finish:
		w.finish(e.Answer)
	}
}

func (w *generateWriter) partEnd() {
	switch {
	case w.call != nil:
		c := *w.call
		c.Args = decodeArgs(w.args.String())
		w.parts(callPart(c))
	case w.thought != nil:
		if p := thoughtPart(*w.thought, ""); p.Signature != "" {
			w.parts(p)
		}
	}
	w.call, w.thought = nil, nil
}

func (w *generateWriter) parts(parts ...generatePart) { w.chunk(w.head.generate(w.id, w.model, parts)) }

func (w *generateWriter) chunk(a generateAnswer) { w.raw(must(a)) }

func (w *generateWriter) raw(data []byte) {
	switch {
	case !w.head.Array:
		w.dst = append(append(append(w.dst, "data: "...), data...), "\r\n\r\n"...)
	case w.begun:
		w.dst = append(append(w.dst, ",\r\n"...), data...)
	default:
		w.dst = append(append(w.dst, '['), data...)
	}
	w.begun = true
}

func (w *generateWriter) finish(a *decouple.Answer) {
	if a == nil {
		a = &decouple.Answer{Finish: decouple.FinishStop}
	}
	empty := ""
	out := w.head.generate(w.id, w.model, []generatePart{{Text: &empty}})
	out.Candidates[0].Finish, out.Usage = generateFinish(a.Finish), generateUsageOf(a.Usage)
	w.chunk(out)
	w.end()
}

func (w *generateWriter) end() {
	if w.head.Array {
		w.dst = append(w.dst, ']')
	}
}

// Fault ends the stream with an error.
func (w *generateWriter) Fault(dst []byte, f *Fault) []byte {
	_, body := RenderFault(Generate, f)
	w.dst = dst
	w.raw(body)
	w.end()
	dst, w.dst = w.dst, nil
	return dst
}
