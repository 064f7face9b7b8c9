package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/knowledge"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/research"
)

// stand puts a server together over a data folder.
func stand(t testing.TB, dir string, tools ...decouple.Tool) (*api.Server, *sqlite.Store) {
	t.Helper()
	ctx := context.Background()
	store, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	library := knowledge.NewLibrary(knowledge.Config{Source: store, Writer: store, Index: filepath.Join(dir, "notes.db")})
	t.Cleanup(func() { _ = library.Close() })
	set, err := registry.Load([]string{"pay"}, registry.Source{Name: "test", FS: fstest.MapFS{"talker.md": {Data: []byte(talker)}}})
	if err != nil {
		t.Fatal(err)
	}
	hub := api.NewHub(store)
	e, err := engine.New(engine.Config{Store: store, Model: gateway.Builtin{}, Agents: set.Agents(), Tools: append(tools, noPay{}), Watch: hub.Signal})
	if err != nil {
		t.Fatal(err)
	}
	return &api.Server{
		Engine: e, Journal: store, Library: library, Reports: research.NewCollector(store, library), Agents: set, Hub: hub, Doing: "a test",
		Local: registry.Principal{Tenant: decouple.LocalTenant, Actor: decouple.Actor{Kind: decouple.ActorPerson, ID: "local"}, Role: registry.RoleOwner},
	}, store
}

const talker = "---\nname: talker\ndescription: Talks.\n---\nYou talk.\n"

// noPay is a tool that nobody calls.
type noPay struct{}

func (noPay) Spec() decouple.ToolSpec {
	return decouple.ToolSpec{Name: "pay", Effect: decouple.EffectOnce, Params: json.RawMessage(`{"type":"object"}`)}
}

func (noPay) Do(context.Context, decouple.Invocation) (decouple.Outcome, error) {
	return decouple.Outcome{Text: "paid"}, nil
}

// listening serves a data folder until the test ends, and gives a client of it.
func listening(t *testing.T, dir string) (*api.Client, *sqlite.Store) {
	t.Helper()
	s, store := stand(t, dir)
	l, err := api.Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, api.Socket)); !os.IsNotExist(err) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	c, err := api.Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return c, store
}

// long is a folder whose path is longer than a socket's address.
func long(t *testing.T) string {
	return filepath.Join(t.TempDir(), strings.Repeat("a-folder-with-a-long-name/", 6))
}

func TestSocket(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{filepath.Join(t.TempDir(), "d"), long(t)} {
		if _, err := api.Dial(t.Context(), dir); decouple.KindOf(err) != decouple.NotFound {
			t.Errorf("nobody listens, and dialing says %v", err)
		}
		c, _ := listening(t, dir)
		o, err := c.About(t.Context())
		if err != nil || o.PID != os.Getpid() || o.Doing != "a test" {
			t.Errorf("the owner is %+v, %v", o, err)
		}
		info, err := os.Stat(filepath.Join(dir, api.Socket))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
		}
	}
}

// TestLeftSocket has a socket that a killed process left: nobody listens there, and the next owner replaces it.
func TestLeftSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := api.Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, api.Socket), filepath.Join(dir, "kept")); err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := os.Rename(filepath.Join(dir, "kept"), filepath.Join(dir, api.Socket)); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Dial(t.Context(), dir); decouple.KindOf(err) != decouple.NotFound {
		t.Errorf("dialing a socket that was left says %v", err)
	}
	listening(t, dir)
}

