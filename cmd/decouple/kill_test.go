package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/research"
)

const killQuestion = "Which kinds of copies of a volume does the backup service make?"

// kills is how often a run that is at work is killed.
const kills = 30

// TestKillAndResume kills the real binary at random moments of a research run with the builtin model. Each run, resumed, must give the report of an undisturbed
// one, but for the run's id and its time.
func TestKillAndResume(t *testing.T) {
	t.Parallel()
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(uint64(seed), 0))
	began := time.Now()
	want, lasts := undisturbed(t)
	hits, tries := 0, 0
	for ; hits < kills; tries++ {
		if tries == 6*kills {
			t.Fatalf("of %d kills only %d hit a run at work", tries, hits)
		}
		dir := filepath.Join(t.TempDir(), "data")
		after := time.Duration(chance.Int64N(int64(lasts)))
		id, hit := killed(t, dir, after)
		if !hit {
			continue
		}
		hits++
		out, err := resumed(dir, id)
		if err != nil {
			t.Fatalf("killed %s after its begin: %v", after, err)
		}
		if diff := cmp.Diff(want, comparable(t, out)); diff != "" {
			t.Errorf("killed %s after its begin, the report differs (-undisturbed +resumed):\n%s", after, diff)
		}
	}
	t.Logf("%d of %d kills hit a run at work, in %s", hits, tries, time.Since(began))
}

// undisturbed gives the report of a run that nobody disturbs, and how long such a run is at work.
func undisturbed(t *testing.T) (string, time.Duration) {
	t.Helper()
	out, err := command(t.TempDir(), "research", killQuestion, "--docs", "testdata/docs", "--model", "builtin", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var r research.Report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) < 3 || r.Run.Agents < 5 {
		t.Fatalf("too little to disturb: %d findings, %d agents", len(r.Findings), r.Run.Agents)
	}
	return comparable(t, out), time.Duration(r.Run.WallMS+1) * time.Millisecond
}

// comparable is a report as JSON without what differs from run to run.
func comparable(t *testing.T, out []byte) string {
	t.Helper()
	var r research.Report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	id := string(r.Run.ID)
	r.Run.WallMS = 0
	text, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), id, "ID")
}

// killed starts a run, kills it some time after it has begun, and says whether that hit a run at work.
func killed(t *testing.T, dir string, after time.Duration) (decouple.RunID, bool) {
	t.Helper()
	c := command(dir, "research", killQuestion, "--docs", "testdata/docs", "--model", "builtin", "--json")
	id := awaitBegin(t, c)
	<-time.After(after)
	_ = c.Process.Kill()
	_ = c.Wait()
	for _, r := range rowsOf(t, dir) {
		if r.ID == id {
			return id, r.Status != decouple.RunEnded
		}
	}
	t.Fatalf("run %s had begun, and the journal does not know it", id)
	return "", false
}

// awaitBegin starts a command and waits until its root run has begun.
func awaitBegin(t *testing.T, c *exec.Cmd) decouple.RunID {
	t.Helper()
	errs, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	lines := bufio.NewScanner(errs)
	for lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		if id, _, ok := strings.Cut(lines.Text(), " lead begins: "); ok {
			go func() { _, _ = io.Copy(io.Discard, errs) }()
			return decouple.RunID(id)
		}
	}
	t.Fatalf("the run never began: %s", &said)
	return ""
}

