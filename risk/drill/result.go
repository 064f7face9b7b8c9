package drill

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/risk/sign"
)

// PayloadType is what a signed result says that it is.
const PayloadType = "application/vnd.decouple.drill+json"

// Mode says how a drill was played.
type Mode string

// The modes.
const (
	Sim    Mode = "sim"
	Shadow Mode = "shadow"
	Live   Mode = "live"
)

// Result is what a drill showed: the one document of it.
type Result struct {
	Version    int            `json:"version"` // 1
	ID         string         `json:"id"`
	Scenario   About          `json:"scenario"`
	Mode       Mode           `json:"mode"`
	Ran        time.Time      `json:"ran"`
	Took       time.Duration  `json:"took_ns"`   // of whoever waited for it
	Played     time.Duration  `json:"played_ns"` // of the time in which calls were made, virtual or real
	By         decouple.Actor `json:"by"`
	Node       string         `json:"node,omitempty"`
	Program    string         `json:"program,omitempty"` // version
	Seed       uint64         `json:"seed,omitempty"`
	Trace      string         `json:"trace,omitempty"` // of a simulation: the same scenario and seed give the same one
	World      string         `json:"world"`           // what was drilled, in a sentence
	Passed     bool           `json:"passed"`
	Aborted    string         `json:"aborted,omitempty"` // why it ended early
	Checks     []Check        `json:"checks"`
	Total      Figures        `json:"total"`
	Workloads  []Figures      `json:"workloads"`
	Naive      *Figures       `json:"status_code_router,omitempty"` // the same calls through a router that trusts status codes
	NaiveBy    []Figures      `json:"status_code_router_workloads,omitempty"`
	Gaps       []Gap          `json:"no_alternate,omitempty"`
	Unproved   []Unproved     `json:"alternates_without_parity,omitempty"` // of a shadow drill
	Chart      *Chart         `json:"chart,omitempty"`
	Measures   []string       `json:"measures"` // what the figures mean in this mode
	Simplified []string       `json:"simplified,omitempty"`
}

// About is the scenario of a result.
type About struct {
	ID     string        `json:"id"`
	Title  string        `json:"title"`
	Source string        `json:"source,omitempty"`
	Mark   string        `json:"mark,omitempty"`
	Facts  string        `json:"facts,omitempty"`
	Hash   string        `json:"sha256"` // of its file
	Short  bool          `json:"short,omitempty"`
	Every  time.Duration `json:"every_ns,omitempty"`
	Lasts  time.Duration `json:"lasts_ns"`
	Lost   []string      `json:"lost"`   // in words
	Losses []Loss        `json:"losses"` // the same for programs
}

// Check is an expectation and what came of it.
type Check struct {
	What   string `json:"what"`
	Want   string `json:"want"`
	Got    string `json:"got"`
	Passed bool   `json:"passed"`
}

// Figures is what one workload, or all of them, went through.
type Figures struct {
	Workload   string         `json:"workload,omitempty"`
	Class      string         `json:"class,omitempty"`
	Model      string         `json:"model,omitempty"`
	Critical   bool           `json:"critical,omitempty"`
	Alternate  bool           `json:"has_alternate"`
	Before     Phase          `json:"before"`
	During     Phase          `json:"during"`
	After      Phase          `json:"after"`
	Recover    *time.Duration `json:"recover_ns"`     // from the loss to the second from which on calls go well; null is never
	LastBad    time.Duration  `json:"last_bad_ns"`    // from the loss to the last call that ended badly; 0 is none
	Attempts   int64          `json:"attempts"`       // during the loss
	Repeated   int64          `json:"steps_repeated"` // calls made anew by whoever made them, and answers begun anew
	Duplicated int64          `json:"effects_duplicated"`
	Residency  int64          `json:"residency_breaches"`
	Contract   int64          `json:"contract_breaches"`
	Shares     []Share        `json:"answered_by,omitempty"` // during the loss
}

