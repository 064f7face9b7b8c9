package meter

import (
	"math"
	"math/bits"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

// What a line counts.
const (
	Fresh      = "input"       // read, and not from the cache
	Cached     = "cached"      // read from the prompt cache
	CacheWrite = "cache_write" // written to it for five minutes
	CacheLong  = "cache_long"  // written to it for an hour
	Output     = "output"      // written, thoughts included
)

// Line is one line of a call's bill: so many tokens at a price per million, times two factors in thousandths.
type Line struct {
	What   string         `json:"what"`
	Tokens int64          `json:"tokens"`
	Price  decouple.Money `json:"price"`  // per million tokens
	Uplift catalog.Part   `json:"uplift"` // of the region
	Class  catalog.Part   `json:"class"`  // of the tier of service
}

// One is the factor that changes nothing.
const One catalog.Part = 1000

// Lines are the lines of a call that used u. Its tier is that of all that it read; lines without tokens are left out.
func Lines(p catalog.Price, region, class string, u decouple.Usage) []Line {
	var buf [5]Line
	return append([]Line(nil), lines(&buf, p, region, class, u)...)
}

func lines(buf *[5]Line, p catalog.Price, region, class string, u decouple.Usage) []Line {
	t := tierOf(p, u.TokensIn)
	cached, write, long := max(u.Cached, 0), max(u.CacheWrite, 0), max(u.CacheLong, 0)
	fresh := max(u.TokensIn, 0)
	for _, part := range [...]int64{cached, write, long} {
		fresh = max(fresh-part, 0)
	}
	uplift, times := factor(p.Uplift, region), factor(p.Class, class)
	n := 0
	for _, l := range [...]Line{
		{What: Fresh, Tokens: fresh, Price: t.In}, {What: Cached, Tokens: cached, Price: t.Cached}, {What: CacheWrite, Tokens: write, Price: t.CacheWrite},
		{What: CacheLong, Tokens: long, Price: t.CacheLong}, {What: Output, Tokens: max(u.TokensOut, 0), Price: t.Out},
	} {
		if l.Tokens > 0 {
			l.Uplift, l.Class = uplift, times
			buf[n] = l
			n++
		}
	}
	return buf[:n]
}

// tierOf is the last tier that begins below the tokens read; of no tiers it is free.
func tierOf(p catalog.Price, tokensIn int64) catalog.Tier {
	var t catalog.Tier
	for i, next := range p.Tiers {
		if i == 0 || tokensIn > next.Above {
			t = next
		}
	}
	return t
}

// factor is 1 for what has none: a region without uplift, a tier of service at the usual price.
func factor(m map[string]catalog.Part, key string) catalog.Part {
	if f, ok := m[key]; ok && f >= 0 {
		return f
	}
	return One
}

// Cost is what a call costs that used u, at a region and a tier of service: one rounding, half up, on the exact sum of its lines. What does not fit is the largest amount there is.
func Cost(p catalog.Price, region, class string, u decouple.Usage) decouple.Money {
	var buf [5]Line
	return Total(lines(&buf, p, region, class, u))
}

// Total is the sum of lines, rounded once, half up.
func Total(list []Line) decouple.Money {
	var sum wide
	for _, l := range list {
		if l.Tokens <= 0 || l.Price <= 0 || l.Uplift <= 0 || l.Class <= 0 {
			continue
		}
		sum = sum.plus(wide{lo: uint64(l.Tokens)}.times(uint64(l.Price)).times(uint64(l.Uplift)).times(uint64(l.Class)))
	}
	const scale = 1_000_000 * 1000 * 1000 // a million tokens, and two factors in thousandths
	return sum.rounded(scale)
}

// Ceiling is at least what a call can cost that reads and writes at most the tokens of most, whatever of it the cache takes and whichever tier it falls into.
func Ceiling(p catalog.Price, region, class string, most decouple.Usage) decouple.Money {
	tokensIn, maxOut := most.TokensIn, most.TokensOut
	var worst catalog.Tier
	for i, t := range p.Tiers {
		if i == 0 || tokensIn > t.Above {
			worst.In = max(worst.In, t.In, t.Cached, t.CacheWrite, t.CacheLong)
			worst.Out = max(worst.Out, t.Out)
		}
	}
	uplift, times := factor(p.Uplift, region), max(factor(p.Class, class), One) // a provider may serve a cheaper tier at the usual one's price
	return Total([]Line{
		{What: Fresh, Tokens: max(tokensIn, 0), Price: worst.In, Uplift: uplift, Class: times}, {What: Output, Tokens: max(maxOut, 0), Price: worst.Out, Uplift: uplift, Class: times},
	})
}

// Highest is the most that a million tokens can cost in a region, read and written, of whichever tier, at the usual tier of service.
func Highest(p catalog.Price, region string) (in, out decouple.Money) {
	for _, t := range p.Tiers {
		in = max(in, t.In, t.Cached, t.CacheWrite, t.CacheLong)
		out = max(out, t.Out)
	}
	uplift := factor(p.Uplift, region)
	scale := func(m decouple.Money) decouple.Money {
		return wide{lo: uint64(max(m, 0))}.times(uint64(uplift)).plus(wide{lo: uint64(One) - 1}).rounded(uint64(One))
	}
	return scale(in), scale(out)
}

// wide is a number of 128 bits; over marks what went beyond.
type wide struct {
	hi, lo uint64
	over   bool
}

func (w wide) times(n uint64) wide {
	hi, lo := bits.Mul64(w.lo, n)
	top, mid := bits.Mul64(w.hi, n)
	sum, carry := bits.Add64(hi, mid, 0)
	return wide{hi: sum, lo: lo, over: w.over || top != 0 || carry != 0}
}

func (w wide) plus(v wide) wide {
	lo, carry := bits.Add64(w.lo, v.lo, 0)
	hi, carry := bits.Add64(w.hi, v.hi, carry)
	return wide{hi: hi, lo: lo, over: w.over || v.over || carry != 0}
}

// rounded divides, half up; what does not fit in Money is the largest Money.
func (w wide) rounded(by uint64) decouple.Money {
	w = w.plus(wide{lo: by / 2})
	if w.over || w.hi >= by {
		return math.MaxInt64
	}
	q, _ := bits.Div64(w.hi, w.lo, by)
	if q > math.MaxInt64 {
		return math.MaxInt64
	}
	return decouple.Money(q)
}