// rowsOf reads the runs of a data folder that nobody writes.
func rowsOf(t *testing.T, dir string) []journal.RunRow {
	t.Helper()
	log, err := sqlite.OpenReader(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	rows, err := log.Runs(context.Background(), journal.RunFilter{Tenant: decouple.LocalTenant})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// resumed resumes a run and gives its report; an exhausted envelope is no failure.
func resumed(dir string, id decouple.RunID, flags ...string) ([]byte, error) {
	c := command(dir, append([]string{"runs", "resume", string(id), "--json"}, flags...)...)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if c.ProcessState != nil && c.ProcessState.ExitCode() == decouple.Exhausted.Rule().Exit {
		err = nil
	}
	if err != nil {
		return out, fmt.Errorf("runs resume: %w: %s", err, &errs)
	}
	return out, nil
}

// TestKillRepeatsNoAcknowledgedCall kills the binary while a model server, which counts its calls, answers it. After the run is resumed, no call has come again
// whose answer the journal had acknowledged before the kill, and what the server counts in tokens is within the envelope.
func TestKillRepeatsNoAcknowledgedCall(t *testing.T) {
	t.Parallel()
	for _, tokens := range []int64{60_000, 2_000_000} {
		for answered := 1; answered <= 13; answered += 3 {
			t.Run(fmt.Sprintf("%d tokens, killed at call %d", tokens, answered+1), func(t *testing.T) {
				t.Parallel()
				killOnce(t, tokens, answered)
			})
		}
	}
}

func killOnce(t *testing.T, tokens int64, answered int) {
	s := newModelServer()
	defer s.close()
	dir := filepath.Join(t.TempDir(), "data")
	model := []string{"--model-url", s.url(), "--model", "scripted"}
	s.hold(answered)
	c := command(dir, append([]string{"research", killQuestion, "--docs", "testdata/docs", "--tokens", fmt.Sprint(tokens), "--price-in", "1", "--price-out", "4", "--usd", "4"}, model...)...)
	id := awaitBegin(t, c)
	if !s.awaitCalls(answered + 1) {
		t.Fatalf("the server was asked %d times", len(s.asked()))
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	acknowledged := acknowledgedCalls(t, dir)
	before := len(s.asked())
	s.release()
	out, err := resumed(dir, id, model...)
	if err != nil {
		t.Fatal(err)
	}
	calls := s.asked()
	for key := range acknowledged {
		if !slices.ContainsFunc(calls[:before], func(c call) bool { return c.key == key }) {
			t.Errorf("the journal holds an answer to what the server was never asked:\n%s", key)
		}
	}
	for _, call := range calls[before:] {
		if acknowledged[call.key] {
			t.Errorf("a call came again whose answer was acknowledged:\n%s", call.key)
		}
	}
	used := int64(0)
	for _, call := range calls {
		used += call.tokens
	}
	if used > tokens {
		t.Errorf("the server counts %d tokens, the envelope has %d", used, tokens)
	}
	if len(acknowledged) == 0 && answered > 1 {
		t.Errorf("no call was acknowledged of %d answered", answered)
	}
	withinEnvelope(t, dir, id)
	if r := comparable(t, out); tokens > 1_000_000 && !strings.Contains(r, "every night at 02:00") {
		t.Errorf("the report lacks what it should find: %s", r)
	}
}

// acknowledgedCalls are the conversations whose answers the journal holds.
func acknowledgedCalls(t *testing.T, dir string) map[string]bool {
	t.Helper()
	keys := map[string]bool{}
	for _, s := range statesOf(t, dir) {
		for i, m := range s.Messages {
			if m.Role == decouple.Assistant {
				keys[keyOf(append([]decouple.Message{decouple.Text(decouple.System, s.Agent.Prompt)}, s.Messages[:i]...))] = true
			}
		}
	}
	return keys
}

func statesOf(t *testing.T, dir string) []engine.State {
	t.Helper()
	log, err := sqlite.OpenReader(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	var states []engine.State
	for _, r := range rowsOf(t, dir) {
		s, err := engine.Load(context.Background(), log, decouple.LocalTenant, r.ID)
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, s)
	}
	return states
}

// withinEnvelope holds what the root says it used against what it was given.
func withinEnvelope(t *testing.T, dir string, id decouple.RunID) {
	t.Helper()
	for _, s := range statesOf(t, dir) {
		if used := s.Used(); s.Run.ID == id && (used.Tokens > s.Envelope.Tokens || used.USD > s.Envelope.USD) {
			t.Errorf("used %d tokens and %s USD of an envelope of %d and %s", used.Tokens, used.USD, s.Envelope.Tokens, s.Envelope.USD)
		}
	}
}
