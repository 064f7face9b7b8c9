package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
)

// noModel answers at once: a tool call in each step but the last; agents named "node" spawn children of their own in the step before the last.
type noModel struct {
	steps, fanOut, depth int
	arrived              func(decouple.Request) // told when a request arrives
	left                 func(decouple.Request) // and when its answer leaves
}

// Price is zero: nothing is sent anywhere.
func (m noModel) Price(string) decouple.Price { return decouple.Price{Known: true, Local: true} }

// Answer plays the step that the request is for.
func (m noModel) Answer(_ context.Context, req decouple.Request) (decouple.Answer, error) {
	if m.arrived != nil {
		m.arrived(req)
	}
	a := decouple.Answer{Model: "none", Finish: decouple.FinishTools, Usage: decouple.Usage{TokensIn: 1, TokensOut: 1}}
	a.Message.Role = decouple.Assistant
	switch {
	case req.Step >= m.steps:
		a.Finish = decouple.FinishStop
		a.Message.Parts = []decouple.Part{{Text: "done"}}
	case req.Step == m.steps-1 && req.Run.Depth() < m.depth:
		for i := range m.fanOut {
			a.Message.Parts = append(a.Message.Parts, toolCall(i, decouple.ToolSpawn, fmt.Sprintf(`{"agent":"node","task":{"question":"%s.%d"}}`, req.Run, i+1)))
		}
	default:
		a.Message.Parts = []decouple.Part{toolCall(0, noTool{}.Spec().Name, `{"n":`+strconv.Itoa(req.Step)+`}`)}
	}
	if m.left != nil {
		m.left(req)
	}
	return a, nil
}

func toolCall(i int, name, args string) decouple.Part {
	return decouple.Part{Call: &decouple.ToolCall{ID: "c" + strconv.Itoa(i), Name: name, Args: json.RawMessage(args)}}
}

// noTool does nothing.
type noTool struct{}

// Spec describes it.
func (noTool) Spec() decouple.ToolSpec {
	return decouple.ToolSpec{Name: "none", Description: "does nothing", Params: json.RawMessage(`{"type":"object"}`), Effect: decouple.EffectNone}
}

// Do does nothing.
func (noTool) Do(context.Context, decouple.Invocation) (decouple.Outcome, error) {
	return decouple.Outcome{Text: "ok"}, nil
}

// bed is a journal and an engine in a folder.
type bed struct {
	dir     string
	store   journal.Store
	address string // of a shared journal
	stats   func() (commits, transactions, syncs int64)
	again   func() (log, error) // opens the journal for reading
	engine  *engine.Engine
	nodes   []*engine.Engine // that share the work, beside engine
	done    func() error     // closes what newBed has opened
	start   time.Time
	cpu     time.Duration
	server  time.Duration // processor time of the database's server
	pids    func() []int
}

func newBed(ctx context.Context, at place, m engine.Model, watch func(engine.Signal)) (*bed, error) {
	if at.url != "" {
		return newSharedBed(ctx, at, m, watch)
	}
	store, err := sqlite.Open(ctx, sqlite.Config{Dir: at.dir})
	if err != nil {
		return nil, err
	}
	if err := warm(ctx, store); err != nil {
		store.Close()
		return nil, err
	}
	e, err := benchEngine(store, m, watch)
	return &bed{
		dir: at.dir, store: store, engine: e, stats: store.Stats, done: store.Close, pids: func() []int { return nil },
		again: func() (log, error) { return sqlite.OpenReader(ctx, at.dir) },
	}, err
}

func benchEngine(store journal.Store, m engine.Model, watch func(engine.Signal)) (*engine.Engine, error) {
	return engine.New(engine.Config{
		Store: store, Model: m, Tools: []decouple.Tool{noTool{}}, Workers: 256, Watch: watch,
		Agents: []decouple.Agent{{Name: "node", Version: "bench", Tools: []string{"none"}, Agents: []decouple.AgentName{"node"}}},
	})
}

// warm brings the write-ahead log to the size at which it is used over and over, as in any store that has been at work for some seconds: while a file grows, each sync
// also writes its new size.
func warm(ctx context.Context, store *sqlite.Store) error {
	noise := rand.New(rand.NewPCG(1, 1))
	for range 16 {
		b := make([]byte, journal.ChunkSize-1)
		for i := 0; i+8 <= len(b); i += 8 {
			binary.LittleEndian.PutUint64(b[i:], noise.Uint64())
		}
		if _, err := store.PutBlob(ctx, decouple.LocalTenant, "", bytes.NewReader(b)); err != nil {
			return err
		}
	}
	return store.Checkpoint(ctx)
}

