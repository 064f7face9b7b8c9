package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
)

// raw is a server that does with each connection what do says; n counts them from 0.
func raw(t testing.TB, do func(c net.Conn, n int)) *Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				do(c, n)
			}()
		}
	}()
	return target(t, "http://"+l.Addr().String())
}

func target(t testing.TB, url string) *Target {
	t.Helper()
	to, err := NewTarget(url)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// client is one that is closed with the test.
func client(t testing.TB, cfg Config) *Client {
	orElse(&cfg.FirstByte, 20*time.Second)
	c := New(cfg)
	t.Cleanup(c.CloseIdle)
	return c
}

// take reads one request off a raw connection; nil at its end.
func take(in *bufio.Reader) *http.Request {
	r, err := http.ReadRequest(in)
	if err != nil {
		return nil
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	r.Body = io.NopCloser(strings.NewReader(string(b)))
	return r
}

// always answers every request of a connection alike.
func always(answer string) func(net.Conn, int) {
	return func(c net.Conn, _ int) {
		for in := bufio.NewReader(c); take(in) != nil; {
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	}
}

func get(to *Target) *Request { return &Request{Method: "GET", Target: to, Path: "/"} }

func post(to *Target, body string) *Request {
	return &Request{Method: "POST", Target: to, Path: "/v1/chat/completions?a=b", Body: []byte(body), Header: []Field{{"Authorization", "Bearer k"}, {"content-type", "application/json"}}}
}

// whole asks and reads all.
func whole(t testing.TB, c *Client, r *Request) (*Response, string) {
	t.Helper()
	resp, err := c.Do(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := resp.Whole(1 << 26)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Close(); err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// failed is the error of a request, or of reading its answer.
func failed(t testing.TB, c *Client, r *Request) *Error {
	t.Helper()
	resp, err := c.Do(t.Context(), r)
	if err == nil {
		_, err = resp.Whole(1 << 20)
		_ = resp.Close()
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	return e
}

func TestAgainstNetHTTP(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Saw", fmt.Sprintf("%s %s %s %s %d", r.Method, r.URL.RequestURI(), r.Host, r.Header.Get("Authorization"), r.ContentLength))
		if strings.HasPrefix(r.URL.Path, "/moved") {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
			return
		}
		_, _ = w.Write(b)
	}))
	t.Cleanup(srv.Close)
	to, c := target(t, srv.URL), client(t, Config{})
	for i, size := range []int{0, 1, 1000, 3900, 4096, 5000, 60_000, 70_000, 100_000, 3_000_000} {
		body := strings.Repeat("0123456789", size/10+1)[:size]
		resp, got := whole(t, c, post(to, body))
		if resp.Status != 200 || got != body {
			t.Errorf("size %d: status %d, %d bytes back", size, resp.Status, len(got))
		}
		if want := fmt.Sprintf("POST /v1/chat/completions?a=b %s Bearer k %d", to.Host(), size); resp.Header.Get("x-saw") != want {
			t.Errorf("the server saw %q, want %q", resp.Header.Get("x-saw"), want)
		}
		if resp.Reused != (i > 0) {
			t.Errorf("size %d: reused is %v", size, resp.Reused)
		}
	}
	resp, _ := whole(t, c, &Request{Method: "GET", Target: to, Path: "/moved"})
	if resp.Status != 307 || resp.Header.Get("Location") != "/elsewhere" {
		t.Errorf("a redirect became %d to %q", resp.Status, resp.Header.Get("Location"))
	}
	if c.Idle() != 1 {
		t.Errorf("%d idle connections, want 1", c.Idle())
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range 50 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			<-next
		}
	}))
	t.Cleanup(srv.Close)
	resp, err := client(t, Config{}).Do(t.Context(), post(target(t, srv.URL), "{}"))
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 32<<10)
	for i := range 50 {
		n, err := resp.Read(p)
		if want := fmt.Sprintf("data: %d\n\n", i); err != nil || string(p[:n]) != want {
			t.Fatalf("read %q, %v, want %q", p[:n], err, want)
		}
		next <- struct{}{}
	}
	if n, err := resp.Read(p); n != 0 || err != io.EOF {
		t.Fatalf("at the end: %d, %v", n, err)
	}
	if err := resp.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOneRequestOnly(t *testing.T) {
	t.Parallel()
	to := raw(t, func(c net.Conn, _ int) { t.Error("something was sent") })
	c := client(t, Config{})
	for name, r := range map[string]*Request{
		"line end in a value":    {Method: "GET", Path: "/", Header: []Field{{"a", "b\r\nc: d"}}},
		"bare line feed":         {Method: "GET", Path: "/", Header: []Field{{"a", "b\nc"}}},
		"bare return":            {Method: "GET", Path: "/", Header: []Field{{"a", "b\rc"}}},
		"nul":                    {Method: "GET", Path: "/", Header: []Field{{"a", "b\x00"}}},
		"line end in a name":     {Method: "GET", Path: "/", Header: []Field{{"a\r\nb", "c"}}},
		"blank in a name":        {Method: "GET", Path: "/", Header: []Field{{"a ", "c"}}},
		"no name":                {Method: "GET", Path: "/", Header: []Field{{"", "c"}}},
		"letter beyond ascii":    {Method: "GET", Path: "/", Header: []Field{{"transfer-en\u212aoding", "c"}}},
		"own length":             {Method: "GET", Path: "/", Header: []Field{{"content-length", "3"}}},
		"own coding":             {Method: "GET", Path: "/", Header: []Field{{"Transfer-Encoding", "chunked"}}},
		"own host":               {Method: "GET", Path: "/", Header: []Field{{"HOST", "x"}}},
		"connection":             {Method: "GET", Path: "/", Header: []Field{{"Connection", "close"}}},
		"line end in the path":   {Method: "GET", Path: "/ HTTP/1.1\r\n\r\nGET /"},
		"blank in the path":      {Method: "GET", Path: "/a b"},
		"relative path":          {Method: "GET", Path: "a"},
		"no path":                {Method: "GET"},
		"letters in the path":    {Method: "GET", Path: "/ä"},
		"line end in the method": {Method: "GET / HTTP/1.1\r\n\r\nGET", Path: "/"},
		"no method":              {Path: "/"},
		"tunnel":                 {Method: "CONNECT", Path: "/"},
	} {
		r.Target = to
		e := failed(t, c, r)
		if e.Kind() != decouple.Invalid || e.Sent || e.Stage != StageWrite {
			t.Errorf("%s: %v (%s, %s, sent %v)", name, e, e.Stage, e.Kind(), e.Sent)
		}
		if strings.ContainsAny(e.Error(), "\r\n\x00") {
			t.Errorf("%s: control characters in %q", name, e)
		}
	}
	if e := failed(t, c, &Request{Method: "GET", Path: "/"}); e.Kind() != decouple.Invalid {
		t.Errorf("no target: %v", e)
	}
}

