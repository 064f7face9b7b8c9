package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
)

// mute is a model that answers what a test says.
type mute struct {
	price  decouple.Price
	answer func(ctx context.Context, req decouple.Request) (decouple.Answer, error)
}

// Price is what the test says.
func (m mute) Price(string) decouple.Price { return m.price }

// Answer is what the test says.
func (m mute) Answer(ctx context.Context, req decouple.Request) (decouple.Answer, error) {
	return m.answer(ctx, req)
}

// wild is a tool that does what a test says.
type wild struct {
	name   string
	effect decouple.Effect
	do     func(ctx context.Context, inv decouple.Invocation) (decouple.Outcome, error)
}

// Spec describes it.
func (w wild) Spec() decouple.ToolSpec { return decouple.ToolSpec{Name: w.name, Effect: w.effect} }

// Do does what the test says.
func (w wild) Do(ctx context.Context, inv decouple.Invocation) (decouple.Outcome, error) {
	return w.do(ctx, inv)
}

// replace puts another model, and other tools, under the world's agents.
func (w *world) replace(m engine.Model, tools ...decouple.Tool) {
	w.t.Helper()
	if len(tools) == 0 {
		tools = []decouple.Tool{w.look, w.act}
	}
	var err error
	if w.eng, err = engine.New(engine.Config{Store: w.store, Model: m, Tools: tools, Agents: agents()}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) load(id decouple.RunID) engine.State {
	w.t.Helper()
	s, err := engine.Load(w.t.Context(), w.store, decouple.LocalTenant, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// TestPanics looks that a fault of a tool or of a model ends no more than its own call, or its own run.
func TestPanics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string][]string{"worker": {"look:a act:b", "say:done"}})
	bad := wild{name: "look", effect: decouple.EffectNone, do: func(context.Context, decouple.Invocation) (decouple.Outcome, error) { panic("no idea") }}
	w.replace(w.model, bad, w.act)
	s := w.drive(w.start("worker", "q", decouple.Envelope{}))
	if r := s.Messages[2].Parts[0].Result; s.Answer != "done" || !r.Error || !strings.Contains(r.Text, "no idea") {
		t.Errorf("after a panic of a tool the run ended as %v; its agent was told %q", s.Cause, r.Text)
	}
	w.replace(mute{answer: func(context.Context, decouple.Request) (decouple.Answer, error) { panic("no answer") }})
	s = w.drive(w.start("worker", "q", decouple.Envelope{}))
	if s.Cause.Kind != decouple.CauseFailed || !strings.Contains(s.Cause.Why, "no answer") {
		t.Errorf("after a panic of the model the run ended as %v", s.Cause)
	}
}

// TestHangingTool gives a tool that waits for its context no more than the run's time.
func TestHangingTool(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string][]string{"worker": {"look:a", "say:done"}})
	slow := wild{name: "look", effect: decouple.EffectNone, do: func(ctx context.Context, _ decouple.Invocation) (decouple.Outcome, error) {
		<-ctx.Done()
		return decouple.Outcome{}, ctx.Err()
	}}
	w.replace(w.model, slow, w.act)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s, err := w.eng.Drive(ctx, decouple.LocalTenant, w.start("worker", "q", decouple.Envelope{Time: 30 * time.Millisecond}))
	if err != nil || s.Cause.Kind != decouple.CauseDeadline {
		t.Errorf("a run whose tool hangs ended as %v: %v", s.Cause, err)
	}
}

