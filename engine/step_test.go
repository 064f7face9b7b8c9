package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
)

// TestStepTime bounds each call of a model and of a tool by the step_time of the agent's file, in sub-agents too.
func TestStepTime(t *testing.T) {
	t.Parallel()
	set := worker(func(a *decouple.Agent) {
		a.Agents, a.Envelope = []decouple.AgentName{"worker"}, decouple.Envelope{StepTime: 30 * time.Millisecond}
	})
	pay := wild{name: "pay", effect: decouple.EffectNone, do: func(ctx context.Context, _ decouple.Invocation) (decouple.Outcome, error) {
		<-ctx.Done()
		return decouple.Outcome{}, decouple.Errorf(decouple.Invalid, "the tool was stopped: %w", ctx.Err())
	}}
	for first, want := range map[string]string{
		"pay:10": "done", "spawn:worker:child": "done", "hang": "failed",
	} {
		s := newStage(t, map[string][]string{"q": {first, "say:done"}, "child": {"pay:1", "say:done"}}, set, pay)
		began := time.Now()
		st := s.drive(s.start("worker", "q", decouple.Envelope{}))
		if string(st.Cause.Kind) != want || time.Since(began) > 4*time.Minute {
			t.Errorf("%s: ended as %v", first, st.Cause)
		}
		if first == "hang" && !strings.Contains(st.Cause.Why, "30ms of a step") {
			t.Errorf("it ended because %s", st.Cause.Why)
		}
		if first == "pay:10" && !strings.Contains(st.Calls[0].Outcome.Text, "stopped") {
			t.Errorf("the tool answered %q", st.Calls[0].Outcome.Text)
		}
	}
}
