package fleet

import (
	"math"
	"slices"
	"time"

	"decouple.dev/decouple"
)

// Bounds of a plan: beyond them are mistakes, not fleets.
const (
	mostRuns   = 100_000_000
	mostRate   = 1e6
	mostTokens = 100_000_000
	mostCalls  = 100_000
)

// check says what is wrong with a plan.
func (p *Plan) check() error {
	switch {
	case p.Start.IsZero():
		return decouple.Errorf(decouple.Invalid, "a plan needs a start: the day on which it is played, for prices and clauses")
	case p.Span < 0 || p.Span > longest:
		return decouple.Errorf(decouple.Invalid, "the span of a plan is between 0 and a year")
	case len(p.Workloads) == 0:
		return decouple.Errorf(decouple.Invalid, "a plan needs at least one workload")
	case len(p.Workloads) > 1000:
		return decouple.Errorf(decouple.Invalid, "a plan has at most 1,000 workloads")
	case len(p.Clouds) == 0:
		return decouple.Errorf(decouple.Invalid, "a plan needs at least one cloud")
	case p.Slice < 0:
		return decouple.Errorf(decouple.Invalid, "the slices of a result are longer than nothing")
	}
	seen := map[string]bool{}
	for i := range p.Workloads {
		w := &p.Workloads[i]
		if err := w.check(p.Span); err != nil {
			return err
		}
		if seen[w.Name] {
			return decouple.Errorf(decouple.Invalid, "there are two workloads of the name %q", w.Name)
		}
		seen[w.Name] = true
	}
	if !slices.IsSortedFunc(p.Policies, func(a, b Change) int { return int(max(-1, min(1, a.At-b.At))) }) {
		return decouple.Errorf(decouple.Invalid, "policies are in the order in which they hold")
	}
	return nil
}

// check says what is wrong with a workload.
func (w *Workload) check(span time.Duration) error {
	bad := func(format string, args ...any) error {
		return decouple.Errorf(decouple.Invalid, "workload %q: "+format, append([]any{w.Name}, args...)...)
	}
	if w.Name == "" {
		return decouple.Errorf(decouple.Invalid, "a workload has no name")
	}
	if len(w.Name) > 64 || w.Model == "" {
		return bad("it needs a name of at most 64 bytes, and a model or alias")
	}
	if !(w.Arrive.Rate > 0 && w.Arrive.Rate <= mostRate) {
		return bad("its rate is a number of runs a second above 0, at most a million")
	}
	if w.Runs < 0 || w.Runs > mostRuns || w.Runs == 0 && span == 0 {
		return bad("it has at most a hundred million runs; a plan without a span needs their number")
	}
	if w.Runs == 0 && w.Arrive.Rate*span.Seconds() > mostRuns {
		return bad("more than a hundred million runs would come: lower its rate, or give their number")
	}
	if err := w.Arrive.check(); err != nil {
		return bad("%w", err)
	}
	for _, s := range []struct {
		of   string
		s    Spread
		most float64
	}{{"calls", w.Calls, mostCalls}, {"tools", w.Tools, float64(longest)}, {"in", w.In, mostTokens}, {"grow", w.Grow, mostTokens}, {"out", w.Out, mostTokens}} {
		if !(s.s.A >= 0 && s.s.A <= s.most && s.s.B >= 0 && s.s.B <= s.most) || s.s.Shape > Uniform || (s.s.Shape == Uniform || s.s.Shape == LogNormal) && s.s.B < s.s.A {
			return bad("%s lies between 0 and %.0f, and its first number is not above its second", s.of, s.most)
		}
	}
	if w.Prefix < 0 || w.Prefix > mostTokens || w.MaxOut < 0 || w.MaxOut > mostTokens || w.Keys < 0 || w.Keys > 100_000 || w.Again < 0 || w.Again > 100 {
		return bad("prefix, max_out, keys and again are counts: tokens up to a hundred million, keys up to 100,000, again up to 100")
	}
	if w.Late < 0 || w.Deadline < 0 || w.Deadline > longest || w.Pause < 0 || w.Pause > 24*time.Hour || w.SignOff < 0 || w.SignOff > longest {
		return bad("late, deadline, pause and sign_off are spans of time, not below zero")
	}
	if !(w.Unchecks >= 0 && w.Unchecks <= 1) {
		return bad("unchecks is a share from 0 to 1")
	}
	return nil
}

// check says what is wrong with an arrival.
func (a Arrival) check() error {
	a = a.filled()
	switch a.Pattern {
	case Poisson, Steady:
	case Burst:
		if a.Every <= 0 || a.For <= 0 || a.For >= a.Every || !(a.Times >= 1 && a.Times*float64(a.For) <= float64(a.Every)) {
			return decouple.Errorf(decouple.Invalid, "a burst lasts a part of every, and has at most all of the runs in it: times x for is not above every")
		}
	case Daily:
		if a.Peak < 0 || a.Peak > 24*time.Hour || !(a.Swing >= 0 && a.Swing <= 1) {
			return decouple.Errorf(decouple.Invalid, "the peak of a day is an hour of it, and swing a share from 0 to 1")
		}
	default:
		return decouple.Errorf(decouple.Invalid, "runs come poisson, steady, burst or daily, not %q", string(a.Pattern))
	}
	if math.IsNaN(a.Rate) {
		return decouple.Errorf(decouple.Invalid, "a rate is a number")
	}
	return nil
}
