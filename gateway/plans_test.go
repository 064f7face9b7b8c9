package gateway_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/route"
	"decouple.dev/decouple/placement"
)

// scene is a gateway with a few endpoints and a few versions of contracts, and a server behind all endpoints that sees every request that leaves.
type scene struct {
	t       testing.TB
	g       *gateway.Gateway
	eps     []catalog.Endpoint
	places  []placement.Place
	sets    [][]term
	judges  []gateway.Judge
	now     atomic.Int32 // which of them holds
	members map[string][]int

	mu    sync.Mutex
	plans map[int]*call
	cur   *call
	leaks []string
	seen  int // requests
}

// call is one plan: who asks for what at which door, how its servers fail, and when the contracts change.
type call struct {
	n        int
	door     int
	asked    string
	need     asker
	who      gateway.Caller
	header   http.Header
	body     string
	fails    int
	switchAt int // a request's number; contracts change when it comes
	next     int
	policy   int // that holds for it
	requests int
}

// Policy is what holds now.
func (s *scene) Policy(decouple.TenantID) (gateway.Judge, error) { return s.judges[s.now.Load()], nil }

// Signed is nothing: what a plan has signed off is in its request.
func (s *scene) Signed(decouple.TenantID, decouple.RunID, string) ([]string, error) { return nil, nil }

// Caller is who makes the plan.
func (s *scene) Caller(context.Context, string) (gateway.Caller, error) { return s.cur.who, nil }

