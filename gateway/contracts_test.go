package gateway_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/placement"
)

// law are contracts that a test changes.
type law struct {
	mu    sync.Mutex
	judge gateway.Judge
	err   error
}

// bans denies endpoints by id, each by a clause of its name, and holds those whose name is given after a question mark.
type bans []string

// Judge looks for the endpoint.
func (b *bans) Judge(n *placement.Need, p *placement.Place) placement.Ruling {
	for _, id := range *b {
		id, label, ok := strings.Cut(id, "@")
		if ok && !slices.Contains(n.Labels, label) {
			continue
		}
		name, hold := strings.CutPrefix(id, "?")
		if name != p.ID || hold && slices.Contains(n.Signed, "own/"+name) {
			continue
		}
		r := placement.Ruling{Verdict: placement.Deny, Effect: placement.Stop, Why: "denied by own/" + name + ": not there.", Clauses: []placement.Cited{{ID: "own/" + name, Contract: "own", Reads: placement.Deny, Text: "not there"}}}
		if hold {
			r.Verdict, r.Effect, r.Needs, r.Why = placement.Disputed, placement.Hold, []string{"sign-off"}, "own/"+name+" is disputed"
		}
		return r
	}
	return placement.Ruling{Verdict: placement.Allow, Effect: placement.Go}
}

// Policy is what the test says.
func (l *law) Policy(decouple.TenantID) (gateway.Judge, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.judge, l.err
}

// Signed is nothing.
func (l *law) Signed(decouple.TenantID, decouple.RunID, string) ([]string, error) { return nil, nil }

// ban puts a new version in the place of what held.
func (l *law) ban(ids ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := bans(ids)
	l.judge, l.err = &b, nil
}

func lawful(l *law, change func(*gateway.Config)) func(*gateway.Config) {
	return func(c *gateway.Config) {
		c.Policies = l
		if change != nil {
			change(c)
		}
	}
}

// knock asks at a door in this process and gives the answer.
func knock(g *gateway.Gateway, path, body string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer door")
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, req)
	return w
}

// proofs are stories in which one check of the contracts is missed if it is left out. Each says what is wrong.
var proofs = map[string]func(t *testing.T, omit string) string{
	"choice":  proveChoice,
	"attempt": proveAttempt,
	"hedge":   proveHedge,
	"memory":  proveMemory,
	"dial":    proveDial,
	"unread":  proveUnread,
	"chain":   proveChain,
}

// TestChecks tells each story with all checks in place, where nothing is wrong, and with its check left out, where something is.
func TestChecks(t *testing.T) {
	t.Parallel()
	for name := range gateway.Checks {
		if name != "none" && proofs[name] == nil {
			t.Errorf("no story needs the check %s", name)
		}
	}
	for name, prove := range proofs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if wrong := prove(t, "none"); wrong != "" {
				t.Error(wrong)
			}
			if prove(t, name) == "" {
				t.Errorf("without the check %s nothing is wrong: it is not proved by this", name)
			}
		})
	}
}

// TestPlansWithout leaves checks out of the random plans: each is missed there, too.
func TestPlansWithout(t *testing.T) {
	t.Parallel()
	for _, omit := range []string{"choice", "memory"} {
		if leaks, _, unjudged := play(t, 7, 6, 300, omit); len(leaks) == 0 && unjudged == 0 {
			t.Errorf("without the check %s nothing leaks", omit)
		}
	}
}

