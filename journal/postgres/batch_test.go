package postgres_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/postgres"
	"decouple.dev/decouple/journal/postgres/pgtest"
)

// outcome is what a caller was told.
type outcome struct {
	journal.Receipt
	err error
}

// inOneBatch commits mutations so that they are one batch: the head is locked from outside while they queue up behind another commit.
func inOneBatch(t *testing.T, url string, s *postgres.Store, ms []journal.Mutation) []outcome {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "select 1 from head for update"); err != nil {
		t.Fatal(err)
	}
	_, batches := s.Stats()
	out := make([]outcome, len(ms))
	var wg sync.WaitGroup
	wg.Go(func() {
		commit(t, s, journal.Mutation{Stream: decouple.Stream{Tenant: tenant, Kind: decouple.StreamNote, ID: fmt.Sprint("before", ids.Add(1))}, Events: []journal.NewEvent{event(0)}})
	})
	until(t, func() bool { _, n := s.Stats(); return n > batches })
	for i, m := range ms {
		wg.Go(func() { out[i].Receipt, out[i].err = s.Commit(context.Background(), m) })
		until(t, func() bool { return s.Queued() > i })
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if _, n := s.Stats(); n != batches+2 {
		t.Errorf("%d batches, want two", n-batches)
	}
	return out
}

// until waits for something that other goroutines bring about.
func until(t *testing.T, true func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !true(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("it does not come about")
		}
	}
}

// TestBatch has callers in one batch who get in each other's way: each is told what it would have been told alone, after those that went before.
func TestBatch(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := open(t, url, nil)
	note := func(id string) decouple.Stream {
		return decouple.Stream{Tenant: tenant, Kind: decouple.StreamNote, ID: id}
	}
	put := func(id decouple.CommitID, to decouple.RunID, from string) journal.Mutation {
		return journal.Mutation{ID: id, Stream: note(string(id)), Events: []journal.NewEvent{event(1), event(2)}, Put: []journal.Put{{To: to, Kind: "k", From: from, Body: []byte("1")}}}
	}
	keyed := newRun("keyed1")
	keyed.Run.IdempotencyKey = "key"
	keyedToo := newRun("keyed2")
	keyedToo.Run.IdempotencyKey = "key"
	commit(t, s, journal.Mutation{Create: []journal.NewRun{newRun("there"), newRun("three"), newRun("parks")}})
	three, parks := claim(t, s, journal.Want{Root: "three"}), claim(t, s, journal.Want{Root: "parks"})
	park := func(c journal.Claim, until journal.InboxSeq) journal.Mutation {
		m := ending(c)
		m.ID = decouple.CommitID("park " + string(c.Run.ID))
		m.Status = &journal.StatusChange{Status: decouple.RunParked, Wait: decouple.Wait{Kind: decouple.WaitChild, For: "x"}, Until: until}
		return m
	}
	commit(t, s, park(three, 3))
	kinds := []decouple.Kind{"", "", "", decouple.Conflict, "", decouple.Conflict, decouple.Conflict, decouple.NotFound, "", "", "", "", "", "", decouple.NotFound, decouple.Conflict, ""}
	ms := []journal.Mutation{
		{ID: "twice", Stream: note("twice"), Events: []journal.NewEvent{event(1)}},
		{ID: "twice", Stream: note("again"), Events: []journal.NewEvent{event(1)}},
		{ID: "new", Create: []journal.NewRun{newRun("new")}},
		{ID: "new too", Create: []journal.NewRun{newRun("other"), newRun("new")}},
		{ID: "keyed", Create: []journal.NewRun{keyed}},
		{ID: "keyed too", Create: []journal.NewRun{keyedToo}},
		{ID: "fails", Create: []journal.NewRun{newRun("unborn"), newRun("there")}},
		put("to the unborn", "unborn", "x"),
		put("to the new", "new", "x"),
		put("1 of 3", "three", "a"), put("2 of 3", "three", "b"), put("b again", "three", "b"), put("3 of 3", "three", "c"),
		park(parks, 1),
		{ID: "pins", Stream: note("pins"), Events: []journal.NewEvent{event(1)}, Pin: []decouple.BlobID{"nothing"}},
		{ID: "expects", Stream: note("expects"), Expect: 7, Events: []journal.NewEvent{event(1)}},
		put("to who parks", "parks", "x"),
	}
	got := inOneBatch(t, url, s, ms)
	for i, o := range got {
		if decouple.KindOf(o.err) != kinds[i] {
			t.Errorf("%s: %v, want kind %q", ms[i].ID, o.err, kinds[i])
		}
	}
	if got[0].Repeated == got[1].Repeated || got[0].Position != got[1].Position {
		t.Errorf("of a commit that came twice in a batch: %+v and %+v", got[0], got[1])
	}
	checkReceipts(t, s, got)
	for id, n := range map[decouple.RunID]int{"three": 3, "new": 1, "parks": 1} {
		in, err := s.Inbox(t.Context(), tenant, id)
		if err != nil || len(in) != n {
			t.Errorf("the inbox of %s has %d messages, %v, want %d", id, len(in), err, n)
		}
		for i, m := range in {
			if m.Seq != journal.InboxSeq(i+1) {
				t.Errorf("message %d of %s has the number %d", i+1, id, m.Seq)
			}
		}
	}
	for _, id := range []decouple.RunID{"three", "parks", "new"} {
		if c := claim(t, s, journal.Want{Root: id}); c.Run.ID != id {
			t.Errorf("claimed %s, want %s, which a message has woken", c.Run.ID, id)
		}
	}
}

// checkReceipts compares receipts with the log: positions are dense, and each receipt names the event that stands where it says.
func checkReceipts(t *testing.T, s *postgres.Store, got []outcome) {
	t.Helper()
	events, err := s.Scan(t.Context(), journal.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		if e.Position != decouple.Position(i+1) {
			t.Fatalf("position %d after %d", e.Position, i)
		}
	}
	for _, o := range got {
		if o.err != nil || o.Event == "" {
			continue
		}
		if e := events[o.Position-1]; e.ID != o.Event || e.Seq != o.Seq || !e.Time.Equal(o.Time) {
			t.Errorf("the receipt %+v, and the event there is %s %d %s", o.Receipt, e.Stream, e.Seq, e.ID)
		}
	}
}

// TestBatchClaims has a batch make more runs ready than this node has workers: the highest priority is claimed with it, and nothing that is elsewhere.
func TestBatchClaims(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := open(t, url, func(c *postgres.Config) { c.Node.Workers = 2 })
	arrived := make(chan journal.Claim, 1)
	go func() {
		c, err := s.Claim(context.Background(), journal.Want{})
		if err == nil {
			arrived <- c
		}
	}()
	var m journal.Mutation
	for i := range 6 {
		r := newRun(decouple.RunID(fmt.Sprint("r", i)))
		r.Run.Priority = i
		if i == 5 {
			r.Run.Site.Cloud, r.Run.Site.Labels = "elsewhere", []string{`a "label"`, `b\c`}
		}
		m.Create = append(m.Create, r)
	}
	commit(t, s, m)
	if c := <-arrived; c.Run.ID != "r4" {
		t.Errorf("claimed %s, want r4", c.Run.ID)
	}
	there := open(t, url, func(c *postgres.Config) {
		c.Node.Site = decouple.Site{Cloud: "elsewhere", Labels: []string{`b\c`, "x", `a "label"`}}
	})
	if c := claim(t, there, journal.Want{Root: "r5"}); c.Run.ID != "r5" {
		t.Errorf("claimed %s, want r5", c.Run.ID)
	}
}