// newScene draws a world.
func newScene(t testing.TB, r *rand.Rand, url string, n int) *scene {
	s := &scene{t: t, plans: map[int]*call{}, members: map[string][]int{}}
	cat := &catalog.Catalog{
		Models:    map[catalog.ModelID]catalog.Model{},
		Endpoints: map[catalog.EndpointID]catalog.Endpoint{}, Aliases: map[string]catalog.Alias{}, Places: someGeos,
	}
	for id, lab := range someLabs {
		cat.Models[catalog.ModelID(id)] = catalog.Model{ID: catalog.ModelID(id), Lab: lab, Open: id == "m3"}
	}
	for i := range 3 + r.IntN(5) {
		cloud := pick(r, someClouds)
		e := catalog.Endpoint{
			ID: catalog.EndpointID("e" + strconv.Itoa(i)), Provider: someVendors[cloud], Account: "a", Cloud: cloud, Region: pick(r, someRegions), Model: catalog.ModelID(pick(r, someModels)), Name: "real",
			Format: "openai.chat", URL: fmt.Sprintf("%s/w%d/e%d/v1", url, n, i),
		}
		if r.IntN(4) == 0 {
			e.Provider, e.Cloud, e.Format = "anthropic", "anthropic", "anthropic.messages"
		}
		e.Labels = part(r, []string{"training=none"}, 2)
		cat.Endpoints[e.ID] = e
		s.eps, s.places = append(s.eps, e), append(s.places, gateway.PlaceOf(cat, e))
	}
	for name, a := range map[string]catalog.Alias{
		"ordered": {Strategy: catalog.Ordered}, "balanced": {Strategy: catalog.Balanced}, "cascade": {Strategy: catalog.Cascade, Check: "not_empty"},
		"hedged": {Strategy: catalog.Ordered, Hedge: time.Millisecond}, "cached": {Strategy: catalog.Ordered, Cache: time.Minute},
	} {
		a.Name = name
		for i, e := range s.eps {
			a.Targets = append(a.Targets, catalog.Target{Endpoint: e.ID})
			s.members[name] = append(s.members[name], i)
		}
		cat.Aliases[name] = a
	}
	for i, e := range s.eps {
		s.members[string(e.Model)] = append(s.members[string(e.Model)], i)
		s.members[string(e.ID)] = []int{i}
	}
	for range 3 {
		set := terms(r)
		s.sets, s.judges = append(s.sets, set), append(s.judges, compile(t, set))
	}
	var err error
	s.g, err = gateway.New(gateway.Config{
		Catalog: cat, Keys: s, Policies: s, MaxWait: time.Millisecond,
		Route: route.Config{Run: 1 << 30, FailShare: 2, Degraded: 2, SlowTimes: 1e9, BackOff: time.Microsecond, BackOffMax: time.Microsecond, RetryBurst: 1e9, RetryFloor: 1e9, RetryShare: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var named = regexp.MustCompile(`plan-(\d+)-`)

// serve answers for every endpoint, and takes down what should not have come.
func (s *scene) serve(w http.ResponseWriter, r *http.Request, at int) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	c := s.cur
	if m := named.FindSubmatch(body); m != nil {
		n, _ := strconv.Atoi(string(m[1]))
		c = s.plans[n]
	}
	if !allows(s.sets[c.policy], &c.need, &s.places[at]) {
		s.leaks = append(s.leaks, fmt.Sprintf("a request of plan %d (door %d, for %s, %+v) left for %+v under %+v", c.n, c.door, c.asked, c.need, s.places[at], s.sets[c.policy]))
	}
	s.seen++
	c.requests++
	if c.requests == c.switchAt {
		c.policy = c.next
		s.now.Store(int32(c.next))
	}
	fail := c.requests <= c.fails
	s.mu.Unlock()
	switch path := r.URL.Path; {
	case fail && c.n%5 == 0 && strings.HasSuffix(path, "/chat/completions"):
		status(400, `{"error":{"message":"Unknown parameter: stream_options","param":"stream_options","type":"invalid_request_error"}}`)(w, r)
	case fail:
		status(500, `{"error":{"message":"it is not well"}}`)(w, r)
	case strings.HasSuffix(path, "/embeddings"):
		status(200, fmt.Sprintf(`{"object":"list","model":"from-e%d","data":[{"object":"embedding","index":0,"embedding":[1]}],"usage":{"prompt_tokens":1,"total_tokens":1}}`, at))(w, r)
	case strings.HasSuffix(path, "/count_tokens"):
		status(200, `{"input_tokens":7}`)(w, r)
	case strings.HasSuffix(path, "/messages") && strings.Contains(string(body), `"stream":true`):
		w.Header().Set("Content-Type", "text/event-stream")
		for _, e := range []string{
			`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"real","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}`,
			`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
			fmt.Sprintf(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"from-e%d"}}`, at),
			`{"type":"content_block_stop","index":0}`, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}`, `{"type":"message_stop"}`,
		} {
			kind := e[9 : strings.Index(e[9:], `"`)+9]
			_, _ = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, e)
		}
	case strings.HasSuffix(path, "/messages"):
		status(200, fmt.Sprintf(`{"id":"msg_1","type":"message","role":"assistant","model":"real","content":[{"type":"text","text":"from-e%d"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}`, at))(w, r)
	case strings.Contains(string(body), `"stream":true`):
		stream(role, chunk(fmt.Sprintf("from-e%d", at)), stop, usage, end)(w, r)
	default:
		status(200, strings.Replace(whole, `"whole"`, fmt.Sprintf(`"from-e%d"`, at), 1))(w, r)
	}
}

// The doors.
const (
	doorChat = iota
	doorStream
	doorMessages
	doorGenerate
	doorConverse
	doorResponses
	doorEmbed
	doorCount
	doorTry
	doorAgent
	doors
)

