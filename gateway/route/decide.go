package route

import (
	"cmp"
	"math"
	"slices"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

// option is one candidate while a decision is made.
type option struct {
	e        *endpoint // nil: not in the catalog
	i        int       // in Need.Endpoints
	half     bool      // its breaker waits for a probe
	verdict  Verdict
	why      string
	rank     int8  // among those that can take the call: lower is better; out for those that cannot
	until    int64 // of those that cannot: when they can; 0 never
	first    float64
	total    float64
	price    float64
	priced   bool
	warm     bool
	headroom float64
	health   float64
	score    float64
}

// Ranks. A lower one is always preferred; the strategy chooses within one.
const (
	ready int8 = iota // healthy; of a call's first attempt also those whose breaker waits for a probe
	doubt             // degraded or suspect
	risk              // waits for a probe, and the call has failed once already or no retry is left
	again             // was tried by this call already
	late              // added to the others: expected to miss the deadline
	out   = math.MaxInt8
)

// question is a need with what is worked out once for all its candidates.
type question struct {
	*Need
	t        int64
	deadline int64
	visits   visits
	known    bool      // the prefix was somewhere
	judging  *endpoint // refused the call, and a second opinion is wanted
	dearer   float64   // how much an endpoint that keeps a promise may cost more
	kept     bool      // it was chosen for that
	broke    bool      // no retry is left beyond those that calls under way may need: a failure would be the caller's
}

// Decide says where a call goes. It changes nothing.
func (s *State) Decide(n Need, now time.Time) Decision {
	var d Decision
	s.DecideInto(&d, &n, now)
	return d
}

// Take is Decide and Begin of what was chosen, as one step.
func (s *State) Take(n Need, now time.Time) Decision {
	d := s.Decide(n, now)
	if d.Chosen != "" {
		s.Begin(n.ID, d.Chosen, n, now)
	}
	return d
}

// DecideInto is Decide into a decision whose memory is used again.
func (s *State) DecideInto(d *Decision, n *Need, now time.Time) {
	*d = Decision{Candidates: d.Candidates[:0]}
	q := question{Need: n, t: now.UnixNano(), deadline: math.MaxInt64, dearer: s.cfg.Dearer, broke: s.retries.left(now.UnixNano(), &s.cfg) < 1+float64(s.risk)/1000}
	if !n.Deadline.IsZero() {
		q.deadline = n.Deadline.UnixNano()
	}
	if n.Sticky != "" {
		q.visits, q.known = s.prefixes.find(n.Sticky)
	}
	if len(n.Tried) > 0 {
		if trial, ok := s.trials[n.ID]; ok && slices.Contains(n.Tried, trial.of.ID) {
			q.judging = trial.of
		}
	}
	opts := s.scratch[:0]
	for i, id := range n.Endpoints {
		opts = append(opts, option{i: i})
		s.weigh(&opts[len(opts)-1], &q, s.endpoints[id])
	}
	s.scratch = opts
	best := s.choose(opts, &q)
	s.tell(d, opts, &q, best)
}

// weigh judges one candidate and works out what to expect of it.
func (s *State) weigh(o *option, q *question, e *endpoint) {
	if o.e, o.rank = e, out; e == nil || e.gone {
		o.e, o.verdict, o.why = nil, Missing, "it is not in the catalog any more"
		return
	}
	s.expect(o, q)
	tried := 0
	for _, id := range q.Tried {
		if id == e.ID {
			tried++
		}
	}
	if tried > 0 && (q.judging != nil || q.Alias.Strategy == catalog.Cascade || tried >= s.cfg.Attempts) {
		o.verdict, o.why = Tried, triedIt
		return
	}
	if e.context > 0 && q.TokensIn+q.MaxOut > e.context {
		o.verdict, o.why = TooSmall, "the call and its answer are longer than the model's context"
		return
	}
	s.admit(o, q)
	if o.rank == out {
		return
	}
	if tried > 0 {
		s.retry(o, q, tried)
	}
	need := o.total
	if q.Stream {
		need = o.first
	}
	if o.rank != out && q.t+int64(need) > q.deadline {
		o.rank += late
		o.verdict, o.why = TooSlow, "it is not expected to be done by the deadline"
	}
}

// expect fills in the expected times, price and health of a candidate.
func (s *State) expect(o *option, q *question) {
	e := o.e
	in, cached := float64(q.TokensIn), 0.0
	if q.known && q.visits.warm(e, q.t, q.CacheFor) {
		o.warm, cached = true, in*cachedShare
	}
	answer := float64(s.cfg.Answer)
	if e.speed.answers > 0 {
		answer = e.speed.answer
	}
	if q.MaxOut > 0 {
		answer = min(answer, float64(q.MaxOut))
	}
	o.first, o.total = e.speed.expect(in-cached, answer, q.t, &s.cfg)
	crowd := e.crowd()
	o.first, o.total = min(o.first*crowd, float64(longest)), min(o.total*crowd, float64(longest))
	o.price, o.priced = e.price(q.TokensIn, cached, answer, q.t)
	o.health = e.health.factor(q.t, &s.cfg)
}

// reserve is what a call takes of an endpoint's limits until its usage is known.
func (e *endpoint) reserve(n *Need, cfg *Config) (in, written float64) {
	written = float64(cfg.Answer)
	if e.speed.answers > 0 {
		written = e.speed.answer
	}
	if n.MaxOut > 0 && (e.load.admitMax || written > float64(n.MaxOut)) {
		written = float64(n.MaxOut)
	}
	return float64(n.TokensIn), written
}

// admit says whether breakers, Retry-After and limits let a call through.
func (s *State) admit(o *option, q *question) {
	e, t := o.e, q.t
	for _, b := range [...]*breaker{&e.breaker, &e.account.breaker, &e.region.breaker} {
		switch b.stage(t) {
		case opened:
			if b.until > o.until {
				o.verdict, o.why, o.until = Open, b.why, b.until
			}
		case probing:
			if u := t + max(1, int64(o.first)); o.until < u && o.verdict != Open {
				o.verdict, o.why, o.until = Probing, "one call is finding out whether it is well again: wait for it", u
			}
		case due:
			o.half = true
		}
	}
	if t < e.load.rest && e.load.rest > o.until {
		o.verdict, o.why, o.until = Limited, e.load.restWhy, e.load.rest
	}
	in, written := e.reserve(q.Need, &s.cfg)
	var when int64
	var why string
	o.headroom, when, why = e.load.room(in, written, t, o.total)
	if when > o.until {
		o.until = when
		if o.verdict == "" {
			o.verdict, o.why = NoHeadroom, why
		}
	}
	if o.until != 0 {
		return
	}
	o.rank, o.verdict, o.why = ready, Ready, "it is well and has head-room"
	switch {
	case o.half && (len(q.Tried) > 0 || q.broke):
		o.rank, o.verdict, o.why = risk, HalfOpen, halfOpen
	case o.half:
		o.verdict, o.why = HalfOpen, halfOpen
	case e.refusal.suspect(t, &s.cfg):
		o.rank, o.verdict, o.why = doubt, Suspect, "it refuses more calls than it used to, and nobody knows yet whose fault that is"
	case e.kin.down > t && e.health.okAt <= e.kin.since:
		o.rank, o.verdict, o.why = doubt, Suspect, "the same model of the same provider is down elsewhere, and nothing has shown that it works here"
	case e.health.degraded(t, &s.cfg):
		o.rank, o.verdict, o.why = doubt, Degraded, "it has failed too often lately to be among the first"
	case q.broke && e.shaky(t, &s.cfg) > 0:
		o.rank, o.verdict, o.why = doubt, Degraded, "it has failed lately, and no retry is left that could mend it"
	}
}

const halfOpen = "its breaker waits for one call that finds out whether it is well again"

const triedIt = "this call has tried it"

// retry ranks a candidate that this call has tried before: it comes last, and after a pause.
func (s *State) retry(o *option, q *question, tried int) {
	o.rank, o.verdict, o.why = out, Tried, triedIt
	pause := int64(float64(250*time.Millisecond) * float64(int(1)<<(tried-1)) * (0.8 + 0.4*unit(dice(q.Random))))
	if from := o.e.health.badAt + pause; q.t < from {
		o.until = from
		return
	}
	o.rank = again
}

// choose gives the index of the best candidate, or -1.
func (s *State) choose(opts []option, q *question) int {
	rank := int8(out)
	for i := range opts {
		rank = min(rank, opts[i].rank)
	}
	if rank == out {
		return -1
	}
	if q.judging != nil {
		best := 0
		for i := range opts {
			best = max(best, opts[i].merit(q))
		}
		if best > 0 {
			return s.rank(opts, q, false, func(o *option) bool { return o.merit(q) == best })
		}
	}
	return s.rank(opts, q, rank >= late, func(o *option) bool { return o.rank == rank })
}

// merit is what a second opinion is worth: most, that of an endpoint that is known to accept calls, then that of the same model, then that of another provider, because what has broken one
// region may have broken the others. 0 is nothing.
func (o *option) merit(q *question) int {
	if o.rank >= again {
		return 0
	}
	m := 1
	if o.rank == ready && o.e.refusal.credible(q.t) {
		m += 4
	}
	if o.e.Model == q.judging.Model {
		m += 2
	}
	if o.e.Provider != q.judging.Provider {
		m++
	}
	return m
}

// tell writes the decision.
func (s *State) tell(d *Decision, opts []option, q *question, best int) {
	d.Candidates = slices.Grow(d.Candidates, len(opts)+len(q.Refused))[:len(opts)]
	for i := range opts {
		o, c := &opts[i], &d.Candidates[i]
		*c = Candidate{
			Endpoint: q.Endpoints[i], Verdict: o.verdict, Why: o.why, Score: o.score,
			FirstToken: time.Duration(o.first), Total: time.Duration(o.total),
			Price: decouple.Money(o.price), Priced: o.priced, Warm: o.warm, Headroom: o.headroom,
		}
		if o.until > q.t {
			c.Until = at(o.until)
		}
	}
	for _, c := range q.Refused {
		c.Verdict = cmp.Or(c.Verdict, Denied)
		d.Candidates = append(d.Candidates, c)
	}
	if best < 0 || q.t >= q.deadline {
		s.refuse(d, opts, q)
		return
	}
	o, c := &opts[best], &d.Candidates[best]
	d.Chosen, d.Why = c.Endpoint, because(q, o)
	d.Probe, d.Judge = o.half, q.judging != nil
	d.Patience = s.patience(o, q)
	c.Verdict, c.Why = Chosen, d.Why
	if q.Alias.Hedge > 0 && len(q.Tried) == 0 {
		if i := second(opts, best); i >= 0 {
			d.Hedge, d.After = d.Candidates[i].Endpoint, q.Alias.Hedge
			d.Candidates[i].Verdict = Hedge
			d.Candidates[i].Why = "the next best: it is asked too if the chosen one is silent for long"
		}
	}
}

// patience is how long an attempt may stay silent.
func (s *State) patience(o *option, q *question) time.Duration {
	longest := s.cfg.PatienceMax
	p := o.first * s.cfg.SlowTimes
	if !q.Stream {
		// The answer may be as long as it is allowed to be.
		most := float64(cmp.Or(q.MaxOut, 4096))
		rate := s.cfg.Rate
		if o.e.speed.rates > 0 {
			rate = o.e.speed.rate
		}
		p += 2 * most / rate * 1e9
		longest *= 10
	}
	return min(max(time.Duration(p), s.cfg.Patience), longest)
}

// refuse says when to ask again, or why it is of no use.
func (s *State) refuse(d *Decision, opts []option, q *question) {
	if q.t >= q.deadline {
		d.Refused, d.Why = decouple.Deadline, "the deadline of the call is over"
		return
	}
	var next *option
	small := 0
	for i := range opts {
		o := &opts[i]
		if o.until > q.t && (next == nil || o.until < next.until) {
			next = o
		}
		if o.verdict == TooSmall {
			small++
		}
	}
	if next != nil && q.judging == nil {
		limit := q.deadline
		if limit == math.MaxInt64 {
			limit = q.t + int64(s.cfg.Wait)
		}
		if next.until < limit {
			d.Wait, d.Why = at(next.until), "no endpoint can take the call now: the first can before its deadline"
			return
		}
		d.RetryAfter = time.Duration(next.until - q.t)
		d.Refused, d.Why = decouple.Unavailable, "no endpoint can take the call before its deadline: the first is expected to be well later"
		if next.verdict == Limited || next.verdict == NoHeadroom {
			d.Refused, d.Why = decouple.RateLimited, "no endpoint has head-room for the call before its deadline"
		}
		return
	}
	switch {
	case len(opts) == 0 && len(q.Refused) == 0:
		d.Refused, d.Why = decouple.NotFound, "no endpoint serves this alias"
	case len(opts) == 0:
		d.Refused, d.Why = decouple.Denied, "no endpoint is permitted for this call"
	case small == len(opts):
		d.Refused, d.Why = decouple.Invalid, "the call and its answer are longer than the context of every model that is permitted"
	default:
		d.Refused, d.Why = decouple.Unavailable, "every endpoint that is permitted was tried"
	}
}
