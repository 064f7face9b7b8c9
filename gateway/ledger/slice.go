package ledger

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// The streams of budgets: what is set, and the slices of each window.
const (
	StreamBudget decouple.StreamKind = "budget"
	StreamSlice  decouple.StreamKind = "slice"
)

// The kinds of event in the stream of a budget's window.
const (
	BudgetGranted  decouple.EventKind = "budget.granted"
	BudgetReturned decouple.EventKind = "budget.returned"
)

// storedSlice is a slice that was taken by a holder or given back by it.
type storedSlice struct {
	Holder string         `json:"holder"`
	USD    decouple.Money `json:"usd,omitempty"`
	Tokens int64          `json:"tokens,omitempty"`
	Spent  storedAmount   `json:"spent,omitzero"` // by the holder in this window until then, for those who look
	Over   bool           `json:"over,omitempty"` // taken for what was used beyond what had been reserved, whatever was left
	Lost   string         `json:"lost,omitempty"` // given back for a holder that is gone: why
}

type storedAmount struct {
	USD    decouple.Money `json:"usd,omitempty"`
	Tokens int64          `json:"tokens,omitempty"`
}

// shares is how many slices the rest of a budget is divided in: the next slice is one of them, but at least what is needed.
const shares = 8

// stock is the fold of the stream of a budget's window.
type stock struct {
	seq     decouple.Seq
	total   Amount // held by all
	holders map[string]Amount
	read    bool
	fenced  bool              // no other process can append in this folder's name
	unsure  *journal.Mutation // a return of which it is not known whether it was committed
}

// apply folds an event.
func (s *stock) apply(e decouple.Event) error {
	if e.KindVersion != 1 || e.Kind != BudgetGranted && e.Kind != BudgetReturned {
		return decouple.Errorf(decouple.Unavailable, "the event %s of the budget %s is of a kind that this version does not know: use the newer program", e.ID, e.Stream.ID)
	}
	var p storedSlice
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return decouple.Errorf(decouple.Internal, "the event %s of the budget %s cannot be read: %w", e.ID, e.Stream.ID, err)
	}
	s.change(e.Seq, e.Kind, p)
	return nil
}

func (s *stock) change(seq decouple.Seq, kind decouple.EventKind, p storedSlice) {
	d := Amount{p.USD, p.Tokens}
	if kind == BudgetReturned {
		d = Amount{}.minus(d)
	}
	if s.holders == nil {
		s.holders = map[string]Amount{}
	}
	s.holders[p.Holder] = s.holders[p.Holder].plus(d)
	s.total = s.total.plus(d)
	s.seq = seq
}

// wish is what a slice is taken for.
type wish struct {
	need  Amount // by a call that waits; zero is for calls to come
	debt  bool   // for what was used beyond what is held
	ahead bool   // for calls to come
}

// extend asks the store for a slice, or waits for who asks already. When it returns nil, look again.
func (l *Ledger) extend(ctx context.Context, a *account, need Amount) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return errClosed
	}
	q := a.busy
	if q == nil {
		if l.cfg.Now().Before(a.until) && a.refused.err != nil && (decouple.KindOf(a.refused.err) != decouple.Exhausted || a.refused.need.only(a.budget.Limit).within(need)) {
			defer l.mu.Unlock()
			return a.refused.err
		}
		q = l.occupy(a, need)
		l.tasks.Go(func() { l.answer(a, q, wish{need: need}) })
	}
	l.mu.Unlock()
	select {
	case <-q.done:
	case <-ctx.Done():
		return decouple.Errorf(decouple.KindOf(ctx.Err()), "the call ended while it waited for the budget %s: %w", a.id(), ctx.Err())
	}
	if decouple.KindOf(q.err) == decouple.Exhausted && !q.need.within(need) {
		return nil // somebody else needed more than this call
	}
	return q.err
}

// occupy marks an account as busy. The caller holds mu.
func (l *Ledger) occupy(a *account, need Amount) *asking {
	a.busy = &asking{done: make(chan struct{}), need: need}
	return a.busy
}

