package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway"
)

const key = "sk-test-0123456789/abc"

// server answers its n-th request by the n-th step of its script, and the further ones by the last.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	keys   []string
}

func serve(t *testing.T, script ...http.HandlerFunc) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading a request: %v", err)
		}
		s.mu.Lock()
		n := min(len(s.bodies), len(script)-1)
		s.bodies = append(s.bodies, string(body))
		s.keys = append(s.keys, r.Header.Get("Authorization"))
		s.mu.Unlock()
		script[n](w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bodies
}

// stream sends events and ends the body.
func stream(events ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { send(w, events...) }
}

func send(w http.ResponseWriter, events ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, e := range events {
		_, _ = fmt.Fprintf(w, "data: %s\n\n", e)
	}
	_ = http.NewResponseController(w).Flush()
}

// status answers with an HTTP status, headers given as "Name: value", and a body.
func status(code int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// cut sends events and breaks the connection.
func cut(events ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if len(events) > 0 {
			send(w, events...)
		}
		panic(http.ErrAbortHandler)
	}
}

// silent sends events, and then comments until the client goes away.
func silent(events ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if len(events) > 0 {
			send(w, events...)
		}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-r.Context().Done():
				return
			case <-tick.C:
				_, _ = io.WriteString(w, ": still here\n\n")
				_ = http.NewResponseController(w).Flush()
			}
		}
	}
}

func chunk(text string) string { return fmt.Sprintf(`{"choices":[{"delta":{"content":%q}}]}`, text) }

const (
	stop  = `{"choices":[{"delta":{},"finish_reason":"stop"}]}`
	usage = `{"model":"real","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":500}}`
	end   = "[DONE]"
	whole = `{"model":"real","choices":[{"message":{"content":"whole"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":500}}`
)

func good() http.HandlerFunc { return stream(chunk("who"), chunk("le"), stop, usage, end) }

func config(url string) gateway.Config {
	return gateway.Config{
		URL: url, Key: key, Model: "m", Retries: 2, Backoff: time.Microsecond, FirstToken: 5 * time.Second,
		Price: decouple.Price{In: decouple.USD, Out: 2 * decouple.USD, Known: true},
	}
}

func client(t *testing.T, c gateway.Config) *gateway.OpenAI {
	t.Helper()
	o, err := gateway.NewOpenAI(c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func ask() decouple.Request {
	return decouple.Request{Model: "smart", Messages: []decouple.Message{decouple.Text(decouple.User, "hello")}}
}

// listen makes req tell what it hears, with | between the texts.
func listen(req *decouple.Request) *[]string {
	heard := &[]string{}
	req.Tokens = func(text string) { *heard = append(*heard, text) }
	return heard
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t, good())
	req := ask()
	req.Tools = []decouple.ToolSpec{{Name: "notes.search"}}
	heard := listen(&req)
	o := client(t, config(s.URL))
	a, err := o.Answer(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	want := decouple.Answer{
		Message: decouple.Text(decouple.Assistant, "whole"), Finish: decouple.FinishStop, Model: "real",
		Usage: decouple.Usage{TokensIn: 1000, TokensOut: 500, Cost: 2_000_000},
	}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"who", "le"}, *heard); diff != "" {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
	var sent struct {
		Model  string `json:"model"`
		Stream bool   `json:"stream"`
		Tools  []struct {
			Function struct {
				Name string `json:"name"`
			} `json:"function"`
		} `json:"tools"`
	}
	if err := json.Unmarshal([]byte(s.requests()[0]), &sent); err != nil {
		t.Fatal(err)
	}
	if sent.Model != "m" || !sent.Stream || sent.Tools[0].Function.Name != "notes_search" || s.keys[0] != "Bearer "+key {
		t.Errorf("sent %s with %q", s.requests()[0], s.keys[0])
	}
	if o.Price("m") != config("").Price {
		t.Errorf("price %+v", o.Price("m"))
	}
}

func TestWithoutStream(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{"json": "Content-Type: application/json", "untyped": "Content-Type: "} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, status(200, whole, header))
			req := ask()
			heard := listen(&req)
			a, err := client(t, config(s.URL)).Answer(t.Context(), req)
			if err != nil || a.Message.Text() != "whole" || strings.Join(*heard, "|") != "whole" || a.Usage.TokensIn != 1000 {
				t.Errorf("%+v, %v, heard %q", a, err, *heard)
			}
		})
	}
}

