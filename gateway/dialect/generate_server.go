package dialect

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	"decouple.dev/decouple"
)

// generateServer answers as a server that speaks Gemini generateContent.
type generateServer struct{}

// generateAsked is a request as a caller writes it. Names may be written with underscores too: they are turned before.
type generateAsked struct {
	Model    *leftOut          `json:"model"`
	Contents []generateSaid    `json:"contents"`
	System   *generateSaid     `json:"systemInstruction"`
	Tools    []json.RawMessage `json:"tools"`
	Config   struct {
		Calling struct {
			generateCalling
			Streamed bool `json:"streamFunctionCallArguments"`
		} `json:"functionCallingConfig"`
		Retrieval json.RawMessage `json:"retrievalConfig"`
	} `json:"toolConfig"`
	Wishes struct {
		generateConfig
		Schema     json.RawMessage `json:"responseSchema"`
		Format     json.RawMessage `json:"responseFormat"`
		Count      int             `json:"candidateCount"`
		Logprobs   json.RawMessage `json:"responseLogprobs"`
		Top        json.RawMessage `json:"logprobs"`
		Modalities []string        `json:"responseModalities"`
		Speech     json.RawMessage `json:"speechConfig"`
		Image      json.RawMessage `json:"imageConfig"`
		Resolution *leftOut        `json:"mediaResolution"`
		Civic      json.RawMessage `json:"enableEnhancedCivicAnswers"`
		Routing    json.RawMessage `json:"routingConfig"`
		Audio      *leftOut        `json:"audioTimestamp"`
	} `json:"generationConfig"`
	Safety []struct {
		Category  string   `json:"category"`
		Threshold string   `json:"threshold"`
		Method    *leftOut `json:"method"`
	} `json:"safetySettings"`
	Cached string          `json:"cachedContent"`
	Labels *leftOut        `json:"labels"`
	Store  *leftOut        `json:"store"`
	Tier   string          `json:"serviceTier"`
	Armor  json.RawMessage `json:"modelArmorConfig"`
}

type generateSaid struct {
	Role  string              `json:"role"`
	Parts []generateAskedPart `json:"parts"`
}

type generateAskedPart struct {
	generatePart
	Video      json.RawMessage `json:"videoMetadata"`
	Code       json.RawMessage `json:"executableCode"`
	Ran        json.RawMessage `json:"codeExecutionResult"`
	Resolution *leftOut        `json:"mediaResolution"`
	Metadata   *leftOut        `json:"partMetadata"`
}

// Parse reads a request. It leaves out labels and store. Settings of safety that loosen Google's own filters have no meaning elsewhere and are left out; those
// that tighten them are refused.
func (generateServer) Parse(in Inbound) (decouple.Request, error) {
	var b generateAsked
	if err := strict(camel(in.Body), &b); err != nil {
		return decouple.Request{}, err
	}
	if err := b.refuse(); err != nil {
		return decouple.Request{}, err
	}
	w := b.Wishes
	req := decouple.Request{
		Model: in.Model, MaxTokens: w.MaxTokens, Tier: strings.NewReplacer("standard", "default", "unspecified", "").Replace(b.Tier),
		Sampling: decouple.Sampling{
			Temperature: w.Temperature, TopP: w.TopP, FrequencyPenalty: w.FrequencyPenalty, PresencePenalty: w.PresencePenalty, Seed: w.Seed, Stop: w.Stop, Answers: w.Count,
		},
	}
	if w.TopK != nil {
		k := int64(*w.TopK)
		req.TopK = &k
	}
	if err := b.conversation(&req); err != nil {
		return req, err
	}
	if err := b.offered(&req); err != nil {
		return req, err
	}
	return req, b.wishes(&req)
}

func (b *generateAsked) refuse() error {
	w := b.Wishes
	err := none(given{"generationConfig.responseLogprobs", w.Logprobs}, given{"generationConfig.logprobs", w.Top}, given{"generationConfig.speechConfig", w.Speech},
		given{"generationConfig.imageConfig", w.Image}, given{"generationConfig.enableEnhancedCivicAnswers", w.Civic}, given{"generationConfig.routingConfig", w.Routing},
		given{"generationConfig.responseFormat", w.Format}, given{"toolConfig.retrievalConfig", b.Config.Retrieval}, given{"modelArmorConfig", b.Armor})
	switch {
	case err != nil:
		return err
	case b.Cached != "":
		return uncarried("cachedContent")
	case b.Config.Calling.Streamed:
		return uncarried("toolConfig.functionCallingConfig.streamFunctionCallArguments")
	case len(w.Modalities) > 1 || len(w.Modalities) == 1 && !strings.EqualFold(w.Modalities[0], "TEXT"):
		return uncarried("generationConfig.responseModalities")
	}
	for i, s := range b.Safety {
		switch s.Threshold {
		case "", "OFF", "BLOCK_NONE", "BLOCK_ONLY_HIGH", "HARM_BLOCK_THRESHOLD_UNSPECIFIED":
		default:
			return uncarried("safetySettings[" + strconv.Itoa(i) + "].threshold")
		}
	}
	return nil
}

