package transport

import (
	"strconv"
	"strings"
	"time"

	"decouple.dev/decouple"
)

// Field is one line of a head.
type Field struct {
	Name  string
	Value string
}

// Request is what is asked of a server. Nothing in it may change until [Client.Do] has returned an error or the [Response] is closed.
type Request struct {
	Method string
	Target *Target
	Path   string  // already escaped, with the query; begins with /
	Header []Field // written as they are; Host, Content-Length and whatever concerns the connection are not for the caller
	Front  []byte  // goes before Body: what is changed at the beginning of a large body costs no copy of the rest
	Body   []byte

	// FirstByte is how long it may take, once there is a connection, until the head of the answer is whole. Zero is the Config's.
	FirstByte time.Duration
}

// check refuses what would be more than one request on the wire, or another one.
func (r *Request) check() error {
	switch {
	case r.Target == nil:
		return decouple.Errorf(decouple.Invalid, "the request names no target")
	case !token(r.Method):
		return decouple.Errorf(decouple.Invalid, "the method of the request is not a token")
	case r.Method == "CONNECT":
		return decouple.Errorf(decouple.Invalid, "a request may not ask for a tunnel")
	case !strings.HasPrefix(r.Path, "/"):
		return decouple.Errorf(decouple.Invalid, "the path of the request does not begin with /")
	}
	for i := range len(r.Path) {
		if c := r.Path[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return decouple.Errorf(decouple.Invalid, "the path of the request is not escaped")
		}
	}
	for i := range r.Header {
		f := &r.Header[i]
		switch {
		case !token(f.Name):
			return decouple.Errorf(decouple.Invalid, "the name of field %d of the request is not a token", i+1)
		case !fieldValue(f.Value):
			return decouple.Errorf(decouple.Invalid, "the field %s of the request has a line end or another control character in its value", f.Name)
		case concernsConnection(f.Name):
			return decouple.Errorf(decouple.Invalid, "the field %s of the request concerns the connection and is not for the caller", f.Name)
		}
	}
	return nil
}

// size is that of the whole body.
func (r *Request) size() int { return len(r.Front) + len(r.Body) }

// appendHead writes the head, and what goes before the body, to b.
func (r *Request) appendHead(b []byte) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, r.Path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, r.Target.host...)
	b = append(b, "\r\n"...)
	for i := range r.Header {
		f := &r.Header[i]
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	if r.size() > 0 || r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH" {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(r.size()), 10)
		b = append(b, "\r\n"...)
	}
	return append(append(b, "\r\n"...), r.Front...)
}

// concernsConnection says that a field belongs to the connection, not to the request.
func concernsConnection(name string) bool {
	switch len(name) {
	case 2:
		return strings.EqualFold(name, "te")
	case 4:
		return strings.EqualFold(name, "host")
	case 6:
		return strings.EqualFold(name, "expect")
	case 7:
		return strings.EqualFold(name, "upgrade") || strings.EqualFold(name, "trailer")
	case 10:
		return strings.EqualFold(name, "connection") || strings.EqualFold(name, "keep-alive")
	case 14:
		return strings.EqualFold(name, "content-length")
	case 16:
		return strings.EqualFold(name, "proxy-connection")
	case 17:
		return strings.EqualFold(name, "transfer-encoding")
	case 19:
		return strings.EqualFold(name, "proxy-authorization")
	}
	return false
}

// token says that s is a token of RFC 9110.
func token(s string) bool {
	for i := range len(s) {
		if !tokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func tokenByte(c byte) bool {
	const (
		low  = 1<<'!' | 1<<'#' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'*' | 1<<'+' | 1<<'-' | 1<<'.' | (1<<10-1)<<'0'
		high = 1<<('^'-64) | 1<<('_'-64) | 1<<('`'-64) | 1<<('|'-64) | 1<<('~'-64) | (1<<26-1)<<('A'-64) | (1<<26-1)<<('a'-64)
	)
	switch {
	case c < 64:
		return low>>c&1 == 1
	case c < 128:
		return uint64(high)>>(c-64)&1 == 1
	}
	return false
}

// fieldValue says that s has no control character but the tab.
func fieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