func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	const answer = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig"
	for _, size := range []int{5_000, 50_000, 70_000, 16 << 20} {
		done := make(chan struct{})
		to := raw(t, func(c net.Conn, _ int) {
			_, _ = c.Read(make([]byte, 10)) // and no more
			_, _ = io.WriteString(c, answer)
			<-done
		})
		c := client(t, Config{})
		resp, got := whole(t, c, post(to, strings.Repeat("x", size)))
		if resp.Status != 413 || got != "big" {
			t.Errorf("size %d: %d %q", size, resp.Status, got)
		}
		if size > 8<<20 && c.Idle() != 0 {
			t.Error("a connection on which a request is half written was kept")
		}
		close(done)
	}
}

// TestEarlyAnswerAndEnd has a server that answers, reads nothing and closes: what it said arrives although writing fails.
func TestEarlyAnswerAndEnd(t *testing.T) {
	t.Parallel()
	to := raw(t, func(c net.Conn, _ int) {
		_, _ = io.WriteString(c, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n")
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	})
	for range 20 {
		resp, _ := whole(t, client(t, Config{}), post(to, strings.Repeat("x", 200_000)))
		if resp.Status != 429 || resp.Header.Get("RETRY-AFTER") != "3" {
			t.Fatalf("got %d", resp.Status)
		}
	}
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		size  int
		serve func(c net.Conn, reached chan<- struct{})
		stage Stage
	}{
		{"while nothing comes", 10, func(c net.Conn, reached chan<- struct{}) {
			take(bufio.NewReader(c))
			reached <- struct{}{}
		}, StageFirstByte},
		{"in the head", 10, func(c net.Conn, reached chan<- struct{}) {
			take(bufio.NewReader(c))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent")
			reached <- struct{}{}
		}, StageHeader},
		{"in the body", 10, func(c net.Conn, reached chan<- struct{}) {
			take(bufio.NewReader(c))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
			reached <- struct{}{}
		}, StageBody},
		{"in a chunk", 10, func(c net.Conn, reached chan<- struct{}) {
			take(bufio.NewReader(c))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal")
			reached <- struct{}{}
		}, StageBody},
		{"while a large body is written", 16 << 20, func(c net.Conn, reached chan<- struct{}) {
			_, _ = c.Read(make([]byte, 1000))
			reached <- struct{}{}
		}, StageFirstByte},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			reached, gone := make(chan struct{}), make(chan struct{})
			to := raw(t, func(conn net.Conn, _ int) {
				c.serve(conn, reached)
				_, _ = io.Copy(io.Discard, conn) // ends when the client closes
				close(gone)
			})
			ctx, cancel := context.WithCancel(t.Context())
			begun := make(chan struct{})
			go func() {
				<-reached
				if c.stage == StageBody {
					<-begun
				}
				cancel()
			}()
			resp, err := client(t, Config{}).Do(ctx, post(to, strings.Repeat("x", c.size)))
			close(begun)
			if err == nil {
				_, err = resp.Whole(1 << 20)
				_ = resp.Close()
			}
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, context.Canceled) || e.Stage != c.stage && (c.stage != StageHeader || e.Stage != StageFirstByte) || e.Kind() != decouple.Canceled || !e.Sent {
				t.Errorf("got %v (%+v)", err, e)
			}
			<-gone
		})
	}
}

