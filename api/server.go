package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/knowledge"
)

// Server answers for the process that owns a data folder. All fields are required.
type Server struct {
	Engine *engine.Engine
	Notes  *knowledge.Base
	Tenant decouple.TenantID
	Doing  string // the owner's command
}

// patience is how long the end of a server waits for requests under way.
const patience = 10 * time.Second

// Run serves until ctx ends, then lets the requests under way come to their end.
func (s Server) Run(ctx context.Context, l net.Listener) error {
	// Requests outlive ctx by the patience of the shutdown: what an asker was told has begun is not cut off.
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: patience}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		stopped <- server.Shutdown(last)
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return decouple.Errorf(decouple.Unavailable, "the owner's socket failed: %w", err)
	}
	return <-stopped
}

// Handler is the interface as HTTP.
func (s Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/owner", func(w http.ResponseWriter, _ *http.Request) { answer(w, Owner{os.Getpid(), s.Doing}, nil) })
	mux.HandleFunc("POST /v1/runs/{id}/cancel", s.cancel)
	mux.HandleFunc("POST /v1/decide", verb(func(ctx context.Context, d engine.Decision) (none, error) {
		d.Tenant = s.Tenant
		return none{}, s.Engine.Decide(ctx, d)
	}))
	mux.HandleFunc("POST /v1/resolve", verb(func(ctx context.Context, d engine.Resolution) (none, error) {
		d.Tenant = s.Tenant
		return none{}, s.Engine.Resolve(ctx, d)
	}))
	mux.HandleFunc("POST /v1/signal", verb(func(ctx context.Context, d engine.Delivery) (none, error) {
		d.Tenant = s.Tenant
		return none{}, s.Engine.Deliver(ctx, d)
	}))
	mux.HandleFunc("POST /v1/fork", verb(func(ctx context.Context, d engine.Fork) (begun, error) {
		d.Tenant = s.Tenant
		id, err := s.Engine.Fork(ctx, d)
		return begun{id}, err
	}))
	mux.HandleFunc("POST /v1/notes", s.add)
	mux.HandleFunc("DELETE /v1/notes", s.remove)
	return mux
}

// verb is a request whose body is all that it says.
func verb[In, Out any](do func(context.Context, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		if _, err := decode(r.Body, &in); err != nil {
			answer(w, nil, err)
			return
		}
		out, err := do(r.Context(), in)
		answer(w, out, err)
	}
}

func (s Server) cancel(w http.ResponseWriter, r *http.Request) {
	var c engine.Cancellation
	if _, err := decode(r.Body, &c); err != nil {
		answer(w, nil, err)
		return
	}
	n, err := s.Engine.Cancel(r.Context(), s.Tenant, decouple.RunID(r.PathValue("id")), c)
	answer(w, told{n}, err)
}

func (s Server) remove(w http.ResponseWriter, r *http.Request) {
	var what removal
	if _, err := decode(r.Body, &what); err != nil {
		answer(w, nil, err)
		return
	}
	n, err := s.Notes.Remove(r.Context(), what.Actor, what.Note)
	answer(w, removed{n}, err)
}

// add adds notes and tells its progress line by line while it reads the note that the request may hold.
func (s Server) add(w http.ResponseWriter, r *http.Request) {
	var what Addition
	rest, err := decode(r.Body, &what)
	if err == nil {
		err = what.check()
	}
	if err != nil {
		answer(w, nil, err)
		return
	}
	control := http.NewResponseController(w)
	if err := control.EnableFullDuplex(); err != nil {
		answer(w, nil, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	tell := func(f Frame) {
		if b, err := json.Marshal(f); err == nil {
			_, _ = w.Write(append(b, '\n')) // an asker who has gone also ends r.Context
			_ = control.Flush()
		}
	}
	last := time.Time{}
	req := knowledge.Request{Paths: what.Paths, Name: what.Name, Actor: what.Actor, Progress: func(p knowledge.Progress) {
		if now := time.Now(); now.Sub(last) > 100*time.Millisecond || p.Done == p.Files {
			last = now
			tell(Frame{Progress: &p})
		}
	}}
	if what.Stdin {
		req.Stdin = rest
	}
	sum, err := s.Notes.Add(r.Context(), req)
	if err != nil {
		tell(Frame{Error: faultOf(err)})
		return
	}
	tell(Frame{Summary: &sum})
}

// check refuses paths that would mean another place to the owner than to the asker.
func (a Addition) check() error {
	for _, p := range a.Paths {
		if !filepath.IsAbs(p) {
			return decouple.Errorf(decouple.Invalid, "the path %q is not absolute", p)
		}
	}
	return nil
}

// answer writes a value or an error.
func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(decouple.KindOf(err).Rule().HTTP)
		v = Frame{Error: faultOf(err)}
	}
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte(`{"error":{"kind":"internal","message":"the answer cannot be written"}}`)
	}
	_, _ = io.WriteString(w, string(b)+"\n")
}
