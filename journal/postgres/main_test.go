package postgres_test

import (
	"os"
	"sync"
	"testing"

	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/journaltest"
	"decouple.dev/decouple/journal/postgres"
	"decouple.dev/decouple/journal/postgres/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// TestSuite runs what every store must pass; a folder of the suite stands for a database.
func TestSuite(t *testing.T) {
	var mu sync.Mutex
	urls := map[string]string{}
	pgtest.Shared(t)
	journaltest.Run(t, func(t *testing.T, dir string) journal.Store {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if urls[dir] == "" {
			urls[dir] = pgtest.Database(t)
		}
		s, err := postgres.Open(t.Context(), postgres.Config{URL: urls[dir]})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
