package telemetry

import (
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/slim/otlp/metrics/v1"
	resources "go.opentelemetry.io/proto/slim/otlp/resource/v1"
	traces "go.opentelemetry.io/proto/slim/otlp/trace/v1"
)

// This file turns the library's spans and metrics into messages of OTLP. Its own exporters do that too, and bring all of gRPC into the binary.

func resourceOf(r *resource.Resource) *resources.Resource {
	return &resources.Resource{Attributes: attributesOf(r.Attributes())}
}

func scopeOf(s instrumentation.Scope) *common.InstrumentationScope {
	return &common.InstrumentationScope{Name: s.Name, Version: s.Version}
}

func attributesOf(list []attribute.KeyValue) []*common.KeyValue {
	out := make([]*common.KeyValue, 0, len(list))
	for _, kv := range list {
		out = append(out, &common.KeyValue{Key: string(kv.Key), Value: valueOf(kv.Value)})
	}
	return out
}

func valueOf(v attribute.Value) *common.AnyValue {
	switch v.Type() {
	case attribute.BOOL:
		return &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: v.AsBool()}}
	case attribute.INT64:
		return &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: v.AsInt64()}}
	case attribute.FLOAT64:
		return &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: v.AsFloat64()}}
	case attribute.STRING:
		return textOf(v.AsString())
	case attribute.STRINGSLICE:
		list := &common.ArrayValue{}
		for _, s := range v.AsStringSlice() {
			list.Values = append(list.Values, textOf(s))
		}
		return &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: list}}
	default:
		return textOf(v.String())
	}
}

func textOf(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}

func nanos(t time.Time) uint64 { return uint64(max(0, t.UnixNano())) }

// remoteKnown, and remote with it, say in a span's flags whether its parent is of another process.
const (
	remoteKnown = uint32(traces.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK)
	remote      = uint32(traces.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
)

// kindOf is the library's kind of a span in the words of the protocol.
func kindOf(k trace.SpanKind) traces.Span_SpanKind {
	switch k {
	case trace.SpanKindServer:
		return traces.Span_SPAN_KIND_SERVER
	case trace.SpanKindClient:
		return traces.Span_SPAN_KIND_CLIENT
	default:
		return traces.Span_SPAN_KIND_INTERNAL
	}
}

func spanOf(s sdktrace.ReadOnlySpan) *traces.Span {
	here, parent := s.SpanContext(), s.Parent()
	id, span := here.TraceID(), here.SpanID()
	out := &traces.Span{
		TraceId: id[:], SpanId: span[:], TraceState: here.TraceState().String(), Flags: uint32(here.TraceFlags()) | remoteKnown, Name: s.Name(), Kind: kindOf(s.SpanKind()),
		StartTimeUnixNano: nanos(s.StartTime()), EndTimeUnixNano: nanos(s.EndTime()), Attributes: attributesOf(s.Attributes()), DroppedAttributesCount: uint32(max(0, s.DroppedAttributes())),
		Status: &traces.Status{Message: s.Status().Description},
	}
	if above := parent.SpanID(); above.IsValid() {
		out.ParentSpanId = above[:]
	}
	if parent.IsRemote() {
		out.Flags |= remote
	}
	switch s.Status().Code {
	case codes.Ok:
		out.Status.Code = traces.Status_STATUS_CODE_OK
	case codes.Error:
		out.Status.Code = traces.Status_STATUS_CODE_ERROR
	}
	return out
}

// metricOf turns a histogram into its message: this room makes nothing else.
func metricOf(m metricdata.Metrics) (*metrics.Metric, error) {
	out := &metrics.Metric{Name: m.Name, Description: m.Description, Unit: m.Unit}
	switch h := m.Data.(type) {
	case metricdata.Histogram[int64]:
		out.Data = &metrics.Metric_Histogram{Histogram: histogramOf(h)}
	case metricdata.Histogram[float64]:
		out.Data = &metrics.Metric_Histogram{Histogram: histogramOf(h)}
	default:
		return nil, fmt.Errorf("the metric %s is a %T, and only histograms are sent", m.Name, m.Data)
	}
	return out, nil
}

func histogramOf[N int64 | float64](h metricdata.Histogram[N]) *metrics.Histogram {
	out := &metrics.Histogram{AggregationTemporality: metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE}
	for _, p := range h.DataPoints {
		sum := float64(p.Sum)
		d := &metrics.HistogramDataPoint{
			Attributes: attributesOf(p.Attributes.ToSlice()), StartTimeUnixNano: nanos(p.StartTime), TimeUnixNano: nanos(p.Time),
			Count: p.Count, Sum: &sum, BucketCounts: p.BucketCounts, ExplicitBounds: p.Bounds,
		}
		if v, ok := p.Min.Value(); ok {
			low := float64(v)
			d.Min = &low
		}
		if v, ok := p.Max.Value(); ok {
			high := float64(v)
			d.Max = &high
		}
		out.DataPoints = append(out.DataPoints, d)
	}
	return out
}
