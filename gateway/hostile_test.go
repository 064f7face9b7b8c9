package gateway_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
)

// TestVectorsAndWords asks endpoints for what they do not give: each is refused before it is asked, and nothing breaks.
func TestVectorsAndWords(t *testing.T) {
	t.Parallel()
	up := serve(t, status(200, `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]}],"model":"v","usage":{"prompt_tokens":1,"total_tokens":1}}`))
	vectors, text := at("vectors", up.URL), at("words", up.URL)
	vectors.Format, text.Format = "openai.embeddings", "anthropic.messages"
	builtin := catalog.Endpoint{ID: "builtin", Provider: "builtin", Account: "builtin", Model: "builtin", Name: "builtin"}
	g := open(t, nil, vectors, text, builtin)
	for _, x := range []struct {
		path, model string
		want        int
	}{
		{"/v1/embeddings", "vectors", 200}, {"/v1/embeddings", "words", 404}, {"/v1/embeddings", "builtin", 404}, {"/v1/chat/completions", "vectors", 404},
	} {
		resp := post(t, g, x.path, `{"model":"`+x.model+`","input":"hello","messages":[{"role":"user","content":"hello"}]}`)
		if resp.StatusCode != x.want {
			t.Errorf("%s of %s: %d", x.path, x.model, resp.StatusCode)
		}
	}
	if n := len(up.requests()); n != 1 || up.paths[0] != "/v1/embeddings" {
		t.Errorf("%d requests at %v", n, up.paths)
	}
}

// TestPathNamesTheModel has the path and the body name different models, as a key might that may ask for one of them only: the endpoint is asked for that of the path.
func TestPathNamesTheModel(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/openai/deployments/smart/chat/completions?api-version=2024-10-21", "/openai/deployments/smart/embeddings"} {
		for _, body := range []string{`{"model":"dearer","messages":[],"input":""}`, `{"messages":[],"input":""}`, `{ }`, `{"stream":true,"messages":[]}`} {
			if strings.Contains(path, "embeddings") && strings.Contains(body, "stream") {
				continue
			}
			up := serve(t, good())
			_ = text(t, post(t, open(t, nil, at("one", up.URL)), path, body))
			var got struct{ Model string }
			if err := json.Unmarshal([]byte(up.requests()[0]), &got); err != nil || got.Model != "m-at-one" || strings.Contains(up.requests()[0], "dearer") {
				t.Errorf("%s with %s asked for %s: %v", path, body, up.requests()[0], err)
			}
		}
	}
}

// byName lets callers in under the name of their team.
type byName struct{}

func (byName) Caller(_ context.Context, bearer string) (gateway.Caller, error) {
	return gateway.Caller{Tenant: "local", Key: "key-" + bearer, Team: bearer}, nil
}

