package dialect

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"decouple.dev/decouple"
)

// chatClient asks a server that speaks OpenAI Chat Completions.
type chatClient struct{}

type chatRequest struct {
	Model               string             `json:"model"`
	Messages            []chatMessage      `json:"messages"`
	Tools               []chatTool         `json:"tools,omitempty"`
	ToolChoice          any                `json:"tool_choice,omitempty"`
	ParallelToolCalls   *bool              `json:"parallel_tool_calls,omitempty"`
	MaxTokens           int64              `json:"max_tokens,omitempty"`
	MaxCompletionTokens int64              `json:"max_completion_tokens,omitempty"`
	Temperature         *float64           `json:"temperature,omitempty"`
	TopP                *float64           `json:"top_p,omitempty"`
	FrequencyPenalty    *float64           `json:"frequency_penalty,omitempty"`
	PresencePenalty     *float64           `json:"presence_penalty,omitempty"`
	Seed                *int64             `json:"seed,omitempty"`
	Stop                []string           `json:"stop,omitempty"`
	Logprobs            bool               `json:"logprobs,omitempty"`
	TopLogprobs         int                `json:"top_logprobs,omitempty"`
	ResponseFormat      *chatFormat        `json:"response_format,omitempty"`
	ReasoningEffort     string             `json:"reasoning_effort,omitempty"`
	User                string             `json:"user,omitempty"`
	ServiceTier         string             `json:"service_tier,omitempty"`
	Stream              bool               `json:"stream,omitempty"`
	StreamOptions       *chatStreamOptions `json:"stream_options,omitempty"`
}

type chatStreamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type chatMessage struct {
	Role             string     `json:"role"`
	Content          any        `json:"content"` // a string, or a list of chatContent; null where there are only tool calls
	Refusal          string     `json:"refusal,omitempty"`
	Name             string     `json:"name,omitempty"`
	ReasoningContent string     `json:"reasoning_content,omitempty"`
	Reasoning        string     `json:"reasoning,omitempty"`
	ToolCalls        []chatCall `json:"tool_calls,omitempty"`
	ToolCallID       string     `json:"tool_call_id,omitempty"`
}

type chatContent struct {
	Type     string     `json:"type"`
	Text     string     `json:"text,omitempty"`
	ImageURL *chatImage `json:"image_url,omitempty"`
	Audio    *chatAudio `json:"input_audio,omitempty"`
	File     *chatFile  `json:"file,omitempty"`
	Refusal  string     `json:"refusal,omitempty"`
	Cache    *leftOut   `json:"cache_control,omitempty"`           // a hint that some servers take; it changes no answer
	Break    *leftOut   `json:"prompt_cache_breakpoint,omitempty"` // likewise
	Notes    *leftOut   `json:"annotations,omitempty"`
}

type chatImage struct {
	URL    string `json:"url"`
	Detail string `json:"detail,omitempty"`
}

type chatAudio struct {
	Data   string `json:"data"`
	Format string `json:"format"`
}

type chatFile struct {
	Data string `json:"file_data,omitempty"`
	ID   string `json:"file_id,omitempty"`
	Name string `json:"filename,omitempty"`
}

type chatCall struct {
	ID       string       `json:"id"`
	Type     string       `json:"type"`
	Function chatFunction `json:"function"`
	Extra    *chatExtra   `json:"extra_content,omitempty"`
	Index    *int         `json:"index,omitempty"`
}

// chatExtra is where Google's own Chat door has the signature of a call.
type chatExtra struct {
	Google struct {
		Signature string `json:"thought_signature,omitempty"`
	} `json:"google"`
}

func extraOf(signature string) *chatExtra {
	if signature == "" {
		return nil
	}
	x := &chatExtra{}
	x.Google.Signature = signature
	return x
}

type chatFunction struct {
	Name      string   `json:"name"`
	Arguments string   `json:"arguments"`
	Parsed    *leftOut `json:"parsed_arguments,omitempty"` // OpenAI's SDK for JavaScript adds it to what it hands out; it says the same again
}

type chatTool struct {
	Type     string   `json:"type"`
	Function chatSpec `json:"function"`
}

type chatSpec struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters"`
	Strict      *bool           `json:"strict,omitempty"`
}

type chatFormat struct {
	Type   string      `json:"type"`
	Schema *chatSchema `json:"json_schema,omitempty"`
}

