package pgtest_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"decouple.dev/decouple/journal/postgres/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// query gives one number.
func query(t *testing.T, url, q string) (int, error) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close(context.WithoutCancel(t.Context())) }()
	var n int
	err = c.QueryRow(t.Context(), q).Scan(&n)
	return n, err
}

func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	a, b := pgtest.Database(t), pgtest.Database(t)
	if _, err := query(t, a, "with x as (select 1 as n) select n from x"); err != nil {
		t.Fatal(err)
	}
	c, err := pgx.Connect(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), "create table x (n int); insert into x values (3)", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	_ = c.Close(t.Context())
	if _, err := query(t, b, "select n from x"); err == nil {
		t.Fatal("a table of one database is seen in another")
	}
}

// TestStandby loses a primary at once and goes on with what its standby has.
func TestStandby(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "standby")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	primary, err := pgtest.Start(t.Context(), filepath.Join(dir, "primary"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(primary.Kill)
	standby, err := primary.Standby(t.Context(), filepath.Join(dir, "standby"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standby.Kill)
	c, err := pgx.Connect(t.Context(), primary.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(t.Context())) }()
	for _, q := range []string{"create table x (n int)", "insert into x values (7)"} {
		if _, err := c.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	primary.Kill()
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := query(t, standby.URL("postgres"), "select n from x"); err != nil || n != 7 {
		t.Fatalf("after the primary's death: %d, %v", n, err)
	}
}
