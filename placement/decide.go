package placement

import (
	"slices"
	"strings"
)

// tally is what the matched rules say, clause by clause.
type tally struct {
	denies, disputes, allows []*rule
	names                    []*rule
	signed                   []string // what was signed off, of these
}

// decide makes the ruling of the rules that match. Deny beats disputed, that beats unknown, and that beats allow.
func (p *Policy) decide(n *Need, at *Place, matched []*rule) Ruling {
	t := p.tally(n, matched)
	switch {
	case len(t.denies) > 0:
		return p.denied(n, at, t.denies)
	case len(t.disputes) > 0:
		return p.disputed(n, t.disputes)
	}
	if open := p.open(n, t.names); len(open) > 0 {
		return p.unknown(n, at, open)
	}
	r := Ruling{Verdict: Allow, Effect: Go, Clauses: make([]Cited, 0, len(t.allows)), Why: noClause}
	for i, a := range t.allows {
		r.Clauses = append(r.Clauses, a.as(Allow))
		if i == 0 {
			r.Why = "allowed by " + a.quoted()
		}
	}
	if len(t.signed) > 0 {
		r.Why = "allowed, for a person has signed off " + strings.Join(t.signed, ", ")
		for _, x := range t.names {
			if slices.Contains(t.signed, x.cited.ID) && !slices.ContainsFunc(r.Clauses, func(c Cited) bool { return c.ID == x.cited.ID }) {
				r.Clauses = append(r.Clauses, x.as(Allow))
			}
		}
	}
	return r
}

// tally puts the readings of each clause together. One that both denies and allows is disputed; one that a person has signed off allows.
func (p *Policy) tally(n *Need, matched []*rule) tally {
	var t tally
	for from := 0; from < len(matched); {
		to := from + 1
		for to < len(matched) && matched[to].cited.ID == matched[from].cited.ID {
			to++
		}
		var deny, allow, unsure, named []*rule
		for _, r := range matched[from:to] {
			switch r.cited.Reads {
			case Deny:
				deny = append(deny, r)
			case Disputed:
				unsure = append(unsure, r)
			case Allow:
				allow = append(allow, r)
			default:
				named = append(named, r)
			}
		}
		from = to
		t.names = append(t.names, named...)
		switch split := len(unsure) > 0 || len(deny) > 0 && len(allow) > 0; {
		case split && p.signedOff(n, matched[to-1].cited.ID):
			t.signed = append(t.signed, matched[to-1].cited.ID)
			t.allows = append(t.allows, slices.Concat(allow, unsure)...)
		case split:
			t.disputes = append(t.disputes, slices.Concat(deny, unsure, allow)...)
		case len(deny) > 0:
			t.denies = append(t.denies, deny...)
		default:
			t.allows = append(t.allows, allow...)
		}
	}
	for _, r := range t.names {
		if p.signedOff(n, r.cited.ID) && !slices.Contains(t.signed, r.cited.ID) && !r.ofClass(n.Class) {
			t.signed = append(t.signed, r.cited.ID)
		}
	}
	return t
}

func (p *Policy) signedOff(n *Need, id string) bool {
	return slices.Contains(n.Signed, id) || slices.ContainsFunc(p.signed[id], func(s SignOff) bool { return s.Class == "" || strings.EqualFold(s.Class, n.Class) })
}

func (r *rule) ofClass(class string) bool { return may(r.clause.Classes, class) }

// open are the clauses that name the place, where none of them speaks of the class and nobody has signed off one.
func (p *Policy) open(n *Need, named []*rule) []*rule {
	if n.Action == UseTool {
		return nil
	}
	for _, r := range named {
		if r.ofClass(n.Class) || p.signedOff(n, r.cited.ID) {
			return nil
		}
	}
	return named
}

