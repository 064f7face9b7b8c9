package engine_test

import (
	"encoding/json"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
)

// TestPutAgent deploys a version while a run waits: that run goes on with the one that it began with, over the death of the process, and new runs have the new one.
func TestPutAgent(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil, worker(nil), &payments{effect: decouple.EffectNone})
	plug := func() {
		var err error
		s.eng, err = engine.New(engine.Config{Store: s.store, Model: tell(decouple.ToolSignal, `{"name":"go"}`), Tools: s.tools, Agents: s.set})
		s.fine(err)
	}
	plug()
	waits := s.start("worker", "q", decouple.Envelope{Time: time.Minute})
	stop := s.serve()
	s.parked(waits, decouple.WaitTool)
	next := s.set[0]
	next.Version, next.Prompt = "v2", "another prompt"
	s.fine(s.eng.PutAgent(t.Context(), decouple.LocalTenant, next, person("ada")))
	other := next
	other.Version, other.Tools = "v3", []string{"nothing"}
	if err := s.eng.PutAgent(t.Context(), decouple.LocalTenant, other, person("ada")); decouple.KindOf(err) != decouple.Invalid {
		t.Errorf("an agent with a tool that is not here was deployed: %v", err)
	}
	stop()
	s.reopen()
	plug()
	s.serve()
	after := s.start("worker", "q", decouple.Envelope{Time: time.Minute})
	s.parked(after, decouple.WaitTool)
	for _, id := range []decouple.RunID{waits, after} {
		s.fine(s.eng.Deliver(t.Context(), engine.Delivery{Run: id, Name: "go", Body: json.RawMessage(`1`), By: person("ada")}))
	}
	if a, b := s.ended(waits), s.ended(after); a.Run.Version != "v1" || a.Agent.Prompt != "worker" || b.Run.Version != "v2" || b.Agent.Prompt != "another prompt" {
		t.Errorf("the run that waited ended on version %s, the one after it on %s", a.Run.Version, b.Run.Version)
	}
	versions, err := engine.Versions(t.Context(), s.store, decouple.LocalTenant, "worker")
	if err != nil || len(versions) != 2 || versions[0].Put || !versions[1].Put || versions[1].By.ID != "ada" {
		t.Errorf("the versions are %+v, %v", versions, err)
	}
}
