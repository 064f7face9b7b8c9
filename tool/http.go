package tool

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"decouple.dev/decouple"
)

// HTTPConfig bounds the tools that speak HTTP. Allow is required: without a host on it nothing is reached.
type HTTPConfig struct {
	Allow     []string      // hosts: "api.example.com", "*.example.com", "example.com:8443"
	Private   bool          // addresses of this machine and of private networks may be reached too
	MaxAnswer int64         // bytes of a body that are read, default 1 MiB; what is longer is cut and marked
	MaxBody   int           // bytes of a body that is sent, default 1 MiB
	Timeout   time.Duration // of a call with all its redirects, default 30 s
}

const maxRedirects = 5

// HTTP gives the tools that speak HTTP, one for each effect: http.get reads, http.put may be repeated, http.request sends the platform's idempotency key, http.once is never
// repeated by itself, and http.query says what became of a call of http.once whose outcome is not known.
func HTTP(cfg HTTPConfig) []decouple.Tool {
	if cfg.MaxAnswer <= 0 {
		cfg.MaxAnswer = 1 << 20
	}
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = 1 << 20
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 30 * time.Second
	}
	h := &httpCaller{cfg: cfg}
	dial := (&net.Dialer{Timeout: 10 * time.Second, Control: h.guard}).DialContext
	h.client = &http.Client{Transport: &http.Transport{DialContext: dial, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second}, CheckRedirect: h.redirect}
	// A request with an Idempotency-Key is sent again by package http itself when a connection that was used before breaks: what must be sent once
	// has a connection of its own.
	once := &httpCaller{cfg: cfg, client: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, CheckRedirect: h.redirect}}
	return []decouple.Tool{
		httpTool{h, "http.get", decouple.EffectNone, []string{"GET", "HEAD"}, "Reads an address. Nothing may change by it."},
		httpTool{h, "http.put", decouple.EffectIdempotent, []string{"PUT", "DELETE"}, "Puts or deletes what is at an address: to do it twice is the same as once."},
		httpTool{h, "http.request", decouple.EffectKeyed, nil, "Sends a request of any method, with an Idempotency-Key of the platform's by which the server recognises a repetition."},
		httpTool{once, "http.once", decouple.EffectOnce, nil, "Sends a request that is never repeated by itself. query_url is an address that says afterwards whether it happened: 200 yes, 404 no."},
		httpQuery{h},
	}
}

// httpCaller sends requests within its bounds.
type httpCaller struct {
	cfg    HTTPConfig
	client *http.Client
}

// httpTool is one of the tools.
type httpTool struct {
	*httpCaller
	name    string
	effect  decouple.Effect
	methods []string // empty is any
	about   string
}

// httpArgs are the arguments of all of them.
type httpArgs struct {
	Method   string            `json:"method"`
	URL      string            `json:"url"`
	Headers  map[string]string `json:"headers"`
	Body     string            `json:"body"`
	QueryURL string            `json:"query_url"`
}

const httpExample = `{"method": "POST", "url": "https://host/path", "headers": {"Content-Type": "application/json"}, "body": "text"}, where all but method and url may be left out`

