package telemetry

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
)

// Exporter sends spans and metrics of calls to a collector. It never blocks a call: what a collector does not take in time is dropped, and said in the log, once a minute at most.
type Exporter struct {
	book
	spans   *sdktrace.TracerProvider // nil sends none
	tracer  trace.Tracer
	sampler sdktrace.Sampler
	meters  *sdkmetric.MeterProvider // nil sends none
	took    metric.Float64Histogram
	tokens  metric.Int64Histogram
	first   metric.Float64Histogram
	points  handles[pointKey, point]
}

// Open begins to send what the settings say. The collector need not be there.
func Open(ctx context.Context, s Settings, cat *catalog.Catalog, log *slog.Logger) (*Exporter, error) {
	x := &Exporter{sampler: s.sampler}
	x.Know(cat)
	about := s.about()
	if s.traces.url != "" {
		// What the batch processor does not take at once, it drops.
		x.spans = sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithSampler(s.sampler), sdktrace.WithIDGenerator(givenIDs{}),
			sdktrace.WithBatcher(spanSink{spanSender{newPoster(s.traces)}, &complaint{what: "traces", to: s.traces, log: log}}))
		x.tracer = x.spans.Tracer(scope, trace.WithSchemaURL(schemaURL))
	}
	if s.metrics.url != "" {
		sink := metricSink{metricSender{newPoster(s.metrics)}, &complaint{what: "metrics", to: s.metrics, log: log}}
		x.meters = sdkmetric.NewMeterProvider(sdkmetric.WithResource(about), sdkmetric.WithReader(sdkmetric.NewPeriodicReader(sink, sdkmetric.WithInterval(s.interval))))
		if err := x.instruments(); err != nil {
			return nil, errors.Join(decouple.Errorf(decouple.Internal, "metrics: %w", err), x.Close(ctx))
		}
	}
	return x, nil
}

// about says who sends.
func (s Settings) about() *resource.Resource {
	instance := s.Instance
	if instance == "" {
		instance = rand.Text()
	}
	all := map[attribute.Key]string{serviceName: "decouple", serviceVersion: s.Version, serviceInstance: instance}
	for k, v := range s.resource {
		all[attribute.Key(k)] = v
	}
	if s.service != "" {
		all[serviceName] = s.service
	}
	var list []attribute.KeyValue
	for k, v := range all {
		if v != "" {
			list = append(list, k.String(v))
		}
	}
	return resource.NewWithAttributes(schemaURL, list...)
}

// Called sends what is to be sent of a call.
func (x *Exporter) Called(f *gateway.Facts) {
	if f.ID == "" {
		return // it was refused at the door: a stranger makes no spans
	}
	if x.spans != nil {
		x.trace(f)
	}
	if x.meters != nil {
		for i := range f.Attempts {
			x.measure(f, &f.Attempts[i])
		}
	}
}

// Close sends what is left, as far as there is time, and ends.
func (x *Exporter) Close(ctx context.Context) error {
	var errs []error
	if x.spans != nil {
		errs = append(errs, x.spans.Shutdown(ctx))
	}
	if x.meters != nil {
		errs = append(errs, x.meters.Shutdown(ctx))
	}
	return errors.Join(errs...)
}
