// Package gateway answers "how do we reach a model?". A [Gateway] is one door to every model on every cloud: it answers in the words of the OpenAI, Anthropic, Gemini and
// Bedrock interfaces, and asks whichever endpoint is permitted, healthy, has room and fits best in time and price.
//
// From the door inwards: door.go finds out who calls and in which format; call.go is the life of one call, from its reservation over its attempts to its settlement, and is
// the same for every door and for the agents of this process; attempt.go asks one endpoint; relay.go passes its answer on, through as it came where both sides speak the same
// format, else translated event by event. Which endpoint is asked is decided in gateway/route, what the words mean in gateway/dialect, what was spent is kept by gateway/ledger.
//
// The gateway is the one retry authority: nobody who calls it tries again after it has given up. A failure is judged by what happened, not by the status code alone
// (failure.go), and its kind decides by the one table of the root package whether another endpoint may do better. Nothing reaches a caller before the model has shown that it
// works, and nothing is begun anew after that; agents, who are told when an answer begins anew, lose no call even then.
package gateway

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"hash/maphash"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/credential"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/gateway/transport"
)

// Config is what a gateway needs. Catalog is required; a zero field has the default that it names.
type Config struct {
	Catalog  *catalog.Catalog     // with the endpoints of Accounts
	Accounts []credential.Account // with which its endpoints are called
	Keys     Keys                 // who may call at the doors; nil lets nobody in
	Policies Policies             // the contracts that say where calls may go; nil has none
	Ledger   *ledger.Ledger       // nil keeps no accounts
	Shares   Shares               // promised shares of use that are not kept; nil prefers nobody
	Store    ResponseStore        // of stored responses; nil stores none
	Node     decouple.NodeID
	Site     decouple.Site // of this process: where models are that answer on this machine

	Patience Patience
	MaxBody  int64         // of a request: 32 MB
	BodyTime time.Duration // in which a request's body must have come: 1 min
	MaxWait  time.Duration // for an endpoint with room: 10 s
	Retries  int           // rounds over the permitted endpoints after the first: 2; a negative number is none
	Backoff  time.Duration // before a further round, doubled for each one after it, and varied: 500 ms
	Drains   int           // calls of callers who have gone that are read to their end at once: 64
	Route    route.Config

	Proxy func(*url.URL) (*url.URL, error) // never asked for a loopback address; nil is no proxy
	Log   *slog.Logger                     // told of every failed attempt that is followed by another; nil is silent
	Watch Watcher                          // told of every call; nil is nobody
	Trace Tracer                           // nil passes the caller's trace on as it is
}

// Patience is how long a call may take.
type Patience struct {
	Connect       time.Duration // to reach the server: 10 s
	FirstToken    time.Duration // from the request to the first token, thoughts included: 2 min
	BetweenTokens time.Duration // from one token to the next: 1 min
	Whole         time.Duration // of an answer that is not streamed: 10 min
	Call          time.Duration // of a call with all its attempts: 15 min
	MaxAnswer     int64         // bytes of one attempt's answer on the wire: 32 MB
}

func (c Config) withDefaults() Config {
	orElse(&c.Patience.Connect, 10*time.Second)
	orElse(&c.Patience.FirstToken, 2*time.Minute)
	orElse(&c.Patience.BetweenTokens, time.Minute)
	orElse(&c.Patience.Whole, 10*time.Minute)
	orElse(&c.Patience.Call, 15*time.Minute)
	orElse(&c.Patience.MaxAnswer, 32<<20)
	orElse(&c.MaxBody, 32<<20)
	orElse(&c.BodyTime, time.Minute)
	orElse(&c.MaxWait, 10*time.Second)
	orElse(&c.Retries, 2)
	orElse(&c.Backoff, 500*time.Millisecond)
	orElse(&c.Drains, 64)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func orElse[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Gateway is one door to every model. Its methods may be called from many goroutines.
type Gateway struct {
	cfg      Config
	log      *slog.Logger
	keys     Keys
	http     *transport.Client
	world    atomic.Pointer[world]
	books    *ledger.Ledger
	past     *past
	answers  *answers
	drains   chan struct{}
	seed     maphash.Seed   // of what ties calls together
	running  sync.WaitGroup // calls that outlive their callers
	ruled    sync.Map       // tenant -> *rulings
	omit     check          // none but in tests
	unjudged atomic.Int64   // attempts at endpoints that nobody had judged: each is a fault of this program
	stop     context.Context
	ended    context.CancelFunc

	mu     sync.Mutex // of the router
	router *route.State
	queue  *queue
	behind map[string]context.CancelFunc // responses that are made in the background here

	drill atomic.Pointer[drill] // under way; nil is none
}

// New makes a gateway. What is wrong with a configuration is Invalid.
func New(c Config) (*Gateway, error) {
	c = c.withDefaults()
	if c.Catalog == nil {
		return nil, decouple.Errorf(decouple.Invalid, "a gateway needs a catalog")
	}
	w, err := newWorld(c, nil)
	if err != nil {
		return nil, err
	}
	g := &Gateway{cfg: c, log: c.Log, keys: c.Keys, books: c.Ledger, past: newPast(), answers: newAnswers(), seed: maphash.MakeSeed(), drains: make(chan struct{}, c.Drains), behind: map[string]context.CancelFunc{}}
	g.cfg.Accounts = nil // credentials live in the endpoints
	g.http = transport.New(transport.Config{Connect: c.Patience.Connect, Proxy: c.Proxy})
	g.router = route.New(c.Catalog, c.Route)
	g.queue = newQueue(g)
	g.world.Store(w)
	g.stop, g.ended = context.WithCancel(context.Background())
	if g.keys == nil {
		g.keys = nobody{}
	}
	return g, nil
}

// Reload puts a new catalog and new accounts in the place of the old ones. What was learned of endpoints that stay is kept, and calls under way end as they began.
func (g *Gateway) Reload(cat *catalog.Catalog, accounts []credential.Account) error {
	c := g.cfg
	c.Catalog, c.Accounts = cat, accounts
	w, err := newWorld(c, g.world.Load())
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.router.With(cat)
	if d := g.drill.Load(); d != nil {
		d.router.With(cat)
	}
	g.world.Store(w)
	return nil
}

// Close ends what goes on behind the callers' backs, and waits for it until ctx ends.
func (g *Gateway) Close(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		g.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		g.ended()
		<-done
	}
	g.ended()
	g.http.CloseIdle()
	return nil
}

// nobody lets nobody in.
type nobody struct{}

// Caller refuses.
func (nobody) Caller(context.Context, string) (Caller, error) {
	return Caller{}, decouple.Errorf(decouple.Unauthenticated, "this gateway has no keys: start it with `decouple serve`")
}

// signed says who signed a request.
func (g *Gateway) signed(r *http.Request, body []byte) (Caller, error) {
	if s, ok := g.keys.(Signed); ok {
		return s.Signed(r, body)
	}
	return Caller{}, decouple.Errorf(decouple.Unauthenticated, "requests that are signed are not let in here: use the key as a bearer, as in AWS_BEARER_TOKEN_BEDROCK")
}

// newID makes an id that nobody guesses and nobody has had before.
func newID(prefix string) string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	var b [40]byte
	n := copy(b[:16], prefix)
	b[n] = '_'
	id := b[n+1 : n+21]
	_, _ = rand.Read(id) // never fails
	for i := range id {
		id[i] = letters[id[i]&31]
	}
	return string(b[:n+21])
}

// dice is a random number for the router, which has none of its own.
func dice() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}
