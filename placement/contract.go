package placement

import (
	"time"

	"decouple.dev/decouple"
)

// Contract is one version of one file of clauses.
type Contract struct {
	ID         string     `json:"id"`
	Title      string     `json:"title,omitempty"`
	Parties    []string   `json:"parties,omitempty"`
	Source     string     `json:"source,omitempty"`
	AssertedBy string     `json:"asserted_by,omitempty"`
	Confidence Confidence `json:"confidence,omitempty"`
	Clauses    []Clause   `json:"clauses,omitempty"`
	Waivers    []Waiver   `json:"waivers,omitempty"`
	Facts      []Fact     `json:"facts,omitempty"`
	Settings   Settings   `json:"settings,omitzero"`
	File       string     `json:"file,omitempty"`

	// Entered is when this version came into the book: what its file does not date was known from then on. Zero is always.
	Entered time.Time `json:"entered,omitzero"`
	// Withdrawn says that from Entered on the contract is no longer in the book.
	Withdrawn bool `json:"withdrawn,omitempty"`
}

// Clause is one term of a contract.
type Clause struct {
	ID         string     `json:"id"`
	Kind       Kind       `json:"kind"`
	Text       string     `json:"text"`              // a sentence that a lawyer reads
	Classes    []string   `json:"classes,omitempty"` // of work that it speaks of; none is all
	Binds      Match      `json:"binds,omitzero"`    // whom and what
	Except     []Match    `json:"except,omitempty"`  // whom and what not
	Actions    []Action   `json:"actions,omitempty"` // none is those of the kind
	Valid      Span       `json:"valid,omitzero"`    // when it holds
	ToKnown    time.Time  `json:"to_known,omitzero"` // from when it was known that it ends; zero is from the beginning
	Known      Span       `json:"known,omitzero"`    // when this was how the term was known
	Unless     string     `json:"unless,omitempty"`  // the words for what lifts it: ROFR waiver
	Readings   []Reading  `json:"readings,omitempty"`
	Source     string     `json:"source,omitempty"`
	AssertedBy string     `json:"asserted_by,omitempty"`
	Confidence Confidence `json:"confidence,omitempty"`
	// DisputedBelow makes a denial disputed whose confidence is less.
	DisputedBelow Confidence `json:"disputed_below,omitempty"`

	Host       []string            `json:"host,omitempty"`        // clouds or vendors, of the kinds that name one
	FirstParty []string            `json:"first_party,omitempty"` // clouds or vendors that need no distributor
	At         []Match             `json:"at,omitempty"`          // places of permit and forbid; none is everywhere
	In         []Match             `json:"in,omitempty"`          // places of residency
	Requires   map[string]string   `json:"requires,omitempty"`    // facts that no_training asks for
	Models     map[string][]string `json:"models,omitempty"`      // of allowlist: by team, * for all others
	Accepted   []Accepted          `json:"accepted,omitempty"`    // sub-processors
	Days       int                 `json:"days,omitempty"`        // of notice
	When       decouple.Condition  `json:"when,omitempty"`        // on the arguments of a tool
	Share      *ShareTerm          `json:"share,omitempty"`
	Amount     decouple.Money      `json:"amount,omitempty"` // of min_commit, and the most of a rev_share
	Part       Part                `json:"part,omitempty"`   // of rev_share

	line int
}

// Match is what a clause binds, or where: one of each list that is not empty must fit. A star stands for any characters.
type Match struct {
	Endpoints []string            `json:"endpoint,omitempty"` // or sites, or hosts of tools
	Vendors   []string            `json:"vendor,omitempty"`
	Clouds    []string            `json:"cloud,omitempty"`
	Regions   []string            `json:"region,omitempty"`
	Geos      []string            `json:"geo,omitempty"`
	Hardware  []string            `json:"hardware,omitempty"`
	Models    []string            `json:"model,omitempty"`
	Labs      []string            `json:"lab,omitempty"`
	Marks     []string            `json:"mark,omitempty"` // labels of the place
	Facts     map[string][]string `json:"fact,omitempty"`
	Labels    []string            `json:"label,omitempty"` // of the data
	Teams     []string            `json:"team,omitempty"`
	Agents    []string            `json:"agent,omitempty"`
	Keys      []string            `json:"key,omitempty"`
	Tools     []string            `json:"tool,omitempty"`
	Classes   []string            `json:"class,omitempty"`
	Open      string              `json:"open,omitempty"` // only: open weights alone; not: without them; with: they too; empty is what the kind says
}

