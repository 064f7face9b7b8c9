package dialect_test

import (
	"encoding/json"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
)

// TestEncodeRefusesByName demands that what a format cannot say is refused in the words of the format in which it was asked.
func TestEncodeRefusesByName(t *testing.T) {
	t.Parallel()
	n, f := int64(40), 0.5
	tool := []decouple.ToolSpec{{Name: "look"}}
	sampled := func(s decouple.Sampling) decouple.Request { return decouple.Request{Model: "m", Sampling: s} }
	shown := func(m decouple.Media) decouple.Request {
		return decouple.Request{Model: "m", Messages: []decouple.Message{{Role: decouple.User, Parts: []decouple.Part{{Media: &m}}}}}
	}
	for _, c := range []struct {
		to, asked dialect.Format
		req       decouple.Request
		want      string
	}{
		{dialect.Chat, dialect.Messages, sampled(decouple.Sampling{TopK: &n}), `"top_k"`},
		{dialect.Chat, dialect.Generate, sampled(decouple.Sampling{TopK: &n}), `"generationConfig.topK"`},
		{dialect.Chat, dialect.Converse, sampled(decouple.Sampling{TopK: &n}), `"additionalModelRequestFields.top_k"`},
		{dialect.Responses, dialect.Messages, sampled(decouple.Sampling{Stop: []string{"x"}}), `"stop_sequences"`},
		{dialect.Responses, dialect.Chat, sampled(decouple.Sampling{Seed: &n}), `"seed"`},
		{dialect.Messages, dialect.Chat, sampled(decouple.Sampling{Seed: &n}), `"seed"`},
		{dialect.Messages, dialect.Generate, sampled(decouple.Sampling{FrequencyPenalty: &f}), `"generationConfig.frequencyPenalty"`},
		{dialect.Messages, "", sampled(decouple.Sampling{Logprobs: true}), `"logprobs"`},
		{dialect.Messages, dialect.Responses, sampled(decouple.Sampling{TopLogprobs: 2}), `"include: message.output_text.logprobs"`},
		{dialect.Messages, dialect.Chat, decouple.Request{Format: &decouple.Shape{}}, `"response_format"`},
		{dialect.Converse, dialect.Messages, decouple.Request{Tools: tool, Serial: true}, `"tool_choice.disable_parallel_tool_use"`},
		{dialect.Converse, dialect.Chat, shown(decouple.Media{URL: "https://example.com/a.png"}), `by its URL`},
		{dialect.Converse, dialect.Generate, sampled(decouple.Sampling{Answers: 2}), `"generationConfig.candidateCount"`},
		{dialect.Generate, dialect.Chat, decouple.Request{Tools: tool, Serial: true}, `"parallel_tool_calls"`},
		{dialect.Generate, dialect.Chat, sampled(decouple.Sampling{Logprobs: true}), `"logprobs"`},
		{dialect.Chat, dialect.Messages, shown(decouple.Media{URL: "https://example.com/a.pdf", Type: "application/pdf"}), `by its URL`},
		{dialect.Messages, dialect.Chat, shown(decouple.Media{Type: "audio/mpeg", Data: []byte("x")}), `audio/mpeg`},
		{dialect.Responses, dialect.Chat, shown(decouple.Media{Type: "audio/mpeg", Data: []byte("x")}), `audio/mpeg`},
	} {
		client, _ := both(t, c.to)
		_, _, err := client.Encode(c.req, dialect.Options{Asked: c.asked})
		if decouple.KindOf(err) != decouple.Invalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s asked in %s: want %s, got %v", c.to, c.asked, c.want, err)
		}
	}
}

// TestEncodeAcross takes a conversation with tools, thoughts of every maker and cache marks to every format, and expects the thoughts of that maker only.
func TestEncodeAcross(t *testing.T) {
	t.Parallel()
	var parts []decouple.Part
	for _, f := range formats() {
		parts = append(parts, decouple.Part{Thought: &decouple.Thought{Text: "of " + string(f), Signature: "c2ln", Opaque: "", ID: "", Maker: string(f)}})
		parts = append(parts, decouple.Part{Thought: &decouple.Thought{Opaque: "secret of " + string(f), Maker: string(f)}})
	}
	parts = append(parts, decouple.Part{Text: "I look.", Cache: "1h"}, decouple.Part{Call: &decouple.ToolCall{ID: "functions.look:0", Name: "notes.look", Args: json.RawMessage(`{"a": 1}`)}})
	req := decouple.Request{
		Model: "m", Tools: []decouple.ToolSpec{{Name: "notes.look", Cache: "5m"}},
		Messages: []decouple.Message{
			decouple.Text(decouple.System, "One."), decouple.Text(decouple.User, "Hm?"), {Role: decouple.Assistant, Parts: parts},
			{Role: decouple.ToolRole, Parts: []decouple.Part{{Result: &decouple.ToolResult{ID: "functions.look:0", Name: "notes.look", Text: "x"}}}},
			decouple.Text(decouple.User, "So?"), decouple.Text(decouple.User, ""),
		},
	}
	for _, f := range formats() {
		client, server := both(t, f)
		body, names, err := client.Encode(req, dialect.Options{})
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		again, _, _ := client.Encode(req, dialect.Options{})
		if string(again) != string(body) {
			t.Errorf("%s: the same request gave other bytes", f)
		}
		for _, other := range formats() {
			if text := string(body); other != f && (strings.Contains(text, "of "+string(other)) || strings.Contains(text, "secret of "+string(other))) {
				t.Errorf("%s got a thought of %s:\n%s", f, other, body)
			}
		}
		back, err := server.Parse(dialect.Inbound{Body: body, Model: "m"})
		if err != nil {
			t.Errorf("%s: %v\n%s", f, err, body)
			continue
		}
		var call *decouple.ToolCall
		var result *decouple.ToolResult
		for _, m := range back.Messages {
			for _, p := range m.Parts {
				if p.Call != nil {
					call = p.Call
				}
				if p.Result != nil {
					result = p.Result
				}
			}
		}
		if call == nil || result == nil || call.ID != result.ID || names.Own(call.Name) != "notes.look" || result.Text != "x" || string(call.Args) != `{"a": 1}` && string(call.Args) != `{"a":1}` {
			t.Errorf("%s: call %+v, result %+v", f, call, result)
		}
	}
}

