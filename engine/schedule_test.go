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

// TestSchedules has two engines look after the schedules of agents that nobody looked after for three hours.
func TestSchedules(t *testing.T) {
	t.Parallel()
	for policy, want := range map[decouple.MissedPolicy]int{decouple.MissedAll: 3, decouple.MissedOnce: 1, decouple.MissedSkip: 0} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			last := time.Now().UTC().Add(-3 * time.Hour)
			at := last.Add(30 * time.Minute).Minute() // half an hour away from now, in either direction
			s := newStage(t, map[string][]string{"worker": {"say:done"}}, worker(func(a *decouple.Agent) {
				a.Schedule = &decouple.Schedule{Cron: fmt.Sprintf("%d * * * *", at), Missed: policy, Task: "what is due?"}
			}), &payments{effect: decouple.EffectNone})
			b, err := json.Marshal(map[string]any{"at": last})
			s.fine(err)
			stream := decouple.Stream{Tenant: decouple.LocalTenant, Kind: decouple.StreamSchedule, ID: "worker"}
			_, err = s.store.Commit(t.Context(), journal.Mutation{ID: "begun", Stream: stream, Events: []journal.NewEvent{{Kind: "schedule.begun", KindVersion: 1, Payload: b}}})
			s.fine(err)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var serving sync.WaitGroup
			for range 2 {
				eng, err := engine.New(engine.Config{Store: s.store, Model: s.model, Tools: s.tools, Agents: s.set})
				s.fine(err)
				serving.Go(func() { _ = eng.Serve(ctx) })
			}
			fired := max(want, 1)
			for {
				events, err := s.store.Read(ctx, stream, 0, 0)
				s.fine(err)
				rows, err := s.store.Runs(ctx, journal.RunFilter{Status: []decouple.RunStatus{decouple.RunEnded}})
				s.fine(err)
				if len(events) == 1+fired && len(rows) == want {
					break
				}
				<-time.After(2 * time.Millisecond)
			}
			cancel()
			serving.Wait()
			rows, err := s.store.Runs(t.Context(), journal.RunFilter{})
			s.fine(err)
			if len(rows) != want {
				t.Errorf("%d runs for three missed times, want %d", len(rows), want)
			}
			for _, r := range rows {
				if !strings.Contains(r.Label, "what is due?") || r.IdempotencyKey != "" {
					t.Errorf("a scheduled run is %+v", r)
				}
			}
		})
	}
}

// TestScheduleDeployed has a node keep the schedule of an agent that was deployed for a tenant, which is in no file of its own.
func TestScheduleDeployed(t *testing.T) {
	t.Parallel()
	s := newStage(t, map[string][]string{"timed": {"say:done"}}, worker(nil), &payments{effect: decouple.EffectNone})
	last := time.Now().UTC().Add(-3 * time.Hour)
	b, err := json.Marshal(map[string]any{"at": last})
	s.fine(err)
	_, err = s.store.Commit(t.Context(), journal.Mutation{ID: "begun", Stream: decouple.Stream{Tenant: "acme", Kind: decouple.StreamSchedule, ID: "timed"},
		Events: []journal.NewEvent{{Kind: "schedule.begun", KindVersion: 1, Payload: b}}})
	s.fine(err)
	a := decouple.Agent{Name: "timed", Version: "v1", Prompt: "timed", Schedule: &decouple.Schedule{Cron: fmt.Sprintf("%d * * * *", last.Add(30*time.Minute).Minute()), Task: "what is due?"}}
	s.fine(s.eng.PutAgent(t.Context(), "acme", a, person("ada")))
	s.serve()
	for {
		rows, err := s.store.Runs(t.Context(), journal.RunFilter{Tenant: "acme", Status: []decouple.RunStatus{decouple.RunEnded}})
		s.fine(err)
		if len(rows) == 1 {
			if rows[0].Cause.Kind != decouple.CauseDone || rows[0].Sources.Tenant != "acme" {
				t.Errorf("the scheduled run is %+v", rows[0])
			}
			return
		}
		<-time.After(2 * time.Millisecond)
	}
}

// TestScheduleChanged deploys another schedule of an agent: what it says counts from then on, and nothing was missed of it before.
func TestScheduleChanged(t *testing.T) {
	t.Parallel()
	s := newStage(t, map[string][]string{"timed": {"say:done"}}, worker(nil), &payments{effect: decouple.EffectNone})
	last := time.Now().UTC().Add(-3 * time.Hour)
	b, err := json.Marshal(map[string]any{"at": last})
	s.fine(err)
	stream := decouple.Stream{Tenant: decouple.LocalTenant, Kind: decouple.StreamSchedule, ID: "timed"}
	_, err = s.store.Commit(t.Context(), journal.Mutation{ID: "begun", Stream: stream, Events: []journal.NewEvent{{Kind: "schedule.begun", KindVersion: 1, Payload: b}}})
	s.fine(err)
	for version, cron := range []string{"0 0 1 1 *", fmt.Sprintf("%d * * * *", last.Add(30*time.Minute).Minute())} {
		a := decouple.Agent{Name: "timed", Version: decouple.VersionHash(fmt.Sprint(version)), Prompt: "timed", Schedule: &decouple.Schedule{Cron: cron, Missed: decouple.MissedAll, Task: "what is due?"}}
		s.fine(s.eng.PutAgent(t.Context(), decouple.LocalTenant, a, person("ada")))
	}
	next, err := engine.KeepSchedule(t.Context(), s.eng, decouple.LocalTenant, "timed")
	s.fine(err)
	rows, err := s.store.Runs(t.Context(), journal.RunFilter{})
	s.fine(err)
	if len(rows) != 0 || next.Before(time.Now()) {
		t.Errorf("%d runs for times before the schedule was there; the next is at %s", len(rows), next)
	}
}

// TestScheduleDeployer has whoever deployed a schedule not approve what its runs ask for.
func TestScheduleDeployer(t *testing.T) {
	t.Parallel()
	s := newStage(t, map[string][]string{"worker": {"pay:10", "say:done"}}, worker(nil), &payments{effect: decouple.EffectOnce})
	last := time.Now().UTC().Add(-3 * time.Hour)
	b, err := json.Marshal(map[string]any{"at": last})
	s.fine(err)
	_, err = s.store.Commit(t.Context(), journal.Mutation{ID: "begun", Stream: decouple.Stream{Tenant: decouple.LocalTenant, Kind: decouple.StreamSchedule, ID: "worker"},
		Events: []journal.NewEvent{{Kind: "schedule.begun", KindVersion: 1, Payload: b}}})
	s.fine(err)
	a := asking(decouple.Approval{Tool: "pay"})[0]
	a.Version, a.Schedule = "v2", &decouple.Schedule{Cron: fmt.Sprintf("%d * * * *", last.Add(30*time.Minute).Minute()), Task: "pay"}
	s.fine(s.eng.PutAgent(t.Context(), decouple.LocalTenant, a, person("ada")))
	_, err = engine.KeepSchedule(t.Context(), s.eng, decouple.LocalTenant, "worker")
	s.fine(err)
	rows, err := s.store.Runs(t.Context(), journal.RunFilter{})
	if s.fine(err); len(rows) != 1 {
		t.Fatalf("%d runs", len(rows))
	}
	s.serve()
	s.parked(rows[0].ID, decouple.WaitPerson)
	for who, want := range map[string]decouple.Kind{"ada": decouple.Denied, "bob": ""} {
		if k := s.decide(s.waiting()[0], who); k != want {
			t.Errorf("%s: %q, want %q", who, k, want)
		}
	}
}
