package catalog_test

import (
	"slices"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

// world is the embedded catalog with accounts at several providers.
func world(tb testing.TB) *catalog.Catalog {
	tb.Helper()
	c := embedded(tb)
	var all []catalog.Endpoint
	for _, g := range []catalog.Grant{
		{Provider: "openai"},
		{Provider: "anthropic"},
		{Provider: "azure", URL: "https://acme.openai.azure.com", Regions: []string{"swedencentral", "eastus2"}, Models: map[catalog.ModelID]string{"gpt-5.4": "our-deployment"}},
		{Provider: "bedrock", Regions: []string{"us-east-1", "us-east-2", "eu-central-1"}},
		{Provider: "groq"},
		{Account: "lab", Provider: "compatible", URL: "http://127.0.0.1:8000/v1", Models: map[catalog.ModelID]string{"gpt-oss-120b": "openai/gpt-oss-120b", "our-own": ""}},
	} {
		all = append(all, c.Offer(g)...)
	}
	c, err := c.WithEndpoints(all)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func ids(list []catalog.EndpointID) string {
	var s []string
	for _, id := range list {
		s = append(s, string(id))
	}
	return strings.Join(s, " ")
}

func TestResolve(t *testing.T) {
	t.Parallel()
	c := world(t)
	const (
		gpt    = "azure/eastus2/gpt-5.4 azure/swedencentral/gpt-5.4 bedrock/us-east-2/gpt-5.4 openai/us/gpt-5.4"
		sonnet = "anthropic/global/sonnet-4.6 bedrock/eu-central-1/sonnet-4.6 bedrock/us-east-1/sonnet-4.6 bedrock/us-east-2/sonnet-4.6"
		oss    = "bedrock/eu-central-1/gpt-oss-120b bedrock/us-east-1/gpt-oss-120b bedrock/us-east-2/gpt-oss-120b groq/gpt-oss-120b lab/gpt-oss-120b"
	)
	for name, want := range map[string]string{
		"gpt-5.4":                                gpt,
		"openai/gpt-5.4":                         gpt, // the lab's name, wherever the model is
		"gpt-5.4-2026-03-05":                     gpt,
		"GPT-5.4":                                gpt,
		"azure/gpt-5.4":                          "azure/eastus2/gpt-5.4 azure/swedencentral/gpt-5.4",
		"azure/eastus2/gpt-5.4":                  "azure/eastus2/gpt-5.4",
		"our-deployment":                         gpt, // a deployment is a name of its model
		"sonnet-4.6":                             sonnet,
		"claude-sonnet-4-6":                      sonnet,
		"claude-sonnet-4-6-20260217":             sonnet,
		"claude-sonnet-4-6@20260217":             sonnet,
		"anthropic/claude-sonnet-4.6":            sonnet,
		"anthropic.claude-sonnet-4-6":            sonnet,
		"global.anthropic.claude-sonnet-4-6":     sonnet,
		"bedrock/claude-sonnet-4-6":              "bedrock/eu-central-1/sonnet-4.6 bedrock/us-east-1/sonnet-4.6 bedrock/us-east-2/sonnet-4.6",
		"us.anthropic.claude-sonnet-4-6-v1:0":    "bedrock/us-east-1/sonnet-4.6 bedrock/us-east-2/sonnet-4.6",
		"eu.anthropic.claude-sonnet-4-6":         "bedrock/eu-central-1/sonnet-4.6",
		"bedrock/eu.anthropic.claude-sonnet-4-6": "bedrock/eu-central-1/sonnet-4.6",
		"jp.anthropic.claude-sonnet-4-6":         "", // nothing is there
		"openai.gpt-oss-120b-1:0":                oss,
		"groq/openai/gpt-oss-120b":               "groq/gpt-oss-120b",
		"lab/gpt-oss-120b":                       "lab/gpt-oss-120b",
		"our-own":                                "lab/our-own",
		"smart":                                  sonnet + " " + gpt,
		"builtin":                                "builtin/builtin",
		"gemini-2.5-pro":                         "", // no account
		"vertex/gpt-5.4":                         "", // that provider does not serve it
		"arn:aws:bedrock:eu-central-1:1:inference-profile/eu.anthropic.claude-sonnet-4-6": "bedrock/eu-central-1/sonnet-4.6",
		"": "", "/": "", "x\x1b[31m": "", "gpt-99": "", strings.Repeat("a/", 500): "",
	} {
		a, err := c.Resolve(name)
		if want == "" {
			if decouple.KindOf(err) != decouple.NotFound || strings.ContainsAny(err.Error(), "\x1b") {
				t.Errorf("%q: %v, %v", name, a, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if got := ids(c.Members(a)); got != want {
			t.Errorf("%q is %s\n   want %s", name, got, want)
		}
		if a.Name != name || a.Strategy == "" || len(a.Targets) == 0 {
			t.Errorf("%q: %+v", name, a)
		}
		// What is found quickly is what is found by searching.
		slow := &catalog.Catalog{Models: c.Models, Endpoints: c.Endpoints, Aliases: c.Aliases, Providers: c.Providers, Places: c.Places}
		b, err := slow.Resolve(name)
		if got := ids(slow.Members(b)); err != nil || got != want {
			t.Errorf("%q without an index is %s, %v", name, got, err)
		}
		a.Targets = slices.Clone(a.Targets)
		if got := ids(c.Members(a)); got != want {
			t.Errorf("%q, copied, is %s", name, got)
		}
	}
}

// TestBuiltinIsLast: an alias falls back to the builtin model only without any account.
func TestBuiltinIsLast(t *testing.T) {
	t.Parallel()
	c := embedded(t)
	for _, name := range []string{"smart", "fast", "cheap"} {
		a, err := c.Resolve(name)
		if got := ids(c.Members(a)); err != nil || got != "builtin/builtin" {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	c, err := c.WithEndpoints(c.Offer(catalog.Grant{Provider: "groq"}))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"smart": "builtin/builtin", "fast": "groq/gpt-oss-120b", "cheap": "groq/gpt-oss-120b groq/llama-3.1-8b"} {
		a, _ := c.Resolve(name)
		if got := ids(c.Members(a)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestEverythingIsPriced: what the embedded catalog offers has a price, limits have no nonsense, and every name leads back to its model.
func TestEverythingIsPriced(t *testing.T) {
	t.Parallel()
	c := embedded(t)
	for id, p := range c.Providers {
		for _, e := range c.Offer(catalog.Grant{Provider: id, Regions: p.Regions, URL: "https://example.com"}) {
			if _, ok := c.PriceOf(e, day); !ok {
				t.Errorf("%s has no price", e.ID)
			}
			if m, ok := c.Models[e.Model]; !ok || m.Lab == "" {
				t.Errorf("%s: no model %s", e.ID, e.Model)
			}
			with, err := c.WithEndpoints([]catalog.Endpoint{e})
			if err != nil {
				t.Error(err)
				continue
			}
			a, err := with.Resolve(e.Name)
			if err != nil || !slices.Contains(with.Members(a), e.ID) {
				t.Errorf("%s: its own name %s leads to %s, %v", e.ID, e.Name, ids(with.Members(a)), err)
			}
		}
	}
}
