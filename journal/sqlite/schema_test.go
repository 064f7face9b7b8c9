package sqlite_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	_ "modernc.org/sqlite"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
)

var update = flag.Bool("update", false, "write testdata/schema for the present version anew; those of earlier versions never change")

// Each folder of testdata/schema is a journal as a program of that schema version left it: journal.sql rebuilds its database, journal.mark is
// its mark, and want.json is what must be read from it for ever.
const schemas = "testdata/schema"

// TestSchemas opens the journal of every schema version there was.
func TestSchemas(t *testing.T) {
	t.Parallel()
	present := version(t)
	if *update {
		writeSchema(t, filepath.Join(schemas, strconv.Itoa(present)))
	}
	for n := 1; n <= present; n++ {
		t.Run(fmt.Sprint("version ", n), func(t *testing.T) {
			t.Parallel()
			kept := filepath.Join(schemas, strconv.Itoa(n))
			dir := rebuild(t, kept)
			for _, when := range []string{"after the migration", "after that"} {
				sees(t, when, dir, kept)
			}
		})
	}
	if entries, err := os.ReadDir(schemas); err != nil || len(entries) != present {
		t.Errorf("%s has %d folders, %v, and there are %d versions: run -run 'TestSchemas$' -update when there is a new one", schemas, len(entries), err, present)
	}
}

// TestSchemaUnchanged demands that a fresh journal has the very tables that testdata holds for the present version.
func TestSchemaUnchanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	kept := rebuild(t, filepath.Join(schemas, strconv.Itoa(version(t))))
	if diff := cmp.Diff(tables(t, kept), tables(t, dir)); diff != "" {
		t.Errorf("the tables of a released version never change: write a migration (-kept +made):\n%s", diff)
	}
}

