package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/postgres"
	"decouple.dev/decouple/journal/postgres/pgtest"
	"decouple.dev/decouple/placement"
)

// rulings are contracts that a test changes: what they say of a site, and of tools by name.
type rulings struct {
	mu    sync.Mutex
	site  placement.Ruling
	tools map[string]placement.Ruling
	fail  error
	asked []string // tool, host and signed clauses of every tool call that was judged
}

// Site says what the test says.
func (r *rulings) Site(*decouple.Run) (placement.Ruling, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.site.Effect == "" {
		return allowed, r.fail
	}
	return r.site, r.fail
}

// Tool says what the test says, and lets what was signed off pass.
func (r *rulings) Tool(u *engine.ToolUse) (placement.Ruling, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, fmt.Sprint(u.Tool, " ", u.Host, " ", u.Signed))
	out, ok := r.tools[u.Tool]
	if !ok || out.Effect == placement.Hold && slices.Contains(u.Signed, out.Clauses[0].ID) {
		return allowed, r.fail
	}
	return out, r.fail
}

var allowed = placement.Ruling{Verdict: placement.Allow, Effect: placement.Go}

func ruling(e placement.Effect, clause string) placement.Ruling {
	v := map[placement.Effect]placement.Verdict{placement.Hold: placement.Disputed, placement.Stop: placement.Deny}[e]
	return placement.Ruling{
		Verdict: v, Effect: e, Why: "the words of " + clause,
		Clauses: []placement.Cited{{ID: clause, Contract: strings.Split(clause, "/")[0], Reads: v, Text: "the words", Confidence: placement.Reported}, {ID: clause, Contract: strings.Split(clause, "/")[0], Reads: placement.Allow, Text: "other words"}},
	}
}

// onHold is a gateway's error about clauses.
type onHold struct{ clauses []placement.Cited }

func (*onHold) Error() string             { return "held" }
func (h *onHold) Held() []placement.Cited { return h.clauses }

// guarded is a model behind contracts: a clause holds it until it is signed off for the run or taken away.
type guarded struct {
	engine.Model
	mu     sync.Mutex
	holds  string
	signed []string // of the calls that were answered
}

func (g *guarded) hold(clause string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holds = clause
}

// Answer refuses what is on hold as the gateway does.
func (g *guarded) Answer(ctx context.Context, req decouple.Request) (decouple.Answer, error) {
	g.mu.Lock()
	if g.holds != "" && !slices.Contains(req.For.Signed, g.holds) {
		defer g.mu.Unlock()
		return decouple.Answer{}, &decouple.Error{Kind: decouple.Denied, Msg: "the model waits for a person's word: " + g.holds, Err: &onHold{ruling(placement.Hold, g.holds).Clauses}}
	}
	g.signed = append(g.signed, strings.Join(req.For.Signed, ","))
	g.mu.Unlock()
	return g.Model.Answer(ctx, req)
}

// ruled is a stage whose engine asks contracts.
func ruled(t *testing.T, lines map[string][]string, set []decouple.Agent, tools ...decouple.Tool) (*stage, *rulings, *guarded) {
	s := newStage(t, lines, set, tools...)
	r, g := &rulings{tools: map[string]placement.Ruling{}}, &guarded{Model: s.model}
	s.rule(r, g, 0)
	return s, r, g
}

func (s *stage) rule(r *rulings, g *guarded, hold time.Duration) {
	s.t.Helper()
	var err error
	s.eng, err = engine.New(engine.Config{Store: s.store, Model: g, Tools: s.tools, Agents: s.set, Contracts: r, HoldFor: hold, Log: slog.New(slog.NewTextHandler(s.t.Output(), nil))})
	s.fine(err)
}

func (s *stage) says(p engine.PendingApproval, who string, yes bool) decouple.Kind {
	s.t.Helper()
	return decouple.KindOf(s.eng.Decide(s.t.Context(), engine.Decision{Run: p.Run, Call: p.Call, Hash: p.Hash, Approve: yes, Why: "the lawyers said so", By: person(who)}))
}

