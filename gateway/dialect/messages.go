package dialect

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"decouple.dev/decouple"
)

// messagesClient asks a server that speaks Anthropic Messages.
type messagesClient struct{}

type messagesRequest struct {
	Model         string            `json:"model"`
	MaxTokens     int64             `json:"max_tokens"`
	System        []messagesBlock   `json:"system,omitempty"`
	Messages      []messagesTurn    `json:"messages"`
	Tools         []messagesTool    `json:"tools,omitempty"`
	ToolChoice    *messagesChoice   `json:"tool_choice,omitempty"`
	Temperature   *float64          `json:"temperature,omitempty"`
	TopP          *float64          `json:"top_p,omitempty"`
	TopK          *int64            `json:"top_k,omitempty"`
	StopSequences []string          `json:"stop_sequences,omitempty"`
	Thinking      *messagesThinking `json:"thinking,omitempty"`
	OutputConfig  *messagesOutput   `json:"output_config,omitempty"`
	Metadata      *messagesMetadata `json:"metadata,omitempty"`
	ServiceTier   string            `json:"service_tier,omitempty"`
	Stream        bool              `json:"stream,omitempty"`
}

type messagesTurn struct {
	Role    string          `json:"role"`
	Content []messagesBlock `json:"content"`
}

// messagesBlock is a block of any type that we send.
type messagesBlock struct {
	Type      string          `json:"type"`
	Text      *string         `json:"text,omitempty"`
	Thinking  *string         `json:"thinking,omitempty"`
	Signature *string         `json:"signature,omitempty"`
	Data      string          `json:"data,omitempty"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Input     json.RawMessage `json:"input,omitempty"`
	ToolUseID string          `json:"tool_use_id,omitempty"`
	Content   []messagesBlock `json:"content,omitempty"`
	IsError   bool            `json:"is_error,omitempty"`
	Source    *messagesSource `json:"source,omitempty"`
	Title     string          `json:"title,omitempty"`
	Cache     *messagesCache  `json:"cache_control,omitempty"`
}

type messagesSource struct {
	Type      string          `json:"type"`
	MediaType string          `json:"media_type,omitempty"`
	Data      string          `json:"data,omitempty"`
	URL       string          `json:"url,omitempty"`
	FileID    string          `json:"file_id,omitempty"`
	Content   json.RawMessage `json:"content,omitempty"`
}

type messagesCache struct {
	Type string `json:"type"`
	TTL  string `json:"ttl,omitempty"`
}

type messagesTool struct {
	Type        string          `json:"type,omitempty"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	InputSchema json.RawMessage `json:"input_schema"`
	Strict      bool            `json:"strict,omitempty"`
	Cache       *messagesCache  `json:"cache_control,omitempty"`
}

type messagesChoice struct {
	Type   string `json:"type"`
	Name   string `json:"name,omitempty"`
	Serial bool   `json:"disable_parallel_tool_use,omitempty"`
}

type messagesThinking struct {
	Type    string `json:"type"`
	Budget  int64  `json:"budget_tokens,omitempty"`
	Display string `json:"display,omitempty"`
}

type messagesOutput struct {
	Effort string          `json:"effort,omitempty"`
	Format *messagesFormat `json:"format,omitempty"`
}

type messagesFormat struct {
	Type   string          `json:"type"`
	Schema json.RawMessage `json:"schema"`
}

type messagesMetadata struct {
	UserID *string `json:"user_id"`
}

// leastAnswer is the limit of an answer where nobody names one: no model of this maker can say less.
const leastAnswer = 4096

// Encode gives the body of a request. It leaves out the names of speakers and of shapes, tiers of service that this maker does not have, and thoughts of
// other makers. What the system says in the middle of a conversation goes before it.
func (messagesClient) Encode(req decouple.Request, o Options) ([]byte, Names, error) {
	names := NewNames(req)
	if err := unsaid(req, o, Messages, "frequency_penalty", "presence_penalty", "seed", "logprobs"); err != nil {
		return nil, names, err
	}
	if req.Format != nil && len(req.Format.Schema) == 0 {
		return nil, names, cannot(o, Messages, "response_format")
	}
	system, turns, err := turnsOf(req)
	if err != nil {
		return nil, names, err
	}
	e := messagesEncoder{names: names, ids: callIDs(req, maxName, false), o: o}
	body := messagesRequest{
		Model: named(req, o), MaxTokens: messagesLimit(req, o), Stream: o.Stream, Messages: []messagesTurn{}, Temperature: req.Temperature, TopP: req.TopP,
		TopK: req.TopK, StopSequences: req.Stop, ServiceTier: messagesTier(req.Tier),
	}
	if body.System, err = e.blocks(system); err != nil {
		return nil, names, err
	}
	for _, t := range turns {
		blocks, err := e.blocks(t.parts)
		if err != nil {
			return nil, names, err
		}
		if len(blocks) > 0 {
			body.Messages = append(body.Messages, messagesTurn{string(t.role), blocks})
		}
	}
	body.tools(req, names, called(turns))
	body.think(req, o)
	if req.User != "" {
		body.Metadata = &messagesMetadata{&req.User}
	}
	data, err := encoded(body)
	return data, names, err
}

func messagesLimit(req decouple.Request, o Options) int64 {
	switch {
	case req.MaxTokens > 0:
		return req.MaxTokens
	case o.MaxOut > 0:
		return o.MaxOut
	}
	return leastAnswer
}

func messagesTier(tier string) string {
	switch tier {
	case "auto":
		return "auto"
	case "default":
		return "standard_only"
	}
	return ""
}

