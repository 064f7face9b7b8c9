package sim

import (
	"math"
	"time"
)

// dice are numbers that look random and follow from a seed (splitmix64). They are written out here because what decides may not import a package of random numbers.
type dice struct{ state uint64 }

const golden = 0x9E3779B97F4A7C15

// scramble spreads the bits of a number over all of it.
func scramble(z uint64) uint64 {
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
	z = (z ^ (z >> 27)) * 0x94D049BB133111EB
	return z ^ (z >> 31)
}

// stir makes one number of several, in their order.
func stir(seed uint64, more ...uint64) uint64 {
	for _, m := range more {
		seed = scramble(seed + golden ^ m)
	}
	return seed
}

// spell makes a number of a text (FNV-1a).
func spell(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

func (d *dice) next() uint64 {
	d.state += golden
	return scramble(d.state)
}

// unit is a number from 0, not included, to 1.
func (d *dice) unit() float64 { return (float64(d.next()>>11) + 1) / (1 << 53) }

// normal is a number with mean 0 and deviation 1 (Box and Muller).
func (d *dice) normal() float64 {
	return math.Sqrt(-2*math.Log(d.unit())) * math.Cos(2*math.Pi*d.unit())
}

// Of the calls, tail take tailTimes as long.
const (
	tail      = 0.02
	tailTimes = 5.0
)

// lognormal is a spread made ready.
type lognormal struct {
	median float64 // nanoseconds
	sigma  float64
}

// fit finds the deviation with which 95 % of the calls, the long tail among them, take at most P95.
func (s Spread) fit() lognormal {
	l := lognormal{median: float64(s.P50)}
	if s.P95 <= s.P50 || s.P50 <= 0 {
		return l
	}
	ratio := math.Log(float64(s.P95) / float64(s.P50))
	low, high := 0.0, 4.0
	for range 60 {
		l.sigma = (low + high) / 2
		if (1-tail)*above(ratio/l.sigma)+tail*above((ratio-math.Log(tailTimes))/l.sigma) > 0.05 {
			high = l.sigma
		} else {
			low = l.sigma
		}
	}
	return l
}

// above is the share of a normal distribution that lies above x deviations.
func above(x float64) float64 { return math.Erfc(x/math.Sqrt2) / 2 }

// draw is one duration.
func (l lognormal) draw(d *dice) time.Duration {
	late := d.unit() <= tail
	v := l.median
	if l.sigma > 0 {
		v *= math.Exp(l.sigma * d.normal())
		if late {
			v *= tailTimes
		}
	}
	return time.Duration(v)
}
