package placement

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
)

// noClause is the reason where no clause speaks of a need and a place.
const noClause = "no clause"

// signOff is what lifts a dispute.
const signOff = "sign-off"

// Judge says what the clauses say to a need at a place. Equal needs and places are remembered. The ruling's lists belong to the policy.
func (p *Policy) Judge(n *Need, at *Place) Ruling {
	var buf [512]byte
	held := p.held(n)
	sig := p.signature(buf[:0], n, at, held)
	if len(sig) > longest {
		return p.judge(n, at, held)
	}
	s := p.memo.of(sig)
	if r, ok := s.get(sig); ok {
		return r
	}
	r := p.judge(n, at, held)
	s.put(sig, r)
	return r
}

// signature is everything that a ruling depends on.
func (p *Policy) signature(b []byte, n *Need, at *Place, held []string) []byte {
	add := func(s string) {
		b = append(b, byte(len(s)), byte(len(s)>>8), byte(len(s)>>16))
		b = append(b, s...)
	}
	list := func(all []string) {
		b = append(b, byte(len(all)), byte(len(all)>>8))
		for _, s := range all {
			add(s)
		}
	}
	flags := byte(0)
	if at.Open {
		flags = 1
	}
	b = append(b, flags)
	add(string(n.Action))
	add(n.Class)
	list(n.Labels)
	add(at.Vendor)
	add(at.Cloud)
	add(at.Region)
	add(at.Geo)
	add(at.Model)
	add(at.Lab)
	for _, f := range [...]struct {
		asked bool
		v     string
	}{{p.asks.team, n.Team}, {p.asks.agent, n.Agent}, {p.asks.key, n.Key}, {p.asks.tool, n.Tool}, {p.asks.endpoint, at.ID}, {p.asks.hardware, at.Hardware}} {
		if f.asked {
			add(f.v)
		}
	}
	if p.asks.marks {
		list(at.Labels)
	}
	for _, name := range p.asks.facts {
		v, there := at.Facts[name]
		if there {
			b = append(b, 1)
		}
		add(v)
	}
	list(held)
	for _, id := range n.Signed {
		if p.speaks[id] {
			add(id)
		}
	}
	return b
}

// held are the clauses whose condition on the arguments holds. One that cannot be told holds where it forbids, and does not where it permits.
func (p *Policy) held(n *Need) []string {
	if n.Action != UseTool || len(p.whens) == 0 {
		return nil
	}
	var ids []string
	for i := range p.whens {
		w := &p.whens[i]
		if !slices.ContainsFunc(w.tools, func(s string) bool { return pattern(s).Match(types.String(n.Tool)) }) {
			continue
		}
		holds, err := w.on.Holds(n.Args)
		if err == nil && holds || err != nil && w.forbid {
			ids = append(ids, w.id)
		}
	}
	return ids
}

// judge asks the rules that may match.
func (p *Policy) judge(need *Need, at *Place, held []string) Ruling {
	n, place := *need, *at
	n.Class, n.Labels = strings.ToLower(n.Class), lowered(n.Labels)
	for _, f := range []*string{&place.Vendor, &place.Cloud, &place.Region, &place.Geo, &place.Lab, &place.Model} {
		*f = strings.ToLower(*f)
	}
	place.Facts = p.factsOf(&place)
	return p.decide(&n, &place, p.matched(&n, &place, held, p.candidates(&n, &place)))
}

// candidates are the rules that the index and the sieves let through.
func (p *Policy) candidates(n *Need, at *Place) []*rule {
	keys := [...]string{"", "lab/" + at.Lab, "model/" + at.Model, "vendor/" + at.Vendor}
	most := 0
	for _, key := range keys {
		most += len(p.index[key])
	}
	list := make([]*rule, 0, most)
	for _, key := range keys {
		for _, r := range p.index[key] {
			if r.sieve.lets(n, at) {
				list = append(list, r)
			}
		}
	}
	return list
}

// some is a list of rules as Cedar wants to see it.
type some []*rule

// All gives the rules' policies.
func (s some) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, r := range s {
			if !yield(r.id, r.policy) {
				return
			}
		}
	}
}

// world is the two things that Cedar is asked about.
type world struct{ need, place types.Entity }

// Get gives one of them.
func (w *world) Get(id types.EntityUID) (types.Entity, bool) {
	switch id {
	case w.need.UID:
		return w.need, true
	case w.place.UID:
		return w.place, true
	}
	return types.Entity{}, false
}

