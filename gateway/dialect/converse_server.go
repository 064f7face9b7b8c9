package dialect

import (
	"encoding/json"
	"strconv"
	"strings"

	"decouple.dev/decouple"
)

// converseServer answers as a server that speaks Amazon Bedrock Converse.
type converseServer struct{}

// converseAsked is a request as a caller writes it.
type converseAsked struct {
	Messages    []converseSaid       `json:"messages"`
	System      []converseAskedBlock `json:"system"`
	Inference   converseLimits       `json:"inferenceConfig"`
	Tools       *converseAskedTools  `json:"toolConfig"`
	Additional  json.RawMessage      `json:"additionalModelRequestFields"`
	Output      *converseOutput      `json:"outputConfig"`
	Tier        *converseTierType    `json:"serviceTier"`
	Metadata    *leftOut             `json:"requestMetadata"`
	Performance *struct {
		Latency string `json:"latency"`
	} `json:"performanceConfig"`
	Guardrail json.RawMessage `json:"guardrailConfig"`
	Variables json.RawMessage `json:"promptVariables"`
	Paths     json.RawMessage `json:"additionalModelResponseFieldPaths"`
}

type converseSaid struct {
	Role    string               `json:"role"`
	Content []converseAskedBlock `json:"content"`
}

type converseAskedBlock struct {
	converseBlock
	Guard    json.RawMessage `json:"guardContent"`
	Citing   json.RawMessage `json:"citationsContent"`
	Search   json.RawMessage `json:"searchResult"`
	Variable json.RawMessage `json:"promptVariable"`
}

type converseAskedTools struct {
	Tools []struct {
		converseTool
		System json.RawMessage `json:"systemTool"`
	} `json:"tools"`
	Choice *converseChoice `json:"toolChoice"`
}

