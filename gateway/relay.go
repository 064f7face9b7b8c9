package gateway

import (
	"bytes"
	"errors"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
)

// relay takes what an endpoint answers and passes it on to whoever asked. Nothing is passed on before the model has shown that it works: until then another
// endpoint can take the call and nobody has seen anything of the first one. The last piece is held back until the call is settled.
type relay interface {
	// feed takes a piece of a streamed answer.
	feed(p []byte) error
	// whole takes an answer that came in one piece.
	whole(body []byte) error
	// end says that there are no more pieces.
	end() error
	// done says that the endpoint has ended the stream by the rules of its format.
	done() bool
	// last is what was held back: all of an answer, or the end of a stream.
	last() []byte
	// finish passes it on: the call is settled.
	finish() error
	// fail ends an answer that had begun with an error in the words of the caller's format.
	fail(f *dialect.Fault)
	// tally is what is known of the answer so far.
	tally() tally
}

// tally is what is known of an answer while it comes.
type tally struct {
	moved    bool // the model has produced something
	usage    decouple.Usage
	reported bool // usage is the endpoint's own figure
	finish   decouple.Finish
	model    string
	written  int // bytes that the model wrote, roughly
	answer   *decouple.Answer
}

// maxHeld bounds what is held back before the model has shown that it works.
const maxHeld = 4 << 20

var (
	// errGone says that whoever asked does not listen any more.
	errGone = errors.New("the caller has gone")
	// errBeaten says that another attempt of the same call was first.
	errBeaten = errors.New("another endpoint was faster")
	// errHeld says that an endpoint sent more than can be held back without the model showing that it works.
	errHeld = errors.New("it sent megabytes without an answer in them")
)

// outlet is where an answer goes: the caller's connection, or nowhere for a call from inside this process.
type outlet interface {
	// begin sends the status and the headers. It says errBeaten if another attempt has begun before.
	begin(a *attempt, streamed bool, size int) error
	// write sends bytes and, of a stream, sees that they leave.
	write(p []byte) error
}

// passage passes an answer through as it came: the caller and the endpoint speak the same format.
type passage struct {
	a      *attempt
	out    outlet
	look   dialect.Passage
	held   []byte
	fed    int // bytes that held has lost at its front
	t      tally
	begun  bool
	strip  bool // take out the usage that only we have asked for
	stream bool
}

func (p *passage) feed(b []byte) error {
	p.held = append(p.held, b...)
	p.stream = true
	seen, err := p.look.Feed(b)
	p.see(seen)
	if err != nil {
		return err
	}
	if !p.t.moved {
		if len(p.held) > maxHeld {
			return errHeld
		}
		return nil
	}
	if p.look.Done() || p.t.finish != "" && p.a.c.sketch.Answers <= 1 {
		return nil // what comes after the model has stopped is the end, which waits for the settlement
	}
	return p.release(seen.Whole - p.fed)
}

func (p *passage) see(seen dialect.Seen) {
	p.t.moved = p.t.moved || seen.Moved && (seen.TextSize > 0 || seen.Finish != decouple.FinishStop) // an end without anything before it is no answer
	if seen.Usage != nil {
		p.t.usage, p.t.reported = *seen.Usage, true
	}
	if seen.Finish != "" {
		p.t.finish = seen.Finish
	}
	if seen.Model != "" {
		p.t.model = seen.Model
	}
	p.t.written = max(p.t.written, seen.TextSize)
}

// release passes on the first n bytes of what is held.
func (p *passage) release(n int) error {
	if n <= 0 {
		return nil
	}
	if !p.begun {
		if err := p.out.begin(p.a, p.stream, -1); err != nil {
			return err
		}
		p.begun = true
	}
	b := p.held[:n]
	if p.strip && p.t.reported {
		b = withoutUsage(b)
	}
	b = p.a.c.linked(b)
	var err error
	if len(b) > 0 {
		err = p.out.write(b)
	}
	p.held = p.held[:copy(p.held, p.held[n:])]
	p.fed += n
	return err
}

func (p *passage) whole(body []byte) error {
	usage, finish, model, err := dialect.UsageOf(p.a.ep.format, body)
	p.t.usage, p.t.finish, p.t.model, p.t.reported = usage, finish, model, err == nil && !usage.Estimated
	p.t.written = len(body)
	if err != nil {
		return err
	}
	p.t.moved = true
	p.held = body
	return nil
}

func (p *passage) end() error {
	if p.look.Done() {
		return nil
	}
	if p.t.moved && p.t.finish != "" {
		return nil // it left out its end mark, and had said why the model stopped
	}
	return decouple.Errorf(decouple.Unavailable, "the stream was cut off before the answer's end")
}

func (p *passage) done() bool   { return p.look.Done() }
func (p *passage) last() []byte { return p.held }