// proveChoice asks at every door for what only a denied endpoint serves.
func proveChoice(t *testing.T, omit string) string {
	l := &law{}
	l.ban("one")
	up := serve(t, good())
	g := open(t, lawful(l, nil), at("one", up.URL))
	g.Omit(omit)
	for path, body := range map[string]string{
		"/v1/chat/completions": plainAsk, "/v1/messages": `{"model":"smart","max_tokens":9,"messages":[{"role":"user","content":"x"}]}`, "/v1/embeddings": `{"model":"smart","input":"x"}`,
		"/v1/responses": `{"model":"smart","store":false,"input":"x"}`, "/v1beta/models/smart:generateContent": `{"contents":[{"role":"user","parts":[{"text":"x"}]}]}`,
		"/model/smart/converse": `{"messages":[{"role":"user","content":[{"text":"x"}]}]}`, "/v1/messages/count_tokens": `{"model":"smart","messages":[{"role":"user","content":"x"}]}`,
	} {
		if w := knock(g, path, body); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "own/one") {
			return fmt.Sprintf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if _, err := g.Try(t.Context(), gateway.Caller{Tenant: "local"}, "one"); decouple.KindOf(err) != decouple.Denied {
		return fmt.Sprintf("a trial: %v", err)
	}
	if _, err := (gateway.Agents{Gateway: g}).Answer(t.Context(), decouple.Request{Model: "smart", Run: "r"}); decouple.KindOf(err) != decouple.Denied {
		return fmt.Sprintf("an agent: %v", err)
	}
	if n := len(up.requests()); n > 0 {
		return fmt.Sprintf("%d requests left", n)
	}
	return ""
}

// proveAttempt changes the contracts while the first endpoint fails: the second, which they deny then, is passed over, and the decision says why.
func proveAttempt(t *testing.T, omit string) string {
	l := &law{}
	l.ban()
	one := serve(t, func(w http.ResponseWriter, r *http.Request) {
		l.ban("two")
		status(500, `{}`)(w, r)
	})
	two, three := serve(t, good()), serve(t, status(200, whole))
	g := open(t, lawful(l, nil), at("one", one.URL), at("two", two.URL), at("three", three.URL))
	g.Omit(omit)
	w := knock(g, "/v1/chat/completions", plainAsk)
	rec, err := g.Explain("local", w.Header().Get("X-Decouple-Decision"))
	if err != nil || w.Header().Get("X-Decouple-Endpoint") != "three" || w.Header().Get("X-Decouple-Attempts") != "2" || len(two.requests()) > 0 {
		return fmt.Sprintf("%v: %v %s", err, w.Header(), w.Body)
	}
	c, ok := rec.Decisions[len(rec.Decisions)-1].Find("two")
	if !ok || c.Verdict != route.Denied || !slices.Equal(c.Clauses, []string{"own/two"}) || c.Ruling != "deny" {
		return fmt.Sprintf("the decision has %+v", c)
	}
	return ""
}

// proveHedge changes the contracts while the first endpoint is silent: the hedge goes past the one that they deny then.
func proveHedge(t *testing.T, omit string) string {
	l := &law{}
	l.ban()
	free := make(chan struct{})
	one := serve(t, func(w http.ResponseWriter, r *http.Request) {
		l.ban("two")
		select {
		case <-r.Context().Done():
		case <-free:
		}
		status(200, whole)(w, r)
	})
	two, three := serve(t, status(200, whole)), serve(t, status(200, whole))
	g := open(t, lawful(l, alias(func(a *catalog.Alias) { a.Hedge = 60 * time.Millisecond })), at("one", one.URL), at("two", two.URL), at("three", three.URL))
	g.Omit(omit)
	timer := time.AfterFunc(2*time.Second, func() { close(free) })
	defer timer.Stop()
	w := knock(g, "/v1/chat/completions", plainAsk)
	if w.Header().Get("X-Decouple-Endpoint") != "three" || len(two.requests()) > 0 {
		return fmt.Sprintf("%d requests for two: %v %s", len(two.requests()), w.Header(), w.Body)
	}
	return ""
}

// proveMemory denies the endpoint of an answer that is remembered, or that somebody else waits for: who may not have it asks elsewhere.
func proveMemory(t *testing.T, omit string) string {
	l := &law{}
	l.ban("one@secret")
	one, two := serve(t, status(200, whole)), serve(t, status(200, strings.Replace(whole, "whole", "other", 1)))
	g := open(t, lawful(l, alias(func(a *catalog.Alias) { a.Cache = time.Minute })), at("one", one.URL), at("two", two.URL))
	g.Omit(omit)
	if w := knock(g, "/v1/chat/completions", plainAsk); w.Header().Get("X-Decouple-Endpoint") != "one" {
		return w.Body.String()
	}
	if w := knock(g, "/v1/chat/completions", plainAsk); w.Header().Get("X-Decouple-Cache") != "hit" {
		return "the answer was not remembered"
	}
	if w := knock(g, "/v1/chat/completions", plainAsk, "X-Decouple-Labels: secret"); w.Header().Get("X-Decouple-Endpoint") != "two" || !strings.Contains(w.Body.String(), "other") {
		return fmt.Sprintf("it was given %v %s", w.Header(), w.Body)
	}
	return ""
}

// proveDial changes the contracts while a server refuses a parameter, without which the same attempt would ask it again.
func proveDial(t *testing.T, omit string) string {
	l := &law{}
	l.ban()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		l.ban("one")
		status(400, `{"error":{"message":"Unknown parameter: stream_options","param":"stream_options"}}`)(w, r)
	}, good())
	g := open(t, lawful(l, nil), at("one", up.URL))
	g.Omit(omit)
	w := knock(g, "/v1/chat/completions", streamAsk)
	if w.Code != http.StatusForbidden || len(up.requests()) != 1 {
		return fmt.Sprintf("%d requests left: %d %s", len(up.requests()), w.Code, w.Body)
	}
	return ""
}

