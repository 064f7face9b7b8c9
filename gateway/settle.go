package gateway

import (
	"context"
	"net/http"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/dialect"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/meter"
)

// spending is what an attempt is likely to be billed for.
type spending struct {
	usage  decouple.Usage
	source ledger.Source
	priced bool
	billed bool
}

const (
	// fastest is more tokens a second than any endpoint writes: what one can have written since a time is less.
	fastest = 3000
	// unread is how many tokens an endpoint may have written that had not come here yet, or writes until it learns that it was hung up on.
	unread = 1000
	// defaultOut is the limit of an answer whose request and model name none.
	defaultOut = 8192
)

// ceiling is the most that a call can use at an endpoint.
func (c *call) ceiling(ep *endpoint) (ledger.Amount, bool) {
	if ep.Provider == providerBuiltin {
		return ledger.Amount{Tokens: c.sketch.TokensIn + c.maxOut(ep)}, true
	}
	out := c.maxOut(ep) * int64(max(c.sketch.Answers, 1))
	a := ledger.Amount{Tokens: c.sketch.TokensIn + out}
	p, ok := c.world.priceAt(ep, c.began)
	if ok {
		a.USD = meter.Ceiling(*p, ep.Region, c.sketch.Tier, decouple.Usage{TokensIn: c.sketch.TokensIn, TokensOut: out})
	}
	return a, ok
}

// maxOut is the most tokens that an answer can have.
func (c *call) maxOut(ep *endpoint) int64 {
	switch {
	case c.sketch.MaxOut > 0:
		return c.sketch.MaxOut
	case c.embeds:
		return 0
	case ep.model.MaxOut > 0:
		return ep.model.MaxOut
	}
	return defaultOut
}

// reserve sets aside the most that the call can use at whichever endpoint takes it; a budget with too little left refuses the call.
func (c *call) reserve(ctx context.Context) error {
	if c.g.books == nil {
		return nil
	}
	in := ledger.Call{
		ID: c.id, Tenant: c.who.Tenant, Key: c.who.Key, Team: c.who.Team, Agent: c.who.Agent, Run: c.run, Door: c.doorName(), Model: c.asked, Class: c.class, Labels: c.labels,
		Budgets: c.who.Budgets, Rate: c.who.Rate,
	}
	for _, id := range c.need.Endpoints {
		a, priced := c.ceiling(c.world.endpoints[id])
		in.Reserve.USD, in.Reserve.Tokens = max(in.Reserve.USD, a.USD), max(in.Reserve.Tokens, a.Tokens)
		in.Unpriced = in.Unpriced || !priced
	}
	var err error
	c.entry, err = c.g.books.Begin(ctx, in)
	return err
}

// doorName is how the ledger calls the door.
func (c *call) doorName() ledger.Door {
	switch {
	case c.embeds:
		return ledger.Embeddings
	case c.door == "":
		return ledger.Agent
	case c.door == dialect.Chat:
		return ledger.Chat
	case c.door == dialect.Messages:
		return ledger.Messages
	case c.door == dialect.Responses:
		return ledger.Responses
	case c.door == dialect.Generate:
		return ledger.Generate
	}
	return ledger.Converse
}

// enlist notes in the ledger that an endpoint is about to be asked. What attempts before it may have cost stays reserved.
func (c *call) enlist(ctx context.Context, a *attempt) error {
	if c.entry == nil {
		return nil
	}
	var more ledger.Amount
	c.mu.Lock()
	for _, before := range c.attempts {
		if before == a {
			break
		}
		if !before.over || before.spent.billed {
			more, _ = c.ceiling(a.ep)
		}
	}
	c.mu.Unlock()
	return c.entry.Attempt(ctx, string(a.ep.ID), string(a.ep.Model), more)
}

