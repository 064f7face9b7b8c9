package exit_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/postgres"
	"decouple.dev/decouple/journal/postgres/pgtest"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/knowledge"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/risk/exit"
	"decouple.dev/decouple/risk/sign"
)

// lines is a model that plays a line for each step of a run, by its question: calls of tools as name=arguments, or a text.
type lines map[string][]string

// Price is zero.
func (lines) Price(string) decouple.Price { return decouple.Price{Known: true, Local: true} }

// Answer plays the line of the step.
func (m lines) Answer(_ context.Context, req decouple.Request) (decouple.Answer, error) {
	line := "nothing more"
	for _, msg := range req.Messages {
		for q, list := range m {
			if msg.Role == decouple.User && strings.Contains(msg.Text(), q) && req.Step <= len(list) {
				line = list[req.Step-1]
			}
		}
	}
	a := decouple.Answer{Model: "lines", Finish: decouple.FinishStop, Usage: decouple.Usage{TokensIn: 100, TokensOut: 10}, Message: decouple.Message{Role: decouple.Assistant}}
	if name, args, ok := strings.Cut(line, "="); ok {
		a.Message.Parts = []decouple.Part{{Call: &decouple.ToolCall{ID: "c", Name: name, Args: json.RawMessage(args)}}}
	} else {
		a.Message.Parts = []decouple.Part{{Text: line}}
	}
	return a, nil
}

var script = lines{
	"small":  {"done"},
	"tree":   {decouple.ToolSpawn + `={"agent":"node","task":{"question":"small"}}`, "all <done> & dusted"},
	"long":   {`big={}`, "read it"},
	"pay":    {`pay={"n":100}`, "paid"},
	"sleepy": {decouple.ToolSleep + `={"for":"1h"}`, "slept"},
	"signal": {decouple.ToolSignal + `={"name":"go"}`, "gone"},
}

// does is a tool that answers with a text.
type does struct {
	name   string
	effect decouple.Effect
	text   string
}

// Spec describes it.
func (d does) Spec() decouple.ToolSpec {
	return decouple.ToolSpec{Name: d.name, Params: json.RawMessage(`{"type":"object"}`), Effect: d.effect}
}

// Do answers.
func (d does) Do(context.Context, decouple.Invocation) (decouple.Outcome, error) {
	return decouple.Outcome{Text: d.text}, nil
}

