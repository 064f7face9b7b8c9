package gateway

import (
	"slices"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/placement"
)

// Judge says by its contracts whether somebody may do something at a place. A [placement.Policy] is one. Judges are compared: another one is another version.
type Judge interface {
	Judge(n *placement.Need, p *placement.Place) placement.Ruling
}

// Policies gives the contracts in force. It is asked before every call and again before every attempt, so that it must be quick, and must give the same Judge as long as nothing
// has changed.
type Policies interface {
	// Policy is what holds for a tenant now; nil is that it never had a contract. With an error nothing is sent: contracts that cannot be read may forbid it.
	Policy(t decouple.TenantID) (Judge, error)
	// Signed are the clauses that were signed off for one run and a class of work, beside those that are for everybody, which the Judge knows.
	Signed(t decouple.TenantID, run decouple.RunID, class string) ([]string, error)
}

// versioned is a Judge that says which version of the contracts it is.
type versioned interface{ Version() string }

// StatelessAPI is the class of a call at a door whose caller names none: whatever it is for, that is what the call is. Work of agents has the class that their file gives it.
const StatelessAPI = "stateless_api"

// check is a place where contracts are enforced. Tests leave one out to see that it is missed; nobody else can.
type check int

const (
	none       check = iota
	atChoice         // of the endpoints
	atAttempt        // again, when the contracts have changed since
	atHedge          // likewise
	atMemory         // before an answer is given that somebody else was given
	atDial           // the last one, before anything leaves
	whenUnread       // nothing is sent by contracts that cannot be read
	atChain          // labels of earlier responses hold for those that go on from them
)

// policy is what holds for a tenant now.
func (g *Gateway) policy(t decouple.TenantID) (Judge, error) {
	if g.cfg.Policies == nil {
		return nil, nil
	}
	j, err := g.cfg.Policies.Policy(t)
	if err != nil && g.omit != whenUnread {
		return nil, unreadable(err)
	}
	return j, nil
}

// pass says that an endpoint was judged for a call and may be asked, and by which contracts. Only [call.pass] gives one.
type pass struct {
	ep *endpoint // nil opens nothing
	by Judge
}

// pass gives a pass for an endpoint that has been judged for the call.
func (c *call) pass(ep *endpoint) pass {
	if !slices.Contains(c.cleared, ep) {
		return pass{}
	}
	return pass{ep, c.judge}
}

// wanted is the call as contracts see it now, with what is signed off for its run.
func (c *call) wanted(judge Judge) (placement.Need, error) {
	n := placement.Need{Action: placement.CallModel, Class: c.class, Labels: c.labels, Team: c.who.Team, Agent: string(c.who.Agent), Key: c.who.Key, Signed: c.signed}
	if c.run != "" {
		n.Key = c.starter // what it spends is the agents', and what binds whoever started it binds it
	}
	if n.Class == "" && c.run == "" {
		n.Class = StatelessAPI
	}
	if judge != nil && c.run != "" {
		signed, err := c.g.cfg.Policies.Signed(c.who.Tenant, c.run, c.class)
		if err != nil {
			return n, unreadable(err)
		}
		n.Signed = slices.Concat(n.Signed, signed)
	}
	return n, nil
}

// unreadable is what is said where contracts cannot be read.
func unreadable(err error) error {
	return decouple.Errorf(decouple.Unavailable, "the contracts cannot be read, and nothing is sent without them: %w", err)
}

// clear lets an endpoint be asked if the contracts allow it; else it is refused, with the clauses that say so.
func (c *call) clear(ep *endpoint, at check) bool {
	if c.judge != nil && c.g.omit != at {
		if r := c.rule(ep); r.Effect != placement.Go {
			c.bar(ep, r)
			return false
		}
	}
	c.cleared = append(c.cleared, ep)
	return true
}

// bar refuses an endpoint by a ruling.
func (c *call) bar(ep *endpoint, r *placement.Ruling) {
	n := route.Candidate{Endpoint: ep.ID, Verdict: route.Denied, Why: r.Why, Ruling: string(r.Verdict), Clauses: clauseIDs(r.Clauses)}
	if r.Effect == placement.Hold {
		n.Verdict = route.Held
	}
	c.need.Refused = append(c.need.Refused, n)
	if c.barred == nil {
		c.barred = &barred{}
	}
	c.barred.add(ep.ID, r)
}

// again judges the call's endpoints once more if the contracts have changed since. One that was refused stays so: what the call reserved is for those it had.
func (c *call) again() error {
	judge, err := c.g.policy(c.who.Tenant)
	if err != nil || judge == nil || judge == c.judge {
		return err
	}
	want, err := c.wanted(judge) // what was signed off may have been taken back
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	had := c.need.Endpoints
	c.want, c.judge, c.row, c.cleared = want, judge, nil, make([]*endpoint, 0, len(had))
	c.need.Endpoints = make([]catalog.EndpointID, 0, len(had))
	for _, id := range had {
		if c.clear(c.world.endpoints[id], atAttempt) {
			c.need.Endpoints = append(c.need.Endpoints, id)
		}
	}
	return nil
}

