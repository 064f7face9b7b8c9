package journaltest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// OpenRestorer opens the store that is kept in dir to be restored, and makes it if there is none. It fails t if it cannot.
type OpenRestorer func(t *testing.T, dir string) journal.Restorer

// Archive runs what every store must do that can be dumped and restored.
func Archive(t *testing.T, open Open, restorer OpenRestorer) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("Archive/carry ", seed), func(t *testing.T) {
			t.Parallel()
			testCarry(newFixture(t, open), restorer, seed)
		})
	}
	t.Run("Archive/refuse", func(t *testing.T) {
		t.Parallel()
		testRefuseRestore(newFixture(t, open), restorer)
	})
	t.Run("Archive/damaged", func(t *testing.T) {
		t.Parallel()
		testDamagedRestore(newFixture(t, open), restorer)
	})
}

// carried is a record with the content of a blob.
type carried struct {
	journal.Record
	content []byte
}

// dump reads all records of a store.
func dump(f *fixture) []carried {
	f.t.Helper()
	d, ok := f.Store.(journal.Dumper)
	if !ok {
		f.t.Fatal("the store cannot be dumped")
	}
	var out []carried
	err := d.Dump(f.ctx(), func(r journal.Record) error {
		c := carried{Record: r}
		if r.Blob != nil {
			b, err := io.ReadAll(r.Blob.Content)
			if err != nil {
				return err
			}
			blob := *r.Blob
			blob.Content = nil
			c.Blob, c.content = &blob, b
		}
		out = append(out, c)
		return nil
	})
	if err != nil {
		f.t.Fatalf("Dump: %v", err)
	}
	return out
}

// records are what Restore reads.
func records(list []carried) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		for _, c := range list {
			if c.Blob != nil {
				blob := *c.Blob
				blob.Content = bytes.NewReader(c.content)
				c.Blob = &blob
			}
			if !yield(c.Record, nil) {
				return
			}
		}
	}
}

func same(a, b []carried) string {
	return cmp.Diff(a, b, cmp.AllowUnexported(carried{}), cmp.Comparer(bytes.Equal), cmpopts.IgnoreFields(journal.StoredBlob{}, "Content"))
}

// full gives a store something of everything.
func full(f *fixture, seed uint64) {
	k := &walk{f: f, w: newModel(f.Epoch()), r: rand.New(rand.NewPCG(seed, 7))}
	for range 100 {
		k.step()
	}
	f.create("zz")
	f.pin(f.blob(nil), f.blob(content(journal.ChunkSize+17, 1)), f.blob(content(journal.ChunkSize, 2)))
	f.put(journal.Put{To: "zz", Kind: "note", From: "x", Body: []byte(`{"n":1}`)}, journal.Put{To: "zz", Kind: "note", From: "y"})
}

// restored restores records into a fresh store and opens it.
func restored(f *fixture, restorer OpenRestorer, list []carried) *fixture {
	f.t.Helper()
	dir := f.t.TempDir()
	r := restorer(f.t, dir)
	if err := r.Restore(f.ctx(), "bundle", records(list)); err != nil {
		f.t.Fatalf("Restore: %v", err)
	}
	if err := errors.Join(r.Settle(f.ctx()), r.Close()); err != nil {
		f.t.Fatal(err)
	}
	g := &fixture{Store: f.open(f.t, dir), t: f.t, dir: dir, open: f.open, held: map[decouple.RunID]journal.Epoch{}}
	g.ids.Store(1 << 30) // ids that were not used before
	f.t.Cleanup(func() {
		if !g.closed {
			g.close()
		}
	})
	return g
}

// testCarry carries a store to another one, which has the same records and goes on from there.
func testCarry(f *fixture, restorer OpenRestorer, seed uint64) {
	full(f, seed)
	list := dump(f)
	g := restored(f, restorer, list)
	if d := same(list, dump(g)); d != "" {
		f.t.Fatalf("what was restored is not what was dumped (-want +got):\n%s", d)
	}
	a, b := f.state(), g.state()
	for i := range a.Runs {
		if a.Runs[i].Status == decouple.RunRunning {
			a.Runs[i].Status = decouple.RunReady
		}
		for _, r := range []*journal.RunRow{&a.Runs[i], &b.Runs[i]} {
			r.Node, r.Epoch, r.Row = "", 0, 0
		}
	}
	if d := cmp.Diff(a, b, cmpopts.EquateEmpty()); d != "" {
		f.t.Fatalf("a reader sees another world (-want +got):\n%s", d)
	}
	// It goes on: the dense positions, the chain, the inbox, and commits that were made before.
	g.claim("zz", "zz")
	g.step("zz")
	m := g.on("zz")
	m.Consume = 1
	g.commit(m)
	g.put(journal.Put{To: "zz", Kind: "note", From: "x"}) // put once already
	equal(g, "the inbox after a message that was there", len(g.inbox("zz")), 1)
	for _, c := range list {
		if c.Commit != nil && c.Commit.Position > 0 {
			r, err := g.Commit(g.ctx(), journal.Mutation{ID: c.Commit.ID, Stream: note("again"), Events: numbered(1)})
			if err != nil || !r.Repeated || r.Position != c.Commit.Position {
				f.t.Fatalf("commit %s is not recognised: %+v %v", c.Commit.ID, r, err)
			}
			break
		}
	}
	g.reopen()
	if len(dump(g)) <= len(list) {
		f.t.Error("what was written after the restoration is gone")
	}
}

