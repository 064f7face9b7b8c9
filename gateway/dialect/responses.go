package dialect

import (
	"encoding/json"

	"decouple.dev/decouple"
)

// responsesClient asks a server that speaks OpenAI Responses. It asks it to keep nothing: whoever asks keeps the conversation.
type responsesClient struct{}

type responsesRequest struct {
	Model       string              `json:"model"`
	Input       []responsesItem     `json:"input"`
	Tools       []responsesTool     `json:"tools,omitempty"`
	ToolChoice  any                 `json:"tool_choice,omitempty"`
	Parallel    *bool               `json:"parallel_tool_calls,omitempty"`
	MaxTokens   int64               `json:"max_output_tokens,omitempty"`
	Temperature *float64            `json:"temperature,omitempty"`
	TopP        *float64            `json:"top_p,omitempty"`
	TopLogprobs int                 `json:"top_logprobs,omitempty"`
	Reasoning   *responsesReasoning `json:"reasoning,omitempty"`
	Text        *responsesText      `json:"text,omitempty"`
	Include     []string            `json:"include,omitempty"`
	User        string              `json:"user,omitempty"`
	Tier        string              `json:"service_tier,omitempty"`
	Store       bool                `json:"store"`
	Stream      bool                `json:"stream,omitempty"`
}

// responsesItem is an item of any type that we send.
type responsesItem struct {
	Type      string             `json:"type"`
	ID        string             `json:"id,omitempty"`
	Status    string             `json:"status,omitempty"`
	Role      string             `json:"role,omitempty"`
	Content   []responsesContent `json:"content,omitempty"`
	CallID    string             `json:"call_id,omitempty"`
	Name      string             `json:"name,omitempty"`
	Arguments *string            `json:"arguments,omitempty"`
	Output    any                `json:"output,omitempty"` // a string, or a list of responsesContent
	Summary   *[]responsesPart   `json:"summary,omitempty"`
	Encrypted string             `json:"encrypted_content,omitempty"`
}

type responsesPart struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type responsesContent struct {
	Type     string             `json:"type"`
	Text     *string            `json:"text,omitempty"`
	Refusal  string             `json:"refusal,omitempty"`
	ImageURL string             `json:"image_url,omitempty"`
	Detail   string             `json:"detail,omitempty"`
	FileData string             `json:"file_data,omitempty"`
	FileURL  string             `json:"file_url,omitempty"`
	FileID   string             `json:"file_id,omitempty"`
	Filename string             `json:"filename,omitempty"`
	Notes    *[]json.RawMessage `json:"annotations,omitempty"`
	Probs    json.RawMessage    `json:"logprobs,omitempty"`
}

type responsesTool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters"`
	Strict      *bool           `json:"strict"`
}

type responsesChoice struct {
	Type string `json:"type"`
	Name string `json:"name"`
}

type responsesReasoning struct {
	Effort  string `json:"effort,omitempty"`
	Summary string `json:"summary,omitempty"`
}

type responsesText struct {
	Format    *responsesFormat `json:"format,omitempty"`
	Verbosity string           `json:"verbosity,omitempty"`
}

type responsesFormat struct {
	Type        string          `json:"type"`
	Name        string          `json:"name,omitempty"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"schema,omitempty"`
	Strict      *bool           `json:"strict,omitempty"`
}

const (
	includeThoughts = "reasoning.encrypted_content"
	includeLogprobs = "message.output_text.logprobs"
)

// Encode gives the body of a request. It leaves out what [chatClient] leaves out.
func (responsesClient) Encode(req decouple.Request, o Options) ([]byte, Names, error) {
	names := NewNames(req)
	if err := unsaid(req, o, Responses, "top_k", "frequency_penalty", "presence_penalty", "seed", "stop"); err != nil {
		return nil, names, err
	}
	body := responsesRequest{
		Model: named(req, o), Input: []responsesItem{}, MaxTokens: req.MaxTokens, Temperature: req.Temperature, TopP: req.TopP, TopLogprobs: req.TopLogprobs,
		Include: []string{includeThoughts}, User: req.User, Tier: req.Tier, Stream: o.Stream,
	}
	e := responsesEncoder{names: names, ids: callIDs(req, 64, true), o: o}
	for i, m := range req.Messages {
		items, err := e.items(m)
		if err != nil {
			return nil, names, at(err, i)
		}
		body.Input = append(body.Input, items...)
	}
	body.tools(req, names)
	if r := (responsesReasoning{effort(req.Thinking), req.Thinking.Summary}); r != (responsesReasoning{}) {
		body.Reasoning = &r
	}
	if req.Logprobs {
		body.Include = append(body.Include, includeLogprobs)
	}
	if f := req.Format; f != nil {
		body.Text = &responsesText{Format: &responsesFormat{Type: "json_object"}}
		if len(f.Schema) > 0 {
			body.Text.Format = &responsesFormat{"json_schema", shapeName(f), f.Description, f.Schema, &f.Strict}
		}
	}
	data, err := encoded(body)
	return data, names, err
}

