package fleet

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/placement"
)

// work is a workload at work.
type work struct {
	*Workload
	i        int32
	alias    catalog.Alias
	members  []catalog.EndpointID
	keys     []string
	dice     dice // of arrivals
	seed     uint64
	last     float64 // when the last run came
	came     int64
	permit   permit // of ordinary runs
	approved permit // of runs that a person has signed off
	parked   []int32
	prefer   map[catalog.EndpointID]string // that keep a promise
	judged   []int8                        // by target, of the independent check: 0 not yet, 1 permitted, 2 not; the same for signed-off runs from len(targets) on
	row      *row
}

// run is a run under way.
type run struct {
	w      *work
	i      int32
	no     uint64
	dice   dice
	left   int64 // calls still to be made
	total  int64
	in     int64 // tokens of the next call
	before int64 // tokens of the call before, which are the beginning of the next
	key    string
	sticky string
	began  int64
	tries  int // of the present step, by whoever makes it
	out    int64
	signed bool
	held   bool
}

// findWorks makes the workloads ready.
func (f *fleet) findWorks() error {
	for i := range f.Workloads {
		w := &work{Workload: &f.Workloads[i], i: int32(i), dice: dice{stir(f.Seed, 1000+uint64(i))}, seed: stir(f.Seed, 1_000_000+uint64(i))}
		w.Arrive = w.Arrive.filled()
		alias, err := f.Catalog.Resolve(w.Model)
		if err != nil {
			return decouple.Errorf(decouple.KindOf(err), "the workload %s: %w", w.Name, err)
		}
		w.alias = alias
		for _, id := range f.Catalog.Members(alias) {
			if _, ok := f.byID[id]; ok {
				w.members = append(w.members, id)
			}
		}
		if len(w.members) == 0 {
			return decouple.Errorf(decouple.NotFound, "the workload %s: no cloud of the plan serves the model %s", w.Name, w.Model)
		}
		for k := range max(w.Keys, 1) {
			w.keys = append(w.keys, fmt.Sprintf("%s-%d", w.Name, k+1))
		}
		f.works = append(f.works, w)
	}
	return nil
}

// need is a workload's call as contracts speak of it.
func (w *work) need(signed []string) *placement.Need {
	class := w.Class
	if class == "" && w.Agent == "" {
		class = gateway.StatelessAPI
	}
	return &placement.Need{Action: placement.CallModel, Class: class, Labels: w.Labels, Team: w.Team, Agent: w.Agent, Key: w.keys[0], Signed: signed}
}

// expect notes when the next run comes.
func (f *fleet) expect(w *work, i int32, from float64) {
	if w.Runs > 0 && w.came >= w.Runs {
		return
	}
	w.last = w.Arrive.next(from, f.midnight, &w.dice)
	if w.Runs == 0 && w.last >= float64(f.Span) || w.last > float64(longest) {
		return
	}
	f.cal.add(entry{at: int64(w.last), what: arrives, ref: i})
}

// longest is how long a simulation lasts at most.
const longest = 366 * 24 * time.Hour

// arrive begins a run.
func (f *fleet) arrive(w *work) {
	w.came++
	f.runNo++
	f.size.Runs++
	r, i := f.runs.get()
	*r = run{w: w, i: i, no: f.runNo, dice: dice{stir(w.seed, uint64(w.came))}, began: f.now, total: 1}
	if w.Calls != (Spread{}) {
		r.total = max(1, w.Calls.draw(&r.dice))
	}
	r.left = r.total
	r.in = max(1, w.Prefix+w.In.draw(&r.dice))
	r.key = w.keys[int(r.no)%len(w.keys)]
	switch {
	case r.total > 1:
		r.sticky = r.key + "/" + strconv.FormatUint(r.no, 36)
	case w.Prefix >= 256: // what the gateway takes for the beginning of a prompt
		r.sticky = r.key
	}
	w.row.Runs++
	f.mix(arrives, r.no, w.i, uint64(r.total))
	f.tell(Event{Kind: Arrived, Workload: int(w.i), Run: r.no})
	f.expect(w, w.i, w.last)
	f.loop(r)
}

// loop asks the next question of a run.
func (f *fleet) loop(r *run) {
	r.tries = 0
	if r.out = 0; r.w.Out != (Spread{}) {
		r.out = max(1, r.w.Out.draw(&r.dice))
	}
	r.w.row.Steps++
	f.ask(r)
}

// repeat asks it once more, after it failed.
func (f *fleet) repeat(r *run) {
	if r.tries > 0 {
		r.w.row.Repeated++
	}
	f.ask(r)
}

// ask makes the call of a run's present step.
func (f *fleet) ask(r *run) {
	w := r.w
	p := r.permit()
	if len(p.endpoints) == 0 {
		f.stopped(r, p)
		return
	}
	r.held = false
	c := f.newCall(r)
	c.need.Endpoints, c.need.Refused = p.endpoints, p.refused
	w.row.Calls++
	f.size.Calls++
	f.tell(Event{Kind: Asked, Workload: int(w.i), Run: r.no, Call: c.no})
	f.pursue(c)
}

// stopped holds a run that may go nowhere until a person signs off, or ends it.
func (f *fleet) stopped(r *run, p *permit) {
	w := r.w
	f.callNo++
	if len(p.held) > 0 && !r.signed {
		if !r.held { // and not yet
			w.row.Held++
		}
		r.held = true
		f.mix(loops, r.no, -1, 1)
		f.tell(Event{Kind: Held, Workload: int(w.i), Run: r.no, Call: f.callNo, Why: p.why})
		if w.SignOff > 0 {
			r.signed = true
			f.cal.add(entry{at: f.now + int64(w.SignOff), what: again, ref: r.i})
			return
		}
		w.parked = append(w.parked, r.i)
		return
	}
	w.row.Denied++
	f.books.bad(w, f.now)
	f.mix(loops, r.no, -1, 2)
	f.tell(Event{Kind: Denied, Workload: int(w.i), Run: r.no, Call: f.callNo, Why: p.why})
	f.leave(r, ranDenied)
}

// Endings of a run.
const (
	ranWell = iota
	ranBadly
	ranDenied
)

// leave ends a run.
func (f *fleet) leave(r *run, how int) {
	w := r.w
	switch how {
	case ranWell:
		w.row.RunsDone++
		w.row.runTime.Add(time.Duration(f.now - r.began))
	case ranBadly:
		w.row.RunsFailed++
	case ranDenied:
		w.row.RunsDenied++
	}
	f.mix(loops, r.no, -2, uint64(how))
	f.tell(Event{Kind: Left, Workload: int(w.i), Run: r.no})
	f.runs.put(r.i)
}

// answered lets a run go on after an answer.
func (f *fleet) answered(r *run) {
	w := r.w
	if r.left--; r.left == 0 {
		f.leave(r, ranWell)
		return
	}
	r.before = r.in + r.out
	r.in = r.before + w.Grow.draw(&r.dice)
	f.cal.add(entry{at: f.now + w.Tools.draw(&r.dice), what: loops, ref: r.i})
}

// failed lets a run try its step once more, or ends it.
func (f *fleet) failed(r *run) {
	w := r.w
	if r.tries >= w.Again {
		f.leave(r, ranBadly)
		return
	}
	pause := cmp.Or(w.Pause, time.Second) << min(r.tries, 16)
	r.tries++
	f.cal.add(entry{at: f.now + int64(float64(pause)*(0.5+r.dice.unit())), what: again, ref: r.i})
}
