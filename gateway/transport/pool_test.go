package transport

import (
	"bufio"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const okay = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// TestIdleAreNoGoroutines is not parallel: it counts the goroutines that are inside this package.
func TestIdleAreNoGoroutines(t *testing.T) {
	const many = 40
	var all sync.WaitGroup
	all.Add(many)
	to := raw(t, func(c net.Conn, _ int) {
		take(bufio.NewReader(c))
		all.Done()
		all.Wait()
		_, _ = io.WriteString(c, okay)
		_, _ = io.Copy(io.Discard, c)
	})
	c := client(t, Config{})
	var wg sync.WaitGroup
	for range many {
		wg.Go(func() {
			resp, err := c.Do(t.Context(), get(to))
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = resp.Whole(10)
			_ = resp.Close()
		})
	}
	wg.Wait()
	if c.Idle() != many {
		t.Fatalf("%d idle connections, want %d", c.Idle(), many)
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for g := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(g, "transport.(*") {
			t.Errorf("a goroutine of an idle connection:\n%s", g)
		}
	}
}

func TestClosedWhileIdle(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	var served atomic.Int32
	to := raw(t, func(c net.Conn, n int) {
		take(bufio.NewReader(c))
		served.Add(1)
		_, _ = io.WriteString(c, okay)
		if n == 0 {
			_ = c.Close()
			close(closed)
			return
		}
		_, _ = io.Copy(io.Discard, c)
	})
	c := client(t, Config{})
	whole(t, c, post(to, "{}"))
	<-closed
	for !dead(c) { // the end is on its way over loopback
		runtime.Gosched()
	}
	if resp, got := whole(t, c, post(to, "{}")); got != "ok" || resp.Reused {
		t.Errorf("got %q, reused %v", got, resp.Reused)
	}
	if served.Load() != 2 {
		t.Errorf("the server saw %d requests, want 2", served.Load())
	}
}

// dead says that the only idle connection is known to be closed.
func dead(c *Client) bool {
	for _, p := range c.pools {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, cn := range p.idle {
			cn.hurry(time.Now().Add(time.Minute))
			return !cn.quiet()
		}
	}
	return true
}

// TestClosedUnderway has a server that closes a reused connection when a request comes: the request goes once more, silently.
func TestClosedUnderway(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(net.Conn){
		"end":   func(c net.Conn) {},
		"reset": func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) },
	} {
		for _, size := range []int{10, 20_000, 200_000} {
			var served atomic.Int32
			to := raw(t, func(c net.Conn, n int) {
				in := bufio.NewReader(c)
				for i := 0; take(in) != nil; i++ {
					served.Add(1)
					if i == 1 && n == 0 {
						end(c)
						return
					}
					_, _ = io.WriteString(c, okay)
				}
			})
			c := client(t, Config{})
			body := strings.Repeat("x", size)
			whole(t, c, post(to, body))
			if resp, got := whole(t, c, post(to, body)); got != "ok" || resp.Reused {
				t.Errorf("%s: got %q, reused %v", name, got, resp.Reused)
			}
			if served.Load() != 3 {
				t.Errorf("%s: the server saw %d requests, want 3", name, served.Load())
			}
		}
	}
}

// TestFreshIsNotRepeated has a server that closes every connection at the first request: it may have worked on it.
func TestFreshIsNotRepeated(t *testing.T) {
	t.Parallel()
	var served atomic.Int32
	to := raw(t, func(c net.Conn, _ int) {
		take(bufio.NewReader(c))
		served.Add(1)
	})
	e := failed(t, client(t, Config{}), post(to, "{}"))
	if !e.Sent || e.Timeout || e.Stage != StageFirstByte || !errors.Is(e, io.ErrUnexpectedEOF) || served.Load() != 1 {
		t.Errorf("got %v (%+v), %d requests", e, *e, served.Load())
	}
}

// TestHalfAnAnswerIsNotRepeated has a reused connection that breaks after the first byte.
func TestHalfAnAnswerIsNotRepeated(t *testing.T) {
	t.Parallel()
	var served atomic.Int32
	to := raw(t, func(c net.Conn, _ int) {
		in := bufio.NewReader(c)
		take(in)
		_, _ = io.WriteString(c, okay)
		take(in)
		served.Add(1)
		_, _ = io.WriteString(c, "H")
	})
	c := client(t, Config{})
	whole(t, c, post(to, "{}"))
	if e := failed(t, c, post(to, "{}")); e.Stage != StageHeader || served.Load() != 1 {
		t.Errorf("got %v (%+v), %d requests", e, *e, served.Load())
	}
}

