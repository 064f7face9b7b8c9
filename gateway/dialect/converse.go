package dialect

import (
	"encoding/json"
	"strings"

	"decouple.dev/decouple"
)

// converseClient asks a server that speaks Amazon Bedrock Converse.
type converseClient struct{}

type converseRequest struct {
	Messages   []converseTurn    `json:"messages"`
	System     []converseBlock   `json:"system,omitempty"`
	Inference  *converseLimits   `json:"inferenceConfig,omitempty"`
	Tools      *converseTools    `json:"toolConfig,omitempty"`
	Additional *converseExtra    `json:"additionalModelRequestFields,omitempty"`
	Output     *converseOutput   `json:"outputConfig,omitempty"`
	Tier       *converseTierType `json:"serviceTier,omitempty"`
}

type converseTurn struct {
	Role    string          `json:"role"`
	Content []converseBlock `json:"content"`
}

type converseLimits struct {
	MaxTokens     int64    `json:"maxTokens,omitempty"`
	Temperature   *float64 `json:"temperature,omitempty"`
	TopP          *float64 `json:"topP,omitempty"`
	StopSequences []string `json:"stopSequences,omitempty"`
}

// converseBlock is a block of any sort: exactly one field is set.
type converseBlock struct {
	Text      *string            `json:"text,omitempty"`
	Image     *converseMedium    `json:"image,omitempty"`
	Document  *converseMedium    `json:"document,omitempty"`
	Video     *converseMedium    `json:"video,omitempty"`
	Audio     *converseMedium    `json:"audio,omitempty"`
	ToolUse   *converseUse       `json:"toolUse,omitempty"`
	Result    *converseResult    `json:"toolResult,omitempty"`
	Reasoning *converseReasoning `json:"reasoningContent,omitempty"`
	Cache     *converseCache     `json:"cachePoint,omitempty"`
	JSON      json.RawMessage    `json:"json,omitempty"` // in the result of a tool
}

type converseMedium struct {
	Format    string          `json:"format,omitempty"`
	Name      string          `json:"name,omitempty"` // of a document
	Source    converseSource  `json:"source"`
	Context   string          `json:"context,omitempty"`
	Citations json.RawMessage `json:"citations,omitempty"`
}

type converseSource struct {
	Bytes []byte          `json:"bytes,omitempty"`
	S3    *converseS3     `json:"s3Location,omitempty"`
	Text  string          `json:"text,omitempty"`
	Parts json.RawMessage `json:"content,omitempty"`
}

type converseS3 struct {
	URI   string `json:"uri"`
	Owner string `json:"bucketOwner,omitempty"`
}

type converseUse struct {
	ID    string          `json:"toolUseId"`
	Name  string          `json:"name"`
	Input json.RawMessage `json:"input"`
	Type  string          `json:"type,omitempty"`
}

type converseResult struct {
	ID      string          `json:"toolUseId"`
	Content []converseBlock `json:"content"`
	Status  string          `json:"status,omitempty"`
	Type    string          `json:"type,omitempty"`
}

type converseReasoning struct {
	Text     *converseReasoned `json:"reasoningText,omitempty"`
	Redacted string            `json:"redactedContent,omitempty"` // base64
}

type converseReasoned struct {
	Text      string `json:"text"`
	Signature string `json:"signature,omitempty"`
}

type converseCache struct {
	Type string `json:"type"`
	TTL  string `json:"ttl,omitempty"`
}

type converseTools struct {
	Tools  []converseTool  `json:"tools"`
	Choice *converseChoice `json:"toolChoice,omitempty"`
}

type converseTool struct {
	Spec  *converseSpec  `json:"toolSpec,omitempty"`
	Cache *converseCache `json:"cachePoint,omitempty"`
}

type converseSpec struct {
	Name        string         `json:"name"`
	Description string         `json:"description,omitempty"`
	Schema      converseSchema `json:"inputSchema"`
	Strict      bool           `json:"strict,omitempty"`
}

type converseSchema struct {
	JSON json.RawMessage `json:"json"`
}

type converseChoice struct {
	Auto *struct{}     `json:"auto,omitempty"`
	Any  *struct{}     `json:"any,omitempty"`
	Tool *converseName `json:"tool,omitempty"`
}

type converseName struct {
	Name string `json:"name"`
}

// converseExtra holds the fields of the models themselves that we know.
type converseExtra struct {
	Thinking  *messagesThinking `json:"thinking,omitempty"`         // Claude
	Reasoning *messagesThinking `json:"reasoning_config,omitempty"` // Claude, as it was named first
	TopK      *int64            `json:"top_k,omitempty"`            // Claude
	Effort    string            `json:"reasoning_effort,omitempty"` // gpt-oss
	Nova      *converseNova     `json:"reasoningConfig,omitempty"`  // Nova
	Inference *converseTopK     `json:"inferenceConfig,omitempty"`  // Nova
	Beta      *leftOut          `json:"anthropic_beta,omitempty"`
}

