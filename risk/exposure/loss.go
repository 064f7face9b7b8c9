package exposure

import (
	"cmp"
	"slices"
	"time"
)

// Weight says by what shares are taken.
type Weight int

// The weights.
const (
	BySpend Weight = iota
	ByTokens
	ByCalls
	ByCriticality
)

// weights are their names.
var weights = [4]string{"spend", "tokens", "calls", "criticality"}

// Removal is what is lost when a node is gone.
type Removal struct {
	Node       Node      `json:"node"`
	Exposed    float64   `json:"exposed"`     // share of calls that hang on it and cannot do without
	Touched    float64   `json:"touched"`     // share of calls that hang on it in part
	Lost       float64   `json:"lost"`        // share of calls with no permitted alternate: measured, or else computed
	LostSpend  float64   `json:"lost_spend"`  // computed, as are those that follow
	LostWeight float64   `json:"lost_weight"` // by criticality
	AtRisk     float64   `json:"at_risk"`     // share of calls that hang on it in part and have no permitted alternate
	Computed   float64   `json:"computed"`    // Lost as it was computed
	Basis      string    `json:"basis"`       // measured or computed
	Drill      string    `json:"drill,omitempty"`
	DrillMode  string    `json:"drill_mode,omitempty"`
	DrillAt    time.Time `json:"drill_at,omitzero"`
	Overdue    bool      `json:"overdue,omitempty"` // the drill is
	Workloads  []Loss    `json:"workloads,omitempty"`
}

// Bases of a removal's loss.
const (
	Measured = "measured"
	Computed = "computed"
)

// Loss is what one workload loses.
type Loss struct {
	Workload string  `json:"workload"`
	Level    Level   `json:"level"`
	Lost     float64 `json:"lost"`    // share of its calls
	AtRisk   float64 `json:"at_risk"` // likewise
}

// fate is what becomes of a stream.
type fate int

const (
	untouched fate = iota
	moved          // to a permitted alternate
	atRisk         // it hangs on what is gone in part, and there is no alternate
	lost
)

// tie is how a station hangs on any of a set of nodes.
func (s *station) tie(gone map[Node]bool) Strength {
	var worst Strength
	for n := range gone {
		switch s.closure[n] {
		case Hard:
			return Hard
		case Partial:
			worst = Partial
		}
	}
	return worst
}

// survivors are the permitted endpoints other than the stream's own that do not hang on what is gone.
func (s *stream) survivors(gone map[Node]bool) []*station {
	var list []*station
	for _, m := range s.may {
		if m != s.at && m.tie(gone) != Hard {
			list = append(list, m)
		}
	}
	return list
}

// after says what becomes of a stream when nodes are gone. Taking away more never makes it better.
func (s *stream) after(gone map[Node]bool) fate {
	tie := s.at.tie(gone)
	switch {
	case tie == "":
		return untouched
	case len(s.survivors(gone)) > 0:
		return moved
	case tie == Hard:
		return lost
	}
	return atRisk
}

// removal is what is lost when nodes are gone together, by computation.
func (w *world) removal(gone map[Node]bool) Removal {
	r := Removal{Basis: Computed}
	type sum struct{ lost, risk float64 }
	each := map[*workload]*sum{}
	for _, s := range w.streams {
		calls := ratio(s.weight[ByCalls], w.total[ByCalls])
		switch s.at.tie(gone) {
		case Hard:
			r.Exposed += calls
		case Partial:
			r.Touched += calls
		}
		at := s.after(gone)
		if at != lost && at != atRisk {
			continue
		}
		k := each[s.work]
		if k == nil {
			k = &sum{}
			each[s.work] = k
		}
		if at == atRisk {
			r.AtRisk += calls
			k.risk += float64(s.Calls)
			continue
		}
		r.Computed += calls
		r.LostSpend += ratio(s.weight[BySpend], w.total[BySpend])
		r.LostWeight += ratio(s.weight[ByCriticality], w.total[ByCriticality])
		k.lost += float64(s.Calls)
	}
	for _, k := range w.works {
		if each[k] != nil {
			r.Workloads = append(r.Workloads, Loss{k.name, k.level, share(each[k].lost, float64(k.calls)), share(each[k].risk, float64(k.calls))})
		}
	}
	r.Exposed, r.Touched, r.Computed = min(r.Exposed, 1), min(r.Touched, 1), min(r.Computed, 1)
	r.Lost = r.Computed
	return r
}

