package dialect

import (
	"encoding/json"
	"strconv"
	"strings"

	"decouple.dev/decouple"
)

// chatServer answers as a server that speaks OpenAI Chat Completions.
type chatServer struct{}

// chatAsked is a request as a caller writes it. What is of type leftOut changes nothing in an answer; what is raw is refused if it says anything.
type chatAsked struct {
	Model            string          `json:"model"`
	Messages         []chatSaid      `json:"messages"`
	Tools            []chatTool      `json:"tools"`
	ToolChoice       json.RawMessage `json:"tool_choice"`
	Parallel         *bool           `json:"parallel_tool_calls"`
	MaxTokens        int64           `json:"max_tokens"`
	MaxCompletion    int64           `json:"max_completion_tokens"`
	Temperature      *float64        `json:"temperature"`
	TopP             *float64        `json:"top_p"`
	TopK             *int64          `json:"top_k"` // not OpenAI's, but of servers that speak like it
	FrequencyPenalty *float64        `json:"frequency_penalty"`
	PresencePenalty  *float64        `json:"presence_penalty"`
	Seed             *int64          `json:"seed"`
	Stop             stops           `json:"stop"`
	N                int             `json:"n"`
	Logprobs         bool            `json:"logprobs"`
	TopLogprobs      int             `json:"top_logprobs"`
	Format           *chatFormat     `json:"response_format"`
	Effort           string          `json:"reasoning_effort"`
	User             string          `json:"user"`
	Safety           string          `json:"safety_identifier"`
	Tier             string          `json:"service_tier"`
	Stream           bool            `json:"stream"`
	StreamOptions    *leftOut        `json:"stream_options"` // the sketch tells of it
	Store            *leftOut        `json:"store"`
	Metadata         *leftOut        `json:"metadata"`
	CacheKey         *leftOut        `json:"prompt_cache_key"`
	CacheTime        *leftOut        `json:"prompt_cache_retention"`
	CacheOptions     *leftOut        `json:"prompt_cache_options"`
	Verbosity        string          `json:"verbosity"`
	Modalities       []string        `json:"modalities"`
	Audio            json.RawMessage `json:"audio"`
	Bias             json.RawMessage `json:"logit_bias"`
	Functions        json.RawMessage `json:"functions"`
	FunctionCall     json.RawMessage `json:"function_call"`
	Prediction       json.RawMessage `json:"prediction"`
	WebSearch        json.RawMessage `json:"web_search_options"`
	Moderation       json.RawMessage `json:"moderation"`
}

// stops is a list of texts, or one.
type stops []string

// UnmarshalJSON takes both.
func (s *stops) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		if one != "" {
			*s = stops{one}
		}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(s))
}

type chatSaid struct {
	Role             string          `json:"role"`
	Content          json.RawMessage `json:"content"`
	Refusal          string          `json:"refusal"`
	Name             string          `json:"name"`
	ReasoningContent string          `json:"reasoning_content"`
	Reasoning        string          `json:"reasoning"`
	Details          []chatDetail    `json:"reasoning_details"`
	ToolCalls        []chatCall      `json:"tool_calls"`
	ToolCallID       string          `json:"tool_call_id"`
	Annotations      *leftOut        `json:"annotations"`
	Audio            json.RawMessage `json:"audio"`
	FunctionCall     json.RawMessage `json:"function_call"`
	Cache            *leftOut        `json:"cache_control"`
	Parsed           *leftOut        `json:"parsed"` // of OpenAI's SDK for JavaScript; it says the content again
}

