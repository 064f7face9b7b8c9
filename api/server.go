package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/knowledge"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/research"
	"decouple.dev/decouple/risk/drill"
)

// Server answers for a process that writes a journal. Engine, Journal, Library, Reports and Hub are required.
type Server struct {
	Engine  *engine.Engine
	Journal journal.Reader
	Library *knowledge.Library
	Reports *research.Collector
	Agents  *registry.Set // that the process was started with
	Hub     *Hub
	Keys    *registry.Keys // whose bearers may call; nil is that whoever reaches the server is Local
	Local   registry.Principal
	Doing   string // the process's command
	Serves  bool   // it works on every run
	Node    decouple.NodeID
	Version string
	Metrics http.Handler                                               // of GET /metrics; nil has none
	Gateway *gateway.Gateway                                           // whose doors are at the same address; nil has none
	Models  *gateway.Gateway                                           // that is asked about endpoints and decisions; nil is none
	Drills  *drill.Desk                                                // that plays drills; nil plays none
	Ledger  *ledger.Ledger                                             // of what was spent; nil is none
	Desk    *Desk                                                      // of contracts and what follows from them; nil is none
	Seal    func(key string) (sealed []byte, secret string, err error) // makes the secret that a key signs with; nil makes none
	Risk    RiskFunc                                                   // what hangs on whom; nil cannot say
	Parity  ParityDesk                                                 // whether alternates are as good; nil cannot say
	Log     *slog.Logger                                               // of what goes wrong inside; nil is none
}

// Limits of the transport.
const (
	patience   = 10 * time.Second // for headers, and for requests under way when the server ends
	idle       = 2 * time.Minute
	maxHeaders = 32 << 10
	maxBody    = 16 << 20 // of JSON
	maxNote    = 256 << 20
)

// Run serves until ctx ends, then lets the requests under way come to their end.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	// Requests outlive ctx by the patience of the shutdown: what an asker was told has begun is not cut off. Watchers are told to come back elsewhere.
	base, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: patience, IdleTimeout: idle, MaxHeaderBytes: maxHeaders,
		BaseContext: func(net.Listener) context.Context { return base }, ErrorLog: slog.NewLogLogger(s.log().Handler(), slog.LevelDebug)}
	server.Protocols = protocols()
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		s.Hub.leave()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		err := server.Shutdown(last)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close() // who is still asking has had the patience that there is
		}
		stopped <- err
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return decouple.Errorf(decouple.Unavailable, "the server on %s failed: %w", l.Addr(), err)
	}
	return <-stopped
}

// protocols are HTTP/1.1 and HTTP/2, which the AWS SDK for JavaScript speaks to Bedrock even where nothing is encrypted.
func protocols() *http.Protocols {
	p := &http.Protocols{}
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

func (s *Server) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

// Handler is the interface as HTTP.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes() {
		mux.Handle(r.method+" "+r.path, s.answer(r))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, decouple.Errorf(decouple.NotFound, "there is nothing at %s %s; GET /api/v1/openapi.json lists what there is", r.Method, r.URL.Path), "")
	})
	if s.Gateway == nil {
		return mux
	}
	return doors{s.Gateway, mux}
}

// doors leads what is for the gateway there, past the table of routes.
type doors struct {
	gateway *gateway.Gateway
	rest    http.Handler
}

// ServeHTTP answers.
func (d doors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if gateway.Doors(r.URL.Path) {
		d.gateway.ServeHTTP(w, r)
		return
	}
	d.rest.ServeHTTP(w, r)
}

// call is a request with what is known of its caller.
type call struct {
	*Server
	w   http.ResponseWriter
	r   *http.Request
	who registry.Principal
}

func (c *call) ctx() context.Context           { return c.r.Context() }
func (c *call) tenant() decouple.TenantID      { return c.who.Tenant }
func (c *call) run() decouple.RunID            { return decouple.RunID(c.r.PathValue("id")) }
func (c *call) key() string                    { return c.r.Header.Get("Idempotency-Key") }
func (c *call) base() (*knowledge.Base, error) { return c.Library.Of(c.ctx(), c.tenant()) }

