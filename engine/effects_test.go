package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
)

// stage is a world with agents and tools of a test's own.
type stage struct {
	*world
	set   []decouple.Agent
	tools []decouple.Tool
}

func newStage(t *testing.T, lines map[string][]string, set []decouple.Agent, tools ...decouple.Tool) *stage {
	s := &stage{world: newWorld(t, lines), set: set, tools: tools}
	s.plug()
	return s
}

func (s *stage) plug() {
	s.t.Helper()
	var err error
	if s.eng, err = engine.New(engine.Config{Store: s.store, Model: s.model, Tools: s.tools, Agents: s.set, MaxResult: 1 << 20}); err != nil {
		s.t.Fatal(err)
	}
}

// crash ends the store as the death of its process would, and opens it again; what was running is left.
func (s *stage) crash(id decouple.RunID) {
	s.t.Helper()
	s.reopen()
	s.plug()
	if _, err := s.eng.Resume(s.t.Context(), decouple.LocalTenant, id); err != nil {
		s.t.Fatal(err)
	}
}

// serve has a node at work until the test ends or stop is called.
func (s *stage) serve() (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- s.eng.Serve(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				s.t.Error(err)
			}
		})
	}
	s.t.Cleanup(stop)
	return stop
}

// until looks until a run stands as wanted.
func (s *stage) until(id decouple.RunID, what string, ok func(journal.RunRow) bool) journal.RunRow {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	var row journal.RunRow
	look := func() bool {
		rows, err := s.store.Runs(ctx, journal.RunFilter{ID: id})
		if err == nil && len(rows) == 1 {
			row = rows[0]
		}
		return err == nil && len(rows) == 1 && ok(row)
	}
	for !look() { // a run may park without an event
		select {
		case <-ctx.Done():
			s.t.Fatalf("run %s is %s, waiting for %v, and never %s", id, row.Status, row.Wait, what)
		case <-time.After(2 * time.Millisecond):
		}
	}
	return row
}

func (s *stage) parked(id decouple.RunID, wait decouple.WaitKind) journal.RunRow {
	s.t.Helper()
	return s.until(id, "parked for "+string(wait), func(r journal.RunRow) bool { return r.Status == decouple.RunParked && r.Wait.Kind == wait })
}

func (s *stage) ended(id decouple.RunID) engine.State {
	s.t.Helper()
	s.until(id, "ended", func(r journal.RunRow) bool { return r.Status == decouple.RunEnded })
	return s.load(id)
}