// proveUnread has contracts that cannot be read.
func proveUnread(t *testing.T, omit string) string {
	l := &law{err: errors.New("the file is gone")}
	up := serve(t, status(200, whole))
	g := open(t, lawful(l, nil), at("one", up.URL))
	g.Omit(omit)
	if w := knock(g, "/v1/chat/completions", plainAsk); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "the contracts cannot be read, and nothing is sent without them: the file is gone") {
		return fmt.Sprintf("%d %s", w.Code, w.Body)
	}
	if len(up.requests()) > 0 {
		return "a request left"
	}
	return ""
}

// proveChain goes on from a stored response with secret data, and says nothing of that: its label holds.
func proveChain(t *testing.T, omit string) string {
	l := &law{}
	l.ban("one@secret")
	one, two := serve(t, status(200, whole)), serve(t, status(200, whole))
	g := open(t, lawful(l, func(c *gateway.Config) { books(t, c) }), at("one", one.URL), at("two", two.URL))
	g.Omit(omit)
	first := knock(g, "/v1/responses", `{"model":"smart","input":"a secret"}`, "X-Decouple-Labels: secret")
	var said struct{ ID string }
	if err := json.Unmarshal(first.Body.Bytes(), &said); err != nil || first.Header().Get("X-Decouple-Endpoint") != "two" {
		return fmt.Sprintf("%v: %v %s", err, first.Header(), first.Body)
	}
	for range 2 { // over more than one response
		next := knock(g, "/v1/responses", `{"model":"smart","input":"and?","previous_response_id":"`+said.ID+`"}`)
		if next.Header().Get("X-Decouple-Endpoint") != "two" {
			return fmt.Sprintf("it went on at %s: %s", next.Header().Get("X-Decouple-Endpoint"), next.Body)
		}
		if err := json.Unmarshal(next.Body.Bytes(), &said); err != nil {
			return err.Error()
		}
	}
	return ""
}

