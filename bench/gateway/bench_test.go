package main

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple/gateway/transport"
)

func TestHistogram(t *testing.T) {
	t.Parallel()
	last := -1
	for _, ns := range []uint64{0, 1, 63, 64, 65, 127, 128, 1000, 123_456, 1e6, 1e9, 60e9, 3600e9} {
		i := bucket(ns)
		if i < last || i >= len(histogram{}.counts) || uint64(top(i)) < ns || uint64(top(i)) > ns+ns/32 {
			t.Errorf("%d is in bucket %d (after %d), whose top is %d", ns, i, last, top(i))
		}
		last = i
	}
	h, o := &histogram{}, &histogram{}
	for i := range 1000 {
		h.add(time.Duration(i) * time.Microsecond)
		o.add(time.Duration(i+1000) * time.Microsecond)
	}
	h.merge(o)
	for part, want := range map[float64]float64{0.25: 500, 0.5: 1000, 0.99: 1980, 1: 1999} {
		if got := h.at(part); got < want*0.98 || got > want*1.02+1 {
			t.Errorf("at %v it is %v, want %v", part, got, want)
		}
	}
}

// standing is a stand-in and a bench that asks it.
func standing(t *testing.T) (*bench, *door) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { _ = newStandIn().serve(l) }()
	to, err := transport.NewTarget("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{client: transport.New(transport.Config{})}
	t.Cleanup(b.client.CloseIdle)
	d := &door{name: direct, target: to, path: standInPath}
	b.doors = []*door{d}
	return b, d
}

func TestStandIn(t *testing.T) {
	t.Parallel()
	b, d := standing(t)
	for model, want := range map[string]result{
		plainModel: {status: 200, whole: true}, busy: {status: 429, retryAfter: true, whole: true}, broken: {status: 500, whole: true}, slowBroken: {status: 500, whole: true},
	} {
		if got, err := b.ask(t.Context(), d.request(model, "", 1000, false), nil); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", model, got, err)
		}
	}
	h := &histogram{}
	if got, err := b.ask(t.Context(), d.request(plainModel, "chunks=50,gap=1ms", 1000, true), h); err != nil || got.chunks != 50 || !got.whole || h.n != 50 || h.max > time.Minute {
		t.Errorf("a stream: %+v, %v, %d ages up to %s", got, err, h.n, h.max)
	}
	for _, size := range []int{1_000, 100_000} {
		for range 3 {
			if got, err := b.ask(t.Context(), d.request(instantModel, "", size, true), nil); err != nil || got.chunks != 5 || !got.whole {
				t.Errorf("answered before it was read: %+v, %v", got, err)
			}
		}
	}
	if n, err := b.asked(t.Context(), busy); n != 1 || err != nil {
		t.Errorf("asked %d times, %v", n, err)
	}
}

// TestCutIsSeen has streams that end early, in the ways that proxies end them.
func TestCutIsSeen(t *testing.T) {
	t.Parallel()
	b, d := standing(t)
	for name, c := range map[string]struct {
		answer string
		whole  bool
	}{
		"whole":               {streamHead + "0012\r\ndata: t=12345678\n\n\r\n000e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n", true},
		"ended without done":  {streamHead + "0012\r\ndata: t=12345678\n\n\r\n0\r\n\r\n", false},
		"connection closed":   {streamHead + "000e\r\ndata: [DONE]\n\n\r\n", false},
		"closed in the chunk": {streamHead + "0010\r\ndata: t=1", false},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer func() { _ = l.Close() }()
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4000))
			_, _ = io.WriteString(conn, c.answer)
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, conn)
		}()
		r := d.request(plainModel, "", 1000, true)
		if r.Target, err = transport.NewTarget("http://" + l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		if got, err := b.ask(t.Context(), r, nil); got.whole != c.whole || (err == nil) != c.whole || got.status != 200 {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
		b.client.CloseIdle()
	}
}

// TestOpenLoopCountsWaiting has a server that is slow: what waits counts from the time at which it was to be sent.
func TestOpenLoopCountsWaiting(t *testing.T) {
	t.Parallel()
	b := &bench{}
	n, late := 0, 0
	b.openLoop(t.Context(), 2, time.Second, func(ctx context.Context) (result, error) {
		return result{status: 200}, nil
	}, func(_ result, _ error, took time.Duration) {
		n++
		if took < 0 {
			late++
		}
	})
	if n != 2 || late != 0 {
		t.Errorf("%d requests, %d before their time", n, late)
	}
}

func TestWriteConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env, args, err := writeConfig(dir, "127.0.0.1:1")
	if err != nil || len(args) == 0 || !strings.HasPrefix(env[len(env)-1], "DECOUPLE_CONFIG=") {
		t.Errorf("got %v, %v, %v", env, args, err)
	}
}
