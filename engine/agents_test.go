package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
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

// TestHugeResult keeps a result of 64 MB whole and gives any of its pages; one of a byte more is refused by name, and not asked for again.
func TestHugeResult(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	var text strings.Builder
	for text.Len() < size {
		fmt.Fprintf(&text, "%015d\n", text.Len())
	}
	whole, extra, calls := text.String()[:size], "", 0
	big := wild{name: "pay", effect: decouple.EffectNone, do: func(context.Context, decouple.Invocation) (decouple.Outcome, error) {
		calls++
		return decouple.Outcome{Text: whole + extra}, nil
	}}
	s := newStage(t, nil, worker(nil), big)
	wanted := []int{2, 700, 1366}
	m := mute{answer: func(_ context.Context, req decouple.Request) (decouple.Answer, error) {
		call := &decouple.ToolCall{ID: "a", Name: "pay", Args: json.RawMessage(`{}`)}
		if last := req.Messages[len(req.Messages)-1]; last.Role == decouple.ToolRole {
			got, frame, paged := strings.Cut(last.Parts[0].Result.Text, "\n[page ")
			at, err := strconv.Atoi(strings.TrimSpace(got[:min(16, len(got))]))
			if !paged && extra == "" || paged && (err != nil || !strings.HasPrefix(whole[at:], got)) {
				t.Errorf("step %d: %.60q of %.60q is not what stands there", req.Step, got, frame)
			}
			if extra != "" || req.Step > len(wanted)+1 {
				return decouple.Answer{Message: decouple.Text(decouple.Assistant, "done: "+got[:min(60, len(got))])}, nil
			}
			call.Name, call.Args = decouple.ToolResultRead, json.RawMessage(fmt.Sprintf(`{"call":"1/1","page":%d}`, wanted[req.Step-2]))
		}
		return decouple.Answer{Message: decouple.Message{Role: decouple.Assistant, Parts: []decouple.Part{{Call: call}}}}, nil
	}}
	var err error
	s.eng, err = engine.New(engine.Config{Store: s.store, Model: m, Tools: s.tools, Agents: s.set})
	s.fine(err)
	st := s.drive(s.start("worker", "q", decouple.Envelope{}))
	if st.Cause.Kind != decouple.CauseDone || st.Calls[0].Blob == "" || st.Calls[0].Size != size || len(st.Calls) != 1+len(wanted) {
		t.Errorf("the run ended %v; its first result is a blob %q of %d bytes; %d calls", st.Cause, st.Calls[0].Blob, st.Calls[0].Size, len(st.Calls))
	}
	extra, calls = "x", 0
	st = s.drive(s.start("worker", "again", decouple.Envelope{}))
	if out := st.Calls[0].Outcome; !out.Error || !strings.HasPrefix(out.Text, "too_large: ") || calls != 1 || st.Cause.Kind != decouple.CauseDone {
		t.Errorf("the model was told %.100q after %d calls, and the run ended %v", out.Text, calls, st.Cause)
	}
}
