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
	"decouple.dev/decouple/placement"
)

// Tally sums recorded calls by day and by what contracts count: vendor, cloud, region, lab, model, class, team and agent.
type Tally struct {
	cat    *catalog.Catalog
	places map[string]placement.Place // by endpoint and model
	sums   map[useKey]*placement.Use
}

// useKey is what a sum is of.
type useKey struct {
	day                                                   int64 // since 1970, UTC
	vendor, cloud, region, lab, model, class, team, agent string
}

// NewTally sums nothing yet. The catalog says where endpoints are.
func NewTally(cat *catalog.Catalog) *Tally {
	return &Tally{cat: cat, places: map[string]placement.Place{}, sums: map[useKey]*placement.Use{}}
}

// Add counts a call: its tokens and dollars where they were used, the call itself where it was answered.
func (t *Tally) Add(c ledger.Recorded) {
	answered := false
	for i := range c.Lines {
		l := &c.Lines[i]
		u := t.use(&c, t.place(l.Endpoint, l.Model))
		u.Spend += l.Usage.Cost
		u.Tokens += l.Usage.TokensIn + l.Usage.TokensOut
		if !answered && l.Endpoint == c.Endpoint {
			answered = true
			u.Calls++
		}
	}
}

// place is where an endpoint is, as far as the catalog knows.
func (t *Tally) place(endpoint, model string) placement.Place {
	key := endpoint + "\n" + model
	p, ok := t.places[key]
	if !ok {
		ep, known := t.cat.Endpoints[catalog.EndpointID(endpoint)]
		if !known {
			ep = catalog.Endpoint{ID: catalog.EndpointID(endpoint), Model: catalog.ModelID(model)}
			ep.Provider, _, _ = strings.Cut(endpoint, "/") // an account is named as its provider unless somebody says otherwise
			ep.Cloud = t.cat.Providers[ep.Provider].Cloud
		}
		p = gateway.PlaceOf(t.cat, ep)
		t.places[key] = p
	}
	return p
}

// use is the sum that a call at a place belongs to.
func (t *Tally) use(c *ledger.Recorded, p placement.Place) *placement.Use {
	class := c.Class
	if class == "" && c.Run == "" {
		class = gateway.StatelessAPI
	}
	k := useKey{c.At.Unix() / secondsOfDay, p.Vendor, p.Cloud, p.Region, p.Lab, p.Model, class, c.Team, string(c.Agent)}
	u := t.sums[k]
	if u == nil {
		u = &placement.Use{Vendor: p.Vendor, Cloud: p.Cloud, Region: p.Region, Lab: p.Lab, Model: p.Model, Class: class, Team: c.Team, Agent: string(c.Agent)}
		t.sums[k] = u
	}
	return u
}

const secondsOfDay = 24 * 60 * 60

// Uses are the sums of the days in a span.
func (t *Tally) Uses(s placement.Span) []placement.Use {
	var out []placement.Use
	for k, u := range t.sums {
		if at := dayOf(k); !at.Before(s.From) && (s.To.IsZero() || at.Before(s.To)) {
			out = append(out, *u)
		}
	}
	return out
}

func dayOf(k useKey) time.Time { return time.Unix(k.day*secondsOfDay, 0).UTC() }

// Share is a promised share and how it stands.
type Share struct {
	ID         string               `json:"id"` // contract/clause
	Contract   string               `json:"contract"`
	Text       string               `json:"text"`
	Confidence placement.Confidence `json:"confidence,omitempty"`
	AtMost     bool                 `json:"at_most,omitempty"`
	Promised   string               `json:"promised"` // per cent
	Of         placement.Measure    `json:"of"`
	By         placement.Dimension  `json:"by"`
	With       []string             `json:"with"`
	Classes    []string             `json:"classes,omitempty"`
	From       time.Time            `json:"from,omitzero"` // of the period that it is counted over
	To         time.Time            `json:"to,omitzero"`
	Kept       bool                 `json:"kept"`
	Stands     string               `json:"stands"` // per cent
	Used       int64                `json:"used"`   // with those that are named: nano-dollars, tokens or calls
	Total      int64                `json:"total"`
	Lack       int64                `json:"lack"` // how much more is to be used with them (at most: with others) so that it is kept; -1 is that no amount is enough
}

