package catalog_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

func overlay(tb testing.TB, text string) catalog.Overlay {
	tb.Helper()
	o, err := catalog.ParseOverlay([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

const ours = `
models:
  gpt-5.4: {retires: 2027-01-31, names: [the-big-one]}
  house-7b: {lab: acme, context: 32k, can: [text, tools]}
endpoints:
  openai/us/gpt-5.4: {limits: {rpm: 10k, tpm: 2M}}
  rack/house-7b: {provider: compatible, format: openai.chat, url: "http://10.0.0.7:8000/v1", model: house-7b, region: on-prem, labels: [internal]}
aliases:
  smart: {strategy: weighted, targets: [{model: the-big-one, weight: 3}, {endpoint: rack/house-7b, weight: 1}], hedge: 800ms, cache: 10m, priority: -1}
  careful: {strategy: cascade, targets: [house-7b, gpt-5.4], check: not_empty}
prices:
  openai/gpt-5.4: {from: 2027-01-01, in: 2, cached: 0.2, out: 12}
  rack/house-7b: {in: 0.1, out: 0.1, class: {batch: 0.5}, uplift: {on-prem: 1.05}}
  groq/llama-3.1-8b-instant: {in: 1, out: 2}
without: [groq/llama-3.3-70b]
`

func TestOverlay(t *testing.T) {
	t.Parallel()
	before := world(t)
	kept, err := json.Marshal(before)
	if err != nil {
		t.Fatal(err)
	}
	c, err := before.With(overlay(t, ours))
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := json.Marshal(before); string(after) != string(kept) {
		t.Error("the catalog below was changed")
	}
	m := c.Models["gpt-5.4"]
	if m.Lab != "openai" || m.Context != 1_050_000 || !m.Retires.Equal(time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)) || !reflect.DeepEqual(m.Names, []string{"the-big-one"}) {
		t.Errorf("the model: %+v", m)
	}
	e := c.Endpoints["openai/us/gpt-5.4"]
	if e.URL != "https://api.openai.com/v1" || e.Limits != (catalog.Limits{Requests: 10_000, Tokens: 2_000_000}) {
		t.Errorf("the endpoint: %+v", e)
	}
	rack := c.Endpoints["rack/house-7b"]
	if rack.Name != "house-7b" || rack.Account != "compatible" || len(rack.Labels) != 1 {
		t.Errorf("a new endpoint: %+v", rack)
	}
	smart := c.Aliases["smart"]
	if smart.Strategy != catalog.Weighted || smart.Hedge != 800*time.Millisecond || smart.Cache != 10*time.Minute || smart.Priority != -1 || smart.Targets[0] != (catalog.Target{Model: "gpt-5.4", Weight: 3}) {
		t.Errorf("the alias: %+v", smart)
	}
	if got := ids(c.Members(smart)); got != "azure/eastus2/gpt-5.4 azure/swedencentral/gpt-5.4 bedrock/us-east-2/gpt-5.4 openai/us/gpt-5.4 rack/house-7b" {
		t.Errorf("its members: %s", got)
	}
	if _, there := c.Endpoints["groq/llama-3.3-70b"]; there {
		t.Error("an endpoint was to go")
	}
	for _, x := range []struct {
		e  catalog.Endpoint
		at time.Time
		in string
	}{
		{e, day, "2.5"}, {e, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), "2"}, {rack, day, "0.1"}, {rack, time.Time{}, "0.1"}, {c.Endpoints["groq/llama-3.1-8b"], day, "1"},
	} {
		if p, ok := c.PriceOf(x.e, x.at); !ok || p.Tiers[0].In != usd(t, x.in) {
			t.Errorf("%s at %s: %+v", x.e.ID, x.at, p)
		}
	}
	if p, _ := c.PriceOf(rack, day); p.Uplift["on-prem"] != 1050 || p.Class["batch"] != 500 || p.Tiers[0].Cached != p.Tiers[0].In {
		t.Errorf("%+v", p)
	}
}

// TestOverlayRefused: an error names the key, and for what was read the line.
func TestOverlayRefused(t *testing.T) {
	t.Parallel()
	c := world(t)
	for text, says := range map[string]string{
		"alias: {}":                         "line 1: alias: there is no such key",
		"aliases:\n  smart: {tragets: [x]}": "line 2: aliases.smart.tragets: there is no such key",
		"aliases: [x]":                      "aliases: here belong keys and values",
		"aliases: {a: {targets: [gpt-5.4]}, a: {targets: [gpt-5.4]}}": "aliases.a: the key is there twice",
		"aliases: {a: {}}":                                                                            "aliases.a.targets: an alias has at least one target",
		"aliases: {a: {targets: [gpt-99]}}":                                                           `aliases.a.targets[0].model: there is no model "gpt-99"`,
		"aliases: {a: {targets: [{endpoint: x}]}}":                                                    `aliases.a.targets[0].endpoint: there is no endpoint "x"`,
		"aliases: {a: {targets: [{}]}}":                                                               "aliases.a.targets[0]: either model or endpoint",
		"aliases: {a: {targets: [{model: gpt-5.4, weight: 2}]}}":                                      "aliases.a.targets[0].weight",
		"aliases: {a: {strategy: best, targets: [gpt-5.4]}}":                                          `aliases.a.strategy: there is no strategy "best"`,
		"aliases: {a: {strategy: cascade, targets: [gpt-5.4, sonnet-4.6]}}":                           "aliases.a: a cascade has a check",
		"aliases: {a: {check: not_empty, targets: [gpt-5.4]}}":                                        "aliases.a.check: only a cascade",
		"aliases: {a: {hedge: -1s, targets: [gpt-5.4]}}":                                              "aliases.a.hedge: here belongs a duration",
		"aliases: {a: {cache: forever, targets: [gpt-5.4]}}":                                          "aliases.a.cache",
		"prices: {x: {in: 1}}":                                                                        "prices.x: a price has in and out",
		"prices: {x: {in: -1, out: 1}}":                                                               "prices.x.in: here belongs an amount",
		"prices: {x: {in: 1, out: 1e3}}":                                                              "prices.x.out",
		"prices: {x: {in: 0.0000000001, out: 1}}":                                                     "prices.x.in",
		"prices: {x: {in: 1, out: 1, class: {batch: 0.0005}}}":                                        "prices.x.class.batch: here belongs a factor",
		"prices: {x: {in: 1, out: 1, tiers: [{above: 5, in: 1, out: 1}, {above: 5, in: 1, out: 1}]}}": "prices.x.tiers: tiers are in the order of above",
		"prices: {x: [{in: 1, out: 1}, {in: 1, out: 1}]}":                                             "prices.x: two prices hold from the same day",
		"prices: {x: {from: tomorrow, in: 1, out: 1}}":                                                "prices.x.from: here belongs a day",
		"models: {x: {context: lots}}":                                                                "models.x.context",
		"models: {x: {context: -1}}":                                                                  "models.x.context",
		"models: {x: {context: 9999999999999M}}":                                                      "models.x.context",
		"models: {x: {can: [fly]}}":                                                                   "models.x.can: there is no feature fly",
		"models: {x: }":                                                                               "models.x: here belong keys and values",
		"endpoints: {e: {provider: compatible}}":                                                      "endpoints.e.model: an endpoint needs it",
		"endpoints: {e: {provider: compatible, model: m, format: openai.chat, url: \"http://u:secret@h\"}}": "endpoints.e.url: it holds a user or a password",
		"endpoints: {e: {provider: compatible, model: m, format: openai.chat, url: \"ftp://h\"}}":           "endpoints.e.url: it must look like",
		"endpoints: {e: {provider: compatible, model: m, format: openai.chat}}":                             "endpoints.e.url",
		"without: [nowhere]": "without: there is no endpoint nowhere",
		"providers: {p: {}}": "providers.p: a provider has a format",
		"{":                  "is no YAML",
		"\"\\e[31m\": 1":     `\x1b[31m: there is no such key`,
	} {
		o, err := catalog.ParseOverlay([]byte(text))
		if err == nil {
			_, err = c.With(o)
		}
		if decouple.KindOf(err) != decouple.Invalid || !strings.Contains(err.Error(), says) || strings.ContainsAny(err.Error(), "\x1b") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s\n  says %v\n  want %s", text, err, says)
		}
	}
	for _, nothing := range []string{"", "# a remark", "null", "---\n"} {
		if o, err := catalog.ParseOverlay([]byte(nothing)); err != nil || !reflect.DeepEqual(o, catalog.Overlay{}) {
			t.Errorf("%q: %+v, %v", nothing, o, err)
		}
	}
}

