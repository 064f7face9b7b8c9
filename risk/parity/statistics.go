package parity

import (
	"math"
	"slices"
)

// z is the quantile of the normal distribution for intervals that leave out 5 % on either side: the one side that matters is held with 95 %.
const z = 1.6448536269514722

// Interval is a figure and how far it can be trusted: in nine of ten such evaluations the true one lies between Low and High.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Wilson is the score interval of a share that was found in n independent cases. Of none it is everything.
func Wilson(share, n float64) Interval {
	if n <= 0 {
		return Interval{0, 0, 1}
	}
	share = min(max(share, 0), 1)
	d := 1 + z*z/n
	mid := (share + z*z/(2*n)) / d
	half := z / d * math.Sqrt(share*(1-share)/n+z*z/(4*n*n))
	return Interval{share, max(0, min(share, mid-half)), min(1, max(share, mid+half))}
}

// Paired is the interval of the difference of two shares b-a that were found in the same cases: Newcombe's score interval for paired shares (1998, method 10). Each case gives
// how much of it, from 0 to 1, both did well. That both tend to do the same cases well makes it narrower, by their correlation, which is corrected downwards as Newcombe does.
func Paired(a, b []float64) (first, second, difference Interval) {
	n := float64(min(len(a), len(b)))
	first, second = Wilson(mean(a, same), n), Wilson(mean(b, same), n)
	return first, second, newcombe(first, second, correlation(a, b))
}

func same(f float64) float64 { return f }

// newcombe adds two score intervals up, less what they have in common.
func newcombe(a, b Interval, phi float64) Interval {
	side := func(x, y float64) float64 { return math.Sqrt(max(0, x*x-2*phi*x*y+y*y)) }
	d := b.Value - a.Value
	return Interval{d, max(-1, d-side(b.Value-b.Low, a.High-a.Value)), min(1, d+side(b.High-b.Value, a.Value-a.Low))}
}

// correlation is of two lists of shares, case by case. One that is positive is corrected for continuity, down to 0.
func correlation(a, b []float64) float64 {
	n := min(len(a), len(b))
	ma, mb := mean(a[:n], same), mean(b[:n], same)
	var ab, aa, bb float64
	for i := range n {
		ab, aa, bb = ab+(a[i]-ma)*(b[i]-mb), aa+(a[i]-ma)*(a[i]-ma), bb+(b[i]-mb)*(b[i]-mb)
	}
	if aa <= 1e-12 || bb <= 1e-12 {
		return 0
	}
	if ab > 0 {
		ab = max(0, ab-0.5)
	}
	return min(max(ab/math.Sqrt(aa*bb), -1), 1)
}

// rounds is how often a bootstrap draws.
const rounds = 2000

// Bootstrap is the interval of the ratio of the sums of b and a, pair by pair, by drawing pairs anew; the seed makes it the same every time. Without a sum of a there is none.
func Bootstrap(a, b []float64, seed uint64) (Interval, bool) {
	n := min(len(a), len(b))
	var sumA, sumB float64
	for i := range n {
		sumA, sumB = sumA+a[i], sumB+b[i]
	}
	if n == 0 || sumA <= 0 {
		return Interval{}, false
	}
	dice := splitmix(seed)
	drawn := make([]float64, 0, rounds)
	for range rounds {
		var x, y float64
		for range n {
			i := dice.intN(n)
			x, y = x+a[i], y+b[i]
		}
		if x > 0 {
			drawn = append(drawn, y/x)
		}
	}
	slices.Sort(drawn)
	at := func(q float64) float64 { return drawn[min(len(drawn)-1, int(q*float64(len(drawn))))] }
	return Interval{sumB / sumA, at(0.05), at(0.95)}, true
}

// splitmix is a generator of random numbers (Steele, Lea and Flood, 2014): small, and the same for a seed in every version of Go.
type splitmix uint64

// intN is a number from 0 to n-1. The bias of a remainder does not matter for the few cases that there are.
func (s *splitmix) intN(n int) int {
	*s += 0x9e3779b97f4a7c15
	x := uint64(*s)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return int((x ^ x>>31) % uint64(n))
}

// mostCases is where counting how many cases are needed ends.
const mostCases = 100_000

// Needed is how many cases it takes until shares such as these, that go together as these do, show that b is no worse than a by more than the margin; 0 is that no number would.
func Needed(a, b, phi, margin float64) int {
	if b-a <= -margin {
		return 0
	}
	shows := func(n int) bool {
		return newcombe(Wilson(a, float64(n)), Wilson(b, float64(n)), phi).Low > -margin
	}
	low, high := 0, 1
	for !shows(high) {
		if low, high = high, high*2; high > mostCases {
			return 0
		}
	}
	for low+1 < high {
		if mid := (low + high) / 2; shows(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

// quantile is of a list that is sorted.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
