package placement_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/placement"
)

func shareOf(t *testing.T, term string) placement.Share {
	t.Helper()
	p := policy(t, book(parse(t, head+"  - {id: a, kind: share, text: T., classes: [stateless_api], share: {"+term+"}}\n")), at(t, "2026-06-15", ""))
	if len(p.Shares()) != 1 {
		t.Fatal(p.Shares())
	}
	return p.Shares()[0]
}

func TestShares(t *testing.T) {
	t.Parallel()
	use := func(vendor string, usd int64) placement.Use {
		return placement.Use{Vendor: vendor, Cloud: "Aws", Region: "eu", Lab: "openai", Class: "stateless_api", Spend: decouple.Money(usd) * decouple.USD, Tokens: usd * 10, Calls: usd}
	}
	other := use("azure", 1000)
	other.Class = "training"
	const usd = int64(decouple.USD)
	for _, c := range []struct {
		term string
		uses []placement.Use
		want placement.ShareState
	}{
		{"at_least: 60 %, of: spend, by: vendor, with: azure", nil, placement.ShareState{Kept: true}},
		{"at_least: 60 %, of: spend, by: vendor, with: azure", []placement.Use{use("azure", 60), use("groq", 40), other}, placement.ShareState{Kept: true, Part: 600_000, With: 60 * usd, Total: 100 * usd}},
		{"at_least: 60 %, of: spend, by: vendor, with: azure", []placement.Use{use("azure", 50), use("groq", 50)}, placement.ShareState{Part: 500_000, With: 50 * usd, Total: 100 * usd, Lack: 25 * usd}},
		{"at_least: 60 %, of: calls, by: vendor, with: [Azure, groq]", []placement.Use{use("AZURE", 30), use("groq", 40), use("gemini", 30)}, placement.ShareState{Kept: true, Part: 700_000, With: 70, Total: 100}},
		{"at_least: 60 %, of: tokens, by: vendor, with: azure", []placement.Use{use("azure", 1), use("groq", 1)}, placement.ShareState{Part: 500_000, With: 10, Total: 20, Lack: 5}},
		{"at_least: 100 %, of: calls, by: vendor, with: azure", []placement.Use{use("azure", 1), use("groq", 1)}, placement.ShareState{Part: 500_000, With: 1, Total: 2, Lack: -1}},
		{"at_most: 40 %, of: calls, by: cloud, with: aws", []placement.Use{use("groq", 10)}, placement.ShareState{Part: 1_000_000, With: 10, Total: 10, Lack: 15}},
		{"at_most: 100 %, of: calls, by: lab, with: openai", []placement.Use{use("groq", 10)}, placement.ShareState{Kept: true, Part: 1_000_000, With: 10, Total: 10}},
		{"at_most: 0 %, of: calls, by: region, with: eu", []placement.Use{use("groq", 10)}, placement.ShareState{Part: 1_000_000, With: 10, Total: 10, Lack: -1}},
		{"at_most: 33.3333 %, of: calls, by: vendor, with: azure", []placement.Use{use("azure", 1), use("groq", 2)}, placement.ShareState{Part: 333_333, With: 1, Total: 3, Lack: 1}},
	} {
		s := shareOf(t, c.term)
		if got := s.State(c.uses); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.term, got, c.want)
		}
	}
	if s := placement.Part(125_000).String(); s != "12.5 %" {
		t.Errorf("an eighth is %s", s)
	}
	if s := placement.Part(600_000).String(); s != "60 %" {
		t.Errorf("three fifths are %s", s)
	}
}

// TestLackIsEnough: what is said to lack is enough, and one less is not.
func TestLackIsEnough(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	least, most := shareOf(t, "at_least: 61.7 %, of: calls, by: vendor, with: azure"), shareOf(t, "at_most: 38.3 %, of: calls, by: vendor, with: azure")
	for range 2000 {
		a, b := r.Int64N(1_000_000), r.Int64N(1_000_000)
		uses := func(more, others int64) []placement.Use {
			return []placement.Use{{Vendor: "azure", Class: "stateless_api", Calls: a + more}, {Vendor: "groq", Class: "stateless_api", Calls: b + others}}
		}
		if s := least.State(uses(0, 0)); !s.Kept && (!least.State(uses(s.Lack, 0)).Kept || least.State(uses(s.Lack-1, 0)).Kept) {
			t.Fatalf("of %d and %d: %+v", a, b, s)
		}
		if s := most.State(uses(0, 0)); !s.Kept && (!most.State(uses(0, s.Lack)).Kept || most.State(uses(0, s.Lack-1)).Kept) {
			t.Fatalf("of %d and %d: %+v", a, b, s)
		}
	}
}

