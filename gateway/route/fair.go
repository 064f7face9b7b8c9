package route

import (
	"math"
	"slices"
)

// node is a party to the round robin: a class has tenants, a tenant has keys, a key has calls in the order of their coming.
type node struct {
	name   string
	n      int // calls below
	credit int64
	ring   []*node
	turn   int // in ring: who is asked first
	items  []*item
	head   *item // while a choice is made
}

// scan is how far down a key's calls is looked for one that can be served.
const scan = 8

// child finds or makes the party of a name.
func (x *node) child(name string) *node {
	if c := x.find(name); c != nil {
		return c
	}
	c := &node{name: name}
	x.ring = append(x.ring, c)
	return c
}

// find gives the party of a name, or nil.
func (x *node) find(name string) *node {
	if i := slices.IndexFunc(x.ring, func(c *node) bool { return c.name == name }); i >= 0 {
		return x.ring[i]
	}
	return nil
}

// drop takes a party out that has no calls any more. Its credit is gone with it.
func (x *node) drop(c *node) {
	i := slices.Index(x.ring, c)
	x.ring = slices.Delete(x.ring, i, i+1)
	if x.turn > i {
		x.turn--
	}
	if x.turn >= len(x.ring) {
		x.turn = 0
	}
}

// size is n, 0 for nil.
func (x *node) size() int {
	if x == nil {
		return 0
	}
	return x.n
}

// longest is the party with most calls.
func (x *node) longest() *node {
	return slices.MaxFunc(x.ring, func(a, b *node) int { return a.n - b.n })
}

// pick gives the call whose turn it is among those that take accepts, or nil. A party is served as long as its credit lasts. When that of all is too small, all who have a call that can be
// served are given the same, as much as the first of them needs.
func (x *node) pick(take func(*item) bool, quantum int64) *item {
	if len(x.ring) == 0 {
		for _, it := range x.items[:min(scan, len(x.items))] {
			if take(it) {
				return it
			}
		}
		return nil
	}
	rounds, serve := int64(math.MaxInt64), -1
	for i := range x.ring {
		j := (x.turn + i) % len(x.ring)
		c := x.ring[j]
		if c.head = c.pick(take, quantum); c.head == nil {
			continue
		}
		missing := max(0, (c.head.cost-c.credit+quantum-1)/quantum)
		if missing < rounds {
			rounds, serve = missing, j
		}
		if missing == 0 {
			break
		}
	}
	if serve < 0 {
		return nil
	}
	if rounds > 0 {
		for _, c := range x.ring {
			if c.head != nil {
				c.credit += rounds * quantum
			}
		}
	}
	it := x.ring[serve].head
	x.turn = serve
	for _, c := range x.ring {
		c.head = nil
	}
	return it
}

// expiry is a heap of items by the end of their patience.
type expiry []*item

// Len is of heap.Interface.
func (h expiry) Len() int { return len(h) }

// Less is of heap.Interface.
func (h expiry) Less(i, j int) bool { return h[i].until < h[j].until }

// Swap is of heap.Interface.
func (h expiry) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heap, h[j].heap = i, j
}

// Push is of heap.Interface.
func (h *expiry) Push(v any) {
	it := v.(*item)
	it.heap = len(*h)
	*h = append(*h, it)
}

// Pop is of heap.Interface.
func (h *expiry) Pop() any {
	old := *h
	it := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return it
}