func (s *stage) ledger(id decouple.RunID) string {
	s.t.Helper()
	es, err := engine.Effects(s.t.Context(), s.store, decouple.LocalTenant, id)
	if err != nil {
		s.t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range es {
		fmt.Fprintf(&b, "%s %s %s %s x%d %s %q\n", e.Call, e.Tool, e.Effect, e.State, e.Attempts, e.Resolved, e.Result)
	}
	return b.String()
}

func (s *stage) fine(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func worker(more func(*decouple.Agent)) []decouple.Agent {
	a := decouple.Agent{Name: "worker", Version: "v1", Tools: []string{"pay", "time.sleep", "signal.wait"}, Prompt: "worker"}
	if more != nil {
		more(&a)
	}
	return []decouple.Agent{a}
}

func person(id string) decouple.Actor { return decouple.Actor{Kind: decouple.ActorPerson, ID: id} }

// payments is a tool with an effect that counts what it did, by key. It dies in the middle where the test says.
type payments struct {
	effect decouple.Effect
	query  string
	mu     sync.Mutex
	made   []string // keys, in order
	do     func(n int) error
	quiet  time.Duration
}

// Spec describes it.
func (p *payments) Spec() decouple.ToolSpec {
	return decouple.ToolSpec{Name: "pay", Effect: p.effect, Query: p.query, Timeout: 300 * time.Millisecond, Heartbeat: p.quiet}
}

// Do pays.
func (p *payments) Do(ctx context.Context, inv decouple.Invocation) (decouple.Outcome, error) {
	p.mu.Lock()
	p.made = append(p.made, inv.Key)
	n := len(p.made)
	p.mu.Unlock()
	if p.quiet > 0 {
		<-ctx.Done()
		return decouple.Outcome{}, ctx.Err()
	}
	if p.do != nil {
		if err := p.do(n); err != nil {
			return decouple.Outcome{}, err
		}
	}
	return decouple.Outcome{Text: fmt.Sprintf("paid %s attempt %d", inv.Key, inv.Attempt)}, nil
}

// halting is a store that stops its process right before the commit that would bring an outcome.
type halting struct {
	journal.Store
	when func(journal.Mutation) bool
}

// Commit commits, or dies.
func (h halting) Commit(ctx context.Context, m journal.Mutation) (journal.Receipt, error) {
	if h.when(m) {
		return journal.Receipt{}, errDied
	}
	return h.Store.Commit(ctx, m)
}

func hasKind(kind decouple.EventKind) func(journal.Mutation) bool {
	return func(m journal.Mutation) bool {
		return slices.ContainsFunc(m.Events, func(e journal.NewEvent) bool { return e.Kind == kind })
	}
}

// dieAfterCall drives a run whose process dies between a call and the commit of its result.
func (s *stage) dieAfterCall(id decouple.RunID) {
	s.t.Helper()
	eng, err := engine.New(engine.Config{Store: halting{s.store, hasKind("tools.returned")}, Model: s.model, Tools: s.tools, Agents: s.set})
	s.fine(err)
	if _, err := eng.Drive(s.t.Context(), decouple.LocalTenant, id); !errors.Is(err, errDied) {
		s.t.Fatalf("the process was to die, and Drive says %v", err)
	}
	s.crash(id)
}

// TestEffectsOverCrash lets a process die after a call and before its result is kept, for each effect.
func TestEffectsOverCrash(t *testing.T) {
	t.Parallel()
	for _, effect := range []decouple.Effect{decouple.EffectIdempotent, decouple.EffectKeyed} {
		pay := &payments{effect: effect}
		s := newStage(t, map[string][]string{"worker": {"pay:10", "say:done"}}, worker(nil), pay)
		id := s.start("worker", "q", decouple.Envelope{})
		s.dieAfterCall(id)
		if st := s.drive(id); st.Cause.Kind != decouple.CauseDone {
			t.Errorf("%s: ended as %v", effect, st.Cause)
		}
		if key := string(id) + "/1/1"; !slices.Equal(pay.made, []string{key, key}) {
			t.Errorf("%s: called with the keys %v, want %s twice", effect, pay.made, key)
		}
	}
}

// TestOnceOverCrash does the same for a call that must not be made twice: it is not, and a person says what became of it.
func TestOnceOverCrash(t *testing.T) {
	t.Parallel()
	for _, redo := range []bool{false, true} {
		pay := &payments{effect: decouple.EffectOnce}
		s := newStage(t, map[string][]string{"worker": {"pay:10", "say:done"}}, worker(nil), pay)
		id := s.start("worker", "q", decouple.Envelope{})
		s.dieAfterCall(id)
		s.serve()
		s.parked(id, decouple.WaitPerson)
		if got := s.ledger(id); !strings.HasPrefix(got, "1/1 pay once unknown x1 ") || len(pay.made) != 1 {
			t.Errorf("after the crash the ledger says %s and it was called %d times", got, len(pay.made))
		}
		r := engine.Resolution{Run: id, Call: "1/1", Redo: redo, Text: "seen on the statement", Why: "asked the bank", By: person("ada")}
		agent := r
		agent.By = decouple.Actor{Kind: decouple.ActorAgent, ID: "worker"}
		if err := s.eng.Resolve(t.Context(), agent); decouple.KindOf(err) != decouple.Denied {
			t.Errorf("an agent resolved: %v", err)
		}
		other := r
		other.Call = "2/1"
		if err := s.eng.Resolve(t.Context(), other); decouple.KindOf(err) != decouple.NotFound {
			t.Errorf("a call that is not in doubt was resolved: %v", err)
		}
		s.fine(s.eng.Resolve(t.Context(), r))
		st := s.ended(id)
		want := 1
		if redo {
			want = 2
		} else if st.Calls[0].Outcome.Text != r.Text {
			t.Errorf("the model was told %q", st.Calls[0].Outcome.Text)
		}
		if len(pay.made) != want || st.Cause.Kind != decouple.CauseDone {
			t.Errorf("redo %v: called %d times, ended as %v", redo, len(pay.made), st.Cause)
		}
		if got := s.ledger(id); !strings.Contains(got, " done ") || !strings.Contains(got, "person ada") {
			t.Errorf("redo %v: the ledger says %s", redo, got)
		}
	}
}

// TestOnceWithQuery has the tool's query say what became of the call.
func TestOnceWithQuery(t *testing.T) {
	t.Parallel()
	for status, want := range map[decouple.QueryStatus]string{decouple.QueryDone: "done x1", decouple.QueryNotDone: "done x2", "": "unknown x1"} {
		pay := &payments{effect: decouple.EffectOnce, query: "asked"}
		var asked []string
		query := wild{name: "asked", do: func(_ context.Context, inv decouple.Invocation) (decouple.Outcome, error) {
			asked = append(asked, inv.Key)
			return decouple.Outcome{Text: "it was paid", Status: status}, nil
		}, effect: decouple.EffectNone}
		s := newStage(t, map[string][]string{"worker": {"pay:10", "say:done"}}, worker(nil), pay, query)
		id := s.start("worker", "q", decouple.Envelope{})
		s.dieAfterCall(id)
		s.serve()
		if status == "" {
			s.parked(id, decouple.WaitPerson)
		} else {
			s.ended(id)
		}
		if got := s.ledger(id); !strings.Contains(got, want) || !slices.Equal(asked, []string{string(id) + "/1/1"}) {
			t.Errorf("%q: the ledger says %s, asked %v", status, got, asked)
		}
	}
}

// TestRetries has a tool fail: by the kind of its error it is tried again under the same key, told to the model, or in doubt.
func TestRetries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		effect decouple.Effect
		kind   decouple.Kind
		want   string
	}{
		{decouple.EffectKeyed, decouple.Unavailable, "1/1 pay keyed done x3"},
		{decouple.EffectKeyed, decouple.Invalid, "1/1 pay keyed failed x1"},
		{decouple.EffectOnce, decouple.Unavailable, "1/1 pay once done x3"},
		{decouple.EffectOnce, decouple.Unknown, "1/1 pay once unknown x1"},
		{decouple.EffectOnce, decouple.Deadline, "1/1 pay once unknown x1"},
		{decouple.EffectOnce, decouple.Internal, "1/1 pay once unknown x1"},
	} {
		t.Run(string(c.effect)+" "+string(c.kind), func(t *testing.T) {
			t.Parallel()
			pay := &payments{effect: c.effect, do: func(n int) error {
				if n < 3 {
					return decouple.Errorf(c.kind, "try %d", n)
				}
				return nil
			}}
			s := newStage(t, map[string][]string{"worker": {"pay:10", "say:done"}}, worker(nil), pay)
			id := s.start("worker", "q", decouple.Envelope{})
			s.serve()
			if strings.Contains(c.want, "unknown") {
				s.parked(id, decouple.WaitPerson)
			} else {
				s.ended(id)
			}
			if got := s.ledger(id); !strings.HasPrefix(got, c.want) {
				t.Errorf("the ledger says %s, want %s", got, c.want)
			}
			if len(slices.Compact(slices.Clone(pay.made))) != 1 {
				t.Errorf("the keys are %v", pay.made)
			}
		})
	}
}

