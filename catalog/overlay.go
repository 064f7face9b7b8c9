package catalog

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"decouple.dev/decouple"
)

// Overlay is what is laid over a catalog: the data that ships is read as one, and so are an operator's own models, endpoints, aliases and prices.
type Overlay struct {
	Models    map[ModelID]Model       // what is set replaces, names are added
	Endpoints map[EndpointID]Endpoint // what is set replaces; a new one needs provider, url and model
	Aliases   map[string]Alias        // each replaces the one of its name
	Prices    map[string][]Price      // one without a date replaces all of its key; one with a date is added
	Providers map[string]Provider     // each replaces the one of its name
	Places    map[string]string       // geography of a region
	Without   []EndpointID            // endpoints that are taken out
	Date      time.Time               // of the price data
}

// ParseOverlay reads an overlay from YAML or JSON. Whatever is wrong is Invalid, and names the line and the key.
func ParseOverlay(data []byte) (Overlay, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return Overlay{}, nil
		}
		return Overlay{}, decouple.Errorf(decouple.Invalid, "the catalog's overlay is no YAML: %s", printable(err.Error()))
	}
	return ReadOverlay(&doc)
}

// ReadOverlay reads an overlay from a node of a larger file, so that errors name that file's lines.
func ReadOverlay(n *yaml.Node) (Overlay, error) {
	if n.Kind == yaml.DocumentNode {
		if len(n.Content) == 0 {
			return Overlay{}, nil
		}
		n = n.Content[0]
	}
	if n.Kind == 0 || n.Tag == "!!null" {
		return Overlay{}, nil
	}
	var o Overlay
	var r reader
	r.overlay("", n, &o)
	if r.err != nil {
		return Overlay{}, r.err
	}
	return o, nil
}

func (r *reader) overlay(path string, n *yaml.Node, o *Overlay) {
	var source string
	var without []string
	r.mapping(path, n, fields{
		"date":   r.date(&o.Date),
		"source": r.text(&source),
		"models": func(path string, n *yaml.Node) {
			o.Models = map[ModelID]Model{}
			r.each(path, n, func(path, key string, n *yaml.Node) { o.Models[ModelID(key)] = r.model(path, key, n) })
		},
		"endpoints": func(path string, n *yaml.Node) {
			o.Endpoints = map[EndpointID]Endpoint{}
			r.each(path, n, func(path, key string, n *yaml.Node) { o.Endpoints[EndpointID(key)] = r.endpoint(path, key, n) })
		},
		"aliases": func(path string, n *yaml.Node) {
			o.Aliases = map[string]Alias{}
			r.each(path, n, func(path, key string, n *yaml.Node) { o.Aliases[key] = r.alias(path, key, n) })
		},
		"prices": func(path string, n *yaml.Node) {
			o.Prices = map[string][]Price{}
			r.each(path, n, func(path, key string, n *yaml.Node) {
				o.Prices[key] = r.prices(path, n)
			})
		},
		"providers": func(path string, n *yaml.Node) {
			o.Providers = map[string]Provider{}
			r.each(path, n, func(path, key string, n *yaml.Node) { o.Providers[key] = r.provider(path, key, n) })
		},
		"places":  r.places(&o.Places),
		"without": r.texts(&without),
	})
	for _, id := range without {
		o.Without = append(o.Without, EndpointID(id))
	}
	for _, list := range o.Prices {
		for i := range list {
			if list[i].Source == "" {
				list[i].Source = source
			}
		}
	}
}

