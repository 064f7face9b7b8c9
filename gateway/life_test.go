package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal/sqlite"
)

// alias changes the alias that calls name.
func alias(change func(*catalog.Alias)) func(*gateway.Config) {
	return func(c *gateway.Config) {
		a := c.Catalog.Aliases["smart"]
		change(&a)
		c.Catalog.Aliases["smart"] = a
	}
}

// books opens a ledger in a folder of its own.
func books(t *testing.T, c *gateway.Config) *ledger.Ledger {
	t.Helper()
	store, err := sqlite.Open(context.Background(), sqlite.Config{Dir: filepath.Join(t.TempDir(), "journal")})
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(ledger.Config{Dir: t.TempDir(), Store: store})
	if err != nil {
		t.Fatal(err)
	}
	c.Ledger, c.Store = l, &gateway.JournalResponses{Store: store}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// spent sums what a ledger has.
func spent(t *testing.T, l *ledger.Ledger) ledger.Row {
	t.Helper()
	rows, err := l.Usage(t.Context(), ledger.Query{Tenant: "local"})
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) == 0 {
		return ledger.Row{}
	}
	return rows[0]
}

func TestSettles(t *testing.T) {
	t.Parallel()
	var l *ledger.Ledger
	up := serve(t, status(200, whole), good(), status(500, ``))
	g := open(t, func(c *gateway.Config) { l = books(t, c) }, at("one", up.URL))
	text(t, post(t, g, "/v1/chat/completions", plainAsk))
	text(t, post(t, g, "/v1/chat/completions", streamAsk))
	if got := spent(t, l); got.Usage.Cost != 2*2_000_000 || got.Calls != 2 {
		t.Errorf("spent %+v", got)
	}
}

// TestHedges has the first endpoint be slow to begin: a second one is asked beside it, and the caller has one answer, from whichever began first.
func TestHedges(t *testing.T) {
	t.Parallel()
	var l *ledger.Ledger
	hung := make(chan struct{})
	slow := serve(t, func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(hung)
	})
	fast := serve(t, good())
	g := open(t, func(c *gateway.Config) {
		l = books(t, c)
		alias(func(a *catalog.Alias) { a.Hedge = 50 * time.Millisecond })(c)
	}, at("one", slow.URL), at("two", fast.URL))
	resp := post(t, g, "/v1/chat/completions", streamAsk)
	if got := text(t, resp); !strings.Contains(got, `"who"`) || strings.Count(got, "[DONE]") != 1 || resp.Header.Get("X-Decouple-Endpoint") != "two" {
		t.Errorf("from %s: %s", resp.Header.Get("X-Decouple-Endpoint"), got)
	}
	<-hung
	if got := spent(t, l); got.Usage.Cost <= 2_000_000 {
		t.Errorf("the endpoint that was hung up on is not in the settlement: %+v", got)
	}
}

// TestCascades asks the small model first, and the large one when its answer does not pass the check.
func TestCascades(t *testing.T) {
	t.Parallel()
	const shaped = `{"model":"smart","stream":%s,"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","required":["a"]}}}}`
	say := func(content string) string { return strings.Replace(whole, `"whole"`, content, 1) }
	for _, stream := range []string{"false", "true"} {
		small, large := serve(t, status(200, say(`"no json"`)), status(200, say(`"{\"a\":1}"`))), serve(t, status(200, say(`"{\"a\":2}"`)))
		g := open(t, alias(func(a *catalog.Alias) { a.Strategy, a.Check = catalog.Cascade, "json_schema" }), at("small", small.URL), at("large", large.URL))
		body := strings.Replace(shaped, "%s", stream, 1)
		first := post(t, g, "/v1/chat/completions", body)
		if got := text(t, first); first.Header.Get("X-Decouple-Endpoint") != "large" || !strings.Contains(got, "2") || strings.Contains(got, "no json") {
			t.Errorf("first from %s: %s", first.Header.Get("X-Decouple-Endpoint"), got)
		}
		second := post(t, g, "/v1/chat/completions", body)
		if got := text(t, second); second.Header.Get("X-Decouple-Endpoint") != "small" {
			t.Errorf("second from %s: %s", second.Header.Get("X-Decouple-Endpoint"), got)
		}
	}
}

// TestCache answers from memory, and lets those who ask the same at the same time share one call.
func TestCache(t *testing.T) {
	t.Parallel()
	var l *ledger.Ledger
	begun, release := make(chan struct{}, 9), make(chan struct{})
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-release
		status(200, whole)(w, r)
	})
	g := open(t, func(c *gateway.Config) {
		l = books(t, c)
		alias(func(a *catalog.Alias) { a.Cache = time.Minute })(c)
	}, at("one", up.URL))
	var work sync.WaitGroup
	how := make(chan string, 4)
	ask := func() {
		resp := post(t, g, "/v1/chat/completions", plainAsk)
		if got := text(t, resp); got != whole {
			t.Errorf("%s", got)
		}
		how <- resp.Header.Get("X-Decouple-Cache")
	}
	work.Go(ask)
	<-begun
	work.Go(ask)
	work.Go(ask)
	close(release)
	work.Wait()
	ask()
	close(how)
	var got []string
	for h := range how {
		got = append(got, h)
	}
	if last := got[len(got)-1]; last != "hit" || !slices.Contains(got, "") || len(up.requests()) != 1 {
		t.Errorf("%q with %d requests", got, len(up.requests()))
	}
	if got := spent(t, l); got.Usage.Cost != 2_000_000 || got.Calls != 4 {
		t.Errorf("spent %+v", got)
	}
}

