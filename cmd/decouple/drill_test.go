package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/risk/drill"
	"decouple.dev/decouple/sim"
)

// drillConfig has the model gpt-5.4 at two simulated clouds, Azure first.
const drillConfig = `gateway:
  discover: false
  accounts:
    - {name: azure, provider: azure, url: "{azure}/regions/{region}", regions: [eastus2], key: env:DRILL_KEY, models: {gpt-5.4: gpt-5.4}}
    - {name: openai, provider: openai, url: "{openai}/v1", regions: [us], key: env:DRILL_KEY, models: {gpt-5.4: ""}}
  catalog:
    aliases:
      chat: {strategy: ordered, targets: [{endpoint: azure/eastus2/gpt-5.4}, {endpoint: openai/us/gpt-5.4}]}
`

// drilled is a server of the real binary over simulated clouds, with two keys: one whose calls are drilled, and one whose calls are not.
type drilled struct {
	t     *testing.T
	made  func(...string) *exec.Cmd
	node  *canaryNode
	owner string
	keys  [2]string // bearers: of the canary, and of others
	id    string    // of the canary's key
}

func newDrilled(t *testing.T) *drilled {
	t.Helper()
	dir := t.TempDir()
	clouds, err := sim.Listen(spendClouds(t, 5), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- clouds.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	text := drillConfig
	for _, p := range clouds.Places() {
		text = strings.ReplaceAll(text, "{"+p.Cloud.Name+"}", p.URL)
	}
	file := filepath.Join(dir, "decouple.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &drilled{t: t}
	d.made = func(args ...string) *exec.Cmd {
		c := command(filepath.Join(dir, "data"), append(args, "--config", file)...)
		c.Env = append(c.Env, "DRILL_KEY=sim")
		return c
	}
	d.node, d.owner = serveCanary(t, d.made)
	there, err := api.Connect(d.node.url, d.owner, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"canary", "others"} {
		k, err := there.CreateKey(t.Context(), api.NewKey{Actor: decouple.Actor{Kind: decouple.ActorService, ID: name}, Role: registry.RoleDeveloper}, decouple.Actor{Kind: decouple.ActorPerson, ID: "ada"})
		if err != nil {
			t.Fatal(err)
		}
		d.keys[i] = k.Bearer
		if i == 0 {
			d.id = k.ID
		}
	}
	return d
}

// ask makes one call and gives its status and the endpoint that answered.
func (d *drilled) ask(key string) (status int, endpoint string) {
	body := `{"model":"chat","stream":true,"max_tokens":20,"messages":[{"role":"user","content":"When is it late?"}]}`
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.node.url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Error(err)
		return 0, ""
	}
	defer func() { _ = resp.Body.Close() }()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode == http.StatusOK && !strings.Contains(string(b), "[DONE]") {
		d.t.Errorf("an answer broke off: %v %s", err, b)
	}
	return resp.StatusCode, resp.Header.Get("X-Decouple-Endpoint")
}

// run plays a live drill by the command and gives its result.
func (d *drilled) run(scenario string, args ...string) (*drill.Result, error) {
	d.t.Helper()
	file := filepath.Join(d.t.TempDir(), "own.yaml")
	if err := os.WriteFile(file, []byte(scenario), 0o600); err != nil {
		d.t.Fatal(err)
	}
	c := exec.Command("decouple", append([]string{"drill", "run", file, "--mode", "live", "--server", d.node.url, "--key", d.id, "--share", "100%", "--json"}, args...)...)
	c.Env = append(os.Environ(), "DECOUPLE_KEY="+d.owner)
	out, err := c.Output()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		d.t.Fatal(err)
	}
	var r drill.Result
	if json.Unmarshal(out, &r) != nil {
		d.t.Fatalf("%v: %s", err, out)
	}
	return &r, err
}

// load makes calls with both keys until the drill is over, and counts who answered.
func (d *drilled) load(over <-chan struct{}) [2]map[string]int {
	seen := [2]map[string]int{{}, {}}
	var work sync.WaitGroup
	for i := range d.keys {
		work.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				status, endpoint := d.ask(d.keys[i])
				seen[i][fmt.Sprint(status, " ", endpoint)]++
			}
		})
	}
	work.Wait()
	return seen
}

