package placement

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Check says what is wrong among contracts, each of which is right by itself: ids that are there twice, waivers of nothing, and clauses that contradict or shadow one another. Of
// each contract there is one version.
func Check(all []Contract) Faults {
	c := &checker{clauses: map[string]placed{}}
	files := map[string]string{}
	for i := range all {
		if was, twice := files[all[i].ID]; twice {
			c.fail(all[i].File, 1, "id", "the contract "+all[i].ID+" is in "+was+" too", "give each contract its own id, or put them into one file")
			continue
		}
		files[all[i].ID] = all[i].File
		for j := range all[i].Clauses {
			p := placed{all[i].ID + "/" + all[i].Clauses[j].ID, all[i].File, &all[i].Clauses[j]}
			c.clauses[p.id], c.list = p, append(c.list, p)
		}
	}
	for i := range all {
		for _, w := range all[i].Waivers {
			c.waiver(all[i].File, &w)
		}
	}
	slices.SortStableFunc(c.list, func(a, b placed) int { return strings.Compare(a.id, b.id) })
	groups := map[string][]placed{}
	for _, p := range c.list {
		key := scopeOf(p.k)
		for _, before := range groups[key] {
			c.pair(before, p)
		}
		groups[key] = append(groups[key], p)
	}
	return c.faults.sorted()
}

// placed is a clause with where it is.
type placed struct {
	id, file string
	k        *Clause
}

func (p placed) String() string { return fmt.Sprintf("%s (%s:%d)", p.id, p.file, p.k.line) }

type checker struct {
	faults  Faults
	clauses map[string]placed
	list    []placed
}

func (c *checker) fail(file string, line int, where, what, remedy string) {
	if len(c.faults) < maxFaults {
		c.faults = append(c.faults, Fault{file, line, where, what, remedy})
	}
}

func (c *checker) waiver(file string, w *Waiver) {
	p, there := c.clauses[w.Clause]
	switch {
	case !there:
		c.fail(file, w.line, "waivers", "there is no clause "+printable(w.Clause)+" that it could lift", "write contract/clause as `decouple contracts ls` shows it, or the id of a clause in this file")
	case p.k.Unless == "":
		c.fail(file, w.line, "waivers", "nothing lifts "+p.String(), "write `unless: "+printable(w.What)+"` in that clause, or take the waiver out")
	case !strings.EqualFold(p.k.Unless, w.What):
		c.fail(file, w.line, "waivers", p.String()+" is lifted by \""+printable(p.k.Unless)+"\", and not by \""+printable(w.What)+"\"", "write the same words in both")
	case !w.Valid.overlaps(p.k.Valid):
		c.fail(file, w.line, "waivers", "it never holds while "+p.String()+" does", "correct the dates of one of them")
	}
}

// scopeOf is a text that is the same for clauses that bind the same.
func scopeOf(k *Clause) string {
	except := make([]string, len(k.Except))
	for i := range k.Except {
		except[i] = k.Except[i].spelled()
	}
	slices.Sort(except)
	actions := slices.Sorted(slices.Values(k.Actions))
	return fmt.Sprint(k.Binds.spelled(), except, actions, k.When)
}

// spelled is a text that is the same for matches that say the same.
func (m *Match) spelled() string {
	var b strings.Builder
	for _, l := range m.lists() {
		if len(*l.to) > 0 {
			fmt.Fprintf(&b, "%s=%q;", l.key, slices.Compact(slices.Sorted(slices.Values(*l.to))))
		}
	}
	fmt.Fprintf(&b, "%q;%s", m.Facts, m.Open)
	return b.String()
}

func spelledAll(list []Match) string {
	var all []string
	for i := range list {
		all = append(all, list[i].spelled())
	}
	slices.Sort(all)
	return fmt.Sprint(slices.Compact(all))
}

// pair compares two clauses that bind the same.
func (c *checker) pair(a, b placed) {
	if len(c.faults) >= maxFaults || !meet(a.k.Classes, b.k.Classes) || !together(a.k, b.k) || len(a.k.Readings)+len(b.k.Readings) > 0 {
		return
	}
	first, second := a, b
	if a.file == b.file && b.k.line < a.k.line {
		first, second = b, a
	}
	where := "clauses." + second.k.ID
	if why := contradict(a.k, b.k); why != "" {
		c.fail(second.file, second.k.line, where, "it contradicts "+first.String()+" at the same time: "+why,
			"end one of them (`valid.to`), or bind them to different things; if they are two readings of one term, write one clause with `readings`")
		return
	}
	if same(a.k, b.k) {
		c.fail(second.file, second.k.line, where, "it says what "+first.String()+" says at the same time", "keep one of them")
		return
	}
	for _, x := range [][2]placed{{a, b}, {b, a}} {
		if shadows(x[0].k, x[1].k) {
			c.fail(x[1].file, x[1].k.line, "clauses."+x[1].k.ID, "it never decides: "+x[0].String()+" forbids all of it already", "take it out, or narrow the other one")
			return
		}
	}
}

