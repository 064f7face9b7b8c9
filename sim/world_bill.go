package sim

import (
	"math"
	"math/bits"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

// Line is one call on a cloud's invoice.
type Line struct {
	ID         string          `json:"id"`                // as the cloud names the call in its answer's header
	Client     string          `json:"client,omitempty"`  // as the caller named it
	Account    string          `json:"account,omitempty"` // who pays: a fingerprint of the credential
	Cloud      string          `json:"cloud"`
	Region     string          `json:"region"`
	Model      string          `json:"model"` // as the cloud names it
	At         time.Time       `json:"at"`    // of its end
	Tier       string          `json:"tier,omitempty"`
	Stream     bool            `json:"stream"`
	In         int64           `json:"in"` // read and neither cached nor written to the cache
	Cached     int64           `json:"cached"`
	CacheWrite int64           `json:"cache_write"`
	CacheLong  int64           `json:"cache_long"`
	Out        int64           `json:"out"`
	Amount     decouple.Money  `json:"nano_usd"`
	Ended      Ending          `json:"ended"`
	Price      *catalog.Tier   `json:"-"` // that was applied
	Factors    [3]catalog.Part `json:"-"` // region, tier of service, fault
}

// Ending says how a call ended.
type Ending string

// The endings.
const (
	Whole    Ending = "whole"
	ByCaller Ending = "caller" // the caller went away
	ByCloud  Ending = "cloud"  // the cloud broke the answer off
)

// priceAt is the price that holds at a time, and its tier for a prompt of so many tokens.
func priceAt(prices []catalog.Price, at time.Time, in int64) (*catalog.Price, *catalog.Tier) {
	var p *catalog.Price
	for i := range prices {
		if i == 0 || !prices[i].From.After(at) {
			p = &prices[i]
		}
	}
	if p == nil || len(p.Tiers) == 0 {
		return nil, nil
	}
	t := &p.Tiers[0]
	for i := range p.Tiers {
		if in > p.Tiers[i].Above {
			t = &p.Tiers[i]
		}
	}
	return p, t
}

// factor is the entry of a table, or one.
func factor(m map[string]catalog.Part, key string) catalog.Part {
	if f, ok := m[key]; ok {
		return f
	}
	return thousand
}

const (
	thousand = 1000
	million  = 1_000_000
)

// charge works out the amount of a line: tokens times prices times factors, summed exactly in 128 bits and rounded once, half up.
func (l *Line) charge() {
	if l.Price == nil {
		return
	}
	var sum wide
	sum.add(l.In, l.Price.In)
	sum.add(l.Cached, l.Price.Cached)
	sum.add(l.CacheWrite, l.Price.CacheWrite)
	sum.add(l.CacheLong, l.Price.CacheLong)
	sum.add(l.Out, l.Price.Out)
	for _, f := range l.Factors {
		sum.times(uint64(f))
	}
	l.Amount = decouple.Money(sum.over(million * thousand * thousand * thousand))
}

// wide is a whole number of 128 bits. What does not fit stays at the largest.
type wide struct{ high, low uint64 }

func (w *wide) add(tokens int64, price decouple.Money) {
	if tokens <= 0 || price <= 0 {
		return
	}
	h, l := bits.Mul64(uint64(tokens), uint64(price))
	var carry uint64
	w.low, carry = bits.Add64(w.low, l, 0)
	w.high, carry = bits.Add64(w.high, h, carry)
	if carry != 0 {
		*w = wide{math.MaxUint64, math.MaxUint64}
	}
}

func (w *wide) times(f uint64) {
	h, l := bits.Mul64(w.low, f)
	over, high := bits.Mul64(w.high, f)
	high, carry := bits.Add64(high, h, 0)
	if over != 0 || carry != 0 {
		*w = wide{math.MaxUint64, math.MaxUint64}
		return
	}
	*w = wide{high, l}
}

// over divides, half up.
func (w wide) over(by uint64) int64 {
	low, carry := bits.Add64(w.low, by/2, 0)
	high, carry := bits.Add64(w.high, 0, carry)
	if carry != 0 || high >= by {
		return math.MaxInt64
	}
	q, _ := bits.Div64(high, low, by)
	return int64(min(q, math.MaxInt64))
}
