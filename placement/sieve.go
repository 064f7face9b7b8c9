package placement

import (
	"slices"
	"strings"
)

// asks is what the clauses of a policy look at beside what all do: two needs and places that agree in it have one ruling.
type asks struct {
	team, agent, key, tool, endpoint, hardware, marks bool
	facts                                             []string // sorted
}

func (a *asks) of(m *Match) {
	a.team = a.team || len(m.Teams) > 0
	a.agent = a.agent || len(m.Agents) > 0
	a.key = a.key || len(m.Keys) > 0
	a.tool = a.tool || len(m.Tools) > 0
	a.endpoint = a.endpoint || len(m.Endpoints) > 0
	a.hardware = a.hardware || len(m.Hardware) > 0
	a.marks = a.marks || len(m.Marks) > 0
	for name := range m.Facts {
		a.fact(name)
	}
}

func (a *asks) fact(name string) {
	if i, there := slices.BinarySearch(a.facts, name); !there {
		a.facts = slices.Insert(a.facts, i, name)
	}
}

// sieve is what a need and a place must have for a rule to match: it is quicker than asking the rule, and lets through all that it matches.
type sieve struct {
	actions []Action
	classes []string
	labels  []string
	teams   []string
	tools   []string
	labs    []string
	models  []string
	vendors []string
}

func (m *maker) sieve(reads Verdict) sieve {
	b := &m.k.Binds
	s := sieve{actions: m.actions(), classes: m.k.Classes, labels: b.Labels, teams: plain(b.Teams), tools: plain(b.Tools)}
	if reads == names {
		s.classes = nil
	}
	if m.k.Kind != Forbid || len(b.Labels) == 0 {
		s.labs, s.models, s.vendors = plain(b.Labs), plain(b.Models), plain(b.Vendors)
	}
	return s
}

// plain is a list, or nothing where a star is in it.
func plain(list []string) []string {
	if slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, "*") }) {
		return nil
	}
	return list
}

// lets says whether a rule may match.
func (s *sieve) lets(n *Need, p *Place) bool {
	return (len(s.actions) == 0 || slices.Contains(s.actions, n.Action)) && may(s.classes, n.Class) && may(s.teams, n.Team) && may(s.tools, n.Tool) &&
		may(s.labs, p.Lab) && may(s.models, p.Model) && may(s.vendors, p.Vendor) && (len(s.labels) == 0 || slices.ContainsFunc(s.labels, func(l string) bool { return slices.Contains(n.Labels, l) }))
}

func may(list []string, v string) bool { return len(list) == 0 || slices.Contains(list, v) }
