package drill

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/placement"
)

// Canary says which calls a live drill is about, how long it lasts, and when it ends by itself. Its zero values have the defaults that are named.
type Canary struct {
	Share   float64       `json:"share"` // of the calls that the lists select; 5 %
	Keys    []string      `json:"keys,omitempty"`
	Teams   []string      `json:"teams,omitempty"`
	Classes []string      `json:"classes,omitempty"`
	For     time.Duration `json:"for_ns"`             // all in all; 5 min, at most an hour
	Most    float64       `json:"abort_failed_share"` // it aborts when more than this share of the canary's calls failed; 10 %
	Enough  int64         `json:"abort_after_calls"`  // but not before so many; 20
}

// Bounds of a live drill.
const (
	mostLive  = time.Hour
	leastLive = 5 * time.Second
)

// filled is c with its defaults; what is wrong with it is Invalid.
func (c Canary) filled() (Canary, error) {
	c.Share, c.For, c.Most, c.Enough = cmp.Or(c.Share, 0.05), cmp.Or(c.For, 5*time.Minute), cmp.Or(c.Most, 0.1), cmp.Or(c.Enough, 20)
	switch {
	case !(c.Share > 0 && c.Share <= 1):
		return c, decouple.Errorf(decouple.Invalid, "the share of a canary is above 0 and at most 100%%")
	case c.For < leastLive || c.For > mostLive:
		return c, decouple.Errorf(decouple.Invalid, "a live drill lasts from %s to %s", leastLive, mostLive)
	case !(c.Most > 0 && c.Most <= 1) || c.Enough < 1:
		return c, decouple.Errorf(decouple.Invalid, "a live drill aborts at a share of failed calls above 0 and at most 100%%, after at least one call")
	case len(c.Keys)+len(c.Teams)+len(c.Classes) > 100:
		return c, decouple.Errorf(decouple.Invalid, "a canary names at most 100 keys, teams and classes")
	}
	return c, nil
}

// Judge is what contracts say of a need of a tenant at a place; false is that the tenant has none.
type Judge func(t decouple.TenantID, n *placement.Need, p *placement.Place) (placement.Ruling, bool)

// live is a drill at this node's gateway. It is the gateway's injector, and asks for its own end at every attempt.
type live struct {
	Scenario
	canary    Canary
	tenant    decouple.TenantID
	catalog   *catalog.Catalog
	judge     Judge // nil measures no breaches
	began     time.Time
	until     time.Time
	seed      string
	fullLasts time.Duration // of the scenario, before it was brought to the canary's length

	mu      sync.Mutex
	tallies map[string]*tally
	gaps    map[string]*Gap
	plot    *plot
	calls   int64 // of the canary during the loss
	bad     int64
	over    bool
	why     string        // it was aborted
	done    chan struct{} // closed when it is over
}

// newLive makes a live drill of a scenario, which is brought to the length of the canary: a tenth of it before the loss, a tenth after.
func newLive(s Scenario, c Canary, seed string) (*live, error) {
	for i := range s.Lose {
		if l := &s.Lose[i]; l.What == Price || l.What == Quota || l.What == Clause {
			return nil, decouple.Errorf(decouple.Invalid, "%s:%d: a live drill pretends nothing of kind %s: use --mode sim or --mode shadow", s.ID, l.line, l.What)
		}
	}
	full := s.Lasts
	s = s.fitted(c.For)
	l := &live{Scenario: s, fullLasts: full, canary: c, seed: seed, tallies: map[string]*tally{}, gaps: map[string]*Gap{}, plot: newPlot(-s.Before, s.Lasts+s.After), done: make(chan struct{})}
	return l, nil
}

// fitted is the scenario in so much time.
func (s Scenario) fitted(span time.Duration) Scenario {
	times := float64(span) * 0.8 / float64(s.Lasts)
	scale := func(d time.Duration) time.Duration { return time.Duration(float64(d) * times) }
	s.Lose = slices.Clone(s.Lose)
	for i := range s.Lose {
		s.Lose[i].From, s.Lose[i].To = scale(s.Lose[i].From), scale(s.Lose[i].To)
	}
	s.Lasts, s.Before, s.After = scale(s.Lasts), span/10, span/10
	return s
}