// TestHeartbeat stops a tool that gives no sign of life.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	pay := &payments{effect: decouple.EffectOnce, quiet: 20 * time.Millisecond}
	s := newStage(t, map[string][]string{"worker": {"pay:10", "say:done"}}, worker(nil), pay)
	id := s.start("worker", "q", decouple.Envelope{})
	s.serve()
	s.parked(id, decouple.WaitPerson)
	if got := s.ledger(id); !strings.Contains(got, "no sign of life") {
		t.Errorf("the ledger says %s", got)
	}
}

func asking(rules ...decouple.Approval) []decouple.Agent {
	return worker(func(a *decouple.Agent) { a.Approve = rules })
}

// TestApprovals walks the ways of a decision.
func TestApprovals(t *testing.T) {
	t.Parallel()
	always := decouple.Approval{Tool: "pay"}
	big := decouple.Approval{Tool: "pay", When: "n == '10'", By: []string{"ada", "bob", "cid"}, Quorum: 2}
	for name, c := range map[string]struct {
		rules []decouple.Approval
		words []string // "ada yes", "bob no"; a word after it is the kind of the error that is expected
		want  string
		made  int
	}{
		"one yes":             {[]decouple.Approval{always}, []string{"ada yes"}, "done", 1},
		"one no":              {[]decouple.Approval{always}, []string{"ada no"}, "refused", 0},
		"starter":             {[]decouple.Approval{always}, []string{"local yes denied", "ada yes"}, "done", 1},
		"agent":               {[]decouple.Approval{always}, []string{"agent:worker yes denied", "ada yes"}, "done", 1},
		"quorum":              {[]decouple.Approval{big}, []string{"dan yes denied", "ada yes", "ada yes conflict", "bob yes"}, "done", 1},
		"veto":                {[]decouple.Approval{big}, []string{"ada yes", "bob no"}, "refused", 0},
		"two rules":           {[]decouple.Approval{big, {Tool: "pay", By: []string{"eve"}}}, []string{"ada yes", "bob yes", "eve yes"}, "done", 1},
		"condition not met":   {[]decouple.Approval{{Tool: "pay", When: "n == '11'"}}, nil, "done", 1},
		"condition not clear": {[]decouple.Approval{{Tool: "pay", When: "n > 5"}}, []string{"ada yes"}, "done", 1},
		"expiry":              {[]decouple.Approval{{Tool: "pay", Expires: 50 * time.Millisecond}}, nil, "refused", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pay := &payments{effect: decouple.EffectOnce}
			s := newStage(t, map[string][]string{"worker": {"pay:10", "say:done"}}, asking(c.rules...), pay)
			id := s.start("worker", "q", decouple.Envelope{Time: time.Minute})
			stop := s.serve()
			for i, w := range c.words {
				word := strings.Fields(w)
				s.parked(id, decouple.WaitPerson)
				if i == 0 { // waiting outlives the process, and a new version of the agent
					stop()
					s.set = worker(func(a *decouple.Agent) { a.Version = "v2" })
					s.crash(id)
					stop = s.serve()
				}
				by := person(word[0])
				if kind, name, ok := strings.Cut(word[0], ":"); ok {
					by = decouple.Actor{Kind: decouple.ActorKind(kind), ID: name}
				}
				list, err := engine.Approvals(t.Context(), s.store, decouple.LocalTenant, id)
				if err != nil || len(list) != 1 || string(list[0].Args) != `{"n":"10"}` {
					t.Fatalf("waiting are %+v, %v", list, err)
				}
				seq := s.row(id).Seq
				err = s.eng.Decide(t.Context(), engine.Decision{Run: id, Call: list[0].Call, Approve: word[1] == "yes", Why: "because", By: by})
				want := decouple.Kind("")
				if len(word) > 2 {
					want = decouple.Kind(word[2])
				}
				if decouple.KindOf(err) != want {
					t.Fatalf("%s: %v", w, err)
				}
				if err == nil {
					s.until(id, "told", func(r journal.RunRow) bool { return r.Seq > seq })
				}
			}
			st := s.ended(id)
			if got := s.ledger(id); !strings.HasPrefix(got, "1/1 pay once "+c.want) || len(pay.made) != c.made || st.Cause.Kind != decouple.CauseDone {
				t.Errorf("the ledger says %s, it was called %d times and ended as %v", got, len(pay.made), st.Cause)
			}
			if st.Run.Version != "v1" {
				t.Errorf("the run went on with version %s", st.Run.Version)
			}
		})
	}
}

