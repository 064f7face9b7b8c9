package sim

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"decouple.dev/decouple"
)

// Servers shows a world to the network: every cloud at an address of its own, and one for whoever runs the simulation.
type Servers struct {
	setup  Setup
	admin  net.Listener
	fronts []*front

	mu    sync.Mutex // guards what follows
	world *World
	began time.Time // by the real clock: when the world's start was
	books books
}

// front is a cloud as it is seen from outside.
type front struct {
	cloud  *Cloud
	keys   map[string]bool // fingerprints; empty is any credential
	listen net.Listener
	all    *Servers
}

// Place is where a cloud is to be reached.
type Place struct {
	Cloud *Cloud
	URL   string // without the path of an interface
}

// Listen makes the world of a setup and binds its addresses: the operator's is address, and each cloud has the next port, or the one that the setup gives it. Port 0 is any
// that is free. Only addresses of this machine are taken.
func Listen(setup Setup, address string) (*Servers, error) {
	host, port, err := loopback(address)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if setup.Start.IsZero() {
		setup.Start = now.Truncate(time.Second).UTC()
	}
	if setup.Speed <= 0 {
		setup.Speed = 1
	}
	s := &Servers{setup: setup, began: now}
	if s.world, err = New(setup.Config); err != nil {
		return nil, err
	}
	if s.admin, err = bind(host, port); err != nil {
		return nil, err
	}
	for i := range setup.Clouds {
		c := &setup.Clouds[i]
		at := setup.Ports[c.Name]
		if at == 0 && port != 0 {
			at = port + 1 + i
		}
		l, err := bind(host, at)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		f := &front{cloud: c, listen: l, all: s, keys: map[string]bool{}}
		for _, k := range setup.Keys[c.Name] {
			f.keys[fingerprint(k)] = true
		}
		s.fronts = append(s.fronts, f)
	}
	return s, nil
}

func loopback(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil || port < 0 || port > 65535 {
		return "", 0, decouple.Errorf(decouple.Invalid, "%q is not an address such as 127.0.0.1:7400", plain(address))
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", 0, decouple.Errorf(decouple.Denied, "simulated clouds take any credential and answer on this machine only: listen on 127.0.0.1, not on %s", plain(host))
	}
	return host, port, nil
}

func bind(host string, port int) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, decouple.Errorf(decouple.Unavailable, "a simulated cloud has no port: %w; choose others with --listen, or port: in the file", err)
	}
	return l, nil
}

// Admin is the operator's URL.
func (s *Servers) Admin() string { return "http://" + s.admin.Addr().String() }

// Places lists the clouds, in the order of the setup.
func (s *Servers) Places() []Place {
	var out []Place
	for _, f := range s.fronts {
		out = append(out, Place{f.cloud, "http://" + f.listen.Addr().String()})
	}
	return out
}

// Run answers until ctx ends. What is under way is then broken off.
func (s *Servers) Run(ctx context.Context) error {
	var servers []*http.Server
	done := make(chan error, 1+len(s.fronts))
	start := func(h http.Handler, l net.Listener) {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(true)
		protocols.SetUnencryptedHTTP2(true)
		server := &http.Server{
			Handler: h, Protocols: protocols, ReadHeaderTimeout: 20 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
			ErrorLog: log.New(io.Discard, "", 0),
		}
		servers = append(servers, server)
		go func() { done <- server.Serve(l) }()
	}
	start(s.adminHandler(), s.admin)
	for _, f := range s.fronts {
		start(f, &wall{f.listen, f})
	}
	<-ctx.Done()
	for _, server := range servers {
		_ = server.Close() // what it can fail with is that the listener is closed already
	}
	var failed error
	for range servers {
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

func (s *Servers) close() error {
	err := s.admin.Close()
	for _, f := range s.fronts {
		err = errors.Join(err, f.listen.Close())
	}
	return err
}

// wall lets nobody in while its cloud is down. The port stays bound, so that it is still ours when the cloud comes back: who connects is reset at once.
type wall struct {
	net.Listener
	front *front
}

// Accept gives the next connection of a time when the cloud was up.
func (w *wall) Accept() (net.Conn, error) {
	for {
		c, err := w.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !w.front.all.down(w.front.cloud.Name) {
			return c, nil
		}
		reset(c)
	}
}

// reset closes a connection so that the other side is told that it broke.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // without it the connection ends in order; nothing else depends on it
	}
	_ = c.Close()
}

func (s *Servers) down(cloud string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.world.Down(cloud, s.now())
}

// now is the world's time. The lock is held.
func (s *Servers) now() time.Time {
	return s.setup.Start.Add(time.Duration(float64(time.Since(s.began)) * s.setup.Speed))
}

// ask asks the world. The world is given back, so that the call ends in the one where it began.
func (s *Servers) ask(c Call) (Plan, *World) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.world.Ask(c, s.now())
	if s.setup.Instant {
		p.First, p.Every, p.Queued = 0, 0, 0
	}
	return p, s.world
}

func (s *Servers) refuse(c Call, r Refusal) Plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.world.Refuse(c, r, s.now())
}

// ended puts a call on the invoice, if it belongs there.
func (s *Servers) ended(w *World, p Plan, left bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, ok := w.Done(p, left, s.now()); ok && w == s.world {
		s.books.bill(l)
	}
}

// until waits for a time of a plan; false is that the caller has gone.
func (s *Servers) until(ctx context.Context, p *Plan, d time.Duration) bool {
	s.mu.Lock()
	rest := time.Duration(float64(p.Began.Add(d).Sub(s.now())) / s.setup.Speed)
	s.mu.Unlock()
	if rest <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(rest)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// reset begins the world anew: its clock, its quotas, its faults as in the setup, an empty invoice and journal.
func (s *Servers) reset() error {
	w, err := New(s.setup.Config)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.world, s.began, s.books = w, time.Now(), books{}
	return nil
}
