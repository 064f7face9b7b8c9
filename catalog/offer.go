package catalog

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Grant says what one account at a provider gives access to.
type Grant struct {
	Account  string             // its name, and the beginning of its endpoints' ids; empty is the provider's
	Provider string             // of Providers
	URL      string             // of the provider's interface, where it is not the usual one
	Project  string             // of Google Cloud
	Regions  []string           // empty is the provider's first
	Models   map[ModelID]string // what it may call, and the provider's or the account's own name for it (a deployment); empty is all that the provider serves
	Tier     string             // of its limits
	Global   bool               // models are called across all regions where the provider can
	Labels   []string
}

// Offer lists the endpoints that an account gives access to, by id.
func (c *Catalog) Offer(g Grant) []Endpoint {
	p, ok := c.Providers[g.Provider]
	if !ok {
		p = Provider{ID: g.Provider, Format: "openai.chat"}
	}
	models := g.Models
	if len(models) == 0 {
		models = map[ModelID]string{}
		for id := range p.Serves {
			models[id] = ""
		}
	}
	var list []Endpoint
	for _, asked := range slices.Sorted(maps.Keys(models)) {
		id := asked
		if known, ok := c.modelNamed(string(asked)); ok {
			id = known
		}
		s, served := p.Serves[id]
		if !served {
			s = Service{Name: string(asked)}
		}
		for _, region := range regionsOf(g, p, s, served) {
			list = append(list, c.endpoint(g, p, offered{id: id, name: models[asked], region: region, Service: s}))
		}
	}
	slices.SortFunc(list, func(a, b Endpoint) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return slices.CompactFunc(list, func(a, b Endpoint) bool { return a.ID == b.ID })
}

// offered is one model in one region.
type offered struct {
	Service
	id     ModelID
	name   string // the account's own
	region string
}

// regionsOf are where an account calls a model: of its own regions those that serve it.
func regionsOf(g Grant, p Provider, s Service, served bool) []string {
	where := g.Regions
	if len(where) == 0 {
		switch {
		case len(s.Regions) > 0:
			return s.Regions[:1]
		case len(p.Regions) > 0 && (p.URL != "" || p.ID == builtinProvider): // where an account's own URL leads is not known
			return p.Regions[:1]
		}
		return []string{""}
	}
	if served && len(s.Regions) > 0 {
		where = slices.DeleteFunc(slices.Clone(where), func(r string) bool { return !slices.Contains(s.Regions, r) })
	}
	return where
}

func (c *Catalog) endpoint(g Grant, p Provider, o offered) Endpoint {
	account := either(g.Account, p.ID)
	e := Endpoint{
		Provider: p.ID, Account: account, Cloud: p.Cloud, Region: o.region, Hardware: either(o.Hardware, p.Hardware), Model: o.id, Name: either(o.name, o.Name),
		Format: either(o.Format, p.Format), URL: urlOf(g, p, o), Limits: limitsOf(g, p, o.Service), Labels: g.Labels, Retires: o.Retires,
	}
	if e.Retires.Equal(time.Time{}) {
		e.Retires = c.Models[o.id].Retires
	}
	if o.Profile && o.name == "" {
		e.Name = c.profiled(g, p, o)
	}
	parts := []string{account, o.region, string(o.id)}
	if o.region == "" || len(p.Regions) < 2 && len(g.Regions) < 2 {
		parts = []string{account, string(o.id)}
	}
	e.ID = EndpointID(strings.Join(parts, "/"))
	return e
}

// profiled is a model's name for calls across the regions of one geography, so that what must stay there does.
func (c *Catalog) profiled(g Grant, p Provider, o offered) string {
	place := c.Place(o.region)
	if g.Global {
		place = "global"
	}
	return p.Profiles[place] + o.Name
}

func urlOf(g Grant, p Provider, o offered) string {
	url := either(o.URL, p.URL)
	if u, ok := p.URLs[o.region]; ok && o.URL == "" {
		url = u
	}
	return strings.NewReplacer("{region}", o.region, "{project}", g.Project).Replace(either(g.URL, url))
}

func limitsOf(g Grant, p Provider, s Service) Limits {
	tier := either(g.Tier, p.Tier)
	if l, ok := s.Limits[tier]; ok {
		return l
	}
	if len(s.Limits) > 0 && g.Tier == "" {
		return s.Limits[p.Tier]
	}
	return p.Limits[tier]
}
