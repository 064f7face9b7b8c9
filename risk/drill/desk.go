package drill

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/risk/sign"
)

// Desk runs drills at one node and keeps what comes of them. Log, Sign and Catalog are required.
type Desk struct {
	Log      journal.Log
	Sign     func() (*sign.Key, error) // that results are signed with
	Catalog  func() *catalog.Catalog   // of the installation
	Ledger   *ledger.Ledger            // of this node, whose calls a shadow drill wants too; nil has only those of the journal
	Gateway  *gateway.Gateway          // nil plays no live drills
	Judge    Judge                     // nil is that there are no contracts
	Contract func(ctx context.Context, t decouple.TenantID) (placement.Book, error)
	Node     string
	Program  string
	Errors   *slog.Logger // of drills that nobody waits for; nil is silent

	mu    sync.Mutex
	now   map[string]*live // under way at this node
	work  sync.WaitGroup
	close bool
}

// Ask is what somebody wants drilled.
type Ask struct {
	Tenant   decouple.TenantID
	Scenario Scenario
	Mode     Mode
	Seed     uint64
	Since    time.Time // of a shadow drill
	Canary   Canary    // of a live one
	By       decouple.Actor
	Progress func(done, of time.Duration)
}

// newID names a drill: by its scenario and day, for people, and by chance.
func newID(s *Scenario, now time.Time) string {
	return s.ID + "-" + now.UTC().Format("20060102") + "-" + strings.ToLower(rand.Text()[:6])
}

// Run plays a drill and gives its result, signed, when it is over. When ctx ends, a live drill is aborted, and its result says so.
func (d *Desk) Run(ctx context.Context, a Ask) (*Result, []byte, error) {
	_, wait, err := d.begin(ctx, a)
	if err != nil {
		return nil, nil, err
	}
	return wait(ctx)
}

// Start begins a drill that goes on by itself, and gives its id.
func (d *Desk) Start(ctx context.Context, a Ask) (string, error) {
	id, wait, err := d.begin(ctx, a)
	if err != nil {
		return "", err
	}
	d.work.Go(func() {
		if _, _, err := wait(context.WithoutCancel(ctx)); err != nil && d.Errors != nil {
			d.Errors.Error("a drill did not come to its end", "drill", id, "error", err)
		}
	})
	return id, nil
}

// begin checks what is asked for, keeps that it begins, and gives the function that plays it.
func (d *Desk) begin(ctx context.Context, a Ask) (string, func(context.Context) (*Result, []byte, error), error) {
	key, err := d.Sign() // before anything is done whose result could not be signed
	if err != nil {
		return "", nil, err
	}
	began := time.Now()
	o := Order{ID: newID(&a.Scenario, began), Ran: began, By: a.By, Node: d.Node, Program: d.Program, Seed: a.Seed, Progress: a.Progress}
	start := storedStart{}
	var play func(context.Context) (*Result, error)
	switch a.Mode {
	case Sim:
		if len(a.Scenario.Workloads) == 0 {
			return "", nil, noWorkloads(&a.Scenario)
		}
		if _, err := simWorld(&a.Scenario); err != nil {
			return "", nil, err
		}
		play = func(ctx context.Context) (*Result, error) { return Simulate(ctx, a.Scenario, o) }
	case Shadow:
		w, err := d.shadowWorld(ctx, &a, o.Ran)
		if err != nil {
			return "", nil, err
		}
		play = func(ctx context.Context) (*Result, error) { return d.shadow(ctx, w, a, o) }
	case Live:
		if play, err = d.live(a, o, &start); err != nil {
			return "", nil, err
		}
	default:
		return "", nil, decouple.Errorf(decouple.Invalid, "a drill is played in mode sim, shadow or live, not %q", plain(string(a.Mode)))
	}
	r := o.result(&a.Scenario, a.Mode)
	if err := begin(ctx, d.Log, a.Tenant, r, start); err != nil {
		d.abort(o.ID, "it could not be kept that it began")
		return "", nil, err
	}
	return o.ID, func(ctx context.Context) (*Result, []byte, error) {
		r, err := play(ctx)
		broke := err
		if err != nil {
			r = o.result(&a.Scenario, a.Mode)
			r.Aborted, r.Checks, r.Measures = plain(err.Error()), []Check{}, []string{}
		}
		r.Took = time.Since(began)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), keeping)
		defer cancel()
		envelope, kept := keep(last, d.Log, a.Tenant, r, key)
		if broke != nil {
			return nil, nil, broke
		}
		return r, envelope, kept
	}, nil
}

