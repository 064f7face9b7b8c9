package gateway

import (
	"context"
	"errors"
)

// drain decides what becomes of an attempt whose caller has gone: it is read to its end, for the usage that the endpoint will bill, as long as there is a place for that; false is that the
// endpoint is to be hung up on. An endpoint that goes on with a call after it was hung up on, and bills it, has the first right to a place.
func (a *attempt) drain() bool {
	a.draining.Lock()
	defer a.draining.Unlock()
	if a.gone.Load() {
		return true
	}
	places := a.c.g.drains
	if !a.ep.drains && len(places) > cap(places)/2 {
		return false
	}
	select {
	case places <- struct{}{}:
		a.gone.Store(true)
		return true
	default:
		return false
	}
}

// detached is the context of what is asked of an endpoint: it outlives the caller if the answer is drained, and ends with him else.
func (a *attempt) detached(ctx context.Context) (context.Context, func()) {
	up, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { a.hungUp(ctx, cancel) })
	return up, func() {
		stop()
		cancel(nil)
		if a.gone.Load() {
			<-a.c.g.drains
		}
	}
}

// hungUp is told that the caller's context has ended.
func (a *attempt) hungUp(ctx context.Context, cancel context.CancelCauseFunc) {
	if errors.Is(context.Cause(ctx), errBeaten) || errors.Is(ctx.Err(), context.DeadlineExceeded) || a.c.tell != nil || a.c.winner.Load() != a || !a.drain() {
		cancel(context.Cause(ctx))
	}
}
