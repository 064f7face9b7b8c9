package main

import (
	"context"
	"time"

	virtual "decouple.dev/decouple/risk/fleet"
)

// benchSimulate plays the fleet that ships, as fast as it comes there, until it has made 100,000, 300,000 and 1,000,000 model calls, and says what a call took each time.
func benchSimulate(ctx context.Context, _ place) (figures, error) {
	f := figures{}
	var small float64
	for _, size := range []struct {
		calls int64
		name  string
	}{{100_000, "100k"}, {300_000, "300k"}, {1_000_000, "1m"}} {
		p, err := virtual.Read("default.yaml", virtual.DefaultPlan)
		if err != nil {
			return nil, err
		}
		p.Scale(size.calls/callsOfRun, true)
		began, used := time.Now(), cpu()
		r, err := virtual.Run(ctx, p)
		if err != nil {
			return nil, err
		}
		took, busy := time.Since(began), cpu()-used
		calls := int64(0)
		for i := range r.Workloads {
			calls += r.Workloads[i].Calls
		}
		f["calls_"+size.name] = float64(calls)
		f["seconds_"+size.name] = took.Seconds()
		f["cpu_seconds_"+size.name] = busy.Seconds()
		f["cpu_us_call_"+size.name] = micros(busy) / float64(calls)
		f["rss_mb_"+size.name] = residentMB()
		if small == 0 {
			small = micros(busy) / float64(calls)
		}
		f["growth_"+size.name] = micros(busy) / float64(calls) / small
	}
	return f, nil
}

// callsOfRun is how many calls a run of the fleet that ships makes, a little less than the mean, so that there are not fewer calls than the names of the figures say.
const callsOfRun = 4
