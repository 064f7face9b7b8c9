package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// commit writes p (or, if it is nil, what rides) and what follows from it at once: children and the park, the end, or the reservation for the next
// model call. It says whether the worker is done with the run.
func (j *job) commit(p payload, eff Effect) (bool, error) {
	ctx := context.WithoutCancel(j.ctx)
	m := &mutation{job: j, ctx: ctx}
	m.Stream, m.Expect, m.Epoch = decouple.RunStream(j.s.Run.Tenant, j.s.Run.ID), j.s.Seq, j.claim.Epoch
	m.Consume = j.consume
	// A park alone appends nothing, so the sequence number does not tell one park from the next: what is drawn here does.
	m.ID = decouple.CommitID(fmt.Sprintf("%s/%d/%d/%s", j.s.Run.ID, j.s.Seq, j.claim.Epoch, rand.Text()[:8]))
	if err := m.build(p, eff); err != nil {
		return false, err
	}
	if m.Status == nil {
		m.status(decouple.RunRunning)
	}
	for _, s := range m.born { // before the commit: a child may be taken up before it returns
		j.warm(s)
	}
	receipt, err := j.Store.Commit(ctx, m.Mutation)
	if decouple.KindOf(err) == decouple.Conflict && m.Status.Status == decouple.RunParked {
		// A message came between reading the inbox and parking: the run stays awake, and whoever claims it next reads it.
		m.status(decouple.RunReady)
		receipt, err = j.Store.Commit(ctx, m.Mutation)
	}
	if err != nil {
		for _, s := range m.born {
			j.chill(s.Run.ID)
		}
		return false, err
	}
	j.riding, j.facts, j.pins, j.claim.Consumed, j.noted = nil, nil, nil, j.consume, true
	j.s.Seq, j.s.Now = receipt.Seq, receipt.Time
	j.s.event = receipt.Event
	m.signals()
	return m.Status.Status != decouple.RunRunning, nil
}

// mutation is a commit in the making. Payloads are folded into the state as they are added: a job whose commit fails drops its state.
type mutation struct {
	journal.Mutation
	*job
	ctx      context.Context
	children []Signal
	born     []*State
	answered bool
}

func (m *mutation) build(p payload, eff Effect) error {
	if _, parks := p.(interrupted); parks {
		m.status(decouple.RunParked)
		m.Status.Wait = decouple.Wait{Kind: decouple.WaitInterrupted}
		m.Consume, m.riding, m.facts, m.pins = m.claim.Consumed, nil, nil, nil // what had come back is asked for again
		m.Status.Seen = max(m.consume, m.claim.Inbox)
		return m.add(p)
	}
	m.Pin = append(m.Pin, m.pins...)
	for _, fact := range m.facts { // folded before what rides
		if err := m.add(fact); err != nil {
			return err
		}
	}
	if p != nil && !carries(p) && len(m.riding) > 0 {
		if err := m.add(progress{Results: m.riding}); err != nil {
			return err
		}
	}
	p = m.carry(p)
	if p != nil {
		p.apply(m.s)
	}
	if _, m.answered = p.(answered); m.answered {
		switch next := Next(m.s).(type) {
		case Spawn, Finish:
			eff = next
		}
	}
	if e, ok := p.(ended); ok {
		return m.end(e, eff.(Finish))
	}
	return m.follow(p, eff)
}

// carry puts what rides into the payload that can hold it; without a payload and something that rides, one is made.
func (m *mutation) carry(p payload) payload {
	if p == nil && len(m.riding) > 0 {
		p = progress{}
	}
	return withProgress(p, func(n *progress) { n.Results = m.riding })
}

// follow adds what comes after p: the children, the end, or the reservation.
func (m *mutation) follow(p payload, eff Effect) error {
	switch eff := eff.(type) {
	case Spawn:
		return m.spawn(p, eff)
	case Finish:
		e := ended{Cause: eff.Cause, Answer: eff.Answer}
		if rides, ok := p.(progress); ok {
			e.progress = rides
		} else if p != nil {
			if err := m.add(p); err != nil {
				return err
			}
		}
		e.apply(m.s)
		return m.end(e, eff)
	case Wait:
		m.park(eff)
		if p == nil {
			return nil
		}
		return m.add(p)
	}
	if p == nil {
		p = progress{}
	}
	if carries(p) {
		p = m.reserve(p)
	}
	return m.add(p)
}

