package sqlite

import (
	"container/heap"
	"context"
	"database/sql/driver"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// readyRun is a run that waits for a worker.
type readyRun struct {
	key      runKey
	root     decouple.RunID
	priority int
	age      int64
	site     decouple.Site
}

// timer makes a parked run ready at a time.
type timer struct {
	at  time.Time
	key runKey
}

// queue holds the ready runs and the timers. It is filled from the view at start and after every batch that is durable: the view is
// what counts, the queue only saves looking for it.
type queue struct {
	mu       sync.Mutex
	ready    shares
	waiting  map[chan readyRun]journal.Want
	closed   chan struct{}
	claimed  chan struct{}
	timers   timerHeap
	timerSet chan struct{}
}

func (q *queue) init() {
	q.ready = newShares()
	q.waiting = map[chan readyRun]journal.Want{}
	q.closed = make(chan struct{})
	q.claimed = make(chan struct{}, 1)
	q.timerSet = make(chan struct{}, 1)
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.closed:
	default:
		close(q.closed)
	}
}

// offer queues a ready run, if it may execute here.
func (s *Store) offer(r readyRun) {
	if r.site.Allows(s.site) {
		s.queue.push(r)
	}
}

// push hands a ready run to a worker that waits, or keeps it.
func (q *queue) push(r readyRun) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for ch, w := range q.waiting {
		if (w.Root == "" || w.Root == r.root) && (w.Tenant == "" || w.Tenant == r.key.tenant) {
			delete(q.waiting, ch)
			ch <- r
			return
		}
	}
	q.ready.push(r)
}

// pop takes the run that goes first, or registers ch to be handed one.
func (q *queue) pop(w journal.Want, ch chan readyRun) (readyRun, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r, ok := q.ready.pop(w); ok {
		return r, true
	}
	q.waiting[ch] = w
	return readyRun{}, false
}

// leave takes ch off the waiting list and gives back what was handed to it meanwhile.
func (q *queue) leave(ch chan readyRun) {
	q.mu.Lock()
	delete(q.waiting, ch)
	q.mu.Unlock()
	select {
	case r := <-ch:
		q.push(r)
	default:
	}
}

// Claim gives the ready run that goes first, or waits for one. That it runs is written with the run's next commit or a moment later, and never waited for: the
// lock on the folder keeps others away, and a run whose claim was lost in a crash is simply ready again.
func (s *Store) Claim(ctx context.Context, want journal.Want) (journal.Claim, error) {
	for {
		if err := ctx.Err(); err != nil {
			return journal.Claim{}, err
		}
		ch := make(chan readyRun, 1)
		r, ok := s.queue.pop(want, ch)
		if !ok {
			select {
			case r = <-ch:
			case <-ctx.Done():
				s.queue.leave(ch)
				return journal.Claim{}, ctx.Err()
			case <-s.queue.closed:
				return journal.Claim{}, s.group.err()
			}
		}
		if c, ok, err := s.claim(r); ok || err != nil {
			return c, err
		}
	}
}

// claim marks a run as running here, unless it is no longer ready.
func (s *Store) claim(r readyRun) (journal.Claim, bool, error) {
	s.db.Lock()
	defer s.db.Unlock()
	if err := s.group.err(); err != nil {
		return journal.Claim{}, false, err
	}
	w, err := s.work(r.key)
	if err != nil || w == nil || w.body.Status != decouple.RunReady {
		return journal.Claim{}, false, err
	}
	head, err := s.stream(decouple.RunStream(w.run.Tenant, w.run.ID))
	if err != nil {
		return journal.Claim{}, false, err
	}
	w.body.Status, w.body.Node, w.body.Epoch = decouple.RunRunning, s.node, s.epoch
	s.claimed[r.key], s.unwritten[r.key] = w, w
	select {
	case s.queue.claimed <- struct{}{}:
	default:
	}
	c := journal.Claim{Run: w.run, Epoch: s.epoch, Seq: head.seq, Inbox: w.body.Inbox, Consumed: w.body.Consumed, Left: w.body.Left}
	if head.seq > 0 {
		c.Event = journal.EventIDOf(head.sum)
	}
	return c, true, nil
}

