package placement

import (
	"maps"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
)

// Policy is a book compiled for a moment. It is never changed, and safe for concurrent use; what it remembers is bounded.
type Policy struct {
	At Moment

	inForce  []entry
	facts    []Fact
	settings []Settings
	signed   map[string][]SignOff // by clause
	rules    []*rule
	index    map[string][]*rule // by lab, model or vendor; the empty one is of rules that bind none
	asks     asks
	whens    []argument
	speaks   map[string]bool // clauses that a need can be signed off for
	until    time.Time
	memo     memo
}

// entry is a clause in force.
type entry struct {
	id, contract string
	clause       *Clause
}

// argument is a condition on the arguments of a tool.
type argument struct {
	id     string
	tools  []string
	on     decouple.Condition
	forbid bool
}

// put makes the index of what was compiled.
func (p *Policy) put(c *compiler) {
	slices.SortFunc(c.rules, byID)
	p.rules, p.asks, p.until = c.rules, c.asks, c.until
	p.index, p.speaks = map[string][]*rule{}, map[string]bool{}
	for _, r := range p.rules {
		p.speaks[r.cited.ID] = true
		for _, key := range r.sieve.keys() {
			p.index[key] = append(p.index[key], r)
		}
	}
	for _, e := range p.inForce {
		if e.clause.When != "" {
			p.whens = append(p.whens, argument{e.id, e.clause.Binds.Tools, e.clause.When, e.clause.Kind == Forbid})
			p.asks.tool = true
		}
	}
	slices.SortFunc(p.whens, func(a, b argument) int { return strings.Compare(a.id, b.id) })
	p.memo.make()
}

// keys are where the index has a rule.
func (s *sieve) keys() []string {
	prefix, list := "lab/", s.labs
	if len(list) == 0 {
		prefix, list = "model/", s.models
	}
	if len(list) == 0 {
		prefix, list = "vendor/", s.vendors
	}
	if len(list) == 0 {
		return []string{""}
	}
	var keys []string
	for _, v := range list {
		if k := prefix + v; !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// Until is the next moment at which a clause, a waiver, a fact or a sign-off begins or ends, or the book changes by itself; zero where none does. From then on the policy is to be compiled anew.
func (p *Policy) Until() time.Time { return p.until }

// Covers says whether the policy is also that of a later moment, because nothing has changed until then in either time: it need not be compiled anew.
func (p *Policy) Covers(m Moment) bool {
	if m.Known.IsZero() != p.At.Known.IsZero() {
		return false
	}
	changed := func(t time.Time) bool { return !p.until.IsZero() && !t.Before(p.until) }
	return !m.AsOf.Before(p.At.AsOf) && !m.Known.Before(p.At.Known) && !changed(m.AsOf) && !changed(m.Known)
}

// Cedar is the policies in the language of Cedar, in the order of their ids. A reading of a clause is a policy of its own.
func (p *Policy) Cedar() string {
	var b strings.Builder
	for i, r := range p.rules {
		if i > 0 {
			b.WriteString("\n\n")
		}
		b.Write(r.policy.MarshalCedar())
	}
	if len(p.rules) > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}

// InForce are the clauses that hold at the policy's moment, as known then, by contract/clause.
func (p *Policy) InForce() map[string]Clause {
	all := make(map[string]Clause, len(p.inForce))
	for _, e := range p.inForce {
		all[e.id] = *e.clause
	}
	return all
}

// factsOf are a place's own facts and what contracts promise of it. Where two say different things of one name, neither is known.
func (p *Policy) factsOf(at *Place) map[string]string {
	if len(p.facts) == 0 {
		return at.Facts
	}
	all := map[string]string{}
	split := map[string]bool{}
	note := func(name, v string) {
		if old, there := all[name]; there && old != v {
			split[name] = true
		}
		all[name] = v
	}
	for name, v := range at.Facts {
		note(name, v)
	}
	for i := range p.facts {
		if p.facts[i].Of.fits(at) {
			for name, v := range p.facts[i].Is {
				note(name, v)
			}
		}
	}
	maps.DeleteFunc(all, func(name, _ string) bool { return split[name] })
	return all
}

// fits says whether a match of places alone fits a place.
func (m *Match) fits(p *Place) bool {
	for _, x := range []struct {
		list []string
		v    string
	}{
		{m.Endpoints, p.ID}, {m.Vendors, p.Vendor}, {m.Clouds, p.Cloud}, {m.Regions, p.Region}, {m.Geos, p.Geo}, {m.Hardware, p.Hardware}, {m.Models, p.Model}, {m.Labs, p.Lab},
	} {
		if len(x.list) > 0 && (x.v == "" || !slices.ContainsFunc(x.list, func(s string) bool { return pattern(s).Match(cedarString(x.v)) })) {
			return false
		}
	}
	if len(m.Marks) > 0 && !slices.ContainsFunc(m.Marks, func(l string) bool { return slices.Contains(p.Labels, l) }) {
		return false
	}
	return m.Open == "" || m.Open == "with" || (m.Open == "only") == p.Open
}