func (b *generateAsked) conversation(req *decouple.Request) error {
	reader := generateConversation{}
	if b.System != nil {
		parts, err := reader.parts(b.System.Parts, "systemInstruction")
		if err != nil {
			return err
		}
		req.Messages = append(req.Messages, decouple.Message{Role: decouple.System, Parts: parts})
	}
	for i, c := range b.Contents {
		place := "contents[" + strconv.Itoa(i) + "]"
		role := decouple.User
		switch c.Role {
		case "model":
			role = decouple.Assistant
		case "", "user", "function":
		default:
			return invalid(place+".role", "it is user or model")
		}
		parts, err := reader.parts(c.Parts, place)
		if err != nil {
			return err
		}
		req.Messages = append(req.Messages, split(role, parts)...)
	}
	return nil
}

// generateConversation gives ids to calls without one, and to results the id of the call that they answer: the first of its name that has no result.
type generateConversation struct {
	calls int
	open  []decouple.ToolCall
}

func (g *generateConversation) parts(list []generateAskedPart, place string) ([]decouple.Part, error) {
	var parts []decouple.Part
	for i, p := range list {
		at := place + ".parts[" + strconv.Itoa(i) + "]"
		if err := none(given{at + ".videoMetadata", p.Video}, given{at + ".executableCode", p.Code}, given{at + ".codeExecutionResult", p.Ran}); err != nil {
			return nil, err
		}
		more, err := g.part(p.generatePart, at)
		if err != nil {
			return nil, err
		}
		parts = append(parts, more...)
	}
	return parts, nil
}

func (g *generateConversation) part(p generatePart, place string) ([]decouple.Part, error) {
	switch {
	case p.Call != nil:
		g.calls++
		c := decouple.ToolCall{ID: p.Call.ID, Name: p.Call.Name, Args: decodeArgs(string(p.Call.Args)), Signature: p.Signature}
		if c.ID == "" {
			c.ID = "call_" + strconv.Itoa(g.calls)
		}
		if c.Signature == unsigned {
			c.Signature = ""
		}
		g.open = append(g.open, c)
		return []decouple.Part{{Call: &c}}, nil
	case p.Response != nil:
		r, err := g.result(*p.Response, place)
		return []decouple.Part{{Result: &r}}, err
	case p.Inline != nil || p.File != nil:
		m, err := p.media(place)
		return []decouple.Part{{Media: &m}}, err
	case p.Text == nil && p.Signature == "": // Google's SDK for Go writes an empty text so, which ends a stream and comes back in the next turn
		return nil, nil
	}
	text := ""
	if p.Text != nil {
		text = *p.Text
	}
	if p.Thought {
		t, _ := restore(Generate, decouple.Thought{Text: text, Signature: p.Signature})
		return []decouple.Part{{Thought: &t}}, nil
	}
	var parts []decouple.Part
	if text != "" || p.Signature == "" {
		parts = append(parts, decouple.Part{Text: text})
	}
	if p.Signature != "" {
		parts = append(parts, decouple.Part{Thought: &decouple.Thought{Signature: p.Signature, Maker: string(Generate)}})
	}
	return parts, nil
}

func (g *generateConversation) result(r generateResponse, place string) (decouple.ToolResult, error) {
	out := decouple.ToolResult{ID: r.ID, Name: r.Name}
	for i, c := range g.open {
		if c.ID == r.ID || r.ID == "" && c.Name == r.Name {
			out.ID = c.ID
			g.open = append(g.open[:i:i], g.open[i+1:]...)
			break
		}
	}
	if text, failed, is := unwrap(r.Response); is {
		out.Text, out.Error = text, failed
	} else {
		out.Text = string(bytes.TrimSpace(r.Response))
	}
	for i, p := range r.Parts {
		m, err := p.media(place + ".functionResponse.parts[" + strconv.Itoa(i) + "]")
		if err != nil {
			return out, err
		}
		out.Media = append(out.Media, m)
	}
	return out, nil
}

func (p generatePart) media(place string) (decouple.Media, error) {
	switch {
	case p.File != nil:
		return decouple.Media{Type: p.File.Type, URL: p.File.URI, Name: p.File.Name}, nil
	case p.Inline == nil:
		return decouple.Media{}, uncarried(place)
	}
	data, err := decodeBase64(p.Inline.Data)
	if err != nil {
		return decouple.Media{}, invalid(place+".inlineData.data", "it is not base64")
	}
	return decouple.Media{Type: p.Inline.Type, Data: data, Name: p.Inline.Name}, nil
}

