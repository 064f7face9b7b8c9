package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"decouple.dev/decouple"
)

// writeUpCall is the call that the write-up answers; no model made it.
const writeUpCall decouple.CallID = "writeup"

// Apply folds an event into a state. An unknown kind or version is Internal: a run that a newer program wrote is left alone.
func Apply(s State, e decouple.Event) (State, error) {
	if e.KindVersion != kindVersion {
		return s, decouple.Errorf(decouple.Internal, "run %s has an event %s of version %d; this program knows %d", e.Stream.ID, e.Kind, e.KindVersion, kindVersion)
	}
	p, err := decode(e)
	if err != nil {
		return s, err
	}
	if s.Seq == 0 {
		s.Created = e.Time
	}
	p.apply(&s)
	s.Seq, s.Now = e.Seq, e.Time
	return s, nil
}

// payload is what an event brings. Results that were applied before, when they came back, are not applied twice.
type payload interface {
	kind() decouple.EventKind
	apply(*State)
}

func (created) kind() decouple.EventKind     { return kindCreated }
func (answered) kind() decouple.EventKind    { return kindAnswered }
func (lost) kind() decouple.EventKind        { return kindLost }
func (progress) kind() decouple.EventKind    { return kindReturned }
func (canceled) kind() decouple.EventKind    { return kindCanceled }
func (interrupted) kind() decouple.EventKind { return kindInterrupted }
func (ended) kind() decouple.EventKind       { return kindEnded }
func (started) kind() decouple.EventKind     { return kindStarted }
func (failed) kind() decouple.EventKind      { return kindFailed }
func (doubted) kind() decouple.EventKind     { return kindDoubted }
func (resolved) kind() decouple.EventKind    { return kindResolved }
func (asked) kind() decouple.EventKind       { return kindAsked }
func (decided) kind() decouple.EventKind     { return kindDecided }
func (timed) kind() decouple.EventKind       { return kindTimed }
func (signaled) kind() decouple.EventKind    { return kindSignaled }
func (input) kind() decouple.EventKind       { return kindInput }
func (compacted) kind() decouple.EventKind   { return kindCompacted }

func decode(e decouple.Event) (payload, error) {
	switch e.Kind {
	case kindCreated:
		return as[created](e)
	case kindAnswered:
		return as[answered](e)
	case kindLost:
		return as[lost](e)
	case kindReturned:
		return as[progress](e)
	case kindCanceled:
		return as[canceled](e)
	case kindInterrupted:
		return as[interrupted](e)
	case kindEnded:
		return as[ended](e)
	case kindStarted:
		return as[started](e)
	case kindFailed:
		return as[failed](e)
	case kindDoubted:
		return as[doubted](e)
	case kindResolved:
		return as[resolved](e)
	case kindAsked:
		return as[asked](e)
	case kindDecided:
		return as[decided](e)
	case kindTimed:
		return as[timed](e)
	case kindSignaled:
		return as[signaled](e)
	case kindInput:
		return as[input](e)
	case kindHeld:
		return as[held](e)
	case kindLifted:
		return as[lifted](e)
	case kindCompacted:
		return as[compacted](e)
	}
	return nil, decouple.Errorf(decouple.Internal, "run %s has an event of the kind %s, which this program does not know", e.Stream.ID, e.Kind)
}

func as[P payload](e decouple.Event) (payload, error) {
	var p P
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return nil, decouple.Errorf(decouple.Internal, "the payload of %s (%s, number %d) cannot be read: %w", e.Kind, e.Stream, e.Seq, err)
	}
	return p, nil
}

func (p created) apply(s *State) {
	s.Run, s.Label, s.Call, s.Envelope, s.Price = p.Run, p.Label, p.Call, p.Envelope, p.Price
	s.By, s.From, s.Session = p.By, p.From, p.Session
	s.lead(p.Led...)
	s.used.Agents = 1
	if p.Session == "" {
		s.say(decouple.Text(decouple.User, taskText(p.Task)))
	}
	s.reserve(p.Reserve)
}

// taskText is what the model reads of a task: a text as it stands, anything else as JSON.
func taskText(task json.RawMessage) string {
	var text string
	if json.Unmarshal(task, &text) == nil {
		return text
	}
	return string(task)
}

func (p progress) apply(s *State) {
	s.applyResults(p.Results)
	s.applyNext(p)
}

// applyNext takes what an event says of what follows: children, the end of the search, the new reservation.
func (s *State) applyNext(p progress) {
	s.applySpawned(p.Spawned)
	s.takeInput(p.Input)
	if p.Wrap != nil {
		s.wrap = *p.Wrap
	}
	s.reserve(p.Reserve)
}

func (s *State) reserve(a *account) {
	if a != nil {
		s.reserved = *a
	}
}

// say adds a message to the conversation and to the hash of it.
func (s *State) say(m decouple.Message) {
	s.Messages = append(s.Messages, m)
	b, err := json.Marshal(m)
	if err != nil {
		b = []byte(err.Error()) // cannot happen: what was decoded can be encoded
	}
	s.prefix = sha256.Sum256(append(s.prefix[:], b...))
	s.bytes += len(b)
}

