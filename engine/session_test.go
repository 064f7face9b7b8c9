package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
)

// chat is a model that repeats what it was told so far, and waits where the test wants it to.
type chat struct {
	mu      sync.Mutex
	holding chan struct{}      // while it is set, an answer to "wait" waits for it or for its context
	began   chan struct{}      // is told of each such wait
	seen    []decouple.Message // of the newest call
}

// Price is that of a model in this process.
func (*chat) Price(string) decouple.Price { return decouple.Price{Known: true, Local: true} }

// Answer says everything that the user has said, in order.
func (m *chat) Answer(ctx context.Context, req decouple.Request) (decouple.Answer, error) {
	var said []string
	for _, msg := range req.Messages {
		if msg.Role == decouple.User {
			said = append(said, msg.Text())
		}
	}
	m.mu.Lock()
	m.seen = req.Messages
	m.mu.Unlock()
	if m.holding != nil && strings.HasPrefix(said[len(said)-1], "wait") {
		m.began <- struct{}{}
		select {
		case <-m.holding:
		case <-ctx.Done():
			return decouple.Answer{}, ctx.Err()
		}
	}
	return decouple.Answer{Message: decouple.Text(decouple.Assistant, strings.Join(said, "+")), Finish: decouple.FinishStop}, nil
}

// turns are the answers of a session's turns so far, in order.
func (s *stage) turns(id decouple.RunID) string {
	s.t.Helper()
	var out []string
	for _, c := range s.load(id).Children {
		switch {
		case c.End == nil:
			out = append(out, "open")
		case c.End.Cause.Kind != decouple.CauseDone:
			out = append(out, string(c.End.Cause.Kind))
		default:
			out = append(out, c.End.Answer)
		}
	}
	return strings.Join(out, " | ")
}

// TestSession talks with an agent over several turns, with each way of taking input while it is busy, and over the death of the process.
func TestSession(t *testing.T) {
	t.Parallel()
	for busy, want := range map[engine.BusyPolicy]string{
		engine.BusyQueue:     "a | a+wait b | a+wait b+c | a+wait b+c+d",
		engine.BusyReject:    "a | a+wait b | a+wait b+d",
		engine.BusyInterrupt: "a | canceled | a+wait b+c | a+wait b+c+d",
	} {
		t.Run(string(busy), func(t *testing.T) {
			t.Parallel()
			m := &chat{holding: make(chan struct{}), began: make(chan struct{}, 9)}
			s := newStage(t, nil, worker(nil), &payments{effect: decouple.EffectNone})
			plug := func() {
				var err error
				s.eng, err = engine.New(engine.Config{Store: s.store, Model: m, Tools: s.tools, Agents: s.set})
				s.fine(err)
			}
			plug()
			id, err := s.eng.OpenSession(t.Context(), engine.NewSession{Agent: "worker", Busy: busy, By: person("ada")})
			s.fine(err)
			stop := s.serve()
			say := func(text, input string, want decouple.Kind) {
				t.Helper()
				if _, err := s.eng.Say(t.Context(), engine.Input{Session: id, Text: text, ID: input, By: person("ada")}); decouple.KindOf(err) != want {
					t.Fatalf("saying %q: %v, want %q", text, err, want)
				}
			}
			idle := func(turns int) {
				t.Helper()
				s.until(id, fmt.Sprint("idle after turn ", turns), func(r journal.RunRow) bool {
					return r.Status == decouple.RunParked && r.Wait.Kind == decouple.WaitPerson && len(s.load(id).Children) == turns && !strings.Contains(s.turns(id), "open")
				})
			}
			idle(0)
			say("a", "1", "")
			idle(1)
			say("a", "1", "") // the same input again
			say("wait b", "2", "")
			<-m.began
			if busy == engine.BusyReject {
				say("c", "3", decouple.Conflict)
			} else {
				say("c", "3", "")
			}
			close(m.holding)
			n := 3
			if busy == engine.BusyReject {
				n = 2
			}
			idle(n)
			stop()
			s.reopen()
			plug()
			s.serve()
			say("d", "4", "")
			idle(n + 1)
			if got := s.turns(id); got != want {
				t.Errorf("the turns are %s, want %s", got, want)
			}
			turns, err := engine.Turns(t.Context(), s.store, decouple.LocalTenant, id)
			s.fine(err)
			var said []string
			for _, turn := range turns {
				said = append(said, turn.Text+" "+string(turn.State)+" "+turn.Answer)
			}
			wantSaid := map[engine.BusyPolicy]string{
				engine.BusyQueue:     "a answered a, wait b answered a+wait b, c answered a+wait b+c, d answered a+wait b+c+d",
				engine.BusyReject:    "a answered a, wait b answered a+wait b, d answered a+wait b+d",
				engine.BusyInterrupt: "a answered a, wait b ended , c answered a+wait b+c, d answered a+wait b+c+d",
			}[busy]
			if got := strings.Join(said, ", "); got != wantSaid {
				t.Errorf("what was said is %q, want %q", got, wantSaid)
			}
			_, err = s.eng.Cancel(t.Context(), decouple.LocalTenant, id, engine.Cancellation{By: "ada"})
			s.fine(err)
			s.ended(id)
			say("e", "5", decouple.Conflict)
		})
	}
}