// TestNoTools forbids tools in a conversation that has used them, in every format.
func TestNoTools(t *testing.T) {
	t.Parallel()
	req := conversation()
	req.NoTools = true
	req.Messages = append(req.Messages, decouple.Text(decouple.User, "Now answer."))
	for _, f := range formats() {
		client, server := both(t, f)
		body, _, err := client.Encode(req, dialect.Options{})
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		back, err := server.Parse(dialect.Inbound{Body: body, Model: "m"})
		if err != nil || back.Choice.Mode != "none" && len(back.Tools) > 0 {
			t.Errorf("%s: %v\n%s", f, err, body)
		}
		for _, said := range []string{"units", "no such tool"} {
			if !strings.Contains(string(body), said) {
				t.Errorf("%s lost %q:\n%s", f, said, body)
			}
		}
	}
}

// TestStore keeps what was said and goes on from it.
func TestStore(t *testing.T) {
	t.Parallel()
	items, err := dialect.InputItems([]byte(`{"model":"m","input":"Hm?"}`))
	if err != nil || len(items) != 1 {
		t.Fatal(items, err)
	}
	output, err := dialect.OutputItems(read(t, "testdata/openai.responses/answer/full.json"))
	if err != nil || len(output) != 4 {
		t.Fatal(output, err)
	}
	more, err := dialect.InputItems([]byte(`{"input":[{"type":"function_call_output","call_id":"call_1","output":"x"},{"type":"function_call_output","call_id":"call_2","output":"y"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	body, err := dialect.WithInput([]byte(`{"model":"m", "previous_response_id":"r", "input":"gone", "temperature" : 1.50}`), append(append(items, output...), more...))
	if err != nil || strings.Contains(string(body), "gone") || strings.Contains(string(body), "previous") || !strings.Contains(string(body), "1.50") {
		t.Fatalf("%s %v", body, err)
	}
	_, s := both(t, dialect.Responses)
	req, err := s.Parse(dialect.Inbound{Body: body})
	if err != nil || len(req.Messages) != 3 || len(req.Messages[1].Calls()) != 2 || len(req.Messages[2].Parts) != 2 {
		t.Fatalf("%+v %v", req.Messages, err)
	}
	for _, wrong := range []string{`{`, `{"input":7}`} {
		if _, err := dialect.InputItems([]byte(wrong)); decouple.KindOf(err) != decouple.Invalid {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	if _, err := dialect.WithInput([]byte(`{"a"`), nil); decouple.KindOf(err) != decouple.Invalid {
		t.Error(err)
	}
}

// TestArrayStream writes a Gemini stream as a JSON array, whole and broken.
func TestArrayStream(t *testing.T) {
	t.Parallel()
	c, s := both(t, dialect.Generate)
	a := decouple.Answer{Finish: decouple.FinishStop, Message: decouple.Message{Role: decouple.Assistant, Parts: []decouple.Part{{Text: "a ]} \" b"}}}}
	w := s.Writer(dialect.Head{Array: true})
	var data []byte
	for _, e := range dialect.Events(a) {
		data = w.Event(data, e)
	}
	if !json.Valid(data) {
		t.Fatalf("not JSON: %s", data)
	}
	r := c.Reader(dialect.Names{})
	events, got, err := listen(r, data, 3)
	if err != nil || got.Message.Text() != "a ]} \" b" || !r.Done() || events[len(events)-1].Kind != dialect.Finish {
		t.Errorf("%+v %v", got, err)
	}
	broken := s.Writer(dialect.Head{Array: true})
	data = broken.Fault(broken.Event(nil, dialect.Event{Kind: dialect.TextDelta, Text: "x"}), &dialect.Fault{Status: 503, Message: "gone"})
	if !json.Valid(data) {
		t.Errorf("not JSON: %s", data)
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	req, err := dialect.ParseCount(dialect.Inbound{Body: []byte(`{"model":"claude","messages":[{"role":"user","content":"Hm?"}]}`)})
	if err != nil || req.Model != "claude" || req.Messages[0].Text() != "Hm?" {
		t.Errorf("%+v %v", req, err)
	}
	if got := string(dialect.RenderCount(12)); got != `{"input_tokens":12}` {
		t.Error(got)
	}
}

// TestEmptyPart has a turn of a streamed answer come back as Google's SDK for Go writes it: its last piece, an empty text, is an empty object.
func TestEmptyPart(t *testing.T) {
	t.Parallel()
	_, server, _ := dialect.Of(dialect.Generate)
	req, err := server.Parse(dialect.Inbound{Model: "m", Body: []byte(`{"contents":[{"role":"user","parts":[{"text":"one"}]},{"role":"model","parts":[{"text":"two"},{}]},{"role":"user","parts":[{"text":"three"}]}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(req.Messages); n != 3 || len(req.Messages[1].Parts) != 1 {
		t.Errorf("%d messages: %+v", n, req.Messages)
	}
}
