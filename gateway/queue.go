package gateway

import (
	"context"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/route"
)

// queue lets calls wait for an endpoint with room, in the order that the router's queue says. All of it is guarded by the gateway's lock of the router.
type queue struct {
	g       *Gateway
	order   *route.Queue
	waiting map[string]chan route.Decision
	timer   *time.Timer
	due     time.Time
}

func newQueue(g *Gateway) *queue {
	return &queue{g: g, order: route.NewQueue(route.QueueConfig{Wait: g.cfg.MaxWait}), waiting: map[string]chan route.Decision{}}
}

// wait waits until the router finds an endpoint for the call, and takes it; in vain, the decision has nothing chosen.
func (q *queue) wait(ctx context.Context, c *call, d route.Decision) (route.Decision, error) {
	q.g.mu.Lock()
	now := time.Now()
	place := q.order.Enqueue(c.id, c.need, now)
	if place.Refused != "" {
		q.g.mu.Unlock()
		d.Refused, d.RetryAfter, d.Wait = place.Refused, place.RetryAfter, time.Time{}
		if place.Why != "" {
			d.Why = place.Why
		}
		return d, nil
	}
	if place.Evicted != "" {
		q.turnAway(place.Evicted)
	}
	told := make(chan route.Decision, 1)
	q.waiting[c.id] = told
	q.serve(now, d.Wait)
	q.g.mu.Unlock()
	select {
	case d := <-told:
		return d, nil
	case <-ctx.Done():
	}
	q.g.mu.Lock()
	defer q.g.mu.Unlock()
	q.order.Drop(c.id)
	delete(q.waiting, c.id)
	select {
	case d := <-told:
		if d.Chosen != "" { // it had its turn just now: the place is given back
			q.g.router.End(route.Outcome{Call: c.id, Endpoint: d.Chosen, Kind: route.Canceled}, time.Now())
			q.serve(time.Now(), time.Time{})
		}
	default:
	}
	return d, decouple.Errorf(decouple.KindOf(ctx.Err()), "the call ended while it waited for an endpoint with room: %w", ctx.Err())
}

// turnAway tells a call that waits that it will not be served.
func (q *queue) turnAway(id string) {
	if told := q.waiting[id]; told != nil {
		delete(q.waiting, id)
		told <- route.Decision{Refused: decouple.RateLimited, RetryAfter: time.Second, Why: "it waited as long as it may, or calls with a better right to a place came"}
	}
}

// serve gives places to those whose turn it is. The caller holds the router's lock.
func (q *queue) serve(now, soon time.Time) {
	for {
		id, need, ok := q.order.Next(now, func(_ string, n *route.Need) bool {
			d := q.g.router.Decide(*n, now)
			soon = sooner(soon, d.Wait)
			return d.Chosen != ""
		})
		if !ok {
			break
		}
		d := q.g.router.Take(need, now)
		if told := q.waiting[id]; told != nil {
			delete(q.waiting, id)
			told <- d
		} else if d.Chosen != "" {
			q.g.router.End(route.Outcome{Call: id, Endpoint: d.Chosen, Kind: route.Canceled}, now)
		}
	}
	for _, id := range q.order.Expire(now) {
		q.turnAway(id)
	}
	if q.order.Len() > 0 {
		q.wake(sooner(soon, q.order.Wake()), now)
	}
}

// wake has serve called at a time, unless it is sooner already.
func (q *queue) wake(at, now time.Time) {
	if at.IsZero() || q.timer != nil && q.due.After(now) && !at.Before(q.due) {
		return
	}
	if q.timer != nil {
		q.timer.Stop()
	}
	q.due = at
	q.timer = time.AfterFunc(max(at.Sub(now), time.Millisecond), q.moved)
}

// moved is told that an endpoint may have room.
func (q *queue) moved() {
	q.g.mu.Lock()
	defer q.g.mu.Unlock()
	if q.order.Len() > 0 {
		q.serve(time.Now(), time.Time{})
	}
}

// sooner is the earlier of two times of which zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Waiting is how many calls wait for an endpoint with room.
func (g *Gateway) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.queue.order.Len()
}