func TestPatience(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	to := raw(t, func(c net.Conn, _ int) {
		take(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
		<-next
		_, _ = io.WriteString(c, "3\r\ntwo\r\n0\r\n\r\n")
		<-next
	})
	resp, err := client(t, Config{}).Do(t.Context(), post(to, "{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Patience(20 * time.Millisecond)
	p := make([]byte, 100)
	if n, err := resp.Read(p); string(p[:n]) != "one" || err != nil {
		t.Fatalf("got %q, %v", p[:n], err)
	}
	var e *Error
	if n, err := resp.Read(p); n != 0 || !errors.As(err, &e) || !e.Timeout || e.Stage != StageBody || e.Kind() != decouple.Deadline {
		t.Fatalf("silence gave %d, %v", n, err)
	}
	resp.Patience(0)
	resp.SetReadDeadline(time.Now().Add(-time.Second))
	if n, err := resp.Read(p); n != 0 || !errors.As(err, &e) || !e.Timeout {
		t.Fatalf("after the deadline: %d, %v", n, err)
	}
	resp.SetReadDeadline(time.Time{})
	next <- struct{}{}
	if b, err := resp.Whole(100); string(b) != "two" || err != nil {
		t.Fatalf("after patience had ended: %q, %v", b, err)
	}
	if err := resp.Close(); err != nil {
		t.Fatal(err)
	}
	close(next)
}

func TestFirstByteInTime(t *testing.T) {
	t.Parallel()
	for stage, says := range map[Stage]string{StageFirstByte: "", StageHeader: "HTTP/1.1 200 OK\r\nA: b\r\n"} {
		to := raw(t, func(c net.Conn, _ int) {
			_, _ = io.WriteString(c, says)
			_, _ = io.Copy(io.Discard, c)
		})
		r := post(to, "{}")
		r.FirstByte = 50 * time.Millisecond
		e := failed(t, client(t, Config{}), r)
		if !e.Timeout || e.Stage != stage || !e.Sent || e.Kind() != decouple.Deadline {
			t.Errorf("%s: %v (%+v)", stage, e, *e)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	e := failed(t, client(t, Config{}), get(target(t, "http://"+l.Addr().String())))
	if e.Stage != StageDial || e.Sent || e.Timeout || e.Kind() != decouple.Unavailable || !strings.Contains(e.Error(), "refused") {
		t.Errorf("got %v (%+v)", e, *e)
	}
	e = failed(t, client(t, Config{}), get(target(t, "http://no-such-host.invalid")))
	if e.Stage != StageDial || e.Sent {
		t.Errorf("got %v (%+v)", e, *e)
	}
}

func TestWholeHasALimit(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890",
		"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n01234567890",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
	} {
		c := client(t, Config{})
		resp, err := c.Do(t.Context(), get(raw(t, always(answer))))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := resp.Whole(10); decouple.KindOf(errors.Unwrap(err)) != decouple.TooLarge {
			t.Errorf("got %v", err)
		}
		_ = resp.Close()
		if c.Idle() != 0 {
			t.Error("the connection was kept")
		}
	}
	for _, answer := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"} {
		resp, err := client(t, Config{}).Do(t.Context(), get(raw(t, always(answer))))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := resp.Whole(10); string(b) != "0123456789" || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		_ = resp.Close()
		if _, err := resp.Read(make([]byte, 1)); err == nil {
			t.Error("a closed answer can be read")
		}
	}
}
