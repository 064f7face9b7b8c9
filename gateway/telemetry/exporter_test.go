package telemetry_test

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"

	"decouple.dev/decouple/gateway/telemetry"
)

const (
	parentTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	parentSpan  = "00f067aa0ba902b7"
)

// everywhere sends all to a collector.
func everywhere(c *collector, more ...string) map[string]string {
	env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL}
	for _, m := range more {
		name, value, _ := strings.Cut(m, "=")
		env[name] = value
	}
	return env
}

// sent ends the exporter and gives the spans by the attempt that they are of; 0 is the call.
func (s *shop) sent(t *testing.T, c *collector) map[string]*traces.Span {
	t.Helper()
	if err := s.exporter.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	out := map[string]*traces.Span{}
	for _, span := range c.spans {
		out[attributes(span.Attributes)["decouple.attempt"]] = span
	}
	return out
}

func TestSpans(t *testing.T) {
	t.Parallel()
	c, v := collect(t), sell(t)
	s := trade(t, v, everywhere(c, "OTEL_SERVICE_NAME=shop", "OTEL_RESOURCE_ATTRIBUTES=team=blue%20sky", "OTEL_EXPORTER_OTLP_HEADERS=x-api-key=s3cret"), nil)
	s.ask(t, "/v1/chat/completions", chat("failing"), "Traceparent: 00-"+parentTrace+"-"+parentSpan+"-01")
	spans := s.sent(t, c)
	if len(spans) != 3 || len(c.spans) != 3 {
		t.Fatalf("%d spans", len(c.spans))
	}
	call, first, second := spans[""], spans["1"], spans["2"]
	for _, span := range c.spans {
		if got := hex.EncodeToString(span.TraceId); got != parentTrace {
			t.Errorf("a span is in the trace %s", got)
		}
	}
	if hex.EncodeToString(call.ParentSpanId) != parentSpan || string(first.ParentSpanId) != string(call.SpanId) || string(second.ParentSpanId) != string(call.SpanId) {
		t.Error("the spans do not hang together")
	}
	for i, span := range []*traces.Span{first, second} {
		if want := "00-" + parentTrace + "-" + hex.EncodeToString(span.SpanId) + "-01"; v.parent[i] != want {
			t.Errorf("the endpoint was told %s, and the span is %s", v.parent[i], want)
		}
	}
	want(t, "the call", attributes(call.Attributes), map[string]string{
		"gen_ai.operation.name": "chat", "gen_ai.provider.name": "compatible", "gen_ai.request.model": "failing", "gen_ai.response.model": "real-1", "gen_ai.usage.input_tokens": "1000",
		"gen_ai.usage.output_tokens": "500", "gen_ai.usage.cache_read.input_tokens": "200", "gen_ai.response.finish_reasons": "[stop]", "server.address": "127.0.0.1", "decouple.endpoint": "good",
		"decouple.key": "key-1", "decouple.team": "blue", "error.type": "", "decouple.cost_usd": "0.002",
	})
	want(t, "the attempt that failed", attributes(first.Attributes), map[string]string{
		"gen_ai.request.model": "m-at-broken", "error.type": "failed", "http.response.status_code": "500", "gen_ai.usage.input_tokens": "", "decouple.endpoint": "broken",
	})
	want(t, "the attempt that answered", attributes(second.Attributes), map[string]string{"gen_ai.request.model": "m-at-good", "error.type": "", "gen_ai.response.model": "real-1"})
	if call.Name != "chat failing" || second.Name != "chat m-at-good" || call.Kind != traces.Span_SPAN_KIND_SERVER || second.Kind != traces.Span_SPAN_KIND_CLIENT {
		t.Errorf("names and kinds: %v %v", call, second)
	}
	if call.StartTimeUnixNano > first.StartTimeUnixNano || first.EndTimeUnixNano > second.StartTimeUnixNano || second.EndTimeUnixNano > call.EndTimeUnixNano || call.EndTimeUnixNano > uint64(time.Now().UnixNano()) {
		t.Error("the times do not fit")
	}
	if first.Status.Code != traces.Status_STATUS_CODE_ERROR || call.Status.GetCode() == traces.Status_STATUS_CODE_ERROR {
		t.Error("the states are wrong")
	}
	want(t, "the resource", c.about, map[string]string{"service.name": "shop", "service.version": "test", "team": "blue sky"})
	if c.about["service.instance.id"] == "" || c.header.Get("X-Api-Key") != "s3cret" {
		t.Errorf("resource %v, headers %v", c.about, c.header)
	}
}

func want(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %s is %q, not %q", what, k, got[k], v)
		}
	}
}

