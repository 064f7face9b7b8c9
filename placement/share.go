package placement

import (
	"math/big"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
)

// Part is a part of a whole, in millionths: 600,000 is 60 %.
type Part int64

const whole Part = 1_000_000

// String is the part in per cent, with as many decimals as it needs, at most four.
func (p Part) String() string {
	s := decouple.Money(int64(p) * 100_000).String()
	s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	return s + " %"
}

// Measure is what a share is of.
type Measure string

// The measures.
const (
	Spend  Measure = "spend"
	Tokens Measure = "tokens"
	Calls  Measure = "calls"
)

// Dimension is what a share is by.
type Dimension string

// The dimensions.
const (
	ByVendor Dimension = "vendor"
	ByCloud  Dimension = "cloud"
	ByRegion Dimension = "region"
	ByLab    Dimension = "lab"
)

// Period is over what time a share is counted: a calendar month, quarter or year, or the term of the clause.
type Period string

// The periods.
const (
	Month   Period = "month"
	Quarter Period = "quarter"
	Year    Period = "year"
	Term    Period = "term"
)

// ShareTerm is what a clause of the kind share promises.
type ShareTerm struct {
	Part   Part      `json:"part"`
	AtMost bool      `json:"at_most,omitempty"` // else at least
	Of     Measure   `json:"of"`
	By     Dimension `json:"by"`
	With   []string  `json:"with"` // the vendors, clouds, regions or labs
	Each   Period    `json:"each"`
}

// Share is a promised share in force, with the time that it is counted over.
type Share struct {
	ID         string     `json:"id"` // contract/clause
	Contract   string     `json:"contract"`
	Text       string     `json:"text"`
	Confidence Confidence `json:"confidence"`
	Classes    []string   `json:"classes,omitempty"` // of the work that it is counted in; none is all
	Window     Span       `json:"window"`
	ShareTerm

	binds Match
}

// Use is what was used of something in a time.
type Use struct {
	Vendor string         `json:"vendor,omitempty"`
	Cloud  string         `json:"cloud,omitempty"`
	Region string         `json:"region,omitempty"`
	Lab    string         `json:"lab,omitempty"`
	Model  string         `json:"model,omitempty"`
	Class  string         `json:"class,omitempty"`
	Team   string         `json:"team,omitempty"`
	Agent  string         `json:"agent,omitempty"`
	Spend  decouple.Money `json:"spend"`
	Tokens int64          `json:"tokens"`
	Calls  int64          `json:"calls"`
}

// ShareState is how a promised share stands. Sums are nano-dollars where the share is of spend.
type ShareState struct {
	Kept  bool  `json:"kept"`
	Part  Part  `json:"part"`  // rounded down; of nothing it is zero
	With  int64 `json:"with"`  // used with those that are named
	Total int64 `json:"total"` // used in all
	// Lack is how much more is to be used so that the share is kept: with those that are named where it is at least, with others where it is at most. -1 says that no amount is enough.
	Lack int64 `json:"lack,omitempty"`
}

// Shares are the promised shares in force, by id.
func (p *Policy) Shares() []Share {
	var list []Share
	for _, e := range p.inForce {
		if k := e.clause; k.Kind == ShareOf {
			list = append(list, Share{
				ID: e.id, Contract: e.contract, Text: k.Text, Confidence: k.Confidence, Classes: k.Classes, Window: window(k.Share.Each, k.Valid, p.At.AsOf), ShareTerm: *k.Share, binds: k.Binds,
			})
		}
	}
	return list
}

// window is the period that a day is in, within the term.
func window(each Period, term Span, day time.Time) Span {
	y, m, _ := day.UTC().Date()
	first := func(m time.Month) time.Time { return time.Date(y, m, 1, 0, 0, 0, 0, time.UTC) }
	var s Span
	switch each {
	case Month:
		s = Span{first(m), first(m + 1)}
	case Quarter:
		q := (m-1)/3*3 + 1
		s = Span{first(q), first(q + 3)}
	case Year:
		s = Span{first(1), first(13)}
	default:
		return term
	}
	if s.From.Before(term.From) {
		s.From = term.From
	}
	if !term.To.IsZero() && s.To.After(term.To) {
		s.To = term.To
	}
	return s
}

// Counts says whether a use is of the category that the share is counted in.
func (s *Share) Counts(u *Use) bool {
	return may(s.Classes, strings.ToLower(u.Class)) && s.binds.counts(u)
}

// Named says whether a use is with those that the share names.
func (s *Share) Named(u *Use) bool {
	v := u.Vendor
	switch s.By {
	case ByCloud:
		v = u.Cloud
	case ByRegion:
		v = u.Region
	case ByLab:
		v = u.Lab
	}
	v = strings.ToLower(v)
	return v != "" && slices.ContainsFunc(s.With, func(w string) bool { return strings.EqualFold(w, v) })
}

// State is how the share stands after uses, which are those of its window.
func (s *Share) State(uses []Use) ShareState {
	var with, total int64
	for i := range uses {
		u := &uses[i]
		if !s.Counts(u) {
			continue
		}
		n := u.Calls
		switch s.Of {
		case Spend:
			n = int64(u.Spend)
		case Tokens:
			n = u.Tokens
		}
		total += n
		if s.Named(u) {
			with += n
		}
	}
	return s.state(with, total)
}

// state compares exactly: with/total against the part.
func (s *Share) state(with, total int64) ShareState {
	st := ShareState{With: with, Total: total, Kept: true}
	if total <= 0 {
		return st
	}
	w, t, p, one := big.NewInt(with), big.NewInt(total), big.NewInt(int64(s.ShareTerm.Part)), big.NewInt(int64(whole))
	have := new(big.Int).Mul(w, one)
	want := new(big.Int).Mul(t, p)
	st.Part = Part(new(big.Int).Div(have, t).Int64())
	switch c := have.Cmp(want); {
	case s.AtMost && c > 0:
		st.Kept = false
		st.Lack = up(new(big.Int).Sub(have, want), p) // with/(total+x) <= p
	case !s.AtMost && c < 0:
		st.Kept = false
		st.Lack = up(new(big.Int).Sub(want, have), new(big.Int).Sub(one, p)) // (with+x)/(total+x) >= p
	}
	return st
}

// up is a/b rounded up, or -1 where there is none.
func up(a, b *big.Int) int64 {
	if b.Sign() <= 0 {
		return -1
	}
	q, rest := new(big.Int).QuoRem(a, b, new(big.Int))
	if rest.Sign() > 0 {
		q.Add(q, big.NewInt(1))
	}
	if !q.IsInt64() {
		return -1
	}
	return q.Int64()
}

// counts says whether a match fits a use. What a use does not say fits nothing.
func (m *Match) counts(u *Use) bool {
	p := Place{Vendor: strings.ToLower(u.Vendor), Cloud: strings.ToLower(u.Cloud), Region: strings.ToLower(u.Region), Lab: strings.ToLower(u.Lab), Model: strings.ToLower(u.Model)}
	if !m.fits(&p) {
		return false
	}
	for _, x := range []struct {
		list []string
		v    string
	}{{m.Teams, u.Team}, {m.Agents, u.Agent}, {m.Classes, strings.ToLower(u.Class)}} {
		if len(x.list) > 0 && !slices.ContainsFunc(x.list, func(s string) bool { return pattern(s).Match(cedarString(x.v)) }) {
			return false
		}
	}
	return true
}
