package engine

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// The kinds of event in the stream of an agent's schedule.
const (
	kindBegun decouple.EventKind = "schedule.begun" // from then on times count
	kindFired decouple.EventKind = "schedule.fired"
)

// scheduled is the payload of both.
type scheduled struct {
	At     time.Time      `json:"at"`               // up to which times are dealt with
	Run    decouple.RunID `json:"run,omitempty"`    // that was started; empty if times were skipped
	Missed int            `json:"missed,omitempty"` // times before At that had no run of their own
}

const (
	lookEvery = 15 * time.Second // at schedules, at the latest
	onTime    = time.Minute      // a time that is not longer ago than that was not missed
	maxMissed = 100              // runs that are started for missed times
)

// keepSchedules starts the runs of agents that have a schedule, until ctx ends. Any number of nodes may do so: the stream of a schedule lets one of them start a run.
func (e *Engine) keepSchedules(ctx context.Context) {
	known := map[agentVersion]bool{}
	for name := range e.agents {
		known[agentVersion{tenant: decouple.LocalTenant, name: name}] = true
	}
	upTo := decouple.Position(0)
	for {
		next := time.Now().Add(lookEvery)
		var err error
		if upTo, err = e.findPut(ctx, upTo, known); err != nil && ctx.Err() == nil {
			e.Log.Error("the agents that were deployed cannot be read", "error", err)
		}
		for a := range known {
			at, err := e.keepSchedule(ctx, a.tenant, a.name)
			if err != nil && ctx.Err() == nil {
				e.Log.Error("a schedule cannot be kept", "tenant", a.tenant, "agent", a.name, "error", err)
			}
			if err == nil && at.Before(next) {
				next = at
			}
		}
		if !pause(ctx, max(10*time.Millisecond, time.Until(next))) {
			return
		}
	}
}

// findPut adds the agents that were put after a position, in any tenant, and gives the newest position.
func (e *Engine) findPut(ctx context.Context, after decouple.Position, known map[agentVersion]bool) (decouple.Position, error) {
	for {
		events, err := e.Store.Scan(ctx, journal.Filter{Kind: decouple.StreamAgent, After: after})
		if err != nil || len(events) == 0 {
			return after, err
		}
		for _, ev := range events {
			if after = ev.Position; ev.Kind == kindPut {
				known[agentVersion{tenant: ev.Stream.Tenant, name: decouple.AgentName(ev.Stream.ID)}] = true
			}
		}
	}
}

// keepSchedule starts what is due of one agent and gives the time after that.
func (e *Engine) keepSchedule(ctx context.Context, tenant decouple.TenantID, name decouple.AgentName) (time.Time, error) {
	far := time.Now().Add(lookEvery)
	a, err := e.lookup(ctx, tenant, name)
	if err != nil || a.Schedule == nil {
		return far, err
	}
	cron, err := decouple.ParseCron(a.Schedule.Cron)
	if err != nil {
		return far, err
	}
	zone, err := time.LoadLocation(a.Schedule.Zone)
	if err != nil {
		return far, decouple.Errorf(decouple.Invalid, "agent %s: the time zone %q is not known: %w", name, a.Schedule.Zone, err)
	}
	put := e.put(tenant, name)
	stream := decouple.Stream{Tenant: tenant, Kind: decouple.StreamSchedule, ID: string(name)}
	for {
		last, seq, err := e.lastScheduled(ctx, stream)
		if err != nil {
			return far, err
		}
		now := time.Now().UTC().Truncate(time.Microsecond)
		if seq == 0 {
			last = now
			if err := e.recordSchedule(ctx, stream, seq, kindBegun, scheduled{At: now}, nil); err != nil && decouple.KindOf(err) != decouple.Conflict {
				return far, err
			}
			continue
		}
		if last.Before(put.since) { // no time was missed of a schedule that was not there
			last = put.since
		}
		due := dueTimes(cron, last, now, zone)
		if len(due) == 0 {
			return cron.Next(now, zone), nil
		}
		at, skip, missed := pickDue(a.Schedule.Missed, due, now)
		var create *created
		if !skip {
			create = &created{Label: a.Schedule.Task, Envelope: a.Envelope, By: decouple.Actor{Kind: decouple.ActorSystem, ID: "schedule"}}
			if put.by.ID != "" {
				create.Led = []string{put.by.ID} // who says what is done and when has as good as started it
			}
			create.Run = decouple.Run{Tenant: tenant} // without a key: the schedule's stream lets one node start it, and keys are the callers'
			if a.Envelope.Time > 0 {
				create.Run.Deadline = now.Add(a.Envelope.Time)
			}
			if create.Task, err = json.Marshal(decouple.Task{Question: a.Schedule.Task}); err != nil {
				return far, err
			}
		}
		err = e.recordSchedule(ctx, stream, seq, kindFired, scheduled{At: at, Missed: missed}, create)
		if err != nil && decouple.KindOf(err) != decouple.Conflict { // another node was first
			return far, err
		}
	}
}

