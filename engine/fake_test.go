package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
)

// script is a model that plays lines by agent and step. A line is a sequence of words: "say:TEXT", "look:N" (a tool call), "act:N" (one with an effect),
// "spawn:AGENT:QUESTION", "fail:KIND", "hang". The line of an agent is chosen by its question first, then by its name.
type script struct {
	lines map[string][]string
	price decouple.Price

	mu    sync.Mutex
	calls []string // "run/step" of every answer that was given
	hang  chan struct{}
}

// Price is what the test says.
func (m *script) Price(string) decouple.Price { return m.price }

// Answer plays a line.
func (m *script) Answer(ctx context.Context, req decouple.Request) (decouple.Answer, error) {
	var task decouple.Task
	var agent string
	for _, msg := range req.Messages {
		if msg.Role == decouple.System {
			agent = msg.Text()
		} else if msg.Role == decouple.User && task.Question == "" {
			if err := json.Unmarshal([]byte(msg.Text()), &task); err != nil {
				return decouple.Answer{}, err
			}
		}
	}
	lines := m.lines[task.Question]
	if lines == nil {
		lines = m.lines[agent]
	}
	line := "say:nothing more"
	if req.Step <= len(lines) {
		line = lines[req.Step-1]
	}
	if req.NoTools {
		line = "say:final"
	}
	a := decouple.Answer{Model: "script", Finish: decouple.FinishStop, Usage: decouple.Usage{TokensIn: 100, TokensOut: 10}}
	a.Usage.Cost = m.price.Cost(a.Usage)
	a.Message.Role = decouple.Assistant
	for i, word := range strings.Fields(line) {
		kind, rest, _ := strings.Cut(word, ":")
		part := decouple.Part{}
		call := &decouple.ToolCall{ID: fmt.Sprintf("c%d.%d", req.Step, i), Name: kind}
		switch kind {
		case "fail":
			return decouple.Answer{}, decouple.Errorf(decouple.Kind(rest), "the script fails")
		case "hang":
			close(m.hang)
			<-ctx.Done()
			return decouple.Answer{}, ctx.Err()
		case "say":
			part.Text = strings.ReplaceAll(rest, "_", " ")
		case "spawn":
			to, q, _ := strings.Cut(rest, ":")
			b, err := json.Marshal(decouple.SpawnArgs{Agent: decouple.AgentName(to), Task: decouple.Task{Question: q}})
			if err != nil {
				return a, err
			}
			call.Name, call.Args, part.Call = decouple.ToolSpawn, b, call
		default:
			call.Args, part.Call = json.RawMessage(`{"n":"`+rest+`"}`), call
		}
		a.Message.Parts = append(a.Message.Parts, part)
	}
	m.mu.Lock()
	m.calls = append(m.calls, fmt.Sprintf("%s/%d", req.Run, req.Step))
	m.mu.Unlock()
	return a, nil
}

// look is a tool without effect that finds what it is asked for; act is one with an effect.
type testTool struct {
	name   string
	effect decouple.Effect
	mu     sync.Mutex
	done   []string
}

// Spec describes it.
func (t *testTool) Spec() decouple.ToolSpec {
	return decouple.ToolSpec{Name: t.name, Params: json.RawMessage(`{"type":"object"}`), Effect: t.effect}
}

// Do answers with its argument.
func (t *testTool) Do(_ context.Context, inv decouple.Invocation) (decouple.Outcome, error) {
	var args struct{ N string }
	if err := json.Unmarshal(inv.Args, &args); err != nil {
		return decouple.Outcome{}, err
	}
	t.mu.Lock()
	t.done = append(t.done, string(inv.Run.ID)+":"+args.N)
	t.mu.Unlock()
	switch args.N {
	case "big":
		return decouple.Outcome{Text: strings.Repeat("long ", 40_000), Found: []string{"big"}}, nil
	case "nothing", "nothing2", "nothing3":
		return decouple.Outcome{Text: "nothing", Found: []string{}}, nil
	case "error":
		return decouple.Outcome{}, decouple.Errorf(decouple.Invalid, "the tool is not well")
	}
	return decouple.Outcome{Text: "saw " + args.N, Found: []string{args.N}}, nil
}

// world is a store with an engine over it.
type world struct {
	t     *testing.T
	dir   string
	model *script
	look  *testTool
	act   *testTool
	store journal.Store
	eng   *engine.Engine
	wrap  func(journal.Store) journal.Store
}

func agents() []decouple.Agent {
	names := []decouple.AgentName{"lead", "worker"}
	tools := []string{"look", "act"}
	return []decouple.Agent{
		{Name: "lead", Version: "v1", Tools: tools, Agents: names, Prompt: "lead"},
		{Name: "chief", Version: "v1", Tools: tools, Agents: names, Writer: "writer", Prompt: "chief", Envelope: decouple.Envelope{WriteUp: 20}},
		{Name: "worker", Version: "v1", Tools: tools, Agents: names, Prompt: "worker"},
		{Name: "writer", Version: "v1", Prompt: "writer"},
	}
}

func newWorld(t *testing.T, lines map[string][]string) *world {
	w := &world{
		t: t, dir: t.TempDir(),
		model: &script{lines: lines, price: decouple.Price{Known: true, In: decouple.USD, Out: decouple.USD}, hang: make(chan struct{})},
		look:  &testTool{name: "look", effect: decouple.EffectNone},
		act:   &testTool{name: "act", effect: decouple.EffectIdempotent},
	}
	w.open()
	t.Cleanup(func() {
		collect(w.store)
		w.store.Close()
	})
	return w
}

func (w *world) open() {
	w.t.Helper()
	s, err := sqlite.Open(w.t.Context(), sqlite.Config{Dir: w.dir})
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = s
	if w.wrap != nil {
		w.store = w.wrap(s)
	}
	w.eng, err = engine.New(engine.Config{Store: w.store, Model: w.model, Tools: []decouple.Tool{w.look, w.act}, Agents: agents()})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) reopen() {
	w.t.Helper()
	w.store.Close()
	w.open()
}

func (w *world) start(agent decouple.AgentName, question string, env decouple.Envelope) decouple.RunID {
	w.t.Helper()
	id, err := w.eng.Start(w.t.Context(), engine.Start{Agent: agent, Task: decouple.Task{Question: question}, Envelope: env})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) drive(id decouple.RunID) engine.State {
	w.t.Helper()
	s, err := w.eng.Drive(w.t.Context(), decouple.LocalTenant, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// tree is what can be said of a tree without ids and times, one line a run.
func (w *world) tree(root decouple.RunID) string {
	w.t.Helper()
	rows, err := w.store.Runs(w.t.Context(), journal.RunFilter{Root: root})
	if err != nil {
		w.t.Fatal(err)
	}
	var b strings.Builder
	for _, r := range rows {
		s, err := engine.Load(w.t.Context(), w.store, r.Tenant, r.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s%s %s %s %q steps %d: %s\n", strings.Replace(string(r.ID), string(root), "root", 1), "", r.Agent, r.Cause.Kind, s.Answer, r.Steps, r.Cause.Why)
	}
	return strings.ReplaceAll(b.String(), string(root), "root")
}