// TestCompaction lets a conversation grow to more than the model shall be shown: the originals stay, and what the journal holds is little more than what is new.
func TestCompaction(t *testing.T) {
	t.Parallel()
	const calls = 100
	page := func(n int) string { return fmt.Sprintf("page %d ", n) + strings.Repeat(fmt.Sprintf("%08d ", n), 900) }
	var longest, elided int
	s := newStage(t, nil, worker(nil), wild{name: "pay", effect: decouple.EffectNone, do: func(_ context.Context, inv decouple.Invocation) (decouple.Outcome, error) {
		var a struct{ N int }
		err := json.Unmarshal(inv.Args, &a)
		return decouple.Outcome{Text: page(a.N)}, err
	}})
	var readBack string
	m := mute{answer: func(_ context.Context, req decouple.Request) (decouple.Answer, error) {
		size := 0
		elided = 0
		for _, msg := range req.Messages {
			for _, p := range msg.Parts {
				if p.Result != nil {
					size += len(p.Result.Text)
					if strings.Contains(p.Result.Text, "left out here") {
						elided++
					}
				}
			}
		}
		longest = max(longest, size)
		call := &decouple.ToolCall{ID: "a", Name: "pay", Args: json.RawMessage(fmt.Sprintf(`{"n":%d}`, req.Step))}
		switch {
		case req.Step == calls+1:
			call.Name, call.Args = decouple.ToolResultRead, json.RawMessage(`{"call":"1/1"}`)
		case req.Step > calls+1:
			readBack = req.Messages[len(req.Messages)-1].Parts[0].Result.Text
			return decouple.Answer{Message: decouple.Text(decouple.Assistant, "done")}, nil
		}
		return decouple.Answer{Message: decouple.Message{Parts: []decouple.Part{{Call: call}}}}, nil
	}}
	var err error
	s.eng, err = engine.New(engine.Config{Store: s.store, Model: m, Tools: s.tools, Agents: s.set})
	s.fine(err)
	id := s.start("worker", "q", decouple.Envelope{})
	st := s.drive(id)
	unique := 0
	for n := range calls {
		unique += len(page(n + 1))
		if st.Calls[n].Outcome.Text != page(n+1) {
			t.Fatalf("the original of call %d is gone", n+1)
		}
	}
	unique += len(page(1)) // read once more
	written := 0
	events, err := s.store.Read(t.Context(), decouple.RunStream(decouple.LocalTenant, id), 0, 0)
	s.fine(err)
	for _, e := range events {
		written += len(journal.Encode(e))
	}
	if written > unique*13/10 || unique < 800_000 {
		t.Errorf("%d bytes of new content took %d in the journal, over 1.3 times as much", unique, written)
	}
	if elided == 0 || longest > 500_000 {
		t.Errorf("the model was shown %d bytes at most, with %d results elided at the end", longest, elided)
	}
	if readBack != page(1) {
		t.Errorf("what was left out came back as %.60q", readBack)
	}
	if again := s.load(id); !slices.EqualFunc(again.Messages, st.Messages, func(a, b decouple.Message) bool { return a.Text() == b.Text() }) {
		t.Error("the conversation is read back otherwise")
	}
	t.Logf("%d bytes unique, %d written (%.3f), at most %d shown", unique, written, float64(written)/float64(unique), longest)
}