func (p *passage) finish() error {
	if p.stream {
		return p.release(len(p.held))
	}
	p.held = p.a.c.linked(p.held)
	if err := p.out.begin(p.a, false, len(p.held)); err != nil {
		return err
	}
	return p.out.write(p.held)
}

func (p *passage) fail(f *dialect.Fault) {
	if _, server, ok := dialect.Of(p.a.ep.format); ok {
		_ = p.out.write(server.Writer(p.a.head()).Fault(nil, f)) // whoever has gone does not read it
	}
}

func (p *passage) tally() tally { return p.t }

// translation turns an answer into the caller's format, event by event.
type translation struct {
	a      *attempt
	out    outlet
	read   dialect.Reader
	write  dialect.Writer
	names  dialect.Names
	held   []byte
	t      tally
	begun  bool
	stream bool // the caller gets a stream
	tell   func(e dialect.Event)
	beaten bool  // another attempt of the same call was first
	odd    error // the answer could not be rendered
}

func (x *translation) feed(b []byte) error {
	events, err := x.read.Feed(b)
	for _, e := range events {
		x.take(e)
	}
	if err != nil {
		return err
	}
	if x.beaten {
		return errBeaten
	}
	if !x.stream || !x.t.moved || x.read.Done() || x.a.holdAll {
		if len(x.held) > maxHeld && !x.t.moved {
			return errHeld
		}
		return nil
	}
	return x.release()
}

func (x *translation) take(e dialect.Event) {
	x.t.moved = x.t.moved || e.Moved()
	x.t.written += len(e.Text)
	if e.Model != "" {
		x.t.model = e.Model
	}
	if x.tell != nil && e.Moved() {
		if x.beaten = x.beaten || !x.a.c.win(x.a); !x.beaten {
			x.tell(e)
		}
	}
	if x.stream && x.write != nil {
		x.held = x.write.Event(x.held, e)
	}
}

// end takes what the reader had kept for the end, and the answer.
func (x *translation) end() error {
	events, a, err := dialect.Rest(x.read)
	for _, e := range events {
		x.take(e)
	}
	if err != nil {
		return err
	}
	x.settleOn(a)
	return nil
}

// settleOn keeps the answer and what is known of it.
func (x *translation) settleOn(a decouple.Answer) {
	x.t.answer = &a
	x.t.moved = true
	x.t.usage, x.t.reported, x.t.finish = a.Usage, !a.Usage.Estimated, a.Finish
	if a.Model != "" {
		x.t.model = a.Model
	}
}

func (x *translation) whole(body []byte) error {
	a, err := x.a.ep.client.Decode(body, x.names)
	if err != nil {
		return err
	}
	x.accept(a)
	return nil
}

// accept takes an answer that is whole.
func (x *translation) accept(a decouple.Answer) {
	if x.stream || x.tell != nil {
		for _, e := range dialect.Events(a) {
			x.take(e)
		}
	}
	x.t.written = max(x.t.written, len(said(a.Message)))
	x.settleOn(a)
}

func (x *translation) done() bool { return x.read != nil && x.read.Done() }

// last renders an answer that is not streamed, once.
func (x *translation) last() []byte {
	if !x.stream && x.out != nil && len(x.held) == 0 {
		x.held, x.odd = x.a.c.server.Render(*x.t.answer, x.a.head())
	}
	return x.held
}

func (x *translation) release() error {
	if len(x.held) == 0 {
		return nil
	}
	if !x.begun {
		if err := x.out.begin(x.a, true, -1); err != nil {
			return err
		}
		x.begun = true
	}
	err := x.out.write(x.held)
	x.held = x.held[:0]
	return err
}

func (x *translation) finish() error {
	if x.out == nil {
		return nil
	}
	if x.stream {
		return x.release()
	}
	body := x.last()
	if x.odd != nil {
		return x.odd
	}
	if err := x.out.begin(x.a, false, len(body)); err != nil {
		return err
	}
	return x.out.write(body)
}

func (x *translation) fail(f *dialect.Fault) {
	if x.out != nil && x.write != nil {
		_ = x.out.write(x.write.Fault(nil, f)) // whoever has gone does not read it
	}
}

func (x *translation) tally() tally { return x.t }

// withoutUsage takes out the chunks of a Chat stream that hold nothing but usage, which only this gateway has asked for. Frames are whole.
func withoutUsage(frames []byte) []byte {
	if !bytes.Contains(frames, []byte(`"usage"`)) {
		return frames
	}
	out := frames[:0:0]
	for rest := frames; len(rest) > 0; {
		frame := rest
		if at := bytes.Index(rest, []byte("\n\n")); at >= 0 {
			frame, rest = rest[:at+2], rest[at+2:]
		} else {
			rest = nil
		}
		if bytes.Contains(frame, []byte(`"usage":{`)) && (bytes.Contains(frame, []byte(`"choices":[]`)) || bytes.Contains(frame, []byte(`"choices": []`))) {
			continue
		}
		out = append(out, frame...)
	}
	return out
}