func (r *reader) model(path, id string, n *yaml.Node) Model {
	m := Model{ID: ModelID(id)}
	var can []string
	r.mapping(path, n, fields{
		"lab": r.text(&m.Lab), "names": r.texts(&m.Names), "context": r.count(&m.Context), "max_output": r.count(&m.MaxOut), "can": r.texts(&can), "retires": r.date(&m.Retires),
		"open": func(path string, n *yaml.Node) {
			r.flag(&m.Open)(path, n)
			m.closed = !m.Open
		},
	})
	known := []Feature{Tools, Images, Documents, Shapes, Thinks, Embeds, Converses, CachesSelf}
	for _, f := range can {
		if !slices.Contains(known, Feature(f)) {
			r.fail(n, under(path, "can"), "there is no feature %s: there are %v", printable(f), known)
		}
		m.Can = append(m.Can, Feature(f))
	}
	return m
}

func (r *reader) endpoint(path, id string, n *yaml.Node) Endpoint {
	e := Endpoint{ID: EndpointID(id)}
	var model string
	r.mapping(path, n, fields{
		"provider": r.text(&e.Provider), "account": r.text(&e.Account), "cloud": r.text(&e.Cloud), "region": r.text(&e.Region), "hardware": r.text(&e.Hardware), "model": r.text(&model),
		"name": r.text(&e.Name), "format": r.text(&e.Format), "url": r.text(&e.URL), "labels": r.texts(&e.Labels), "retires": r.date(&e.Retires),
		"limits": func(path string, n *yaml.Node) { e.Limits = r.limits(path, n) },
	})
	e.Model = ModelID(model)
	return e
}

func (r *reader) limits(path string, n *yaml.Node) Limits {
	var l Limits
	r.mapping(path, n, fields{
		"rpm": r.count(&l.Requests), "tpm": r.count(&l.Tokens), "tpm_in": r.count(&l.TokensIn), "tpm_out": r.count(&l.TokensOut), "tpd": r.count(&l.TokensDay),
		"concurrent": r.count(&l.Concurrent), "admit_max": r.flag(&l.AdmitMax), "cached_free": r.flag(&l.CachedFree),
	})
	return l
}

func (r *reader) tiers(to *map[string]Limits) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		*to = map[string]Limits{}
		r.each(path, n, func(path, key string, n *yaml.Node) { (*to)[key] = r.limits(path, n) })
	}
}

func (r *reader) alias(path, name string, n *yaml.Node) Alias {
	a := Alias{Name: name, Strategy: Balanced}
	var strategy string
	r.mapping(path, n, fields{
		"strategy": r.text(&strategy), "hedge": r.span(&a.Hedge), "check": r.text(&a.Check), "cache": r.span(&a.Cache), "priority": r.whole(&a.Priority),
		"targets": func(path string, n *yaml.Node) {
			r.list(path, n, func(path string, n *yaml.Node) { a.Targets = append(a.Targets, r.target(path, n)) })
		},
	})
	if strategy != "" {
		a.Strategy = Strategy(strategy)
	}
	return a
}

// target is a model's name, or a mapping.
func (r *reader) target(path string, n *yaml.Node) Target {
	var t Target
	if n.Kind == yaml.ScalarNode {
		t.Model = ModelID(r.scalar(path, n))
		return t
	}
	var model, endpoint string
	r.mapping(path, n, fields{"model": r.text(&model), "endpoint": r.text(&endpoint), "weight": r.whole(&t.Weight)})
	t.Model, t.Endpoint = ModelID(model), EndpointID(endpoint)
	return t
}

// amounts are the figures of a tier as they are written; what is not written follows from the others.
type amounts struct {
	above                        int64
	in, cached, write, long, out *decouple.Money
}

func (r *reader) prices(path string, n *yaml.Node) []Price {
	var list []Price
	r.list(path, n, func(path string, n *yaml.Node) { list = append(list, r.price(path, n)) })
	slices.SortStableFunc(list, func(a, b Price) int { return a.From.Compare(b.From) })
	for i := 1; i < len(list); i++ {
		if list[i].From.Equal(list[i-1].From) {
			r.fail(n, path, "two prices hold from the same day")
		}
	}
	return list
}