// TestGarbage has a model say what no model should.
func TestGarbage(t *testing.T) {
	t.Parallel()
	call := func(id, name, args string) decouple.Part {
		return decouple.Part{Call: &decouple.ToolCall{ID: id, Name: name, Args: json.RawMessage(args)}}
	}
	many := make([]decouple.Part, 100)
	for i := range many {
		many[i] = call("same", "look", `{"n": "x"}`)
	}
	for name, parts := range map[string][]decouple.Part{
		"nothing":        nil,
		"an empty part":  {{}},
		"broken JSON":    {call("a", "look", `{"n": `)},
		"no arguments":   {call("", "look", ""), call("", "act", "")},
		"bytes":          {{Text: "a\xff\xfeb"}, call("a", "look", "{\"n\":\"\xff\"}")},
		"unknown tool":   {call("a", "fly", "{}")},
		"a broken spawn": {call("a", decouple.ToolSpawn, `["x"]`), call("a", decouple.ToolSpawn, `{"agent":"nobody","task":{"question":"q"}}`)},
		"much":           {call("a", "look", `{"n":"`+strings.Repeat("long ", 50_000)+`"}`)},
		"100 calls":      many,
		"a result":       {{Result: &decouple.ToolResult{ID: "z", Text: "made up"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			var mu sync.Mutex
			var seen []decouple.Message
			w.replace(mute{answer: func(_ context.Context, req decouple.Request) (decouple.Answer, error) {
				mu.Lock()
				defer mu.Unlock()
				if seen = req.Messages; req.Step == 1 {
					return decouple.Answer{Message: decouple.Message{Role: "oracle", Parts: parts}}, nil
				}
				return decouple.Answer{Message: decouple.Text("", "end")}, nil
			}})
			id := w.start("worker", "q", decouple.Envelope{Steps: 5})
			s := w.drive(id)
			if s.Cause.Kind != decouple.CauseDone {
				t.Errorf("it ended as %v", s.Cause)
			}
			ids := map[string]bool{}
			for _, m := range seen {
				for _, c := range m.Calls() {
					if ids[c.ID] || c.ID == "" || !json.Valid(c.Args) {
						t.Errorf("the model is told of call %q with arguments %.40q", c.ID, c.Args)
					}
					ids[c.ID] = true
				}
			}
		})
	}
}

// TestToolsThatAreGone resumes a run whose agent knows a tool that this program lacks.
func TestToolsThatAreGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string][]string{"old": {"look:a", "say:done"}})
	old := decouple.Agent{Name: "old", Version: "v1", Tools: []string{"look", "gone"}, Agents: []decouple.AgentName{"old"}, Prompt: "old"}
	gone := wild{name: "gone", effect: decouple.EffectNone}
	eng, err := engine.New(engine.Config{Store: w.store, Model: w.model, Tools: []decouple.Tool{w.look, gone}, Agents: []decouple.Agent{old}})
	if err != nil {
		t.Fatal(err)
	}
	w.eng = eng
	id := w.start("old", "q", decouple.Envelope{})
	w.replace(w.model)
	if s := w.drive(id); s.Answer != "done" {
		t.Errorf("the run ended as %v", s.Cause)
	}
	w.eng, w.model.lines["old"] = eng, []string{"spawn:old:more", "say:done"}
	id = w.start("old", "q", decouple.Envelope{})
	w.replace(w.model)
	if s := w.drive(id); s.Cause.Kind != decouple.CauseFailed || !strings.Contains(s.Cause.Why, "not here") {
		t.Errorf("a run that spawns an agent that is not here ended as %v", s.Cause)
	}
}

// TestMissingAgents refuses a set of agents that names others it lacks, and tools that do not say what calling them twice does.
func TestMissingAgents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, a := range []decouple.Agent{{Name: "a", Agents: []decouple.AgentName{"b"}}, {Name: "a", Writer: "b"}} {
		if _, err := engine.New(engine.Config{Store: w.store, Model: w.model, Agents: []decouple.Agent{a}}); decouple.KindOf(err) != decouple.Invalid {
			t.Errorf("%+v: %v", a, err)
		}
	}
	silent := wild{name: "pay"}
	if _, err := engine.New(engine.Config{Store: w.store, Model: w.model, Tools: []decouple.Tool{silent}, Agents: agents()[3:]}); decouple.KindOf(err) != decouple.Invalid {
		t.Errorf("a tool that does not say its effect: %v", err)
	}
}

// TestCancelKeepsResults cancels a run while its model is asked, when the results of tools and children are not yet in the journal.
func TestCancelKeepsResults(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string][]string{"lead": {"look:a spawn:worker:child", "hang"}, "child": {"look:b", "say:child_done"}})
	id := w.start("lead", "q", decouple.Envelope{})
	go func() {
		<-w.model.hang
		if _, err := w.eng.Cancel(context.Background(), decouple.LocalTenant, id, engine.Cancellation{By: "somebody"}); err != nil {
			t.Error(err)
		}
	}()
	s := w.drive(id)
	if s.Cause.Kind != decouple.CauseCanceled || s.Children[0].End == nil || s.Children[0].End.Answer != "child done" {
		t.Errorf("ended as %v; of its child the journal knows %+v", s.Cause, s.Children[0].End)
	}
	// 220 tokens of the child, 110 of the root, and the call that was stopped, at its most.
	if used := s.Used(); used.ToolCalls != 2 || used.Agents != 2 || used.Tokens < 330+4096 {
		t.Errorf("used is %+v", used)
	}
}