func TestUsageEstimated(t *testing.T) {
	t.Parallel()
	s := serve(t, stream(`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"notes_search","arguments":"{\"query\":\"x\"}"}}]},"finish_reason":"tool_calls"}]}`, end))
	c := config(s.URL)
	c.Price = decouple.Price{}
	a, err := client(t, c).Answer(t.Context(), ask())
	want := decouple.Usage{TokensIn: int64(len(s.requests()[0]))/4 + 1, TokensOut: int64(len(`notes_search{"query":"x"}`))/4 + 1, Estimated: true}
	if err != nil || a.Usage != want || a.Model != "m" || a.Finish != decouple.FinishTools {
		t.Errorf("%+v, %v; want usage %+v", a, err, want)
	}
}

// TestTryAgain has a first try fail in every way that a second one may mend.
func TestTryAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first http.HandlerFunc
		heard string
		spent bool // the failed try counts as used
	}{
		"rate limit":         {status(429, `{"error":{"message":"slow down"}}`, "Retry-After-Ms: 1"), "who|le", false},
		"server error":       {status(500, ``), "who|le", false},
		"overloaded":         {status(503, `overloaded`, "Retry-After: soon"), "who|le", false},
		"error inside 200":   {stream(`{"error":{"message":"The server had an error"}}`), "who|le", false},
		"error in the midst": {stream(chunk("half"), `{"error":{"message":"The server had an error"}}`), "half||who|le", true},
		"cut before":         {cut(), "who|le", true},
		"cut in the midst":   {cut(chunk("half")), "half||who|le", true},
		"ends in the midst":  {stream(chunk("half")), "half||who|le", true},
		"silent from start":  {silent(), "who|le", true},
		"silent in midst":    {silent(chunk("half")), "half||who|le", true},
		"empty":              {stream(end), "who|le", true},
		"not json":           {status(200, "{", "Content-Type: application/json"), "who|le", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.first, good())
			cfg := config(s.URL)
			cfg.BetweenTokens = 5 * time.Second
			if strings.HasPrefix(name, "silent") {
				cfg.FirstToken, cfg.BetweenTokens = 300*time.Millisecond, 300*time.Millisecond
			}
			req := ask()
			heard := listen(&req)
			a, err := client(t, cfg).Answer(t.Context(), req)
			if err != nil || a.Message.Text() != "whole" || len(s.requests()) != 2 {
				t.Fatalf("%+v, %v after %d requests", a, err, len(s.requests()))
			}
			if got := strings.Join(*heard, "|"); got != c.heard {
				t.Errorf("heard %q, want %q", got, c.heard)
			}
			if spent := a.Usage.TokensIn > 1000; spent != c.spent || a.Usage.Estimated != c.spent {
				t.Errorf("usage %+v", a.Usage)
			}
		})
	}
}

