package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"decouple.dev/decouple"
)

// secure is a TLS server that says what it saw of the handshake.
func secure(t *testing.T) (*httptest.Server, *x509.CertPool) {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Proto", r.Proto+" "+r.TLS.NegotiatedProtocol+" "+r.TLS.ServerName)
		w.Header().Set("X-Resumed", map[bool]string{true: "yes", false: "no"}[r.TLS.DidResume])
		_, _ = w.Write(b)
	}))
	srv.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return srv, roots
}

func TestTLS(t *testing.T) {
	t.Parallel()
	srv, roots := secure(t)
	c := client(t, Config{TLS: &tls.Config{RootCAs: roots}})
	to := target(t, srv.URL)
	for i, size := range []int{10, 15_000, 17_000, 60_000, 200_000, 2_000_000} {
		body := strings.Repeat("x", size)
		resp, got := whole(t, c, post(to, body))
		if got != body || resp.Header.Get("x-proto") != "HTTP/1.1 http/1.1" || resp.Reused != (i > 0) {
			t.Errorf("size %d: %d bytes, %q, reused %v", size, len(got), resp.Header.Get("x-proto"), resp.Reused)
		}
	}
	c.CloseIdle()
	if resp, _ := whole(t, c, post(to, "{}")); resp.Reused || resp.Header.Get("x-resumed") != "yes" {
		t.Errorf("reused %v, resumed %q", resp.Reused, resp.Header.Get("x-resumed"))
	}
}

func TestTLSIsChecked(t *testing.T) {
	t.Parallel()
	srv, roots := secure(t)
	e := failed(t, client(t, Config{}), get(target(t, srv.URL)))
	if e.Stage != StageTLS || e.Sent || e.Kind() != decouple.Denied {
		t.Errorf("an unknown certificate: %v (%+v)", e, *e)
	}
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	e = failed(t, client(t, Config{TLS: &tls.Config{RootCAs: roots}}), get(target(t, "https://localhost:"+port)))
	if e.Stage != StageTLS || e.Kind() != decouple.Denied {
		t.Errorf("the certificate of another name: %v (%+v)", e, *e)
	}
	plain := raw(t, always(okay))
	e = failed(t, client(t, Config{}), get(target(t, "https://"+plain.Host())))
	if e.Stage != StageTLS || e.Sent {
		t.Errorf("no TLS there: %v (%+v)", e, *e)
	}
	silent := raw(t, func(c net.Conn, _ int) { _, _ = io.Copy(io.Discard, c) })
	e = failed(t, client(t, Config{Connect: 50 * time.Millisecond}), get(target(t, "https://"+silent.Host())))
	if e.Stage != StageTLS || e.Sent || !e.Timeout {
		t.Errorf("silence: %v (%+v)", e, *e)
	}
}

// TestTLSEarlyAnswer has a server that answers when it has read the head, and never reads the body.
func TestTLSEarlyAnswer(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, "later")
	}))
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	resp, got := whole(t, client(t, Config{TLS: &tls.Config{RootCAs: roots}}), post(target(t, srv.URL), strings.Repeat("x", 16<<20)))
	if resp.Status != 429 || got != "later" {
		t.Errorf("got %d %q", resp.Status, got)
	}
}

