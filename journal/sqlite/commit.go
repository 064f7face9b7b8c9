package sqlite

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

const (
	maxBatch = 1024
	walGrown = 2_000  // pages written, roughly, after which a checkpoint is asked for
	walLimit = 16_000 // frames left in the log by a checkpoint after which commits wait for the next
)

// request is one caller's change, waiting to be applied.
type request struct {
	apply func(*batch) error // an error of its own leaves nothing behind; it must check before it writes
	lazy  bool               // needs no sync
	err   error
	turn  chan bool // true: lead the next batch; false: done
}

// batch is one transaction on its way.
type batch struct {
	*Store
	now     time.Time
	dirty   map[runKey]*work
	pages   int        // written, roughly
	restart bool       // the log is to begin anew
	wakes   []readyRun // pushed when the batch is durable
	times   []timer
	urgents []decouple.RunID // at work here, and got an urgent message
}

// group joins callers. Its mutex guards queue, leading and failed.
type group struct {
	mu      sync.Mutex
	queue   []*request
	leading bool
	failed  error
	active  sync.WaitGroup // callers under way

	beat    int64        // newest in the mark; the leader's
	durable atomic.Int64 // position of the newest event on disk
	grown   chan struct{}
	frames  atomic.Int64 // in the log after the last checkpoint

	bell     sync.Mutex
	followed chan struct{} // closed and renewed when durable grows
}

// stats counts for benchmarks.
type stats struct {
	commits, transactions, syncs atomic.Int64
}

// Stats says how many commits, transactions and syncs of the log there were since Open.
func (s *Store) Stats() (commits, transactions, syncs int64) {
	return s.stats.commits.Load(), s.stats.transactions.Load(), s.stats.syncs.Load()
}

func (g *group) init() {
	g.grown = make(chan struct{}, 1)
	g.followed = make(chan struct{})
}

// fail makes every later call answer err; the first one stays.
func (g *group) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed == nil {
		g.failed = err
	}
}

// die makes every later call answer err and wakes who waits for a run or for news.
func (s *Store) die(err error) {
	s.group.fail(err)
	s.queue.close()
	s.group.ring()
}

func (g *group) err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failed
}

// tail waits until there is a durable event after pos.
func (g *group) tail(ctx context.Context, pos decouple.Position) error {
	for {
		g.bell.Lock()
		ring := g.followed
		g.bell.Unlock()
		if decouple.Position(g.durable.Load()) > pos {
			return nil
		}
		if err := g.err(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ring:
		}
	}
}

func (g *group) ring() {
	g.bell.Lock()
	close(g.followed)
	g.followed = make(chan struct{})
	g.bell.Unlock()
}

// Commit makes all of m happen, or nothing.
func (s *Store) Commit(ctx context.Context, m journal.Mutation) (journal.Receipt, error) {
	if err := m.Check(); err != nil {
		return journal.Receipt{}, err
	}
	var receipt journal.Receipt
	err := s.submit(ctx, &request{apply: func(b *batch) (err error) {
		receipt, err = b.mutate(m)
		return err
	}})
	if err != nil {
		return journal.Receipt{}, err
	}
	s.stats.commits.Add(1)
	return receipt, nil
}

// submit queues a request and returns when it is durable or has failed. A ctx that has ended before is an error; from then on the outcome is waited for, so that nobody
// is left in doubt.
func (s *Store) submit(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g := &s.group
	g.mu.Lock()
	if g.failed != nil {
		defer g.mu.Unlock()
		return g.failed
	}
	g.active.Add(1)
	defer g.active.Done()
	g.queue = append(g.queue, r)
	if g.leading {
		turn := make(chan bool, 1)
		r.turn = turn
		g.mu.Unlock()
		if lead := <-turn; !lead {
			return r.err
		}
	} else {
		g.leading = true
		g.mu.Unlock()
	}
	s.lead()
	return r.err
}

