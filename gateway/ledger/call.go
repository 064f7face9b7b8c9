package ledger

import (
	"time"
	"unicode"
	"unicode/utf8"

	"decouple.dev/decouple"
)

// Amount is money and tokens together.
type Amount struct {
	USD    decouple.Money `json:"usd,omitempty"`
	Tokens int64          `json:"tokens,omitempty"`
}

func (a Amount) plus(b Amount) Amount  { return Amount{a.USD + b.USD, a.Tokens + b.Tokens} }
func (a Amount) minus(b Amount) Amount { return Amount{a.USD - b.USD, a.Tokens - b.Tokens} }

// most takes the larger of each.
func (a Amount) most(b Amount) Amount { return Amount{max(a.USD, b.USD), max(a.Tokens, b.Tokens)} }

// least takes the smaller of each.
func (a Amount) least(b Amount) Amount { return Amount{min(a.USD, b.USD), min(a.Tokens, b.Tokens)} }

// part is one nth of a.
func (a Amount) part(n int64) Amount { return Amount{a.USD / decouple.Money(n), a.Tokens / n} }

// only keeps what a limit counts; a limit of zero counts nothing.
func (a Amount) only(limit Amount) Amount {
	if limit.USD == 0 {
		a.USD = 0
	}
	if limit.Tokens == 0 {
		a.Tokens = 0
	}
	return a
}

// within says that a is at most b in each.
func (a Amount) within(b Amount) bool { return a.USD <= b.USD && a.Tokens <= b.Tokens }

// Door says which interface a call came through.
type Door string

// The doors.
const (
	Chat       Door = "chat"
	Responses  Door = "responses"
	Messages   Door = "messages"
	Embeddings Door = "embeddings"
	Generate   Door = "generate"
	Converse   Door = "converse"
	Agent      Door = "agent" // the engine, in this process
)

// Call is what is known of a call before anything is asked.
type Call struct {
	ID     string // unique for ever; the engine's is run/step/attempt
	Tenant decouple.TenantID
	Key    string // the id of the caller's key
	Team   string
	Agent  decouple.AgentName
	Run    decouple.RunID
	Door   Door
	Model  string   // as the caller named it: an alias or a model
	Class  string   // of the workload
	Labels []string // of the data
	Trace  decouple.TraceID

	Reserve  Amount // the most that it can use
	Unpriced bool   // what it costs is not known: refused where a budget counts money

	Budgets []Budget // of the caller's key, beside those that are set
	Rate    Rate     // of the caller's key
}

// Source says where a figure is from.
type Source string

// The sources of figures, the best first.
const (
	Reported  Source = "reported"  // by the provider, at the end of the call
	Recovered Source = "recovered" // by the provider, asked later
	Estimated Source = "estimated" // by this program, from the texts
	Unknown   Source = "unknown"   // the end was not seen: the reservation stands for it
)

// Outcome says how a call ended.
type Outcome string

// The outcomes.
const (
	OK       Outcome = "ok"
	Failed   Outcome = "failed"
	Canceled Outcome = "canceled"
	Cached   Outcome = "cached" // answered from memory
	Lost     Outcome = "lost"   // the process ended first
)

// Line is what one endpoint used for a call.
type Line struct {
	Attempt  int // which of the call's attempts, from 1; 0 is not known, and all of them
	Endpoint string
	Model    string // as the catalog names it
	Usage    decouple.Usage
	Source   Source
	Unpriced bool // Usage.Cost is not known, which is not zero
}

// Settlement is what a call used in the end: a line for every endpoint that may charge for it.
type Settlement struct {
	Lines    []Line
	Outcome  Outcome
	First    time.Duration // until the first content; 0 where there was none
	Took     time.Duration // in all
	Decision string        // the id of the router's decision
	Won      int           // the attempt that answered, from 1; 0 is none, or not known
	Policy   string        // the version of the contracts that decided where it may go; empty is that there were none
	Signed   []string      // clauses that a person had signed off for its run, beside those for everybody
	Refused  []Refused     // endpoints where it might not; what is kept of them is bounded, and is told again by the contracts of the time
}

// Refused is an endpoint where a call might not go, and the clauses (contract/clause) that said so.
type Refused struct {
	Endpoint string   `json:"endpoint"`
	Clauses  []string `json:"clauses,omitempty"`
}

