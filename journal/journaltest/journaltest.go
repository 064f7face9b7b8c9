// Package journaltest answers "is this a journal?": it is the suite that every store must pass, written from the contract of package journal
// alone. It knows nothing of how a store keeps its data, and needs nothing but a way to open it and to open it again.
package journaltest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Open opens the store that is kept in dir, and makes it if there is none. It fails t if it cannot.
type Open func(t *testing.T, dir string) journal.Store

// patience is how long a test waits for something that must happen. Only a broken store lets it pass.
const patience = 20 * time.Second

// tenant is the owner of most of what the suite writes.
const tenant = decouple.LocalTenant

// Run runs the suite against stores that open makes, each in a folder of its own.
func Run(t *testing.T, open Open) {
	type group struct {
		name  string
		cases []testCase
	}
	for _, g := range []group{
		{"Append", appendCases()},
		{"Refuse", refuseCases()},
		{"Repeat", repeatCases()},
		{"Concurrent", concurrentCases()},
		{"Create", createCases()},
		{"Runs", runsCases()},
		{"Inbox", inboxCases()},
		{"Park", parkCases()},
		{"Claim", claimCases()},
		{"Lease", leaseCases()},
		{"Fair", fairCases()},
		{"Blob", blobCases()},
		{"Log", logCases()},
		{"Random", randomCases()},
	} {
		for _, c := range g.cases {
			t.Run(g.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				c.test(newFixture(t, open))
			})
		}
	}
}

// testCase is one promise of the contract.
type testCase struct {
	name string
	test func(*fixture)
}

// fixture is an open store and short ways to use it. What fails, fails the test; only the goroutine of the test may call its methods, but for
// those of the store itself.
type fixture struct {
	journal.Store
	t      *testing.T
	dir    string
	open   Open
	closed bool
	ids    atomic.Int64
	held   map[decouple.RunID]journal.Epoch // runs that were claimed since the store was opened
}

func newFixture(t *testing.T, open Open) *fixture {
	t.Helper()
	dir := t.TempDir()
	f := &fixture{Store: open(t, dir), t: t, dir: dir, open: open, held: map[decouple.RunID]journal.Epoch{}}
	t.Cleanup(func() {
		if !f.closed {
			f.close()
		}
	})
	return f
}

func (f *fixture) ctx() context.Context { return f.t.Context() }

func (f *fixture) close() {
	f.t.Helper()
	f.closed = true
	done := make(chan error, 1)
	go func() { done <- f.Close() }()
	select {
	case err := <-done:
		if err != nil {
			f.t.Errorf("Close: %v", err)
		}
	case <-time.After(patience):
		f.t.Fatal("Close does not come back")
	}
}

// reopen closes the store, unless the test has, and opens it again.
func (f *fixture) reopen() {
	f.t.Helper()
	if !f.closed {
		f.close()
	}
	f.Store, f.closed = f.open(f.t, f.dir), false
	clear(f.held)
}

// id is a commit id that was not used before.
func (f *fixture) id() decouple.CommitID {
	return decouple.CommitID(fmt.Sprintf("commit-%d", f.ids.Add(1)))
}

// commit makes m happen, under a fresh id if it has none.
func (f *fixture) commit(m journal.Mutation) journal.Receipt {
	f.t.Helper()
	if m.ID == "" {
		m.ID = f.id()
	}
	r, err := f.Commit(f.ctx(), m)
	if err != nil {
		f.t.Fatalf("Commit(%s at %d): %v", m.Stream, m.Expect, err)
	}
	return r
}

// refuse demands that m is refused with an error of this kind and that nothing of it happened.
func (f *fixture) refuse(k decouple.Kind, m journal.Mutation) {
	f.t.Helper()
	if m.ID == "" {
		m.ID = f.id()
	}
	f.refuseAsIs(k, m)
}

// refuseAsIs is refuse without filling in an id.
func (f *fixture) refuseAsIs(k decouple.Kind, m journal.Mutation) {
	f.t.Helper()
	before := f.state()
	r, err := f.Commit(f.ctx(), m)
	if decouple.KindOf(err) != k {
		f.t.Fatalf("Commit(%s at %d) = %+v, %v (kind %q), want kind %q", m.Stream, m.Expect, r, err, decouple.KindOf(err), k)
	}
	if diff := cmp.Diff(before, f.state(), cmpopts.EquateEmpty()); diff != "" {
		f.t.Fatalf("a refused commit changed the world (-before +after):\n%s", diff)
	}
}