func newEngine(t *testing.T, store journal.Store) *engine.Engine {
	t.Helper()
	e, err := engine.New(engine.Config{
		Store: store, Model: script, Tools: []decouple.Tool{does{"big", decouple.EffectNone, strings.Repeat("long ", 40_000)}, does{"pay", decouple.EffectOnce, "paid"}},
		Agents: []decouple.Agent{{
			Name: "node", Version: "v1", Model: "none", Tools: []string{"big", "pay", decouple.ToolSleep, decouple.ToolSignal}, Agents: []decouple.AgentName{"node"},
			Envelope: decouple.Envelope{Tokens: 1 << 30, Agents: 100, ToolCalls: 1000, Depth: 3, Children: 4}, Approve: []decouple.Approval{{Tool: "pay"}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// world is an installation with something of everything.
type world struct {
	runs map[string]decouple.RunID // by question
}

// build fills a store.
func build(t *testing.T, store journal.Store) world {
	t.Helper()
	ctx, w := t.Context(), world{runs: map[string]decouple.RunID{}}
	e := newEngine(t, store)
	for _, q := range []string{"small", "tree", "long", "pay", "sleepy", "signal"} {
		id, err := e.Start(ctx, engine.Start{Agent: "node", Task: decouple.Task{Question: q}, Key: "key of " + q, Labels: []string{"internal"}})
		if err != nil {
			t.Fatal(err)
		}
		w.runs[q] = id
	}
	settle(t, store, e)
	addNotes(t, store)
	if _, _, err := registry.NewKeys(store).Create(ctx, registry.Key{Tenant: "acme", Actor: decouple.Actor{Kind: decouple.ActorPerson, ID: "ada"}, Role: registry.RoleViewer}); err != nil {
		t.Fatal(err)
	}
	spend(t, store)
	// Payloads that are not written as this program writes them, and names that are no UTF-8 where a store can keep them.
	if _, err := store.Commit(ctx, journal.Mutation{ID: "odd", Stream: decouple.Stream{Tenant: "acme", Kind: "odd", ID: `a"b<c`}, Events: []journal.NewEvent{
		{Kind: "odd.spaced", KindVersion: 1, Payload: []byte(" {\n \"a\" : [1.0, 1e3] }\n")}, {Kind: "odd.none", KindVersion: 7}, {Kind: "odd.null", KindVersion: 1, Payload: []byte("null")},
		{Kind: "odd.actor", KindVersion: 1, Actor: decouple.Actor{Kind: decouple.ActorKey, ID: "\xff\xfe"}, Payload: []byte(`"<&\u2028>"`)},
	}}); err != nil {
		t.Fatal(err)
	}
	return w
}

// settle serves until nothing is ready or at work.
func settle(t *testing.T, store journal.Store, e *engine.Engine) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- e.Serve(ctx) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		rows, err := store.Runs(ctx, journal.RunFilter{Status: []decouple.RunStatus{decouple.RunReady, decouple.RunRunning}})
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 {
			break
		}
	}
	stop()
	<-served
}

func addNotes(t *testing.T, store journal.Store) {
	t.Helper()
	base, err := knowledge.Open(t.Context(), knowledge.Config{Source: store, Writer: store, Index: filepath.Join(t.TempDir(), "notes.db")})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"backup.md": "# Backups\n\nBackups are made each night at two.\n", "long.txt": strings.Repeat("The same sentence. ", 9_000)} {
		if _, err := base.Add(t.Context(), knowledge.Request{Stdin: strings.NewReader(text), Name: name, Actor: decouple.Actor{Kind: decouple.ActorPerson, ID: "ada"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := base.Close(); err != nil {
		t.Fatal(err)
	}
}

// spend settles some calls and sets a budget.
func spend(t *testing.T, store journal.Store) {
	t.Helper()
	l, err := ledger.Open(ledger.Config{Dir: t.TempDir(), Store: store})
	if err != nil {
		t.Fatal(err)
	}
	by := decouple.Actor{Kind: decouple.ActorPerson, ID: "ada"}
	if err := l.SetBudget(t.Context(), ledger.Budget{ID: "b1", Tenant: "acme", Scope: ledger.ForTenant, Period: ledger.Month, Limit: ledger.Amount{USD: 1 << 40}}, by); err != nil {
		t.Fatal(err)
	}
	for i, endpoint := range []string{"openai/gpt-5.4", "azure/gpt-5.4", "anthropic/claude-sonnet-4-6"} {
		_, model, _ := strings.Cut(endpoint, "/")
		id := "call-" + endpoint
		e, err := l.Begin(t.Context(), ledger.Call{ID: id, Tenant: "acme", Key: "k1", Team: "search", Agent: "node", Door: ledger.Chat, Model: "smart", Class: "stateless_api", Labels: []string{"personal"}, Reserve: ledger.Amount{USD: 1000, Tokens: 100}})
		if err == nil {
			err = e.Attempt(t.Context(), endpoint, model, ledger.Amount{})
		}
		if err == nil {
			err = e.Settle(ledger.Settlement{Outcome: ledger.OK, Won: 1, Took: time.Second, Lines: []ledger.Line{{Attempt: 1, Endpoint: endpoint, Model: model, Source: ledger.Reported, Usage: decouple.Usage{TokensIn: 10, TokensOut: 5, Cost: decouple.Money(123 + i)}}}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// place is where a store is kept.
type place struct {
	t   *testing.T
	dir string
	url string // of PostgreSQL; empty is SQLite
}

func newPlace(t *testing.T, shared bool) place {
	t.Helper()
	p := place{t: t, dir: t.TempDir()}
	if shared {
		p.url = pgtest.Database(t)
	}
	return p
}

// open opens it for writing, until the test ends or it is closed.
func (p place) open() journal.Store {
	p.t.Helper()
	var s journal.Store
	var err error
	if p.url != "" {
		s, err = postgres.Open(p.t.Context(), postgres.Config{URL: p.url})
	} else {
		s, err = sqlite.Open(p.t.Context(), sqlite.Config{Dir: p.dir})
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = s.Close() })
	return s
}

func (p place) restorer() exit.Store {
	p.t.Helper()
	var s exit.Store
	var err error
	if p.url != "" {
		s, err = postgres.OpenRestorer(p.t.Context(), p.url)
	} else {
		s, err = sqlite.OpenRestorer(p.t.Context(), sqlite.Config{Dir: p.dir})
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = s.Close() })
	return s
}

func key(t testing.TB) *sign.Key {
	t.Helper()
	k, err := sign.Parse(strings.Repeat("5", 64), "the test")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var made = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func config(t testing.TB, log exit.Log) exit.Config {
	return exit.Config{Log: log, Key: key(t), Program: "test", Store: "test", Made: made}
}

// bundle writes a bundle of a store.
func bundle(t *testing.T, log exit.Log) (string, exit.Summary) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bundle.tar")
	s, err := exit.Write(t.Context(), path, config(t, log))
	if err != nil {
		t.Fatal(err)
	}
	return path, s
}
