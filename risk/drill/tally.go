package drill

import (
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
)

// phase is before, during or after the loss.
type phase int

const (
	before phase = iota
	during
	after
)

// tally counts the calls of one workload. Times are since the loss began.
type tally struct {
	Figures
	lasts   time.Duration
	grain   time.Duration
	grains  []grain // of the calls made during the loss
	cost    [3]decouple.Money
	first   [3][]time.Duration
	slowest [3]time.Duration
	by      map[string]int64
}

// grain is how many calls were made in a short time, and how many of them ended badly.
type grain struct{ n, bad uint32 }

// mostGrains bounds how finely the time to recover is known.
const mostGrains = 1 << 17

func newTally(f Figures, lasts time.Duration) *tally {
	t := &tally{Figures: f, lasts: lasts, grain: max(time.Second, lasts/mostGrains), by: map[string]int64{}}
	t.grains = make([]grain, lasts/t.grain+1)
	return t
}

// when is the phase of a time.
func (t *tally) when(at time.Duration) phase {
	switch {
	case at < 0:
		return before
	case at < t.lasts:
		return during
	}
	return after
}

func (t *tally) of(p phase) *Phase {
	return [...]*Phase{&t.Before, &t.During, &t.After}[p]
}

// ended is a call that is over.
type ended struct {
	at     time.Duration // when it was made
	first  time.Duration // to its first token
	took   time.Duration
	by     string // the endpoint that answered
	failed bool
	late   bool
	cost   decouple.Money
}

// call counts one.
func (t *tally) call(e ended) {
	p := t.when(e.at)
	to := t.of(p)
	to.Calls++
	t.cost[p] += e.cost
	switch {
	case e.failed:
		to.Failed++
	case e.late:
		to.Late++
	}
	if !e.failed {
		t.first[p] = append(t.first[p], e.first)
		t.slowest[p] = max(t.slowest[p], e.took)
	}
	if p != during {
		return
	}
	if !e.failed {
		t.by[e.by]++
	}
	g := &t.grains[e.at/t.grain]
	g.n++
	if e.failed || e.late {
		g.bad++
		t.LastBad = max(t.LastBad, e.at)
	}
}

// wellShare is the share of bad calls that counts as well.
const wellShare = 0.01

// figures works out what was counted.
func (t *tally) figures() Figures {
	f := t.Figures
	for _, p := range []phase{before, during, after} {
		to := [...]*Phase{&f.Before, &f.During, &f.After}[p]
		list := t.first[p]
		slices.Sort(list)
		to.Cost, to.First50, to.First95, to.Slowest = t.cost[p], quantile(list, 0.5), quantile(list, 0.95), t.slowest[p]
		if n := to.Calls - to.Failed; n > 0 {
			to.PerCall = to.Cost / decouple.Money(n)
		}
	}
	f.Recover = t.recovers()
	f.Shares = shares(t.by)
	return f
}

// recovers is the first time from which on calls go well: hardly any is bad from then to the end of the loss, and none but that share in the minute that follows. nil is never.
func (t *tally) recovers() *time.Duration {
	var n, bad uint64
	minute := max(1, int(time.Minute/t.grain))
	best := -1
	rest := max(1, min(minute, len(t.grains)/10)) // less of the loss than this proves nothing
	var soonN, soonBad uint64                     // of the minute from i on
	for i := len(t.grains) - 1; i >= 0; i-- {
		g := t.grains[i]
		n, bad = n+uint64(g.n), bad+uint64(g.bad)
		soonN, soonBad = soonN+uint64(g.n), soonBad+uint64(g.bad)
		if i+minute < len(t.grains) {
			soonN, soonBad = soonN-uint64(t.grains[i+minute].n), soonBad-uint64(t.grains[i+minute].bad)
		}
		if len(t.grains)-i > rest && n > 0 && float64(bad) <= wellShare*float64(n) && float64(soonBad) <= wellShare*float64(soonN) {
			best = i
		}
	}
	if n == 0 || best < 0 {
		return nil
	}
	d := time.Duration(best) * t.grain
	for i := range best + 1 { // seconds without a call before the first bad one are no time that anybody noticed
		if t.grains[i].bad > 0 {
			return &d
		}
	}
	d = 0
	return &d
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// shares is who answered, the most first.
func shares(by map[string]int64) []Share {
	var total int64
	var out []Share
	for e, n := range by {
		total += n
		out = append(out, Share{Endpoint: e, Answers: n})
	}
	slices.SortFunc(out, func(a, b Share) int {
		if a.Answers != b.Answers {
			return int(max(-1, min(1, b.Answers-a.Answers)))
		}
		return strings.Compare(a.Endpoint, b.Endpoint)
	})
	for i := range out {
		out[i].Share = float64(out[i].Answers) / float64(total)
	}
	return out
}

// sum is all workloads together; its times to recover are those of the slowest.
func sum(list []*tally) Figures {
	if len(list) == 0 {
		return Figures{}
	}
	all := newTally(Figures{Alternate: true}, list[0].lasts)
	for _, t := range list {
		for _, p := range []phase{before, during, after} {
			from, to := t.of(p), all.of(p)
			to.Calls, to.Failed, to.Late = to.Calls+from.Calls, to.Failed+from.Failed, to.Late+from.Late
			all.cost[p] += t.cost[p]
			all.first[p] = append(all.first[p], t.first[p]...)
			all.slowest[p] = max(all.slowest[p], t.slowest[p])
		}
		for i, g := range t.grains {
			all.grains[i].n, all.grains[i].bad = all.grains[i].n+g.n, all.grains[i].bad+g.bad
		}
		for e, n := range t.by {
			all.by[e] += n
		}
		all.LastBad = max(all.LastBad, t.LastBad)
		all.Attempts, all.Repeated, all.Duplicated = all.Attempts+t.Attempts, all.Repeated+t.Repeated, all.Duplicated+t.Duplicated
		all.Residency, all.Contract = all.Residency+t.Residency, all.Contract+t.Contract
	}
	return all.figures()
}
