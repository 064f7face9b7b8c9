package sim

import (
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

// TestInvoicesWorkedByHand has the amounts as a person works them out on paper.
func TestInvoicesWorkedByHand(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		call   Call
		cached int64 // tokens that an earlier call has left in the cache
		want   decouple.Money
	}{
		// 1,000 x 2.50 + 200 x 15.00 = 2,500 + 3,000 micro-dollars.
		{"plain", Call{Cloud: "openai", Model: "gpt-5.4", In: 1000, Out: 200}, 0, 5_500_000},
		// The region eu is ten per cent dearer: 5,500 x 1.1 = 6,050.
		{"uplift", Call{Cloud: "openai", Model: "gpt-5.4", Region: "eu", In: 1000, Out: 200}, 0, 6_050_000},
		// Flex is half the price: 6,050 / 2 = 3,025.
		{"uplift and class", Call{Cloud: "openai", Model: "gpt-5.4", Region: "eu", Tier: "flex", In: 1000, Out: 200}, 0, 3_025_000},
		// Over 272,000 tokens all of it is at 5.00 and 22.50: 1,360,005 + 2,250.
		{"long", Call{Cloud: "openai", Model: "gpt-5.4", In: 272_001, Out: 100}, 0, 1_362_255_000},
		{"not yet long", Call{Cloud: "openai", Model: "gpt-5.4", In: 272_000, Out: 0, Embed: true}, 0, 680_000_000},
		// 2,000 of 3,000 were seen before; 1,920 is the multiple of 128 below: 1,080 x 2.50 + 1,920 x 0.25 + 15 = 2,700 + 480 + 15.
		{"cached", Call{Cloud: "openai", Model: "gpt-5.4", In: 3000, Out: 1}, 2000, 3_195_000},
		// One token at 0.02 a million is 20 nano-dollars.
		{"small", Call{Cloud: "openai", Model: "text-embedding-3-small", In: 1, Embed: true}, 0, 20},
		// Regional 3.30 and 16.50: 1,000 x 3.30 + 10 x 16.50 = 3,465.
		{"bedrock, regional", Call{Cloud: "aws-claude", Model: "anthropic.claude-sonnet-4-6", In: 1000, Out: 10}, 0, 3_465_000},
		{"bedrock, global", Call{Cloud: "aws-claude", Model: "anthropic.claude-sonnet-4-6", In: 1000, Out: 10, Global: true}, 0, 3_150_000},
		{"groq", Call{Cloud: "groq", Model: "gpt-oss-120b", In: 7, Out: 3}, 0, 7*150 + 3*600},
	} {
		s := defaults(t)
		s.Start = epoch
		w, err := New(s.Config)
		if err != nil {
			t.Fatal(err)
		}
		tt.call.Stream = true
		if tt.cached > 0 {
			tt.call.Prefixes = []Prefix{{Hash: 1, Tokens: tt.cached}, {Hash: 2, Tokens: tt.call.In}}
			first := tt.call
			first.In, first.Prefixes = tt.cached, tt.call.Prefixes[:1]
			w.Done(w.Ask(first, epoch), false, epoch)
		}
		p := w.Ask(tt.call, epoch)
		l, ok := w.Done(p, false, epoch.Add(p.Ends()))
		if !ok || l.Amount != tt.want {
			t.Errorf("%s: %d nano-dollars, by hand %d: %+v", tt.name, l.Amount, tt.want, l)
		}
	}
}

