package exposure

import (
	"cmp"
	"maps"
	"slices"
)

// HHI is the Herfindahl-Hirschman index of shares: the sum of their squares, from 1/n where n are alike to 1 where one has all. Parts need not sum to one; negative ones count as nothing.
// Of nothing it is 0.
func HHI(parts []float64) float64 {
	var sum float64
	for _, p := range parts {
		sum += max(p, 0)
	}
	if sum == 0 {
		return 0
	}
	var h float64
	for _, p := range parts {
		s := max(p, 0) / sum
		h += s * s
	}
	return min(h, 1)
}

// Effective is how many equal parts would be as concentrated: 1/HHI, and 0 of nothing.
func Effective(hhi float64) float64 { return ratio(1, hhi) }

// Concentration is how concentrated a dimension is by one weight.
type Concentration struct {
	By        string  `json:"by"`
	Known     bool    `json:"known"` // false: the weight is nothing everywhere
	HHI       float64 `json:"hhi"`   // what is not known counts as one node
	Effective float64 `json:"effective"`
	Top       string  `json:"top"`
	TopShare  float64 `json:"top_share"`
	Unknown   float64 `json:"unknown"` // share of which the node is not known
}

// Member is a node of a dimension and its shares by each weight.
type Member struct {
	Name   string     `json:"name"` // empty: not known
	Shares [4]float64 `json:"shares"`
}

// Dimension is how concentrated calls are by one kind of node.
type Dimension struct {
	Kind    Kind            `json:"kind"`
	By      []Concentration `json:"by"`
	Members []Member        `json:"members"` // the largest by criticality first
}

// holders are the nodes of a kind that a station hangs on: those that it cannot do without, or else those that it hangs on in part, among which its weight is divided evenly.
func (s *station) holders(k Kind) []string {
	var hard, partial []string
	for n, strength := range s.closure {
		switch {
		case n.Kind != k:
		case strength == Hard:
			hard = append(hard, n.Name)
		default:
			partial = append(partial, n.Name)
		}
	}
	list := hard
	if len(hard) == 0 {
		list = partial
	}
	if k == OfLab && s.place.Open {
		list = []string{openWeights}
	}
	slices.Sort(list)
	return list
}

// openWeights stands for the labs of models that anybody may run.
const openWeights = "(open weights)"

// dimension measures the concentration of one kind.
func (w *world) dimension(k Kind) Dimension {
	parts := map[string]*[4]float64{}
	for _, s := range w.streams {
		names := s.at.holders(k)
		if len(names) == 0 {
			names = []string{""}
		}
		for _, name := range names {
			p := parts[name]
			if p == nil {
				p = &[4]float64{}
				parts[name] = p
			}
			for i, v := range s.weight {
				p[i] += v / float64(len(names))
			}
		}
	}
	d := Dimension{Kind: k}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		m := Member{Name: name}
		for i, v := range parts[name] {
			m.Shares[i] = ratio(v, w.total[i])
		}
		d.Members = append(d.Members, m)
	}
	slices.SortStableFunc(d.Members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(b.Shares[ByCriticality], a.Shares[ByCriticality]), cmp.Compare(a.Name, b.Name))
	})
	for i, by := range weights {
		c := Concentration{By: by, Known: w.total[i] > 0}
		var list []float64
		for _, m := range d.Members {
			list = append(list, m.Shares[i])
			if m.Name == "" {
				c.Unknown = m.Shares[i]
			}
			if m.Shares[i] > c.TopShare {
				c.Top, c.TopShare = m.Name, m.Shares[i]
			}
		}
		c.HHI = HHI(list)
		c.Effective = Effective(c.HHI)
		d.By = append(d.By, c)
	}
	return d
}