// testRefuseRestore holds a restorer to empty stores and to one id.
func testRefuseRestore(f *fixture, restorer OpenRestorer) {
	full(f, 9)
	list := dump(f)
	f.close()
	r := restorer(f.t, f.dir)
	if err := r.Restore(f.ctx(), "bundle", records(list)); decouple.KindOf(err) != decouple.Conflict {
		f.t.Errorf("Restore into a store that holds something: %v", err)
	}
	if err := r.Settle(f.ctx()); decouple.KindOf(err) != decouple.Conflict {
		f.t.Errorf("Settle of a store that was not restored: %v", err)
	}
	if err := r.Close(); err != nil {
		f.t.Fatal(err)
	}
	dir := f.t.TempDir()
	r = restorer(f.t, dir)
	if err := errors.Join(r.Restore(f.ctx(), "bundle", records(list)), r.Close()); err != nil {
		f.t.Fatal(err)
	}
	r = restorer(f.t, dir) // the process was killed before it settled
	never := func(func(journal.Record, error) bool) { f.t.Error("what is there already is restored again") }
	if err := r.Restore(f.ctx(), "bundle", never); err != nil {
		f.t.Errorf("Restore of what is there: %v", err)
	}
	if err := r.Restore(f.ctx(), "another", never); decouple.KindOf(err) != decouple.Conflict {
		f.t.Errorf("Restore of another bundle over one that is not settled: %v", err)
	}
	if head, err := r.Head(f.ctx()); err != nil || head == 0 {
		f.t.Errorf("a restorer cannot be read: %d %v", head, err)
	}
	if err := errors.Join(r.Settle(f.ctx()), r.Settle(f.ctx())); err != nil {
		f.t.Error(err)
	}
	if err := r.Restore(f.ctx(), "bundle", never); decouple.KindOf(err) != decouple.Conflict {
		f.t.Errorf("Restore over a store in use: %v", err)
	}
	if err := r.Close(); err != nil {
		f.t.Fatal(err)
	}
}

// testDamagedRestore spoils one record at a time: all of it is refused, and nothing of it stays.
func testDamagedRestore(f *fixture, restorer OpenRestorer) {
	full(f, 5)
	list := dump(f)
	dir := f.t.TempDir()
	first := map[string]int{}
	last := map[string]int{}
	for i, c := range list {
		kind := fmt.Sprint(c.Key != nil, c.Blob != nil, c.Run != nil, c.Event != nil, c.Message != nil)
		if _, ok := first[kind]; !ok {
			first[kind] = i
		}
		if c.Blob == nil || len(c.content) > 1 {
			last[kind] = i
		}
	}
	event, blob, key, run := last["false false false true false"], last["false true false false false"], first["true false false false false"], first["false false true false false"]
	without := func(i int) []carried { return append(append([]carried{}, list[:i]...), list[i+1:]...) }
	changed := func(i int, change func(*carried)) []carried {
		out := append([]carried{}, list...)
		change(&out[i])
		return out
	}
	for what, bad := range map[string][]carried{
		"an event is missing":         without(event - 1),
		"a key is missing":            without(key),
		"a run comes twice":           append(append(append([]carried{}, list[:run+1]...), list[run]), list[run+1:]...),
		"an event comes twice":        append(append(append([]carried{}, list[:event+1]...), list[event]), list[event+1:]...),
		"a payload is another":        changed(event, func(c *carried) { e := *c.Event; e.Payload = []byte(`{"n":77}`); c.Event = &e }),
		"a time is another":           changed(event, func(c *carried) { e := *c.Event; e.Time = e.Time.Add(1000); c.Event = &e }),
		"a blob holds something else": changed(blob, func(c *carried) { c.content = append([]byte("x"), c.content...)[:len(c.content)] }),
		"a blob is short":             changed(blob, func(c *carried) { c.content = c.content[:len(c.content)/2] }),
		"a record is empty":           append(append([]carried{}, list...), carried{}),
		"a message has no run":        append(append([]carried{}, list...), carried{Record: journal.Record{Message: &journal.StoredMessage{Tenant: tenant, Run: "nobody", Message: journal.Message{Seq: 1, Kind: "a", From: "b"}}}}),
	} {
		r := restorer(f.t, dir)
		if err := r.Restore(f.ctx(), "bundle", records(bad)); err == nil {
			f.t.Fatalf("%s, and it is restored", what)
		}
		if err := r.Close(); err != nil {
			f.t.Fatal(err)
		}
	}
	gone := decouple.Errorf(decouple.Unavailable, "the archive cannot be read")
	r := restorer(f.t, dir)
	err := r.Restore(f.ctx(), "bundle", func(yield func(journal.Record, error) bool) {
		for x := range records(list[:len(list)-1]) {
			if !yield(x, nil) {
				return
			}
		}
		yield(journal.Record{}, gone)
	})
	if !errors.Is(err, gone) {
		f.t.Errorf("an archive that cannot be read: %v", err)
	}
	if err := r.Close(); err != nil {
		f.t.Fatal(err)
	}
	r = restorer(f.t, dir)
	if err := errors.Join(r.Restore(f.ctx(), "bundle", records(list)), r.Settle(f.ctx()), r.Close()); err != nil {
		f.t.Errorf("after all these, the whole: %v", err)
	}
}
