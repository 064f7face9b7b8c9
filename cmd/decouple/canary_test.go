package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal/sqlite"
)

// The keys that are looked for.
const (
	canaryAccount   = "sk-canary-account-0123456789abcdef"
	canaryCollector = "canary-collector-0123456789abcdef"
	canaryWrong     = "dck_canary-wrong-0123456789abcdef"
)

// TestCanaryBinary runs the real command with a vendor that says back who asked, and a collector: neither the standard error, nor the data folder, the journal's events, the metrics,
// the decisions, what is exported or what callers are told has a key in it.
func TestCanaryBinary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	collector := &sponge{}
	at := httptest.NewServer(collector)
	t.Cleanup(at.Close)
	vendor := httptest.NewServer(http.HandlerFunc(sayBack))
	t.Cleanup(vendor.Close)
	config := fmt.Sprintf("gateway:\n  discover: false\n  patience: {wait: 50ms}\n  accounts:\n    - {name: one, provider: compatible, url: %s/v1, key: env:CANARY_KEY, models: {fine: fine, broken: broken, locked: locked, cut: cut}}\n", vendor.URL)
	file := filepath.Join(dir, "decouple.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	made := func(args ...string) *exec.Cmd {
		c := command(filepath.Join(dir, "data"), append(args, "--config", file)...)
		c.Env = append(c.Env, "CANARY_KEY="+canaryAccount, "OTEL_EXPORTER_OTLP_ENDPOINT="+at.URL, "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20"+canaryCollector)
		return c
	}
	out := map[string]string{}
	alone, err := made("research", "Which copies does the backup service make?", "--docs", "testdata/docs", "--model", "broken").CombinedOutput()
	out["a command"] = string(alone)
	if err == nil {
		t.Errorf("research with a broken model went well: %s", alone)
	}
	node, key := serveCanary(t, made)
	out["what callers were told"] = node.calls(t, key)
	out["the metrics"] = node.get(t, key, "/metrics")
	out["the decisions"] = node.get(t, key, "/api/v1/decisions")
	out["the standard error"] = node.end(t)
	out["what was exported"] = collector.text()
	out["the data folder"], out["the events"] = filesBelow(t, dir, file), eventsOf(t, filepath.Join(dir, "data"))
	for what, has := range map[string]string{
		"a command": "decouple:", "what callers were told": "who asks", "the metrics": `decouple_gateway_attempts_total{endpoint="one/locked"`, "the decisions": "key_refused", "the standard error": "model call failed",
		"what was exported": "gen_ai.client.operation.duration", "the data folder": "SQLite format", "the events": "broken",
	} {
		if !strings.Contains(out[what], has) {
			t.Errorf("%s: %q is not there, so that nothing was looked at: %.2000s", what, has, out[what])
		}
	}
	for what, text := range out {
		for _, canary := range []string{canaryAccount, canaryCollector, canaryWrong, key} {
			for _, form := range []string{canary, base64.StdEncoding.EncodeToString([]byte(canary))} {
				if at := strings.Index(text, form); at >= 0 {
					t.Errorf("%s: %q is there: ...%q", what, form, text[max(0, at-200):min(len(text), at+80)])
				}
			}
		}
	}
}

// sponge takes everything that it is sent.
type sponge struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// ServeHTTP takes.
func (s *sponge) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = io.Copy(&s.all, r.Body)
}

func (s *sponge) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

// sayBack is a vendor that tells everybody who asks, with the key.
func sayBack(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Who", r.Header.Get("Authorization"))
	wrong := func(status int) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":{"message":"broken, who asks is %s","type":"server_error","code":"%s"}}`, r.Header.Get("Authorization"), r.Header.Get("Authorization"))
	}
	switch {
	case bytes.Contains(body, []byte(`"broken"`)):
		wrong(http.StatusInternalServerError)
	case bytes.Contains(body, []byte(`"locked"`)):
		wrong(http.StatusUnauthorized)
	case bytes.Contains(body, []byte(`"cut"`)):
		panic(http.ErrAbortHandler)
	default:
		_, _ = io.WriteString(w, `{"id":"c1","object":"chat.completion","model":"fine","choices":[{"index":0,"message":{"role":"assistant","content":"whole"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}`)
	}
}

