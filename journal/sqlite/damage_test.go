package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
)

// sample is a folder with some of everything, and what reads back from it.
type sample struct {
	files   map[string][]byte
	commits []journal.Mutation
	blobs   []decouple.BlobID
	want    contents
}

// contents is everything that can be read.
type contents struct {
	Head     decouple.Position
	Events   []decouple.Event
	Streams  map[decouple.Stream][]decouple.Event
	Runs     []journal.RunRow
	ByStatus map[decouple.RunStatus][]decouple.RunID
	Inboxes  map[decouple.RunID][]journal.Message
	Blobs    map[decouple.BlobID]string
	Address  decouple.BlobID
	Receipts map[decouple.CommitID]journal.Receipt
}

// newSample makes a sample of a store that was closed once and then, if live, went on and was copied in the middle of its life: part of it is
// in the database and part in the write-ahead log only.
func newSample(t *testing.T, live bool) *sample {
	t.Helper()
	dir, p := t.TempDir(), &sample{files: map[string][]byte{}}
	s := open(t, dir)
	p.fill(t, s, "a")
	if live {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
		p.fill(t, s, "b")
		p.keep(t, dir)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !live {
		p.keep(t, dir)
	}
	c, err := p.read(t.Context(), p.folder(t))
	if err != nil {
		t.Fatal(err)
	}
	p.want = c
	return p
}

// keep copies the folder's files but for those that are only for those who have it open.
func (p *sample) keep(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{dbFile, walFile, markFile} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !(errors.Is(err, os.ErrNotExist) && name == walFile) {
			t.Fatal(err)
		}
		if err == nil {
			p.files[name] = b
		}
	}
}

const dbFile, walFile, markFile = "journal.db", "journal.db-wal", "journal.mark"

// folder is a fresh folder with the sample's files.
func (p *sample) folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range p.files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// fill writes some of everything. Its last commits have no events.
func (p *sample) fill(t *testing.T, s *sqlite.Store, part string) {
	t.Helper()
	ctx := t.Context()
	commit := func(m journal.Mutation) {
		t.Helper()
		m.ID = decouple.CommitID(fmt.Sprintf("%s-%d", part, len(p.commits)))
		if _, err := s.Commit(ctx, m); err != nil {
			t.Fatal(err)
		}
		p.commits = append(p.commits, m)
	}
	for n := range 4 {
		b, err := s.PutBlob(ctx, tenant, decouple.SubjectID(fmt.Sprint(n%2)), strings.NewReader(strings.Repeat(fmt.Sprint(part, n, " "), 3000*n)))
		if err != nil {
			t.Fatal(err)
		}
		p.blobs = append(p.blobs, b.ID)
		m := journal.Mutation{Stream: note(fmt.Sprint(part, n)), Events: []journal.NewEvent{event(`{"a":1}`), event(`{"long":"` + strings.Repeat("x", 2000*n) + `"}`)}}
		if n%2 == 0 {
			m.Pin = []decouple.BlobID{b.ID}
		}
		commit(m)
	}
	for n := range 8 {
		id := decouple.RunID(fmt.Sprint(part, n))
		root := newRun(id, `1`, `2`)
		root.Label, root.Run.IdempotencyKey, root.Run.Labels = "a question "+string(id), "key-"+string(id), []string{"eu"}
		commit(journal.Mutation{Create: []journal.NewRun{root, newRun(id+".1", `1`), newRun(id + ".2")}})
		if n%4 == 3 {
			continue
		}
		if _, err := s.Claim(ctx, journal.Want{Root: id}); err != nil {
			t.Fatal(err)
		}
		m := journal.Mutation{Stream: decouple.RunStream(tenant, id), Expect: 2, Epoch: s.Epoch(), Events: []journal.NewEvent{event(`{"n":3}`)}}
		switch n % 4 {
		case 1:
			m.Status = &journal.StatusChange{Status: decouple.RunParked, Wait: decouple.Wait{Kind: decouple.WaitChild, For: "x"}, Until: 9, Steps: n}
		case 2:
			m.Status = &journal.StatusChange{Status: decouple.RunEnded, Cause: decouple.Cause{Kind: decouple.CauseDone, Why: "done"}, Usage: decouple.Usage{Cost: 12345}}
		}
		commit(m)
		put := journal.Mutation{Stream: note("put-" + string(id))}
		for k := range 3 {
			put.Put = append(put.Put, journal.Put{To: id, Kind: "joined", From: fmt.Sprint(k), Body: []byte(`{"k":"` + strings.Repeat("y", 50*k) + `"}`)})
		}
		commit(put)
	}
	first := decouple.RunStream(tenant, decouple.RunID(part+"0"))
	commit(journal.Mutation{Stream: first, Expect: 3, Epoch: s.Epoch(), Consume: 2})
	commit(journal.Mutation{Stream: first, Expect: 3, Epoch: s.Epoch(), Status: &journal.StatusChange{
		Status: decouple.RunParked, Wait: decouple.Wait{Kind: decouple.WaitPerson, For: "yes"}, Seen: 3, Steps: 7,
	}})
}

