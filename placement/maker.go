package placement

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"
)

// maker makes the conditions of one clause.
type maker struct {
	c        *compiler
	k        *Clause
	id       string // contract/clause
	contract string
	whom     []*ast.Node // that it applies to: the class, and what it binds
	by       string
	n        int
}

// area is where a clause denies: where when holds, a nil one everywhere, and unless does not.
type area struct{ when, unless *ast.Node }

// whole is the area as one condition, or nil for everywhere.
func (a *area) whole() *ast.Node {
	if a.unless == nil {
		return a.when
	}
	return all(a.when, not(a.unless))
}

// how says whether a fact of a place that is not known fits.
type how bool

const (
	strictly how = false // it does not
	warily   how = true  // it does: of clauses about labelled data that forbid
)

// parts are the conditions of a clause: whom it applies to, where it denies, and where it allows. A nil one of the latter is nowhere.
func (m *maker) parts() (applies *ast.Node, denies *area, fine *ast.Node, ok bool) {
	k := m.k
	applies = m.binding()
	switch k.Kind {
	case ExclusiveHost, FirstShip, ROFR, ExclusiveDistribution:
		fine = m.among(slices.Concat(k.Host, k.FirstParty))
		denies = &area{unless: fine}
	case PrimaryHost:
		fine = yes()
	case Licence, Permit:
		fine = m.places()
		if len(k.Readings) > 0 {
			denies, fine = &area{when: fine}, nil
		}
	case Forbid:
		denies = &area{when: m.places()}
	case Residency:
		fine = m.anyOf(k.In, strictly)
		denies = &area{unless: fine}
	case NoTraining:
		fine = m.required()
		denies = &area{unless: fine}
	case RetirementNotice:
		denies = &area{when: all(has(resource(), "retires_in"), ptr(resource().Access("retires_in").LessThan(ast.Long(k.Days))))}
		m.c.asks.fact("retires")
		m.c.edge(m.c.at.AsOf, nextDay(m.c.at.AsOf))
	case AllowList:
		fine = m.allowed()
		denies = &area{unless: fine}
	case SubprocessorNotice:
		fine = m.accepted()
		denies = &area{unless: fine}
	default:
		return nil, nil, nil, false
	}
	return applies, denies, fine, true
}

// actions are what the clause speaks of.
func (m *maker) actions() []Action {
	switch {
	case len(m.k.Actions) > 0:
		return m.k.Actions
	case len(m.k.Binds.Tools) > 0:
		return []Action{UseTool}
	case m.k.Kind == Residency, m.k.Kind == Permit, m.k.Kind == Forbid:
		return []Action{CallModel, UseTool, RunAgent}
	}
	return []Action{CallModel}
}

// binding is whom and what the clause binds, without the class.
func (m *maker) binding() *ast.Node {
	mode := strictly
	if m.k.Kind == Forbid && len(m.k.Binds.Labels) > 0 {
		mode = warily
	}
	n := m.match(&m.k.Binds, mode)
	if m.k.Kind.labs() && len(m.k.Binds.Labs) > 0 && m.k.Binds.Open == "" {
		n = all(n, not(ptr(resource().Access("open"))))
	}
	for i := range m.k.Except {
		n = all(n, not(m.match(&m.k.Except[i], strictly)))
	}
	if m.k.When != "" {
		n = all(n, ptr(ast.Context().Access("holds").Contains(ast.String(m.id))))
	}
	return n
}

// class is that the clause speaks of the class, or nil where it speaks of all.
func (m *maker) class() *ast.Node {
	if len(m.k.Classes) == 0 {
		return nil
	}
	return m.one(principal(), "class", m.k.Classes, strictly)
}

// places are where a clause permits or forbids.
func (m *maker) places() *ast.Node {
	if len(m.k.Host) > 0 {
		return m.among(m.k.Host)
	}
	if len(m.k.At) == 0 {
		return yes()
	}
	mode := strictly
	if m.k.Kind == Forbid && len(m.k.Binds.Labels) > 0 {
		mode = warily
	}
	return m.anyOf(m.k.At, mode)
}

// among is that the place is of one of these clouds or vendors.
func (m *maker) among(list []string) *ast.Node {
	return either(m.one(resource(), "cloud", list, strictly), m.one(resource(), "vendor", list, strictly))
}

func (m *maker) required() *ast.Node {
	var n *ast.Node
	for _, name := range slices.Sorted(maps.Keys(m.k.Requires)) {
		m.c.asks.fact(name)
		words := []string{m.k.Requires[name]}
		if words[0] == "no" {
			words = []string{"no", "none", "never"}
		}
		n = all(n, m.one(resource().Access("facts"), name, words, strictly))
	}
	return n
}