// canaryNode is a node of which everything that it says is kept.
type canaryNode struct {
	cmd  *exec.Cmd
	url  string
	said bytes.Buffer
	done chan struct{}
}

// serveCanary starts a node and gives its first key, whose line is left out of what is kept: it is shown once, on purpose.
func serveCanary(t *testing.T, made func(...string) *exec.Cmd) (*canaryNode, string) {
	t.Helper()
	n := &canaryNode{cmd: made("serve", "--listen", "127.0.0.1:0"), done: make(chan struct{})}
	errs, err := n.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.cmd.Process.Kill() })
	key, lines := "", bufio.NewReader(errs)
	for n.url == "" {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the node ended: %s%s", n.said.String(), line)
		}
		if k := strings.TrimSpace(line); strings.HasPrefix(k, "dck_") {
			key = k
			continue
		}
		n.said.WriteString(line)
		if address, ok := strings.CutPrefix(strings.TrimSpace(line), "answering at "); ok {
			n.url = address
		}
	}
	go func() {
		_, _ = io.Copy(&n.said, lines)
		close(n.done)
	}()
	return n, key
}

// calls asks in every way that may go wrong, and gives all that was answered.
func (n *canaryNode) calls(t *testing.T, key string) string {
	t.Helper()
	var all strings.Builder
	for _, model := range []string{"fine", "broken", "locked", "cut", "nothing"} {
		for _, more := range []string{"", `"stream":true,`} {
			ask := `{` + more + `"model":"` + model + `","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}`
			all.WriteString(n.do(t, http.MethodPost, "/v1/chat/completions", ask, "Authorization", "Bearer "+key))
			all.WriteString(n.do(t, http.MethodPost, "/v1/messages", ask, "X-Api-Key", key))
		}
		all.WriteString(n.do(t, http.MethodPost, "/v1/responses", `{"model":"`+model+`","input":"hello"}`, "Authorization", "Bearer "+key))
		all.WriteString(n.do(t, http.MethodPost, "/v1beta/models/"+model+":generateContent?key="+key, `{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}`, "X-None", ""))
	}
	all.WriteString(n.do(t, http.MethodPost, "/v1/chat/completions", `{"model":`, "Authorization", "Bearer "+key))
	all.WriteString(n.do(t, http.MethodPost, "/v1/chat/completions", `{}`, "Authorization", "Bearer "+canaryWrong))
	all.WriteString(n.do(t, http.MethodPost, "/v1beta/models/fine:what?key="+canaryWrong, `{}`, "X-None", ""))
	return all.String()
}

func (n *canaryNode) get(t *testing.T, key, path string) string {
	t.Helper()
	return n.do(t, http.MethodGet, path, "", "Authorization", "Bearer "+key)
}

func (n *canaryNode) do(t *testing.T, method, path, body, header, value string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, n.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(header, value)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return fmt.Sprint(resp.Status, resp.Header) + string(b) + "\n"
}

// end stops the node and gives all that it said.
func (n *canaryNode) end(t *testing.T) string {
	t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-n.done
	_ = n.cmd.Wait()
	return n.said.String()
}

// filesBelow is everything in a folder, but for one file.
func filesBelow(t *testing.T, dir, but string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || path == but {
			return err
		}
		b, err := os.ReadFile(path)
		all.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// eventsOf is every event of a journal.
func eventsOf(t *testing.T, dir string) string {
	t.Helper()
	log, err := sqlite.OpenReader(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	err = log.Follow(t.Context(), 0, func(e decouple.Event) error {
		fmt.Fprintf(&all, "%s %s\n", e.Kind, e.Payload)
		if e.Position >= head {
			return io.EOF
		}
		return nil
	})
	if err != io.EOF {
		t.Fatal(err)
	}
	return all.String()
}