func (s *stage) row(id decouple.RunID) journal.RunRow {
	s.t.Helper()
	rows, err := s.store.Runs(s.t.Context(), journal.RunFilter{ID: id})
	if err != nil || len(rows) != 1 {
		s.t.Fatalf("run %s: %v, %v", id, rows, err)
	}
	return rows[0]
}

// TestApprovalBindsTheTool changes the tool's definition between the question and the answer: it is asked again.
func TestApprovalBindsTheTool(t *testing.T) {
	t.Parallel()
	pay := &payments{effect: decouple.EffectKeyed}
	s := newStage(t, map[string][]string{"worker": {"pay:10", "say:done"}}, asking(decouple.Approval{Tool: "pay"}), pay)
	id := s.start("worker", "q", decouple.Envelope{})
	stop := s.serve()
	s.parked(id, decouple.WaitPerson)
	stop()
	s.fine(s.eng.Decide(t.Context(), engine.Decision{Run: id, Call: "1/1", Approve: true, By: person("ada")}))
	pay.effect = decouple.EffectIdempotent
	s.crash(id)
	seq := s.row(id).Seq
	s.serve()
	s.until(id, "asked again", func(r journal.RunRow) bool {
		return r.Status == decouple.RunParked && r.Wait.Kind == decouple.WaitPerson && r.Seq > seq
	})
	if len(pay.made) != 0 {
		t.Fatalf("what was approved as something else was performed: %v", pay.made)
	}
	s.fine(s.eng.Decide(t.Context(), engine.Decision{Run: id, Call: "1/1", Approve: true, By: person("ada")}))
	s.ended(id)
	if len(pay.made) != 1 {
		t.Errorf("called %v", pay.made)
	}
}