// applyAnswer takes the model's message, settles its call, and opens the tool calls in it.
func (p answered) apply(s *State) {
	s.applyResults(p.Results)
	s.Steps = p.Step
	s.gate = nil
	s.final = p.Final
	s.Usage = s.Usage.Add(p.Usage)
	s.used = s.used.plus(account{USD: p.Usage.Cost, Tokens: p.Usage.TokensIn + p.Usage.TokensOut})
	s.reserved = account{}
	if p.Finish == decouple.FinishLength {
		s.short = fmt.Sprintf("the model's answer in step %d was cut at its longest", p.Step)
	}
	s.say(p.Message)
	for i, c := range p.Message.Calls() {
		key := c.Name + " " + string(c.Args)
		r := CallRecord{ID: callID(p.Step, i), ModelID: c.ID, Name: c.Name, Args: c.Args, same: s.made[key]}
		if i < len(p.Effects) {
			r.Effect = p.Effects[i]
		}
		s.Calls = append(s.Calls, r)
		if s.made == nil {
			s.made = map[string]int{}
		}
		s.made[key]++
	}
	s.applyNext(p.progress)
}

func callID(step, i int) decouple.CallID { return decouple.CallID(fmt.Sprintf("%d/%d", step, i+1)) }

func (p lost) apply(s *State) {
	s.applyResults(p.Results)
	s.settle(p.Settled)
	s.applyNext(p.progress)
}

// settle counts what a call without a recorded outcome may have used.
func (s *State) settle(a account) {
	s.Lost = s.Lost.plus(a)
	s.used = s.used.plus(a)
	s.reserved = account{}
}

func (p canceled) apply(s *State) {
	s.stop = &p
	if !strings.HasPrefix(p.By, byRun) {
		s.lead(p.By) // the parent is told why
	}
}

func (interrupted) apply(*State) {}

func (s *State) applySpawned(children []spawned) {
	for _, c := range children {
		s.Children = append(s.Children, Child{ID: c.Child, Call: c.Call, Grant: c.Grant})
		s.lent = s.lent.plus(c.Grant)
		if c.Call == writeUpCall {
			s.writing = true
		}
		if r := s.record(c.Call); r != nil {
			r.Child = c.Child
		}
	}
}

// applyResults closes calls, and when the last open one of an answer is closed, says all results in the order of the calls.
func (s *State) applyResults(results []result) {
	if len(results) == 0 {
		return
	}
	for _, r := range results {
		if r.Child != nil {
			s.join(*r.Child)
		}
		rec := s.record(r.Call)
		if rec == nil || rec.Outcome != nil {
			continue
		}
		rec.Outcome = &decouple.Outcome{Text: r.Text, Error: r.Error, Found: r.Found}
		rec.close(r)
		s.takeSignal(r.Signal)
		if r.Child == nil && r.Refused == "" {
			s.used.Tools++
		}
		if r.Refused == refusedLimit {
			s.short = r.Text
		}
		s.looked = s.looked || r.Found != nil || r.Refused == refusedRepeat
		s.fresh = s.remember(r.Found) || s.fresh
	}
	s.sayResults()
}

// remember adds names to what was found, and says whether any is new.
func (s *State) remember(names []string) bool {
	fresh := false
	for _, n := range names {
		if s.found[n] {
			continue
		}
		if !fresh {
			s.found = maps.Clone(s.found)
			if s.found == nil {
				s.found = map[string]bool{}
			}
		}
		fresh, s.found[n] = true, true
	}
	return fresh
}

// sayResults puts the results of an answer into the conversation once all are there, and counts whether they brought anything new.
func (s *State) sayResults() {
	if s.open == len(s.Calls) {
		return
	}
	var parts []decouple.Part
	for _, r := range s.Calls[s.open:] {
		if r.Outcome == nil {
			return
		}
		parts = append(parts, decouple.Part{Result: &decouple.ToolResult{ID: r.ModelID, Name: r.Name, Text: r.Outcome.Text, Error: r.Outcome.Error}})
	}
	s.open = len(s.Calls)
	s.say(decouple.Message{Role: decouple.ToolRole, Parts: parts})
	switch {
	case s.fresh:
		s.barren = 0
	case s.looked:
		s.barren++
	}
	s.fresh, s.looked = false, false
}

// join settles a child that has ended.
func (s *State) join(j joined) {
	for i := range s.Children {
		c := &s.Children[i]
		if c.ID != j.Child || c.End != nil {
			continue
		}
		c.End = &j
		s.lead(j.Led...)
		s.lent = s.lent.minus(c.Grant)
		s.used = s.used.plus(j.Used)
		s.hold(j.Held)
		if j.Cause.Kind == decouple.CauseExhausted {
			s.short = fmt.Sprintf("%s: %s", j.Child, j.Cause.Why)
		}
		if c.Call == writeUpCall && j.Cause.Kind == decouple.CauseDone {
			s.Answer = j.Answer
		}
	}
}

func (p ended) apply(s *State) {
	s.applyResults(p.Results)
	s.applyNext(p.progress)
	if p.Settled != nil {
		s.settle(*p.Settled)
	}
	s.Cause, s.Answer, s.reserved = p.Cause, p.Answer, account{}
}

func (s *State) record(id decouple.CallID) *CallRecord {
	for i := len(s.Calls) - 1; i >= 0; i-- {
		if s.Calls[i].ID == id {
			return &s.Calls[i]
		}
	}
	if s.gate != nil && s.gate.ID == id {
		return s.gate
	}
	return nil
}

func (s *State) prefixHash() string { return hex.EncodeToString(s.prefix[:8]) }
