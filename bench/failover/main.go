// Command failover answers "how long is a run without a node when its node is killed?": it runs two nodes of bin/decouple over a PostgreSQL of its own, kills the one that works on a run
// with SIGKILL, again and again, and measures until the other one has gone on with it.
//
//	make build && go run ./bench/failover -lease 5s -rounds 10
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/postgres"
	"decouple.dev/decouple/journal/postgres/pgtest"
)

func main() {
	lease := flag.Duration("lease", 5*time.Second, "of the nodes")
	rounds := flag.Int("rounds", 10, "how often a node is killed")
	program := flag.String("decouple", "bin/decouple", "the program")
	flag.Parse()
	if err := run(context.Background(), *lease, *rounds, *program); err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

// site is what the nodes work with.
type site struct {
	program, dir, store, model string
	lease                      time.Duration
	key                        string
	started                    int
}

// node is a process of decouple serve.
type node struct {
	name, address string
	cmd           *exec.Cmd
}

func run(ctx context.Context, lease time.Duration, rounds int, program string) error {
	dir, err := os.MkdirTemp("", "failover")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server, err := pgtest.Start(ctx, filepath.Join(dir, "pg"))
	if err != nil {
		return err
	}
	defer server.Stop()
	model := httptest.NewServer(http.HandlerFunc(answer))
	defer model.Close()
	s := &site{program: program, dir: dir, store: server.URL("postgres"), model: model.URL + "/v1", lease: lease}
	if err := os.Mkdir(filepath.Join(dir, "agents"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "agents", "looper.md"), []byte("---\nname: looper\ndescription: Works for ever.\ntools: [memory.get]\nenvelope:\n  steps: 1000000\n---\nwork\n"), 0o600); err != nil {
		return err
	}
	var nodes []*node
	defer func() {
		for _, n := range nodes {
			n.kill()
		}
	}()
	for range 2 {
		n, err := s.start()
		if err != nil {
			return err
		}
		nodes = append(nodes, n)
	}
	log, err := postgres.OpenReader(ctx, s.store)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	c, err := api.Connect(nodes[0].address, s.key, nil)
	if err != nil {
		return err
	}
	id, err := c.Start(ctx, engine.Start{Agent: "looper", Task: decouple.Task{Question: "work"}})
	if err != nil {
		return err
	}
	var took []time.Duration
	for range rounds {
		row, err := working(ctx, log, id, func(r journal.RunRow) bool { return r.Status == decouple.RunRunning && r.Steps > 0 })
		if err != nil {
			return err
		}
		<-time.After(lease / 2) // at no fixed moment of the renewal
		i := slices.IndexFunc(nodes, func(n *node) bool { return n.name == string(row.Node) })
		if i < 0 {
			return fmt.Errorf("run %s is at node %s, which is none of ours", id, row.Node)
		}
		nodes[i].kill()
		killed := time.Now()
		before, err := working(ctx, log, id, func(journal.RunRow) bool { return true })
		if err != nil {
			return err
		}
		if _, err := working(ctx, log, id, func(r journal.RunRow) bool { return r.Node != row.Node && r.Seq > before.Seq }); err != nil {
			return err
		}
		took = append(took, time.Since(killed))
		if nodes[i], err = s.start(); err != nil {
			return err
		}
	}
	slices.Sort(took)
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{"rounds": float64(rounds), "lease_s": lease.Seconds(), "bar_s": (lease + time.Second).Seconds(),
		"least_s": took[0].Seconds(), "p50_s": took[len(took)/2].Seconds(), "most_s": took[len(took)-1].Seconds()})
}

// start starts a node and waits until it answers.
func (s *site) start() (*node, error) {
	s.started++
	n := &node{name: fmt.Sprint("n", s.started)}
	n.cmd = exec.Command(s.program, "serve", "--store", s.store, "--data", filepath.Join(s.dir, n.name), "--node", n.name, "--listen", "127.0.0.1:0", "--lease", s.lease.String(),
		"--agents", filepath.Join(s.dir, "agents"), "--model-url", s.model, "--model", "m")
	errs, err := n.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(errs)
	var said []string
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		said = append(said, line)
		if strings.HasPrefix(line, "dck_") {
			s.key = line
		}
		if at, ok := strings.CutPrefix(line, "answering at "); ok {
			n.address = at
			go func() { _, _ = io.Copy(io.Discard, errs) }()
			return n, nil
		}
	}
	_ = n.cmd.Wait()
	return nil, fmt.Errorf("the node does not start: %s", strings.Join(said, "; "))
}

func (n *node) kill() {
	if n.cmd != nil {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
		n.cmd = nil
	}
}

// working waits until the run's row is as wanted.
func working(ctx context.Context, log journal.Reader, id decouple.RunID, ok func(journal.RunRow) bool) (journal.RunRow, error) {
	late := time.Now().Add(time.Minute)
	for {
		rows, err := log.Runs(ctx, journal.RunFilter{ID: id})
		switch {
		case err != nil:
			return journal.RunRow{}, err
		case len(rows) == 1 && ok(rows[0]):
			return rows[0], nil
		case len(rows) == 1 && rows[0].Status == decouple.RunEnded || time.Now().After(late):
			return journal.RunRow{}, fmt.Errorf("the run stays %+v", rows)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// answer is a model that takes 20 ms and asks for something to do, for ever.
func answer(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Messages []json.RawMessage `json:"messages"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, `{"error":{"message":"not JSON"}}`, http.StatusBadRequest)
		return
	}
	<-time.After(20 * time.Millisecond)
	w.Header().Set("Content-Type", "text/event-stream")
	args := fmt.Sprintf(`{\"key\":\"k%d\"}`, len(in.Messages))
	fmt.Fprintf(w, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"memory_get","arguments":"%s"}}]},"finish_reason":null}]}`+"\n\n", args)
	fmt.Fprint(w, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12}}`+"\n\n")
	fmt.Fprint(w, "data: [DONE]\n\n")
}