// still says whether an endpoint that the router has chosen may be asked now.
func (c *call) still(id catalog.EndpointID, at check) (bool, error) {
	if c.g.cfg.Policies == nil || c.g.omit == at {
		return true, nil
	}
	if err := c.again(); err != nil {
		return false, err
	}
	return slices.Contains(c.need.Endpoints, id), nil
}

// permit is the last check before anything leaves for an endpoint, whichever way led there: it must have been judged for this call, and by the contracts of now it must still be
// allowed. It changes nothing, and attempts of one call may ask it at once.
func (c *call) permit(p pass, ep *endpoint) error {
	if c.g.omit == atDial {
		return nil
	}
	if p.ep != ep {
		c.g.unjudged.Add(1)
		c.g.log.Error("a fault of the gateway: an endpoint was about to be asked that was not judged; please report it", "endpoint", ep.ID, "decision", c.id)
		return &decouple.Error{Kind: decouple.Denied, Msg: "the endpoint " + string(ep.ID) + " was not judged for this call, and is not asked", Err: &barred{}}
	}
	judge, err := c.g.policy(c.who.Tenant)
	if err != nil || judge == nil || judge == p.by {
		return err
	}
	want, err := c.wanted(judge)
	if err != nil {
		return err
	}
	if r := judge.Judge(&want, &ep.place); r.Effect != placement.Go {
		b := &barred{}
		b.add(ep.ID, &r)
		return b.error(c.asked)
	}
	return nil
}

// mayHave says whether the caller may have an answer that came from an endpoint for somebody else.
func (c *call) mayHave(from *endpoint) bool {
	if c.g.cfg.Policies == nil || c.g.omit == atMemory {
		return true
	}
	judge, err := c.g.policy(c.who.Tenant)
	if err != nil || from == nil {
		return false
	}
	return judge == nil || judge.Judge(&c.want, &from.place).Effect == placement.Go
}

// ruled tells the ledger by which contracts the call was judged, and where it might not go.
func (c *call) ruled(s *ledger.Settlement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.judge.(versioned); ok {
		s.Policy = v.Version()
		s.Signed = c.want.Signed
	}
	for i := range c.need.Refused {
		if r := &c.need.Refused[i]; r.Clauses != nil {
			s.Refused = append(s.Refused, ledger.Refused{Endpoint: string(r.Endpoint), Clauses: r.Clauses})
		}
	}
}

// barred says which clauses keep a call from its endpoints: inside the error for people, so that an engine can have somebody sign off what is on hold.
type barred struct {
	first catalog.EndpointID // that was refused
	why   string
	ids   []string
	held  []placement.Cited // of the first endpoint that waits for a sign-off
	where catalog.EndpointID
	what  string
	needs []string
}

func (b *barred) add(id catalog.EndpointID, r *placement.Ruling) {
	if b.first == "" {
		b.first, b.why, b.ids = id, r.Why, clauseIDs(r.Clauses)
	}
	if r.Effect == placement.Hold && b.where == "" {
		b.where, b.what, b.held, b.needs = id, r.Why, r.Clauses, r.Needs
	}
}

// Error is for logs: people read the error around it.
func (b *barred) Error() string { return "contracts do not allow it" }

// Held are the clauses that somebody may sign off, so that the call may be made; none is that nobody can.
func (b *barred) Held() []placement.Cited { return b.held }

// error is what a caller is told.
func (b *barred) error(asked string) error {
	msg := "contracts keep the model " + asked + " from being asked: " + string(b.first) + ": " + b.why + cited(b.why, b.ids)
	if b.where != "" {
		ids := clauseIDs(b.held)
		msg = "the model " + asked + " waits for a person's word: " + string(b.where) + ": " + b.what + cited(b.what, ids)
		if len(b.needs) > 0 {
			msg += "; it needs " + strings.Join(b.needs, ", ")
		}
		if len(ids) > 0 {
			msg += "; sign it off with `decouple contracts sign-off " + ids[0] + "`"
		}
	}
	return &decouple.Error{Kind: decouple.Denied, Msg: msg, Err: b}
}

// cited names those clauses after a sentence that it does not name itself.
func cited(why string, ids []string) string {
	rest := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return strings.Contains(why, id) })
	if len(rest) == 0 {
		return ""
	}
	return " (" + strings.Join(rest, ", ") + ")"
}

// clauseIDs are the names contract/clause of clauses.
func clauseIDs(list []placement.Cited) []string {
	out := make([]string, 0, len(list))
	for i := range list {
		if id := clauseID(&list[i]); !slices.Contains(out, id) { // one may be cited once for each of its readings
			out = append(out, id)
		}
	}
	return out
}

func clauseID(c *placement.Cited) string {
	if c.Contract == "" || strings.HasPrefix(c.ID, c.Contract+"/") {
		return c.ID
	}
	return c.Contract + "/" + c.ID
}