// Parse reads a request.
func (converseServer) Parse(in Inbound) (decouple.Request, error) {
	var b converseAsked
	if err := strict(in.Body, &b); err != nil {
		return decouple.Request{}, err
	}
	err := none(given{"guardrailConfig", b.Guardrail}, given{"promptVariables", b.Variables}, given{"additionalModelResponseFieldPaths", b.Paths})
	if err == nil && b.Performance != nil && b.Performance.Latency != "standard" && b.Performance.Latency != "" {
		err = uncarried("performanceConfig.latency")
	}
	if err != nil {
		return decouple.Request{}, err
	}
	req := decouple.Request{
		Model: in.Model, MaxTokens: b.Inference.MaxTokens,
		Sampling: decouple.Sampling{Temperature: b.Inference.Temperature, TopP: b.Inference.TopP, Stop: b.Inference.StopSequences},
	}
	if b.Tier != nil {
		req.Tier = b.Tier.Type
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

func (b *converseAsked) conversation(req *decouple.Request) error {
	system, err := readConverse(b.System, "system")
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
		parts, err := readConverse(m.Content, place+".content")
		if err != nil {
			return err
		}
		req.Messages = append(req.Messages, split(decouple.Role(m.Role), parts)...)
	}
	return nil
}

func (c *converseCache) time() string {
	switch {
	case c == nil:
		return ""
	case c.TTL == "":
		return "5m"
	}
	return c.TTL
}

func (b *converseAsked) offered(req *decouple.Request) error {
	if b.Tools == nil {
		return nil
	}
	for i, t := range b.Tools.Tools {
		switch last := len(req.Tools) - 1; {
		case t.Spec != nil:
			req.Tools = append(req.Tools, decouple.ToolSpec{Name: t.Spec.Name, Description: t.Spec.Description, Params: t.Spec.Schema.JSON, Strict: t.Spec.Strict})
		case t.Cache != nil && last >= 0:
			req.Tools[last].Cache = t.Cache.time()
		case t.Cache != nil:
		default:
			return uncarried("toolConfig.tools[" + strconv.Itoa(i) + "]")
		}
	}
	switch c := b.Tools.Choice; {
	case c == nil:
	case c.Tool != nil:
		req.Choice = decouple.ToolChoice{Mode: "tool", Name: c.Tool.Name}
	case c.Any != nil:
		req.Choice.Mode = "any"
	case c.Auto != nil:
		req.Choice.Mode = "auto"
	}
	return nil
}

// wishes are how to think, and the form of the answer.
func (b *converseAsked) wishes(req *decouple.Request) error {
	if o := b.Output; o != nil {
		req.Thinking.Effort = o.Effort
		if o.Text != nil {
			if o.Text.Type != "json_schema" || o.Text.Structure.JSON == nil || !json.Valid([]byte(o.Text.Structure.JSON.Schema)) {
				return invalid("outputConfig.textFormat", "it is json_schema, with a schema that is JSON")
			}
			s := o.Text.Structure.JSON
			req.Format = &decouple.Shape{Name: s.Name, Description: s.Description, Schema: json.RawMessage(s.Schema), Strict: true}
		}
	}
	if !present(b.Additional) {
		return nil
	}
	var x converseExtra
	if err := strict(b.Additional, &x); err != nil {
		return decouple.Errorf(decouple.Invalid, "additionalModelRequestFields: %w", err)
	}
	req.TopK = x.TopK
	if x.Inference != nil {
		req.TopK = x.Inference.TopK
	}
	thinking := x.Thinking
	if thinking == nil {
		thinking = x.Reasoning
	}
	switch {
	case thinking != nil:
		asked := messagesAsked{Thinking: thinking}
		if err := asked.wishes(req); err != nil {
			return uncarried("additionalModelRequestFields.thinking.type")
		}
	case x.Effort != "":
		req.Thinking = readEffort(x.Effort)
	case x.Nova != nil && x.Nova.Type == "enabled":
		req.Thinking.Effort = x.Nova.Effort
	}
	return nil
}

// readConverse reads blocks. A cache point marks the part before it.
func readConverse(blocks []converseAskedBlock, place string) ([]decouple.Part, error) {
	var parts []decouple.Part
	signature := ""
	for i, b := range blocks {
		if b.Cache != nil {
			if n := len(parts); n > 0 {
				parts[n-1].Cache = b.Cache.time()
			}
			continue
		}
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
		parts = append(parts, p)
	}
	return parts, nil
}

func (b converseAskedBlock) part(place string) (p decouple.Part, forCall string, err error) {
	if err := none(given{place + ".guardContent", b.Guard}, given{place + ".citationsContent", b.Citing}, given{place + ".searchResult", b.Search},
		given{place + ".promptVariable", b.Variable}); err != nil {
		return p, "", err
	}
	switch {
	case b.Text != nil:
		return decouple.Part{Text: *b.Text}, "", nil
	case b.ToolUse != nil && b.ToolUse.Type != "" && b.ToolUse.Type != "tool_use":
		return p, "", uncarried(place + ".toolUse.type")
	case b.ToolUse != nil:
		return decouple.Part{Call: &decouple.ToolCall{ID: b.ToolUse.ID, Name: b.ToolUse.Name, Args: decodeArgs(string(b.ToolUse.Input))}}, "", nil
	case b.Result != nil:
		r, err := b.Result.read(place + ".toolResult")
		return decouple.Part{Result: &r}, "", err
	case b.Reasoning != nil:
		t := decouple.Thought{Opaque: b.Reasoning.Redacted}
		if b.Reasoning.Text != nil {
			t.Text, t.Signature = b.Reasoning.Text.Text, b.Reasoning.Text.Signature
		}
		t, forCall := restore(Converse, t)
		return decouple.Part{Thought: &t}, forCall, nil
	}
	m, err := b.media(place)
	return decouple.Part{Media: &m}, "", err
}

func (r converseResult) read(place string) (decouple.ToolResult, error) {
	out := decouple.ToolResult{ID: r.ID, Error: r.Status == "error"}
	for i, b := range r.Content {
		switch {
		case b.Text != nil:
			out.Text += *b.Text
		case len(b.JSON) > 0:
			out.Text += string(b.JSON)
		default:
			m, err := b.media(place + ".content[" + strconv.Itoa(i) + "]")
			if err != nil {
				return out, err
			}
			out.Media = append(out.Media, m)
		}
	}
	return out, nil
}

func (b converseBlock) media(place string) (decouple.Media, error) {
	var m decouple.Media
	var c *converseMedium
	switch {
	case b.Image != nil:
		c, m.Type = b.Image, "image/"+b.Image.Format
	case b.Video != nil:
		c, m.Type = b.Video, "video/"+b.Video.Format
	case b.Audio != nil:
		c, m.Type = b.Audio, "audio/"+strings.Replace(b.Audio.Format, "mp3", "mpeg", 1)
	case b.Document != nil:
		c, m.Name = b.Document, b.Document.Name
		for _, f := range converseFormats {
			if f.format == c.Format {
				m.Type = f.media
			}
		}
	default:
		return m, uncarried(place)
	}
	switch {
	case m.Type == "":
		return m, invalid(place+".document.format", "it is none of those that there are")
	case c.Context != "":
		return m, uncarried(place + ".document.context")
	case strings.Contains(string(c.Citations), "true"):
		return m, uncarried(place + ".document.citations")
	case c.Source.S3 != nil && c.Source.S3.Owner != "":
		return m, uncarried(place + ".source.s3Location.bucketOwner")
	case c.Source.S3 != nil:
		m.URL = c.Source.S3.URI
	case c.Source.Text != "":
		m.Data = []byte(c.Source.Text)
	case len(c.Source.Parts) > 0:
		return m, uncarried(place + ".document.source.content")
	default:
		m.Data = c.Source.Bytes
	}
	return m, nil
}