func (s *stage) kinds(id decouple.RunID) string {
	s.t.Helper()
	events, err := s.store.Read(s.t.Context(), decouple.RunStream(decouple.LocalTenant, id), 0, 0)
	s.fine(err)
	var out []string
	for _, e := range events {
		out = append(out, string(e.Kind))
	}
	return strings.Join(out, " ")
}

// looker is an agent with these tools, of which a test has some.
func looker(tools ...string) []decouple.Agent {
	return worker(func(a *decouple.Agent) { a.Tools = append([]string{"look"}, tools...) })
}

var oneLook = map[string][]string{"q": {"look:1", "say:done"}}

// TestHeldModel parks a run whose model call a clause holds, shows what is to be signed off and to whom it is not left, and goes on when somebody has signed, with the clause's name in
// every further call. The process dies in between.
func TestHeldModel(t *testing.T) {
	t.Parallel()
	look := &testTool{name: "look", effect: decouple.EffectNone}
	s, r, g := ruled(t, oneLook, looker(), look)
	g.hold("ms/stateful")
	id := s.start("worker", "q", decouple.Envelope{Tokens: 100_000})
	stop := s.serve()
	row := s.parked(id, decouple.WaitContract)
	if want := "a person who signs off ms/stateful for the next model call"; row.Wait.For != want {
		t.Errorf("it waits for %q and not for %q", row.Wait.For, want)
	}
	stop()
	s.reopen()
	s.rule(r, g, 0)
	list := s.waiting()
	if len(list) != 1 || list[0].Tool != engine.ToolModel || list[0].Call != "1/0" || len(list[0].Clauses) != 1 || list[0].Clauses[0].ID != "ms/stateful" || list[0].Clauses[0].Text != "the words" || list[0].Quorum != 1 {
		t.Fatalf("waiting are %+v", list)
	}
	st, err := engine.Explain(t.Context(), s.store, decouple.LocalTenant, id)
	s.fine(err)
	if len(st) != 1 || st[0].Stuck || !strings.Contains(st[0].Remedy, "decouple approvals approve") || !strings.Contains(st[0].For, "ms/stateful") {
		t.Errorf("why: %+v", st)
	}
	if k := s.says(list[0], "local", true); k != decouple.Denied {
		t.Errorf("whoever started the run may sign: %q", k)
	}
	if k := decouple.KindOf(s.eng.Decide(t.Context(), engine.Decision{Run: id, Call: list[0].Call, Approve: true, By: decouple.Actor{Kind: decouple.ActorAgent, ID: "worker"}})); k != decouple.Denied {
		t.Errorf("an agent may sign: %q", k)
	}
	if k := decouple.KindOf(s.eng.Decide(t.Context(), engine.Decision{Run: id, Call: list[0].Call, Approve: true, By: decouple.Actor{Kind: decouple.ActorService, ID: "ci"}})); k != decouple.Denied {
		t.Errorf("a service may sign: %q", k)
	}
	if k := decouple.KindOf(s.eng.MaySign(t.Context(), "", id, person("local"))); k != decouple.Denied {
		t.Errorf("whoever started the run may sign its clauses in the contract: %q", k)
	}
	s.fine(s.eng.MaySign(t.Context(), "", id, person("ada")))
	if k := s.says(list[0], "ada", true); k != "" {
		t.Fatalf("ada may not sign: %s", k)
	}
	s.serve()
	end := s.ended(id)
	if end.Cause.Kind != decouple.CauseDone || !slices.Equal(g.signed, []string{"ms/stateful", "ms/stateful"}) {
		t.Errorf("it ended as %v, and its calls had signed off %q", end.Cause, g.signed)
	}
	if want := "run.created contract.held approval.decided model.answered"; !strings.HasPrefix(s.kinds(id), want) {
		t.Errorf("the journal has %s", s.kinds(id))
	}
	if used := end.Used(); used.Tokens != 220 {
		t.Errorf("%d tokens are counted for two answers", used.Tokens)
	}
}