// TestUnaskedBytes has a server that says more than it was asked: whose answer that would be nobody can know.
func TestUnaskedBytes(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		okay + okay,
		"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + okay,
	} {
		c := client(t, Config{})
		to := raw(t, always(answer))
		for range 2 {
			if resp, _ := whole(t, c, get(to)); resp.Reused {
				t.Errorf("%q: the connection was used again", answer)
			}
		}
	}
}

func TestKept(t *testing.T) {
	t.Parallel()
	for answer, kept := range map[string]bool{
		okay: true,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n":                   true,
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok":                         false,
		"HTTP/1.1 200 OK\r\nConnection: a, CLOSE\r\nContent-Length: 2\r\n\r\nok":                      false,
		"HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n": false,
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok":                                              false,
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok":                    true,
		"HTTP/1.1 204 No Content\r\n\r\n":                                                             true,
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n":                                    true,
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n":                               true,
	} {
		c := client(t, Config{})
		whole(t, c, get(raw(t, always(answer))))
		if got := c.Idle() == 1; got != kept {
			t.Errorf("%q: kept is %v", answer, got)
		}
	}
}

// TestCloseKeeps closes answers that were not read to their end.
func TestCloseKeeps(t *testing.T) {
	t.Parallel()
	const chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, c := range map[string]struct {
		answer string
		kept   bool
	}{
		"the rest has come":           {chunks + "2\r\nok\r\n0\r\n\r\n", true},
		"the rest has come, sized":    {"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + strings.Repeat("x", 9000), true},
		"the rest has not come":       {chunks + "2\r\nok\r\n", false},
		"the rest has not come whole": {chunks + "2\r\nok\r\n0\r\n", false},
		"the rest is large":           {"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + strings.Repeat("x", 900000), false},
		"the rest is malformed":       {chunks + "2\r\nok\r\nz\r\n\r\n", false},
	} {
		cl := client(t, Config{})
		to := raw(t, always(c.answer))
		resp, err := cl.Do(t.Context(), get(to))
		if err != nil {
			t.Fatal(err)
		}
		if c.kept { // until all of it is there
			for resp.conn.w-resp.conn.r < min(len(c.answer)-len(chunks), 4000) {
				if err := resp.conn.fill(1 << 16); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = resp.Close()
		_ = resp.Close()
		if got := cl.Idle() == 1; got != c.kept {
			t.Errorf("%s: kept is %v", name, got)
		}
	}
}

func TestIdleIsBounded(t *testing.T) {
	t.Parallel()
	var open sync.WaitGroup
	open.Add(5)
	ended := make(chan struct{}, 5)
	to := raw(t, func(c net.Conn, _ int) {
		take(bufio.NewReader(c))
		open.Done()
		open.Wait()
		_, _ = io.WriteString(c, okay)
		_, _ = io.Copy(io.Discard, c)
		ended <- struct{}{}
	})
	c := client(t, Config{MaxIdle: 2, Idle: 50 * time.Millisecond})
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			resp, err := c.Do(t.Context(), get(to))
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = resp.Whole(10)
			_ = resp.Close()
		})
	}
	wg.Wait()
	if c.Idle() > 2 {
		t.Errorf("%d idle connections, want at most 2", c.Idle())
	}
	for range 5 { // three at once, two when they are old
		<-ended
	}
}

// TestUsedLastFirst takes the connection that was used last.
func TestUsedLastFirst(t *testing.T) {
	t.Parallel()
	p := &pool{client: New(Config{})}
	to := raw(t, func(c net.Conn, _ int) { _, _ = io.Copy(io.Discard, c) })
	var all []*conn
	for range 3 {
		tcp, err := net.Dial("tcp", to.host)
		if err != nil {
			t.Fatal(err)
		}
		cn, err := newConn(p, tcp.(*net.TCPConn))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, cn)
		p.put(cn)
	}
	if p.take(time.Minute) != all[2] || p.take(time.Minute) != all[1] {
		t.Error("not the one that was used last")
	}
	p.sweep(0)
}

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{"timeout=5, max=100": 4 * time.Second, "max=3, Timeout=1": time.Second / 2, "timeout=x": 0, "": 0, "timeout=-1": 0} {
		if got := keepAlive(value); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}
