package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	collectmetrics "go.opentelemetry.io/proto/slim/otlp/collector/metrics/v1"
	collecttraces "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	metrics "go.opentelemetry.io/proto/slim/otlp/metrics/v1"
	traces "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// poster sends messages of OTLP to a collector, protobuf over HTTP.
type poster struct {
	to     signal
	client *http.Client
}

func newPoster(to signal) poster {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = to.tls
	return poster{to, &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}} // the headers are for this collector alone
}

// pauses are how long is waited before a message is sent again to a collector that may yet take it.
var pauses = [...]time.Duration{time.Second, 2 * time.Second, 4 * time.Second}

// post sends a message. What the protocol says may be sent again is sent again, as long as the timeout of the whole lasts.
func (p poster) post(ctx context.Context, m proto.Message) error {
	body, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	if p.to.gzip {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, err1 := z.Write(body)
		if err := errors.Join(err1, z.Close()); err != nil {
			return err
		}
		body = packed.Bytes()
	}
	ctx, cancel := context.WithTimeout(ctx, p.to.timeout)
	defer cancel()
	for n := 0; ; n++ {
		wait, err := p.once(ctx, body)
		if err == nil || wait < 0 || n == len(pauses) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(max(wait, pauses[n])):
		}
	}
}

// once sends a message once. A wait below zero says that it is of no use to send it again.
func (p poster) once(ctx context.Context, body []byte) (wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.to.url, bytes.NewReader(body))
	if err != nil {
		return -1, err
	}
	for name, value := range p.to.headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "decouple")
	if p.to.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return -1, err // nobody is there, and nobody waits for that
	}
	defer func() { _ = resp.Body.Close() }()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		after, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		wait = time.Duration(after) * time.Second
	default:
		if resp.StatusCode/100 == 2 {
			return 0, nil
		}
		wait = -1
	}
	return wait, fmt.Errorf("it answered %s: %s", resp.Status, said)
}

// spanSender sends spans.
type spanSender struct{ poster }

// ExportSpans sends spans.
func (s spanSender) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	all := &traces.ScopeSpans{Scope: scopeOf(spans[0].InstrumentationScope()), SchemaUrl: schemaURL}
	for _, span := range spans {
		all.Spans = append(all.Spans, spanOf(span))
	}
	about := spans[0].Resource() // every span is of this process, and of one scope
	return s.post(ctx, &collecttraces.ExportTraceServiceRequest{ResourceSpans: []*traces.ResourceSpans{{
		Resource: resourceOf(about), SchemaUrl: about.SchemaURL(), ScopeSpans: []*traces.ScopeSpans{all},
	}}})
}

// Shutdown ends it: nothing is kept back.
func (spanSender) Shutdown(context.Context) error { return nil }

// metricSender sends metrics.
type metricSender struct{ poster }

// Temporality says that what is sent is counted from the beginning.
func (metricSender) Temporality(sdkmetric.InstrumentKind) metricdata.Temporality {
	return metricdata.CumulativeTemporality
}

// Aggregation is the usual one.
func (metricSender) Aggregation(kind sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	return sdkmetric.DefaultAggregationSelector(kind)
}

// Export sends metrics.
func (s metricSender) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	out := &metrics.ResourceMetrics{Resource: resourceOf(m.Resource), SchemaUrl: m.Resource.SchemaURL()}
	var errs []error
	for _, sm := range m.ScopeMetrics {
		all := &metrics.ScopeMetrics{Scope: scopeOf(sm.Scope), SchemaUrl: sm.Scope.SchemaURL}
		for _, one := range sm.Metrics {
			p, err := metricOf(one)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			all.Metrics = append(all.Metrics, p)
		}
		out.ScopeMetrics = append(out.ScopeMetrics, all)
	}
	errs = append(errs, s.post(ctx, &collectmetrics.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{out}}))
	return errors.Join(errs...)
}

// ForceFlush has nothing to do: nothing is kept back.
func (metricSender) ForceFlush(context.Context) error { return nil }

// Shutdown ends it.
func (metricSender) Shutdown(context.Context) error { return nil }
