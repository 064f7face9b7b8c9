// Package telemetry answers "what is counted of calls, and where do traces of them go?".
//
// [Counts] counts for Prometheus, and is a collector of GET /metrics. [Exporter] makes OpenTelemetry spans and metrics of calls and sends them by OTLP over HTTP; names.go is
// the table of all names, and says which version of the conventions they are from. Both are told of a call when it has ended, by [gateway.Facts], which hold nothing that a
// caller or a model said: no body can get into a metric or a span, because none comes here.
//
// The spans of a call are made after the fact. Which ids they have is known before: they are derived from the call's id, so that endpoints can be told the span of the attempt
// that asks them, and whoever has a decision's id can work out its trace.
package telemetry
