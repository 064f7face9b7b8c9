package exposure

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
)

// Report is an assessment.
type Report struct {
	AsOf       time.Time     `json:"as_of"`
	Since      time.Time     `json:"since,omitzero"`
	Basis      string        `json:"basis"` // recorded calls, or the catalog alone
	Notes      []string      `json:"notes"` // what a reader must know before the figures
	Calls      int64         `json:"calls"`
	Tokens     int64         `json:"tokens"`
	USD        string        `json:"usd"`
	Unpriced   int64         `json:"unpriced,omitempty"`
	Dimensions []Dimension   `json:"dimensions"`
	Removals   []Removal     `json:"removals"`
	Singles    []SinglePoint `json:"single_points"`
	Workloads  []Workload    `json:"workloads"`
	Vendors    []Grade       `json:"vendors"`
	Graph      Drawing       `json:"graph"`
}

// Workload is a workload, its size and, if it is critical, its grade.
type Workload struct {
	Name   string `json:"name"`
	Level  Level  `json:"level"`
	Why    string `json:"why"` // it has this level
	Calls  int64  `json:"calls"`
	Tokens int64  `json:"tokens"`
	USD    string `json:"usd"`
	Grade  *Grade `json:"grade,omitempty"`
}

// Drawing is the part of the graph that calls hang on.
type Drawing struct {
	Nodes []Drawn `json:"nodes"`
	Edges []Edge  `json:"edges"`
}

// Drawn is a node and what hangs on it.
type Drawn struct {
	Node    Node    `json:"node"`
	Exposed float64 `json:"exposed"` // share of calls that cannot do without it
	Touched float64 `json:"touched"` // share of calls that hang on it in part
}

// Assess makes a report.
func Assess(in Input) Report {
	w := newWorld(in)
	r := Report{AsOf: in.Now.UTC(), Since: in.Since.UTC(), Basis: w.basis, Notes: []string{}, Removals: w.removals(), Vendors: []Grade{}, Workloads: []Workload{}}
	var spend decouple.Money
	for _, s := range w.streams {
		if w.basis == Recorded {
			r.Calls, r.Tokens, spend, r.Unpriced = r.Calls+s.Calls, r.Tokens+s.Tokens, spend+s.Spend, r.Unpriced+s.Unpriced
		}
	}
	r.USD = spend.String()
	for _, k := range dimensions {
		r.Dimensions = append(r.Dimensions, w.dimension(k))
	}
	r.Singles = singles(r.Removals)
	r.Vendors = append(r.Vendors, w.vendors(r.Singles)...)
	for _, k := range w.works {
		one := Workload{Name: k.name, Level: k.level, Why: k.why, USD: k.spend.String()}
		if w.basis == Recorded {
			one.Calls, one.Tokens = k.calls, k.tokens
		}
		if k.level == Critical {
			one.Grade = w.graded(k, r.Singles)
		}
		r.Workloads = append(r.Workloads, one)
	}
	r.Graph = w.drawing()
	r.Notes = append(r.Notes, w.notes(r)...)
	return r
}

// drawing is the graph from the sellers on: endpoints and accounts are left out, and what they hang on is given to the seller.
func (w *world) drawing() Drawing {
	among := map[Node]bool{}
	sums := map[Node]*Drawn{}
	var d Drawing
	var total float64
	for _, s := range w.streams {
		total += s.weight[ByCalls]
		for n, strength := range s.at.closure {
			if n.Kind == OfEndpoint || n.Kind == OfAccount {
				continue
			}
			among[n] = true
			if sums[n] == nil {
				sums[n] = &Drawn{Node: n}
			}
			if strength == Hard {
				sums[n].Exposed += s.weight[ByCalls]
			} else {
				sums[n].Touched += s.weight[ByCalls]
			}
		}
	}
	for _, n := range sums {
		n.Exposed, n.Touched = min(1, ratio(n.Exposed, total)), min(1, ratio(n.Touched, total))
		d.Nodes = append(d.Nodes, *n)
	}
	slices.SortFunc(d.Nodes, func(a, b Drawn) int { return before(a.Node, b.Node) })
	d.Edges = w.graph.Edges(among)
	for _, s := range w.streams {
		seller := Node{OfSeller, sellerOf(s.at.ep)}
		for _, e := range direct(s.at.ep, s.at.place) {
			if e.From.Kind != OfEndpoint || e.To.Kind == OfSeller || e.To.Kind == OfAccount || seller.Name == "" {
				continue
			}
			e.From = seller
			if !slices.ContainsFunc(d.Edges, func(had Edge) bool { return had.From == e.From && had.To == e.To }) {
				e.Strength = Partial // only some of the seller's calls
				d.Edges = append(d.Edges, e)
			}
		}
	}
	slices.SortFunc(d.Edges, func(a, b Edge) int {
		if c := before(a.From, b.From); c != 0 {
			return c
		}
		return before(a.To, b.To)
	})
	return d
}

// notes say what the figures do not.
func (w *world) notes(r Report) []string {
	var list []string
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if w.basis == Assumed {
		say("No call was recorded in this time. Each alias that something answers for, and each model that no alias has, is taken for one workload, spread evenly over its endpoints: read this as what could be exposed, not as what is.")
	}
	if len(w.streams) == 0 {
		say("No vendor can be called: no account was found, so there is nothing to assess.")
	}
	if w.Judge == nil {
		say("No contracts are known here: every alternate counts as permitted.")
	}
	held := int64(0)
	for _, s := range w.streams {
		if s.held > 0 {
			held += s.Calls
		}
	}
	if held > 0 && w.basis == Recorded {
		say("%d calls have alternates that need a sign-off first; those do not count.", held)
	}
	if len(w.Drills) == 0 {
		say("No drill was run: every loss is computed from the catalog and the contracts, none is measured.")
	}
	if len(w.Parity) == 0 {
		say("No parity evaluation was run: no alternate is proved to be as good.")
	}
	if len(w.gone) > 0 {
		slices.Sort(w.gone)
		say("Calls went to endpoints that the catalog does not have any more, of which little is known: %s.", strings.Join(w.gone, ", "))
	}
	if r.Unpriced > 0 {
		say("%d calls have no known price and are not in the spend.", r.Unpriced)
	}
	if w.total[BySpend] == 0 && len(w.streams) > 0 {
		say("There is no spend to weigh by; tokens or calls stand in for it where workloads are ranked.")
	}
	say("Ancestors are public statements, each with its source and day in the JSON; what is not stated is counted as not known.")
	return list
}