// TestGiveUp has every try fail, and looks at what people are told.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script http.HandlerFunc
		kind   decouple.Kind
		says   string
		tries  int
	}{
		"key":        {status(401, `{"error":{"message":"Incorrect API key provided: `+key+`"}}`), decouple.Unauthenticated, "refused the key; set OPENAI_API_KEY", 1},
		"rights":     {status(403, `{"error":{"message":"key `+key+` may not\u001b[31m"}}`), decouple.Denied, "key [key] may not [31m; look at the account's rights", 1},
		"credit":     {status(429, `{"error":{"code":"insufficient_quota","message":"no quota"}}`), decouple.Denied, "no quota; look at the account's rights and credit", 1},
		"model":      {status(404, `{"error":"model not found"}`), decouple.NotFound, `does not know model "m" or its URL is wrong: model not found`, 1},
		"too long":   {status(400, `{"error":{"code":"context_length_exceeded","message":"too long"}}`), decouple.TooLarge, "give fewer sources", 1},
		"request":    {status(400, `{"error":{"message":"bad tool"}}`), decouple.Invalid, "bad tool; does the model support tool calls?", 1},
		"rate":       {status(429, ``), decouple.RateLimited, "limits the rate of calls: HTTP status 429; try again later or with fewer agents (tried 3 times)", 3},
		"long wait":  {status(429, ``, "Retry-After: 7200"), decouple.RateLimited, "(it asks to wait 2h0m0s, longer than this call may take)", 1},
		"server":     {status(502, `bad gateway`), decouple.Unavailable, "failed: bad gateway (tried 3 times)", 3},
		"web page":   {status(200, `<html>hello</html>`, "Content-Type: text/html"), decouple.Invalid, "usually ends in /v1", 1},
		"large":      {stream(chunk(strings.Repeat("x", 5000))), decouple.TooLarge, "larger than 4000 bytes", 1},
		"cut":        {cut(), decouple.Unavailable, "closed the connection before the answer was whole (tried 3 times)", 3},
		"empty":      {stream(end), decouple.Unavailable, "the answer is empty", 3},
		"redirected": {status(307, ``, "Location: http://elsewhere.example/v1"), decouple.Invalid, "redirects to http://elsewhere.example; nothing was sent there", 1},
		"lost":       {status(304, ``), decouple.Invalid, "redirects elsewhere", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.script)
			var log bytes.Buffer
			cfg := config(s.URL)
			cfg.MaxAnswer = 4000
			cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
			_, err := client(t, cfg).Answer(t.Context(), ask())
			if decouple.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), s.Listener.Addr().String()) {
				t.Errorf("%s: %v; want %s with %q", decouple.KindOf(err), err, c.kind, c.says)
			}
			if n := len(s.requests()); n != c.tries || strings.Count(log.String(), "trying again") != n-1 {
				t.Errorf("%d requests, want %d; log:\n%s", n, c.tries, log.String())
			}
			if all := err.Error() + log.String(); strings.Contains(all, key) || strings.ContainsRune(all, 0x1b) {
				t.Errorf("the key or a control character is shown: %q", all)
			}
		})
	}
}

func TestKeyWanted(t *testing.T) {
	t.Parallel()
	s := serve(t, status(401, ``))
	cfg := config(s.URL)
	cfg.Key = ""
	_, err := client(t, cfg).Answer(t.Context(), ask())
	if err == nil || !strings.Contains(err.Error(), "wants a key; set OPENAI_API_KEY") || s.keys[0] != "" {
		t.Errorf("%v, sent %q", err, s.keys)
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	for says, script := range map[string]http.HandlerFunc{
		"gave no token within 250ms":                     silent(),
		"fell silent for 240ms in the middle of an":      silent(chunk("half")),
		"gave no token within 250ms: it is overloaded, ": silent(`{"choices":[{"delta":{"role":"assistant","content":""}}]}`),
	} {
		s := serve(t, script)
		cfg := config(s.URL)
		cfg.FirstToken, cfg.BetweenTokens, cfg.Retries = 250*time.Millisecond, 240*time.Millisecond, -1
		a, err := client(t, cfg).Answer(t.Context(), ask())
		if decouple.KindOf(err) != decouple.Deadline || !strings.Contains(err.Error(), says) || len(s.requests()) != 1 {
			t.Errorf("%v; want %q", err, says)
		}
		if !a.Usage.Estimated || a.Usage.TokensIn == 0 || a.Usage.Cost == 0 {
			t.Errorf("a server that may have worked is not counted: %+v", a.Usage)
		}
	}
}

// TestSteadyIsNotSilent has an answer take longer than either patience, while each of its tokens comes in time.
func TestSteadyIsNotSilent(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for range 20 {
			<-tick.C
			send(w, chunk("x"))
		}
		send(w, stop, end)
	})
	cfg := config(s.URL)
	cfg.FirstToken, cfg.BetweenTokens, cfg.Retries = 250*time.Millisecond, 250*time.Millisecond, -1
	if a, err := client(t, cfg).Answer(t.Context(), ask()); err != nil || len(a.Message.Text()) != 20 {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	s := serve(t, silent())
	cfg := config(s.URL)
	cfg.Budget = 80 * time.Millisecond
	_, err := client(t, cfg).Answer(t.Context(), ask())
	if decouple.KindOf(err) != decouple.Deadline || !strings.Contains(err.Error(), "gave no whole answer within 80ms") || len(s.requests()) > 1 {
		t.Error(err)
	}
}