// TestHeldModelDenied ends a run whose clause somebody does not sign off, and one that nobody signs off in time.
func TestHeldModelDenied(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"denied", "late"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s, r, g := ruled(t, oneLook, looker(), &testTool{name: "look", effect: decouple.EffectNone})
			g.hold("ms/stateful")
			want := "ada did not sign it off (the lawyers said so): the model waits for a person's word: ms/stateful"
			if how == "late" {
				s.rule(r, g, time.Millisecond)
				want = "nobody signed it off in time: the model waits for a person's word: ms/stateful"
			}
			id := s.start("worker", "q", decouple.Envelope{})
			s.serve()
			if how == "denied" {
				s.parked(id, decouple.WaitContract)
				if k := s.says(s.waiting()[0], "ada", false); k != "" {
					t.Fatal(k)
				}
			}
			if end := s.ended(id); end.Cause.Kind != decouple.CauseFailed || end.Cause.Err != decouple.Denied || end.Cause.Why != want || len(g.signed) > 0 {
				t.Errorf("it ended as %+v after calls %q", end.Cause, g.signed)
			}
		})
	}
}

// TestHeldModelLifted goes on without anybody's word when contracts have changed, and its time has stood still meanwhile.
func TestHeldModelLifted(t *testing.T) {
	t.Parallel()
	s, _, g := ruled(t, oneLook, looker(), &testTool{name: "look", effect: decouple.EffectNone})
	g.hold("ms/stateful")
	id := s.start("worker", "q", decouple.Envelope{Time: time.Second}) // less than until the second look
	s.serve()
	s.parked(id, decouple.WaitContract)
	g.hold("")
	end := s.ended(id)
	if want := "run.created contract.held contract.lifted model.answered"; end.Cause.Kind != decouple.CauseDone || !strings.HasPrefix(s.kinds(id), want) || g.signed[0] != "" {
		t.Errorf("it ended as %v: %s, with %q signed off", end.Cause, s.kinds(id), g.signed)
	}
}

// TestTools has contracts deny a tool call, which the model is told, and hold one until a person has signed it off.
func TestRuledTools(t *testing.T) {
	t.Parallel()
	look, act := &testTool{name: "look", effect: decouple.EffectNone}, &testTool{name: "act", effect: decouple.EffectOnce}
	s, r, _ := ruled(t, map[string][]string{"q": {"look:1", "act:1 look:2", "say:done"}}, looker("act"), look, act)
	r.tools["look"], r.tools["act"] = ruling(placement.Stop, "own/eu"), ruling(placement.Hold, "own/act")
	id := s.start("worker", "q", decouple.Envelope{})
	s.serve()
	s.parked(id, decouple.WaitContract)
	list := s.waiting()
	if len(list) != 1 || list[0].Tool != "act" || list[0].Clauses[0].ID != "own/act" || list[0].Why != "the words of own/act" {
		t.Fatalf("waiting are %+v", list)
	}
	if got := s.ledger(id); !strings.Contains(got, "act once waiting x0") {
		t.Errorf("the ledger has %s", got)
	}
	if k := s.says(list[0], "ada", true); k != "" {
		t.Fatal(k)
	}
	end := s.ended(id)
	if len(look.done) > 0 || len(act.done) != 1 {
		t.Errorf("looked %q, acted %q", look.done, act.done)
	}
	for _, c := range end.Calls {
		if denied := c.Name == "look"; denied != (c.Refused == "contract") || denied && c.Outcome.Text != "contracts do not allow this call, so it was not made: the words of own/eu" {
			t.Errorf("%s was answered %q %+v", c.Name, c.Refused, c.Outcome)
		}
	}
}

