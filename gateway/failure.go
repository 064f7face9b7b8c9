package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
)

// The ends of patience, and of understanding.
var (
	errSilent  = errors.New("no token in time")
	errBudget  = errors.New("no whole answer in time")
	errWebPage = errors.New("it answered with a web page; the URL of a model server usually ends in /v1")
)

// failure is why a try brought no answer.
type failure struct {
	kind  decouple.Kind // whether to try again follows from it
	said  string        // for people, clean: what happened and what to do
	fault *dialect.Fault
	after time.Duration  // how long the server asks to be left alone
	used  decouple.Usage // what the try is likely to be billed
}

// giveUp is the error of the whole call.
func (c *call) giveUp(f *failure) error {
	if err := c.caller.Err(); err != nil {
		return decouple.Errorf(decouple.KindOf(err), "the call of %s was ended before its answer was whole: %w", c.o.to.url.Host, err)
	}
	tried := ""
	if c.tries > 1 {
		tried = fmt.Sprintf(" (tried %d times)", c.tries)
	}
	if f.kind.Rule().Retry && f.after > 0 && c.tries <= c.o.cfg.Retries {
		tried = fmt.Sprintf(" (it asks to wait %s, longer than this call may take)", f.after.Round(time.Second))
	}
	return decouple.Errorf(f.kind, "%s%s", f.said, tried)
}

// failed judges an error that is not an HTTP status.
func (x *exchange) failed(err error) *failure {
	f := &failure{}
	if errors.As(err, &f.fault) {
		x.judge(f)
	} else if cause := context.Cause(x.ctx); cause != nil {
		f.kind, f.said = decouple.Deadline, x.late(cause)
	} else {
		f.kind, f.said = x.broken(err)
	}
	f.said = x.c.o.clean(f.said)
	f.used = x.used(f.fault)
	return f
}

// late says which patience ended.
func (x *exchange) late(cause error) string {
	cfg, host := x.c.o.cfg, x.c.o.to.url.Host
	switch {
	case !errors.Is(cause, errSilent):
		return fmt.Sprintf("the server at %s gave no whole answer within %s", host, cfg.Budget)
	case x.moved:
		return fmt.Sprintf("the server at %s fell silent for %s in the middle of an answer", host, cfg.BetweenTokens)
	}
	return fmt.Sprintf("the server at %s gave no token within %s: it is overloaded, or the model is too large for it", host, cfg.FirstToken)
}

// broken says what became of the connection, or of the answer.
func (x *exchange) broken(err error) (decouple.Kind, string) {
	host := x.c.o.to.url.Host
	var large *http.MaxBytesError
	var certificate *tls.CertificateVerificationError
	var name *net.DNSError
	var known *decouple.Error
	switch {
	case errors.As(err, &large):
		return decouple.TooLarge, fmt.Sprintf("the answer of the server at %s is larger than %d bytes: the model may be repeating itself", host, large.Limit)
	case errors.As(err, &certificate):
		return decouple.Denied, fmt.Sprintf("the certificate of the server at %s is not trusted: %v", host, certificate.Err)
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return decouple.Invalid, fmt.Sprintf("the server at %s does not speak https: if it is yours, name it with http://", host)
	case errors.As(err, &name) && name.IsNotFound:
		return decouple.NotFound, fmt.Sprintf("there is no host %s: check the URL of the model server", x.c.o.to.url.Hostname())
	case errors.Is(err, errWebPage):
		return decouple.Invalid, fmt.Sprintf("the server at %s speaks no Chat Completions: %v", host, err)
	case errors.As(err, &known):
		return known.Kind, fmt.Sprintf("the server at %s: %s", host, known.Msg)
	case neverConnected(err):
		return decouple.Unavailable, fmt.Sprintf("no server answers at %s: %v; is it running?", host, bare(err))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return decouple.Unavailable, fmt.Sprintf("the server at %s closed the connection before the answer was whole", host)
	}
	return decouple.Unavailable, fmt.Sprintf("the connection to %s failed: %v", host, bare(err))
}

// neverConnected says that no connection was made.
func neverConnected(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

// bare is an error of net/http without the URL, which may hold a secret.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// refused judges an answer whose status is not 200.
func (x *exchange) refused(resp *http.Response) *failure {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxFault)) // half an explanation is better than none
	f := &failure{fault: dialect.ParseFault(resp.StatusCode, body), after: retryAfter(resp.Header, time.Now())}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		f.kind = decouple.Invalid
		f.said = fmt.Sprintf("the server at %s redirects elsewhere; nothing was sent there", x.c.o.to.url.Host)
		if to, err := resp.Location(); err == nil {
			f.said = fmt.Sprintf("the server at %s redirects to %s://%s; nothing was sent there: if you trust it, name it as the model server",
				x.c.o.to.url.Host, to.Scheme, to.Host)
		}
		f.said = x.c.o.clean(f.said)
		return f
	}
	x.judge(f)
	return f
}

// judge says what a server's fault means for people.
func (x *exchange) judge(f *failure) {
	o, said := x.c.o, x.c.o.clean(f.fault.Error())
	host := o.to.url.Host
	f.kind = f.fault.Kind()
	switch f.kind {
	case decouple.Unauthenticated:
		f.said = fmt.Sprintf("the server at %s refused the key; set OPENAI_API_KEY", host)
		if !o.keyed {
			f.said = fmt.Sprintf("the server at %s wants a key; set OPENAI_API_KEY", host)
		}
	case decouple.Denied:
		f.said = fmt.Sprintf("the server at %s denies the call: %s; look at the account's rights and credit", host, said)
	case decouple.NotFound:
		f.said = fmt.Sprintf("the server at %s does not know model %q or its URL is wrong: %s; name another with --model NAME, and end the URL in /v1",
			host, x.c.req.Model, said)
	case decouple.TooLarge:
		f.said = fmt.Sprintf("the conversation is too long for model %q on %s: %s; give fewer sources, or a model with a larger context", x.c.req.Model, host, said)
	case decouple.RateLimited:
		f.said = fmt.Sprintf("the server at %s limits the rate of calls: %s; try again later or with fewer agents", host, said)
	case decouple.Invalid:
		f.said = fmt.Sprintf("the server at %s refuses the request for model %q: %s; does the model support tool calls?", host, x.c.req.Model, said)
	default:
		f.said = fmt.Sprintf("the server at %s failed: %s", host, said)
	}
}

// retryAfter is how long a server asks to be left alone, in any of the ways to say it; zero if it does not.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		return span(ms / 1000)
	}
	value := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(value, 64); err == nil {
		return span(s)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// span is a number of seconds as a duration of at most a year; what is no number of seconds is zero.
func span(seconds float64) time.Duration {
	if !(seconds > 0) {
		return 0
	}
	return time.Duration(min(seconds, 366*24*3600) * float64(time.Second))
}
