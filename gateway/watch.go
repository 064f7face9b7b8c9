package gateway

import (
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/gateway/route"
)

// Watcher is told of every call that has ended. It must not block, and keeps nothing of what it is given.
type Watcher interface {
	Called(f *Facts)
}

// Tracer says which span an attempt is, before it begins: endpoints are told so, and the Watcher makes the span of it when the call has ended.
type Tracer interface {
	// Traceparent is the W3C trace context of an attempt: the n-th, from 1, of the call with an id, whose caller gave parent, or nothing.
	Traceparent(call, parent string, n int) string
}

// turnedAway tells whoever watches of a request that was refused before it was a call: there is nothing of it but a door and the kind of error.
func (v *visit) turnedAway(err error) {
	if v.told || v.g.cfg.Watch == nil {
		return
	}
	c := call{door: v.door}
	v.g.cfg.Watch.Called(&Facts{Door: c.doorName(), Tenant: v.who.Tenant, Key: v.who.Key, Kind: decouple.KindOf(err)})
}

// Facts are what is counted of a call: nothing that the caller or the model said.
type Facts struct {
	ID       string // empty of a request that was refused at the door
	Tenant   decouple.TenantID
	Key      string
	Team     string
	Agent    decouple.AgentName
	Door     ledger.Door
	Asked    string
	Class    string
	Labels   []string
	Stream   bool
	Parent   string // W3C trace context, as it came
	Began    time.Time
	Took     time.Duration
	Usage    decouple.Usage
	Kind     decouple.Kind // of the error; empty is an answer
	Cache    string
	Attempts []AttemptFacts
}

// AttemptFacts are what is counted of an attempt.
type AttemptFacts struct {
	N          int // among the call's attempts, from 1
	Endpoint   catalog.EndpointID
	Provider   string
	Cloud      string
	Region     string
	Model      catalog.ModelID
	Name       string // the provider's own for the model
	Answered   string // the model that says it has answered
	Format     string
	Began      time.Time
	FirstToken time.Duration
	Took       time.Duration
	Outcome    route.Kind
	Status     int
	Usage      decouple.Usage
	Finish     decouple.Finish
	Pretended  bool // its failure was feigned by a drill
}

// tellWatcher tells whoever watches that the call has ended.
func (c *call) tellWatcher() {
	if c.g.cfg.Watch != nil {
		c.g.cfg.Watch.Called(c.facts())
	}
	if c.drill != nil {
		c.drill.in.Ended(c.facts())
	}
}

// facts counts a call.
func (c *call) facts() *Facts {
	f := &Facts{
		ID: c.id, Tenant: c.who.Tenant, Key: c.who.Key, Team: c.who.Team, Agent: c.who.Agent, Door: c.doorName(), Asked: c.asked, Class: c.class, Labels: c.labels, Stream: c.stream, Parent: c.parent,
		Began: c.began, Took: c.took, Usage: c.used, Kind: c.outcome, Cache: c.status,
	}
	for _, a := range c.list() {
		if a.began.IsZero() {
			continue
		}
		t := a.relay.tally()
		af := AttemptFacts{
			N: a.n, Endpoint: a.ep.ID, Provider: a.ep.Provider, Cloud: a.ep.Cloud, Region: a.ep.Region, Model: a.ep.Model, Name: a.ep.Name, Answered: t.model, Format: string(a.ep.format),
			Began: a.began, Took: a.ended.Sub(a.began), Outcome: route.OK, Usage: a.spent.usage, Finish: t.finish, Pretended: a.feigned,
		}
		if !a.first.IsZero() {
			af.FirstToken = a.first.Sub(a.began)
		}
		if a.failed != nil {
			af.Outcome = a.failed.what
			if a.failed.fault != nil {
				af.Status = a.failed.fault.Status
			}
		}
		f.Attempts = append(f.Attempts, af)
	}
	return f
}
