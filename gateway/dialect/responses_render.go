package dialect

import (
	"encoding/json"
	"strconv"
	"strings"

	"decouple.dev/decouple"
)

type responsesAnswer struct {
	ID          string               `json:"id"`
	Object      string               `json:"object"`
	Created     int64                `json:"created_at"`
	Status      string               `json:"status"`
	Background  bool                 `json:"background"`
	Error       *responsesError      `json:"error"`
	Incomplete  *responsesReason     `json:"incomplete_details"`
	Instruct    *string              `json:"instructions"`
	MaxTokens   *int64               `json:"max_output_tokens"`
	Model       string               `json:"model"`
	Output      []json.RawMessage    `json:"output"`
	Parallel    bool                 `json:"parallel_tool_calls"`
	Previous    *string              `json:"previous_response_id"`
	Reasoning   responsesAskedEffort `json:"reasoning"`
	Store       bool                 `json:"store"`
	Temperature *float64             `json:"temperature"`
	Text        responsesText        `json:"text"`
	ToolChoice  any                  `json:"tool_choice"`
	Tools       []responsesTool      `json:"tools"`
	TopP        *float64             `json:"top_p"`
	Truncation  string               `json:"truncation"`
	Usage       *responsesUsage      `json:"usage"`
	User        *string              `json:"user"`
	Metadata    json.RawMessage      `json:"metadata"`
	Tier        string               `json:"service_tier,omitempty"`
}

type responsesAskedEffort struct {
	Effort  *string `json:"effort"`
	Summary *string `json:"summary"`
}

type responsesError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type responsesUsage struct {
	In    int64        `json:"input_tokens"`
	Read  chatUsageIn  `json:"input_tokens_details"`
	Out   int64        `json:"output_tokens"`
	Wrote chatUsageOut `json:"output_tokens_details"`
	Total int64        `json:"total_tokens"`
}

// response is an answer without its output; what the request asked for is told again in it.
func (h Head) response(id, model, status string) responsesAnswer {
	r := responsesAnswer{
		ID: responseID(h.ID, id), Object: "response", Created: h.Created, Status: status, Background: h.Background, Model: h.named(model), Output: []json.RawMessage{},
		Parallel: true, Store: h.Store, Text: responsesText{Format: &responsesFormat{Type: "text"}}, ToolChoice: "auto", Tools: []responsesTool{},
		Truncation: "disabled", Metadata: json.RawMessage("{}"),
	}
	if len(h.Metadata) > 0 {
		r.Metadata = h.Metadata
	}
	r.Previous = optional(h.Previous)
	if q := h.Request; q != nil {
		r.asked(*q)
	}
	return r
}

