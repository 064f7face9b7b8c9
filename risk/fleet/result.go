package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/sim"
)

// Result is how a fleet fared.
type Result struct {
	Label     string         `json:"label"` // stands on everything that shows the simulated clouds
	Name      string         `json:"name,omitempty"`
	Seed      uint64         `json:"seed"`
	Trace     string         `json:"trace"` // of all that happened: the same for the same plan
	Router    string         `json:"router"`
	Start     time.Time      `json:"start"`
	Span      time.Duration  `json:"span_ns"`  // within which runs came
	Ended     time.Duration  `json:"ended_ns"` // the last thing that happened
	Workloads []Workloads    `json:"workloads"`
	Endpoints []Endpoint     `json:"endpoints"`
	Slices    []Slice        `json:"slices"`
	Slice     time.Duration  `json:"slice_ns"` // width of each
	Cost      decouple.Money `json:"cost_nano_usd"`
	Faults    []sim.Fault    `json:"-"`
	grain     time.Duration
}

// Workloads is how one workload fared.
type Workloads struct {
	Name  string `json:"name"`
	Class string `json:"class,omitempty"`
	Team  string `json:"team,omitempty"`
	Agent string `json:"agent,omitempty"`
	Model string `json:"model"`

	Runs       int64 `json:"runs"`
	RunsDone   int64 `json:"runs_done"`
	RunsFailed int64 `json:"runs_failed"`
	RunsDenied int64 `json:"runs_denied"`
	RunsHeld   int64 `json:"runs_held"` // that wait for a person still

	Steps       int64            `json:"steps"`        // model calls that runs wanted
	Calls       int64            `json:"calls"`        // that came to the gateway: steps that failed may come again
	OK          int64            `json:"ok"`           // answered
	Failed      map[string]int64 `json:"failed"`       // by how the last attempt ended, or by kind of error
	Denied      int64            `json:"denied"`       // might go nowhere
	Held        int64            `json:"held"`         // might go nowhere until a person signs off
	Late        int64            `json:"late"`         // answered, and too late
	Waited      int64            `json:"waited"`       // for an endpoint with room
	Attempts    int64            `json:"attempts"`     // at endpoints
	Retried     int64            `json:"retried"`      // calls with more than one
	Hedged      int64            `json:"hedged"`       // second attempts beside one that was silent
	Repeated    int64            `json:"repeated"`     // steps that were made once more
	Discarded   int64            `json:"discarded"`    // attempts of which a part of an answer was thrown away
	Breaches    int64            `json:"breaches"`     // attempts that reached a place that contracts deny
	NoAlternate int64            `json:"no_alternate"` // calls that failed and had no endpoint of another vendor
	Amplified   float64          `json:"amplified"`    // attempts for each step that could go anywhere

	FirstToken Times `json:"first_token"` // of answers that are not streamed: the answer
	Total      Times `json:"total"`
	Wait       Times `json:"wait"` // of those that waited
	Run        Times `json:"run"`  // from the coming of a run to its end
	Failure    Times `json:"failure"`

	Cost      decouple.Money `json:"cost_nano_usd"`
	Wasted    decouple.Money `json:"wasted_nano_usd"`
	TokensIn  int64          `json:"tokens_in"`
	TokensOut int64          `json:"tokens_out"`

	Cells []Cell `json:"endpoints"` // beside Result.Endpoints

	grains []grain
	grain  time.Duration
}

// Endpoint is what one endpoint did for all workloads.
type Endpoint struct {
	ID     catalog.EndpointID `json:"endpoint"`
	Cloud  string             `json:"cloud"`  // of the simulation
	Vendor string             `json:"vendor"` // who sells it
	Host   string             `json:"host,omitempty"`
	Region string             `json:"region"`
	Geo    string             `json:"geo,omitempty"`
	Lab    string             `json:"lab,omitempty"`
	Model  catalog.ModelID    `json:"model"`
	Cell
}

// Slice is a slice of time, for charts.
type Slice struct {
	At        time.Duration   `json:"at_ns"`
	Workloads []SliceWork     `json:"workloads"`
	Endpoints []SliceEndpoint `json:"endpoints"`
}

// result closes the books.
func (f *fleet) result() *Result {
	r := &Result{
		Label: sim.Label, Name: f.Name, Seed: f.Seed, Trace: fmt.Sprintf("%016x", scramble(f.trace^f.world.Trace())), Router: "decouple",
		Start: f.Start, Span: f.Span, Ended: time.Duration(f.now), Slice: time.Duration(f.books.width), Faults: f.Faults, grain: time.Duration(f.books.grain),
	}
	if f.Router.Naive {
		r.Router = "naive"
	}
	for i := range f.targets {
		t := &f.targets[i]
		e := Endpoint{ID: t.ID, Cloud: t.ask.Cloud, Vendor: t.Provider, Host: t.Endpoint.Cloud, Region: t.Region, Geo: t.place.Geo, Lab: t.place.Lab, Model: t.Model}
		for _, cells := range f.books.cells {
			e.Cell.add(&cells[i])
		}
		r.Endpoints = append(r.Endpoints, e)
	}
	for _, w := range f.works {
		x := f.fared(w)
		r.Cost += x.Cost
		r.Workloads = append(r.Workloads, x)
	}
	for i, s := range f.books.slices {
		r.Slices = append(r.Slices, Slice{time.Duration(int64(i) * f.books.width), s.works, s.targets})
	}
	return r
}