// TestRuledToolsUnread makes no call while contracts cannot be read.
func TestRuledToolsUnread(t *testing.T) {
	t.Parallel()
	look := &testTool{name: "look", effect: decouple.EffectNone}
	s, r, _ := ruled(t, oneLook, looker(), look)
	r.tools["look"] = allowed
	unread := decouple.Errorf(decouple.Unavailable, "the file is gone")
	s.replaceContracts(&fails{r, unread})
	id := s.start("worker", "q", decouple.Envelope{Time: 600 * time.Millisecond})
	s.serve()
	s.ended(id)
	if len(look.done) > 0 {
		t.Errorf("it looked %q", look.done)
	}
}

// fails are contracts that cannot be read where tools are concerned.
type fails struct {
	*rulings
	err error
}

// Tool fails.
func (f *fails) Tool(*engine.ToolUse) (placement.Ruling, error) { return placement.Ruling{}, f.err }

func (s *stage) replaceContracts(c engine.Contracts) {
	s.t.Helper()
	var err error
	s.eng, err = engine.New(engine.Config{Store: s.store, Model: s.model, Tools: s.tools, Agents: s.set, Contracts: c})
	s.fine(err)
}

// TestReach lets a tool see whether contracts let its call go on to another host.
func TestReach(t *testing.T) {
	t.Parallel()
	said := make(chan error, 1)
	web := wild{name: "web", effect: decouple.EffectNone, do: func(_ context.Context, inv decouple.Invocation) (decouple.Outcome, error) {
		said <- inv.Reach("other.example.com")
		return decouple.Outcome{Text: "seen"}, nil
	}}
	s, _, _ := ruled(t, map[string][]string{"q": {"web:1", "say:done"}}, worker(func(a *decouple.Agent) { a.Tools = []string{"web"} }), web)
	s.replaceContracts(byHost{})
	id := s.start("worker", "q", decouple.Envelope{})
	s.serve()
	s.ended(id)
	if err := <-said; decouple.KindOf(err) != decouple.Denied || err.Error() != "contracts do not allow it: the words of own/hosts" {
		t.Errorf("it was told %v", err)
	}
}

// byHost are contracts that deny hosts which a call's arguments do not name.
type byHost struct{}

// Site allows.
func (byHost) Site(*decouple.Run) (placement.Ruling, error) { return allowed, nil }

// Tool denies other hosts.
func (byHost) Tool(u *engine.ToolUse) (placement.Ruling, error) {
	if u.Host != "" {
		return ruling(placement.Stop, "own/hosts"), nil
	}
	return allowed, nil
}

// TestSites has two nodes, of which contracts let one work on a run: that one does, without the other turning round and round, and what it waits for is said.
func TestSites(t *testing.T) {
	t.Parallel()
	look := &testTool{name: "look", effect: decouple.EffectNone}
	s, r, g := ruled(t, oneLook, looker(), look)
	r.site = ruling(placement.Stop, "own/eu")
	id := s.start("worker", "q", decouple.Envelope{})
	s.serve()
	row := s.parked(id, decouple.WaitContract)
	if want := "a site where contracts let it run: at this one, the words of own/eu"; row.Wait.For != want || row.Wake.IsZero() || row.Steps > 0 {
		t.Errorf("it waits for %+v until %v after %d steps", row.Wait, row.Wake, row.Steps)
	}
	other, err := engine.New(engine.Config{Store: s.store, Model: g, Tools: s.tools, Agents: s.set, Contracts: &rulings{}})
	s.fine(err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- other.Serve(ctx) }()
	defer cancel()
	if end := s.ended(id); end.Cause.Kind != decouple.CauseDone {
		t.Errorf("it ended as %v", end.Cause)
	}
	if n := len(strings.Split(s.kinds(id), " ")); n > 6 {
		t.Errorf("being turned away has written events: %s", s.kinds(id))
	}
	cancel()
	s.fine(<-done)
	id = s.start("worker", "q", decouple.Envelope{}) // one that is canceled ends even where it may not run
	_, err = s.eng.Cancel(t.Context(), decouple.LocalTenant, id, engine.Cancellation{By: "ada"})
	s.fine(err)
	s.ended(id)
}

