package gateway

import (
	"context"
	"strconv"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/dialect"
	"decouple.dev/decouple/meter"
)

// Agents is the door for agents of this process: the engine's model.
type Agents struct {
	Gateway *Gateway
	Model   string // asked whatever an agent names; empty asks what it names
	Default string // asked where an agent names nothing
}

// asks says which model is asked for.
func (m Agents) asks(named string) string {
	switch {
	case m.Model != "":
		return m.Model
	case named != "":
		return named
	}
	return m.Default
}

// Answer asks for the next message. Whatever breaks on the way, an answer that comes is whole; the usage of the answer holds what attempts that failed have used, too. With an
// error the answer holds nothing but that usage.
func (m Agents) Answer(ctx context.Context, req decouple.Request) (decouple.Answer, error) {
	g := m.Gateway
	c := g.blank(Caller{Tenant: req.For.Tenant, Key: "agents", Team: req.For.Team, Agent: req.For.Agent, Actor: decouple.Actor{Kind: decouple.ActorAgent, ID: string(req.For.Agent)}, Labels: req.For.Labels, Priority: req.For.Priority})
	c.class, c.run, c.starter, c.asked, c.signed = req.For.Class, req.Run, req.For.Caller, m.asks(req.Model), req.For.Signed
	c.id = "dec_" + string(req.Run) + "_" + strconv.Itoa(req.Step) + "_" + c.answerID[:6]
	c.parsed = &req
	c.sketch = sketchOf(req)
	c.sketch.User = string(req.Run)
	told := req.Tokens
	c.tell = func(e dialect.Event) {
		if e.Kind == dialect.TextDelta && told != nil {
			told(e.Text)
		}
	}
	c.restart = func() {
		if told != nil {
			told("")
		}
	}
	if err := c.choose(); err != nil {
		return decouple.Answer{}, err
	}
	if at, ok := ctx.Deadline(); ok && at.Before(c.deadline) {
		c.deadline = at
		c.need.Deadline = at
	}
	err := c.live(ctx, nil)
	answer := c.answer
	g.keep(c)
	if err != nil || answer == nil {
		return decouple.Answer{Usage: c.used}, err
	}
	answer.Usage = c.used
	if answer.Model == "" {
		answer.Model = c.asked
	}
	return *answer, nil
}

// Price is the highest that a call of a model can cost, per million tokens, whichever endpoint takes it.
func (m Agents) Price(named string) decouple.Price {
	g := m.Gateway
	w := g.world.Load()
	alias, err := w.catalog.Resolve(m.asks(named))
	if err != nil {
		return decouple.Price{}
	}
	top := decouple.Price{Known: true, Local: true}
	for _, id := range w.catalog.Members(alias) {
		ep := w.catalog.Endpoints[id]
		if ep.Provider == providerBuiltin {
			continue
		}
		top.Local = false
		in, out, ok := highest(w.catalog, ep)
		top.Known = top.Known && ok
		top.In, top.Out = max(top.In, in), max(top.Out, out)
	}
	return top
}

// highest is the dearest price of an endpoint, for a million tokens of whichever sort.
func highest(cat *catalog.Catalog, ep catalog.Endpoint) (in, out decouple.Money, ok bool) {
	p, ok := cat.PriceOf(ep, time.Now())
	const million = 1_000_000
	return meter.Ceiling(p, ep.Region, "", decouple.Usage{TokensIn: million}), meter.Ceiling(p, ep.Region, "", decouple.Usage{TokensOut: million}), ok
}

// Describe is a line for people: which model answers, and whether text leaves this machine.
func (m Agents) Describe() string {
	w := m.Gateway.world.Load()
	asked := m.asks("")
	var eps []*endpoint
	if alias, err := w.catalog.Resolve(asked); err == nil {
		for _, id := range w.catalog.Members(alias) {
			eps = append(eps, w.endpoints[id])
		}
	}
	if m.Model == "" {
		asked += " (or as each agent names it)"
	}
	return describe(asked, eps)
}

// sketchOf is what a request of this process asks for. Its tokens are estimated from above, from the bytes of all that the model reads.
func sketchOf(req decouple.Request) dialect.Sketch {
	s := dialect.Sketch{Model: req.Model, Stream: true, MaxOut: req.MaxTokens, Answers: 1, Tools: len(req.Tools) > 0, Shape: req.Format != nil, User: string(req.Run), Tier: req.Tier}
	size := 0
	for _, m := range req.Messages {
		size += 16
		for _, p := range m.Parts {
			size += len(p.Text)
			switch {
			case p.Call != nil:
				size += len(p.Call.Name) + len(p.Call.Args) + 32
			case p.Result != nil:
				size += len(p.Result.Text) + 32
			case p.Thought != nil:
				size += len(p.Thought.Text)
			case p.Media != nil:
				s.Media = true
				size += 8 << 10
			}
		}
	}
	for _, t := range req.Tools {
		size += len(t.Name) + len(t.Description) + len(t.Params) + 64
	}
	s.TokensIn = int64(size)/2 + 64
	return s
}
