package dialect

import (
	"bytes"
	"encoding/json"

	"decouple.dev/decouple"
)

// ChatOptions are the choices that a server may force upon a caller.
type ChatOptions struct {
	Stream   bool // ask for server-sent events
	NoUsage  bool // do not ask for usage at a stream's end: some servers refuse stream_options
	NewLimit bool // name the limit of the answer max_completion_tokens: some models refuse max_tokens
}

type chatRequest struct {
	Model               string             `json:"model"`
	Messages            []chatMessage      `json:"messages"`
	Tools               []chatTool         `json:"tools,omitempty"`
	ToolChoice          string             `json:"tool_choice,omitempty"`
	MaxTokens           int64              `json:"max_tokens,omitempty"`
	MaxCompletionTokens int64              `json:"max_completion_tokens,omitempty"`
	Stream              bool               `json:"stream,omitempty"`
	StreamOptions       *chatStreamOptions `json:"stream_options,omitempty"`
}

type chatStreamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type chatMessage struct {
	Role       string     `json:"role"`
	Content    *string    `json:"content"` // null where there are only tool calls
	ToolCalls  []chatCall `json:"tool_calls,omitempty"`
	ToolCallID string     `json:"tool_call_id,omitempty"`
}

type chatCall struct {
	ID       string       `json:"id"`
	Type     string       `json:"type"`
	Function chatFunction `json:"function"`
}

type chatFunction struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

type chatTool struct {
	Type     string   `json:"type"`
	Function chatSpec `json:"function"`
}

type chatSpec struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters"`
}

// EncodeChat is the body of a request, and the names that its tools have on the wire, by which the answer is decoded. The same
// request always gives the same bytes. Errors are Internal: a message that no model can be given, a schema that is not JSON.
func EncodeChat(req decouple.Request, o ChatOptions) ([]byte, Names, error) {
	names := NewNames(req)
	body := chatRequest{Model: req.Model, Messages: []chatMessage{}, Stream: o.Stream}
	for i, m := range req.Messages {
		ms, err := chatMessages(m, names)
		if err != nil {
			return nil, names, decouple.Errorf(decouple.Internal, "message %d of the request: %w", i+1, err)
		}
		body.Messages = append(body.Messages, ms...)
	}
	for _, t := range req.Tools {
		body.Tools = append(body.Tools, encodeTool(t, names))
	}
	if req.NoTools && len(req.Tools) > 0 {
		body.ToolChoice = "none"
	}
	if o.NewLimit {
		body.MaxCompletionTokens = req.MaxTokens
	} else {
		body.MaxTokens = req.MaxTokens
	}
	if o.Stream && !o.NoUsage {
		body.StreamOptions = &chatStreamOptions{IncludeUsage: true}
	}
	data, err := marshal(body)
	if err != nil {
		return nil, names, decouple.Errorf(decouple.Internal, "a tool's schema is not JSON: %w", err)
	}
	return data, names, nil
}

func encodeTool(t decouple.ToolSpec, names Names) chatTool {
	params := t.Params
	if len(params) == 0 {
		params = json.RawMessage(`{"type":"object","properties":{}}`)
	}
	return chatTool{Type: "function", Function: chatSpec{names.Wire(t.Name), t.Description, params}}
}

// chatMessages gives one message on the wire for every tool result, and one for everything else.
func chatMessages(m decouple.Message, names Names) ([]chatMessage, error) {
	switch m.Role {
	case decouple.System, decouple.User, decouple.Assistant, decouple.ToolRole:
	default:
		return nil, decouple.Errorf(decouple.Internal, "nobody has the role %q", m.Role)
	}
	var results []chatMessage
	var calls []chatCall
	for _, p := range m.Parts {
		switch {
		case p.Call != nil:
			calls = append(calls, chatCall{p.Call.ID, "function", chatFunction{names.Wire(p.Call.Name), encodeArgs(p.Call.Args)}})
		case p.Result != nil:
			results = append(results, chatMessage{Role: string(decouple.ToolRole), Content: resultText(p.Result), ToolCallID: p.Result.ID})
		}
	}
	said := m.Text()
	if m.Role == decouple.ToolRole {
		if said != "" || len(calls) > 0 {
			return nil, decouple.Errorf(decouple.Internal, "a tool's message holds results only")
		}
		return results, nil
	}
	one := chatMessage{Role: string(m.Role), Content: &said, ToolCalls: calls}
	if said == "" && len(calls) > 0 {
		one.Content = nil
	}
	return append(results, one), nil
}

// resultText marks what went wrong, since the wire has no other place to say so.
func resultText(r *decouple.ToolResult) *string {
	s := r.Text
	if r.Error {
		s = "error: " + s
	}
	return &s
}

// encodeArgs gives an object whatever the model had sent: servers that render earlier calls through a template fail on anything else.
func encodeArgs(args json.RawMessage) string {
	trimmed := bytes.TrimSpace(args)
	switch {
	case len(trimmed) == 0:
		return "{}"
	case trimmed[0] == '{' && json.Valid(trimmed):
		return string(trimmed)
	case !json.Valid(trimmed):
		trimmed = keep(string(args))
	}
	return `{"invalid_arguments":` + string(trimmed) + `}`
}

// keep makes a JSON string of a text, which cannot fail: bytes that are not UTF-8 are replaced.
func keep(s string) json.RawMessage {
	data, _ := json.Marshal(s)
	return data
}

// marshal is json.Marshal that leaves <, > and & alone.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