type chatSchema struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"schema,omitempty"`
	Strict      *bool           `json:"strict,omitempty"`
}

// chatChoose is how a tool is named that must be called.
type chatChoose struct {
	Type     string `json:"type"`
	Function struct {
		Name string `json:"name"`
	} `json:"function"`
}

// Encode gives the body of a request. It leaves out marks of the prompt cache and thoughts of other makers, which change no answer here; a budget of thought
// is made an effort. What the format cannot say is Invalid; a message that no model can be given, and a schema that is not JSON, are Internal.
func (chatClient) Encode(req decouple.Request, o Options) ([]byte, Names, error) {
	names := NewNames(req)
	if err := unsaid(req, o, Chat, "top_k"); err != nil {
		return nil, names, err
	}
	body := chatRequest{
		Model: named(req, o), Messages: []chatMessage{}, Stream: o.Stream, Temperature: req.Temperature, TopP: req.TopP, FrequencyPenalty: req.FrequencyPenalty,
		PresencePenalty: req.PresencePenalty, Seed: req.Seed, Stop: req.Stop, Logprobs: req.Logprobs, TopLogprobs: req.TopLogprobs,
		ResponseFormat: encodeFormat(req.Format), ReasoningEffort: effort(req.Thinking), User: req.User, ServiceTier: req.Tier,
	}
	ids := callIDs(req, 40, true)
	for i, m := range req.Messages {
		ms, err := chatMessages(m, names, ids, o)
		if err != nil {
			return nil, names, at(err, i)
		}
		body.Messages = append(body.Messages, ms...)
	}
	body.tools(req, names)
	if o.NewLimit {
		body.MaxCompletionTokens = req.MaxTokens
	} else {
		body.MaxTokens = req.MaxTokens
	}
	if o.Stream && !o.NoUsage {
		body.StreamOptions = &chatStreamOptions{IncludeUsage: true}
	}
	data, err := encoded(body)
	return data, names, err
}

// named is the model's name on the wire.
func named(req decouple.Request, o Options) string {
	if o.Model != "" {
		return o.Model
	}
	return req.Model
}

// at names the message that an error is about.
func at(err error, i int) error {
	return decouple.Errorf(decouple.KindOf(err), "message %d of the request: %w", i+1, err)
}

// encoded is the JSON of a request's body.
func encoded(v any) ([]byte, error) {
	data, err := marshal(v)
	if err != nil {
		return nil, decouple.Errorf(decouple.Internal, "a tool's schema is not JSON: %w", err)
	}
	return data, nil
}

func (b *chatRequest) tools(req decouple.Request, names Names) {
	for _, t := range req.Tools {
		b.Tools = append(b.Tools, encodeTool(t, names))
	}
	if len(req.Tools) == 0 {
		return
	}
	if req.Serial {
		no := false
		b.ParallelToolCalls = &no
	}
	switch mode := choice(req); mode {
	case "":
	case "any":
		b.ToolChoice = "required"
	case "tool":
		c := chatChoose{Type: "function"}
		c.Function.Name = names.Wire(req.Choice.Name)
		b.ToolChoice = c
	default:
		b.ToolChoice = mode
	}
}

// choice is which tool the model must call, given that it may call any.
func choice(req decouple.Request) string {
	if req.NoTools {
		return "none"
	}
	return req.Choice.Mode
}

// effort is how hard the model shall think; a budget is made an effort by its size.
func effort(t decouple.Thinking) string {
	switch {
	case t.Off:
		return "none"
	case t.Effort != "" || t.Budget == 0:
		return t.Effort
	case t.Budget < 0: // Gemini: as the model sees fit
		return "medium"
	case t.Budget <= 4096:
		return "low"
	case t.Budget <= 16384:
		return "medium"
	}
	return "high"
}

// budget is how many tokens the model may think, at least and most as vendors permit; an effort is made a budget by its name.
func budget(t decouple.Thinking) int64 {
	if t.Budget != 0 {
		return t.Budget
	}
	switch t.Effort {
	case "minimal", "low":
		return 2048
	case "medium":
		return 8192
	case "high":
		return 20480
	case "xhigh", "max":
		return 31744
	}
	return 0
}

func encodeFormat(f *decouple.Shape) *chatFormat {
	switch {
	case f == nil:
		return nil
	case len(f.Schema) == 0:
		return &chatFormat{Type: "json_object"}
	}
	return &chatFormat{"json_schema", &chatSchema{shapeName(f), f.Description, f.Schema, &f.Strict}}
}

func shapeName(f *decouple.Shape) string {
	if f.Name == "" {
		return "answer"
	}
	return f.Name
}

// noParams is the schema of a tool that takes nothing.
const noParams = `{"type":"object","properties":{}}`

func params(t decouple.ToolSpec) json.RawMessage {
	if len(t.Params) == 0 {
		return json.RawMessage(noParams)
	}
	return t.Params
}

func encodeTool(t decouple.ToolSpec, names Names) chatTool {
	spec := chatSpec{Name: names.Wire(t.Name), Description: t.Description, Parameters: params(t)}
	if t.Strict {
		spec.Strict = &t.Strict
	}
	return chatTool{Type: "function", Function: spec}
}

// chatMessages gives one message on the wire for every tool result, and one for everything else.
func chatMessages(m decouple.Message, names, ids Names, o Options) ([]chatMessage, error) {
	if err := known(m); err != nil {
		return nil, err
	}
	var results []chatMessage
	one := chatMessage{Role: string(m.Role)}
	var content []chatContent
	for _, p := range m.Parts {
		if one.Name == "" {
			one.Name = p.Name
		}
		switch {
		case p.Call != nil:
			args := chatFunction{Name: names.Wire(p.Call.Name), Arguments: string(objectArgs(p.Call.Args))}
			one.ToolCalls = append(one.ToolCalls, chatCall{ID: ids.Wire(p.Call.ID), Type: "function", Function: args})
		case p.Result != nil:
			if len(p.Result.Media) > 0 {
				return nil, cannot(o, Chat, "an image or a document in the result of a tool")
			}
			results = append(results, chatMessage{Role: string(decouple.ToolRole), Content: resultText(p.Result), ToolCallID: ids.Wire(p.Result.ID)})
		case p.Thought != nil:
			one.thought(p.Thought, o)
		case p.Refusal:
			one.Refusal += p.Text
		case p.Media != nil:
			c, err := chatMedia(*p.Media, o)
			if err != nil {
				return nil, err
			}
			content = append(content, c)
		default:
			content = append(content, chatContent{Type: "text", Text: p.Text})
		}
	}
	if m.Role == decouple.ToolRole {
		if len(content) > 0 || len(one.ToolCalls) > 0 {
			return nil, decouple.Errorf(decouple.Internal, "a tool's message holds results only")
		}
		return results, nil
	}
	one.Content = chatBodyOf(content)
	if one.Content == "" && (len(one.ToolCalls) > 0 || one.Refusal != "") {
		one.Content = nil
	}
	if len(results) > 0 && one.Content == "" {
		return results, nil
	}
	return append(results, one), nil
}

// known refuses a message of a role that there is not.
func known(m decouple.Message) error {
	switch m.Role {
	case decouple.System, decouple.User, decouple.Assistant, decouple.ToolRole:
		return nil
	}
	return decouple.Errorf(decouple.Internal, "nobody has the role %q", m.Role)
}

// thought gives a thought back to the sort of server that it came from.
func (m *chatMessage) thought(t *decouple.Thought, o Options) {
	switch {
	case !own(Chat, t) || o.NoThoughts:
	case t.ID == "reasoning":
		m.Reasoning += t.Text
	default:
		m.ReasoningContent += t.Text
	}
}

// chatBodyOf is the content of a message: one text, if there is nothing else.
func chatBodyOf(content []chatContent) any {
	var text strings.Builder
	for _, c := range content {
		if c.Type != "text" {
			return content
		}
		text.WriteString(c.Text)
	}
	return text.String()
}

func chatMedia(m decouple.Media, o Options) (chatContent, error) {
	kind, form, _ := strings.Cut(m.Type, "/")
	switch {
	case isImage(m):
		return chatContent{Type: "image_url", ImageURL: &chatImage{dataURL(m), m.Detail}}, nil
	case m.URL != "":
		return chatContent{}, cannot(o, Chat, "a document by its URL")
	case kind == "audio":
		if form == "mpeg" {
			form = "mp3"
		}
		return chatContent{Type: "input_audio", Audio: &chatAudio{base64.StdEncoding.EncodeToString(m.Data), strings.TrimPrefix(form, "x-")}}, nil
	}
	name := m.Name
	if name == "" {
		name = "document"
	}
	return chatContent{Type: "file", File: &chatFile{Data: dataURL(m), Name: name}}, nil
}

// resultText marks what went wrong, since the wire has no other place to say so.
func resultText(r *decouple.ToolResult) string {
	if r.Error {
		return "error: " + r.Text
	}
	return r.Text
}
