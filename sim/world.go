package sim

import (
	"slices"
	"strconv"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

// World is a world of simulated clouds. It is not safe for use by several goroutines at once: what comes first matters.
type World struct {
	seed   uint64
	start  time.Time
	clouds map[string]*cloud
	list   []*cloud
	faults []*fault
	named  int // names given to faults
	seq    uint64
	trace  uint64
}

// cloud is a cloud at work.
type cloud struct {
	Cloud
	seed     uint64
	calls    uint64
	first    lognormal
	models   map[string]*Offer // by every name that it takes
	seats    map[place]*seat
	accounts map[holder]*account
}

// place is where calls queue.
type place struct{ region, model string }

// holder is who has quotas; the region is empty where regions share them.
type holder struct{ account, region, model string }

// seat is a model in a region.
type seat struct {
	slots *slots
	live  int64
}

// New makes a world. What is wrong with the config is Invalid.
func New(cfg Config) (*World, error) {
	w := &World{seed: cfg.Seed, start: cfg.Start, clouds: map[string]*cloud{}, trace: stir(cfg.Seed)}
	if cfg.Start.IsZero() {
		return nil, decouple.Errorf(decouple.Invalid, "a world needs a start: the time at which the schedules of its faults begin")
	}
	if len(cfg.Clouds) == 0 {
		return nil, decouple.Errorf(decouple.Invalid, "a world needs at least one cloud")
	}
	for _, c := range cfg.Clouds {
		if err := c.check(); err != nil {
			return nil, err
		}
		if w.clouds[c.Name] != nil {
			return nil, decouple.Errorf(decouple.Invalid, "there are two clouds of the name %q", c.Name)
		}
		at := newCloud(c, cfg.Seed)
		w.clouds[c.Name] = at
		w.list = append(w.list, at)
	}
	for _, f := range cfg.Faults {
		if _, err := w.AddFault(f); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func newCloud(c Cloud, seed uint64) *cloud {
	at := &cloud{
		Cloud: c, seed: stir(seed, spell(c.Name)), first: c.First.fit(), models: map[string]*Offer{}, seats: map[place]*seat{}, accounts: map[holder]*account{},
	}
	at.Cancel, at.Broken = c.cancels(), c.breaks()
	for i := range c.Models {
		m := &c.Models[i]
		for _, n := range slices.Concat([]string{m.Name, string(m.ID)}, m.Names) {
			if at.models[n] == nil {
				at.models[n] = m
			}
		}
		for _, r := range c.Regions {
			s := &seat{}
			if c.Concurrent > 0 {
				s.slots = newSlots(c.Concurrent)
			}
			at.seats[place{r, m.Name}] = s
		}
	}
	return at
}

// Start is when the schedules of faults began.
func (w *World) Start() time.Time { return w.start }

// Trace is a number made of all that has happened: worlds of one config that were asked the same at the same times have the same.
func (w *World) Trace() uint64 { return w.trace }

// AddFault lets something go wrong. Its From and To count from the world's start.
func (w *World) AddFault(f Fault) (Fault, error) {
	err := f.check(func(name string) *Cloud {
		if c := w.clouds[name]; c != nil {
			return &c.Cloud
		}
		return nil
	})
	if err != nil {
		return f, err
	}
	for f.Name == "" || w.fault(f.Name) >= 0 {
		if f.Name != "" && !isGiven(f.Name) {
			return f, decouple.Errorf(decouple.Conflict, "there is a fault of the name %q already: clear it first, or leave the name out", f.Name)
		}
		w.named++
		f.Name = "f" + strconv.Itoa(w.named)
	}
	w.faults = append(w.faults, &fault{Fault: f, seed: stir(w.seed, spell("fault"), spell(f.Name))})
	return f, nil
}

// isGiven says whether a fault's name is of the sort that AddFault gives.
func isGiven(name string) bool {
	n, ok := name, len(name) > 1 && name[0] == 'f'
	if ok {
		_, err := strconv.Atoi(n[1:])
		ok = err == nil
	}
	return ok
}

func (w *World) fault(name string) int {
	return slices.IndexFunc(w.faults, func(f *fault) bool { return f.Name == name })
}

// ClearFault takes the fault of a name back, or all faults if the name is empty. It says how many were there.
func (w *World) ClearFault(name string) int {
	before := len(w.faults)
	w.faults = slices.DeleteFunc(w.faults, func(f *fault) bool { return name == "" || f.Name == name })
	return before - len(w.faults)
}

// Faults lists the faults in the order in which they were added.
func (w *World) Faults() []Fault {
	out := []Fault{}
	for _, f := range w.faults {
		out = append(out, f.Fault)
	}
	return out
}

// Down says whether a cloud takes no connections at all at a time: an outage of the whole cloud, with nobody spared.
func (w *World) Down(name string, now time.Time) bool {
	since := now.Sub(w.start)
	for _, f := range w.faults {
		whole := f.Kind == Outage && f.Region == "" && f.Model == "" && f.Nth == 0 && (f.Share == 0 || f.Share == 1)
		if whole && (f.Mode == "" || f.Mode == "refused") && (f.Cloud == "" || f.Cloud == name) && since >= f.From && (f.To == 0 || since < f.To) {
			return true
		}
	}
	return false
}

// Ask says what becomes of a call. Times of calls must not go backwards by much: a queue does not look back. Each plan that is served is handed to [World.Done] once.
func (w *World) Ask(call Call, now time.Time) Plan {
	w.seq++
	p := Plan{Call: call, Seq: w.seq, Began: now, Region: call.Region, Model: call.Model, slot: -1}
	c := w.clouds[call.Cloud]
	if c == nil {
		p.Refusal = Refused
		return p
	}
	c.calls++
	d := dice{state: stir(c.seed, c.calls)}
	p.cloud, p.First = c, answerTime(&d)
	if p.Region == "" {
		p.Region = c.Regions[0]
	}
	m := c.models[call.Model]
	if m != nil {
		p.Model = m.Name
	}
	since := now.Sub(w.start)
	hits := w.hits(&p, m, since)
	if !p.refusedByFault(hits) && !call.Free {
		w.serve(&p, m, hits, &d)
	}
	p.status()
	w.mix(uint64(p.Seq), uint64(p.Refusal), uint64(p.Status), uint64(p.First), uint64(p.Every), uint64(p.Usage.Cached), uint64(p.Usage.TokensOut), uint64(p.RetryAfter))
	return p
}

// Refuse is the plan of a call that whoever shows the world refuses by himself, for example for its credential, in the words of its cloud.
func (w *World) Refuse(call Call, r Refusal, now time.Time) Plan {
	w.seq++
	p := Plan{Call: call, Seq: w.seq, Began: now, Region: call.Region, Model: call.Model, Refusal: r, cloud: w.clouds[call.Cloud], slot: -1}
	if p.cloud == nil {
		p.Refusal = Refused
		return p
	}
	if p.Region == "" {
		p.Region = p.cloud.Regions[0]
	}
	p.status()
	w.mix(p.Seq, uint64(r))
	return p
}

// answerTime is how long a cloud takes to say no.
func answerTime(d *dice) time.Duration {
	return 5*time.Millisecond + time.Duration(d.unit()*float64(20*time.Millisecond))
}

// hits are the faults that a call meets.
func (w *World) hits(p *Plan, m *Offer, since time.Duration) []*fault {
	var out []*fault
	for _, f := range w.faults {
		if f.about(p.cloud, p.Region, m, since) && f.strikes(p.cloud.calls) {
			out = append(out, f)
		}
	}
	return out
}

func (p *Plan) refusedByFault(hits []*fault) bool {
	for _, f := range hits {
		if f.refuse(p) {
			return true
		}
	}
	return false
}

// serve goes through what a cloud asks before it answers, in its order, and plans the answer.
func (w *World) serve(p *Plan, m *Offer, hits []*fault, d *dice) {
	c, now := p.cloud, p.Began.Sub(w.start)
	p.seat = c.seats[place{p.Region, p.Model}]
	switch {
	case m == nil || p.seat == nil:
		p.Refusal = NoModel
	case !m.Retires.IsZero() && !p.Began.Before(m.Retires):
		p.Refusal = Retired
	case m.Context > 0 && p.Call.In > m.Context:
		p.Refusal = TooLong
	case p.Call.Filtered:
		p.Refusal = Filtered
	case c.Errors > 0 && d.unit() <= c.Errors:
		p.Refusal = Failed
	}
	if p.Refusal != Served {
		return
	}
	named := p.Call.MaxOut
	p.limit(m)
	if c.Limits.AdmitAll {
		named = p.Call.MaxOut
	}
	usage := w.admit(p, named, hits, d)
	if p.Refusal != Served {
		return
	}
	p.length(m, usage, d)
	p.pace(d)
	price, tier := priceAt(m.Prices, p.Began, p.Usage.TokensIn)
	p.price = tier
	if tier != nil {
		p.factors = [3]catalog.Part{thousand, factor(price.Class, p.Call.Tier), thousand}
		if !p.Call.Global {
			p.factors[0] = factor(price.Uplift, p.Region)
		}
	}
	for _, f := range hits {
		f.bend(p)
		if f.Kind == PriceTimes {
			p.factors[2] = catalog.Part(f.Factor*thousand + 0.5)
		}
	}
	p.hold(int64(now))
}

// limit gives an answer the model's own limit where the caller names none, or a larger one.
func (p *Plan) limit(m *Offer) {
	if m.MaxOut > 0 && (p.Call.MaxOut == 0 || p.Call.MaxOut > m.MaxOut) {
		p.Call.MaxOut = m.MaxOut
	}
}

// admit asks quotas, cache and queue. The call counts with the limit of the answer that was named.
func (w *World) admit(p *Plan, named int64, hits []*fault, d *dice) decouple.Usage {
	c, now := p.cloud, int64(p.Began.Sub(w.start))
	key := holder{account: p.Call.Account, model: p.Model}
	if c.Limits.PerRegion {
		key.region = p.Region
	}
	a := c.accounts[key]
	if a == nil {
		a = newAccount(&c.Limits)
		c.accounts[key] = a
	}
	times := 1.0
	for _, f := range hits {
		if f.Kind == QuotaTimes {
			times *= f.Factor
		}
	}
	a.fill(now, times)
	p.account = a
	defer func() { p.Room = a.room(times) }()
	if c.Limits.Pool.hot(stir(c.seed, spell(p.Region)), now, d) {
		p.Refusal = PoolHot
		return decouple.Usage{}
	}
	if c.Queue > 0 && c.Concurrent > 0 && p.seat.live >= c.Concurrent+c.Queue {
		p.Refusal = Full
		return decouple.Usage{}
	}
	var u decouple.Usage
	u.TokensIn = p.Call.In
	if c.Cache.Kind != CacheNone && !p.Call.Embed {
		u = a.prompts.read(&c.Cache, &p.Call, now)
	}
	p.counted = c.Limits.count(u, named)
	var wait time.Duration
	if p.Refusal, wait = a.admit(&c.Limits, p.counted, times); p.Refusal != Served && wait < never {
		p.RetryAfter = wait
	}
	return u
}

// never is longer than any wait that is worth naming.
const never = 366 * 24 * time.Hour

func (a *account) room(times float64) Room {
	r := Room{Requests: a.requests.gauge(times), Tokens: a.tokens.gauge(times), In: a.in.gauge(times), Out: a.out.gauge(times), Day: a.day.gauge(times)}
	if a.units.size > 0 {
		r.Used = 1 - a.units.level/a.units.size
	}
	return r
}

// length says how long the answer is and why it ends.
func (p *Plan) length(m *Offer, u decouple.Usage, d *dice) {
	out := p.Call.Out
	if p.Call.Embed {
		out = 0
	} else if out == 0 {
		median := float64(m.Out)
		if median == 0 {
			median = 250
		}
		out = 1 + int64(lognormal{median: median, sigma: 0.6}.draw(d))
	}
	p.Finish = decouple.FinishStop
	if p.Call.MaxOut > 0 && out > p.Call.MaxOut {
		out, p.Finish = p.Call.MaxOut, decouple.FinishLength
	}
	u.TokensOut = out
	p.Usage = u
}

// pace says how fast it comes. The nearer the seat is to its limit, the slower is the first token; the more calls it works on, the slower are the others.
func (p *Plan) pace(d *dice) {
	c := p.cloud
	first := c.first.draw(d)
	if c.Concurrent > 0 {
		load := min(1, float64(p.seat.live)/float64(c.Concurrent))
		first += time.Duration(float64(first) * load * load)
	}
	if c.Prefill > 0 {
		first += time.Duration(float64(p.Usage.TokensIn-p.Usage.Cached) / c.Prefill * float64(time.Second))
	}
	p.First = first
	if c.Rate <= 0 {
		return
	}
	rate := c.Rate
	if c.Loaded.Rate > 0 && c.Loaded.At > 1 {
		share := min(1, float64(p.seat.live)/float64(c.Loaded.At-1))
		rate /= 1 + (c.Rate/c.Loaded.Rate-1)*share
	}
	if c.first.sigma > 0 {
		rate *= 1 + 0.05*max(-3, min(3, d.normal()))
	}
	p.Every = time.Duration(float64(time.Second) / rate)
}

// hold takes a slot for as long as the answer takes.
func (p *Plan) hold(now int64) {
	p.seat.live++
	if p.seat.slots == nil {
		return
	}
	start := p.seat.slots.soonest(now)
	p.Queued = time.Duration(start - now)
	p.First += p.Queued
	p.until = now + int64(p.Ends())
	p.slot = p.seat.slots.take(p.until)
}

// Done says that a call has ended at a time: left by its caller, or as its plan says. It gives the line of the invoice; false is a call that is not on it.
func (w *World) Done(p Plan, left bool, now time.Time) (Line, bool) {
	l, ok := w.Settle(&p, left, now)
	if ok {
		l.ID = p.ID()
	}
	return l, ok
}

// Settle is [World.Done] without the line's id, which takes longer to make than all the rest.
func (w *World) Settle(p *Plan, left bool, now time.Time) (Line, bool) {
	if p.Refusal != Served || p.seat == nil {
		return Line{}, false
	}
	p.seat.live--
	since := now.Sub(p.Began)
	if p.slot >= 0 {
		p.seat.slots.release(p.slot, p.until, int64(now.Sub(w.start)))
	}
	l := Line{
		Client: p.Call.Client, Account: p.Call.Account, Cloud: p.cloud.Name, Region: p.Region, Model: p.Model, At: now, Tier: p.Call.Tier, Stream: p.Call.Stream,
		Ended: Whole, Price: p.price, Factors: p.factors,
	}
	made, rule := p.Usage.TokensOut, BillWhole
	switch {
	case left && since < p.Queued:
		l.Ended, rule = ByCaller, BillNothing
	case left:
		l.Ended = ByCaller
		if p.Call.Stream {
			rule = p.cloud.Cancel
		}
	case p.Break.Kind != "" && p.Break.Kind != Empty:
		l.Ended, rule = ByCloud, p.cloud.Broken
	}
	if rule == BillMade {
		made = p.Made(since)
	}
	p.account.settle(&p.cloud.Limits, p.counted, made)
	if rule != BillNothing {
		u := p.Usage
		l.In, l.Cached, l.CacheWrite, l.CacheLong, l.Out = u.TokensIn-u.Cached-u.CacheWrite-u.CacheLong, u.Cached, u.CacheWrite, u.CacheLong, made
		l.charge()
	}
	w.mix(p.Seq, uint64(l.Amount), uint64(since), uint64(made))
	return l, true
}

func (w *World) mix(more ...uint64) { w.trace = stir(w.trace, more...) }