// TestHeld names the clause and the remedy, says in the decision what was held, and lets a run pass for which it was signed off.
func TestHeld(t *testing.T) {
	t.Parallel()
	l := &law{}
	l.ban("?one", "two")
	up := serve(t, good())
	g := open(t, lawful(l, nil), at("two", up.URL), at("one", up.URL))
	w := knock(g, "/v1/chat/completions", plainAsk)
	if want := "the model smart waits for a person's word: one: own/one is disputed; it needs sign-off; sign it off with `decouple contracts sign-off own/one`"; w.Code != 403 || !strings.Contains(w.Body.String(), want) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	rec, err := g.Explain("local", w.Header().Get("X-Decouple-Decision"))
	if err != nil || rec.Outcome != decouple.Denied || len(rec.Decisions) != 1 {
		t.Fatalf("%v: %+v", err, rec)
	}
	if c, _ := rec.Decisions[0].Find("one"); c.Verdict != route.Held || c.Ruling != "disputed" || !slices.Equal(c.Clauses, []string{"own/one"}) {
		t.Errorf("the decision has %+v", c)
	}
	agent := gateway.Agents{Gateway: g}
	_, err = agent.Answer(t.Context(), decouple.Request{Run: "r", Model: "smart"})
	var h interface{ Held() []placement.Cited }
	if !errors.As(err, &h) || len(h.Held()) != 1 || h.Held()[0].ID != "own/one" {
		t.Errorf("an agent is told %v", err)
	}
	if a, err := agent.Answer(t.Context(), decouple.Request{Run: "r", Model: "smart", For: decouple.Asker{Signed: []string{"own/one"}}}); err != nil || a.Message.Text() != "whole" {
		t.Errorf("after the sign-off: %v %+v", err, a)
	}
}

// TestWaitsUnderContracts changes the contracts while a call waits for room: it does not go where it waited for, and gives the place back.
func TestWaitsUnderContracts(t *testing.T) {
	t.Parallel()
	l := &law{}
	l.ban()
	begun, release := make(chan struct{}, 1), make(chan struct{})
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-release
		status(200, whole)(w, r)
	})
	e := at("one", up.URL)
	e.Limits.Concurrent = 1
	g := open(t, lawful(l, nil), e)
	done := make(chan *httptest.ResponseRecorder, 2)
	go func() { done <- knock(g, "/v1/chat/completions", plainAsk) }()
	<-begun
	go func() { done <- knock(g, "/v1/chat/completions", plainAsk) }()
	for g.Waiting() == 0 {
		<-time.After(time.Millisecond)
	}
	l.ban("one")
	close(release)
	var codes []int
	for range 2 {
		codes = append(codes, (<-done).Code)
	}
	slices.Sort(codes)
	if !slices.Equal(codes, []int{200, 403}) || len(up.requests()) != 1 {
		t.Errorf("%v after %d requests", codes, len(up.requests()))
	}
	l.ban()
	if w := knock(g, "/v1/chat/completions", plainAsk); w.Code != 200 {
		t.Errorf("the place was not given back: %d %s", w.Code, w.Body)
	}
}

// TestBackgroundUnderContracts makes a response in the background by the contracts of then.
func TestBackgroundUnderContracts(t *testing.T) {
	t.Parallel()
	l := &law{}
	l.ban("one@secret")
	one, two := serve(t, status(200, whole)), serve(t, status(200, whole))
	g := open(t, lawful(l, func(c *gateway.Config) { books(t, c) }), at("one", one.URL), at("two", two.URL))
	w := knock(g, "/v1/responses", `{"model":"smart","input":"a secret","background":true}`, "X-Decouple-Labels: secret")
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for len(two.requests()) == 0 && len(one.requests()) == 0 {
		<-time.After(time.Millisecond)
	}
	if len(one.requests()) > 0 {
		t.Error("it was made where it may not be")
	}
}

// lacking are shares that are not kept.
type lacking struct{ behind *gateway.Behind }

// Behind gives them.
func (l *lacking) Behind(decouple.TenantID) *gateway.Behind { return l.behind }

