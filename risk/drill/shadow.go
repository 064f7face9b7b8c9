package drill

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/meter"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/risk/parity"
)

// measuredShadow says what the figures of a shadow drill are.
var measuredShadow = []string{
	"Calls that this installation recorded are decided again without what is lost, by the router and the contracts of now; nothing is sent to anybody.",
	"Before is how the affected calls went and what they cost; during is what was decided for them instead. Failed are calls that had no alternate.",
	"The cost of an alternate is its price for the tokens that the call used; another model might use others. Its first token is what the router expects of it, learned from the recorded calls.",
	"An alternate counts as proved when `decouple parity` found it as good as the endpoint, or as its model elsewhere, within 180 days; others are listed.",
	"Each call is decided as the only one: whether an alternate has room for all of them is what mode sim shows.",
	"Breaches are alternates that the contracts deny, judged once more after the decision. Time to recover, retries and effects are not measured in this mode.",
}

// shadowWorld is the installation as a shadow drill sees it: its catalog, and the contracts of now.
func (d *Desk) shadowWorld(ctx context.Context, a *Ask, now time.Time) (*world, error) {
	s := a.Scenario
	s.Start = now
	w := &world{Scenario: &s, catalog: d.Catalog()}
	var book placement.Book
	var err error
	if d.Contract != nil {
		if book, err = d.Contract(ctx, a.Tenant); err != nil {
			return nil, err
		}
	}
	return w, w.open(book)
}

// shadow decides recorded calls again without what is lost.
func (d *Desk) shadow(ctx context.Context, w *world, a Ask, o Order) (*Result, error) {
	span := ledger.Span{Tenant: a.Tenant, Since: cmp.Or(a.Since, o.Ran.Add(-30*24*time.Hour)), Until: o.Ran}
	r := o.result(w.Scenario, Shadow)
	r.Measures = measuredShadow
	x := newShade(w)
	var err error
	if x.proofs, err = d.proofsOf(ctx, a.Tenant, o.Ran); err != nil {
		return nil, err
	}
	calls := func(fn func(ledger.Recorded) error) error {
		if d.Ledger != nil {
			return d.Ledger.Calls(ctx, span, fn)
		}
		return ledger.Calls(ctx, d.Log, span, fn)
	}
	if err := calls(x.learn); err != nil { // what endpoints are like is known before the first of them is missed
		return nil, err
	}
	if err := calls(x.decide); err != nil {
		return nil, err
	}
	x.fill(r, span)
	r.judge(w.Scenario)
	return r, nil
}

// shade decides recorded calls again.
type shade struct {
	*world
	router  *route.State
	proofs  *proofs
	tallies map[string]*tally
	gaps    map[string]*Gap
	all     int64
	first   time.Time
	last    time.Time
}

func newShade(w *world) *shade {
	return &shade{world: w, router: route.New(w.catalog, route.Config{}), tallies: map[string]*tally{}, gaps: map[string]*Gap{}}
}

// learn tells the router how fast an endpoint was.
func (x *shade) learn(c ledger.Recorded) error {
	id := catalog.EndpointID(c.Endpoint)
	if _, known := x.catalog.Endpoints[id]; !known || c.Outcome != ledger.OK {
		return nil
	}
	x.router.Begin(c.ID, id, route.Need{ID: c.ID, TokensIn: c.Usage.TokensIn}, c.At)
	if c.First > 0 {
		x.router.FirstToken(c.ID, id, c.At.Add(c.First))
	}
	x.router.End(route.Outcome{Call: c.ID, Endpoint: id, Kind: route.OK, FirstToken: c.First, Duration: c.Took, TokensIn: c.Usage.TokensIn, TokensOut: c.Usage.TokensOut}, c.At.Add(c.Took))
	return nil
}

// decide decides one call again. Of losses that follow each other each is asked about: the worst is what counts.
func (x *shade) decide(c ledger.Recorded) error {
	if strings.HasPrefix(string(c.Run), parity.Prefix) {
		return nil // an evaluation's own calls are nobody's work
	}
	x.all++
	if x.first.IsZero() || c.At.Before(x.first) {
		x.first = c.At
	}
	x.last = later(x.last, c.At)
	e, known := x.catalog.Endpoints[catalog.EndpointID(c.Endpoint)]
	if !known || c.Outcome != ledger.OK {
		return nil
	}
	need := placement.Need{Action: placement.CallModel, Class: cmp.Or(c.Class, gateway.StatelessAPI), Labels: c.Labels, Team: c.Team, Agent: string(c.Agent), Key: c.Key}
	place := x.places[e.ID]
	for _, at := range x.moments() {
		t := x.at(at)
		lost := x.lost(&place, at)
		dearer := x.dearer(&place, at)
		if ok, _ := t.ruling(&need, &place); ok && !lost && dearer == 1 {
			continue
		}
		x.replace(&c, &need, again{at, lost, dearer})
		return nil
	}
	return nil
}

