package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
)

// metrics counts what this process does. A fleet's sums are those over its nodes.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	watchers prometheus.Gauge
	fallen   prometheus.Counter
	steps    *prometheus.CounterVec
	tools    *prometheus.CounterVec
	ended    *prometheus.CounterVec
	tokens   *prometheus.CounterVec
	cost     prometheus.Counter
	parked   prometheus.Counter
}

func newMetrics() *metrics {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "decouple_" + name, Help: help}, labels)
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: vec("http_requests_total", "Requests by route and kind of error; none is empty.", "route", "error"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "decouple_http_request_seconds", Help: "How long requests took; a stream counts until it ends.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30}}, []string{"route"}),
		watchers: prometheus.NewGauge(prometheus.GaugeOpts{Name: "decouple_watchers", Help: "Live streams of events that are open."}),
		fallen:   prometheus.NewCounter(prometheus.CounterOpts{Name: "decouple_watchers_behind_total", Help: "Times that a slow watcher went back to reading the journal."}),
		steps:    vec("steps_total", "Answers of models that became durable, by agent.", "agent"),
		tools:    vec("tool_calls_total", "Tool calls, by tool.", "tool"),
		ended:    vec("runs_ended_total", "Runs that ended on this node, by agent and cause.", "agent", "cause"),
		tokens:   vec("tokens_total", "Tokens of runs that ended on this node, by direction.", "direction"),
		cost:     prometheus.NewCounter(prometheus.CounterOpts{Name: "decouple_cost_usd_total", Help: "Cost of runs that ended on this node."}),
		parked:   prometheus.NewCounter(prometheus.CounterOpts{Name: "decouple_runs_parked_total", Help: "Times that a run on this node began to wait."}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.watchers, m.fallen, m.steps, m.tools, m.ended, m.tokens, m.cost, m.parked,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Metrics is the handler of GET /metrics, with further collectors.
func (h *Hub) Metrics(more ...prometheus.Collector) http.Handler {
	h.metrics.registry.MustRegister(more...)
	return promhttp.HandlerFor(h.metrics.registry, promhttp.HandlerOpts{})
}

func (m *metrics) served(route string, kind decouple.Kind, took time.Duration) {
	m.requests.WithLabelValues(route, string(kind)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

func (m *metrics) signal(s engine.Signal) {
	switch s.Kind {
	case engine.SignalStep:
		m.steps.WithLabelValues(string(s.Agent)).Inc()
	case engine.SignalTool:
		m.tools.WithLabelValues(strings.SplitN(s.Text, " ", 2)[0]).Inc()
	case engine.SignalParked:
		m.parked.Inc()
	case engine.SignalEnded:
		m.ended.WithLabelValues(string(s.Agent), string(s.Cause.Kind)).Inc()
		m.tokens.WithLabelValues("in").Add(float64(s.Usage.TokensIn))
		m.tokens.WithLabelValues("out").Add(float64(s.Usage.TokensOut))
		m.cost.Add(max(0, s.Usage.Cost.Dollars()))
	}
}
