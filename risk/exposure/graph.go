package exposure

import (
	"slices"
	"time"

	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/placement"
)

// Graph is who hangs on whom at a time.
type Graph struct {
	out map[Node][]Edge
}

// NewGraph is the graph of the edges that hold at a time. Of two edges between the same nodes the harder one counts.
func NewGraph(edges []Edge, at time.Time) *Graph {
	g := &Graph{out: map[Node][]Edge{}}
	for _, e := range edges {
		if e.holds(at) {
			g.add(e)
		}
	}
	return g
}

func (g *Graph) add(e Edge) {
	for i, had := range g.out[e.From] {
		if had.To == e.To {
			if had.Strength == Partial && e.Strength == Hard {
				g.out[e.From][i] = e
			}
			return
		}
	}
	g.out[e.From] = append(g.out[e.From], e)
}

// Closure is everything that a set of nodes hangs on, the nodes themselves included, and how: a node is hard if a path of hard edges leads to it. Cycles end where they began.
func (g *Graph) Closure(of map[Node]Strength) map[Node]Strength {
	all := make(map[Node]Strength, 2*len(of))
	for _, strength := range []Strength{Partial, Hard} { // hard paths last, so that they win
		var todo []Node
		seen := map[Node]bool{}
		push := func(n Node) {
			if !seen[n] {
				seen[n] = true
				all[n] = strength
				todo = append(todo, n)
			}
		}
		for n, s := range of {
			if strength == Partial || s == Hard {
				push(n)
			}
		}
		for len(todo) > 0 {
			n := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			for _, e := range g.out[n] {
				if strength == Partial || e.Strength == Hard {
					push(e.To)
				}
			}
		}
	}
	return all
}

// Edges lists the edges between nodes that are in a set, in order.
func (g *Graph) Edges(among map[Node]bool) []Edge {
	var list []Edge
	for n := range among {
		for _, e := range g.out[n] {
			if among[e.To] {
				list = append(list, e)
			}
		}
	}
	slices.SortFunc(list, func(a, b Edge) int {
		if d := before(a.From, b.From); d != 0 {
			return d
		}
		return before(a.To, b.To)
	})
	return list
}

// compatible is the provider of servers that say themselves what they serve: the account is who sells there.
const compatible = "compatible"

// sellerOf is who sells the calls of an endpoint.
func sellerOf(ep catalog.Endpoint) string {
	if ep.Provider == compatible || ep.Provider == "" {
		return ep.Account
	}
	return ep.Provider
}

// direct are the edges that follow from the catalog: what an endpoint hangs on by itself. A model with open weights does not hang on its lab, whose terms bind nobody who runs it.
func direct(ep catalog.Endpoint, place placement.Place) []Edge {
	self := Node{OfEndpoint, string(ep.ID)}
	var list []Edge
	add := func(from Node, kind Kind, name string) {
		if name != "" {
			list = append(list, Edge{From: from, To: Node{kind, name}, Strength: Hard, Confidence: FromCatalog, Source: "the catalog"})
		}
	}
	add(self, OfSeller, sellerOf(ep))
	if ep.Provider == builtinProvider {
		return list // it is in this program, and hangs on nobody
	}
	add(self, OfAccount, ep.Account)
	add(self, OfCloud, ep.Cloud)
	add(self, OfHardware, ep.Hardware)
	if !place.Open {
		add(self, OfLab, place.Lab)
	}
	if ep.Region != "" {
		under := ep.Cloud
		if under == "" {
			under = sellerOf(ep)
		}
		region := Node{OfRegion, under + "/" + ep.Region}
		add(self, OfRegion, region.Name)
		add(region, OfCloud, ep.Cloud)
	}
	return list
}
