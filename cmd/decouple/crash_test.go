package main

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/knowledge"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/research"
)

// crashing is a store whose process is as good as dead after so many commits: nothing more gets through.
type crashing struct {
	journal.Store
	left *atomic.Int64
}

// Commit commits as long as the process lives.
func (c crashing) Commit(ctx context.Context, m journal.Mutation) (journal.Receipt, error) {
	if c.left.Add(-1) < 0 {
		return journal.Receipt{}, decouple.Errorf(decouple.Unavailable, "the process is dead")
	}
	return c.Store.Commit(ctx, m)
}

// alive is more commits than any test makes.
const alive = 1 << 40

// TestCrashAfterEveryCommit lets a research run die after its first commit, after its second, and so on to its last; resumed, each gives the report of the run that
// was not disturbed.
func TestCrashAfterEveryCommit(t *testing.T) {
	t.Parallel()
	want, commits := crashedAndResumed(t, alive)
	if commits < 15 {
		t.Fatalf("a run of %d commits is too little to disturb", commits)
	}
	for after := int64(1); after <= commits; after++ {
		if got, _ := crashedAndResumed(t, after); got != want {
			t.Errorf("dead after commit %d of %d, the report differs (-undisturbed +resumed):\n%s", after, commits, cmp.Diff(want, got))
		}
	}
	t.Logf("dead after each of %d commits", commits)
}

// crashedAndResumed starts a run, has it die after so many commits, resumes it in another process's place, and gives its report and how many commits were tried.
func crashedAndResumed(t *testing.T, after int64) (report string, commits int64) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	var left atomic.Int64
	left.Store(alive)
	id := decouple.RunID("")
	inProcess(t, dir, &left, func(o *owner) {
		sum, err := o.notes.Add(t.Context(), knowledge.Request{Paths: []string{"testdata/docs"}})
		if err != nil {
			t.Fatal(err)
		}
		left.Store(after)
		id, err = o.engine.Start(t.Context(), engine.Start{Agent: research.Lead, Task: decouple.Task{Question: killQuestion}, Sources: decouple.Sources{AsOf: sum.Position}})
		if err != nil {
			if left.Load() >= 0 {
				t.Fatal(err)
			}
			id = "" // it died before there was a run
			return
		}
		if _, err := o.engine.Drive(t.Context(), decouple.LocalTenant, id); err != nil && left.Load() >= 0 {
			t.Fatal(err)
		}
	})
	commits = after - left.Load()
	left.Store(alive)
	inProcess(t, dir, &left, func(o *owner) {
		var err error
		if id == "" {
			if id, err = o.engine.Start(t.Context(), engine.Start{Agent: research.Lead, Task: decouple.Task{Question: killQuestion}}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := o.engine.Resume(t.Context(), decouple.LocalTenant, id); err != nil {
			t.Fatal(err)
		}
		if _, err := o.engine.Drive(t.Context(), decouple.LocalTenant, id); err != nil {
			t.Fatal(err)
		}
		r, err := o.reports.Report(t.Context(), decouple.LocalTenant, id)
		if err != nil {
			t.Fatal(err)
		}
		text, err := r.JSON()
		if err != nil {
			t.Fatal(err)
		}
		report = comparable(t, text)
	})
	return report, commits
}

// inProcess plays a process: the rooms are plugged together over a store that may die, and closed at the end.
func inProcess(t *testing.T, dir string, left *atomic.Int64, do func(*owner)) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	o := &owner{dir: dir, store: crashing{store, left}}
	defer func() {
		if err := o.close(); err != nil {
			t.Error(err)
		}
	}()
	if o.contracts, err = registry.NewContracts(o.store); err != nil {
		t.Fatal(err)
	}
	if err := o.plug(t.Context(), plan{}); err != nil {
		t.Fatal(err)
	}
	do(o)
}
