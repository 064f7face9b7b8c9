package main

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets whose width is at most 1/64 of their value.
type histogram struct {
	counts [64 * 40]int
	n      int
	max    time.Duration
}

const mantissa = 6

func bucket(ns uint64) int {
	if ns < 1<<mantissa {
		return int(ns)
	}
	exp := bits.Len64(ns) - mantissa - 1
	return (exp+1)<<mantissa + int(ns>>exp) - 1<<mantissa
}

// top is the highest value in a bucket.
func top(i int) time.Duration {
	if i < 1<<mantissa {
		return time.Duration(i)
	}
	exp := i>>mantissa - 1
	return time.Duration((uint64(i&(1<<mantissa-1)|1<<mantissa)+1)<<exp - 1)
}

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[min(bucket(uint64(d)), len(h.counts)-1)]++
	h.n++
	h.max = max(h.max, d)
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.n += o.n
	h.max = max(h.max, o.max)
}

// at is the value below which a part of all lies, in microseconds.
func (h *histogram) at(part float64) float64 {
	left := int(part * float64(h.n))
	for i, n := range h.counts {
		if left -= n; left < 0 {
			return float64(min(top(i), h.max)) / 1e3
		}
	}
	return float64(h.max) / 1e3
}
