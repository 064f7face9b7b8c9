package transport

import (
	"bytes"
	"errors"
	"io"
)

// place is where in a chunked body reading is.
type place uint8

const (
	atSize    place = iota // before a chunk's size
	inChunk                // in its data
	atEnd                  // before the line end that follows the data
	inTrailer              // after the last chunk
)

// The limits of chunks: of a line of framing, and of all framing beyond what a reasonable server writes (as in net/http).
const (
	maxChunkLine = 2 << 10
	maxExcess    = 16 << 10
)

var errChunks = errors.New("the chunks of its answer are malformed")

// read is Read of an answer that has not ended.
func (x *Response) read(p []byte) (int, error) {
	if x.frame == chunked {
		return x.readChunks(p)
	}
	if x.frame == sized && int64(len(p)) > x.left {
		p = p[:x.left]
	}
	n, err := x.some(p)
	if x.frame == sized {
		x.left -= int64(n)
		x.ended = x.left == 0
	} else if err == io.EOF {
		x.ended = true
	}
	return n, err
}

// some gives bytes as they are on the wire, those that have come already if there are any.
func (x *Response) some(p []byte) (int, error) {
	c := x.conn
	if c.r == c.w {
		if len(p) >= len(c.buf) && !x.nowait {
			x.arm()
			n, err := c.rw.Read(p)
			if n > 0 {
				err = nil
			}
			return n, err
		}
		if err := x.more(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.buf[c.r:c.w])
	c.r += n
	return n, nil
}

// more waits for bytes, or does not if it may not.
func (x *Response) more() error {
	if x.nowait {
		return x.conn.fillNow()
	}
	x.arm()
	return x.conn.fill(maxLine)
}

// readChunks gives the data of as many chunks as have come, and sees the end if it has come with them.
func (x *Response) readChunks(p []byte) (int, error) {
	n := 0
	for {
		if x.at == inChunk {
			if n == len(p) || n > 0 && x.conn.r == x.conn.w {
				return n, nil
			}
			m, err := x.some(p[n:min(int64(len(p)), int64(n)+x.left)])
			if err != nil {
				return n, err
			}
			n += m
			if x.left -= int64(m); x.left == 0 {
				x.at = atEnd
			}
			continue
		}
		line, err := x.line(n == 0)
		if err == nil {
			err = x.step(line)
		}
		switch {
		case err != nil && n > 0 && err != errEmpty:
			x.fail(err) // for the next Read
			return n, nil
		case err == errEmpty && n > 0:
			return n, nil
		case err != nil:
			return 0, err
		case x.ended && n > 0:
			return n, nil
		case x.ended:
			return 0, io.EOF
		}
	}
}

// line takes a line of framing, without its end; errEmpty if it has not come and may not be waited for.
func (x *Response) line(wait bool) ([]byte, error) {
	c := x.conn
	for {
		b := c.buf[c.r:c.w]
		if i := bytes.IndexByte(b, '\n'); i >= 0 && i < maxChunkLine {
			if i == 0 || b[i-1] != '\r' {
				return nil, errChunks
			}
			c.r += i + 1
			return b[:i-1], nil
		}
		if len(b) >= maxChunkLine {
			return nil, errChunks
		}
		if !wait {
			return nil, errEmpty
		}
		if err := x.more(); err != nil {
			return nil, err
		}
	}
}

// step goes on in a chunked body by a line of its framing.
func (x *Response) step(line []byte) error {
	switch x.at {
	case atEnd:
		if len(line) > 0 {
			return errChunks
		}
		x.at = atSize
	case inTrailer:
		x.excess += int64(len(line)) + 2
		x.ended = len(line) == 0
	case atSize:
		size, err := chunkSize(line)
		if err != nil {
			return err
		}
		x.excess = max(0, x.excess+int64(len(line))+2-16-2*min(size, maxExcess))
		x.left, x.at = size, inChunk
		if size == 0 {
			x.at = inTrailer
		}
	}
	if x.excess > maxExcess {
		return errChunks
	}
	return nil
}

// chunkSize reads the size of a chunk; what an extension says is not looked at.
func chunkSize(line []byte) (int64, error) {
	digits, extension, found := bytes.Cut(line, []byte(";"))
	if found {
		digits = bytes.TrimRight(digits, " \t")
	}
	if len(digits) == 0 || len(digits) > 15 || bytes.IndexByte(extension, '\r') >= 0 {
		return 0, errChunks
	}
	var n int64
	for _, c := range digits {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, errChunks
		}
		n = n<<4 | int64(c)
	}
	return n, nil
}
