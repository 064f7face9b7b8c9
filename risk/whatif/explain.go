package whatif

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/placement"
)

// Question asks where something may go.
type Question struct {
	Model  string   // a model, an alias or an endpoint
	Class  string   // of work; empty is a stateless call
	Labels []string // of the data
	Team   string
	Agent  string
	Key    string
	At     string   // only endpoints of this name, cloud, vendor or region; a place that the catalog does not know is supposed
	Signed []string // contract/clause, signed off for this need
	When   placement.Moment
}

// need is the question as contracts see it.
func (q *Question) need() placement.Need {
	return placement.Need{Action: placement.CallModel, Class: q.Class, Labels: q.Labels, Team: q.Team, Agent: q.Agent, Key: q.Key, Signed: q.Signed}
}

// Answer says where a need may go, and why not elsewhere.
type Answer struct {
	Verdict   placement.Verdict `json:"verdict"` // the best of any endpoint
	Needs     []string          `json:"needs"`   // what would lift it
	Clauses   []placement.Cited `json:"clauses"` // that had a part in it
	Endpoints []Endpoint        `json:"endpoints"`
	Chosen    string            `json:"chosen"` // where it would go, or went; empty is nowhere
	AsOf      time.Time         `json:"as_of"`
	Known     time.Time         `json:"known"`
}

// Endpoint is one place of an answer.
type Endpoint struct {
	Name    string            `json:"name"`
	Cloud   string            `json:"cloud"`
	Region  string            `json:"region"`
	Model   string            `json:"model"`
	Verdict placement.Verdict `json:"verdict"`
	Needs   []string          `json:"needs"`
	Clauses []string          `json:"clauses"` // contract/clause
	Score   float64           `json:"score"`   // of the router that has seen nothing yet: 1 is the best of price and time together; 0 is not permitted
	Why     string            `json:"why"`
}

// spot is an endpoint as it is judged.
type spot struct {
	place    placement.Place
	supposed bool // not in the catalog
	ruling   placement.Ruling
}

// Explain judges every place where a model is served.
func Explain(cat *catalog.Catalog, policy *placement.Policy, q Question) (Answer, error) {
	alias, spots, err := spotsOf(cat, q)
	if err != nil {
		return Answer{}, err
	}
	need := q.need()
	for i := range spots {
		spots[i].ruling = policy.Judge(&need, &spots[i].place)
	}
	d := routed(cat, alias, spots, q.When.AsOf)
	a := Answer{Chosen: string(d.Chosen), AsOf: q.When.AsOf, Known: q.When.Known, Needs: []string{}, Clauses: []placement.Cited{}, Endpoints: []Endpoint{}}
	for i := range spots {
		a.add(&spots[i], d)
	}
	a.conclude(spots)
	return a, nil
}

// spotsOf are the places of a model.
func spotsOf(cat *catalog.Catalog, q Question) (catalog.Alias, []spot, error) {
	alias, err := cat.Resolve(q.Model)
	if err != nil {
		return alias, nil, err
	}
	var spots []spot
	members := cat.Members(alias)
	for _, id := range members {
		p := gateway.PlaceOf(cat, cat.Endpoints[id])
		if q.At == "" || slices.Contains([]string{p.ID, p.Cloud, p.Vendor, p.Region, p.Geo}, q.At) {
			spots = append(spots, spot{place: p})
		}
	}
	if len(spots) == 0 && len(members) > 0 { // a place that nobody has an account at may be asked about
		m := cat.Models[cat.Endpoints[members[0]].Model]
		p := gateway.PlaceOf(cat, catalog.Endpoint{ID: catalog.EndpointID(q.At + "/" + string(m.ID)), Provider: q.At, Cloud: q.At, Model: m.ID})
		spots = append(spots, spot{place: p, supposed: true})
	}
	return alias, spots, nil
}

// nominal is the call that places are weighed by.
const nominalIn, nominalOut = 1000, 300

// routed asks the router, that has seen nothing yet, which of the permitted it would take.
func routed(cat *catalog.Catalog, alias catalog.Alias, spots []spot, at time.Time) route.Decision {
	need := route.Need{ID: "explain", Alias: alias, TokensIn: nominalIn, MaxOut: nominalOut}
	for i := range spots {
		if s := &spots[i]; s.ruling.Effect == placement.Go && !s.supposed {
			need.Endpoints = append(need.Endpoints, catalog.EndpointID(s.place.ID))
		}
	}
	return route.New(cat, route.Config{}).Decide(need, at)
}

