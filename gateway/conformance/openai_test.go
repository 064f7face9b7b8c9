package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

// openaiClient is OpenAI's client for Go with what the gateway's callers are given, and nothing else. It does not try again, so that every answer is seen.
func (w *world) openaiClient(key string) openai.Client {
	return openai.NewClient(option.WithBaseURL(w.url+"/v1"), option.WithAPIKey(key), option.WithMaxRetries(0))
}

func (w *world) openai(t *testing.T) {
	t.Parallel()
	for _, model := range formats {
		t.Run(model+"/chat", func(t *testing.T) { w.openaiChat(t, model) })
		t.Run(model+"/stream", func(t *testing.T) { w.openaiStream(t, model) })
		t.Run(model+"/tools", func(t *testing.T) { w.openaiTools(t, model) })
		t.Run(model+"/tools streamed", func(t *testing.T) { w.openaiToolsStreamed(t, model) })
		t.Run(model+"/structured", func(t *testing.T) { w.openaiStructured(t, model) })
		t.Run(model+"/failover", func(t *testing.T) { w.openaiFailover(t, model) })
		t.Run(model+"/limited", func(t *testing.T) { w.openaiLimited(t, model) })
		t.Run(model+"/cut", func(t *testing.T) { w.openaiCut(t, model) })
	}
	t.Run("cancel", w.openaiCancel)
	t.Run("refused", w.openaiRefused)
	t.Run("embeddings", w.openaiEmbeddings)
	t.Run("models", w.openaiModels)
}

func ask(model, text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Be brief."), openai.UserMessage(text)}}
}

const greeting = "Hello from the other side of the gateway."

func (w *world) openaiChat(t *testing.T, model string) {
	t.Parallel()
	c := w.openaiClient(w.key)
	p := ask(model, "hello, openai-go asks "+model)
	p.MaxCompletionTokens, p.Temperature = openai.Int(200), openai.Float(0.5)
	got, err := c.Chat.Completions.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Choices) != 1 || got.Choices[0].Message.Content != greeting || got.Choices[0].FinishReason != "stop" || got.Object != "chat.completion" || got.ID == "" {
		t.Errorf("answered %s", got.RawJSON())
	}
	if got.Usage.PromptTokens != 11 || got.Usage.CompletionTokens != 9 || got.Usage.TotalTokens != 20 {
		t.Errorf("usage %s", got.Usage.RawJSON())
	}
	at := w.reached(t, "openai-go asks "+model)
	if len(at) != 1 || !strings.Contains(string(at[0].Body), "Be brief.") || strings.Contains(string(at[0].Body), w.key) {
		t.Errorf("reached the servers as %+v", at)
	}
}

func (w *world) openaiStream(t *testing.T, model string) {
	t.Parallel()
	c := w.openaiClient(w.key)
	p := ask(model, "hello, openai-go streams "+model)
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	s := c.Chat.Completions.NewStreaming(t.Context(), p)
	var all openai.ChatCompletionAccumulator
	deltas := 0
	for s.Next() {
		if !all.AddChunk(s.Current()) {
			t.Errorf("a chunk does not belong to the others: %s", s.Current().RawJSON())
		}
		for _, choice := range s.Current().Choices {
			if choice.Delta.Content != "" {
				deltas++
			}
		}
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	if len(all.Choices) != 1 || all.Choices[0].Message.Content != greeting || all.Choices[0].FinishReason != "stop" || deltas < 2 {
		t.Errorf("%d deltas of %+v", deltas, all.Choices)
	}
	if all.Usage.PromptTokens != 11 || all.Usage.CompletionTokens != 9 {
		t.Errorf("usage %+v", all.Usage)
	}
}

func weatherTool() openai.ChatCompletionToolUnionParam {
	return openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
		Name: "get_weather", Description: openai.String("The weather of a city."),
		Parameters: shared.FunctionParameters{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"}},
	})
}

func (w *world) openaiTools(t *testing.T, model string) {
	t.Parallel()
	c := w.openaiClient(w.key)
	p := ask(model, "What is the weather, asks openai-go of "+model+"?")
	p.Tools = []openai.ChatCompletionToolUnionParam{weatherTool()}
	first, err := c.Chat.Completions.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	calls := first.Choices[0].Message.ToolCalls
	if len(calls) != 1 || calls[0].Function.Name != "get_weather" || !sameJSON(calls[0].Function.Arguments, `{"city":"Paris"}`) || calls[0].ID == "" || first.Choices[0].FinishReason != "tool_calls" {
		t.Fatalf("answered %s", first.RawJSON())
	}
	p.Messages = append(p.Messages, first.Choices[0].Message.ToParam(), openai.ToolMessage(`{"degrees":18}`, calls[0].ID))
	second, err := c.Chat.Completions.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if got := second.Choices[0]; got.Message.Content != "It is 18 degrees in Paris." || got.FinishReason != "stop" {
		t.Errorf("answered %s", second.RawJSON())
	}
}

func (w *world) openaiToolsStreamed(t *testing.T, model string) {
	t.Parallel()
	c := w.openaiClient(w.key)
	p := ask(model, "Of both cities, asks openai-go of "+model+".")
	p.Tools = []openai.ChatCompletionToolUnionParam{weatherTool()}
	var all openai.ChatCompletionAccumulator
	for turn, want := range []string{"I look it up.", "Paris has 18 degrees and Oslo has 4."} {
		all = openai.ChatCompletionAccumulator{}
		s := c.Chat.Completions.NewStreaming(t.Context(), p)
		for s.Next() {
			all.AddChunk(s.Current())
		}
		if s.Err() != nil {
			t.Fatalf("turn %d: %v", turn, s.Err())
		}
		m := all.Choices[0].Message
		if m.Content != want {
			t.Fatalf("turn %d: %+v", turn, all.Choices)
		}
		if turn == 1 {
			break
		}
		if len(m.ToolCalls) != 2 || all.Choices[0].FinishReason != "tool_calls" || m.ToolCalls[0].ID == m.ToolCalls[1].ID ||
			!sameJSON(m.ToolCalls[0].Function.Arguments, `{"city":"Paris"}`) || !sameJSON(m.ToolCalls[1].Function.Arguments, `{"city":"Oslo"}`) {
			t.Fatalf("called %+v, %s", m.ToolCalls, all.Choices[0].FinishReason)
		}
		p.Messages = append(p.Messages, m.ToParam(), openai.ToolMessage("18", m.ToolCalls[0].ID), openai.ToolMessage("4", m.ToolCalls[1].ID))
	}
}

func (w *world) openaiStructured(t *testing.T, model string) {
	t.Parallel()
	c := w.openaiClient(w.key)
	p := ask(model, "A recipe, asks openai-go of "+model)
	p.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "recipe", Strict: openai.Bool(true), Schema: recipeSchema()}}
	got, err := c.Chat.Completions.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if !sameJSON(got.Choices[0].Message.Content, `{"dish":"soup","minutes":20}`) {
		t.Errorf("answered %s", got.RawJSON())
	}
}

func recipeSchema() map[string]any {
	return map[string]any{
		"type": "object", "required": []string{"dish", "minutes"}, "additionalProperties": false,
		"properties": map[string]any{"dish": map[string]any{"type": "string"}, "minutes": map[string]any{"type": "integer"}},
	}
}