// TestLiveDrill loses a cloud for a canary at a real server: the canary fails over and its callers notice nothing, others are not touched, and all is as it was afterwards.
func TestLiveDrill(t *testing.T) {
	t.Parallel()
	d := newDrilled(t)
	over := make(chan struct{})
	var r *drill.Result
	var err error
	go func() {
		defer close(over)
		r, err = d.run("id: own\ntitle: Azure is gone\nlasts: 1h\nlose: [{what: refuse, vendor: azure, share: 70%}, {what: auth, vendor: azure}]\nexpect: {recover_within: 30s, failed_share: < 1%, breaches: 0}\n", "--for", "6s")
	}()
	seen := d.load(over)
	if err != nil || !r.Passed || r.Total.During.Calls == 0 || r.Total.During.Failed > 0 || len(r.Total.Shares) != 1 || r.Total.Shares[0].Endpoint != "openai/us/gpt-5.4" {
		t.Errorf("%v: %+v %+v", err, r.Checks, r.Total)
	}
	if seen[0]["200 openai/us/gpt-5.4"] == 0 || seen[0]["200 azure/eastus2/gpt-5.4"] == 0 || len(seen[0]) != 2 {
		t.Errorf("the canary's callers saw %v", seen[0])
	}
	if len(seen[1]) != 1 || seen[1]["200 azure/eastus2/gpt-5.4"] == 0 {
		t.Errorf("others saw %v", seen[1])
	}
	if status, endpoint := d.ask(d.keys[0]); status != 200 || endpoint != "azure/eastus2/gpt-5.4" {
		t.Errorf("after the drill: %d from %s", status, endpoint)
	}
	t.Logf("canary %v, others %v, attempts a call %.3f", seen[0], seen[1], r.Total.Amplification())
}

// TestLiveDrillAborts ends a drill by hand, and has one end by its rule when nothing is left to fail over to.
func TestLiveDrillAborts(t *testing.T) {
	t.Parallel()
	d := newDrilled(t)
	type outcome struct {
		r   *drill.Result
		err error
	}
	ended := make(chan outcome, 1)
	go func() {
		r, err := d.run("id: own\ntitle: Azure is gone\nlasts: 1m\nlose: [{what: outage, vendor: azure}]\n", "--for", "5m")
		ended <- outcome{r, err}
	}()
	for begun := time.Now(); ; { // the loss begins after a tenth of the time: what is asked is whether the drill is there
		c := exec.Command("decouple", "drill", "abort", "--server", d.node.url)
		c.Env = append(os.Environ(), "DECOUPLE_KEY="+d.owner)
		if out, err := c.CombinedOutput(); err == nil {
			break
		} else if time.Since(begun) > time.Minute {
			t.Fatalf("it cannot be aborted: %s", out)
		}
	}
	if o := <-ended; o.err == nil || !strings.Contains(o.r.Aborted, "aborted it") || o.r.Passed {
		t.Errorf("aborted: %v %+v", o.err, o.r)
	}
	if status, endpoint := d.ask(d.keys[0]); status != 200 || endpoint != "azure/eastus2/gpt-5.4" {
		t.Errorf("after the abort: %d from %s", status, endpoint)
	}
	// Everything is lost: the canary fails, and the drill ends by itself long before its time.
	over := make(chan struct{})
	var r *drill.Result
	var err error
	go func() {
		defer close(over)
		r, err = d.run("id: all\ntitle: All is gone\nlasts: 1m\nlose: [{what: outage, model: gpt-5.4}]\n", "--for", "30s", "--abort-share", "20%", "--abort-after", "5")
	}()
	seen := d.load(over)
	if err == nil || !strings.Contains(r.Aborted, "of the canary failed") || r.Total.During.Failed < 2 || r.Played > 25*time.Second || len(r.Gaps) != 1 {
		t.Errorf("by its rule: %v, aborted %q after %s, %+v", err, r.Aborted, r.Played, r.Total.During)
	}
	if len(seen[1]) != 1 || seen[1]["200 azure/eastus2/gpt-5.4"] == 0 {
		t.Errorf("others saw %v", seen[1])
	}
	if status, _ := d.ask(d.keys[0]); status != 200 {
		t.Errorf("after it ended by itself: %d", status)
	}
}