// TestWaitsForRoom has more calls at once than the endpoint takes: they wait for each other, and all are answered.
func TestWaitsForRoom(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	at1, most := 0, 0
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		at1++
		most = max(most, at1)
		mu.Unlock()
		status(200, whole)(w, r)
		mu.Lock()
		at1--
		mu.Unlock()
	})
	e := at("one", up.URL)
	e.Limits.Concurrent = 2
	g := open(t, nil, e)
	front := httptest.NewServer(g)
	defer front.Close()
	var work sync.WaitGroup
	for range 30 {
		work.Go(func() {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, front.URL+"/v1/chat/completions", strings.NewReader(plainAsk))
			req.Header.Set("Authorization", "Bearer door")
			resp, err := front.Client().Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != 200 {
				t.Errorf("status %d", resp.StatusCode)
			}
		})
	}
	work.Wait()
	if most > 2 {
		t.Errorf("%d calls at once", most)
	}
}

// leave asks an endpoint of a provider, and hangs up in the middle of the answer. It gives what was spent.
func leave(t *testing.T, provider string, up *server) ledger.Row {
	t.Helper()
	var l *ledger.Ledger
	e := at("one", up.URL)
	e.Provider = provider
	g := open(t, func(c *gateway.Config) { l = books(t, c) }, e)
	front := httptest.NewServer(g)
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, front.URL+"/v1/chat/completions", strings.NewReader(streamAsk))
	req.Header.Set("Authorization", "Bearer door")
	resp, err := front.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(resp.Body); lines.Scan() && !strings.Contains(lines.Text(), "half"); {
	}
	hangUp()
	_ = resp.Body.Close()
	front.Close() // waits for its handlers
	return spent(t, l)
}

// TestCallerGone has the caller hang up in the middle where the provider goes on with the answer, and bills it: it is read on for its usage, which is settled exactly.
func TestCallerGone(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		send(w, role, chunk("half"))
		select {
		case <-r.Context().Done():
		case <-time.After(300 * time.Millisecond):
			send(w, chunk("rest"), stop, usage, end)
		}
	})
	if got := leave(t, "gemini", up); got.Usage.Cost != 2_000_000 || got.Unseen != 0 {
		t.Errorf("spent %+v", got)
	}
}

// TestCallerGoneEndsTheBill has the caller hang up in the middle where that ends the bill: the provider is hung up on too, and what it may bill is settled from above, and marked.
func TestCallerGoneEndsTheBill(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		send(w, role, chunk("half"))
		<-r.Context().Done()
	})
	got := leave(t, "openai", up)
	<-ended
	if got.Usage.Cost == 0 || got.Unseen != 1 {
		t.Errorf("spent %+v", got)
	}
}

// TestAgentsGoOn has an endpoint die in the middle of an agent's answer: another one answers, and whoever watches is told that the answer begins anew.
func TestAgentsGoOn(t *testing.T) {
	t.Parallel()
	one, two := serve(t, cut(role, chunk("half"))), serve(t, good())
	g := open(t, nil, at("one", one.URL), at("two", two.URL))
	req := ask()
	var heard []string
	req.Tokens = func(s string) { heard = append(heard, s) }
	a, err := gateway.Agents{Gateway: g}.Answer(t.Context(), req)
	if err != nil || a.Message.Text() != "whole" || a.Finish != decouple.FinishStop {
		t.Fatalf("%+v, %v", a, err)
	}
	if got := strings.Join(heard, "|"); got != "half||who|le" {
		t.Errorf("heard %q", got)
	}
	if a.Usage.TokensIn <= 1000 || !a.Usage.Estimated {
		t.Errorf("the failed attempt is not in the usage: %+v", a.Usage)
	}
}