// read opens a folder for writing and reads everything in it, receipts by submitting all commits again.
func (p *sample) read(ctx context.Context, dir string) (c contents, err error) {
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	c = contents{
		Streams: map[decouple.Stream][]decouple.Event{}, ByStatus: map[decouple.RunStatus][]decouple.RunID{}, Inboxes: map[decouple.RunID][]journal.Message{},
		Blobs: map[decouple.BlobID]string{}, Receipts: map[decouple.CommitID]journal.Receipt{},
	}
	if c.Head, err = s.Head(ctx); err != nil {
		return c, err
	}
	if c.Events, err = s.Scan(ctx, journal.Filter{Limit: 1 << 20}); err != nil {
		return c, err
	}
	for _, m := range p.commits {
		for _, stream := range append([]decouple.Stream{m.Stream}, created(m)...) {
			if c.Streams[stream], err = s.Read(ctx, stream, 0, 0); err != nil {
				return c, err
			}
		}
	}
	if err = c.readRuns(ctx, s); err != nil {
		return c, err
	}
	for _, id := range p.blobs {
		rc, err := s.GetBlob(ctx, tenant, id)
		if err != nil {
			return c, err
		}
		b, err := io.ReadAll(rc)
		if err != nil {
			return c, err
		}
		c.Blobs[id] = string(b)
	}
	if c.Address, err = s.Address(ctx, tenant, "0", []byte("content")); err != nil {
		return c, err
	}
	for _, m := range p.commits {
		// A refusal names no damage: that the store does not know the commit any more shows in the comparison.
		if c.Receipts[m.ID], err = s.Commit(ctx, m); decouple.KindOf(err) == decouple.Internal {
			return c, err
		}
	}
	return c, nil
}

func created(m journal.Mutation) []decouple.Stream {
	var ss []decouple.Stream
	for _, n := range m.Create {
		ss = append(ss, decouple.RunStream(n.Run.Tenant, n.Run.ID))
	}
	return ss
}

func (c *contents) readRuns(ctx context.Context, s *sqlite.Store) (err error) {
	if c.Runs, err = s.Runs(ctx, journal.RunFilter{}); err != nil {
		return err
	}
	for _, st := range []decouple.RunStatus{decouple.RunReady, decouple.RunRunning, decouple.RunParked, decouple.RunEnded} {
		rows, err := s.Runs(ctx, journal.RunFilter{Status: []decouple.RunStatus{st}})
		if err != nil {
			return err
		}
		for _, row := range rows {
			c.ByStatus[st] = append(c.ByStatus[st], row.ID)
		}
	}
	for _, row := range c.Runs {
		if c.Inboxes[row.ID], err = s.Inbox(ctx, row.Tenant, row.ID); err != nil {
			return err
		}
	}
	return nil
}

