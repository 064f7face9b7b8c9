package gateway

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
)

// maxFault is how many bytes of an error's body are read.
const maxFault = 64 << 10

// drainTime is how long the end of a finished stream is awaited, so that its connection can be used again.
const drainTime = 50 * time.Millisecond

// exchange is one try: a request, and what came of it.
type exchange struct {
	c      *call
	ctx    context.Context
	size   int         // of the request's body in bytes
	sent   atomic.Bool // the server may have begun to work
	moved  bool        // the model has produced something
	text   string
	watch  *time.Timer
	cancel context.CancelCauseFunc
}

// try asks once.
func (c *call) try(within context.Context) (decouple.Answer, *failure) {
	body, names, err := dialect.EncodeChat(c.req, c.options)
	if err != nil {
		return decouple.Answer{}, &failure{kind: decouple.KindOf(err), said: err.Error()}
	}
	x := &exchange{c: c, size: len(body)}
	x.ctx, x.cancel = context.WithCancelCause(within)
	defer x.cancel(nil)
	x.watch = time.AfterFunc(c.o.cfg.FirstToken, func() { x.cancel(errSilent) })
	defer x.watch.Stop()
	resp, err := x.send(body)
	if err != nil {
		return decouple.Answer{}, x.failed(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return decouple.Answer{}, x.refused(resp)
	}
	a, err := x.read(resp, names)
	if err != nil {
		return decouple.Answer{}, x.failed(err)
	}
	if a.Model = c.o.clean(a.Model); a.Model == "" {
		a.Model = c.req.Model
	}
	if a.Usage.Estimated {
		a.Usage = x.estimate(said(a.Message))
	}
	return a, nil
}

func (x *exchange) send(body []byte) (*http.Response, error) {
	o := x.c.o
	traced := httptrace.WithClientTrace(x.ctx, &httptrace.ClientTrace{WroteHeaders: func() { x.sent.Store(true) }})
	req, err := http.NewRequestWithContext(traced, http.MethodPost, o.to.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream, application/json")
	req.Header.Set("User-Agent", "decouple")
	o.authorize(req.Header)
	return o.client.Do(req)
}

// read takes the answer in whichever form it comes: a server may ignore the wish for a stream.
func (x *exchange) read(resp *http.Response, names dialect.Names) (decouple.Answer, error) {
	body := http.MaxBytesReader(nil, resp.Body, x.c.o.cfg.MaxAnswer)
	r := bufio.NewReader(body)
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // what is no media type is told by its first byte
	first, _ := r.Peek(1)                                               // an error comes again when the body is read
	switch {
	case media == "text/html" || string(first) == "<":
		return decouple.Answer{}, errWebPage
	case media == "application/json" || media != "text/event-stream" && string(first) == "{":
		return x.readWhole(r, names)
	}
	return x.readStream(r, names)
}

func (x *exchange) readWhole(r io.Reader, names dialect.Names) (decouple.Answer, error) {
	data, err := io.ReadAll(pulse{r, x.progress})
	if err != nil {
		return decouple.Answer{}, err
	}
	a, err := dialect.DecodeChat(data, names)
	if err == nil {
		x.c.tell(a.Message.Text())
	}
	return a, err
}

func (x *exchange) readStream(r *bufio.Reader, names dialect.Names) (decouple.Answer, error) {
	s := dialect.NewChatStream(names)
	for !s.Done() {
		line, readErr := r.ReadString('\n')
		if readErr == io.EOF {
			line += "\n"
		} else if readErr != nil {
			return decouple.Answer{}, readErr
		}
		if err := x.take(s, line); err != nil {
			return decouple.Answer{}, err
		}
		if readErr == io.EOF {
			if err := x.take(s, ""); err != nil {
				return decouple.Answer{}, err
			}
			return s.End()
		}
	}
	x.drain(r)
	return s.End()
}

func (x *exchange) take(s *dialect.ChatStream, line string) error {
	d, err := s.Line(line)
	if err != nil {
		return err
	}
	if d.Moved {
		x.progress()
	}
	x.text = s.Text()
	x.c.tell(d.Text)
	return nil
}

// progress gives the model the time for another token.
func (x *exchange) progress() {
	x.moved = true
	x.watch.Reset(x.c.o.cfg.BetweenTokens)
}

// drain reads what follows the end mark, usually nothing but the end of the body.
func (x *exchange) drain(r io.Reader) {
	x.watch.Reset(drainTime)
	_, _ = io.CopyN(io.Discard, r, maxFault) // the answer is whole whatever comes of it
}

// pulse reports every read that brought something.
type pulse struct {
	io.Reader
	beat func()
}

// Read reads and reports.
func (p pulse) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if n > 0 {
		p.beat()
	}
	return n, err
}

// said is everything that a model produced, for counting.
func said(m decouple.Message) string {
	text := m.Text()
	for _, c := range m.Calls() {
		text += c.Name + string(c.Args)
	}
	return text
}

// estimate counts what the server did not: the request by its size, the answer by its text.
func (x *exchange) estimate(text string) decouple.Usage {
	return decouple.Usage{TokensIn: int64(x.size)/4 + 1, TokensOut: decouple.EstimateTokens(text), Estimated: true}
}

// used is what a failed try is likely to be billed: nothing if the server never got it or refused it.
func (x *exchange) used(fault *dialect.Fault) decouple.Usage {
	if !x.sent.Load() || fault != nil && !x.moved {
		return decouple.Usage{}
	}
	return x.estimate(x.text)
}