// TestSitesOfNodes has two nodes of a shared journal, each at a site of its own: one of the two may work on the runs, and does, whichever is asked first.
func TestSitesOfNodes(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := newStage(t, oneLook, looker(), &testTool{name: "look", effect: decouple.EffectNone})
	for _, n := range []struct {
		id    decouple.NodeID
		rules *rulings
	}{{"us", &rulings{site: ruling(placement.Stop, "own/eu")}}, {"eu", &rulings{}}} {
		store, err := postgres.Open(t.Context(), postgres.Config{URL: url, Node: journal.NodeSpec{ID: n.id, Site: decouple.Site{Region: string(n.id)}}, Fleet: true})
		s.fine(err)
		t.Cleanup(func() { _ = store.Close() })
		s.store = store // the last one is looked at
		s.eng, err = engine.New(engine.Config{Store: store, Model: s.model, Tools: s.tools, Agents: s.set, Contracts: n.rules})
		s.fine(err)
		s.serve()
	}
	for range 5 {
		id := s.start("worker", "q", decouple.Envelope{})
		if end := s.ended(id); end.Cause.Kind != decouple.CauseDone {
			t.Errorf("it ended as %v", end.Cause)
		}
	}
	rows, err := s.store.Runs(t.Context(), journal.RunFilter{})
	s.fine(err)
	for _, r := range rows {
		if r.Steps != 2 {
			t.Errorf("%s has %d steps", r.ID, r.Steps)
		}
	}
}

// TestSiteOfOneProcess says that a process which works for one tree may not.
func TestSiteOfOneProcess(t *testing.T) {
	t.Parallel()
	s, r, _ := ruled(t, oneLook, looker(), &testTool{name: "look", effect: decouple.EffectNone})
	r.site = ruling(placement.Hold, "own/eu")
	id := s.start("worker", "q", decouple.Envelope{})
	_, err := s.eng.Drive(t.Context(), decouple.LocalTenant, id)
	if decouple.KindOf(err) != decouple.Denied || !strings.Contains(err.Error(), "own/eu") {
		t.Errorf("it said %v", err)
	}
	s.until(id, "parked", func(r journal.RunRow) bool { return r.Status == decouple.RunParked })
}

// TestClassOfChildren starts an agent of a class that begins one whose file names none, and one whose file does: the first works in the class of its parent, and so does its fork.
func TestClassOfChildren(t *testing.T) {
	t.Parallel()
	set := []decouple.Agent{
		{Name: "lead", Version: "v1", Class: "autonomous_research", Agents: []decouple.AgentName{"worker", "own"}, Prompt: "lead"},
		{Name: "worker", Version: "v1", Prompt: "worker"}, {Name: "own", Version: "v1", Class: "batch", Prompt: "own"},
	}
	s := newStage(t, map[string][]string{"q": {"spawn:worker:a spawn:own:b", "say:done"}, "a": {"say:a"}, "b": {"say:b"}}, set)
	id := s.start("lead", "q", decouple.Envelope{})
	s.serve()
	s.ended(id)
	class := func(id decouple.RunID) string {
		st, err := engine.Load(t.Context(), s.store, decouple.LocalTenant, id)
		s.fine(err)
		return st.Run.Class
	}
	fork, err := s.eng.Fork(t.Context(), engine.Fork{Run: id + ".1", Step: 1, By: person("ada")})
	s.fine(err)
	for of, want := range map[decouple.RunID]string{id: "autonomous_research", id + ".1": "autonomous_research", id + ".2": "batch", fork: "autonomous_research"} {
		if got := class(of); got != want {
			t.Errorf("%s works in the class %q and not in %q", of, got, want)
		}
	}
}