func TestCallerEnds(t *testing.T) {
	t.Parallel()
	s := serve(t, silent(chunk("half")))
	ctx, cancel := context.WithCancel(t.Context())
	req := ask()
	req.Tokens = func(string) { cancel() }
	if _, err := client(t, config(s.URL)).Answer(ctx, req); decouple.KindOf(err) != decouple.Canceled {
		t.Errorf("canceled: %v", err)
	}
	late, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := client(t, config(s.URL)).Answer(late, ask()); decouple.KindOf(err) != decouple.Deadline {
		t.Errorf("deadline: %v", err)
	}
	waits := serve(t, status(429, ``, "Retry-After: 30"))
	brief, stop := context.WithCancel(t.Context())
	cfg := config(waits.URL)
	cfg.Log = slog.New(slog.NewTextHandler(writer(func() { stop() }), nil))
	if _, err := client(t, cfg).Answer(brief, ask()); decouple.KindOf(err) != decouple.Canceled {
		t.Errorf("canceled in the wait: %v", err)
	}
	if n := len(s.requests()) + len(waits.requests()); n > 3 {
		t.Errorf("%d requests", n)
	}
}

// writer does something at the first line of a log.
type writer func()

func (w writer) Write(b []byte) (int, error) {
	w()
	return len(b), nil
}

