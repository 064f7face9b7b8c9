package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"decouple.dev/decouple/gateway/transport"
)

// soak mixes all there is for a long time: short and long requests, streams, callers who hang up in the middle, endpoints that fail. Memory and goroutines have to be flat: what is there after the
// load has ended is compared with what was there after its first third, when the gateway remembers as many calls as it ever does.
func soak(ctx context.Context, b *bench) error {
	d := b.door(ours)
	if d == nil {
		return nil
	}
	span := b.soakFor
	if b.quick {
		span /= 10
	}
	var asked, hungUp, lost atomic.Int64
	load := func(span time.Duration) {
		var wg sync.WaitGroup
		for until := time.Now().Add(span); time.Now().Before(until) && ctx.Err() == nil; {
			wg.Go(func() {
				asked.Add(1)
				if !b.odd(ctx, d, &hungUp) {
					lost.Add(1)
				}
			})
			time.Sleep(time.Duration(rand.ExpFloat64() * float64(soakEvery)))
		}
		wg.Wait()
	}
	load(span / 3)
	first, err := b.state(ctx, d)
	if err != nil {
		return err
	}
	load(span - span/3)
	last, err := b.state(ctx, d)
	if err != nil {
		return err
	}
	r := row{Scenario: "soak", Door: ours, Unit: ""}
	for _, f := range []struct {
		figure string
		value  float64
	}{
		{"minutes", span.Minutes()}, {"requests", float64(asked.Load())}, {"hung up on in the middle", float64(hungUp.Load())}, {"not answered", float64(lost.Load())},
		{"memory after the first third, kB", first.rss}, {"memory at the end, kB", last.rss},
	} {
		r.Figure, r.Value = f.figure, f.value
		b.rows = append(b.rows, r)
	}
	r.Figure, r.Bar = "goroutines more than after the first third", "<= 8"
	b.judge(r, last.goroutines-first.goroutines, last.goroutines-first.goroutines <= 8)
	r.Figure, r.Bar = "memory over that after the first third", "<= 1.25 x"
	b.judge(r, last.rss/first.rss, last.rss/first.rss <= 1.25)
	return nil
}

// soakEvery is the time between two requests, on average.
const soakEvery = 8 * time.Millisecond

// odd makes a request of some sort; false is that it was not answered as it should be.
func (b *bench) odd(ctx context.Context, d *door, hungUp *atomic.Int64) bool {
	model, size, stream, text := plainModel, 1000, rand.IntN(2) == 0, ""
	switch rand.IntN(10) {
	case 0:
		size = 100_000
	case 1, 2:
		model = over(failing()[rand.IntN(len(failing()))])
	case 3:
		stream, text = true, "chunks=40,gap=5ms"
	}
	r := d.request(model, text, size, stream)
	if text == "" || rand.IntN(2) == 0 {
		got, err := b.ask(ctx, r, nil)
		return err == nil && got.status == 200
	}
	within, cancel := context.WithTimeout(ctx, time.Duration(10+rand.IntN(100))*time.Millisecond)
	defer cancel()
	hungUp.Add(1)
	_, _ = b.ask(within, r, nil) // it is to fail
	return true
}

// state is what a process holds.
type state struct{ rss, goroutines float64 }

// state looks at the gateway when it has come to rest.
func (b *bench) state(ctx context.Context, d *door) (state, error) {
	select {
	case <-ctx.Done():
		return state{}, ctx.Err()
	case <-time.After(10 * time.Second): // what is drained ends, and the garbage is collected
	}
	b.client.CloseIdle()
	resp, err := b.client.Do(ctx, &transport.Request{Method: "GET", Target: d.target, Path: "/metrics", Header: d.low})
	if err != nil {
		return state{}, err
	}
	defer func() { _ = resp.Close() }()
	text, err := resp.Whole(4 << 20)
	if err != nil {
		return state{}, err
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			return state{d.proc.rss(), n}, err
		}
	}
	return state{}, fmt.Errorf("the metrics of the gateway do not say how many goroutines it has (HTTP status %d)", resp.Status)
}
