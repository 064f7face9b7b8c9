package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/credential"
)

const secret = "sk-test-0123456789/abc"

// server answers its n-th request by the n-th step of its script, and the further ones by the last.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	keys   []string
	paths  []string
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
		s.paths = append(s.paths, r.URL.Path)
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
		w.Header().Set("Content-Type", "application/json")
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

func chunk(text string) string {
	return fmt.Sprintf(`{"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":%q}}]}`, text)
}

const (
	role  = `{"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`
	stop  = `{"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	usage = `{"id":"c1","object":"chat.completion.chunk","model":"real","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500}}`
	end   = "[DONE]"
	whole = `{"id":"c1","object":"chat.completion","model":"real","choices":[{"index":0,"message":{"role":"assistant","content":"whole"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500}}`
)

// good answers as it is asked to.
func good() http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		stream(role, chunk("who"), chunk("le"), stop, usage, end)(w, r)
	}
}

// anyone lets everybody in.
type anyone struct{ who gateway.Caller }

// Caller gives the one caller there is, unless the bearer is wrong.
func (a anyone) Caller(_ context.Context, bearer string) (gateway.Caller, error) {
	if bearer != "door" {
		return gateway.Caller{}, decouple.Errorf(decouple.Unauthenticated, "the key is unknown")
	}
	return a.who, nil
}

// at makes an endpoint of Chat at a server.
func at(name, url string) catalog.Endpoint {
	return catalog.Endpoint{ID: catalog.EndpointID(name), Provider: "compatible", Account: name, Model: "m", Name: "m-at-" + name, Format: "openai.chat", URL: url}
}

// open makes a gateway over endpoints, which serve the model m in this order, at a dollar and two for a million tokens.
func open(t testing.TB, change func(*gateway.Config), eps ...catalog.Endpoint) *gateway.Gateway {
	t.Helper()
	cat := &catalog.Catalog{
		Models:    map[catalog.ModelID]catalog.Model{"m": {ID: "m", MaxOut: 1000}},
		Endpoints: map[catalog.EndpointID]catalog.Endpoint{}, Aliases: map[string]catalog.Alias{}, Prices: map[string][]catalog.Price{},
	}
	alias := catalog.Alias{Name: "smart", Strategy: catalog.Ordered}
	var accounts []credential.Account
	for _, e := range eps {
		cat.Endpoints[e.ID] = e
		alias.Targets = append(alias.Targets, catalog.Target{Endpoint: e.ID})
		cat.Prices[e.Provider+"/"+e.Name] = []catalog.Price{{Tiers: []catalog.Tier{{In: decouple.USD, Cached: decouple.USD, CacheWrite: decouple.USD, CacheLong: decouple.USD, Out: 2 * decouple.USD}}}}
		accounts = append(accounts, credential.Account{Name: e.Account, Provider: e.Provider, From: "OPENAI_API_KEY", Auth: credential.Auth{Method: credential.Bearer, Key: credential.NewSecret(secret)}})
	}
	cat.Aliases["smart"] = alias
	cfg := gateway.Config{Catalog: cat, Accounts: accounts, Keys: anyone{gateway.Caller{Tenant: "local", Key: "k1"}}}
	if change != nil {
		change(&cfg)
	}
	g, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close(context.Background()) })
	return g
}

// post asks a gateway at a path.
func post(t *testing.T, g http.Handler, path, body string) *http.Response {
	t.Helper()
	front := httptest.NewServer(g)
	t.Cleanup(front.Close)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, front.URL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer door")
	resp, err := front.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("reading the answer: %v", err)
	}
	return string(b)
}
