package placement

import (
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
)

const day = 24 * time.Hour

// recent is over how many days the recent trend is taken.
const recent = 14

// Commitment is a minimum of spend in force.
type Commitment struct {
	ID         string         `json:"id"` // contract/clause
	Contract   string         `json:"contract"`
	Text       string         `json:"text"`
	Confidence Confidence     `json:"confidence"`
	Classes    []string       `json:"classes,omitempty"`
	Amount     decouple.Money `json:"amount"`
	Term       Span           `json:"term"`

	binds Match
}

// DaySpend is what was spent on a day.
type DaySpend struct {
	Day   time.Time      `json:"day"`
	Spend decouple.Money `json:"spend"`
}

// Burn is how a commitment stands.
type Burn struct {
	Spent   decouple.Money `json:"spent"`
	Left    decouple.Money `json:"left"`
	Days    int            `json:"days"`         // that have begun
	Of      int            `json:"of"`           // of the term
	PerDay  decouple.Money `json:"per_day"`      // so far
	Recent  decouple.Money `json:"recent"`       // a day, of the last fourteen
	Needed  decouple.Money `json:"needed"`       // a day from now on, to meet it; where it is met or the term is over, zero
	Linear  decouple.Money `json:"linear"`       // spent at the end, if it goes on as so far
	Trend   decouple.Money `json:"trend"`        // spent at the end, if it goes on as of late
	Met     time.Time      `json:"met,omitzero"` // when it was met, or will be as of late; zero is not within the term
	Forfeit decouple.Money `json:"forfeit"`      // lost at the end, if it goes on as so far
	// ForfeitTrend is lost at the end, if it goes on as of late.
	ForfeitTrend decouple.Money `json:"forfeit_trend"`
}

// Commitments are the minimums of spend in force, by id.
func (p *Policy) Commitments() []Commitment {
	var list []Commitment
	for _, e := range p.inForce {
		if k := e.clause; k.Kind == MinCommit {
			list = append(list, Commitment{ID: e.id, Contract: e.contract, Text: k.Text, Confidence: k.Confidence, Classes: k.Classes, Amount: k.Amount, Term: k.Valid, binds: k.Binds})
		}
	}
	return list
}

// Counts says whether a use counts towards the commitment.
func (c *Commitment) Counts(u *Use) bool {
	return may(c.Classes, strings.ToLower(u.Class)) && c.binds.counts(u)
}

// Burn is how the commitment stands at a moment, after what was spent on the days of its term. A day that is not listed had none.
func (c *Commitment) Burn(spent []DaySpend, now time.Time) Burn {
	b := Burn{Of: int(c.Term.To.Sub(c.Term.From) / day)}
	if now.After(c.Term.To) {
		now = c.Term.To
	}
	today := now.UTC().Truncate(day)
	if now.After(c.Term.From) {
		b.Days = min(int(today.Sub(c.Term.From)/day)+1, b.Of)
	}
	late := min(recent, b.Days)
	since := c.Term.From.Add(time.Duration(b.Days-late) * day)
	list := slices.Clone(spent)
	slices.SortFunc(list, func(x, y DaySpend) int { return x.Day.Compare(y.Day) })
	var lately decouple.Money
	for _, d := range list {
		if !c.Term.has(d.Day) || d.Day.After(now) {
			continue
		}
		b.Spent += d.Spend
		if !d.Day.Before(since) {
			lately += d.Spend
		}
		if b.Met.IsZero() && b.Spent >= c.Amount {
			b.Met = d.Day.UTC().Truncate(day)
		}
	}
	b.Left = max(c.Amount-b.Spent, 0)
	rest := b.Of - b.Days
	b.Linear, b.Trend = b.Spent, b.Spent
	if b.Days > 0 {
		b.PerDay, b.Recent = times(b.Spent, 1, b.Days), times(lately, 1, late)
		b.Linear, b.Trend = b.Spent+times(b.Spent, rest, b.Days), b.Spent+times(lately, rest, late)
	}
	b.Forfeit, b.ForfeitTrend = max(c.Amount-b.Linear, 0), max(c.Amount-b.Trend, 0)
	if b.Left > 0 && rest > 0 {
		b.Needed = (b.Left + decouple.Money(rest) - 1) / decouple.Money(rest)
		if days := up(big.NewInt(int64(b.Left)), big.NewInt(int64(b.Recent))); days > 0 && days <= int64(rest) {
			b.Met = c.Term.From.Add(time.Duration(b.Days-1+int(days)) * day)
		}
	}
	return b
}

// times is m*n/d, rounded half up, and at most half of the largest sum, so that two can be added.
func times(m decouple.Money, n, d int) decouple.Money {
	if d <= 0 {
		return 0
	}
	x := new(big.Int).Mul(big.NewInt(int64(m)), big.NewInt(int64(n)))
	x.Add(x.Mul(x, big.NewInt(2)), big.NewInt(int64(d)))
	if x.Div(x, big.NewInt(int64(2*d))); !x.IsInt64() {
		return math.MaxInt64 / 2
	}
	return min(decouple.Money(x.Int64()), math.MaxInt64/2)
}

// RevShare is a share of revenue that is owed, in force.
type RevShare struct {
	ID         string         `json:"id"`
	Contract   string         `json:"contract"`
	Text       string         `json:"text"`
	Confidence Confidence     `json:"confidence"`
	Part       Part           `json:"part"`
	Most       decouple.Money `json:"most,omitempty"` // in all; zero is without bound
	Term       Span           `json:"term"`
}

// RevShares are the shares of revenue that are owed, by id.
func (p *Policy) RevShares() []RevShare {
	var list []RevShare
	for _, e := range p.inForce {
		if k := e.clause; k.Kind == Royalty {
			list = append(list, RevShare{ID: e.id, Contract: e.contract, Text: k.Text, Confidence: k.Confidence, Part: k.Part, Most: k.Amount, Term: k.Valid})
		}
	}
	return list
}

// Owed is what a revenue owes.
func (r *RevShare) Owed(revenue decouple.Money) decouple.Money {
	owed := times(revenue, int(r.Part), int(whole))
	if r.Most > 0 {
		owed = min(owed, r.Most)
	}
	return owed
}