// dueTimes are the times after last, up to now, the newest of them if there are many.
func dueTimes(cron decouple.Cron, last, now time.Time, zone *time.Location) []time.Time {
	var due []time.Time
	for t := cron.Next(last, zone); !t.IsZero() && !t.After(now); t = cron.Next(t, zone) {
		if due = append(due, t); len(due) > maxMissed {
			due = due[1:]
		}
	}
	return due
}

// pickDue says which time is dealt with next, whether without a run, and how many times before it get none.
func pickDue(policy decouple.MissedPolicy, due []time.Time, now time.Time) (at time.Time, skip bool, missed int) {
	newest := due[len(due)-1]
	late := now.Sub(newest) > onTime
	switch policy {
	case decouple.MissedAll:
		return due[0], false, 0
	case decouple.MissedSkip:
		if late {
			return newest, true, len(due)
		}
		return newest, false, len(due) - 1
	}
	return newest, false, len(due) - 1
}

// lastScheduled is the time up to which a schedule is dealt with.
func (e *Engine) lastScheduled(ctx context.Context, s decouple.Stream) (time.Time, decouple.Seq, error) {
	events, err := e.Store.Read(ctx, s, 0, 0)
	if err != nil || len(events) == 0 {
		return time.Time{}, 0, err
	}
	last := events[len(events)-1]
	var p scheduled
	if err := json.Unmarshal(last.Payload, &p); err != nil {
		return time.Time{}, 0, decouple.Errorf(decouple.Internal, "event %d of %s cannot be read: %w", last.Seq, s, err)
	}
	return p.At, last.Seq, nil
}

// recordSchedule writes what became of a time, and makes its run in the same commit. Conflict says that another node was first.
func (e *Engine) recordSchedule(ctx context.Context, s decouple.Stream, seq decouple.Seq, kind decouple.EventKind, p scheduled, run *created) error {
	m := journal.Mutation{ID: decouple.CommitID(s.String() + "/" + strconv.FormatInt(int64(seq)+1, 10))}
	if run != nil {
		a, err := e.lookup(ctx, s.Tenant, decouple.AgentName(s.ID))
		if err != nil {
			return err
		}
		var st *State
		if m, st, err = e.root(ctx, *run, a); err != nil {
			return err
		}
		p.Run = st.Run.ID
		m.ID = decouple.CommitID(s.String() + "/" + string(st.Run.ID))
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	m.Stream, m.Expect = s, seq
	m.Events = []journal.NewEvent{{Kind: kind, KindVersion: kindVersion, Actor: decouple.Actor{Kind: decouple.ActorSystem, ID: "schedule"}, Payload: b}}
	if m.Create == nil {
		m.ID += "/" + decouple.CommitID(p.At.Format(time.RFC3339Nano))
	}
	_, err = e.Store.Commit(ctx, m)
	return err
}
