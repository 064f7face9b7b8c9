package fleet

import (
	"cmp"
	"slices"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/sim"
)

// Provider is the provider of the catalog whose ways a simulated cloud has.
func Provider(v sim.Vendor) string {
	if v == sim.Mantle {
		return string(sim.Bedrock)
	}
	return string(v)
}

// Catalog is base with an endpoint for every model that the clouds serve in each of their regions, and with the clouds' own prices and quotas. An endpoint's account is its cloud's
// name, its id cloud/region/model, or cloud/model where the cloud has one region. labels are those of the endpoints of a cloud, by its name.
func Catalog(base *catalog.Catalog, clouds []sim.Cloud, labels map[string][]string) (*catalog.Catalog, error) {
	o := catalog.Overlay{Endpoints: map[catalog.EndpointID]catalog.Endpoint{}, Prices: map[string][]catalog.Price{}, Models: map[catalog.ModelID]catalog.Model{}}
	for i := range clouds {
		c := &clouds[i]
		g := catalog.Grant{
			Account: c.Name, Provider: Provider(c.Vendor), URL: "https://" + c.Name + ".invalid", Regions: c.Regions, Models: map[catalog.ModelID]string{}, Labels: labels[c.Name],
		}
		for _, m := range c.Models {
			if m.Embeds {
				continue
			}
			g.Models[m.ID] = m.Name
			o.Prices[g.Provider+"/"+m.Name] = dateless(m.Prices)
			o.Models[m.ID] = catalog.Model{ID: m.ID, Context: m.Context, MaxOut: m.MaxOut, Retires: m.Retires}
		}
		for _, e := range base.Offer(g) {
			e.Hardware, e.Limits = cmp.Or(c.Hardware, e.Hardware), limitsOf(c)
			o.Endpoints[e.ID] = e
		}
	}
	cat, err := base.With(o)
	if err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "the clouds of the plan make no catalog: %w", err)
	}
	return cat, nil
}

// Models is the plan's catalog, or the one that ships with the endpoints of the plan's clouds, their labels, and the plan's overlay.
func (p *Plan) Models() (*catalog.Catalog, error) {
	if p.Catalog != nil {
		return p.Catalog, nil
	}
	cat, err := catalog.Embedded()
	if err == nil {
		cat, err = Catalog(cat, p.Clouds, p.Labels)
	}
	if err != nil {
		return nil, err
	}
	return cat.With(p.Overlay)
}

// dateless takes the date of the first price off, so that it holds for any time before the second.
func dateless(prices []catalog.Price) []catalog.Price {
	prices = slices.Clone(prices)
	if len(prices) > 0 {
		prices[0].From = catalog.Price{}.From
	}
	return prices
}

// limitsOf is what a customer knows of a cloud's quotas. How many calls a cloud works on at once is its own affair, but for a server of one's own.
func limitsOf(c *sim.Cloud) catalog.Limits {
	l := c.Limits.Limits
	if c.Vendor == sim.Compatible {
		l.Concurrent = c.Concurrent
	}
	return l
}

// serving finds the cloud that serves an endpoint: that of the account's name, or else the first whose vendor, region and model are the endpoint's.
func serving(clouds []sim.Cloud, e catalog.Endpoint) (*sim.Cloud, bool) {
	offers := func(c *sim.Cloud) bool {
		return (e.Region == "" || slices.Contains(c.Regions, e.Region)) && slices.ContainsFunc(c.Models, func(m sim.Offer) bool {
			return !m.Embeds && (m.Name == e.Name || m.ID == e.Model || slices.Contains(m.Names, e.Name))
		})
	}
	for i := range clouds {
		if clouds[i].Name == e.Account && offers(&clouds[i]) {
			return &clouds[i], true
		}
	}
	for i := range clouds {
		if Provider(clouds[i].Vendor) == e.Provider && offers(&clouds[i]) {
			return &clouds[i], true
		}
	}
	return nil, false
}