// lead applies the queue as one transaction, syncs, passes the lead on, and tells everyone in the batch. Who comes meanwhile is in the next one.
func (s *Store) lead() {
	g := &s.group
	s.db.Lock()
	g.mu.Lock()
	batchOf := g.queue[:min(len(g.queue), maxBatch)]
	g.queue = append([]*request(nil), g.queue[len(batchOf):]...)
	err := g.failed
	g.mu.Unlock()
	b := &batch{Store: s, now: time.Now().UTC().Truncate(time.Microsecond), dirty: map[runKey]*work{}}
	if err == nil {
		err = s.transact(b, batchOf)
	}
	head := markValue{s.head, s.lastSum, s.beat}
	s.db.Unlock()
	if err == nil && !lazy(batchOf) {
		err = s.sync(head)
	}
	if err != nil {
		s.die(err)
	}
	s.passLead()
	if err == nil {
		for _, w := range b.wakes {
			s.offer(w)
		}
		for _, t := range b.times {
			s.queue.setTimer(t)
		}
		for _, id := range b.urgents {
			s.urgent(id)
		}
	}
	for _, r := range batchOf {
		if err != nil {
			r.err = err
		}
		if r.turn != nil {
			r.turn <- false
		}
	}
}

func lazy(requests []*request) bool {
	for _, r := range requests {
		if !r.lazy {
			return false
		}
	}
	return true
}

// passLead wakes the next leader, if anybody waits.
func (s *Store) passLead() {
	g := &s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		g.leading = false
		return
	}
	next := g.queue[0]
	turn := next.turn
	next.turn = nil // a leader needs no telling
	turn <- true
}

// transact applies requests in one transaction. Its error is fatal for the store.
func (s *Store) transact(b *batch, requests []*request) error {
	if _, err := s.c.exec("begin immediate"); err != nil {
		return asError(err, s.dir)
	}
	if err := s.perform(b, requests); err != nil {
		_, _ = s.c.exec("rollback") // the store is lost either way
		return asError(err, s.dir)
	}
	if _, err := s.c.exec("commit"); err != nil {
		return asError(err, s.dir)
	}
	s.stats.transactions.Add(1)
	return asError(s.bound(b.pages, b.restart), s.dir)
}

// perform applies requests, writes the rows of the runs that they and claims changed, and counts a beat if there was no event.
func (s *Store) perform(b *batch, requests []*request) error {
	head := s.head
	for _, r := range requests {
		r.err = r.apply(b)
		if r.err != nil && decouple.KindOf(r.err) == decouple.Internal {
			return r.err
		}
	}
	for k, w := range s.unwritten {
		b.dirty[k] = w
	}
	clear(s.unwritten)
	for _, w := range b.dirty {
		if err := w.store(s.c); err != nil {
			return err
		}
	}
	if s.head == head {
		return s.countBeat()
	}
	return nil
}

// countBeat numbers a transaction that has no event, if this connection changed anything since the last one, so that the mark can tell when it gets lost.
func (s *Store) countBeat() error {
	v, err := s.c.one("select total_changes()")
	if err != nil || num(v[0]) == s.changes {
		return err
	}
	s.changes = num(v[0]) + 1 // with the row that follows
	s.beat++
	_, err = s.c.exec("insert into meta values (?,?,?) on conflict (key) do update set value = excluded.value, sum = excluded.sum",
		withSum("meta", "beat", strconv.FormatInt(s.beat, 10))...)
	return err
}

// bound keeps the write-ahead log from growing without end: it asks for a checkpoint, and when those cannot keep up does one itself.
func (s *Store) bound(pages int, restart bool) error {
	s.pages += pages
	if s.pages < walGrown && !restart {
		return nil
	}
	s.pages = 0
	if s.group.frames.Load() > walLimit || restart {
		_, err := s.c.one("pragma wal_checkpoint(restart)")
		s.group.frames.Store(0)
		return err
	}
	select {
	case s.group.grown <- struct{}{}:
	default:
	}
	return nil
}

// sync brings the log to the disk, and then says in the mark how far it is.
func (s *Store) sync(head markValue) error {
	g := &s.group
	if err := Datasync(s.wal); err != nil {
		return asError(err, s.dir)
	}
	s.stats.syncs.Add(1)
	if int64(head.pos) <= g.durable.Load() && head.beat <= g.beat {
		return nil
	}
	if err := s.mark.set(head); err != nil {
		return asError(err, s.dir)
	}
	g.durable.Store(int64(head.pos))
	g.beat = head.beat
	g.ring()
	return nil
}