// state is everything that can be read but for blobs.
type state struct {
	Head    decouple.Position
	Events  []decouple.Event
	Runs    []journal.RunRow
	Inboxes map[decouple.RunID][]journal.Message
}

func (f *fixture) state() state {
	f.t.Helper()
	head, err := f.Head(f.ctx())
	if err != nil {
		f.t.Fatalf("Head: %v", err)
	}
	s := state{Head: head, Events: f.scan(journal.Filter{Limit: 1 << 20}), Runs: f.runs(journal.RunFilter{}), Inboxes: map[decouple.RunID][]journal.Message{}}
	for _, r := range s.Runs {
		s.Inboxes[r.ID] = f.inbox(r.ID)
	}
	return s
}

func (f *fixture) scan(q journal.Filter) []decouple.Event {
	f.t.Helper()
	es, err := f.Scan(f.ctx(), q)
	if err != nil {
		f.t.Fatalf("Scan(%+v): %v", q, err)
	}
	return es
}

// read is the whole of a stream.
func (f *fixture) read(s decouple.Stream) []decouple.Event {
	f.t.Helper()
	es, err := f.Read(f.ctx(), s, 0, 0)
	if err != nil {
		f.t.Fatalf("Read(%s): %v", s, err)
	}
	return es
}

// last is the id of a stream's last event.
func (f *fixture) last(s decouple.Stream) decouple.EventID {
	f.t.Helper()
	es := f.read(s)
	if len(es) == 0 {
		return ""
	}
	return es[len(es)-1].ID
}

func (f *fixture) runs(q journal.RunFilter) []journal.RunRow {
	f.t.Helper()
	rows, err := f.Runs(f.ctx(), q)
	if err != nil {
		f.t.Fatalf("Runs(%+v): %v", q, err)
	}
	return rows
}

// row is the view's row of a run, which must exist.
func (f *fixture) row(id decouple.RunID) journal.RunRow {
	f.t.Helper()
	rows := f.runs(journal.RunFilter{ID: id})
	if len(rows) != 1 {
		f.t.Fatalf("the view has %d rows of run %s, want 1", len(rows), id)
	}
	return rows[0]
}

func (f *fixture) status(id decouple.RunID, want decouple.RunStatus) {
	f.t.Helper()
	if got := f.row(id).Status; got != want {
		f.t.Fatalf("run %s is %s, want %s", id, got, want)
	}
}

// inbox lists what a run of any tenant has not consumed.
func (f *fixture) inbox(id decouple.RunID) []journal.Message {
	f.t.Helper()
	ms, err := f.Inbox(f.ctx(), f.row(id).Tenant, id)
	if err != nil {
		f.t.Fatalf("Inbox(%s): %v", id, err)
	}
	return ms
}

// on is a mutation of a run as it stands now, by the holder of the lease if the run is or was claimed.
func (f *fixture) on(id decouple.RunID) journal.Mutation {
	f.t.Helper()
	row := f.row(id)
	m := journal.Mutation{Stream: decouple.RunStream(row.Tenant, id), Expect: row.Seq, Epoch: f.held[id]}
	if row.Status == decouple.RunRunning {
		m.Epoch = row.Epoch
	}
	return m
}

// create makes runs of the usual sort.
func (f *fixture) create(ids ...decouple.RunID) {
	f.t.Helper()
	for _, id := range ids {
		f.commit(journal.Mutation{Create: []journal.NewRun{newRun(id)}})
	}
}

// start makes a root run, claims it and lets it take a step.
func (f *fixture) start(id decouple.RunID) {
	f.t.Helper()
	f.create(id)
	f.claim(id, id)
	f.step(id)
}

