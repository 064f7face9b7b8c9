package drill

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// judge puts the expectations of a scenario beside what came of them. What had no alternate is measured by itself, and named: that it fails is no fault of a router.
func (r *Result) judge(s *Scenario) {
	e := &s.Expect
	r.Checks = []Check{}
	add := func(passed bool, what, want, got string) { r.Checks = append(r.Checks, Check{what, want, got, passed}) }
	if e.Recover != nil && r.Mode != Shadow {
		worst, ok := r.slowest()
		add(ok && *worst <= *e.Recover, "time to recover, of every workload with an alternate", "within "+brief(*e.Recover), recovered(worst))
	}
	if e.FailedShare != nil && r.Mode != Shadow {
		calls, bad := int64(0), int64(0)
		for i := range r.Workloads {
			if f := &r.Workloads[i]; f.Alternate {
				calls, bad = calls+f.During.Calls, bad+f.During.Bad()
			}
		}
		share := 0.0
		if calls > 0 {
			share = float64(bad) / float64(calls)
		}
		add(share < *e.FailedShare, "calls that failed or were late, of workloads with an alternate", "< "+percent(*e.FailedShare), fmt.Sprintf("%s (%d of %d)", percent(share), bad, calls))
	}
	if e.Breaches != nil {
		add(r.Total.Residency+r.Total.Contract <= *e.Breaches, "breaches of residency and contracts", "at most "+itoa(*e.Breaches), fmt.Sprintf("%d of residency, %d of contracts", r.Total.Residency, r.Total.Contract))
	}
	if e.Duplicated != nil && r.Mode == Sim {
		add(r.Total.Duplicated <= *e.Duplicated, "effects done twice", "at most "+itoa(*e.Duplicated), itoa(r.Total.Duplicated))
	}
	if e.Amplification != nil && r.Mode != Shadow {
		got := r.Total.Amplification()
		add(got <= *e.Amplification, "attempts for each call", "at most "+number(*e.Amplification), fmt.Sprintf("%.3f", got))
	}
	if e.CostTimes != nil {
		got := r.Total.CostTimes()
		add(got <= *e.CostTimes, "cost of an answer during the loss, of before", "at most "+number(*e.CostTimes)+" times", fmt.Sprintf("%.2f times", got))
	}
	if e.named && r.Mode != Live {
		r.judgeGaps(e)
	}
	if r.Aborted != "" {
		add(false, "played to its end", "yes", "no: "+r.Aborted)
	}
	r.Passed = !slices.ContainsFunc(r.Checks, func(c Check) bool { return !c.Passed })
}

// judgeGaps checks that nothing else lacks an alternate than what is known to.
func (r *Result) judgeGaps(e *Expect) {
	var found []string
	for i := range r.Gaps {
		g := &r.Gaps[i]
		if g.Expected = slices.Contains(e.NoAlternate, g.Workload); !slices.Contains(found, g.Workload) {
			found = append(found, g.Workload)
		}
	}
	want := slices.Clone(e.NoAlternate)
	slices.Sort(want)
	slices.Sort(found)
	met := slices.Equal(want, found)
	if r.Mode == Shadow { // other workloads than those of the file
		met = !slices.ContainsFunc(found, func(name string) bool { return !slices.Contains(want, name) })
	}
	say := func(list []string) string { return cmp.Or(strings.Join(list, ", "), "none") }
	r.Checks = append(r.Checks, Check{"workloads without an alternate", say(want), say(found), met})
}

// slowest is the longest time to recover of the workloads with an alternate; nil is that one never did, or that there is none.
func (r *Result) slowest() (worst *time.Duration, ok bool) {
	for i := range r.Workloads {
		f := &r.Workloads[i]
		if !f.Alternate || f.During.Calls == 0 {
			continue
		}
		if f.Recover == nil {
			return nil, false
		}
		if worst == nil || *f.Recover > *worst {
			worst = f.Recover
		}
	}
	return worst, worst != nil
}