// openaiFailover asks an alias whose first endpoint limits the rate: the caller sees nothing of it.
func (w *world) openaiFailover(t *testing.T, model string) {
	t.Parallel()
	c := w.openaiClient(w.key)
	got, err := c.Chat.Completions.New(t.Context(), ask("safe-"+model, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Choices[0].Message.Content != greeting {
		t.Errorf("answered %s", got.RawJSON())
	}
}

// openaiLimited asks where nothing else is available: the limit comes back as OpenAI's own.
func (w *world) openaiLimited(t *testing.T, model string) {
	t.Parallel()
	c := w.openaiClient(w.key)
	_, err := c.Chat.Completions.New(t.Context(), ask("limited-"+model, "hello"))
	var refused *openai.Error
	if !errors.As(err, &refused) || refused.StatusCode != 429 || refused.Type == "" || refused.Message == "" || refused.Response.Header.Get("Retry-After") == "" {
		t.Errorf("%v", err)
	}
}

// openaiCut has the server go away in the middle of an answer: what has come stays, and the client is told.
func (w *world) openaiCut(t *testing.T, model string) {
	t.Parallel()
	c := w.openaiClient(w.key)
	s := c.Chat.Completions.NewStreaming(t.Context(), ask("cutting-openai-"+model, "go on"))
	text := ""
	for s.Next() {
		for _, choice := range s.Current().Choices {
			text += choice.Delta.Content
			if choice.FinishReason != "" {
				t.Errorf("half an answer has ended with %s", choice.FinishReason)
			}
		}
	}
	if !strings.HasPrefix(text, "This ans") || strings.Contains(text, "middle") || s.Err() == nil {
		t.Errorf("%q, %v", text, s.Err())
	}
}

// openaiCancel hangs up in the middle of a stream: so does the gateway.
func (w *world) openaiCancel(t *testing.T) {
	t.Parallel()
	c := w.openaiClient(w.key)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := c.Chat.Completions.NewStreaming(ctx, ask("chat", "count, openai-go will hang up"))
	for s.Next() {
		if len(s.Current().Choices) > 0 && s.Current().Choices[0].Delta.Content != "" {
			break
		}
	}
	cancel()
	for s.Next() {
	}
	if !errors.Is(s.Err(), context.Canceled) {
		t.Errorf("%v", s.Err())
	}
	w.hungUp(t, "openai-go will hang up")
}

func (w *world) openaiRefused(t *testing.T) {
	t.Parallel()
	good, bad := w.openaiClient(w.key), w.openaiClient("dck_nobody_nothing")
	var refused *openai.Error
	_, err := good.Chat.Completions.New(t.Context(), ask("no-such-model", "hello"))
	if !errors.As(err, &refused) || refused.StatusCode != 404 || refused.Code != "model_not_found" || !strings.Contains(refused.Message, "no-such-model") {
		t.Errorf("an unknown model: %v", err)
	}
	if _, err = bad.Chat.Completions.New(t.Context(), ask("chat", "hello")); !errors.As(err, &refused) || refused.StatusCode != 401 || refused.Code != "invalid_api_key" {
		t.Errorf("an unknown key: %v", err)
	}
	s := bad.Chat.Completions.NewStreaming(t.Context(), ask("chat", "hello"))
	if s.Next() || !errors.As(s.Err(), &refused) || refused.StatusCode != 401 {
		t.Errorf("an unknown key, streamed: %v", s.Err())
	}
}

func (w *world) openaiEmbeddings(t *testing.T) {
	t.Parallel()
	c := w.openaiClient(w.key)
	got, err := c.Embeddings.New(t.Context(), openai.EmbeddingNewParams{Model: "text-embedding-3-small", Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a vector", "another vector"}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Data) != 2 || !slices.Equal(got.Data[0].Embedding, []float64{0.25, -0.5, 0.75, 1}) || got.Data[1].Index != 1 {
		t.Errorf("%s", got.RawJSON())
	}
}

func (w *world) openaiModels(t *testing.T) {
	t.Parallel()
	c := w.openaiClient(w.key)
	var names []string
	for pages := c.Models.ListAutoPaging(t.Context()); pages.Next(); {
		names = append(names, pages.Current().ID)
	}
	if !slices.Contains(names, "chat") || !slices.Contains(names, "safe-gemini") {
		t.Errorf("listed %v", names)
	}
	one, err := c.Models.Get(t.Context(), "chat")
	if err != nil || one.ID != "chat" || one.Object != "model" {
		t.Errorf("%+v, %v", one, err)
	}
}

// sameJSON says whether two texts are the same JSON.
func sameJSON(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	one, err := json.Marshal(x)
	two, err2 := json.Marshal(y)
	return err == nil && err2 == nil && string(one) == string(two)
}
