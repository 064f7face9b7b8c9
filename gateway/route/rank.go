package route

import (
	"math"
	"strconv"

	"decouple.dev/decouple/catalog"
)

// rank scores those candidates that may be chosen and gives the index of the best, or -1.
func (s *State) rank(opts []option, q *question, late bool, may func(*option) bool) int {
	strategy := q.Alias.Strategy
	if late {
		strategy = catalog.Fastest // of those that are all expected to miss the deadline
	}
	if late {
		q.dearer = -1 // a promise is no reason to miss a deadline by more
	}
	switch strategy {
	case catalog.Ordered, catalog.Cascade:
		return inOrder(opts, may)
	case catalog.Weighted:
		return s.byWeight(opts, q, may)
	case catalog.Cheapest:
		least := bestOf(opts)
		return nearBest(opts, q, may, func(o *option) float64 {
			if !o.priced {
				return 0.001
			}
			return (least.price + trifle) / (o.price + trifle)
		})
	case catalog.Fastest:
		least := bestOf(opts)
		return nearBest(opts, q, may, func(o *option) float64 { return (least.total + blink) / (o.total + blink) })
	}
	least := bestOf(opts)
	return nearBest(opts, q, may, func(o *option) float64 { return balance(o, least) })
}

// What is too little to tell two candidates apart, added to both sides of a ratio.
const (
	blink  = 50e6      // nanoseconds
	cent   = 1_000_000 // nano-dollars, where price is weighed against time: a tenth of a cent
	trifle = 1_000     // nano-dollars, where price alone counts
	near   = 0.97      // of the best score: as good as it
)

// balance weighs time, price, head-room and health together. A candidate with the best of all has 1. Head-room counts once less than a fifth is left.
func balance(o *option, least bests) float64 {
	score := (least.total + blink) / (o.total + blink)
	if o.priced {
		score *= (least.price + cent) / (o.price + cent)
	} else if least.price < math.MaxFloat64 {
		score *= 0.1 // an unknown price is not a low one
	}
	score = math.Sqrt(score) * o.health
	if o.headroom < 0.2 {
		score *= 0.25 + 0.75*o.headroom/0.2
	}
	return score
}

// bests are the best figures among the candidates that can take the call.
type bests struct{ total, price float64 }

func bestOf(opts []option) bests {
	b := bests{math.MaxFloat64, math.MaxFloat64}
	for i := range opts {
		if o := &opts[i]; o.rank != out {
			b.total = min(b.total, o.total)
			if o.priced {
				b.price = min(b.price, o.price)
			}
		}
	}
	return b
}

// nearBest scores all and chooses among those as good as the best: one that holds the prefix, else by dice, so that equals share the load.
func nearBest(opts []option, q *question, may func(*option) bool, score func(*option) float64) int {
	top := -1.0
	for i := range opts {
		o := &opts[i]
		if o.rank == out {
			continue
		}
		o.score = score(o)
		if may(o) {
			top = max(top, o.score)
		}
	}
	if top < 0 {
		return -1
	}
	if len(q.Prefer) > 0 && q.dearer >= 0 {
		if promised := keeping(opts, q, may, top); promised != nil {
			may, top, q.kept = promised, 0, true
			for i := range opts {
				if o := &opts[i]; o.rank != out && may(o) {
					top = max(top, o.score)
				}
			}
		}
	}
	n, warm := 0, -1
	for i := range opts {
		if o := &opts[i]; o.rank != out && o.score >= top*near && may(o) {
			n++
			if o.warm && (warm < 0 || o.score > opts[warm].score) {
				warm = i
			}
		}
	}
	if warm >= 0 {
		return warm
	}
	pick := int(dice(q.Random) % uint64(n))
	for i := range opts {
		if o := &opts[i]; o.rank != out && o.score >= top*near && may(o) {
			if pick == 0 {
				return i
			}
			pick--
		}
	}
	return -1
}

