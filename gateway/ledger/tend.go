package ledger

import (
	"context"
	"strings"
	"time"
)

// How long a slice lies unused before it is given back: at least a while, and less where others may need it.
const (
	idle      = 10 * time.Second
	idleShort = time.Second
)

// tendLoop keeps slices, budgets, rates and files in order.
func (l *Ledger) tendLoop() {
	var last time.Time
	for l.pause(l.cfg.Refresh, l.wake.tend) {
		if since := time.Since(last); since >= l.cfg.Refresh {
			last = time.Now()
			l.look()
		}
		l.tend()
		if !l.pause(min(5*time.Millisecond, l.cfg.Refresh), nil) {
			return
		}
	}
}

// look reads what other nodes have set.
func (l *Ledger) look() {
	ctx, cancel := context.WithTimeout(l.ctx, l.cfg.Patience)
	defer cancel()
	if err := l.refresh(ctx); err != nil && l.ctx.Err() == nil {
		l.cfg.Log.Warn("the ledger cannot read budgets; those that it knows hold", "error", err)
		return
	}
	nodes, err := l.cfg.Store.Nodes(ctx)
	if err != nil {
		return // the shares that are known hold
	}
	n := 0
	for _, node := range nodes {
		if node.Alive {
			n++
		}
	}
	l.mu.Lock()
	l.rates.share(max(1, n), l.cfg.Now())
	l.mu.Unlock()
}

// tend takes slices ahead of need, covers debts, gives back what lies idle, forgets windows that are over, and begins a new segment.
func (l *Ledger) tend() {
	now := l.cfg.Now()
	l.mu.Lock()
	full := l.files.current.size > l.cfg.Segment
	l.rates.forget(now)
	for k, a := range l.windows {
		_, name, _ := strings.Cut(k.budget, "/")
		if a.busy == nil && a.reserved == (Amount{}) && ended(name, now.Add(-25*time.Hour)) {
			delete(l.windows, k)
			if key := (accountKey{k.tenant, a.budget.ID}); l.accounts[key] == a {
				delete(l.accounts, key)
			}
		}
	}
	l.mu.Unlock()
	if full {
		if err := l.roll(); err != nil {
			l.cfg.Log.Error("the ledger takes no more calls", "error", err)
		}
	}
	for _, a := range l.listAccounts() {
		l.mu.Lock()
		do := l.due(a, now)
		var q *asking
		if do != nil {
			q = l.occupy(a, Amount{})
		}
		l.mu.Unlock()
		if do == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(l.ctx, l.cfg.Patience)
		err := do(ctx)
		cancel()
		l.mu.Lock()
		a.rest = now.Add(l.cfg.Refresh / 2)
		l.release(a, q, err)
		l.mu.Unlock()
	}
}

// due says what is to be done for an account. The caller holds mu.
func (l *Ledger) due(a *account, now time.Time) func(context.Context) error {
	if a.busy != nil || a.over(now) || now.Before(a.rest) || l.ctx.Err() != nil {
		return nil
	}
	if !a.stock.read && !a.noted {
		return nil // who uses it first reads it
	}
	if !a.stock.read { // an earlier process had it
		return func(ctx context.Context) error { return l.take(ctx, a, wish{}) }
	}
	free, unused := a.free(), now.Sub(a.used)
	crowded := !a.stock.total.within(a.budget.Limit.minus(a.budget.Limit.part(4)))
	switch {
	case free.USD < 0 || free.Tokens < 0:
		return func(ctx context.Context) error { return l.take(ctx, a, wish{debt: true}) }
	case unused < idleShort:
		if a.scarce() {
			return func(ctx context.Context) error { return l.take(ctx, a, wish{ahead: true}) }
		}
	case free.most(Amount{}) != Amount{} && (unused > idle || crowded):
		return func(ctx context.Context) error { return l.give(ctx, a, Amount{}) }
	}
	return nil
}
