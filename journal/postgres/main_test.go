package postgres_test

import (
	"os"
	"sync"
	"testing"
	"time"

	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/journaltest"
	"decouple.dev/decouple/journal/postgres"
	"decouple.dev/decouple/journal/postgres/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// TestSuite runs what every store must pass; a folder of the suite stands for a database.
func TestSuite(t *testing.T) {
	pgtest.Shared(t)
	journaltest.Run(t, (&databases{}).open)
}

// TestArchive runs what every store must do that is dumped and restored.
func TestArchive(t *testing.T) {
	pgtest.Shared(t)
	d := &databases{}
	journaltest.Archive(t, d.open, func(t *testing.T, dir string) journal.Restorer {
		t.Helper()
		r, err := postgres.OpenRestorer(t.Context(), d.of(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		return r
	})
}

// databases are those that stand for folders.
type databases struct {
	mu   sync.Mutex
	urls map[string]string
}

func (d *databases) of(t *testing.T, dir string) string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.urls == nil {
		d.urls = map[string]string{}
	}
	if d.urls[dir] == "" {
		d.urls[dir] = pgtest.Database(t)
	}
	return d.urls[dir]
}

// open opens one of them under a lease that a slow machine does not lose by being slow: the suite speaks of leases that end because somebody ends them.
func (d *databases) open(t *testing.T, dir string) journal.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Config{URL: d.of(t, dir), Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