// tell is a model whose first answer calls a tool with arguments of the test's.
func tell(name, args string) mute {
	return mute{answer: func(_ context.Context, req decouple.Request) (decouple.Answer, error) {
		if req.Step > 1 {
			return decouple.Answer{Message: decouple.Text(decouple.Assistant, "done: "+req.Messages[len(req.Messages)-1].Parts[0].Result.Text)}, nil
		}
		return decouple.Answer{Message: decouple.Message{Parts: []decouple.Part{{Call: &decouple.ToolCall{ID: "a", Name: name, Args: json.RawMessage(args)}}}}}, nil
	}}
}

// TestSleepAndSignal parks runs for a time and for a signal, over the death of the process.
func TestSleepAndSignal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ tool, args, want string }{
		{decouple.ToolSleep, `{"for":"300ms"}`, "done: it is "},
		{decouple.ToolSleep, `{"for":"1h"}`, "done: the run's time ends before that"},
		{decouple.ToolSleep, `{}`, "done: say how long"},
		{decouple.ToolSignal, `{"name":"paid"}`, `done: {"amount":5}`},
		{decouple.ToolSignal, `{"name":"late","for":"100ms"}`, "done: no signal late came in time"},
	} {
		t.Run(c.tool+c.args, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, nil, worker(nil), &payments{effect: decouple.EffectNone})
			plug := func() {
				var err error
				s.eng, err = engine.New(engine.Config{Store: s.store, Model: tell(c.tool, c.args), Tools: s.tools, Agents: s.set})
				s.fine(err)
			}
			plug()
			id := s.start("worker", "q", decouple.Envelope{Time: time.Minute})
			stop := s.serve()
			if strings.Contains(c.args, "paid") {
				s.parked(id, decouple.WaitTool)
				stop()
				s.reopen()
				plug()
				s.serve()
				d := engine.Delivery{Run: id, Name: "paid", Body: json.RawMessage(`{"amount":5}`), ID: "one", By: person("ada")}
				other := d
				other.Name, other.ID = "other", "two"
				s.fine(s.eng.Deliver(t.Context(), other))
				s.fine(s.eng.Deliver(t.Context(), d))
				if err := s.eng.Deliver(t.Context(), d); err != nil && decouple.KindOf(err) != decouple.Conflict {
					t.Error(err)
				}
			}
			if st := s.ended(id); !strings.HasPrefix(st.Answer, c.want) {
				t.Errorf("the answer is %q, want %q", st.Answer, c.want)
			}
		})
	}
}