// bill works out what an attempt is likely to be billed.
func (a *attempt) bill() {
	t := a.relay.tally()
	s := spending{usage: t.usage, source: ledger.Reported, priced: true, billed: true}
	switch {
	case a.ep.Provider == providerBuiltin:
		a.spent = s
		return
	case t.reported && a.whole():
	case a.whole():
		s.source = ledger.Estimated
		s.usage = decouple.Usage{TokensIn: a.c.sketch.TokensIn, TokensOut: int64(t.written)/3 + 1, Estimated: true}
	case !a.sent || a.status != 0 && a.status != http.StatusOK: // refused; an error inside a 200 is an answer that broke off
		a.spent = spending{source: ledger.Reported, priced: true}
		return
	default:
		s.source = ledger.Unknown
		s.usage = decouple.Usage{TokensIn: max(a.c.sketch.TokensIn, t.usage.TokensIn), TokensOut: max(a.mayHaveWritten(), t.usage.TokensOut), Estimated: true}
	}
	p, ok := a.c.world.priceAt(a.ep, a.c.began)
	switch s.priced = ok; {
	case ok && s.source == ledger.Reported:
		s.usage.Cost = meter.Cost(*p, a.ep.Region, a.tier(), s.usage)
	case ok: // what the cache took of it is not known, and writing to that may cost more
		s.usage.Cost = meter.Ceiling(*p, a.ep.Region, a.tier(), s.usage)
	}
	a.spent = s
}

// end keeps how an attempt ended, and what it is likely to be billed: that is known from then on, and not when the call is settled much later.
func (a *attempt) end(f *failure) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	a.failed, a.over = f, true
	if !a.c.settled && !a.began.IsZero() {
		a.bill()
	}
}

// whole says that the end of the answer was seen.
func (a *attempt) whole() bool {
	return a.failed == nil || a.failed.what == route.OK || a.failed.what == unchecked || a.failed.what == route.Empty || a.ended.After(a.began) && a.relay.done()
}

// tier is the tier of service that the answer was given in.
func (a *attempt) tier() string {
	if t := a.relay.tally(); t.answer != nil && t.answer.Tier != "" {
		return t.answer.Tier
	}
	return a.c.sketch.Tier
}

// mayHaveWritten is the most that the endpoint can have written for an attempt whose end was not seen.
func (a *attempt) mayHaveWritten() int64 {
	most := a.c.maxOut(a.ep) * int64(max(a.c.sketch.Answers, 1))
	if a.ep.drains || !a.stream {
		return most
	}
	return min(most, unread+int64(time.Since(a.began).Seconds()*fastest))
}

// settle closes the call's account: once, with a line for every endpoint that may charge for it, before the caller has the last byte.
func (c *call) settle(outcome ledger.Outcome) error {
	c.mu.Lock()
	if c.settled {
		c.mu.Unlock()
		return nil
	}
	c.settled = true
	c.mu.Unlock()
	c.took = time.Since(c.began)
	s := ledger.Settlement{Outcome: outcome, Took: c.took, Decision: c.id}
	if w := c.winner.Load(); w != nil && outcome == ledger.OK {
		s.Won = w.n
	}
	for _, a := range c.list() {
		if a.began.IsZero() {
			continue
		}
		if !a.over {
			a.bill()
		}
		if !a.first.IsZero() && s.First == 0 {
			s.First = a.first.Sub(c.began)
		}
		c.used = c.used.Add(a.spent.usage)
		if a.spent.billed {
			s.Lines = append(s.Lines, ledger.Line{Attempt: a.n, Endpoint: string(a.ep.ID), Model: string(a.ep.Model), Usage: a.spent.usage, Source: a.spent.source, Unpriced: !a.spent.priced})
		}
	}
	if c.entry == nil {
		return nil
	}
	c.ruled(&s)
	return c.entry.Settle(s)
}

// outcomeOf is how the ledger calls the end of a call.
func outcomeOf(err error) ledger.Outcome {
	switch decouple.KindOf(err) {
	case "":
		return ledger.OK
	case decouple.Canceled:
		return ledger.Canceled
	}
	return ledger.Failed
}

// reserveNothing opens the account of a call that asks nobody.
func (c *call) reserveNothing(ctx context.Context) error {
	if c.g.books == nil {
		return nil
	}
	var err error
	c.entry, err = c.g.books.Begin(ctx, ledger.Call{ID: c.id, Tenant: c.who.Tenant, Key: c.who.Key, Team: c.who.Team, Agent: c.who.Agent, Door: c.doorName(), Model: c.asked, Class: c.class, Labels: c.labels, Rate: c.who.Rate})
	return err
}