// matched are the rules that Cedar says match, in the order of their ids. Forbidding and permitting rules are asked apart, because Cedar names only the former where both match.
// A rule that forbids and cannot be evaluated matches.
func (p *Policy) matched(n *Need, at *Place, held []string, list []*rule) []*rule {
	if len(list) == 0 {
		return nil
	}
	w := &world{needEntity(n), placeEntity(p.At.AsOf, at)}
	req := cedar.Request{
		Principal: w.need.UID, Action: actionUID(n.Action), Resource: w.place.UID,
		Context: types.NewRecord(types.RecordMap{"holds": strings2set(held)}),
	}
	slices.SortStableFunc(list, func(a, b *rule) int { return sortOf(a) - sortOf(b) })
	split := len(list)
	if i := slices.IndexFunc(list, func(r *rule) bool { return !r.forbid }); i >= 0 {
		split = i
	}
	out := list[:0:0]
	for _, part := range []some{list[:split], list[split:]} {
		if len(part) == 0 {
			continue
		}
		_, diag := cedar.Authorize(part, w, req)
		out = slices.Grow(out, len(diag.Reasons))
		// Both lists are in the order in which the rules were asked.
		reasons, broken := diag.Reasons, diag.Errors
		for _, r := range part {
			if len(reasons) > 0 && reasons[0].PolicyID == r.id {
				reasons, out = reasons[1:], append(out, r)
			} else if len(broken) > 0 && broken[0].PolicyID == r.id {
				broken = broken[1:]
				if r.forbid {
					out = append(out, r)
				}
			}
		}
	}
	slices.SortFunc(out, byID)
	return out
}

func sortOf(r *rule) int {
	if r.forbid {
		return 0
	}
	return 1
}

func needEntity(n *Need) types.Entity {
	m := types.RecordMap{"labels": strings2set(n.Labels)}
	for _, f := range []struct{ key, v string }{{"class", n.Class}, {"team", n.Team}, {"agent", n.Agent}, {"key", n.Key}, {"tool", n.Tool}} {
		if f.v != "" {
			m[types.String(f.key)] = types.String(f.v)
		}
	}
	return types.Entity{UID: types.NewEntityUID("Need", "need"), Attributes: types.NewRecord(m)}
}

func placeEntity(asOf time.Time, p *Place) types.Entity {
	facts := make(types.RecordMap, len(p.Facts))
	for k, v := range p.Facts {
		facts[types.String(k)] = types.String(v)
	}
	m := types.RecordMap{"open": types.Boolean(p.Open), "marks": strings2set(p.Labels), "facts": types.NewRecord(facts)}
	for _, f := range []struct{ key, v string }{
		{"endpoint", p.ID}, {"vendor", p.Vendor}, {"cloud", p.Cloud}, {"region", p.Region}, {"geo", p.Geo}, {"hardware", p.Hardware}, {"model", p.Model}, {"lab", p.Lab},
	} {
		if f.v != "" {
			m[types.String(f.key)] = types.String(f.v)
		}
	}
	if retires := p.Facts["retires"]; retires != "" {
		left := types.Long(0) // a day that cannot be read is today
		if t, err := time.Parse(time.DateOnly, retires); err == nil {
			left = types.Long(t.Sub(asOf.UTC().Truncate(day)) / day)
		}
		m["retires_in"] = left
	}
	return types.Entity{UID: types.NewEntityUID("Place", "place"), Attributes: types.NewRecord(m)}
}

func strings2set(list []string) types.Set {
	values := make([]types.Value, len(list))
	for i, s := range list {
		values[i] = types.String(s)
	}
	return types.NewSet(values...)
}

func cedarString(s string) types.String { return types.String(s) }

func lowered(list []string) []string {
	if !slices.ContainsFunc(list, func(s string) bool { return strings.ToLower(s) != s }) {
		return list
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(s)
	}
	return out
}

// strictness orders effects, the strictest first.
func strictness(e Effect) int {
	switch e {
	case Stop:
		return 0
	case Hold:
		return 1
	}
	return 2
}

// effect is what the settings say of a verdict for a class: of several, the strictest; of none, hold.
func (p *Policy) effect(v Verdict, class string) Effect {
	switch v {
	case Allow:
		return Go
	case Deny:
		return Stop
	}
	var out Effect
	for _, s := range p.settings {
		by := s.OnUnknown
		if v == Disputed {
			by = s.OnDisputed
		}
		e := cmp.Or(by[class], by["*"])
		if e != "" && (out == "" || strictness(e) < strictness(out)) {
			out = e
		}
	}
	return cmp.Or(out, Hold)
}
