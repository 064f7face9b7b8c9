package parity

import (
	"fmt"
	"math"
	"slices"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

// Verdict says whether the alternate counts.
type Verdict string

// The verdicts.
const (
	Pass   Verdict = "pass"
	Fail   Verdict = "fail"
	TooFew Verdict = "too few cases"
)

// Comparison is how both did by one metric.
type Comparison struct {
	Metric     Metric   `json:"metric"`
	Cases      int      `json:"cases"`
	Primary    Interval `json:"primary"`
	Alternate  Interval `json:"alternate"`
	Difference Interval `json:"difference"` // alternate less primary
	Verdict    Verdict  `json:"verdict"`
	Needed     int      `json:"needed,omitempty"` // cases in all that would show it, were the shares these
	Why        string   `json:"why"`
}

// Side is what one endpoint used.
type Side struct {
	Endpoint   catalog.EndpointID `json:"endpoint"`
	Trials     int                `json:"trials"`
	Usage      decouple.Usage     `json:"usage"`
	FirstToken Spread             `json:"first_token"`
	Took       Spread             `json:"took"` // of a trial, all its calls
}

// Spread is how long things took.
type Spread struct {
	P50 time.Duration `json:"p50_ns"`
	P95 time.Duration `json:"p95_ns"`
}

// Ratio is how many times as much the alternate took.
type Ratio struct {
	Of    string   `json:"of"`
	Known bool     `json:"known"`
	Times Interval `json:"times"`
}

// Miss is a case that one side did wrong.
type Miss struct {
	Case   string `json:"case"`
	Side   string `json:"side"` // primary or alternate
	Metric Metric `json:"metric"`
	Why    string `json:"why"`
}

// Report is what an evaluation has found of one alternate.
type Report struct {
	ID        string       `json:"id"`
	At        time.Time    `json:"at"`
	Suite     string       `json:"suite"`
	Hash      string       `json:"suite_hash"` // of the cases' file
	Repeats   int          `json:"repeats"`
	Class     string       `json:"class,omitempty"` // of the work as which it was asked
	Margin    float64      `json:"margin"`
	Seed      uint64       `json:"seed"`
	Primary   Side         `json:"primary"`
	Alternate Side         `json:"alternate"`
	Metrics   []Comparison `json:"metrics"`
	Ratios    []Ratio      `json:"ratios"`
	Verdict   Verdict      `json:"verdict"`
	Why       string       `json:"why"`
	Notes     []string     `json:"notes"`
	Misses    []Miss       `json:"misses"`                // those of the alternate alone first
	More      int          `json:"more_misses,omitempty"` // that are not listed
}

// Sample is what came of one case at both endpoints: a trial of each for every repeat.
type Sample struct {
	Case      *Case
	Primary   []Measured
	Alternate []Measured
}

// Measured is a trial, what it used and how long it took.
type Measured struct {
	Trial
	Usage      decouple.Usage
	FirstToken time.Duration
	Took       time.Duration
}

// mostMisses is how many misses a report lists.
const mostMisses = 40

// Compare fills a report from samples. Margin and Seed are set by then. The unit is the case: of repeats the mean counts, so that asking the same thing again does not look like knowing more.
func (r *Report) Compare(samples []Sample) {
	r.Notes = []string{}
	primary, alternate := map[Metric][]float64{}, map[Metric][]float64{} // the share of repeats that did well, case by case
	var lost, others []Miss                                              // by the alternate alone, and the rest
	for _, s := range samples {
		a, missedA := marks(s, "primary", s.Primary)
		b, missedB := marks(s, "alternate", s.Alternate)
		for m := range a {
			primary[m], alternate[m] = append(primary[m], a[m]), append(alternate[m], b[m])
		}
		for _, miss := range missedB {
			if a[miss.Metric] > b[miss.Metric] {
				lost = append(lost, miss)
			} else {
				others = append(others, miss)
			}
		}
		others = append(others, missedA...)
	}
	r.Misses = append(append([]Miss{}, lost...), others...)
	if r.More = max(0, len(r.Misses)-mostMisses); r.More > 0 {
		r.Misses = r.Misses[:mostMisses]
	}
	r.Verdict = Pass
	for _, m := range metrics {
		if len(primary[m]) == 0 {
			continue
		}
		c := compare(m, primary[m], alternate[m], r.Margin)
		r.Metrics = append(r.Metrics, c)
		if c.Verdict == Fail || c.Verdict == TooFew && r.Verdict == Pass {
			r.Verdict = c.Verdict
		}
		if c.Primary.Value < 0.5 {
			r.Notes = append(r.Notes, fmt.Sprintf("%s: the primary itself does it in %.0f %% of the cases; no worse than that is not much.", m, c.Primary.Value*100))
		}
	}
	r.Primary.fill(samples, func(s Sample) []Measured { return s.Primary })
	r.Alternate.fill(samples, func(s Sample) []Measured { return s.Alternate })
	r.ratios(samples)
	r.Why = r.sentence()
}

// marks are the shares of a side's repeats that did well, by metric, and the first miss by each.
func marks(s Sample, side string, trials []Measured) (map[Metric]float64, []Miss) {
	out := map[Metric]float64{}
	told := map[Metric]bool{}
	var missed []Miss
	for _, t := range trials {
		got := s.Case.Judge(t.Trial)
		for _, m := range metrics {
			mark, asked := got[m]
			switch {
			case !asked:
			case mark.OK:
				out[m] += 1 / float64(len(trials))
			default:
				if out[m] += 0; !told[m] {
					missed = append(missed, Miss{s.Case.ID, side, m, mark.Why})
				}
				told[m] = true
			}
		}
	}
	return out, missed
}

// compare decides on one metric.
func compare(m Metric, primary, alternate []float64, margin float64) Comparison {
	c := Comparison{Metric: m, Cases: len(primary)}
	c.Primary, c.Alternate, c.Difference = Paired(primary, alternate)
	points := func(f float64) string { return fmt.Sprintf("%.1f points", math.Abs(f)*100) }
	switch d := c.Difference; {
	case d.Low > -margin:
		c.Verdict, c.Why = Pass, fmt.Sprintf("with 95 %% certainty it is at most %s worse, which is within %s", points(min(d.Low, 0)), points(margin))
	case d.Value <= -margin:
		c.Verdict, c.Why = Fail, fmt.Sprintf("it is %s worse, and %s are allowed", points(d.Value), points(margin))
	default:
		c.Verdict, c.Needed = TooFew, Needed(c.Primary.Value, c.Alternate.Value, correlation(primary, alternate), margin)
		c.Why = fmt.Sprintf("it may be as much as %s worse; about %d cases in all would tell", points(d.Low), c.Needed)
		if c.Needed == 0 {
			c.Why = fmt.Sprintf("it may be as much as %s worse, and it would take over %d cases to tell", points(d.Low), mostCases)
		}
	}
	return c
}

// fill sums what a side used.
func (s *Side) fill(samples []Sample, of func(Sample) []Measured) {
	var first, took []float64
	for _, sample := range samples {
		for _, t := range of(sample) {
			s.Trials++
			s.Usage = s.Usage.Add(t.Usage)
			if t.FirstToken > 0 {
				first = append(first, float64(t.FirstToken))
			}
			took = append(took, float64(t.Took))
		}
	}
	slices.Sort(first)
	slices.Sort(took)
	spread := func(list []float64) Spread {
		return Spread{time.Duration(quantile(list, 0.5)), time.Duration(quantile(list, 0.95))}
	}
	s.FirstToken, s.Took = spread(first), spread(took)
}

// ratios compares what both took, case by case.
func (r *Report) ratios(samples []Sample) {
	for i, k := range []struct {
		of    string
		value func(Measured) float64
	}{
		{"cost", func(m Measured) float64 { return float64(m.Usage.Cost) }},
		{"tokens out", func(m Measured) float64 { return float64(m.Usage.TokensOut) }},
		{"first token", func(m Measured) float64 { return float64(m.FirstToken) }},
		{"total time", func(m Measured) float64 { return float64(m.Took) }},
	} {
		var a, b []float64
		for _, s := range samples {
			a, b = append(a, mean(s.Primary, k.value)), append(b, mean(s.Alternate, k.value))
		}
		times, ok := Bootstrap(a, b, r.Seed+uint64(i))
		r.Ratios = append(r.Ratios, Ratio{k.of, ok, times})
	}
}

func mean[T any](list []T, value func(T) float64) float64 {
	sum := 0.0
	for _, m := range list {
		sum += value(m)
	}
	if len(list) == 0 {
		return 0
	}
	return sum / float64(len(list))
}

// sentence says what decided.
func (r *Report) sentence() string {
	for _, want := range []Verdict{Fail, TooFew} {
		for _, c := range r.Metrics {
			if c.Verdict == want && want == r.Verdict {
				return fmt.Sprintf("%s: %s", c.Metric, c.Why)
			}
		}
	}
	return fmt.Sprintf("by every metric it is with 95 %% certainty at most %.1f points worse", r.Margin*100)
}