func (p *Policy) denied(n *Need, at *Place, list []*rule) Ruling {
	r := Ruling{Verdict: Deny, Effect: Stop, Clauses: make([]Cited, 0, len(list))}
	liftable, told := true, []string(nil)
	for _, d := range strongest(list) {
		r.Clauses = append(r.Clauses, d.as(Deny))
		if !slices.Contains(told, d.cited.ID) && len(told) < 4 {
			r.Why += []string{"denied by ", " Also denied by "}[min(len(told), 1)] + d.quoted()
			told = append(told, d.cited.ID)
			if lacks := missing(d.clause, n, at); lacks != "" {
				r.Why += " Here " + lacks + " is not known, and what is not known does not count."
			}
		}
		// Every clause that denies must be lifted: where one cannot be, nothing helps.
		liftable = liftable && d.needs != ""
		if d.needs != "" && !slices.Contains(r.Needs, d.needs) {
			r.Needs = append(r.Needs, d.needs)
		}
	}
	if !liftable {
		r.Needs = nil
		return r
	}
	r.Why += " It is lifted by: " + strings.Join(r.Needs, ", ") + "."
	return r
}

func (p *Policy) disputed(n *Need, list []*rule) Ruling {
	r := Ruling{Verdict: Disputed, Effect: p.effect(Disputed, n.Class), Needs: []string{signOff}}
	var readings []string
	for _, d := range list {
		reads := d.cited.Reads
		if reads == Disputed {
			reads = Deny
		}
		r.Clauses = append(r.Clauses, d.as(reads))
		if d.cited.ID == list[0].cited.ID {
			by := d.by
			if by == "" {
				by = string(d.cited.Confidence)
			}
			readings = append(readings, string(reads)+" ("+by+"): "+d.cited.Text)
		}
	}
	r.Why = list[0].cited.ID + " is disputed; it can be read as " + strings.Join(readings, " or as ")
	return r
}

func (p *Policy) unknown(n *Need, at *Place, list []*rule) Ruling {
	r := Ruling{Verdict: Unknown, Effect: p.effect(Unknown, n.Class)}
	for _, u := range strongest(list) {
		r.Clauses = append(r.Clauses, u.as(Unknown))
	}
	class := "work whose class is not said"
	if n.Class != "" {
		class = "the class " + n.Class
	}
	b, whom := &strongest(list)[0].clause.Binds, at.Vendor
	if len(b.Labs) > 0 {
		whom = at.Lab
	} else if len(b.Models) > 0 {
		whom = at.Model
	}
	r.Why = r.Clauses[0].ID + " binds " + whom + ", and no clause speaks of " + class
	return r
}

// as is the citation of a rule with what it says here.
func (r *rule) as(v Verdict) Cited {
	c := r.cited
	c.Reads = v
	return c
}

func (r *rule) quoted() string {
	text := r.cited.Text
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return r.cited.ID + " (" + string(r.cited.Confidence) + "): " + text
}

// strongest orders rules by how well they are known.
func strongest(list []*rule) []*rule {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b *rule) int { return a.cited.Confidence.rank() - b.cited.Confidence.rank() })
	return list
}

// missing says what a clause asks for of a place and is not known of it.
func missing(k *Clause, n *Need, at *Place) string {
	var lacks []string
	add := func(name string) {
		if !slices.Contains(lacks, name) {
			lacks = append(lacks, name)
		}
	}
	look := func(m *Match) {
		for _, f := range []struct {
			list    []string
			v, name string
		}{
			{m.Regions, at.Region, "the region"}, {m.Geos, at.Geo, "the geography"}, {m.Clouds, at.Cloud, "the cloud"}, {m.Vendors, at.Vendor, "the vendor"}, {m.Labs, at.Lab, "the lab"},
			{m.Models, at.Model, "the model"}, {m.Hardware, at.Hardware, "the hardware"},
		} {
			if len(f.list) > 0 && f.v == "" {
				add(f.name)
			}
		}
		for name := range m.Facts {
			if at.Facts[name] == "" {
				add(name)
			}
		}
	}
	for i := range k.In {
		look(&k.In[i])
	}
	if k.Kind == Forbid && len(k.Binds.Labels) > 0 {
		look(&k.Binds)
		for i := range k.At {
			look(&k.At[i])
		}
	}
	for name := range k.Requires {
		if at.Facts[name] == "" {
			add(name)
		}
	}
	if k.Kind == AllowList && n.Team == "" {
		add("the team")
	}
	if k.Kind == AllowList && at.Model == "" {
		add("the model")
	}
	if k.Kind == SubprocessorNotice && at.Vendor == "" {
		add("the vendor")
	}
	slices.Sort(lacks)
	return strings.Join(lacks, " and ")
}
