package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/gateway/transport"
)

// The ends of patience, and of understanding.
var (
	errWebPage  = errors.New("it answered with a web page; the URL of a model server usually ends in /v1")
	errTooLarge = errors.New("its answer is too large: the model may be repeating itself")
)

// failure is why an attempt brought no answer.
type failure struct {
	kind  decouple.Kind // whether to try again follows from it
	what  route.Kind    // for the router: what it says of the endpoint
	said  string        // for people, clean: what happened and what to do
	fault *dialect.Fault
	after time.Duration // how long the endpoint asks to be left alone

	barred error // contracts keep the call from the endpoint; nothing was sent
}

// err is the failure for the caller.
func (f *failure) err() error {
	if f.barred != nil {
		return f.barred
	}
	return &decouple.Error{Kind: f.kind, Msg: f.said, Err: &asked{f.fault, f.after}}
}

// asked is what an endpoint said, kept inside the error for people.
type asked struct {
	fault *dialect.Fault
	after time.Duration
}

// Error is the endpoint's message.
func (a *asked) Error() string {
	if a.fault == nil {
		return "the endpoint failed"
	}
	return a.fault.Error()
}

// retryAfter is how long the caller shall wait before it comes again; zero if nothing says so.
func retryAfter(err error) time.Duration {
	var a *asked
	if errors.As(err, &a) && a.after > 0 {
		return a.after
	}
	if k := decouple.KindOf(err); k == decouple.RateLimited || k == decouple.Unavailable {
		return time.Second
	}
	return 0
}

// broken judges an attempt that ended with an error that is not an HTTP status.
func (a *attempt) broken(ctx context.Context, err error) *failure {
	f := &failure{}
	var lost *transport.Error
	if errors.As(err, &lost) {
		a.sent = lost.Sent
	}
	var no *barred
	switch {
	case errors.As(err, &no):
		f.kind, f.what, f.said, f.barred = decouple.Denied, route.Canceled, err.Error(), err
		return f
	case errors.As(err, &f.fault):
		a.judge(f)
	case errors.Is(err, errGone), errors.Is(err, errBeaten):
		f.kind, f.what, f.said = decouple.Canceled, route.Canceled, err.Error()
	case ctx.Err() != nil:
		f.kind, f.what = decouple.KindOf(ctx.Err()), route.Canceled
		f.said = fmt.Sprintf("the call of %s was ended before its answer was whole: %v", a.ep.host(), ctx.Err())
	case errors.As(err, &lost) && lost.Timeout:
		a.late(f, lost)
	default:
		a.cut(f, err)
	}
	f.said = a.ep.clean(f.said)
	return f
}

// late says which patience ended.
func (a *attempt) late(f *failure, lost *transport.Error) {
	p, host := a.c.patience, a.ep.host()
	f.kind = decouple.Deadline
	switch {
	case lost.Stage == transport.StageDial || lost.Stage == transport.StageTLS:
		f.kind, f.what = decouple.Unavailable, route.Unreachable
		f.said = fmt.Sprintf("no server answers at %s in time", host)
	case !a.stream:
		f.what = route.Slow
		f.said = fmt.Sprintf("the server at %s gave no whole answer within %s", host, p.Whole)
	case a.relay.tally().moved:
		f.what = route.Stalled
		f.said = fmt.Sprintf("the server at %s fell silent for %s in the middle of an answer", host, p.BetweenTokens)
	default:
		f.what = route.Slow
		f.said = fmt.Sprintf("the server at %s gave no token within %s: it is overloaded, or the model is too large for it", host, p.FirstToken)
	}
}

