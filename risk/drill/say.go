package drill

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"decouple.dev/decouple"
)

// About is a scenario in the form in which results name it.
func (s *Scenario) About() About {
	sum := sha256.Sum256([]byte(s.Text))
	a := About{ID: s.ID, Title: s.Title, Source: s.Source, Mark: s.Mark, Facts: s.Facts, Hash: hex.EncodeToString(sum[:]), Short: s.short, Every: s.Every, Lasts: s.Lasts, Losses: s.Lose}
	for i := range s.Lose {
		a.Lost = append(a.Lost, s.Lose[i].say())
	}
	return a
}

// Describe says for people what a scenario is about.
func (s *Scenario) Describe() string {
	var b strings.Builder
	p := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); strings.TrimSpace(text) != "" {
			fmt.Fprintf(&b, "%-12s %s\n", name, plainLong(text))
		}
	}
	p("scenario", "%s", s.ID)
	p("title", "%s", s.Title)
	p("happened", "%s", s.When)
	p("facts", "%s", s.Facts)
	source := s.Source
	if s.Mark != "" {
		source += " (" + s.Mark + ")"
	}
	p("source", "%s", source)
	p("lasts", "%s", brief(s.Lasts))
	for i := range s.Lose {
		p("lost", "%s", s.Lose[i].say())
	}
	for _, t := range s.Simplified {
		p("simplified", "%s", t)
	}
	for i := range s.Workloads {
		w := &s.Workloads[i]
		text := fmt.Sprintf("%s: %s runs a second of %d calls, model %s, class %s", w.Name, number(w.Rate), w.Steps, w.Model, cmp.Or(w.Class, "not named"))
		if len(w.Residency) > 0 {
			text += ", only in " + strings.Join(w.Residency, ", ")
		}
		if w.Critical {
			text += ", critical"
		}
		p("workload", "%s", text)
	}
	for _, name := range slices.Sorted(keys(s.Aliases)) {
		p("alias", "%s: %s", name, strings.Join(s.Aliases[name], ", "))
	}
	e := &s.Expect
	if e.Recover != nil {
		p("expected", "callers with an alternate are well within %s", brief(*e.Recover))
	}
	if e.FailedShare != nil {
		p("expected", "less than %s of the calls with an alternate fail or are late", percent(*e.FailedShare))
	}
	if e.Breaches != nil {
		p("expected", "at most %d breaches of residency and contracts", *e.Breaches)
	}
	if e.named {
		p("expected", "without an alternate: %s", cmp.Or(strings.Join(e.NoAlternate, ", "), "nothing"))
	}
	if s.Every > 0 {
		p("due", "every %s", days(s.Every))
	}
	return b.String()
}

func days(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return itoa(d/(24*time.Hour)) + "d"
	}
	return brief(d)
}

// Text is a result in short, for a terminal.
func (r *Result) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n%s\n\n", r.verdict(), plainLong(r.Scenario.Title), plainLong(r.summary()))
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	for _, c := range r.Checks {
		fmt.Fprintf(w, "%s\t%s\twanted %s\tgot %s\n", map[bool]string{true: "ok", false: "NO"}[c.Passed], plainLong(c.What), plainLong(c.Want), plainLong(c.Got))
	}
	_ = w.Flush() // a builder takes everything
	b.WriteString("\n")
	w = tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "WORKLOAD\tCALLS\tFAILED\tLATE\tWELL\tFIRST_TOKEN\tCOST_OF_AN_ANSWER\tBREACHES\tANSWERED_BY")
	for i := range r.Workloads {
		f := &r.Workloads[i]
		by := "nobody"
		if len(f.Shares) > 0 {
			by = f.Shares[0].Endpoint + " " + percent(f.Shares[0].Share)
		}
		well := recovered(f.Recover)
		if r.Mode == Shadow {
			well = "-"
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s -> %s\t%s -> %s\t%d\t%s\n", plain(f.Workload), f.During.Calls, f.During.Failed, f.During.Late, well, brief(f.Before.First50), brief(f.During.First50), usd(f.Before.PerCall), usd(f.During.PerCall), f.Residency+f.Contract, plain(by))
	}
	_ = w.Flush()
	for i := range r.Gaps {
		fmt.Fprintf(&b, "\nno alternate: %s\n", plainLong(r.Gaps[i].say()))
	}
	for _, s := range r.unprovedWords() {
		fmt.Fprintf(&b, "\nnot proved: %s\n", plainLong(s))
	}
	fmt.Fprintf(&b, "\ndrill %s, kept and signed\n", r.ID)
	return b.String()
}

// Verdict is the result in two words.
func (r *Result) Verdict() string { return strings.ToLower(r.verdict()) }

// Well is when callers with an alternate were well, in words.
func (r *Result) Well() string {
	if r.Mode == Shadow {
		return "-"
	}
	worst, ok := r.slowest()
	if !ok {
		return "never"
	}
	return recovered(worst)
}

// ParseShare reads a share such as 5% or 0.05.
func ParseShare(text string) (float64, error) {
	v, err := fraction(text)
	if err != nil || !(v > 0 && v <= 1) {
		return 0, decouple.Errorf(decouple.Invalid, "it must be a share above 0 and up to 100%%, such as 5%% or 0.05")
	}
	return v, nil
}

// Point is one drill in a trend.
type Point struct {
	ID            string    `json:"id"`
	Started       time.Time `json:"started"`
	Mode          Mode      `json:"mode"`
	State         State     `json:"state"`
	FailedShare   float64   `json:"failed_share"`
	Well          string    `json:"well"`
	Amplification float64   `json:"attempts_per_call"`
	CostTimes     float64   `json:"cost_times"`
	Breaches      int64     `json:"breaches"`
}

// Trend gives the drills of a scenario that have a result, the oldest first.
func Trend(list []Entry, scenario string) []Point {
	out := []Point{}
	for i := range list {
		e := &list[i]
		if e.Scenario != scenario || e.Result == nil {
			continue
		}
		t := &e.Result.Total
		out = append(out, Point{e.ID, e.Started, e.Mode, e.State, t.FailedShare(), e.Result.Well(), t.Amplification(), t.CostTimes(), t.Residency + t.Contract})
	}
	slices.SortFunc(out, func(a, b Point) int { return a.Started.Compare(b.Started) })
	return out
}