// allowed is that the model is on the list of the team; the list of the star is for teams that have none.
func (m *maker) allowed() *ast.Node {
	m.c.asks.team = true
	var n *ast.Node
	var named []string
	for _, team := range slices.Sorted(maps.Keys(m.k.Models)) {
		if team == "*" {
			continue
		}
		named = append(named, team)
		n = either(n, all(m.one(principal(), "team", []string{team}, strictly), m.one(resource(), "model", m.k.Models[team], strictly)))
	}
	if rest := m.k.Models["*"]; len(rest) > 0 {
		others := m.one(resource(), "model", rest, strictly)
		if len(named) > 0 {
			others = all(not(m.one(principal(), "team", named, strictly)), others)
		}
		n = either(n, others)
	}
	if n == nil {
		return ptr(ast.False())
	}
	return n
}

// accepted is that who sells the call, and who processes it below, were announced long enough ago.
func (m *maker) accepted() *ast.Node {
	var list []string
	for _, a := range m.k.Accepted {
		from := a.On
		if !from.IsZero() {
			from = from.AddDate(0, 0, m.k.Days)
		}
		m.c.edge(m.c.at.AsOf, from)
		if !from.After(m.c.at.AsOf) {
			list = append(list, a.Name)
		}
	}
	if len(list) == 0 {
		return ptr(ast.False())
	}
	m.c.asks.fact("subprocessor")
	facts := resource().Access("facts")
	below := either(not(has(facts, "subprocessor")), m.one(facts, "subprocessor", list, strictly))
	return all(m.one(resource(), "vendor", list, strictly), below)
}

func (m *maker) anyOf(list []Match, mode how) *ast.Node {
	var n *ast.Node
	for i := range list {
		n = either(n, m.match(&list[i], mode))
	}
	if n == nil {
		return yes()
	}
	return n
}

// match is that a match fits.
func (m *maker) match(x *Match, mode how) *ast.Node {
	m.c.asks.of(x)
	var n *ast.Node
	for _, l := range x.lists() {
		list := *l.to
		switch {
		case len(list) == 0:
		case l.key == "label":
			n = all(n, ptr(principal().Access("labels").ContainsAny(set(list))))
		case l.key == "mark":
			n = all(n, ptr(resource().Access("marks").ContainsAny(set(list))))
		case l.place:
			n = all(n, m.one(resource(), l.key, list, mode))
		default:
			n = all(n, m.one(principal(), l.key, list, strictly))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(x.Facts)) {
		n = all(n, m.one(resource().Access("facts"), name, x.Facts[name], mode))
	}
	switch x.Open {
	case "only":
		n = all(n, ptr(resource().Access("open")))
	case "not":
		n = all(n, not(ptr(resource().Access("open"))))
	}
	if n == nil {
		return yes()
	}
	return n
}

// one is that an attribute is one of a list.
func (m *maker) one(of ast.Node, key string, list []string, mode how) *ast.Node {
	at := of.Access(types.String(key))
	var plain []string
	var n *ast.Node
	for _, s := range list {
		if !strings.Contains(s, "*") {
			plain = append(plain, s)
			continue
		}
		n = either(n, ptr(at.Like(pattern(s))))
	}
	if len(plain) == 1 {
		n = either(ptr(at.Equal(ast.String(plain[0]))), n)
	} else if len(plain) > 1 {
		n = either(ptr(set(plain).Contains(at)), n)
	}
	if mode == warily {
		return either(not(has(of, key)), n)
	}
	return all(has(of, key), n)
}

func pattern(s string) types.Pattern {
	var parts []any
	for i, p := range strings.Split(s, "*") {
		if i > 0 {
			parts = append(parts, types.Wildcard{})
		}
		if p != "" {
			parts = append(parts, types.String(p))
		}
	}
	return types.NewPattern(parts...)
}

func set(list []string) ast.Node {
	values := make([]types.Value, len(list))
	for i, s := range list {
		values[i] = types.String(s)
	}
	return ast.Value(types.NewSet(values...))
}

func principal() ast.Node { return ast.Principal() }
func resource() ast.Node  { return ast.Resource() }

func has(of ast.Node, key string) *ast.Node { return ptr(of.Has(types.String(key))) }

func yes() *ast.Node { return ptr(ast.True()) }

func not(n *ast.Node) *ast.Node { return ptr(ast.Not(*n)) }

// all joins conditions; a nil one says nothing.
func all(list ...*ast.Node) *ast.Node {
	var n *ast.Node
	for _, x := range list {
		switch {
		case x == nil:
		case n == nil:
			n = x
		default:
			n = ptr(n.And(*x))
		}
	}
	return n
}

// either joins two conditions; a nil one is none.
func either(a, b *ast.Node) *ast.Node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return ptr(a.Or(*b))
}

func ptr(n ast.Node) *ast.Node { return &n }

func itoa(i int) string { return strconv.Itoa(i) }

func actionUID(a Action) types.EntityUID { return types.NewEntityUID("Action", types.String(a)) }

func nextDay(t time.Time) time.Time {
	y, mo, d := t.UTC().Date()
	return time.Date(y, mo, d+1, 0, 0, 0, 0, time.UTC)
}
