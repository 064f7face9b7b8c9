package decouple_test

import (
	"math"
	"testing"

	"decouple.dev/decouple"
)

func TestMoney(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want decouple.Money
		out  string
	}{
		{"0", 0, "0.00"}, {"2", 2 * decouple.USD, "2.00"}, {"0.25", decouple.USD / 4, "0.25"}, {"2.000000001", 2*decouple.USD + 1, "2.000000001"},
		{" 1.5 ", 3 * decouple.USD / 2, "1.50"}, {"9000000000", 9_000_000_000 * decouple.USD, "9000000000.00"},
	} {
		got, err := decouple.ParseMoney(c.text)
		if err != nil || got != c.want || got.String() != c.out {
			t.Errorf("%q is %d (%s), %v; want %d (%s)", c.text, got, got, err, c.want, c.out)
		}
	}
	for _, bad := range []string{"", ".5", "-1", "+1", "1.0000000001", "1,5", "2 USD", "1.-5", "99999999999", "1e3", "1.5.5"} {
		if got, err := decouple.ParseMoney(bad); decouple.KindOf(err) != decouple.Invalid {
			t.Errorf("%q was read as %d, %v", bad, got, err)
		}
	}
	if s := decouple.Money(-1_500_000_000).String(); s != "-1.50" {
		t.Error(s)
	}
	if s := decouple.Money(math.MinInt64).String(); s != "-9223372036.854775808" {
		t.Error(s)
	}
}

func FuzzParseMoney(f *testing.F) {
	for _, s := range []string{"0", "1.5", "-1", "1e3", "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := decouple.ParseMoney(s)
		if err != nil {
			return
		}
		if again, err := decouple.ParseMoney(m.String()); m < 0 || err != nil || again != m {
			t.Errorf("%q is %s, which is %s, %v", s, m, again, err)
		}
	})
}

func TestCost(t *testing.T) {
	t.Parallel()
	p := decouple.Price{In: 3 * decouple.USD, Out: 15 * decouple.USD, Known: true}
	for _, c := range []struct {
		in, out int64
		want    decouple.Money
	}{
		{0, 0, 0}, {1, 0, 3000}, {0, 1, 15000}, {1_000_000, 1_000_000, 18 * decouple.USD}, {2_500_001, 0, 7*decouple.USD + 500_003_000},
	} {
		if got := p.Cost(decouple.Usage{TokensIn: c.in, TokensOut: c.out}); got != c.want {
			t.Errorf("%d in and %d out cost %s, want %s", c.in, c.out, got, c.want)
		}
	}
	// One rounding, half up, on the sum of the lines: 0.4 and 0.2 nano-dollars are 1, and 0.4 alone is 0.
	tiny := decouple.Price{In: 400_000, Out: 200_000}
	if got := tiny.Cost(decouple.Usage{TokensIn: 1, TokensOut: 1}); got != 1 {
		t.Errorf("0.6 nano-dollars are rounded to %d", got)
	}
	if got := tiny.Cost(decouple.Usage{TokensIn: 1}); got != 0 {
		t.Errorf("0.4 nano-dollars are rounded to %d", got)
	}
}
