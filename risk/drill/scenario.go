package drill

import (
	"embed"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
)

// Scenario is what is lost or degraded and when, and what is expected of whoever lives through it.
type Scenario struct {
	ID         string
	Title      string
	Source     string        // where the facts are from
	Mark       string        // of the evidence: P a vendor's own page, S secondary, P/S both, own of somebody's own
	When       string        // the day of a real incident
	Facts      string        // what happened
	Simplified []string      // where the drill says less than what happened
	Every      time.Duration // it is due again; 0 never
	Before     time.Duration // calls are made for so long before the loss
	Lasts      time.Duration // the loss, in all
	After      time.Duration // calls are made for so long after it
	Slow       time.Duration // a first token that comes later is a bad answer
	Start      time.Time     // what day it is in the simulated world
	Lose       []Loss
	Expect     Expect
	Contracts  []Text                // of the simulated world; an installation has its own
	Aliases    map[string][]string   // of the simulated world: models or endpoints, the first choice first
	Workloads  []Workload            // of the simulated world
	Ancestors  map[string][]Selector // what hangs on something that no catalog knows of, such as an identity provider
	Text       string                // of the file
	short      bool
}

// Text is a part of a file, and the line on which it stands.
type Text struct {
	Line int
	Text string
}

// Kind says what happens to what is lost.
type Kind string

// The kinds of loss.
const (
	Outage     Kind = "outage"      // nobody answers, or with the status in Status
	Storm      Kind = "storm"       // 429
	Overload   Kind = "overload"    // the vendor says that it is full
	Refuse     Kind = "refuse"      // calls that are right are refused with 400
	Auth       Kind = "auth"        // credentials are refused: 401, or 403
	StallFirst Kind = "stall_first" // nothing comes before the first token, for a time
	Stall      Kind = "stall"       // nothing comes for a time, in the middle of an answer
	Slow       Kind = "slow"        // everything takes so many times as long
	Cut        Kind = "cut"         // streams break off
	Price      Kind = "price"       // everything costs so many times as much
	Quota      Kind = "quota"       // quotas are so many times what they were
	Clause     Kind = "clause"      // a clause of a contract falls away, or another text of the contract holds
)

// Selector says which endpoints are meant: all that is named must fit.
type Selector struct {
	Vendor   string   `json:"vendor,omitempty"` // who sells it
	Cloud    string   `json:"cloud,omitempty"`  // whose machines it is on
	Regions  []string `json:"regions,omitempty"`
	Model    string   `json:"model,omitempty"`
	Lab      string   `json:"lab,omitempty"` // who made the model
	Hardware string   `json:"hardware,omitempty"`
	Endpoint string   `json:"endpoint,omitempty"`
}

// Loss is one thing that is lost or degraded for a time.
type Loss struct {
	What Kind `json:"what"`
	Selector
	Ancestor string        `json:"ancestor,omitempty"` // instead: all that hangs on it
	From     time.Duration `json:"from_ns"`            // since the loss began
	To       time.Duration `json:"to_ns"`
	Share    float64       `json:"share"` // of the calls that it is about
	Status   int           `json:"status,omitempty"`
	After    int64         `json:"after,omitempty"`  // tokens, before a cut or stall
	For      time.Duration `json:"for_ns,omitempty"` // of a stall; of a storm, what it says of how long to wait
	Factor   float64       `json:"factor,omitempty"`
	Clause   string        `json:"clause,omitempty"` // contract/clause that falls away
	Text     Text          `json:"-"`                // the contract that takes the place of the one of its id
	line     int
}

// Workload is a stream of calls of one sort, of the simulated world.
type Workload struct {
	Name      string
	Class     string
	Labels    []string
	Team      string
	Agent     string
	Model     string // or alias
	Residency []string
	Rate      float64 // runs a second
	Steps     int64   // calls of a run
	In, Out   int64   // tokens of a call
	Stream    bool
	Critical  bool
	Again     int // times that whoever made a call makes it once more after it failed
	line      int
}

// Expect is what a drill must show to be passed. A limit that is not given is not checked.
type Expect struct {
	Recover       *time.Duration // of every workload that has an alternate
	FailedShare   *float64       // of the calls of workloads that have an alternate
	Breaches      *int64         // of residency and contracts
	Duplicated    *int64         // effects
	Amplification *float64       // attempts for each call
	CostTimes     *float64       // of an answer during the loss, as a multiple of before
	NoAlternate   []string       // workloads that are known to have none: any other one that has none fails the drill
	named         bool           // no_alternate stands in the file
}

//go:embed scenarios/*.yaml
var shipped embed.FS

// Embedded gives the incidents that ship with the program, by id.
func Embedded() ([]Scenario, error) {
	files, err := fs.Glob(shipped, "scenarios/*.yaml")
	if err != nil {
		return nil, decouple.Errorf(decouple.Internal, "the scenarios: %w", err)
	}
	slices.Sort(files)
	var out []Scenario
	for _, f := range files {
		b, err := shipped.ReadFile(f)
		if err != nil {
			return nil, decouple.Errorf(decouple.Internal, "the scenarios: %w", err)
		}
		s, err := Read(path.Base(f), b)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// Find gives the incident of an id.
func Find(id string) (Scenario, error) {
	all, err := Embedded()
	if err != nil {
		return Scenario{}, err
	}
	var ids []string
	for _, s := range all {
		if s.ID == id {
			return s, nil
		}
		ids = append(ids, s.ID)
	}
	return Scenario{}, decouple.Errorf(decouple.NotFound, "there is no scenario %q: name a file, or one of %s", id, strings.Join(ids, ", "))
}

// Short is a scenario in a short form, for tests and a first look: no loss lasts longer than most, and what comes before and after is cut likewise.
func (s Scenario) Short(most time.Duration) Scenario {
	if s.Lasts <= most {
		return s
	}
	times := float64(most) / float64(s.Lasts)
	scale := func(d time.Duration) time.Duration { return time.Duration(float64(d) * times).Round(time.Second) }
	s.Lose = slices.Clone(s.Lose)
	for i := range s.Lose {
		l := &s.Lose[i]
		l.From, l.To = scale(l.From), max(scale(l.To), scale(l.From)+time.Second)
	}
	s.Lasts, s.Before, s.After = most, min(s.Before, most/4), min(s.After, most/2)
	s.short = true
	s.Simplified = append(slices.Clone(s.Simplified), "short form: "+most.String()+" stand for the whole length")
	return s
}
