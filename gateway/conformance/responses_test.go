package conformance

import (
	"errors"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"
)

func (w *world) responses(t *testing.T) {
	t.Parallel()
	for _, model := range formats {
		t.Run(model+"/kept", func(t *testing.T) { w.responsesKept(t, model) })
		t.Run(model+"/tools", func(t *testing.T) { w.responsesTools(t, model) })
		t.Run(model+"/background", func(t *testing.T) { w.responsesBackground(t, model) })
	}
	t.Run("canceled", w.responsesCanceled)
}

func asked(model, text string) responses.ResponseNewParams {
	return responses.ResponseNewParams{Model: model, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(text)}}
}

// responsesKept makes a response, asks for it again and for what it was asked, goes on from it, and deletes it.
func (w *world) responsesKept(t *testing.T, model string) {
	t.Parallel()
	c := w.openaiClient(w.key)
	first, err := c.Responses.New(t.Context(), asked(model, "hello, I am Ada, and openai-go keeps "+model))
	if err != nil {
		t.Fatal(err)
	}
	if first.OutputText() != greeting || first.Status != responses.ResponseStatusCompleted || first.Usage.InputTokens != 11 || first.Usage.OutputTokens != 9 {
		t.Errorf("answered %s", first.RawJSON())
	}
	if again, err := c.Responses.Get(t.Context(), first.ID, responses.ResponseGetParams{}); err != nil || again.OutputText() != greeting {
		t.Errorf("asked for again: %v, %v", again, err)
	}
	p := asked(model, "What is my name?")
	p.PreviousResponseID = openai.String(first.ID)
	if second, err := c.Responses.New(t.Context(), p); err != nil || second.OutputText() != "Your name is Ada." {
		t.Errorf("gone on from: %v", err)
	}
	items := 0
	for pages := c.Responses.InputItems.ListAutoPaging(t.Context(), first.ID, responses.InputItemListParams{}); pages.Next(); items++ {
	}
	if items != 1 {
		t.Errorf("it was asked %d items", items)
	}
	var refused *openai.Error
	if err := c.Responses.Delete(t.Context(), first.ID); err != nil {
		t.Error(err)
	}
	if _, err := c.Responses.Get(t.Context(), first.ID, responses.ResponseGetParams{}); !errors.As(err, &refused) || refused.StatusCode != 404 {
		t.Errorf("deleted: %v", err)
	}
}

func (w *world) responsesTools(t *testing.T, model string) {
	t.Parallel()
	c := w.openaiClient(w.key)
	p := asked(model, "Of both cities, asks openai-go of "+model)
	p.Tools = []responses.ToolUnionParam{{OfFunction: &responses.FunctionToolParam{
		Name: "get_weather", Strict: openai.Bool(false),
		Parameters: map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"}},
	}}}
	s := c.Responses.NewStreaming(t.Context(), p)
	var first responses.Response
	text := ""
	for s.Next() {
		switch e := s.Current(); e.Type {
		case "response.output_text.delta":
			text += e.Delta
		case "response.completed":
			first = e.Response
		}
	}
	if s.Err() != nil || text != "I look it up." {
		t.Fatalf("said %q, %v", text, s.Err())
	}
	var results responses.ResponseInputParam
	for _, item := range first.Output {
		if item.Type == "function_call" {
			results = append(results, responses.ResponseInputItemParamOfFunctionCallOutput(item.CallID, "18"))
		}
	}
	p.PreviousResponseID, p.Input = openai.String(first.ID), responses.ResponseNewParamsInputUnion{OfInputItemList: results}
	second, err := c.Responses.New(t.Context(), p)
	if err != nil || len(results) != 2 || second.OutputText() != "Paris has 18 degrees and Oslo has 4." {
		t.Errorf("%d calls, %v", len(results), err)
	}
}

func (w *world) responsesBackground(t *testing.T, model string) {
	t.Parallel()
	c := w.openaiClient(w.key)
	p := asked(model, "hello")
	p.Background = openai.Bool(true)
	got, err := c.Responses.New(t.Context(), p)
	if err != nil || got.Status != responses.ResponseStatusQueued && got.Status != responses.ResponseStatusInProgress {
		t.Fatalf("%v, %v", got, err)
	}
	id := got.ID
	if !await(t.Context(), func() bool {
		got, err = c.Responses.Get(t.Context(), id, responses.ResponseGetParams{})
		return err != nil || got.Status != responses.ResponseStatusQueued && got.Status != responses.ResponseStatusInProgress
	}) || err != nil || got.OutputText() != greeting || got.ID != id {
		t.Errorf("it never came: %+v, %v", got, err)
	}
}

// responsesCanceled ends a response in the background: the server is hung up on.
func (w *world) responsesCanceled(t *testing.T) {
	t.Parallel()
	c := w.openaiClient(w.key)
	p := asked("chat", "take your time, openai-go will cancel")
	p.Background = openai.Bool(true)
	got, err := c.Responses.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	ended, err := c.Responses.Cancel(t.Context(), got.ID)
	if err != nil || ended.Status != responses.ResponseStatusCancelled {
		t.Errorf("%v, %v", ended, err)
	}
	if again, err := c.Responses.Get(t.Context(), got.ID, responses.ResponseGetParams{}); err != nil || again.Status != responses.ResponseStatusCancelled {
		t.Errorf("%v, %v", again, err)
	}
}
