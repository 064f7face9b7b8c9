package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// quiet is how long nothing more is said of a collector that fails.
const quiet = time.Minute

// complaint says in the log that a collector does not take what it is sent. The library would write its errors to the process's standard error, with all that a collector says.
type complaint struct {
	what string
	to   signal
	log  *slog.Logger
	mu   sync.Mutex
	last time.Time
}

func (c *complaint) about(err error) {
	if err == nil || c.log == nil || errors.Is(err, context.Canceled) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.last) < quiet && !c.last.IsZero() {
		return
	}
	c.last = time.Now()
	c.log.Warn(c.what+" are lost: the collector does not take them", "why", plain(err, c.to))
}

// plain is an error of the library without the address, which may hold a key, without the headers, which are secrets, and cut to a length for people.
func plain(err error, to signal) string {
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	text := strings.ReplaceAll(err.Error(), to.url, "the collector")
	for _, v := range to.headers {
		for _, word := range strings.Fields(v) { // "Bearer ..." may come back in parts
			if len(word) > 5 {
				text = strings.ReplaceAll(text, word, "...")
			}
		}
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "..."
	}
	return text
}

// spanSink sends spans, and complains instead of the library.
type spanSink struct {
	sdktrace.SpanExporter
	complaint *complaint
}

// ExportSpans sends spans.
func (s spanSink) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	s.complaint.about(s.SpanExporter.ExportSpans(ctx, spans))
	return nil
}

// metricSink sends metrics, and complains instead of the library.
type metricSink struct {
	sdkmetric.Exporter
	complaint *complaint
}

// Export sends metrics.
func (s metricSink) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	s.complaint.about(s.Exporter.Export(ctx, m))
	return nil
}