// TestShares prefers who brings a promised share nearer, in the work that it is counted in, and says so.
func TestShares(t *testing.T) {
	t.Parallel()
	one, two := serve(t, status(200, whole)), serve(t, status(200, whole))
	b := at("two", two.URL)
	b.Provider = "groq"
	share := func(atMost bool) placement.Share {
		p, err := placement.Compile(placement.Book{Contracts: []placement.Contract{{ID: "c", Clauses: []placement.Clause{{
			ID: "s", Kind: placement.ShareOf, Text: "Most of it is at Groq.", Classes: []string{"stateless_api"},
			Share: &placement.ShareTerm{Part: 600_000, AtMost: atMost, Of: placement.Spend, By: placement.ByVendor, With: []string{"groq"}, Each: placement.Month},
		}}}}}, placement.Moment{AsOf: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		return p.Shares()[0]
	}
	for _, x := range []struct {
		atMost bool
		class  string
		want   string
	}{{false, "", "two"}, {true, "", "one"}, {false, "batch", ""}} {
		s := &lacking{behind: &gateway.Behind{Shares: []placement.Share{share(x.atMost)}}}
		g := open(t, func(c *gateway.Config) {
			alias(func(a *catalog.Alias) { a.Strategy = catalog.Cheapest })(c)
			c.Shares = s
			c.Catalog.Prices["groq/"+b.Name] = c.Catalog.Prices["compatible/m-at-one"]
		}, at("one", one.URL), b)
		got := map[string]int{}
		for range 20 {
			w := knock(g, "/v1/chat/completions", `{"model":"smart","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`, "X-Decouple-Class: "+x.class)
			got[w.Header().Get("X-Decouple-Endpoint")]++
			rec, err := g.Explain("local", w.Header().Get("X-Decouple-Decision"))
			if err != nil || strings.Contains(rec.Decisions[0].Why, "c/s: Most of it is at Groq.") != (x.want != "") {
				t.Errorf("%v: it says %q", err, rec.Decisions[0].Why)
			}
		}
		if x.want != "" && got[x.want] != 20 || x.want == "" && len(got) != 2 {
			t.Errorf("at most %v, class %q: %v", x.atMost, x.class, got)
		}
	}
}

// TestSharesForget names a new class with every call while a share is not kept: what is remembered of them is bounded.
func TestSharesForget(t *testing.T) {
	t.Parallel()
	p, err := placement.Compile(placement.Book{Contracts: []placement.Contract{{ID: "c", Clauses: []placement.Clause{{
		ID: "s", Kind: placement.ShareOf, Text: "Most of it is at Groq.", Share: &placement.ShareTerm{Part: 600_000, Of: placement.Spend, By: placement.ByVendor, With: []string{"groq"}, Each: placement.Month},
	}}}}}, placement.Moment{AsOf: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	b := &gateway.Behind{Shares: p.Shares()}
	up := serve(t, status(200, whole))
	g := open(t, func(c *gateway.Config) { c.Shares = &lacking{behind: b} }, at("one", up.URL))
	for i := range 3000 {
		if _, err := g.Choose(gateway.Caller{Tenant: "local", Team: strconv.Itoa(i)}, "smart"); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.Wishers(); n > 1000 || n == 0 {
		t.Errorf("%d needs are remembered", n)
	}
}

// BenchmarkChoose is what a call is delayed by the choice of its endpoints: 50 of them, without contracts and with 200 clauses.
func BenchmarkChoose(b *testing.B) {
	for _, clauses := range []int{0, 200} {
		b.Run(strconv.Itoa(clauses), func(b *testing.B) {
			var eps []catalog.Endpoint
			for i := range 50 {
				e := at("e"+strconv.Itoa(i), "http://127.0.0.1:9/v1")
				e.Cloud, e.Region = someClouds[i%3], someRegions[i%3]
				eps = append(eps, e)
			}
			var set []term
			for i := range clauses {
				set = append(set, term{kind: []string{"residency", "forbid", "training"}[i%3], label: "l" + strconv.Itoa(i/3), places: []string{"eu"}})
			}
			l := &law{}
			if clauses > 0 {
				l.judge = compile(b, set)
			}
			g := open(b, lawful(l, func(c *gateway.Config) {
				var err error
				if c.Catalog, err = c.Catalog.With(catalog.Overlay{}); err != nil { // with the index that a catalog has which was read
					b.Fatal(err)
				}
			}), eps...)
			who := gateway.Caller{Tenant: "local", Key: "k1", Labels: []string{"eu-personal", "other"}}
			b.ReportAllocs()
			for b.Loop() {
				if n, err := g.Choose(who, "smart"); err != nil || n == 0 {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// TestLabelsOfProxies sends labels in two lines of the header, as a proxy does that adds its own: the later line is heeded, too.
func TestLabelsOfProxies(t *testing.T) {
	t.Parallel()
	l := &law{}
	l.ban("one@secret")
	up := serve(t, good())
	g := open(t, lawful(l, nil), at("one", up.URL))
	for _, lines := range [][]string{{"x", "secret"}, {"secret", "x"}, {"", "secret"}, {"x,, secret"}} {
		req := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(plainAsk))
		req.Header.Set("Authorization", "Bearer door")
		req.Header["X-Decouple-Labels"] = lines
		w := httptest.NewRecorder()
		g.ServeHTTP(w, req)
		if w.Code != http.StatusForbidden || len(up.requests()) > 0 {
			t.Errorf("%q: %d %s, and %d requests left", lines, w.Code, w.Body, len(up.requests()))
		}
	}
	req := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(plainAsk))
	req.Header.Set("Authorization", "Bearer door")
	req.Header["X-Decouple-Class"] = []string{"batch", "autonomous_research"}
	w := httptest.NewRecorder()
	if g.ServeHTTP(w, req); w.Code != http.StatusBadRequest {
		t.Errorf("two classes: %d %s", w.Code, w.Body)
	}
}

// signing is a law under which a clause is signed off for a run, until that is taken back.
type signing struct {
	law
	off bool
}

// Signed is what was signed off.
func (s *signing) Signed(decouple.TenantID, decouple.RunID, string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.off {
		return nil, nil
	}
	return []string{"own/two"}, nil
}

// TestSignOffTakenBack takes a sign-off back while the first endpoint fails: the second, for which it was, is not asked any more.
func TestSignOffTakenBack(t *testing.T) {
	t.Parallel()
	l := &signing{}
	l.ban("?two")
	one := serve(t, func(w http.ResponseWriter, r *http.Request) {
		l.ban("?two") // every sign-off is another version of what holds
		l.mu.Lock()
		l.off = true
		l.mu.Unlock()
		status(500, `{}`)(w, r)
	})
	two := serve(t, good())
	g := open(t, func(c *gateway.Config) { c.Policies = l }, at("one", one.URL), at("two", two.URL))
	_, err := gateway.Agents{Gateway: g}.Answer(t.Context(), decouple.Request{Run: "r", Model: "smart"})
	if err == nil || len(two.requests()) > 0 {
		t.Errorf("%v, and two was asked %d times", err, len(two.requests()))
	}
}

// seen keeps what was judged.
type seen struct {
	mu    sync.Mutex
	needs []placement.Need
}

// Judge allows.
func (s *seen) Judge(n *placement.Need, _ *placement.Place) placement.Ruling {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.needs = append(s.needs, *n)
	return placement.Ruling{Verdict: placement.Allow, Effect: placement.Go}
}

// TestWhoStarted has contracts judge a run's call by the team and the key that the run was started with.
func TestWhoStarted(t *testing.T) {
	t.Parallel()
	s := &seen{}
	g := open(t, lawful(&law{judge: s}, nil), at("one", serve(t, good()).URL))
	if _, err := (gateway.Agents{Gateway: g}).Answer(t.Context(), decouple.Request{Run: "r", Model: "smart", For: decouple.Asker{Team: "search", Caller: "k7", Class: "chat"}}); err != nil {
		t.Fatal(err)
	}
	if len(s.needs) == 0 {
		t.Fatal("nothing was judged")
	}
	for _, n := range s.needs {
		if n.Team != "search" || n.Key != "k7" || n.Class != "chat" {
			t.Errorf("judged was %+v", n)
		}
	}
}
