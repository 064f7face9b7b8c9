package whatif

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/meter"
	"decouple.dev/decouple/placement"
)

// Replay decides recorded calls again: under the contracts in force, and under a draft, both as of one moment.
type Replay struct {
	cat         *catalog.Catalog
	base, draft *placement.Policy
	memo        map[string]*outlook
	was, would  *Tally
	rows        map[rowKey]*Moved
	out         Replayed
	clauses     map[string]placement.Cited
}

// Replayed is what a draft would have changed.
type Replayed struct {
	AsOf    time.Time         `json:"as_of"` // of the contracts, for all calls
	Known   time.Time         `json:"known"`
	Since   time.Time         `json:"since,omitzero"`
	Until   time.Time         `json:"until,omitzero"`
	Calls   int64             `json:"calls"`   // that an endpoint answered
	Stay    int64             `json:"stay"`    // may go where they went
	Move    int64             `json:"move"`    // lose their place, and have another
	Denied  int64             `json:"denied"`  // lose it, and have none
	Held    int64             `json:"held"`    // lose it, and wait for a sign-off
	Already int64             `json:"already"` // may not go where they went by the contracts in force either
	Gain    int64             `json:"gain"`    // of those, the draft lets go there
	Was     Cost              `json:"was"`
	Would   Cost              `json:"would"`  // of the calls that stay or move
	Agents  []Moved           `json:"agents"` // who loses a place
	Shares  []ShareChange     `json:"shares"`
	Clauses []placement.Cited `json:"clauses"` // of the draft, that take places away
}

// Cost is what calls cost.
type Cost struct {
	USD      string         `json:"usd"`
	Nano     decouple.Money `json:"nano_usd"`
	Unpriced int64          `json:"unpriced,omitempty"` // calls whose cost there is not known
}

// Moved are the calls of one agent of one team that lose their place at one endpoint.
type Moved struct {
	Team    string             `json:"team,omitempty"`
	Agent   decouple.AgentName `json:"agent,omitempty"`
	Key     string             `json:"key,omitempty"`
	Class   string             `json:"class,omitempty"`
	From    string             `json:"from"`         // the endpoint
	To      string             `json:"to,omitempty"` // the best permitted one; empty is none
	Calls   int64              `json:"calls"`
	Verdict placement.Verdict  `json:"verdict"` // at From, under the draft
	Effect  placement.Effect   `json:"effect"`  // of the call: allow (it moves), hold or deny
	Was     Cost               `json:"was"`
	Would   Cost               `json:"would"`
	Clauses []string           `json:"clauses"` // contract/clause, that take the place away
	Why     string             `json:"why"`
}

// rowKey is what calls of one row have in common.
type rowKey struct {
	team, agent, key, class, from, to string
	effect                            placement.Effect
}

// ShareChange is a promised share as it stands, and as it would.
type ShareChange struct {
	Share        // as it would stand, under the draft
	Was   string `json:"was"` // per cent; with the calls where they went
	Broke bool   `json:"breaks"`
}

// outlook is what contracts say of calls that are alike.
type outlook struct {
	base, draft placement.Ruling // at the endpoint that answered
	held        bool             // somewhere it waits for a sign-off
	choices     []choice         // where it may go
}

// choice is a permitted endpoint.
type choice struct {
	ep    catalog.Endpoint
	price catalog.Price
	known bool
}

// NewReplay has decided nothing yet. Both policies are of the same moment.
func NewReplay(cat *catalog.Catalog, base, draft *placement.Policy) *Replay {
	return &Replay{cat: cat, base: base, draft: draft, memo: map[string]*outlook{}, was: NewTally(cat), would: NewTally(cat), rows: map[rowKey]*Moved{}, clauses: map[string]placement.Cited{}}
}

// Add decides one call again. Calls that no endpoint answered are left out.
func (r *Replay) Add(c ledger.Recorded) {
	if c.Endpoint == "" {
		return
	}
	o := r.outlook(c)
	r.out.Calls++
	r.out.Was.Nano += c.Usage.Cost
	r.was.Add(c)
	switch {
	case o.draft.Effect == placement.Go:
		r.out.Stay++
		r.out.Would.Nano += c.Usage.Cost
		r.would.Add(c)
		if o.base.Effect != placement.Go {
			r.out.Already++
			r.out.Gain++
		}
		return
	case o.base.Effect != placement.Go:
		r.out.Already++
	}
	r.move(c, o)
}

