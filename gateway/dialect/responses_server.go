package dialect

import (
	"encoding/json"
	"slices"
	"strconv"

	"decouple.dev/decouple"
)

// responsesServer answers as a server that speaks OpenAI Responses. What is stored, and what a conversation has had before, is the gateway's:
// [InputItems], [OutputItems] and [WithInput] are the pieces for it.
type responsesServer struct{}

// responsesAsked is a request as a caller writes it.
type responsesAsked struct {
	Model        string              `json:"model"`
	Input        json.RawMessage     `json:"input"`
	Instructions string              `json:"instructions"`
	Tools        []responsesAskTool  `json:"tools"`
	ToolChoice   json.RawMessage     `json:"tool_choice"`
	Parallel     *bool               `json:"parallel_tool_calls"`
	MaxTokens    int64               `json:"max_output_tokens"`
	Temperature  *float64            `json:"temperature"`
	TopP         *float64            `json:"top_p"`
	TopLogprobs  int                 `json:"top_logprobs"`
	Reasoning    *responsesAskReason `json:"reasoning"`
	Text         *responsesText      `json:"text"`
	Include      []string            `json:"include"`
	User         string              `json:"user"`
	Safety       string              `json:"safety_identifier"`
	Tier         string              `json:"service_tier"`
	Truncation   string              `json:"truncation"`
	Stream       bool                `json:"stream"`
	Options      *leftOut            `json:"stream_options"`
	Store        *leftOut            `json:"store"`                // the gateway's
	Previous     *leftOut            `json:"previous_response_id"` // likewise
	Conversation *leftOut            `json:"conversation"`         // likewise
	Background   *leftOut            `json:"background"`           // likewise
	Metadata     *leftOut            `json:"metadata"`
	CacheKey     *leftOut            `json:"prompt_cache_key"`
	CacheTime    *leftOut            `json:"prompt_cache_retention"`
	CacheOptions *leftOut            `json:"prompt_cache_options"`
	MaxCalls     *leftOut            `json:"max_tool_calls"` // of tools that the server runs itself, which are refused
	Client       *leftOut            `json:"client_metadata"`
	Prompt       json.RawMessage     `json:"prompt"`
	Moderation   json.RawMessage     `json:"moderation"`
	Context      json.RawMessage     `json:"context_management"`
}

type responsesAskReason struct {
	responsesReasoning
	Generate string          `json:"generate_summary"` // as summary was named first
	Mode     json.RawMessage `json:"mode"`
	Context  json.RawMessage `json:"context"`
}

type responsesAskTool struct {
	responsesTool
	Defer   bool     `json:"defer_loading"`
	Callers []string `json:"allowed_callers"`
	Returns *leftOut `json:"output_schema"`
}

type responsesAskItem struct {
	Type      string          `json:"type"`
	ID        string          `json:"id"`
	Role      string          `json:"role"`
	Status    *leftOut        `json:"status"`
	Phase     *leftOut        `json:"phase"`
	Content   json.RawMessage `json:"content"`
	CallID    string          `json:"call_id"`
	Name      string          `json:"name"`
	Arguments string          `json:"arguments"`
	Output    json.RawMessage `json:"output"`
	Summary   []responsesPart `json:"summary"`
	Encrypted string          `json:"encrypted_content"`
	Caller    *leftOut        `json:"caller"`
	Namespace *leftOut        `json:"namespace"`
	Parsed    *leftOut        `json:"parsed_arguments"` // of OpenAI's SDK for JavaScript; it says the arguments again
}

type responsesAskContent struct {
	responsesContent
	Break  *leftOut `json:"prompt_cache_breakpoint"`
	Parsed *leftOut `json:"parsed"` // likewise the text
}

// Parse reads a request.
func (responsesServer) Parse(in Inbound) (decouple.Request, error) {
	var b responsesAsked
	if err := strict(in.Body, &b); err != nil {
		return decouple.Request{}, err
	}
	if err := b.refuse(); err != nil {
		return decouple.Request{}, err
	}
	req := decouple.Request{
		Model: in.name(b.Model), MaxTokens: b.MaxTokens, User: b.User, Tier: b.Tier, Serial: b.Parallel != nil && !*b.Parallel,
		Sampling: decouple.Sampling{Temperature: b.Temperature, TopP: b.TopP, TopLogprobs: b.TopLogprobs, Logprobs: slices.Contains(b.Include, includeLogprobs)},
	}
	if req.User == "" {
		req.User = b.Safety
	}
	if b.Instructions != "" {
		req.Messages = append(req.Messages, decouple.Text(decouple.System, b.Instructions))
	}
	said, err := parseItems(b.Input)
	if err != nil {
		return req, err
	}
	req.Messages = append(req.Messages, said...)
	if err := b.offered(&req); err != nil {
		return req, err
	}
	nameResults(req.Messages)
	return req, b.wishes(&req)
}

func (b *responsesAsked) refuse() error {
	if err := none(given{"prompt", b.Prompt}, given{"moderation", b.Moderation}, given{"context_management", b.Context}); err != nil {
		return err
	}
	if b.Truncation != "" && b.Truncation != "disabled" {
		return uncarried("truncation")
	}
	for i, s := range b.Include {
		if s != includeThoughts && s != includeLogprobs {
			return uncarried("include[" + strconv.Itoa(i) + "]")
		}
	}
	if b.Text != nil && b.Text.Verbosity != "" && b.Text.Verbosity != "medium" {
		return uncarried("text.verbosity")
	}
	if r := b.Reasoning; r != nil {
		return none(given{"reasoning.mode", r.Mode}, given{"reasoning.context", r.Context})
	}
	return nil
}

