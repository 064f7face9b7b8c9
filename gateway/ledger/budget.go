package ledger

import (
	"time"

	"decouple.dev/decouple"
)

// Period is how long a budget lasts before it begins anew.
type Period string

// The periods, in UTC.
const (
	Day   Period = "day"
	Month Period = "month"
	Total Period = "total" // never renewed
)

// Scope says what sort of caller a budget is for.
type Scope string

// The scopes.
const (
	ForTenant Scope = "tenant"
	ForKey    Scope = "key"
	ForTeam   Scope = "team"
	ForAgent  Scope = "agent"
)

// Budget limits what the calls of somebody may use in a period.
type Budget struct {
	ID     string            `json:"id"` // of letters, digits and . _ - :
	Tenant decouple.TenantID `json:"tenant"`
	Scope  Scope             `json:"scope"`
	Name   string            `json:"name,omitempty"` // of the key, team or agent
	Period Period            `json:"period"`
	Limit  Amount            `json:"limit"` // zero does not limit
}

// check refuses a budget that could not be held.
func (b Budget) check() error {
	switch {
	case b.ID == "" || len(b.ID) > 120 || !isID(b.ID):
		return decouple.Errorf(decouple.Invalid, "a budget is named by up to 120 letters, digits and . _ - :, which %q is not", b.ID)
	case b.Tenant == "":
		return decouple.Errorf(decouple.Invalid, "the budget %s has no tenant", b.ID)
	case b.Limit.USD < 0 || b.Limit.Tokens < 0 || b.Limit == Amount{}:
		return decouple.Errorf(decouple.Invalid, "the budget %s needs an amount of dollars or tokens above zero", b.ID)
	case b.Scope != ForTenant && b.Scope != ForKey && b.Scope != ForTeam && b.Scope != ForAgent:
		return decouple.Errorf(decouple.Invalid, "the budget %s is for a tenant, key, team or agent, not for %q", b.ID, b.Scope)
	case (b.Scope == ForTenant) != (b.Name == "") || len(b.Name) > maxText || !clean(b.Name):
		return decouple.Errorf(decouple.Invalid, "the budget %s for a %s needs its name, and one for a tenant has none", b.ID, b.Scope)
	}
	if _, err := b.Period.window(time.Time{}); err != nil {
		return decouple.Errorf(decouple.Invalid, "the budget %s lasts a day, month or total, not %q", b.ID, b.Period)
	}
	return nil
}

func isID(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-' && r != ':' {
			return false
		}
	}
	return true
}

// window is one period of a budget.
type window struct {
	name string
	ends time.Time // zero is never
}

// window is the period in which t lies.
func (p Period) window(t time.Time) (window, error) {
	t = t.UTC()
	y, m, d := t.Date()
	switch p {
	case Day:
		return window{t.Format(time.DateOnly), time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)}, nil
	case Month:
		return window{t.Format("2006-01"), time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)}, nil
	case Total:
		return window{"total", time.Time{}}, nil
	}
	return window{}, decouple.Errorf(decouple.Invalid, "there is no period %q", p)
}

// endOf is when the window of a name ends; zero is never.
func endOf(name string) time.Time {
	for layout, p := range map[string]Period{time.DateOnly: Day, "2006-01": Month} {
		if at, err := time.Parse(layout, name); err == nil {
			w, _ := p.window(at) // there are these periods
			return w.ends
		}
	}
	return time.Time{}
}

// ended says that the window of a name was over at t.
func ended(name string, t time.Time) bool {
	end := endOf(name)
	return !end.IsZero() && !t.Before(end)
}

// Refusal says which limit stopped a call; it is found in the error with errors.As.
type Refusal struct {
	Budget string        // its id; empty for a rate
	Limit  string        // what ran out: usd, tokens, requests a minute, tokens a minute
	Renews time.Time     // when the budget begins anew; zero is never
	Retry  time.Duration // when a rate lets such a call pass
	Text   string
}

// Error is the sentence for people.
func (r *Refusal) Error() string { return r.Text }

// exhausted is the refusal of a call by a budget, as an error.
func exhausted(b Budget, w window, limit string) error {
	renews := "it is not renewed: raise it, or use another key"
	if !w.ends.IsZero() {
		renews = "it is renewed at " + w.ends.Format(time.RFC3339)
	}
	who := string(b.Scope)
	if b.Name != "" {
		who += " " + b.Name
	}
	r := &Refusal{Budget: b.ID, Limit: limit, Renews: w.ends, Text: "the budget " + b.ID + " (" + limit + ", " + string(b.Period) + ", of the " + who + ") has too little left for this call; " + renews}
	return &decouple.Error{Kind: decouple.Exhausted, Msg: r.Text, Err: r}
}
