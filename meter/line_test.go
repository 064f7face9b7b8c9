package meter_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/meter"
)

func priceOf(t *testing.T, provider, name string) catalog.Price {
	t.Helper()
	c, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	p, ok := c.PriceOf(catalog.Endpoint{Provider: provider, Name: name}, time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC))
	if !ok {
		t.Fatalf("%s/%s has no price", provider, name)
	}
	return p
}

// TestCost has amounts worked out by hand from the vendors' list prices.
func TestCost(t *testing.T) {
	t.Parallel()
	type use = decouple.Usage
	for _, x := range []struct {
		provider, name, region, class string
		u                             use
		want                          string
	}{
		// 1,000 x 2.5 + 500 x 15, per million
		{"openai", "gpt-5.4", "us", "", use{TokensIn: 1000, TokensOut: 500}, "0.01"},
		// the same, a tenth more for data that stays in the EU
		{"openai", "gpt-5.4", "eu", "", use{TokensIn: 1000, TokensOut: 500}, "0.011"},
		{"openai", "gpt-5.4", "us", "batch", use{TokensIn: 1000, TokensOut: 500}, "0.005"},
		{"openai", "gpt-5.4", "us", "priority", use{TokensIn: 1000, TokensOut: 500}, "0.02"},
		{"openai", "gpt-5.5", "eu", "priority", use{TokensIn: 1000, TokensOut: 500}, "0.055"}, // (0.005 + 0.015) x 2.5 x 1.1
		// 272,000 tokens are not over 272,000: 0.68 + 0.15
		{"openai", "gpt-5.4", "us", "", use{TokensIn: 272_000, TokensOut: 10_000}, "0.83"},
		// one more: 272,001 x 5 + 10,000 x 22.5
		{"openai", "gpt-5.4", "us", "", use{TokensIn: 272_001, TokensOut: 10_000}, "1.585005"},
		// 9,000 of 10,000 from the cache: 1,000 x 2.5 + 9,000 x 0.25 + 100 x 15
		{"openai", "gpt-5.4", "us", "", use{TokensIn: 10_000, Cached: 9_000, TokensOut: 100}, "0.00625"},
		// 2,000 fresh x 3 + 5,000 x 0.3 + 2,000 x 3.75 + 1,000 x 6 + 100 x 15
		{"anthropic", "claude-sonnet-4-6", "global", "", use{TokensIn: 10_000, Cached: 5_000, CacheWrite: 2_000, CacheLong: 1_000, TokensOut: 100}, "0.0225"},
		{"bedrock", "eu.anthropic.claude-sonnet-4-6", "eu-central-1", "", use{TokensIn: 10_000, Cached: 5_000, CacheWrite: 2_000, CacheLong: 1_000, TokensOut: 100}, "0.02475"},
		{"gemini", "gemini-2.5-pro", "global", "", use{TokensIn: 200_000, TokensOut: 1_000}, "0.26"},
		{"gemini", "gemini-2.5-pro", "global", "", use{TokensIn: 200_001, TokensOut: 1_000}, "0.5150025"},
		{"cerebras", "gpt-oss-120b", "us", "", use{TokensIn: 1, TokensOut: 1}, "0.0000011"},
		// 0.035 per million: one token is 35 nano-dollars; a cached one 8.75, which is 9
		{"bedrock", "amazon.nova-micro-v1:0", "us-east-1", "", use{TokensIn: 1}, "0.000000035"},
		{"bedrock", "amazon.nova-micro-v1:0", "us-east-1", "", use{TokensIn: 1, Cached: 1}, "0.000000009"},
		// 3 x 8.75 + 35 = 61.25: rounded once, not line by line
		{"bedrock", "amazon.nova-micro-v1:0", "us-east-1", "", use{TokensIn: 4, Cached: 3}, "0.000000061"},
		// 2 x 8.75 = 17.5: half goes up
		{"bedrock", "amazon.nova-micro-v1:0", "us-east-1", "", use{TokensIn: 2, Cached: 2}, "0.000000018"},
		{"openai", "gpt-5.4", "us", "", use{}, "0"},
		// more in the parts than in the whole: each part is charged, nothing is negative
		{"openai", "gpt-5.4", "us", "", use{TokensIn: 10, Cached: 100, TokensOut: -5}, "0.000025"},
	} {
		want, err := decouple.ParseMoney(x.want)
		if err != nil {
			t.Fatal(err)
		}
		if got := meter.Cost(priceOf(t, x.provider, x.name), x.region, x.class, x.u); got != want {
			t.Errorf("%s in %s, %q, %+v costs %s, want %s", x.name, x.region, x.class, x.u, got, want)
		}
	}
}

// TestCostIsExact compares with arithmetic without limits, and holds the ceiling above every cost.
func TestCostIsExact(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(1, 2))
	amount := func() int64 { return dice.Int64() >> dice.IntN(63) }
	for range 20_000 {
		p := catalog.Price{Class: map[string]catalog.Part{"c": catalog.Part(dice.IntN(5000))}, Uplift: map[string]catalog.Part{"r": catalog.Part(dice.IntN(2000))}}
		for i := range 1 + dice.IntN(3) {
			p.Tiers = append(p.Tiers, catalog.Tier{
				Above: int64(i) * 1000, In: decouple.Money(amount()), Cached: decouple.Money(amount()), CacheWrite: decouple.Money(amount()), CacheLong: decouple.Money(amount()), Out: decouple.Money(amount()),
			})
		}
		u := decouple.Usage{TokensIn: amount(), TokensOut: amount()}
		u.Cached = dice.Int64N(u.TokensIn + 1)
		u.CacheWrite = dice.Int64N(u.TokensIn - u.Cached + 1)
		u.CacheLong = dice.Int64N(u.TokensIn - u.Cached - u.CacheWrite + 1)
		sum := new(big.Int)
		for _, l := range meter.Lines(p, "r", "c", u) {
			n := big.NewInt(l.Tokens)
			for _, f := range []int64{int64(l.Price), int64(l.Uplift), int64(l.Class)} {
				n.Mul(n, big.NewInt(f))
			}
			sum.Add(sum, n)
		}
		sum.Add(sum, big.NewInt(500_000_000_000)).Div(sum, big.NewInt(1_000_000_000_000))
		want := decouple.Money(math.MaxInt64)
		if sum.IsInt64() {
			want = decouple.Money(sum.Int64())
		}
		got := meter.Cost(p, "r", "c", u)
		if got != want {
			t.Fatalf("%+v with %+v: %d, want %d", u, p, got, want)
		}
		if top := meter.Ceiling(p, "r", "c", u); top < got {
			t.Fatalf("%+v with %+v: the ceiling %d is below the cost %d", u, p, top, got)
		}
	}
}

func TestCostTakesNoMemory(t *testing.T) {
	p := priceOf(t, "openai", "gpt-5.4")
	if n := testing.AllocsPerRun(100, func() { _ = meter.Cost(p, "us", "", decouple.Usage{TokensIn: 10, TokensOut: 10, Cached: 5}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	got := meter.Lines(priceOf(t, "anthropic", "claude-sonnet-4-6"), "us", "batch", decouple.Usage{TokensIn: 10, Cached: 4, TokensOut: 3})
	want := []meter.Line{{meter.Fresh, 6, 3_000_000_000, 1000, 500}, {meter.Cached, 4, 300_000_000, 1000, 500}, {meter.Output, 3, 15_000_000_000, 1000, 500}}
	if len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("%+v", got)
	}
}
