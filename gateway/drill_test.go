package gateway_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/route"
)

// saboteur takes the calls that it is told to, and harms one endpoint.
type saboteur struct {
	takes bool
	at    catalog.EndpointID
	what  gateway.Pretence

	mu    sync.Mutex
	ended []gateway.Facts
}

func (s *saboteur) Takes(*gateway.Drilled) bool { return s.takes }

func (s *saboteur) Inject(d *gateway.Drilled) *gateway.Pretence {
	if d.Endpoint.ID != s.at {
		return nil
	}
	return &s.what
}

func (s *saboteur) Ended(f *gateway.Facts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, *f)
}

// TestPretends has every sort of pretended fault at the first endpoint: the caller is answered by the second, the first is not asked, and its real record stays clean.
func TestPretends(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		what gateway.Pretence
		want route.Kind
	}{
		"nobody":  {gateway.Pretence{}, route.Unreachable},
		"500":     {gateway.Pretence{Status: 500}, route.Failed},
		"429":     {gateway.Pretence{Status: 429, RetryAfter: time.Minute}, route.RateLimited},
		"400":     {gateway.Pretence{Status: 400}, route.Refused},
		"401":     {gateway.Pretence{Status: 401}, route.KeyRefused},
		"cut":     {gateway.Pretence{Cut: true}, route.Cut},
		"silence": {gateway.Pretence{Wait: time.Hour}, route.Slow},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := serve(t, good()), serve(t, good())
			g := open(t, func(c *gateway.Config) { c.Patience.FirstToken = 50 * time.Millisecond }, at("one", first.URL), at("two", second.URL))
			s := &saboteur{takes: true, at: "one", what: c.what}
			if err := g.Drill(s); err != nil {
				t.Fatal(err)
			}
			resp := post(t, g, "/v1/chat/completions", streamAsk)
			if got := text(t, resp); resp.StatusCode != http.StatusOK || resp.Header.Get("X-Decouple-Endpoint") != "two" || strings.Count(got, "[DONE]") != 1 {
				t.Errorf("%d from %s: %s", resp.StatusCode, resp.Header.Get("X-Decouple-Endpoint"), got)
			}
			if a := s.ended[0].Attempts; len(a) != 2 || a[0].Outcome != c.want || !a[0].Pretended || a[1].Outcome != route.OK || a[1].Pretended {
				t.Errorf("told %+v", a)
			}
			if !g.EndDrill(s) || g.EndDrill(s) {
				t.Error("the drill does not end once")
			}
			resp = post(t, g, "/v1/chat/completions", streamAsk)
			if _ = text(t, resp); resp.Header.Get("X-Decouple-Endpoint") != "one" || resp.Header.Get("X-Decouple-Attempts") != "1" {
				t.Errorf("after the drill: %v", resp.Header)
			}
			if len(s.ended) != 1 {
				t.Errorf("told of %d calls", len(s.ended))
			}
		})
	}
}

// TestCanaryLearnsAlone has a breaker open in the canary's router, and not for anybody else.
func TestCanaryLearnsAlone(t *testing.T) {
	t.Parallel()
	first, second := serve(t, good()), serve(t, good())
	g := open(t, nil, at("one", first.URL), at("two", second.URL))
	s := &saboteur{takes: true, at: "one", what: gateway.Pretence{Status: 500}}
	if err := g.Drill(s); err != nil {
		t.Fatal(err)
	}
	if err := g.Drill(&saboteur{}); decouple.KindOf(err) != decouple.Conflict {
		t.Errorf("a second drill: %v", err)
	}
	once := 0
	for range 8 {
		resp := post(t, g, "/v1/chat/completions", streamAsk)
		if _ = text(t, resp); resp.Header.Get("X-Decouple-Attempts") == "1" {
			once++
		}
	}
	if once < 2 {
		t.Errorf("the canary's breaker did not open: %d of 8 calls went to the second endpoint at once", once)
	}
	for _, h := range g.Health() {
		if h.State != route.Ready || h.FailShare > 0 {
			t.Errorf("the canary's failures reached others: %+v", h)
		}
	}
	s.takes = false
	resp := post(t, g, "/v1/chat/completions", streamAsk)
	if _ = text(t, resp); resp.Header.Get("X-Decouple-Endpoint") != "one" {
		t.Errorf("a call outside the canary went to %s", resp.Header.Get("X-Decouple-Endpoint"))
	}
}

// chosen has calls in the canary until it is told otherwise.
type chosen struct {
	saboteur
	on atomic.Bool
}

// Takes says what it was told.
func (c *chosen) Takes(*gateway.Drilled) bool { return c.on.Load() }

// TestNobodyWaitsForTheCanary asks the same as a call of the canary that a drill keeps waiting: whoever is outside of it is answered at once.
func TestNobodyWaitsForTheCanary(t *testing.T) {
	t.Parallel()
	up := serve(t, status(200, whole))
	g := open(t, alias(func(a *catalog.Alias) { a.Cache = time.Minute }), at("one", up.URL))
	held, free := make(chan struct{}), make(chan struct{})
	s := &chosen{saboteur: saboteur{at: "one", what: gateway.Pretence{Wait: time.Hour}}}
	s.on.Store(true)
	if err := g.Drill(waiting{s, held, free}); err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() { knock(g, "/v1/chat/completions", plainAsk) })
	<-held
	s.on.Store(false)
	asked := make(chan string, 1)
	work.Go(func() { asked <- knock(g, "/v1/chat/completions", plainAsk).Body.String() })
	select {
	case got := <-asked:
		if got != whole {
			t.Errorf("answered %s", got)
		}
	case <-time.After(5 * time.Second):
		t.Error("a call outside the canary waits for one in it")
	}
	close(free)
	work.Wait()
}

// waiting is a drill whose fault lasts until the test ends it.
type waiting struct {
	*chosen
	held, free chan struct{}
}

// Inject waits.
func (w waiting) Inject(*gateway.Drilled) *gateway.Pretence {
	close(w.held)
	<-w.free
	return nil
}
