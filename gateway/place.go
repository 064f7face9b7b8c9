package gateway

import (
	"strings"

	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/placement"
)

// PlaceOf is an endpoint as contracts speak of it. Nothing in it is guessed: a region that the catalog's table of places does not know has no geography, and neither has an
// endpoint whose provider may answer from anywhere, so that a clause that asks where the data goes denies it. A label of the form name=value, such as training=none, is a fact;
// geo=eu is the geography, of an operator who knows better than the table.
func PlaceOf(cat *catalog.Catalog, ep catalog.Endpoint) placement.Place {
	m := cat.Models[ep.Model]
	p := placement.Place{
		ID: string(ep.ID), Vendor: ep.Provider, Cloud: ep.Cloud, Region: ep.Region, Geo: cat.Places[ep.Region], Hardware: ep.Hardware,
		Model: string(ep.Model), Lab: m.Lab, Open: m.Open, Labels: ep.Labels,
	}
	for _, l := range ep.Labels {
		name, value, ok := strings.Cut(l, "=")
		if !ok || name == "" {
			continue
		}
		if p.Facts == nil {
			p.Facts = map[string]string{}
		}
		p.Facts[name] = value
	}
	if ep.Provider == providerBedrock && strings.HasPrefix(ep.Name, worldwide) {
		p.Region, p.Geo = "", ""
	}
	if geo := p.Facts["geo"]; geo != "" {
		p.Geo = geo
	}
	return p
}

const (
	providerBedrock = "bedrock"
	worldwide       = "global." // what Bedrock's name of a model begins with that any region may answer for
)
