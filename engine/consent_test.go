package engine_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
)

// plugModel has the stage's engine ask another model.
func (s *stage) plugModel(m engine.Model) {
	s.t.Helper()
	var err error
	s.eng, err = engine.New(engine.Config{Store: s.store, Model: m, Tools: s.tools, Agents: s.set})
	s.fine(err)
}

func (s *stage) waiting() []engine.PendingApproval {
	s.t.Helper()
	list, err := engine.Approvals(s.t.Context(), s.store, decouple.LocalTenant, "")
	s.fine(err)
	return list
}

func (s *stage) decide(p engine.PendingApproval, who string) decouple.Kind {
	s.t.Helper()
	return decouple.KindOf(s.eng.Decide(s.t.Context(), engine.Decision{Run: p.Run, Call: p.Call, Approve: true, By: person(who)}))
}

// TestApprovalSpellings has a model write arguments in ways by which a rule could miss them: people are asked, and what they are shown is what the tool is given.
func TestApprovalSpellings(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		`{"n":1,"n":100}`, `{"n":1e2}`, `{"n":"100"}`, `{"N":100}`, `{"n":1,"N":100}`, `{"\u006e":100}`, `{"n":null}`, `{}`, `[100]`, `{"n":1} {"n":100}`, `{"n":{"n":100}}`, ``,
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			given := make(chan string, 1)
			pay := wild{name: "pay", effect: decouple.EffectOnce, do: func(_ context.Context, inv decouple.Invocation) (decouple.Outcome, error) {
				given <- string(inv.Args)
				return decouple.Outcome{Text: "paid"}, nil
			}}
			s := newStage(t, nil, asking(decouple.Approval{Tool: "pay", When: "n >= 100"}), pay)
			s.plugModel(tell("pay", args))
			id := s.start("worker", "q", decouple.Envelope{})
			s.serve()
			s.parked(id, decouple.WaitPerson)
			list := s.waiting()
			if len(list) != 1 || s.decide(list[0], "ada") != "" {
				t.Fatalf("waiting are %+v", list)
			}
			s.ended(id)
			if got := <-given; got != string(list[0].Args) {
				t.Errorf("%s was approved and the tool was given %s", list[0].Args, got)
			}
		})
	}
}

// TestApprovalBeside shows in the inbox what is asked in the same step as a sub-agent is sent, or as another tool is at work.
func TestApprovalBeside(t *testing.T) {
	t.Parallel()
	for _, beside := range []string{"spawn:worker:child", "slow:1"} {
		t.Run(beside, func(t *testing.T) {
			t.Parallel()
			done := make(chan struct{})
			slow := wild{name: "slow", effect: decouple.EffectNone, do: func(ctx context.Context, _ decouple.Invocation) (decouple.Outcome, error) {
				select {
				case <-done:
				case <-ctx.Done():
				}
				return decouple.Outcome{Text: "slow"}, nil
			}}
			pay := &payments{effect: decouple.EffectOnce}
			set := worker(func(a *decouple.Agent) {
				a.Tools, a.Agents, a.Approve = append(a.Tools, "slow"), []decouple.AgentName{"worker"}, []decouple.Approval{{Tool: "pay", Expires: time.Hour}}
			})
			s := newStage(t, map[string][]string{"worker": {beside + " pay:10", "say:done"}, "child": {"slow:1", "say:found"}}, set, pay, slow)
			id := s.start("worker", "q", decouple.Envelope{})
			s.serve()
			s.until(id, "asking", func(journal.RunRow) bool { return len(s.waiting()) == 1 })
			if beside != "slow:1" {
				if r := s.parked(id, decouple.WaitPerson); r.Wake.IsZero() {
					t.Error("the time to approve has no end")
				}
			}
			if k := s.decide(s.waiting()[0], "ada"); k != "" {
				t.Errorf("deciding is %s", k)
			}
			close(done)
			if st := s.ended(id); len(pay.made) != 1 || st.Cause.Kind != decouple.CauseDone {
				t.Errorf("called %d times, ended as %v", len(pay.made), st.Cause)
			}
		})
	}
}