// tools offers the tools. Where there are none any more, but some were called, this format wants them to be named all the same.
func (b *messagesRequest) tools(req decouple.Request, names Names, called bool) {
	offered, mode := req.Tools, choice(req)
	if len(offered) == 0 && called {
		offered, mode = spoken(req), "none"
	}
	for _, t := range offered {
		b.Tools = append(b.Tools, messagesTool{
			Name: names.Wire(t.Name), Description: t.Description, InputSchema: params(t), Strict: t.Strict, Cache: cacheMark(t.Cache),
		})
	}
	serial := req.Serial && mode != "none"
	if len(offered) == 0 || mode == "" && !serial {
		return
	}
	if mode == "" {
		mode = "auto"
	}
	b.ToolChoice = &messagesChoice{Type: mode, Serial: serial}
	if mode == "tool" {
		b.ToolChoice.Name = names.Wire(req.Choice.Name)
	}
}

// spoken are the tools that were called in a conversation, each once, as far as they can be known from that.
func spoken(req decouple.Request) []decouple.ToolSpec {
	var all []decouple.ToolSpec
	seen := map[string]bool{}
	for _, m := range req.Messages {
		for _, c := range m.Calls() {
			if !seen[c.Name] {
				seen[c.Name] = true
				all = append(all, decouple.ToolSpec{Name: c.Name})
			}
		}
	}
	return all
}

// think says how much the model may think, and of which form the answer must be. An effort makes it think as it sees fit, or, where it thinks by a budget, so
// much as fits into the answer; if that is less than the least that this maker permits, it does not think.
func (b *messagesRequest) think(req decouple.Request, o Options) {
	t := req.Thinking
	out := messagesOutput{}
	if req.Format != nil {
		out.Format = &messagesFormat{"json_schema", req.Format.Schema}
	}
	switch {
	case t.Off:
		b.Thinking = &messagesThinking{Type: "disabled"}
	case t.Budget < 0:
		b.Thinking = &messagesThinking{Type: "adaptive"}
	case t.Budget > 0:
		b.Thinking = &messagesThinking{Type: "enabled", Budget: t.Budget}
	case t.Effort != "" && o.Budgets:
		if n := min(budget(t), b.MaxTokens/2); n >= 1024 {
			b.Thinking = &messagesThinking{Type: "enabled", Budget: n}
		}
	case t.Effort != "":
		b.Thinking = &messagesThinking{Type: "adaptive"}
		out.Effort = strings.Replace(t.Effort, "minimal", "low", 1)
	}
	if b.Thinking != nil && t.Summary != "" && !t.Off {
		b.Thinking.Display = "summarized"
	}
	if out != (messagesOutput{}) {
		b.OutputConfig = &out
	}
}

func cacheMark(ttl string) *messagesCache {
	switch ttl {
	case "":
		return nil
	case "1h":
		return &messagesCache{"ephemeral", "1h"}
	}
	return &messagesCache{Type: "ephemeral"}
}

type messagesEncoder struct {
	names, ids Names
	o          Options
}

func (e messagesEncoder) blocks(parts []decouple.Part) ([]messagesBlock, error) {
	var all []messagesBlock
	for _, p := range parts {
		b, ok, err := e.block(p)
		if err != nil {
			return nil, err
		}
		if ok {
			b.Cache = cacheMark(p.Cache)
			all = append(all, b)
		}
	}
	return all, nil
}

func (e messagesEncoder) block(p decouple.Part) (b messagesBlock, ok bool, err error) {
	switch {
	case p.Call != nil:
		return messagesBlock{Type: "tool_use", ID: e.ids.Wire(p.Call.ID), Name: e.names.Wire(p.Call.Name), Input: objectArgs(p.Call.Args)}, true, nil
	case p.Result != nil:
		b = messagesBlock{Type: "tool_result", ToolUseID: e.ids.Wire(p.Result.ID), IsError: p.Result.Error}
		if p.Result.Text != "" {
			b.Content = []messagesBlock{textBlock(p.Result.Text)}
		}
		for _, m := range p.Result.Media {
			inner, err := e.media(m)
			if err != nil {
				return b, false, err
			}
			b.Content = append(b.Content, inner)
		}
		return b, true, nil
	case p.Thought != nil:
		t := p.Thought
		switch {
		case !own(Messages, t):
		case t.Opaque != "":
			return messagesBlock{Type: "redacted_thinking", Data: t.Opaque}, true, nil
		case t.Signature != "":
			return messagesBlock{Type: "thinking", Thinking: &t.Text, Signature: &t.Signature}, true, nil
		}
		return b, false, nil
	case p.Media != nil:
		b, err = e.media(*p.Media)
		return b, err == nil, err
	}
	return textBlock(p.Text), true, nil
}

func textBlock(s string) messagesBlock { return messagesBlock{Type: "text", Text: &s} }

func (e messagesEncoder) media(m decouple.Media) (messagesBlock, error) {
	b := messagesBlock{Type: "document", Title: m.Name}
	switch {
	case isImage(m):
		b = messagesBlock{Type: "image"}
	case m.URL == "" && m.Type != "application/pdf" && !strings.HasPrefix(m.Type, "text/"):
		return b, cannot(e.o, Messages, "a medium of type "+m.Type)
	}
	switch {
	case m.URL != "":
		b.Source = &messagesSource{Type: "url", URL: m.URL}
	case strings.HasPrefix(m.Type, "text/"):
		b.Source = &messagesSource{Type: "text", MediaType: "text/plain", Data: string(m.Data)}
	default:
		b.Source = &messagesSource{Type: "base64", MediaType: m.Type, Data: base64.StdEncoding.EncodeToString(m.Data)}
	}
	return b, nil
}
