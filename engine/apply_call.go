package engine

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"time"

	"decouple.dev/decouple"
)

// close notes what a result says of the call itself.
func (c *CallRecord) close(r result) {
	c.Ended, c.Blob, c.Size, c.Refused = r.At, r.Blob, r.Size, r.Refused
	c.Attempts = max(c.Attempts, r.Attempt)
	if r.Effect != "" {
		c.Effect = r.Effect
	}
	if r.Query != "" {
		c.Resolved = "the tool " + r.Query
	}
	c.Retry, c.Doubted = time.Time{}, time.Time{}
}

func (p started) apply(s *State) {
	for _, c := range p.Calls {
		if r := s.record(c.Call); r != nil {
			r.Effect, r.Attempts, r.Started, r.over = c.Effect, c.Attempt, c.At, c.Until
		}
	}
}

func (p failed) apply(s *State) {
	if r := s.record(p.Call); r != nil {
		r.Attempts, r.Retry, r.failure, r.Started = p.Attempt, p.Retry, p.Why, time.Time{}
		if p.Effect != "" {
			r.Effect = p.Effect
		}
	}
}

func (p doubted) apply(s *State) {
	if r := s.record(p.Call); r != nil && r.Outcome == nil {
		r.Doubted, r.doubt = p.At, p.Why
	}
}

func (p resolved) apply(s *State) {
	r := s.record(p.Call)
	if r == nil || r.Outcome != nil || r.Started.IsZero() {
		return // settled meanwhile
	}
	if !r.Doubted.IsZero() {
		s.wait(r.Doubted, p.At)
	}
	r.Resolved = string(p.By.Kind) + " " + p.By.ID
	if p.Redo {
		r.Started, r.Doubted = time.Time{}, time.Time{}
		return
	}
	s.applyResults([]result{{Call: p.Call, Text: p.Text, Error: p.Failed, Effect: r.Effect, Attempt: r.Attempts, At: p.At}})
}

func (p asked) apply(s *State) {
	if r := s.record(p.Call); r != nil {
		r.ask, r.approved, r.verdict, r.clauses = &p, nil, nil, nil
		if p.Effect != "" {
			r.Effect = p.Effect
		}
	}
}

// apply counts a decision. What is decided on something else than what was asked, or after the last word, changes nothing.
func (p decided) apply(s *State) {
	r := s.record(p.Call)
	if r == nil || r.ask == nil || r.verdict != nil || r.ask.Hash != p.Hash && !p.Expired {
		return
	}
	if p.Approve {
		if !slices.Contains(r.approved, p.By.ID) {
			r.approved = append(slices.Clip(r.approved), p.By.ID)
		}
		if !r.ask.met(r.approved) {
			return
		}
	}
	r.verdict = &p
	if p.Approve {
		s.signOff(r.clauses)
	}
	s.wait(r.ask.At, p.At)
}

// met says whether every rule has its quorum.
func (p asked) met(by []string) bool {
	for _, rule := range p.Rules {
		n := 0
		for _, who := range by {
			if rule.allows(who) {
				n++
			}
		}
		if n < rule.Quorum {
			return false
		}
	}
	return true
}

func (r askedRule) allows(who string) bool { return len(r.By) == 0 || slices.Contains(r.By, who) }

func (p timed) apply(s *State) {
	if r := s.record(p.Call); r != nil {
		r.timer = &p
	}
}

func (p signaled) apply(s *State) {
	s.signals = append(slices.Clip(s.signals), p)
	s.lead(p.By.ID)
}

// lead remembers whose words the run acts on.
func (s *State) lead(ids ...string) {
	for _, id := range ids {
		if id != "" && !slices.Contains(s.led, id) {
			s.led = append(slices.Clip(s.led), id)
		}
	}
}

// takeSignal removes the signal that a result has brought.
func (s *State) takeSignal(id string) {
	if id != "" {
		s.signals = slices.DeleteFunc(slices.Clone(s.signals), func(g signaled) bool { return g.ID == id })
	}
}

func (p input) apply(s *State) {
	if !p.Rejected {
		s.inputs = append(slices.Clip(s.inputs), p)
		s.lead(p.By.ID)
	}
}

// takeInput removes the input that a turn of a session has taken.
func (s *State) takeInput(id string) {
	if id == "" {
		return
	}
	s.turns++
	s.inputs = slices.DeleteFunc(slices.Clone(s.inputs), func(in input) bool { return in.ID == id })
}

func (p compacted) apply(s *State) {
	s.elided, s.bytes = p.Before, p.Bytes
	s.prefix = sha256.Sum256(append(s.prefix[:], "compacted "+strconv.Itoa(p.Before)...))
}

// wait moves the deadline by the time that the run waited for people, counted once where it waited for several.
func (s *State) wait(from, to time.Time) {
	if from.Before(s.heldTo) {
		from = s.heldTo
	}
	if to.After(from) {
		s.heldTo = to
		s.hold(to.Sub(from))
	}
}

func (s *State) hold(d time.Duration) {
	s.held += d
	if !s.Run.Deadline.IsZero() {
		s.Run.Deadline = s.Run.Deadline.Add(d)
	}
}

// inherit takes the conversation of the run that this one goes on with; a fork takes its calls and children too.
func (s *State) inherit(o State) {
	own := s.Messages
	s.lead(o.By.ID)
	s.lead(o.led...)
	o.closeOpen(s.From.Fork)
	s.Messages, s.prefix, s.bytes, s.elided = slices.Clip(o.Messages), o.prefix, o.bytes, o.elided
	s.Calls, s.open = o.Calls, len(o.Calls)
	for i := range s.Calls {
		s.Calls[i].Effect = "" // it is in the ledger of the run that made it
	}
	if !s.From.Fork {
		for i := range s.Calls {
			s.Calls[i].ID = decouple.CallID("before/" + string(s.Calls[i].ID)) // not this run's: its own calls are numbered anew
			s.Calls[i].same = 0
		}
		for _, m := range own {
			s.say(m)
		}
		return
	}
	s.Steps, s.Children, s.made, s.found, s.signals = o.Steps, o.Children, o.made, o.found, o.signals
	s.barren, s.fresh, s.looked = o.barren, o.fresh, o.looked
}

// closeOpen answers the calls that were open when a conversation was left, and counts its open children as gone.
func (s *State) closeOpen(fork bool) {
	s.Children = slices.Clone(s.Children)
	for i := range s.Children {
		if s.Children[i].End == nil {
			s.Children[i].End = &joined{Child: s.Children[i].ID, Cause: decouple.Cause{Kind: decouple.CauseCanceled}}
		}
	}
	s.Calls = slices.Clone(s.Calls)
	why := "the turn ended before this call had a result"
	if fork {
		why = "at the point of the fork this call had no result yet"
	}
	var rest []result
	for _, c := range s.Calls[s.open:] {
		if c.Outcome == nil {
			rest = append(rest, result{Call: c.ID, Text: why, Error: true, Refused: refusedFork})
		}
	}
	s.applyResults(rest)
}
