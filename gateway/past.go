package gateway

import (
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/route"
)

// Record is how one call went, and why: what `decouple explain` and GET /api/v1/decisions/{id} show.
type Record struct {
	ID        string             `json:"id"`
	Tenant    decouple.TenantID  `json:"tenant"`
	Key       string             `json:"key,omitempty"`
	Team      string             `json:"team,omitempty"`
	Agent     decouple.AgentName `json:"agent,omitempty"`
	Run       decouple.RunID     `json:"run,omitempty"`
	Asked     string             `json:"asked"` // the model or alias, as the caller named it
	Format    string             `json:"format,omitempty"`
	Class     string             `json:"class,omitempty"`
	Labels    []string           `json:"labels,omitempty"`
	Stream    bool               `json:"stream,omitempty"`
	Strategy  catalog.Strategy   `json:"strategy"`
	Began     time.Time          `json:"began"`
	Took      time.Duration      `json:"took_ns"`
	Decisions []route.Decision   `json:"decisions"` // the first, and one for every further attempt
	Attempts  []Attempt          `json:"attempts"`
	Chosen    catalog.EndpointID `json:"chosen,omitempty"` // who answered
	Cache     string             `json:"cache,omitempty"`  // hit or shared: nobody was asked
	Usage     decouple.Usage     `json:"usage"`
	Outcome   decouple.Kind      `json:"outcome,omitempty"` // the kind of error; empty is an answer
	Why       string             `json:"why,omitempty"`
}

// Attempt is one call of one endpoint.
type Attempt struct {
	Endpoint   catalog.EndpointID `json:"endpoint"`
	Began      time.Time          `json:"began"`
	FirstToken time.Duration      `json:"first_token_ns,omitempty"`
	Took       time.Duration      `json:"took_ns"`
	Outcome    route.Kind         `json:"outcome"`
	Status     int                `json:"status,omitempty"`
	Why        string             `json:"why,omitempty"`
	Usage      decouple.Usage     `json:"usage"`
	Source     string             `json:"source,omitempty"` // of the usage: reported, estimated, unknown
}

// keptRecords is how many calls a node can explain.
const keptRecords = 20_000

// past keeps the newest records.
type past struct {
	mu    sync.Mutex
	ring  [keptRecords]*Record
	next  int
	place map[string]int
}

func newPast() *past { return &past{place: make(map[string]int, keptRecords)} }

func (p *past) add(r *Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.ring[p.next]; old != nil {
		delete(p.place, old.ID)
	}
	p.ring[p.next] = r
	p.place[r.ID] = p.next
	p.next = (p.next + 1) % keptRecords
}

// keep remembers a call that has ended, without what the caller and the model said.
func (g *Gateway) keep(c *call) { g.past.add(c.record()) }

// Explain says how a call of a tenant went, and why.
func (g *Gateway) Explain(tenant decouple.TenantID, id string) (Record, error) {
	g.past.mu.Lock()
	defer g.past.mu.Unlock()
	at, ok := g.past.place[id]
	if !ok || g.past.ring[at].Tenant != tenant {
		return Record{}, decouple.Errorf(decouple.NotFound, "there is no decision %s at this node, which remembers its last %d: ask the node that made it, named in x-decouple-node", id, keptRecords)
	}
	return *g.past.ring[at], nil
}

// Recent lists the newest calls of a tenant, newest first.
func (g *Gateway) Recent(tenant decouple.TenantID, limit int) []Record {
	g.past.mu.Lock()
	defer g.past.mu.Unlock()
	out := []Record{}
	for i := 1; i <= keptRecords && len(out) < limit; i++ {
		r := g.past.ring[(g.past.next-i+keptRecords)%keptRecords]
		if r == nil {
			break
		}
		if r.Tenant == tenant {
			out = append(out, *r)
		}
	}
	return out
}

// record writes a call down.
func (c *call) record() *Record {
	r := &Record{
		ID: c.id, Tenant: c.who.Tenant, Key: c.who.Key, Team: c.who.Team, Agent: c.who.Agent, Run: c.run, Asked: c.asked, Format: string(c.door), Class: c.class, Labels: c.labels,
		Stream: c.stream, Strategy: c.alias.Strategy, Began: c.began, Took: c.took, Decisions: c.decisions, Cache: c.status, Usage: c.used, Outcome: c.outcome, Why: c.why,
	}
	attempts := c.list()
	r.Attempts = make([]Attempt, 0, len(attempts))
	for _, a := range attempts {
		r.Attempts = append(r.Attempts, a.summary())
		if a.failed == nil {
			r.Chosen = a.ep.ID
		}
	}
	return r
}

// summary writes an attempt down.
func (a *attempt) summary() Attempt {
	s := Attempt{Endpoint: a.ep.ID, Began: a.began, Took: a.ended.Sub(a.began), Outcome: route.OK, Usage: a.spent.usage, Source: string(a.spent.source)}
	if !a.first.IsZero() {
		s.FirstToken = a.first.Sub(a.began)
	}
	if a.failed != nil {
		s.Outcome, s.Why = a.failed.what, a.failed.said
		if a.failed.fault != nil {
			s.Status = a.failed.fault.Status
		}
	}
	return s
}