// since is how long ago the loss began, now; false is that the drill is over.
func (l *live) since(now time.Time) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Sub(l.began) - l.Before, !l.over && now.Before(l.until)
}

// Takes says whether a call is of the canary: the same one always is.
func (l *live) Takes(d *gateway.Drilled) bool {
	if _, on := l.since(time.Now()); !on || d.Tenant != l.tenant {
		return false
	}
	named := func(list []string, name string) bool { return len(list) == 0 || slices.Contains(list, name) }
	return named(l.canary.Keys, d.Key) && named(l.canary.Teams, d.Team) && named(l.canary.Classes, d.Class) && chance(l.seed, d.Call) < l.canary.Share
}

// Inject says what is pretended of an attempt of the canary.
func (l *live) Inject(d *gateway.Drilled) *gateway.Pretence {
	since, on := l.since(time.Now())
	if !on || since < 0 || since >= l.Lasts {
		return nil
	}
	place := gateway.PlaceOf(l.catalog, d.Endpoint)
	for i := range l.Lose {
		x := &l.Lose[i]
		if !x.holds(since) || !l.about(x, &place) || chance(l.seed+itoa(i), d.Call+itoa(d.N)) >= x.Share {
			continue
		}
		return x.pretence()
	}
	return nil
}

// slowFirst is what a first token takes for granted of an endpoint that is pretended to be slow: nothing better is known before it is asked.
const slowFirst = 800 * time.Millisecond

// pretence is a loss as the gateway pretends it: always before the first token.
func (l *Loss) pretence() *gateway.Pretence {
	switch l.What {
	case Outage:
		return &gateway.Pretence{Status: l.Status}
	case Storm:
		return &gateway.Pretence{Status: 429, RetryAfter: l.For}
	case Overload:
		return &gateway.Pretence{Status: 503, RetryAfter: l.For}
	case Refuse:
		return &gateway.Pretence{Status: 400}
	case Auth:
		return &gateway.Pretence{Status: cmp.Or(l.Status, 401)}
	case StallFirst, Stall:
		return &gateway.Pretence{Wait: l.For}
	case Slow:
		return &gateway.Pretence{Wait: time.Duration(max(0, l.Factor-1) * float64(slowFirst))}
	case Cut:
		return &gateway.Pretence{Cut: true}
	}
	return nil
}

// chance is a number from 0 to 1 that follows from two texts.
func chance(seed, name string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(seed + "/" + name)) // never fails
	z := h.Sum64()
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	z ^= z >> 31
	return float64(z>>11) / (1 << 53)
}

// Ended counts a call of the canary, and ends the drill by its rules.
func (l *live) Ended(f *gateway.Facts) {
	if f.Kind == decouple.Canceled || f.Kind == decouple.Invalid && !slices.ContainsFunc(f.Attempts, func(a gateway.AttemptFacts) bool { return a.Pretended }) {
		return // the caller has gone, or got it wrong
	}
	breaches := l.breaches(f)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	name := workloadOf(f)
	t := l.tallies[name]
	if t == nil {
		t = newTally(Figures{Workload: name, Class: f.Class, Model: f.Asked, Alternate: true}, l.Lasts)
		l.tallies[name] = t
	}
	e := ended{at: f.Began.Sub(l.began) - l.Before, took: f.Took, first: f.Took, failed: f.Kind != "", cost: f.Usage.Cost}
	for _, a := range f.Attempts {
		if a.Outcome == "ok" {
			e.by = string(a.Endpoint)
			if a.FirstToken > 0 {
				e.first = a.Began.Sub(f.Began) + a.FirstToken
			}
		}
	}
	e.late = !e.failed && e.first > l.Slow
	t.call(e)
	l.plot.call(e)
	t.Contract += int64(len(breaches))
	if t.when(e.at) == during {
		t.Attempts += int64(len(f.Attempts))
		l.calls++
		if e.failed || e.late {
			l.bad++
		}
	}
	if e.failed {
		l.gap(name, f)
	}
	switch {
	case len(breaches) > 0:
		l.end("a call went where contracts do not let it: " + breaches[0])
	case l.calls >= l.canary.Enough && float64(l.bad) > l.canary.Most*float64(l.calls):
		l.end(fmt.Sprintf("%d of %d calls of the canary failed or were late, more than %s", l.bad, l.calls, percent(l.canary.Most)))
	}
}