func TestFallBack(t *testing.T) {
	t.Parallel()
	options := status(400, `{"error":{"message":"Unrecognized request argument supplied: stream_options"}}`)
	limit := status(400, `{"error":{"message":"Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'.","param":"max_tokens","code":"unsupported_parameter"}}`)
	s := serve(t, options, limit, good(), good())
	req := ask()
	req.MaxTokens = 77
	cfg := config(s.URL)
	cfg.Retries = -1
	o := client(t, cfg)
	for range 2 {
		if _, err := o.Answer(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.requests()); n != 4 {
		t.Fatalf("%d requests: what was refused once is asked again", n)
	}
	for i, want := range [][2]bool{{true, true}, {false, true}, {false, false}, {false, false}} {
		body := s.requests()[i]
		if got := [2]bool{strings.Contains(body, "stream_options"), strings.Contains(body, `"max_tokens":77`)}; got != want {
			t.Errorf("request %d: %s", i+1, body)
		}
	}
	stubborn := serve(t, options)
	if _, err := client(t, cfg).Answer(t.Context(), req); err != nil {
		t.Error(err)
	}
	cfg.URL = stubborn.URL
	if _, err := client(t, cfg).Answer(t.Context(), req); decouple.KindOf(err) != decouple.Invalid || len(stubborn.requests()) != 2 {
		t.Errorf("%v after %d requests", err, len(stubborn.requests()))
	}
}

func TestRedirect(t *testing.T) {
	t.Parallel()
	other := serve(t, good())
	for _, code := range []int{301, 302, 303, 307, 308} {
		away := serve(t, status(code, ``, "Location: "+other.URL+"/v1/chat/completions"))
		_, err := client(t, config(away.URL)).Answer(t.Context(), ask())
		if decouple.KindOf(err) != decouple.Invalid || !strings.Contains(err.Error(), "redirects to "+other.URL) {
			t.Errorf("%d: %v", code, err)
		}
	}
	if n := len(other.requests()); n != 0 {
		t.Errorf("the other server got %d requests", n)
	}
	within := serve(t, status(308, ``, "Location: /v2/chat/completions"), good())
	if _, err := client(t, config(within.URL)).Answer(t.Context(), ask()); err != nil || within.keys[1] != "Bearer "+key {
		t.Errorf("a redirect within the server: %v, sent %q", err, within.keys)
	}
	if within.requests()[0] != within.requests()[1] {
		t.Error("the redirect lost the request's body")
	}
}

func TestNoConnection(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	untrusted := httptest.NewUnstartedServer(good())
	untrusted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	plain := serve(t, good())
	for url, want := range map[string]struct {
		kind decouple.Kind
		says string
	}{
		"http://" + gone + "/v1?secret=abc":            {decouple.Unavailable, "no server answers at " + gone + ": dial tcp " + gone + ": connect: connection refused; is it running? (tried 3 times)"},
		untrusted.URL:                                  {decouple.Denied, "is not trusted"},
		strings.Replace(plain.URL, "http", "https", 1): {decouple.Invalid, "does not speak https"},
		"http://nowhere.invalid":                       {decouple.NotFound, "there is no host nowhere.invalid"},
	} {
		a, err := client(t, config(url)).Answer(t.Context(), ask())
		if want.kind == decouple.NotFound && decouple.KindOf(err) == decouple.Unavailable {
			continue // no resolver to ask
		}
		if decouple.KindOf(err) != want.kind || !strings.Contains(err.Error(), want.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %s with %q", url, err, want.kind, want.says)
		}
		if a.Usage != (decouple.Usage{}) {
			t.Errorf("%s: nothing was sent, but %+v is counted", url, a.Usage)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	t.Parallel()
	for says, cfg := range map[string]gateway.Config{
		"no model server is named":            {},
		"must look like https://host/v1":      {URL: "api.example.com/v1"},
		"must look like https://host/v1 or":   {URL: "ftp://host"},
		"must look like https://host/v1 or h": {URL: "http://a b/%zz" + key},
		"holds a user or password":            {URL: "https://" + strings.ReplaceAll(key, "/", "") + "@host/v1"},
		"holds characters that no key has":    {URL: "https://host", Key: key + "\n" + key},
	} {
		_, err := gateway.NewOpenAI(cfg)
		if decouple.KindOf(err) != decouple.Invalid || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "sk-test") {
			t.Errorf("want %q: %v", says, err)
		}
	}
	cfg := config("http://127.0.0.1:1")
	cfg.Model = ""
	req := ask()
	req.Model = ""
	if _, err := client(t, cfg).Answer(t.Context(), req); decouple.KindOf(err) != decouple.Invalid {
		t.Errorf("no model named: %v", err)
	}
	bad := ask()
	bad.Messages[0].Role = "robot"
	if _, err := client(t, config("http://127.0.0.1:1")).Answer(t.Context(), bad); decouple.KindOf(err) != decouple.Internal {
		t.Errorf("a request that cannot be sent: %v", err)
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"http://127.0.0.1:8080":                "model: m, on 127.0.0.1:8080; text stays on this machine",
		"https://[::1]:8080/v1":                "model: m, on [::1]:8080; text stays on this machine",
		"http://LocalHost./v1":                 "model: m, on LocalHost.; text stays on this machine",
		"http://a.localhost:1":                 "model: m, on a.localhost:1; text stays on this machine",
		"https://api.example.com/v1":           "model: m, on api.example.com; text leaves this machine and goes to api.example.com",
		"https://127.0.0.1.example.com":        "model: m, on 127.0.0.1.example.com; text leaves this machine and goes to 127.0.0.1.example.com",
		"http://10.0.0.7/v1/chat/completions/": "model: m, on 10.0.0.7; text leaves this machine and goes to 10.0.0.7, unencrypted",
	} {
		o := client(t, config(url))
		if got := o.Describe(); got != want {
			t.Errorf("%s:\n got %s\nwant %s", url, got, want)
		}
		if all := fmt.Sprintf("%v %+v %#v %s", o, o, o, o); strings.Contains(all, key) {
			t.Errorf("a printed client shows its key: %s", all)
		}
	}
	cfg := config("http://127.0.0.1:1")
	cfg.Model = ""
	if got := client(t, cfg).Describe(); !strings.HasPrefix(got, "model: as each agent names it, on") {
		t.Error(got)
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	c := config("http://127.0.0.1:1")
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", c.Key)
	data, err := json.Marshal(c.Key)
	all := fmt.Sprintf("%v %+v %#v %s %q %x %d", c, c, c, c.Key, c.Key, c.Key, c.Key) + string(data) + log.String() + c.Key.String()
	if err != nil || strings.Contains(all, "sk-") || strings.Contains(all, fmt.Sprintf("%x", key)) {
		t.Errorf("shown: %s, %v", all, err)
	}
}

// TestConnectionIsUsedAgain holds the cost of a step down: one connection serves call after call.
func TestConnectionIsUsedAgain(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	connections := map[string]bool{}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		connections[r.RemoteAddr] = true
		mu.Unlock()
		good()(w, r)
	})
	o := client(t, config(s.URL))
	for range 10 {
		if _, err := o.Answer(t.Context(), ask()); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(connections) > 2 {
		t.Errorf("10 calls in turn took %d connections", len(connections))
	}
}

// BenchmarkAnswer is what a call costs beside the model: request, stream, answer.
func BenchmarkAnswer(b *testing.B) {
	s := httptest.NewServer(good())
	defer s.Close()
	o, err := gateway.NewOpenAI(config(s.URL))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := o.Answer(b.Context(), ask()); err != nil {
			b.Fatal(err)
		}
	}
}
