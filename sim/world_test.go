package sim

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

var epoch = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)

// simple is a cloud without chance: it takes 100 ms to the first token and 10 ms for each further one.
func simple(change ...func(*Cloud)) Cloud {
	c := Cloud{
		Name: "one", Vendor: OpenAI, Regions: []string{"here", "there"}, First: Spread{P50: 100 * time.Millisecond}, Rate: 100,
		Models: []Offer{{ID: "m", Name: "m", Prices: []catalog.Price{{Tiers: []catalog.Tier{{In: 2 * decouple.USD, Out: 10 * decouple.USD}}}}}},
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func made(t *testing.T, c Cloud, faults ...Fault) *World {
	t.Helper()
	w, err := New(Config{Seed: 7, Start: epoch, Clouds: []Cloud{c}, Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func call(in, out int64) Call {
	return Call{Cloud: "one", Model: "m", Account: "a", In: in, Out: out, Stream: true}
}

// after is a time of the world.
func after(d time.Duration) time.Time { return epoch.Add(d) }

func TestFirstTokenIsAsFarAwayAsTheConfigSays(t *testing.T) {
	t.Parallel()
	setup := defaults(t)
	for _, c := range setup.Clouds {
		c.Prefill, c.Limits, c.Errors = 0, Limits{}, 0
		w, err := New(Config{Seed: 3, Start: epoch, Clouds: []Cloud{c}})
		if err != nil {
			t.Fatal(err)
		}
		const n = 40_000
		var first []time.Duration
		var tokens float64
		for range n {
			p := w.Ask(Call{Cloud: c.Name, Model: c.Models[0].Name, In: 10, Out: 100, Stream: true}, epoch)
			first = append(first, p.First)
			tokens += 1 / p.Every.Seconds() / n
			w.Done(p, false, epoch) // before the next one asks: nobody waits
		}
		slices.Sort(first)
		near := func(what string, got, want time.Duration, share float64) {
			if math.Abs(float64(got)/float64(want)-1) > share {
				t.Errorf("%s: %s of the time to the first token is %v, and ought to be about %v", c.Name, what, got, want)
			}
		}
		near("p50", first[n/2], c.First.P50, 0.04)
		near("p95", first[n*95/100], c.First.P95, 0.08)
		if sigma := c.First.fit().sigma; sigma < 0.45 || sigma > 0.75 {
			t.Errorf("%s: the deviation is %.2f", c.Name, sigma)
		}
		if math.Abs(tokens/c.Rate-1) > 0.02 {
			t.Errorf("%s writes %.0f tokens a second, not %.0f", c.Name, tokens, c.Rate)
		}
	}
}

func TestTwoInAHundredTakeFiveTimesAsLong(t *testing.T) {
	t.Parallel()
	l := Spread{P50: time.Second, P95: 1001 * time.Millisecond}
	fit := l.fit()
	if fit.sigma > 0.01 {
		t.Fatalf("the deviation is %v", fit.sigma)
	}
	fit.sigma = 1e-9
	late, d := 0, dice{1}
	for range 50_000 {
		if fit.draw(&d) > 4*time.Second {
			late++
		}
	}
	if late < 900 || late > 1100 {
		t.Errorf("%d of 50,000 calls take five times as long, not about 1,000", late)
	}
}

func TestTheRateFallsUnderLoad(t *testing.T) {
	t.Parallel()
	w := made(t, simple(func(c *Cloud) { c.Rate, c.Loaded = 150, Loaded{Rate: 47, At: 100} }))
	var every []time.Duration
	for range 120 {
		every = append(every, w.Ask(call(10, 1000), epoch).Every)
	}
	for i, want := range map[int]float64{0: 150, 99: 47, 119: 47} {
		if got := 1 / every[i].Seconds(); math.Abs(got-want) > 0.1 {
			t.Errorf("call %d gets %.1f tokens a second, not %.0f", i+1, got, want)
		}
	}
	if !slices.IsSorted(every) {
		t.Error("the rate does not fall evenly")
	}
}

func TestQueue(t *testing.T) {
	t.Parallel()
	w := made(t, simple(func(c *Cloud) { c.Concurrent, c.Queue, c.Models[0].Out = 2, 2, 1 }))
	var plans []Plan
	for range 5 {
		plans = append(plans, w.Ask(call(10, 91), epoch)) // 100 ms and 90 tokens more of 10 ms: 1 s, and the load on top
	}
	if plans[0].Queued != 0 || plans[1].Queued != 0 {
		t.Error("the first two wait")
	}
	if plans[1].First != 125*time.Millisecond {
		t.Errorf("with half of the places taken, the first token comes after %v", plans[1].First)
	}
	if plans[2].Queued != time.Second {
		t.Errorf("the third waits for %v, not until the first has ended", plans[2].Queued)
	}
	if plans[3].Queued != 1025*time.Millisecond {
		t.Errorf("the fourth waits for %v", plans[3].Queued)
	}
	if plans[4].Refusal != Full || plans[4].Status != 503 {
		t.Errorf("the fifth finds the queue full: %v %d", plans[4].Refusal, plans[4].Status)
	}
	w.Done(plans[2], true, after(500*time.Millisecond))
	if p := w.Ask(call(10, 1), after(600*time.Millisecond)); p.Refusal != Served {
		t.Error("whoever leaves the queue leaves his place")
	}
}

func TestWhoLeavesFreesHisPlace(t *testing.T) {
	t.Parallel()
	w := made(t, simple(func(c *Cloud) { c.Concurrent = 1 }))
	p := w.Ask(call(10, 1001), epoch)
	w.Done(p, true, after(time.Second))
	if p := w.Ask(call(10, 1), after(time.Second)); p.Queued != 0 {
		t.Errorf("the next one waits for %v", p.Queued)
	}
}

func TestQuotas(t *testing.T) {
	t.Parallel()
	limits := func(l Limits) Cloud { return simple(func(c *Cloud) { c.Limits = l }) }
	base := func(l catalog.Limits) Limits { return Limits{Limits: l} }
	for _, tt := range []struct {
		name    string
		cloud   Cloud
		in, max int64
		admits  int
		refusal Refusal
		after   time.Duration
	}{
		{"requests", limits(base(catalog.Limits{Requests: 60})), 1, 0, 60, RequestRate, time.Second},
		{"tokens in", limits(base(catalog.Limits{TokensIn: 6000})), 1000, 0, 6, InRate, 10 * time.Second},
		{"tokens, the limit of the answer not counted", limits(base(catalog.Limits{Tokens: 6000})), 1000, 2000, 6, TokenRate, 10 * time.Second},
		{"tokens, admission counts the limit of the answer", limits(base(catalog.Limits{Tokens: 6000, AdmitMax: true})), 1000, 2000, 2, TokenRate, 30 * time.Second},
		{"tokens a day", limits(base(catalog.Limits{TokensDay: 86400})), 43200, 0, 2, DayRate, 12 * time.Hour},
		{"units", limits(Limits{Units: 2, UnitIn: 3000, OutWeight: 4}), 1000, 1000, 2, Provisioned, 40*time.Second + 10*time.Millisecond},
		{"more than there ever is", limits(base(catalog.Limits{Tokens: 100})), 101, 0, 0, TokenRate, 0},
	} {
		w := made(t, tt.cloud)
		c := call(tt.in, 1)
		c.MaxOut = tt.max
		for i := range tt.admits {
			if p := w.Ask(c, epoch); p.Refusal != Served {
				t.Errorf("%s: call %d is refused: %v", tt.name, i+1, p.Refusal)
			}
		}
		p := w.Ask(c, epoch)
		if p.Refusal != tt.refusal || p.Status != 429 || p.RetryAfter != tt.after {
			t.Errorf("%s: then it is %v, %d, retry after %v", tt.name, p.Refusal, p.Status, p.RetryAfter)
		}
		if tt.after > 0 {
			if p := w.Ask(c, after(tt.after-time.Millisecond)); p.Refusal == Served {
				t.Errorf("%s: a millisecond before the time it is served", tt.name)
			}
			if p := w.Ask(c, after(tt.after)); p.Refusal != Served {
				t.Errorf("%s: after the time that was said it is refused: %v %v", tt.name, p.Refusal, p.RetryAfter)
			}
		}
		other := c
		other.Account = "b"
		if p := w.Ask(other, epoch); tt.admits > 0 && p.Refusal != Served {
			t.Errorf("%s: another account is refused: %v", tt.name, p.Refusal)
		}
	}
}

func TestWhatIsWrittenCountsWhenItIsKnown(t *testing.T) {
	t.Parallel()
	w := made(t, simple(func(c *Cloud) { c.Limits.TokensOut = 600 }))
	p := w.Ask(call(10, 900), epoch)
	w.Done(p, false, epoch)
	p = w.Ask(call(10, 1), epoch)
	if p.Refusal != OutRate || p.RetryAfter.Round(time.Millisecond) != 30*time.Second+100*time.Millisecond {
		t.Errorf("300 tokens in debt: %v, retry after %v", p.Refusal, p.RetryAfter)
	}
}

func TestWhatWasAdmittedIsGivenBack(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{false, true} {
		w := made(t, simple(func(c *Cloud) { c.Limits.Tokens, c.Limits.AdmitMax, c.Limits.KeepMax = 1000, true, keep }))
		c := call(100, 50)
		c.MaxOut = 800
		p := w.Ask(c, epoch)
		w.Done(p, false, epoch)
		want := int64(850)
		if keep {
			want = 100
		}
		if left := w.Ask(Call{Cloud: "one", Model: "m", Account: "a", In: 2000}, epoch).Room.Tokens.Left; left != want {
			t.Errorf("keep %v: %d tokens are left, not %d", keep, left, want)
		}
	}
}

func TestRegionsHaveQuotasOfTheirOwn(t *testing.T) {
	t.Parallel()
	for _, per := range []bool{false, true} {
		w := made(t, simple(func(c *Cloud) { c.Limits.Requests, c.Limits.PerRegion = 1, per }))
		c := call(1, 1)
		w.Ask(c, epoch)
		c.Region = "there"
		if got := w.Ask(c, epoch).Refusal == Served; got != per {
			t.Errorf("per region %v: the other region serves: %v", per, got)
		}
	}
}

func TestPoolRunsHot(t *testing.T) {
	t.Parallel()
	w := made(t, simple(func(c *Cloud) { c.Vendor, c.Limits.Pool = Vertex, Pool{Hot: 0.2, Refuse: 0.5, Window: time.Minute} }))
	hot, refused := 0, 0
	for minute := range 1000 {
		n := 0
		for i := range 20 {
			p := w.Ask(call(1, 1), after(time.Duration(minute)*time.Minute+time.Duration(i)*time.Second))
			if p.Refusal == PoolHot {
				n++
			}
			w.Done(p, false, epoch)
		}
		if n > 0 {
			hot, refused = hot+1, refused+n
		}
	}
	if hot < 150 || hot > 250 || refused < 9*hot || refused > 11*hot {
		t.Errorf("%d of 1,000 minutes are hot, with %d refusals", hot, refused)
	}
}

func TestDeterminism(t *testing.T) {
	t.Parallel()
	trace := func(seed uint64) uint64 {
		setup := defaults(t)
		setup.Seed, setup.Start = seed, epoch
		setup.Faults = []Fault{{Kind: Storm, Cloud: "openai", Share: 0.3, From: time.Second}, {Kind: Cut, Share: 0.2, After: 5}}
		w, err := New(setup.Config)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3000 {
			c := setup.Clouds[i%len(setup.Clouds)]
			now := after(time.Duration(i) * 3 * time.Millisecond)
			p := w.Ask(Call{Cloud: c.Name, Model: c.Models[0].Name, In: int64(100 + i), Stream: i%2 == 0, MaxOut: 400}, now)
			w.Done(p, i%7 == 0, now.Add(p.Ends()/time.Duration(1+i%3)))
		}
		return w.Trace()
	}
	one, again, other := trace(1), trace(1), trace(2)
	if one != again {
		t.Error("the same seed has another trace")
	}
	if one == other {
		t.Error("another seed has the same trace")
	}
}

// TestCloudsDoNotDisturbEachOther wants that what a cloud does follows from its own calls.
func TestCloudsDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	first := func(busy bool) (out []time.Duration) {
		setup := defaults(t)
		setup.Start = epoch
		w, err := New(setup.Config)
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			if busy {
				w.Ask(Call{Cloud: "groq", Model: "gpt-oss-120b", In: 10}, epoch)
			}
			out = append(out, w.Ask(Call{Cloud: "openai", Model: "gpt-5.4", In: 10}, epoch).First)
		}
		return out
	}
	if !slices.Equal(first(false), first(true)) {
		t.Error("calls of one cloud change the times of another")
	}
}

func TestRefusalsBeforeAnything(t *testing.T) {
	t.Parallel()
	w := made(t, simple(func(c *Cloud) {
		c.Models[0].Context = 100
		c.Models = append(c.Models, Offer{ID: "old", Name: "old", Retires: after(time.Hour)})
	}))
	ask := func(change func(*Call), at time.Duration) Refusal {
		c := call(10, 1)
		change(&c)
		return w.Ask(c, after(at)).Refusal
	}
	for _, tt := range []struct {
		name   string
		change func(*Call)
		at     time.Duration
		want   Refusal
	}{
		{"all is well", func(*Call) {}, 0, Served},
		{"no such cloud", func(c *Call) { c.Cloud = "none" }, 0, Refused},
		{"no such model", func(c *Call) { c.Model = "none" }, 0, NoModel},
		{"no such region", func(c *Call) { c.Region = "none" }, 0, NoModel},
		{"too long", func(c *Call) { c.In = 101 }, 0, TooLong},
		{"filtered", func(c *Call) { c.Filtered = true }, 0, Filtered},
		{"before it retires", func(c *Call) { c.Model = "old" }, time.Hour - 1, Served},
		{"after", func(c *Call) { c.Model = "old" }, time.Hour, Retired},
	} {
		if got := ask(tt.change, tt.at); got != tt.want {
			t.Errorf("%s: %v, not %v", tt.name, got, tt.want)
		}
	}
}

func defaults(t testing.TB) Setup {
	t.Helper()
	s, err := ReadSetup("clouds.yaml", DefaultClouds)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheTenClouds(t *testing.T) {
	t.Parallel()
	var names []string
	for _, c := range defaults(t).Clouds {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, " "); got != "openai azure aws-mantle aws-claude aws-fast anthropic vertex cerebras groq selfhost" {
		t.Errorf("the clouds are %s", got)
	}
}

func BenchmarkAsk(b *testing.B) {
	setup := defaults(b)
	setup.Start = epoch
	for i := range setup.Clouds {
		setup.Clouds[i].Limits = Limits{Limits: catalog.Limits{Requests: 1e9, Tokens: 1e12}}
	}
	setup.Faults = []Fault{{Kind: Slow, Factor: 2, Share: 0.1}, {Kind: Storm, Cloud: "groq", Share: 0.1}}
	w, err := New(setup.Config)
	if err != nil {
		b.Fatal(err)
	}
	type open struct {
		p  Plan
		at time.Time
	}
	var under []open
	now := epoch
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		c := &setup.Clouds[i%len(setup.Clouds)]
		now = now.Add(10 * time.Millisecond)
		p := w.Ask(Call{Cloud: c.Name, Model: c.Models[0].Name, Account: "a", In: 800, MaxOut: 1000, Stream: true, Prefixes: []Prefix{{Hash: uint64(i % 64), Tokens: 400}}}, now)
		if under = append(under, open{p, now.Add(p.Ends())}); len(under) == 256 {
			for _, o := range under {
				w.Done(o.p, false, o.at)
			}
			under = under[:0]
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// TestShownInHeaders wants what a plan says of its headers to be what they say.
func TestShownInHeaders(t *testing.T) {
	t.Parallel()
	s, err := ReadSetup("clouds.yaml", DefaultClouds)
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(Config{Seed: 1, Start: epoch, Clouds: s.Clouds})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range s.Clouds {
		for i := range 40 {
			if i == 20 {
				if _, err := w.AddFault(Fault{Cloud: c.Name, Kind: Storm, RetryAfter: 1234500 * time.Microsecond}); err != nil {
					t.Fatal(err)
				}
			}
			p := w.Ask(Call{Cloud: c.Name, Model: c.Models[0].Name, In: 1000, MaxOut: 500}, epoch.Add(time.Duration(i)*time.Second))
			said := map[string]string{}
			for _, h := range p.Headers() {
				said[h.Name] = h.Value
			}
			shown, wait := p.Shown(), time.Duration(0)
			if ms, err := strconv.ParseInt(said["retry-after-ms"], 10, 64); err == nil {
				wait = time.Duration(ms) * time.Millisecond
			} else if s, err := strconv.ParseInt(said["retry-after"], 10, 64); err == nil {
				wait = time.Duration(s) * time.Second
			}
			if p.Wait() != wait {
				t.Errorf("%s: the headers say to wait %s, and the plan %s", c.Name, wait, p.Wait())
			}
			for _, q := range []struct {
				g     Gauge
				names []string
			}{
				{shown.Requests, []string{"x-ratelimit-remaining-requests", "x-ratelimit-remaining-requests-minute", "anthropic-ratelimit-requests-remaining"}},
				{shown.Tokens, []string{"x-ratelimit-remaining-tokens", "x-ratelimit-remaining-tokens-minute", "anthropic-ratelimit-tokens-remaining"}},
				{shown.In, []string{"anthropic-ratelimit-input-tokens-remaining"}}, {shown.Out, []string{"anthropic-ratelimit-output-tokens-remaining"}},
			} {
				left := ""
				for _, n := range q.names {
					left += said[n]
				}
				if want := strconv.FormatInt(q.g.Left, 10); q.g.Limit > 0 && left != want || q.g.Limit == 0 && left != "" {
					t.Errorf("%s: the headers %v say %q, and the plan %+v", c.Name, q.names, left, q.g)
				}
			}
		}
	}
}
