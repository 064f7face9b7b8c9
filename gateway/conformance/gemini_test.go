package conformance

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/genai"
)

// geminiClient is Google's client for Go with what the gateway's callers are given, and nothing else.
func (w *world) geminiClient(t *testing.T, key string) *genai.Client {
	t.Helper()
	c, err := genai.NewClient(t.Context(), &genai.ClientConfig{APIKey: key, Backend: genai.BackendGeminiAPI, HTTPOptions: genai.HTTPOptions{BaseURL: w.url}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *world) gemini(t *testing.T) {
	t.Parallel()
	for _, model := range formats {
		t.Run(model+"/chat", func(t *testing.T) { w.geminiChat(t, model) })
		t.Run(model+"/tools", func(t *testing.T) { w.geminiTools(t, model) })
		t.Run(model+"/structured", func(t *testing.T) { w.geminiStructured(t, model) })
		t.Run(model+"/limited", func(t *testing.T) { w.geminiLimited(t, model) })
		t.Run(model+"/cut", func(t *testing.T) { w.geminiCut(t, model) })
	}
	t.Run("cancel", w.geminiCancel)
	t.Run("refused", w.geminiRefused)
	t.Run("count", w.geminiCount)
	t.Run("models", w.geminiModels)
}

func brief() *genai.GenerateContentConfig {
	return &genai.GenerateContentConfig{SystemInstruction: genai.NewContentFromText("Be brief.", genai.RoleUser), MaxOutputTokens: 2000}
}

// streamed reads a stream to its end, and gives the parts of the model's turn and the last piece.
func streamed(ctx context.Context, c *genai.Client, model string, contents []*genai.Content, config *genai.GenerateContentConfig) (parts []*genai.Part, last *genai.GenerateContentResponse, err error) {
	for piece, err := range c.Models.GenerateContentStream(ctx, model, contents, config) {
		if err != nil {
			return parts, last, err
		}
		if last = piece; len(piece.Candidates) > 0 && piece.Candidates[0].Content != nil {
			parts = append(parts, piece.Candidates[0].Content.Parts...)
		}
	}
	return parts, last, nil
}

// texts joins the texts of parts, thoughts left out.
func texts(parts []*genai.Part) string {
	text := ""
	for _, p := range parts {
		if !p.Thought {
			text += p.Text
		}
	}
	return text
}

func (w *world) geminiChat(t *testing.T, model string) {
	t.Parallel()
	c := w.geminiClient(t, w.key)
	got, err := c.Models.GenerateContent(t.Context(), model, genai.Text("hello, genai asks "+model), brief())
	if err != nil {
		t.Fatal(err)
	}
	if got.Text() != greeting || got.Candidates[0].FinishReason != genai.FinishReasonStop || got.UsageMetadata.PromptTokenCount != 11 || got.UsageMetadata.CandidatesTokenCount != 9 {
		t.Errorf("answered %+v, %+v", got.Candidates[0], got.UsageMetadata)
	}
	if at := w.reached(t, "genai asks "+model); len(at) != 1 || !strings.Contains(string(at[0].Body), "Be brief.") {
		t.Errorf("reached the servers as %+v", at)
	}
	parts, last, err := streamed(t.Context(), c, model, genai.Text("hello"), brief())
	if err != nil || texts(parts) != greeting || last.Candidates[0].FinishReason != genai.FinishReasonStop || last.UsageMetadata.CandidatesTokenCount != 9 {
		t.Errorf("streamed %q, %+v, %v", texts(parts), last, err)
	}
}

func (w *world) geminiTools(t *testing.T, model string) {
	t.Parallel()
	c := w.geminiClient(t, w.key)
	config := brief()
	config.Tools = []*genai.Tool{{FunctionDeclarations: []*genai.FunctionDeclaration{{
		Name: "get_weather", Description: "The weather of a city.",
		Parameters: &genai.Schema{Type: genai.TypeObject, Properties: map[string]*genai.Schema{"city": {Type: genai.TypeString}}, Required: []string{"city"}},
	}}}}
	contents := genai.Text("Of both cities, asks genai of " + model)
	parts, _, err := streamed(t.Context(), c, model, contents, config)
	if err != nil {
		t.Fatal(err)
	}
	var cities []any
	answers := &genai.Content{Role: genai.RoleUser}
	for _, p := range parts {
		if call := p.FunctionCall; call != nil {
			cities = append(cities, call.Args["city"])
			answers.Parts = append(answers.Parts, &genai.Part{FunctionResponse: &genai.FunctionResponse{ID: call.ID, Name: call.Name, Response: map[string]any{"degrees": 18}}})
		}
	}
	if len(cities) != 2 || cities[0] != "Paris" || cities[1] != "Oslo" || texts(parts) != "I look it up." {
		t.Fatalf("called for %v, and said %q", cities, texts(parts))
	}
	contents = append(contents, &genai.Content{Role: genai.RoleModel, Parts: parts}, answers)
	got, err := c.Models.GenerateContent(t.Context(), model, contents, config)
	if err != nil {
		t.Fatal(err)
	}
	if got.Text() != "Paris has 18 degrees and Oslo has 4." {
		t.Errorf("answered %q", got.Text())
	}
}

func (w *world) geminiStructured(t *testing.T, model string) {
	t.Parallel()
	c := w.geminiClient(t, w.key)
	config := brief()
	config.ResponseMIMEType, config.ResponseJsonSchema = "application/json", recipeSchema()
	got, err := c.Models.GenerateContent(t.Context(), model, genai.Text("A recipe, asks genai of "+model), config)
	if err != nil {
		t.Fatal(err)
	}
	if !sameJSON(got.Text(), `{"dish":"soup","minutes":20}`) {
		t.Errorf("answered %q", got.Text())
	}
}

func (w *world) geminiLimited(t *testing.T, model string) {
	t.Parallel()
	c := w.geminiClient(t, w.key)
	_, err := c.Models.GenerateContent(t.Context(), "limited-"+model, genai.Text("hello"), nil)
	var refused genai.APIError
	if !errors.As(err, &refused) || refused.Code != 429 || refused.Status != "RESOURCE_EXHAUSTED" {
		t.Errorf("%v", err)
	}
	if got, err := c.Models.GenerateContent(t.Context(), "safe-"+model, genai.Text("hello"), nil); err != nil || got.Text() != greeting {
		t.Errorf("where another endpoint is: %v", err)
	}
}

func (w *world) geminiCut(t *testing.T, model string) {
	t.Parallel()
	parts, last, err := streamed(t.Context(), w.geminiClient(t, w.key), "cutting-gemini-"+model, genai.Text("go on"), nil)
	if text := texts(parts); !strings.HasPrefix(text, "This ans") || strings.Contains(text, "middle") || err == nil || last.Candidates[0].FinishReason != "" {
		t.Errorf("%q, %v", text, err)
	}
}

// geminiCancel hangs up in the middle of a stream of a provider that bills what nobody reads, and of one that does not.
func (w *world) geminiCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for piece, err := range w.geminiClient(t, w.key).Models.GenerateContentStream(ctx, "messages", genai.Text("count, genai will hang up"), nil) {
		if err != nil {
			break
		}
		if piece.Text() != "" {
			cancel()
		}
	}
	w.hungUp(t, "genai will hang up")
}

func (w *world) geminiRefused(t *testing.T) {
	t.Parallel()
	var refused genai.APIError
	_, err := w.geminiClient(t, w.key).Models.GenerateContent(t.Context(), "no-such-model", genai.Text("hello"), nil)
	if !errors.As(err, &refused) || refused.Code != 404 || refused.Status != "NOT_FOUND" || !strings.Contains(refused.Message, "no-such-model") {
		t.Errorf("an unknown model: %v", err)
	}
	_, err = w.geminiClient(t, "dck_nobody_nothing").Models.GenerateContent(t.Context(), "gemini", genai.Text("hello"), nil)
	if !errors.As(err, &refused) || refused.Code != 401 && refused.Code != 400 {
		t.Errorf("an unknown key: %v", err)
	}
}

func (w *world) geminiCount(t *testing.T) {
	t.Parallel()
	got, err := w.geminiClient(t, w.key).Models.CountTokens(t.Context(), "chat", genai.Text(strings.Repeat("A word. ", 200)), nil)
	if err != nil || got.TotalTokens < 100 || got.TotalTokens > 2000 {
		t.Errorf("%+v, %v", got, err)
	}
}

func (w *world) geminiModels(t *testing.T) {
	t.Parallel()
	c := w.geminiClient(t, w.key)
	seen := map[string]bool{}
	for m, err := range c.Models.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		seen[m.Name] = true
	}
	if !seen["models/gemini"] || !seen["models/safe-chat"] {
		t.Errorf("listed %v", seen)
	}
	if one, err := c.Models.Get(t.Context(), "gemini", nil); err != nil || one.Name != "models/gemini" {
		t.Errorf("%+v, %v", one, err)
	}
}
