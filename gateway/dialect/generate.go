package dialect

import (
	"encoding/json"
	"strings"

	"decouple.dev/decouple"
)

// generateClient asks a server that speaks Gemini generateContent.
type generateClient struct{}

type generateRequest struct {
	Contents []generateContent   `json:"contents"`
	System   *generateContent    `json:"systemInstruction,omitempty"`
	Tools    []generateTool      `json:"tools,omitempty"`
	Config   *generateToolConfig `json:"toolConfig,omitempty"`
	Wishes   *generateConfig     `json:"generationConfig,omitempty"`
	Tier     string              `json:"serviceTier,omitempty"`
}

type generateContent struct {
	Role  string         `json:"role,omitempty"`
	Parts []generatePart `json:"parts"`
}

type generatePart struct {
	Text      *string           `json:"text,omitempty"`
	Thought   bool              `json:"thought,omitempty"`
	Signature string            `json:"thoughtSignature,omitempty"`
	Inline    *generateBlob     `json:"inlineData,omitempty"`
	File      *generateFile     `json:"fileData,omitempty"`
	Call      *generateCall     `json:"functionCall,omitempty"`
	Response  *generateResponse `json:"functionResponse,omitempty"`
}

type generateBlob struct {
	Type string `json:"mimeType"`
	Data string `json:"data"`
	Name string `json:"displayName,omitempty"`
}

type generateFile struct {
	Type string `json:"mimeType,omitempty"`
	URI  string `json:"fileUri"`
	Name string `json:"displayName,omitempty"`
}

type generateCall struct {
	ID   string          `json:"id,omitempty"`
	Name string          `json:"name"`
	Args json.RawMessage `json:"args,omitempty"`
}

type generateResponse struct {
	ID       string          `json:"id,omitempty"`
	Name     string          `json:"name"`
	Response json.RawMessage `json:"response"`
	Parts    []generatePart  `json:"parts,omitempty"`
}

type generateTool struct {
	Functions []generateFunction `json:"functionDeclarations,omitempty"`
}

type generateFunction struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Params      json.RawMessage `json:"parametersJsonSchema,omitempty"`
}

type generateToolConfig struct {
	Calling generateCalling `json:"functionCallingConfig"`
}

type generateCalling struct {
	Mode    string   `json:"mode,omitempty"`
	Allowed []string `json:"allowedFunctionNames,omitempty"`
}

type generateConfig struct {
	MaxTokens        int64             `json:"maxOutputTokens,omitempty"`
	Temperature      *float64          `json:"temperature,omitempty"`
	TopP             *float64          `json:"topP,omitempty"`
	TopK             *float64          `json:"topK,omitempty"`
	FrequencyPenalty *float64          `json:"frequencyPenalty,omitempty"`
	PresencePenalty  *float64          `json:"presencePenalty,omitempty"`
	Seed             *int64            `json:"seed,omitempty"`
	Stop             []string          `json:"stopSequences,omitempty"`
	Type             string            `json:"responseMimeType,omitempty"`
	JSONSchema       json.RawMessage   `json:"responseJsonSchema,omitempty"`
	Thinking         *generateThinking `json:"thinkingConfig,omitempty"`
}

type generateThinking struct {
	Include bool   `json:"includeThoughts,omitempty"`
	Budget  *int64 `json:"thinkingBudget,omitempty"`
	Level   string `json:"thinkingLevel,omitempty"`
}

// unsigned is the signature that makes a server of Gemini 3 accept a call that another maker's model made.
const unsigned = "skip_thought_signature_validator"

// Encode gives the body of a request; model and stream are in the path. It leaves out the user, the names of speakers and shapes, marks of the prompt cache,
// how closely to look at an image, and thoughts of other makers. That a tool is strict makes the calls of all be checked.
func (generateClient) Encode(req decouple.Request, o Options) ([]byte, Names, error) {
	names := NewNames(req)
	if err := unsaid(req, o, Generate, "logprobs", "parallel_tool_calls"); err != nil {
		return nil, names, err
	}
	system, turns, err := turnsOf(req)
	if err != nil {
		return nil, names, err
	}
	e := generateEncoder{names: names, o: o}
	body := generateRequest{Contents: []generateContent{}, Wishes: generateWishes(req, o), Tier: strings.Replace(req.Tier, "default", "standard", 1)}
	if req.Tier == "auto" || req.Tier == "batch" {
		body.Tier = ""
	}
	if len(system) > 0 {
		parts, err := e.parts(system)
		if err != nil {
			return nil, names, err
		}
		body.System = &generateContent{Parts: parts}
	}
	for _, t := range turns {
		parts, err := e.parts(t.parts)
		if err != nil {
			return nil, names, err
		}
		role := "user"
		if t.role == decouple.Assistant {
			role = "model"
		}
		if len(parts) > 0 {
			body.Contents = append(body.Contents, generateContent{role, parts})
		}
	}
	body.tools(req, names)
	data, err := encoded(body)
	return data, names, err
}