// gap counts a call that failed because nothing was left: all that it could ask was pretended to be lost. The caller holds mu.
func (l *live) gap(name string, f *gateway.Facts) {
	g := &Gap{Workload: name}
	for _, a := range f.Attempts {
		if !a.Pretended {
			return
		}
		if !slices.Contains(g.Lost, string(a.Endpoint)) {
			g.Lost = append(g.Lost, string(a.Endpoint))
		}
	}
	if l.gaps[name] == nil {
		l.gaps[name] = g
	}
	l.gaps[name].Calls++
}

// breaches are endpoints that were really asked and that contracts deny for this call.
func (l *live) breaches(f *gateway.Facts) []string {
	if l.judge == nil {
		return nil
	}
	var out []string
	need := placement.Need{Action: placement.CallModel, Class: cmp.Or(f.Class, gateway.StatelessAPI), Labels: f.Labels, Team: f.Team, Agent: string(f.Agent), Key: f.Key}
	for _, a := range f.Attempts {
		e, known := l.catalog.Endpoints[a.Endpoint]
		if a.Pretended || !known {
			continue
		}
		p := gateway.PlaceOf(l.catalog, e)
		if r, has := l.judge(l.tenant, &need, &p); has && r.Effect == placement.Stop {
			out = append(out, string(a.Endpoint)+": "+r.Why)
		}
	}
	return out
}

// workloadOf names the workload of a call.
func workloadOf(f *gateway.Facts) string {
	for _, w := range []string{f.Class, string(f.Agent), f.Team, f.Key} {
		if w != "" {
			return w
		}
	}
	return cmp.Or(f.Asked, "calls")
}

// end ends the drill; why is empty where it has come to its end. The caller holds mu.
func (l *live) end(why string) {
	if l.over {
		return
	}
	l.over, l.why = true, why
	close(l.done)
}

// abort ends the drill from outside.
func (l *live) abort(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(why)
}

// measuredLive says what the figures of a live drill are.
var measuredLive = []string{
	"Calls are real calls of the canary, answered by real endpoints; what failed at endpoints was pretended by this node's gateway before anything was sent there. The canary has a router of its own, which begins without a memory: other calls notice nothing.",
	"Failed is what the caller was told. Calls whose caller went away or got it wrong are not counted. A fault in the middle of an answer is pretended before its beginning: no answer of a real caller is broken for practice.",
	"Time to recover: from the beginning of the loss to the second from which on at most 1% of the canary's calls end badly, both to the end of the loss and in the minute that follows. With few calls it is coarse.",
	"Effects done twice and steps repeated are not measured in this mode: the gateway does not see what agents do with answers. Mode sim counts them.",
	"Breaches are endpoints that were really asked although the contracts in force deny them; what a person may have signed off is not taken for one. Residency beyond contracts is not known here.",
	"Cost is what this gateway reckons for the calls of the canary, attempts that were really sent included.",
}

// fill puts what was measured into the result.
func (l *live) fill(r *Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []*tally
	for _, name := range slices.Sorted(keys(l.tallies)) {
		list = append(list, l.tallies[name])
		r.Workloads = append(r.Workloads, l.tallies[name].figures())
	}
	for _, name := range slices.Sorted(keys(l.gaps)) {
		r.Gaps = append(r.Gaps, *l.gaps[name])
	}
	r.Total, r.Aborted, r.Measures = sum(list), l.why, measuredLive
	r.Chart = l.plot.chart(l.Lasts, nil)
	r.Scenario.Lasts = l.Lasts
	r.Scenario.Lost = nil
	for i := range l.Lose {
		r.Scenario.Lost = append(r.Scenario.Lost, l.Lose[i].say())
	}
	what := []string{percent(l.canary.Share) + " of the calls of the tenant " + string(l.tenant)}
	for _, w := range []struct {
		name string
		list []string
	}{{"keys", l.canary.Keys}, {"teams", l.canary.Teams}, {"classes", l.canary.Classes}} {
		if len(w.list) > 0 {
			what = append(what, w.name+" "+strings.Join(w.list, ", "))
		}
	}
	r.World = "the gateway of node " + cmp.Or(r.Node, "?") + ", " + strings.Join(what, "; ") + "; the scenario's " + brief(l.fullLasts) + " brought to " + brief(l.canary.For)
}
