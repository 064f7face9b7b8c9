package telemetry_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collectmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collecttraces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/credential"
	"decouple.dev/decouple/gateway/telemetry"
)

// collector takes OTLP over HTTP.
type collector struct {
	*httptest.Server
	mu      sync.Mutex
	raw     bytes.Buffer // everything that it was sent, headers left out
	spans   []*traces.Span
	metrics map[string]*metrics.Metric
	about   map[string]string // the resource
	header  http.Header
	broken  string // what it answers instead of taking anything
	full    int    // so many times it says that it may take it later
	packed  bool   // something came compressed
}

func collect(t *testing.T) *collector {
	t.Helper()
	c := &collector{metrics: map[string]*metrics.Metric{}, about: map[string]string{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.full--
		full := c.full >= 0
		c.mu.Unlock()
		if full {
			http.Error(w, "later", http.StatusServiceUnavailable)
		} else if err := c.take(r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) take(r *http.Request) error {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return err
		}
		body = z
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.Write(b)
	c.header = r.Header
	c.packed = c.packed || r.Header.Get("Content-Encoding") == "gzip"
	if c.broken != "" {
		return fmt.Errorf("%s %s", c.broken, r.Header.Get("Authorization"))
	}
	switch r.URL.Path {
	case "/v1/traces":
		var in collecttraces.ExportTraceServiceRequest
		if err := proto.Unmarshal(b, &in); err != nil {
			return err
		}
		for _, rs := range in.ResourceSpans {
			c.know(rs.Resource.Attributes)
			for _, ss := range rs.ScopeSpans {
				c.spans = append(c.spans, ss.Spans...)
			}
		}
	case "/v1/metrics":
		var in collectmetrics.ExportMetricsServiceRequest
		if err := proto.Unmarshal(b, &in); err != nil {
			return err
		}
		for _, rm := range in.ResourceMetrics {
			for _, sm := range rm.ScopeMetrics {
				for _, m := range sm.Metrics {
					c.metrics[m.Name] = m
				}
			}
		}
	default:
		return fmt.Errorf("nothing is at %s", r.URL.Path)
	}
	return nil
}

func (c *collector) know(list []*common.KeyValue) {
	for _, kv := range list {
		c.about[kv.Key] = kv.Value.GetStringValue()
	}
}

// attributes are those of a span, or of a point, as text.
func attributes(list []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, kv := range list {
		switch v := kv.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			out[kv.Key] = v.StringValue
		case *common.AnyValue_ArrayValue:
			for _, e := range v.ArrayValue.Values {
				out[kv.Key] += "[" + e.GetStringValue() + "]"
			}
		case *common.AnyValue_IntValue:
			out[kv.Key] = fmt.Sprint(v.IntValue)
		case *common.AnyValue_DoubleValue:
			out[kv.Key] = fmt.Sprint(v.DoubleValue)
		case *common.AnyValue_BoolValue:
			out[kv.Key] = fmt.Sprint(v.BoolValue)
		}
	}
	return out
}

// vendor is a model server that answers by the name of the endpoint's account, and keeps the trace contexts that it was told.
type vendor struct {
	*httptest.Server
	mu     sync.Mutex
	parent []string
}

const answer = `{"id":"c1","object":"chat.completion","model":"real-1","choices":[{"index":0,"message":{"role":"assistant","content":"whole"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500,"prompt_tokens_details":{"cached_tokens":200}}}`

const streamed = `data: {"id":"c1","object":"chat.completion.chunk","model":"real-1","choices":[{"index":0,"delta":{"role":"assistant","content":"who"}}]}

data: {"id":"c1","object":"chat.completion.chunk","model":"real-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

data: {"id":"c1","object":"chat.completion.chunk","model":"real-1","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500}}

data: [DONE]

`

func sell(t *testing.T) *vendor {
	t.Helper()
	v := &vendor{}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		v.mu.Lock()
		v.parent = append(v.parent, r.Header.Get("Traceparent"))
		v.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.Contains(string(body), `"m-at-broken"`): // it even says back who asked
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = fmt.Fprintf(w, `{"error":{"message":"broken, %s, %s","type":"server_error"}}`, r.Header.Get("Authorization"), r.URL)
		case strings.Contains(string(body), `"m-at-locked"`):
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprintf(w, `{"error":{"message":"Incorrect API key provided: %s","type":"invalid_request_error"}}`, r.Header.Get("Authorization"))
		case strings.Contains(string(body), `"m-at-cut"`):
			panic(http.ErrAbortHandler)
		case strings.Contains(string(body), `"stream":true`):
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, streamed)
		default:
			_, _ = io.WriteString(w, answer)
		}
	}))
	t.Cleanup(v.Close)
	return v
}

