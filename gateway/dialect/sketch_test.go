package dialect_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
)

func TestSketch(t *testing.T) {
	t.Parallel()
	image := strings.Repeat("QUJD", 400)
	for _, c := range []struct {
		format dialect.Format
		body   string
		want   dialect.Sketch
	}{
		{dialect.Chat, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, dialect.Sketch{Model: "m", Answers: 1}},
		{dialect.Chat, ` { "n" : 2 , "model" : "a\"b", "stream":true,"stream_options":{"include_usage":true},"max_tokens":5,"max_completion_tokens":7,
			"tools":[{}],"response_format":{"type":"json_schema"},"reasoning_effort":"low","user":"u","prompt_cache_key":"k","service_tier":"flex",
			"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + image + `"}}]}]}`,
			dialect.Sketch{Model: `a"b`, Answers: 2, Stream: true, Usage: true, MaxOut: 7, Tools: true, Shape: true, Thinking: true, Media: true, User: "k", Tier: "flex"}},
		{dialect.Chat, `{"model":"m","response_format":{"type":"text"},"reasoning_effort":"none","tools":[],"messages":[{"tool_calls":[{"function":{"arguments":"{\"type\":\"image_url\"}"}}]}]}`,
			dialect.Sketch{Model: "m", Answers: 1}},
		{dialect.Messages, `{"model":"c","max_tokens":9,"stream":true,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral","ttl":"1h"}}],"thinking":{"type":"enabled","budget_tokens":4},
			"metadata":{"user_id":"u"},"messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","data":"x"}}]}],"service_tier":"auto"}`,
			dialect.Sketch{Model: "c", Answers: 1, MaxOut: 9, Stream: true, CacheMarks: true, Thinking: true, Media: true, User: "u", Tier: "auto"}},
		{dialect.Messages, `{"model":"c","tools":[{"name":"a","input_schema":{"type":"image"},"cache_control":{}}],"thinking":{"type":"disabled"},"output_config":{"effort":"low","format":{"type":"json_schema"}},
			"messages":[{"content":[{"type":"tool_use","input":{"type":"image"}}]}]}`, dialect.Sketch{Model: "c", Answers: 1, Tools: true, CacheMarks: true, Thinking: true, Shape: true}},
		{dialect.Responses, `{"model":"o","input":[{"type":"message","content":[{"type":"input_image","image_url":"https://x/y.png"}]}],"text":{"format":{"type":"json_object"}},"reasoning":{"effort":"high","summary":"auto"},
			"previous_response_id":"r","background":true,"store":false,"conversation":"c","max_output_tokens":3,"safety_identifier":"s"}`,
			dialect.Sketch{Model: "o", Answers: 1, Media: true, Shape: true, Thinking: true, Previous: "r", Background: true, NoStore: true, Kept: true, MaxOut: 3, User: "s"}},
		{dialect.Generate, `{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"` + image + `"}}]}],"generationConfig":{"maxOutputTokens":4,"candidateCount":2,"responseMimeType":"application/json","thinkingConfig":{"thinkingBudget":-1}},"tools":[{"functionDeclarations":[]}],"cachedContent":"c"}`,
			dialect.Sketch{Model: "path", Stream: true, Answers: 2, MaxOut: 4, Media: true, Shape: true, Thinking: true, Tools: true, CacheMarks: true}},
		{dialect.Converse, `{"messages":[{"content":[{"image":{"format":"png","source":{"bytes":"QUJD"}}},{"cachePoint":{"type":"default"}}]}],"toolConfig":{"tools":[{"toolSpec":{}}]},"inferenceConfig":{"maxTokens":6},"additionalModelRequestFields":{"thinking":{"type":"enabled"}},
			"outputConfig":{"textFormat":{"type":"json_schema"}},"serviceTier":{"type":"flex"}}`,
			dialect.Sketch{Model: "path", Stream: true, Answers: 1, MaxOut: 6, Media: true, CacheMarks: true, Tools: true, Thinking: true, Shape: true, Tier: "flex"}},
	} {
		in := dialect.Inbound{Body: []byte(c.body)}
		if c.want.Model == "path" {
			in.Model, in.Stream = "path", true
		}
		got, err := dialect.SketchOf(c.format, in)
		if err != nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		if got.TokensIn < 10 || got.TokensIn > 8000 {
			t.Errorf("%s: estimated at %d tokens", c.body, got.TokensIn)
		}
		if d := cmp.Diff(c.want, got, cmpopts.IgnoreUnexported(dialect.Sketch{}), cmpopts.IgnoreFields(dialect.Sketch{}, "ModelAt", "OptionsAt", "OptionsEnd", "TokensIn")); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.body, d)
		}
	}
}

func TestSketchRefuses(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, `[]`, `null`, `{`, `{"model":"m"`, `{"model":"m"}x`, `{"model":"m",}`, `{"model":"m" "n":1}`, `{"model":"m","x":01}`, `{"model":"m","x":1.}`, `{"model":"m","x":"\q"}`,
		`{"model":"m","x":"\u12"}`, "{\"model\":\"m\",\"x\":\"\n\"}", `{"model":"m","x":tru}`, `{"model":"m","x":[1,]}`, `{}`, `{"messages":[]}`,
		`{"model":"m","model":"n"}`, `{"model":"m","Model":"n"}`, `{"model":"m","mod\u0065l":"n"}`, `{"model":"m","MAX_TOKENS":1}`, `{"model":"m","x":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`,
	} {
		if s, err := dialect.SketchOf(dialect.Chat, dialect.Inbound{Body: []byte(body)}); decouple.KindOf(err) != decouple.Invalid {
			t.Errorf("%.80s: %+v, %v", body, s, err)
		}
	}
}

// TestRewrite changes the model and asks for usage in either order, and expects the same of both.
func TestRewrite(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"model":"old","stream":true}`: `{"stream_options":{"include_usage":true},"model":"a \"new\" name","stream":true}`,
		`{"stream_options":{"include_usage":false,"x":1},"stream":true,"model":"old" }`:         `{"stream_options":{"include_usage":true,"x":1},"stream":true,"model":"a \"new\" name" }`,
		`{"model":"old","stream_options":{"x":1},"stream":true}`:                                `{"model":"a \"new\" name","stream_options":{"include_usage":true,"x":1},"stream":true}`,
		`{"model":"old","stream_options":{ },"stream":true}`:                                    `{"model":"a \"new\" name","stream_options":{"include_usage":true },"stream":true}`,
		`{"stream_options":null,"stream":true,"model":"old"}`:                                   `{"stream_options":{"include_usage":true},"stream":true,"model":"a \"new\" name"}`,
		`{"model":"old","stream":false}`:                                                        `{"model":"a \"new\" name","stream":false}`,
		`{"model":"old","stream":true,"stream_options":{"include_usage":true},"unknown":[{} ]}`: `{"model":"a \"new\" name","stream":true,"stream_options":{"include_usage":true},"unknown":[{} ]}`,
	} {
		s, err := dialect.SketchOf(dialect.Chat, dialect.Inbound{Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		one := dialect.SetModel(dialect.AskUsage([]byte(body), s), s, `a "new" name`)
		other := dialect.AskUsage(dialect.SetModel([]byte(body), s, `a "new" name`), s)
		if string(one) != want || string(other) != want {
			t.Errorf("%s\nbecame %s\nand    %s\nnot    %s", body, one, other, want)
		}
	}
}

// body1k is a request of about 1 kB.
func body1k() []byte {
	return []byte(`{"model":"gpt-5-mini","messages":[{"role":"system","content":"` + strings.Repeat("You are a careful assistant. ", 14) +
		`"},{"role":"user","content":"` + strings.Repeat("What happens before what, and \\\"why\\\"? ", 10) + `"}],"temperature":0.2,"max_tokens":200,"stream":true,"stream_options":{"include_usage":true},"user":"u-1"}`)
}

func BenchmarkSketch(b *testing.B) {
	body := body1k()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dialect.SketchOf(dialect.Chat, dialect.Inbound{Body: body}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPassage(b *testing.B) {
	chunk := []byte(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-5-mini","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null}` + "\n\n")
	p := dialect.NewPassage(dialect.Chat)
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Feed(chunk); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzSketch checks the scanner against encoding/json: it takes what that takes, and finds the same model.
func FuzzSketch(f *testing.F) {
	f.Add("openai.chat", body1k())
	for _, format := range []string{"openai.chat", "openai.responses", "anthropic.messages", "gemini.generate", "bedrock.converse"} {
		f.Add(format, []byte(`{"model":"m","messages":[],"stream":true,"input":[{"type":"input_image"}],"contents":[{"parts":[{"text":"\u00e9"}]}],"x":-1.5e+3}`))
	}
	f.Fuzz(func(t *testing.T, format string, body []byte) {
		s, err := dialect.SketchOf(dialect.Format(format), dialect.Inbound{Body: body})
		if err != nil {
			if decouple.KindOf(err) != decouple.Invalid {
				t.Fatal(err)
			}
			return
		}
		if !json.Valid(body) {
			t.Fatalf("%q is not JSON", body)
		}
		checkChanged(t, format, body, s)
		if s, err = dialect.SketchOf(dialect.Format(format), dialect.Inbound{Body: body, Model: "path"}); err != nil || s.Model != "path" {
			t.Fatalf("%q, named by the path: %+v, %v", body, s, err)
		}
		checkChanged(t, format, body, s)
	})
}

// checkChanged gives a body another model and asks for usage.
func checkChanged(t *testing.T, format string, body []byte, s dialect.Sketch) {
	t.Helper()
	if format == string(dialect.Generate) || format == string(dialect.Converse) {
		return
	}
	for _, changed := range [][]byte{dialect.AskUsage(dialect.SetModel(body, s, "other"), s), dialect.SetModel(dialect.AskUsage(body, s), s, "other")} {
		if again, err := dialect.SketchOf(dialect.Format(format), dialect.Inbound{Body: changed}); err != nil || again.Model != "other" || format == string(dialect.Chat) && s.Stream && !again.Usage {
			t.Fatalf("%q, changed to %q: %+v, %v", body, changed, again, err)
		}
	}
}