// claim demands that the next run of the tree is want.
func (f *fixture) claim(root, want decouple.RunID) journal.Claim {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.ctx(), patience)
	defer cancel()
	c, err := f.Claim(ctx, journal.Want{Root: root})
	if err != nil {
		f.t.Fatalf("Claim(%q): %v, want run %s", root, err, want)
	}
	if c.Run.ID != want {
		f.t.Fatalf("Claim(%q) gave run %s, want %s", root, c.Run.ID, want)
	}
	f.held[want] = c.Epoch
	return c
}

// idle demands that no run of the tree can be claimed now.
func (f *fixture) idle(root decouple.RunID) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.ctx(), 30*time.Millisecond)
	defer cancel()
	c, err := f.Claim(ctx, journal.Want{Root: root})
	if decouple.KindOf(err) != decouple.Deadline {
		f.t.Fatalf("Claim(%q) with nothing ready = run %q, %v, want an error of kind deadline when its time is over", root, c.Run.ID, err)
	}
}

// step appends to a run.
func (f *fixture) step(id decouple.RunID) {
	f.t.Helper()
	m := f.on(id)
	m.Events = numbered(1)
	f.commit(m)
}

// park parks a run that is running.
func (f *fixture) park(id decouple.RunID, s journal.StatusChange) {
	f.t.Helper()
	s.Status = decouple.RunParked
	if s.Wait.Kind == decouple.WaitNone {
		s.Wait.Kind = decouple.WaitChild
	}
	m := f.on(id)
	m.Status = &s
	f.commit(m)
	delete(f.held, id)
}

// end ends a run.
func (f *fixture) end(id decouple.RunID) {
	f.t.Helper()
	m := f.on(id)
	m.Status = &journal.StatusChange{Status: decouple.RunEnded, Cause: decouple.Cause{Kind: decouple.CauseDone}}
	f.commit(m)
}

// put sends messages from a stream that nobody else writes to.
func (f *fixture) put(ps ...journal.Put) {
	f.t.Helper()
	f.commit(f.sending(ps...))
}

// sending is a mutation that does nothing but put messages.
func (f *fixture) sending(ps ...journal.Put) journal.Mutation {
	id := f.id()
	return journal.Mutation{ID: id, Stream: note("sender-" + string(id)), Events: events(`{"put":true}`), Put: ps}
}

// note is a stream that stands for nothing but itself.
func note(id string) decouple.Stream {
	return decouple.Stream{Tenant: tenant, Kind: decouple.StreamNote, ID: id}
}

// newRun is a run with one event, ready at once.
func newRun(id decouple.RunID) journal.NewRun {
	return journal.NewRun{
		Run:    decouple.Run{ID: id, Tenant: tenant, Parent: id.Parent(), Root: id.Root(), Agent: "lead", Version: "1f2e"},
		Events: events(`{"run":"` + string(id) + `"}`),
		Label:  "what is " + string(id) + "?",
	}
}

// events are new events with these payloads.
func events(payloads ...string) []journal.NewEvent {
	es := make([]journal.NewEvent, len(payloads))
	for i, p := range payloads {
		es[i] = journal.NewEvent{Kind: "test.happened", KindVersion: 1, Actor: decouple.Actor{Kind: decouple.ActorSystem, ID: "suite"}, Payload: []byte(p)}
	}
	return es
}

// numbered is n new events that differ.
func numbered(n int) []journal.NewEvent {
	ps := make([]string, n)
	for i := range ps {
		ps[i] = fmt.Sprintf(`{"n":%d}`, i+1)
	}
	return events(ps...)
}

// quoted is a JSON string of exactly n bytes, quotation marks included.
func quoted(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'x'
	}
	b[0], b[n-1] = '"', '"'
	if !json.Valid(b) {
		panic("journaltest: quoted does not make JSON")
	}
	return b
}

// together runs n callers at the same moment and returns their errors by number.
func together(n int, call func(i int) error) []error {
	var wg sync.WaitGroup
	start, errs := make(chan struct{}), make([]error, n)
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = call(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// allFine fails the test for the first error.
func (f *fixture) allFine(errs []error) {
	f.t.Helper()
	for i, err := range errs {
		if err != nil {
			f.t.Fatalf("caller %d: %v", i, err)
		}
	}
}

// equal demands that two values are the same.
func equal[T any](f *fixture, what string, got, want T) {
	f.t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(journal.Claim{}, "Lost")); diff != "" {
		f.t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}
