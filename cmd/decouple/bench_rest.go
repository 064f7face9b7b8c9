package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/postgres"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/knowledge"
	"github.com/spf13/cobra"
)

const parkedRuns = 100_000

// benchParked parks runs and then looks, in a process of its own, how long a start takes, how much memory it needs, and how soon a message wakes one.
func benchParked(ctx context.Context, at place) (figures, error) {
	b, err := newBed(ctx, at, noModel{}, nil)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := parkAll(ctx, b.store); err != nil {
		return nil, errors.Join(err, b.done())
	}
	took := time.Since(start)
	self, err := os.Executable()
	if err != nil {
		return nil, errors.Join(err, b.done())
	}
	where := b.address
	if at.url == "" { // one process writes a folder
		where = at.dir
		if err := b.done(); err != nil {
			return nil, err
		}
		b.done = func() error { return nil }
	}
	again := exec.CommandContext(ctx, self, "bench-reopen", where)
	again.Stderr = os.Stderr
	out, err := again.Output()
	if err = errors.Join(err, b.done()); err != nil {
		return nil, fmt.Errorf("reopening: %w", err)
	}
	var f figures
	if err := json.Unmarshal(out, &f); err != nil {
		return nil, err
	}
	f["park_s"] = took.Seconds()
	return f, nil
}