// outcome is what looking at a damaged folder gave.
type outcome struct {
	found    string // what named the damage; empty if nothing did
	harmless bool
}

// judge demands of a damaged copy of the sample: either Verify, or whoever reads, says so, or everything reads as before.
func (p *sample) judge(t *testing.T, what string, spoil func(files map[string][]byte)) outcome {
	t.Helper()
	q := &sample{files: map[string][]byte{}, commits: p.commits, blobs: p.blobs}
	for name, b := range p.files {
		q.files[name] = bytes.Clone(b)
	}
	spoil(q.files)
	dir := q.folder(t)
	defer os.RemoveAll(dir)
	report, err := sqlite.Verify(t.Context(), dir)
	if names(err) {
		return outcome{found: err.Error()}
	}
	if len(report.Faults) > 0 {
		return outcome{found: report.Faults[0]}
	}
	got, err := q.read(t.Context(), dir)
	if names(err) {
		return outcome{found: err.Error()}
	}
	if err != nil {
		t.Errorf("%s: %v (kind %q), which does not say that the journal is damaged", what, err, decouple.KindOf(err))
		return outcome{}
	}
	if diff := cmp.Diff(p.want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s: silently accepted (-want +got):\n%.1500s", what, diff)
		return outcome{}
	}
	return outcome{harmless: true}
}

// names says whether an error speaks of damage: as such, or as what a damaged header looks like, a version that nobody wrote or a database that
// is only to be read.
func names(err error) bool {
	switch decouple.KindOf(err) {
	case decouple.Internal:
		return true
	case decouple.Invalid:
		return strings.Contains(err.Error(), "version")
	case decouple.Unavailable:
		return strings.Contains(err.Error(), "readonly database")
	}
	return false
}

// tally counts outcomes.
type tally struct{ found, harmless int }

func (n *tally) add(o outcome) {
	if o.harmless {
		n.harmless++
	}
	if o.found != "" {
		n.found++
	}
}

// enough demands that a test hit anything at all.
func (n *tally) enough(t *testing.T, found int) {
	t.Helper()
	t.Logf("%d found and named, %d harmless", n.found, n.harmless)
	if n.found < found {
		t.Errorf("only %d damages were found: this test hits nothing", n.found)
	}
}

// TestFlipDatabase flips a byte of the database at many places, among them the file's and every page's header.
func TestFlipDatabase(t *testing.T) {
	t.Parallel()
	p, r := newSample(t, false), rand.New(rand.NewPCG(1, 0))
	const page = 4096
	size := len(p.files[dbFile])
	var places []int
	for range 130 {
		places = append(places, r.IntN(size))
	}
	for at := 0; at < size; at += page {
		places = append(places, at+r.IntN(8), at+8+r.IntN(40))
	}
	places = append(places, 16, 18, 24, 28, 32, 40, 44, 56, 60, 92, 96)
	p.flips(t, dbFile, places, len(places)/4)
}

// flips flips some bits of one byte after another, and none as a check of the test itself.
func (p *sample) flips(t *testing.T, file string, places []int, found int) {
	t.Helper()
	if o := p.judge(t, "nothing", func(map[string][]byte) {}); !o.harmless {
		t.Fatalf("an undamaged folder is called damaged: %s", o.found)
	}
	for half := range 2 {
		t.Run(fmt.Sprint("half ", half+1), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(3, uint64(half)))
			var n tally
			for i := half; i < len(places); i += 2 {
				bits := byte(1 << r.IntN(8))
				if r.IntN(2) == 0 {
					bits = byte(1 + r.IntN(255))
				}
				what := fmt.Sprintf("byte %d of %s with %08b", places[i], file, bits)
				n.add(p.judge(t, what, func(files map[string][]byte) { files[file][places[i]] ^= bits }))
			}
			n.enough(t, found/2)
		})
	}
}

