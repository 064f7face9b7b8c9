package conformance

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

// anthropicClient is Anthropic's client for Go with what the gateway's callers are given, and nothing else.
func (w *world) anthropicClient(key string) anthropic.Client {
	return anthropic.NewClient(option.WithBaseURL(w.url), option.WithAPIKey(key), option.WithMaxRetries(0))
}

func (w *world) anthropic(t *testing.T) {
	t.Parallel()
	for _, model := range formats {
		t.Run(model+"/chat", func(t *testing.T) { w.anthropicChat(t, model) })
		t.Run(model+"/stream", func(t *testing.T) { w.anthropicStream(t, model) })
		t.Run(model+"/tools", func(t *testing.T) { w.anthropicTools(t, model) })
		t.Run(model+"/tools streamed", func(t *testing.T) { w.anthropicToolsStreamed(t, model) })
		t.Run(model+"/structured", func(t *testing.T) { w.anthropicStructured(t, model) })
		t.Run(model+"/failover", func(t *testing.T) { w.anthropicFailover(t, model) })
		t.Run(model+"/limited", func(t *testing.T) { w.anthropicLimited(t, model) })
		t.Run(model+"/cut", func(t *testing.T) { w.anthropicCut(t, model) })
	}
	t.Run("thinking", w.anthropicThinking)
	t.Run("cancel", w.anthropicCancel)
	t.Run("refused", w.anthropicRefused)
	t.Run("count", w.anthropicCount)
	t.Run("models", w.anthropicModels)
}

func message(model, text string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model: anthropic.Model(model), MaxTokens: 2000, System: []anthropic.TextBlockParam{{Text: "Be brief."}},
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(text))},
	}
}

// said is the text of an answer.
func said(m *anthropic.Message) string {
	text := ""
	for _, b := range m.Content {
		text += b.Text
	}
	return text
}

func (w *world) anthropicChat(t *testing.T, model string) {
	t.Parallel()
	c := w.anthropicClient(w.key)
	got, err := c.Messages.New(t.Context(), message(model, "hello, anthropic-sdk-go asks "+model))
	if err != nil {
		t.Fatal(err)
	}
	if said(got) != greeting || got.StopReason != anthropic.StopReasonEndTurn || got.Role != "assistant" || got.ID == "" || got.Usage.InputTokens != 11 || got.Usage.OutputTokens != 9 {
		t.Errorf("answered %s", got.RawJSON())
	}
	if at := w.reached(t, "anthropic-sdk-go asks "+model); len(at) != 1 || !strings.Contains(string(at[0].Body), "Be brief.") {
		t.Errorf("reached the servers as %+v", at)
	}
}

// gathered reads a stream to its end, as the SDK puts it together.
func (w *world) gathered(t *testing.T, p anthropic.MessageNewParams) (*anthropic.Message, error) {
	t.Helper()
	c := w.anthropicClient(w.key)
	s := c.Messages.NewStreaming(t.Context(), p)
	var all anthropic.Message
	for s.Next() {
		if err := all.Accumulate(s.Current()); err != nil {
			t.Errorf("an event does not belong to the others: %v: %s", err, s.Current().RawJSON())
		}
	}
	return &all, s.Err()
}

func (w *world) anthropicStream(t *testing.T, model string) {
	t.Parallel()
	got, err := w.gathered(t, message(model, "hello, anthropic-sdk-go streams "+model))
	if err != nil {
		t.Fatal(err)
	}
	if said(got) != greeting || got.StopReason != anthropic.StopReasonEndTurn || got.ID == "" || got.Usage.InputTokens != 11 || got.Usage.OutputTokens != 9 {
		t.Errorf("answered %+v, %+v", got.Content, got.Usage)
	}
}

func weatherBlock() []anthropic.ToolUnionParam {
	tool := anthropic.ToolUnionParamOfTool(anthropic.ToolInputSchemaParam{Properties: map[string]any{"city": map[string]any{"type": "string"}}, Required: []string{"city"}}, "get_weather")
	tool.OfTool.Description = anthropic.String("The weather of a city.")
	return []anthropic.ToolUnionParam{tool}
}

func (w *world) anthropicTools(t *testing.T, model string) {
	t.Parallel()
	c := w.anthropicClient(w.key)
	p := message(model, "What is the weather, asks anthropic-sdk-go of "+model+"?")
	p.Tools = weatherBlock()
	first, err := c.Messages.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	call := first.Content[len(first.Content)-1] // behind a thought, of models that think
	if call.Name != "get_weather" || !sameJSON(string(call.Input), `{"city":"Paris"}`) || first.StopReason != anthropic.StopReasonToolUse {
		t.Fatalf("answered %s", first.RawJSON())
	}
	p.Messages = append(p.Messages, first.ToParam(), anthropic.NewUserMessage(anthropic.NewToolResultBlock(call.ID, `{"degrees":18}`, false)))
	second, err := c.Messages.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if said(second) != "It is 18 degrees in Paris." || second.StopReason != anthropic.StopReasonEndTurn {
		t.Errorf("answered %s", second.RawJSON())
	}
}

