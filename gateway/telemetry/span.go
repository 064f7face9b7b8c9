package telemetry

import (
	"context"
	"crypto/sha256"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/gateway/route"
)

// ids are those of a span that is to be made.
type ids struct {
	trace trace.TraceID
	span  trace.SpanID
}

type idsKey struct{}

// idsOf derives the ids of a call's span, and of those of its attempts, from the call's id. The trace is the call's own unless its caller has one.
func idsOf(call string, n int) ids {
	sum := sha256.Sum256([]byte(call + "/" + strconv.Itoa(n)))
	return ids{trace.TraceID(sum[:16]), trace.SpanID(sum[16:24])}
}

// givenIDs gives the library the ids that were derived.
type givenIDs struct{}

// NewIDs gives those of a root.
func (givenIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	i, _ := ctx.Value(idsKey{}).(ids)
	return i.trace, i.span
}

// NewSpanID gives that of a child.
func (givenIDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	i, _ := ctx.Value(idsKey{}).(ids)
	return i.span
}

// under is a context below the trace of the caller, if the header is one.
func under(parent string) context.Context {
	ctx := context.Background()
	if parent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": parent})
}

// samples says in which trace a call is, and whether its spans are sent.
func (x *Exporter) samples(ctx context.Context, call string) (trace.TraceID, bool) {
	id := trace.SpanContextFromContext(ctx).TraceID()
	if !id.IsValid() {
		id = idsOf(call, 0).trace
	}
	r := x.sampler.ShouldSample(sdktrace.SamplingParameters{ParentContext: ctx, TraceID: id, Kind: trace.SpanKindServer})
	return id, r.Decision == sdktrace.RecordAndSample
}

// Traceparent is the W3C trace context of an attempt, which endpoints are told. Without traces it is that of the caller.
func (x *Exporter) Traceparent(call, parent string, n int) string {
	if x.spans == nil {
		return parent
	}
	id, sampled := x.samples(under(parent), call)
	flags := trace.TraceFlags(0).WithSampled(sampled)
	return "00-" + id.String() + "-" + idsOf(call, n).span.String() + "-" + flags.String()
}

// trace makes the spans of a call.
func (x *Exporter) trace(f *gateway.Facts) {
	ctx := under(f.Parent)
	if _, sampled := x.samples(ctx, f.ID); !sampled {
		return
	}
	kind := trace.SpanKindServer
	if f.Door == ledger.Agent {
		kind = trace.SpanKindInternal
	}
	ctx, span := x.tracer.Start(context.WithValue(ctx, idsKey{}, idsOf(f.ID, 0)), operationOf(f)+" "+clip(f.Asked), trace.WithTimestamp(f.Began), trace.WithSpanKind(kind), trace.WithAttributes(x.ofCall(f)...))
	for i := range f.Attempts {
		a := &f.Attempts[i]
		_, child := x.tracer.Start(context.WithValue(ctx, idsKey{}, idsOf(f.ID, a.N)), operationOf(f)+" "+clip(a.Name), trace.WithTimestamp(a.Began), trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(x.ofAttempt(f, a)...))
		if a.Outcome != route.OK {
			child.SetStatus(codes.Error, string(a.Outcome))
		}
		child.End(trace.WithTimestamp(a.Began.Add(a.Took)))
	}
	if f.Kind != "" {
		span.SetStatus(codes.Error, string(f.Kind))
	}
	span.End(trace.WithTimestamp(f.Began.Add(f.Took)))
}

func operationOf(f *gateway.Facts) string {
	if f.Door == ledger.Embeddings {
		return opEmbeddings
	}
	return opChat
}

// list gathers attributes that are there.
type list []attribute.KeyValue

func (l *list) text(k attribute.Key, v string) {
	if v != "" {
		*l = append(*l, k.String(clip(v)))
	}
}

func (l *list) number(k attribute.Key, n int64) {
	if n > 0 {
		*l = append(*l, k.Int64(n))
	}
}

// ofCall are the attributes of a call: the usage of all its attempts stands here, and only here, so that sums over spans are true.
func (x *Exporter) ofCall(f *gateway.Facts) []attribute.KeyValue {
	l := make(list, 0, 24)
	l.text(operationName, operationOf(f))
	l.text(requestModel, f.Asked)
	l = append(l, requestStream.Bool(f.Stream))
	provider := ourselves
	if a := ending(f); a != nil {
		provider = providerOf(a.Provider)
		x.answered(&l, a)
		l.text(ownEndpoint, string(a.Endpoint))
	}
	l.text(providerName, provider)
	if f.Kind == "" || f.Usage.TokensIn > 0 {
		l = append(l, tokensIn.Int64(f.Usage.TokensIn), tokensOut.Int64(f.Usage.TokensOut))
	}
	l.number(tokensCached, f.Usage.Cached)
	l.number(tokensWritten, f.Usage.CacheWrite+f.Usage.CacheLong)
	l.number(tokensThought, f.Usage.Thought)
	if f.Usage.Cost > 0 {
		l = append(l, ownCost.Float64(f.Usage.Cost.Dollars()))
	}
	l.text(errorType, string(f.Kind))
	l.text(agentName, string(f.Agent))
	l.text(ownDecision, f.ID)
	l.text(ownDoor, string(f.Door))
	l.text(ownTenant, string(f.Tenant))
	l.text(ownKey, f.Key)
	l.text(ownTeam, f.Team)
	l.text(ownClass, f.Class)
	l.text(ownCache, f.Cache)
	return l
}

// ofAttempt are the attributes of an attempt.
func (x *Exporter) ofAttempt(f *gateway.Facts, a *gateway.AttemptFacts) []attribute.KeyValue {
	l := make(list, 0, 16)
	l.text(operationName, operationOf(f))
	l.text(providerName, providerOf(a.Provider))
	l.text(requestModel, a.Name)
	x.answered(&l, a)
	l.text(cloudRegion, a.Region)
	l.text(ownEndpoint, string(a.Endpoint))
	l.number(ownAttempt, int64(a.N))
	l.text(ownOutcome, string(a.Outcome))
	if a.Outcome != route.OK {
		l.text(errorType, string(a.Outcome))
	}
	l.number(responseStatus, int64(a.Status))
	return l
}

// answered adds who answered, and how.
func (x *Exporter) answered(l *list, a *gateway.AttemptFacts) {
	l.text(responseModel, a.Answered)
	if a.Finish != "" {
		*l = append(*l, finishReasons.StringSlice([]string{string(a.Finish)}))
	}
	if a.FirstToken > 0 {
		*l = append(*l, timeToFirstChunk.Float64(a.FirstToken.Seconds()))
	}
	p := x.place(a.Endpoint)
	l.text(serverAddress, p.host)
	l.number(serverPort, int64(p.port))
}
