package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
)

// requests are one of each kind that takes a key, and one that is not quite the same.
func requests(ended, talk decouple.RunID) map[string][2]func(*engine.Engine, context.Context, string) (string, error) {
	start := func(question string) func(*engine.Engine, context.Context, string) (string, error) {
		return func(e *engine.Engine, ctx context.Context, key string) (string, error) {
			id, err := e.Start(ctx, engine.Start{Agent: "worker", Task: decouple.Task{Question: question}, Freeze: true, Key: key, By: person("ada")})
			return string(id), err
		}
	}
	fork := func(effects bool) func(*engine.Engine, context.Context, string) (string, error) {
		return func(e *engine.Engine, ctx context.Context, key string) (string, error) {
			id, err := e.Fork(ctx, engine.Fork{Run: ended, Step: 1, Effects: effects, Key: key, By: person("ada")})
			return string(id), err
		}
	}
	open := func(label string) func(*engine.Engine, context.Context, string) (string, error) {
		return func(e *engine.Engine, ctx context.Context, key string) (string, error) {
			id, err := e.OpenSession(ctx, engine.NewSession{Agent: "worker", Label: label, Key: key, By: person("ada")})
			return string(id), err
		}
	}
	say := func(text string) func(*engine.Engine, context.Context, string) (string, error) {
		return func(e *engine.Engine, ctx context.Context, key string) (string, error) {
			return e.Say(ctx, engine.Input{Session: talk, Text: text, ID: key, By: person("ada")})
		}
	}
	signal := func(body string) func(*engine.Engine, context.Context, string) (string, error) {
		return func(e *engine.Engine, ctx context.Context, key string) (string, error) {
			return "", e.Deliver(ctx, engine.Delivery{Run: talk, Name: "go", Body: json.RawMessage(body), ID: key, By: person("ada")})
		}
	}
	return map[string][2]func(*engine.Engine, context.Context, string) (string, error){
		"start": {start("q"), start("q2")}, "fork": {fork(true), fork(false)}, "open": {open("a"), open("b")}, "say": {say("hm"), say("hm?")}, "signal": {signal("1"), signal("2")},
	}
}

// TestKeys sends the same request twice, at once to two engines and again after the death of the process: it is done once and has one answer. Another request with its key is a conflict.
func TestKeys(t *testing.T) {
	t.Parallel()
	s := newStage(t, map[string][]string{"worker": {"say:done"}}, worker(nil), &payments{effect: decouple.EffectNone})
	ended := s.start("worker", "first", decouple.Envelope{})
	s.drive(ended)
	talk, err := s.eng.OpenSession(t.Context(), engine.NewSession{Agent: "worker", By: person("ada")})
	s.fine(err)
	first := s.eng
	s.plug()
	all := requests(ended, talk)
	answers := map[string]string{}
	for name, do := range all {
		var work sync.WaitGroup
		var got [8]string
		var errs [8]error
		for i := range got {
			eng := first
			if i%2 == 1 {
				eng = s.eng
			}
			work.Go(func() { got[i], errs[i] = do[0](eng, t.Context(), "key of "+name) })
		}
		work.Wait()
		for i := range got {
			if errs[i] != nil || got[i] != got[0] {
				t.Errorf("%s: %q, %v and %q, %v", name, got[0], errs[0], got[i], errs[i])
			}
		}
		answers[name] = got[0]
	}
	rows, err := s.store.Runs(t.Context(), journal.RunFilter{})
	if s.fine(err); len(rows) != 5 {
		t.Errorf("there are %d runs, want 5", len(rows))
	}
	s.reopen()
	s.plug()
	if _, err := s.eng.Cancel(t.Context(), decouple.LocalTenant, talk, engine.Cancellation{By: "ada"}); err != nil {
		t.Fatal(err)
	}
	s.serve()
	s.ended(talk)
	for name, do := range all {
		if got, err := do[0](s.eng, t.Context(), "key of "+name); got != answers[name] || err != nil {
			t.Errorf("%s after a restart: %q, %v, want %q", name, got, err, answers[name])
		}
		if _, err := do[1](s.eng, t.Context(), "key of "+name); decouple.KindOf(err) != decouple.Conflict || !strings.Contains(err.Error(), "key of "+name) {
			t.Errorf("%s: another request with the same key: %v", name, err)
		}
		for other := range all {
			if _, err := do[0](s.eng, t.Context(), "key of "+other); other != name && decouple.KindOf(err) != decouple.Conflict {
				t.Errorf("%s with the key of a %s: %v", name, other, err)
			}
		}
		for _, bad := range []string{strings.Repeat("x", 201), "a\nb", "\xff"} {
			if _, err := do[0](s.eng, t.Context(), bad); decouple.KindOf(err) != decouple.Invalid {
				t.Errorf("%s with the key %.9q: %v", name, bad, err)
			}
		}
	}
	if id, err := s.eng.Start(t.Context(), engine.Start{Tenant: "acme", Agent: "worker", Task: decouple.Task{Question: "q"}, Key: "key of start"}); err != nil || string(id) == answers["start"] {
		t.Errorf("another tenant's key: %s, %v", id, err)
	}
}

