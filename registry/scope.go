package registry

import (
	"context"
	"encoding/json"
	"strings"

	"decouple.dev/decouple"
)

// Scope narrows what a key may do at the gateway; what is empty or zero does not. It is stored as it is here: its fields are never renamed.
type Scope struct {
	Team     string      `json:"team,omitempty"`
	Models   []string    `json:"models,omitempty"`  // aliases and models that it may ask for
	Classes  []string    `json:"classes,omitempty"` // of work; the first is that of calls that name none
	Labels   []string    `json:"labels,omitempty"`  // of the data of all its calls
	Budgets  []KeyBudget `json:"budgets,omitempty"`
	Requests int64       `json:"rpm,omitempty"`      // a minute
	Tokens   int64       `json:"tpm,omitempty"`      // a minute
	Priority int         `json:"priority,omitempty"` // of its calls: larger goes first
}

// KeyBudget is what a key may use in a period; zero does not limit.
type KeyBudget struct {
	Period string         `json:"period"` // day, month or total
	USD    decouple.Money `json:"usd,omitempty"`
	Tokens int64          `json:"tokens,omitempty"`
}

// Limits of a scope.
const (
	maxScopeNames = 100
	maxScopeText  = 200
	maxPriority   = 100
)

// check refuses a scope that could not be kept or means nothing.
func (s *Scope) check() error {
	if s == nil {
		return nil
	}
	names := []string{s.Team}
	for _, list := range [][]string{s.Models, s.Classes, s.Labels} {
		if len(list) > maxScopeNames {
			return decouple.Errorf(decouple.Invalid, "a key's scope names up to %d models, classes and labels each", maxScopeNames)
		}
		for _, n := range list {
			if n == "" {
				return decouple.Errorf(decouple.Invalid, "a key's scope has a name without a letter: leave it out")
			}
		}
		names = append(names, list...)
	}
	for _, n := range names {
		if len(n) > maxScopeText || strings.TrimSpace(n) != n || strings.ContainsFunc(n, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return decouple.Errorf(decouple.Invalid, "a name in a key's scope has up to %d characters and no blanks around it, unlike %.40q", maxScopeText, n)
		}
	}
	if s.Requests < 0 || s.Tokens < 0 || s.Priority < -maxPriority || s.Priority > maxPriority {
		return decouple.Errorf(decouple.Invalid, "a key's rates are not negative, and its priority is between -%d and %d", maxPriority, maxPriority)
	}
	seen := map[string]bool{}
	for _, b := range s.Budgets {
		switch {
		case b.Period != "day" && b.Period != "month" && b.Period != "total":
			return decouple.Errorf(decouple.Invalid, "a key's budget is for a day, a month or in total, not for %.40q", b.Period)
		case seen[b.Period]:
			return decouple.Errorf(decouple.Invalid, "a key has one budget for each period, and there are two for %s", b.Period)
		case b.USD < 0 || b.Tokens < 0 || b.USD == 0 && b.Tokens == 0:
			return decouple.Errorf(decouple.Invalid, "a key's budget needs an amount of dollars or tokens above zero")
		}
		seen[b.Period] = true
	}
	return nil
}

// KeyChanged says that a key has another scope from now on.
const KeyChanged decouple.EventKind = "key.changed"

type keyChanged struct {
	Scope *Scope `json:"scope,omitempty"`
}

// Change gives a key of a tenant another scope; nil takes all limits away. It holds here at once, and on other nodes within a second.
func (k *Keys) Change(ctx context.Context, tenant decouple.TenantID, id string, scope *Scope, by decouple.Actor) (Key, error) {
	if err := scope.check(); err != nil {
		return Key{}, err
	}
	b, err := json.Marshal(keyChanged{scope})
	if err != nil {
		return Key{}, err
	}
	return k.amend(ctx, amendment{tenant, id, KeyChanged, b}, by)
}