// keeping is how long the result of a drill that was broken off may take to be kept.
const keeping = 10 * time.Second

func noWorkloads(s *Scenario) error {
	return decouple.Errorf(decouple.Invalid, "%s: a simulation needs workloads: who calls what how often. Add them to the file, or use --mode shadow, which takes the calls that were recorded", s.ID)
}

// live puts a live drill into the gateway, and gives the function that waits for its end.
func (d *Desk) live(a Ask, o Order, start *storedStart) (func(context.Context) (*Result, error), error) {
	if d.Gateway == nil {
		return nil, decouple.Errorf(decouple.Unavailable, "a live drill is played at a server: start one with `decouple serve`, and give its address as --server")
	}
	canary, err := a.Canary.filled()
	if err != nil {
		return nil, err
	}
	l, err := newLive(a.Scenario, canary, o.ID)
	if err != nil {
		return nil, err
	}
	l.tenant, l.catalog, l.judge, l.began = a.Tenant, d.Catalog(), d.Judge, o.Ran
	l.until = l.began.Add(canary.For)
	if !l.reaches() {
		return nil, decouple.Errorf(decouple.Invalid, "no endpoint of this installation is lost in the scenario %s; `decouple endpoints ls` lists them", l.ID)
	}
	start.Until, start.Canary = l.until, &canary
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.close {
		return nil, decouple.Errorf(decouple.Unavailable, "this server is ending")
	}
	if err := d.Gateway.Drill(l); err != nil {
		return nil, err
	}
	if d.now == nil {
		d.now = map[string]*live{}
	}
	d.now[o.ID] = l
	return func(ctx context.Context) (*Result, error) {
		timer := time.NewTimer(time.Until(l.until))
		defer timer.Stop()
		select {
		case <-timer.C:
			l.abort("")
		case <-ctx.Done():
			l.abort("whoever ran it ended it")
		case <-l.done:
		}
		d.Gateway.EndDrill(l)
		d.mu.Lock()
		delete(d.now, o.ID)
		d.mu.Unlock()
		r := o.result(&l.Scenario, Live)
		r.Played = min(canary.For, time.Since(l.began))
		l.fill(r)
		r.judge(&l.Scenario)
		return r, nil
	}, nil
}

// reaches says whether anything of the installation is lost.
func (l *live) reaches() bool {
	for _, e := range l.catalog.Endpoints {
		p := gateway.PlaceOf(l.catalog, e)
		for i := range l.Lose {
			if l.about(&l.Lose[i], &p) {
				return true
			}
		}
	}
	return false
}

// Abort ends a live drill of a tenant at this node at once; its result says so. NotFound is that there is none of this id; an empty id is whichever is under way.
func (d *Desk) Abort(tenant decouple.TenantID, id string, by decouple.Actor) (string, error) {
	d.mu.Lock()
	if id == "" {
		for one, l := range d.now {
			if l.tenant == tenant {
				id = one
			}
		}
	}
	l := d.now[id]
	d.mu.Unlock()
	if l == nil || l.tenant != tenant {
		return "", decouple.Errorf(decouple.NotFound, "no live drill %sis under way at this node; one at another node ends by itself, or is aborted there", spaced(plain(id)))
	}
	d.abort(id, string(by.Kind)+" "+by.ID+" aborted it")
	return id, nil
}

func spaced(s string) string {
	if s == "" {
		return ""
	}
	return s + " "
}

func (d *Desk) abort(id, why string) {
	d.mu.Lock()
	l := d.now[id]
	delete(d.now, id)
	d.mu.Unlock()
	if l != nil {
		l.abort(why)
		d.Gateway.EndDrill(l)
	}
}

// Close aborts what is under way and waits until its results are kept.
func (d *Desk) Close() {
	d.mu.Lock()
	d.close = true
	for _, l := range d.now {
		l.abort("the node ended")
	}
	d.mu.Unlock()
	d.work.Wait()
}