// TestSampling lets the caller's flag, and the sampler, decide; endpoints are told what was decided.
func TestSampling(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, sampler, arg, parent string
		sent                       bool
	}{
		{"a call without a trace", "", "", "", true},
		{"the caller's trace is not sampled", "", "", "00-" + parentTrace + "-" + parentSpan + "-00", false},
		{"what is no trace", "", "", "00-nonsense", true},
		{"nothing", "always_off", "", "00-" + parentTrace + "-" + parentSpan + "-01", false},
		{"a share of none", "parentbased_traceidratio", "0", "", false},
		{"a share of none, but the caller wants it", "parentbased_traceidratio", "0", "00-" + parentTrace + "-" + parentSpan + "-01", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, v := collect(t), sell(t)
			s := trade(t, v, everywhere(c, "OTEL_TRACES_SAMPLER="+tt.sampler, "OTEL_TRACES_SAMPLER_ARG="+tt.arg), nil)
			s.ask(t, "/v1/chat/completions", chat("m-of-old"), "Traceparent: "+tt.parent)
			spans := s.sent(t, c)
			if got := len(spans) == 2; got != tt.sent || got == (len(spans) == 0) {
				t.Errorf("%d spans", len(spans))
			}
			flag := map[bool]string{true: "-01", false: "-00"}[tt.sent]
			if len(v.parent) != 1 || !strings.HasSuffix(v.parent[0], flag) || len(v.parent[0]) != 55 {
				t.Errorf("the endpoint was told %q", v.parent)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	c := collect(t)
	s := trade(t, sell(t), map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": c.URL + "/v1/metrics"}, nil)
	s.ask(t, "/v1/chat/completions", chat("failing"), "Traceparent: 00-"+parentTrace+"-"+parentSpan+"-01")
	s.ask(t, "/v1/chat/completions", strings.Replace(chat("only-good"), "{", `{"stream":true,`, 1))
	if spans := s.sent(t, c); len(spans) != 0 {
		t.Errorf("%d spans were sent, though only metrics are wanted", len(spans))
	}
	for name, bounds := range map[string]int{"gen_ai.client.operation.duration": 14, "gen_ai.client.token.usage": 14, "gen_ai.server.time_to_first_token": 16} {
		m := c.metrics[name]
		if m == nil {
			t.Fatalf("%s is missing: there are %v", name, c.metrics)
		}
		if n := len(m.GetHistogram().DataPoints[0].ExplicitBounds); n != bounds {
			t.Errorf("%s has %d bounds", name, n)
		}
	}
	points := c.metrics["gen_ai.client.token.usage"].GetHistogram().DataPoints
	sums := map[string]float64{}
	for _, p := range points {
		sums[attributes(p.Attributes)["gen_ai.token.type"]] += p.GetSum()
	}
	if sums["input"] != 2000 || sums["output"] != 1000 {
		t.Errorf("tokens: %v", sums)
	}
	failed := false
	for _, p := range c.metrics["gen_ai.client.operation.duration"].GetHistogram().DataPoints {
		failed = failed || pointFailed(p)
	}
	if first := c.metrics["gen_ai.server.time_to_first_token"].GetHistogram().DataPoints; !failed || len(first) != 1 || first[0].Count != 1 {
		t.Errorf("the failure is counted: %v; first tokens: %v", failed, first)
	}
}

func pointFailed(p *metrics.HistogramDataPoint) bool {
	a := attributes(p.Attributes)
	return a["error.type"] == "failed" && a["gen_ai.request.model"] == "m-at-broken" && p.Count == 1
}

// TestBrokenCollector has a collector that refuses and says back who asks: calls go on, and the log says so once, without the secret.
func TestBrokenCollector(t *testing.T) {
	t.Parallel()
	c := collect(t)
	c.broken = "no"
	s := trade(t, sell(t), everywhere(c, "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20collector-s3cret"), nil)
	if code, _ := s.ask(t, "/v1/chat/completions", chat("only-good")); code != 200 {
		t.Errorf("the call got %d", code)
	}
	if err := s.exporter.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if log := s.log.String(); !strings.Contains(log, "traces are lost") || strings.Contains(log, "s3cret") || strings.Contains(log, c.URL) || strings.Count(log, "traces are lost") != 1 {
		t.Errorf("the log says %s", log)
	}
}

// TestFullCollector has a collector that takes what it is sent, compressed, at the second time only.
func TestFullCollector(t *testing.T) {
	t.Parallel()
	c := collect(t)
	c.full = 1
	s := trade(t, sell(t), everywhere(c, "OTEL_EXPORTER_OTLP_COMPRESSION=gzip", "OTEL_METRICS_EXPORTER=none"), nil)
	s.ask(t, "/v1/chat/completions", chat("only-good"))
	if spans := s.sent(t, c); len(spans) != 2 || !c.packed || c.full >= 0 {
		t.Errorf("%d spans came, compressed: %v; the log says %s", len(spans), c.packed, s.log.String())
	}
}

func BenchmarkTraced(b *testing.B) {
	cat, _ := books("http://127.0.0.1:1")
	settings, err := telemetry.FromEnv(func(name string) string {
		return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}[name]
	})
	if err != nil {
		b.Fatal(err)
	}
	x, err := telemetry.Open(b.Context(), settings, cat, nil)
	if err != nil {
		b.Fatal(err)
	}
	f := failover()
	b.Run("called", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			x.Called(f)
		}
	})
	b.Run("traceparent", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			x.Traceparent(f.ID, "00-"+parentTrace+"-"+parentSpan+"-01", 1)
		}
	})
	b.Run("not sampled", func(b *testing.B) {
		f.Parent = "00-" + parentTrace + "-" + parentSpan + "-00"
		b.ReportAllocs()
		for b.Loop() {
			x.Called(f)
		}
	})
	gone, cancel := context.WithCancel(b.Context())
	cancel()
	_ = x.Close(gone) // there is no collector
}
