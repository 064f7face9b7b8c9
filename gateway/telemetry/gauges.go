package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
)

// gauges are what a gateway is like when somebody looks.
var (
	stateDesc    = describe("endpoint_state", "1 for the state that an endpoint is in: ready, degraded, suspect, half-open, probing, open (its breaker), limited or no-headroom.", "endpoint", "state")
	headroomDesc = describe("endpoint_headroom", "Share of the endpoint's tightest limit that is free, from 0 to 1.", "endpoint")
	flightDesc   = describe("in_flight", "Attempts under way.", "endpoint")
	waitingDesc  = describe("waiting", "Calls that wait for an endpoint with room.")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("decouple_gateway_"+name, help, labels, nil)
}

// Show lets the gauges show a gateway.
func (c *Counts) Show(s Source) { c.source.Store(&source{s}) }

// Describe names the metrics.
func (c *Counts) Describe(out chan<- *prometheus.Desc) {
	for _, v := range c.all {
		v.Describe(out)
	}
	for _, d := range []*prometheus.Desc{stateDesc, headroomDesc, flightDesc, waitingDesc} {
		out <- d
	}
}

// Collect gives the metrics.
func (c *Counts) Collect(out chan<- prometheus.Metric) {
	for _, v := range c.all {
		v.Collect(out)
	}
	s := c.source.Load()
	if s == nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(waitingDesc, float64(s.Waiting()))
	for _, h := range s.Health() {
		id := string(h.Endpoint)
		gauge(stateDesc, 1, id, string(h.State))
		gauge(headroomDesc, h.Headroom, id)
		gauge(flightDesc, float64(h.InFlight), id)
	}
}