// TestExplain names what each unfinished run waits for, and what nobody will wake.
func TestExplain(t *testing.T) {
	t.Parallel()
	lines := map[string][]string{
		"lead": {"spawn:worker:asks spawn:worker:sleeps spawn:worker:signals", "say:done"}, "asks": {"pay:1"}, "sleeps": {"time.sleep:1"}, "signals": {"signal.wait:1"},
	}
	set := append(asking(decouple.Approval{Tool: "pay"}), decouple.Agent{Name: "lead", Version: "v1", Agents: []decouple.AgentName{"worker"}, Prompt: "lead"})
	s := newStage(t, lines, set, &payments{effect: decouple.EffectOnce})
	m := mute{answer: func(ctx context.Context, req decouple.Request) (decouple.Answer, error) {
		a, err := s.model.Answer(ctx, req)
		for _, p := range a.Message.Parts {
			switch {
			case p.Call != nil && p.Call.Name == decouple.ToolSleep:
				p.Call.Args = json.RawMessage(`{"for":"1h"}`)
			case p.Call != nil && p.Call.Name == decouple.ToolSignal:
				p.Call.Args = json.RawMessage(`{"name":"paid"}`)
			}
		}
		return a, err
	}}
	var err error
	s.eng, err = engine.New(engine.Config{Store: s.store, Model: m, Tools: s.tools, Agents: s.set})
	s.fine(err)
	id := s.start("lead", "q", decouple.Envelope{})
	stop := s.serve()
	s.parked(id, decouple.WaitChild)
	s.parked(id+".1", decouple.WaitPerson)
	s.parked(id+".2", decouple.WaitTimer)
	s.parked(id+".3", decouple.WaitTool)
	stop()
	why, err := engine.Explain(t.Context(), s.store, decouple.LocalTenant, id)
	s.fine(err)
	var got []string
	for _, w := range why {
		if w.Since.IsZero() {
			t.Errorf("%s does not say since when", w.Run)
		}
		got = append(got, fmt.Sprintf("%s %s: %s (stuck %v)", strings.TrimPrefix(string(w.Run), string(id)), w.Wait, w.For, w.Stuck))
	}
	want := []string{
		" child: its child " + string(id) + ".1 and 2 more (stuck false)", ".1 person: a person: approval of call 1/1 (pay) (stuck false)",
		".2 timer: call 1/1 (time.sleep) (stuck false)", ".3 tool: the signal paid (stuck false)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("it says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// A run that parks for a child that it does not have: no commit of the engine's does that, and it must be named.
	row := s.row(id)
	s.store.Close()
	s.open()
	stuck := decouple.RunID("rstuck")
	_, err = s.store.Commit(t.Context(), journal.Mutation{ID: "x", Create: []journal.NewRun{{Run: decouple.Run{ID: stuck, Root: stuck, Tenant: row.Tenant, Agent: "worker", Version: "v1"}}}})
	s.fine(err)
	c, err := s.store.Claim(t.Context(), journal.Want{Root: stuck})
	s.fine(err)
	_, err = s.store.Commit(t.Context(), journal.Mutation{
		ID: "y", Stream: decouple.RunStream(row.Tenant, stuck), Expect: c.Seq, Epoch: c.Epoch,
		Status: &journal.StatusChange{Status: decouple.RunParked, Wait: decouple.Wait{Kind: decouple.WaitChild, For: "nobody"}, Until: 1},
	})
	s.fine(err)
	why, err = engine.Explain(t.Context(), s.store, row.Tenant, stuck)
	if s.fine(err); len(why) != 1 || !why[0].Stuck || why[0].Remedy == "" {
		t.Errorf("a run that nobody will wake: %+v", why)
	}
}
