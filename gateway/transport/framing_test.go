package transport

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
)

// pieces is a server that answers one request of a connection by writing the answer in pieces of some size, and closes.
func pieces(answer string, size int) func(net.Conn, int) {
	return func(c net.Conn, _ int) {
		if take(bufio.NewReader(c)) == nil {
			return
		}
		for rest := answer; rest != ""; {
			n := min(size, len(rest))
			if _, err := io.WriteString(c, rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
	}
}

func TestFramings(t *testing.T) {
	t.Parallel()
	const ok, chunks = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for answer, want := range map[string]string{
		ok + "Content-Length: 5\r\n\r\nhello":                                            "200 hello",
		ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello":                       "200 hello",
		ok + "content-length:5\r\n\r\nhello":                                             "200 hello",
		ok + "Content-Length: \t5 \r\n\r\nhello":                                         "200 hello",
		ok + "\r\nuntil the end":                                                         "200 until the end",
		"HTTP/1.0 200 OK\r\n\r\nold":                                                     "200 old",
		"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n":                                      "200 ",
		"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n":                                     "200 ",
		"HTTP/1.1 299 Strange Things\nContent-Length: 2\n\nok":                           "299 ok",
		"HTTP/1.1 100 Continue\r\n\r\n" + ok + "Content-Length: 2\r\n\r\nok":             "200 ok",
		"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + chunks + "0\r\n\r\n":             "200 ",
		chunks + "5\r\nhello\r\n0\r\n\r\n":                                               "200 hello",
		chunks + "5;a=b;c=\"d\"\r\nhello\r\n6 ; x\r\n world\r\n000\r\n\r\n":              "200 hello world",
		chunks + "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n":       "200 01234567890123456789",
		strings.Replace(chunks, "chunked", "Chunked", 1) + "1\r\nx\r\n0\r\n\r\n":         "200 x",
		"HTTP/1.1 204 No Content\r\n\r\n":                                                "204 ",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n":                         "304 ",
		ok + "X: " + strings.Repeat("v", 16_000) + "\r\nContent-Length: 1\r\n\r\nx":      "200 x",
		ok + strings.Repeat("X-Y: zzzzzzzzzzzz\r\n", 250) + "Content-Length: 1\r\n\r\nx": "200 x",
	} {
		for _, size := range []int{1, 3, 1 << 20} {
			if size < 3 && len(answer) > 1000 {
				continue
			}
			resp, got := whole(t, client(t, Config{}), get(raw(t, pieces(answer, size))))
			if got = fmt.Sprintf("%d %s", resp.Status, got); got != want {
				t.Errorf("%.80q by %d: got %q, want %q", answer, size, got, want)
			}
		}
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	c := client(t, Config{})
	to := raw(t, always("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"))
	for i := range 3 {
		resp, got := whole(t, c, &Request{Method: "HEAD", Target: to, Path: "/"})
		if got != "" || resp.Length != 1000 || resp.Reused != (i > 0) {
			t.Errorf("got %q, length %d, reused %v", got, resp.Length, resp.Reused)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	const ok, chunks = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for answer, want := range map[string]struct {
		stage Stage
		err   error
	}{
		ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n": {StageHeader, errFraming},
		ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello":                            {StageHeader, errFraming},
		ok + "Content-Length: 5, 5\r\n\r\nhello":                                              {StageHeader, errLength},
		ok + "Content-Length: +5\r\n\r\nhello":                                                {StageHeader, errLength},
		ok + "Content-Length: -5\r\n\r\nhello":                                                {StageHeader, errLength},
		ok + "Content-Length: 0x5\r\n\r\nhello":                                               {StageHeader, errLength},
		ok + "Content-Length:\r\n\r\nhello":                                                   {StageHeader, errLength},
		ok + "Content-Length: 99999999999999999999\r\n\r\nhello":                              {StageHeader, errLength},
		ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n":                              {StageHeader, errCoding},
		ok + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n":                                   {StageHeader, errCoding},
		ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":      {StageHeader, errCoding},
		ok + "Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\nx":                      {StageHeader, errCoding},
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":                      {StageHeader, errCoding},
		ok + "Content-Length : 5\r\n\r\nhello":                                                {StageHeader, errHead},
		ok + " folded: x\r\nContent-Length: 0\r\n\r\n":                                        {StageHeader, errHead},
		ok + "A: b\r\n c\r\nContent-Length: 0\r\n\r\n":                                        {StageHeader, errHead},
		ok + "no colon\r\nContent-Length: 0\r\n\r\n":                                          {StageHeader, errHead},
		ok + ": no name\r\nContent-Length: 0\r\n\r\n":                                         {StageHeader, errHead},
		ok + "A: b\rContent-Length: 5\r\n\r\nhello":                                           {StageHeader, errHead},
		ok + "A: \x00\r\nContent-Length: 0\r\n\r\n":                                           {StageHeader, errHead},
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n":                            {StageHeader, errSwitch},
		"HTTP/2.0 200 OK\r\n\r\n":                                                             {StageHeader, errNotHTTP},
		"HTTP/1.2 200 OK\r\n\r\n":                                                             {StageHeader, errNotHTTP},
		"HTTP/1.1 20 OK\r\n\r\n":                                                              {StageHeader, errNotHTTP},
		"HTTP/1.1 2000 OK\r\n\r\n":                                                            {StageHeader, errNotHTTP},
		"HTTP/1.1 099 OK\r\n\r\n":                                                             {StageHeader, errNotHTTP},
		"\r\nHTTP/1.1 200 OK\r\n\r\n":                                                         {StageHeader, errNotHTTP},
		"SSH-2.0-OpenSSH_9.2\r\n":                                                             {StageHeader, errNotHTTP},
		"\x15\x03\x01\x00\x02\x02\x16":                                                        {StageHeader, errSpeaksTLS},
		ok + "A: " + strings.Repeat("v", 17_000) + "\r\n\r\n":                                 {StageHeader, errHeadSize},
		ok + strings.Repeat("A: b\r\n", 300) + "\r\n":                                         {StageHeader, errHeadSize},
		ok + strings.Repeat("A: "+strings.Repeat("v", 1000)+"\r\n", 100) + "\r\n":             {StageHeader, errHeadSize},
		ok + strings.Repeat("v", 100_000):                                                     {StageHeader, errHeadSize},
		strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20):                                   {StageHeader, errInterims},
		ok:                                                {StageHeader, io.ErrUnexpectedEOF},
		"":                                                {StageFirstByte, io.ErrUnexpectedEOF},
		ok + "Content-Length: 6\r\n\r\nhello":             {StageBody, io.ErrUnexpectedEOF},
		chunks:                                            {StageBody, io.ErrUnexpectedEOF},
		chunks + "5\r\nhel":                               {StageBody, io.ErrUnexpectedEOF},
		chunks + "5\r\nhello":                             {StageBody, io.ErrUnexpectedEOF},
		chunks + "5\r\nhello\r\n":                         {StageBody, io.ErrUnexpectedEOF},
		chunks + "5\r\nhello\r\n0\r\n":                    {StageBody, io.ErrUnexpectedEOF},
		chunks + "5\nhello\r\n0\r\n\r\n":                  {StageBody, errChunks},
		chunks + "5\r\nhello\n0\r\n\r\n":                  {StageBody, errChunks},
		chunks + "5\r\nhelloX\r\n0\r\n\r\n":               {StageBody, errChunks},
		chunks + "5\r\nhello\r\n\r\n0\r\n\r\n":            {StageBody, errChunks},
		chunks + "+5\r\nhello\r\n0\r\n\r\n":               {StageBody, errChunks},
		chunks + "0x5\r\nhello\r\n0\r\n\r\n":              {StageBody, errChunks},
		chunks + " 5\r\nhello\r\n0\r\n\r\n":               {StageBody, errChunks},
		chunks + ";a\r\nhello\r\n0\r\n\r\n":               {StageBody, errChunks},
		chunks + "5;a\rb\r\nhello\r\n0\r\n\r\n":           {StageBody, errChunks},
		chunks + "ffffffffffffffff\r\nhello\r\n0\r\n\r\n": {StageBody, errChunks},
		chunks + "5;" + strings.Repeat("a", 3000) + "\r\nhello\r\n0\r\n\r\n":                   {StageBody, errChunks},
		chunks + strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\nx\r\n", 30):                {StageBody, errChunks},
		chunks + "0\r\n" + strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 30) + "\r\n": {StageBody, errChunks},
	} {
		for _, size := range []int{1, 1 << 20} {
			if size == 1 && len(answer) > 1000 {
				continue
			}
			c := client(t, Config{})
			e := failed(t, c, get(raw(t, pieces(answer, size))))
			if e.Stage != want.stage || !errors.Is(e, want.err) || !e.Sent || e.Timeout || c.Idle() != 0 {
				t.Errorf("%.80q by %d: got %s: %v", answer, size, e.Stage, e)
			}
		}
	}
}

// framed is a random answer that any client must understand: its bytes, status and body.
func framed(r *rand.Rand) (wire string, status int, body string) {
	var b strings.Builder
	for range r.IntN(3) {
		b.WriteString([]string{"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"}[r.IntN(2)])
	}
	status = []int{200, 200, 200, 201, 400, 429, 500, 529, 204, 304}[r.IntN(10)]
	p := make([]byte, []int{0, 1, r.IntN(100), r.IntN(5000), 4096, r.IntN(200_000)}[r.IntN(6)])
	for i := range p {
		p[i] = "ab\r\n0;"[r.IntN(6)]
	}
	fmt.Fprintf(&b, "HTTP/1.1 %d Some Thing\r\nDate: now\r\n", status)
	for i := range r.IntN(40) {
		fmt.Fprintf(&b, "X-%d:%s%s\r\n", i, strings.Repeat(" ", r.IntN(3)), strings.Repeat("v", r.IntN(300)))
	}
	if status == 204 || status == 304 {
		b.WriteString("\r\n")
		return b.String(), status, ""
	}
	switch r.IntN(4) {
	case 0:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(p), p)
	case 1:
		fmt.Fprintf(&b, "\r\n%s", p)
	default:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for rest := p; len(rest) > 0; {
			n := 1 + r.IntN(min(len(rest), []int{3, 50, 10_000}[r.IntN(3)]))
			fmt.Fprintf(&b, []string{"%x\r\n", "%X\r\n", "00%x\r\n", "%x;e=1\r\n"}[r.IntN(4)], n)
			b.Write(rest[:n])
			b.WriteString("\r\n")
			rest = rest[n:]
		}
		b.WriteString([]string{"0\r\n\r\n", "000\r\nX-T: 1\r\n\r\n", "0;x\r\n\r\n"}[r.IntN(3)])
	}
	return b.String(), status, string(p)
}

// TestLikeNetHTTP gives the same random answers, in random pieces, to this client and to net/http's.
func TestLikeNetHTTP(t *testing.T) {
	t.Parallel()
	theirs := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 7))
		wire, status, body := framed(r)
		size := []int{7, 100, 4096, 1 << 20}[r.IntN(4)]
		if len(wire)/size > 2000 {
			size = 1000
		}
		to := raw(t, pieces(wire, size))
		resp, err := theirs.Get(to.String())
		if err != nil {
			t.Fatalf("seed %d: net/http refuses it: %v", seed, err)
		}
		their, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != status || string(their) != body {
			t.Fatalf("seed %d: net/http read %d, %d bytes, %v, not %d, %d bytes", seed, resp.StatusCode, len(their), err, status, len(body))
		}
		ours, err := client(t, Config{}).Do(t.Context(), get(to))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		var got bytes.Buffer
		if _, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{ours}, make([]byte, 1+r.IntN(9000))); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		if ours.Status != status || got.String() != body {
			t.Errorf("seed %d: got %d, %d bytes, want %d, %d bytes", seed, ours.Status, got.Len(), status, len(body))
		}
		for _, f := range ours.Header {
			if resp.Header.Get(f.Name) != f.Value {
				if f.Name != "Content-Length" && f.Name != "Transfer-Encoding" { // net/http takes these out
					t.Errorf("seed %d: %s is %q, not %q", seed, f.Name, f.Value, resp.Header.Get(f.Name))
				}
			}
		}
		_ = ours.Close()
	}
}