// TestTLSSilence goes on reading after a patience that ended.
func TestTLSSilence(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "one")
		w.(http.Flusher).Flush()
		<-next
		_, _ = io.WriteString(w, "two")
	}))
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	resp, err := client(t, Config{TLS: &tls.Config{RootCAs: roots}}).Do(t.Context(), post(target(t, srv.URL), "{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Patience(20 * time.Millisecond)
	p := make([]byte, 100)
	if n, err := resp.Read(p); string(p[:n]) != "one" {
		t.Fatalf("got %q, %v", p[:n], err)
	}
	var e *Error
	if _, err := resp.Read(p); !errors.As(err, &e) || !e.Timeout {
		t.Fatalf("got %v", err)
	}
	close(next)
	resp.Patience(time.Minute)
	if b, err := resp.Whole(100); string(b) != "two" {
		t.Fatalf("got %q, %v", b, err)
	}
	_ = resp.Close()
}

// tunnelTo is a proxy that knows only CONNECT, and leads every name to one address.
func tunnelTo(t *testing.T, address string, asked *atomic.Int32) *Target {
	return raw(t, func(c net.Conn, _ int) {
		asked.Add(1)
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		if r.Method != "CONNECT" || r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("me:secret")) {
			_, _ = io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
			return
		}
		if r.Host == "down.test:80" {
			_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
			return
		}
		up, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		defer func() { _ = up.Close() }()
		_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() {
			_, _ = io.Copy(up, c)
			_ = up.(*net.TCPConn).CloseWrite()
		}()
		_, _ = io.Copy(c, up)
	})
}

