package decouple

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Money is an amount of US dollars in nano-dollars (1e-9 USD).
type Money int64

// USD is one dollar.
const USD Money = 1_000_000_000

// String gives dollars with at least two and at most nine decimals.
func (m Money) String() string {
	sign, v := "", uint64(m)
	if m < 0 {
		sign, v = "-", -v
	}
	frac := strings.TrimRight(fmt.Sprintf("%09d", v%uint64(USD)), "0")
	for len(frac) < 2 {
		frac += "0"
	}
	return sign + strconv.FormatUint(v/uint64(USD), 10) + "." + frac
}

// Dollars is m as a floating-point number of dollars, for display.
func (m Money) Dollars() float64 { return float64(m) / float64(USD) }

// ParseMoney reads dollars, for example "2", "0.25" or "2.000000001"; anything else, and more than nine decimals, is Invalid.
func ParseMoney(s string) (Money, error) {
	whole, frac, _ := strings.Cut(strings.TrimSpace(s), ".")
	bad := Errorf(Invalid, "%q is not an amount of dollars such as 0.25", s)
	if whole == "" || len(frac) > 9 {
		return 0, bad
	}
	w, err := strconv.ParseUint(whole, 10, 63)
	if err != nil || w > math.MaxInt64/uint64(USD)-1 {
		return 0, bad
	}
	f, err := strconv.ParseUint(frac+strings.Repeat("0", 9-len(frac)), 10, 63)
	if err != nil {
		return 0, bad
	}
	return Money(w)*USD + Money(f), nil
}

// Price is what a model costs, per million tokens.
type Price struct {
	In    Money `json:"in"`
	Out   Money `json:"out"`
	Known bool  `json:"known"`           // an unknown price is not zero
	Local bool  `json:"local,omitempty"` // the model runs in this process: a call that died with it used nothing
}

// Cost is the price of a usage: one rounding, half up, on the sum of its lines.
func (p Price) Cost(u Usage) Money {
	const million = 1_000_000
	in, out := int64(u.TokensIn), int64(u.TokensOut)
	// Whole millions first, so that the products of the remainders stay within 64 bits for prices up to 9,000 USD.
	sum := in/million*int64(p.In) + out/million*int64(p.Out)
	rest := in%million*int64(p.In) + out%million*int64(p.Out)
	return Money(sum + (rest+million/2)/million)
}
