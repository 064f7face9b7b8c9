package fleet

import "math"

// dice are numbers that look random and follow from a seed (splitmix64).
type dice struct{ state uint64 }

const golden = 0x9E3779B97F4A7C15

// scramble spreads the bits of a number over all of it.
func scramble(z uint64) uint64 {
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// stir makes one number of two.
func stir(seed, more uint64) uint64 { return scramble(seed + golden ^ more) }

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

// Shape says how a quantity is spread.
type Shape uint8

// The shapes.
const (
	Fixed       Shape = iota // always A
	LogNormal                // median A, 95 of 100 at most B
	Exponential              // mean A
	Uniform                  // from A to B
)

// Spread is a quantity that varies: tokens, calls, or nanoseconds. The zero value is always 0.
type Spread struct {
	Shape Shape
	A, B  float64
}

// Always is a quantity that does not vary.
func Always(v float64) Spread { return Spread{A: v} }

// z95 is how many deviations above the mean 95 of 100 of a normal distribution lie below.
const z95 = 1.6448536269514722

// draw is one value, rounded and not below zero.
func (s *Spread) draw(d *dice) int64 {
	v := s.A
	switch s.Shape {
	case LogNormal:
		if s.B > s.A && s.A > 0 {
			v *= math.Exp(math.Log(s.B/s.A) / z95 * d.normal())
		}
	case Exponential:
		v *= -math.Log(d.unit())
	case Uniform:
		v += (s.B - s.A) * d.unit()
	}
	return int64(min(max(v+0.5, 0), 1<<52))
}

// mean is the expected value.
func (s *Spread) mean() float64 {
	switch s.Shape {
	case LogNormal:
		if s.B > s.A && s.A > 0 {
			sigma := math.Log(s.B/s.A) / z95
			return s.A * math.Exp(sigma*sigma/2)
		}
	case Uniform:
		return (s.A + s.B) / 2
	}
	return s.A
}