// TestOldKey finds a run that was begun when the run alone had the key.
func TestOldKey(t *testing.T) {
	t.Parallel()
	s := newStage(t, map[string][]string{"worker": {"say:done"}}, worker(nil), &payments{effect: decouple.EffectNone})
	id := s.start("worker", "q", decouple.Envelope{})
	events, err := s.store.Read(t.Context(), decouple.RunStream(decouple.LocalTenant, id), 0, 1)
	s.fine(err)
	run := s.row(id).Run
	run.ID, run.Root, run.IdempotencyKey = "rold", "rold", "old"
	e := events[0]
	_, err = s.store.Commit(t.Context(), journal.Mutation{ID: "old", Stream: decouple.RunStream(decouple.LocalTenant, "rold"), Create: []journal.NewRun{{Run: run, Label: "q", Events: []journal.NewEvent{
		{Kind: e.Kind, KindVersion: e.KindVersion, Actor: e.Actor, RootRun: "rold", Payload: e.Payload}}}}})
	s.fine(err)
	for q, want := range map[string]decouple.Kind{"q": "", "other": decouple.Conflict} {
		got, err := s.eng.Start(t.Context(), engine.Start{Agent: "worker", Task: decouple.Task{Question: q}, Key: "old"})
		if decouple.KindOf(err) != want || want == "" && got != "rold" {
			t.Errorf("%s: %s, %v", q, got, err)
		}
	}
}

// TestScheduleKeys has a caller use up the keys that scheduled runs once had: schedules go on.
func TestScheduleKeys(t *testing.T) {
	t.Parallel()
	last := time.Now().UTC().Add(-3 * time.Hour)
	cron := decouple.Schedule{Cron: "* * * * *", Missed: decouple.MissedOnce, Task: "what is due?"}
	s := newStage(t, map[string][]string{"worker": {"say:done"}}, worker(func(a *decouple.Agent) { a.Schedule = &cron }), &payments{effect: decouple.EffectNone})
	b, err := json.Marshal(map[string]any{"at": last})
	s.fine(err)
	stream := decouple.Stream{Tenant: decouple.LocalTenant, Kind: decouple.StreamSchedule, ID: "worker"}
	_, err = s.store.Commit(t.Context(), journal.Mutation{ID: "begun", Stream: stream, Events: []journal.NewEvent{{Kind: "schedule.begun", KindVersion: 1, Payload: b}}})
	s.fine(err)
	for at := time.Now().Add(-2 * time.Minute); at.Before(time.Now().Add(3 * time.Minute)); at = at.Add(time.Minute) {
		key := fmt.Sprint("schedule/worker/", at.Unix()/60*60)
		_, err := s.eng.Start(t.Context(), engine.Start{Agent: "worker", Task: decouple.Task{Question: "mine"}, Key: key})
		s.fine(err)
	}
	s.serve()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		rows, err := s.store.Runs(ctx, journal.RunFilter{})
		s.fine(err)
		for _, r := range rows {
			if r.Label == "what is due?" {
				return
			}
		}
		<-time.After(2 * time.Millisecond)
	}
}