func TestProxy(t *testing.T) {
	t.Parallel()
	srv, roots := secure(t)
	var asked atomic.Int32
	proxy := tunnelTo(t, srv.Listener.Addr().String(), &asked)
	through := func(user *url.Userinfo) *Client {
		return client(t, Config{TLS: &tls.Config{RootCAs: roots}, Proxy: func(u *url.URL) (*url.URL, error) {
			return &url.URL{Scheme: "http", Host: proxy.Host(), User: user}, nil
		}})
	}
	c := through(url.UserPassword("me", "secret"))
	for i := range 2 {
		resp, got := whole(t, c, post(target(t, "https://example.com"), "hello"))
		if got != "hello" || resp.Header.Get("X-Proto") != "HTTP/1.1 http/1.1 example.com" || resp.Reused != (i > 0) {
			t.Errorf("got %q, %q, reused %v", got, resp.Header.Get("X-Proto"), resp.Reused)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("the proxy was asked %d times", asked.Load())
	}
	e := failed(t, through(url.UserPassword("me", "wrong")), post(target(t, "https://example.com"), "hello"))
	if e.Stage != StageDial || e.Sent || e.Kind() != decouple.Denied || strings.Contains(e.Error(), "wrong") {
		t.Errorf("a wrong password: %v", e)
	}
	e = failed(t, c, post(target(t, "http://down.test"), "hello"))
	if e.Stage != StageDial || e.Sent || e.Kind() != decouple.Unavailable || !strings.Contains(e.Error(), "502") {
		t.Errorf("no way: %v", e)
	}
	e = failed(t, c, get(target(t, "http://169.254.169.254")))
	if e.Kind() != decouple.Denied {
		t.Errorf("a metadata address behind a proxy: %v", e)
	}
	before := asked.Load()
	whole(t, c, get(raw(t, always(okay))))
	if asked.Load() != before {
		t.Error("a proxy was asked for this machine")
	}
	ctx, cancel := context.WithCancel(t.Context())
	silent := raw(t, func(c net.Conn, _ int) {
		cancel()
		_, _ = io.Copy(io.Discard, c)
	})
	c = client(t, Config{Proxy: func(*url.URL) (*url.URL, error) { return url.Parse(silent.String()) }})
	if _, err := c.Do(ctx, get(target(t, "http://example.com"))); !errors.Is(err, context.Canceled) {
		t.Errorf("a silent proxy, cancelled: %v", err)
	}
	c = client(t, Config{Connect: 50 * time.Millisecond, Proxy: c.cfg.Proxy})
	if e := failed(t, c, get(target(t, "http://example.com"))); !e.Timeout || e.Stage != StageDial {
		t.Errorf("a silent proxy: %v", e)
	}
	for _, bad := range []string{"socks5://127.0.0.1:1", "http://"} {
		c = client(t, Config{Proxy: func(*url.URL) (*url.URL, error) { return url.Parse(bad) }})
		if e := failed(t, c, get(target(t, "http://example.com"))); e.Kind() != decouple.Invalid {
			t.Errorf("%s: %v", bad, e)
		}
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"http://127.0.0.1:8080/v1":           "http://127.0.0.1:8080 127.0.0.1:8080 /v1 local",
		"https://API.example.com":            "https://api.example.com api.example.com:443 ",
		" https://api.example.com:443/a%2Fb": "https://api.example.com api.example.com:443 /a%2Fb",
		"http://api.example.com:443":         "http://api.example.com:443 api.example.com:443 ",
		"http://[::1]:80/":                   "http://[::1] [::1]:80 / local",
		"http://[fe80::1%25eth0]:81":         "http://[fe80::1]:81 [fe80::1%eth0]:81 ",
		"http://a.localhost./":               "http://a.localhost. a.localhost.:80 / local",
		"http://127.1.2.3":                   "http://127.1.2.3 127.1.2.3:80  local",
		"http://[::ffff:127.0.0.1]":          "http://[::ffff:127.0.0.1] [::ffff:127.0.0.1]:80  local",
	} {
		to := target(t, in)
		got := to.String() + " " + to.key.address() + " " + to.Path()
		if to.Local() {
			got += " local"
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
	for _, in := range []string{"", "api.example.com", "ftp://x", "https://", "https://u:sk-secret@x", "https://x:0", "https://x:70000", "https://x:sk-secret", "https://bücher.example", "https://sk-secret\x00", "https://a b"} {
		_, err := NewTarget(in)
		if decouple.KindOf(err) != decouple.Invalid || strings.Contains(err.Error(), "sk-secret") {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	const refused, inside, open = "refused", "inside", "open"
	for address, want := range map[string]string{
		"8.8.8.8": open, "2606:4700::1111": open, "172.15.0.1": open, "172.32.0.1": open,
		"10.0.0.1": inside, "172.16.0.1": inside, "192.168.1.1": inside, "127.0.0.1": inside, "::1": inside, "fd12::1": inside, "100.64.0.1": inside, "198.18.0.1": inside, "240.0.0.1": inside,
		"0.1.2.3": inside, "::ffff:10.0.0.1": inside, "64:ff9b::10.0.0.1": inside, "2002:0a00:0001::1": inside, "::10.0.0.1": inside, "fec0::1": inside,
		"169.254.169.254": refused, "::ffff:169.254.169.254": refused, "64:ff9b::169.254.169.254": refused, "fe80::1": refused, "fe80::1%eth0": refused, "0.0.0.0": refused, "::": refused,
		"224.0.0.1": refused, "ff02::1": refused, "fd00:ec2::254": refused, "100.100.100.200": refused, "168.63.129.16": refused,
	} {
		a := netip.MustParseAddr(address)
		to := target(t, "https://api.example.com")
		if got := to.permit(a, false) == nil; got != (want == open) {
			t.Errorf("%s: permitted is %v", address, got)
		}
		for _, got := range []bool{to.permit(a, true) == nil, to.Private().permit(a, false) == nil} {
			if got != (want != refused) {
				t.Errorf("%s: permitted inside is %v", address, got)
			}
		}
		if got := target(t, "http://localhost").Private().permit(a, true) == nil; got != a.IsLoopback() {
			t.Errorf("%s: permitted for this machine is %v", address, got)
		}
	}
}

// TestGuardStandsBeforeTheConnection names a private address by a URL; a server that listens there gets nothing.
func TestGuardStandsBeforeTheConnection(t *testing.T) {
	t.Parallel()
	to := raw(t, func(net.Conn, int) { t.Error("a connection was made") })
	other := *to
	other.key.name = "api.example.com" // not local, and its name leads to loopback
	p := New(Config{}).pool(&other)
	_, err := p.reach(t.Context(), &other, to.key.address(), false)
	if f := fault(t.Context(), StageDial, other.host, err); f.Kind() != decouple.Denied || strings.Contains(f.Error(), "dial tcp") {
		t.Errorf("got %v", f)
	}
	if e := failed(t, client(t, Config{}), get(target(t, "http://10.255.255.1"))); e.Kind() != decouple.Denied || e.Sent {
		t.Errorf("got %v", e)
	}
}
