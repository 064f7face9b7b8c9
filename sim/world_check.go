package sim

import (
	"math"
	"slices"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

var vendors = []Vendor{OpenAI, Azure, Mantle, Bedrock, Anthropic, Gemini, Vertex, Cerebras, Groq, Compatible}

// Bounds of a config: beyond them are mistakes, not clouds.
const (
	maxDuration = 24 * time.Hour
	maxCount    = int64(1e12)
	maxSlots    = int64(1e6)
	maxPrice    = 1_000_000 * decouple.USD
	maxFactor   = catalog.Part(1_000_000)
)

// check says what is wrong with a cloud.
func (c *Cloud) check() error {
	bad := func(format string, args ...any) error {
		return decouple.Errorf(decouple.Invalid, "cloud %q: "+format, append([]any{c.Name}, args...)...)
	}
	switch {
	case c.Name == "":
		return decouple.Errorf(decouple.Invalid, "a cloud has no name")
	case !slices.Contains(vendors, c.Vendor):
		return bad("there is no vendor %q: there are %v", c.Vendor, vendors)
	case len(c.Regions) == 0 || slices.Contains(c.Regions, ""):
		return bad("it needs at least one region, and no region without a name")
	case len(c.Models) == 0:
		return bad("it serves no model")
	case c.First.P50 < 0 || c.First.P50 > maxDuration || c.First.P95 < 0 || c.First.P95 > maxDuration:
		return bad("the time to the first token lies between 0 and 24h")
	case c.Concurrent > maxSlots:
		return bad("it works on at most %d calls at once", maxSlots)
	case !slices.Contains([]Billing{"", BillMade, BillWhole, BillNothing}, c.Cancel), !slices.Contains([]Billing{"", BillMade, BillWhole, BillNothing}, c.Broken):
		return bad("what is billed of a part of an answer is made, whole or nothing")
	case !slices.Contains([]CacheKind{CacheNone, CacheAuto, CacheMarks}, c.Cache.Kind):
		return bad("its cache is auto or marks, or it has none")
	case c.Cache.Kind == CacheAuto && c.Cache.Keep <= 0:
		return bad("an automatic cache needs keep: for how long, such as 5m")
	case c.Limits.Units > 0 && c.Limits.UnitIn <= 0:
		return bad("provisioned units need unit_in: how many tokens a minute one of them reads")
	}
	for _, f := range []float64{c.Rate, c.Loaded.Rate, c.Prefill} {
		if !(f >= 0 && f <= 1e9) {
			return bad("a rate is a number of tokens a second from 0 to a billion")
		}
	}
	for _, f := range []float64{c.Errors, c.Limits.Pool.Hot, c.Limits.Pool.Refuse} {
		if !(f >= 0 && f <= 1) {
			return bad("a share is a number from 0 to 1")
		}
	}
	l := &c.Limits
	for _, n := range []int64{c.Loaded.At, c.Concurrent, c.Queue, l.Requests, l.Tokens, l.TokensIn, l.TokensOut, l.TokensDay, l.Units, l.UnitIn, l.OutWeight,
		int64(l.Pool.Window), c.Cache.Min, c.Cache.Step, int64(c.Cache.Keep)} {
		if n < 0 || n > math.MaxInt64/4 {
			return bad("no number of it may be below zero")
		}
	}
	if l.Units > maxCount || l.UnitIn > maxCount || l.Units*l.UnitIn/max(1, l.UnitIn) != l.Units {
		return bad("that many provisioned units there are not")
	}
	for i := range c.Models {
		if err := c.Models[i].check(); err != nil {
			return bad("%w", err)
		}
	}
	return nil
}

// check says what is wrong with a model.
func (m *Offer) check() error {
	bad := func(format string, args ...any) error {
		return decouple.Errorf(decouple.Invalid, "model %q: "+format, append([]any{m.ID}, args...)...)
	}
	if m.ID == "" || m.Name == "" {
		return bad("it needs an id and a name")
	}
	if m.Context < 0 || m.MaxOut < 0 || m.Out < 0 || m.Context > maxCount || m.MaxOut > maxCount || m.Out > maxCount {
		return bad("context, max_output and output are counts of tokens")
	}
	for i, p := range m.Prices {
		if i > 0 && !p.From.After(m.Prices[i-1].From) {
			return bad("its prices must ascend by their dates")
		}
		if len(p.Tiers) == 0 {
			return bad("a price has no amounts")
		}
		for j, t := range p.Tiers {
			if j == 0 && t.Above != 0 || j > 0 && t.Above <= p.Tiers[j-1].Above {
				return bad("the tiers of a price ascend, and the first is above 0")
			}
			for _, amount := range []decouple.Money{t.In, t.Cached, t.CacheWrite, t.CacheLong, t.Out} {
				if amount < 0 || amount > maxPrice {
					return bad("a price is an amount of dollars from 0 to a million")
				}
			}
		}
		for _, table := range []map[string]catalog.Part{p.Uplift, p.Class} {
			for key, f := range table {
				if f < 0 || f > maxFactor {
					return bad("the factor for %s is a number from 0 to 1000", key)
				}
			}
		}
	}
	return nil
}

// cancels is what a stream costs whose caller went away: what the config says, or what is known of the vendor.
func (c *Cloud) cancels() Billing {
	if c.Cancel != "" {
		return c.Cancel
	}
	switch c.Vendor {
	case Bedrock, Mantle, Groq, Gemini, Vertex: // these write on: a client that closes its connection does not stop them
		return BillWhole
	}
	return BillMade
}

// breaks is what an answer costs that the cloud broke off.
func (c *Cloud) breaks() Billing {
	if c.Broken != "" {
		return c.Broken
	}
	switch c.Vendor {
	case Gemini, Vertex: // these bill answers of status 200 that came to an end
		return BillNothing
	}
	return BillMade
}
