package fleet

import (
	"math/bits"
	"time"
)

// Histogram counts durations in classes that are at most a thirty-second wide, so that its size does not grow with what it counts. The zero value is empty.
type Histogram struct {
	counts []int64 // by class; as long as the longest duration needs
	n      int64
	sum    float64
	most   time.Duration
}

const (
	fine    = 5  // bits of a class within a power of two
	crumbs  = 10 // bits that are not told apart: a microsecond
	classes = (64 - crumbs) << fine
)

// classOf is the class of a duration.
func classOf(d time.Duration) int {
	v := uint64(max(d, 0)) >> crumbs
	if v < 1<<fine {
		return int(v)
	}
	e := bits.Len64(v) - fine - 1
	return (e+1)<<fine + int(v>>e)&(1<<fine-1)
}

// edge is the least duration of a class.
func edge(class int) time.Duration {
	if class < 1<<fine {
		return time.Duration(class) << crumbs
	}
	e := class>>fine - 1
	return time.Duration(uint64(1<<fine+class&(1<<fine-1))<<e) << crumbs
}

// Add counts a duration.
func (h *Histogram) Add(d time.Duration) {
	c := classOf(d)
	if c >= len(h.counts) {
		more := make([]int64, min(classes, c+1<<fine))
		copy(more, h.counts)
		h.counts = more
	}
	h.counts[c]++
	h.n++
	h.sum += float64(d)
	h.most = max(h.most, d)
}

// Merge counts all that another has counted.
func (h *Histogram) Merge(o *Histogram) {
	if len(o.counts) > len(h.counts) {
		more := make([]int64, len(o.counts))
		copy(more, h.counts)
		h.counts = more
	}
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.n, h.sum, h.most = h.n+o.n, h.sum+o.sum, max(h.most, o.most)
}

// Count is how many durations were counted.
func (h *Histogram) Count() int64 { return h.n }

// Mean is their mean, exact; 0 of none.
func (h *Histogram) Mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return time.Duration(h.sum / float64(h.n))
}

// Max is the longest, exact.
func (h *Histogram) Max() time.Duration { return h.most }

// Quantile is the duration that a share of them, from 0 to 1, does not exceed, to within three hundredths; 0 of none.
func (h *Histogram) Quantile(share float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := share * float64(h.n)
	below := 0.0
	for c, n := range h.counts {
		if n == 0 {
			continue
		}
		if below+float64(n) >= rank {
			low, high := edge(c), edge(c+1)
			return min(h.most, low+time.Duration(float64(high-low)*max(0, rank-below)/float64(n)))
		}
		below += float64(n)
	}
	return h.most
}

// Times are the figures of a histogram that people look at.
type Times struct {
	Mean time.Duration `json:"mean_ns"`
	P50  time.Duration `json:"p50_ns"`
	P95  time.Duration `json:"p95_ns"`
	P99  time.Duration `json:"p99_ns"`
	Max  time.Duration `json:"max_ns"`
}

// Times gives the figures that people look at.
func (h *Histogram) Times() Times {
	return Times{h.Mean(), h.Quantile(0.5), h.Quantile(0.95), h.Quantile(0.99), h.Max()}
}
