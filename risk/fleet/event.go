package fleet

// happening says what an event of the calendar is.
type happening uint8

const (
	arrives happening = iota // a run of a workload
	loops                    // a run asks its next question
	again                    // a call that failed is made once more
	resumes                  // a call of the naive router has waited
	begins                   // an attempt's first token comes
	ends                     // an attempt is over
	hedges                   // an attempt has been silent for long
	wakes                    // somebody who waits can perhaps be served
	changes                  // another policy holds
	watches                  // progress is told
	tallies                  // promised shares are counted
)

// entry is something that will happen.
type entry struct {
	at   int64 // nanoseconds since the start
	seq  uint64
	ref  int32  // of a workload, run, attempt or change
	gen  uint32 // of an attempt: another one in its place is not meant
	what happening
}

// calendar is a heap of what will happen, the earliest first, and of what happens at once the first that was noted. Four children to a parent take fewer steps than two.
type calendar struct {
	heap []entry
	seq  uint64
}

func (c *calendar) less(a, b *entry) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

// add notes what will happen.
func (c *calendar) add(e entry) {
	c.seq++
	e.seq = c.seq
	h := append(c.heap, e)
	i := len(h) - 1
	for i > 0 {
		p := (i - 1) / 4
		if !c.less(&e, &h[p]) {
			break
		}
		h[i] = h[p]
		i = p
	}
	h[i] = e
	c.heap = h
}

// take takes the earliest.
func (c *calendar) take() (entry, bool) {
	h := c.heap
	if len(h) == 0 {
		return entry{}, false
	}
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	c.heap = h
	i := 0
	for {
		first := 4*i + 1
		if first >= len(h) {
			break
		}
		small := first
		for j := first + 1; j < min(first+4, len(h)); j++ {
			if c.less(&h[j], &h[small]) {
				small = j
			}
		}
		if !c.less(&h[small], &last) {
			break
		}
		h[i] = h[small]
		i = small
	}
	if len(h) > 0 {
		h[i] = last
	}
	return top, true
}
