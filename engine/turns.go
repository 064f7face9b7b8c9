package engine

import (
	"context"
	"encoding/json"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

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