// Parse reads a request. It leaves out store, metadata, stream_options and what only steers a prompt cache.
func (chatServer) Parse(in Inbound) (decouple.Request, error) {
	var b chatAsked
	if err := strict(in.Body, &b); err != nil {
		return decouple.Request{}, err
	}
	err := none(given{"audio", b.Audio}, given{"logit_bias", b.Bias}, given{"functions", b.Functions}, given{"function_call", b.FunctionCall},
		given{"prediction", b.Prediction}, given{"web_search_options", b.WebSearch}, given{"moderation", b.Moderation})
	if err != nil {
		return decouple.Request{}, err
	}
	if b.Verbosity != "" && b.Verbosity != "medium" {
		return decouple.Request{}, uncarried("verbosity")
	}
	if len(b.Modalities) > 1 || len(b.Modalities) == 1 && b.Modalities[0] != "text" {
		return decouple.Request{}, uncarried("modalities")
	}
	req := decouple.Request{
		Model: in.name(b.Model), MaxTokens: max(b.MaxTokens, b.MaxCompletion), User: b.User, Tier: b.Tier, Serial: b.Parallel != nil && !*b.Parallel,
		Sampling: decouple.Sampling{
			Temperature: b.Temperature, TopP: b.TopP, TopK: b.TopK, FrequencyPenalty: b.FrequencyPenalty, PresencePenalty: b.PresencePenalty,
			Seed: b.Seed, Stop: b.Stop, Answers: b.N, Logprobs: b.Logprobs, TopLogprobs: b.TopLogprobs,
		},
		Thinking: readEffort(b.Effort),
	}
	if req.User == "" {
		req.User = b.Safety
	}
	for i, m := range b.Messages {
		said, err := m.message("messages[" + strconv.Itoa(i) + "]")
		if err != nil {
			return req, err
		}
		req.Messages = append(req.Messages, said)
	}
	if err := b.readTools(&req); err != nil {
		return req, err
	}
	nameResults(req.Messages)
	return req, b.readFormat(&req)
}

func (in Inbound) name(body string) string {
	if in.Model != "" {
		return in.Model
	}
	return body
}

func readEffort(effort string) decouple.Thinking {
	if effort == "none" {
		return decouple.Thinking{Off: true}
	}
	return decouple.Thinking{Effort: effort}
}

// nameResults gives every result of a tool the name that the call of its id has; some formats want it.
func nameResults(messages []decouple.Message) {
	names := map[string]string{}
	for _, m := range messages {
		for _, p := range m.Parts {
			switch {
			case p.Call != nil:
				names[p.Call.ID] = p.Call.Name
			case p.Result != nil && p.Result.Name == "":
				p.Result.Name = names[p.Result.ID]
			}
		}
	}
}

func (b *chatAsked) readTools(req *decouple.Request) error {
	for i, t := range b.Tools {
		if t.Type != "function" {
			return uncarried("tools[" + strconv.Itoa(i) + "].type")
		}
		req.Tools = append(req.Tools, decouple.ToolSpec{
			Name: t.Function.Name, Description: t.Function.Description, Params: t.Function.Parameters, Strict: t.Function.Strict != nil && *t.Function.Strict,
		})
	}
	var err error
	req.Choice, err = readChoice(b.ToolChoice)
	return err
}

func readChoice(raw json.RawMessage) (decouple.ToolChoice, error) {
	if !present(raw) {
		return decouple.ToolChoice{}, nil
	}
	var mode string
	if json.Unmarshal(raw, &mode) == nil {
		switch mode {
		case "auto", "none":
			return decouple.ToolChoice{Mode: mode}, nil
		case "required":
			return decouple.ToolChoice{Mode: "any"}, nil
		}
		return decouple.ToolChoice{}, invalid("tool_choice", "it is auto, none, required or a function")
	}
	var c chatChoose
	if err := strict(raw, &c); err != nil || c.Type != "function" || c.Function.Name == "" {
		return decouple.ToolChoice{}, uncarried("tool_choice")
	}
	return decouple.ToolChoice{Mode: "tool", Name: c.Function.Name}, nil
}

func (b *chatAsked) readFormat(req *decouple.Request) error {
	if b.Format == nil {
		return nil
	}
	switch f := b.Format; {
	case f.Type == "text" || f.Type == "":
	case f.Type == "json_object":
		req.Format = &decouple.Shape{}
	case f.Type == "json_schema" && f.Schema != nil && present(f.Schema.Schema):
		req.Format = &decouple.Shape{Name: f.Schema.Name, Description: f.Schema.Description, Schema: f.Schema.Schema, Strict: f.Schema.Strict != nil && *f.Schema.Strict}
	case f.Type == "json_schema":
		return invalid("response_format.json_schema.schema", "it is missing")
	default:
		return uncarried("response_format.type")
	}
	return nil
}

