package postgres_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/postgres"
	"decouple.dev/decouple/journal/postgres/pgtest"
)

var update = flag.Bool("update", false, "write testdata/schema for the present version anew; those of earlier versions never change")

// seen is what must be read from a database of any version for ever. Each N.sql of testdata/schema is a database as a program of schema version N left it, and N.json
// what was in it.
type seen struct {
	Events []decouple.Event
	Rows   []journal.RunRow
	Inbox  []journal.Message
	Blob   string
}

// look reads all that a fixture holds.
func look(t *testing.T, r journal.Reader, blob decouple.BlobID) seen {
	t.Helper()
	ctx := t.Context()
	var s seen
	var err error
	fine := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Events, err = r.Scan(ctx, journal.Filter{Tenant: tenant})
	fine(err)
	s.Rows, err = r.Runs(ctx, journal.RunFilter{Tenant: tenant})
	fine(err)
	s.Inbox, err = r.Inbox(ctx, tenant, "b")
	fine(err)
	body, err := r.GetBlob(ctx, tenant, blob)
	fine(err)
	b, err := io.ReadAll(body)
	fine(err)
	s.Blob = string(b)
	return s
}

// blobIn is the blob that the first event of run b names.
func blobIn(events []decouple.Event) decouple.BlobID {
	for _, e := range events {
		var p struct{ Blob decouple.BlobID }
		if json.Unmarshal(e.Payload, &p) == nil && p.Blob != "" {
			return p.Blob
		}
	}
	return ""
}

// TestSchemas upgrades a database of every schema version there was, reads all of it, and goes on with it.
func TestSchemas(t *testing.T) {
	t.Parallel()
	const dir = "testdata/schema"
	present := 0
	for version := 1; ; version++ {
		kept := filepath.Join(dir, fmt.Sprint(version))
		sql, err := os.ReadFile(kept + ".sql")
		if err != nil {
			break
		}
		present = version
		b, err := os.ReadFile(kept + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var want seen
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		url := pgtest.Database(t)
		c, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exec(t.Context(), string(sql), pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", kept, err)
		}
		_ = c.Close(t.Context())
		for _, when := range []string{"after the upgrade", "after that"} {
			s := open(t, url, nil)
			if d := cmp.Diff(want, look(t, s, blobIn(want.Events))); d != "" {
				t.Errorf("version %d, %s: %s", version, when, d)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		s := open(t, url, nil)
		c2 := claim(t, s, journal.Want{Root: "c"})
		commit(t, s, journal.Mutation{Stream: decouple.RunStream(tenant, c2.Run.ID), Expect: c2.Seq, Epoch: c2.Epoch, Events: []journal.NewEvent{event(9)},
			Status: &journal.StatusChange{Status: decouple.RunEnded, Cause: decouple.Cause{Kind: decouple.CauseDone}}})
		if again := commit(t, s, journal.Mutation{ID: "fixture-1", Stream: decouple.RunStream(tenant, "a"), Events: []journal.NewEvent{event(1)}}); !again.Repeated {
			t.Errorf("version %d: a commit from before the upgrade is not recognised", version)
		}
	}
	if *update {
		writeFixture(t, filepath.Join(dir, fmt.Sprint(version(t))))
	}
	if v := version(t); v != present && !*update {
		t.Errorf("the schema has version %d, and the newest in %s is %d: run -run 'TestSchemas$' -update when there is a new one", v, dir, present)
	}
}

// version is the schema's that this program makes.
func version(t *testing.T) int {
	t.Helper()
	url := pgtest.Database(t)
	_ = open(t, url, nil).Close()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	var v int
	if err := c.QueryRow(t.Context(), "select max(version) from decouple_schema").Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// writeFixture makes a database with something of everything and keeps it.
func writeFixture(t *testing.T, kept string) {
	t.Helper()
	url := pgtest.Database(t)
	s := open(t, url, nil)
	ctx := t.Context()
	a, b, c := newRun("a"), newRun("b"), newRun("c")
	a.Run.Labels, a.Run.Site, a.Run.Priority, a.Run.IdempotencyKey, a.Run.Deadline = []string{"x", "y"}, decouple.Site{Cloud: "k", Labels: []string{"gpu"}}, 3, "key", time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	a.Label = "what is a?"
	commit(t, s, journal.Mutation{ID: "fixture-1", Create: []journal.NewRun{a}})
	blob, err := s.PutBlob(ctx, tenant, "", strings.NewReader(strings.Repeat("long ", 100)))
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, journal.Mutation{Create: []journal.NewRun{b, c}})
	got := claim(t, s, journal.Want{Root: "b"})
	commit(t, s, journal.Mutation{Stream: decouple.RunStream(tenant, "b"), Expect: got.Seq, Epoch: got.Epoch, Pin: []decouple.BlobID{blob.ID},
		Events: []journal.NewEvent{{Kind: "test.happened", KindVersion: 2, Actor: decouple.Actor{Kind: decouple.ActorAgent, ID: "b"}, Payload: fmt.Appendf(nil, `{"blob":%q}`, blob.ID)}},
		Status: &journal.StatusChange{Status: decouple.RunParked, Wait: decouple.Wait{Kind: decouple.WaitPerson, For: "ada"}, Until: 9, Steps: 2, Usage: decouple.Usage{TokensIn: 5, TokensOut: 6, Cost: 7}}})
	commit(t, s, journal.Mutation{Stream: decouple.RunStream(tenant, "a"), Put: []journal.Put{{To: "b", Kind: "note", From: "a", Body: []byte(`{"n":1}`)}}})
	commit(t, s, journal.Mutation{Stream: decouple.Stream{Tenant: tenant, Kind: decouple.StreamNote, ID: "p1"}, Events: []journal.NewEvent{event(1), event(2)}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := postgres.OpenReader(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	want := look(t, r, blob.ID)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	j, err := json.MarshalIndent(want, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	dump, err := pgtest.Dump(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{".json": append(j, '\n'), ".sql": dump} {
		if err := os.WriteFile(kept+name, bytes.TrimLeft(content, "\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
