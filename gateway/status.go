package gateway

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/dialect"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/meter"
)

// Inventory is what a gateway can reach, and what an operator should know of it.
type Inventory struct {
	Endpoints []EndpointStatus     `json:"endpoints"`
	PricesOf  time.Time            `json:"prices_of,omitzero"` // date of the newest price data
	Stale     bool                 `json:"prices_stale,omitempty"`
	Retiring  []catalog.Retirement `json:"retiring,omitempty"` // within 90 days
}

// EndpointStatus is an endpoint, what is known of it now, and what it costs.
type EndpointStatus struct {
	ID       catalog.EndpointID `json:"id"`
	Provider string             `json:"provider"`
	Account  string             `json:"account"`
	Cloud    string             `json:"cloud,omitempty"`
	Region   string             `json:"region,omitempty"`
	Model    catalog.ModelID    `json:"model"`
	Name     string             `json:"name"` // the provider's own for the model
	Format   string             `json:"format,omitempty"`
	Host     string             `json:"host"`
	Local    bool               `json:"local"` // text stays on this machine
	Secure   bool               `json:"secure"`
	Health   route.Health       `json:"health"`
	Limits   catalog.Limits     `json:"limits"`
	Priced   bool               `json:"priced"` // an unknown price is not zero
	In       decouple.Money     `json:"in_nano_usd"`
	Out      decouple.Money     `json:"out_nano_usd"`
	Source   string             `json:"price_source,omitempty"`
	Labels   []string           `json:"labels,omitempty"`
	Retires  time.Time          `json:"retires,omitzero"`
}

// Inventory lists the endpoints by id, with their health and prices.
func (g *Gateway) Inventory() Inventory {
	now := time.Now()
	g.mu.Lock()
	health := g.router.Snapshot(now)
	w := g.world.Load()
	g.mu.Unlock()
	out := Inventory{Endpoints: []EndpointStatus{}, PricesOf: w.catalog.Date, Retiring: w.catalog.Retiring(now, 0)}
	for _, h := range health {
		ep := w.endpoints[h.Endpoint]
		if ep == nil {
			continue
		}
		s := EndpointStatus{
			ID: ep.ID, Provider: ep.Provider, Account: ep.Account, Cloud: ep.Cloud, Region: ep.Region, Model: ep.Model, Name: ep.Name, Format: string(ep.format),
			Host: ep.host(), Local: ep.local(), Secure: ep.target == nil || ep.target.Secure(), Health: h, Limits: ep.Limits, Labels: ep.Labels, Retires: ep.Retires,
		}
		if s.Retires.IsZero() {
			s.Retires = ep.model.Retires
		}
		s.In, s.Out, s.Source, s.Priced = w.list(ep, now)
		out.Endpoints = append(out.Endpoints, s)
	}
	_, stale := w.catalog.Stale(now, 0)
	out.Stale = stale && slices.ContainsFunc(out.Endpoints, func(s EndpointStatus) bool { return !s.Local })
	return out
}

// list is what a million tokens cost at an endpoint in a short call.
func (w *world) list(ep *endpoint, at time.Time) (in, out decouple.Money, source string, ok bool) {
	p, ok := w.catalog.PriceOf(ep.Endpoint, at)
	if !ok {
		return 0, 0, "", false
	}
	const few, times = 1000, 1000
	return meter.Cost(p, ep.Region, "", decouple.Usage{TokensIn: few}) * times, meter.Cost(p, ep.Region, "", decouple.Usage{TokensOut: few}) * times, p.Source, true
}

// Trial is what came of asking one endpoint for a few tokens.
type Trial struct {
	Endpoint   catalog.EndpointID `json:"endpoint"`
	OK         bool               `json:"ok"`
	FirstToken time.Duration      `json:"first_token_ns,omitempty"`
	Took       time.Duration      `json:"took_ns"`
	Usage      decouple.Usage     `json:"usage"`
	Source     string             `json:"source,omitempty"` // of the usage: reported, estimated, unknown
	Priced     bool               `json:"priced"`
	Decision   string             `json:"decision"`
	Kind       decouple.Kind      `json:"kind,omitempty"`  // of the error
	Error      string             `json:"error,omitempty"` // what is wrong, and what to do
	Status     int                `json:"status,omitempty"`
}

// Try asks one endpoint for a few tokens, whatever its breaker says, and tells the router how it went. It is a call like any other: it is paid for, and its usage is kept under
// the caller's name. NotFound says that there is no such endpoint; what the endpoint does wrong is in the trial.
func (g *Gateway) Try(ctx context.Context, who Caller, id catalog.EndpointID) (Trial, error) {
	c := g.blank(who)
	ep := c.world.endpoints[id]
	if ep == nil {
		return Trial{}, decouple.Errorf(decouple.NotFound, "there is no endpoint %s: `decouple endpoints ls` lists them", id)
	}
	var out outlet
	if err := c.tiny(ep); err != nil {
		return Trial{}, err
	}
	if c.embeds {
		out = nowhere{c}
	}
	if err := c.choose(); err != nil {
		return Trial{}, err
	}
	c.deadline = c.began.Add(trialTime)
	err := c.reserve(ctx)
	if err == nil {
		a := c.attempt(id, out)
		c.enrol(a)
		g.mu.Lock()
		g.router.Begin(c.id, id, c.need, time.Now())
		g.mu.Unlock()
		if _, f := c.ask(ctx, a); f != nil {
			err = f.err()
		}
		if settled := c.settle(outcomeOf(err)); err == nil {
			err = settled
		}
	}
	if err != nil {
		c.outcome, c.why = decouple.KindOf(err), err.Error()
	}
	if c.took = time.Since(c.began); g.cfg.Watch != nil {
		g.cfg.Watch.Called(c.facts())
	}
	t := Trial{Endpoint: id, OK: err == nil, Took: c.took, Usage: c.used, Decision: c.id}
	_, _, _, t.Priced = c.world.list(ep, c.began)
	g.keep(c)
	for _, a := range c.list() {
		s := a.summary()
		t.FirstToken, t.Source, t.Status = s.FirstToken, s.Source, s.Status
	}
	if err != nil {
		t.Kind, t.Error = decouple.KindOf(err), err.Error()
	}
	return t, nil
}

const (
	trialTime   = 30 * time.Second
	trialTokens = 256 // models that think write more than they show
)

// tiny makes a call the smallest that an endpoint can answer.
func (c *call) tiny(ep *endpoint) error {
	c.asked = string(ep.ID)
	if can := ep.model.Can; len(can) > 0 && !slices.Contains(can, catalog.Converses) && slices.Contains(can, catalog.Embeds) {
		body, err := json.Marshal(struct {
			Model string `json:"model"`
			Input string `json:"input"`
		}{c.asked, "ping"})
		if err != nil {
			return err
		}
		c.door, c.embeds, c.in = dialect.Chat, true, dialect.Inbound{Body: body}
		c.sketch, err = dialect.SketchOf(dialect.Chat, c.in)
		return err
	}
	req := decouple.Request{Model: c.asked, MaxTokens: trialTokens, Messages: []decouple.Message{decouple.Text(decouple.User, "Answer with the word ready.")}}
	c.parsed, c.sketch, c.tell = &req, sketchOf(req), func(dialect.Event) {}
	return nil
}

// nowhere is the outlet of a call whose answer nobody wants.
type nowhere struct{ c *call }

func (o nowhere) begin(a *attempt, _ bool, _ int) error {
	if !o.c.win(a) {
		return errBeaten
	}
	return nil
}

func (nowhere) write([]byte) error { return nil }
