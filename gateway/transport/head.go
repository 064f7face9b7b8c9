package transport

import (
	"bytes"
	"errors"
	"strings"
)

// Header is the fields of an answer, in order.
type Header []Field

// Get is the value of the first field of that name, whatever its case; empty if there is none.
func (h Header) Get(name string) string {
	v, _ := h.Lookup(name)
	return v
}

// Lookup is Get that tells an empty field from none.
func (h Header) Lookup(name string) (string, bool) {
	for i := range h {
		if len(h[i].Name) == len(name) && strings.EqualFold(h[i].Name, name) {
			return h[i].Value, true
		}
	}
	return "", false
}

// The limits of a head.
const (
	maxLine     = 16 << 10
	maxFields   = 256
	maxInterims = 16 // answers with a status of 1xx before the one that counts
)

// What can be wrong with an answer.
var (
	errNotHTTP   = errors.New("it does not speak HTTP/1.1")
	errSpeaksTLS = errors.New("it speaks TLS: name it with https://")
	errHead      = errors.New("the head of its answer is malformed")
	errHeadSize  = errors.New("the head of its answer is too large")
	errFraming   = errors.New("its answer says in two ways how long it is")
	errLength    = errors.New("its answer has a malformed length")
	errCoding    = errors.New("its answer has a transfer encoding other than chunked")
	errSwitch    = errors.New("it wants to switch to a protocol that was not asked for")
	errInterims  = errors.New("it sends interim answers without end")
)

// head is the parsed head of an answer.
type head struct {
	status int
	old    bool // HTTP/1.0
	fields Header
}

// begins says early that what has come is no answer.
func begins(b []byte) error {
	const start = "HTTP/1."
	n := min(len(b), len(start))
	if string(b[:n]) == start[:n] {
		return nil
	}
	if b[0] == 0x15 && (len(b) < 2 || b[1] == 3) {
		return errSpeaksTLS
	}
	return errNotHTTP
}

// headEnd looks in b, from a line's beginning at from, for the empty line that ends a head. It gives the end, or 0 and where to look on; and the number of lines so far added to lines.
func headEnd(b []byte, from int, lines *int) (end, next int) {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return 0, from
		}
		line := b[from : from+i]
		from += i + 1
		if len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			return from, from
		}
		*lines++
	}
}

// parseHead reads a head that ends in an empty line. What it gives are parts of s.
func parseHead(s string, lines int) (head, error) {
	line, s := cutLine(s)
	h, err := parseStatus(line)
	if err != nil {
		return h, err
	}
	if lines > maxFields+1 {
		return h, errHeadSize
	}
	h.fields = make(Header, 0, max(lines-1, 0))
	for {
		line, s = cutLine(s)
		if line == "" {
			return h, nil
		}
		if len(line) > maxLine {
			return h, errHeadSize
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !ok || !token(name) || !fieldValue(value) { // a folded line has no token before its colon
			return h, errHead
		}
		h.fields = append(h.fields, Field{name, value})
	}
}

// parseStatus reads "HTTP/1.1 200 OK"; the reason may be missing.
func parseStatus(line string) (head, error) {
	var h head
	if len(line) < 12 || len(line) > maxLine || line[:7] != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' || len(line) > 12 && line[12] != ' ' || !fieldValue(line) {
		return h, errNotHTTP
	}
	h.old = line[7] == '0'
	for _, c := range []byte(line[9:12]) {
		if c < '0' || c > '9' {
			return h, errNotHTTP
		}
		h.status = h.status*10 + int(c-'0')
	}
	if h.status < 100 {
		return h, errNotHTTP
	}
	return h, nil
}

// cutLine takes a line off s, without its end.
func cutLine(s string) (line, rest string) {
	i := strings.IndexByte(s, '\n')
	if i < 0 {
		return s, ""
	}
	return strings.TrimSuffix(s[:i], "\r"), s[i+1:]
}

// frame is how the end of a body is known.
type frame uint8

const (
	bare       frame = iota // there is none
	sized                   // by its length
	chunked                 // by its chunks
	untilClose              // by the end of the connection
)

// framing is what the fields of an answer say about its body and its connection.
type framing struct {
	frame  frame
	length int64 // -1 if it is not said
	keep   bool  // the connection may be used again
	ends   bool  // the server says that it closes the connection
}

// frame decides how the answer to a method is framed, and refuses what two readers could take for two things.
func (h *head) frame(method string) (framing, error) {
	f := framing{length: -1, keep: !h.old}
	coded := false
	for i := range h.fields {
		name, value := h.fields[i].Name, h.fields[i].Value
		switch {
		case len(name) == 14 && strings.EqualFold(name, "content-length"):
			n, ok := parseLength(value)
			if !ok {
				return f, errLength
			}
			if f.length >= 0 && f.length != n {
				return f, errFraming
			}
			f.length = n
		case len(name) == 17 && strings.EqualFold(name, "transfer-encoding"):
			if coded || h.old || !strings.EqualFold(value, "chunked") {
				return f, errCoding
			}
			coded = true
		case len(name) == 10 && strings.EqualFold(name, "connection"):
			f.options(value)
		}
	}
	if coded && f.length >= 0 {
		return f, errFraming
	}
	f.keep = f.keep && !f.ends
	switch {
	case method == "HEAD" || h.status == 304:
	case h.status == 204:
		f.keep = f.keep && !coded && f.length <= 0 // it may believe that it has a body
	case coded:
		f.frame = chunked
	case f.length >= 0:
		f.frame = sized
	default:
		f.frame, f.keep = untilClose, false
	}
	if f.frame == sized && f.length == 0 {
		f.frame = bare
	}
	return f, nil
}

// options reads a Connection field.
func (f *framing) options(value string) {
	for option := range strings.SplitSeq(value, ",") {
		switch option = strings.Trim(option, " \t"); {
		case strings.EqualFold(option, "close"):
			f.ends = true
		case strings.EqualFold(option, "keep-alive"):
			f.keep = true
		}
	}
}

// parseLength reads a Content-Length: digits and nothing else.
func parseLength(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