func (r *responsesAnswer) asked(q decouple.Request) {
	b := responsesRequest{}
	b.tools(q, Names{})
	if b.Tools != nil {
		r.Tools = b.Tools
	}
	if b.ToolChoice != nil {
		r.ToolChoice = b.ToolChoice
	}
	r.Parallel = !q.Serial
	r.Temperature, r.TopP, r.User = q.Temperature, q.TopP, optional(q.User)
	r.Reasoning = responsesAskedEffort{optional(effort(q.Thinking)), optional(q.Thinking.Summary)}
	if q.MaxTokens > 0 {
		r.MaxTokens = &q.MaxTokens
	}
	if f := q.Format; f != nil && len(f.Schema) > 0 {
		r.Text.Format = &responsesFormat{"json_schema", shapeName(f), f.Description, f.Schema, &f.Strict}
	} else if f != nil {
		r.Text.Format = &responsesFormat{Type: "json_object"}
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func responseID(ours, theirs string) string {
	if ours == "" && theirs == "" {
		return "resp_0"
	}
	return chatID(ours, theirs)
}

// finish says how the answer ended.
func (r *responsesAnswer) finish(a decouple.Answer) {
	r.Status = "completed"
	switch a.Finish {
	case decouple.FinishLength:
		r.Status, r.Incomplete = "incomplete", &responsesReason{"max_output_tokens"}
	case decouple.FinishFilter:
		r.Status, r.Incomplete = "incomplete", &responsesReason{"content_filter"}
	}
	u := a.Usage
	r.Usage = &responsesUsage{u.TokensIn, chatUsageIn{u.Cached, u.CacheWrite + u.CacheLong}, u.TokensOut, chatUsageOut{u.Thought}, u.TokensIn + u.TokensOut}
	r.Tier = a.Tier
}

// Render gives a whole answer.
func (responsesServer) Render(a decouple.Answer, h Head) ([]byte, error) {
	w := responsesWriter{head: h, quiet: true}
	for _, e := range Events(a) {
		w.Event(nil, e)
	}
	return marshal(w.last)
}

// Writer writes a streamed answer.
func (responsesServer) Writer(h Head) Writer { return &responsesWriter{head: h} }

type responsesWriter struct {
	head      Head
	order     inOrder
	id, model string
	number    int // of the next event
	begun     bool
	refused   bool
	quiet     bool // only the whole answer is wanted
	open      EventKind
	item      responsesItem // that is open
	text      strings.Builder
	probs     []json.RawMessage
	thought   decouple.Thought
	output    []json.RawMessage
	last      responsesAnswer
	dst       []byte
}

// Event appends the events of an event.
func (w *responsesWriter) Event(dst []byte, e Event) []byte {
	w.dst = dst
	if !w.begun {
		w.begun = true
		w.id, w.model = e.ID, e.Model
		r := w.head.response(w.id, w.model, "in_progress")
		w.event("response.created", struct {
			Response responsesAnswer `json:"response"`
		}{r})
		w.event("response.in_progress", struct {
			Response responsesAnswer `json:"response"`
		}{r})
	}
	w.order.take(e, w.emit)
	dst, w.dst = w.dst, nil
	return dst
}

// event appends an event with the members of an object.
func (w *responsesWriter) event(kind string, members any) {
	if w.quiet {
		return
	}
	rest := must(members)
	w.dst = append(append(append(w.dst, "event: "...), kind...), "\ndata: {\"type\":\""...)
	w.dst = append(append(w.dst, kind...), `","sequence_number":`...)
	w.dst = strconv.AppendInt(w.dst, int64(w.number), 10)
	w.number++
	if len(rest) > 2 {
		w.dst = append(append(w.dst, ','), rest[1:len(rest)-1]...)
	}
	w.dst = append(w.dst, "}\n\n"...)
}

// responsesAt is where in the answer something happens.
type responsesAt struct {
	ItemID  string `json:"item_id"`
	Output  int    `json:"output_index"`
	Content *int   `json:"content_index,omitempty"`
	Summary *int   `json:"summary_index,omitempty"`
}

func (w *responsesWriter) at(kind EventKind) responsesAt {
	zero := 0
	a := responsesAt{ItemID: w.item.ID, Output: len(w.output)}
	switch kind {
	case TextDelta, RefusalDelta:
		a.Content = &zero
	case ThoughtDelta:
		a.Summary = &zero
	}
	return a
}

type responsesItemEvent struct {
	Output int             `json:"output_index"`
	Item   json.RawMessage `json:"item"`
}

type responsesPartEvent struct {
	responsesAt
	Part json.RawMessage `json:"part"`
}

type responsesTextEvent struct {
	responsesAt
	Delta     *string            `json:"delta,omitempty"`
	Text      *string            `json:"text,omitempty"`
	Refusal   *string            `json:"refusal,omitempty"`
	Arguments *string            `json:"arguments,omitempty"`
	Name      string             `json:"name,omitempty"`
	Probs     *[]json.RawMessage `json:"logprobs,omitempty"`
}

func (w *responsesWriter) emit(e Event) {
	switch e.Kind {
	case TextDelta, RefusalDelta:
		w.say(e)
	case ThoughtDelta:
		think(&w.thought, Event{Thought: e.Thought})
		w.thinking()
		if e.Text != "" {
			w.thoughtText(e.Text)
		}
	case CallBegin:
		w.call(*e.Call)
	case CallDelta:
		w.text.WriteString(e.Text)
		w.event("response.function_call_arguments.delta", responsesTextEvent{responsesAt: w.at(CallBegin), Delta: &e.Text})
	case PartEnd:
		w.partEnd()
	case Finish:
		w.finish(e.Answer)
	}
}

// begin begins an item.
func (w *responsesWriter) begin(kind EventKind, prefix string, item responsesItem) {
	w.open, w.item = kind, item
	w.text.Reset()
	w.probs = nil
	if w.item.ID == "" {
		w.item.ID = prefix + strings.TrimPrefix(responseID(w.head.ID, w.id), "resp_") + "_" + strconv.Itoa(len(w.output))
	}
	w.item.Status = "in_progress"
	if kind == ThoughtDelta {
		w.item.Status = ""
	}
	w.event("response.output_item.added", responsesItemEvent{len(w.output), w.opened()})
}

// opened is the open item without anything in it. Of a message that is an empty list, which SDKs add to.
func (w *responsesWriter) opened() json.RawMessage {
	if w.item.Type != "message" {
		return must(w.item)
	}
	return must(struct {
		responsesItem
		Content []responsesContent `json:"content"`
	}{w.item, []responsesContent{}})
}

func (w *responsesWriter) say(e Event) {
	if e.Text == "" && len(e.Logprobs) == 0 {
		return
	}
	if w.open == Begin {
		w.begin(e.Kind, "msg_", responsesItem{Type: "message", Role: "assistant"})
		w.event("response.content_part.added", responsesPartEvent{w.at(e.Kind), must(w.content(e.Kind, ""))})
	}
	w.text.WriteString(e.Text)
	var probs chatLogprobs
	if len(e.Logprobs) > 0 && json.Unmarshal(e.Logprobs, &probs) == nil {
		w.probs = append(w.probs, probs.Content...)
	}
	if e.Kind == RefusalDelta {
		w.refused = true
		w.event("response.refusal.delta", responsesTextEvent{responsesAt: w.at(e.Kind), Delta: &e.Text})
		return
	}
	w.event("response.output_text.delta", responsesTextEvent{responsesAt: w.at(e.Kind), Delta: &e.Text, Probs: probable(probs.Content)})
}

func probable(probs []json.RawMessage) *[]json.RawMessage {
	if probs == nil {
		probs = []json.RawMessage{}
	}
	return &probs
}

func (w *responsesWriter) content(kind EventKind, text string) responsesContent {
	if kind == RefusalDelta {
		return responsesContent{Type: "refusal", Refusal: text}
	}
	return responsesContent{Type: "output_text", Text: &text, Notes: &[]json.RawMessage{}, Probs: must(*probable(w.probs))}
}

// thinking begins the item of a thought. One of this maker keeps its name.
func (w *responsesWriter) thinking() {
	if w.open != Begin {
		return
	}
	item := responsesItem{Type: "reasoning", Summary: summary("")}
	if own(Responses, &w.thought) {
		item.ID = w.thought.ID
	}
	w.begin(ThoughtDelta, "rs_", item)
}

func (w *responsesWriter) thoughtText(text string) {
	if w.text.Len() == 0 {
		w.event("response.reasoning_summary_part.added", responsesPartEvent{w.at(ThoughtDelta), must(responsesPart{"summary_text", ""})})
	}
	w.text.WriteString(text)
	w.event("response.reasoning_summary_text.delta", responsesTextEvent{responsesAt: w.at(ThoughtDelta), Delta: &text})
}

// call begins a call. The signature of one that has it goes before, as the secret of a thought.
func (w *responsesWriter) call(c decouple.ToolCall) {
	if c.Signature != "" {
		w.begin(ThoughtDelta, "rs_", responsesItem{Type: "reasoning", Summary: summary("")})
		w.item.Encrypted = signCall(c.Signature)
		w.close()
	}
	empty := ""
	w.begin(CallBegin, "fc_", responsesItem{Type: "function_call", CallID: c.ID, Name: c.Name, Arguments: &empty})
}

func (w *responsesWriter) partEnd() {
	text := w.text.String()
	switch w.open {
	case TextDelta, RefusalDelta:
		done := responsesTextEvent{responsesAt: w.at(w.open), Text: &text, Probs: probable(w.probs)}
		if w.open == RefusalDelta {
			done.Text, done.Refusal, done.Probs = nil, &text, nil
			w.event("response.refusal.done", done)
		} else {
			w.event("response.output_text.done", done)
		}
		c := w.content(w.open, text)
		w.event("response.content_part.done", responsesPartEvent{w.at(w.open), must(c)})
		w.item.Content = []responsesContent{c}
	case ThoughtDelta:
		if text != "" {
			w.event("response.reasoning_summary_text.done", responsesTextEvent{responsesAt: w.at(w.open), Text: &text})
			w.event("response.reasoning_summary_part.done", responsesPartEvent{w.at(w.open), must(responsesPart{"summary_text", text})})
		}
		w.item.Summary, w.item.Encrypted = summary(text), secret(Responses, w.thought)
	case CallBegin:
		if text == "" {
			text = "{}"
			w.event("response.function_call_arguments.delta", responsesTextEvent{responsesAt: w.at(w.open), Delta: &text})
		}
		w.event("response.function_call_arguments.done", responsesTextEvent{responsesAt: w.at(w.open), Arguments: &text, Name: w.item.Name})
		w.item.Arguments = &text
	default:
		return
	}
	w.close()
}

// close ends the open item.
func (w *responsesWriter) close() {
	if w.open != ThoughtDelta {
		w.item.Status = "completed"
	}
	item := json.RawMessage(must(w.item))
	w.event("response.output_item.done", responsesItemEvent{len(w.output), item})
	w.output = append(w.output, item)
	w.open, w.thought = Begin, decouple.Thought{}
}

func (w *responsesWriter) finish(a *decouple.Answer) {
	if a == nil {
		a = &decouple.Answer{Finish: decouple.FinishStop}
	}
	w.last = w.head.response(w.id, w.model, "completed")
	w.last.Output = append(w.last.Output, w.output...)
	w.last.finish(*a)
	if w.refused && a.Finish == decouple.FinishFilter { // the maker's own servers complete an answer in which the model itself refuses
		w.last.Status, w.last.Incomplete = "completed", nil
	}
	w.event("response."+w.last.Status, struct {
		Response responsesAnswer `json:"response"`
	}{w.last})
}

// Fault ends the stream with an error, and with the answer that has failed.
func (w *responsesWriter) Fault(dst []byte, f *Fault) []byte {
	w.dst = dst
	code := map[decouple.Kind]string{
		decouple.RateLimited: "rate_limit_exceeded", decouple.Invalid: "invalid_prompt", decouple.TooLarge: "context_length_exceeded",
	}[f.Kind()]
	if code == "" {
		code = "server_error"
	}
	w.event("error", struct {
		Code    string  `json:"code"`
		Message string  `json:"message"`
		Param   *string `json:"param"`
	}{code, f.Error(), optional(f.Param)})
	r := w.head.response(w.id, w.model, "failed")
	r.Output = append(r.Output, w.output...)
	r.Error = &responsesError{code, f.Error()}
	w.event("response.failed", struct {
		Response responsesAnswer `json:"response"`
	}{r})
	dst, w.dst = w.dst, nil
	return dst
}