// tape is a connection on which bytes come in pieces and then the end.
type tape struct {
	net.Conn
	rest  []byte
	piece int
}

func (c *tape) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.piece)], c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *tape) Write(p []byte) (int, error) { return len(p), nil }

// FuzzResponse wants of every answer that is read whole: that net/http reads the same, that pieces make no difference, and that what is refused is refused by a typed error without foreign
// control characters.
func FuzzResponse(f *testing.F) {
	for seed := range uint64(40) {
		wire, _, _ := framed(rand.New(rand.NewPCG(seed, 7)))
		f.Add([]byte(wire[:min(len(wire), 3000)]), seed%2 == 0, uint8(seed))
	}
	tcp := idleConn(f)
	f.Fuzz(func(t *testing.T, wire []byte, head bool, piece uint8) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		read := func(piece int) (*Response, []byte, error) {
			cn, err := newConn(&pool{client: New(Config{})}, tcp)
			if err != nil {
				t.Fatal(err)
			}
			cn.rw = &tape{rest: wire, piece: piece}
			resp, failed := cn.exchangeOver(method)
			if failed != nil {
				return nil, nil, failed
			}
			b, err := resp.Whole(1 << 20)
			return resp, b, err
		}
		resp, body, err := read(1 + int(piece))
		_, again, errAgain := read(1 << 20)
		if (err == nil) != (errAgain == nil) || err == nil && !bytes.Equal(body, again) {
			t.Fatalf("pieces of %d: %q, %v; in one: %q, %v", 1+int(piece), body, err, again, errAgain)
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || strings.ContainsAny(err.Error(), "\r\n\x00\x1b") {
				t.Fatalf("got %#v", err)
			}
			return
		}
		in := bufio.NewReader(bytes.NewReader(wire))
		req, _ := http.NewRequest(method, "http://x/", nil)
		for {
			theirs, err := http.ReadResponse(in, req)
			if err != nil {
				t.Fatalf("net/http refuses what was read as %d %q: %v", resp.Status, body, err)
			}
			if theirs.StatusCode < 200 {
				continue
			}
			b, err := io.ReadAll(theirs.Body)
			if err != nil || theirs.StatusCode != resp.Status || !bytes.Equal(b, body) {
				t.Fatalf("net/http reads %d %q, %v; here it is %d %q", theirs.StatusCode, b, err, resp.Status, body)
			}
			return
		}
	})
}

// exchangeOver is an exchange whose writing does not matter.
func (c *conn) exchangeOver(method string) (*Response, *Error) {
	to, _ := NewTarget("http://x")
	return c.exchange(context.Background(), &Request{Method: method, Target: to, Path: "/"})
}

// idleConn is a TCP connection to nobody in particular, for what only its deadlines are needed.
func idleConn(f *testing.F) *net.TCPConn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}