// TestInterruptSettles interrupts a call of a model: what it may have cost is counted, and what the run did before is still in its row.
func TestInterruptSettles(t *testing.T) {
	t.Parallel()
	for _, local := range []bool{false, true} {
		w := newWorld(t, map[string][]string{"worker": {"look:a", "hang"}})
		w.model.price.Local = local
		id := w.start("worker", "q", decouple.Envelope{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-w.model.hang; cancel() }()
		s, err := w.eng.Drive(ctx, decouple.LocalTenant, id)
		if decouple.KindOf(err) != decouple.Canceled {
			t.Fatal(err)
		}
		if used := s.Used().Tokens; (used < 4096) != local {
			t.Errorf("local %v: after the interruption %d tokens are counted", local, used)
		}
	}
}

// late is a store that does something right after a run was claimed, before anybody works on it.
type late struct {
	journal.Store
	after func(c journal.Claim)
}

// Claim claims, and does what the test says.
func (l *late) Claim(ctx context.Context, w journal.Want) (journal.Claim, error) {
	c, err := l.Store.Claim(ctx, w)
	if err == nil {
		l.after(c)
	}
	return c, err
}

// TestCancelClaimed cancels a run that is claimed and not yet at work.
func TestCancelClaimed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string][]string{"worker": {"look:a", "look:b", "say:done"}})
	w.wrap = func(s journal.Store) journal.Store {
		return &late{s, func(c journal.Claim) {
			if _, err := w.eng.Cancel(context.Background(), decouple.LocalTenant, c.Run.ID, engine.Cancellation{By: "somebody"}); err != nil {
				t.Error(err)
			}
		}}
	}
	w.reopen()
	if s := w.drive(w.start("worker", "q", decouple.Envelope{})); s.Cause.Kind != decouple.CauseCanceled || s.Steps != 0 {
		t.Errorf("after %d steps it ended as %v", s.Steps, s.Cause)
	}
}

// TestCancelReachesChildren tells the root alone, as happens when a child is spawned while somebody cancels: the child, hanging, is stopped too.
func TestCancelReachesChildren(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string][]string{"lead": {"spawn:worker:hangs", "say:done"}, "hangs": {"hang"}})
	id := w.start("lead", "q", decouple.Envelope{})
	go func() {
		<-w.model.hang
		_, err := w.store.Commit(context.Background(), journal.Mutation{
			ID: "cancel", Stream: decouple.RunStream(decouple.LocalTenant, id),
			Put: []journal.Put{{To: id, Kind: "cancel", From: "x", Body: []byte(`{"by":"x"}`), Urgent: true}},
		})
		if err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := w.eng.Drive(ctx, decouple.LocalTenant, id); err != nil {
		t.Fatal(err)
	}
	if s := w.load(id + ".1"); s.Cause.Kind != decouple.CauseCanceled {
		t.Errorf("the child ended as %v", s.Cause)
	}
}

// TestInterruptBeforeWork interrupts a drive between the claim of a run that an ended process left and the work on it: the call that was lost with
// that process is settled, and the row still says what the run did.
func TestInterruptBeforeWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string][]string{"worker": {"act:a", "look:b", "say:done"}})
	d := &dying{left: 4}
	w.wrap = func(s journal.Store) journal.Store { d.Store = s; return d }
	w.reopen()
	id := w.start("worker", "q", decouple.Envelope{})
	if _, err := w.eng.Drive(t.Context(), decouple.LocalTenant, id); !errors.Is(err, errDied) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.wrap = func(s journal.Store) journal.Store { return &late{s, func(journal.Claim) { cancel() }} }
	w.reopen()
	if n, err := w.eng.Resume(t.Context(), decouple.LocalTenant, id); n != 1 || err != nil {
		t.Fatalf("resumed %d: %v", n, err)
	}
	if _, err := w.eng.Drive(ctx, decouple.LocalTenant, id); decouple.KindOf(err) != decouple.Canceled {
		t.Fatal(err)
	}
	rows, err := w.store.Runs(t.Context(), journal.RunFilter{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	if r := rows[0]; r.Steps != 1 || r.Wait.Kind != decouple.WaitInterrupted {
		t.Errorf("the row says %d steps, %s, %v", r.Steps, r.Status, r.Wait)
	}
	s := w.load(id)
	if used := s.Used().Tokens; used < 4096 {
		t.Errorf("%d tokens are counted, without those of the call that was lost", used)
	}
}

// TestTenants starts the same agent for two tenants: each has its own copy of the agent's version.
func TestTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string][]string{"worker": {"say:done"}})
	for _, tenant := range []decouple.TenantID{"one", "two"} {
		id, err := w.eng.Start(t.Context(), engine.Start{Tenant: tenant, Agent: "worker", Task: decouple.Task{Question: "q"}})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := w.eng.Drive(t.Context(), tenant, id); err != nil || s.Answer != "done" {
			t.Errorf("%s: %v, %v", tenant, s.Cause, err)
		}
	}
}

// TestRepeatsEnd has a model ask for the same thing for ever, without any limit.
func TestRepeatsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var steps int
	w.replace(mute{answer: func(_ context.Context, req decouple.Request) (decouple.Answer, error) {
		if steps = req.Step; req.NoTools || steps > 50 {
			return decouple.Answer{Message: decouple.Text(decouple.Assistant, "enough")}, nil
		}
		call := &decouple.ToolCall{ID: "a", Name: "act", Args: json.RawMessage(`{"n":"error"}`)}
		return decouple.Answer{Message: decouple.Message{Role: decouple.Assistant, Parts: []decouple.Part{{Call: call}}}}, nil
	}})
	if s := w.drive(w.start("worker", "q", decouple.Envelope{})); steps > 10 || s.Answer != "enough" {
		t.Errorf("it took %d steps and ended as %v with %q", steps, s.Cause, s.Answer)
	}
}

