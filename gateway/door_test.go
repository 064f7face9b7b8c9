package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple/gateway"
)

const (
	plainAsk  = `{"model":"smart","messages":[{"role":"user","content":"hello"}]}`
	streamAsk = `{"model":"smart","stream":true,"messages":[{"role":"user","content":"hello"}]}`
)

func TestPassesThrough(t *testing.T) {
	t.Parallel()
	up := serve(t, status(200, whole))
	resp := post(t, open(t, nil, at("one", up.URL)), "/v1/chat/completions", `{"model":"smart","unheard_of":{"a":[1]},"messages":[{"role":"user","content":"hello"}]}`)
	if got := text(t, resp); resp.StatusCode != 200 || got != whole {
		t.Errorf("%d: %s", resp.StatusCode, got)
	}
	if want := `{"model":"m-at-one","unheard_of":{"a":[1]},"messages":[{"role":"user","content":"hello"}]}`; up.requests()[0] != want || up.keys[0] != "Bearer "+secret || up.paths[0] != "/v1/chat/completions" {
		t.Errorf("sent %s with %q to %s", up.requests()[0], up.keys, up.paths)
	}
	if resp.Header.Get("X-Decouple-Decision") == "" || resp.Header.Get("X-Decouple-Endpoint") != "one" {
		t.Errorf("headers %v", resp.Header)
	}
}

func TestStreamsThrough(t *testing.T) {
	t.Parallel()
	for _, ask := range []string{streamAsk, strings.Replace(streamAsk, `"stream":true`, `"stream":true,"stream_options":{"include_usage":true}`, 1)} {
		up := serve(t, good())
		resp := post(t, open(t, nil, at("one", up.URL)), "/v1/chat/completions", ask)
		got := text(t, resp)
		events := []string{role, chunk("who"), chunk("le"), stop, usage, end}
		if ask == streamAsk {
			events = []string{role, chunk("who"), chunk("le"), stop, end}
		}
		if want := "data: " + strings.Join(events, "\n\ndata: ") + "\n\n"; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if !strings.Contains(up.requests()[0], `"include_usage":true`) {
			t.Errorf("usage was not asked for: %s", up.requests()[0])
		}
	}
}

// TestFailsOverUnseen has the first endpoint fail in every way that can be told before the model has worked: the caller sees nothing of it.
func TestFailsOverUnseen(t *testing.T) {
	t.Parallel()
	quick := func(c *gateway.Config) {
		c.Patience.FirstToken, c.Patience.BetweenTokens, c.Patience.Whole = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
	}
	for name, first := range map[string]http.HandlerFunc{
		"429":                   status(429, `{"error":{"message":"slow down"}}`),
		"500":                   status(500, ``),
		"529":                   status(529, `{"error":{"message":"overloaded"}}`),
		"401":                   status(401, `{"error":{"message":"bad key"}}`),
		"404":                   status(404, `{"error":{"message":"no such model"}}`),
		"reset":                 cut(),
		"error inside 200":      stream(`{"error":{"message":"boom"}}`),
		"error after lifecycle": stream(role, `{"error":{"message":"boom"}}`),
		"silent":                silent(),
		"silent after role":     silent(role),
		"empty":                 stream(role, stop, end),
		"cut after role":        cut(role),
		"web page":              status(200, "<html>", "Content-Type: text/html"),
		"truncated":             status(200, whole[:60]),
		"wrong 400":             status(400, `{"error":{"message":"boom"}}`),
	} {
		for _, d := range matrixDoors {
			for _, streamed := range []bool{true, false} {
				t.Run(fmt.Sprint(name, " ", d.path, " ", streamed), func(t *testing.T) {
					t.Parallel()
					one, two := serve(t, first), serve(t, good())
					if !streamed {
						two = serve(t, status(200, whole))
					}
					g := open(t, quick, at("one", one.URL), at("two", two.URL))
					path, body := d.ask(streamed)
					resp := post(t, g, path, body)
					got := text(t, resp)
					if resp.StatusCode != 200 || !strings.Contains(got, "who") || strings.Contains(got, "boom") || resp.Header.Get("X-Decouple-Endpoint") != "two" {
						t.Errorf("%d from %s: %s", resp.StatusCode, resp.Header.Get("X-Decouple-Endpoint"), got)
					}
					r, err := g.Explain("local", resp.Header.Get("X-Decouple-Decision"))
					if err != nil || len(r.Attempts) != 2 || r.Chosen != "two" {
						t.Errorf("%+v, %v", r, err)
					}
				})
			}
		}
	}
}

// matrixDoor is a front door, and how it is asked for a stream or for a whole answer.
type matrixDoor struct{ path, streamPath, body, streamBody string }

func (d matrixDoor) ask(streamed bool) (path, body string) {
	if streamed {
		return d.streamPath, d.streamBody
	}
	return d.path, d.body
}