// FuzzOverlay: nothing that an operator writes brings the program down, an error is his, and what is taken has no nonsense.
func FuzzOverlay(f *testing.F) {
	f.Add(ours)
	f.Add("a: &a [*a]")
	f.Add("prices: {x: {in: 1, out: 1, tiers: {above: 1, in: 2, out: 3}}}")
	f.Add("places: {eu: [x, y]}\nproviders: {p: {format: f, regions: [x], serves: {m: n}}}")
	c := world(f)
	f.Fuzz(func(t *testing.T, text string) {
		o, err := catalog.ParseOverlay([]byte(text))
		var next *catalog.Catalog
		if err == nil {
			next, err = c.With(o)
		}
		if err != nil {
			if decouple.KindOf(err) != decouple.Invalid || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Fatalf("%q", err)
			}
			return
		}
		for key, list := range next.Prices {
			for _, p := range list {
				for i, tier := range p.Tiers {
					if min(tier.In, tier.Cached, tier.CacheWrite, tier.CacheLong, tier.Out) < 0 || i == 0 && tier.Above != 0 || i > 0 && tier.Above <= p.Tiers[i-1].Above {
						t.Fatalf("%s: %+v", key, p)
					}
				}
			}
		}
		for id, e := range next.Endpoints {
			_ = catalog.CallURL(e, true)
			if a, err := next.Resolve(string(id)); err != nil || len(next.Members(a)) == 0 {
				t.Fatalf("%q: %v", id, err)
			}
		}
	})
}