// TestFlipLog flips a byte of a write-ahead log that holds commits which are nowhere else.
func TestFlipLog(t *testing.T) {
	t.Parallel()
	p, r := newSample(t, true), rand.New(rand.NewPCG(2, 0))
	size := len(p.files[walFile])
	if size < 20*(frameHeader+4096) {
		t.Fatalf("the log has only %d bytes", size)
	}
	places := []int{0, 4, 8, 12, 16, 20, 24, 28}
	for range 60 {
		places = append(places, r.IntN(size))
	}
	for i := range 20 { // the newest commits are in the last frames
		places = append(places, size-1-r.IntN((i+1)*(frameHeader+4096)))
	}
	p.flips(t, walFile, places, len(places)/2)
}

// frameHeader comes before each page in the log.
const frameHeader = 24

// TestCut cuts the files: ends that are missing, files that are gone, files from earlier.
func TestCut(t *testing.T) {
	t.Parallel()
	p, early := newSample(t, true), newSample(t, false)
	db, wal := len(p.files[dbFile]), len(p.files[walFile])
	cut := func(name string, size int) func(map[string][]byte) {
		return func(files map[string][]byte) { files[name] = files[name][:size] }
	}
	drop := func(names ...string) func(map[string][]byte) {
		return func(files map[string][]byte) {
			for _, name := range names {
				delete(files, name)
			}
		}
	}
	cases := map[string]func(map[string][]byte){
		"no log":              drop(walFile),
		"no mark":             drop(markFile),
		"no database":         drop(dbFile),
		"neither db nor log":  drop(dbFile, walFile),
		"a mark of nothing":   cut(markFile, 0),
		"half a mark":         cut(markFile, 63),
		"another's database":  func(files map[string][]byte) { files[dbFile] = early.files[dbFile] },
		"another's mark":      func(files map[string][]byte) { files[markFile] = early.files[markFile] },
		"a text for database": func(files map[string][]byte) { files[dbFile] = bytes.Repeat([]byte("text\n"), 5000) },
		"zeros for database":  func(files map[string][]byte) { files[dbFile] = make([]byte, db) },
		"zeros for mark":      func(files map[string][]byte) { files[markFile] = make([]byte, len(files[markFile])) },
	}
	for _, size := range []int{0, 1, 99, 100, 4095, 4096, 8192, db / 2, db - 4096, db - 1} {
		cases[fmt.Sprint("database cut to ", size)] = cut(dbFile, size)
	}
	for _, size := range []int{0, 1, 31, 32, 32 + frameHeader, wal / 2, wal - 1} {
		cases[fmt.Sprint("log cut to ", size)] = cut(walFile, size)
	}
	for n := 1; n <= 16; n++ {
		cases[fmt.Sprint("log without its last frames: ", n)] = cut(walFile, wal-n*(frameHeader+4096))
	}
	var n tally
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		n.add(p.judge(t, name, cases[name]))
	}
	n.enough(t, len(cases)*3/4)
}

// TestLostTailIsNamed demands that a log which lost its tail is reported at the start, with the way on, and that the way on works.
func TestLostTailIsNamed(t *testing.T) {
	t.Parallel()
	p := newSample(t, true)
	delete(p.files, walFile)
	dir := p.folder(t)
	_, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if decouple.KindOf(err) != decouple.Internal || !strings.Contains(err.Error(), "lost") || !strings.Contains(err.Error(), "--accept") {
		t.Fatalf("Open of a journal that lost its tail: %v", err)
	}
	if _, err := sqlite.Accept(t.Context(), dir); err != nil {
		t.Fatalf("Accept: %v", err)
	}
	sound(t, dir)
	s := open(t, dir)
	defer s.Close()
	head, err := s.Head(t.Context())
	if err != nil || head == 0 || head >= p.want.Head {
		t.Fatalf("after Accept the head is %d, %v; before the loss it was %d", head, err, p.want.Head)
	}
	if _, err := s.Commit(t.Context(), journal.Mutation{ID: "on", Stream: note("on"), Events: []journal.NewEvent{event(`1`)}}); err != nil {
		t.Fatal(err)
	}
}