func TestOneRoundingHalfUp(t *testing.T) {
	t.Parallel()
	line := func(in, out int64, tier catalog.Tier, f ...catalog.Part) decouple.Money {
		l := Line{In: in, Out: out, Price: &tier, Factors: [3]catalog.Part{1000, 1000, 1000}}
		copy(l.Factors[:], f)
		l.charge()
		return l.Amount
	}
	// 0.4 + 0.4 nano-dollars are 0.8: one, where each rounded alone would be none.
	if got := line(2, 2, catalog.Tier{In: 200_000, Out: 200_000}); got != 1 {
		t.Errorf("0.8 is %d", got)
	}
	for _, tt := range []struct {
		price decouple.Money
		want  decouple.Money
	}{{499_999, 0}, {500_000, 1}, {1_499_999, 1}, {1_500_000, 2}} {
		if got := line(1, 0, catalog.Tier{In: tt.price}); got != tt.want {
			t.Errorf("%d millionths are %d, not %d", tt.price, got, tt.want)
		}
	}
	// 0.4545 x 1.1 = 0.49995: the factor comes before the rounding.
	if got := line(1, 0, catalog.Tier{In: 454_500}, 1100); got != 0 {
		t.Errorf("0.49995 is %d", got)
	}
	if got := line(1, 0, catalog.Tier{In: 454_546}, 1100); got != 1 {
		t.Errorf("0.5000006 is %d", got)
	}
}

// FuzzCharge compares the arithmetic of 128 bits with one that has no limit.
func FuzzCharge(f *testing.F) {
	f.Add(int64(1000), int64(2_500_000_000), int64(200), int64(15_000_000_000), uint32(1100), uint32(500), uint32(3000))
	f.Add(int64(1e12), int64(1e15), int64(1e12), int64(1e15), uint32(1e6), uint32(1e6), uint32(1e6))
	f.Fuzz(func(t *testing.T, in, inPrice, out, outPrice int64, a, b, c uint32) {
		l := Line{In: in, Out: out, Price: &catalog.Tier{In: decouple.Money(inPrice), Out: decouple.Money(outPrice)}, Factors: [3]catalog.Part{catalog.Part(a), catalog.Part(b), catalog.Part(c)}}
		l.charge()
		sum := new(big.Int)
		for _, x := range [][2]int64{{in, inPrice}, {out, outPrice}} {
			if x[0] > 0 && x[1] > 0 {
				sum.Add(sum, new(big.Int).Mul(big.NewInt(x[0]), big.NewInt(x[1])))
			}
		}
		for _, x := range []uint32{a, b, c} {
			sum.Mul(sum, big.NewInt(int64(x)))
		}
		sum.Add(sum, big.NewInt(5e14))
		sum.Quo(sum, big.NewInt(1e15))
		want := int64(math.MaxInt64)
		if sum.IsInt64() {
			want = sum.Int64()
		}
		if int64(l.Amount) != want && !(want < math.MaxInt64 && l.Amount == math.MaxInt64 && beyond(in, inPrice, out, outPrice, a, b, c)) {
			t.Errorf("%d, and ought to be %d", l.Amount, want)
		}
	})
}

// beyond says that the sum did not fit 128 bits on the way; then the largest amount is right.
func beyond(in, inPrice, out, outPrice int64, factors ...uint32) bool {
	sum := new(big.Int).Add(new(big.Int).Mul(big.NewInt(in), big.NewInt(inPrice)), new(big.Int).Mul(big.NewInt(out), big.NewInt(outPrice)))
	for _, f := range factors {
		if sum.Mul(sum, big.NewInt(int64(f))); sum.BitLen() > 127 {
			return true
		}
	}
	return false
}

func TestPricesHaveDates(t *testing.T) {
	t.Parallel()
	price := func(from time.Time, in decouple.Money) catalog.Price {
		return catalog.Price{From: from, Tiers: []catalog.Tier{{In: in * decouple.USD}}}
	}
	w := made(t, simple(func(c *Cloud) {
		c.Models[0].Prices = []catalog.Price{price(time.Time{}, 1), price(after(time.Hour), 2), price(after(2*time.Hour), 3)}
	}))
	for at, want := range map[time.Duration]decouple.Money{0: 1, time.Hour - 1: 1, time.Hour: 2, 5 * time.Hour: 3} {
		c := call(1_000_000, 0)
		c.Embed = true
		l, _ := w.Done(w.Ask(c, after(at)), false, after(at))
		if l.Amount != want*decouple.USD {
			t.Errorf("after %v a million tokens cost %v", at, l.Amount)
		}
	}
}

