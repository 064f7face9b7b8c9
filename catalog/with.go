package catalog

import (
	"maps"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
)

// With is c with o laid over it; c stays as it is. What does not fit is Invalid, and names the key.
func (c *Catalog) With(o Overlay) (*Catalog, error) {
	next, err := c.laid(o)
	if err != nil {
		return nil, err
	}
	next.makeQuick()
	return next, nil
}

// laid is With, without the index.
func (c *Catalog) laid(o Overlay) (*Catalog, error) {
	next := &Catalog{
		Models: clone(c.Models), Endpoints: clone(c.Endpoints), Aliases: clone(c.Aliases), Prices: clone(c.Prices), Providers: clone(c.Providers), Places: clone(c.Places), Date: c.Date,
	}
	if o.Date.After(next.Date) {
		next.Date = o.Date
	}
	maps.Copy(next.Places, o.Places)
	maps.Copy(next.Providers, o.Providers)
	for id, m := range o.Models {
		next.Models[id] = next.Models[id].with(m)
	}
	for key, list := range o.Prices {
		next.Prices[key] = merged(next.Prices[key], list)
	}
	for _, id := range slices.Sorted(maps.Keys(o.Endpoints)) {
		e := next.Endpoints[id].with(o.Endpoints[id])
		if err := e.check(); err != nil {
			return nil, err
		}
		next.Endpoints[id] = e
		if _, known := next.Models[e.Model]; !known {
			next.Models[e.Model] = Model{ID: e.Model}
		}
	}
	for _, id := range o.Without {
		if _, ok := next.Endpoints[id]; !ok {
			return nil, decouple.Errorf(decouple.Invalid, "without: there is no endpoint %s", printable(string(id)))
		}
		delete(next.Endpoints, id)
	}
	maps.Copy(next.Aliases, o.Aliases)
	for _, name := range slices.Sorted(maps.Keys(o.Aliases)) {
		a, err := next.settled(o.Aliases[name])
		if err != nil {
			return nil, err
		}
		next.Aliases[name] = a
	}
	return next, nil
}

func clone[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}

// merged lays a price list over another.
func merged(old, over []Price) []Price {
	for _, p := range over {
		if p.From.IsZero() {
			old = nil
		}
	}
	var list []Price
	for _, p := range old {
		if !slices.ContainsFunc(over, func(q Price) bool { return q.From.Equal(p.From) }) {
			list = append(list, p)
		}
	}
	list = append(list, over...)
	slices.SortStableFunc(list, func(a, b Price) int { return a.From.Compare(b.From) })
	return list
}

func (m Model) with(o Model) Model {
	m.ID = o.ID
	set(&m.Lab, o.Lab)
	set(&m.Context, o.Context)
	set(&m.MaxOut, o.MaxOut)
	m.Open = o.Open || m.Open && !o.closed
	if !o.Retires.IsZero() {
		m.Retires = o.Retires
	}
	if len(o.Can) > 0 {
		m.Can = o.Can
	}
	m.Names = slices.Clip(m.Names)
	for _, n := range o.Names {
		if !slices.Contains(m.Names, n) {
			m.Names = append(m.Names, n)
		}
	}
	return m
}

func set[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}

func (e Endpoint) with(o Endpoint) Endpoint {
	e.ID = o.ID
	for _, f := range []struct {
		to *string
		v  string
	}{
		{&e.Provider, o.Provider}, {&e.Account, o.Account}, {&e.Cloud, o.Cloud}, {&e.Region, o.Region}, {&e.Hardware, o.Hardware}, {&e.Name, o.Name}, {&e.Format, o.Format}, {&e.URL, o.URL},
	} {
		set(f.to, f.v)
	}
	set(&e.Model, o.Model)
	if o.Limits != (Limits{}) {
		e.Limits = o.Limits
	}
	if len(o.Labels) > 0 {
		e.Labels = o.Labels
	}
	if !o.Retires.IsZero() {
		e.Retires = o.Retires
	}
	set(&e.Name, either(e.Name, string(e.Model)))
	set(&e.Account, either(e.Account, e.Provider))
	return e
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (e Endpoint) check() error {
	key := "endpoints." + printable(string(e.ID))
	for _, f := range []struct{ name, v string }{{"provider", e.Provider}, {"model", string(e.Model)}, {"format", e.Format}} {
		if f.v == "" {
			return decouple.Errorf(decouple.Invalid, key+".%s: an endpoint needs it", f.name)
		}
	}
	if e.Provider == builtinProvider {
		return nil
	}
	if err := checkURL(e.URL); err != nil {
		return decouple.Errorf(decouple.Invalid, key+".url: %w", err)
	}
	return nil
}

// settled checks an alias and gives its targets the ids of what they name.
func (c *Catalog) settled(a Alias) (Alias, error) {
	key := "aliases." + printable(a.Name)
	bad := func(format string, args ...any) (Alias, error) {
		return Alias{}, decouple.Errorf(decouple.Invalid, key+format, args...)
	}
	strategies := []Strategy{Balanced, Ordered, Weighted, Cheapest, Fastest, Cascade}
	checks := []string{"", "json_schema", "tool_calls", "not_empty", "no_refusal"}
	switch {
	case a.Name == "":
		return bad(": an alias has a name")
	case !slices.Contains(strategies, a.Strategy):
		return bad(".strategy: there is no strategy %q: there are %v", printable(string(a.Strategy)), strategies)
	case !slices.Contains(checks, a.Check):
		return bad(".check: there is no check %q: there are %s", printable(a.Check), strings.Join(checks[1:], ", "))
	case a.Strategy == Cascade && (a.Check == "" || len(a.Targets) < 2):
		return bad(": a cascade has a check, and at least two targets")
	case a.Strategy != Cascade && a.Check != "":
		return bad(".check: only a cascade has a check")
	case len(a.Targets) == 0:
		return bad(".targets: an alias has at least one target")
	case a.Hedge < 0 || a.Cache < 0 || a.Hedge > 30*24*time.Hour || a.Cache > 30*24*time.Hour:
		return bad(": hedge and cache are durations of at most 720h")
	}
	a.Targets = slices.Clone(a.Targets)
	for i, t := range a.Targets {
		at := func(format string, args ...any) (Alias, error) {
			return bad(".targets["+itoa(i)+"]"+format, args...)
		}
		if (t.Model == "") == (t.Endpoint == "") {
			return at(": either model or endpoint")
		}
		if t.Weight < 0 || t.Weight > 1_000_000 || t.Weight != 0 && a.Strategy != Weighted {
			return at(".weight: a whole number from 0 to 1000000, and only where the strategy is weighted")
		}
		if t.Endpoint != "" {
			if _, ok := c.Endpoints[t.Endpoint]; !ok {
				return at(".endpoint: there is no endpoint %q", printable(string(t.Endpoint)))
			}
			continue
		}
		id, ok := c.modelNamed(string(t.Model))
		if !ok {
			return at(".model: there is no model %q: models of your own are declared below models", printable(string(t.Model)))
		}
		a.Targets[i].Model = id
	}
	return a, nil
}