// Phase is the calls of a time: before, during or after the loss. A call counts for the time at which it was made.
type Phase struct {
	Calls   int64          `json:"calls"`
	Failed  int64          `json:"failed"`
	Late    int64          `json:"late,omitempty"`
	Cost    decouple.Money `json:"cost_nano_usd"`
	PerCall decouple.Money `json:"cost_per_answer_nano_usd"`
	First50 time.Duration  `json:"first_token_p50_ns,omitempty"`
	First95 time.Duration  `json:"first_token_p95_ns,omitempty"`
	Slowest time.Duration  `json:"slowest_answer_ns,omitempty"`
}

// Share is how many answers came from an endpoint.
type Share struct {
	Endpoint string  `json:"endpoint"`
	Answers  int64   `json:"answers"`
	Share    float64 `json:"share"`
}

// Gap is calls that had nowhere else to go.
type Gap struct {
	Workload string        `json:"workload"`
	From     time.Duration `json:"from_ns"` // since the loss began
	Calls    int64         `json:"calls,omitempty"`
	Lost     []string      `json:"lost"`    // endpoints
	Refused  []string      `json:"refused"` // endpoints that were there and not permitted, with the reason
	Expected bool          `json:"expected,omitempty"`
}

// Bad is calls that failed or were late.
func (p Phase) Bad() int64 { return p.Failed + p.Late }

// FailedShare is the share of the calls during the loss that failed or were late.
func (f *Figures) FailedShare() float64 {
	if f.During.Calls == 0 {
		return 0
	}
	return float64(f.During.Bad()) / float64(f.During.Calls)
}

// Amplification is attempts for each call during the loss.
func (f *Figures) Amplification() float64 {
	if f.During.Calls == 0 {
		return 0
	}
	return float64(f.Attempts) / float64(f.During.Calls)
}

// CostTimes is what an answer cost during the loss, as a multiple of before; 0 is not known.
func (f *Figures) CostTimes() float64 {
	if f.Before.PerCall <= 0 || f.During.PerCall <= 0 {
		return 0
	}
	return float64(f.During.PerCall) / float64(f.Before.PerCall)
}

// Sign puts a result into an envelope that a key signs.
func (r *Result) Sign(k *sign.Key) ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, decouple.Errorf(decouple.Internal, "the result of the drill cannot be written: %w", err)
	}
	return k.Envelope(PayloadType, b)
}

// Verify opens an envelope with a public key and reads the result in it. What has been changed is Denied.
func Verify(envelope []byte, by sign.Public) (*Result, error) {
	b, err := sign.Open(envelope, PayloadType, by)
	if err != nil {
		return nil, err
	}
	var r Result
	if err := json.Unmarshal(b, &r); err != nil || r.Version != 1 {
		return nil, decouple.Errorf(decouple.Invalid, "the result of the drill is of a version that this program does not know: use the newer one")
	}
	return &r, nil
}

func percent(share float64) string {
	switch {
	case share == 0:
		return "0%"
	case share < 0.0005:
		return "<0.1%"
	case share >= 0.9995 && share < 1:
		return ">99.9%"
	}
	return strconv.FormatFloat(share*100, 'f', decimals(share*100), 64) + "%"
}

// decimals keeps about three digits.
func decimals(v float64) int {
	switch {
	case v == float64(int64(v)):
		return 0
	case v < 10:
		return 2
	}
	return 1
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', 4, 64) }

func itoa[T ~int | ~int64](n T) string { return strconv.FormatInt(int64(n), 10) }

// brief is a length of time with as much of it as people want to read.
func brief(d time.Duration) string {
	switch {
	case d == 0:
		return "0s"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	d = d.Round(time.Second)
	h, m, s := int64(d.Hours()), int64(d.Minutes())%60, int64(d.Seconds())%60
	out := ""
	if h > 0 {
		out = itoa(h) + "h"
	}
	if m > 0 || h > 0 && s > 0 {
		out += itoa(m) + "m"
	}
	if s > 0 {
		out += itoa(s) + "s"
	}
	return out
}

func recovered(d *time.Duration) string {
	if d == nil {
		return "never"
	}
	if *d == 0 {
		return "at once"
	}
	return "after " + brief(*d)
}

func usd(m decouple.Money) string {
	return fmt.Sprintf("$%.4f", float64(m)/1e9)
}
