package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/route"
)

// instruments makes what measures.
func (x *Exporter) instruments() error {
	m := x.meters.Meter(scope, metric.WithSchemaURL(schemaURL))
	var errs [3]error
	x.took, errs[0] = m.Float64Histogram(operationDuration, metric.WithUnit("s"), metric.WithDescription("GenAI operation duration."), metric.WithExplicitBucketBoundaries(durationBounds...))
	x.tokens, errs[1] = m.Int64Histogram(tokenUsage, metric.WithUnit("{token}"), metric.WithDescription("Number of input and output tokens used."), metric.WithExplicitBucketBoundaries(tokenBounds...))
	x.first, errs[2] = m.Float64Histogram(timeToFirstToken, metric.WithUnit("s"), metric.WithDescription("Time to generate first token for successful responses."), metric.WithExplicitBucketBoundaries(firstBounds...))
	return errors.Join(errs[:]...)
}

// pointKey is what tells the series of attempts apart.
type pointKey struct {
	operation string
	endpoint  catalog.EndpointID
	name      string
	answered  string
	outcome   route.Kind
}

// point is the attributes of a series, made once.
type point struct{ plain, in, out metric.MeasurementOption }

// measure counts an attempt.
func (x *Exporter) measure(f *gateway.Facts, a *gateway.AttemptFacts) {
	p := x.point(f, a)
	ctx := context.Background()
	x.took.Record(ctx, a.Took.Seconds(), p.plain)
	if a.Usage.TokensIn > 0 {
		x.tokens.Record(ctx, a.Usage.TokensIn, p.in)
	}
	if a.Usage.TokensOut > 0 {
		x.tokens.Record(ctx, a.Usage.TokensOut, p.out)
	}
	if f.Stream && a.FirstToken > 0 && a.Outcome == route.OK {
		x.first.Record(ctx, a.FirstToken.Seconds(), p.plain)
	}
}

func (x *Exporter) point(f *gateway.Facts, a *gateway.AttemptFacts) point {
	key := pointKey{operationOf(f), a.Endpoint, a.Name, a.Answered, a.Outcome}
	if p, ok := x.points.find(key); ok {
		return p
	}
	key.answered = clip(a.Answered) // what is kept holds on to no text of others
	var l list
	l.text(operationName, key.operation)
	l.text(providerName, providerOf(a.Provider))
	l.text(requestModel, a.Name)
	l.text(responseModel, key.answered)
	if at := x.place(a.Endpoint); at.host != "" {
		l.text(serverAddress, at.host)
		l.number(serverPort, int64(at.port))
	}
	if a.Outcome != route.OK {
		l.text(errorType, string(a.Outcome))
	}
	with := func(more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(more, l...)...))
	}
	return x.points.keep(key, point{with(), with(tokenType.String(typeInput)), with(tokenType.String(typeOutput))})
}
