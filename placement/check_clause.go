package placement

import (
	"slices"
	"strings"

	"decouple.dev/decouple"
)

func conditionOf(s string) decouple.Condition { return decouple.Condition(s) }

// checkContract says what is wrong with a contract by itself, and fills in what follows from what is written.
func (r *reader) checkContract(line int, c *Contract) {
	if c.ID == "" {
		r.at(line, "id", "a contract has an id", "write `id: openai-microsoft`")
	}
	if len(c.Clauses)+len(c.Waivers)+len(c.Facts)+len(c.Settings.OnDisputed)+len(c.Settings.OnUnknown) == 0 && len(r.faults) == 0 {
		r.at(line, "clauses", "the contract says nothing", "write clauses, waivers, facts or settings")
	}
	seen := map[string]bool{}
	for i := range c.Clauses {
		k := &c.Clauses[i]
		if k.ID != "" && seen[k.ID] {
			r.at(k.line, "clauses."+k.ID, "two clauses have this id", "give each its own")
		}
		seen[k.ID] = true
		r.checkClause(c, k)
	}
	for i := range c.Waivers {
		w := &c.Waivers[i]
		if w.Clause == "" || w.What == "" {
			r.at(w.line, "waivers", "a waiver names the clause and what it is", "write `clause: contract/clause` and `what:` with the words of its unless")
		}
		if !strings.Contains(w.Clause, "/") {
			w.Clause = c.ID + "/" + w.Clause
		}
		lower(w.For...)
	}
	for i := range c.Facts {
		f := &c.Facts[i]
		if f.Of.empty() || len(f.Is) == 0 {
			r.at(f.line, "facts", "a fact says of what it is one, and what", "write `of: {vendor: azure}` and `is: {training: no}`")
		}
		if f.Of.ofNeed() || len(f.Of.Facts) > 0 {
			r.at(f.line, "facts.of", "a fact is of a place", "write vendor, cloud, region, geo, hardware, model, lab or endpoint")
		}
		lowerOne(&f.Of)
	}
}

func (r *reader) checkClause(c *Contract, k *Clause) {
	where := "clauses." + k.ID
	need := func(ok bool, what, remedy string) {
		if !ok {
			r.at(k.line, where, what, remedy)
		}
	}
	need(k.ID != "", "a clause has an id", "write `id: api-exclusive`")
	need(k.Kind != "", "a clause has a kind", "write `kind:` and one of exclusive_host, residency, forbid, ...")
	need(k.Text != "", "a clause has a text", "write the sentence that a lawyer reads")
	if k.Confidence == "" {
		k.Confidence = c.Confidence
	}
	for i := range k.Readings {
		v := &k.Readings[i]
		if v.Confidence == "" {
			v.Confidence = k.Confidence
		}
		if v.Reads == "" || v.Text == "" || v.Confidence == "" {
			r.at(v.line, where+".readings", "a reading says how it reads, with a sentence and how well it is known", "write `reads: deny` or `allow`, `text` and `confidence`")
		}
	}
	need(k.Confidence != "" || len(k.Readings) > 0, "nothing says how well it is known", "write `confidence: signed`, announced, reported or disputed, here or for the whole contract")
	if k.Source == "" {
		k.Source = c.Source
	}
	if k.AssertedBy == "" {
		k.AssertedBy = c.AssertedBy
	}
	need(k.Known.From.IsZero() || k.ToKnown.IsZero() || !k.ToKnown.Before(k.Known.From), "its end was known before it was", "write a `to_known` that is not before `known.from`")
	k.lower()
	r.checkKind(k, need)
	r.checkSelf(k, need)
	r.checkStars(k)
}

