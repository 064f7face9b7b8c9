package ledger

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// The kinds of event in the stream of a budget.
const (
	BudgetSet     decouple.EventKind = "budget.set"
	BudgetRemoved decouple.EventKind = "budget.removed"
)

// storedBudget is a budget as it is set.
type storedBudget struct {
	Scope  Scope          `json:"scope"`
	Name   string         `json:"name,omitempty"`
	Period Period         `json:"period"`
	USD    decouple.Money `json:"usd,omitempty"`
	Tokens int64          `json:"tokens,omitempty"`
}

// subject is whom budgets are for.
type subject struct {
	tenant decouple.TenantID
	scope  Scope
	name   string
}

// budgets is the fold of the streams of all budgets.
type budgets struct {
	byID map[accountKey]*setBudget
	of   map[subject][]*Budget // in force
	upTo decouple.Position
	read bool // at least once
}

type setBudget struct {
	Budget
	seq     decouple.Seq
	removed bool
}

// known says that budgets have been read.
func (b *budgets) known() error {
	if !b.read {
		return decouple.Errorf(decouple.Unavailable, "the budgets have not been read from the journal yet, so no call is let through")
	}
	return nil
}

// apply folds an event.
func (b *budgets) apply(e decouple.Event) error {
	k := accountKey{e.Stream.Tenant, e.Stream.ID}
	switch {
	case e.Kind == BudgetSet && e.KindVersion == 1:
		var p storedBudget
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			return decouple.Errorf(decouple.Internal, "the event %s of the budget %s cannot be read: %w", e.ID, e.Stream.ID, err)
		}
		b.byID[k] = &setBudget{Budget: Budget{ID: k.id, Tenant: k.tenant, Scope: p.Scope, Name: p.Name, Period: p.Period, Limit: Amount{p.USD, p.Tokens}}, seq: e.Seq}
	case e.Kind == BudgetRemoved && e.KindVersion == 1:
		if had := b.byID[k]; had != nil {
			b.byID[k] = &setBudget{Budget: had.Budget, seq: e.Seq, removed: true}
		}
	default:
		return decouple.Errorf(decouple.Unavailable, "the event %s of the budget %s is of a kind that this version does not know: use the newer program", e.ID, e.Stream.ID)
	}
	return nil
}

// index lists what is in force by whom it is for.
func (b *budgets) index() {
	b.of = map[subject][]*Budget{}
	for _, s := range b.byID {
		if !s.removed {
			k := subject{s.Tenant, s.Scope, s.Name}
			b.of[k] = append(b.of[k], &s.Budget)
		}
	}
}

// refresh reads what was set since the last time.
func (l *Ledger) refresh(ctx context.Context) error {
	l.reading.Lock()
	defer l.reading.Unlock()
	l.mu.Lock()
	after := l.budgets.upTo
	l.mu.Unlock()
	for {
		events, err := l.cfg.Store.Scan(ctx, journal.Filter{Kind: StreamBudget, After: after})
		if err != nil {
			return err
		}
		l.mu.Lock()
		if l.budgets.byID == nil {
			l.budgets.byID = map[accountKey]*setBudget{}
		}
		for _, e := range events {
			if err := l.budgets.apply(e); err != nil {
				l.budgets.read = false // what it says could be a limit
				l.mu.Unlock()
				return err
			}
			after = e.Position
			l.budgets.upTo = after
		}
		if len(events) > 0 || l.budgets.of == nil {
			l.budgets.index()
		}
		if len(events) == 0 {
			l.budgets.read = true
			l.mu.Unlock()
			return nil
		}
		l.mu.Unlock()
	}
}

// SetBudget sets or changes a budget: at once here, and on the other nodes within a second. What nodes hold of a budget that is lowered they may still spend.
func (l *Ledger) SetBudget(ctx context.Context, b Budget, by decouple.Actor) error {
	if err := b.check(); err != nil {
		return err
	}
	return l.change(ctx, accountKey{b.Tenant, b.ID}, BudgetSet, storedBudget{b.Scope, b.Name, b.Period, b.Limit.USD, b.Limit.Tokens}, by)
}

// RemoveBudget ends a budget.
func (l *Ledger) RemoveBudget(ctx context.Context, tenant decouple.TenantID, id string, by decouple.Actor) error {
	l.mu.Lock()
	had := l.budgets.byID[accountKey{tenant, id}]
	l.mu.Unlock()
	if had == nil || had.removed {
		return decouple.Errorf(decouple.NotFound, "there is no budget %s", id)
	}
	return l.change(ctx, accountKey{tenant, id}, BudgetRemoved, storedBudget{Scope: had.Scope, Name: had.Name, Period: had.Period}, by)
}

func (l *Ledger) change(ctx context.Context, k accountKey, kind decouple.EventKind, p storedBudget, by decouple.Actor) error {
	payload, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := l.refresh(ctx); err != nil {
		return err
	}
	var expect decouple.Seq
	l.mu.Lock()
	if had := l.budgets.byID[k]; had != nil {
		expect = had.seq
	}
	l.mu.Unlock()
	_, err = l.cfg.Store.Commit(ctx, journal.Mutation{
		ID: decouple.CommitID("budget/" + k.id + "/" + rand.Text()), Stream: decouple.Stream{Tenant: k.tenant, Kind: StreamBudget, ID: k.id}, Expect: expect,
		Events: []journal.NewEvent{{Kind: kind, KindVersion: 1, Actor: by, Payload: payload}},
	})
	if err != nil {
		return err
	}
	return l.refresh(ctx)
}

// Standing is a budget and how much of its present window is gone.
type Standing struct {
	Budget
	Window string    `json:"window"`
	Renews time.Time `json:"renews,omitzero"`
	Spent  Amount    `json:"spent"` // by settled calls of all nodes, as far as the journal and this node know
	Held   Amount    `json:"held"`  // by nodes in slices, what they have spent included
}

// Budgets lists the budgets of a tenant, or of all if it is empty, and how they stand.
func (l *Ledger) Budgets(ctx context.Context, tenant decouple.TenantID) ([]Standing, error) {
	if err := l.refresh(ctx); err != nil {
		return nil, err
	}
	var list []Budget
	l.mu.Lock()
	for _, b := range l.budgets.byID {
		if !b.removed && (tenant == "" || tenant == b.Tenant) {
			list = append(list, b.Budget)
		}
	}
	l.mu.Unlock()
	return l.Stand(ctx, list)
}

// Stand says how budgets stand, whether they are set or brought by calls.
func (l *Ledger) Stand(ctx context.Context, list []Budget) ([]Standing, error) {
	if err := l.view.follow(ctx); err != nil {
		return nil, err
	}
	now := l.cfg.Now()
	var out []Standing
	for _, b := range list {
		w, err := b.Period.window(now)
		if err != nil {
			continue // it was checked when it was set
		}
		s := Standing{Budget: b, Window: w.name, Renews: w.ends}
		stream := s.ID + "/" + s.Window
		a := &account{tenant: s.Tenant, stream: stream, budget: s.Budget}
		if err := l.readStock(ctx, a); err != nil {
			return nil, err
		}
		s.Held = a.stock.total
		if s.Spent, err = l.spentOf(spentKey{s.Tenant, stream}); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Standing) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}
