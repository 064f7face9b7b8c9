package conformance

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/auth/bearer"
)

// awsWorld is the world for AWS's client, which speaks TLS.
type awsWorld struct {
	*world
	http *http.Client
}

// bedrockClient is AWS's client for Go with what the gateway's callers are given, and nothing else.
func (w awsWorld) bedrockClient(key string) *bedrockruntime.Client {
	return bedrockruntime.New(bedrockruntime.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(w.url), AuthSchemePreference: []string{"httpBearerAuth"}, Retryer: aws.NopRetryer{}, HTTPClient: w.http,
		BearerAuthTokenProvider: bearer.StaticTokenProvider{Token: bearer.Token{Value: key}},
	})
}

func (w *world) bedrock(t *testing.T) {
	t.Parallel()
	other, trusted := w.secure(t)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: trusted}
	t.Cleanup(transport.CloseIdleConnections)
	awsWorld{other, &http.Client{Transport: transport}}.all(t)
}

func (w awsWorld) all(t *testing.T) {
	for _, model := range formats {
		t.Run(model+"/chat", func(t *testing.T) { w.bedrockChat(t, model) })
		t.Run(model+"/tools", func(t *testing.T) { w.bedrockTools(t, model) })
		t.Run(model+"/limited", func(t *testing.T) { w.bedrockLimited(t, model) })
		t.Run(model+"/cut", func(t *testing.T) { w.bedrockCut(t, model) })
	}
	t.Run("cancel", w.bedrockCancel)
	t.Run("refused", w.bedrockRefused)
}

// spoken is a turn of a conversation.
func spoken(role types.ConversationRole, blocks ...types.ContentBlock) types.Message {
	return types.Message{Role: role, Content: blocks}
}

func spokenText(text string) []types.Message {
	return []types.Message{spoken(types.ConversationRoleUser, &types.ContentBlockMemberText{Value: text})}
}

var beBrief = []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: "Be brief."}}

func (w awsWorld) bedrockChat(t *testing.T, model string) {
	t.Parallel()
	c := w.bedrockClient(w.key)
	got, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: &model, System: beBrief, Messages: spokenText("hello, bedrockruntime asks " + model)})
	if err != nil {
		t.Fatal(err)
	}
	if text := outputText(got.Output); text != greeting || got.StopReason != types.StopReasonEndTurn || *got.Usage.InputTokens != 11 || *got.Usage.OutputTokens != 9 {
		t.Errorf("answered %q, %s, %+v", text, got.StopReason, got.Usage)
	}
	if at := w.reached(t, "bedrockruntime asks "+model); len(at) != 1 || !strings.Contains(string(at[0].Body), "Be brief.") {
		t.Errorf("reached the servers as %+v", at)
	}
	turn, err := w.converse(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: &model, System: beBrief, Messages: spokenText("hello")}, nil)
	if err != nil || turn.text != greeting || turn.stop != types.StopReasonEndTurn || turn.usage == nil || *turn.usage.OutputTokens != 9 {
		t.Errorf("streamed %+v, %v", turn, err)
	}
}

// outputText is the text of an answer, thoughts left out.
func outputText(out types.ConverseOutput) string {
	text := ""
	if m, ok := out.(*types.ConverseOutputMemberMessage); ok {
		for _, b := range m.Value.Content {
			if b, ok := b.(*types.ContentBlockMemberText); ok {
				text += b.Value
			}
		}
	}
	return text
}

// turn is a streamed answer, put together.
type turn struct {
	text  string
	calls []called
	stop  types.StopReason
	usage *types.TokenUsage
}

// called is a use of a tool.
type called struct{ id, name, input string }

// converse reads a stream to its end.
func (w awsWorld) converse(ctx context.Context, in *bedrockruntime.ConverseStreamInput, each func(*turn)) (turn, error) {
	var got turn
	out, err := w.bedrockClient(w.key).ConverseStream(ctx, in)
	if err != nil {
		return got, err
	}
	s := out.GetStream()
	defer func() { _ = s.Close() }()
	for e := range s.Events() {
		switch e := e.(type) {
		case *types.ConverseStreamOutputMemberContentBlockStart:
			if use, ok := e.Value.Start.(*types.ContentBlockStartMemberToolUse); ok {
				got.calls = append(got.calls, called{id: *use.Value.ToolUseId, name: *use.Value.Name})
			}
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			switch d := e.Value.Delta.(type) {
			case *types.ContentBlockDeltaMemberText:
				got.text += d.Value
			case *types.ContentBlockDeltaMemberToolUse:
				got.calls[len(got.calls)-1].input += *d.Value.Input
			}
		case *types.ConverseStreamOutputMemberMessageStop:
			got.stop = e.Value.StopReason
		case *types.ConverseStreamOutputMemberMetadata:
			got.usage = e.Value.Usage
		}
		if each != nil {
			each(&got)
		}
	}
	return got, s.Err()
}

