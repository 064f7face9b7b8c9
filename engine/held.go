package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/placement"
)

// The kinds of event by which contracts stop a run and let it go on. What people decide on it is approval.decided.
const (
	kindHeld   decouple.EventKind = "contract.held"
	kindLifted decouple.EventKind = "contract.lifted"
)

// ToolModel is how a model call is named among what waits for people. No agent has a tool of this name.
const ToolModel = "model.call"

// held is the payload of contract.held: a call that contracts do not let be made before somebody has signed off their clauses.
type held struct {
	asked
	Step    int      `json:"step,omitempty"`  // of a model call; 0 of a tool call, which Call names
	Model   string   `json:"model,omitempty"` // that the agent names
	Clauses []clause `json:"clauses"`
	Why     string   `json:"why"`
}

// clause is one that people are asked to sign off.
type clause struct {
	ID         string               `json:"id"` // contract/clause
	Reads      placement.Verdict    `json:"reads,omitempty"`
	Text       string               `json:"text,omitempty"`
	Confidence placement.Confidence `json:"confidence,omitempty"`
}

// lifted is the payload of contract.lifted: contracts have changed, and nothing holds the call any more.
type lifted struct {
	Call decouple.CallID `json:"call"`
	At   time.Time       `json:"at"`
}

func (held) kind() decouple.EventKind   { return kindHeld }
func (lifted) kind() decouple.EventKind { return kindLifted }

func (p held) apply(s *State) {
	r := s.record(p.Call)
	if p.Step > 0 {
		args, err := json.Marshal(struct {
			Model string `json:"model"`
		}{p.Model})
		if err != nil {
			args = nil // cannot happen: a string always has a form
		}
		s.gate = &CallRecord{ID: p.Call, Name: ToolModel, Args: args}
		r = s.gate
	}
	if r == nil {
		return
	}
	q := p.asked
	r.ask, r.approved, r.verdict, r.clauses, r.heldBy = &q, nil, nil, p.Clauses, p.Why
	if p.Effect != "" {
		r.Effect = p.Effect
	}
	s.checked = p.At
}

func (p lifted) apply(s *State) {
	r := s.record(p.Call)
	if r == nil || r.ask == nil {
		return
	}
	s.wait(r.ask.At, p.At)
	r.ask, r.approved, r.verdict, r.clauses = nil, nil, nil, nil
	if r == s.gate {
		s.gate = nil
	}
}

// signOff takes down the clauses that people have signed off for the run.
func (s *State) signOff(list []clause) {
	for _, c := range list {
		if !slices.Contains(s.signed, c.ID) {
			s.signed = append(slices.Clip(s.signed), c.ID)
		}
	}
}

// signer begins what a run waits for whose call contracts hold.
const signer = "a person who signs off "

// holds says what the call waits for, in words.
func (c *CallRecord) holds() string {
	what := "call " + string(c.ID) + " (" + c.Name + ")"
	if c.Name == ToolModel {
		what = "the next model call"
	}
	ids := make([]string, len(c.clauses))
	for i, k := range c.clauses {
		ids[i] = k.ID
	}
	return signer + strings.Join(ids, ", ") + " for " + what
}

// gated is what a run does whose model call contracts hold; nil is that it may ask the model, for the first time or to see whether they still do.
func (s *State) gated() Effect {
	g := s.gate
	if g == nil {
		return nil
	}
	switch v := g.verdict; {
	case v == nil && !g.ask.Expires.IsZero() && !s.Now.Before(g.ask.Expires):
		return Expire{[]CallRecord{*g}}
	case v == nil && s.Now.Before(s.recheck(g)):
		w := Wait{Contracts: []string{g.holds()}, Wake: s.recheck(g), Why: "a look at whether contracts have changed"}
		if !g.ask.Expires.IsZero() && g.ask.Expires.Before(w.Wake) {
			w.Wake, w.Why = g.ask.Expires, "the end of the time to sign it off"
		}
		return w
	case v == nil || v.Approve:
		return nil
	case v.Expired:
		return s.finish(decouple.Cause{Kind: decouple.CauseFailed, Err: decouple.Denied, Why: "nobody signed it off in time: " + g.heldBy})
	default:
		why := fmt.Sprintf("%s did not sign it off", v.By.ID)
		if v.Why != "" {
			why += " (" + v.Why + ")"
		}
		return s.finish(decouple.Cause{Kind: decouple.CauseFailed, Err: decouple.Denied, Why: why + ": " + g.heldBy})
	}
}

// The shortest and the longest time between two looks at whether contracts still hold a call. It grows with the time that has passed.
const (
	soonLook = 2 * time.Second
	lateLook = 5 * time.Minute
)

// recheck is when it is seen again whether contracts still hold a call: somebody may have signed off its clauses for everybody.
func (s *State) recheck(c *CallRecord) time.Time {
	last := s.checked
	if last.Before(c.ask.At) {
		last = c.ask.At
	}
	return last.Add(min(lateLook, max(soonLook, last.Sub(c.ask.At)/4)))
}

// heldCall sorts a call that contracts hold and nobody has decided on: it waits, and now and then it is seen again whether they still do.
func (p *plan) heldCall(c CallRecord) (wait bool) {
	again := p.s.recheck(&c)
	if !p.s.Now.Before(again) {
		return false
	}
	p.wait.Contracts = append(p.wait.Contracts, c.holds())
	p.wait.Wake = earlier(p.wait.Wake, again)
	p.wait.Why = "a look at whether contracts have changed"
	if !c.ask.Expires.IsZero() && c.ask.Expires.Before(p.wait.Wake) {
		p.wait.Wake, p.wait.Why = c.ask.Expires, "the end of the time to sign off call "+string(c.ID)
	}
	return true
}