// claims writes rows of claimed runs that have not committed anything for a moment, for those who look at the view.
func (s *Store) claims(ctx context.Context) {
	const moment = 5 * time.Millisecond
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.queue.claimed:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(moment):
			_ = s.writeClaims(ctx) // fails when the store does, which everybody else hears of
		}
	}
}

// writeClaims brings the view up to date with what was claimed.
func (s *Store) writeClaims(ctx context.Context) error {
	s.db.Lock()
	n := len(s.unwritten)
	s.db.Unlock()
	if n == 0 {
		return nil
	}
	return s.submit(ctx, &request{lazy: true, apply: func(*batch) error { return nil }})
}

// Runs lists rows of the view of runs, claims included.
func (s *Store) Runs(ctx context.Context, f journal.RunFilter) ([]journal.RunRow, error) {
	if err := s.writeClaims(ctx); err != nil {
		return nil, err
	}
	return s.Reader.Runs(ctx, f)
}

// Reclaim makes the runs of a tree that an earlier process left running, or that were interrupted, ready.
func (s *Store) Reclaim(ctx context.Context, t decouple.TenantID, root decouple.RunID) (int, error) {
	rows, err := s.Runs(ctx, journal.RunFilter{Tenant: t, Root: root, Status: []decouple.RunStatus{decouple.RunRunning, decouple.RunParked}})
	if err != nil {
		return 0, err
	}
	n := 0
	err = s.submit(ctx, &request{apply: func(b *batch) error {
		n = 0
		for _, row := range rows {
			w, err := b.work(runKey{row.Tenant, row.ID})
			if err != nil {
				return err
			}
			left := w.body.Status == decouple.RunRunning && w.body.Epoch < b.epoch
			if left || w.body.Status == decouple.RunParked && w.body.Wait.Kind == decouple.WaitInterrupted {
				w.body.Node, w.body.Epoch, w.body.Left = "", 0, w.body.Left || left
				b.wake(w)
				n++
			}
		}
		return nil
	}})
	return n, err
}

// loadTimers reads the timers of parked runs.
func (s *Store) loadTimers() error {
	return s.c.each("select run.tenant, stream.name, work.wake from work join run using (id) join stream using (id) where work.wake > 0", func(v []driver.Value) error {
		s.queue.setTimer(timer{time.UnixMicro(num(v[2])), runKey{decouple.TenantID(str(v[0])), decouple.RunID(str(v[1]))}})
		return nil
	})
}

func (q *queue) setTimer(t timer) {
	q.mu.Lock()
	heap.Push(&q.timers, t)
	q.mu.Unlock()
	select {
	case q.timerSet <- struct{}{}:
	default:
	}
}

func (q *queue) nextTimer() (time.Time, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.timers) == 0 {
		return time.Time{}, false
	}
	return q.timers[0].at, true
}

// fireTimers makes the runs ready whose time has come; a timer that its run no longer has is dropped.
func (s *Store) fireTimers(ctx context.Context) {
	now := time.Now()
	var due []timer
	s.queue.mu.Lock()
	for len(s.queue.timers) > 0 && !s.queue.timers[0].at.After(now) {
		due = append(due, heap.Pop(&s.queue.timers).(timer))
	}
	s.queue.mu.Unlock()
	// An error is of the store as a whole and reaches every other caller too.
	_ = s.submit(ctx, &request{apply: func(b *batch) error {
		for _, t := range due {
			w, err := b.work(t.key)
			if err != nil {
				return err
			}
			if w != nil && w.body.Status == decouple.RunParked && w.body.Wake == t.at.UnixMicro() {
				b.wake(w)
			}
		}
		return nil
	}})
}

// before says whether r goes before o: by priority, then by age.
func (r *readyRun) before(o *readyRun) bool {
	if r.priority != o.priority {
		return r.priority > o.priority
	}
	return r.age < o.age
}

type timerHeap []timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push adds an element; it is for package heap.
func (h *timerHeap) Push(x any) { *h = append(*h, x.(timer)) }

// Pop removes the last element; it is for package heap.
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	*h = old[:len(old)-1]
	return t
}

// Holds says whether an epoch is this process's: the lock on the folder keeps it until the process ends.
func (s *Store) Holds(e journal.Epoch) bool { return e == s.epoch && s.group.err() == nil }

// Urgent has fn called for runs at work that get an urgent message.
func (s *Store) Urgent(fn func(decouple.RunID)) { s.urgent = fn }