// TestWriterWithoutCalls uses up the tool calls of an envelope: the write-up keeps its share of them, and has no more than that.
func TestWriterWithoutCalls(t *testing.T) {
	t.Parallel()
	for _, calls := range []int64{1, 2, 10} {
		w := newWorld(t, nil)
		w.model.lines = map[string][]string{
			"chief":  {"look:1 look:2 look:3 look:4 look:5 look:6 look:7 look:8 look:9 look:10 look:11", "say:done"},
			"writer": {"look:a", "look:b", "look:c", "look:d", "say:written"},
		}
		with := agents()
		with[3].Tools = []string{"look"}
		var err error
		if w.eng, err = engine.New(engine.Config{Store: w.store, Model: w.model, Tools: []decouple.Tool{w.look, w.act}, Agents: with}); err != nil {
			t.Fatal(err)
		}
		s := w.drive(w.start("chief", "q", decouple.Envelope{ToolCalls: calls}))
		wrote := 0
		for _, d := range w.look.done {
			if strings.Contains(d, ".1:") {
				wrote++
			}
		}
		if used := s.Used().ToolCalls; used > calls || int64(len(w.look.done)) != used || calls > 1 && wrote == 0 {
			t.Errorf("of %d tool calls %d are counted and %d were made, %d by the writer", calls, used, len(w.look.done), wrote)
		}
	}
}

// TestWokenForNothing wakes a parked parent twice without a message: each time it parks again, and its child's end still reaches it.
func TestWokenForNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string][]string{"lead": {"spawn:worker:child", "say:done"}, "child": {"say:child_done"}})
	parked, release := make(chan struct{}, 8), make(chan struct{})
	model := mute{price: w.model.price, answer: func(ctx context.Context, req decouple.Request) (decouple.Answer, error) {
		if req.Run.Depth() > 0 {
			<-release
		}
		return w.model.Answer(ctx, req)
	}}
	var err error
	w.eng, err = engine.New(engine.Config{Store: w.store, Model: model, Tools: []decouple.Tool{w.look, w.act}, Agents: agents(), Watch: func(s engine.Signal) {
		if s.Kind == engine.SignalParked {
			parked <- struct{}{}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	id := w.start("lead", "q", decouple.Envelope{})
	go func() {
		defer close(release)
		for _, n := range []decouple.CommitID{"1", "2"} {
			<-parked
			_, err := w.store.Commit(context.Background(), journal.Mutation{
				ID: n, Stream: decouple.RunStream(decouple.LocalTenant, id), Expect: 2, Status: &journal.StatusChange{Status: decouple.RunReady},
			})
			if err != nil {
				t.Error(err)
			}
		}
		<-parked
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if s, err := w.eng.Drive(ctx, decouple.LocalTenant, id); err != nil || s.Answer != "done" {
		t.Errorf("the parent ended as %v: %v", s.Cause, err)
	}
}

// TestClaimBeforeCall looks into the journal while a model is asked: a process that dies now leaves a run that is known to have been at work.
func TestClaimBeforeCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.replace(mute{answer: func(ctx context.Context, req decouple.Request) (decouple.Answer, error) {
		r, err := sqlite.OpenReader(ctx, w.dir)
		if err != nil {
			return decouple.Answer{}, err
		}
		defer r.Close()
		rows, err := r.Runs(ctx, journal.RunFilter{ID: req.Run})
		if err == nil && rows[0].Status != decouple.RunRunning {
			t.Errorf("while its model is asked the run is %s", rows[0].Status)
		}
		return decouple.Answer{Message: decouple.Text(decouple.Assistant, "done")}, err
	}})
	w.drive(w.start("worker", "q", decouple.Envelope{}))
}

// TestCancelActor looks who is said to have canceled.
func TestCancelActor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string][]string{"worker": {"say:done"}})
	id := w.start("worker", "q", decouple.Envelope{})
	if _, err := w.eng.Cancel(t.Context(), decouple.LocalTenant, id, engine.Cancellation{By: "somebody"}); err != nil {
		t.Fatal(err)
	}
	w.drive(id)
	events, err := w.store.Read(t.Context(), decouple.RunStream(decouple.LocalTenant, id), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if e := events[1]; e.Kind != "run.canceled" || e.Actor.ID != "somebody" || e.Causation != events[0].ID || e.RootRun != id || e.Trace == "" {
		t.Errorf("the cancel is kept as %+v", e)
	}
}