// cut says what became of the connection, or of the answer.
func (a *attempt) cut(f *failure, err error) {
	host := a.ep.host()
	var certificate *tls.CertificateVerificationError
	var name *net.DNSError
	var known *decouple.Error
	var lost *transport.Error
	errors.As(err, &lost)
	f.kind, f.what = decouple.Unavailable, route.Cut
	switch {
	case errors.Is(err, errTooLarge):
		f.kind, f.what, f.said = decouple.TooLarge, route.Refused, fmt.Sprintf("the answer of the server at %s is larger than %d bytes: the model may be repeating itself", host, a.c.patience.MaxAnswer)
	case errors.As(err, &certificate):
		f.kind, f.what, f.said = decouple.Denied, route.Unreachable, fmt.Sprintf("the certificate of the server at %s is not trusted: %v", host, certificate.Err)
	case errors.As(err, &name) && name.IsNotFound:
		f.kind, f.what, f.said = decouple.NotFound, route.Unreachable, fmt.Sprintf("there is no host %s: check the URL of the model server", host)
	case errors.Is(err, errWebPage):
		f.kind, f.what, f.said = decouple.NotFound, route.Failed, fmt.Sprintf("the server at %s speaks no %s: %v", host, a.ep.format, errWebPage)
	case errors.As(err, &known):
		f.kind, f.said = known.Kind, fmt.Sprintf("the server at %s: %s", host, known.Msg)
		if !known.Kind.Rule().Failover {
			f.what, f.said = route.CallerFault, known.Msg
		}
	case lost != nil && (lost.Stage == transport.StageDial || lost.Stage == transport.StageTLS):
		f.what, f.said = route.Unreachable, fmt.Sprintf("no server answers at %s: %v; is it running?", host, lost.Err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		f.said = fmt.Sprintf("the server at %s closed the connection before the answer was whole", host)
	default:
		f.said = fmt.Sprintf("the connection to %s failed: %v", host, bare(err))
	}
}

// bare is an error of the transport without what led to it.
func bare(err error) error {
	var lost *transport.Error
	if errors.As(err, &lost) && lost.Err != nil {
		return lost.Err
	}
	return err
}

// maxFault is how many bytes of an error's body are read.
const maxFault = 64 << 10

// refused judges an answer whose status is not 200.
func (a *attempt) refused(resp *transport.Response) *failure {
	resp.Patience(5 * time.Second)
	body, _ := resp.Whole(maxFault) // half an explanation is better than none
	f := &failure{fault: dialect.FaultOf(a.ep.format, resp.Status, body), after: waitOf(resp.Header, time.Now())}
	if resp.Status >= 300 && resp.Status < 400 {
		f.kind, f.what = decouple.NotFound, route.Failed
		f.said = a.ep.clean(fmt.Sprintf("the server at %s redirects elsewhere; nothing was sent there: if you trust it, name it as the model server", a.ep.host()))
		return f
	}
	a.judge(f)
	f.said = a.ep.clean(f.said)
	return f
}

// judge says what an endpoint's fault means, for people and for the router.
func (a *attempt) judge(f *failure) {
	said, host := f.fault.Error(), a.ep.host()
	f.kind = f.fault.Kind()
	switch f.kind {
	case decouple.Unauthenticated:
		f.what = route.KeyRefused
		f.said = fmt.Sprintf("the server at %s refused the key of the account %s: %s", host, a.ep.Account, a.ep.remedy)
	case decouple.Denied:
		f.what = route.KeyRefused
		f.said = fmt.Sprintf("the server at %s denies the call: %s; look at the account's rights and credit", host, said)
	case decouple.NotFound:
		f.what = route.Failed
		f.said = fmt.Sprintf("the server at %s does not know model %q or its URL is wrong: %s; name another with --model NAME, and end the URL in /v1", host, a.ep.Name, said)
	case decouple.TooLarge:
		f.what = route.Refused
		f.said = fmt.Sprintf("the conversation is too long for model %q on %s: %s; give fewer sources, or a model with a larger context", a.ep.Name, host, said)
	case decouple.RateLimited:
		f.what = route.RateLimited
		f.said = fmt.Sprintf("the server at %s limits the rate of calls: %s; try again later or with fewer agents", host, said)
	case decouple.Invalid:
		f.what = route.Refused
		f.said = fmt.Sprintf("the server at %s refuses the request for model %q: %s", host, a.ep.Name, said)
		if a.c.sketch.Tools {
			f.said += "; does the model support tool calls?"
		}
	default:
		f.what = route.Failed
		if f.fault.Status == http.StatusServiceUnavailable || f.fault.Status == statusOverloaded {
			f.what = route.Overloaded
		}
		f.said = fmt.Sprintf("the server at %s failed: %s", host, said)
	}
}

// statusOverloaded is Anthropic's own.
const statusOverloaded = 529

// faultOf is an error in a form that every wire format can render. Internal errors show nothing but a reference to the log.
func (g *Gateway) faultOf(err error) *dialect.Fault {
	kind := decouple.KindOf(err)
	f := &dialect.Fault{Status: kind.Rule().HTTP, Message: err.Error(), Type: string(kind)}
	var a *asked
	if errors.As(err, &a) && a.fault != nil {
		f.Code, f.Param = a.fault.Code, a.fault.Param
	}
	if errors.As(err, &a) && (kind == decouple.Unauthenticated || kind == decouple.Denied) {
		f.Status = http.StatusBadGateway // it is this gateway's account that was refused, not the caller
	}
	var p *paramError
	if errors.As(err, &p) {
		f.Param = p.param
	}
	if kind == decouple.Internal {
		ref := newID("req")
		g.log.Error("a call failed inside", "request", ref, "error", err)
		f.Message = "something is wrong in the gateway; its log says what under " + ref
	}
	if kind == decouple.Canceled {
		f.Status = 499
	}
	return f
}

// paramError names the field of a request that is to blame.
type paramError struct{ param string }

// Error is the field's name.
func (p *paramError) Error() string { return "field " + strings.TrimSpace(p.param) }
