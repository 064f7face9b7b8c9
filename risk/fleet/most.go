package fleet

import (
	"cmp"
	"context"
	"slices"
	"time"

	"decouple.dev/decouple"
)

// Trial is a plan that was played with a number of runs, to see whether there is room for them.
type Trial struct {
	Runs     int64          `json:"runs"`
	Calls    int64          `json:"calls"`
	Bad      float64        `json:"bad"`      // share of the calls of the workload that fared worst that were lost or late
	Workload string         `json:"workload"` // which that is
	Waited   float64        `json:"waited"`   // share of all calls that waited for room
	Cost     decouple.Money `json:"cost_nano_usd"`
	Enough   bool           `json:"enough"`
	Stopped  bool           `json:"stopped,omitempty"` // it was given up when it was clear
}

const (
	mostTried   = 2_000_000 // runs
	closeEnough = 1.1       // between what is enough and what is not
	clearlyBad  = 5         // times what may be bad: it is given up
)

// Most finds for how many runs within its span a plan has room: at most a share of the calls of any workload is lost or late. It doubles or halves, and then narrows down to a tenth; the
// last trial that was enough is the answer, and none is that not even a single run is. told hears of each trial.
func Most(ctx context.Context, p Plan, bad float64, told func(Trial)) ([]Trial, error) {
	var all []Trial
	low, high := int64(0), int64(0)
	runs := max(1, int64(p.Expected()+0.5))
	for {
		t, err := try(ctx, p, runs, bad)
		if err != nil {
			return all, err
		}
		all = append(all, t)
		if told != nil {
			told(t)
		}
		if t.Enough {
			low = runs
		} else {
			high = runs
		}
		switch {
		case high == 0 && low < mostTried:
			runs = min(2*low, mostTried)
		case high == 0, low == 0 && high == 1:
			return all, nil
		case low == 0:
			runs = high / 2
		case float64(high) <= closeEnough*float64(low) || high-low < 2:
			return all, nil
		default:
			runs = low + (high-low)/2
		}
	}
}

// try plays a plan with a number of runs, and gives it up when it is clear that there is no room.
func try(ctx context.Context, p Plan, runs int64, bad float64) (Trial, error) {
	p.Workloads = slices.Clone(p.Workloads)
	p.Scale(runs, false)
	p.Slice = cmp.Or(p.Slice, max(time.Second, p.Span/100))
	within, stop := context.WithCancel(ctx)
	defer stop()
	t := Trial{Runs: runs, Bad: 1}
	p.Progress = func(_ Span, n Size) {
		if t.Calls = n.Calls; n.Calls > 10_000 && float64(n.Failed) > clearlyBad*bad*float64(n.Calls) {
			t.Bad, t.Stopped = float64(n.Failed)/float64(n.Calls), true
			stop()
		}
	}
	r, err := Run(within, p)
	if t.Stopped && ctx.Err() == nil {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	t.Bad, t.Calls, t.Cost = 0, 0, r.Cost
	waited := int64(0)
	for i := range r.Workloads {
		w := &r.Workloads[i]
		t.Calls, waited = t.Calls+w.Calls, waited+w.Waited
		if share := float64(w.Lost()+w.Late) / float64(max(1, w.Calls)); share > t.Bad || t.Workload == "" {
			t.Bad, t.Workload = share, w.Name
		}
	}
	t.Waited = float64(waited) / float64(max(1, t.Calls))
	t.Enough = t.Bad <= bad
	return t, nil
}