// keeping says which candidates keep a promise and are near enough to the best, whose score is top: they cost at most so much more, and their score is at most so much less. It is nil where
// none is. One of unknown price is near only to a best that has none either.
func keeping(opts []option, q *question, may func(*option) bool, top float64) func(*option) bool {
	best := math.MaxFloat64 // price of the best; of several, the lowest
	for i := range opts {
		if o := &opts[i]; o.rank != out && may(o) && o.score >= top*near && o.priced {
			best = min(best, o.price)
		}
	}
	keeps := func(o *option) bool {
		if !may(o) || o.score*(1+q.dearer) < top*near || best < math.MaxFloat64 && (!o.priced || o.price > best*(1+q.dearer)+trifle) {
			return false
		}
		_, ok := q.Prefer[q.Endpoints[o.i]]
		return ok
	}
	for i := range opts {
		if o := &opts[i]; o.rank != out && keeps(o) {
			return keeps
		}
	}
	return nil
}

// inOrder chooses the first.
func inOrder(opts []option, may func(*option) bool) int {
	first := -1
	for i := range opts {
		o := &opts[i]
		if o.rank == out {
			continue
		}
		o.score = 1 / float64(1+i)
		if first < 0 && may(o) {
			first = i
		}
	}
	return first
}

// byWeight chooses the target whose turn it is, and its best endpoint. Those without a weight come after all others, in order.
func (s *State) byWeight(opts []option, q *question, may func(*option) bool) int {
	target, least := "", math.MaxFloat64
	for i := range opts {
		o := &opts[i]
		if o.rank == out || !may(o) {
			continue
		}
		name, w := q.target(i, o.e)
		if w <= 0 {
			continue
		}
		if end := s.turns.of(q.Alias.Name, name, w) + 1/w; end < least-1e-9 {
			target, least = name, end
		}
	}
	if target == "" {
		return inOrder(opts, may)
	}
	bar := bestOf(opts)
	return nearBest(opts, q, func(o *option) bool {
		name, _ := q.target(o.i, o.e)
		return may(o) && name == target
	}, func(o *option) float64 { return balance(o, bar) })
}

// target is the name and weight of the target that the i-th endpoint of the need stands for.
func (n *Need) target(i int, e *endpoint) (string, float64) {
	if i < len(n.Weights) {
		return string(e.ID), float64(n.Weights[i])
	}
	for i := range n.Alias.Targets {
		if t := &n.Alias.Targets[i]; t.Endpoint == e.ID {
			return string(e.ID), float64(t.Weight)
		}
	}
	for i := range n.Alias.Targets {
		if t := &n.Alias.Targets[i]; t.Endpoint == "" && t.Model == e.Model {
			return string(e.Model), float64(t.Weight)
		}
	}
	return string(e.ID), 0
}

// second is the next best candidate after the chosen one, from another region's provider if there is one, or -1.
func second(opts []option, best int) int {
	with := -1
	without := -1
	for i := range opts {
		o := &opts[i]
		if i == best || o.rank > doubt || o.half {
			continue
		}
		if o.e.region != opts[best].e.region && (without < 0 || o.score > opts[without].score) {
			without = i
		}
		if with < 0 || o.score > opts[with].score {
			with = i
		}
	}
	if without >= 0 {
		return without
	}
	return with
}

// because says why a candidate was chosen.
func because(q *question, o *option) string {
	switch {
	case q.judging != nil:
		return "the last endpoint refused the call: this one tells whose fault that was"
	case o.half:
		return "its breaker waited for one call that finds out whether it is well again, and this is it"
	case o.verdict == TooSlow:
		return "no endpoint is expected to be done by the deadline: this one comes nearest"
	case o.rank == again:
		return "all others were tried or cannot take the call: this one is tried again"
	case o.rank == doubt:
		return "it is in doubt, and no endpoint that is well can take the call"
	}
	if why, ok := q.Prefer[q.Endpoints[o.i]]; ok && q.kept {
		return plainly(q) + ", of those that keep a promise and cost at most " + strconv.Itoa(int(q.dearer*100+0.5)) + " % more than the best: " + why
	}
	return plainly(q)
}

// plainly is what the strategy chooses by.
func plainly(q *question) string {
	switch q.Alias.Strategy {
	case catalog.Ordered:
		return "the first in order that can take the call"
	case catalog.Cascade:
		return "the next in order that can take the call"
	case catalog.Weighted:
		return "it is its turn by weight"
	case catalog.Cheapest:
		return "the lowest expected price"
	case catalog.Fastest:
		return "the shortest expected time"
	}
	return "the best of expected time, price, head-room and health together"
}