// TestSchemaOfTheFuture opens a journal that a newer program has migrated.
func TestSchemaOfTheFuture(t *testing.T) {
	t.Parallel()
	present := version(t)
	dir := rebuild(t, filepath.Join(schemas, strconv.Itoa(present)))
	db := raw(t, dir)
	if _, err := db.Exec(fmt.Sprint("pragma user_version = ", present+1)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	_, readErr := sqlite.OpenReader(t.Context(), dir)
	for _, err := range []error{err, readErr} {
		if decouple.KindOf(err) != decouple.Invalid || !strings.Contains(err.Error(), "version") {
			t.Errorf("a journal of schema version %d: %v, want invalid and a word on versions", present+1, err)
		}
	}
}

// raw opens the database of a folder as it is.
func raw(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, dbFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// version is the schema version of a fresh journal.
func version(t *testing.T) int {
	t.Helper()
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	var v int
	if err := raw(t, dir).QueryRow("pragma user_version").Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// texts is the first column of a query.
func texts(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// tables is how the tables of a folder's database were made.
func tables(t *testing.T, dir string) []string {
	t.Helper()
	return texts(t, raw(t, dir), "select sql from sqlite_schema where sql is not null order by rowid")
}

// rebuild makes a folder from a kept one.
func rebuild(t *testing.T, kept string) string {
	t.Helper()
	dir := t.TempDir()
	script, err := os.ReadFile(filepath.Join(kept, "journal.sql"))
	if err != nil {
		t.Fatal(err)
	}
	db := raw(t, dir)
	if _, err := db.Exec(string(script)); err != nil {
		t.Fatalf("%s: %v", kept, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	mark, err := os.ReadFile(filepath.Join(kept, markFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, markFile), mark, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// seen is what must be read from a kept journal.
type seen struct {
	Head  decouple.Position
	Log   []decouple.Event
	Runs  []journal.RunRow
	Inbox map[decouple.RunID][]journal.Message
	Blobs map[decouple.BlobID]string
}

// sees compares a folder with want.json.
func sees(t *testing.T, when, dir, kept string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(kept, "want.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want seen
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	got, err := look(t.Context(), s, slices.Sorted(maps.Keys(want.Blobs)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s, %s (-want +got):\n%s", kept, when, diff)
	}
	sound(t, dir)
}

func look(ctx context.Context, s *sqlite.Store, blobs []decouple.BlobID) (w seen, err error) {
	w = seen{Inbox: map[decouple.RunID][]journal.Message{}, Blobs: map[decouple.BlobID]string{}}
	if w.Head, err = s.Head(ctx); err != nil {
		return w, err
	}
	if w.Log, err = s.Scan(ctx, journal.Filter{}); err != nil {
		return w, err
	}
	if w.Runs, err = s.Runs(ctx, journal.RunFilter{}); err != nil {
		return w, err
	}
	for _, r := range w.Runs {
		if w.Inbox[r.ID], err = s.Inbox(ctx, r.Tenant, r.ID); err != nil {
			return w, err
		}
	}
	for _, id := range blobs {
		rc, err := s.GetBlob(ctx, tenant, id)
		if err != nil {
			return w, err
		}
		b, err := io.ReadAll(rc)
		if err != nil {
			return w, err
		}
		w.Blobs[id] = string(b)
	}
	return w, nil
}

// writeSchema keeps a small journal of the present version.
func writeSchema(t *testing.T, kept string) {
	t.Helper()
	dir := t.TempDir()
	s := open(t, dir)
	blob, err := s.PutBlob(t.Context(), tenant, "subject", strings.NewReader("a blob"))
	if err != nil {
		t.Fatal(err)
	}
	root := newRun("r", `{"n":1}`)
	root.Label, root.Run.IdempotencyKey, root.Run.Labels, root.Run.Priority = "what is it?", "key", []string{"eu"}, 3
	sending := journal.Mutation{ID: "sends", Stream: note("n"), Events: []journal.NewEvent{event(`"ü"`), event(`{}`)}, Pin: []decouple.BlobID{blob.ID}}
	for _, from := range []string{"a", "b"} {
		sending.Put = append(sending.Put, journal.Put{To: "r", Kind: "joined", From: from, Body: []byte(`{"from":"` + from + `"}`)})
	}
	for _, m := range []journal.Mutation{
		{ID: "creates", Create: []journal.NewRun{root, newRun("r.1", `{"n":2}`)}},
		sending,
		{ID: "parks", Stream: decouple.RunStream(tenant, "r"), Expect: 1, Events: []journal.NewEvent{event(`{"n":3}`)}, Consume: 1, Status: &journal.StatusChange{
			Status: decouple.RunParked, Wait: decouple.Wait{Kind: decouple.WaitPerson, For: "yes"}, Seen: 2, Until: 4, Steps: 5, Usage: decouple.Usage{TokensIn: 6, Cost: 7},
		}},
	} {
		if _, err := s.Commit(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	w, err := look(t.Context(), s, []decouple.BlobID{blob.ID})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want, err := json.MarshalIndent(w, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	mark, err := os.ReadFile(filepath.Join(dir, markFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(kept, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"journal.sql": []byte(dump(t, raw(t, dir))), markFile: mark, "want.json": append(want, '\n')} {
		if err := os.WriteFile(filepath.Join(kept, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// dump is a script that rebuilds a database.
func dump(t *testing.T, db *sql.DB) string {
	t.Helper()
	script := texts(t, db, "select sql from sqlite_schema where sql is not null order by rowid")
	for _, table := range texts(t, db, "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%' order by rowid") {
		columns := texts(t, db, "select 'quote(' || name || ')' from pragma_table_info('"+table+"')")
		script = append(script, texts(t, db, fmt.Sprintf("select 'insert into %s values (' || concat_ws(', ', %s) || ')' from %s", table, strings.Join(columns, ", "), table))...)
	}
	version := texts(t, db, "pragma user_version")
	return strings.Join(append(script, "pragma user_version = "+version[0]), ";\n") + ";\n"
}
