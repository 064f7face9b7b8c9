package fleet

import (
	"cmp"
	"maps"
	"slices"
)

// pool keeps what is used again, so that memory holds only what is under way at once.
type pool[T any] struct {
	all  []*T
	free []int32
}

// get gives one, used before or new, and its place in all.
func (p *pool[T]) get() (*T, int32) {
	if n := len(p.free); n > 0 {
		i := p.free[n-1]
		p.free = p.free[:n-1]
		return p.all[i], i
	}
	p.all = append(p.all, new(T))
	return p.all[len(p.all)-1], int32(len(p.all) - 1)
}

func (p *pool[T]) put(i int32) { p.free = append(p.free, i) }

// sortedKeys gives the keys of a map in order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