func (r *reader) price(path string, n *yaml.Node) Price {
	var p Price
	var base amounts
	var tiers []amounts
	r.mapping(path, n, fields{
		"from": r.date(&p.From), "source": r.text(&p.Source), "uplift": r.parts(&p.Uplift), "class": r.parts(&p.Class),
		"in": r.money(&base.in), "cached": r.money(&base.cached), "cache_write": r.money(&base.write), "cache_long": r.money(&base.long), "out": r.money(&base.out),
		"tiers": func(path string, n *yaml.Node) {
			r.list(path, n, func(path string, n *yaml.Node) {
				var a amounts
				r.mapping(path, n, fields{
					"above": r.count(&a.above), "in": r.money(&a.in), "cached": r.money(&a.cached), "cache_write": r.money(&a.write), "cache_long": r.money(&a.long), "out": r.money(&a.out),
				})
				tiers = append(tiers, a)
			})
		},
	})
	for i, a := range append([]amounts{base}, tiers...) {
		where := path
		if i > 0 {
			where = under(path, "tiers")
		}
		if a.in == nil || a.out == nil {
			r.fail(n, where, "a price has in and out, in dollars per million tokens (0 where nothing is charged)")
			return Price{}
		}
		if i > 0 && a.above <= p.Tiers[i-1].Above {
			r.fail(n, where, "tiers are in the order of above, and no two begin at the same number")
			return Price{}
		}
		p.Tiers = append(p.Tiers, a.tier())
	}
	return p
}

// tier fills in what is not written: a provider that names no price of the cache charges for what it reads.
func (a amounts) tier() Tier {
	t := Tier{Above: a.above, In: *a.in, Out: *a.out, Cached: *a.in, CacheWrite: *a.in}
	if a.cached != nil {
		t.Cached = *a.cached
	}
	if a.write != nil {
		t.CacheWrite = *a.write
	}
	t.CacheLong = t.CacheWrite
	if a.long != nil {
		t.CacheLong = *a.long
	}
	return t
}

func (r *reader) provider(path, id string, n *yaml.Node) Provider {
	p := Provider{ID: id, Serves: map[ModelID]Service{}}
	r.mapping(path, n, fields{
		"cloud": r.text(&p.Cloud), "format": r.text(&p.Format), "url": r.text(&p.URL), "urls": r.stringMap(&p.URLs), "hardware": r.text(&p.Hardware), "regions": r.texts(&p.Regions),
		"prices": r.text(&p.Prices), "uplift": r.parts(&p.Uplift), "class": r.parts(&p.Class), "limits": r.tiers(&p.Limits), "tier": r.text(&p.Tier), "profiles": r.stringMap(&p.Profiles),
		"serves": func(path string, n *yaml.Node) {
			r.each(path, n, func(path, key string, n *yaml.Node) { p.Serves[ModelID(key)] = r.service(path, n) })
		},
	})
	if p.Format == "" {
		r.fail(n, path, "a provider has a format")
	}
	return p
}

// service is the model's name at its provider, or a mapping.
func (r *reader) service(path string, n *yaml.Node) Service {
	var s Service
	if n.Kind == yaml.ScalarNode {
		s.Name = r.scalar(path, n)
		return s
	}
	r.mapping(path, n, fields{
		"name": r.text(&s.Name), "format": r.text(&s.Format), "url": r.text(&s.URL), "hardware": r.text(&s.Hardware), "regions": r.texts(&s.Regions), "limits": r.tiers(&s.Limits),
		"profile": r.flag(&s.Profile), "retires": r.date(&s.Retires),
	})
	if s.Name == "" {
		r.fail(n, path, "a model that is served has a name")
	}
	return s
}

// places reads lists of regions by geography.
func (r *reader) places(to *map[string]string) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		*to = map[string]string{}
		r.each(path, n, func(path, geo string, n *yaml.Node) {
			var regions []string
			r.texts(&regions)(path, n)
			for _, region := range regions {
				(*to)[region] = geo
			}
		})
	}
}
