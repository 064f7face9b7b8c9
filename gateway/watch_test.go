package gateway_test

import (
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/gateway/route"
)

// witness keeps what it is told, and names spans.
type witness struct {
	mu   sync.Mutex
	told []gateway.Facts
}

func (w *witness) Called(f *gateway.Facts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, *f)
}

// Traceparent is no real one, so that the test sees what it was made of.
func (w *witness) Traceparent(_, parent string, n int) string { return parent + "/" + strconv.Itoa(n) }

func TestWatched(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var traces []string
	note := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			traces = append(traces, r.Header.Get("Traceparent"))
			mu.Unlock()
			h(w, r)
		}
	}
	bad, fine := serve(t, note(status(500, `{}`))), serve(t, note(status(200, whole)))
	w := &witness{}
	g := open(t, func(c *gateway.Config) {
		c.Watch, c.Trace = w, w
		a := c.Catalog.Aliases["smart"]
		a.Cache = time.Minute
		c.Catalog.Aliases["smart"] = a
	}, at("bad", bad.URL), at("fine", fine.URL))
	for range 2 {
		text(t, post(t, g, "/v1/chat/completions", plainAsk))
	}
	mu.Lock()
	defer mu.Unlock()
	if len(traces) != 2 || traces[0] != "/1" || traces[1] != "/2" {
		t.Errorf("the endpoints were told the traces %q", traces)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.told) != 2 {
		t.Fatalf("told of %d calls", len(w.told))
	}
	f, hit := w.told[0], w.told[1]
	if f.Door != ledger.Chat || f.Asked != "smart" || f.Kind != "" || f.Usage.TokensIn != 1000 || len(f.Attempts) != 2 {
		t.Fatalf("told %+v", f)
	}
	if a, b := f.Attempts[0], f.Attempts[1]; a.N != 1 || a.Endpoint != "bad" || a.Outcome != route.Failed || b.N != 2 || b.Outcome != route.OK || b.Answered != "real" || b.Usage.TokensOut != 500 {
		t.Errorf("told of the attempts %+v", f.Attempts)
	}
	if hit.Cache != "hit" || len(hit.Attempts) != 0 || hit.Usage.TokensIn != 0 || hit.Took <= 0 {
		t.Errorf("told of the cached answer %+v", hit)
	}
	if h := g.Health(); len(h) != 2 || h[0].Endpoint != catalog.EndpointID("bad") || g.Waiting() != 0 {
		t.Errorf("health %+v", h)
	}
}
