package exposure

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Point is what one rule gave, and why.
type Point struct {
	Rule string `json:"rule"`
	Got  int    `json:"points"`
	Of   int    `json:"of"`
	Why  string `json:"why"`
}

// Grade is a mark from A to F with its reasons. The points of a grade are whole and sum to Points.
type Grade struct {
	Name   string  `json:"name"`
	Mark   string  `json:"grade"`
	Points int     `json:"points"` // of 100
	Why    []Point `json:"why"`
	Cap    string  `json:"cap,omitempty"` // why the mark is not better than it is
}

// Rule is a line of the table by which grades are given: docs/risk.md explains them.
type Rule struct {
	Name   string
	Points int
	Asks   string
}

// Rules is the table. The points sum to 100.
func Rules() []Rule {
	return []Rule{
		{"alternate", 30, "What share of the calls goes on with a permitted alternate when the vendor is gone?"},
		{"parity", 15, "What share has an alternate that passed a parity evaluation that still counts?"},
		{"drill", 20, "Was the loss rehearsed, is the drill not overdue, and what share of its calls did not fail?"},
		{"independence", 15, "What share has an alternate that has no lab, cloud, region, identity provider, network, DNS or parent in common with what is lost?"},
		{"spread", 10, "How much depends on it alone?"},
		{"knowledge", 10, "Are the cloud, region, accelerator, identity provider and network behind it known?"},
	}
}

// marks are the least points for each mark.
var marks = []struct {
	mark  string
	least int
}{{"A", 90}, {"B", 75}, {"C", 60}, {"D", 45}, {"E", 30}, {"F", 0}}

// MarkOf is the mark for points of 100.
func MarkOf(points int) string {
	for _, m := range marks {
		if points >= m.least {
			return m.mark
		}
	}
	return "F"
}

// subject is what a grade is of, as the rules see it.
type subject struct {
	name      string
	streams   []*stream
	vendor    bool
	losses    []Node  // a vendor: itself; a workload: every seller that it uses
	spread    float64 // a vendor: its share of the weight by criticality; a workload: of its largest seller
	drills    []Drill // of the losses, the newest of each
	undrilled []Node
	singles   []SinglePoint
}

// outlook is what the calls of a subject could do if one of its vendors were gone.
type outlook struct{ alternate, proved, apart float64 }

// outlook is the worst of all losses. Shares are of the calls that the loss takes away.
func (w *world) outlook(s *subject) (worst outlook, at Node) {
	worst = outlook{1, 1, 1}
	for _, n := range s.losses {
		gone := map[Node]bool{n: true}
		var hit, alternate, proved, apart float64
		for _, f := range s.streams {
			if f.at.tie(gone) != Hard {
				continue
			}
			hit += float64(f.Calls)
			list := f.survivors(gone)
			if len(list) > 0 {
				alternate += float64(f.Calls)
			}
			if slices.ContainsFunc(list, func(o *station) bool { return w.proved(f.at, o) }) {
				proved += float64(f.Calls)
			}
			if slices.ContainsFunc(list, func(o *station) bool { return len(common(f.at, o)) == 0 }) {
				apart += float64(f.Calls)
			}
		}
		if hit == 0 {
			continue
		}
		o := outlook{share(alternate, hit), share(proved, hit), share(apart, hit)}
		if at == (Node{}) || o.alternate < worst.alternate {
			at = n
		}
		worst = outlook{min(worst.alternate, o.alternate), min(worst.proved, o.proved), min(worst.apart, o.apart)}
	}
	return worst, at
}