// TestFork goes on from a step of a run that has ended.
func TestFork(t *testing.T) {
	t.Parallel()
	for _, effects := range []bool{false, true} {
		pay := &payments{effect: decouple.EffectKeyed}
		s := newStage(t, map[string][]string{"worker": {"pay:1", "pay:2", "say:done"}}, worker(nil), pay)
		id := s.start("worker", "q", decouple.Envelope{})
		s.drive(id)
		fork, err := s.eng.Fork(t.Context(), engine.Fork{Run: id, Step: 1, Effects: effects, By: person("ada"), Key: "f"})
		s.fine(err)
		again, err := s.eng.Fork(t.Context(), engine.Fork{Run: id, Step: 1, Effects: effects, By: person("ada"), Key: "f"})
		if s.fine(err); again != fork {
			t.Errorf("the same key gave %s and %s", fork, again)
		}
		st := s.drive(fork)
		want := []string{string(id) + "/1/1", string(id) + "/2/1"}
		if effects {
			want = append(want, string(fork)+"/2/1")
		}
		if !slices.Equal(pay.made, want) || st.Cause.Kind != decouple.CauseDone || st.Steps != 3 {
			t.Errorf("effects %v: called %v, want %v; ended as %v after %d steps", effects, pay.made, want, st.Cause, st.Steps)
		}
		if loaded := s.load(fork); len(loaded.Messages) != len(st.Messages) {
			t.Error("a fork is read back otherwise than it was driven")
		}
		if _, err := s.eng.Fork(t.Context(), engine.Fork{Run: id, Step: 9}); decouple.KindOf(err) != decouple.Invalid {
			t.Errorf("a fork from a step that is not there: %v", err)
		}
	}
}

// TestTooLarge refuses a result over the limit, by name and once.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	n := 0
	big := wild{name: "pay", effect: decouple.EffectNone, do: func(context.Context, decouple.Invocation) (decouple.Outcome, error) {
		n++
		return decouple.Outcome{Text: strings.Repeat("x", 1<<20+1)}, nil
	}}
	s := newStage(t, map[string][]string{"worker": {"pay:1", "say:done"}}, worker(nil), big)
	st := s.drive(s.start("worker", "q", decouple.Envelope{}))
	if out := st.Calls[0].Outcome; !out.Error || !strings.HasPrefix(out.Text, "too_large: ") || n != 1 {
		t.Errorf("the model was told %.100q after %d calls", out.Text, n)
	}
}

// TestHandOver stops a node: what it was doing is ready for another one at once, and nothing is marked as interrupted.
func TestHandOver(t *testing.T) {
	t.Parallel()
	s := newStage(t, map[string][]string{"worker": {"hang", "say:never"}}, worker(nil), &payments{effect: decouple.EffectNone})
	id := s.start("worker", "q", decouple.Envelope{})
	stop := s.serve()
	<-s.model.hang
	stop()
	if r := s.row(id); r.Status != decouple.RunReady {
		t.Fatalf("the run is %s, waiting for %v", r.Status, r.Wait)
	}
	s.model.lines = map[string][]string{"worker": {"say:done"}}
	s.serve()
	if st := s.ended(id); st.Cause.Kind != decouple.CauseDone {
		t.Errorf("ended as %v", st.Cause)
	}
}
