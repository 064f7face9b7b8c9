package telemetry

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"decouple.dev/decouple"
)

// Settings say what is sent where. The zero value sends nothing.
type Settings struct {
	traces, metrics signal
	sampler         sdktrace.Sampler
	interval        time.Duration // between two sendings of metrics
	service         string
	resource        map[string]string
	Version         string // of this program
	Instance        string // of this process, among all that send under one name
}

// signal is where one kind of telemetry is sent; without a URL it is not.
type signal struct {
	url     string
	headers map[string]string
	timeout time.Duration
	gzip    bool
	tls     *tls.Config // nil is the system's
}

// Off says that nothing is sent.
func (s Settings) Off() bool { return s.traces.url == "" && s.metrics.url == "" }

// FromEnv reads the variables that OpenTelemetry has for it. Their names are the standard's, and a value that cannot be used is Invalid; no error shows a value, for headers are
// secrets.
func FromEnv(env func(string) string) (Settings, error) {
	s := Settings{service: env("OTEL_SERVICE_NAME"), interval: time.Minute}
	if strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") {
		return Settings{}, nil
	}
	var err error
	if s.traces, err = signalFrom(env, "TRACES", "/v1/traces"); err != nil {
		return Settings{}, err
	}
	if s.metrics, err = signalFrom(env, "METRICS", "/v1/metrics"); err != nil || s.Off() {
		return Settings{}, err
	}
	if s.sampler, err = samplerFrom(env("OTEL_TRACES_SAMPLER"), env("OTEL_TRACES_SAMPLER_ARG")); err != nil {
		return Settings{}, err
	}
	if v := env("OTEL_METRIC_EXPORT_INTERVAL"); v != "" {
		if s.interval, err = milliseconds("OTEL_METRIC_EXPORT_INTERVAL", v); err != nil {
			return Settings{}, err
		}
	}
	if s.resource, err = pairs("OTEL_RESOURCE_ATTRIBUTES", env("OTEL_RESOURCE_ATTRIBUTES")); err != nil {
		return Settings{}, err
	}
	return s, nil
}

// signalFrom reads where one kind is sent: its own variables go before those for all kinds.
func signalFrom(env func(string) string, kind, path string) (signal, error) {
	if strings.EqualFold(env("OTEL_"+kind+"_EXPORTER"), "none") {
		return signal{}, nil
	}
	both := func(name string) (string, string) {
		if v := env("OTEL_EXPORTER_OTLP_" + kind + "_" + name); v != "" {
			return "OTEL_EXPORTER_OTLP_" + kind + "_" + name, v
		}
		return "OTEL_EXPORTER_OTLP_" + name, env("OTEL_EXPORTER_OTLP_" + name)
	}
	name, at := both("ENDPOINT")
	if at == "" {
		return signal{}, nil
	}
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return signal{}, decouple.Errorf(decouple.Invalid, "%s is not a URL such as http://127.0.0.1:4318; what proves who sends belongs in OTEL_EXPORTER_OTLP_HEADERS", name)
	}
	if name == "OTEL_EXPORTER_OTLP_ENDPOINT" { // one kind's own is taken as it is
		u = u.JoinPath(path)
	}
	s := signal{url: u.String(), timeout: 10 * time.Second}
	if name, v := both("PROTOCOL"); v == "grpc" {
		return signal{}, decouple.Errorf(decouple.Invalid, "%s: gRPC is not spoken here: set it to http/protobuf, and the endpoint to the collector's port for HTTP, which is usually 4318", name)
	}
	if name, v := both("TIMEOUT"); v != "" {
		if s.timeout, err = milliseconds(name, v); err != nil {
			return signal{}, err
		}
	}
	switch name, v := both("COMPRESSION"); v {
	case "", "none":
	case "gzip":
		s.gzip = true
	default:
		return signal{}, decouple.Errorf(decouple.Invalid, "%s is gzip or none", name)
	}
	if s.tls, err = certificates(both); err != nil {
		return signal{}, err
	}
	name, v := both("HEADERS")
	s.headers, err = pairs(name, v)
	return s, err
}

// certificates reads whom to trust, and what proves who sends, from the files that are named.
func certificates(both func(string) (string, string)) (*tls.Config, error) {
	trustName, trust := both("CERTIFICATE")
	certName, cert := both("CLIENT_CERTIFICATE")
	keyName, key := both("CLIENT_KEY")
	if trust == "" && cert == "" && key == "" {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if trust != "" {
		b, err := os.ReadFile(trust)
		if out.RootCAs = x509.NewCertPool(); err != nil || !out.RootCAs.AppendCertsFromPEM(b) {
			return nil, decouple.Errorf(decouple.Invalid, "%s names no file with certificates in PEM", trustName)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, decouple.Errorf(decouple.Invalid, "%s and %s do not name a certificate and its key in PEM", certName, keyName)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

func milliseconds(name, v string) (time.Duration, error) {
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n <= 0 {
		return 0, decouple.Errorf(decouple.Invalid, "%s is a number of milliseconds", name)
	}
	return time.Duration(n) * time.Millisecond, nil
}

// pairs reads "a=b,c=d", escaped as in URLs.
func pairs(name, v string) (map[string]string, error) {
	out := map[string]string{}
	for item := range strings.SplitSeq(v, ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		key, value, ok := strings.Cut(item, "=")
		key = strings.TrimSpace(key)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || key == "" || err != nil || strings.ContainsAny(key+value, "\r\n\x00") {
			return nil, decouple.Errorf(decouple.Invalid, "%s is a list such as name=value,other=value, escaped as in URLs", name)
		}
		out[key] = value
	}
	return out, nil
}

// samplerFrom reads which calls without a trace of their own are traced.
func samplerFrom(name, arg string) (sdktrace.Sampler, error) {
	share := 1.0
	if arg != "" && strings.HasSuffix(name, "traceidratio") {
		var err error
		if share, err = strconv.ParseFloat(arg, 64); err != nil || !(share >= 0 && share <= 1) {
			return nil, decouple.Errorf(decouple.Invalid, "OTEL_TRACES_SAMPLER_ARG is a share from 0 to 1")
		}
	}
	switch name {
	case "", "parentbased_always_on":
		return sdktrace.ParentBased(sdktrace.AlwaysSample()), nil
	case "always_on":
		return sdktrace.AlwaysSample(), nil
	case "always_off":
		return sdktrace.NeverSample(), nil
	case "parentbased_always_off":
		return sdktrace.ParentBased(sdktrace.NeverSample()), nil
	case "traceidratio":
		return sdktrace.TraceIDRatioBased(share), nil
	case "parentbased_traceidratio":
		return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(share)), nil
	}
	return nil, decouple.Errorf(decouple.Invalid, "OTEL_TRACES_SAMPLER is one of always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off and parentbased_traceidratio")
}