// plan draws a call.
func (s *scene) plan(r *rand.Rand, n int) *call {
	c := &call{n: n, door: r.IntN(doors), policy: int(s.now.Load()), next: r.IntN(len(s.sets)), header: http.Header{}}
	c.asked = pick(r, []string{"ordered", "balanced", "cascade", "hedged", "cached", "m1", "m2", "m3", "e0", "e1"})
	if c.door == doorEmbed && c.asked == "cascade" { // vectors cannot be checked
		c.asked = "ordered"
	}
	if c.fails = 0; r.IntN(3) == 0 && c.asked != "hedged" {
		c.fails = 1 + r.IntN(3)
	}
	if r.IntN(4) == 0 && c.asked != "hedged" {
		c.switchAt = 1 + r.IntN(2)
	}
	c.need = asker{class: pick(r, someClasses), team: pick(r, someTeams), labels: part(r, someLabels, 3)}
	c.who = gateway.Caller{Tenant: "local", Key: "k", Team: c.need.team}
	from := r.IntN(len(c.need.labels) + 1)
	c.who.Labels = c.need.labels[:from:from]
	c.header.Set("Authorization", "Bearer door")
	if c.need.class != "" {
		c.header.Set("X-Decouple-Class", c.need.class)
	}
	if rest := c.need.labels[from:]; len(rest) > 0 {
		c.header.Set("X-Decouple-Labels", strings.Join(rest, ","))
	}
	words := fmt.Sprintf("plan-%d- words", n)
	if c.asked == "cached" {
		words = "the same question"
	}
	text := `{"role":"user","content":"` + words + `"}`
	switch c.door {
	case doorMessages, doorCount:
		c.body = `{"model":"` + c.asked + `","max_tokens":10,"messages":[` + text + `]}`
	case doorGenerate:
		c.body = `{"contents":[{"role":"user","parts":[{"text":"` + words + `"}]}]}`
	case doorConverse:
		c.body = `{"messages":[{"role":"user","content":[{"text":"` + words + `"}]}]}`
	case doorResponses, doorEmbed:
		c.body = `{"model":"` + c.asked + `","store":false,"input":"` + words + `"}`
	default:
		c.body = `{"model":"` + c.asked + `","stream":` + strconv.FormatBool(c.door == doorStream) + `,"messages":[` + text + `]}`
	}
	switch c.door {
	case doorTry: // it is nobody's data, and says nothing of itself
		c.asked, c.need = pick(r, []string{"e0", "e1", "e2"}), asker{class: "stateless_api", team: c.need.team, labels: c.who.Labels}
		c.switchAt = 0
	case doorAgent:
		c.need.team = ""
		if r.IntN(4) == 0 {
			c.need.signed = []string{"c/t" + strconv.Itoa(r.IntN(6))}
		}
	default:
		if c.need.class == "" {
			c.need.class = "stateless_api"
		}
	}
	return c
}

// perform makes a call and gives what came of it: the kind of error, and the answer.
func (s *scene) perform(c *call) (decouple.Kind, string, string) {
	s.mu.Lock()
	s.plans[c.n], s.cur = c, c
	s.mu.Unlock()
	switch c.door {
	case doorTry:
		t, err := s.g.Try(context.Background(), c.who, catalog.EndpointID(c.asked))
		if err == nil {
			return t.Kind, "", ""
		}
		return decouple.KindOf(err), "", ""
	case doorAgent:
		a, err := gateway.Agents{Gateway: s.g}.Answer(context.Background(), decouple.Request{
			Run: "r1", Step: c.n, Model: c.asked, For: decouple.Asker{Tenant: "local", Class: c.need.class, Labels: c.need.labels, Signed: c.need.signed},
			Messages: []decouple.Message{decouple.Text(decouple.User, fmt.Sprintf("plan-%d- words", c.n))},
		})
		return decouple.KindOf(err), a.Message.Text(), ""
	}
	path := map[int]string{
		doorChat: "/v1/chat/completions", doorStream: "/v1/chat/completions", doorMessages: "/v1/messages", doorGenerate: "/v1beta/models/" + c.asked + ":generateContent",
		doorConverse: "/model/" + c.asked + "/converse", doorResponses: "/v1/responses", doorEmbed: "/v1/embeddings", doorCount: "/v1/messages/count_tokens",
	}[c.door]
	req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(c.body))
	req.Header = c.header
	w := httptest.NewRecorder()
	s.g.ServeHTTP(w, req)
	return decouple.Kind(w.Header().Get("X-Decouple-Error")), w.Body.String(), w.Header().Get("X-Decouple-Cache")
}

var origin = regexp.MustCompile(`from-e(\d+)`)

