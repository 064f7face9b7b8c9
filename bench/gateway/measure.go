package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"decouple.dev/decouple/gateway/transport"
)

// saturation is how many requests and streams a second come through.
func saturation(ctx context.Context, b *bench) error {
	for _, kind := range []struct {
		name   string
		stream bool
		bar    float64
	}{{"requests/s, 1 kB", false, 1.0}, {"streams/s, 50 chunks", true, 0.9}} {
		rate, cost := map[string][]float64{}, map[string][]float64{}
		for round := range b.rounds + 1 {
			for _, d := range b.doors {
				span := b.secs(4)
				if round == 0 {
					span /= 4 // to warm up
				}
				n, cpu, err := b.closed(ctx, d, 64, span, func() *transport.Request { return d.request(plainModel, "chunks=50", 1000, kind.stream) })
				if err != nil {
					return err
				}
				if round > 0 {
					rate[d.name], cost[d.name] = append(rate[d.name], n), append(cost[d.name], cpu)
				}
			}
		}
		median := map[string]float64{}
		for _, d := range b.doors {
			median[d.name] = b.add(row{Scenario: "saturation", Figure: kind.name, Door: d.name, Unit: "/s"}, rate[d.name])
		}
		for _, d := range b.doors[1:] {
			median["cpu "+d.name] = b.add(row{Scenario: "saturation", Figure: "processor time of one: " + kind.name, Door: d.name, Unit: "us"}, cost[d.name])
		}
		if b.door(ours) != nil {
			ratio := median[ours] / median[proxy]
			b.judge(row{Scenario: "saturation", Figure: kind.name + ", over the reverse proxy's", Unit: "x", Bar: fmt.Sprintf(">= %.1f x", kind.bar)}, ratio, ratio >= kind.bar)
			if !kind.stream {
				b.judge(row{Scenario: "saturation", Figure: "processor time of a request", Unit: "us", Bar: "<= 160 us"}, median["cpu "+ours], median["cpu "+ours] <= 160)
			}
		}
	}
	return nil
}

// latency is what is added at 500 requests a second.
func latency(ctx context.Context, b *bench) error {
	for _, size := range []int{1_000, 100_000} {
		name := fmt.Sprintf("%d kB", size/1000)
		p50, p99 := map[string][]float64{}, map[string][]float64{}
		for range b.rounds {
			for _, d := range b.doors {
				h, failed := &histogram{}, 0
				r := d.request(plainModel, "", size, false)
				b.openLoop(ctx, 500, b.secs(5), func(ctx context.Context) (result, error) { return b.ask(ctx, r, nil) }, func(got result, err error, took time.Duration) {
					if err != nil || got.status != 200 {
						failed++
					}
					h.add(took)
				})
				if failed > 0 {
					return fmt.Errorf("%s: %d of %d requests failed", d.name, failed, h.n)
				}
				p50[d.name], p99[d.name] = append(p50[d.name], h.at(0.5)), append(p99[d.name], h.at(0.99))
			}
		}
		b.compare(row{Scenario: "latency", Figure: "500/s, " + name + ", p50", Unit: "us", Bar: "<= 60 us"}, p50, 60)
		b.compare(row{Scenario: "latency", Figure: "500/s, " + name + ", p99", Unit: "us", Bar: "<= 500 us"}, p99, 500)
	}
	return nil
}

// compare adds a figure of all doors, and judges by how much the gateway's is over the reverse proxy's: the median of the differences within a round.
func (b *bench) compare(r row, rounds map[string][]float64, bar float64) {
	plain := r
	plain.Bar = ""
	for _, d := range b.doors {
		plain.Door = d.name
		b.add(plain, rounds[d.name])
	}
	if b.door(ours) == nil || len(rounds[ours]) == 0 {
		return
	}
	var added []float64
	for i := range rounds[ours] {
		added = append(added, rounds[ours][i]-rounds[proxy][i])
	}
	r.Door, r.Figure = ours, r.Figure+", added"
	v := b.add(r, added)
	met := v <= bar
	b.rows[len(b.rows)-1].Met = &met
}

// chunkLatency is what is added to each chunk of a stream whose chunks come one by one. Streams that are cut, as a bare ReverseProxy cuts some, are counted and not measured.
func chunkLatency(ctx context.Context, b *bench) error {
	p50, p99, cut := map[string][]float64{}, map[string][]float64{}, map[string]float64{}
	for range b.rounds {
		for _, d := range b.doors {
			h, lost, err := b.paced(ctx, d)
			if err != nil && h.n < 1000 {
				return err
			}
			cut[d.name] += float64(lost)
			p50[d.name], p99[d.name] = append(p50[d.name], h.at(0.5)), append(p99[d.name], h.at(0.99))
		}
	}
	b.compare(row{Scenario: "streams", Figure: "a chunk on its way, p50", Unit: "us", Bar: "<= 20 us"}, p50, 20)
	for _, d := range b.doors {
		b.add(row{Scenario: "streams", Figure: "a chunk on its way, p99", Unit: "us", Door: d.name}, p99[d.name])
		if d.name != ours {
			b.rows = append(b.rows, row{Scenario: "streams", Figure: "streams cut", Door: d.name, Value: cut[d.name]})
		} else {
			b.judge(row{Scenario: "streams", Figure: "streams cut", Bar: "none"}, cut[ours], cut[ours] == 0)
		}
	}
	return nil
}

// paced reads ten streams at once, again and again, whose chunks are 5 ms apart. It gives the ages of the chunks of those that were whole, how many were cut, and why one of them was.
func (b *bench) paced(ctx context.Context, d *door) (all *histogram, lost int, why error) {
	all = &histogram{}
	span, began := b.secs(4), time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			r := d.request(plainModel, "chunks=50,gap=5ms", 1000, true)
			for time.Since(began) < span && ctx.Err() == nil {
				h := &histogram{}
				got, err := b.ask(ctx, r, h)
				mu.Lock()
				if err == nil && got.chunks == 50 {
					all.merge(h)
				} else {
					lost++
					why = fmt.Errorf("%s: a stream of status %d had %d chunks: %w", d.name, got.status, got.chunks, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all, lost, why
}