// Reading is one of several ways to read a clause.
type Reading struct {
	Reads      Verdict    `json:"reads"` // allow or deny
	By         string     `json:"by,omitempty"`
	Text       string     `json:"text"`
	Source     string     `json:"source,omitempty"`
	Confidence Confidence `json:"confidence,omitempty"`
	Known      Span       `json:"known,omitzero"`

	line int
}

// Waiver lifts the `unless` of a clause.
type Waiver struct {
	Clause string  `json:"clause"` // contract/clause, or the id in this file
	What   string  `json:"what"`   // the words of the clause's unless
	For    []Match `json:"for,omitempty"`
	Text   string  `json:"text,omitempty"`
	Source string  `json:"source,omitempty"`
	Valid  Span    `json:"valid,omitzero"`
	Known  Span    `json:"known,omitzero"`

	line int
}

// Fact is something that a contract promises of places, such as that a vendor does not train.
type Fact struct {
	Of     Match             `json:"of"`
	Is     map[string]string `json:"is"`
	Source string            `json:"source,omitempty"`
	Valid  Span              `json:"valid,omitzero"`
	Known  Span              `json:"known,omitzero"`

	line int
}

// Accepted is a sub-processor that was announced.
type Accepted struct {
	Name string    `json:"name"`        // vendor, cloud, or what the fact subprocessor says
	On   time.Time `json:"on,omitzero"` // the day of the notice; none is from the beginning
}

// Span is from a day on until another, on which it no longer holds. Zero is open.
type Span struct {
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
}

// has says whether a day is in the span.
func (s Span) has(t time.Time) bool { return !t.Before(s.From) && (s.To.IsZero() || t.Before(s.To)) }

// overlaps says whether the spans share a moment.
func (s Span) overlaps(o Span) bool {
	return (s.To.IsZero() || o.From.Before(s.To)) && (o.To.IsZero() || s.From.Before(o.To))
}

// Settings say what follows from verdicts that are no answer, by class; * is every other class.
type Settings struct {
	OnDisputed map[string]Effect `json:"on_disputed,omitempty"`
	OnUnknown  map[string]Effect `json:"on_unknown,omitempty"`
}

// SignOff is a person's word for everybody: a disputed clause, or one that does not speak of a class, is taken as allowing.
type SignOff struct {
	Clause string    `json:"clause"`          // contract/clause
	Class  string    `json:"class,omitempty"` // empty is all classes
	Who    string    `json:"who"`
	Why    string    `json:"why,omitempty"`
	From   time.Time `json:"from,omitzero"`
	Until  time.Time `json:"until,omitzero"` // zero is without end
}

// Book is everything that is agreed: versions of contracts in any order, and the sign-offs.
type Book struct {
	Contracts []Contract
	SignOffs  []SignOff
}

// Kind says what sort of term a clause is.
type Kind string

// The kinds of clause.
const (
	ExclusiveHost         Kind = "exclusive_host"
	PrimaryHost           Kind = "primary_host"
	FirstShip             Kind = "first_ship"
	ROFR                  Kind = "rofr"
	ExclusiveDistribution Kind = "exclusive_distribution"
	Licence               Kind = "licence"
	MinCommit             Kind = "min_commit"
	Royalty               Kind = "rev_share"
	Residency             Kind = "residency"
	NoTraining            Kind = "no_training"
	RetirementNotice      Kind = "retirement_notice"
	AllowList             Kind = "allowlist"
	SubprocessorNotice    Kind = "subprocessor_notice"
	ShareOf               Kind = "share"
	Permit                Kind = "permit"
	Forbid                Kind = "forbid"
)

// Kinds are all kinds of clause.
func Kinds() []Kind {
	return []Kind{ExclusiveHost, PrimaryHost, FirstShip, ROFR, ExclusiveDistribution, Licence, MinCommit, Royalty, Residency, NoTraining, RetirementNotice, AllowList, SubprocessorNotice, ShareOf, Permit, Forbid}
}

// terms says whether clauses of a kind are about who may offer a model where: only they can leave a class open. A prohibition leaves all else as it was.
func (k Kind) terms() bool {
	switch k {
	case ExclusiveHost, PrimaryHost, FirstShip, ROFR, ExclusiveDistribution, Licence, Permit:
		return true
	}
	return false
}

// labs says whether clauses of a kind are a lab's or a vendor's own terms, from which open weights are free.
func (k Kind) labs() bool { return k.terms() && k != Permit }

// hosted says whether clauses of a kind deny all other places than their hosts.
func (k Kind) hosted() bool {
	return k == ExclusiveHost || k == FirstShip || k == ROFR || k == ExclusiveDistribution
}

// rank orders confidences, the best first.
func (c Confidence) rank() int {
	switch c {
	case Signed:
		return 0
	case Announced, "":
		return 1
	case Reported:
		return 2
	}
	return 3
}