// parkAll makes runs that wait for a person, a thousand at a time.
func parkAll(ctx context.Context, store journal.Store) error {
	const at = 1000
	by := decouple.Actor{Kind: decouple.ActorSystem, ID: "bench"}
	event := journal.NewEvent{Kind: "run.created", KindVersion: 1, Actor: by, Payload: []byte(`{"task":{"question":"wait"}}`)}
	for n := 0; n < parkedRuns; n += at {
		m := journal.Mutation{ID: decouple.CommitID(fmt.Sprint("create/", n))}
		for i := range at {
			id := decouple.RunID(fmt.Sprintf("r%06d", n+i))
			m.Create = append(m.Create, journal.NewRun{Run: decouple.Run{ID: id, Tenant: decouple.LocalTenant, Root: id, Agent: "waiter", Version: "1"}, Label: "wait", Events: []journal.NewEvent{event}})
		}
		if _, err := store.Commit(ctx, m); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	errs := make(chan error, 64)
	for range cap(errs) {
		wg.Go(func() { errs <- parkSome(ctx, store, parkedRuns/cap(errs)+1) })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// parkSome claims runs and parks them until none is left.
func parkSome(ctx context.Context, store journal.Store, most int) error {
	for range most {
		patience, cancel := context.WithTimeout(ctx, 2*time.Second)
		c, err := store.Claim(patience, journal.Want{})
		none := patience.Err() != nil && ctx.Err() == nil
		cancel()
		if none {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = store.Commit(ctx, journal.Mutation{
			ID: decouple.CommitID("park/" + string(c.Run.ID)), Stream: decouple.RunStream(c.Run.Tenant, c.Run.ID), Expect: c.Seq, Epoch: c.Epoch,
			Status: &journal.StatusChange{Status: decouple.RunParked, Wait: decouple.Wait{Kind: decouple.WaitPerson, For: "somebody"}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// newBenchReopen makes the hidden command that benchParked runs: it opens a journal for writing, says what that took, and wakes one run.
func newBenchReopen() *cobra.Command {
	return &cobra.Command{Use: "bench-reopen DIR|URL", Hidden: true, Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		var store journal.Store
		var err error
		start := time.Now()
		if strings.HasPrefix(args[0], "postgres") {
			store, err = postgres.Open(ctx, postgres.Config{URL: args[0], Fleet: true, Node: journal.NodeSpec{Workers: 64}})
		} else {
			store, err = sqlite.Open(ctx, sqlite.Config{Dir: args[0]})
		}
		if err != nil {
			return err
		}
		f := figures{"restart_s": time.Since(start).Seconds(), "rss_mb": residentMB()}
		var woken []time.Duration
		for i := range 100 {
			id := decouple.RunID(fmt.Sprintf("r%06d", (i*997)%parkedRuns))
			start = time.Now()
			if _, err := store.Commit(ctx, journal.Mutation{ID: decouple.CommitID("wake/" + id), Stream: decouple.RunStream(decouple.LocalTenant, id), Put: []journal.Put{{To: id, Kind: "signal", From: "bench", Body: []byte(`1`)}}}); err != nil {
				return err
			}
			c, err := store.Claim(ctx, journal.Want{})
			if err != nil || c.Run.ID != id {
				return fmt.Errorf("run %s was woken, and %s was claimed: %w", id, c.Run.ID, err)
			}
			woken = append(woken, time.Since(start))
		}
		f["wake_p50_ms"], f["wake_p99_ms"] = micros(percentile(woken, 50))/1000, micros(percentile(woken, 99))/1000
		rows, err := store.Runs(ctx, journal.RunFilter{Status: []decouple.RunStatus{decouple.RunParked}})
		if err != nil {
			return err
		}
		f["parked"] = float64(len(rows) + len(woken))
		if err := store.Close(); err != nil {
			return err
		}
		return json.NewEncoder(cmd.OutOrStdout()).Encode(f)
	}}
}

const (
	benchDocs     = 5000
	benchDocBytes = 10_300
)

// words is a made vocabulary in which, as in real text, a word's frequency falls with its rank.
type words struct {
	r    *rand.Rand
	zipf *rand.Zipf
	all  []string
}

func newWords() *words {
	w := &words{r: rand.New(rand.NewPCG(1, 2))}
	syllables := strings.Fields("ba co da el fi go hu in jo ka lo me nu or pa qui ro su ta un ve wi xa yo ze tra ble ment tion er")
	seen := map[string]bool{}
	for len(w.all) < 20_000 {
		s := ""
		for range 2 + w.r.IntN(3) {
			s += syllables[w.r.IntN(len(syllables))]
		}
		if !seen[s] {
			seen[s] = true
			w.all = append(w.all, s)
		}
	}
	w.zipf = rand.NewZipf(w.r, 1.1, 4, uint64(len(w.all)-1))
	return w
}

func (w *words) word() string { return w.all[w.zipf.Uint64()] }

func (w *words) document() string {
	var b strings.Builder
	for section := 1; b.Len() < benchDocBytes; section++ {
		fmt.Fprintf(&b, "## %s %s\n\n", w.word(), w.word())
		for range 4 {
			for range 4 {
				for i := range 14 {
					if i > 0 {
						b.WriteByte(' ')
					}
					b.WriteString(w.word())
				}
				b.WriteString(". ")
			}
			b.WriteString("\n\n")
		}
	}
	return b.String()
}

// benchNotes indexes the documents and gives the base they are in.
func benchNotes(ctx context.Context, dir string) (*knowledge.Base, figures, func(), error) {
	docs := filepath.Join(dir, "docs")
	if err := os.Mkdir(docs, 0o755); err != nil {
		return nil, nil, nil, err
	}
	w := newWords()
	bytes := 0
	for i := range benchDocs {
		text := w.document()
		bytes += len(text)
		if err := os.WriteFile(filepath.Join(docs, fmt.Sprintf("%04d.md", i)), []byte(text), 0o644); err != nil {
			return nil, nil, nil, err
		}
	}
	store, err := sqlite.Open(ctx, sqlite.Config{Dir: filepath.Join(dir, "data")})
	if err != nil {
		return nil, nil, nil, err
	}
	base, err := knowledge.Open(ctx, knowledge.Config{Source: store, Writer: store, Index: filepath.Join(dir, "data", "notes.db")})
	if err != nil {
		store.Close()
		return nil, nil, nil, err
	}
	shut := func() { base.Close(); store.Close() }
	start, used := time.Now(), cpu()
	sum, err := base.Add(ctx, knowledge.Request{Actor: decouple.Actor{Kind: decouple.ActorSystem, ID: "bench"}, Paths: []string{docs}})
	if err != nil {
		shut()
		return nil, nil, nil, err
	}
	f := figures{"documents": float64(sum.Added), "mb": float64(bytes) / 1e6, "index_s": time.Since(start).Seconds(), "cpu_s": (cpu() - used).Seconds()}
	return base, f, shut, nil
}

func benchIndex(ctx context.Context, at place) (figures, error) {
	dir := at.dir
	_, f, shut, err := benchNotes(ctx, dir)
	if err != nil {
		return nil, err
	}
	shut()
	return f, nil
}

func benchQuery(ctx context.Context, at place) (figures, error) {
	dir := at.dir
	base, f, shut, err := benchNotes(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer shut()
	w := newWords()
	var took []time.Duration
	for range 300 {
		query := strings.Join([]string{w.word(), w.word(), w.word(), w.all[w.r.IntN(len(w.all))]}, " ")
		start := time.Now()
		if _, err := base.Search(ctx, decouple.Sources{}, decouple.SearchArgs{Query: query}); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	f["query_p50_ms"], f["query_p99_ms"] = micros(percentile(took, 50))/1000, micros(percentile(took, 99))/1000
	return f, nil
}
