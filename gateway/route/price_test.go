package route_test

import (
	"testing"
	"time"

	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/route"
)

// TestPricesAreFound knows the price of an endpoint wherever the catalog has it: under its id, or in the list of whoever its provider follows. Without that it would go behind all others.
func TestPricesAreFound(t *testing.T) {
	t.Parallel()
	cat, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	var all []catalog.Endpoint
	for _, p := range []string{"openai", "azure", "bedrock"} {
		all = append(all, cat.Offer(catalog.Grant{Provider: p, URL: "https://x.invalid", Regions: cat.Providers[p].Regions})...)
	}
	if cat, err = cat.WithEndpoints(all); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	s := route.New(cat, route.Config{})
	n := 0
	for _, e := range all {
		if _, known := cat.PriceOf(e, at); !known {
			continue
		}
		alias, err := cat.Resolve(string(e.ID))
		if err != nil {
			t.Fatal(err)
		}
		d := s.Decide(route.Need{ID: "x", Alias: alias, Endpoints: []catalog.EndpointID{e.ID}, TokensIn: 1000, MaxOut: 100}, at)
		if c, ok := d.Find(e.ID); !ok || !c.Priced || c.Price <= 0 {
			t.Errorf("%s has a price that the router does not know: %+v", e.ID, c)
		}
		n++
	}
	if n < 50 {
		t.Errorf("only %d endpoints have prices", n)
	}
}