// common are the nodes that two stations both cannot do without and whose loss takes both away.
func common(a, b *station) []Node {
	var list []Node
	for n, s := range a.closure {
		if s == Hard && b.closure[n] == Hard && slices.Contains(shared, n.Kind) {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, before)
	return list
}

// grade gives the points of every rule.
func (w *world) grade(s *subject) Grade {
	o, at := w.outlook(s)
	rules := Rules()
	g := Grade{Name: s.name}
	give := func(i int, part float64, why string) {
		got := int(math.Round(part * float64(rules[i].Points)))
		g.Why = append(g.Why, Point{rules[i].Name, got, rules[i].Points, why})
		g.Points += got
	}
	without := "without it"
	if !s.vendor {
		without = "without " + at.Name + ", its hardest loss"
	}
	give(0, o.alternate, fmt.Sprintf("%s of its calls have a permitted alternate %s", percent(o.alternate), without))
	give(1, o.proved, fmt.Sprintf("%s have one that passed a parity evaluation within %d days", percent(o.proved), int(w.Facts.ParityDue/day)))
	part, why := w.drilled(s)
	give(2, part, why)
	give(3, o.apart, fmt.Sprintf("%s have one with no ancestor in common%s", percent(o.apart), w.ancestor(s)))
	give(4, spreadPart(s), spreadWhy(s))
	known, missing := w.known(s)
	give(5, known, missing)
	g.Mark = MarkOf(g.Points)
	w.cap(s, &g)
	return g
}

// drilled says how well the losses were rehearsed: a drill gives its share of calls that did not fail, one in simulated clouds half of that, an overdue one two fifths, none nothing; several
// losses give their mean.
func (w *world) drilled(s *subject) (float64, string) {
	if len(s.drills) == 0 {
		return 0, "no drill has taken it away"
	}
	sum := 0.0
	var why []string
	for _, d := range s.drills {
		part, text := 1-d.lost(), fmt.Sprintf("%s of %s: %s of %d calls failed", d.ID, d.At.Format("2006-01-02"), percent(d.lost()), d.Calls)
		if d.Mode == Simulated {
			part *= 0.5
			text += ", in simulated clouds"
		}
		if due := w.due(d); !w.Now.Before(due) {
			part *= 0.4
			text += ", overdue since " + due.Format("2006-01-02")
		}
		if d.Breaches > 0 || d.Duplicated > 0 {
			part = 0
			text += fmt.Sprintf(", %d breaches and %d effects done twice", d.Breaches, d.Duplicated)
		}
		sum += part
		why = append(why, text)
	}
	for _, n := range s.undrilled {
		why = append(why, "no drill of "+n.Name)
	}
	return sum / float64(len(s.drills)+len(s.undrilled)), strings.Join(why, "; ")
}

// ancestor names what the alternates have in common with what is lost, most often.
func (w *world) ancestor(s *subject) string {
	count := map[Node]int64{}
	for _, f := range s.streams {
		for _, n := range s.losses {
			gone := map[Node]bool{n: true}
			if f.at.tie(gone) != Hard {
				continue
			}
			list := f.survivors(gone)
			if len(list) == 0 || slices.ContainsFunc(list, func(o *station) bool { return len(common(f.at, o)) == 0 }) {
				continue
			}
			for _, c := range common(f.at, list[0]) {
				count[c] += f.Calls
			}
		}
	}
	if len(count) == 0 {
		return ""
	}
	var list []Node
	for n := range count {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b Node) int { return cmp.Or(cmp.Compare(count[b], count[a]), before(a, b)) })
	return "; the others share " + list[0].String()
}

// spreadPart falls from all points at a quarter to none where everything depends on one.
func spreadPart(s *subject) float64 { return min(1, max(0, (1-s.spread)/0.75)) }

func spreadWhy(s *subject) string {
	if s.vendor {
		return fmt.Sprintf("%s of all weight by criticality goes through it", percent(s.spread))
	}
	return fmt.Sprintf("its largest vendor takes %s of its calls", percent(s.spread))
}

// known says how much of what stands behind the calls is known: a fifth for each of five kinds, weighed by calls.
func (w *world) known(s *subject) (float64, string) {
	asked := []Kind{OfCloud, OfRegion, OfMaker, OfIdentity, OfCDN}
	var calls, sum float64
	unknown := map[Kind]bool{}
	for _, f := range s.streams {
		calls += float64(f.Calls)
		for _, k := range asked {
			if len(f.at.holders(k)) > 0 {
				sum += float64(f.Calls) / float64(len(asked))
			} else {
				unknown[k] = true
			}
		}
	}
	var names []string
	for _, k := range asked {
		if unknown[k] {
			names = append(names, string(k))
		}
	}
	if len(names) == 0 {
		return 1, "everything that is asked for is known"
	}
	return ratio(sum, calls), "not known everywhere: " + strings.Join(names, ", ")
}