// sendTo asks at a front door, with headers as "Name: value".
func sendTo(t *testing.T, front *httptest.Server, path, body string, headers ...string) (int, string) {
	t.Helper()
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(t.Context(), method, front.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := front.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode, text(t, resp)
}

// TestResponsesOfOthers has a team ask for what another one has stored: to it, there is nothing. What cannot be asked is not begun in the background.
func TestResponsesOfOthers(t *testing.T) {
	t.Parallel()
	up := serve(t, status(200, whole))
	front := httptest.NewServer(open(t, func(c *gateway.Config) { books(t, c); c.Keys = byName{} }, at("one", up.URL)))
	defer front.Close()
	code, body := sendTo(t, front, "/v1/responses", `{"model":"smart","input":"the plan"}`, "x-api-key: red")
	var stored struct{ ID string }
	if err := json.Unmarshal([]byte(body), &stored); err != nil || code != 200 {
		t.Fatal(code, body)
	}
	for who, want := range map[string]int{"red": 200, "blue": 404} {
		for _, path := range []string{"", "/input_items"} {
			if code, body := sendTo(t, front, "/v1/responses/"+stored.ID+path, "", "x-api-key: "+who); code != want {
				t.Errorf("%s reads %s of it: %d %s", who, path, code, body)
			}
		}
		if code, body := sendTo(t, front, "/v1/responses", `{"model":"smart","input":"go on","previous_response_id":"`+stored.ID+`"}`, "x-api-key: "+who); code != want {
			t.Errorf("%s goes on from it: %d %s", who, code, body)
		}
	}
	if code, body := sendTo(t, front, "/v1/responses", `{"model":"nobody-has-this","input":"x","background":true}`, "x-api-key: red"); code != 404 {
		t.Errorf("%d %s", code, body)
	}
}

// TestLongConversation goes on from a response until the conversation is larger than a request may be.
func TestLongConversation(t *testing.T) {
	t.Parallel()
	up := serve(t, status(200, whole))
	front := httptest.NewServer(open(t, func(c *gateway.Config) { books(t, c); c.MaxBody = 20_000 }, at("one", up.URL)))
	defer front.Close()
	previous := ""
	for range 5 {
		code, body := sendTo(t, front, "/v1/responses", `{"model":"smart","input":"`+strings.Repeat("x", 8000)+`"`+previous+`}`, "x-api-key: door")
		var got struct{ ID string }
		if code == 413 && previous != "" {
			return
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil || code != 200 {
			t.Fatal(code, body)
		}
		previous = `,"previous_response_id":"` + got.ID + `"`
	}
	t.Errorf("no end to it")
}

// TestHeadersAreBounded has callers send what would be kept with every decision.
func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	up := serve(t, status(200, whole))
	front := httptest.NewServer(open(t, nil, at("one", up.URL)))
	defer front.Close()
	for _, path := range []string{"/v1/chat/completions", "/v1/embeddings"} {
		for _, h := range []string{
			"X-Decouple-Class: " + strings.Repeat("c", 100), "X-Decouple-Labels: " + strings.Repeat("l", 100), "X-Decouple-Labels: " + strings.Repeat("l,", 100), "X-Decouple-Deadline: soon",
		} {
			if code, body := sendTo(t, front, path, plainAsk, "x-api-key: door", h); code != 400 || !strings.Contains(body, "x-decouple-") {
				t.Errorf("%s with %.30s: %d %s", path, h, code, body)
			}
		}
		if code, _ := sendTo(t, front, path, plainAsk, "x-api-key: door", "X-Decouple-Priority: 1"); code != 403 {
			t.Errorf("%s with a priority that the key has not: %d", path, code)
		}
	}
}

// TestCacheKnowsWishes asks for the same in ways that have other answers: none is answered from the cache of another.
func TestCacheKnowsWishes(t *testing.T) {
	t.Parallel()
	up := serve(t, good())
	gemini := at("one", up.URL)
	front := httptest.NewServer(open(t, func(c *gateway.Config) {
		books(t, c)
		alias(func(a *catalog.Alias) { a.Cache = time.Minute })(c)
	}, gemini))
	defer front.Close()
	const ask = `{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}`
	_, events := sendTo(t, front, "/v1beta/models/smart:streamGenerateContent?alt=sse", ask, "x-api-key: door")
	_, array := sendTo(t, front, "/v1beta/models/smart:streamGenerateContent", ask, "x-api-key: door")
	if !strings.HasPrefix(events, "data: ") || !json.Valid([]byte(array)) {
		t.Errorf("%q and %q", events, array)
	}
}

// TestClaimedLength has callers claim long bodies and send none of them: that costs no memory.
func TestClaimedLength(t *testing.T) {
	g := open(t, nil, at("one", "http://127.0.0.1:1"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const claims = 20
	var ends []*io.PipeWriter
	done := make(chan struct{}, claims)
	for range claims {
		r, w := io.Pipe()
		ends = append(ends, w)
		req := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", r)
		req.ContentLength = 30 << 20
		req.Header.Set("Authorization", "Bearer door")
		go func() {
			g.ServeHTTP(httptest.NewRecorder(), req)
			done <- struct{}{}
		}()
	}
	for _, w := range ends {
		_, _ = w.Write([]byte("{")) // it is read, so that the length was taken for what it claims
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 20<<20 {
		t.Errorf("%d claims took %d MB", claims, grown>>20)
	}
	for _, w := range ends {
		_ = w.Close()
		<-done
	}
}

// TestDrainsAreGivenBack has callers go before the last piece of their answers is written: that takes none of the places in which answers are read to their end.
func TestDrainsAreGivenBack(t *testing.T) {
	t.Parallel()
	up := serve(t, status(200, whole))
	azure := at("one", up.URL)
	azure.Provider = "azure" // which bills a call to its end
	g := open(t, func(c *gateway.Config) { c.Drains = 3 }, azure)
	for range 3 {
		req := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(plainAsk))
		req.Header.Set("Authorization", "Bearer door")
		g.ServeHTTP(gone{httptest.NewRecorder()}, req)
	}
	if n := g.Drained(); n != 0 {
		t.Errorf("%d places are taken for good", n)
	}
}

// gone is the connection of a caller who does not read any more.
type gone struct{ *httptest.ResponseRecorder }

func (gone) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestPanicIsAFailure has an attempt break inside, alone and beside a second one: another endpoint answers, and the process goes on.
func TestPanicIsAFailure(t *testing.T) {
	t.Parallel()
	for _, hedge := range []time.Duration{0, time.Millisecond} {
		up := serve(t, status(200, whole))
		g := open(t, func(c *gateway.Config) {
			c.Trace = breaks{}
			alias(func(a *catalog.Alias) { a.Hedge = hedge })(c)
		}, at("one", up.URL), at("two", up.URL))
		if resp := post(t, g, "/v1/chat/completions", plainAsk); text(t, resp) != whole {
			t.Errorf("%d, hedged after %s", resp.StatusCode, hedge)
		}
	}
}

// breaks is a tracer with a fault in it.
type breaks struct{}

func (breaks) Traceparent(_, _ string, n int) string {
	if n == 1 {
		panic("a fault")
	}
	return ""
}
