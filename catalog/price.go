package catalog

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// StaleAfter is the age from which price data raises an alarm, unless the operator says otherwise.
const StaleAfter = 60 * 24 * time.Hour

// RetireNotice is how long before a model's end its retirement raises an alarm.
const RetireNotice = 90 * 24 * time.Hour

// PriceOf is what a call at ep costs that begins at a time, and whether that is known: an unknown price is not zero. A price by the endpoint's id goes first, then
// the provider's by its own name for the model, by that name without its cross-region profile, version and date, and by the model's id; then those of whoever's price list the provider
// follows.
func (c *Catalog) PriceOf(ep Endpoint, at time.Time) (Price, bool) {
	if ep.Provider == builtinProvider {
		return Price{Source: "the builtin model costs nothing", Tiers: []Tier{{}}}, true
	}
	if p, ok := inForce(c.Prices[string(ep.ID)], at); ok {
		return p, true
	}
	for who, n := ep.Provider, 0; who != "" && n < 4; who, n = c.Providers[who].Prices, n+1 {
		for _, name := range append(spellings(ep.Name), string(ep.Model)) {
			p, ok := inForce(c.Prices[who+"/"+name], at)
			if !ok {
				continue
			}
			seller := c.Providers[ep.Provider]
			if p.Uplift == nil {
				p.Uplift = seller.Uplift
			}
			if p.Class == nil {
				p.Class = seller.Class
			}
			return p, true
		}
	}
	return Price{}, false
}

// PricesOf is the price list of ep in which [Catalog.PriceOf] looks, ascending by date: the first that there is. It is empty where nothing is known, and of the builtin model.
func (c *Catalog) PricesOf(ep Endpoint) []Price {
	if list := c.Prices[string(ep.ID)]; len(list) > 0 {
		return list
	}
	for who, n := ep.Provider, 0; who != "" && n < 4; who, n = c.Providers[who].Prices, n+1 {
		for _, name := range append(spellings(ep.Name), string(ep.Model)) {
			if list := c.Prices[who+"/"+name]; len(list) > 0 {
				out := slices.Clone(list)
				for i := range out {
					if out[i].Uplift == nil {
						out[i].Uplift = c.Providers[ep.Provider].Uplift
					}
				}
				return out
			}
		}
	}
	return nil
}

// inForce is the newest price that holds at a time.
func inForce(list []Price, at time.Time) (Price, bool) {
	for _, p := range slices.Backward(list) {
		if !p.From.After(at) && len(p.Tiers) > 0 {
			return p, true
		}
	}
	return Price{}, false
}

// Stale is how old the price data is, and whether that is over a limit; a limit of 0 is [StaleAfter]. Data without a date is stale.
func (c *Catalog) Stale(now time.Time, limit time.Duration) (age time.Duration, stale bool) {
	if limit <= 0 {
		limit = StaleAfter
	}
	if c.Date.IsZero() {
		return 0, true
	}
	age = max(now.Sub(c.Date), 0)
	return age, age > limit
}

// Retirement is the end of an endpoint's model.
type Retirement struct {
	Endpoint EndpointID `json:"endpoint"`
	Model    ModelID    `json:"model"`
	At       time.Time  `json:"at"`
	Past     bool       `json:"past,omitempty"`
}

// Retiring lists the endpoints whose model ends within a notice, and those where it has ended, the earliest first; a notice of 0 is [RetireNotice].
func (c *Catalog) Retiring(now time.Time, notice time.Duration) []Retirement {
	if notice <= 0 {
		notice = RetireNotice
	}
	var list []Retirement
	for _, id := range slices.Sorted(maps.Keys(c.Endpoints)) {
		e := c.Endpoints[id]
		at := e.Retires
		if at.IsZero() {
			at = c.Models[e.Model].Retires
		}
		if !at.IsZero() && at.Sub(now) <= notice {
			list = append(list, Retirement{Endpoint: id, Model: e.Model, At: at, Past: !at.After(now)})
		}
	}
	slices.SortStableFunc(list, func(a, b Retirement) int {
		if n := a.At.Compare(b.At); n != 0 {
			return n
		}
		return strings.Compare(string(a.Endpoint), string(b.Endpoint))
	})
	return list
}
