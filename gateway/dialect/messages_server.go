package dialect

import (
	"encoding/json"
	"strconv"

	"decouple.dev/decouple"
)

// messagesServer answers as a server that speaks Anthropic Messages.
type messagesServer struct{}

// messagesAsked is a request as a caller writes it. What is of type leftOut changes nothing in an answer; what is raw is refused if it says anything.
type messagesAsked struct {
	Model         string              `json:"model"`
	MaxTokens     int64               `json:"max_tokens"`
	System        json.RawMessage     `json:"system"`
	Messages      []messagesSaid      `json:"messages"`
	Tools         []messagesAskedTool `json:"tools"`
	ToolChoice    *messagesChoice     `json:"tool_choice"`
	Temperature   *float64            `json:"temperature"`
	TopP          *float64            `json:"top_p"`
	TopK          *int64              `json:"top_k"`
	StopSequences []string            `json:"stop_sequences"`
	Thinking      *messagesThinking   `json:"thinking"`
	OutputConfig  *messagesOutput     `json:"output_config"`
	OutputFormat  *messagesFormat     `json:"output_format"` // as output_config.format was named first
	Metadata      *messagesMetadata   `json:"metadata"`
	ServiceTier   string              `json:"service_tier"`
	Cache         *messagesCache      `json:"cache_control"`
	Stream        bool                `json:"stream"`
	Version       *leftOut            `json:"anthropic_version"`
	Beta          *leftOut            `json:"anthropic_beta"`
	Betas         *leftOut            `json:"betas"`
	Diagnostics   *leftOut            `json:"diagnostics"`
	Speed         string              `json:"speed"`
	Geo           json.RawMessage     `json:"inference_geo"`
	Container     json.RawMessage     `json:"container"`
	Servers       json.RawMessage     `json:"mcp_servers"`
	Context       json.RawMessage     `json:"context_management"`
}

type messagesSaid struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

type messagesAskedTool struct {
	messagesTool
	Defer    bool            `json:"defer_loading"`
	Eager    *leftOut        `json:"eager_input_streaming"`
	Callers  []string        `json:"allowed_callers"`
	Examples json.RawMessage `json:"input_examples"`
}