// share is a ratio that is one where rounding leaves it just beside.
func share(part, whole float64) float64 {
	if r := ratio(part, whole); r < 1-1e-9 {
		return r
	}
	return 1
}

// due is the day from which a drill is overdue.
func (w *world) due(d Drill) time.Time {
	if d.Due.IsZero() {
		return d.At.Add(w.Facts.DrillDue)
	}
	return d.Due
}

// drillOf is the newest drill that took exactly this node away and that any call met: without a call nothing was measured. One in simulated clouds stands back behind one with the customer's own calls, as long as that is not overdue.
func (w *world) drillOf(n Node) (Drill, bool) {
	var best Drill
	found := false
	for _, d := range w.Drills {
		if len(d.Removed) != 1 || d.Removed[0] != n || d.Calls == 0 {
			continue
		}
		if own, had := w.counts(d), w.counts(best); !found || own && !had || own == had && d.At.After(best.At) {
			best, found = d, true
		}
	}
	return best, found
}

// counts says whether a drill is with the customer's own calls and not overdue.
func (w *world) counts(d Drill) bool { return d.Mode != Simulated && w.Now.Before(w.due(d)) }

// removals are what is lost with every node that a recorded call hangs on, the worst first. Where a drill has measured the loss, that counts.
func (w *world) removals() []Removal {
	seen := map[Node]bool{}
	var list []Removal
	for _, s := range w.streams {
		if s.at.ep.Provider == builtinProvider {
			continue // nobody can take it away
		}
		for n := range s.at.closure {
			if seen[n] || n.Kind == OfHardware || n.Kind == OfMaker || n.Kind == OfParent { // what runs goes on when these are gone
				continue
			}
			seen[n] = true
			r := w.removal(map[Node]bool{n: true})
			r.Node = n
			if d, ok := w.drillOf(n); ok {
				r.Drill, r.DrillMode, r.DrillAt, r.Overdue = d.ID, d.Mode, d.At, !w.Now.Before(w.due(d))
				if d.Mode != Simulated {
					if r.Lost, r.Basis = d.lost(), Measured; d.Touched {
						r.Lost *= r.Exposed
					}
				}
			}
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b Removal) int {
		return cmp.Or(cmp.Compare(b.Lost, a.Lost), cmp.Compare(b.Exposed, a.Exposed), cmp.Compare(b.Touched, a.Touched), before(a.Node, b.Node))
	})
	return list
}

// SinglePoint is a node without which a workload has nothing left.
type SinglePoint struct {
	Node     Node   `json:"node"`
	Workload string `json:"workload"`
	Level    Level  `json:"level"`
	Basis    string `json:"basis"`
}

// singles are the single points, of the most critical workloads first. Of an endpoint, its account and what lies under them, only what is not the seller's own loss is told: the seller stands
// for them.
func singles(list []Removal) []SinglePoint {
	var out []SinglePoint
	for _, r := range list {
		for _, l := range r.Workloads {
			if l.Lost == 1 {
				out = append(out, SinglePoint{r.Node, l.Workload, l.Level, Computed})
			}
		}
	}
	for _, kind := range []Kind{OfEndpoint, OfAccount} {
		out = slices.DeleteFunc(out, func(p SinglePoint) bool {
			return p.Node.Kind == kind && slices.ContainsFunc(out, func(q SinglePoint) bool { return q.Workload == p.Workload && q.Node.Kind == OfSeller })
		})
	}
	slices.SortFunc(out, func(a, b SinglePoint) int {
		return cmp.Or(cmp.Compare(b.Level.weight(), a.Level.weight()), cmp.Compare(a.Workload, b.Workload), before(a.Node, b.Node))
	})
	return out
}

// Without is what is lost when nodes are gone together, by computation.
func Without(in Input, gone ...Node) Removal {
	set := map[Node]bool{}
	for _, n := range gone {
		set[n] = true
	}
	return newWorld(in).removal(set)
}
