package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/postgres/pgtest"
	"decouple.dev/decouple/journal/sqlite"
)

// sample is an event as it was written, in testdata/history. A stream of another kind than run is named.
type sample struct {
	Stream  decouple.StreamKind `json:"stream,omitempty"`
	Run     string              `json:"run"` // the stream's id
	Seq     decouple.Seq        `json:"seq"`
	Kind    decouple.EventKind  `json:"kind"`
	Version int                 `json:"version"`
	Time    time.Time           `json:"time"`
	Payload json.RawMessage     `json:"payload"`
}

// kept are the kinds that have samples: every kind that was ever written.
var kept = []decouple.EventKind{
	"run.created", "model.answered", "model.lost", "tools.returned", "run.canceled", "run.interrupted", "run.ended", "calls.started", "call.failed", "call.doubted", "call.resolved",
	"approval.asked", "approval.decided", "timer.set", "signal.received", "input.received", "conversation.compacted", "agent.versioned", "agent.put", "schedule.begun", "schedule.fired", "request.answered",
	"contract.held", "contract.lifted",
}

var updateHistory = flag.String("update-history", "", "write a new history file of this name from what the tests do; those that are there are never changed")

// collected is what the tests have written that the histories shall have.
var collected struct {
	sync.Mutex
	kinds map[decouple.EventKind]int
	lines []sample
}

// TestMain writes a history if it is to.
func TestMain(m *testing.M) {
	flag.Parse()
	code := pgtest.Main(m)
	if *updateHistory != "" {
		var out bytes.Buffer
		for _, l := range collected.lines {
			b, err := json.Marshal(l)
			if err != nil {
				panic(err)
			}
			out.Write(append(b, '\n'))
		}
		if err := os.WriteFile(filepath.Join("testdata", "history", *updateHistory), out.Bytes(), 0o644); err != nil {
			panic(err)
		}
		fmt.Println("samples of", len(collected.kinds), "kinds")
	}
	os.Exit(code)
}

// collect keeps the trees of a store that have ended and hold a kind of which few samples are kept, and its agents and schedules.
func collect(store journal.Store) {
	if *updateHistory == "" {
		return
	}
	collected.Lock()
	defer collected.Unlock()
	if collected.kinds == nil {
		collected.kinds = map[decouple.EventKind]int{}
	}
	events, err := store.Scan(context.Background(), journal.Filter{Limit: 100_000})
	if err != nil {
		return
	}
	groups, open := map[string][]decouple.Event{}, map[string]int{}
	for _, e := range events {
		g := string(e.Stream.Kind) + "/" + e.Stream.ID
		if e.Stream.Kind == decouple.StreamRun {
			g = string(e.RootRun)
		}
		groups[g] = append(groups[g], e)
		switch e.Kind {
		case "run.created":
			open[g]++
		case "run.ended":
			open[g]--
		}
	}
	for g, es := range groups {
		wanted := open[g] == 0 && slices.ContainsFunc(es, func(e decouple.Event) bool {
			return collected.kinds[e.Kind] < 2 && (len(es) < 60 || e.Kind == "conversation.compacted" && collected.kinds[e.Kind] == 0) && !strings.Contains(string(e.Payload), `"blob":`)
		})
		if !wanted || len(es) > 250 || slices.ContainsFunc(es, func(e decouple.Event) bool { return strings.HasPrefix(string(e.Payload), `{"blob":`) }) {
			continue
		}
		for _, e := range es {
			collected.kinds[e.Kind]++
			l := sample{Run: e.Stream.ID, Seq: e.Seq, Kind: e.Kind, Version: e.KindVersion, Time: e.Time, Payload: e.Payload}
			if e.Stream.Kind != decouple.StreamRun {
				l.Stream = e.Stream.Kind
			}
			collected.lines = append(collected.lines, l)
		}
	}
}

// TestHistory replays journals of every kind of event that was ever written: each run folds to its end, each version of an agent and each schedule is read.
func TestHistory(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "history", "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no histories: %v", err)
	}
	kinds := map[decouple.EventKind]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		states := map[string]engine.State{}
		others := map[decouple.Stream][]sample{}
		for line := range bytes.Lines(b) {
			var e sample
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatal(err)
			}
			kinds[e.Kind] = true
			if e.Stream != "" {
				stream := decouple.Stream{Tenant: decouple.LocalTenant, Kind: e.Stream, ID: fmt.Sprint(e.Run, len(others))}
				if e.Seq > 1 {
					stream.ID = fmt.Sprint(e.Run, len(others)-1)
				}
				others[stream] = append(others[stream], e)
				continue
			}
			s, err := engine.Apply(states[e.Run], decouple.Event{Kind: e.Kind, KindVersion: e.Version, Seq: e.Seq, Time: e.Time, Payload: e.Payload})
			if err != nil {
				t.Fatalf("%s: run %s, event %d, %s: %v", f, e.Run, e.Seq, e.Kind, err)
			}
			states[e.Run] = s
		}
		for run, s := range states {
			if !s.Ended() {
				t.Errorf("%s: run %s does not end", f, run)
			}
		}
		replayOthers(t, f, others)
	}
	for _, k := range kept {
		if !kinds[k] {
			t.Errorf("no sample of %s", k)
		}
	}
	if _, err := engine.Apply(engine.State{}, decouple.Event{Kind: "run.created", KindVersion: 2}); decouple.KindOf(err) != decouple.Internal {
		t.Errorf("an unknown version: %v", err)
	}
	if _, err := engine.Apply(engine.State{}, decouple.Event{Kind: "run.flew", KindVersion: 1}); decouple.KindOf(err) != decouple.Internal {
		t.Errorf("an unknown kind: %v", err)
	}
}

// replayOthers reads agents and schedules as an engine does.
func replayOthers(t *testing.T, file string, streams map[decouple.Stream][]sample) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	for stream, events := range streams {
		m := journal.Mutation{ID: decouple.CommitID(stream.String()), Stream: stream}
		for _, e := range events {
			m.Events = append(m.Events, journal.NewEvent{Kind: e.Kind, KindVersion: e.Version, Actor: decouple.Actor{Kind: decouple.ActorSystem, ID: "test"}, Payload: e.Payload})
		}
		if _, err := store.Commit(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		switch stream.Kind {
		case decouple.StreamAgent:
			versions, err := engine.Versions(t.Context(), store, decouple.LocalTenant, decouple.AgentName(stream.ID))
			if err != nil || len(versions) != len(events) || versions[0].Name == "" {
				t.Errorf("%s: %s: %+v, %v", file, stream, versions, err)
			}
		case decouple.StreamRequest:
			again := journal.Mutation{ID: decouple.CommitID("again " + stream.ID), Stream: decouple.Stream{Tenant: "t", Kind: stream.Kind, ID: events[0].Run}, Events: m.Events}
			if _, err := store.Commit(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			if run, ok, err := engine.Answered(t.Context(), store, "t", events[0].Payload); err != nil || !ok || run == "" {
				t.Errorf("%s: %s: %s, %v, %v", file, stream, run, ok, err)
			}
		case decouple.StreamSchedule:
			if at, seq, err := engine.LastScheduled(t.Context(), store, stream); err != nil || at.IsZero() || seq == 0 {
				t.Errorf("%s: %s: %v %d %v", file, stream, at, seq, err)
			}
		}
	}
}
