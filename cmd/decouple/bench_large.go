package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/registry"
)

// benchLarge drives a large tree, and begins a run of one in the middle of it, which must not wait for the tree.
func benchLarge(ctx context.Context, at place) (figures, error) {
	var ended sync.Map // decouple.RunID to time.Time, of roots
	b, err := newBed(ctx, at, largeModel{}, func(s engine.Signal) {
		if s.Kind == engine.SignalEnded && s.Run.Depth() == 0 {
			ended.Store(s.Run, s.Time)
		}
	})
	if err != nil {
		return nil, err
	}
	small := func() (decouple.RunID, time.Time, error) {
		began := time.Now()
		id, err := b.engine.Start(ctx, engine.Start{Agent: "node", Task: decouple.Task{Question: "small"}})
		return id, began, err
	}
	took := func(id decouple.RunID, began time.Time) float64 {
		at, ok := ended.Load(id)
		if !ok {
			return -1
		}
		return float64(at.(time.Time).Sub(began).Microseconds()) / 1000
	}
	alone, aloneBegan, err := small()
	if err != nil {
		return nil, errors.Join(err, b.done())
	}
	if _, err := b.engine.Drive(ctx, decouple.LocalTenant, alone); err != nil {
		return nil, errors.Join(err, b.done())
	}
	if err := b.begin(ctx, 1); err != nil {
		return nil, errors.Join(err, b.done())
	}
	type begun struct {
		id  decouple.RunID
		at  time.Time
		err error
	}
	amid := make(chan begun, 1)
	go func() {
		<-time.After(500 * time.Millisecond)
		id, at, err := small()
		amid <- begun{id, at, err}
	}()
	f, err := b.finish(ctx)
	if err != nil {
		return nil, err
	}
	s := <-amid
	if s.err != nil {
		return nil, s.err
	}
	f["small_alone_ms"], f["small_amid_ms"], f["rss_mb"] = took(alone, aloneBegan), took(s.id, s.at), residentMB()
	return f, nil
}

// largeModel is a tree of depth 4 and fan-out 10, and a run of three steps for the question "small".
type largeModel struct{}

// Price is zero.
func (largeModel) Price(string) decouple.Price { return decouple.Price{Known: true, Local: true} }

// Answer plays the step that the request is for.
func (largeModel) Answer(ctx context.Context, req decouple.Request) (decouple.Answer, error) {
	for _, m := range req.Messages {
		if m.Role == decouple.User && req.Run.Depth() == 0 && strings.Contains(m.Text(), "small") {
			return noModel{steps: 3, depth: -1}.Answer(ctx, req)
		}
	}
	return noModel{steps: 2, fanOut: 10, depth: 4}.Answer(ctx, req)
}

// Figures of benchWatchers.
const (
	watchers   = 1000
	idlers     = 10
	watchSteps = 300
)

// benchWatchers has many watch one run over HTTP. The clients are in this process too, and their memory is counted.
func benchWatchers(ctx context.Context, at place) (figures, error) {
	alone, err := benchRuns(ctx, at.inside("alone"), noModel{steps: watchSteps, depth: -1}, 1)
	if err != nil {
		return nil, err
	}
	var hub atomic.Pointer[api.Hub]
	b, err := newBed(ctx, at.inside("watched"), noModel{steps: watchSteps, depth: -1}, func(s engine.Signal) {
		if h := hub.Load(); h != nil {
			h.Signal(s)
		}
	})
	if err != nil {
		return nil, err
	}
	hub.Store(api.NewHub(b.store))
	server := &api.Server{Engine: b.engine, Journal: b.store, Hub: hub.Load(), Local: registry.Principal{Tenant: decouple.LocalTenant, Role: registry.RoleViewer}}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, b.done())
	}
	serving, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { _ = server.Run(serving, l) })
	work.Go(func() { _ = server.Hub.Run(serving) })
	defer work.Wait()
	defer stop()
	if err := b.begin(ctx, 1); err != nil {
		return nil, errors.Join(err, b.done())
	}
	rows, err := b.store.Runs(ctx, journal.RunFilter{Tenant: decouple.LocalTenant, Roots: true})
	if err != nil || len(rows) != 1 {
		return nil, errors.Join(fmt.Errorf("%d runs", len(rows)), err, b.done())
	}
	before := residentMB()
	w := watching{id: rows[0].ID, release: make(chan struct{}), client: &http.Client{Transport: &http.Transport{MaxConnsPerHost: 0}}, url: "http://" + l.Addr().String()}
	w.begin(ctx)
	b.start = time.Now()
	done := b.done
	b.done = func() error { return nil } // the watchers read on
	f, err := b.finish(ctx)
	if err != nil {
		return nil, errors.Join(err, done())
	}
	ended := time.Now()
	f["rss_mb"], f["rss_before_mb"] = residentMB(), before
	close(w.release)
	lost, err := w.wait()
	if err = errors.Join(err, done()); err != nil {
		return nil, err
	}
	f["wall_alone_s"], f["watchers"], f["events_lost"], f["last_s"] = alone["wall_s"], watchers, float64(lost), time.Since(ended).Seconds()
	return f, nil
}

// watching is the clients of benchWatchers.
type watching struct {
	id      decouple.RunID
	release chan struct{} // lets the idle ones read
	client  *http.Client
	url     string

	work sync.WaitGroup
	mu   sync.Mutex
	got  []int
	errs []error
}

// begin connects all clients and waits until each has had its first event.
func (w *watching) begin(ctx context.Context) {
	var first sync.WaitGroup
	for i := range watchers {
		first.Add(1)
		w.work.Go(func() {
			n, once := 0, sync.OnceFunc(first.Done)
			defer once()
			err := w.read(ctx, func() {
				n++
				once()
				if i < idlers && n == 1 {
					<-w.release
				}
			})
			w.mu.Lock()
			defer w.mu.Unlock()
			w.got, w.errs = append(w.got, n), append(w.errs, err)
		})
	}
	first.Wait()
}

// read reads a stream to its end and tells of every event. It looks at nothing but their ids: what clients do with events is not what is measured.
func (w *watching) read(ctx context.Context, event func()) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/api/v1/runs/"+string(w.id)+"/events", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		case bytes.HasPrefix(line, []byte("id: ")):
			event()
		}
	}
}

// wait waits until all have had the end, and counts the events that they did not get.
func (w *watching) wait() (lost int, err error) {
	w.work.Wait()
	for _, n := range w.got {
		lost += watchSteps + 2 - n // its beginning, a step each, its end
	}
	return lost, errors.Join(w.errs...)
}

// inside is a place below another one.
func (p place) inside(name string) place {
	p.dir = filepath.Join(p.dir, name)
	_ = os.MkdirAll(p.dir, 0o700) // whoever opens it says what is wrong
	return p
}
