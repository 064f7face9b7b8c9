package sim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the servers say into testdata/wire")

// start shows a world until the test ends.
func start(t testing.TB, setup Setup) *Servers {
	t.Helper()
	s, err := Listen(setup, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// tenClouds are the ten clouds at once, with answers of a script.
func tenClouds(t testing.TB, more string) Setup {
	t.Helper()
	setup, err := ReadSetup("clouds.yaml", append(bytes.Clone(DefaultClouds), []byte(script+more)...))
	if err != nil {
		t.Fatal(err)
	}
	setup.Start, setup.Instant = epoch, true
	for i := range setup.Clouds {
		if p := &setup.Clouds[i].Limits.Pool; p.Hot > 0 {
			p.Hot = 0 // chance
		}
	}
	return setup
}

const script = `
answers:
  filter: [forbidden]
  script:
    - match: weather
      text: I look it up.
      calls: [{name: weather, args: {city: Oslo}}, {name: clock}]
    - match: think
      thought: Hm, what is it.
      text: It is four.
    - match: .
      text: The quick brown fox jumps.
`

// said is an answer as it came over the wire.
type said struct {
	status int
	header http.Header
	body   string
	err    error
}

// send sends a request with headers in pairs.
func send(t testing.TB, method, url, body string, headers ...string) said {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Do(req)
	if err != nil {
		return said{err: err}
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return said{res.StatusCode, res.Header, string(b), err}
}

func at(t testing.TB, s *Servers, cloud string) string {
	t.Helper()
	u, ok := s.Place(cloud)
	if !ok {
		t.Fatalf("there is no cloud %s", cloud)
	}
	return u
}

// wire compares with a file of testdata/wire.
func wire(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "wire", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: %s", name, diff)
	}
}

// shown are status, headers of the vendor and the body.
func (a said) shown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", a.status)
	var names []string
	for n := range a.header {
		if n != "Date" && n != "Content-Length" {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintf(&b, "%s: %s\n", strings.ToLower(n), a.header.Get(n))
	}
	body := a.body
	if strings.HasPrefix(a.header.Get("Content-Type"), "application/vnd.amazon") {
		body = fmt.Sprintf("%q", body)
	}
	fmt.Fprintf(&b, "\n%s", body)
	return b.String()
}

const chatBody = `{"model":"gpt-5.4","messages":[{"role":"user","content":"hello there"}]`

func TestChat(t *testing.T) {
	t.Parallel()
	key := []string{"authorization", "Bearer k"}
	for _, tt := range []struct {
		name, cloud, path, body string
		headers                 []string
	}{
		{"openai_chat", "openai", "/v1/chat/completions", chatBody + `}`, key},
		{"openai_chat_stream", "openai", "/v1/chat/completions", chatBody + `,"stream":true,"stream_options":{"include_usage":true}}`, key},
		{"openai_chat_tools", "openai", "/v1/chat/completions", `{"model":"gpt-5.4","stream":true,"messages":[{"role":"user","content":"the weather"}],"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]}`, key},
		{"openai_chat_wrong", "openai", "/v1/chat/completions", `{"model":"gpt-5.4","messages":[{"role":"wizard"}]}`, key},
		{"openai_chat_not_json", "openai", "/v1/chat/completions", `{"model"`, key},
		{"openai_chat_no_model", "openai", "/v1/chat/completions", `{"model":"gpt-9","messages":[{"role":"user","content":"x"}]}`, key},
		{"openai_chat_no_key", "openai", "/v1/chat/completions", chatBody + `}`, nil},
		{"openai_no_such_path", "openai", "/v1/nothing", `{}`, key},
		{"azure_chat_v1", "azure", "/openai/v1/chat/completions", chatBody + `}`, []string{"api-key", "k"}},
		{"azure_chat_deployment", "azure", "/openai/deployments/gpt-5.4/chat/completions?api-version=2024-10-21", chatBody + `,"stream":true}`, []string{"api-key", "k"}},
		{"azure_chat_filter", "azure", "/regions/swedencentral/openai/v1/chat/completions", `{"model":"gpt-5.4","messages":[{"role":"user","content":"a Forbidden thing"}]}`, []string{"authorization", "Bearer entra"}},
		{"azure_chat_no_key", "azure", "/openai/v1/chat/completions", chatBody + `}`, nil},
		{"azure_chat_no_version", "azure", "/openai/deployments/gpt-5.4/chat/completions", chatBody + `}`, []string{"api-key", "k"}},
		{"mantle_chat", "aws-mantle", "/v1/chat/completions", `{"model":"openai.gpt-5.4","messages":[{"role":"user","content":"hello there"}]}`, key},
		{"cerebras_chat", "cerebras", "/v1/chat/completions", `{"model":"gpt-oss-120b","messages":[{"role":"user","content":"hello there"}]}`, key},
		{"groq_chat", "groq", "/openai/v1/chat/completions", `{"model":"openai/gpt-oss-120b","messages":[{"role":"user","content":"think"}]}`, key},
		{"selfhost_chat_no_key", "selfhost", "/v1/chat/completions", `{"model":"openai/gpt-oss-120b","messages":[{"role":"user","content":"hello there"}]}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, tenClouds(t, ""))
			got := send(t, "POST", at(t, s, tt.cloud)+tt.path, tt.body, append([]string{"content-type", "application/json"}, tt.headers...)...)
			if got.err != nil {
				t.Fatal(got.err)
			}
			wire(t, tt.name, steady(got.shown()))
		})
	}
}

// steady takes out of an answer what the clock puts in.
func steady(s string) string {
	s = createdAt.ReplaceAllString(s, `"created":0`)
	s = processing.ReplaceAllString(s, "$1 0")
	return resetAt.ReplaceAllString(s, "$1 0")
}

func TestModelsAndEmbeddings(t *testing.T) {
	t.Parallel()
	s := start(t, tenClouds(t, ""))
	key := []string{"authorization", "Bearer k", "anthropic-version", "2023-06-01"}
	for _, tt := range []struct{ name, method, url, body string }{
		{"openai_models", "GET", at(t, s, "openai") + "/v1/models", ""},
		{"anthropic_models", "GET", at(t, s, "anthropic") + "/v1/models", ""},
		{"vertex_models", "GET", at(t, s, "vertex") + "/v1beta/models", ""},
		{"openai_embeddings", "POST", at(t, s, "openai") + "/v1/embeddings", `{"model":"text-embedding-3-small","input":["one two","three"],"dimensions":4}`},
		{"openai_embeddings_base64", "POST", at(t, s, "openai") + "/v1/embeddings", `{"model":"text-embedding-3-small","input":"one two","dimensions":4,"encoding_format":"base64"}`},
	} {
		got := send(t, tt.method, tt.url, tt.body, key...)
		if got.status != 200 {
			t.Errorf("%s: %d %s %v", tt.name, got.status, got.body, got.err)
		}
		wire(t, tt.name, got.body)
	}
	if lines := s.Invoice(); len(lines) != 2 || lines[0].In != 4 || lines[0].Amount != 80 {
		t.Errorf("the invoice has %+v", lines)
	}
}

// TestInvoiceIsThereWhenTheAnswerIs reads answers to their end and wants them on the invoice at once, with the usage that they reported.
func TestInvoiceIsThereWhenTheAnswerIs(t *testing.T) {
	t.Parallel()
	s := start(t, tenClouds(t, ""))
	for i := range 20 {
		stream := i%2 == 0
		got := send(t, "POST", at(t, s, "openai")+"/v1/chat/completions", fmt.Sprintf(`{"model":"gpt-5.4","stream":%v,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hello %d"}]}`, stream, i),
			"authorization", "Bearer k", "x-client-request-id", fmt.Sprintf("call-%d", i))
		if got.status != 200 {
			t.Fatalf("%d %s %v", got.status, got.body, got.err)
		}
		all := s.Invoice()
		if len(all) != i+1 {
			t.Fatalf("after %d answers the invoice has %d lines", i+1, len(all))
		}
		l := all[i]
		usage := fmt.Sprintf(`"prompt_tokens":%d,"completion_tokens":%d,`, l.In, l.Out)
		if l.ID != got.header.Get("x-request-id") || l.Client != fmt.Sprintf("call-%d", i) || l.Ended != Whole || l.Stream != stream || !strings.Contains(got.body, usage) {
			t.Errorf("line %+v does not belong to %s", l, got.body)
		}
		if want := 2500*l.In + 15000*l.Out; int64(l.Amount) != want {
			t.Errorf("%d nano-dollars, by hand %d", l.Amount, want)
		}
	}
}

func TestRepeatedPromptIsCached(t *testing.T) {
	t.Parallel()
	s := start(t, tenClouds(t, ""))
	long := strings.Repeat("word ", 2000)
	body := `{"model":"gpt-5.4","messages":[{"role":"system","content":"` + long + `"},{"role":"user","content":"hello"}]}`
	for range 2 {
		if got := send(t, "POST", at(t, s, "openai")+"/v1/chat/completions", body, "authorization", "Bearer k"); got.status != 200 {
			t.Fatal(got.body)
		}
	}
	l := s.Invoice()
	if l[0].Cached != 0 || l[1].Cached != 2432 || l[0].In != l[1].In+l[1].Cached {
		t.Errorf("%+v, then %+v", l[0], l[1])
	}
}

func TestConfiguredKeys(t *testing.T) {
	t.Parallel()
	setup := tenClouds(t, "")
	setup.Keys["openai"] = []string{"right"}
	s := start(t, setup)
	for key, want := range map[string]int{"right": 200, "wrong": 401, "": 401} {
		if got := send(t, "POST", at(t, s, "openai")+"/v1/chat/completions", chatBody+"}", "authorization", "Bearer "+key); got.status != want {
			t.Errorf("key %q: %d", key, got.status)
		}
	}
}

// faulty asks a cloud that has a fault, and reads as far as it goes.
func faulty(t *testing.T, fault string, stream bool) (said, []Line) {
	t.Helper()
	s := start(t, tenClouds(t, "\nfaults:\n  - {cloud: openai, "+fault+"}\n"))
	got := send(t, "POST", at(t, s, "openai")+"/v1/chat/completions", fmt.Sprintf(`%s,"stream":%v}`, chatBody, stream), "authorization", "Bearer k")
	return got, s.Invoice()
}

func TestFaultsOnTheWire(t *testing.T) {
	t.Parallel()
	// The answer has 27 bytes: seven tokens.
	for _, tt := range []struct {
		name, fault   string
		stream        bool
		status        int
		broken        bool   // the body did not reach its end
		holds, lacks  string // of the body
		out           int64  // on the invoice, -1 not there
		wantReset     bool
		validJSONBody bool
	}{
		{"storm", "kind: storm", true, 429, false, "rate_limit_exceeded", "", -1, false, true},
		{"wrong 400", "kind: wrong_400, model: gpt-5.4", false, 400, false, "invalid_value", "", -1, false, true},
		{"503", "kind: outage, mode: \"503\"", false, 503, false, "Service Unavailable", "", -1, false, true},
		{"auth", "kind: auth, mode: \"403\"", false, 403, false, "", "", -1, false, true},
		{"refused", "kind: outage", false, 0, true, "", "", -1, true, false},
		{"reset", "kind: outage, mode: reset", false, 0, true, "", "", -1, true, false},
		{"cut", "kind: cut, after: 3", true, 200, true, `"content":"k br`, "finish_reason\":\"stop", 3, false, false},
		{"cut, clean", "kind: cut, after: 3, mode: clean", true, 200, false, `"content":"k br`, "[DONE]", 3, false, false},
		{"cut at once", "kind: cut", true, 200, true, `"role":"assistant"`, `"content":"The`, 0, false, false},
		{"cut, whole", "kind: cut, after: 3", false, 200, true, `{"id"`, "", 3, false, false},
		{"reset in the middle", "kind: reset, after: 2", true, 200, true, `"content":"quic`, "[DONE]", 2, true, false},
		{"error in 200", "kind: error_in_200", true, 200, false, `{"error":{"message":"The server had an error`, `"content":"The`, 0, false, false},
		{"error in 200 after two", "kind: error_in_200, after: 2", true, 200, false, `"content":"quic`, `[DONE]`, 2, false, false},
		{"error in 200, whole", "kind: error_in_200", false, 200, false, `{"error":{"message":"The server had an error`, "", 0, false, true},
		{"empty", "kind: empty", true, 200, false, `"finish_reason":"stop"`, `"content":"The`, 0, false, false},
		{"empty, whole", "kind: empty", false, 200, false, `"content":null`, "", 0, false, true},
		{"truncated", "kind: truncated", true, 200, false, `"content":"k br`, "[DONE]", 3, false, false},
		{"truncated, whole", "kind: truncated", false, 200, false, `{"id"`, "", 3, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, lines := faulty(t, tt.fault, tt.stream)
			if got.status != tt.status || (got.err != nil) != tt.broken || !strings.Contains(got.body, tt.holds) || tt.lacks != "" && strings.Contains(got.body, tt.lacks) {
				t.Errorf("%d, %v: %s", got.status, got.err, got.body)
			}
			if isReset := errors.Is(got.err, syscall.ECONNRESET) || errors.Is(got.err, io.EOF) && tt.status == 0; tt.wantReset && !isReset {
				t.Errorf("the connection is not reset: %v", got.err)
			}
			if tt.validJSONBody != json.Valid([]byte(got.body)) {
				t.Errorf("is it JSON? %s", got.body)
			}
			switch {
			case tt.out < 0 && len(lines) == 0:
			case tt.out >= 0 && len(lines) == 1 && lines[0].Out == tt.out:
			default:
				t.Errorf("the invoice has %+v", lines)
			}
		})
	}
}

// TestStallsAreWaitedFor sees that lifecycle events come at once, tokens only after the stall, and that a caller who gives up is on the invoice.
func TestStallsAreWaitedFor(t *testing.T) {
	t.Parallel()
	s := start(t, tenClouds(t, "\nfaults:\n  - {cloud: openai, kind: stall_first, for: 1h}\n"))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", at(t, s, "openai")+"/v1/chat/completions", strings.NewReader(chatBody+`,"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer k")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	if err != nil || !strings.Contains(line, `"role":"assistant"`) {
		t.Fatalf("%s, %v", line, err)
	}
	cancel()
	l := eventually(t, func() (Line, bool) {
		all := s.Invoice()
		if len(all) == 0 {
			return Line{}, false
		}
		return all[0], true
	})
	if l.Ended != ByCaller || l.Out != 0 || l.In == 0 {
		t.Errorf("the invoice has %+v", l)
	}
}

// eventually waits for what another goroutine brings about.
func eventually[T any](t *testing.T, look func() (T, bool)) T {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 2000 {
		if v, ok := look(); ok {
			return v
		}
		<-tick.C
	}
	t.Fatal("it never came")
	panic("unreachable")
}

func TestTimesAreThoseOfThePlan(t *testing.T) {
	t.Parallel()
	setup := tenClouds(t, "")
	setup.Instant, setup.Speed = false, 20
	setup.Answers.Mode, setup.Answers.Tokens = ByLength, 400
	s := start(t, setup)
	began := time.Now()
	got := send(t, "POST", at(t, s, "openai")+"/v1/chat/completions", chatBody+`,"stream":true}`, "authorization", "Bearer k")
	took := time.Since(began) * 20
	// About 0.4 s and 400 tokens at 88 a second: 4.9 s; chance and a busy machine may add to it.
	if got.status != 200 || took < 4*time.Second {
		t.Errorf("%d after %v of the world's time", got.status, took)
	}
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	s := start(t, tenClouds(t, ""))
	openai, admin := at(t, s, "openai")+"/v1/chat/completions", s.Admin()
	ask := func() said {
		return send(t, "POST", openai+"?key=abc", chatBody+"}", "authorization", "Bearer secret-credential", "x-note", "mine")
	}
	ask()
	if got := send(t, "POST", admin+"/faults", `{"kind": "storm", "cloud": "openai", "retry_after": "3s"}`); got.status != 201 || got.body != "{\"names\":[\"f1\"]}\n" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := ask(); got.status != 429 || got.header.Get("retry-after") != "3" {
		t.Errorf("%d %v", got.status, got.header)
	}
	var faults []ShownFault
	if got := send(t, "GET", admin+"/faults", ""); json.Unmarshal([]byte(got.body), &faults) != nil || len(faults) != 1 || !faults[0].Active || faults[0].RetryAfter != "3s" {
		t.Errorf("%s", got.body)
	}
	for _, bad := range []string{`{"kind": "storms"}`, `{"kind": "storm", "colour": 1}`, `[{"kind": "storm"}, {"kind": "stall"}]`, `{`, `{"kind": "storm", "cloud": "x"}`} {
		if got := send(t, "PUT", admin+"/faults", bad); got.status != 400 || !strings.Contains(got.body, `"kind":"invalid"`) {
			t.Errorf("%s: %d %s", bad, got.status, got.body)
		}
	}
	if got := ask(); got.status != 429 {
		t.Error("a fault that was refused took the place of the others")
	}
	if got := send(t, "DELETE", admin+"/faults/f1", ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := send(t, "DELETE", admin+"/faults/f1", ""); got.status != 404 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := ask(); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := send(t, "GET", admin+"/invoice?cloud=openai", ""); strings.Count(got.body, "\n") != 2 || !strings.Contains(got.body, `"nano_usd":`) {
		t.Errorf("the invoice is %s", got.body)
	}
	journal := send(t, "GET", admin+"/journal", "")
	if strings.Contains(journal.body, "secret-credential") || strings.Contains(journal.body, "abc") {
		t.Errorf("the journal tells a credential: %s", journal.body)
	}
	if strings.Count(journal.body, "\n") != 4 || !strings.Contains(journal.body, `"X-Note":"mine"`) || !strings.Contains(journal.body, `"status":429`) {
		t.Errorf("the journal is %s", journal.body)
	}
	if got := send(t, "POST", admin+"/reset", ""); got.status != 200 || len(s.Invoice()) != 0 {
		t.Errorf("%d, %d lines", got.status, len(s.Invoice()))
	}
}

func TestDownCloudsTakeNoConnections(t *testing.T) {
	t.Parallel()
	s := start(t, tenClouds(t, ""))
	if _, err := s.SetFaults([]Fault{{Kind: Outage, Cloud: "groq"}}, true); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(at(t, s, "groq"), "http://"))
	if err == nil {
		_, err = c.Read(make([]byte, 1))
		_ = c.Close()
	}
	if err == nil {
		t.Error("a cloud that is down talks")
	}
	if got := send(t, "GET", at(t, s, "openai")+"/v1/models", "", "authorization", "Bearer k"); got.status != 200 {
		t.Error("another cloud is down too")
	}
	s.ClearFaults("")
	if got := send(t, "GET", at(t, s, "groq")+"/openai/v1/models", "", "authorization", "Bearer k"); got.status != 200 {
		t.Errorf("it does not come back: %v", got.err)
	}
}

func TestListensOnThisMachineOnly(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "example.com:80", "127.0.0.1", "127.0.0.1:x"} {
		if _, err := Listen(tenClouds(t, ""), address); err == nil {
			t.Errorf("%s is taken", address)
		}
	}
}

// TestManyAtOnce runs calls in parallel through all sorts of ends and compares the books with what was seen.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	setup := tenClouds(t, "")
	setup.Answers = Answers{Mode: ByLength, Tokens: 50}
	s := start(t, setup)
	target := at(t, s, "groq") + "/openai/v1/chat/completions"
	const workers, each = 8, 25
	seen := make(chan int64, workers*each)
	for w := range workers {
		go func() {
			for i := range each {
				body := fmt.Sprintf(`{"model":"openai/gpt-oss-120b","stream":%v,"messages":[{"role":"user","content":"%d %d"}]}`, i%2 == 0, w, i)
				got := send(t, "POST", target, body, "authorization", "Bearer k")
				if got.status != 200 || got.err != nil {
					t.Errorf("%d %v %s", got.status, got.err, got.body)
				}
				seen <- 1
			}
		}()
	}
	for range workers * each {
		<-seen
	}
	var out int64
	ids := map[string]bool{}
	for _, l := range s.Invoice() {
		out += l.Out
		ids[l.ID] = true
	}
	if len(ids) != workers*each || out != 50*workers*each {
		t.Errorf("%d lines, %d tokens", len(ids), out)
	}
}
