package tool_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/tool"
)

// web is a server that remembers what it was sent.
type web struct {
	*httptest.Server
	seen []string
}

func newWeb(t *testing.T) *web {
	t.Helper()
	w := &web{}
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.seen = append(w.seen, r.Method+" "+r.Header.Get("Idempotency-Key")+" "+r.Header.Get("Authorization"))
		fmt.Fprintf(rw, "%s %s", r.Method, b)
	})
	mux.HandleFunc("/long", func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, strings.Repeat("x", 3000)) })
	mux.HandleFunc("/binary", func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte{0, 1, 0xff}) })
	mux.HandleFunc("/away", func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "http://forbidden.test/", http.StatusFound)
	})
	mux.HandleFunc("/round", func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/round", http.StatusFound) })
	mux.HandleFunc("/busy", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusTooManyRequests) })
	mux.HandleFunc("/cut", func(rw http.ResponseWriter, _ *http.Request) {
		c, _, err := rw.(http.Hijacker).Hijack()
		if err == nil {
			c.Close()
		}
	})
	w.Server = httptest.NewServer(mux)
	t.Cleanup(w.Close)
	return w
}

func (w *web) host() string { return strings.TrimPrefix(w.URL, "http://") }

func toolNamed(t *testing.T, cfg tool.HTTPConfig, name string) decouple.Tool {
	t.Helper()
	for _, h := range tool.HTTP(cfg) {
		if h.Spec().Name == name {
			return h
		}
	}
	t.Fatalf("there is no tool %s", name)
	return nil
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	w := newWeb(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	dead := strings.TrimPrefix(gone.URL, "http://")
	cfg := tool.HTTPConfig{Allow: []string{w.host(), dead, "*.example"}, Private: true, MaxAnswer: 2000, MaxBody: 10}
	for _, c := range []struct{ tool, args, want string }{
		{"http.get", `{"method":"GET","url":"` + w.URL + `/echo"}`, `"status":200`},
		{"http.get", `{"method":"POST","url":"` + w.URL + `/echo"}`, "error: http.get knows only"},
		{"http.get", `{"method":"GET","url":"` + w.URL + `/echo","body":"x"}`, "error: a request that reads"},
		{"http.get", `{"method":"GET","url":"` + w.URL + `/long"}`, `"truncated":true`},
		{"http.get", `{"method":"GET","url":"` + w.URL + `/binary"}`, `"binary":true`},
		{"http.get", `{"method":"GET","url":"` + w.URL + `/missing"}`, `"status":404`},
		{"http.get", `{"method":"GET","url":"` + w.URL + `/away"}`, "error: "},
		{"http.get", `{"method":"GET","url":"` + w.URL + `/round"}`, "unavailable"},
		{"http.get", `{"method":"GET","url":"` + w.URL + `/busy"}`, "unavailable"},
		{"http.once", `{"method":"POST","url":"` + w.URL + `/busy"}`, `"status":429`},
		{"http.get", `{"method":"GET","url":"http://other.test/"}`, "error: "},
		{"http.get", `{"method":"GET","url":"http://u:p@a.example/"}`, "error: an address must not hold"},
		{"http.get", `{"method":"GET","url":"file:///etc/passwd"}`, "error: only http and https"},
		{"http.get", `{"method":"GET","url":"http://127.0.0.1:1/"}`, "error: "},
		{"http.put", `{"method":"PUT","url":"` + w.URL + `/echo","body":"b"}`, "PUT b"},
		{"http.put", `{"method":"PUT","url":"` + w.URL + `/echo","body":"much too long"}`, "error: the body is longer"},
		{"http.request", `{"method":"POST","url":"` + w.URL + `/echo","body":"b"}`, "POST b"},
		{"http.request", `{"method":"POST","url":"` + w.URL + `/echo","headers":{"idempotency-key":"x"}}`, "error: the header Idempotency-Key"},
		{"http.request", `{"method":"POST","url":"` + w.URL + `/cut"}`, "unavailable"},
		{"http.once", `{"method":"POST","url":"` + w.URL + `/cut"}`, "unknown"},
		{"http.once", `{"method":"POST","url":"http://` + dead + `/"}`, "unavailable"},
		{"http.request", `{"method":"POST"}`, "error: "},
		{"http.request", `[]`, "error: "},
		{"http.query", `{"query_url":"` + w.URL + `/echo"}`, "query done"},
		{"http.query", `{"query_url":"` + w.URL + `/missing"}`, "query not_done"},
		{"http.query", `{"query_url":"` + w.URL + `/busy"}`, "query "},
		{"http.query", `{}`, "query "},
	} {
		out, err := toolNamed(t, cfg, c.tool).Do(context.Background(), decouple.Invocation{Key: "r/1/1", Name: c.tool, Args: json.RawMessage(c.args)})
		got := out.Text
		switch {
		case err != nil:
			got = string(decouple.KindOf(err))
		case strings.HasPrefix(c.want, "query "):
			got = "query " + string(out.Status)
			if got != c.want {
				got += "!"
			}
		case out.Error:
			got = "error: " + out.Text
			if !strings.Contains(out.Text, strings.TrimPrefix(c.want, "error: ")) || !strings.HasPrefix(c.want, "error: ") {
				got += "!"
			} else {
				continue
			}
		}
		if !strings.Contains(got, c.want) || strings.HasSuffix(got, "!") {
			t.Errorf("%s %s: %s (%v), want %s", c.tool, c.args, got, err, c.want)
		}
	}
	for _, s := range w.seen {
		method, key, _ := strings.Cut(s, " ")
		if (method == "POST") != strings.HasPrefix(key, "r/1/1") && method != "GET" {
			t.Errorf("the server saw %q", s)
		}
	}
}

// TestHTTPPrivate refuses addresses that are not of the public network, whatever name leads there.
func TestHTTPPrivate(t *testing.T) {
	t.Parallel()
	w := newWeb(t)
	_, port, _ := strings.Cut(w.host(), ":")
	for _, host := range []string{"127.0.0.1", "localhost"} {
		get := toolNamed(t, tool.HTTPConfig{Allow: []string{host + ":" + port}}, "http.get")
		out, err := get.Do(context.Background(), decouple.Invocation{Args: json.RawMessage(`{"method":"GET","url":"http://` + host + ":" + port + `/echo"}`)})
		if err != nil || !out.Error || !strings.Contains(out.Text, "public network") {
			t.Errorf("%s: %+v, %v", host, out, err)
		}
	}
	if len(w.seen) > 0 {
		t.Error("the server was reached")
	}
}

// TestPublic judges addresses.
func TestPublic(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "2a00:1450::1": true, "127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false,
		"0.0.0.0": false, "224.0.0.1": false, "255.255.255.255": false, "::1": false, "::": false, "fe80::1": false, "fd00::1": false, "::ffff:127.0.0.1": false,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "fe80::1%eth0": false, "ff02::1": false, "192.0.2.1": false,
	} {
		if got := tool.Public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}

// TestHTTPForeignLetters writes a host in letters that package http would turn into others: contracts would have been asked about another name than the one that is reached.
func TestHTTPForeignLetters(t *testing.T) {
	t.Parallel()
	w := newWeb(t)
	_, port, _ := strings.Cut(w.host(), ":")
	cfg := tool.HTTPConfig{Allow: []string{"*.0.0.1:" + port}, Private: true}
	reach := func(host string) error {
		if host == "127.0.0.1" {
			return decouple.Errorf(decouple.Denied, "contracts do not allow it")
		}
		return nil
	}
	for _, host := range []string{"127.0.0.1", "１27.0.0.1", "127。0.0.1", "%EF%BC%9127.0.0.1"} {
		args, _ := json.Marshal(map[string]string{"method": "GET", "url": "http://" + host + ":" + port + "/echo"})
		out, err := toolNamed(t, cfg, "http.get").Do(t.Context(), decouple.Invocation{Args: args, Reach: reach})
		if err != nil || !out.Error {
			t.Errorf("%s: %v %+v", host, err, out)
		}
	}
	if len(w.seen) > 0 {
		t.Errorf("the server was asked: %q", w.seen)
	}
}
