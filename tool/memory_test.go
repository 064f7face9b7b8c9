package tool_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/tool"
)

// remembering asks the tools of memory over a store of its own.
type remembering struct {
	t     *testing.T
	store *sqlite.Store
	mu    sync.Mutex
	all   map[string]decouple.Tool
	calls int
}

func newRemembering(t *testing.T) *remembering {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	r := &remembering{t: t, store: store, all: map[string]decouple.Tool{}}
	r.plug()
	return r
}

// plug makes the tools anew, as another node has them.
func (r *remembering) plug() {
	for _, x := range tool.Memory(r.store) {
		r.all[x.Spec().Name] = x
	}
}

// ask makes a call, under a key of its own unless one is given.
func (r *remembering) ask(run decouple.Run, key, name, args string) string {
	r.t.Helper()
	r.mu.Lock()
	if r.calls++; key == "" {
		key = fmt.Sprint("k", r.calls)
	}
	r.mu.Unlock()
	out, err := r.all[name].Do(r.t.Context(), decouple.Invocation{Run: run, Call: "1/1", Key: key, Args: json.RawMessage(args)})
	if err != nil {
		r.t.Error(err)
	}
	return out.Text
}

func TestMemory(t *testing.T) {
	t.Parallel()
	r := newRemembering(t)
	ask, plug, store, ctx := r.ask, r.plug, r.store, t.Context()
	run := func(id decouple.RunID, agent decouple.AgentName) decouple.Run {
		return decouple.Run{ID: id, Root: id.Root(), Tenant: "acme", Agent: agent, Version: "v1"}
	}
	ada, bob := run("r1", "ada"), run("r2", "bob")
	ask(ada, "", "memory.put", `{"key":"vault","text":"The vault is read by keepers."}`)
	ask(ada, "", "memory.put", `{"key":"hours","text":"Backups run at two.","scope":"tenant"}`)
	ask(run("r1.1", "bob"), "", "memory.put", `{"key":"seen","text":"Page 4 was read.","scope":"tree"}`)
	foreign := ada
	foreign.Tenant = "other"
	for _, tt := range []struct {
		run  decouple.Run
		args string
		has  string
	}{
		{ada, `{"key":"vault"}`, `"by":"ada","run":"r1"`},
		{run("r9", "ada"), `{"key":"vault"}`, "keepers"}, // another run of the same agent
		{bob, `{"key":"vault"}`, `{"found":false}`},
		{bob, `{"key":"hours"}`, "at two"},
		{run("r1.2", "eve"), `{"key":"seen"}`, `"scope":"tree"`},
		{bob, `{"key":"seen"}`, `{"found":false}`},
		{foreign, `{"key":"hours"}`, `{"found":false}`},
		{ada, `{"key":"vault","scope":"tenant"}`, `{"found":false}`},
		{ada, `{"key":"x","scope":"moon"}`, "agent, tenant or tree"},
	} {
		if got := ask(tt.run, "", "memory.get", tt.args); !strings.Contains(got, tt.has) {
			t.Errorf("run %s of %s asks %s: %s, want %s", tt.run.ID, tt.run.Agent, tt.args, got, tt.has)
		}
	}
	if got := ask(ada, "", "memory.search", `{"query":"when do backups run"}`); !strings.Contains(got, "at two") || strings.Contains(got, "keepers") {
		t.Errorf("search: %s", got)
	}

	// one call has one effect however often it is made, and many runs at once lose nothing
	ask(ada, "same", "memory.put", `{"key":"n","text":"first"}`)
	ask(ada, "", "memory.put", `{"key":"n","text":"second"}`)
	ask(ada, "same", "memory.put", `{"key":"n","text":"first"}`)
	if got := ask(ada, "", "memory.get", `{"key":"n"}`); !strings.Contains(got, "second") {
		t.Errorf("a call that was made again has changed what came after it: %s", got)
	}
	var work sync.WaitGroup
	for i := range 20 {
		work.Go(func() { ask(ada, "", "memory.put", fmt.Sprintf(`{"key":"p%d","text":"t","scope":"tenant"}`, i)) })
	}
	work.Wait()
	plug() // another node, which folds from the journal
	if got := ask(bob, "", "memory.search", `{"query":"","scope":"tenant","limit":50}`); !strings.Contains(got, `"of":21`) {
		t.Errorf("of 21 memories there are %s", got)
	}
	ask(ada, "", "memory.put", `{"key":"vault","text":""}`)
	if got := ask(ada, "", "memory.get", `{"key":"vault"}`); got != `{"found":false}` {
		t.Errorf("what was forgotten is still there: %s", got)
	}
	events, err := store.Read(ctx, decouple.Stream{Tenant: "acme", Kind: decouple.StreamMemory, ID: "agent:ada"}, 0, 0)
	if err != nil || len(events) != 4 || events[0].RootRun != "r1" {
		t.Errorf("%d events, %v", len(events), err)
	}
	for _, bad := range []string{`{"key":"","text":"x"}`, `{"key":"` + strings.Repeat("k", 201) + `","text":"x"}`, `{"key":"k","text":"` + strings.Repeat("x", 17<<10) + `"}`, `[]`, `{"kee":1}`} {
		if got := ask(ada, "", "memory.put", bad); strings.Contains(got, "remembered") {
			t.Errorf("%.40s was remembered", bad)
		}
	}
}

// TestMemoryHistory reads memories as the first version wrote them, for ever.
func TestMemoryHistory(t *testing.T) {
	t.Parallel()
	r := newRemembering(t)
	stream := decouple.Stream{Tenant: "acme", Kind: decouple.StreamMemory, ID: "agent:ada"}
	_, err := r.store.Commit(t.Context(), journal.Mutation{ID: "old", Stream: stream, Events: []journal.NewEvent{
		{Kind: "memory.put", KindVersion: 1, Payload: []byte(`{"key":"a","text":"first","run":"r1","call":"1/1","agent":"ada","version":"v1"}`)},
		{Kind: "memory.put", KindVersion: 1, Payload: []byte(`{"key":"b","text":"second","run":"r1","call":"1/2","agent":"ada","version":"v1"}`)},
		{Kind: "memory.removed", KindVersion: 1, Payload: []byte(`{"key":"a","run":"r2","call":"1/1","agent":"ada","version":"v1"}`)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.ask(decouple.Run{ID: "r3", Root: "r3", Tenant: "acme", Agent: "ada"}, "", "memory.search", `{"query":""}`); !strings.Contains(got, `"text":"second","by":"ada","run":"r1"`) || !strings.Contains(got, `"of":1`) {
		t.Errorf("memories of old are %s", got)
	}
}
