package telemetry

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/gateway/route"
)

// nobody is the endpoint of calls that asked none, and succeeded the outcome of those that were answered.
const (
	nobody    = "none"
	succeeded = "ok"
)

// Counts counts calls for Prometheus. It is a [gateway.Watcher] and a collector. A call costs it a few hundred nanoseconds and makes no garbage.
type Counts struct {
	book
	source atomic.Pointer[source]

	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	hits     *prometheus.CounterVec
	attempts *prometheus.CounterVec
	retries  *prometheus.CounterVec
	tokens   *prometheus.CounterVec
	cost     *prometheus.CounterVec
	first    *prometheus.HistogramVec
	took     *prometheus.HistogramVec
	all      []prometheus.Collector

	calls     handles[callKey, prometheus.Counter]
	doors     handles[ledger.Door, prometheus.Observer]
	endpoints handles[catalog.EndpointID, *endpointCounts]
}

// callKey is the labels of a call.
type callKey struct {
	door     ledger.Door
	model    string
	endpoint catalog.EndpointID
	kind     decouple.Kind
}

// endpointCounts is what is counted of one endpoint, found once.
type endpointCounts struct {
	outcomes                                    handles[route.Kind, prometheus.Counter]
	retries, in, out, cached, written, thoughts prometheus.Counter
	cost                                        prometheus.Counter
	first, took                                 prometheus.Observer
}

// Source is what the gauges show.
type Source interface {
	Health() []route.Health
	Waiting() int
}

// source lets an interface be swapped as one word.
type source struct{ Source }

// NewCounts makes counters for the names of a catalog.
func NewCounts(cat *catalog.Catalog) *Counts {
	c := &Counts{}
	c.Know(cat)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "decouple_gateway_" + name, Help: help}, labels)
		c.all = append(c.all, v)
		return v
	}
	histogram := func(name, help string, buckets []float64, label string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "decouple_gateway_" + name, Help: help, Buckets: buckets}, []string{label})
		c.all = append(c.all, v)
		return v
	}
	c.requests = counter("requests_total", "Calls by door, model or alias asked for, endpoint that answered or failed last, and outcome: ok or the kind of error.", "door", "model", "endpoint", "outcome")
	c.seconds = histogram("request_seconds", "How long calls took, from the door to the settlement.", durationBounds, "door")
	c.hits = counter("cache_hits_total", "Calls that were answered without a model: from memory (hit) or with the answer to another call (shared).", "cache")
	c.attempts = counter("attempts_total", "Attempts by endpoint and what was seen of them.", "endpoint", "outcome")
	c.retries = counter("retries_total", "Attempts after the first one of a call, by the endpoint that was then asked.", "endpoint")
	c.tokens = counter("tokens_total", "Tokens by kind: in and out are all; cached and cache_write are of in, thought is of out.", "endpoint", "kind")
	c.cost = counter("cost_usd_total", "Cost of attempts in dollars, as it is settled.", "endpoint")
	c.first = histogram("first_token_seconds", "Time from the request to the first token of a stream.", firstBounds, "endpoint")
	c.took = histogram("attempt_seconds", "How long attempts took, failed ones too.", durationBounds, "endpoint")
	return c
}

// Called counts a call.
func (c *Counts) Called(f *gateway.Facts) {
	key := callKey{f.Door, c.model(f), nobody, f.Kind}
	last := ending(f)
	if last != nil {
		key.endpoint = last.Endpoint
	}
	n, ok := c.calls.find(key)
	if !ok {
		n = c.calls.keep(key, c.requests.WithLabelValues(string(key.door), key.model, string(key.endpoint), orOK(string(key.kind))))
	}
	n.Inc()
	if f.ID == "" {
		return // it was refused at the door: nothing took time
	}
	d, ok := c.doors.find(f.Door)
	if !ok {
		d = c.doors.keep(f.Door, c.seconds.WithLabelValues(string(f.Door)))
	}
	d.Observe(f.Took.Seconds())
	if f.Cache != "" && len(f.Attempts) == 0 && f.Kind == "" {
		c.hits.WithLabelValues(f.Cache).Inc()
	}
	for i := range f.Attempts {
		c.attempt(&f.Attempts[i], f.Stream)
	}
}

func (c *Counts) attempt(a *gateway.AttemptFacts, stream bool) {
	e := c.endpoint(a.Endpoint)
	n, ok := e.outcomes.find(a.Outcome)
	if !ok {
		n = e.outcomes.keep(a.Outcome, c.attempts.WithLabelValues(string(a.Endpoint), string(a.Outcome)))
	}
	n.Inc()
	if a.N > 1 {
		e.retries.Inc()
	}
	add(e.in, a.Usage.TokensIn)
	add(e.out, a.Usage.TokensOut)
	add(e.cached, a.Usage.Cached)
	add(e.written, a.Usage.CacheWrite+a.Usage.CacheLong)
	add(e.thoughts, a.Usage.Thought)
	if a.Usage.Cost > 0 {
		e.cost.Add(a.Usage.Cost.Dollars())
	}
	e.took.Observe(a.Took.Seconds())
	if stream && a.FirstToken > 0 {
		e.first.Observe(a.FirstToken.Seconds())
	}
}

// endpoint finds what is counted of an endpoint.
func (c *Counts) endpoint(id catalog.EndpointID) *endpointCounts {
	if e, ok := c.endpoints.find(id); ok {
		return e
	}
	of := func(kind string) prometheus.Counter { return c.tokens.WithLabelValues(string(id), kind) }
	return c.endpoints.keep(id, &endpointCounts{
		retries: c.retries.WithLabelValues(string(id)), in: of("in"), out: of("out"), cached: of("cached"), written: of("cache_write"), thoughts: of("thought"),
		cost: c.cost.WithLabelValues(string(id)), first: c.first.WithLabelValues(string(id)), took: c.took.WithLabelValues(string(id)),
	})
}

// add adds what is there: a count of a provider may be missing, and none can take back.
func add(c prometheus.Counter, n int64) {
	if n > 0 {
		c.Add(float64(n))
	}
}

// ending is the attempt that the call ended with: the one that answered, else the last; nil if nobody was asked.
func ending(f *gateway.Facts) *gateway.AttemptFacts {
	for i := range f.Attempts {
		if f.Attempts[i].Outcome == route.OK {
			return &f.Attempts[i]
		}
	}
	if n := len(f.Attempts); n > 0 {
		return &f.Attempts[n-1]
	}
	return nil
}

func orOK(kind string) string {
	if kind == "" {
		return succeeded
	}
	return kind
}