// TestWhoLed has nobody approve what his own words led to: in a session, by a signal, in a fork, and over sub-agents in either direction.
func TestWhoLed(t *testing.T) {
	t.Parallel()
	set := worker(func(a *decouple.Agent) {
		a.Agents, a.Approve = []decouple.AgentName{"worker"}, []decouple.Approval{{Tool: "pay"}}
	})
	signaling := func(s *stage, start, to decouple.RunID) {
		s.parked(to, decouple.WaitTool)
		s.fine(s.eng.Deliver(s.t.Context(), engine.Delivery{Run: to, Name: "go", By: person("bob")}))
	}
	for name, c := range map[string]struct {
		lines map[string][]string
		begin func(s *stage) decouple.RunID
		deny  []string
	}{
		"session": {map[string][]string{}, func(s *stage) decouple.RunID {
			id, err := s.eng.OpenSession(s.t.Context(), engine.NewSession{Agent: "worker", By: person("ada")})
			s.fine(err)
			_, err = s.eng.Say(s.t.Context(), engine.Input{Session: id, Text: `{"question":"pay"}`, By: person("bob")})
			s.fine(err)
			return id + ".1"
		}, []string{"ada", "bob"}},
		"signal": {map[string][]string{"q": {"signal.wait:go", "pay:10", "say:done"}}, func(s *stage) decouple.RunID {
			id := s.start("worker", "q", decouple.Envelope{})
			signaling(s, id, id)
			return id
		}, []string{"local", "bob"}},
		"signal to the parent": {map[string][]string{"q": {"signal.wait:go", "spawn:worker:pay", "say:done"}}, func(s *stage) decouple.RunID {
			id := s.start("worker", "q", decouple.Envelope{})
			signaling(s, id, id)
			return id + ".1"
		}, []string{"local", "bob"}},
		"signal to a child": {map[string][]string{"q": {"spawn:worker:ask", "pay:10", "say:done"}, "ask": {"signal.wait:go", "say:heard"}}, func(s *stage) decouple.RunID {
			id := s.start("worker", "q", decouple.Envelope{})
			s.until(id, "spawning", func(r journal.RunRow) bool { return r.Wait.Kind == decouple.WaitChild })
			signaling(s, id, id+".1")
			return id
		}, []string{"local", "bob"}},
		"fork": {map[string][]string{"q": {"look:1", "pay:10", "say:done"}}, func(s *stage) decouple.RunID {
			id, err := s.eng.Start(s.t.Context(), engine.Start{Agent: "worker", Task: decouple.Task{Question: "q"}, By: person("ada")})
			s.fine(err)
			s.parked(id, decouple.WaitPerson)
			fork, err := s.eng.Fork(s.t.Context(), engine.Fork{Run: id, Step: 1, Effects: true, By: person("bob")})
			s.fine(err)
			_, err = s.eng.Cancel(s.t.Context(), decouple.LocalTenant, id, engine.Cancellation{By: "ada"})
			s.fine(err)
			s.ended(id)
			return fork
		}, []string{"ada", "bob"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.lines["pay"] = []string{"pay:10", "say:done"}
			pay := &payments{effect: decouple.EffectOnce}
			s := newStage(t, c.lines, set, pay)
			s.plugModel(named{s.model})
			s.serve()
			id := c.begin(s)
			s.until(id, "asking", func(journal.RunRow) bool { return len(s.waiting()) == 1 })
			p := s.waiting()[0]
			if p.Run != id {
				t.Fatalf("%s asks, not %s", p.Run, id)
			}
			for _, who := range c.deny {
				if k := s.decide(p, who); k != decouple.Denied {
					t.Errorf("%s may approve what he led to: %q", who, k)
				}
			}
			if k := s.decide(p, "cid"); k != "" {
				t.Errorf("cid may not approve: %s", k)
			}
			s.ended(id)
			if len(pay.made) != 1 {
				t.Errorf("called %d times", len(pay.made))
			}
		})
	}
}

// named gives signal.wait the name that the script says.
type named struct{ *script }

// Answer plays a line.
func (m named) Answer(ctx context.Context, req decouple.Request) (decouple.Answer, error) {
	a, err := m.script.Answer(ctx, req)
	for i, p := range a.Message.Parts {
		if p.Call != nil && p.Call.Name == decouple.ToolSignal {
			a.Message.Parts[i].Call.Args = json.RawMessage(strings.Replace(string(p.Call.Args), `"n"`, `"name"`, 1))
		}
	}
	return a, err
}

// TestSpokenMeanwhile has somebody send a signal and approve before the run has read either.
func TestSpokenMeanwhile(t *testing.T) {
	t.Parallel()
	pay := &payments{effect: decouple.EffectOnce}
	s := newStage(t, map[string][]string{"worker": {"pay:10", "say:done"}}, asking(decouple.Approval{Tool: "pay"}), pay)
	id := s.start("worker", "q", decouple.Envelope{})
	stop := s.serve()
	s.parked(id, decouple.WaitPerson)
	stop()
	s.fine(s.eng.Deliver(t.Context(), engine.Delivery{Run: id, Name: "go", By: person("bob")}))
	p := s.waiting()[0]
	if k := s.decide(p, "bob"); k != "" { // nobody knows yet
		t.Fatal(k)
	}
	s.serve()
	s.until(id, "asking again", func(r journal.RunRow) bool { return r.Status == decouple.RunParked && r.Consumed == r.Inbox })
	if len(s.waiting()) != 1 || len(pay.made) != 0 {
		t.Errorf("waiting are %+v, called %d times", s.waiting(), len(pay.made))
	}
}

// TestSeenHash refuses a decision on something else than what was seen.
func TestSeenHash(t *testing.T) {
	t.Parallel()
	s := newStage(t, map[string][]string{"worker": {"pay:10", "say:done"}}, asking(decouple.Approval{Tool: "pay"}), &payments{effect: decouple.EffectOnce})
	id := s.start("worker", "q", decouple.Envelope{})
	s.serve()
	s.parked(id, decouple.WaitPerson)
	err := s.eng.Decide(t.Context(), engine.Decision{Run: id, Call: "1/1", Approve: true, Hash: "other", By: person("ada")})
	if decouple.KindOf(err) != decouple.Conflict {
		t.Errorf("a decision on another question: %v", err)
	}
}