func TestCacheByMarks(t *testing.T) {
	t.Parallel()
	c := simple(func(c *Cloud) {
		c.Vendor, c.Cache = Anthropic, Cache{Kind: CacheMarks, Min: 1024, Keep: 5 * time.Minute}
	})
	w := made(t, c)
	hour, five := time.Hour, 5*time.Minute
	ask := func(at time.Duration, in int64, p ...Prefix) decouple.Usage {
		x := call(in, 1)
		x.Prefixes = p
		u := w.Ask(x, after(at)).Usage
		u.TokensOut = 0
		return u
	}
	for _, tt := range []struct {
		name string
		got  decouple.Usage
		want decouple.Usage
	}{
		{"unmarked", ask(0, 3000, Prefix{Hash: 9, Tokens: 2000}), decouple.Usage{TokensIn: 3000}},
		{"written for an hour and for five minutes", ask(0, 5000, Prefix{1, 2000, hour}, Prefix{2, 4000, five}), decouple.Usage{TokensIn: 5000, CacheLong: 2000, CacheWrite: 2000}},
		{"read, and more written", ask(4*time.Minute, 6000, Prefix{1, 2000, hour}, Prefix{2, 4000, five}, Prefix{3, 5500, five}), decouple.Usage{TokensIn: 6000, Cached: 4000, CacheWrite: 1500}},
		{"using prolongs", ask(8*time.Minute, 4000, Prefix{1, 2000, hour}, Prefix{2, 4000, five}), decouple.Usage{TokensIn: 4000, Cached: 4000}},
		{"five minutes are over", ask(20*time.Minute, 4000, Prefix{1, 2000, hour}, Prefix{2, 4000, five}), decouple.Usage{TokensIn: 4000, Cached: 2000, CacheWrite: 2000}},
		{"the hour is over", ask(90*time.Minute, 4000, Prefix{1, 2000, hour}, Prefix{2, 4000, 0}), decouple.Usage{TokensIn: 4000, CacheLong: 2000}},
		{"too short", ask(0, 1000, Prefix{5, 1000, five}), decouple.Usage{TokensIn: 1000}},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestCacheOfItself(t *testing.T) {
	t.Parallel()
	for _, writes := range []bool{false, true} {
		w := made(t, simple(func(c *Cloud) {
			c.Cache = Cache{Kind: CacheAuto, Min: 1024, Step: 128, Keep: 5 * time.Minute, Writes: writes}
		}))
		x := call(2000, 1)
		x.Prefixes = []Prefix{{Hash: 1, Tokens: 1100}, {Hash: 2, Tokens: 2000}}
		first, again := w.Ask(x, epoch).Usage, w.Ask(x, after(time.Minute)).Usage
		if first.Cached != 0 || again.Cached != 1920 {
			t.Errorf("cached are %d, then %d", first.Cached, again.Cached)
		}
		if got := first.CacheWrite == 2000; got != writes {
			t.Errorf("writes %v: written are %d", writes, first.CacheWrite)
		}
		y := x
		y.Account = "b"
		if w.Ask(y, after(time.Minute)).Usage.Cached != 0 {
			t.Error("one account reads another's cache")
		}
		if w.Ask(x, after(7*time.Minute)).Usage.Cached != 0 {
			t.Error("it is kept for more than five minutes")
		}
	}
}

// TestWhatIsBilledOfAPart has a call of 100 tokens in and 11 out: the first after 100 ms, one more each 10 ms. In costs 200,000 nano-dollars, each token out 10,000.
func TestWhatIsBilledOfAPart(t *testing.T) {
	t.Parallel()
	const in = 200_000
	for _, tt := range []struct {
		name   string
		vendor Vendor
		fault  *Fault
		left   bool
		after  time.Duration
		whole  bool // not a stream
		want   decouple.Money
		ended  Ending
	}{
		{"to its end", OpenAI, nil, false, 200 * time.Millisecond, false, in + 110_000, Whole},
		{"left before the first token", OpenAI, nil, true, 99 * time.Millisecond, false, in, ByCaller},
		{"left after five", OpenAI, nil, true, 140 * time.Millisecond, false, in + 50_000, ByCaller},
		{"left after five, anthropic", Anthropic, nil, true, 149 * time.Millisecond, false, in + 50_000, ByCaller},
		{"left after five, bedrock writes on", Bedrock, nil, true, 140 * time.Millisecond, false, in + 110_000, ByCaller},
		{"left after five, groq writes on", Groq, nil, true, 140 * time.Millisecond, false, in + 110_000, ByCaller},
		{"left, not a stream", OpenAI, nil, true, 140 * time.Millisecond, true, in + 110_000, ByCaller},
		{"cut after three", OpenAI, &Fault{Kind: Cut, After: 3}, false, 120 * time.Millisecond, false, in + 30_000, ByCloud},
		{"cut after three, gemini", Gemini, &Fault{Kind: Cut, After: 3}, false, 120 * time.Millisecond, false, 0, ByCloud},
		{"an error at once", Anthropic, &Fault{Kind: ErrorIn200}, false, 100 * time.Millisecond, false, in, ByCloud},
		{"empty", OpenAI, &Fault{Kind: Empty}, false, 100 * time.Millisecond, false, in, Whole},
		{"three times the price", OpenAI, &Fault{Kind: PriceTimes, Factor: 3}, false, 200 * time.Millisecond, false, 3 * (in + 110_000), Whole},
		{"left in a stall", OpenAI, &Fault{Kind: Stall, After: 2, For: time.Minute}, true, 30 * time.Second, false, in + 20_000, ByCaller},
		{"after a stall", OpenAI, &Fault{Kind: Stall, After: 2, For: time.Minute}, true, 60*time.Second + 130*time.Millisecond, false, in + 40_000, ByCaller},
	} {
		w := made(t, simple(func(c *Cloud) { c.Vendor = tt.vendor }))
		if tt.fault != nil {
			if _, err := w.AddFault(*tt.fault); err != nil {
				t.Fatal(err)
			}
		}
		c := call(100, 11)
		c.Stream = !tt.whole
		p := w.Ask(c, epoch)
		l, ok := w.Done(p, tt.left, after(tt.after))
		if !ok || l.Amount != tt.want || l.Ended != tt.ended {
			t.Errorf("%s: %d, %s; by hand %d, %s", tt.name, l.Amount, l.Ended, tt.want, tt.ended)
		}
	}
}

func TestWhoLeavesTheQueuePaysNothing(t *testing.T) {
	t.Parallel()
	w := made(t, simple(func(c *Cloud) { c.Concurrent = 1 }))
	w.Ask(call(100, 101), epoch)
	p := w.Ask(call(100, 101), epoch)
	if l, _ := w.Done(p, true, after(time.Second)); l.Amount != 0 || l.In != 0 || l.Ended != ByCaller {
		t.Errorf("it pays %+v", l)
	}
}

func TestRefusedCallsAreOnNoInvoice(t *testing.T) {
	t.Parallel()
	w := made(t, simple(), Fault{Kind: Storm})
	if _, ok := w.Done(w.Ask(call(100, 1), epoch), false, epoch); ok {
		t.Error("a refused call is on the invoice")
	}
}

// TestMadeAgreesWithTheSchedule wants that the tokens counted at any time are those whose time has come.
func TestMadeAgreesWithTheSchedule(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		d := dice{seed}
		p := Plan{First: time.Duration(d.next() % 1e9), Every: time.Duration(d.next() % 1e8), Usage: decouple.Usage{TokensOut: int64(d.next() % 50)}}
		if d.unit() < 0.6 {
			p.Stall = Pause{After: int64(d.next() % 60), For: time.Duration(d.next() % 1e10)}
		}
		if d.unit() < 0.3 {
			p.Break = Break{Kind: Cut, After: int64(d.next() % 60)}
		}
		for range 50 {
			since := time.Duration(d.next() % uint64(p.Ends()+2e9))
			var want int64
			for i := range p.Tokens() {
				if p.Token(i) <= since {
					want++
				}
			}
			if got := p.Made(since); got != want {
				t.Fatalf("seed %d: after %v there are %d tokens, and ought to be %d: %+v", seed, since, got, want, p)
			}
		}
	}
}
