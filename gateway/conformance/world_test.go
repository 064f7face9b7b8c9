package conformance

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// world is the program under test, with the servers that it asks.
type world struct {
	url     string    // of the program
	key     string    // that it lets in
	mock    string    // where the servers are
	node    string    // the program that runs JavaScript
	program string    // its file
	gone    *sync.Map // ids of calls that the servers were hung up on
}

// The wire formats that the servers speak. For each there is a model of its name in the gateway's configuration, which only a server of that format serves, and some that fail:
// limited-FORMAT, cutting-CLIENT-FORMAT, and the alias safe-FORMAT, which goes to the limited one first.
var formats = []string{"chat", "responses", "messages", "gemini", "bedrock"}

// cutOff are the clients that have models whose streams are cut. Each has its own: an endpoint where nothing else happens is soon asked no more.
var cutOff = []string{"openai", "anthropic", "gemini", "bedrock", "node-openai", "node-responses", "node-anthropic", "node-gemini", "node-h2c", "node-http"}

// TestClients starts everything once, and has every client at work.
func TestClients(t *testing.T) {
	t.Parallel()
	w := begin(t)
	t.Run("openai", w.openai)
	t.Run("anthropic", w.anthropic)
	t.Run("bedrock", w.bedrock)
	t.Run("gemini", w.gemini)
	t.Run("responses", w.responses)
	t.Run("node", w.clients)

}

// begin builds and starts the program and the servers.
func begin(t *testing.T) *world {
	w := &world{node: nodeProgram(t), gone: &sync.Map{}}
	w.mock = w.upstreams(t)
	w.program = filepath.Join(t.TempDir(), "decouple")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", w.program, "decouple.dev/decouple/cmd/decouple")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	w.start(t)
	return w
}

// start starts the program with a folder of its own.
func (w *world) start(t *testing.T, more ...string) {
	dir := t.TempDir()
	config := filepath.Join(dir, "decouple.yaml")
	if err := os.WriteFile(config, []byte(w.config()), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(w.program, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--config", config}, more...)...)
	c.Env = []string{"HOME=" + dir, "UPSTREAM_KEY=upstream-secret", "UPSTREAM_SECRET=upstream-secret"}
	lines, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	logged, ready, ended := &strings.Builder{}, make(chan struct{}), make(chan struct{})
	go w.follow(lines, logged, ready, ended)
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		<-ended
		if err := c.Wait(); err != nil {
			t.Errorf("the program ended with %v", err)
		}
		if t.Failed() {
			t.Logf("the program said:\n%s", logged)
		}
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatal("the program did not start")
	case <-time.After(time.Minute):
		t.Fatal("the program was not there after a minute")
	}
}

// secure is a second node that is reached by TLS, and the certificates that its clients trust. AWS's client for Go gives its key to nobody in the clear.
func (w *world) secure(t *testing.T) (*world, *x509.CertPool) {
	t.Helper()
	known := httptest.NewTLSServer(nil) // for its certificate, which is of 127.0.0.1
	known.Close()
	pair := known.TLS.Certificates[0]
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	err = errors.Join(os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(known.Certificate())
	other := &world{mock: w.mock, program: w.program, gone: w.gone}
	other.start(t, "--tls-cert", cert, "--tls-key", key)
	return other, pool
}

// follow reads what the program says: its key, its address, and whatever else, until it ends.
func (w *world) follow(from io.Reader, logged io.StringWriter, ready, ended chan<- struct{}) {
	defer close(ended)
	key, at := regexp.MustCompile(`dck_\S+`), regexp.MustCompile(`answering at (https?://\S+)`)
	for s := bufio.NewScanner(from); s.Scan(); {
		_, _ = logged.WriteString(s.Text() + "\n") // of a builder: it never fails
		if m := key.FindString(s.Text()); m != "" {
			w.key = m
		}
		if m := at.FindStringSubmatch(s.Text()); m != nil && w.url == "" {
			w.url = m[1]
			close(ready)
		}
	}
}

// nodeProgram finds Node 22 or newer: the one that was installed with the packages, or the machine's own.
func nodeProgram(t *testing.T) string {
	const remedy = "run `make check-node`, which installs what the Node clients need"
	if _, err := os.Stat("node_modules/@copilotkit/aimock"); err != nil {
		t.Fatalf("the Node packages are not installed: %s", remedy)
	}
	for _, name := range []string{"node_modules/.bin/node", "node"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		out, err := exec.CommandContext(t.Context(), path, "-p", "process.versions.node.split('.')[0]").Output()
		var major int
		if _, scanned := fmt.Sscan(string(out), &major); err == nil && scanned == nil && major >= 22 {
			if path, err = filepath.Abs(path); err == nil {
				return path
			}
		}
	}
	t.Fatalf("there is no Node 22 or newer: %s", remedy)
	return ""
}

// upstreams starts the servers that the program asks.
func (w *world) upstreams(t *testing.T) string {
	c := exec.Command(w.node, "upstream.mjs")
	c.Stderr = os.Stderr
	end, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = end.Close()
		_ = c.Wait()
	})
	said := bufio.NewScanner(out)
	if !said.Scan() {
		t.Fatalf("the servers did not start: %v", said.Err())
	}
	go func() {
		for said.Scan() {
			if id, ok := strings.CutPrefix(said.Text(), "hung up "); ok {
				w.gone.Store(id, true)
			}
		}
	}()
	return strings.TrimSpace(said.Text())
}