// FuzzResolve: no name brings the program down.
func FuzzResolve(f *testing.F) {
	c := world(f)
	for _, s := range []string{"smart", "us.anthropic.claude-sonnet-4-6-v1:0", "a/b/c", "-v1:0-v1:0", "@20250101"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		a, err := c.Resolve(name)
		if err != nil && decouple.KindOf(err) != decouple.NotFound || err == nil && len(c.Members(a)) == 0 {
			t.Fatalf("%q: %+v, %v", name, a, err)
		}
	})
}

// TestOpenWeights: the models whose weights are published are marked, an overlay that does not speak of it leaves it, and one that does has its way.
func TestOpenWeights(t *testing.T) {
	t.Parallel()
	c, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for id, m := range c.Models {
		published := false
		for _, family := range []string{"gpt-oss", "llama", "deepseek", "qwen", "mistral"} {
			published = published || strings.HasPrefix(string(id), family)
		}
		if m.Open != published {
			t.Errorf("%s: open is %v", id, m.Open)
		}
	}
	o, err := catalog.ParseOverlay([]byte("models:\n  gpt-oss-20b: {context: 1k}\n  gpt-oss-120b: {open: false}\n  sonnet-5: {open: true}\n  mine: {lab: openai, open: true}\n"))
	if err != nil {
		t.Fatal(err)
	}
	next, err := c.With(o)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[catalog.ModelID]bool{"gpt-oss-20b": true, "gpt-oss-120b": false, "sonnet-5": true, "mine": true, "gpt-5.4": false} {
		if next.Models[id].Open != want {
			t.Errorf("%s: open is %v", id, next.Models[id].Open)
		}
	}
}
