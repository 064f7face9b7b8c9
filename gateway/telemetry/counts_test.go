package telemetry_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/gateway/telemetry"
)

// scrape gives all metrics in the format of Prometheus, and what its own parser makes of them: name{label=value,...} to the value; of a histogram the count.
func scrape(t *testing.T, c prometheus.Collector) (string, map[string]float64) {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for _, f := range all {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	raw := text.String()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(&text)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for name, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			out[strings.TrimPrefix(name, "decouple_gateway_")+"{"+strings.Join(labels, ",")+"}"] = value(m)
		}
	}
	return raw, out
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	}
	return float64(m.GetHistogram().GetSampleCount())
}

func TestCounts(t *testing.T) {
	t.Parallel()
	s := trade(t, sell(t), nil, func(c *gateway.Config) {
		a := c.Catalog.Aliases["only-good"]
		a.Cache = time.Minute
		c.Catalog.Aliases["only-good"] = a
	})
	s.ask(t, "/v1/chat/completions", chat("only-good"))
	s.ask(t, "/v1/chat/completions", chat("only-good"))
	s.ask(t, "/v1/chat/completions", chat("failing"))
	s.ask(t, "/v1/messages", `{"model":"m-of-old","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hello"}]}`)
	s.ask(t, "/v1/chat/completions", chat("never heard of"))
	s.ask(t, "/v1/chat/completions", chat("m"), "Authorization: Bearer wrong")
	_, got := scrape(t, s.counts)
	for name, want := range map[string]float64{
		"requests_total{door=chat,endpoint=good,model=only-good,outcome=ok}":          1,
		"requests_total{door=chat,endpoint=none,model=only-good,outcome=ok}":          1,
		"requests_total{door=chat,endpoint=good,model=failing,outcome=ok}":            1,
		"requests_total{door=messages,endpoint=good,model=m,outcome=ok}":              1,
		"requests_total{door=chat,endpoint=none,model=other,outcome=not_found}":       1,
		"requests_total{door=chat,endpoint=none,model=other,outcome=unauthenticated}": 1,
		"cache_hits_total{cache=hit}":                                                 1,
		"attempts_total{endpoint=broken,outcome=failed}":                              1,
		"attempts_total{endpoint=good,outcome=ok}":                                    3,
		"retries_total{endpoint=good}":                                                1,
		"retries_total{endpoint=broken}":                                              0,
		"tokens_total{endpoint=good,kind=in}":                                         3000,
		"tokens_total{endpoint=good,kind=out}":                                        1500,
		"tokens_total{endpoint=good,kind=cached}":                                     400,
		"cost_usd_total{endpoint=good}":                                               .006,
		"first_token_seconds{endpoint=good}":                                          1,
		"attempt_seconds{endpoint=good}":                                              3,
		"attempt_seconds{endpoint=broken}":                                            1,
		"request_seconds{door=chat}":                                                  3,
		"in_flight{endpoint=good}":                                                    0,
		"waiting{}":                                                                   0,
		"endpoint_headroom{endpoint=good}":                                            1,
		"endpoint_state{endpoint=good,state=ready}":                                   1,
	} {
		if v, ok := got[name]; !ok || v < want-1e-9 || v > want+1e-9 {
			t.Errorf("%s is %v (there: %v), not %v", name, v, ok, want)
		}
	}
	if t.Failed() {
		t.Logf("%v", got)
	}
}

// TestNamesAreBounded asks for a thousand names: no caller makes series.
func TestNamesAreBounded(t *testing.T) {
	t.Parallel()
	cat, _ := books("http://127.0.0.1:1")
	c := telemetry.NewCounts(cat)
	before, _ := scrape(t, c)
	for i := range 1000 {
		c.Called(&gateway.Facts{ID: "x", Door: ledger.Chat, Asked: fmt.Sprintf("azure/m-%d\xff\n", i)})
	}
	after, _ := scrape(t, c)
	if n := strings.Count(after, "requests_total{") - strings.Count(before, "requests_total{"); n != 1 {
		t.Errorf("there are %d series more", n)
	}
	more, _ := books("http://127.0.0.1:1")
	more.Aliases["new"] = catalog.Alias{Name: "new"}
	c.Know(more)
	c.Called(&gateway.Facts{ID: "x", Door: ledger.Chat, Asked: "new"})
	if _, got := scrape(t, c); got["requests_total{door=chat,endpoint=none,model=new,outcome=ok}"] != 1 {
		t.Errorf("an alias of a new catalog is not counted: %v", got)
	}
}

// failover is a call that asked two endpoints.
func failover() *gateway.Facts {
	now := time.Now()
	return &gateway.Facts{
		ID: "dec_abcdefghijklmnopqrst", Tenant: "local", Key: "key-1", Door: ledger.Chat, Asked: "failing", Stream: true, Began: now, Took: time.Second,
		Usage: decouple.Usage{TokensIn: 1000, TokensOut: 500, Cost: decouple.USD}, Attempts: []gateway.AttemptFacts{
			{N: 1, Endpoint: "broken", Provider: "compatible", Model: "m", Name: "m-at-broken", Began: now, Took: time.Millisecond, Outcome: route.Failed, Status: 500},
			{N: 2, Endpoint: "good", Provider: "compatible", Model: "m", Name: "m-at-good", Answered: "real-1", Began: now, FirstToken: 100 * time.Millisecond, Took: time.Second, Outcome: route.OK,
				Usage: decouple.Usage{TokensIn: 1000, TokensOut: 500, Cached: 3, Cost: decouple.USD}, Finish: decouple.FinishStop},
		},
	}
}

func BenchmarkCounts(b *testing.B) {
	cat, _ := books("http://127.0.0.1:1")
	c, f := telemetry.NewCounts(cat), failover()
	f.Attempts = f.Attempts[1:]
	b.ReportAllocs()
	for b.Loop() {
		c.Called(f)
	}
}
