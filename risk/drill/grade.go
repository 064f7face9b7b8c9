package drill

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"decouple.dev/decouple"
)

// Standing is how a scenario stands: whether it was drilled, when it is due, and what that is worth.
type Standing struct {
	Scenario string        `json:"scenario"`
	Title    string        `json:"title"`
	Every    time.Duration `json:"every_ns,omitempty"`
	Last     *Entry        `json:"last,omitempty"` // the newest drill that came to its end
	Due      time.Time     `json:"due,omitzero"`
	Overdue  bool          `json:"overdue"`
	Points   int           `json:"points"` // of 100
	Why      string        `json:"why"`
}

// Points of a scenario's grade. A drill that is overdue loses half of what it showed; one that was not passed is worth that the gap is known.
const (
	pointsPassed  = 100
	pointsSim     = 80 // passed in the simulated world only
	pointsFailed  = 30
	pointsOverdue = 2 // the points are divided by it
)

// Grade says how scenarios stand by the drills that there were, those that are worst off first. Drills that were aborted or cut off count for nothing. The overall grade is the mean.
func Grade(scenarios []Scenario, drills []Entry, now time.Time) (list []Standing, overall int) {
	known := map[string]bool{}
	var all []Standing
	for _, s := range scenarios {
		known[s.ID] = true
		all = append(all, Standing{Scenario: s.ID, Title: s.Title, Every: s.Every})
	}
	for _, d := range drills { // scenarios of somebody's own are known by their drills
		if !known[d.Scenario] {
			known[d.Scenario] = true
			all = append(all, Standing{Scenario: d.Scenario, Title: d.Title, Every: d.Every})
		}
	}
	for i := range all {
		all[i].grade(drills, now)
		overall += all[i].Points
	}
	slices.SortStableFunc(all, func(a, b Standing) int { return cmp.Or(cmp.Compare(a.Points, b.Points), a.Due.Compare(b.Due)) })
	if len(all) > 0 {
		overall /= len(all)
	}
	return all, overall
}

// grade finds the newest drill of a scenario that counts, and says what it is worth.
func (s *Standing) grade(drills []Entry, now time.Time) {
	var best *Entry
	for i := range drills {
		d := &drills[i]
		if d.Scenario == s.Scenario && (d.State == Passed || d.State == Failed) && !d.Result.Scenario.Short && d.met() && (best == nil || d.Started.After(best.Started)) {
			best = d
		}
	}
	if s.Last = best; best == nil {
		s.Overdue, s.Why = s.Every > 0, "never drilled"
		return
	}
	s.Every = cmp.Or(best.Every, s.Every)
	switch {
	case best.State == Failed:
		s.Points, s.Why = pointsFailed, "drilled, and not passed"
	case best.Mode == Sim:
		s.Points, s.Why = pointsSim, "passed in the simulated world"
	default:
		s.Points, s.Why = pointsPassed, "passed in mode "+string(best.Mode)
	}
	if s.Every > 0 {
		s.Due = best.Started.Add(s.Every)
		if s.Overdue = now.After(s.Due); s.Overdue {
			s.Points /= pointsOverdue
			s.Why += fmt.Sprintf(", and overdue since %s", day(s.Due))
		}
	}
}

// met says whether any call met the loss. Where a drill is over real calls and there were none, nothing was rehearsed.
func (e *Entry) met() bool { return e.Mode == Sim || e.Result.Total.During.Calls > 0 }

// Latest gives the newest drill of every scenario and mode that came to its end, with its result: what others count of drills.
func Latest(ctx context.Context, log Reader, tenant decouple.TenantID, now time.Time) ([]Entry, error) {
	list, err := List(ctx, log, tenant, now)
	if err != nil {
		return nil, err
	}
	type key struct {
		scenario string
		mode     Mode
	}
	seen := map[key]bool{}
	out := []Entry{}
	for _, e := range list {
		k := key{e.Scenario, e.Mode}
		if e.State != Passed && e.State != Failed || e.Result.Scenario.Short || seen[k] {
			continue
		}
		seen[k] = true
		out = append(out, e)
	}
	return out, nil
}