// judge checks what came of a call.
func (s *scene) judge(c *call, began int, kind decouple.Kind, answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := 0
	for _, i := range s.members[c.asked] {
		fit := c.door != doorEmbed || s.eps[i].Format == "openai.chat"
		if fit && allows(s.sets[began], &c.need, &s.places[i]) {
			open++
		}
	}
	if m := origin.FindStringSubmatch(answer); m != nil {
		i, _ := strconv.Atoi(m[1])
		if !allows(s.sets[began], &c.need, &s.places[i]) && !allows(s.sets[c.policy], &c.need, &s.places[i]) {
			s.leaks = append(s.leaks, fmt.Sprintf("plan %d (door %d, for %s, %+v) was given an answer of %+v", c.n, c.door, c.asked, c.need, s.places[i]))
		}
	}
	quiet := c.fails == 0 && c.switchAt == 0
	switch {
	case kind == decouple.Denied && open > 0 && began == c.policy && c.switchAt == 0:
		s.leaks = append(s.leaks, fmt.Sprintf("plan %d (door %d, for %s, %+v) was denied though %d of its endpoints are allowed: %s", c.n, c.door, c.asked, c.need, open, answer))
	case quiet && kind != "" && kind != decouple.RateLimited && open > 0: // a breaker may have opened on what earlier plans had fail
		s.leaks = append(s.leaks, fmt.Sprintf("plan %d (door %d, for %s, %+v) failed: %s %s", c.n, c.door, c.asked, c.need, kind, answer))
	case quiet && kind == "" && open == 0:
		s.leaks = append(s.leaks, fmt.Sprintf("plan %d (door %d, for %s, %+v) was answered though nothing is allowed", c.n, c.door, c.asked, c.need))
	}
}

// play makes n plans in each of some scenes, two at a time, and gives what leaked, how many requests left, and how many attempts nobody had judged.
func play(t testing.TB, seed uint64, scenes, n int, omit string) (leaks []string, requests int, unjudged int64) {
	var all sync.Map
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var world, at int
		if _, err := fmt.Sscanf(r.URL.Path, "/w%d/e%d/", &world, &at); err != nil {
			t.Errorf("a request for %s", r.URL.Path)
		}
		if s, ok := all.Load(world); ok { // else it is what a hedge had begun, and was hung up on
			s.(*scene).serve(w, r, at)
		}
	}))
	defer up.Close()
	var mu sync.Mutex
	var work sync.WaitGroup
	next := make(chan int)
	for range 3 {
		work.Go(func() {
			for k := range next {
				r := rand.New(rand.NewPCG(seed, uint64(k)))
				s := newScene(t, r, up.URL, k)
				s.g.Omit(omit)
				all.Store(k, s)
				for i := range n {
					if i%4 == 0 {
						s.now.Store(int32(r.IntN(len(s.sets))))
					}
					c := s.plan(r, i+1)
					began := c.policy
					kind, answer, _ := s.perform(c)
					s.judge(c, began, kind, answer)
				}
				_ = s.g.Close(context.Background())
				mu.Lock()
				leaks, requests, unjudged = append(leaks, s.leaks...), requests+s.seen, unjudged+s.g.Unjudged()
				mu.Unlock()
				all.Delete(k)
			}
		})
	}
	for k := range scenes {
		next <- k
	}
	close(next)
	work.Wait()
	return leaks, requests, unjudged
}

// TestPlans makes 100,000 random calls at every door, of aliases with failover, cascades, hedges and caches, under random contracts that change between them and in their middle: no
// request leaves for where an oracle that shares no code with the judge says that it may not, no answer comes from there, and nothing is denied that is allowed.
func TestPlans(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv("DECOUPLE_SEED"), 10, 64); err == nil {
		seed = s
	}
	leaks, requests, unjudged := play(t, seed, 100, 1000, "none")
	if len(leaks) > 0 || unjudged > 0 {
		t.Errorf("DECOUPLE_SEED=%d: %d leaks, %d attempts that nobody had judged; the first: %s", seed, len(leaks), unjudged, strings.Join(leaks[:min(8, len(leaks))], "\n"))
	}
	if requests < 30_000 {
		t.Errorf("only %d requests left: the plans prove too little", requests)
	}
}