type messagesAskedBlock struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	Signature string          `json:"signature"`
	Data      string          `json:"data"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
	IsError   bool            `json:"is_error"`
	Source    *messagesSource `json:"source"`
	Title     string          `json:"title"`
	Context   string          `json:"context"`
	Citations json.RawMessage `json:"citations"`
	Cache     *messagesCache  `json:"cache_control"`
	Caller    *leftOut        `json:"caller"`
}

// ParseCount reads a request of Anthropic's count_tokens, which is one of Messages without what only matters to an answer.
func ParseCount(in Inbound) (decouple.Request, error) { return messagesServer{}.Parse(in) }

// RenderCount is the answer of Anthropic's count_tokens.
func RenderCount(tokens int64) []byte {
	return append(strconv.AppendInt([]byte(`{"input_tokens":`), tokens, 10), '}')
}

// Parse reads a request.
func (messagesServer) Parse(in Inbound) (decouple.Request, error) {
	var b messagesAsked
	if err := strict(in.Body, &b); err != nil {
		return decouple.Request{}, err
	}
	if err := none(given{"inference_geo", b.Geo}, given{"container", b.Container}, given{"mcp_servers", b.Servers}, given{"context_management", b.Context}); err != nil {
		return decouple.Request{}, err
	}
	if b.Speed != "" && b.Speed != "standard" {
		return decouple.Request{}, uncarried("speed")
	}
	req := decouple.Request{
		Model: in.name(b.Model), MaxTokens: b.MaxTokens, Tier: b.ServiceTier,
		Sampling: decouple.Sampling{Temperature: b.Temperature, TopP: b.TopP, TopK: b.TopK, Stop: b.StopSequences},
	}
	if b.ServiceTier == "standard_only" {
		req.Tier = "default"
	}
	if b.Metadata != nil && b.Metadata.UserID != nil {
		req.User = *b.Metadata.UserID
	}
	if err := b.conversation(&req); err != nil {
		return req, err
	}
	if err := b.offered(&req); err != nil {
		return req, err
	}
	nameResults(req.Messages)
	return req, b.wishes(&req)
}

func (b *messagesAsked) conversation(req *decouple.Request) error {
	system, err := readBlocks(b.System, "system")
	if err != nil {
		return err
	}
	if len(system) > 0 {
		req.Messages = append(req.Messages, decouple.Message{Role: decouple.System, Parts: system})
	}
	for i, m := range b.Messages {
		place := "messages[" + strconv.Itoa(i) + "]"
		if m.Role != "user" && m.Role != "assistant" {
			return invalid(place+".role", "it is user or assistant")
		}
		parts, err := readBlocks(m.Content, place+".content")
		if err != nil {
			return err
		}
		req.Messages = append(req.Messages, split(decouple.Role(m.Role), parts)...)
	}
	if last := len(req.Messages) - 1; b.Cache != nil && last >= 0 {
		if parts := req.Messages[last].Parts; len(parts) > 0 {
			parts[len(parts)-1].Cache = b.Cache.time()
		}
	}
	return nil
}

func (c *messagesCache) time() string {
	switch {
	case c == nil:
		return ""
	case c.TTL == "":
		return "5m"
	}
	return c.TTL
}

func (b *messagesAsked) offered(req *decouple.Request) error {
	for i, t := range b.Tools {
		place := "tools[" + strconv.Itoa(i) + "]"
		switch {
		case t.Type != "" && t.Type != "custom":
			return uncarried(place + ".type")
		case t.Defer:
			return uncarried(place + ".defer_loading")
		case len(t.Callers) > 1 || len(t.Callers) == 1 && t.Callers[0] != "direct":
			return uncarried(place + ".allowed_callers")
		}
		if err := none(given{place + ".input_examples", t.Examples}); err != nil {
			return err
		}
		req.Tools = append(req.Tools, decouple.ToolSpec{Name: t.Name, Description: t.Description, Params: t.InputSchema, Strict: t.Strict, Cache: t.Cache.time()})
	}
	c := b.ToolChoice
	if c == nil {
		return nil
	}
	switch c.Type {
	case "auto", "any", "none", "tool":
		req.Choice, req.Serial = decouple.ToolChoice{Mode: c.Type, Name: c.Name}, c.Serial
		return nil
	}
	return invalid("tool_choice.type", "it is auto, any, tool or none")
}

// wishes are how to think, and the form of the answer. A model that may think as it sees fit thinks hard, as this maker's do unless told otherwise.
func (b *messagesAsked) wishes(req *decouple.Request) error {
	format := b.OutputFormat
	if o := b.OutputConfig; o != nil {
		req.Thinking.Effort = o.Effort
		if o.Format != nil {
			format = o.Format
		}
	}
	if t := b.Thinking; t != nil {
		switch t.Type {
		case "enabled":
			req.Thinking.Budget = t.Budget
		case "disabled":
			req.Thinking = decouple.Thinking{Off: true}
		case "adaptive":
			if req.Thinking.Effort == "" {
				req.Thinking.Effort = "high"
			}
		default:
			return uncarried("thinking.type")
		}
		if t.Display == "summarized" {
			req.Thinking.Summary = "auto"
		}
	}
	if format == nil {
		return nil
	}
	if format.Type != "json_schema" {
		return uncarried("output_config.format.type")
	}
	req.Format = &decouple.Shape{Schema: format.Schema, Strict: true}
	return nil
}

// readBlocks reads content: a text, or a list of blocks.
func readBlocks(raw json.RawMessage, place string) ([]decouple.Part, error) {
	if !present(raw) {
		return nil, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []decouple.Part{{Text: one}}, nil
	}
	var list []messagesAskedBlock
	if err := strict(raw, &list); err != nil {
		return nil, err
	}
	var parts []decouple.Part
	signature := ""
	for i, b := range list {
		p, forCall, err := b.part(place + "[" + strconv.Itoa(i) + "]")
		if err != nil {
			return nil, err
		}
		if forCall != "" {
			signature = forCall
			continue
		}
		if p.Call != nil {
			p.Call.Signature, signature = signature, ""
		}
		p.Cache = b.Cache.time()
		parts = append(parts, p)
	}
	return parts, nil
}

func (b messagesAskedBlock) part(place string) (p decouple.Part, forCall string, err error) {
	switch b.Type {
	case "text":
		return decouple.Part{Text: b.Text}, "", nil
	case "image", "document":
		m, err := b.media(place)
		return decouple.Part{Media: &m}, "", err
	case "tool_use":
		return decouple.Part{Call: &decouple.ToolCall{ID: b.ID, Name: b.Name, Args: decodeArgs(string(b.Input))}}, "", nil
	case "tool_result":
		r, err := b.result(place)
		return decouple.Part{Result: &r}, "", err
	case "thinking", "redacted_thinking":
		t, forCall := restore(Messages, decouple.Thought{Text: b.Thinking, Signature: b.Signature, Opaque: b.Data})
		return decouple.Part{Thought: &t}, forCall, nil
	}
	return p, "", uncarried(place + ".type")
}

func (b messagesAskedBlock) result(place string) (decouple.ToolResult, error) {
	r := decouple.ToolResult{ID: b.ToolUseID, Error: b.IsError}
	content, err := readBlocks(b.Content, place+".content")
	if err != nil {
		return r, err
	}
	for i, p := range content {
		switch {
		case p.Media != nil:
			r.Media = append(r.Media, *p.Media)
		case plainText(p):
			r.Text += p.Text
		default:
			return r, uncarried(place + ".content[" + strconv.Itoa(i) + "].type")
		}
	}
	return r, nil
}

func (b messagesAskedBlock) media(place string) (decouple.Media, error) {
	m := decouple.Media{Name: b.Title}
	var cites struct {
		Enabled bool `json:"enabled"`
	}
	if present(b.Citations) && json.Unmarshal(b.Citations, &cites) == nil && cites.Enabled {
		return m, uncarried(place + ".citations")
	}
	if b.Context != "" {
		return m, uncarried(place + ".context")
	}
	if b.Source == nil {
		return m, invalid(place+".source", "it is missing")
	}
	var err error
	switch s := b.Source; s.Type {
	case "base64":
		m.Type = s.MediaType
		if m.Data, err = decodeBase64(s.Data); err != nil {
			return m, invalid(place+".source.data", "it is not base64")
		}
	case "url":
		m.URL = s.URL
		if b.Type == "document" {
			m.Type = "application/pdf"
		}
	case "text":
		m.Type, m.Data = "text/plain", []byte(s.Data)
	default:
		return m, uncarried(place + ".source.type")
	}
	return m, nil
}