func (b *responsesRequest) tools(req decouple.Request, names Names) {
	for _, t := range req.Tools {
		b.Tools = append(b.Tools, responsesTool{"function", names.Wire(t.Name), t.Description, params(t), &t.Strict})
	}
	if len(req.Tools) == 0 {
		return
	}
	if req.Serial {
		no := false
		b.Parallel = &no
	}
	switch mode := choice(req); mode {
	case "":
	case "any":
		b.ToolChoice = "required"
	case "tool":
		b.ToolChoice = responsesChoice{"function", names.Wire(req.Choice.Name)}
	default:
		b.ToolChoice = mode
	}
}

type responsesEncoder struct {
	names, ids Names
	o          Options
}

// items gives the items of a message: one for what is said together, and one for every call, result and thought.
func (e responsesEncoder) items(m decouple.Message) ([]responsesItem, error) {
	if err := known(m); err != nil {
		return nil, err
	}
	var all []responsesItem
	for _, p := range m.Parts {
		switch {
		case p.Call != nil:
			args := string(objectArgs(p.Call.Args))
			all = append(all, responsesItem{Type: "function_call", CallID: e.ids.Wire(p.Call.ID), Name: e.names.Wire(p.Call.Name), Arguments: &args})
		case p.Result != nil:
			output, err := e.output(*p.Result)
			if err != nil {
				return nil, err
			}
			all = append(all, responsesItem{Type: "function_call_output", CallID: e.ids.Wire(p.Result.ID), Output: output})
		case p.Thought != nil:
			if t := p.Thought; own(Responses, t) && t.Opaque != "" {
				all = append(all, responsesItem{Type: "reasoning", ID: t.ID, Summary: summary(t.Text), Encrypted: t.Opaque})
			}
		case m.Role == decouple.ToolRole:
			return nil, decouple.Errorf(decouple.Internal, "a tool's message holds results only")
		default:
			c, err := e.content(p, m.Role)
			if err != nil {
				return nil, err
			}
			if last := len(all) - 1; last >= 0 && all[last].Type == "message" {
				all[last].Content = append(all[last].Content, c)
			} else {
				all = append(all, responsesItem{Type: "message", Role: string(m.Role), Content: []responsesContent{c}})
			}
		}
	}
	return all, nil
}

func summary(text string) *[]responsesPart {
	all := []responsesPart{}
	if text != "" {
		all = append(all, responsesPart{"summary_text", text})
	}
	return &all
}

func (e responsesEncoder) output(r decouple.ToolResult) (any, error) {
	text := resultText(&r)
	if len(r.Media) == 0 {
		return text, nil
	}
	list := []responsesContent{{Type: "input_text", Text: &text}}
	for _, m := range r.Media {
		c, err := e.media(m)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

func (e responsesEncoder) content(p decouple.Part, role decouple.Role) (responsesContent, error) {
	switch {
	case p.Media != nil:
		return e.media(*p.Media)
	case p.Refusal:
		return responsesContent{Type: "refusal", Refusal: p.Text}, nil
	case role == decouple.Assistant:
		return responsesContent{Type: "output_text", Text: &p.Text, Notes: &[]json.RawMessage{}}, nil
	}
	return responsesContent{Type: "input_text", Text: &p.Text}, nil
}

func (e responsesEncoder) media(m decouple.Media) (responsesContent, error) {
	switch {
	case isImage(m):
		return responsesContent{Type: "input_image", ImageURL: dataURL(m), Detail: m.Detail}, nil
	case m.URL != "":
		return responsesContent{Type: "input_file", FileURL: m.URL, Filename: m.Name}, nil
	case len(m.Type) > 6 && m.Type[:6] == "audio/":
		return responsesContent{}, cannot(e.o, Responses, "a medium of type "+m.Type)
	}
	name := m.Name
	if name == "" {
		name = "document"
	}
	return responsesContent{Type: "input_file", FileData: dataURL(m), Filename: name}, nil
}