// TestWindows: a share is counted over a calendar's month, quarter or year within its term, or over the term.
func TestWindows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ each, asOf, valid, from, to string }{
		{"month", "2026-06-15", "{from: 2026-01-01}", "2026-06-01", "2026-07-01"},
		{"month", "2026-12-31", "{from: 2026-01-01}", "2026-12-01", "2027-01-01"},
		{"quarter", "2026-06-15", "{from: 2026-01-01}", "2026-04-01", "2026-07-01"},
		{"quarter", "2026-12-15", "{from: 2026-11-10, to: 2026-12-20}", "2026-11-10", "2026-12-20"},
		{"year", "2026-06-15", "{from: 2025-01-01}", "2026-01-01", "2027-01-01"},
		{"term", "2026-06-15", "{from: 2025-03-01, to: 2027-01-01}", "2025-03-01", "2027-01-01"},
	} {
		p := policy(t, book(parse(t, head+"  - {id: a, kind: share, text: T., valid: "+c.valid+", share: {at_least: 60, of: calls, by: vendor, with: x, each: "+c.each+"}}\n")), at(t, c.asOf, ""))
		if w := p.Shares()[0].Window; w.From.Format(time.DateOnly) != c.from || w.To.Format(time.DateOnly) != c.to {
			t.Errorf("%+v: %s to %s", c, w.From, w.To)
		}
	}
}

func TestBurn(t *testing.T) {
	t.Parallel()
	p := policy(t, book(read(t, customer)...), at(t, "2026-11-30", ""))
	c := p.Commitments()[0]
	if c.ID != "azure-2026/commitment" || c.Amount != 1_200_000*decouple.USD || len(p.Commitments()) != 1 {
		t.Fatalf("%+v", p.Commitments())
	}
	if !c.Counts(&placement.Use{Vendor: "Azure"}) || c.Counts(&placement.Use{Vendor: "bedrock"}) || c.Counts(&placement.Use{}) {
		t.Error("it counts what is not of Azure, or does not count what is")
	}
	day := func(n int) time.Time { return c.Term.From.AddDate(0, 0, n) }
	spend := func(from, to int, usd int64) []placement.DaySpend {
		var list []placement.DaySpend
		for i := from; i < to; i++ {
			list = append(list, placement.DaySpend{Day: day(i), Spend: decouple.Money(usd) * decouple.USD})
		}
		return list
	}
	const usd = decouple.USD
	// 100 days at 2,000, then 14 at 5,000: 270,000 of 1,200,000 on the 114th day of 365.
	b := c.Burn(append(spend(100, 114, 5000), spend(0, 100, 2000)...), day(113).Add(20*time.Hour))
	if b.Spent != 270_000*usd || b.Left != 930_000*usd || b.Days != 114 || b.Of != 365 || b.Recent != 5000*usd || b.Trend != 270_000*usd+251*5000*usd || b.ForfeitTrend != 0 || b.Needed != 930_000*usd/251+1 {
		t.Errorf("%+v", b)
	}
	if linear := 270_000 * usd / 114 * 365; b.Linear < linear-usd || b.Linear > linear+usd || b.Forfeit != c.Amount-b.Linear {
		t.Errorf("%+v, want about %s", b, linear)
	}
	if want := day(113 + 186); b.Met != want { // 930,000 at 5,000 a day are 186 days
		t.Errorf("met on %s, want %s", b.Met, want)
	}
	// Before the term, at its end, and when it was met.
	if b := c.Burn(nil, day(-5)); b.Days != 0 || b.Linear != 0 || b.Forfeit != c.Amount || !b.Met.IsZero() {
		t.Errorf("before the term: %+v", b)
	}
	if b := c.Burn(spend(0, 365, 1000), day(400)); b.Days != 365 || b.Linear != 365_000*usd || b.Forfeit != 835_000*usd || b.ForfeitTrend != b.Forfeit || b.Needed != 0 || !b.Met.IsZero() {
		t.Errorf("after the term: %+v", b)
	}
	if b := c.Burn(spend(0, 30, 50_000), day(29)); b.Left != 0 || b.Met != day(23) || b.Forfeit != 0 {
		t.Errorf("met: %+v", b)
	}
	if b := c.Burn(spend(-10, 400, 1000), day(9)); b.Spent != 10_000*usd {
		t.Errorf("what is before the term or after the moment was counted: %+v", b)
	}
}

func TestRevenue(t *testing.T) {
	t.Parallel()
	list := policy(t, book(read(t, customer)...), at(t, "2026-11-30", "")).RevShares()
	if len(list) != 1 || list[0].Owed(1_000*decouple.USD) != 50*decouple.USD || list[0].Owed(50_000_000*decouple.USD) != 250_000*decouple.USD || list[0].Owed(0) != 0 {
		t.Errorf("%+v", list)
	}
	if len(policy(t, book(read(t, customer)...), at(t, "2027-01-01", "")).RevShares()) != 0 {
		t.Error("it is owed after its term")
	}
}