// caps are the best marks for what no points can make good.
const (
	capSingle = "D" // a critical workload has nothing left
	capBreach = "E" // a drill broke a contract, or did an effect twice
)

// cap lowers a mark for what no points can make good.
func (w *world) cap(s *subject, g *Grade) {
	lower := func(to, why string) {
		if g.Mark < to {
			g.Mark, g.Cap = to, why
		}
	}
	for _, p := range s.singles {
		if p.Level == Critical && (!s.vendor || slices.Contains(s.losses, p.Node)) {
			lower(capSingle, fmt.Sprintf("at most %s: without %s the critical workload %s has nothing left", capSingle, p.Node, p.Workload))
			break
		}
	}
	for _, d := range s.drills {
		if d.Breaches > 0 || d.Duplicated > 0 {
			lower(capBreach, fmt.Sprintf("at most %s: the drill %s broke what must not break", capBreach, d.ID))
		}
	}
}

// vendors grades every seller that calls went through, the largest first. The embedded model is no vendor.
func (w *world) vendors(points []SinglePoint) []Grade {
	bySeller := map[string]*subject{}
	var list []*subject
	for _, f := range w.streams {
		name := sellerOf(f.at.ep)
		if name == builtinProvider || name == "" {
			continue
		}
		s := bySeller[name]
		if s == nil {
			s = &subject{name: name, vendor: true, losses: []Node{{OfSeller, name}}, singles: points}
			bySeller[name] = s
			list = append(list, s)
		}
		s.streams = append(s.streams, f)
		s.spread += ratio(f.weight[ByCriticality], w.total[ByCriticality])
	}
	slices.SortFunc(list, func(a, b *subject) int { return cmp.Or(cmp.Compare(b.spread, a.spread), cmp.Compare(a.name, b.name)) })
	var out []Grade
	for _, s := range list {
		w.rehearsed(s, "")
		out = append(out, w.grade(s))
	}
	return out
}

// builtinProvider is the model in this program.
const builtinProvider = "builtin"

// rehearsed finds the drills of what a subject can lose.
func (w *world) rehearsed(s *subject, workload string) {
	for _, n := range s.losses {
		d, ok := w.drillOf(n)
		if ok && (workload == "" || len(d.Workloads) == 0 || slices.Contains(d.Workloads, workload)) {
			s.drills = append(s.drills, d)
		} else {
			s.undrilled = append(s.undrilled, n)
		}
	}
}

// graded is the grade of a workload; one that only the model in this program answers has none.
func (w *world) graded(k *workload, points []SinglePoint) *Grade {
	s := &subject{name: k.name, streams: k.streams}
	bySeller := map[string]float64{}
	for _, f := range k.streams {
		if name := sellerOf(f.at.ep); name != "" && name != builtinProvider {
			bySeller[name] += float64(f.Calls)
		}
	}
	for name, calls := range bySeller {
		s.spread = max(s.spread, share(calls, float64(k.calls)))
		s.losses = append(s.losses, Node{OfSeller, name})
	}
	if len(s.losses) == 0 {
		return nil
	}
	slices.SortFunc(s.losses, before)
	for _, p := range points {
		if p.Workload == k.name {
			s.singles = append(s.singles, p)
		}
	}
	w.rehearsed(s, k.name)
	g := w.grade(s)
	return &g
}

// percent is a share for people.
func percent(share float64) string {
	switch p := share * 100; {
	case p == 0 || p >= 99.95:
		return fmt.Sprintf("%.0f %%", p)
	case p < 0.1:
		return "under 0.1 %"
	case p > 99.9:
		return "over 99.9 %"
	default:
		return fmt.Sprintf("%.1f %%", p)
	}
}
