package sim

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Of the journal, keptEntries are kept; of the invoice everything is, up to keptLines.
const (
	keptEntries = 10_000
	keptLines   = 5_000_000
)

// books are what the simulation writes down.
type books struct {
	lines   []Line
	entries []Entry
	lost    int64 // entries that are not kept any more
}

// Entry is a request that reached a cloud.
type Entry struct {
	At      time.Time         `json:"at"`
	Cloud   string            `json:"cloud"`
	Region  string            `json:"region"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"` // those that hold a credential are left out
	Account string            `json:"account,omitempty"`
	Model   string            `json:"model,omitempty"`
	Stream  bool              `json:"stream"`
	Size    int               `json:"size"` // of the body, in bytes
	Status  int               `json:"status"`
	ID      string            `json:"id"` // as on the invoice
}

func (b *books) bill(l Line) {
	if len(b.lines) < keptLines {
		b.lines = append(b.lines, l)
	}
}

func (b *books) note(e Entry) {
	if len(b.entries) >= 2*keptEntries {
		b.lost += int64(len(b.entries) - keptEntries)
		b.entries = slices.Clone(b.entries[len(b.entries)-keptEntries:])
	}
	b.entries = append(b.entries, e)
}

// secrets are the headers that hold a credential.
var secrets = []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "X-Amz-Security-Token", "Cookie", "Proxy-Authorization"}

func openHeaders(h http.Header) map[string]string {
	out := map[string]string{}
	for name, values := range h {
		if !slices.Contains(secrets, name) {
			out[name] = plain(strings.Join(values, ", "))
		}
	}
	return out
}

// openPath is a path with its query, without credentials.
func openPath(u *url.URL) string {
	q := u.Query()
	for name := range q {
		if n := strings.ToLower(name); n == "key" || strings.HasPrefix(n, "x-amz-") || strings.Contains(n, "token") {
			q.Del(name)
		}
	}
	path := u.EscapedPath()
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	if len(path) > 500 {
		path = path[:500]
	}
	return path
}

// clientNames are the headers by which callers name their calls, the best first.
var clientNames = []string{"X-Client-Request-Id", "X-Ms-Client-Request-Id", "X-Request-Id", "Idempotency-Key", "Amz-Sdk-Invocation-Id", "Traceparent"}

func clientName(h http.Header) string {
	for _, n := range clientNames {
		if v := h.Get(n); v != "" {
			return plain(v)
		}
	}
	return ""
}