// carries says whether a payload has room for progress.
func carries(p payload) bool {
	switch p.(type) {
	case progress, answered, lost, ended:
		return true
	}
	return false
}

// reserve sets aside what the model call that follows may need; open tool calls before it count with a guess at their results.
func (m *mutation) reserve(p payload) payload {
	open := 0
	switch eff := Next(m.s).(type) {
	case CallModel:
	case CallTools:
		open = len(eff.Calls)
	default:
		return p
	}
	a := m.s.ahead(open)
	m.s.reserved = *a
	return withProgress(p, func(n *progress) { n.Reserve = a })
}

// withProgress changes the progress that a payload carries; one that carries none stays as it is.
func withProgress(p payload, change func(*progress)) payload {
	switch v := p.(type) {
	case progress:
		change(&v)
		return v
	case answered:
		change(&v.progress)
		return v
	case lost:
		change(&v.progress)
		return v
	case ended:
		change(&v.progress)
		return v
	}
	return p
}

// spawn creates children and parks the run until they have ended.
func (m *mutation) spawn(p payload, eff Spawn) error {
	if p == nil {
		p = progress{}
	}
	var next progress
	var ids []decouple.RunID
	for _, plan := range eff.Children {
		a, err := m.lookup(m.ctx, m.s.Run.Tenant, plan.Agent)
		if decouple.KindOf(err) == decouple.Unavailable {
			return err
		}
		if err != nil {
			why := fmt.Sprintf("it spawns the agent %s, which is not here", plan.Agent)
			return m.follow(p, m.s.finish(decouple.Cause{Kind: decouple.CauseFailed, Why: why, Err: decouple.NotFound}))
		}
		if err := m.child(plan, a); err != nil {
			return err
		}
		next.Spawned = append(next.Spawned, spawned{Call: plan.Call, Child: plan.ID, Grant: plan.Grant})
		ids = append(ids, plan.ID)
	}
	next.Wrap, next.Input = eff.Wrap, eff.Children[0].Turn
	m.s.applyNext(next)
	next.Reserve = m.s.ahead(len(ids))
	m.s.reserved = *next.Reserve
	p = withProgress(p, func(n *progress) {
		n.Spawned, n.Wrap, n.Input, n.Reserve = next.Spawned, next.Wrap, next.Input, next.Reserve
	})
	wait, ok := Next(m.s).(Wait) // for the children, and for what else of the answer is open
	if !ok {
		wait = Wait{Children: ids}
	}
	m.park(wait)
	return m.add(p)
}

func (m *mutation) child(plan ChildPlan, a decouple.Agent) error {
	if err := m.keepVersion(m.ctx, m.s.Run.Tenant, a); err != nil {
		return err
	}
	r := m.s.Run
	run := decouple.Run{
		ID: plan.ID, Tenant: r.Tenant, Parent: r.ID, Root: r.Root, Agent: a.Name, Version: a.Version, Class: cmp.Or(a.Class, r.Class), Labels: r.Labels, Team: r.Team, Caller: r.Caller, Site: r.Site,
		Priority: r.Priority, Deadline: plan.Deadline, Subject: r.Subject, Trace: r.Trace, Sources: r.Sources,
	}
	p := created{Run: run, Label: plan.Label, Task: plan.Task, Call: plan.Call, Envelope: m.s.grant(plan), Price: m.Model.Price(a.Model), By: m.s.By, From: plan.From, Led: m.s.led}
	n, s, pins, err := m.newRun(m.ctx, p, a, m.actor(), m.s.event)
	m.Create = append(m.Create, n)
	m.born = append(m.born, s)
	m.Pin = append(m.Pin, pins...)
	m.children = append(m.children, Signal{Kind: SignalCreated, Time: time.Now(), Tenant: run.Tenant, Run: run.ID, Agent: run.Agent, Label: plan.Label})
	return err
}