// Shares says how the promised shares of a policy stand at its moment.
func (t *Tally) Shares(p *placement.Policy) []Share {
	out := []Share{}
	for _, s := range p.Shares() {
		counted := s.Window
		if to := p.At.AsOf; counted.To.IsZero() || counted.To.After(to) {
			counted.To = to
		}
		st := s.State(t.Uses(counted))
		out = append(out, Share{ID: s.ID, Contract: s.Contract, Text: s.Text, Confidence: s.Confidence, AtMost: s.AtMost, Promised: s.ShareTerm.Part.String(), Of: s.Of, By: s.By, With: s.With, Classes: s.Classes,
			From: s.Window.From, To: s.Window.To, Kept: st.Kept, Stands: st.Part.String(), Used: st.With, Total: st.Total, Lack: st.Lack})
	}
	return out
}

// Part is what was used with one vendor, cloud, region or class.
type Part struct {
	By     string         `json:"by"` // vendor, cloud, region or class
	Name   string         `json:"name"`
	USD    string         `json:"usd"`
	Spend  decouple.Money `json:"spend_nano_usd"`
	Tokens int64          `json:"tokens"`
	Calls  int64          `json:"calls"`
	// The parts of the whole, in thousandths.
	OfSpend  int64 `json:"of_spend_thousandths"`
	OfTokens int64 `json:"of_tokens_thousandths"`
	OfCalls  int64 `json:"of_calls_thousandths"`
}

// Parts are the shares of vendor, cloud, region and class in all that was used in a span, the largest first.
func (t *Tally) Parts(s placement.Span) []Part {
	out := []Part{}
	uses := t.Uses(s)
	for _, by := range []struct {
		name string
		of   func(*placement.Use) string
	}{
		{"vendor", func(u *placement.Use) string { return u.Vendor }}, {"cloud", func(u *placement.Use) string { return u.Cloud }},
		{"region", func(u *placement.Use) string { return u.Region }}, {"class", func(u *placement.Use) string { return u.Class }},
	} {
		out = append(out, partsBy(uses, by.name, by.of)...)
	}
	return out
}

func partsBy(uses []placement.Use, by string, of func(*placement.Use) string) []Part {
	sums := map[string]*Part{}
	var whole Part
	for i := range uses {
		u := &uses[i]
		name := of(u)
		p := sums[name]
		if p == nil {
			p = &Part{By: by, Name: name}
			sums[name] = p
		}
		for _, s := range []*Part{p, &whole} {
			s.Spend, s.Tokens, s.Calls = s.Spend+u.Spend, s.Tokens+u.Tokens, s.Calls+u.Calls
		}
	}
	var out []Part
	for _, p := range sums {
		p.USD = p.Spend.String()
		p.OfSpend, p.OfTokens, p.OfCalls = thousandths(int64(p.Spend), int64(whole.Spend)), thousandths(p.Tokens, whole.Tokens), thousandths(p.Calls, whole.Calls)
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b Part) int {
		return cmp.Or(cmp.Compare(b.Spend, a.Spend), cmp.Compare(b.Tokens, a.Tokens), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// thousandths is a part of a whole, rounded half up.
func thousandths(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return int64(float64(part)/float64(whole)*1000 + 0.5)
}

// Commitment is a minimum of spend and how it stands.
type Commitment struct {
	ID         string               `json:"id"` // contract/clause
	Contract   string               `json:"contract"`
	Text       string               `json:"text"`
	Confidence placement.Confidence `json:"confidence,omitempty"`
	Classes    []string             `json:"classes,omitempty"`
	From       time.Time            `json:"from"`
	To         time.Time            `json:"to"`
	Amount     decouple.Money       `json:"amount_nano_usd"`
	placement.Burn
}

// Commitments says how the minimums of spend of a policy stand at a time.
func (t *Tally) Commitments(p *placement.Policy, now time.Time) []Commitment {
	out := []Commitment{}
	for _, c := range p.Commitments() {
		byDay := map[int64]decouple.Money{}
		for k, u := range t.sums {
			if c.Counts(u) {
				byDay[k.day] += u.Spend
			}
		}
		var spent []placement.DaySpend
		for d, m := range byDay {
			spent = append(spent, placement.DaySpend{Day: time.Unix(d*secondsOfDay, 0).UTC(), Spend: m})
		}
		out = append(out, Commitment{ID: c.ID, Contract: c.Contract, Text: c.Text, Confidence: c.Confidence, Classes: c.Classes, From: c.Term.From, To: c.Term.To, Amount: c.Amount, Burn: c.Burn(spent, now)})
	}
	return out
}
