package placement

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"

	"decouple.dev/decouple"
)

// names is how the policies read that say whom a clause names; verdicts are how the others do.
const names Verdict = "names"

// rule is a policy of Cedar and what is needed around it.
type rule struct {
	id     cedar.PolicyID
	policy *cedar.Policy
	forbid bool
	cited  Cited
	by     string // of a reading
	clause *Clause
	needs  string // what would lift it
	sieve  sieve
}

// compiler makes the rules of a moment.
type compiler struct {
	at      Moment
	without map[Kind]bool // of tests
	waivers []Waiver
	rules   []*rule
	asks    asks
	until   time.Time
}

// Compile makes the policy of a moment out of a book. A moment whose Known is zero is asked by all that is known. A clause that cannot be compiled is Invalid.
func Compile(b Book, at Moment) (*Policy, error) { return compile(b, at, nil) }

func compile(b Book, at Moment, without map[Kind]bool) (*Policy, error) {
	if at.AsOf.IsZero() {
		return nil, decouple.Errorf(decouple.Invalid, "a policy is of a day: say which one")
	}
	c := &compiler{at: at, without: without}
	p := &Policy{At: at, signed: map[string][]SignOff{}}
	current := c.current(b.Contracts)
	for i := range current {
		for _, w := range current[i].Waivers {
			if c.holds(w.Valid, c.knownIn(w.Known, &current[i]), time.Time{}) {
				c.waivers = append(c.waivers, w)
			}
		}
		for _, f := range current[i].Facts {
			if c.holds(f.Valid, c.knownIn(f.Known, &current[i]), time.Time{}) {
				p.facts = append(p.facts, f)
				c.asks.of(&f.Of)
			}
		}
		p.settings = append(p.settings, current[i].Settings)
	}
	for i := range current {
		for j := range current[i].Clauses {
			k := current[i].Clauses[j]
			if c.without[k.Kind] || !c.holds(k.Valid, c.knownIn(k.Known, &current[i]), k.ToKnown) {
				continue
			}
			c.clause(&current[i], &k)
			p.inForce = append(p.inForce, entry{current[i].ID + "/" + k.ID, current[i].ID, &k})
		}
	}
	for _, s := range b.SignOffs {
		c.edge(at.AsOf, s.From)
		c.edge(at.AsOf, s.Until)
		if (Span{s.From, s.Until}).has(at.AsOf) && (at.Known.IsZero() || !s.From.After(at.Known)) {
			p.signed[s.Clause] = append(p.signed[s.Clause], s)
		}
	}
	p.put(c)
	return p, nil
}

// current are the versions that the book had at the moment, by id. Where the book had none yet, it is the newest: its own dates say what was known.
func (c *compiler) current(all []Contract) []Contract {
	best := map[string]Contract{}
	for _, v := range all {
		old, there := best[v.ID]
		if !there {
			best[v.ID] = v
		} else if was, is := c.had(old), c.had(v); is && !was || is == was && v.Entered.After(old.Entered) {
			best[v.ID] = v
		}
		c.edge(c.at.Known, v.Entered)
	}
	var list []Contract
	for _, id := range slices.Sorted(maps.Keys(best)) {
		if !best[id].Withdrawn {
			list = append(list, best[id])
		}
	}
	return list
}

func (c *compiler) had(v Contract) bool {
	return c.at.Known.IsZero() || !v.Entered.After(c.at.Known)
}

// knownIn is when something was known of which the file does not say it: since its contract came into the book.
func (c *compiler) knownIn(s Span, in *Contract) Span {
	if s.From.IsZero() {
		s.From = in.Entered
	}
	return s
}

// holds says whether a term holds and was known, and notes when that changes.
func (c *compiler) holds(valid, known Span, endKnown time.Time) bool {
	if !c.at.Known.IsZero() {
		if c.at.Known.Before(endKnown) {
			valid.To = time.Time{}
		}
		for _, t := range []time.Time{known.From, known.To, endKnown} {
			c.edge(c.at.Known, t)
		}
	}
	c.edge(c.at.AsOf, valid.From)
	c.edge(c.at.AsOf, valid.To)
	return valid.has(c.at.AsOf) && c.wasKnown(known)
}

func (c *compiler) wasKnown(s Span) bool {
	if c.at.Known.IsZero() {
		return s.To.IsZero()
	}
	return s.has(c.at.Known)
}

func (c *compiler) edge(now, t time.Time) {
	if t.After(now) && !now.IsZero() && (c.until.IsZero() || t.Before(c.until)) {
		c.until = t
	}
}