// checkKind demands the keys of a kind, and refuses those that say nothing in it.
func (r *reader) checkKind(k *Clause, need func(ok bool, what, remedy string)) {
	names := len(k.Binds.Labs)+len(k.Binds.Models)+len(k.Binds.Vendors) > 0
	switch {
	case k.Kind.hosted():
		need(len(k.Host) > 0, "the kind "+string(k.Kind)+" names a host", "write `host: [azure]`")
	case k.Kind == Residency:
		need(len(k.In) > 0, "a residency says where the data may be", "write `in: {geo: eu}`")
	case k.Kind == RetirementNotice:
		need(k.Days > 0, "a retirement notice has days", "write `days: 90`")
	case k.Kind == AllowList:
		need(len(k.Models) > 0, "an allow-list has models by team", "write `models: {legal: [opus-5], \"*\": [gpt-oss-120b]}`")
	case k.Kind == SubprocessorNotice:
		need(len(k.Accepted) > 0, "a notice of sub-processors lists those that are accepted", "write `accepted: [azure, {name: groq, on: 2026-10-01}]`")
	case k.Kind == ShareOf:
		need(k.Share != nil, "a share says how much of what", "write `share: {at_least: 60 %, of: spend, by: vendor, with: [azure]}`")
	case k.Kind == MinCommit:
		need(k.Amount > 0 && !k.Valid.From.IsZero() && !k.Valid.To.IsZero(), "a commitment has an amount and both dates", "write `amount: 5_000_000` and `valid: {from: 2026-01-01, to: 2027-01-01}`")
		need(!k.Binds.empty(), "a commitment says whose spend counts", "write `binds: {vendor: azure}`")
	case k.Kind == Royalty:
		need(k.Part > 0, "a share of revenue has a part", "write `part: 20 %`")
	}
	need(!k.Kind.labs() || names, "the kind "+string(k.Kind)+" binds a lab, a model or a vendor", "write `binds: {lab: openai}`")
	if k.Kind == ROFR && k.Unless == "" {
		k.Unless = "ROFR waiver"
	}
	if k.Kind == FirstShip && k.Unless == "" {
		k.Unless = "first_ship exception"
	}
	if k.Kind == NoTraining && len(k.Requires) == 0 {
		k.Requires = map[string]string{"training": "no"}
	}
	for _, own := range []struct {
		key   string
		there bool
		kinds []Kind
	}{
		{"host", len(k.Host) > 0, []Kind{ExclusiveHost, PrimaryHost, FirstShip, ROFR, ExclusiveDistribution, Licence}},
		{"first_party", len(k.FirstParty) > 0, []Kind{ExclusiveDistribution}},
		{"at", len(k.At) > 0, []Kind{Permit, Forbid}},
		{"in", len(k.In) > 0, []Kind{Residency}},
		{"requires", len(k.Requires) > 0, []Kind{NoTraining}},
		{"models", len(k.Models) > 0, []Kind{AllowList}},
		{"accepted", len(k.Accepted) > 0, []Kind{SubprocessorNotice}},
		{"days", k.Days > 0, []Kind{RetirementNotice, SubprocessorNotice}},
		{"when", k.When != "", []Kind{Permit, Forbid}},
		{"share", k.Share != nil, []Kind{ShareOf}},
		{"amount", k.Amount > 0, []Kind{MinCommit, Royalty}},
		{"part", k.Part > 0, []Kind{Royalty}},
		{"readings", len(k.Readings) > 0, []Kind{ExclusiveHost, FirstShip, ROFR, ExclusiveDistribution, Licence, Permit, Forbid}},
		{"unless", k.Unless != "", []Kind{ExclusiveHost, FirstShip, ROFR, ExclusiveDistribution, Residency, NoTraining, RetirementNotice, AllowList, SubprocessorNotice, Forbid}},
	} {
		need(!own.there || k.Kind == "" || slices.Contains(own.kinds, k.Kind), "the key "+own.key+" says nothing in the kind "+string(k.Kind), "take it out, or choose another kind")
	}
	need(k.When == "" || len(k.Binds.Tools) > 0, "a condition is on the arguments of a tool", "write `binds: {tool: http.request}`")
}

// checkSelf refuses a clause that takes back what it says.
func (r *reader) checkSelf(k *Clause, need func(ok bool, what, remedy string)) {
	for i := range k.Except {
		need(!k.Except[i].holdsAll(&k.Binds), "it contradicts itself: it excepts all that it binds", "narrow `except`, or take the clause out")
	}
	need(meet(k.Classes, k.Binds.Classes), "it contradicts itself: none of its classes is one that it binds", "write the classes once, in `classes`")
	seen := map[string]Reading{}
	for _, v := range k.Readings {
		was, there := seen[v.By]
		if v.By != "" && there && was.Reads != v.Reads && was.Known.overlaps(v.Known) {
			r.at(v.line, "clauses."+k.ID+".readings", "it contradicts itself: "+printable(v.By)+" reads it in two ways at once", "end one of them (`known.to`), or say who else reads it so")
		}
		seen[v.By] = v
	}
}

// holdsAll says whether a match fits everything that another one fits: each of its lists has all of the other's.
func (m *Match) holdsAll(of *Match) bool {
	mine, theirs := m.lists(), of.lists()
	for i := range mine {
		if len(*mine[i].to) > 0 && !within(*theirs[i].to, *mine[i].to) {
			return false
		}
	}
	return len(m.Facts) == 0 && m.Open == ""
}

// checkStars refuses a star where it would be taken for itself.
func (r *reader) checkStars(k *Clause) {
	for _, m := range slices.Concat([]Match{k.Binds}, k.Except, k.At, k.In) {
		if slices.ContainsFunc(slices.Concat(m.Labels, m.Marks), func(s string) bool { return strings.Contains(s, "*") }) {
			r.at(k.line, "clauses."+k.ID, "labels are whole words", "write each label without a star")
		}
	}
	for _, s := range slices.Concat(k.Host, k.FirstParty, k.Classes) {
		if strings.Contains(s, "*") {
			r.at(k.line, "clauses."+k.ID, "hosts and classes are whole words", "write each without a star")
		}
	}
}

func (m *Match) empty() bool {
	for _, l := range m.lists() {
		if len(*l.to) > 0 {
			return false
		}
	}
	return len(m.Facts) == 0 && m.Open == ""
}

func (m *Match) ofNeed() bool {
	for _, l := range m.lists() {
		if !l.place && len(*l.to) > 0 {
			return true
		}
	}
	return false
}

// lower spells what the world spells in small letters: vendors, clouds, regions, geographies, labs, models, labels and classes.
func lower(list ...Match) {
	for i := range list {
		lowerOne(&list[i])
	}
}

func (k *Clause) lower() {
	lowerOne(&k.Binds)
	for _, list := range [][]Match{k.Except, k.At, k.In} {
		lower(list...)
	}
	for _, list := range [][]string{k.Classes, k.Host, k.FirstParty} {
		lowerTexts(list)
	}
	for i := range k.Accepted {
		k.Accepted[i].Name = strings.ToLower(k.Accepted[i].Name)
	}
	for _, list := range k.Models {
		lowerTexts(list)
	}
}

func lowerOne(m *Match) {
	for _, list := range [][]string{m.Vendors, m.Clouds, m.Regions, m.Geos, m.Labs, m.Models, m.Labels, m.Classes} {
		lowerTexts(list)
	}
}

func lowerTexts(list []string) {
	for i := range list {
		list[i] = strings.ToLower(list[i])
	}
}
