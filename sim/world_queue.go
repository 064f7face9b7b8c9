package sim

import "math"

// slots are the places of a model in a region where calls are worked on, first come first served. Each knows when it is free again.
type slots struct {
	free  []int64 // by slot: nanoseconds since the start
	heap  []int32 // slots, the one that is free first at the top
	place []int32 // by slot: where it stands in the heap
}

func newSlots(n int64) *slots {
	s := &slots{free: make([]int64, n), heap: make([]int32, n), place: make([]int32, n)}
	for i := range s.heap {
		s.free[i] = math.MinInt64
		s.heap[i], s.place[i] = int32(i), int32(i)
	}
	return s
}

// soonest is when the next slot is free.
func (s *slots) soonest(now int64) int64 { return max(now, s.free[s.heap[0]]) }

// take holds the next slot until a time.
func (s *slots) take(until int64) int32 {
	slot := s.heap[0]
	s.free[slot] = until
	s.down(0)
	return slot
}

// release frees a slot sooner than was thought, unless another call has been promised it since.
func (s *slots) release(slot int32, promised, now int64) {
	if s.free[slot] != promised || now >= promised {
		return
	}
	s.free[slot] = now
	s.up(int(s.place[slot]))
}

func (s *slots) less(i, j int) bool {
	a, b := s.heap[i], s.heap[j]
	return s.free[a] < s.free[b] || s.free[a] == s.free[b] && a < b
}

func (s *slots) swap(i, j int) {
	s.heap[i], s.heap[j] = s.heap[j], s.heap[i]
	s.place[s.heap[i]], s.place[s.heap[j]] = int32(i), int32(j)
}

func (s *slots) down(i int) {
	for {
		small := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(s.heap); c++ {
			if s.less(c, small) {
				small = c
			}
		}
		if small == i {
			return
		}
		s.swap(i, small)
		i = small
	}
}

func (s *slots) up(i int) {
	for i > 0 && s.less(i, (i-1)/2) {
		s.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}
