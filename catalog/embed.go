package catalog

import (
	_ "embed" // data

	"decouple.dev/decouple"
)

//go:embed data/models.yaml
var modelsFile []byte

//go:embed data/providers.yaml
var providersFile []byte

//go:embed data/prices.json
var pricesFile []byte

//go:embed data/laid.yaml
var laidFile []byte

// Embedded is the catalog that ships: models, aliases, what providers offer, prices, and the one endpoint that needs no account, builtin. Endpoints come with accounts.
func Embedded() (*Catalog, error) {
	c := &Catalog{}
	for _, f := range []struct {
		name string
		data []byte
	}{
		{"providers.yaml", providersFile}, {"models.yaml", modelsFile}, {"prices.json", pricesFile}, {"laid.yaml", laidFile},
	} {
		o, err := ParseOverlay(f.data)
		if err == nil {
			c, err = c.laid(o)
		}
		if err != nil {
			return nil, decouple.Errorf(decouple.Internal, "catalog/data/%s: %w", f.name, err)
		}
	}
	own := Overlay{Endpoints: map[EndpointID]Endpoint{}}
	for _, e := range c.Offer(Grant{Provider: builtinProvider}) {
		own.Endpoints[e.ID] = e
	}
	return c.With(own)
}

// WithEndpoints is c with endpoints added, as accounts give them.
func (c *Catalog) WithEndpoints(list []Endpoint) (*Catalog, error) {
	o := Overlay{Endpoints: make(map[EndpointID]Endpoint, len(list))}
	for _, e := range list {
		o.Endpoints[e.ID] = e
	}
	return c.With(o)
}