// answer performs a route: whoever may not call it is refused before anything is read.
func (s *Server) answer(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{Server: s, w: w, r: r}
		began := time.Now()
		err := s.admit(c, rt)
		if err == nil {
			err = rt.do(c)
		}
		s.Hub.metrics.served(rt.method+" "+rt.path, decouple.KindOf(err), time.Since(began))
		if err == nil || errors.Is(err, errAnswered) {
			return
		}
		ref := ""
		if k := decouple.KindOf(err); k == decouple.Internal {
			ref = strings.ToLower(rand.Text()[:12])
			s.log().Error("a request failed", "request", ref, "method", r.Method, "path", r.URL.Path, "error", err)
			err = decouple.Errorf(decouple.Internal, "something is wrong in the server; its log says what under %s", ref)
		}
		refuse(w, err, ref)
	})
}

// errAnswered says that a handler has answered an error in its own way, or that the caller has gone.
var errAnswered = errors.New("answered")

// admit finds out who calls and whether he may.
func (s *Server) admit(c *call, rt route) error {
	if rt.right == "" {
		return nil
	}
	if s.Keys == nil {
		c.who = s.Local
		if as := c.r.Header.Get(actorHeader); as != "" {
			kind, id, _ := strings.Cut(as, "/")
			c.who.Actor = decouple.Actor{Kind: decouple.ActorKind(kind), ID: id}
		}
		return nil
	}
	bearer, ok := c.bearer()
	if !ok {
		c.w.Header().Set("WWW-Authenticate", `Bearer realm="decouple"`)
		return decouple.Errorf(decouple.Unauthenticated, "this needs a key: send it as the header Authorization: Bearer dck_...")
	}
	var err error
	if c.who, err = s.Keys.Authenticate(c.ctx(), bearer); err != nil {
		c.w.Header().Set("WWW-Authenticate", `Bearer realm="decouple", error="invalid_token"`)
		return err
	}
	if !c.who.Role.May(rt.right) {
		return decouple.Errorf(decouple.Denied, "the role %s of this key may not %s", c.who.Role, rt.right)
	}
	if rt.local {
		return decouple.Errorf(decouple.Denied, "this is for programs of the server's own machine: it reads paths there; upload notes with PUT /api/v1/note?path=... instead")
	}
	return nil
}

// bearer is the key that a request came with.
func (c *call) bearer() (string, bool) {
	b, ok := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	return strings.TrimSpace(b), ok
}

// stillMay says whether the key of a request that lasts was neither revoked nor has expired meanwhile. While the journal cannot be reached it counts as good.
func (c *call) stillMay() bool {
	if c.Keys == nil {
		return true
	}
	bearer, _ := c.bearer()
	_, err := c.Keys.Authenticate(c.ctx(), bearer)
	return decouple.KindOf(err) != decouple.Unauthenticated
}

// actorHeader says on the owner's socket who acts; a server with keys knows it from the key.
const actorHeader = "Decouple-Actor"

// refuse writes an error.
func refuse(w http.ResponseWriter, err error, ref string) {
	f := faultOf(err)
	f.Request = ref
	if f.Kind == decouple.RateLimited || f.Kind == decouple.Unavailable {
		w.Header().Set("Retry-After", "1")
	}
	reply(w, f.Kind.Rule().HTTP, Failure{*f})
}

// reply writes a value.
func reply[T any](w http.ResponseWriter, status int, v T) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":{"kind":"internal","message":"the answer cannot be written"}}`)
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // whoever has gone does not read it
}

// decode reads one JSON value strictly and gives what follows it. Nothing at all is the zero value.
func decode[T any](r io.Reader, into *T) (rest io.Reader, err error) {
	limited := &io.LimitedReader{R: r, N: maxBody}
	d := json.NewDecoder(limited)
	d.DisallowUnknownFields()
	err = d.Decode(into)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, io.EOF):
		return d.Buffered(), nil
	case limited.N <= 0 || errors.As(err, &tooLarge):
		return nil, decouple.Errorf(decouple.TooLarge, "the request's JSON is larger than %d MB", maxBody>>20)
	case err != nil:
		return nil, decouple.Errorf(decouple.Invalid, "the request's JSON cannot be read: %w", err)
	}
	return io.MultiReader(d.Buffered(), r), nil
}

// about says who answers.
func (c *call) about() (About, error) {
	head, err := c.Journal.Head(c.ctx())
	return About{PID: os.Getpid(), Doing: c.Doing, Serves: c.Serves, Version: c.Version, Node: c.Node, Head: head, You: c.who}, err
}
