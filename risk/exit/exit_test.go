package exit_test

import (
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/risk/exit"
)

// TestRoundTrip carries an installation from store to store and has it go on there.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ from, to bool }{"SQLite to SQLite": {}, "SQLite to PostgreSQL": {to: true}, "PostgreSQL to SQLite": {from: true}, "PostgreSQL to PostgreSQL": {from: true, to: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newPlace(t, c.from).open()
			w := build(t, store)
			path, s := bundle(t, store.(exit.Log))
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			to := newPlace(t, c.to)
			p := imported(t, path, to)
			if p.Folds["run"] != 7 || p.Folds["notes"] != 1 || p.Folds["usage"] != 1 || p.Folds["keys"] != 1 || p.Folds["stream"] < 5 || p.Counts.Events != s.Manifest.Counts.Events {
				t.Errorf("the proof is %+v", p)
			}
			goOn(t, to.open(), w)
		})
	}
}

// imported verifies a bundle and imports it.
func imported(t *testing.T, path string, to place) exit.Proof {
	t.Helper()
	b, err := exit.Open(t.Context(), path, key(t).Public(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Check(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	r := to.restorer()
	p, err := b.Import(t.Context(), r, config(t, nil))
	if err := errors.Join(err, b.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	return p
}

// goOn has the parked runs of a world end after their import: one is approved, one gets its signal, one still sleeps for its hour.
func goOn(t *testing.T, store journal.Store, w world) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	e := newEngine(t, store)
	served := make(chan error, 1)
	go func() { served <- e.Serve(ctx) }()
	list, err := engine.Approvals(ctx, store, decouple.LocalTenant, "")
	if err != nil || len(list) != 1 || list[0].Run != w.runs["pay"] {
		t.Fatalf("waiting are %+v %v", list, err)
	}
	if err := e.Decide(ctx, engine.Decision{Run: list[0].Run, Call: list[0].Call, Approve: true, By: decouple.Actor{Kind: decouple.ActorPerson, ID: "bob"}}); err != nil {
		t.Fatal(err)
	}
	if err := e.Deliver(ctx, engine.Delivery{Run: w.runs["signal"], Name: "go"}); err != nil {
		t.Fatal(err)
	}
	open := map[decouple.RunID]bool{w.runs["pay"]: true, w.runs["signal"]: true}
	enough := errors.New("all have ended")
	err = store.Follow(ctx, 0, func(ev decouple.Event) error {
		if id := decouple.RunID(ev.Stream.ID); ev.Kind == "run.ended" && open[id] {
			if delete(open, id); len(open) == 0 {
				return enough
			}
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	for _, q := range []string{"pay", "signal"} {
		if s, err := engine.Load(ctx, store, decouple.LocalTenant, w.runs[q]); err != nil || s.Cause.Kind != decouple.CauseDone {
			t.Errorf("%s ended as %+v %v", q, s.Cause, err)
		}
	}
	rows, err := store.Runs(ctx, journal.RunFilter{ID: w.runs["sleepy"]})
	if err != nil || len(rows) != 1 || rows[0].Status != decouple.RunParked || rows[0].Wake.IsZero() {
		t.Errorf("the run that sleeps is %+v %v", rows, err)
	}
	// The same key starts no second run.
	if id, err := e.Start(ctx, engine.Start{Agent: "node", Task: decouple.Task{Question: "small"}, Key: "key of small", Labels: []string{"internal"}}); err != nil || id != w.runs["small"] {
		t.Errorf("started again: %s and not %s: %v", id, w.runs["small"], err)
	}
	stop()
	<-served
}

// TestImportRefuses imports into an empty installation only.
func TestImportRefuses(t *testing.T) {
	t.Parallel()
	from := newPlace(t, false)
	store := from.open()
	build(t, store)
	path, _ := bundle(t, store.(exit.Log))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := exit.Open(t.Context(), path, key(t).Public(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	if _, err := b.Import(t.Context(), from.restorer(), config(t, nil)); decouple.KindOf(err) != decouple.Conflict {
		t.Errorf("an import over a journal: %v", err)
	}
	if _, err := exit.Write(t.Context(), path, config(t, nil)); decouple.KindOf(err) != decouple.Conflict {
		t.Errorf("a bundle over a file: %v", err)
	}
}

// TestInterrupted cancels an import at many points, and then imports again: nothing half-done is in use, and the second one is whole.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	store := newPlace(t, false).open()
	build(t, store)
	path, _ := bundle(t, store.(exit.Log))
	to := newPlace(t, false)
	for after := 1; after <= 60; after += 10 {
		ctx, stop := context.WithCancel(t.Context())
		b, err := exit.Open(t.Context(), path, key(t).Public(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r := to.restorer()
		_, err = b.Import(ctx, countdown{r, &after, stop}, config(t, nil))
		if err == nil {
			t.Fatalf("an import that was canceled after %d records succeeded", after)
		}
		if err := errors.Join(r.Close(), b.Close()); err != nil {
			t.Fatal(err)
		}
		if head := headOf(t, to); head != 0 {
			t.Fatalf("a canceled import left %d events", head)
		}
	}
	imported(t, path, to)
}

// countdown cancels when so many records were read.
type countdown struct {
	exit.Store
	n    *int
	stop context.CancelFunc
}

// Restore reads a number of records.
func (c countdown) Restore(ctx context.Context, id string, records iter.Seq2[journal.Record, error]) error {
	return c.Store.Restore(ctx, id, func(yield func(journal.Record, error) bool) {
		n := 0
		records(func(r journal.Record, err error) bool {
			if n++; n == *c.n {
				c.stop()
			}
			return yield(r, err)
		})
	})
}

func headOf(t *testing.T, p place) decouple.Position {
	t.Helper()
	r := p.restorer()
	head, err := r.Head(t.Context())
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return head
}

// TestUnprovenStaysOut has the proof fail: what was restored is not put to use.
func TestUnprovenStaysOut(t *testing.T) {
	t.Parallel()
	store := newPlace(t, false).open()
	build(t, store)
	path, _ := bundle(t, store.(exit.Log))
	to := newPlace(t, false)
	b, err := exit.Open(t.Context(), path, key(t).Public(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	r := to.restorer()
	if _, err := b.Import(t.Context(), forgetful{r}, config(t, nil)); decouple.KindOf(err) != decouple.Internal {
		t.Errorf("a store that forgets a run is equal: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(to.dir, "journal.db")); err != nil {
		t.Fatal(err)
	}
	imported(t, path, to) // the same bundle goes on where it was
	_ = to.open()
}

// forgetful is a store whose dump lacks a run.
type forgetful struct{ exit.Store }

// Dump forgets the first run.
func (f forgetful) Dump(ctx context.Context, fn func(journal.Record) error) error {
	seen := false
	return f.Store.Dump(ctx, func(r journal.Record) error {
		if r.Run != nil && !seen {
			seen = true
			return nil
		}
		return fn(r)
	})
}
