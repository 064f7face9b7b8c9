package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/registry"
)

// payer asks for an approval before it pays.
const payer = "---\nname: payer\ndescription: Pays.\ntools: [pay]\napprove:\n  - tool: pay\n---\nYou pay.\n"

// site is a server with keys, which works on every run.
type site struct {
	t      *testing.T
	url    string
	store  *sqlite.Store
	keys   *registry.Keys
	seen   map[string]bool // operations that were answered well
	schema map[string]*jsonschema.Resolved
	doc    struct {
		Paths map[string]map[string]struct {
			ID        string `json:"operationId"`
			Right     string `json:"x-right"`
			Responses map[string]struct {
				Content map[string]struct {
					Schema json.RawMessage `json:"schema"`
				} `json:"content"`
			} `json:"responses"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
}

func newSite(t *testing.T) *site {
	t.Helper()
	server, store := stand(t, t.TempDir())
	s := &site{t: t, store: store, keys: registry.NewKeys(store), seen: map[string]bool{}, schema: map[string]*jsonschema.Resolved{}}
	server.Keys, server.Metrics, server.Serves, server.Version = s.keys, server.Hub.Metrics(), true, "test"
	withModels(t, server, store)
	withDesk(t, server, store)
	web := httptest.NewServer(server.Handler())
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = server.Engine.Serve(ctx) })
	work.Go(func() { _ = server.Hub.Run(ctx) })
	t.Cleanup(func() {
		stop()
		work.Wait()
		web.CloseClientConnections()
		web.Close()
	})
	s.url = web.URL
	return s
}

func (s *site) key(tenant decouple.TenantID, name string, role registry.Role) string {
	s.t.Helper()
	_, bearer, err := s.keys.Create(s.t.Context(), registry.Key{Tenant: tenant, Actor: decouple.Actor{Kind: decouple.ActorPerson, ID: name}, Role: role})
	if err != nil {
		s.t.Fatal(err)
	}
	return bearer
}

// ask sends a request and gives status and body.
func (s *site) ask(bearer, method, path, body string, headers ...string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	s.conforms(method, path, resp, b)
	return resp.StatusCode, string(b)
}

// read is ask for an answer that is well.
func read[T any](s *site, bearer, method, path, body string, headers ...string) T {
	s.t.Helper()
	var out T
	code, text := s.ask(bearer, method, path, body, headers...)
	if code != http.StatusOK {
		s.t.Fatalf("%s %s: %d %s", method, path, code, text)
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		s.t.Fatalf("%s %s: %v in %s", method, path, err, text)
	}
	return out
}

// describe reads the interface's own description.
func (s *site) describe() {
	s.t.Helper()
	resp, err := http.Get(s.url + "/api/v1/openapi.json")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&s.doc); err != nil {
		s.t.Fatal(err)
	}
	for path, ops := range s.doc.Paths {
		for method, op := range ops {
			for status, r := range op.Responses {
				if c, ok := r.Content["application/json"]; ok {
					s.schema[method+" "+path+" "+status] = s.resolve(c.Schema)
				}
			}
		}
	}
}

func (s *site) resolve(raw json.RawMessage) *jsonschema.Resolved {
	s.t.Helper()
	text := strings.ReplaceAll(string(raw), "#/components/schemas/", "#/$defs/")
	var schema jsonschema.Schema
	if err := json.Unmarshal([]byte(text), &schema); err != nil {
		s.t.Fatal(err)
	}
	schema.Defs = map[string]*jsonschema.Schema{}
	for name, raw := range s.doc.Components.Schemas {
		var def jsonschema.Schema
		if err := json.Unmarshal(raw, &def); err != nil {
			s.t.Fatal(err)
		}
		schema.Defs[name] = &def
	}
	r, err := schema.Resolve(nil)
	if err != nil {
		s.t.Fatalf("%v in %s", err, text)
	}
	return r
}

// conforms checks an answer against the description.
func (s *site) conforms(method, path string, resp *http.Response, body []byte) {
	s.t.Helper()
	if len(s.schema) == 0 {
		return
	}
	path, _, _ = strings.Cut(path, "?")
	for pattern, ops := range s.doc.Paths {
		op, ok := ops[strings.ToLower(method)]
		if !ok || !regexp.MustCompile("^"+regexp.MustCompile(`\{\w+\}`).ReplaceAllString(regexp.QuoteMeta(pattern), "x")+"$").MatchString(path) && !matches(pattern, path) {
			continue
		}
		status := "default"
		if resp.StatusCode < 300 {
			status = fmt.Sprint(resp.StatusCode)
			s.seen[op.ID] = true
		}
		schema := s.schema[strings.ToLower(method)+" "+pattern+" "+status]
		if schema == nil || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
			return
		}
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			s.t.Errorf("%s %s: %v", method, path, err)
		}
		if err := schema.Validate(v); err != nil {
			s.t.Errorf("%s %s answers what the description does not allow: %v\n%s", method, path, err, body)
		}
		return
	}
	if resp.StatusCode < 300 {
		s.t.Errorf("%s %s is not in the description", method, path)
	}
}

// matches says whether a path is of a pattern with {names}.
func matches(pattern, path string) bool {
	p, q := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(p) != len(q) {
		return false
	}
	for i := range p {
		if p[i] != q[i] && (!strings.HasPrefix(p[i], "{") || q[i] == "") {
			return false
		}
	}
	return true
}

// until waits until a run's row is as it should be.
func (s *site) until(bearer string, id decouple.RunID, ok func(api.Run) bool) api.Run {
	s.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		r := read[api.Run](s, bearer, "GET", "/api/v1/runs/"+string(id), "")
		if ok(r) {
			return r
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("run %s stays %+v", id, r)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func over(r api.Run) bool { return r.Status == decouple.RunEnded }

// TestInterface goes through the interface as a program would, and holds every answer against the description; nothing that is described is left out.
func TestInterface(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.describe()
	root, bearer, _ := s.keys.First(t.Context())
	_ = bearer
	ada := s.key("", "ada", registry.RoleOperator)
	for _, path := range []string{"/healthz", "/readyz", "/api/v1/openapi.json"} {
		if code, text := s.ask("", "GET", path, ""); code != 200 {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	if a := read[api.About](s, ada, "GET", "/api/v1/about", ""); a.You.Actor.ID != "ada" || !a.Serves {
		t.Errorf("about: %+v", a)
	}
	_ = root

	// a run, twice with one key
	start := `{"agent":"talker","task":{"question":"Is it late?"},"limits":{"time":"5m","usd":0.5}}`
	begun := read[api.Begun](s, ada, "POST", "/api/v1/runs", start, "Idempotency-Key", "k1")
	if again := read[api.Begun](s, ada, "POST", "/api/v1/runs", start, "Idempotency-Key", "k1"); again != begun {
		t.Errorf("the key k1 began %s and %s", begun.Run, again.Run)
	}
	if code, text := s.ask(ada, "POST", "/api/v1/runs", strings.Replace(start, "late", "early", 1), "Idempotency-Key", "k1"); code != 409 {
		t.Errorf("another question under the same key: %d %s", code, text)
	}
	run := "/api/v1/runs/" + string(begun.Run)
	if r := s.until(ada, begun.Run, over); r.Cause != decouple.CauseDone || r.Steps != 1 {
		t.Errorf("the run is %+v", r)
	}
	for _, path := range []string{run + "/tree", run + "/why", run + "/effects", run + "/inbox", run + "/report", run + "/events?limit=1", "/api/v1/runs?status=ended&newest=true&limit=1&agent=talker", "/api/v1/events?kind=run&limit=2",
		"/api/v1/streams/run/" + string(begun.Run), "/api/v1/nodes", "/api/v1/approvals", "/api/v1/agents", "/api/v1/agents/talker", "/api/v1/agents/talker/versions", "/api/v1/notes", "/metrics"} {
		if code, text := s.ask(ada, "GET", path, ""); code != 200 || len(text) < 3 {
			t.Errorf("%s: %d %q", path, code, text)
		}
	}
	fork := read[api.Begun](s, ada, "POST", run+"/fork", `{"step":1}`)
	s.until(ada, fork.Run, over)
	read[api.Told](s, ada, "POST", run+"/resume", ``)
	if code, _ := s.ask(ada, "POST", run+"/cancel", `{"why":"late"}`); code != 409 {
		t.Errorf("an ended run was canceled: %d", code)
	}

	s.goOn(ada, begun.Run)
	s.contracts(ada, s.gateway(ada))
	s.risk(ada)
	for path, ops := range s.doc.Paths {
		for method, op := range ops {
			hard := strings.Contains(path, "/approvals/") || strings.Contains(path, "/resolve") || strings.Contains(path, "/signals") || strings.Contains(path, "/blobs/") || strings.HasSuffix(path, "/outline")
			if !s.seen[op.ID] && !hard { // the command line's tests go through those
				t.Errorf("%s %s is described and was never answered well here", method, path)
			}
		}
	}
}

// goOn is what a program does with agents and sessions, notes and keys.
func (s *site) goOn(ada string, ended decouple.RunID) {
	t := s.t
	run, start := "/api/v1/runs/"+string(ended), `{"agent":"talker","task":{"question":"Is it late?"}}`
	// agents
	s.ask(ada, "PUT", "/api/v1/agents/payer", payer)
	put := strings.Replace(talker, "You talk.", "You talk a lot.", 1)
	read[api.Agent](s, ada, "PUT", "/api/v1/agents/talker", put)
	if d := read[api.AgentChange](s, ada, "GET", "/api/v1/agents/talker/diff", ""); len(d.Changes) != 1 || d.Changes[0].Field != "prompt" {
		t.Errorf("the versions differ in %+v", d)
	}
	if code, text := s.ask(ada, "PUT", "/api/v1/agents/talker", "---\nname: talker\nbad: x\n---\nhm\n"); code != 400 || !strings.Contains(text, "talker.md:3") {
		t.Errorf("a bad file: %d %s", code, text)
	}

	// a session, canceled at its end
	talk := read[api.Begun](s, ada, "POST", "/api/v1/sessions", `{"agent":"talker","label":"chat"}`)
	session := "/api/v1/sessions/" + string(talk.Run)
	if list := read[api.RunList](s, ada, "GET", "/api/v1/sessions?limit=1", ""); len(list.Runs) != 1 || list.Runs[0].ID != talk.Run || list.Next != 0 {
		t.Errorf("the sessions are %+v", list)
	}
	read[api.Said](s, ada, "POST", session+"/input", `{"text":"hello"}`, "Idempotency-Key", "i1")
	s.until(ada, talk.Run, func(r api.Run) bool {
		got := read[api.Talk](s, ada, "GET", session, "")
		return len(got.Turns) == 1 && got.Turns[0].State == "answered"
	})
	read[api.Told](s, ada, "POST", "/api/v1/runs/"+string(talk.Run)+"/cancel", `{}`)
	s.until(ada, talk.Run, over)
	read[api.Begun](s, ada, "POST", "/api/v1/runs", start)
	if code, text := s.ask(ada, "POST", run+"/signals", `{"name":"x","body":{}}`); code != 409 {
		t.Errorf("a signal to an ended run: %d %s", code, text)
	}
	s.notesAndKeys(ada)
}

func (s *site) notesAndKeys(ada string) {
	t := s.t
	// notes
	if sum := read[struct{ Added int }](s, ada, "PUT", "/api/v1/note?path=/book/tide.md&folder=/book", "# Tide\n\nThe tide turns four times on every day.\n"); sum.Added != 1 {
		t.Errorf("added %+v", sum)
	}
	for _, q := range []struct{ method, path, body string }{
		{"GET", "/api/v1/notes?path=/book", ""}, {"GET", "/api/v1/note?note=/book/tide.md", ""}, {"GET", "/api/v1/note/text?note=/book/tide.md", ""},
		{"POST", "/api/v1/notes/search", `{"query":"tide","sources":{"paths":["/book"]}}`}, {"DELETE", "/api/v1/note?note=/book", ""},
	} {
		if code, text := s.ask(ada, q.method, q.path, q.body); code != 200 || len(text) < 4 {
			t.Errorf("%s %s: %d %s", q.method, q.path, code, text)
		}
	}

	// keys
	admin := s.key("", "grace", registry.RoleAdmin)
	made := read[api.MadeKey](s, admin, "POST", "/api/v1/keys", `{"actor":{"kind":"service","id":"ci"},"role":"viewer"}`)
	if code, _ := s.ask(made.Bearer, "GET", "/api/v1/runs", ""); code != 200 {
		t.Errorf("the new key is answered %d", code)
	}
	if code, _ := s.ask(admin, "POST", "/api/v1/keys", `{"actor":{"kind":"service","id":"ci"},"role":"viewer","tenant":"other"}`); code != 403 {
		t.Errorf("a key of another tenant: %d", code)
	}
	read[[]registry.Key](s, admin, "GET", "/api/v1/keys", "")
	read[api.None](s, admin, "DELETE", "/api/v1/keys/"+made.ID, "")
	if code, _ := s.ask(made.Bearer, "GET", "/api/v1/runs", ""); code != 401 {
		t.Errorf("a revoked key is answered %d", code)
	}
}

// TestRights has every route refuse whoever has no key, or a key without the right.
func TestRights(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.describe()
	keys := map[registry.Role]string{}
	for _, r := range registry.Roles() {
		keys[r] = s.key("", "someone", r)
	}
	n := 0
	for pattern, ops := range s.doc.Paths {
		for method, op := range ops {
			if op.Right == "" {
				continue
			}
			n++
			path := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(pattern, "1")
			for _, bad := range []string{"", "dck_x_y", "nonsense"} {
				if code, text := s.ask(bad, strings.ToUpper(method), path, "{}"); code != 401 {
					t.Errorf("%s %s with the key %q: %d %s", method, path, bad, code, text)
				}
			}
			for role, bearer := range keys {
				if code, text := s.ask(bearer, strings.ToUpper(method), path, "{}"); (code == 403) == role.May(registry.Right(op.Right)) {
					t.Errorf("%s %s as %s: %d %s", method, path, role, code, text)
				}
			}
		}
	}
	if n < 30 {
		t.Errorf("only %d routes need a right", n)
	}
}

// TestForeignTenant finds nothing of another tenant, whatever id it asks for.
func TestForeignTenant(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ours, theirs := s.key("ours", "ada", registry.RoleAdmin), s.key("theirs", "eve", registry.RoleAdmin)
	begun := read[api.Begun](s, ours, "POST", "/api/v1/runs", `{"agent":"talker","task":{"question":"Is it late?"}}`)
	s.until(ours, begun.Run, over)
	talk := read[api.Begun](s, ours, "POST", "/api/v1/sessions", `{"agent":"talker"}`)
	read[map[string]any](s, ours, "PUT", "/api/v1/note?path=/a.txt", "The tide turns four times.")
	key := read[api.MadeKey](s, ours, "POST", "/api/v1/keys", `{"actor":{"kind":"service","id":"ci"},"role":"viewer"}`)
	read[api.Agent](s, ours, "PUT", "/api/v1/agents/talker", strings.Replace(talker, "talk.", "whisper.", 1))
	run, session := "/api/v1/runs/"+string(begun.Run), "/api/v1/sessions/"+string(talk.Run)
	decision := read[gateway.Trial](s, ours, "POST", "/api/v1/endpoints/builtin%2Fbuiltin/test", "{}").Decision
	read[api.None](s, ours, "PUT", "/api/v1/budgets/our-budget", `{"scope":"team","name":"whisperers","period":"day","tokens":5}`)
	for _, q := range []struct{ method, path, body string }{
		{"GET", run, ""}, {"GET", run + "/tree", ""}, {"GET", run + "/events", ""}, {"GET", run + "/why", ""}, {"GET", run + "/effects", ""}, {"GET", run + "/inbox", ""}, {"GET", run + "/report", ""},
		{"POST", run + "/cancel", "{}"}, {"POST", run + "/resume", "{}"}, {"POST", run + "/fork", `{"step":1}`}, {"POST", run + "/signals", `{"name":"x"}`}, {"POST", run + "/calls/1/1/resolve", `{"redo":true}`},
		{"GET", "/api/v1/approvals/" + string(begun.Run) + "/1/1", ""}, {"POST", "/api/v1/approvals/" + string(begun.Run) + "/1/1", `{"approve":true}`},
		{"GET", session, ""}, {"POST", session + "/input", `{"text":"hi"}`}, {"GET", "/api/v1/note?note=/a.txt", ""}, {"GET", "/api/v1/note/text?note=/a.txt", ""}, {"DELETE", "/api/v1/note?note=/a.txt", ""},
		{"DELETE", "/api/v1/keys/" + key.ID, ""}, {"PUT", "/api/v1/keys/" + key.ID, `{"scope":{"team":"x"}}`}, {"POST", "/api/v1/keys/" + key.ID + "/sigv4", `{}`}, {"GET", "/api/v1/blobs/0123", ""},
		{"GET", "/api/v1/decisions/" + decision, ""}, {"DELETE", "/api/v1/budgets/our-budget", ""},
	} {
		if code, text := s.ask(theirs, q.method, q.path, q.body); code != 404 {
			t.Errorf("%s %s of another tenant: %d %s", q.method, q.path, code, text)
		}
	}
	for _, path := range []string{"/api/v1/runs", "/api/v1/sessions", "/api/v1/notes", "/api/v1/events", "/api/v1/approvals", "/api/v1/streams/run/" + string(begun.Run), "/api/v1/streams/key/" + key.ID, "/api/v1/agents/talker/versions",
		"/api/v1/decisions", "/api/v1/budgets", "/api/v1/usage?by=tenant&by=key", "/api/v1/keys"} {
		if _, text := s.ask(theirs, "GET", path, ""); strings.Contains(text, string(begun.Run)) || strings.Contains(text, "a.txt") || strings.Contains(text, "whisper") || strings.Contains(text, "hash") || strings.Contains(text, "ours") || strings.Contains(text, decision) {
			t.Errorf("%s shows what is another tenant's: %s", path, text)
		}
	}
	for _, q := range []struct{ method, path, body string }{{"GET", "/api/v1/usage?tenant=ours", ""}, {"GET", "/api/v1/decisions?tenant=ours", ""}, {"GET", "/api/v1/budgets?tenant=ours", ""}, {"DELETE", "/api/v1/budgets/our-budget?tenant=ours", ""},
		{"PUT", "/api/v1/budgets/b", `{"tenant":"ours","scope":"tenant","period":"day","tokens":1}`}} {
		if code, text := s.ask(theirs, q.method, q.path, q.body); code != 403 {
			t.Errorf("%s %s for another tenant: %d %s", q.method, q.path, code, text)
		}
	}
	if code, _ := s.ask(theirs, "GET", "/metrics", ""); code != 403 {
		t.Errorf("another tenant is shown the metrics: %d", code)
	}
	if a := read[api.Agent](s, theirs, "GET", "/api/v1/agents/talker", ""); strings.Contains(a.Prompt, "whisper") {
		t.Error("an agent that one tenant deployed is another's too")
	}
}

// TestBadRequests names the place and the remedy.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.key("", "ada", registry.RoleOperator)
	for _, q := range []struct {
		method, path, body string
		code               int
		says               string
	}{
		{"POST", "/api/v1/runs", `{`, 400, "JSON"},
		{"POST", "/api/v1/runs", ``, 400, "agent"},
		{"POST", "/api/v1/runs", `{"agent":"talker"}`, 400, "task.question"},
		{"POST", "/api/v1/runs", `{"agent":"talker","task":{"question":"x"},"limits":{"time":"soon"}}`, 400, "limits.time"},
		{"POST", "/api/v1/runs", `{"agent":"talker","task":{"question":"x"},"limits":{"usd":-1}}`, 400, "negative"},
		{"POST", "/api/v1/runs", `{"agent":"talker","tusk":1}`, 400, "tusk"},
		{"POST", "/api/v1/runs", `{"agent":"talker"} {}`, 400, "more than one"},
		{"POST", "/api/v1/runs", `{"agent":"talker","Agent":"lead","task":{"question":"x"}}`, 400, "small letters"},
		{"POST", "/api/v1/runs", `{"agent":"talker","agent":"lead","task":{"question":"x"}}`, 400, "twice"},
		{"POST", "/api/v1/runs", `{"agent":"talker","task":{"question":"x"},"sources":{"as_of":-1}}`, 400, "as_of"},
		{"POST", "/api/v1/runs", `{"agent":"talker","task":{"question":"x"},"labels":["` + strings.Repeat("x", 201) + `"]}`, 400, "labels"},
		{"POST", "/api/v1/runs", `{"agent":"talker","task":{"question":"x"},"site":{"labels":["a\u0000"]}}`, 400, "site.labels"},
		{"POST", "/api/v1/runs", `{"agent":"talker","task":{"question":"x"},"priority":1001}`, 400, "priority"},
		{"POST", "/api/v1/sessions", `{"agent":"talker","site":{"cloud":"a\nb"}}`, 400, "site"},
		{"POST", "/api/v1/runs", `{"agent":"nobody","task":{"question":"x"}}`, 404, "nobody"},
		{"POST", "/api/v1/runs", `{"agent":"` + strings.Repeat("x", 17<<20) + `"}`, 413, "larger"},
		{"GET", "/api/v1/runs?stattus=ended", "", 400, "stattus"},
		{"GET", "/api/v1/runs?status=endet", "", 400, "endet"},
		{"GET", "/api/v1/runs?limit=x", "", 400, "limit"},
		{"GET", "/api/v1/runs?limit=100000", "", 400, "1000"},
		{"GET", "/api/v1/runs?after=-1", "", 400, "after"},
		{"GET", "/api/v1/nodes?x=1", "", 400, "takes none"},
		{"GET", "/api/v2/runs", "", 404, "openapi"},
		{"PUT", "/api/v1/note?path=relative", "x", 400, "absolute"},
		{"PUT", "/api/v1/note?path=/a/../b", "x", 400, "clean"},
		{"POST", "/api/v1/notes", `{"paths":["/etc"]}`, 403, "upload"},
		{"POST", "/api/v1/sessions", `{"agent":"talker","busy":"maybe"}`, 400, "maybe"},
		{"GET", "/api/v1/usage?by=colour", "", 400, "choose among"},
		{"GET", "/api/v1/usage?since=soon", "", 400, "since"},
		{"GET", "/api/v1/decisions?limit=x", "", 400, "limit"},
		{"POST", "/api/v1/endpoints/nowhere%2Fmodel/test", "{}", 404, "nowhere/model"},
	} {
		if code, text := s.ask(ada, q.method, q.path, q.body); code != q.code || !strings.Contains(text, q.says) {
			t.Errorf("%s %s %.60s: %d %s", q.method, q.path, q.body, code, text)
		}
	}
}

// sse is what a stream of events brought.
type sse struct{ id, event, data string }

// stream reads a live stream to its end, or until fn is content.
func (s *site) stream(bearer, path, last string, fn func(sse) bool) int {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), "GET", s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Accept", "text/event-stream")
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	var e sse
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case name == "id":
			e.id = value
		case name == "event":
			e.event = value
		case name == "data":
			e.data = value
		case name == "" && e.event != "":
			if !fn(e) {
				return resp.StatusCode
			}
			e = sse{}
		}
	}
	return resp.StatusCode
}

// TestStream delivers every event of a run once and in order, over connections that break after each event, with live text beside them.
func TestStream(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.key("", "ada", registry.RoleOperator)
	talk := read[api.Begun](s, ada, "POST", "/api/v1/sessions", `{"agent":"talker"}`)
	path := "/api/v1/runs/" + string(talk.Run) + "/events"
	var got []string
	live := make(chan int, 1)
	here := make(chan struct{})
	go func() { // stays
		n := 0
		s.stream(ada, path, "", func(e sse) bool {
			switch {
			case e.event == "live":
				n++
			case e.event == "run.created" && strings.Contains(e.data, `"seq":1,`) && strings.Contains(e.data, `"run":"`+string(talk.Run)+`"`):
				close(here)
			}
			return true
		})
		live <- n
	}()
	<-here
	watched := make(chan struct{})
	first := make(chan struct{})
	go func() {
		defer close(watched)
		last := ""
		for done := false; !done; {
			code := s.stream(ada, path, last, func(e sse) bool {
				if e.event == "live" {
					return true
				}
				if len(got) == 0 {
					close(first)
				}
				got, last = append(got, e.id), e.id
				var ev api.Event
				_ = json.Unmarshal([]byte(e.data), &ev)
				done = ev.Kind == "run.ended" && ev.Run == string(talk.Run)
				return len(got)%2 == 0 // the others break off
			})
			if code != 200 {
				t.Errorf("the stream answers %d", code)
				return
			}
		}
		if code := s.stream(ada, path, last, func(sse) bool { return true }); code != http.StatusNoContent {
			t.Errorf("a stream that was had to its end answers %d", code)
		}
	}()
	<-first
	for i := range 5 {
		read[api.Said](s, ada, "POST", "/api/v1/sessions/"+string(talk.Run)+"/input", fmt.Sprintf(`{"text":"hello %d"}`, i))
	}
	s.until(ada, talk.Run, func(api.Run) bool {
		turns := read[api.Talk](s, ada, "GET", "/api/v1/sessions/"+string(talk.Run), "").Turns
		return len(turns) == 5 && turns[4].State == "answered"
	})
	read[api.Told](s, ada, "POST", "/api/v1/runs/"+string(talk.Run)+"/cancel", `{}`)
	<-watched
	var want []string
	for _, e := range read[api.EventList](s, ada, "GET", path+"?limit=1000", "").Events {
		want = append(want, fmt.Sprint(e.Position))
	}
	if strings.Join(got, " ") != strings.Join(want, " ") || len(want) < 20 {
		t.Errorf("the stream brought\n%v\nof\n%v", got, want)
	}
	if n := <-live; n < 5 {
		t.Errorf("%d live frames were shown", n)
	}
}

// TestSlowWatcher has a watcher that reads nothing while much happens: nobody waits for it, and it has every event in the end.
func TestSlowWatcher(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.key("", "ada", registry.RoleOperator)
	begun := read[api.Begun](s, ada, "POST", "/api/v1/sessions", `{"agent":"talker"}`)
	var got []string
	resume := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.stream(ada, "/api/v1/events", "", func(e sse) bool {
			if e.event == "live" {
				return true
			}
			if len(got) == 0 {
				<-resume
			}
			got = append(got, e.id)
			var ev api.Event
			_ = json.Unmarshal([]byte(e.data), &ev)
			return ev.Kind != "run.ended" || ev.Run != string(begun.Run)
		})
	}()
	for i := range 400 {
		read[api.Said](s, ada, "POST", "/api/v1/sessions/"+string(begun.Run)+"/input", fmt.Sprintf(`{"text":"%d %s"}`, i, bytes.Repeat([]byte("word "), 400)))
	}
	s.until(ada, begun.Run, func(r api.Run) bool { return r.Events > 600 })
	read[api.Told](s, ada, "POST", "/api/v1/runs/"+string(begun.Run)+"/cancel", `{}`)
	s.until(ada, begun.Run, over)
	close(resume)
	<-done
	seen := map[string]bool{}
	for _, id := range got {
		if seen[id] {
			t.Fatalf("event %s came twice", id)
		}
		seen[id] = true
	}
	after := int64(0)
	for {
		page := read[api.EventList](s, ada, "GET", fmt.Sprintf("/api/v1/events?limit=1000&after=%d", after), "")
		for _, e := range page.Events {
			if !seen[fmt.Sprint(e.Position)] && e.Position <= decouple.Position(must(got[len(got)-1])) {
				t.Fatalf("event %d did not come", e.Position)
			}
		}
		if after = page.Next; after == 0 {
			break
		}
	}
	if len(got) < 600 { // the session alone had more when it was canceled
		t.Errorf("only %d events came", len(got))
	}
}

func must(s string) (n int64) {
	_, _ = fmt.Sscan(s, &n)
	return n
}
