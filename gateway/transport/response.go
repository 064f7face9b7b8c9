package transport

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"decouple.dev/decouple"
)

// Response is an answer whose head has come. One goroutine at a time uses it; another one stops it by the request's context.
type Response struct {
	Status int
	Header Header
	Length int64 // of the body, if the server says it, else -1
	Reused bool  // the connection had been used before

	conn   *conn
	ctx    context.Context
	target *Target
	stop   func() bool

	sent    bool
	written chan error // what came of the body that is written beside the reading, or nil

	frame    frame
	left     int64 // of the body, or of the chunk
	at       place // in a chunked body
	excess   int64 // bytes of framing beyond what chunks need
	ended    bool  // the body was read to its end
	keep     bool  // the connection may be used again
	nowait   bool
	closed   bool
	err      error
	patience time.Duration
	deadline time.Time
}

// begin takes what the head says.
func (x *Response) begin(h head, f framing) {
	x.Status, x.Header, x.Length = h.status, h.fields, f.length
	x.frame, x.keep = f.frame, f.keep
	switch f.frame {
	case bare:
		x.ended = true
	case sized:
		x.left = f.length
	}
	if f.keep {
		if v, ok := h.fields.Lookup("keep-alive"); ok {
			x.conn.idle = keepAlive(v)
		}
	}
}

// keepAlive is how long a server says it keeps an idle connection, less a second for the way.
func keepAlive(value string) time.Duration {
	for option := range strings.SplitSeq(value, ",") {
		if s, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(option)), "timeout="); ok {
			if n, err := strconv.Atoi(s); err == nil && n > 0 && n < 1<<20 {
				return max(time.Duration(n-1)*time.Second, time.Second/2)
			}
		}
	}
	return 0
}

// Patience sets how long each Read may wait for the first byte that it gives; it may be up to an eighth longer. Zero is without end, as it is at the beginning: FirstByte ends with the head.
func (x *Response) Patience(d time.Duration) { x.patience = max(d, 0) }

// SetReadDeadline sets when reading ends, whatever the patience; the zero time is never.
func (x *Response) SetReadDeadline(t time.Time) { x.deadline = t }

// arm sets the connection's deadline before a read that may wait.
func (x *Response) arm() {
	c, at := x.conn, x.deadline
	if x.patience > 0 {
		now := time.Now()
		last := now.Add(x.patience + x.patience/8)
		if at.IsZero() || last.Before(at) {
			if !c.deadline.Before(now.Add(x.patience)) && !c.deadline.After(last) {
				return // setting it costs more than an eighth of patience is worth
			}
			at = last
		}
	}
	if at.Equal(c.deadline) {
		return
	}
	c.deadline = at
	_ = c.tcp.SetReadDeadline(at)
	if x.ctx.Err() != nil {
		c.expire() // it may have been undone just now
	}
}

// Read gives what has come of the body, without its framing, waiting only if nothing has. At the end of the body it is [io.EOF]; a body that ends before its time is an [*Error] that wraps
// [io.ErrUnexpectedEOF]. After a Timeout that did not come from the context, reading can go on.
func (x *Response) Read(p []byte) (int, error) {
	if x.closed {
		return 0, x.fail(errClosed)
	}
	if x.err != nil {
		return 0, x.err
	}
	if x.ended {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := x.read(p)
	if n > 0 || err == nil || err == io.EOF && x.ended || err == errEmpty {
		return n, err
	}
	return 0, x.fail(err)
}

var (
	errClosed   = errors.New("the answer was closed")
	errTooLarge = errors.New("the answer is larger than allowed")
)

// fail makes the error of reading, and keeps it unless reading can go on.
func (x *Response) fail(err error) error {
	e := fault(x.ctx, StageBody, x.target.host, err)
	e.Sent = true
	if !e.Timeout || x.ctx.Err() != nil {
		x.err, x.keep = e, false
	}
	return e
}

// Whole reads the rest of the body into one piece. One that is longer than limit is TooLarge.
func (x *Response) Whole(limit int64) ([]byte, error) {
	if x.closed {
		return nil, x.fail(errClosed)
	}
	size := int64(2 << 10)
	if x.frame == sized {
		if x.left > limit {
			return nil, x.tooLarge(limit)
		}
		size = x.left
	}
	b := make([]byte, 0, min(size, 1<<20, limit)) // what a server says is no reason to hand out more
	for !x.ended {
		if len(b) == cap(b) {
			if int64(len(b)) > limit {
				return nil, x.tooLarge(limit)
			}
			b = append(b, 0)[:len(b)]
		}
		n, err := x.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err != nil && err != io.EOF {
			return nil, err
		}
	}
	if int64(len(b)) > limit {
		return nil, x.tooLarge(limit)
	}
	return b, nil
}

func (x *Response) tooLarge(limit int64) error {
	return x.fail(decouple.Errorf(decouple.TooLarge, "%w: %d bytes", errTooLarge, limit))
}

// maxDrain is how much of a body nobody wants is read for the sake of its connection.
const maxDrain = 64 << 10

// Close ends the answer. If the body was read to its end, or what is missing has come already and is little, the connection is kept for other requests, else it is closed. It never waits.
func (x *Response) Close() error {
	if x.closed {
		return nil
	}
	c := x.conn
	if x.stop != nil && !x.stop() {
		x.keep = false // its deadline is put into the past, perhaps later than now
	}
	if x.keep && x.err == nil && !x.ended {
		x.drain()
	}
	x.closed = true
	if x.written != nil {
		x.keep = x.settled() && x.keep
	}
	if x.keep && x.ended && x.err == nil && c.r == c.w {
		c.pool.put(c)
	} else {
		c.close()
		_ = x.finished()
	}
	x.conn = nil
	return nil
}

// settled says that the body was written whole. Whoever has answered a whole request has read it: its writer needs but a moment to notice.
func (x *Response) settled() bool {
	patience := noticing
	if !x.keep || !x.ended {
		patience = 0
	}
	wait := time.NewTimer(patience)
	defer wait.Stop()
	select {
	case err := <-x.written:
		x.written = nil
		return err == nil
	case <-wait.C:
		return false
	}
}

// noticing is how long the writer of a body may take to notice that it has been written.
const noticing = 20 * time.Millisecond

// drain reads what has come, without waiting.
func (x *Response) drain() {
	if x.frame == sized && x.left > maxDrain || x.frame == untilClose {
		return
	}
	x.nowait = true
	scratch := make([]byte, buffer)
	for left := maxDrain; left > 0 && !x.ended; {
		n, err := x.Read(scratch)
		if err != nil {
			return
		}
		left -= n
	}
}