// clause makes the rules of a clause: one for each of its readings, one for what it allows plainly, and one for whom it names.
func (c *compiler) clause(in *Contract, k *Clause) {
	m := maker{c: c, k: k, id: in.ID + "/" + k.ID, contract: in.ID}
	applies, denies, fine, ok := m.parts()
	if !ok {
		return
	}
	m.whom = []*ast.Node{m.class(), applies}
	if fine != nil {
		m.add(Allow, k.Text, k.Confidence, fine)
	}
	if denies != nil {
		m.contested(denies)
	}
	if k.Kind.terms() && len(k.Binds.Tools) == 0 && len(k.Binds.Labs)+len(k.Binds.Models)+len(k.Binds.Vendors) > 0 {
		m.whom = []*ast.Node{applies}
		m.add(names, k.Text, k.Confidence, nil)
	}
}

// contested makes the rules of where a clause does more than allow: what is disputed of it is disputed there.
func (m *maker) contested(where *area) {
	k, lifted := m.k, m.lifted()
	for _, v := range k.Readings {
		known := v.Known
		if known.From.IsZero() {
			known.From = k.Known.From
		}
		if !m.c.holds(Span{}, known, time.Time{}) {
			continue
		}
		m.by = v.By
		if v.Reads == Deny {
			m.forbid(v.Text, v.Confidence, where, lifted)
		} else {
			m.add(Allow, v.Text, v.Confidence, where.whole())
		}
	}
	m.by = ""
	if len(k.Readings) == 0 {
		m.forbid(k.Text, k.Confidence, where, lifted)
	}
	if lifted != nil {
		m.add(Allow, "Lifted by "+k.Unless+": "+k.Text, k.Confidence, all(where.whole(), lifted))
	}
}

// forbid adds a denial. One that is known less well than its clause asks for is disputed.
func (m *maker) forbid(text string, sure Confidence, where *area, lifted *ast.Node) {
	reads := Deny
	if m.k.DisputedBelow != "" && sure.rank() > m.k.DisputedBelow.rank() {
		reads = Disputed
	}
	p := m.begin(ast.Forbid(), reads, text)
	p = when(p, append(slices.Clone(m.whom), where.when)...)
	for _, n := range []*ast.Node{where.unless, lifted} {
		if n != nil {
			p = p.Unless(*n)
		}
	}
	m.keep(p, reads, text, sure, m.k.Unless)
}

// add adds a permission.
func (m *maker) add(reads Verdict, text string, sure Confidence, where *ast.Node) {
	p := when(m.begin(ast.Permit(), reads, text), append(slices.Clone(m.whom), where)...)
	m.keep(p, reads, text, sure, "")
}

// when adds conditions that are all to hold.
func when(p *ast.Policy, list ...*ast.Node) *ast.Policy {
	for _, n := range list {
		if n != nil {
			p = p.When(*n)
		}
	}
	return p
}

func (m *maker) begin(p *ast.Policy, reads Verdict, text string) *ast.Policy {
	p = p.Annotate("contract", types.String(m.contract)).Annotate("clause", types.String(m.k.ID)).Annotate("kind", types.String(m.k.Kind)).Annotate("reads", types.String(reads))
	if m.by != "" {
		p = p.Annotate("by", types.String(m.by))
	}
	p = p.Annotate("text", types.String(text))
	var in []types.EntityUID
	for _, a := range m.actions() {
		in = append(in, actionUID(a))
	}
	switch len(in) {
	case 3:
		return p
	case 1:
		return p.ActionEq(in[0])
	}
	return p.ActionInSet(in...)
}

func (m *maker) keep(p *ast.Policy, reads Verdict, text string, sure Confidence, needs string) {
	r := &rule{
		id: cedar.PolicyID(m.id + "#" + itoa(m.n)), policy: cedar.NewPolicyFromAST(p), forbid: reads == Deny || reads == Disputed, clause: m.k, needs: needs, by: m.by,
		cited: Cited{ID: m.id, Contract: m.contract, Reads: reads, Text: text, Confidence: sure}, sieve: m.sieve(reads),
	}
	m.n++
	m.c.rules = append(m.c.rules, r)
}

// lifted says when a waiver lifts the clause, or is nil.
func (m *maker) lifted() *ast.Node {
	if m.k.Unless == "" {
		return nil
	}
	var anyOf *ast.Node
	for _, w := range m.c.waivers {
		if w.Clause != m.id || !strings.EqualFold(w.What, m.k.Unless) {
			continue
		}
		anyOf = either(anyOf, m.anyOf(w.For, strictly))
	}
	return anyOf
}

// byID orders rules so that the order of files does not matter.
func byID(a, b *rule) int { return cmp.Compare(a.id, b.id) }