// again is why a call is decided again.
type again struct {
	at     time.Duration
	lost   bool
	dearer float64 // times that its endpoint costs what it did
}

// replace finds the alternate of a call and counts it.
func (x *shade) replace(c *ledger.Recorded, need *placement.Need, why again) {
	name := cmp.Or(cmp.Or(cmp.Or(cmp.Or(c.Class, string(c.Agent)), c.Team), c.Key), c.Asked)
	t := x.tallies[name]
	if t == nil {
		t = newTally(Figures{Workload: name, Class: c.Class, Model: c.Asked, Alternate: true}, x.Lasts)
		x.tallies[name] = t
	}
	t.call(ended{at: -1, first: cmp.Or(c.First, c.Took), took: c.Took, by: c.Endpoint, cost: c.Usage.Cost})
	terms := x.at(why.at)
	place := x.places[catalog.EndpointID(c.Endpoint)]
	if ok, _ := terms.ruling(need, &place); ok && !why.lost { // it is merely dearer, and stays
		t.call(ended{at: 0, first: cmp.Or(c.First, c.Took), took: c.Took, by: c.Endpoint, cost: decouple.Money(float64(c.Usage.Cost) * why.dearer)})
		return
	}
	var members []catalog.EndpointID
	alias, err := x.catalog.Resolve(cmp.Or(c.Asked, c.Model))
	if err == nil {
		members = x.catalog.Members(alias)
	}
	var open []catalog.EndpointID
	for _, id := range members {
		p := x.places[id]
		if ok, _ := terms.ruling(need, &p); ok && !x.lost(&p, why.at) {
			open = append(open, id)
		}
	}
	d := x.router.Decide(route.Need{ID: c.ID, Alias: alias, Endpoints: open, TokensIn: c.Usage.TokensIn, MaxOut: c.Usage.TokensOut, Stream: true, Deadline: x.Start.Add(time.Hour)}, x.Start)
	if d.Chosen == "" {
		t.Alternate = false
		t.call(ended{at: 0, failed: true})
		x.miss(name, need, members, why.at)
		return
	}
	x.proofs.count(catalog.EndpointID(c.Endpoint), d.Chosen)
	chosen, _ := d.Find(d.Chosen)
	p := x.places[d.Chosen]
	if ok, _ := terms.ruling(need, &p); !ok {
		t.Contract++
	}
	ep := x.catalog.Endpoints[d.Chosen]
	e := ended{at: 0, first: chosen.FirstToken, took: chosen.Total, by: string(d.Chosen)}
	if price, ok := x.catalog.PriceOf(ep, x.Start); ok {
		e.cost = decouple.Money(float64(meter.Cost(price, ep.Region, "", c.Usage)) * x.dearer(&p, why.at))
	}
	t.call(e)
}

// miss names what a call without an alternate has.
func (x *shade) miss(name string, need *placement.Need, members []catalog.EndpointID, at time.Duration) {
	g := x.gaps[name]
	if g == nil {
		if g = x.gap(need, members, at); g == nil {
			g = &Gap{From: at} // there is one, and it cannot take the call
		}
		g.Workload = name
		x.gaps[name] = g
	}
	g.Calls++
}

// dearer is how many times an endpoint costs what it did, at a time.
func (s *Scenario) dearer(p *placement.Place, at time.Duration) float64 {
	times := 1.0
	for i := range s.Lose {
		if l := &s.Lose[i]; l.What == Price && l.holds(at) && s.about(l, p) {
			times *= l.Factor
		}
	}
	return times
}

// fill puts what was decided into the result.
func (x *shade) fill(r *Result, span ledger.Span) {
	var list []*tally
	for _, name := range slices.Sorted(keys(x.tallies)) {
		list = append(list, x.tallies[name])
		f := x.tallies[name].figures()
		f.Recover = nil
		r.Workloads = append(r.Workloads, f)
	}
	r.Total = sum(list)
	r.Total.Recover, r.Played = nil, x.last.Sub(x.first)
	for _, name := range slices.Sorted(keys(x.gaps)) {
		r.Gaps = append(r.Gaps, *x.gaps[name])
	}
	r.Unproved = x.proofs.unproved()
	r.World = fmt.Sprintf("%d calls that this installation recorded from %s to %s", x.all, day(span.Since), day(span.Until))
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
