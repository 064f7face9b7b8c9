package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// Sizes.
const (
	buffer    = 4 << 10  // of reading, for each connection
	together  = 4 << 10  // a request up to this size is copied into one piece
	record    = 16 << 10 // the same under TLS, whose records are no longer
	alongside = 64 << 10 // a body over this size is written beside the reading
)

// errEmpty is that nothing is there to read now.
var errEmpty = errors.New("nothing to read yet")

// conn is a connection. One request at a time owns it.
type conn struct {
	pool *pool
	tcp  *net.TCPConn
	raw  syscall.RawConn
	rw   net.Conn // tcp, or TLS over it

	buf  []byte // buf[r:w] is read and not yet used
	r, w int
	out  []byte // the request's head, or all of it
	vec  [2][]byte
	bufs net.Buffers

	deadline time.Time     // of reading, as it was set last
	idle     time.Duration // that the server says it keeps the connection, or 0
	until    time.Time     // while idle: when it is too old

	into   []byte // of the read that does not wait
	got    int
	gotErr error
	look   func(fd uintptr) bool // made once
	expire func()                // made once: puts the deadline into the past
}

func newConn(p *pool, tcp *net.TCPConn) (*conn, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &conn{pool: p, tcp: tcp, raw: raw, rw: tcp, buf: make([]byte, buffer)}
	c.look = func(fd uintptr) bool {
		c.got, c.gotErr = readNow(fd, c.into)
		return true
	}
	c.expire = func() { _ = tcp.SetDeadline(time.Unix(1, 0)) }
	return c, nil
}

func (c *conn) close() { _ = c.tcp.Close() } // without the farewell of TLS, which could block

// hurry sets the deadline of reading and writing.
func (c *conn) hurry(at time.Time) {
	c.deadline = at
	_ = c.tcp.SetDeadline(at)
}

// quiet says that the connection is open and that nothing has come over it unasked.
func (c *conn) quiet() bool {
	c.into = c.buf[:1]
	_, err := c.readNow()
	return err == errEmpty
}

// readNow reads into c.into what is there; errEmpty if nothing is.
func (c *conn) readNow() (int, error) {
	if err := c.raw.Read(c.look); err != nil {
		return 0, err
	}
	return c.got, c.gotErr
}

