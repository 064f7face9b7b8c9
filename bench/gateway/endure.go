package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"decouple.dev/decouple/gateway/transport"
)

// openStreams is what a stream costs that is open and silent.
func openStreams(ctx context.Context, b *bench) error {
	for _, d := range b.doors[1:] {
		if _, _, err := b.closed(ctx, d, 16, b.secs(1), func() *transport.Request { return d.request(plainModel, "chunks=5", 1000, true) }); err != nil {
			return err
		}
		before := d.proc.rss()
		within, cancel := context.WithTimeout(ctx, time.Minute)
		var wg sync.WaitGroup
		var ready, bad atomic.Int64
		gate := make(chan struct{}, 128) // a listener's queue has an end
		for range b.open {
			gate <- struct{}{}
			wg.Go(func() {
				resp, err := b.client.Do(within, d.request(plainModel, "chunks=2,gap=2m", 1000, true))
				if err == nil && resp.Status == 200 {
					_, err = resp.Read(make([]byte, 1000))
				}
				<-gate
				if err != nil || resp.Status != 200 {
					bad.Add(1)
					return
				}
				ready.Add(1)
				<-within.Done()
				_ = resp.Close()
			})
		}
		for ready.Load()+bad.Load() < int64(b.open) && within.Err() == nil {
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(500 * time.Millisecond)
		each := (d.proc.rss() - before) / float64(b.open)
		cancel()
		wg.Wait()
		if bad.Load() > 0 {
			return fmt.Errorf("%s: %d of %d streams did not open", d.name, bad.Load(), b.open)
		}
		r := row{Scenario: "open", Figure: fmt.Sprintf("memory of each of %d open streams", b.open), Door: d.name, Unit: "kB"}
		if d.name == ours {
			r.Bar = "< 60 kB"
			b.judge(r, each, each < 60)
		} else {
			b.add(r, []float64{each})
		}
	}
	return nil
}

// overload offers ten times what the upstream can do, and a few requests of high priority among them.
func overload(ctx context.Context, b *bench) error {
	const work = 50 * time.Millisecond
	capacity := float64(narrow) / work.Seconds()
	text := "delay=" + work.String()
	for _, d := range b.doors[1:] {
		high := d.request(narrowModel, text, 1000, false)
		if len(d.high) > 0 {
			high.Header = append(high.Header[:len(high.Header)-len(d.low):len(high.Header)-len(d.low)], d.high...)
		}
		low := d.request(narrowModel, text, 1000, false)
		alone, served, errs := b.steady(ctx, high, capacity/10)
		if served == 0 {
			return fmt.Errorf("%s: nothing was served: %v", d.name, errs)
		}
		before, most := d.proc.rss(), 0.0
		var wg sync.WaitGroup
		var ok, honest, bare, other int
		wg.Go(func() {
			b.openLoop(ctx, 10*capacity, b.secs(8), func(ctx context.Context) (result, error) { return b.ask(ctx, low, nil) }, func(got result, err error, _ time.Duration) {
				most = max(most, d.proc.rss())
				switch {
				case err == nil && got.status == 200:
					ok++
				case err == nil && got.status == 429 && got.retryAfter:
					honest++
				case err == nil && got.status == 429:
					bare++
				default:
					other++
				}
			})
		})
		h, served, _ := b.steady(ctx, high, capacity/10)
		wg.Wait()
		asked := float64(capacity / 10 * b.secs(6).Seconds())
		for _, r := range []row{
			{Figure: "high priority, alone, p99", Unit: "ms", Value: alone.at(0.99) / 1e3},
			{Figure: "high priority, served", Unit: "%", Value: 100 * float64(served) / asked},
			{Figure: "low priority, served", Unit: "/s", Value: float64(ok) / b.secs(8).Seconds()},
			{Figure: "429 with a Retry-After", Unit: "", Value: float64(honest)},
			{Figure: "429 without", Unit: "", Value: float64(bare)},
			{Figure: "other failures", Unit: "", Value: float64(other)},
			{Figure: "memory, most over before", Unit: "kB", Value: most - before},
		} {
			r.Scenario, r.Door = "overload", d.name
			b.rows = append(b.rows, r)
		}
		r := row{Scenario: "overload", Figure: "high priority under 10x, p99", Unit: "ms", Door: d.name, Value: h.at(0.99) / 1e3}
		if d.name == ours {
			r.Bar = "<= 2 x alone, all served"
			b.judge(r, r.Value, r.Value <= 2*alone.at(0.99)/1e3 && float64(served) >= 0.99*asked)
		} else {
			b.rows = append(b.rows, r)
		}
	}
	return nil
}

// steady asks at a rate for six seconds.
func (b *bench) steady(ctx context.Context, r *transport.Request, rate float64) (h *histogram, served int, failed error) {
	h = &histogram{}
	b.openLoop(ctx, rate, b.secs(6), func(ctx context.Context) (result, error) { return b.ask(ctx, r, nil) }, func(got result, err error, took time.Duration) {
		switch {
		case err != nil:
			failed = err
		case got.status != 200:
			failed = fmt.Errorf("status %d", got.status)
		default:
			served++
			h.add(took)
		}
	})
	return h, served, failed
}

// asked is how often the stand-in was asked for a model.
func (b *bench) asked(ctx context.Context, model string) (int, error) {
	resp, err := b.client.Do(ctx, &transport.Request{Method: "GET", Target: b.door(direct).target, Path: "/stats"})
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Close() }()
	text, err := resp.Whole(1 << 20)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, model+" "); ok {
			return strconv.Atoi(strings.TrimSpace(v))
		}
	}
	return 0, nil
}