func TestNotes(t *testing.T) {
	t.Parallel()
	c, _ := listening(t, long(t))
	docs := t.TempDir()
	if err := os.WriteFile(filepath.Join(docs, "tide.txt"), []byte("The tide turns four times on every day of the year."), 0o600); err != nil {
		t.Fatal(err)
	}
	told := 0
	sum, err := c.Add(t.Context(), knowledge.Request{
		Paths: []string{docs}, Stdin: strings.NewReader(strings.Repeat("The moon pulls the water of the sea. ", 100_000)), Name: "moon",
		Progress: func(knowledge.Progress) { told++ },
	})
	if err != nil || sum.Added != 2 || told == 0 {
		t.Errorf("added %+v, told %d times, %v", sum, told, err)
	}
	if n, err := c.Remove(t.Context(), decouple.Actor{Kind: decouple.ActorPerson, ID: "local"}, "stdin:moon"); n != 1 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
	if _, err := c.Remove(t.Context(), decouple.Actor{}, "stdin:moon"); decouple.KindOf(err) != decouple.NotFound {
		t.Errorf("removing what is gone says %v", err)
	}
	if _, err := c.Add(t.Context(), knowledge.Request{Paths: []string{"relative"}}); decouple.KindOf(err) != decouple.Invalid {
		t.Errorf("a relative path is answered with %v", err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, store := listening(t, dir)
	s, err := engine.New(engine.Config{Store: store, Model: gateway.Builtin{}, Agents: []decouple.Agent{{Name: "talker", Version: "v1"}}})
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.Start(t.Context(), engine.Start{Agent: "talker", Task: decouple.Task{Question: "Is it late?"}})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.Cancel(t.Context(), "", id, engine.Cancellation{By: "me", Why: "enough"}); n != 1 || err != nil {
		t.Fatalf("told %d, %v", n, err)
	}
	if _, err := s.Drive(t.Context(), decouple.LocalTenant, id); err != nil {
		t.Fatal(err)
	}
	rows, err := store.Runs(t.Context(), journal.RunFilter{ID: id})
	if err != nil || len(rows) != 1 || rows[0].Cause.Kind != decouple.CauseCanceled || !strings.Contains(rows[0].Cause.Why, "enough") {
		t.Errorf("the run is %+v, %v", rows, err)
	}
	for id, want := range map[decouple.RunID]decouple.Kind{id: decouple.Conflict, "rnothing": decouple.NotFound, "a b/c?d": decouple.NotFound} {
		if _, err := c.Cancel(t.Context(), "", id, engine.Cancellation{}); decouple.KindOf(err) != want {
			t.Errorf("canceling %q says %v", id, err)
		}
	}
}

// FuzzHandler sends anything to every door: each answer is JSON with a status that fits, and nothing breaks.
func FuzzHandler(f *testing.F) {
	server, _ := stand(f, f.TempDir())
	h := server.Handler()
	for _, body := range []string{`{"why":"so"}`, `{"agent":"talker","task":{"question":"?"},"limits":{"time":"x"}}`, `{"actor":{"kind":"person","id":"a"},"role":"viewer"}`, `{"note":"n1","actor":{}}`, `{"paths":["relative"]}`, `{"paths":[]}`, `{`, `[]`, `{"nope":1}`, ``} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, door := range []struct{ method, path string }{
			{"POST", "/api/v1/runs/x/cancel"}, {"DELETE", "/api/v1/note?note=x"}, {"POST", "/api/v1/notes"}, {"POST", "/api/v1/runs"}, {"POST", "/api/v1/keys"}, {"PUT", "/api/v1/agents/talker"},
			{"POST", "/api/v1/runs/x/fork"}, {"POST", "/api/v1/runs/x/signals"}, {"POST", "/api/v1/approvals/x/1/1"}, {"POST", "/api/v1/runs/x/calls/1/1/resolve"}, {"POST", "/api/v1/sessions"},
			{"POST", "/api/v1/sessions/x/input"}, {"POST", "/api/v1/notes/search"}, {"POST", "/api/v1/notes/outline"},
		} {
			if door.path == "/api/v1/notes" && strings.Contains(body, "/") {
				continue // it would add what is on this machine
			}
			r := httptest.NewRequest(door.method, "http://owner"+door.path, strings.NewReader(body))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != http.StatusOK && !json.Valid(w.Body.Bytes()) || w.Code >= 500 && w.Code != 503 {
				t.Errorf("%s %s %q: %d %s", door.method, door.path, body, w.Code, w.Body)
			}
		}
	})
}