// Spec says what the tool is.
func (t httpTool) Spec() decouple.ToolSpec {
	method := `"method":{"type":"string"}`
	if len(t.methods) > 0 {
		method = `"method":{"type":"string","enum":["` + strings.Join(t.methods, `","`) + `"]}`
	}
	query, asks := "", ""
	if t.effect == decouple.EffectOnce {
		query, asks = `,"query_url":{"type":"string"}`, "http.query"
	}
	return decouple.ToolSpec{
		Name: t.name, Effect: t.effect, Description: t.about + " Hosts that may be reached: " + strings.Join(t.cfg.Allow, ", ") + ".", Timeout: t.cfg.Timeout + t.cfg.Timeout/6, Query: asks,
		Params: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["method","url"],"properties":{` + method +
			`,"url":{"type":"string"},"headers":{"type":"object","additionalProperties":{"type":"string"}},"body":{"type":"string"}` + query + `}}`),
	}
}

// Do sends a request.
func (t httpTool) Do(ctx context.Context, inv decouple.Invocation) (decouple.Outcome, error) {
	var a httpArgs
	why := decode(inv.Args, &a)
	if why == "" {
		why = t.wrong(a)
	}
	if why != "" {
		return refuse(t.Spec(), why, httpExample), nil
	}
	headers := maps.Clone(a.Headers)
	if t.effect == decouple.EffectKeyed || t.effect == decouple.EffectOnce {
		if headers == nil {
			headers = map[string]string{}
		}
		headers["Idempotency-Key"] = inv.Key
	}
	got, sent, err := t.send(reaching(ctx, inv.Reach), a.Method, a.URL, headers, a.Body, inv.Beat)
	switch {
	case err == nil && t.effect != decouple.EffectOnce && (got.Status == http.StatusTooManyRequests || got.Status == http.StatusServiceUnavailable):
		return decouple.Outcome{}, decouple.Errorf(decouple.Unavailable, "the server answered %d", got.Status)
	case err == nil:
		return answer(got, nil)
	case decouple.KindOf(err) == decouple.Denied || decouple.KindOf(err) == decouple.Invalid:
		return refuse(t.Spec(), err.Error(), httpExample), nil
	case t.effect == decouple.EffectOnce && sent:
		return decouple.Outcome{}, decouple.Errorf(decouple.Unknown, "the request was sent, and no answer came: %w", err)
	}
	return decouple.Outcome{}, err
}

// wrong says what of the arguments cannot be sent, or nothing.
func (t httpTool) wrong(a httpArgs) string {
	switch {
	case a.Method == "" || strings.ToUpper(a.Method) != a.Method:
		return "the method must be in capitals, such as GET"
	case len(t.methods) > 0 && !slices.Contains(t.methods, a.Method):
		return t.name + " knows only the methods " + strings.Join(t.methods, ", ")
	case len(a.Body) > t.cfg.MaxBody:
		return "the body is longer than may be sent"
	case t.effect == decouple.EffectNone && a.Body != "":
		return "a request that reads has no body"
	case t.effect != decouple.EffectOnce && a.QueryURL != "":
		return "query_url belongs to http.once"
	}
	for name := range a.Headers {
		if n := http.CanonicalHeaderKey(name); n == "Idempotency-Key" || n == "Host" || n == "Proxy-Authorization" || n == "Connection" {
			return "the header " + n + " is the platform's"
		}
	}
	return ""
}

// httpAnswer is what the model is told.
type httpAnswer struct {
	Status    int               `json:"status"`
	Headers   map[string]string `json:"headers"`
	Body      string            `json:"body"`
	Truncated bool              `json:"truncated,omitempty"` // the body was longer
	Binary    bool              `json:"binary,omitempty"`    // it is not text, and left out
}

// told are the headers of an answer that are passed on.
var told = []string{"Content-Type", "Content-Length", "Location", "Retry-After", "Etag", "Last-Modified", "Link"}

// send sends one request, and says whether the server may have seen it.
func (h *httpCaller) send(ctx context.Context, method, address string, headers map[string]string, body string, beat func(string)) (got httpAnswer, sent bool, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return got, false, decouple.Errorf(decouple.Invalid, "the url cannot be read: %w", err)
	}
	if err := h.allowed(ctx, u); err != nil {
		return got, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	var wrote atomic.Bool
	req, err := http.NewRequestWithContext(traced(ctx, &wrote), method, address, strings.NewReader(body))
	if err != nil {
		return got, false, decouple.Errorf(decouple.Invalid, "the request cannot be made: %w", err)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return got, wrote.Load(), networkError(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(beating{resp.Body, beat}, h.cfg.MaxAnswer+1))
	if err != nil {
		return got, true, networkError(ctx, err)
	}
	got = httpAnswer{Status: resp.StatusCode, Headers: map[string]string{}}
	if got.Truncated = int64(len(b)) > h.cfg.MaxAnswer; got.Truncated {
		b = b[:h.cfg.MaxAnswer]
	}
	got.Body = strings.ToValidUTF8(string(b), "")
	if got.Binary = !got.Truncated && !utf8.Valid(b) || strings.ContainsRune(got.Body, 0); got.Binary {
		got.Body = ""
	}
	for _, name := range told {
		if v := resp.Header.Get(name); v != "" {
			got.Headers[name] = v
		}
	}
	return got, true, nil
}

// networkError gives what went wrong on the way a kind.
func networkError(ctx context.Context, err error) error {
	var own *decouple.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return decouple.Errorf(decouple.Deadline, "no answer came in time: %w", err)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return decouple.Errorf(decouple.Unavailable, "the server cannot be reached: %w", err)
}

// beating tells that a body is still coming.
type beating struct {
	io.Reader
	beat func(string)
}

// Read reads on.
func (b beating) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if n > 0 && b.beat != nil {
		b.beat("")
	}
	return n, err
}

// httpQuery asks what became of a call of http.once.
type httpQuery struct{ *httpCaller }

// Spec says what the tool is.
func (t httpQuery) Spec() decouple.ToolSpec {
	return decouple.ToolSpec{Name: "http.query", Effect: decouple.EffectNone, Description: "Asks the query_url of a call of http.once whether it happened.", Params: json.RawMessage(`{"type":"object"}`)}
}

// Do asks: 200 is that it happened, 404 that it did not; anything else leaves it open.
func (t httpQuery) Do(ctx context.Context, inv decouple.Invocation) (decouple.Outcome, error) {
	var a httpArgs
	if why := decode(inv.Args, &a); why != "" || a.QueryURL == "" {
		return decouple.Outcome{Text: "the call names no query_url"}, nil
	}
	got, _, err := t.send(reaching(ctx, inv.Reach), http.MethodGet, a.QueryURL, map[string]string{"Idempotency-Key": inv.Key}, "", inv.Beat)
	if err != nil {
		return decouple.Outcome{}, err
	}
	out, err := answer(got, nil)
	switch got.Status {
	case http.StatusOK:
		out.Status = decouple.QueryDone
	case http.StatusNotFound:
		out.Status = decouple.QueryNotDone
	}
	return out, err
}