// amount is what a settlement counts in budgets. An unknown cost counts as it was reserved.
func (s Settlement) amount(reserved Amount) Amount {
	var a Amount
	unpriced := false
	for _, l := range s.Lines {
		a = a.plus(Amount{l.Usage.Cost, l.Usage.TokensIn + l.Usage.TokensOut})
		unpriced = unpriced || l.Unpriced
	}
	if unpriced {
		a.USD = max(a.USD, reserved.USD)
	}
	return a
}

// Limits of what one record may hold.
const (
	maxText    = 256 // bytes of a name
	maxLines   = 32
	maxBudgets = 32 // that count one call
	maxLabels  = 128
	maxRefused = 2 << 10 // bytes of names of those endpoints and clauses
)

// check refuses what could not be kept.
func (c Call) check() error {
	if c.ID == "" || c.Tenant == "" {
		return decouple.Errorf(decouple.Invalid, "a call needs an id and a tenant to be settled")
	}
	for _, s := range []string{c.ID, string(c.Tenant), c.Key, c.Team, string(c.Agent), string(c.Run), string(c.Door), c.Model, c.Class, string(c.Trace)} {
		if !isName(s) {
			return decouple.Errorf(decouple.Invalid, "a name of the call %q is longer than %d bytes or not plain text", c.ID[:min(len(c.ID), 40)], maxText)
		}
	}
	if len(c.Labels) > maxLabels {
		return decouple.Errorf(decouple.Invalid, "the call %s has %d labels, over %d", c.ID, len(c.Labels), maxLabels)
	}
	for _, l := range c.Labels {
		if !isName(l) {
			return decouple.Errorf(decouple.Invalid, "a label of the call %s is longer than %d bytes or not plain text", c.ID, maxText)
		}
	}
	if c.Reserve.USD < 0 || c.Reserve.Tokens < 0 {
		return decouple.Errorf(decouple.Invalid, "the call %s reserves less than nothing", c.ID)
	}
	return nil
}

// isName says that a text can be kept.
func isName(s string) bool { return len(s) <= maxText && clean(s) }

// clean says that a text has no control characters and is UTF-8.
func clean(s string) bool {
	ascii := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			ascii = false
			break
		}
	}
	if ascii {
		return true
	}
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// check refuses what could not be kept, and what cannot be true.
func (s Settlement) check() error {
	if len(s.Lines) > maxLines {
		return decouple.Errorf(decouple.Invalid, "a settlement has %d lines, over %d", len(s.Lines), maxLines)
	}
	for _, l := range s.Lines {
		u := l.Usage
		if u.TokensIn < 0 || u.TokensOut < 0 || u.Cost < 0 || l.Attempt < 0 {
			return decouple.Errorf(decouple.Invalid, "a settlement of %s has a negative figure", l.Endpoint)
		}
		if !isName(l.Endpoint) || !isName(l.Model) || !isName(string(l.Source)) {
			return decouple.Errorf(decouple.Invalid, "a settlement names an endpoint or a model that is longer than %d bytes or not plain text", maxText)
		}
	}
	if s.Won < 0 {
		return decouple.Errorf(decouple.Invalid, "a settlement says that the attempt %d answered, and they count from 1", s.Won)
	}
	if !isName(s.Decision) || !isName(string(s.Outcome)) || !isName(s.Policy) {
		return decouple.Errorf(decouple.Invalid, "a settlement names a decision, an outcome or a version of contracts that is longer than %d bytes or not plain text", maxText)
	}
	return nil
}

// signed is as much of what was signed off as a record holds.
func (s Settlement) signed() []string {
	room := maxRefused / 2
	for i, c := range s.Signed {
		if room -= len(c) + 4; room < 0 || !isName(c) {
			return s.Signed[:i]
		}
	}
	return s.Signed
}

// kept is as much of what was refused as a record holds: never so much that a call could not be settled.
func (s Settlement) kept() []Refused {
	room := maxRefused
	for i, r := range s.Refused {
		room -= len(r.Endpoint) + 32
		ok := isName(r.Endpoint)
		for _, c := range r.Clauses {
			room -= len(c) + 4
			ok = ok && isName(c)
		}
		if !ok || room < 0 {
			return s.Refused[:i]
		}
	}
	return s.Refused
}