// TestResponses keeps responses, goes on from them, and makes them in the background.
func TestResponses(t *testing.T) {
	t.Parallel()
	up := serve(t, status(200, whole))
	g := open(t, func(c *gateway.Config) { books(t, c) }, at("one", up.URL))
	front := httptest.NewServer(g)
	defer front.Close()
	do := func(method, path, body string) (int, map[string]any) {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), method, front.URL+path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer door")
		resp, err := front.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var out map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, out
	}
	code, first := do("POST", "/v1/responses", `{"model":"smart","input":"first words"}`)
	id, _ := first["id"].(string)
	if code != 200 || id == "" || first["status"] != "completed" {
		t.Fatalf("%d %v", code, first)
	}
	if code, again := do("GET", "/v1/responses/"+id, ""); code != 200 || again["id"] != id {
		t.Errorf("%d %v", code, again)
	}
	if code, second := do("POST", "/v1/responses", `{"model":"smart","input":"second words","previous_response_id":"`+id+`"}`); code != 200 {
		t.Errorf("%d %v", code, second)
	}
	if sent := up.requests()[1]; !strings.Contains(sent, "first words") || !strings.Contains(sent, "whole") || !strings.Contains(sent, "second words") {
		t.Errorf("the second call was sent %s", sent)
	}
	if code, items := do("GET", "/v1/responses/"+id+"/input_items", ""); code != 200 || !strings.Contains(string(must(items)), "first words") {
		t.Errorf("%d %v", code, items)
	}
	code, behind := do("POST", "/v1/responses", `{"model":"smart","input":"later","background":true}`)
	later, _ := behind["id"].(string)
	if code != 200 || behind["status"] != "queued" {
		t.Fatalf("%d %v", code, behind)
	}
	deadline := time.Now().Add(10 * time.Second)
	for status := any(""); status != "completed"; {
		if time.Now().After(deadline) {
			t.Fatalf("it is still %v", status)
		}
		_, o := do("GET", "/v1/responses/"+later, "")
		status = o["status"]
		if o["id"] != later {
			t.Fatalf("%v", o)
		}
	}
	if code, gone := do("DELETE", "/v1/responses/"+id, ""); code != 200 || gone["deleted"] != true {
		t.Errorf("%d %v", code, gone)
	}
	if code, _ := do("GET", "/v1/responses/"+id, ""); code != 404 {
		t.Errorf("a deleted response is %d", code)
	}
}

func must(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// TestTakeover has a node die while it makes a response in the background: another one makes it.
func TestTakeover(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	up := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-hold:
		}
	}, status(200, whole))
	var store gateway.ResponseStore
	first := open(t, func(c *gateway.Config) { books(t, c); c.Node, store = "first", c.Store }, at("one", up.URL))
	t.Cleanup(func() { close(hold) })
	resp := post(t, first, "/v1/responses", `{"model":"smart","input":"later","background":true}`)
	var begun struct{ ID string }
	if err := json.Unmarshal([]byte(text(t, resp)), &begun); err != nil || begun.ID == "" {
		t.Fatal(err, begun)
	}
	for len(up.requests()) == 0 {
		if t.Context().Err() != nil {
			t.Fatal("nobody was asked")
		}
		runtime.Gosched()
	}
	second := open(t, func(c *gateway.Config) { c.Node, c.Store = "second", store }, at("one", up.URL))
	if err := second.Takeover(t.Context(), func(decouple.NodeID) bool { return true }); err != nil || len(up.requests()) != 1 {
		t.Fatalf("%v, %d requests: it was taken from a node that is alive", err, len(up.requests()))
	}
	if err := second.Takeover(t.Context(), func(decouple.NodeID) bool { return false }); err != nil {
		t.Fatal(err)
	}
	for {
		r, err := store.Get(t.Context(), "local", begun.ID)
		if err != nil {
			t.Fatal(err)
		}
		if r.Object != nil {
			if !strings.Contains(string(r.Object), `"completed"`) || !strings.Contains(string(r.Object), "whole") {
				t.Errorf("%s", r.Object)
			}
			return
		}
		runtime.Gosched()
	}
}

// TestPassedResponseIsLinked has a server of the Responses interface answer, which is told nothing of what is stored here: its answer says which response it goes on from all the same.
func TestPassedResponseIsLinked(t *testing.T) {
	t.Parallel()
	said := func(id string) string {
		return `{"id":"` + id + `","object":"response","status":"completed","model":"real","previous_response_id": null,"output":[{"type":"message","id":"msg_1","status":"completed","role":"assistant",` +
			`"content":[{"type":"output_text","text":"Not \"previous_response_id\":null.","annotations":[]}]}],"usage":{"input_tokens":3,"output_tokens":2,"total_tokens":5}}`
	}
	up := serve(t, status(200, said("resp_1")), stream(`{"type":"response.created","response":{"id":"resp_2","previous_response_id":null,"output":[]}}`,
		`{"type":"response.output_text.delta","output_index":0,"content_index":0,"item_id":"msg_1","delta":"Not"}`, `{"type":"response.completed","response":`+said("resp_2")+`}`))
	e := at("one", up.URL)
	e.Format = "openai.responses"
	g := open(t, func(c *gateway.Config) { books(t, c) }, e)
	if first := text(t, post(t, g, "/v1/responses", `{"model":"smart","input":"one"}`)); first != said("resp_1") {
		t.Errorf("the first was changed: %s", first)
	}
	second := text(t, post(t, g, "/v1/responses", `{"model":"smart","input":"two","stream":true,"previous_response_id":"resp_1"}`))
	if strings.Count(second, `"previous_response_id":"resp_1"`) != 2 || !strings.Contains(second, `Not \"previous_response_id\":null.`) {
		t.Errorf("the second is %s", second)
	}
}
