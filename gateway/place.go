package gateway

import (
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/placement"
)

// PlaceOf is an endpoint as contracts speak of it. Nothing in it is guessed: a region that the catalog's table of places does not know has no geography, and neither has an
// endpoint whose provider may answer from anywhere, so that a clause that asks where the data goes denies it. A label of the form name=value, such as training=no, is a fact;
// geo=eu is the geography, of an operator who knows better than the table. The day on which the model or the endpoint retires is the fact retires.
func PlaceOf(cat *catalog.Catalog, ep catalog.Endpoint) placement.Place {
	m := cat.Models[ep.Model]
	p := placement.Place{
		ID: string(ep.ID), Vendor: ep.Provider, Cloud: ep.Cloud, Region: ep.Region, Geo: cat.Places[ep.Region], Hardware: ep.Hardware,
		Model: string(ep.Model), Lab: m.Lab, Open: m.Open, Labels: ep.Labels,
	}
	p.Facts = factsOf(ep.Labels)
	if day := firstOf(ep.Retires, m.Retires); !day.IsZero() && p.Facts["retires"] == "" {
		if p.Facts == nil {
			p.Facts = map[string]string{}
		}
		p.Facts["retires"] = day.Format(time.DateOnly)
	}
	if ep.Provider == providerBedrock && strings.HasPrefix(ep.Name, worldwide) {
		p.Region, p.Geo = "", ""
	}
	if geo := p.Facts["geo"]; geo != "" {
		p.Geo = geo
	}
	return p
}

// firstOf is the earlier of two days, of which either may be open.
func firstOf(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

const (
	providerBedrock = "bedrock"
	worldwide       = "global." // what Bedrock's name of a model begins with that any region may answer for
)

// placeFor is the place of an endpoint as this process reaches it: what runs on this machine and says nothing of where it is, is at the site of this process.
func placeFor(cat *catalog.Catalog, ep *endpoint, site decouple.Site) placement.Place {
	p := PlaceOf(cat, ep.Endpoint)
	if !ep.local() || p.Cloud != "" || p.Region != "" || p.Geo != "" {
		return p
	}
	at := SiteOf(cat, site)
	p.Cloud, p.Region, p.Geo = at.Cloud, at.Region, at.Geo
	return p
}

// SiteOf is the site of a node as contracts speak of it, with its labels as facts as those of an endpoint are.
func SiteOf(cat *catalog.Catalog, site decouple.Site) placement.Place {
	p := placement.Place{ID: "this machine", Cloud: site.Cloud, Region: site.Region, Geo: cat.Places[site.Region], Labels: site.Labels, Facts: factsOf(site.Labels)}
	if geo := p.Facts["geo"]; geo != "" {
		p.Geo = geo
	}
	return p
}

// factsOf reads labels of the form name=value.
func factsOf(labels []string) map[string]string {
	var facts map[string]string
	for _, l := range labels {
		name, value, ok := strings.Cut(l, "=")
		if !ok || name == "" {
			continue
		}
		if facts == nil {
			facts = map[string]string{}
		}
		facts[name] = value
	}
	return facts
}