// shop is a gateway that is watched.
type shop struct {
	*gateway.Gateway
	counts   *telemetry.Counts
	exporter *telemetry.Exporter
	front    *httptest.Server
	log      *bytes.Buffer
}

const providerKey = "sk-provider-0123456789abcdef"

// doorman lets in whoever has the key, and says who it is.
type doorman struct{ key string }

// Caller gives the one caller there is.
func (d doorman) Caller(_ context.Context, bearer string) (gateway.Caller, error) {
	if bearer != d.key {
		return gateway.Caller{}, decouple.Errorf(decouple.Unauthenticated, "the key is unknown")
	}
	return gateway.Caller{Tenant: "local", Key: "key-1", Team: "blue"}, nil
}

// books is a catalog with aliases over endpoints of one vendor: good; "failing" asks broken first; "locked" only an endpoint whose key is refused; "cut" one that hangs up.
func books(url string) (*catalog.Catalog, []credential.Account) {
	cat := &catalog.Catalog{
		Models:    map[catalog.ModelID]catalog.Model{"m": {ID: "m", MaxOut: 1000, Names: []string{"m-of-old"}}, "x": {ID: "x", MaxOut: 1000}},
		Endpoints: map[catalog.EndpointID]catalog.Endpoint{}, Aliases: map[string]catalog.Alias{}, Prices: map[string][]catalog.Price{},
	}
	var accounts []credential.Account
	for _, name := range []string{"good", "broken", "locked", "cut"} {
		e := catalog.Endpoint{ID: catalog.EndpointID(name), Provider: "compatible", Account: name, Model: "m", Name: "m-at-" + name, Format: "openai.chat", URL: url}
		if name != "good" {
			e.Model = "x"
		}
		cat.Endpoints[e.ID] = e
		cat.Prices["compatible/"+e.Name] = []catalog.Price{{Tiers: []catalog.Tier{{In: decouple.USD, Cached: decouple.USD, CacheWrite: decouple.USD, CacheLong: decouple.USD, Out: 2 * decouple.USD}}}}
		cat.Aliases["only-"+name] = catalog.Alias{Name: "only-" + name, Strategy: catalog.Ordered, Targets: []catalog.Target{{Endpoint: e.ID}}}
		accounts = append(accounts, credential.Account{Name: name, Provider: "compatible", From: "OPENAI_API_KEY", Auth: credential.Auth{Method: credential.Bearer, Key: credential.NewSecret(providerKey)}})
	}
	cat.Aliases["failing"] = catalog.Alias{Name: "failing", Strategy: catalog.Ordered, Targets: []catalog.Target{{Endpoint: "broken"}, {Endpoint: "good"}}}
	return cat, accounts
}

// both are told of every call.
type both []gateway.Watcher

// Called tells them.
func (b both) Called(f *gateway.Facts) {
	for _, w := range b {
		w.Called(f)
	}
}

func trade(t *testing.T, v *vendor, env map[string]string, change func(*gateway.Config)) *shop {
	t.Helper()
	cat, accounts := books(v.URL)
	s := &shop{log: &bytes.Buffer{}, counts: telemetry.NewCounts(cat)}
	log := slog.New(slog.NewTextHandler(&locked{w: s.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	settings, err := telemetry.FromEnv(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	settings.Version = "test"
	if s.exporter, err = telemetry.Open(t.Context(), settings, cat, log); err != nil {
		t.Fatal(err)
	}
	cfg := gateway.Config{Catalog: cat, Accounts: accounts, Keys: doorman{"door"}, Watch: both{s.counts, s.exporter}, Trace: s.exporter, Log: log, Retries: -1, MaxWait: 20 * time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	if s.Gateway, err = gateway.New(cfg); err != nil {
		t.Fatal(err)
	}
	s.counts.Show(s.Gateway)
	s.front = httptest.NewUnstartedServer(s.Gateway)
	s.front.Config.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	s.front.Start()
	t.Cleanup(func() {
		s.front.Close()
		_ = s.Close(context.Background())
	})
	return s
}

// locked lets a buffer be written from many goroutines.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

// Write writes.
func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// ask posts to the doors with headers given as "Name: value", and gives the status and the body; zero is that the connection broke.
func (s *shop) ask(t *testing.T, path, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.front.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer door")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := s.front.Client().Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, err.Error()
	}
	return resp.StatusCode, fmt.Sprint(resp.Header) + string(b)
}

func chat(model string) string {
	return `{"model":"` + model + `","messages":[{"role":"user","content":"hello"}]}`
}