func (m chatSaid) message(place string) (decouple.Message, error) {
	if err := none(given{place + ".audio", m.Audio}, given{place + ".function_call", m.FunctionCall}); err != nil {
		return decouple.Message{}, err
	}
	out := decouple.Message{Role: decouple.Role(m.Role)}
	switch m.Role {
	case "developer":
		out.Role = decouple.System
	case "system", "user", "assistant":
	case "tool":
		return m.result(place)
	default:
		return out, invalid(place+".role", "it is system, developer, user, assistant or tool")
	}
	out.Parts = m.thoughts()
	content, err := readParts[chatContent](m.Content, place+".content")
	if err != nil {
		return out, err
	}
	out.Parts = append(out.Parts, content...)
	if m.Refusal != "" {
		out.Parts = append(out.Parts, decouple.Part{Text: m.Refusal, Refusal: true})
	}
	for i, c := range m.ToolCalls {
		if c.Type != "function" && c.Type != "" {
			return out, uncarried(place + ".tool_calls[" + strconv.Itoa(i) + "].type")
		}
		call := &decouple.ToolCall{ID: c.ID, Name: c.Function.Name, Args: decodeArgs(c.Function.Arguments)}
		if c.Extra != nil {
			call.Signature = c.Extra.Google.Signature
		}
		out.Parts = append(out.Parts, decouple.Part{Call: call})
	}
	for i := range out.Parts {
		out.Parts[i].Name = m.Name
	}
	return out, nil
}

func (m chatSaid) result(place string) (decouple.Message, error) {
	content, err := readParts[chatContent](m.Content, place+".content")
	if err != nil {
		return decouple.Message{}, err
	}
	r := decouple.ToolResult{ID: m.ToolCallID}
	for _, p := range content {
		if p.Media != nil {
			r.Media = append(r.Media, *p.Media)
		}
		r.Text += p.Text
	}
	return decouple.Message{Role: decouple.ToolRole, Parts: []decouple.Part{{Result: &r}}}, nil
}

// thoughts are those that we gave the caller in reasoning_details, or else the text of a server that has nothing but that.
func (m chatSaid) thoughts() []decouple.Part {
	var parts []decouple.Part
	for _, d := range m.Details {
		t, forCall := restore(Chat, decouple.Thought{Text: d.Text, Signature: d.Signature, Opaque: d.Data})
		if forCall == "" && !own(Chat, &t) {
			parts = append(parts, decouple.Part{Thought: &t})
		}
	}
	switch {
	case len(parts) > 0:
	case m.ReasoningContent != "":
		parts = append(parts, decouple.Part{Thought: &decouple.Thought{Text: m.ReasoningContent, Maker: string(Chat)}})
	case m.Reasoning != "":
		parts = append(parts, decouple.Part{Thought: &decouple.Thought{Text: m.Reasoning, ID: "reasoning", Maker: string(Chat)}})
	}
	return parts
}

// piece is a piece of content in a list of a format.
type piece interface {
	part(place string) (decouple.Part, error)
}

// readParts reads content that is a text or a list of pieces.
func readParts[C piece](raw json.RawMessage, place string) ([]decouple.Part, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []decouple.Part{{Text: one}}, nil
	}
	var list []C
	if err := strict(raw, &list); err != nil {
		return nil, err
	}
	var parts []decouple.Part
	for i, c := range list {
		p, err := c.part(place + "[" + strconv.Itoa(i) + "]")
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func (c chatContent) part(place string) (decouple.Part, error) {
	var m decouple.Media
	var err error
	switch {
	case c.Type == "text":
		return decouple.Part{Text: c.Text}, nil
	case c.Type == "refusal":
		return decouple.Part{Text: c.Refusal, Refusal: true}, nil
	case c.Type == "image_url" && c.ImageURL != nil:
		m, err = readURL(place+".image_url.url", c.ImageURL.URL)
		m.Detail = c.ImageURL.Detail
	case c.Type == "input_audio" && c.Audio != nil:
		m.Type = "audio/" + strings.Replace(c.Audio.Format, "mp3", "mpeg", 1)
		if m.Data, err = decodeBase64(c.Audio.Data); err != nil {
			err = invalid(place+".input_audio.data", "it is not base64")
		}
	case c.Type == "file" && c.File != nil && c.File.ID != "":
		err = uncarried(place + ".file.file_id")
	case c.Type == "file" && c.File != nil:
		m, err = readURL(place+".file.file_data", c.File.Data)
		m.Name = c.File.Name
	default:
		err = uncarried(place + ".type")
	}
	return decouple.Part{Media: &m}, err
}
