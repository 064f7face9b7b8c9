package catalog_test

import (
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

func embedded(tb testing.TB) *catalog.Catalog {
	tb.Helper()
	c, err := catalog.Embedded()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func usd(tb testing.TB, s string) decouple.Money {
	tb.Helper()
	m, err := decouple.ParseMoney(s)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

var day = time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)

// TestListPrices holds the catalog to the vendors' list prices, dollars per million tokens: in, cached in, out; and above a number of tokens.
func TestListPrices(t *testing.T) {
	t.Parallel()
	c := embedded(t)
	early := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	for _, x := range []struct {
		provider, name  string
		in, cached, out string
		at              time.Time
	}{
		{"openai", "gpt-5.5", "5", "0.5", "30", day},
		{"openai", "gpt-5.4", "2.5", "0.25", "15", day},
		{"openai", "gpt-5.4-2026-03-05", "2.5", "0.25", "15", day},
		{"openai", "gpt-5.4-mini", "0.75", "0.075", "4.5", day},
		{"openai", "gpt-5.4-nano", "0.2", "0.02", "1.25", day},
		{"openai", "gpt-5", "1.25", "0.125", "10", day},
		{"openai", "gpt-5-mini", "0.25", "0.025", "2", day},
		{"openai", "gpt-5-nano", "0.05", "0.005", "0.4", day},
		{"openai", "gpt-5.6-sol", "5", "0.5", "30", early},
		{"openai", "gpt-5.6-terra", "2.5", "0.25", "15", early},
		{"openai", "gpt-5.6-luna", "1", "0.1", "6", early},
		{"openai", "gpt-5.6-luna", "0.2", "0.02", "1.2", day}, // from 2026-07-30
		{"bedrock", "openai.gpt-5.5", "5.5", "0.55", "33", day},
		{"bedrock", "openai.gpt-5.4", "2.75", "0.275", "16.5", day},
		{"bedrock", "openai.gpt-oss-120b-1:0", "0.15", "0.15", "0.6", day},
		{"bedrock", "global.anthropic.claude-sonnet-4-6", "3", "0.3", "15", day},
		{"bedrock", "global.anthropic.claude-sonnet-4-6-v1:0", "3", "0.3", "15", day},
		{"bedrock", "us.anthropic.claude-sonnet-4-6-v1:0", "3.3", "0.33", "16.5", day},
		{"bedrock", "anthropic.claude-sonnet-4-6", "3.3", "0.33", "16.5", day},
		{"bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "1.1", "0.11", "5.5", day},
		{"bedrock", "amazon.nova-micro-v1:0", "0.035", "0.00875", "0.14", day},
		{"bedrock", "us.amazon.nova-lite-v1:0", "0.06", "0.015", "0.24", day},
		{"bedrock", "amazon.nova-pro-v1:0", "0.8", "0.2", "3.2", day},
		{"bedrock", "meta.llama3-3-70b-instruct-v1:0", "0.72", "0.72", "0.72", day},
		{"anthropic", "claude-opus-4-8", "5", "0.5", "25", day},
		{"anthropic", "claude-opus-5", "5", "0.5", "25", day},
		{"anthropic", "claude-sonnet-4-6", "3", "0.3", "15", day},
		{"anthropic", "claude-haiku-4-5-20251001", "1", "0.1", "5", day},
		{"gemini", "gemini-2.5-pro", "1.25", "0.125", "10", day},
		{"vertex", "gemini-2.5-flash", "0.3", "0.03", "2.5", day},
		{"gemini", "gemini-2.5-flash-lite", "0.1", "0.01", "0.4", day},
		{"cerebras", "gpt-oss-120b", "0.35", "0.35", "0.75", day},
		{"groq", "openai/gpt-oss-120b", "0.15", "0.075", "0.6", day},
		{"groq", "llama-3.3-70b-versatile", "0.59", "0.59", "0.79", day},
		{"groq", "llama-3.1-8b-instant", "0.05", "0.05", "0.08", day},
		{"azure", "gpt-5.4", "2.5", "0.25", "15", day},
		{"deepseek", "deepseek-v4-flash", "0.14", "0.0028", "0.28", early},
		{"deepseek", "deepseek-v4-pro", "0.435", "0.003625", "0.87", early},
	} {
		p, ok := c.PriceOf(catalog.Endpoint{Provider: x.provider, Name: x.name}, x.at)
		if !ok {
			t.Errorf("%s/%s has no price", x.provider, x.name)
			continue
		}
		if got := p.Tiers[0]; got.In != usd(t, x.in) || got.Cached != usd(t, x.cached) || got.Out != usd(t, x.out) {
			t.Errorf("%s/%s costs %s, %s cached, %s out; want %s, %s, %s", x.provider, x.name, got.In, got.Cached, got.Out, x.in, x.cached, x.out)
		}
	}
}

// TestTiers holds the long contexts and what the cache costs to write.
func TestTiers(t *testing.T) {
	t.Parallel()
	c := embedded(t)
	for _, x := range []struct {
		provider, name string
		want           []catalog.Tier
	}{
		{"openai", "gpt-5.4", []catalog.Tier{
			{In: usd(t, "2.5"), Cached: usd(t, "0.25"), CacheWrite: usd(t, "2.5"), CacheLong: usd(t, "2.5"), Out: usd(t, "15")},
			{Above: 272_000, In: usd(t, "5"), Cached: usd(t, "0.5"), CacheWrite: usd(t, "5"), CacheLong: usd(t, "5"), Out: usd(t, "22.5")},
		}},
		{"gemini", "gemini-2.5-pro", []catalog.Tier{
			{In: usd(t, "1.25"), Cached: usd(t, "0.125"), CacheWrite: usd(t, "1.25"), CacheLong: usd(t, "1.25"), Out: usd(t, "10")},
			{Above: 200_000, In: usd(t, "2.5"), Cached: usd(t, "0.25"), CacheWrite: usd(t, "2.5"), CacheLong: usd(t, "2.5"), Out: usd(t, "15")},
		}},
		{"anthropic", "claude-sonnet-4-6", []catalog.Tier{{In: usd(t, "3"), Cached: usd(t, "0.3"), CacheWrite: usd(t, "3.75"), CacheLong: usd(t, "6"), Out: usd(t, "15")}}},
		{"bedrock", "eu.anthropic.claude-sonnet-4-6", []catalog.Tier{{In: usd(t, "3.3"), Cached: usd(t, "0.33"), CacheWrite: usd(t, "4.125"), CacheLong: usd(t, "6.6"), Out: usd(t, "16.5")}}},
	} {
		p, _ := c.PriceOf(catalog.Endpoint{Provider: x.provider, Name: x.name}, day)
		if len(p.Tiers) != len(x.want) {
			t.Errorf("%s: %+v", x.name, p.Tiers)
			continue
		}
		for i, want := range x.want {
			if p.Tiers[i] != want {
				t.Errorf("%s, tier %d: %+v, want %+v", x.name, i, p.Tiers[i], want)
			}
		}
	}
	p, _ := c.PriceOf(catalog.Endpoint{Provider: "openai", Name: "gpt-5.4"}, day)
	if p.Class["batch"] != 500 || p.Class["flex"] != 500 || p.Class["priority"] != 2000 || p.Uplift["eu"] != 1100 {
		t.Errorf("the factors of OpenAI: %v %v", p.Class, p.Uplift)
	}
	if p, _ := c.PriceOf(catalog.Endpoint{Provider: "anthropic", Name: "claude-opus-5"}, day); p.Class["batch"] != 500 {
		t.Error("batches at Anthropic cost half")
	}
}

// TestUnknownPrice: what is not known is never zero.
func TestUnknownPrice(t *testing.T) {
	t.Parallel()
	c := embedded(t)
	for _, e := range []catalog.Endpoint{{}, {Provider: "compatible", Name: "gpt-5.4"}, {Provider: "openai", Name: "gpt-77"}, {Provider: "openai"}, {ID: "x", Provider: "cerebras", Name: "claude-sonnet-4-6"}} {
		if p, ok := c.PriceOf(e, day); ok {
			t.Errorf("%+v costs %+v", e, p)
		}
	}
	if p, ok := c.PriceOf(catalog.Endpoint{Provider: "builtin", Name: "builtin"}, day); !ok || p.Tiers[0] != (catalog.Tier{}) {
		t.Error("the builtin model costs nothing, and that is known")
	}
}

func TestAlarms(t *testing.T) {
	t.Parallel()
	c := embedded(t)
	for _, x := range []struct {
		after, limit time.Duration
		stale        bool
	}{{0, 0, false}, {60 * 24 * time.Hour, 0, false}, {61 * 24 * time.Hour, 0, true}, {2 * time.Hour, time.Hour, true}, {-time.Hour, time.Nanosecond, false}} {
		if age, stale := c.Stale(c.Date.Add(x.after), x.limit); stale != x.stale || age != max(x.after, 0) {
			t.Errorf("after %s: %s, %v", x.after, age, stale)
		}
	}
	if _, stale := (&catalog.Catalog{}).Stale(day, 0); !stale {
		t.Error("data without a date is stale")
	}
	c, err := c.WithEndpoints(c.Offer(catalog.Grant{Provider: "gemini"}))
	if err != nil {
		t.Fatal(err)
	}
	end := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	if list := c.Retiring(end.Add(-91*24*time.Hour), 0); len(list) != 0 {
		t.Errorf("91 days before: %+v", list)
	}
	list := c.Retiring(end.Add(-time.Hour), 0)
	if len(list) != 2 || list[0].Endpoint != "gemini/gemini-2.5-flash" || list[0].Past || !list[0].At.Equal(end) {
		t.Errorf("an hour before: %+v", list)
	}
	if list := c.Retiring(end, 0); len(list) != 2 || !list[0].Past {
		t.Errorf("at the end: %+v", list)
	}
}

func BenchmarkEmbedded(b *testing.B) {
	for b.Loop() {
		embedded(b)
	}
}

func BenchmarkResolve(b *testing.B) {
	c := embedded(b)
	c, err := c.WithEndpoints(append(c.Offer(catalog.Grant{Provider: "openai"}), c.Offer(catalog.Grant{Provider: "bedrock", Regions: []string{"us-east-1", "eu-central-1"}})...))
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"smart", "gpt-5.4", "us.anthropic.claude-sonnet-4-6-v1:0"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Resolve(name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