func (b *responsesAsked) offered(req *decouple.Request) error {
	for i, t := range b.Tools {
		place := "tools[" + strconv.Itoa(i) + "]"
		switch {
		case t.Type != "function":
			return uncarried(place + ".type")
		case t.Defer:
			return uncarried(place + ".defer_loading")
		case len(t.Callers) > 1 || len(t.Callers) == 1 && t.Callers[0] != "direct":
			return uncarried(place + ".allowed_callers")
		}
		req.Tools = append(req.Tools, decouple.ToolSpec{Name: t.Name, Description: t.Description, Params: t.Parameters, Strict: t.Strict != nil && *t.Strict})
	}
	var c responsesChoice
	if present(b.ToolChoice) && b.ToolChoice[0] == '{' {
		if err := strict(b.ToolChoice, &c); err != nil || c.Type != "function" || c.Name == "" {
			return uncarried("tool_choice")
		}
		req.Choice = decouple.ToolChoice{Mode: "tool", Name: c.Name}
		return nil
	}
	var err error
	req.Choice, err = readChoice(b.ToolChoice)
	return err
}

func (b *responsesAsked) wishes(req *decouple.Request) error {
	if r := b.Reasoning; r != nil {
		req.Thinking = readEffort(r.Effort)
		req.Thinking.Summary = r.Summary
		if r.Summary == "" {
			req.Thinking.Summary = r.Generate
		}
	}
	if b.Text == nil || b.Text.Format == nil {
		return nil
	}
	switch f := b.Text.Format; {
	case f.Type == "text" || f.Type == "":
	case f.Type == "json_object":
		req.Format = &decouple.Shape{}
	case f.Type == "json_schema" && present(f.Schema):
		req.Format = &decouple.Shape{Name: f.Name, Description: f.Description, Schema: f.Schema, Strict: f.Strict != nil && *f.Strict}
	default:
		return uncarried("text.format.type")
	}
	return nil
}

// parseItems reads input: a text, or a list of items.
func parseItems(raw json.RawMessage) ([]decouple.Message, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []decouple.Message{decouple.Text(decouple.User, text)}, nil
	}
	var items []responsesAskItem
	if err := strict(raw, &items); err != nil {
		return nil, err
	}
	g := responsesGather{}
	for i, item := range items {
		if err := g.item(item, "input["+strconv.Itoa(i)+"]"); err != nil {
			return nil, err
		}
	}
	return g.messages, nil
}

// responsesGather makes messages of items: what the assistant thinks, says and calls in a row is one, and so are the results of his calls.
type responsesGather struct {
	messages  []decouple.Message
	signature string // of the call that comes next
}

func (g *responsesGather) add(role decouple.Role, parts ...decouple.Part) {
	last := len(g.messages) - 1
	if last >= 0 && g.messages[last].Role == role && (role == decouple.Assistant || role == decouple.ToolRole) {
		g.messages[last].Parts = append(g.messages[last].Parts, parts...)
		return
	}
	g.messages = append(g.messages, decouple.Message{Role: role, Parts: parts})
}

func (g *responsesGather) item(it responsesAskItem, place string) error {
	switch it.Type {
	case "", "message":
		role := decouple.Role(it.Role)
		switch it.Role {
		case "user", "assistant", "system":
		case "developer":
			role = decouple.System
		default:
			return invalid(place+".role", "it is user, assistant, system or developer")
		}
		parts, err := readParts[responsesAskContent](it.Content, place+".content")
		if err != nil {
			return err
		}
		g.add(role, parts...)
	case "function_call":
		g.add(decouple.Assistant, decouple.Part{Call: &decouple.ToolCall{ID: it.CallID, Name: it.Name, Args: decodeArgs(it.Arguments), Signature: g.signature}})
		g.signature = ""
	case "function_call_output":
		parts, err := readParts[responsesAskContent](it.Output, place+".output")
		if err != nil {
			return err
		}
		r := decouple.ToolResult{ID: it.CallID}
		for _, p := range parts {
			r.Text += p.Text
			if p.Media != nil {
				r.Media = append(r.Media, *p.Media)
			}
		}
		g.add(decouple.ToolRole, decouple.Part{Result: &r})
	case "reasoning":
		t := decouple.Thought{ID: it.ID, Opaque: it.Encrypted}
		for i, s := range it.Summary {
			if i > 0 {
				t.Text += "\n\n"
			}
			t.Text += s.Text
		}
		t, forCall := restore(Responses, t)
		if g.signature = forCall; forCall == "" {
			g.add(decouple.Assistant, decouple.Part{Thought: &t})
		}
	default:
		return uncarried(place + ".type")
	}
	return nil
}

func (c responsesContent) part(place string) (decouple.Part, error) {
	var m decouple.Media
	var err error
	switch {
	case c.FileID != "":
		return decouple.Part{}, uncarried(place + ".file_id")
	case c.Type == "input_text" || c.Type == "output_text" || c.Type == "text":
		if c.Text == nil {
			return decouple.Part{}, invalid(place+".text", "it is missing")
		}
		return decouple.Part{Text: *c.Text}, nil
	case c.Type == "refusal":
		return decouple.Part{Text: c.Refusal, Refusal: true}, nil
	case c.Type == "input_image":
		m, err = readURL(place+".image_url", c.ImageURL)
		m.Detail = c.Detail
	case c.Type == "input_file" && c.FileURL != "":
		m = decouple.Media{Type: "application/pdf", URL: c.FileURL, Name: c.Filename}
	case c.Type == "input_file":
		m, err = readURL(place+".file_data", c.FileData)
		m.Name = c.Filename
	default:
		err = uncarried(place + ".type")
	}
	return decouple.Part{Media: &m}, err
}