// move finds another place for a call.
func (r *Replay) move(c ledger.Recorded, o *outlook) {
	effect, to, cost, priced := placement.Stop, "", decouple.Money(0), true
	if best := o.best(c.Usage); best != nil {
		effect, to = placement.Go, string(best.ep.ID)
		priced = best.known
		cost = meter.Cost(best.price, best.ep.Region, "", c.Usage)
		moved := c
		moved.Endpoint, moved.Model = to, string(best.ep.Model)
		u := c.Usage
		u.Cost = cost
		moved.Lines = []ledger.Line{{Endpoint: to, Model: string(best.ep.Model), Usage: u}}
		r.would.Add(moved)
		r.out.Move++
		r.out.Would.Nano += cost
	} else if o.held {
		effect = placement.Hold
		r.out.Held++
	} else {
		r.out.Denied++
	}
	m := r.row(c, o, to, effect)
	m.Calls++
	m.Was.Nano += c.Usage.Cost
	m.Would.Nano += cost
	if !priced {
		m.Would.Unpriced++
		r.out.Would.Unpriced++
	}
}

// row is the sum that a call belongs to which loses its place.
func (r *Replay) row(c ledger.Recorded, o *outlook, to string, effect placement.Effect) *Moved {
	q := Asked(c)
	k := rowKey{c.Team, string(c.Agent), c.Key, q.Class, c.Endpoint, to, effect}
	m := r.rows[k]
	if m == nil {
		m = &Moved{Team: c.Team, Agent: c.Agent, Key: c.Key, Class: q.Class, From: c.Endpoint, To: to, Verdict: o.draft.Verdict, Effect: effect, Why: o.draft.Why, Clauses: []string{}}
		for _, cl := range o.draft.Clauses {
			if id := ClauseID(cl); !slices.Contains(m.Clauses, id) {
				m.Clauses = append(m.Clauses, id)
			}
			r.clauses[ClauseID(cl)+string(cl.Reads)] = cl
		}
		r.rows[k] = m
	}
	return m
}

// outlook judges a call at all its places, or remembers it of one that was alike.
func (r *Replay) outlook(c ledger.Recorded) *outlook {
	key := strings.Join([]string{c.Asked, c.Class, string(c.Run[:min(1, len(c.Run))]), strings.Join(c.Labels, "\x01"), strings.Join(c.Signed, "\x01"), c.Team, string(c.Agent), c.Key, c.Endpoint, c.Model}, "\x00")
	if o := r.memo[key]; o != nil {
		return o
	}
	o := &outlook{}
	q := Asked(c)
	need := q.need()
	place := r.was.place(c.Endpoint, c.Model)
	o.base, o.draft = r.base.Judge(&need, &place), r.draft.Judge(&need, &place)
	o.held = o.draft.Effect == placement.Hold
	if alias, err := r.cat.Resolve(cmp.Or(c.Asked, c.Model)); err == nil {
		for _, id := range r.cat.Members(alias) {
			ep := r.cat.Endpoints[id]
			p := gateway.PlaceOf(r.cat, ep)
			switch ruling := r.draft.Judge(&need, &p); ruling.Effect {
			case placement.Go:
				price, known := r.cat.PriceOf(ep, r.draft.At.AsOf)
				o.choices = append(o.choices, choice{ep, price, known})
			case placement.Hold:
				o.held = true
			}
		}
	}
	r.memo[key] = o
	return o
}

// best is the permitted endpoint where the same tokens cost least; one whose price is not known is better than none.
func (o *outlook) best(u decouple.Usage) *choice {
	var best *choice
	var least decouple.Money
	for i := range o.choices {
		c := &o.choices[i]
		cost := meter.Cost(c.price, c.ep.Region, "", u)
		if best == nil || c.known && (!best.known || cost < least) {
			best, least = c, cost
		}
	}
	return best
}

// Result is what the calls so far come to.
func (r *Replay) Result() Replayed {
	out := r.out
	out.AsOf, out.Known = r.draft.At.AsOf, r.draft.At.Known
	out.Was.USD, out.Would.USD = out.Was.Nano.String(), out.Would.Nano.String()
	out.Agents, out.Shares, out.Clauses = []Moved{}, []ShareChange{}, []placement.Cited{}
	for _, m := range r.rows {
		row := *m
		row.Was.USD, row.Would.USD = row.Was.Nano.String(), row.Would.Nano.String()
		out.Agents = append(out.Agents, row)
	}
	slices.SortFunc(out.Agents, func(a, b Moved) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Team, b.Team), cmp.Compare(a.Agent, b.Agent), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Class, b.Class), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	for _, c := range r.clauses {
		out.Clauses = append(out.Clauses, c)
	}
	slices.SortFunc(out.Clauses, func(a, b placement.Cited) int {
		return cmp.Or(cmp.Compare(ClauseID(a), ClauseID(b)), cmp.Compare(a.Reads, b.Reads))
	})
	before := r.was.Shares(r.draft)
	for i, s := range r.would.Shares(r.draft) {
		out.Shares = append(out.Shares, ShareChange{Share: s, Was: before[i].Stands, Broke: before[i].Kept && !s.Kept})
	}
	return out
}