func (b *generateRequest) tools(req decouple.Request, names Names) {
	if len(req.Tools) == 0 {
		return
	}
	strict := false
	one := generateTool{}
	for _, t := range req.Tools {
		strict = strict || t.Strict
		one.Functions = append(one.Functions, generateFunction{names.Wire(t.Name), t.Description, t.Params})
	}
	b.Tools = []generateTool{one}
	c := generateCalling{}
	switch mode := choice(req); mode {
	case "none", "any":
		c.Mode = strings.ToUpper(mode)
	case "tool":
		c.Mode, c.Allowed = "ANY", []string{names.Wire(req.Choice.Name)}
	case "auto":
		c.Mode = "AUTO"
	}
	if strict && (c.Mode == "" || c.Mode == "AUTO") {
		c.Mode = "VALIDATED"
	}
	if c.Mode != "" {
		b.Config = &generateToolConfig{c}
	}
}

func generateWishes(req decouple.Request, o Options) *generateConfig {
	c := generateConfig{
		MaxTokens: req.MaxTokens, Temperature: req.Temperature, TopP: req.TopP, FrequencyPenalty: req.FrequencyPenalty, PresencePenalty: req.PresencePenalty,
		Seed: req.Seed, Stop: req.Stop,
	}
	if req.TopK != nil {
		k := float64(*req.TopK)
		c.TopK = &k
	}
	if req.Format != nil {
		c.Type, c.JSONSchema = "application/json", req.Format.Schema
	}
	t := generateThinking{Include: req.Thinking.Summary != ""}
	switch n := req.Thinking.Budget; {
	case req.Thinking.Off:
		n = 0
		t.Budget = &n
	case n != 0:
		t.Budget = &n
	case req.Thinking.Effort != "" && o.Budgets:
		n = budget(req.Thinking)
		t.Budget = &n
	case req.Thinking.Effort != "":
		t.Level = strings.NewReplacer("xhigh", "high", "max", "high").Replace(req.Thinking.Effort)
	}
	if t != (generateThinking{}) {
		c.Thinking = &t
	}
	if data, err := marshal(c); err == nil && string(data) == "{}" {
		return nil
	}
	return &c
}

type generateEncoder struct {
	names Names
	o     Options
}

func (e generateEncoder) parts(parts []decouple.Part) ([]generatePart, error) {
	var all []generatePart
	signed := false // the first call of a turn is signed, or the turn has none
	for _, p := range parts {
		last := len(all) - 1
		switch {
		case p.Call != nil:
			c := generatePart{Call: &generateCall{e.id(p.Call.ID), e.names.Wire(p.Call.Name), objectArgs(p.Call.Args)}, Signature: p.Call.Signature}
			if c.Signature == "" && !signed && e.o.Signed {
				c.Signature = unsigned
			}
			signed = true
			all = append(all, c)
		case p.Result != nil:
			r, err := e.result(*p.Result)
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		case p.Thought != nil:
			t := p.Thought
			switch {
			case !own(Generate, t) || t.Text == "" && t.Signature == "":
			case t.Text != "":
				all = append(all, generatePart{Text: &t.Text, Thought: true, Signature: t.Signature})
			case last >= 0 && all[last].Text != nil && all[last].Signature == "":
				all[last].Signature = t.Signature
			default:
				all = append(all, generatePart{Text: &t.Text, Signature: t.Signature})
			}
		case p.Media != nil:
			all = append(all, generateMedia(*p.Media))
		default:
			all = append(all, generatePart{Text: &p.Text})
		}
	}
	return all, nil
}

func (e generateEncoder) id(id string) string {
	if e.o.NoIDs {
		return ""
	}
	return id
}

func generateMedia(m decouple.Media) generatePart {
	if m.URL != "" {
		return generatePart{File: &generateFile{m.Type, m.URL, m.Name}}
	}
	return generatePart{Inline: &generateBlob{m.Type, base64Of(m.Data), m.Name}}
}

// result gives what a tool answered. An object goes as it is; what is none, or could be taken for one of ours, is put into an object.
func (e generateEncoder) result(r decouple.ToolResult) (generatePart, error) {
	text := strings.TrimSpace(r.Text)
	out := &generateResponse{ID: e.id(r.ID), Name: e.names.Wire(r.Name)}
	if r.Name == "" {
		return generatePart{}, decouple.Errorf(decouple.Invalid, "the result of the call %q belongs to no call of the conversation", r.ID)
	}
	switch {
	case r.Error:
		out.Response = must(struct {
			Error string `json:"error"`
		}{r.Text})
	case strings.HasPrefix(text, "{") && json.Valid([]byte(text)) && !wrapped(text):
		out.Response = json.RawMessage(text)
	default:
		out.Response = must(struct {
			Output string `json:"output"`
		}{r.Text})
	}
	for _, m := range r.Media {
		out.Parts = append(out.Parts, generateMedia(m))
	}
	return generatePart{Response: out}, nil
}

// wrapped says that an object is one that result puts a text into.
func wrapped(object string) bool {
	_, _, is := unwrap(json.RawMessage(object))
	return is
}

// unwrap is the text in an object that result has made.
func unwrap(object json.RawMessage) (text string, failed, is bool) {
	var b struct {
		Output *string `json:"output"`
		Error  *string `json:"error"`
	}
	if strict(object, &b) != nil || (b.Output == nil) == (b.Error == nil) {
		return "", false, false
	}
	if b.Error != nil {
		return *b.Error, true, true
	}
	return *b.Output, false, true
}
