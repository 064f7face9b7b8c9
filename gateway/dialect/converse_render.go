package dialect

import (
	"strconv"

	"decouple.dev/decouple"
)

type converseAnswer struct {
	Output struct {
		Message converseTurn `json:"message"`
	} `json:"output"`
	StopReason string            `json:"stopReason"`
	Usage      converseUsage     `json:"usage"`
	Metrics    converseMetrics   `json:"metrics"`
	Tier       *converseTierType `json:"serviceTier,omitempty"`
}

type converseUsage struct {
	In      int64            `json:"inputTokens"`
	Out     int64            `json:"outputTokens"`
	Total   int64            `json:"totalTokens"`
	Read    int64            `json:"cacheReadInputTokens,omitempty"`
	Write   int64            `json:"cacheWriteInputTokens,omitempty"`
	Details []converseDetail `json:"cacheDetails,omitempty"`
}

type converseDetail struct {
	In  int64  `json:"inputTokens"`
	TTL string `json:"ttl"`
}

type converseMetrics struct {
	Latency int64 `json:"latencyMs"`
}

func converseUsageOf(u decouple.Usage) converseUsage {
	c := converseUsage{
		In: max(0, u.TokensIn-u.Cached-u.CacheWrite-u.CacheLong), Out: u.TokensOut, Total: u.TokensIn + u.TokensOut, Read: u.Cached, Write: u.CacheWrite + u.CacheLong,
	}
	if u.CacheLong > 0 {
		c.Details = append(c.Details, converseDetail{u.CacheLong, "1h"})
	}
	if u.CacheWrite > 0 {
		c.Details = append(c.Details, converseDetail{u.CacheWrite, "5m"})
	}
	return c
}

func converseStop(a decouple.Answer) string {
	switch a.Finish {
	case decouple.FinishTools:
		return "tool_use"
	case decouple.FinishLength:
		return "max_tokens"
	case decouple.FinishFilter:
		return "content_filtered"
	}
	if a.Stopped != "" {
		return "stop_sequence"
	}
	return "end_turn"
}

func converseTierOf(tier string) *converseTierType {
	if tier == "" {
		return nil
	}
	return &converseTierType{tier}
}

// Render gives a whole answer.
func (converseServer) Render(a decouple.Answer, _ Head) ([]byte, error) {
	out := converseAnswer{StopReason: converseStop(a), Usage: converseUsageOf(a.Usage), Tier: converseTierOf(a.Tier)}
	blocks := []converseBlock{}
	for _, p := range a.Message.Parts {
		switch {
		case p.Call != nil:
			if p.Call.Signature != "" {
				blocks = append(blocks, converseBlock{Reasoning: &converseReasoning{Redacted: signCall(p.Call.Signature)}})
			}
			blocks = append(blocks, converseBlock{ToolUse: &converseUse{ID: p.Call.ID, Name: p.Call.Name, Input: objectArgs(p.Call.Args)}})
		case p.Thought != nil && p.Thought.Text == "" && (p.Thought.Signature == "" || !own(Converse, p.Thought)):
			blocks = append(blocks, converseBlock{Reasoning: &converseReasoning{Redacted: secret(Converse, *p.Thought)}})
		case p.Thought != nil:
			blocks = append(blocks, converseBlock{Reasoning: &converseReasoning{Text: &converseReasoned{p.Thought.Text, proof(Converse, *p.Thought)}}})
		case p.Text != "":
			blocks = append(blocks, converseText(p.Text))
		}
	}
	out.Output.Message = converseTurn{"assistant", blocks}
	return marshal(out)
}

// Writer writes a streamed answer.
func (converseServer) Writer(Head) Writer { return &converseWriter{} }

type converseWriter struct {
	order   inOrder
	begun   bool
	blocks  int // begun so far
	open    bool
	thought *decouple.Thought
	dst     []byte
}

// Event appends the frames of an event.
func (w *converseWriter) Event(dst []byte, e Event) []byte {
	w.dst = dst
	if !w.begun {
		w.begun = true
		w.frame("messageStart", []byte(`{"role":"assistant"}`))
	}
	w.order.take(e, w.emit)
	dst, w.dst = w.dst, nil
	return dst
}

func (w *converseWriter) frame(event string, payload []byte) {
	w.dst = AppendEventStream(w.dst, "event", event, payload)
}

// block appends a frame about the block that is open, or begins one.
func (w *converseWriter) block(event, rest string) {
	if !w.open {
		w.open = true
		w.blocks++
	}
	w.frame(event, []byte(`{"contentBlockIndex":`+strconv.Itoa(w.blocks-1)+rest+`}`))
}

func (w *converseWriter) delta(before, text, after string) {
	w.block("contentBlockDelta", string(append(appendString([]byte(`,"delta":`+before), text), after...)))
}

func (w *converseWriter) emit(e Event) {
	switch e.Kind {
	case TextDelta, RefusalDelta:
		if e.Text != "" {
			w.delta(`{"text":`, e.Text, `}`)
		}
	case ThoughtDelta:
		if w.thought == nil {
			w.thought = &decouple.Thought{}
		}
		think(w.thought, e)
		if e.Text != "" {
			w.delta(`{"reasoningContent":{"text":`, e.Text, `}}`)
		}
	case CallBegin:
		if e.Call.Signature != "" {
			w.redacted(signCall(e.Call.Signature))
		}
		b := appendString([]byte(`,"start":{"toolUse":{"toolUseId":`), e.Call.ID)
		w.block("contentBlockStart", string(append(appendString(append(b, `,"name":`...), e.Call.Name), "}}"...)))
	case CallDelta:
		w.delta(`{"toolUse":{"input":`, e.Text, `}}`)
	case PartEnd:
		w.partEnd()
	case Finish:
		w.finish(e.Answer)
	}
}

func (w *converseWriter) redacted(data string) {
	w.delta(`{"reasoningContent":{"redactedContent":`, data, `}}`)
	w.close()
}

func (w *converseWriter) close() {
	if w.open {
		w.block("contentBlockStop", "")
		w.open = false
	}
}

func (w *converseWriter) partEnd() {
	t := w.thought
	w.thought = nil
	switch {
	case t == nil:
	case !w.open && (t.Signature == "" || !own(Converse, t)):
		w.redacted(secret(Converse, *t))
	default:
		if p := proof(Converse, *t); p != "" {
			w.delta(`{"reasoningContent":{"signature":`, p, `}}`)
		}
	}
	w.close()
}

func (w *converseWriter) finish(a *decouple.Answer) {
	if a == nil {
		a = &decouple.Answer{Finish: decouple.FinishStop}
	}
	w.frame("messageStop", []byte(`{"stopReason":"`+converseStop(*a)+`"}`))
	w.frame("metadata", must(struct {
		Usage   converseUsage     `json:"usage"`
		Metrics converseMetrics   `json:"metrics"`
		Tier    *converseTierType `json:"serviceTier,omitempty"`
	}{converseUsageOf(a.Usage), converseMetrics{}, converseTierOf(a.Tier)}))
}

// Fault ends the stream with an exception.
func (w *converseWriter) Fault(dst []byte, f *Fault) []byte {
	name := FaultType(Converse, f)
	return AppendEventStream(dst, "exception", string(name[0]|0x20)+name[1:], must(struct {
		Message string `json:"message"`
	}{f.Error()}))
}