type converseNova struct {
	Type   string `json:"type"`
	Effort string `json:"maxReasoningEffort,omitempty"`
}

type converseTopK struct {
	TopK *int64 `json:"topK,omitempty"`
}

type converseOutput struct {
	Effort string              `json:"effort,omitempty"`
	Text   *converseTextFormat `json:"textFormat,omitempty"`
}

type converseTextFormat struct {
	Type      string            `json:"type"`
	Structure converseStructure `json:"structure"`
}

type converseStructure struct {
	JSON *converseJSON `json:"jsonSchema,omitempty"`
}

type converseJSON struct {
	Schema      string `json:"schema"` // JSON in a string
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
}

type converseTierType struct {
	Type string `json:"type"`
}

// Encode gives the body of a request; model and stream are in the path. It leaves out the user, the names of speakers and thoughts of other makers. This format
// cannot forbid the use of tools where some were used: then the conversation tells in words what they were called with and what they answered.
func (converseClient) Encode(req decouple.Request, o Options) ([]byte, Names, error) {
	names := NewNames(req)
	if err := unsaid(req, o, Converse, "frequency_penalty", "presence_penalty", "seed", "logprobs", "parallel_tool_calls"); err != nil {
		return nil, names, err
	}
	if req.Format != nil && len(req.Format.Schema) == 0 {
		return nil, names, cannot(o, Converse, "response_format")
	}
	system, turns, err := turnsOf(req)
	if err != nil {
		return nil, names, err
	}
	offered := len(req.Tools) > 0 && choice(req) != "none"
	e := converseEncoder{names: names, ids: callIDs(req, maxName, false), o: o, telling: !offered}
	body := converseRequest{Messages: []converseTurn{}}
	if body.System, err = e.blocks(system); err != nil {
		return nil, names, err
	}
	for _, t := range turns {
		blocks, err := e.blocks(t.parts)
		if err != nil {
			return nil, names, err
		}
		if len(blocks) > 0 {
			body.Messages = append(body.Messages, converseTurn{string(t.role), blocks})
		}
	}
	limits := converseLimits{req.MaxTokens, req.Temperature, req.TopP, req.Stop}
	if limits.MaxTokens > 0 || limits.Temperature != nil || limits.TopP != nil || len(limits.StopSequences) > 0 {
		body.Inference = &limits
	}
	if offered {
		body.tools(req, names)
	}
	body.think(req, o)
	switch req.Tier {
	case "priority", "default", "flex", "reserved":
		body.Tier = &converseTierType{req.Tier}
	}
	data, err := encoded(body)
	return data, names, err
}

func (b *converseRequest) tools(req decouple.Request, names Names) {
	b.Tools = &converseTools{}
	for _, t := range req.Tools {
		spec := &converseSpec{Name: names.Wire(t.Name), Description: t.Description, Schema: converseSchema{params(t)}, Strict: t.Strict}
		b.Tools.Tools = append(b.Tools.Tools, converseTool{Spec: spec})
		if c := cachePoint(t.Cache); c != nil {
			b.Tools.Tools = append(b.Tools.Tools, converseTool{Cache: c})
		}
	}
	switch req.Choice.Mode {
	case "auto":
		b.Tools.Choice = &converseChoice{Auto: &struct{}{}}
	case "any":
		b.Tools.Choice = &converseChoice{Any: &struct{}{}}
	case "tool":
		b.Tools.Choice = &converseChoice{Tool: &converseName{names.Wire(req.Choice.Name)}}
	}
}

func cachePoint(ttl string) *converseCache {
	switch ttl {
	case "":
		return nil
	case "1h":
		return &converseCache{"default", "1h"}
	}
	return &converseCache{Type: "default"}
}

// think sets the fields that the makers of the models on Bedrock have for thinking and for top_k, by the model's name; Claude's where it is not known.
func (b *converseRequest) think(req decouple.Request, o Options) {
	t, x, out := req.Thinking, converseExtra{}, converseOutput{}
	wish := effort(t)
	switch model := named(req, o); {
	case strings.Contains(model, "gpt-oss"):
		x.Effort, x.TopK = wish, req.TopK
		if t.Off {
			x.Effort = "low" // it cannot but think
		}
	case strings.Contains(model, "nova"):
		if wish != "" && !t.Off {
			x.Nova = &converseNova{"enabled", strings.Replace(wish, "minimal", "low", 1)}
		}
		if req.TopK != nil {
			x.Inference = &converseTopK{req.TopK}
		}
	default:
		x.TopK = req.TopK
		m := messagesRequest{MaxTokens: messagesLimit(req, o)}
		if !t.Off {
			m.think(decouple.Request{Thinking: t}, o)
		}
		x.Thinking = m.Thinking
		if m.OutputConfig != nil {
			out.Effort = m.OutputConfig.Effort
		}
	}
	if x != (converseExtra{}) {
		b.Additional = &x
	}
	if f := req.Format; f != nil {
		out.Text = &converseTextFormat{"json_schema", converseStructure{&converseJSON{string(f.Schema), f.Name, f.Description}}}
	}
	if out != (converseOutput{}) {
		b.Output = &out
	}
}

