package sim

import (
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
)

// telling gives an answer as its plan says, and ends the call exactly once.
type telling struct {
	x     *exchange
	p     *Plan
	world *World
	over  bool
}

// end puts the call on the invoice. It comes before the last bytes, so that who has read an answer to its end finds it there.
func (t *telling) end(left bool) {
	if !t.over {
		t.over = true
		t.x.front.all.ended(t.world, *t.p, left)
	}
}

// wait waits for a time of the plan. A caller that goes away meanwhile ends the call.
func (t *telling) wait(d time.Duration) bool {
	if t.x.front.all.until(t.x.r.Context(), t.p, d) {
		return true
	}
	t.end(true)
	return false
}

// whole gives an answer that is no stream.
func (t *telling) whole(body []byte) {
	if !t.wait(t.p.Ends()) {
		return
	}
	t.end(false)
	x := t.x
	switch half := body[:len(body)/2]; t.p.Break.Kind {
	case Truncated:
		x.write(http.StatusOK, half)
	case Cut, Reset:
		if t.p.Break.Clean {
			x.write(http.StatusOK, half)
			return
		}
		x.w.Header().Set("content-length", strconv.Itoa(len(body)))
		x.write(http.StatusOK, half)
		_ = http.NewResponseController(x.w).Flush() // the connection breaks anyway
		if t.p.Break.Kind == Reset {
			x.breakOff()
		}
		panic(http.ErrAbortHandler)
	case ErrorIn200:
		_, fault := dialect.RenderFault(x.want.format, x.midway())
		x.write(http.StatusOK, fault)
	default:
		x.w.Header().Set("content-length", strconv.Itoa(len(body)))
		x.write(http.StatusOK, body)
	}
}

// piece is an event and the number of tokens that have left with it.
type piece struct {
	event  dialect.Event
	tokens int64
}

// stream gives an answer token by token.
func (t *telling) stream(w dialect.Writer, ans decouple.Answer) {
	x, p := t.x, t.p
	control := http.NewResponseController(x.w)
	if !t.wait(p.First + p.silence()) {
		return
	}
	h := x.w.Header()
	h.Set("content-type", dialect.ContentType(x.want.format, true))
	h.Set("cache-control", "no-cache")
	var buf []byte
	send := func() bool {
		_, err := x.w.Write(buf)
		if err == nil {
			err = control.Flush()
		}
		if buf = buf[:0]; err != nil {
			t.end(true)
		}
		return err == nil
	}
	buf = x.streamBegins(buf)
	buf = x.begun(w.Event(buf, dialect.Event{Kind: dialect.Begin, ID: answerID(x.want.format, p), Model: p.Model}), p.Usage)
	if !send() {
		return
	}
	limit := p.Tokens()
	for _, one := range t.pieces(ans) {
		last := one.event.Kind == dialect.PartEnd
		if p.Break.Kind != "" && (one.tokens > limit || last && one.tokens == limit) {
			break
		}
		if !last && !t.wait(p.Token(one.tokens-1)) {
			return
		}
		if buf = w.Event(buf, one.event); len(buf) > 0 && !send() {
			return
		}
	}
	if p.Break.Kind != "" && p.Break.Kind != Empty {
		t.breakStream(w, send, &buf)
		return
	}
	if !t.wait(p.Ends()) {
		return
	}
	t.end(false)
	buf = w.Event(buf, dialect.Event{Kind: dialect.Finish, Answer: &ans})
	send()
}

// silence is how long even the headers are held back.
func (p *Plan) silence() time.Duration {
	if p.Stall.Silent {
		return p.Stall.For
	}
	return 0
}

// breakStream ends a stream before its end.
func (t *telling) breakStream(w dialect.Writer, send func() bool, buf *[]byte) {
	p := t.p
	if !t.wait(p.Ends()) {
		return
	}
	t.end(false)
	switch p.Break.Kind {
	case ErrorIn200:
		*buf = w.Fault(*buf, t.x.midway())
		send()
		return
	case Truncated:
		frame := w.Event(nil, dialect.Event{Kind: dialect.TextDelta, Text: "and then there was"})
		*buf = append(*buf, frame[:len(frame)/2]...)
		send()
		return
	case Reset:
		t.x.breakOff()
	}
	if !p.Break.Clean {
		panic(http.ErrAbortHandler)
	}
}

// gap is the least time between two pieces of a stream, by the real clock: below it, tokens leave together, as they do with fast vendors.
const gap = 4 * time.Millisecond

// pieces takes an answer apart.
func (t *telling) pieces(ans decouple.Answer) []piece {
	s := t.x.front.all
	size := 1
	switch {
	case s.setup.Instant:
		size = 4
	case t.p.Every > 0:
		if every := float64(t.p.Every) / s.setup.Speed; every < float64(gap) {
			size = int(float64(gap)/every) + 1
		}
	}
	if t.p.Break.Kind != "" || t.p.Stall.For > 0 { // these count single tokens
		size = 1
	}
	c := cutter{size: size * 4}
	for _, part := range ans.Message.Parts {
		c.part(part)
	}
	return c.out
}

// cutter cuts parts into pieces of so many bytes; four of them are a token.
type cutter struct {
	size   int
	index  int
	tokens int64
	out    []piece
}

func (c *cutter) put(e dialect.Event, tokens int64) {
	e.Index = c.index
	c.out = append(c.out, piece{e, tokens})
}

func (c *cutter) part(p decouple.Part) {
	total := tokensOf(decouple.Message{Parts: []decouple.Part{p}})
	switch {
	case p.Call != nil:
		c.put(dialect.Event{Kind: dialect.CallBegin, Call: &decouple.ToolCall{ID: p.Call.ID, Name: p.Call.Name}}, c.tokens+1)
		c.text(dialect.CallDelta, string(p.Call.Args), total)
	case p.Thought != nil:
		c.text(dialect.ThoughtDelta, p.Thought.Text, total)
		once := *p.Thought
		if once.Text = ""; once.Signature != "" || once.Opaque != "" || once.ID != "" {
			c.put(dialect.Event{Kind: dialect.ThoughtDelta, Thought: &once}, c.tokens+total)
		}
	case p.Refusal:
		c.text(dialect.RefusalDelta, p.Text, total)
	case p.Text != "":
		c.text(dialect.TextDelta, p.Text, total)
	default:
		return
	}
	c.tokens += total
	c.put(dialect.Event{Kind: dialect.PartEnd}, c.tokens)
	c.index++
}

// text cuts a text at borders of characters. The last piece has all the tokens that are left.
func (c *cutter) text(kind dialect.EventKind, s string, total int64) {
	for from := 0; from < len(s); {
		to := min(len(s), from+c.size)
		for to < len(s) && !utf8.RuneStart(s[to]) {
			to++
		}
		tokens := min(total, int64(to)/4)
		if to == len(s) {
			tokens = total
		}
		c.put(dialect.Event{Kind: kind, Text: s[from:to]}, c.tokens+max(1, tokens))
		from = to
	}
}