// failover is what a failed first attempt adds, beyond the time that the attempt itself takes. Only calls count in which the failing endpoint was really asked: a breaker soon passes it by.
func failover(ctx context.Context, b *bench) error {
	d := b.door(ours)
	if d == nil {
		return nil
	}
	one := func(d *door, model string) (time.Duration, int, error) {
		began := time.Now()
		got, err := b.ask(ctx, d.request(model, "", 1000, false), nil)
		return time.Since(began), got.status, err
	}
	plain := &histogram{}
	for range 200 {
		took, status, err := one(d, plainModel)
		if err != nil || status != 200 {
			return fmt.Errorf("without a failure: status %d, %w", status, err)
		}
		plain.add(took)
	}
	for _, model := range failing() {
		attempt := 0.0
		if model != refusing { // a refused connection takes no time worth naming
			h := &histogram{}
			for range 50 {
				took, _, err := one(b.door(direct), model)
				if err != nil {
					return err
				}
				h.add(took)
			}
			attempt = h.at(0.5)
		}
		added, first := &histogram{}, 0.0
		tried, lost := 0, 0
		for i := range 50 {
			before, err := b.asked(ctx, model)
			if err != nil {
				return err
			}
			took, status, err := one(d, over(model))
			if err != nil || status != 200 {
				lost++
				continue
			}
			after, err := b.asked(ctx, model)
			if err != nil {
				return err
			}
			extra := float64(took)/1e3 - plain.at(0.5) - attempt
			if i == 0 {
				first = extra
			}
			if after > before || model == refusing {
				tried++
				added.add(time.Duration(extra * 1e3))
			}
		}
		name := strings.TrimPrefix(model, "bench-")
		b.rows = append(b.rows, row{Scenario: "failover", Figure: name + ": added in the first call", Door: ours, Unit: "ms", Value: first / 1e3},
			row{Scenario: "failover", Figure: name + ": calls in which it was tried, of 50", Door: ours, Value: float64(tried)})
		worst := float64(added.max) / 1e6
		b.judge(row{Scenario: "failover", Figure: name + ": added, most", Unit: "ms", Bar: "<= the failed attempt + 5 ms"}, worst, worst <= 5 && lost == 0)
	}
	return nil
}

// truncation looks for streams that end before their end, against an upstream that answers before it has read the request.
func truncation(ctx context.Context, b *bench) error {
	for _, d := range b.doors[1:] {
		want := b.streams
		if d.name == proxy {
			want /= 10 // for comparison
		}
		var left, cut, failed atomic.Int64
		left.Store(int64(want))
		var wg sync.WaitGroup
		began := time.Now()
		for range 64 {
			wg.Go(func() {
				sizes := []*transport.Request{d.request(instantModel, "", 1_000, true), d.request(instantModel, "", 10_000, true), d.request(instantModel, "", 100_000, true)}
				for n := left.Add(-1); n >= 0 && ctx.Err() == nil && time.Since(began) < 3*time.Minute; n = left.Add(-1) {
					got, err := b.ask(ctx, sizes[n%3], nil)
					switch {
					case got.status == 200 && (err != nil || !got.whole || got.chunks != 5):
						cut.Add(1)
					case err != nil || got.status != 200:
						failed.Add(1)
					}
				}
			})
		}
		wg.Wait()
		seen := want - int(max(left.Load(), 0))
		r := row{Scenario: "truncation", Figure: fmt.Sprintf("streams cut, of %d", seen), Door: d.name, Value: float64(cut.Load())}
		b.rows = append(b.rows, row{Scenario: "truncation", Figure: fmt.Sprintf("streams refused or failed, of %d", seen), Door: d.name, Value: float64(failed.Load())})
		if d.name == ours {
			r.Bar = "none (the bar is 100,000 streams)"
			b.judge(r, r.Value, cut.Load() == 0 && failed.Load() == 0 && seen == b.streams)
		} else {
			b.rows = append(b.rows, r)
		}
	}
	return nil
}
