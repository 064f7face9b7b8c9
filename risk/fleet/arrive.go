package fleet

import (
	"cmp"
	"math"
	"time"
)

const day = float64(24 * time.Hour)

// filled is a with what its zero values stand for.
func (a Arrival) filled() Arrival {
	a.Pattern = cmp.Or(a.Pattern, Poisson)
	switch a.Pattern {
	case Burst:
		a.Every, a.For, a.Times = cmp.Or(a.Every, 10*time.Minute), cmp.Or(a.For, time.Minute), cmp.Or(a.Times, 5)
	case Daily:
		a.Peak, a.Swing = cmp.Or(a.Peak, 14*time.Hour), cmp.Or(a.Swing, 0.8)
	}
	return a
}

// rate is how many runs come in a nanosecond at a time; midnight is when the day before the start began, on the same scale.
func (a *Arrival) rate(at, midnight float64) float64 {
	mean := a.Rate / 1e9
	switch a.Pattern {
	case Burst:
		share := float64(a.For) / float64(a.Every)
		if math.Mod(at, float64(a.Every)) < float64(a.For) {
			return mean * a.Times
		}
		return mean * (1 - a.Times*share) / (1 - share)
	case Daily:
		return mean * (1 + a.Swing*math.Cos(2*math.Pi*(at-midnight-float64(a.Peak))/day))
	}
	return mean
}

// most is the highest rate.
func (a *Arrival) most() float64 {
	switch a.Pattern {
	case Burst:
		share := float64(a.For) / float64(a.Every)
		return a.Rate / 1e9 * max(a.Times, (1-a.Times*share)/(1-share))
	case Daily:
		return a.Rate / 1e9 * (1 + a.Swing)
	}
	return a.Rate / 1e9
}

// next is when the run after one at a time comes. Patterns that vary are thinned out of the highest rate.
func (a *Arrival) next(at, midnight float64, d *dice) float64 {
	most := a.most()
	if !(most > 0) {
		return math.MaxFloat64
	}
	if a.Pattern == Steady {
		return at + 1/most
	}
	for range 1 << 20 {
		at += -math.Log(d.unit()) / most
		if a.Pattern == Poisson || d.unit()*most <= a.rate(at, midnight) {
			return at
		}
	}
	return at
}