func (w *world) anthropicToolsStreamed(t *testing.T, model string) {
	t.Parallel()
	p := message(model, "Of both cities, asks anthropic-sdk-go of "+model+".")
	p.Tools = weatherBlock()
	first, err := w.gathered(t, p)
	if err != nil {
		t.Fatal(err)
	}
	var calls []anthropic.ContentBlockParamUnion
	var args []string
	for _, b := range first.Content {
		if b.Type == "tool_use" {
			calls, args = append(calls, anthropic.NewToolResultBlock(b.ID, "18", false)), append(args, string(b.Input))
		}
	}
	if said(first) != "I look it up." || len(calls) != 2 || !sameJSON(args[0], `{"city":"Paris"}`) || !sameJSON(args[1], `{"city":"Oslo"}`) || first.StopReason != anthropic.StopReasonToolUse {
		t.Fatalf("answered %+v", first.Content)
	}
	p.Messages = append(p.Messages, first.ToParam(), anthropic.NewUserMessage(calls...))
	second, err := w.gathered(t, p)
	if err != nil || said(second) != "Paris has 18 degrees and Oslo has 4." {
		t.Errorf("answered %+v, %v", second.Content, err)
	}
}

func (w *world) anthropicStructured(t *testing.T, model string) {
	t.Parallel()
	c := w.anthropicClient(w.key)
	p := message(model, "A recipe, asks anthropic-sdk-go of "+model)
	p.OutputConfig = anthropic.OutputConfigParam{Format: anthropic.JSONOutputFormatParam{Schema: recipeSchema()}}
	got, err := c.Messages.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if !sameJSON(said(got), `{"dish":"soup","minutes":20}`) {
		t.Errorf("answered %s", got.RawJSON())
	}
}

func (w *world) anthropicFailover(t *testing.T, model string) {
	t.Parallel()
	got, err := w.gathered(t, message("safe-"+model, "hello"))
	if err != nil || said(got) != greeting {
		t.Errorf("answered %+v, %v", got.Content, err)
	}
}

func (w *world) anthropicLimited(t *testing.T, model string) {
	t.Parallel()
	c := w.anthropicClient(w.key)
	_, err := c.Messages.New(t.Context(), message("limited-"+model, "hello"))
	var refused *anthropic.Error
	if !errors.As(err, &refused) || refused.StatusCode != 429 || refused.Type() != anthropic.ErrorTypeRateLimitError || refused.Response.Header.Get("Retry-After") == "" {
		t.Errorf("%v", err)
	}
}

func (w *world) anthropicCut(t *testing.T, model string) {
	t.Parallel()
	got, err := w.gathered(t, message("cutting-anthropic-"+model, "go on"))
	if text := said(got); !strings.HasPrefix(text, "This ans") || strings.Contains(text, "middle") || err == nil || got.StopReason != "" {
		t.Errorf("%q, %s, %v", text, got.StopReason, err)
	}
}

// anthropicThinking asks for thoughts: they come as blocks of their own, with the signature that a next turn needs.
func (w *world) anthropicThinking(t *testing.T) {
	t.Parallel()
	p := message("messages", "think, anthropic-sdk-go asks")
	p.Thinking = anthropic.ThinkingConfigParamOfEnabled(1024)
	got, err := w.gathered(t, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Content) != 2 || got.Content[0].Thinking != "First I weigh both sides." || got.Content[0].Signature == "" || said(got) != "Forty-two." {
		t.Errorf("answered %+v", got.Content)
	}
	p.Messages = append(p.Messages, got.ToParam(), anthropic.NewUserMessage(anthropic.NewTextBlock("think again, anthropic-sdk-go asks")))
	if again, err := w.gathered(t, p); err != nil || said(again) != "Forty-two." {
		t.Errorf("answered %+v, %v", again.Content, err)
	}
}

func (w *world) anthropicCancel(t *testing.T) {
	t.Parallel()
	c := w.anthropicClient(w.key)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := c.Messages.NewStreaming(ctx, message("messages", "count, anthropic-sdk-go will hang up"))
	for s.Next() && s.Current().Delta.Text == "" {
	}
	cancel()
	for s.Next() {
	}
	if !errors.Is(s.Err(), context.Canceled) {
		t.Errorf("%v", s.Err())
	}
	w.hungUp(t, "anthropic-sdk-go will hang up")
}

func (w *world) anthropicRefused(t *testing.T) {
	t.Parallel()
	good, bad := w.anthropicClient(w.key), w.anthropicClient("dck_nobody_nothing")
	var refused *anthropic.Error
	_, err := good.Messages.New(t.Context(), message("no-such-model", "hello"))
	if !errors.As(err, &refused) || refused.StatusCode != 404 || refused.Type() != anthropic.ErrorTypeNotFoundError || !strings.Contains(refused.RawJSON(), "no-such-model") {
		t.Errorf("an unknown model: %v", err)
	}
	if _, err = bad.Messages.New(t.Context(), message("messages", "hello")); !errors.As(err, &refused) || refused.StatusCode != 401 || refused.Type() != anthropic.ErrorTypeAuthenticationError {
		t.Errorf("an unknown key: %v", err)
	}
}

func (w *world) anthropicCount(t *testing.T) {
	t.Parallel()
	c := w.anthropicClient(w.key)
	got, err := c.Messages.CountTokens(t.Context(), anthropic.MessageCountTokensParams{Model: "chat", Messages: message("", strings.Repeat("A word. ", 200)).Messages})
	if err != nil || got.InputTokens < 100 || got.InputTokens > 2000 {
		t.Errorf("%+v, %v", got, err)
	}
}

func (w *world) anthropicModels(t *testing.T) {
	t.Parallel()
	c := w.anthropicClient(w.key)
	seen := map[string]bool{}
	for pages := c.Models.ListAutoPaging(t.Context(), anthropic.ModelListParams{}); pages.Next(); {
		seen[pages.Current().ID] = true
	}
	if !seen["messages"] || !seen["safe-chat"] {
		t.Errorf("listed %v", seen)
	}
	if one, err := c.Models.Get(t.Context(), "messages", anthropic.ModelGetParams{}); err != nil || one.ID != "messages" {
		t.Errorf("%+v, %v", one, err)
	}
}