// add writes one place down.
func (a *Answer) add(s *spot, d route.Decision) {
	r := &s.ruling
	e := Endpoint{Name: s.place.ID, Cloud: s.place.Cloud, Region: s.place.Region, Model: s.place.Model, Verdict: r.Verdict, Needs: append([]string{}, r.Needs...), Clauses: []string{}, Why: r.Why}
	switch {
	case r.Effect == placement.Hold:
		e.Why = "on hold until a person signs off: " + r.Why
	case r.Effect == placement.Go && r.Verdict != placement.Allow:
		e.Why = "let through by the contracts' settings: " + r.Why
	case r.Effect == placement.Stop && r.Verdict != placement.Deny:
		e.Why = "stopped by the contracts' settings: " + r.Why
	}
	if s.supposed {
		e.Why = "supposed, as the catalog knows no such place: " + e.Why
	}
	if c, ok := d.Find(catalog.EndpointID(e.Name)); ok {
		e.Score = c.Score
	}
	for _, c := range r.Clauses {
		if id := ClauseID(c); !slices.Contains(e.Clauses, id) {
			e.Clauses = append(e.Clauses, id)
		}
		if !slices.ContainsFunc(a.Clauses, func(had placement.Cited) bool {
			return had.ID == c.ID && had.Contract == c.Contract && had.Reads == c.Reads
		}) {
			a.Clauses = append(a.Clauses, c)
		}
	}
	a.Endpoints = append(a.Endpoints, e)
}

// verdicts orders them, the best for whoever asks first.
var verdicts = []placement.Verdict{placement.Allow, placement.Disputed, placement.Unknown, placement.Deny}

// conclude says what follows for the whole need: the best that any place has, and what would lift it.
func (a *Answer) conclude(spots []spot) {
	rank := func(v placement.Verdict) int { return slices.Index(verdicts, v) }
	a.Verdict = placement.Deny
	for i := range spots {
		if v := spots[i].ruling.Verdict; rank(v) < rank(a.Verdict) {
			a.Verdict = v
		}
	}
	for i := range spots {
		r := &spots[i].ruling
		if r.Verdict != a.Verdict {
			continue
		}
		for _, n := range r.Needs {
			if !slices.Contains(a.Needs, n) {
				a.Needs = append(a.Needs, n)
			}
		}
	}
	order := func(e Endpoint) int {
		if e.Name == a.Chosen {
			return -1
		}
		return rank(e.Verdict)
	}
	slices.SortStableFunc(a.Endpoints, func(x, y Endpoint) int {
		return cmp.Or(cmp.Compare(order(x), order(y)), cmp.Compare(y.Score, x.Score), strings.Compare(x.Name, y.Name))
	})
}

// ClauseID is the name contract/clause of a clause that was cited.
func ClauseID(c placement.Cited) string {
	if c.Contract == "" || strings.HasPrefix(c.ID, c.Contract+"/") {
		return c.ID
	}
	return c.Contract + "/" + c.ID
}

// Lay is a book with drafts laid over it: a draft takes the place of all versions of the contract of its id, as if it had always been in the book.
func Lay(b placement.Book, drafts []placement.Contract) placement.Book {
	out := placement.Book{SignOffs: b.SignOffs}
	for _, c := range b.Contracts {
		if !slices.ContainsFunc(drafts, func(d placement.Contract) bool { return d.ID == c.ID }) {
			out.Contracts = append(out.Contracts, c)
		}
	}
	for _, d := range drafts {
		d.Entered = time.Time{}
		out.Contracts = append(out.Contracts, d)
	}
	return out
}

// Everywhere is a catalog with an endpoint at every place where a provider that it knows serves a model, so that a question can be asked without any account.
func Everywhere(cat *catalog.Catalog) (*catalog.Catalog, error) {
	var all []catalog.Endpoint
	for id, p := range cat.Providers {
		if id == "builtin" {
			continue
		}
		all = append(all, cat.Offer(catalog.Grant{Provider: id, URL: nowhere, Project: "project", Regions: p.Regions})...)
	}
	slices.SortFunc(all, func(a, b catalog.Endpoint) int { return strings.Compare(string(a.ID), string(b.ID)) })
	everywhere, err := cat.WithEndpoints(slices.CompactFunc(all, func(a, b catalog.Endpoint) bool { return a.ID == b.ID }))
	if err != nil {
		return nil, decouple.Errorf(decouple.Internal, "the catalog's own places do not fit it: %w", err)
	}
	return everywhere, nil
}

// nowhere is the address of endpoints that nobody has an account at: nothing is ever sent there.
const nowhere = "https://nowhere.invalid"