var matrixDoors = []matrixDoor{
	{"/v1/chat/completions", "/v1/chat/completions", plainAsk, streamAsk},
	{"/v1/responses", "/v1/responses", `{"model":"smart","input":"hello"}`, `{"model":"smart","stream":true,"input":"hello"}`},
	{"/v1/messages", "/v1/messages", `{"model":"smart","max_tokens":100,"messages":[{"role":"user","content":"hello"}]}`, `{"model":"smart","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"hello"}]}`},
	{"/v1beta/models/smart:generateContent", "/v1beta/models/smart:streamGenerateContent?alt=sse", geminiAsk, geminiAsk},
	{"/model/smart/converse", "/model/smart/converse-stream", converseAsk, converseAsk},
}

const (
	geminiAsk   = `{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}`
	converseAsk = `{"messages":[{"role":"user","content":[{"text":"hello"}]}]}`
)

// TestFailsAfterTheBeginning has an endpoint fail when the caller has seen text: it is told so, and nothing is begun anew.
func TestFailsAfterTheBeginning(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]http.HandlerFunc{
		"cut":    cut(),
		"ends":   stream(),
		"error":  stream(`{"error":{"message":"boom"}}`),
		"silent": silent(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := make(chan struct{})
			one, two := serve(t, func(w http.ResponseWriter, r *http.Request) {
				send(w, role, chunk("half"))
				<-seen
				then(w, r)
			}), serve(t, good())
			g := open(t, func(c *gateway.Config) { c.Patience.BetweenTokens = 200 * time.Millisecond }, at("one", one.URL), at("two", two.URL))
			resp := post(t, g, "/v1/chat/completions", streamAsk)
			var begin [400]byte
			n, err := io.ReadAtLeast(resp.Body, begin[:], len(role)+len(chunk("half")))
			close(seen)
			got := string(begin[:n]) + text(t, resp)
			if err != nil || !strings.Contains(got, "half") || !strings.Contains(got, `"error"`) || strings.Contains(got, `"who"`) || len(two.requests()) != 0 {
				t.Errorf("%s", got)
			}
			if last := strings.TrimSpace(got[strings.LastIndex(got, "data:")+5:]); !json.Valid([]byte(last)) && last != end {
				t.Errorf("the last event is %q", last)
			}
		})
	}
}

// TestRefuses has requests that cannot be served: each is told in the caller's words.
func TestRefuses(t *testing.T) {
	t.Parallel()
	up := serve(t, status(400, `{"error":{"message":"bad tool","type":"invalid_request_error","param":"tools"}}`))
	g := open(t, nil, at("one", up.URL))
	for name, c := range map[string]struct {
		path, body string
		status     int
		says       string
	}{
		"no json":     {"/v1/chat/completions", `{`, 400, `"error"`},
		"no model":    {"/v1/chat/completions", `{"messages":[]}`, 400, `names no model`},
		"unknown":     {"/v1/chat/completions", `{"model":"nothing","messages":[]}`, 404, `nothing`},
		"no door":     {"/v1/nowhere", `{}`, 404, `/v1/messages`},
		"upstream's":  {"/v1/chat/completions", plainAsk, 400, `"param":"tools"`},
		"vectors":     {"/v1/embeddings", `{"model":"smart","input":"x","stream":true}`, 400, `stream`},
		"not a model": {"/v1/chat/completions", `[]`, 400, `object`},
	} {
		resp := post(t, g, c.path, c.body)
		if got := text(t, resp); resp.StatusCode != c.status || !strings.Contains(got, c.says) || strings.Contains(got, secret) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, got)
		}
	}
}

// TestAccountRefused does not tell a caller that its own key is wrong when the gateway's account is.
func TestAccountRefused(t *testing.T) {
	t.Parallel()
	up := serve(t, status(401, `{"error":{"message":"Incorrect API key provided: `+secret+`"}}`))
	resp := post(t, open(t, nil, at("one", up.URL)), "/v1/chat/completions", plainAsk)
	if got := text(t, resp); resp.StatusCode != 502 || strings.Contains(got, secret) || !strings.Contains(got, "OPENAI_API_KEY") {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
}

// TestGeminiStreams in both forms: server-sent events, and the JSON array that callers get who do not ask for them.
func TestGeminiStreams(t *testing.T) {
	t.Parallel()
	up := serve(t, good())
	g := open(t, nil, at("one", up.URL))
	const ask = `{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}`
	events := text(t, post(t, g, "/v1beta/models/smart:streamGenerateContent?alt=sse", ask))
	if !strings.HasPrefix(events, "data: {") || !strings.Contains(events, "who") {
		t.Errorf("%s", events)
	}
	resp := post(t, g, "/v1beta/models/smart:streamGenerateContent", ask)
	var list []struct {
		Candidates []json.RawMessage `json:"candidates"`
	}
	if got := text(t, resp); json.Unmarshal([]byte(got), &list) != nil || len(list) < 2 || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: %s", resp.Header.Get("Content-Type"), got)
	}
}
