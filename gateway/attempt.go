package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
	"decouple.dev/decouple/gateway/transport"
)

// attempt is one call of one endpoint.
type attempt struct {
	c        *call
	ep       *endpoint
	pass     pass // without it the endpoint is not asked
	out      outlet
	n        int  // among the call's attempts, from 1
	stream   bool // the endpoint is asked for a stream
	holdAll  bool // nothing is passed on before the answer is whole
	options  dialect.Options
	names    dialect.Names
	relay    relay
	began    time.Time
	first    time.Time // when the model showed that it works
	ended    time.Time
	sent     bool          // the endpoint may have begun to work
	patience time.Duration // for the first token
	draining sync.Mutex
	closed   bool        // no more is read, and no place taken to do so; guarded by draining
	gone     atomic.Bool // the caller has gone; what still comes is read for its usage only
	cancel   context.CancelCauseFunc
	done     chan struct{} // closed when it has let go; nil where it is the call's only one
	status   int           // of HTTP, of the answer; 0 is that none came
	over     bool          // guarded by the call's lock, as are failed and spent
	failed   *failure
	spent    spending
	feigned  bool // its failure was, by a drill
}

// run asks the endpoint and relays what it answers, but for the last piece. A nil failure means that the answer is whole.
func (a *attempt) run(ctx context.Context) *failure {
	a.began, a.sent, a.status = time.Now(), false, 0
	defer func() { a.ended = time.Now() }()
	if a.ep.Provider == providerBuiltin {
		return a.local(ctx)
	}
	if a.c.drill != nil {
		if f := a.pretend(ctx); f != nil {
			return f
		}
	}
	front, body, err := a.encode()
	if err != nil {
		return a.broken(ctx, err)
	}
	defer a.release()
	resp, err := a.send(lifeline{ctx, a}, front, body)
	if err != nil {
		return a.broken(ctx, err)
	}
	defer func() { _ = resp.Close() }()
	a.c.g.heard(a, limitsOf(resp.Header, time.Now()))
	if a.status = resp.Status; a.status != http.StatusOK {
		return a.refused(resp)
	}
	if err := a.read(resp); err != nil {
		return a.broken(ctx, err)
	}
	a.learn()
	return nil
}

// encode gives the body for the endpoint, in two pieces: the caller's own bytes where both speak the same format, else a translation.
func (a *attempt) encode() (front, body []byte, err error) {
	c := a.c
	p, same := a.relay.(*passage)
	if same || c.embeds {
		if at := c.sketch.ModelAt[1]; at > 0 && at < 1<<10 && !a.stream && a.ep.auth == nil {
			return slices.Concat(c.in.Body[:c.sketch.ModelAt[0]], a.ep.quoted), c.in.Body[at:], nil // the rest is long, and goes as it is
		}
		body = dialect.SetModel(c.in.Body, c.sketch, a.ep.Name)
		if same && a.stream && a.ep.format == dialect.Chat && !c.sketch.Usage && !a.options.NoUsage {
			body = dialect.AskUsage(body, c.sketch)
			p.strip = true
		}
		return nil, body, nil
	}
	req, err := c.request()
	if err != nil {
		return nil, nil, err
	}
	body, names, err := a.ep.client.Encode(*req, a.options)
	if err != nil {
		return nil, nil, err
	}
	a.names = names
	x := a.relay.(*translation)
	x.names = names
	x.read = a.ep.client.Reader(names)
	return nil, body, nil
}

func (a *attempt) send(ctx context.Context, front, body []byte) (*transport.Response, error) {
	path := a.ep.whole
	switch {
	case a.c.embeds:
		path = a.ep.vectors
	case a.stream:
		path = a.ep.streamed
	}
	header := a.c.named(a.ep.header, a.n)
	if _, same := a.relay.(*passage); same && len(a.c.options) > 0 {
		header = append(header, a.c.options...)
	}
	signed, err := a.ep.authorize(ctx, path, header, body)
	if err != nil {
		return nil, err
	}
	patience := a.patience
	if !a.stream {
		patience = a.c.patience.Whole
	}
	patience = max(min(patience, time.Until(a.c.deadline)), time.Millisecond)
	return a.c.dial(ctx, a.pass, a.ep, &transport.Request{Method: http.MethodPost, Path: path, Header: signed, Front: front, Body: body, FirstByte: patience}, &a.sent)
}

// dial is the one way out to an endpoint of a call, and holds the last check.
func (c *call) dial(ctx context.Context, p pass, ep *endpoint, r *transport.Request, sent *bool) (*transport.Response, error) {
	if err := c.permit(p, ep); err != nil {
		return nil, err
	}
	*sent = true
	r.Target = ep.target
	return c.g.http.Do(ctx, r)
}

