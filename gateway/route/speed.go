package route

import (
	"math"
	"slices"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

// speed is how fast an endpoint answers.
type speed struct {
	first  float64 // nanoseconds to the first token of a short call: moves with the last ten
	normal float64 // the same: moves with the last hundred, and tells what is slow
	rate   float64 // tokens a second
	answer float64 // tokens of an answer
	busy   float64 // calls in flight, as a rule
	firsts, rates, answers,
	busies int
	at int64 // of the last measurement
}

// prefill is how many tokens of input double the time to the first token. It makes calls of different sizes comparable: a modelling choice.
const prefill = 16_000

// shape is how many times longer a call of so many tokens waits for its first token than a short one.
func shape(tokens float64) float64 { return 1 + tokens/prefill }

// ewma moves a mean towards a sample, at first by the plain mean.
func ewma(mean *float64, n *int, sample, least float64) {
	*n++
	*mean += (sample - *mean) * max(least, 1/float64(*n))
}

// sawFirst takes in a time to the first token and says whether it was far above the normal.
func (s *speed) sawFirst(took, tokens float64, t int64, cfg *Config) (slow bool) {
	x := max(1, took/shape(tokens))
	if s.firsts >= minSamples {
		slow = x > s.normal*cfg.SlowTimes && x > s.normal+float64(time.Second)
		s.normal *= math.Pow(min(max(x/s.normal, 0.25), 4), 0.01)
	} else {
		s.normal = x
		if s.firsts > 0 {
			s.normal = s.first
		}
	}
	ewma(&s.first, &s.firsts, x, 0.1)
	s.at = t
	return slow
}

// sawAnswer takes in the length of an answer and the time after its first token.
func (s *speed) sawAnswer(tokens int64, took float64, t int64) {
	if tokens <= 0 {
		return
	}
	ewma(&s.answer, &s.answers, float64(tokens), 0.05)
	if tokens >= 8 && took > 0 {
		ewma(&s.rate, &s.rates, float64(tokens)/took*1e9, 0.1)
	}
	s.at = t
}

// staleAfter is when a measurement begins to lose weight; as long again halves it.
const staleAfter = 5 * time.Minute

// expect gives the time to the first token of a call and its whole time, in nanoseconds. What has not been measured for long drifts back to what is expected of an unknown
// endpoint where that is better, so that a slow one gets another chance.
func (s *speed) expect(fresh, answer float64, t int64, cfg *Config) (first, total float64) {
	first, rate := float64(cfg.FirstToken), cfg.Rate
	if s.firsts > 0 {
		first = drift(s.first, first, t-s.at)
	}
	if s.rates > 0 {
		rate = s.rate
		if rate < cfg.Rate {
			rate = drift(rate, cfg.Rate, t-s.at)
		}
	}
	first *= shape(fresh)
	return first, first + answer/rate*1e9
}

// drift moves a measurement towards what is expected, by its age.
func drift(measured, expected float64, age int64) float64 {
	if age <= int64(staleAfter) {
		return measured
	}
	keep := math.Exp2(-float64(age-int64(staleAfter)) / float64(staleAfter))
	return expected + (measured-expected)*keep
}

// crowd is how much longer than lately calls take because of those in flight: they are not in the measurements yet.
func (e *endpoint) crowd() float64 {
	n := float64(e.load.inFlight)
	if e.load.concurrent > 0 {
		full := min(1, n/e.load.concurrent)
		return 1 + 2*full*full
	}
	if n <= e.speed.busy+1 {
		return 1
	}
	return min(2, 1+0.25*(n-e.speed.busy-1)/(e.speed.busy+2))
}

// dated is a price from an instant on, with the uplift of the region in it.
type dated struct {
	from  int64
	tiers []catalog.Tier
}

// datedPrices prepares prices, ascending by date, for an endpoint's region.
func datedPrices(prices []catalog.Price, region string) []dated {
	var all []dated
	for _, p := range prices {
		d := dated{from: math.MinInt64, tiers: slices.Clone(p.Tiers)}
		if !p.From.IsZero() {
			d.from = p.From.UnixNano()
		}
		if up, ok := p.Uplift[region]; ok {
			for i := range d.tiers {
				t := &d.tiers[i]
				for _, m := range []*decouple.Money{&t.In, &t.Cached, &t.Out} {
					*m = decouple.Money(float64(*m) * float64(up) / 1000)
				}
			}
		}
		all = append(all, d)
	}
	return all
}

// tier is the tier of prices for a call of so many tokens at t, or nil where none is known.
func (e *endpoint) tier(tokens, t int64) *catalog.Tier {
	for i := len(e.prices) - 1; i >= 0; i-- {
		if e.prices[i].from > t {
			continue
		}
		tiers := e.prices[i].tiers
		for j := len(tiers) - 1; j >= 0; j-- {
			if tokens > tiers[j].Above || tiers[j].Above == 0 {
				return &tiers[j]
			}
		}
		return nil
	}
	return nil
}

// price is what a call is expected to cost, in nano-dollars. cached of its tokens are read from the provider's cache.
func (e *endpoint) price(in int64, cached, answer float64, t int64) (price float64, known bool) {
	p := e.tier(in, t)
	if p == nil {
		return 0, false
	}
	read := float64(p.Cached)
	if read == 0 {
		read = float64(p.In)
	}
	return ((float64(in)-cached)*float64(p.In) + cached*read + answer*float64(p.Out)) / 1e6, true
}