// answer asks the store and tells who waits.
func (l *Ledger) answer(a *account, q *asking, w wish) {
	ctx, cancel := context.WithTimeout(l.ctx, l.cfg.Patience)
	defer cancel()
	err := l.take(ctx, a, w)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.release(a, q, err)
}

// release ends a question. A no holds for a while, so that callers without a budget do not each ask the store. The caller holds mu.
func (l *Ledger) release(a *account, q *asking, err error) {
	if q.err = err; err != nil {
		a.refused, a.until = asking{need: q.need, err: err}, l.cfg.Now().Add(l.cfg.Refresh/2)
	}
	a.busy = nil
	close(q.done)
}

// take takes a slice of an account that the caller has made busy.
func (l *Ledger) take(ctx context.Context, a *account, w wish) error {
	if err := l.resolve(ctx, a); err != nil {
		return err
	}
	for {
		if err := l.readStock(ctx, a); err != nil {
			return err
		}
		if again, err := l.fence(ctx, a); err != nil {
			return err
		} else if again {
			continue
		}
		want, over, err := l.size(a, w)
		if err != nil || want == (Amount{}) {
			return err
		}
		if err := l.note(a); err != nil {
			return err
		}
		p := storedSlice{Holder: l.holder, USD: want.USD, Tokens: want.Tokens, Over: over}
		ok, err := l.commitSlice(ctx, a, BudgetGranted, p)
		if err != nil {
			return err
		}
		if ok {
			l.mu.Lock()
			a.held, a.slice = a.held.plus(want), want
			l.mu.Unlock()
			return nil
		}
	}
}

// note writes down that this folder has slices of an account, so that they are given back should the process end.
func (l *Ledger) note(a *account) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.noted {
		return nil
	}
	w := a.stored()
	w.USD, w.Tokens = 0, 0
	var bad error
	l.files.append(func(b []byte) []byte {
		b, bad = appendJSON(b, recordWindow, w)
		return b
	})
	a.noted = bad == nil
	return errorOf(l.files.written(l.files.appended), bad)
}

// fence makes sure that nothing which an earlier process of this folder sent to the store can still arrive there, before what it held is used: a return
// that came later would be spent twice. It says true if the stream has to be read again.
func (l *Ledger) fence(ctx context.Context, a *account) (bool, error) {
	if a.stock.fenced || a.stock.holders[l.holder] == (Amount{}) {
		a.stock.fenced = true
		return false, nil
	}
	ok, err := l.commitSlice(ctx, a, BudgetGranted, storedSlice{Holder: l.holder})
	a.stock.fenced = ok
	return !ok, err
}

// size says how large a slice to take: zero if enough is here already.
func (l *Ledger) size(a *account, w wish) (want Amount, over bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.held = a.stock.holders[l.holder]
	limit := a.budget.Limit
	left := limit.minus(a.stock.total).only(limit)
	lack := w.need.only(limit).minus(a.free()).most(Amount{}).only(limit)
	if w.debt {
		return lack, !lack.within(left), nil
	}
	if lack == (Amount{}) && !w.ahead {
		return lack, false, nil
	}
	if !lack.within(left) {
		what := "usd"
		if lack.USD <= left.USD {
			what = "tokens"
		}
		return Amount{}, false, exhausted(a.budget, a.window, what)
	}
	return lack.most(left.part(shares)).least(left).most(Amount{}), false, nil
}

// readStock folds what is new in the stream of an account.
func (l *Ledger) readStock(ctx context.Context, a *account) error {
	events, err := l.cfg.Store.Read(ctx, a.streamName(), a.stock.seq, 0)
	if err != nil {
		return cutOff(a, err)
	}
	for _, e := range events {
		if err := a.stock.apply(e); err != nil {
			return err
		}
	}
	a.stock.read = true
	return nil
}

func (a *account) streamName() decouple.Stream {
	return decouple.Stream{Tenant: a.tenant, Kind: StreamSlice, ID: a.stream}
}

// cutOff says that a budget could not be asked for. Nothing is given then.
func cutOff(a *account, err error) error {
	return decouple.Errorf(decouple.Unavailable, "the budget %s has too little here for this call, and the journal cannot be asked for more: %w", a.id(), err)
}