// read takes the answer in whichever form it comes: a server may ignore the wish for a stream.
func (a *attempt) read(resp *transport.Response) error {
	media := strings.ToLower(resp.Header.Get("Content-Type"))
	switch {
	case strings.HasPrefix(media, "text/html"):
		return errWebPage
	case !a.stream || strings.HasPrefix(media, "application/json") && a.ep.format != dialect.Generate:
		resp.SetReadDeadline(earlier(a.began.Add(a.c.patience.Whole), a.c.deadline))
		body, err := resp.Whole(a.c.patience.MaxAnswer)
		if err != nil {
			return err
		}
		a.first = time.Now()
		return a.relay.whole(body)
	}
	return a.readStream(resp)
}

func (a *attempt) readStream(resp *transport.Response) error {
	buf := make([]byte, 8<<10)
	total := int64(0)
	until := earlier(a.began.Add(a.patience), a.c.deadline)
	written := 0
	for {
		resp.SetReadDeadline(until)
		n, err := resp.Read(buf)
		if n > 0 {
			if fed := a.relay.feed(buf[:n]); fed != nil {
				return fed
			}
			// A comment that keeps the line open is no token: only what the model does gives it more time.
			if t := a.relay.tally(); t.moved && (t.written > written || a.first.IsZero()) {
				now := time.Now()
				if a.first.IsZero() {
					a.first = now
					a.c.g.firstToken(a)
				}
				written = t.written
				if more := now.Add(a.c.patience.BetweenTokens); a.first == now || more.Sub(until) > a.c.patience.BetweenTokens/8 {
					until = earlier(more, a.c.deadline) // setting a deadline costs more than an eighth of patience is worth
				}
			}
			if total += int64(n); total > a.c.patience.MaxAnswer {
				return errTooLarge
			}
		}
		if a.relay.done() {
			return a.relay.end()
		}
		if err != nil {
			ended := a.relay.end()
			if ended == nil || errors.Is(err, io.EOF) {
				return ended
			}
			return err
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// local asks the model in this process.
func (a *attempt) local(ctx context.Context) *failure {
	req, err := a.c.request()
	if err != nil {
		return a.broken(ctx, err)
	}
	if err := a.c.permit(a.pass, a.ep); err != nil {
		return a.broken(ctx, err)
	}
	ans, err := Builtin{}.Answer(ctx, *req)
	if err != nil {
		return a.broken(ctx, err)
	}
	a.first = time.Now()
	a.relay.(*translation).accept(ans)
	return nil
}

// head is what the answer carries besides what the model said.
func (a *attempt) head() dialect.Head {
	c := a.c
	h := dialect.Head{ID: c.answerID, Model: c.asked, Created: c.began.Unix(), Usage: c.sketch.Usage}
	h.Array = c.array
	switch c.door { // programs tell by the beginning of an id what it is of
	case dialect.Chat:
		h.ID = "chatcmpl-" + c.answerID
	case dialect.Messages:
		h.ID = "msg_" + c.answerID
	case dialect.Responses:
		h.ID = "resp_" + c.answerID
	}
	if r := c.storeAs; r != nil {
		h.Previous, h.Store, h.Background = r.Previous, true, r.Background
	}
	h.Request, _ = c.request() // a request that could not be read has no answer
	return h
}

// learn keeps what had to be left out for an answer to come, so that the next call leaves it out at once.
func (a *attempt) learn() {
	if had := a.ep.learned.Load(); a.options.NoUsage != had.noUsage || a.options.NewLimit != had.newLimit {
		a.ep.learned.Store(&learned{a.options.NoUsage, a.options.NewLimit})
	}
}

// fallBack leaves out a parameter that the server refuses, each one once; that is not a further try.
func (a *attempt) fallBack(f *failure) bool {
	switch {
	case f.fault == nil || a.ep.format != dialect.Chat || a.gone.Load() || a.relay.tally().moved: // what has begun is not begun anew
		return false
	case !a.options.NoUsage && f.fault.Refuses("stream_options"):
		a.options.NoUsage = true
	case !a.options.NewLimit && f.fault.Refuses("max_tokens"):
		a.options.NewLimit = true
	default:
		return false
	}
	return true
}

// said is everything that a model produced, for counting.
func said(m decouple.Message) string {
	text := m.Text()
	for _, c := range m.Calls() {
		text += c.Name + string(c.Args)
	}
	return text
}