func (b *generateAsked) offered(req *decouple.Request) error {
	for i, raw := range b.Tools {
		var t struct {
			Functions []struct {
				generateFunction
				Parameters json.RawMessage `json:"parameters"`
				Response   *leftOut        `json:"response"`
				Returns    *leftOut        `json:"responseJsonSchema"`
				Behavior   json.RawMessage `json:"behavior"`
			} `json:"functionDeclarations"`
		}
		if err := strict(raw, &t); err != nil {
			return decouple.Errorf(decouple.KindOf(err), "tools[%d]: %w", i, err)
		}
		for _, f := range t.Functions {
			if present(f.Behavior) && string(f.Behavior) != `"BLOCKING"` && string(f.Behavior) != `"UNSPECIFIED"` {
				return uncarried("tools[" + strconv.Itoa(i) + "].functionDeclarations.behavior")
			}
			spec := decouple.ToolSpec{Name: f.Name, Description: f.Description, Params: f.Params}
			if len(spec.Params) == 0 && present(f.Parameters) {
				spec.Params = lowerTypes(f.Parameters)
			}
			req.Tools = append(req.Tools, spec)
		}
	}
	c := b.Config.Calling
	switch {
	case c.Mode == "ANY" && len(c.Allowed) == 1:
		req.Choice = decouple.ToolChoice{Mode: "tool", Name: c.Allowed[0]}
	case len(c.Allowed) > 0:
		return uncarried("toolConfig.functionCallingConfig.allowedFunctionNames")
	case c.Mode == "VALIDATED":
		for i := range req.Tools {
			req.Tools[i].Strict = true
		}
	case c.Mode == "ANY", c.Mode == "NONE", c.Mode == "AUTO":
		req.Choice.Mode = strings.ToLower(c.Mode)
	}
	return nil
}

func (b *generateAsked) wishes(req *decouple.Request) error {
	w := b.Wishes
	switch w.Type {
	case "", "text/plain":
	case "application/json":
		req.Format = &decouple.Shape{Schema: w.JSONSchema, Strict: true}
		if len(w.JSONSchema) == 0 && present(w.Schema) {
			req.Format.Schema = lowerTypes(w.Schema)
		}
		if len(req.Format.Schema) == 0 {
			req.Format.Strict = false
		}
	default:
		return uncarried("generationConfig.responseMimeType")
	}
	t := w.Thinking
	if t == nil {
		return nil
	}
	if t.Include {
		req.Thinking.Summary = "auto"
	}
	if t.Level != "THINKING_LEVEL_UNSPECIFIED" {
		req.Thinking.Effort = strings.ToLower(t.Level)
	}
	switch {
	case t.Budget == nil:
	case *t.Budget == 0:
		req.Thinking = decouple.Thinking{Off: true}
	default:
		req.Thinking.Budget = *t.Budget
	}
	return nil
}

func base64Of(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

// camel turns the names of a request that are written with underscores, as protocol buffers permit, but not those inside of what is a tool's or a schema's.
func camel(body []byte) []byte {
	if !bytes.Contains(body, []byte(`_`)) {
		return body
	}
	c := copier{scanner: scanner{b: body}, key: camelKey, closed: []string{"args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "labels"}}
	return c.copied()
}

func camelKey(key []byte) []byte {
	var out []byte
	for i := 0; i < len(key); i++ {
		if c := key[i]; c == '_' && i > 0 && i+1 < len(key) && 'a' <= key[i+1] && key[i+1] <= 'z' {
			i++
			out = append(out, key[i]-'a'+'A')
		} else {
			out = append(out, c)
		}
	}
	return out
}

// lowerTypes makes a JSON Schema of a schema of Google's, whose types are in capitals.
func lowerTypes(schema json.RawMessage) json.RawMessage {
	c := copier{scanner: scanner{b: schema}, lower: true}
	return c.copied()
}

// copier copies JSON with small changes.
type copier struct {
	scanner
	out    []byte
	key    func([]byte) []byte
	closed []string // under these keys nothing is changed
	lower  bool     // the value of a type is made lower case
}

// copied gives the changed JSON; what is not JSON is given back.
func (c *copier) copied() []byte {
	c.value("")
	if !c.whole() {
		return c.b
	}
	return c.out
}

func (c *copier) value(key string) {
	switch c.peek() {
	case '{':
		c.out = append(c.out, '{')
		sep := ""
		for c.open('{'); c.more('}'); sep = "," {
			name := c.scanner.key()
			if c.key != nil {
				name = c.key(name)
			}
			c.out = append(appendString(append(c.out, sep...), string(name)), ':')
			c.member(string(name))
		}
		c.out = append(c.out, '}')
	case '[':
		c.out = append(c.out, '[')
		sep := ""
		for c.open('['); c.more(']'); sep = "," {
			c.out = append(c.out, sep...)
			c.value("")
		}
		c.out = append(c.out, ']')
	default:
		raw := c.raw()
		if c.lower && key == "type" {
			raw = bytes.ToLower(raw)
		}
		c.out = append(c.out, raw...)
	}
}

func (c *copier) member(name string) {
	for _, k := range c.closed {
		if k == name {
			c.out = append(c.out, c.raw()...)
			return
		}
	}
	c.value(name)
}