// begin makes n root runs and starts the clocks.
func (b *bed) begin(ctx context.Context, n int) error {
	for i := range n {
		if _, err := b.engine.Start(ctx, engine.Start{Agent: "node", Task: decouple.Task{Question: "run " + strconv.Itoa(i)}}); err != nil {
			return err
		}
	}
	b.start, b.cpu, b.server = time.Now(), cpu(), cpuOf(b.pids())
	return nil
}

// finish drives everything to its end, closes the store, and counts what a reader finds after reopening.
func (b *bed) finish(ctx context.Context) (figures, error) {
	c0, t0, s0 := b.stats()
	var others sync.WaitGroup
	helping, stop := context.WithCancel(ctx)
	for _, n := range b.nodes {
		others.Go(func() { _ = n.Serve(helping) }) // what it cannot do the first node does
	}
	_, err := b.engine.Drive(ctx, decouple.LocalTenant, "")
	wall, used, server := time.Since(b.start), cpu()-b.cpu, cpuOf(b.pids())-b.server
	c1, t1, s1 := b.stats()
	stop()
	others.Wait()
	log, rerr := b.again()
	if rerr != nil {
		return nil, errors.Join(err, rerr, b.done())
	}
	agents, steps, rerr := recount(ctx, log)
	if err = errors.Join(err, rerr, log.Close(), b.done()); err != nil {
		return nil, err
	}
	used += server
	return figures{
		"server_cpu_s": server.Seconds(), "wall_s": wall.Seconds(), "agents": float64(agents), "steps": float64(steps), "steps_per_s": float64(steps) / wall.Seconds(),
		"cpu_ms_per_step": used.Seconds() * 1000 / float64(steps), "commits": float64(c1 - c0), "transactions": float64(t1 - t0), "syncs": float64(s1 - s0),
	}, nil
}

// recount reads from the journal how many runs have ended as they should and how many steps they made.
func recount(ctx context.Context, r log) (agents, steps int, err error) {
	rows, err := r.Runs(ctx, journal.RunFilter{})
	for _, row := range rows {
		if row.Cause.Kind != decouple.CauseDone {
			return 0, 0, decouple.Errorf(decouple.Internal, "run %s ended as %s: %s", row.ID, row.Cause.Kind, row.Cause.Why)
		}
		agents++
		steps += row.Steps
	}
	return agents, steps, err
}

func benchSteps(ctx context.Context, at place) (figures, error) {
	const warm, steps = 100, 1100
	var seen []time.Time
	b, err := newBed(ctx, at, noModel{steps: steps, depth: -1}, func(s engine.Signal) {
		if s.Kind == engine.SignalStep {
			seen = append(seen, s.Time)
		}
	})
	if err != nil {
		return nil, err
	}
	if err := b.begin(ctx, 1); err != nil {
		return nil, err
	}
	f, err := b.finish(ctx)
	if err != nil {
		return nil, err
	}
	var took []time.Duration
	for i := warm + 1; i < len(seen); i++ {
		took = append(took, seen[i].Sub(seen[i-1]))
	}
	f["step_p50_us"], f["step_p99_us"] = micros(percentile(took, 50)), micros(percentile(took, 99))
	return f, nil
}

func benchTree(ctx context.Context, at place) (figures, error) {
	return benchRuns(ctx, at, noModel{steps: 3, fanOut: 3, depth: 5}, 1)
}

func benchThroughput(ctx context.Context, at place) (figures, error) {
	return benchRuns(ctx, at, noModel{steps: 10, depth: -1}, 200)
}

// benchRuns drives n root runs at once to their ends.
func benchRuns(ctx context.Context, at place, m noModel, n int) (figures, error) {
	b, err := newBed(ctx, at, m, nil)
	if err != nil {
		return nil, err
	}
	if err := b.begin(ctx, n); err != nil {
		return nil, err
	}
	return b.finish(ctx)
}

func benchLoop(ctx context.Context, at place) (figures, error) {
	var mu sync.Mutex
	var took []time.Duration
	var left time.Time
	m := noModel{steps: 600, depth: -1}
	m.left = func(decouple.Request) { left = time.Now() }
	m.arrived = func(r decouple.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Step > 50 {
			took = append(took, time.Since(left))
		}
	}
	b, err := newBed(ctx, at, m, nil)
	if err != nil {
		return nil, err
	}
	if err := b.begin(ctx, 1); err != nil {
		return nil, err
	}
	f, err := b.finish(ctx)
	if err != nil {
		return nil, err
	}
	f["loop_p50_us"], f["loop_p99_us"] = micros(percentile(took, 50)), micros(percentile(took, 99))
	return f, nil
}