// commitSlice appends to the stream of an account, and says false if somebody else was first. Whether a grant whose commit failed was made is seen
// when the stream is read again: it comes before all that this folder commits later.
func (l *Ledger) commitSlice(ctx context.Context, a *account, kind decouple.EventKind, p storedSlice) (bool, error) {
	l.mu.Lock()
	p.Spent = storedAmount(a.spent)
	l.mu.Unlock()
	b, err := json.Marshal(p)
	if err != nil {
		return false, err
	}
	m := journal.Mutation{
		ID: decouple.CommitID("slice/" + l.holder + "/" + rand.Text()), Stream: a.streamName(), Expect: a.stock.seq,
		Events: []journal.NewEvent{{Kind: kind, KindVersion: 1, Actor: l.actor(), Payload: b}},
	}
	r, err := l.cfg.Store.Commit(ctx, m)
	switch {
	case decouple.KindOf(err) == decouple.Conflict:
		return false, nil
	case err != nil:
		if kind == BudgetReturned {
			a.stock.unsure = &m
		}
		return false, cutOff(a, err)
	}
	a.stock.change(r.Seq, kind, p)
	return true, nil
}

func (l *Ledger) actor() decouple.Actor {
	return decouple.Actor{Kind: decouple.ActorSystem, ID: "ledger " + l.holder}
}

// resolve finds out what became of a return whose commit failed: submitted again it is recognised, done now, or in conflict and so void for ever.
func (l *Ledger) resolve(ctx context.Context, a *account) error {
	m := a.stock.unsure
	if m == nil {
		return nil
	}
	_, err := l.cfg.Store.Commit(ctx, *m)
	if err != nil && decouple.KindOf(err) != decouple.Conflict {
		return cutOff(a, err)
	}
	if err := l.readStock(ctx, a); err != nil {
		return err
	}
	a.stock.unsure = nil
	l.mu.Lock()
	defer l.mu.Unlock()
	a.held, a.leaving = a.stock.holders[l.holder], Amount{}
	return nil
}

// give returns what an account does not use but for keep. The caller has made the account busy.
func (l *Ledger) give(ctx context.Context, a *account, keep Amount) error {
	if err := l.resolve(ctx, a); err != nil {
		return err
	}
	for {
		if err := l.readStock(ctx, a); err != nil {
			return err
		}
		if again, err := l.fence(ctx, a); err != nil {
			return err
		} else if again {
			continue
		}
		l.mu.Lock()
		a.held = a.stock.holders[l.holder]
		back := a.free().minus(keep).most(Amount{})
		a.leaving = back
		l.mu.Unlock()
		if back == (Amount{}) {
			return nil
		}
		ok, err := l.commitSlice(ctx, a, BudgetReturned, storedSlice{Holder: l.holder, USD: back.USD, Tokens: back.Tokens})
		if err != nil {
			return err
		}
		l.mu.Lock()
		a.held, a.leaving = a.stock.holders[l.holder], Amount{}
		l.mu.Unlock()
		if ok {
			return nil
		}
	}
}

// giveAll returns all that is not used when the ledger closes.
func (l *Ledger) giveAll(ctx context.Context) {
	for _, a := range l.listAccounts() {
		l.mu.Lock()
		idle := a.busy == nil && (!a.stock.read || a.free().most(Amount{}) != Amount{})
		l.mu.Unlock()
		if !idle || a.over(l.cfg.Now()) {
			continue
		}
		if err := l.give(ctx, a, Amount{}); err != nil {
			l.cfg.Log.Warn("a slice stays with this ledger's folder until it is opened again", "budget", a.id(), "error", err)
			return
		}
	}
}

func (a *account) over(now time.Time) bool {
	return !a.window.ends.IsZero() && !now.Before(a.window.ends)
}

// listAccounts lists the accounts whose budget is known.
func (l *Ledger) listAccounts() []*account {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*account
	for _, a := range l.windows {
		if a.budget.ID != "" {
			all = append(all, a)
		}
	}
	return all
}
