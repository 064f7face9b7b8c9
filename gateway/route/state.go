package route

import (
	"time"

	"decouple.dev/decouple/catalog"
)

// State is what the router has learned. Its methods must not be called at the same time: see the package comment.
type State struct {
	cfg       Config
	endpoints map[catalog.EndpointID]*endpoint
	accounts  map[string]*account
	regions   map[string]*region
	kins      map[string]*kin
	flights   map[flightKey]flight
	trials    map[string]trial // by call: a refusal that waits for a second opinion
	prefixes  prefixes
	turns     turns
	retries   retries
	risk      int      // failures to be expected of the flights, in thousandths
	scratch   []option // of Decide, kept for its memory
}

// endpoint is what is known of one endpoint.
type endpoint struct {
	catalog.Endpoint
	context int64 // tokens of the model; 0 is not known
	prices  []dated
	account *account
	region  *region
	kin     *kin
	gone    bool // no longer in the catalog
	breaker breaker
	health  health
	refusal refusals
	load    load
	speed   speed
}

// account is the credential that endpoints share.
type account struct {
	name    string
	breaker breaker
	okAt    int64     // when any of its endpoints last worked
	okOf    *endpoint // and which
	denied  *endpoint // refused the key while others took it
}

// region is what endpoints of one provider in one region share.
type region struct {
	name    string
	breaker breaker
	members []*endpoint
}

// kin is one model of one provider, wherever it is. It has no breaker: where it works in one region, it works.
type kin struct {
	first *endpoint // whose breaker opened
	since int64     // when that of a second opened
	down  int64     // until when the others are in doubt
}

// New makes the state of a router that has seen nothing.
func New(cat *catalog.Catalog, cfg Config) *State {
	s := &State{
		cfg:       cfg.filled(),
		endpoints: map[catalog.EndpointID]*endpoint{},
		accounts:  map[string]*account{},
		regions:   map[string]*region{},
		kins:      map[string]*kin{},
		flights:   map[flightKey]flight{},
		trials:    map[string]trial{},
	}
	s.retries.saved = s.cfg.RetryBurst
	s.With(cat)
	return s
}

// With puts another catalog in the place of the present one. What was learned of endpoints that are in both stays; an endpoint that comes back is known again.
func (s *State) With(cat *catalog.Catalog) {
	for _, r := range s.regions {
		r.members = r.members[:0]
	}
	for _, e := range s.endpoints {
		e.gone = true
	}
	for _, id := range sortedKeys(cat.Endpoints) {
		s.adopt(cat, cat.Endpoints[id])
	}
}

// adopt takes in one endpoint of a catalog.
func (s *State) adopt(cat *catalog.Catalog, c catalog.Endpoint) {
	e := s.endpoints[c.ID]
	if e == nil {
		e = &endpoint{}
		s.endpoints[c.ID] = e
	}
	e.Endpoint, e.gone = c, false
	e.context = cat.Models[c.Model].Context
	e.prices = datedPrices(cat.PricesOf(c), c.Region)
	e.load.resize(c.Limits, float64(s.cfg.Replicas))
	e.account = s.accountOf(c)
	e.region = s.regionOf(c)
	e.region.members = append(e.region.members, e)
	e.kin = s.kinOf(c)
}

// accountOf finds the account of an endpoint; one without a name has its credential to itself.
func (s *State) accountOf(c catalog.Endpoint) *account {
	name := c.Provider + "/" + c.Account
	if c.Account == "" {
		name = string(c.ID)
	}
	a := s.accounts[name]
	if a == nil {
		a = &account{name: name}
		s.accounts[name] = a
	}
	return a
}

// regionOf finds what an endpoint shares with others of its provider in its region.
func (s *State) regionOf(c catalog.Endpoint) *region {
	name := c.Provider
	if c.Region != "" {
		name += "/" + c.Region
	}
	r := s.regions[name]
	if r == nil {
		r = &region{name: name}
		s.regions[name] = r
	}
	return r
}

// kinOf finds what an endpoint shares with those of the same model of its provider elsewhere.
func (s *State) kinOf(c catalog.Endpoint) *kin {
	name := c.Provider + "/" + string(c.Model)
	k := s.kins[name]
	if k == nil {
		k = &kin{}
		s.kins[name] = k
	}
	return k
}

// at is the time of an instant in nanoseconds.
func at(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// dice makes the next number of a sequence from any number: splitmix64.
func dice(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unit makes a number from 0 up to 1 of dice.
func unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }
