package fleet

import (
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/sim"
)

// books counts what happens. Their size does not grow with the number of calls.
type books struct {
	rows    []row
	cells   [][]Cell // by workload and target
	slices  []slice
	width   int64 // of a slice
	grain   int64 // of the counts from which recoveries are told
	targets int
}

// row is what one workload has seen.
type row struct {
	Runs, RunsDone, RunsFailed, RunsDenied  int64
	Steps, Calls, OK, Denied, Held          int64
	Late, Retried, Repeated, Hedges         int64
	Attempts, Wasted, Breaches, NoAlternate int64
	Failed                                  map[string]int64

	firstToken, total, wait, runTime, failTime Histogram
	grains                                     []grain
}

// grain is how many calls of a workload ended in a short time, and how many of them badly.
type grain struct{ n, bad uint32 }

// Cell is what the calls of one workload did at one endpoint.
type Cell struct {
	Attempts  int64          `json:"attempts"`
	Answers   int64          `json:"answers"` // that a caller got
	TokensIn  int64          `json:"tokens_in"`
	TokensOut int64          `json:"tokens_out"`
	Cached    int64          `json:"tokens_cached"` // of TokensIn
	Cost      decouple.Money `json:"cost_nano_usd"`
	Wasted    decouple.Money `json:"wasted_nano_usd"` // of it for what no caller got
}

func (c *Cell) add(o *Cell) {
	c.Attempts, c.Answers, c.TokensIn, c.TokensOut, c.Cached = c.Attempts+o.Attempts, c.Answers+o.Answers, c.TokensIn+o.TokensIn, c.TokensOut+o.TokensOut, c.Cached+o.Cached
	c.Cost, c.Wasted = c.Cost+o.Cost, c.Wasted+o.Wasted
}

// slice is a slice of time.
type slice struct {
	works   []SliceWork
	targets []SliceEndpoint
}

// SliceWork is what a workload saw in a slice of time.
type SliceWork struct {
	OK      int64          `json:"ok"`
	Bad     int64          `json:"bad"`     // failed, denied or late
	Waiting int64          `json:"waiting"` // most at once, of all workloads
	Cost    decouple.Money `json:"cost_nano_usd"`
}

// SliceEndpoint is what an endpoint did in a slice of time.
type SliceEndpoint struct {
	Attempts int64 `json:"attempts"`
	Answers  int64 `json:"answers"`
	Failed   int64 `json:"failed"`
}

const mostSlices = 1024

func (b *books) open(f *fleet) {
	b.rows = make([]row, len(f.works))
	b.targets = len(f.targets)
	b.width = int64(f.Slice)
	b.grain = max(int64(time.Second), int64(f.Span)>>16)
	for i, w := range f.works {
		b.rows[i].Failed = map[string]int64{}
		w.row = &b.rows[i]
		b.cells = append(b.cells, make([]Cell, len(f.targets)))
	}
}

// at is the slice of a time.
func (b *books) at(now int64) *slice {
	for now/b.width >= mostSlices {
		b.widen()
	}
	i := int(now / b.width)
	for len(b.slices) <= i {
		b.slices = append(b.slices, slice{make([]SliceWork, len(b.rows)), make([]SliceEndpoint, b.targets)})
	}
	return &b.slices[i]
}

// widen makes one slice of every two.
func (b *books) widen() {
	b.width *= 2
	n := (len(b.slices) + 1) / 2
	for i := range n {
		to := &b.slices[2*i]
		if 2*i+1 < len(b.slices) {
			from := &b.slices[2*i+1]
			for w := range to.works {
				x, y := &to.works[w], &from.works[w]
				x.OK, x.Bad, x.Cost, x.Waiting = x.OK+y.OK, x.Bad+y.Bad, x.Cost+y.Cost, max(x.Waiting, y.Waiting)
			}
			for t := range to.targets {
				x, y := &to.targets[t], &from.targets[t]
				x.Attempts, x.Answers, x.Failed = x.Attempts+y.Attempts, x.Answers+y.Answers, x.Failed+y.Failed
			}
		}
		b.slices[i] = *to
	}
	b.slices = b.slices[:n]
}

// good counts a call that ended well.
func (b *books) good(w *work, now int64) {
	b.at(now).works[w.i].OK++
	w.row.grainAt(now/b.grain).n++
}

// bad counts one that did not.
func (b *books) bad(w *work, now int64) {
	b.at(now).works[w.i].Bad++
	g := w.row.grainAt(now / b.grain)
	g.n++
	g.bad++
}

func (r *row) grainAt(i int64) *grain {
	for int64(len(r.grains)) <= i {
		r.grains = append(r.grains, grain{})
	}
	return &r.grains[i]
}

// waits counts how many calls wait.
func (b *books) waits(w *work, n int, now int64) {
	s := &b.at(now).works[w.i]
	s.Waiting = max(s.Waiting, int64(n))
}

// began counts an attempt.
func (b *books) began(w *work, to int32, now int64) {
	w.row.Attempts++
	b.cells[w.i][to].Attempts++
	b.at(now).targets[to].Attempts++
}

// ended counts how one ended.
func (b *books) ended(a *attempt, kind route.Kind, unchecked bool, line *sim.Line) {
	w := a.c.r.w
	now := a.began
	s := b.at(now)
	cell := &b.cells[w.i][a.to]
	cell.TokensIn += line.In + line.Cached + line.CacheWrite + line.CacheLong
	cell.TokensOut += line.Out
	cell.Cached += line.Cached
	cell.Cost += line.Amount
	s.works[w.i].Cost += line.Amount
	if kind == route.OK && !unchecked {
		cell.Answers++
		s.targets[a.to].Answers++
		return
	}
	cell.Wasted += line.Amount
	if a.begun {
		w.row.Wasted++
	}
	if kind != route.OK && kind != route.Canceled {
		s.targets[a.to].Failed++
	}
}
