package placement

import (
	"slices"

	"github.com/cedar-policy/cedar-go"
)

// CompileWithout is Compile that leaves clauses of a kind out: a test that still passes proves nothing of that kind.
func CompileWithout(b Book, at Moment, k Kind) (*Policy, error) {
	return compile(b, at, map[Kind]bool{k: true})
}

// JudgePlainly is Judge without the memo, the index and the sieves: Cedar is asked about every rule.
func (p *Policy) JudgePlainly(n *Need, at *Place) Ruling {
	need, place := *n, *at
	need.Class, need.Labels = lowered([]string{n.Class})[0], lowered(n.Labels)
	words := lowered([]string{at.Vendor, at.Cloud, at.Region, at.Geo, at.Lab, at.Model})
	place.Vendor, place.Cloud, place.Region, place.Geo, place.Lab, place.Model = words[0], words[1], words[2], words[3], words[4], words[5]
	place.Facts = p.factsOf(&place)
	return p.decide(&need, &place, p.matched(&need, &place, p.held(n), slices.Clone(p.rules)))
}

// Remembered is how many rulings are kept.
func (p *Policy) Remembered() int {
	n := 0
	for i := range p.memo.shard {
		n += len(p.memo.shard[i].now) + len(p.memo.shard[i].old)
	}
	return n
}

// MostRemembered is the bound of it.
const MostRemembered = shards * 2 * generation

// ReadCedar is how many policies Cedar finds in a text.
func ReadCedar(text string) (int, error) {
	list, err := cedar.NewPolicyListFromBytes("policies.cedar", []byte(text))
	return len(list), err
}
