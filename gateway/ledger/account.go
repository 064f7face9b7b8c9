package ledger

import (
	"strings"
	"time"

	"decouple.dev/decouple"
)

// accountKey names a budget.
type accountKey struct {
	tenant decouple.TenantID
	id     string
}

// account is what this node knows of a budget in one window. All but stock is guarded by the ledger's mutex.
type account struct {
	tenant decouple.TenantID
	stream string // id/window
	budget Budget
	window window

	held     Amount // slices that this folder has and has not given back
	leaving  Amount // of these, those that are being given back
	spent    Amount // by calls that are settled
	reserved Amount // by calls under way
	slice    Amount // the newest
	used     time.Time
	noted    bool // the file has it

	busy    *asking   // somebody asks the store for this account
	refused asking    // the last answer that was no
	until   time.Time // refused holds until then
	rest    time.Time // nothing is done ahead until then

	stock stock // what the stream says; belongs to who is busy
}

// asking is a question to the store that several callers may wait for.
type asking struct {
	done chan struct{}
	need Amount
	err  error
}

// id is the budget's.
func (a *account) id() string {
	id, _, _ := strings.Cut(a.stream, "/")
	return id
}

// stored is an account as the file has it.
func (a *account) stored() storedWindow {
	b := &a.budget
	return storedWindow{a.tenant, a.stream, storedAmount(b.Limit), b.Scope, b.Name, b.Period, a.spent.USD, a.spent.Tokens}
}

// account is the account of a window as an earlier process had it. What slices it has is not known yet.
func (w *storedWindow) account() *account {
	a := &account{tenant: w.Tenant, stream: w.Budget, spent: Amount{w.USD, w.Tokens}}
	if w.Period != "" {
		id, name, _ := strings.Cut(w.Budget, "/")
		a.noted, a.budget = true, Budget{ID: id, Tenant: w.Tenant, Scope: w.Scope, Name: w.Name, Period: w.Period, Limit: Amount(w.Limit)}
		a.window = window{name: name, ends: endOf(name)}
	}
	return a
}

// free is what may be reserved without asking anybody. It is negative when calls used more than they had reserved.
func (a *account) free() Amount {
	return a.held.minus(a.leaving).minus(a.spent).minus(a.reserved).only(a.budget.Limit)
}

// scarce says that a new slice should be there before it is needed, or that more was used than is held.
func (a *account) scarce() bool {
	f, s := a.free(), a.slice.part(4)
	l := a.budget.Limit
	return l.USD > 0 && f.USD < s.USD || l.Tokens > 0 && f.Tokens < s.Tokens || f.USD < 0 || f.Tokens < 0
}

// find lists the accounts of a call: of the budgets that are set for its tenant, key, team and agent, and of those of its key. The caller holds mu.
func (l *Ledger) find(e *Entry) error {
	e.accounts = e.few[:0]
	c := &e.call
	for _, s := range [4]subject{{c.Tenant, ForTenant, ""}, {c.Tenant, ForKey, c.Key}, {c.Tenant, ForTeam, c.Team}, {c.Tenant, ForAgent, string(c.Agent)}} {
		if s.scope != ForTenant && s.name == "" {
			continue
		}
		for _, b := range l.budgets.of[s] {
			if err := l.join(e, b); err != nil {
				return err
			}
		}
	}
	for i := range c.Budgets {
		b := &c.Budgets[i]
		if b.Tenant != c.Tenant {
			return decouple.Errorf(decouple.Invalid, "the call %s brings a budget of another tenant", c.ID)
		}
		if err := l.join(e, b); err != nil {
			return err
		}
	}
	return nil
}

// join adds a budget's account to a call.
func (l *Ledger) join(e *Entry, b *Budget) error {
	a := l.accounts[accountKey{b.Tenant, b.ID}]
	if a == nil || !a.window.ends.IsZero() && !e.begun.Before(a.window.ends) || a.budget.Period != b.Period {
		if err := b.check(); err != nil {
			return err
		}
		w, err := b.Period.window(e.begun)
		if err != nil {
			return err
		}
		k := spentKey{b.Tenant, b.ID + "/" + w.name}
		if a = l.windows[k]; a == nil {
			a = &account{tenant: b.Tenant, stream: k.budget}
			l.windows[k] = a
		}
		a.window = w
		l.accounts[accountKey{b.Tenant, b.ID}] = a
	}
	if a.budget != *b {
		a.budget = *b
	}
	if e.call.Unpriced && b.Limit.USD > 0 {
		return decouple.Errorf(decouple.Denied, "the price of %s is not known, and the budget %s counts money: give the model a price in the catalog, or ask for one that has one", e.call.Model, b.ID)
	}
	for _, had := range e.accounts {
		if had == a {
			return nil
		}
	}
	if len(e.accounts) == maxBudgets {
		return decouple.Errorf(decouple.Invalid, "more than %d budgets count the call %s: remove some", maxBudgets, e.call.ID)
	}
	e.accounts = append(e.accounts, a)
	return nil
}
