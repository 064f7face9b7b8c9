package engine

import (
	"context"
	"encoding/json"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Sessions lists the sessions of a tenant, newest first: those after a row of the view of runs, 0 being from the newest, at most limit.
func Sessions(ctx context.Context, log journal.Reader, tenant decouple.TenantID, after int64, limit int) ([]journal.RunRow, error) {
	var out []journal.RunRow
	f := journal.RunFilter{Tenant: tenant, Roots: true, Newest: true, After: after, Limit: 200}
	for {
		rows, err := log.Runs(ctx, f)
		if err != nil || len(rows) == 0 {
			return out, err
		}
		for _, r := range rows {
			if f.After = r.Row; r.Steps > 0 {
				continue // it asks a model itself, which a session leaves to its turns
			}
			is, err := isSession(ctx, log, r)
			if err != nil {
				return nil, err
			}
			if is {
				if out = append(out, r); len(out) == limit {
					return out, nil
				}
			}
		}
	}
}

// isSession looks into the first event of a run.
func isSession(ctx context.Context, log journal.Reader, r journal.RunRow) (bool, error) {
	events, err := log.Read(ctx, decouple.RunStream(r.Tenant, r.ID), 0, 1)
	if err != nil || len(events) == 0 {
		return false, err
	}
	body, err := fetch(ctx, log, r.Tenant, events[0].Payload)
	if err != nil {
		return false, err
	}
	var p created
	if err := json.Unmarshal(body, &p); err != nil {
		return false, decouple.Errorf(decouple.Internal, "the first event of run %s cannot be read: %w", r.ID, err)
	}
	return p.Session != "", nil
}

// TurnState says where a turn of a session stands.
type TurnState string

// The states of a turn.
const (
	TurnWaiting   TurnState = "waiting" // for the turns before it
	TurnAnswering TurnState = "answering"
	TurnAnswered  TurnState = "answered"
	TurnEnded     TurnState = "ended"    // without an answer: Cause says why
	TurnRejected  TurnState = "rejected" // the session was busy
)

// Turn is an input to a session and what became of it.
type Turn struct {
	Input  string         `json:"input"` // its id
	Text   string         `json:"text"`
	By     decouple.Actor `json:"by"`
	At     time.Time      `json:"at"`
	State  TurnState      `json:"state"`
	Run    decouple.RunID `json:"run,omitempty"` // that answers it
	Answer string         `json:"answer,omitempty"`
	Cause  decouple.Cause `json:"cause,omitzero"`
}

// Turns lists what was said in a session and what was answered, in order. A run that is not a session is Invalid.
func Turns(ctx context.Context, log journal.Reader, tenant decouple.TenantID, session decouple.RunID) ([]Turn, error) {
	s, err := Load(ctx, log, tenant, session)
	if err != nil {
		return nil, err
	}
	if s.Session == "" {
		return nil, decouple.Errorf(decouple.Invalid, "run %s is not a session", session)
	}
	events, err := log.Read(ctx, decouple.RunStream(tenant, session), 0, 0)
	if err != nil {
		return nil, err
	}
	turns, place := []Turn{}, map[string]int{}
	say := func(in input) {
		t := Turn{Input: in.ID, Text: in.Text, By: in.By, At: in.At, State: TurnWaiting}
		if in.Rejected {
			t.State = TurnRejected
		} else {
			place[in.ID] = len(turns)
		}
		turns = append(turns, t)
	}
	for _, e := range events {
		body, err := fetch(ctx, log, tenant, e.Payload)
		if err != nil {
			return nil, err
		}
		if e.Kind == kindInput {
			var in input
			if err := json.Unmarshal(body, &in); err != nil {
				return nil, decouple.Errorf(decouple.Internal, "the event %s of session %s cannot be read: %w", e.ID, session, err)
			}
			say(in)
			continue
		}
		var p progress
		if json.Unmarshal(body, &p) != nil || p.Input == "" || len(p.Spawned) == 0 {
			continue // of another kind
		}
		if i, ok := place[p.Input]; ok {
			turns[i].Run, turns[i].State = p.Spawned[0].Child, TurnAnswering
		}
	}
	waiting, err := log.Inbox(ctx, tenant, session)
	if err != nil {
		return nil, err
	}
	for _, m := range waiting {
		var in input
		if m.Kind != messageInput {
			continue
		}
		if body, err := fetch(ctx, log, tenant, m.Body); err != nil || json.Unmarshal(body, &in) != nil {
			return nil, decouple.Errorf(decouple.Internal, "an input in the inbox of session %s cannot be read", session)
		}
		if _, taken := place[in.ID]; !taken {
			say(in)
		}
	}
	for i := range turns {
		turns[i].end(s.Children)
	}
	return turns, nil
}

// end fills in how a turn has ended.
func (t *Turn) end(children []Child) {
	for _, c := range children {
		if c.ID != t.Run || c.End == nil {
			continue
		}
		if t.Cause, t.State = c.End.Cause, TurnEnded; t.Cause.Kind == decouple.CauseDone || t.Cause.Kind == decouple.CauseExhausted && c.End.Answer != "" {
			t.Answer, t.State = c.End.Answer, TurnAnswered
		}
	}
}
