package sqlite_test

import (
	"testing"

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

// open opens a store for writing; the caller closes it.
func open(t *testing.T, dir string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}
