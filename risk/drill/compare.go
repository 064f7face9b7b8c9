package drill

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Difference is one figure of two drills.
type Difference struct {
	What   string `json:"what"`
	A      string `json:"a"`
	B      string `json:"b"`
	Better string `json:"better,omitempty"` // a or b; empty is neither
}

// Compare says how two drills differ: the first is taken for the earlier one.
func Compare(a, b *Result) []Difference {
	var out []Difference
	add := func(what, x, y string, better float64) {
		d := Difference{What: what, A: x, B: y}
		switch {
		case better < 0:
			d.Better = "a"
		case better > 0:
			d.Better = "b"
		}
		out = append(out, d)
	}
	add("scenario", a.Scenario.ID, b.Scenario.ID, 0)
	if a.Scenario.Hash != b.Scenario.Hash {
		add("scenario's text", a.Scenario.Hash[:min(12, len(a.Scenario.Hash))], b.Scenario.Hash[:min(12, len(b.Scenario.Hash))], 0)
	}
	add("mode", string(a.Mode), string(b.Mode), 0)
	add("ran", day(a.Ran), day(b.Ran), 0)
	add("result", a.verdict(), b.verdict(), flag(b.Passed)-flag(a.Passed))
	figures := func(name string, x, y *Figures) {
		add(name+": calls during the loss", itoa(x.During.Calls), itoa(y.During.Calls), 0)
		add(name+": failed or late", percent(x.FailedShare()), percent(y.FailedShare()), x.FailedShare()-y.FailedShare())
		add(name+": well", recovered(x.Recover), recovered(y.Recover), seconds(x.Recover)-seconds(y.Recover))
		add(name+": attempts for each call", fmt.Sprintf("%.3f", x.Amplification()), fmt.Sprintf("%.3f", y.Amplification()), x.Amplification()-y.Amplification())
		add(name+": cost of an answer during the loss", usd(x.During.PerCall), usd(y.During.PerCall), float64(x.During.PerCall-y.During.PerCall))
		add(name+": first token p50 during the loss", brief(x.During.First50), brief(y.During.First50), float64(x.During.First50-y.During.First50))
		add(name+": breaches", itoa(x.Residency+x.Contract), itoa(y.Residency+y.Contract), float64(x.Residency+x.Contract-y.Residency-y.Contract))
	}
	for i := range a.Workloads {
		for j := range b.Workloads {
			if a.Workloads[i].Workload == b.Workloads[j].Workload {
				figures(a.Workloads[i].Workload, &a.Workloads[i], &b.Workloads[j])
			}
		}
	}
	figures("all", &a.Total, &b.Total)
	none := func(r *Result) string { return cmp.Or(strings.Join(r.gapNames(), ", "), "none") }
	add("without an alternate", none(a), none(b), float64(len(a.gapNames())-len(b.gapNames())))
	return out
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds orders times to recover: never is the longest.
func seconds(d *time.Duration) float64 {
	if d == nil {
		return 1e18
	}
	return d.Seconds()
}
