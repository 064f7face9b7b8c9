package engine

import (
	"fmt"
	"time"

	"decouple.dev/decouple"
)

const (
	answerTokens  = 4096  // the most that one answer may have
	resultTokens  = 6000  // set aside for the result of a tool that has not been called yet
	messageTokens = 16    // a message's own overhead
	toolTokens    = 200   // the description of a tool
	leastTokens   = 1_000 // the least that an agent can do anything with
)

// rest is what the envelope has left. While searching, a root leaves the write-up share alone. A field without a limit is 0.
func (s *State) rest(searching bool) account {
	e := s.Envelope
	gone := s.used.plus(s.lent).plus(s.reserved)
	var r account
	keep := 0
	if searching {
		keep = s.writeUp()
	}
	if e.USD > 0 {
		r.USD = max(0, e.USD-e.USD*decouple.Money(keep)/100-gone.USD)
	}
	if e.Tokens > 0 {
		r.Tokens = max(0, e.Tokens-e.Tokens*int64(keep)/100-gone.Tokens)
	}
	if e.ToolCalls != 0 {
		r.Tools = max(0, e.ToolCalls-keptCalls(e.ToolCalls, keep)-gone.Tools)
	}
	if e.Agents > 0 {
		kept := int64(min(1, keep)) // the writer
		r.Agents = max(0, e.Agents-kept-gone.Agents)
	}
	return r
}

// writeUp is the percentage that a root with a writer keeps for it.
func (s *State) writeUp() int {
	if s.Run.Parent != "" || s.Agent.Writer == "" {
		return 0
	}
	return s.Envelope.WriteUp
}

// keptCalls is how many of n tool calls are kept for the write-up: its share, rounded up, but never all.
func keptCalls(n int64, percent int) int64 { return max(0, min((n*int64(percent)+99)/100, n-1)) }

// share is what each of n children is granted by default: an equal part of the rest, with one part left for the parent itself. It says
// whether that is enough to do anything.
func (s *State) share(n int) (account, bool) {
	e, parts := s.Envelope, int64(n+1)
	r := s.rest(true)
	g := account{r.USD / decouple.Money(parts), r.Tokens / parts, r.Tools / parts, max(1, r.Agents/int64(n))}
	if e.Agents == 0 {
		g.Agents = 0
	}
	ok := (e.USD == 0 || g.USD > 0) && (e.Tokens == 0 || g.Tokens >= leastTokens) && (e.ToolCalls == 0 || g.Tools > 0) && (e.Agents == 0 || r.Agents >= 1)
	return g, ok
}

// grant is the envelope of a child: its share, and the parent's limits of shape. No tool calls at all are -1, because 0 would be no limit.
func (s *State) grant(p ChildPlan) decouple.Envelope {
	e := s.Envelope
	if e.ToolCalls != 0 && p.Grant.Tools == 0 {
		p.Grant.Tools = -1
	}
	return decouple.Envelope{
		USD: p.Grant.USD, Tokens: p.Grant.Tokens, ToolCalls: p.Grant.Tools, Agents: p.Grant.Agents,
		Depth: e.Depth, Children: e.Children, Steps: e.Steps, Time: e.Time, StepTime: e.StepTime,
	}
}

// need estimates the next model call at its most: the conversation at three bytes a token, and the longest answer that is affordable.
func (s *State) need() (account, int64) {
	in := s.promptTokens()
	out := int64(answerTokens)
	if left := s.left(); s.Envelope.Tokens > 0 {
		out = min(out, max(left.Tokens-in, 256))
	}
	a := account{Tokens: in + out}
	if s.Price.Known {
		a.USD = s.Price.Cost(decouple.Usage{TokensIn: in, TokensOut: out})
	}
	return a, out
}

// left is what a call may use: the rest and what is reserved for it already.
func (s *State) left() account {
	r := s.rest(true)
	if s.Envelope.USD > 0 {
		r.USD += s.reserved.USD
	}
	if s.Envelope.Tokens > 0 {
		r.Tokens += s.reserved.Tokens
	}
	return r
}

func (s *State) promptTokens() int64 {
	return int64(len(s.Agent.Prompt)+s.bytes)/3 + int64(messageTokens*len(s.Messages)+toolTokens*len(s.Agent.Tools)) + 1
}

// covers says whether the envelope has room for need.
func (s *State) covers(need account) bool {
	l := s.left()
	return (s.Envelope.Tokens == 0 || need.Tokens <= l.Tokens) && (s.Envelope.USD == 0 || need.USD <= l.USD)
}

func (s *State) shortfall(need account) string {
	l := s.left()
	if s.Envelope.Tokens > 0 && need.Tokens > l.Tokens {
		return fmt.Sprintf("the next call may need %d tokens and the envelope of %d has %d left for it", need.Tokens, s.Envelope.Tokens, l.Tokens)
	}
	return fmt.Sprintf("the next call may cost %s USD and the envelope of %s has %s left for it", need.USD, s.Envelope.USD, l.USD)
}

// ahead is what an event sets aside for the model call that follows, given that calls open now will bring results of unknown length: as much
// as may be needed, and no more than there is.
func (s *State) ahead(openCalls int) *account {
	need, _ := s.need()
	need.Tokens += int64(openCalls) * resultTokens
	if s.Price.Known {
		need.USD += s.Price.Cost(decouple.Usage{TokensIn: int64(openCalls) * resultTokens})
	}
	l := s.left()
	if s.Envelope.Tokens > 0 {
		need.Tokens = min(need.Tokens, l.Tokens)
	}
	if s.Envelope.USD > 0 {
		need.USD = min(need.USD, l.USD)
	}
	return &need
}

// searchDeadline is when the search must end: a root with a writer keeps the write-up share of its time too.
func (s *State) searchDeadline() time.Time {
	d := s.Run.Deadline
	if g := s.gate; !d.IsZero() && g != nil && g.verdict == nil {
		d = d.Add(max(0, s.Now.Sub(g.ask.At))) // people have their time: the run's stands still
	}
	if d.IsZero() || s.Run.Parent != "" || s.Agent.Writer == "" {
		return d
	}
	return d.Add(-s.Envelope.Time * time.Duration(s.Envelope.WriteUp) / 100)
}
