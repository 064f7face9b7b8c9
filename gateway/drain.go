package gateway

import (
	"context"
	"errors"
)

// drain decides what becomes of an attempt whose caller has gone; false is that the endpoint is to be hung up on, which is so wherever that ends its bill. An endpoint that goes on with a call
// after it was hung up on, and bills it, is read to its end for the usage, as long as there is a place for that.
func (a *attempt) drain() bool {
	a.draining.Lock()
	defer a.draining.Unlock()
	if a.gone.Load() {
		return true
	}
	if !a.ep.drains || a.closed { // once it is closed there is nothing left to read
		return false
	}
	select {
	case a.c.g.drains <- struct{}{}:
		a.gone.Store(true)
		return true
	default:
		return false
	}
}

// release gives the place of a drained answer back, once: nothing more is read.
func (a *attempt) release() {
	a.draining.Lock()
	defer a.draining.Unlock()
	if a.gone.Load() && !a.closed {
		<-a.c.g.drains
	}
	a.closed = true
}

// lifeline is the context of what is asked of an endpoint: it ends with the caller's, unless the answer is drained.
type lifeline struct {
	context.Context // the caller's
	a               *attempt
}

// Err is why it has ended.
func (l lifeline) Err() error {
	err := l.Context.Err()
	if err != nil && l.a.outlives(l.Context) {
		return nil
	}
	return err
}

// Value gives nothing: package context would find the caller's own context by it, and go past AfterFunc.
func (l lifeline) Value(any) any { return nil }

// AfterFunc has f called when the endpoint is to be hung up on.
func (l lifeline) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(l.Context, func() {
		if !l.a.outlives(l.Context) {
			f()
		}
	})
}

// outlives says whether the attempt goes on although its caller's context has ended.
func (a *attempt) outlives(ctx context.Context) bool {
	return !errors.Is(context.Cause(ctx), errBeaten) && !errors.Is(ctx.Err(), context.DeadlineExceeded) && a.c.tell == nil && a.c.winner.Load() == a && a.drain()
}