// contradict says why of two clauses one allows what the other denies, or is empty. One that can be lifted gives way.
func contradict(a, b *Clause) string {
	if a.Unless != "" || b.Unless != "" {
		return ""
	}
	if a.Kind == ExclusiveHost && b.Kind == ExclusiveHost && len(a.Host) > 0 && len(b.Host) > 0 && !meet(a.Host, b.Host) {
		return "each denies the host of the other, so that nothing is allowed"
	}
	for _, x := range [][2]*Clause{{a, b}, {b, a}} {
		allows, denies := x[0], x[1]
		switch {
		case allows.Kind == Permit && denies.Kind == Forbid && (len(denies.At) == 0 || spelledAll(allows.At) == spelledAll(denies.At)):
			return "one permits what the other forbids"
		case (allows.Kind == Licence || allows.Kind == PrimaryHost && len(allows.Host) > 0) && denies.Kind == ExclusiveHost && !within(allows.Host, denies.Host):
			return "one allows a host that the other denies"
		}
	}
	return ""
}

// same says whether two clauses say the same of the same classes.
func same(a, b *Clause) bool {
	return a.Kind == b.Kind && setOf(a.Classes) == setOf(b.Classes) && setOf(a.Host) == setOf(b.Host) && setOf(a.FirstParty) == setOf(b.FirstParty) && a.Unless == b.Unless && a.Days == b.Days &&
		spelledAll(a.At) == spelledAll(b.At) && spelledAll(a.In) == spelledAll(b.In) && fmt.Sprint(a.Requires, a.Models, a.Accepted, a.Amount, a.Part) == fmt.Sprint(b.Requires, b.Models, b.Accepted, b.Amount, b.Part) &&
		(a.Share == nil) == (b.Share == nil) && (a.Share == nil || a.Share.promises() == b.Share.promises())
}

func (s *ShareTerm) promises() string { return fmt.Sprint(s.AtMost, s.Of, s.By, setOf(s.With), s.Each) }

// shadows says whether a forbids everything that b speaks of, for all of b's time and classes.
func shadows(a, b *Clause) bool {
	return a.Kind == Forbid && b.Kind == Forbid && len(a.At) == 0 && len(b.At) > 0 && a.Unless == "" && (len(a.Classes) == 0 || len(b.Classes) > 0 && within(b.Classes, a.Classes)) &&
		covers(a.Valid, b.Valid) && a.ToKnown.IsZero() && covers(a.Known, b.Known)
}

func covers(a, b Span) bool {
	return !b.From.Before(a.From) && (a.To.IsZero() || !b.To.IsZero() && !b.To.After(a.To))
}

// together says whether there is a moment at which both hold and both were known.
func together(a, b *Clause) bool {
	for _, x := range a.phases() {
		for _, y := range b.phases() {
			if x[0].overlaps(y[0]) && x[1].overlaps(y[1]) {
				return true
			}
		}
	}
	return false
}

// phases are when a clause was known how: known and valid, before and after its end was known.
func (k *Clause) phases() [][2]Span {
	if k.ToKnown.IsZero() {
		return [][2]Span{{k.Known, k.Valid}}
	}
	var list [][2]Span
	before, after := Span{k.Known.From, earlier(k.Known.To, k.ToKnown)}, Span{k.ToKnown, k.Known.To}
	if before.To.After(before.From) {
		list = append(list, [2]Span{before, {From: k.Valid.From}})
	}
	if after.To.IsZero() || after.To.After(after.From) {
		list = append(list, [2]Span{after, k.Valid})
	}
	return list
}

// earlier is the earlier of an end that may be open and a day.
func earlier(end, t time.Time) time.Time {
	if end.IsZero() || t.Before(end) {
		return t
	}
	return end
}

// meet says whether two lists share something; an empty one is everything.
func meet(a, b []string) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// within says whether all of a is in b; an empty a is everything.
func within(a, b []string) bool {
	return len(a) > 0 && !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}

func setOf(list []string) string {
	return fmt.Sprintf("%q", slices.Compact(slices.Sorted(slices.Values(list))))
}