// fared is the result of one workload.
func (f *fleet) fared(w *work) Workloads {
	b := w.row
	x := Workloads{
		Name: w.Name, Class: w.need(nil).Class, Team: w.Team, Agent: w.Agent, Model: w.Model, Runs: b.Runs, RunsDone: b.RunsDone, RunsFailed: b.RunsFailed, RunsDenied: b.RunsDenied, RunsHeld: int64(len(w.parked)),
		Steps: b.Steps, Calls: b.Calls, OK: b.OK, Failed: b.Failed, Denied: b.Denied, Held: b.Held, Late: b.Late, Waited: b.wait.Count(), Attempts: b.Attempts, Retried: b.Retried,
		Hedged: b.Hedges, Repeated: b.Repeated, Discarded: b.Wasted, Breaches: b.Breaches, NoAlternate: b.NoAlternate,
		FirstToken: b.firstToken.Times(), Total: b.total.Times(), Wait: b.wait.Times(), Run: b.runTime.Times(), Failure: b.failTime.Times(),
		Cells: f.books.cells[w.i], grains: b.grains, grain: time.Duration(f.books.grain),
	}
	if n := b.Steps - b.Denied - int64(len(w.parked)); n > 0 {
		x.Amplified = float64(b.Attempts) / float64(n)
	}
	for i := range x.Cells {
		c := &x.Cells[i]
		x.Cost, x.Wasted, x.TokensIn, x.TokensOut = x.Cost+c.Cost, x.Wasted+c.Wasted, x.TokensIn+c.TokensIn, x.TokensOut+c.TokensOut
	}
	return x
}

// Lost is how many calls had no answer, for whatever reason but a contract.
func (w *Workloads) Lost() int64 {
	n := int64(0)
	for _, k := range w.Failed {
		n += k
	}
	return n
}

const (
	wellFor   = 30 * time.Second // within which calls are looked at together,
	wellCalls = 100              // and at least so many of them
	mostBad   = 0.05             // share of them that may end badly where all is well
)

// Recovered is how long after a time, of a fault's beginning, until the share of calls that end well was back for good; zero is that it never fell. False is that it was not back
// when the simulation ended. A call that fails, is denied, or is late ended badly. It is back for good when from then on, whenever a call ends badly, at most a twentieth of the
// calls of the thirty seconds that follow do, or of the hundred calls that follow where those take longer; a single one never tells.
func (w *Workloads) Recovered(from time.Duration) (time.Duration, bool) {
	last, whole := -1, true
	end := 0
	var n, bad int64
	for i := int(from / w.grain); i < len(w.grains); i++ {
		end = max(end, i)
		for end < len(w.grains) && (time.Duration(end-i)*w.grain < wellFor || n < wellCalls) {
			n, bad = n+int64(w.grains[end].n), bad+int64(w.grains[end].bad)
			end++
		}
		if w.grains[i].bad > 0 && bad > 1 && float64(bad) > mostBad*float64(n) {
			last, whole = i, end < len(w.grains)
		}
		n, bad = n-int64(w.grains[i].n), bad-int64(w.grains[i].bad)
	}
	if last < 0 {
		return 0, true
	}
	return time.Duration(last+1)*w.grain - from, whole
}

// Peak is the most attempts a second at one of the Endpoints, over a slice of time.
func (r *Result) Peak(endpoint int) float64 {
	most := int64(0)
	for i := range r.Slices {
		most = max(most, r.Slices[i].Endpoints[endpoint].Attempts)
	}
	return float64(most) / r.Slice.Seconds()
}

// Waiting is how many calls waited at once for an endpoint with room, at most.
func (r *Result) Waiting() int64 {
	most := int64(0)
	for i := range r.Slices {
		for _, w := range r.Slices[i].Workloads {
			most = max(most, w.Waiting)
		}
	}
	return most
}

// Share is a part of the spend, the tokens and the attempts of all workloads.
type Share struct {
	Of       string         `json:"of"`
	Attempts int64          `json:"attempts"`
	Tokens   int64          `json:"tokens"`
	Cost     decouple.Money `json:"cost_nano_usd"`
	Part     float64        `json:"part"` // of the cost
}

// By sums the endpoints up by vendor, cloud, host, region, geo or model, or the workloads by class, the dearest first.
func (r *Result) By(what string) []Share {
	sums := map[string]*Share{}
	add := func(of string, c *Cell) {
		s := sums[of]
		if s == nil {
			s = &Share{Of: of}
			sums[of] = s
		}
		s.Attempts, s.Tokens, s.Cost = s.Attempts+c.Attempts, s.Tokens+c.TokensIn+c.TokensOut, s.Cost+c.Cost
	}
	if what == "class" {
		for i := range r.Workloads {
			for j := range r.Workloads[i].Cells {
				add(r.Workloads[i].Class, &r.Workloads[i].Cells[j])
			}
		}
		return r.ranked(sums)
	}
	for i := range r.Endpoints {
		if e := &r.Endpoints[i]; e.Attempts > 0 {
			add(e.of(what), &e.Cell)
		}
	}
	return r.ranked(sums)
}

func (e *Endpoint) of(what string) string {
	switch what {
	case "vendor":
		return e.Vendor
	case "cloud":
		return e.Cloud
	case "host":
		return e.Host
	case "region":
		return e.Region
	case "geo":
		return e.Geo
	case "model":
		return string(e.Model)
	}
	return string(e.ID)
}

// ranked puts shares in order.
func (r *Result) ranked(sums map[string]*Share) []Share {
	var list []Share
	for _, of := range sortedKeys(sums) {
		s := *sums[of]
		if r.Cost > 0 {
			s.Part = float64(s.Cost) / float64(r.Cost)
		}
		list = append(list, s)
	}
	slices.SortStableFunc(list, func(a, b Share) int { return cmp.Compare(b.Cost, a.Cost) })
	return list
}