func (w awsWorld) bedrockTools(t *testing.T, model string) {
	t.Parallel()
	tools := &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{
		Name: aws.String("get_weather"), Description: aws.String("The weather of a city."),
		InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(map[string]any{
			"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"},
		})},
	}}}}
	messages := spokenText("Of both cities, asks bedrockruntime of " + model)
	first, err := w.converse(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: &model, Messages: messages, ToolConfig: tools}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if first.text != "I look it up." || first.stop != types.StopReasonToolUse || len(first.calls) != 2 || !sameJSON(first.calls[0].input, `{"city":"Paris"}`) || !sameJSON(first.calls[1].input, `{"city":"Oslo"}`) {
		t.Fatalf("answered %+v", first)
	}
	used, results := []types.ContentBlock{&types.ContentBlockMemberText{Value: first.text}}, []types.ContentBlock{}
	for _, c := range first.calls {
		var input map[string]any
		if err := json.Unmarshal([]byte(c.input), &input); err != nil {
			t.Fatal(err)
		}
		used = append(used, &types.ContentBlockMemberToolUse{Value: types.ToolUseBlock{ToolUseId: &c.id, Name: &c.name, Input: document.NewLazyDocument(input)}})
		results = append(results, &types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{ToolUseId: &c.id, Content: []types.ToolResultContentBlock{&types.ToolResultContentBlockMemberText{Value: "18"}}}})
	}
	messages = append(messages, spoken(types.ConversationRoleAssistant, used...), spoken(types.ConversationRoleUser, results...))
	second, err := w.bedrockClient(w.key).Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: &model, Messages: messages, ToolConfig: tools})
	if err != nil {
		t.Fatal(err)
	}
	if text := outputText(second.Output); text != "Paris has 18 degrees and Oslo has 4." {
		t.Errorf("answered %q", text)
	}
}

func (w awsWorld) bedrockLimited(t *testing.T, model string) {
	t.Parallel()
	c := w.bedrockClient(w.key)
	_, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String("limited-" + model), Messages: spokenText("hello")})
	var limited *types.ThrottlingException
	if !errors.As(err, &limited) {
		t.Errorf("%v", err)
	}
	got, err := w.converse(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: aws.String("safe-" + model), Messages: spokenText("hello")}, nil)
	if err != nil || got.text != greeting {
		t.Errorf("where another endpoint is: %+v, %v", got, err)
	}
}

func (w awsWorld) bedrockCut(t *testing.T, model string) {
	t.Parallel()
	got, err := w.converse(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: aws.String("cutting-bedrock-" + model), Messages: spokenText("go on")}, nil)
	var told smithy.APIError
	if !errors.As(err, &told) || !strings.HasPrefix(got.text, "This ans") || strings.Contains(got.text, "middle") || got.stop != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func (w awsWorld) bedrockCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, _ = w.converse(ctx, &bedrockruntime.ConverseStreamInput{ModelId: aws.String("chat"), Messages: spokenText("count, bedrockruntime will hang up")}, func(got *turn) {
		if got.text != "" {
			cancel()
		}
	}) // what it says of a call that was given up is the SDK's own affair
	w.hungUp(t, "bedrockruntime will hang up")
}

func (w awsWorld) bedrockRefused(t *testing.T) {
	t.Parallel()
	var unknown *types.ResourceNotFoundException
	_, err := w.bedrockClient(w.key).Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String("no-such-model"), Messages: spokenText("hello")})
	if !errors.As(err, &unknown) || !strings.Contains(unknown.ErrorMessage(), "no-such-model") {
		t.Errorf("an unknown model: %v", err)
	}
	var told smithy.APIError
	_, err = w.bedrockClient("dck_nobody_nothing").Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String("bedrock"), Messages: spokenText("hello")})
	if !errors.As(err, &told) || told.ErrorCode() != "AccessDeniedException" && told.ErrorCode() != "UnrecognizedClientException" {
		t.Errorf("an unknown key: %v", err)
	}
}
