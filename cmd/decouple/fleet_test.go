package main

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/postgres/pgtest"
)

// served is a process of `decouple serve`.
type served struct {
	*exec.Cmd
}

// startNode starts a node on a shared journal and waits until it is at work.
func startNode(t *testing.T, url, name string) served {
	t.Helper()
	c := command(filepath.Join(t.TempDir(), name), "serve", "--store", url, "--lease", "1s", "--node", name, "--model", "builtin")
	errs, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	lines := bufio.NewScanner(errs)
	for lines.Scan() {
		if strings.Contains(lines.Text(), " is at work") {
			go func() { _, _ = io.Copy(io.Discard, errs) }()
			return served{c}
		}
	}
	t.Fatalf("node %s does not begin to work", name)
	return served{}
}

// onShared is this process as a client of a shared journal: it starts runs and drives none.
func onShared(t *testing.T, url, agents string) *owner {
	t.Helper()
	a := &app{name: "decouple", in: strings.NewReader(""), out: io.Discard, err: newScreen(os.Stderr, os.Getenv), env: func(string) string { return "" }, storeURL: url}
	o, err := a.own(t.Context(), filepath.Join(t.TempDir(), "client"), plan{doing: "test", agents: agents, http: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.close() })
	return o
}

// TestFleetKills runs research on two nodes over PostgreSQL, kills one of them in the middle of each run, and starts it anew. Every run must come to its end with the findings
// of an undisturbed one, within the lease and a little.
func TestFleetKills(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	if out, err := command(filepath.Join(t.TempDir(), "add"), "notes", "add", "testdata/docs", "--store", url).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o := onShared(t, url, "")
	nodes := []served{startNode(t, url, "a"), startNode(t, url, "b")}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	begin := func() decouple.RunID {
		t.Helper()
		id, err := o.engine.Start(t.Context(), engine.Start{Agent: "lead", Task: decouple.Task{Question: killQuestion}})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	started := time.Now()
	want := await(t, o, begin())
	lasts := time.Since(started)
	for round := range 5 {
		id := begin()
		<-time.After(time.Duration(chance.Int64N(int64(lasts))))
		victim := chance.IntN(2)
		if round == 4 { // in good order: no lease is waited for
			_ = nodes[victim].Process.Signal(os.Interrupt)
		} else {
			_ = nodes[victim].Process.Kill()
		}
		_ = nodes[victim].Wait()
		killed := time.Now()
		got := await(t, o, id)
		if took := time.Since(killed); took > 15*time.Second {
			t.Errorf("round %d: the run ended %v after the kill", round, took)
		}
		if got != want {
			t.Errorf("round %d, run %s: %s, undisturbed it was %s", round, id, got, want)
		}
		nodes[victim] = startNode(t, url, string(rune('c'+round)))
	}
}

// await waits until a run has ended and says what came of it, in what does not depend on the moment.
func await(t *testing.T, o *owner, id decouple.RunID) string {
	t.Helper()
	deadline := time.Now().Add(40 * time.Second)
	for {
		rows, err := o.store.Runs(t.Context(), journal.RunFilter{Tenant: decouple.LocalTenant, ID: id})
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 1 && rows[0].Status == decouple.RunEnded {
			break
		}
		if time.Now().After(deadline) {
			why, _ := engine.Explain(t.Context(), o.store, decouple.LocalTenant, id)
			t.Fatalf("run %s does not end: %+v", id, why)
		}
		<-time.After(20 * time.Millisecond)
	}
	r, err := o.reports.Report(t.Context(), decouple.LocalTenant, id)
	if err != nil {
		t.Fatal(err)
	}
	text := string(r.Cause.Kind)
	for _, f := range r.Findings {
		for _, q := range f.Quotes {
			text += "\n" + q.Text
		}
	}
	return text
}

// answering starts a node that answers programs, and gives its address and the first key, if it has shown one.
func answering(t *testing.T, args ...string) (address, key string) {
	t.Helper()
	c := command(t.TempDir(), append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	errs, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	lines := bufio.NewScanner(errs)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "dck_") {
			key = line
		}
		if at, ok := strings.CutPrefix(line, "answering at "); ok {
			go func() { _, _ = io.Copy(io.Discard, errs) }()
			return at, key
		}
	}
	t.Fatal("the node does not answer")
	return "", ""
}

// TestLiveAcrossNodes watches at one node what another one does: every event, and the text of the model while it comes.
func TestLiveAcrossNodes(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := newModelServer()
	t.Cleanup(s.close)
	agents := t.TempDir()
	if err := os.WriteFile(filepath.Join(agents, "talker.md"), []byte("---\nname: talker\ndescription: Talks.\n---\nYou talk.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := []string{"--store", url, "--model-url", s.url(), "--model", "m", "--agents", agents, "--lease", "1s"}
	first, key := answering(t, append(flags, "--site", "aws")...)
	second, _ := answering(t, append(flags, "--site", "gcp")...)
	at := func(address string) *api.Client {
		c, err := api.Connect(address, key, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	works, watches := at(first), at(second)
	id, err := works.OpenSession(t.Context(), engine.NewSession{Agent: "talker", Site: decouple.Site{Cloud: "aws"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	text, events, begun := "", 0, false
	err = watches.Watch(ctx, id, 0, func(decouple.Event) error {
		if events++; !begun {
			begun = true
			time.AfterFunc(500*time.Millisecond, func() { // the other node knows by then that somebody watches
				if _, err := works.Say(ctx, engine.Input{Session: id, Text: "Is it late?"}); err != nil {
					t.Error(err)
				}
			})
		}
		return nil
	}, func(l api.Live) {
		if l.Kind != engine.SignalToken {
			return
		}
		if text == "" {
			go func() { _, _ = works.Cancel(ctx, "", id, engine.Cancellation{By: "ada"}) }()
		}
		text += l.Text
	})
	if err != nil || text == "" || events < 3 {
		t.Errorf("%d events and the text %q came, %v", events, text, err)
	}
	rows, err := watches.Runs(ctx, journal.RunFilter{ID: id})
	if err != nil || len(rows) != 1 || rows[0].Status != decouple.RunEnded {
		t.Errorf("the run is %+v, %v", rows, err)
	}
}