type converseEncoder struct {
	names, ids Names
	o          Options
	telling    bool // calls and results are told in words
}

func (e converseEncoder) blocks(parts []decouple.Part) ([]converseBlock, error) {
	var all []converseBlock
	for _, p := range parts {
		b, ok, err := e.block(p)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		all = append(all, b)
		if c := cachePoint(p.Cache); c != nil {
			all = append(all, converseBlock{Cache: c})
		}
	}
	return all, nil
}

func (e converseEncoder) block(p decouple.Part) (b converseBlock, ok bool, err error) {
	switch {
	case p.Call != nil && e.telling:
		return converseText("[" + e.names.Wire(p.Call.Name) + " was called with " + string(objectArgs(p.Call.Args)) + "]"), true, nil
	case p.Call != nil:
		return converseBlock{ToolUse: &converseUse{ID: e.ids.Wire(p.Call.ID), Name: e.names.Wire(p.Call.Name), Input: objectArgs(p.Call.Args)}}, true, nil
	case p.Result != nil && e.telling:
		if len(p.Result.Media) > 0 {
			return b, false, cannot(e.o, Converse, "an image or a document in the result of a tool, where tools may not be used")
		}
		return converseText("[" + e.names.Wire(p.Result.Name) + " answered: " + resultText(p.Result) + "]"), true, nil
	case p.Result != nil:
		b, err = e.result(*p.Result)
		return b, err == nil, err
	case p.Thought != nil:
		t := p.Thought
		switch {
		case !own(Converse, t):
			return b, false, nil
		case t.Opaque != "":
			return converseBlock{Reasoning: &converseReasoning{Redacted: t.Opaque}}, true, nil
		}
		return converseBlock{Reasoning: &converseReasoning{Text: &converseReasoned{t.Text, t.Signature}}}, true, nil
	case p.Media != nil:
		b, err = e.media(*p.Media)
		return b, err == nil, err
	}
	return converseText(p.Text), true, nil
}

func converseText(s string) converseBlock { return converseBlock{Text: &s} }

func (e converseEncoder) result(r decouple.ToolResult) (converseBlock, error) {
	out := &converseResult{ID: e.ids.Wire(r.ID), Content: []converseBlock{}}
	if r.Error {
		out.Status = "error"
	}
	if r.Text != "" || len(r.Media) == 0 {
		out.Content = append(out.Content, converseText(r.Text))
	}
	for _, m := range r.Media {
		b, err := e.media(m)
		if err != nil {
			return b, err
		}
		out.Content = append(out.Content, b)
	}
	return converseBlock{Result: out}, nil
}

// converseFormats are the formats of documents by their media types.
var converseFormats = []struct{ media, format string }{
	{"application/pdf", "pdf"}, {"text/plain", "txt"}, {"text/markdown", "md"}, {"text/html", "html"}, {"text/csv", "csv"}, {"application/msword", "doc"},
	{"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"}, {"application/vnd.ms-excel", "xls"},
	{"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"},
}

func (e converseEncoder) media(m decouple.Media) (converseBlock, error) {
	source := converseSource{Bytes: m.Data}
	if m.URL != "" {
		if !strings.HasPrefix(m.URL, "s3://") {
			return converseBlock{}, cannot(e.o, Converse, "an image or a document by its URL")
		}
		source = converseSource{S3: &converseS3{URI: m.URL}}
	}
	kind, format, _ := strings.Cut(m.Type, "/")
	switch kind {
	case "image":
		return converseBlock{Image: &converseMedium{Format: strings.Replace(format, "jpg", "jpeg", 1), Source: source}}, nil
	case "video":
		return converseBlock{Video: &converseMedium{Format: format, Source: source}}, nil
	case "audio":
		return converseBlock{Audio: &converseMedium{Format: strings.Replace(format, "mpeg", "mp3", 1), Source: source}}, nil
	}
	for _, f := range converseFormats {
		if f.media == m.Type {
			return converseBlock{Document: &converseMedium{Format: f.format, Name: documentName(m.Name), Source: source}}, nil
		}
	}
	return converseBlock{}, cannot(e.o, Converse, "a medium of type "+m.Type)
}

// documentName is a name as this format permits it: letters, digits, single spaces, hyphens and brackets.
func documentName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < 0x80 && (permittedByte(byte(r)) && r != '_' || strings.ContainsRune("()[]", r)) {
			return r
		}
		return ' '
	}, name)
	if name = strings.Join(strings.Fields(name), " "); name == "" {
		return "document"
	}
	return name
}