// hungUp waits until the gateway has hung up on the one call that holds a text.
func (w *world) hungUp(t *testing.T, text string) {
	t.Helper()
	at := w.reached(t, text)
	if len(at) != 1 {
		t.Fatalf("%d calls with %q reached the servers", len(at), text)
	}
	if !await(t.Context(), func() bool { _, gone := w.gone.Load(at[0].Headers["x-client-request-id"]); return gone }) {
		t.Errorf("the server goes on with a call that nobody waits for: %v", at[0].Headers)
	}
}

// config is the program's config file: an account at a server of each format, and what fails.
func (w *world) config() string {
	var b strings.Builder
	b.WriteString("gateway:\n  discover: false\n  patience: {wait: 1s}\n  accounts:\n")
	keyed, signed := "key: env:UPSTREAM_KEY", "access_key_id: AKIAEXAMPLE, secret: env:UPSTREAM_SECRET, regions: [us-east-1]"
	at := map[string]struct{ provider, url, proof, wire string }{
		"chat": {"openai", "/v1", keyed, "openai.chat"}, "responses": {"openai", "/v1", keyed, "openai.responses"}, "messages": {"anthropic", "", keyed, "anthropic.messages"},
		"gemini": {"gemini", "", keyed, "gemini.generate"}, "bedrock": {"bedrock", "", signed, "bedrock.converse"},
	}
	for _, f := range formats {
		fmt.Fprintf(&b, "    - {name: at-%s, provider: %s, url: %q, tier: none, %s}\n", f, at[f].provider, w.mock+at[f].url, at[f].proof)
	}
	b.WriteString("  catalog:\n    endpoints:\n")
	states := []string{"", "limited-"}
	for _, client := range cutOff {
		states = append(states, "cutting-"+client+"-")
	}
	for _, f := range formats {
		for _, state := range states {
			fmt.Fprintf(&b, "      own-%s%s: {provider: %s, account: at-%s, url: %q, model: %s%s, name: %s, format: %s}\n",
				state, f, at[f].provider, f, w.mock+at[f].url, state, f, nameOf(state, f), at[f].wire)
		}
	}
	b.WriteString("    aliases:\n")
	for _, f := range formats {
		fmt.Fprintf(&b, "      safe-%s: {strategy: ordered, targets: [{endpoint: own-limited-%s}, {endpoint: own-%s}]}\n", f, f, f)
	}
	return b.String()
}

// nameOf is what a server calls a model: fixtures.json goes by it.
func nameOf(state, format string) string {
	if state == "" {
		return format
	}
	name, _, _ := strings.Cut(state, "-")
	return name
}

// reached gives the requests that reached the servers and hold a text, as the servers understood them.
func (w *world) reached(t *testing.T, text string) []arrival {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.mock+"/__aimock/journal", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var all []arrival
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	var out []arrival
	for _, a := range all {
		if strings.Contains(string(a.Body), text) {
			out = append(out, a)
		}
	}
	return out
}

// arrival is a request in the servers' journal.
type arrival struct {
	Path     string
	Headers  map[string]string
	Body     json.RawMessage
	Response struct {
		Status int
	}
}

// await asks until something is so, or a time has passed that is long enough for whatever goes on in the background.
func await(ctx context.Context, so func() bool) bool {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-late.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}
