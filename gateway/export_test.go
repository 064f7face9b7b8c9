package gateway

// Drained is how many answers are read to their end for callers who have gone.
func (g *Gateway) Drained() int { return len(g.drains) }

// Checks are the places where contracts are enforced, by name.
var Checks = map[string]check{
	"none": none, "choice": atChoice, "attempt": atAttempt, "hedge": atHedge, "memory": atMemory, "dial": atDial, "unread": whenUnread, "chain": atChain,
}

// Omit leaves one of the checks out.
func (g *Gateway) Omit(name string) { g.omit = Checks[name] }

// Choose is the step of a call that finds the endpoints which may take it, and says how many there are.
func (g *Gateway) Choose(who Caller, model string) (int, error) {
	c := g.blank(who)
	c.asked = model
	err := c.choose()
	return len(c.need.Endpoints), err
}

// Unjudged is how many endpoints were about to be asked that nobody had judged.
func (g *Gateway) Unjudged() int64 { return g.unjudged.Load() }

// Wishers is how many needs have what they prefer remembered.
func (b *Behind) Wishers() int {
	n := 0
	b.known.Range(func(any, any) bool { n++; return true })
	return n
}