// fill reads more into the buffer, which grows up to limit if it is full.
func (c *conn) fill(limit int) error {
	if c.r == c.w {
		c.r, c.w = 0, 0
	}
	if c.w == len(c.buf) {
		if c.r > 0 {
			c.w = copy(c.buf, c.buf[c.r:c.w])
			c.r = 0
		} else {
			if len(c.buf) >= limit {
				return errHeadSize
			}
			c.buf = append(c.buf, make([]byte, min(len(c.buf), limit-len(c.buf)))...)
		}
	}
	n, err := c.rw.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// fillNow is fill without waiting; over TLS it finds nothing.
func (c *conn) fillNow() error {
	if c.rw != net.Conn(c.tcp) {
		return errEmpty
	}
	c.w = copy(c.buf, c.buf[c.r:c.w])
	c.r, c.into = 0, c.buf[c.w:]
	n, err := c.readNow()
	c.w += n
	if n > 0 {
		return nil
	}
	return err
}

// exchange writes a request and reads the head of its answer. The connection is the answer's, or closed.
func (c *conn) exchange(ctx context.Context, r *Request) (*Response, *Error) {
	x := &Response{conn: c, ctx: ctx, target: r.Target}
	if ctx.Done() != nil {
		x.stop = context.AfterFunc(ctx, c.expire)
	}
	written := x.send(r)
	if written != nil && (late(written) || ctx.Err() != nil) {
		return nil, x.abandon(StageWrite, written)
	}
	stage, err := x.readHead(r.Method) // a server that has enough may have answered before it closed
	switch {
	case err == nil:
		return x, nil
	case written != nil && stage == StageFirstByte:
		stage, err = StageWrite, written
	}
	return nil, x.abandon(stage, err)
}

// send writes the request; a large body beside what comes next.
func (x *Response) send(r *Request) error {
	c := x.conn
	plain := c.rw == net.Conn(c.tcp)
	c.out = r.appendHead(c.out[:0])
	size := len(c.out) + len(r.Body)
	switch {
	case size <= together, !plain && size <= record:
		c.out = append(c.out, r.Body...)
		n, err := c.rw.Write(c.out)
		x.sent = n > 0 || !plain
		if cap(c.out) > 2*together {
			c.out = nil
		}
		return err
	case size <= alongside:
		return x.write(r.Body)
	}
	x.written = make(chan error, 1)
	x.sent = true
	go func() { x.written <- x.write(r.Body) }()
	return nil
}

// write writes the head in c.out and the body, in one call if the connection is plain.
func (x *Response) write(body []byte) error {
	c := x.conn
	if c.rw == net.Conn(c.tcp) {
		c.vec = [2][]byte{c.out, body}
		c.bufs = c.vec[:]
		n, err := c.bufs.WriteTo(c.tcp)
		c.vec, c.bufs = [2][]byte{}, nil
		if x.written == nil {
			x.sent = n > 0
		}
		return err
	}
	if x.written == nil {
		x.sent = true
	}
	if _, err := c.rw.Write(c.out); err != nil {
		return err
	}
	_, err := c.rw.Write(body)
	return err
}

// finished waits until nobody writes any more; the connection must have been closed if it is not certain that somebody will read.
func (x *Response) finished() error {
	if x.written == nil {
		return nil
	}
	err := <-x.written
	x.written = nil
	return err
}

// abandon closes the connection, ends all that goes on in it, and says why.
func (x *Response) abandon(stage Stage, err error) *Error {
	if x.written != nil && stage == StageFirstByte {
		select {
		case failed := <-x.written:
			x.written = nil
			if failed != nil {
				stage, err = StageWrite, failed
			}
		default:
		}
	}
	e := fault(x.ctx, stage, x.target.host, err)
	e.Sent = x.sent
	x.conn.close()
	_ = x.finished()
	if x.stop != nil {
		x.stop()
	}
	return e
}

// readHead reads the head of the answer that counts.
func (x *Response) readHead(method string) (Stage, error) {
	stage := StageFirstByte
	for range maxInterims {
		h, err := x.conn.readHead(&stage)
		if err != nil {
			return stage, err
		}
		if h.status == 101 {
			return stage, errSwitch
		}
		if h.status < 200 {
			continue
		}
		f, err := h.frame(method)
		if err != nil {
			return stage, err
		}
		x.begin(h, f)
		return stage, nil
	}
	return stage, errInterims
}

// readHead reads one head.
func (c *conn) readHead(stage *Stage) (head, error) {
	limit := c.pool.client.cfg.MaxHead
	lines, from := 0, 0
	for {
		if c.r < c.w {
			*stage = StageHeader
			b := c.buf[c.r:c.w]
			if err := begins(b); err != nil {
				return head{}, err
			}
			var end int
			end, from = headEnd(b, from, &lines)
			if end > limit {
				return head{}, errHeadSize
			}
			if end > 0 {
				c.r += end
				h, err := parseHead(string(b[:end]), lines)
				if len(c.buf) > 2*buffer {
					c.shrink()
				}
				return h, err
			}
			if lines > maxFields+1 || len(b) >= limit {
				return head{}, errHeadSize
			}
		}
		if err := c.fill(limit); err != nil {
			return head{}, err
		}
	}
}

// shrink gives back what a large head took.
func (c *conn) shrink() {
	rest := c.buf[c.r:c.w]
	c.buf = make([]byte, max(buffer, len(rest)))
	c.r, c.w = 0, copy(c.buf, rest)
}
