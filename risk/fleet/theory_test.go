package fleet_test

import (
	"math"
	"testing"
	"time"

	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/risk/fleet"
	"decouple.dev/decouple/sim"
)

// line is a cloud of c servers on which a call takes an exponential time of one second on the average.
func line(c int64, vendor sim.Vendor) sim.Cloud {
	return sim.Cloud{Name: "line", Vendor: vendor, Regions: []string{"here"}, Rate: 1000, Concurrent: c, Models: []sim.Offer{{ID: "m", Name: "m"}}}
}

// erlang is the mean wait of a queue M/M/c, in mean times of service, for a load of a calls at once (Erlang's formula C).
func erlang(c int, a float64) float64 {
	b := 1.0
	for k := 1; k <= c; k++ {
		b = a * b / (float64(k) + a*b)
	}
	wait := b / (1 - a/float64(c)*(1-b))
	return wait / (float64(c) - a)
}

// TestQueueingTheory wants waits to be those that theory gives for Poisson arrivals and exponential times of service: of the queue in a cloud, and of the gateway's own queue.
// Means of waits vary from seed to seed, the more the fuller the servers: of twenty at 0.85 by a tenth at 200,000 calls, and by a twentieth at 600,000, around what theory says.
func TestQueueingTheory(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		servers int
		load    float64 // of each
	}{{1, 0.5}, {4, 0.7}, {20, 0.7}} {
		a := tt.load * float64(tt.servers)
		want := erlang(tt.servers, a)
		w := fleet.Workload{Name: "w", Model: "m", Arrive: fleet.Arrival{Rate: a}, Runs: 120_000, In: fleet.Always(1), Out: fleet.Spread{Shape: fleet.Exponential, A: 1000}, MaxOut: 1e6, Deadline: 10 * time.Hour}
		p := fleet.Plan{Seed: 1, Start: start, Clouds: []sim.Cloud{line(int64(tt.servers), sim.OpenAI)}, Workloads: []fleet.Workload{w}}
		p.Router.Patience.Whole = 10 * time.Hour
		// The router believes that slow is dead, which is not what theory is about.
		p.Router.Route = route.Config{SlowTimes: 1e6, Patience: time.Hour, PatienceMax: time.Hour}
		p.Router.MaxWait = time.Hour
		r := run(t, p)
		if got := r.Workloads[0].Total.Mean.Seconds() - 1; r.Workloads[0].OK != 120_000 || math.Abs(got-want) > 0.05*want+0.005 {
			t.Errorf("%d servers at %.2f: in the cloud a call waits %.3f s, and theory says %.3f s (%d of 120,000 answered, %v)", tt.servers, tt.load, got, want, r.Workloads[0].OK, r.Workloads[0].Failed)
		}
		// The same with the queue before the cloud: the catalog says how many it takes at once.
		p.Clouds = []sim.Cloud{line(int64(tt.servers), sim.Compatible)}
		p.Router.Queue.Max = 1 << 20
		x := run(t, p).Workloads[0]
		if got := x.Total.Mean.Seconds() - 1; x.OK != 120_000 || x.Waited == 0 || math.Abs(got-want) > 0.05*want+0.005 {
			t.Errorf("%d servers at %.2f: in the gateway's queue a call waits %.3f s, and theory says %.3f s (%d answered, %v)", tt.servers, tt.load, got, want, x.OK, x.Failed)
		}
	}
}
