package telemetry_test

import (
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/telemetry"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	const at = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"
	for _, tt := range []struct {
		env string
		off bool
		bad string // the variable that the error names
	}{
		{"", true, ""},
		{at, false, ""},
		{at + " OTEL_SDK_DISABLED=true", true, ""},
		{at + " OTEL_TRACES_EXPORTER=none OTEL_METRICS_EXPORTER=none", true, ""},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://collector.example/x", false, ""},
		{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=https://collector.example/x", false, ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=127.0.0.1:4318", true, "OTEL_EXPORTER_OTLP_ENDPOINT"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://me:s3cret@127.0.0.1", true, "OTEL_EXPORTER_OTLP_ENDPOINT"},
		{at + " OTEL_EXPORTER_OTLP_PROTOCOL=grpc", true, "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{at + " OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf OTEL_METRICS_EXPORTER=none", false, ""},
		{at + " OTEL_EXPORTER_OTLP_HEADERS=s3cret", true, "OTEL_EXPORTER_OTLP_HEADERS"},
		{at + " OTEL_EXPORTER_OTLP_HEADERS=a=s3cret%0d%0a", true, "OTEL_EXPORTER_OTLP_HEADERS"},
		{at + " OTEL_EXPORTER_OTLP_TIMEOUT=s3cret", true, "OTEL_EXPORTER_OTLP_TIMEOUT"},
		{at + " OTEL_EXPORTER_OTLP_COMPRESSION=gzip", false, ""},
		{at + " OTEL_EXPORTER_OTLP_COMPRESSION=s3cret", true, "OTEL_EXPORTER_OTLP_COMPRESSION"},
		{at + " OTEL_EXPORTER_OTLP_CERTIFICATE=/none/s3cret", true, "OTEL_EXPORTER_OTLP_CERTIFICATE"},
		{at + " OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=/none/s3cret", true, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"},
		{at + " OTEL_METRIC_EXPORT_INTERVAL=-1", true, "OTEL_METRIC_EXPORT_INTERVAL"},
		{at + " OTEL_TRACES_SAMPLER=s3cret", true, "OTEL_TRACES_SAMPLER"},
		{at + " OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=NaN", true, "OTEL_TRACES_SAMPLER_ARG"},
		{at + " OTEL_RESOURCE_ATTRIBUTES=s3cret", true, "OTEL_RESOURCE_ATTRIBUTES"},
	} {
		env := map[string]string{}
		for _, item := range strings.Fields(tt.env) {
			name, value, _ := strings.Cut(item, "=")
			env[name] = value
		}
		s, err := telemetry.FromEnv(func(name string) string { return env[name] })
		switch {
		case s.Off() != tt.off:
			t.Errorf("%s: off is %v", tt.env, s.Off())
		case (err != nil) != (tt.bad != ""):
			t.Errorf("%s: %v", tt.env, err)
		case err != nil && (decouple.KindOf(err) != decouple.Invalid || !strings.HasPrefix(err.Error(), tt.bad+" ") && !strings.HasPrefix(err.Error(), tt.bad+":") || strings.Contains(err.Error(), "s3cret")):
			t.Errorf("%s: %v", tt.env, err)
		}
	}
}

// FuzzEnvironment reads anything: no value comes back in an error, and what is accepted can be opened.
func FuzzEnvironment(f *testing.F) {
	f.Add("http://127.0.0.1:1", "a=b,c=d%20e", "parentbased_traceidratio", "0.5", "k=v")
	f.Add("https://[::1]:4318/base?x=y#z", "a", "always_on", "", "%")
	f.Add("\x00", "\xff=\xff", "", "", "=")
	f.Fuzz(func(t *testing.T, at, headers, sampler, arg, about string) {
		env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": at, "OTEL_EXPORTER_OTLP_HEADERS": headers, "OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": arg, "OTEL_RESOURCE_ATTRIBUTES": about}
		s, err := telemetry.FromEnv(func(name string) string { return env[name] })
		if err != nil {
			if len(headers) > 40 && strings.Contains(err.Error(), headers) {
				t.Errorf("the headers are in the error: %v", err)
			}
			return
		}
		cat, _ := books("http://127.0.0.1:1")
		x, err := telemetry.Open(t.Context(), s, cat, nil)
		if err != nil {
			t.Fatalf("%q was accepted, and cannot be opened: %v", env, err)
		}
		if got := x.Traceparent("dec_1", about, 1); !s.Off() && len(got) != 55 {
			t.Errorf("the trace context is %q", got)
		}
		if err := x.Close(t.Context()); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
}
