package sqlite_test

import (
	"errors"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/journaltest"
	"decouple.dev/decouple/journal/sqlite"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	journaltest.Run(t, func(t *testing.T, dir string) journal.Store {
		t.Helper()
		return open(t, dir)
	})
}

func TestArchive(t *testing.T) {
	t.Parallel()
	journaltest.Archive(t, func(t *testing.T, dir string) journal.Store { return open(t, dir) }, func(t *testing.T, dir string) journal.Restorer { return restorer(t, dir) })
}

func restorer(t *testing.T, dir string) *sqlite.Restorer {
	t.Helper()
	r, err := sqlite.OpenRestorer(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatalf("OpenRestorer: %v", err)
	}
	return r
}

// TestUnsettled holds everybody but restorers off a journal whose import was not finished, and demands that what is restored is sound.
func TestUnsettled(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), t.TempDir()
	s := open(t, from)
	if _, err := s.Commit(t.Context(), journal.Mutation{ID: "1", Create: []journal.NewRun{newRun("a", `{"a":1}`)}}); err != nil {
		t.Fatal(err)
	}
	r := restorer(t, to)
	if _, err := sqlite.Open(t.Context(), sqlite.Config{Dir: to}); decouple.KindOf(err) != decouple.Conflict {
		t.Errorf("a folder that is being restored is opened: %v", err)
	}
	err := r.Restore(t.Context(), "bundle", func(yield func(journal.Record, error) bool) {
		_ = s.Dump(t.Context(), func(x journal.Record) error {
			yield(x, nil)
			return nil
		})
	})
	if err := errors.Join(err, r.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Config{Dir: to}); decouple.KindOf(err) != decouple.Conflict || !strings.Contains(err.Error(), "exit import") {
		t.Errorf("an import that was not finished is in use: %v", err)
	}
	if _, err := sqlite.OpenReader(t.Context(), to); decouple.KindOf(err) != decouple.Conflict {
		t.Errorf("an import that was not finished is read: %v", err)
	}
	r = restorer(t, to)
	if err := errors.Join(r.Settle(t.Context()), r.Close()); err != nil {
		t.Fatal(err)
	}
	sound(t, to)
	if err := open(t, to).Close(); err != nil {
		t.Fatal(err)
	}
}

// open opens a store for writing; the caller closes it.
func open(t *testing.T, dir string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}