// park has the run sleep until what it waits for has come.
func (m *mutation) park(w Wait) {
	m.status(decouple.RunParked)
	st := m.Status
	st.Seen, st.Until, st.Wake = m.consume, m.consume+1, w.Wake
	switch n := len(w.Children); {
	case w.Site != "":
		st.Wait = decouple.Wait{Kind: decouple.WaitContract, For: w.Site}
	case len(w.Contracts) > 0 && len(w.People) == 0:
		st.Wait = decouple.Wait{Kind: decouple.WaitContract, For: listing(w.Contracts)}
	case len(w.People) > 0:
		st.Wait = decouple.Wait{Kind: decouple.WaitPerson, For: listing(w.People)}
	case n > 0:
		st.Wait = decouple.Wait{Kind: decouple.WaitChild, For: listing(w.Children)}
		if len(w.Signals) == 0 && m.s.Session == "" {
			st.Until = m.consume + journal.InboxSeq(n)
		}
	case len(w.Signals) > 0:
		st.Wait = decouple.Wait{Kind: decouple.WaitTool, For: "the signal " + listing(w.Signals)}
	default:
		st.Wait = decouple.Wait{Kind: decouple.WaitTimer, For: w.Why}
	}
}

// listing names the first of several and says how many more there are.
func listing[T ~string](names []T) string {
	if n := len(names); n > 1 {
		return fmt.Sprintf("%s and %d more", names[0], n-1)
	}
	return string(names[0])
}

// byRun begins the name of a run that cancels its children because it has ended.
const byRun = "run "

// end writes the end, tells the parent, and has open children canceled.
func (m *mutation) end(e ended, f Finish) error {
	s := m.s
	if err := m.add(e); err != nil {
		return err
	}
	m.status(decouple.RunEnded)
	m.Status.Cause = e.Cause
	for _, id := range f.Cancel {
		body, err := json.Marshal(canceled{By: byRun + string(s.Run.ID), Why: "the agent that asked has ended: " + string(e.Cause.Kind)})
		if err != nil {
			return err
		}
		m.Put = append(m.Put, journal.Put{To: id, Kind: messageCancel, From: byRun + string(s.Run.ID), Body: body, Urgent: true})
	}
	if s.Run.Parent == "" {
		return nil
	}
	body, err := json.Marshal(joined{Child: s.Run.ID, Call: s.Call, Cause: e.Cause, Answer: e.Answer, Used: s.used, Held: s.held, Led: s.led})
	if err != nil {
		return err
	}
	body, pins, err := m.shrink(m.ctx, s.Run, body)
	m.Pin = append(m.Pin, pins...)
	m.Put = append(m.Put, journal.Put{To: s.Run.Parent, Kind: messageJoined, From: string(s.Run.ID), Body: body})
	return err
}

// add encodes an event that has been folded.
func (m *mutation) add(p payload) error {
	by := m.actor()
	switch v := p.(type) {
	case canceled:
		by = decouple.Actor{Kind: m.Actor.Kind, ID: v.By}
		if strings.HasPrefix(v.By, byRun) {
			by.Kind = decouple.ActorSystem
		}
	case interrupted:
		by = m.Actor
	}
	e, pins, err := m.encode(m.ctx, p, m.s.Run, by, m.s.event)
	m.Events = append(m.Events, e)
	m.Pin = append(m.Pin, pins...)
	return err
}

func (m *mutation) actor() decouple.Actor {
	return decouple.Actor{Kind: decouple.ActorAgent, ID: string(m.s.Run.Agent)}
}

// status sets the row of the view.
func (m *mutation) status(st decouple.RunStatus) {
	if m.Status == nil {
		m.Status = &journal.StatusChange{}
	}
	m.Status.Status, m.Status.Steps, m.Status.Usage = st, m.s.Steps, m.s.Usage
	if st == decouple.RunReady {
		m.Status.Wait, m.Status.Seen, m.Status.Until = decouple.Wait{}, 0, 0
	}
}

// signals tells whoever watches what has become durable.
func (m *mutation) signals() {
	if m.answered {
		m.tell(m.s, SignalStep, "")
	}
	for _, c := range m.children {
		m.Watch(c)
	}
	switch m.Status.Status {
	case decouple.RunEnded:
		m.tell(m.s, SignalEnded, "")
	case decouple.RunParked:
		m.tell(m.s, SignalParked, string(m.Status.Wait.Kind))
	}
}
