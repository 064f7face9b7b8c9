package gateway

import (
	"context"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/route"
)

// queue lets calls wait for an endpoint with room, in the order that the router's queue says.
type queue struct {
	g  *Gateway
	mu sync.Mutex
	on []chan struct{}
}

func newQueue(g *Gateway) *queue { return &queue{g: g} }

// wait waits until the router finds an endpoint for the call, and takes it; in vain, it is the last decision, with nothing chosen.
func (q *queue) wait(ctx context.Context, c *call, d route.Decision) (route.Decision, error) {
	until := time.Now().Add(q.g.cfg.MaxWait)
	if c.deadline.Before(until) {
		until = c.deadline
	}
	for d.Chosen == "" && !d.Wait.IsZero() && !d.Wait.After(until) {
		woken := make(chan struct{})
		q.mu.Lock()
		q.on = append(q.on, woken)
		q.mu.Unlock()
		timer := time.NewTimer(max(time.Until(d.Wait), time.Millisecond))
		select {
		case <-ctx.Done():
			timer.Stop()
			return d, decouple.Errorf(decouple.KindOf(ctx.Err()), "the call ended while it waited for an endpoint with room: %w", ctx.Err())
		case <-woken:
		case <-timer.C:
		}
		timer.Stop()
		d = q.g.take(c.need)
	}
	return d, nil
}

// waiting is how many calls wait.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.on)
}

// moved wakes who waits: an endpoint may have room now.
func (q *queue) moved() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range q.on {
		close(c)
	}
	q.on = q.on[:0]
}
