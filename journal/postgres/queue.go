package postgres

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// waiter is a call of Claim.
type waiter struct {
	want journal.Want
	ch   chan journal.Claim
}

// runKey names a run.
type runKey struct {
	tenant decouple.TenantID
	id     decouple.RunID
}

// queue hands claimed runs to callers of Claim. What the database says is what counts.
type queue struct {
	mu      sync.Mutex
	waiting []*waiter
	stash   []journal.Claim       // claimed, and nobody has taken it up yet
	held    map[runKey]int64      // rows of the runs that this node has claimed
	unsure  bool                  // a connection was lost in the middle of a claim: there may be claims that this node does not know of
	last    journal.Want          // of the newest call of Claim
	dry     map[journal.Want]bool // nothing was left to claim, and nobody has said since that there is
	rumours int                   // how often somebody has said so
	closed  chan struct{}
	ready   chan struct{} // there may be something to claim

	asking sync.Mutex // held over a claim
}

func (q *queue) init() {
	q.held = map[runKey]int64{}
	q.dry = map[journal.Want]bool{}
	q.closed = make(chan struct{})
	q.ready = make(chan struct{}, 1)
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

// news says that there may be runs to claim.
func (q *queue) news() {
	q.mu.Lock()
	clear(q.dry)
	q.rumours++
	q.mu.Unlock()
	q.ring()
}

// ring has claims look.
func (q *queue) ring() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *queue) doubt() {
	q.mu.Lock()
	q.unsure = true
	q.mu.Unlock()
}

// forget drops what was claimed under a lease that is lost.
func (q *queue) forget() {
	q.mu.Lock()
	q.stash = nil
	clear(q.held)
	q.mu.Unlock()
}

// wanted says how many runs a batch is to claim, and of which sort: for those who wait, or else for who has just been given some and will come for more.
func (q *queue) wanted(workers int) (int, journal.Want) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.waiting) > 0:
		return q.room(q.waiting[0].want, workers), q.waiting[0].want
	case len(q.stash) > 0:
		return max(0, min(workers-len(q.held), workers/2)), q.last
	}
	return 0, journal.Want{}
}

// room is how many runs of a sort are to be claimed: one for everybody who waits for such, and as many as there are idle workers, up to half of all. The mutex is held.
func (q *queue) room(w journal.Want, workers int) int {
	n := 0
	for _, o := range q.waiting {
		if o.want == w {
			n++
		}
	}
	if n > 0 {
		n = max(n, min(workers-len(q.held), workers/2))
	}
	return n
}

// take hands claimed runs to who waits for them, and keeps the rest.
func (q *queue) take(s *Store, rows []claimRow) {
	if len(rows) == 0 {
		return
	}
	epoch, lost := s.Epoch(), s.lostSignal()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, row := range rows {
		c, err := row.claim(epoch, lost)
		if err != nil {
			continue // its lease will free it, for a node that can read it
		}
		q.held[runKey{c.Run.Tenant, c.Run.ID}] = row.ID
		q.offer(c)
	}
}

// offer hands a claim to the first who waits for it. The mutex is held.
func (q *queue) offer(c journal.Claim) {
	for i, w := range q.waiting {
		if matches(w.want, c.Run) {
			q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
			w.ch <- c
			return
		}
	}
	q.stash = append(q.stash, c)
}

func matches(w journal.Want, r decouple.Run) bool {
	return (w.Tenant == "" || w.Tenant == r.Tenant) && (w.Root == "" || w.Root == r.Root)
}

// Claim gives the ready run that goes first, or waits for one.
func (s *Store) Claim(ctx context.Context, want journal.Want) (journal.Claim, error) {
	if err := ctx.Err(); err != nil {
		return journal.Claim{}, err
	}
	if err := s.group.err(); err != nil {
		return journal.Claim{}, err
	}
	q := &s.queue
	w := &waiter{want, make(chan journal.Claim, 1)}
	q.mu.Lock()
	for i, c := range q.stash {
		if matches(want, c.Run) {
			q.stash = append(q.stash[:i:i], q.stash[i+1:]...)
			q.mu.Unlock()
			return c, nil
		}
	}
	q.waiting = append(q.waiting, w)
	dry := q.dry[want]
	q.last = want
	q.mu.Unlock()
	if !dry {
		q.ring()
	}
	select {
	case c := <-w.ch:
		return c, nil
	case <-ctx.Done():
		q.leave(w)
		return journal.Claim{}, ctx.Err()
	case <-q.closed:
		return journal.Claim{}, s.group.err()
	}
}

// leave takes a waiter off the list and gives back what was handed to it meanwhile.
func (q *queue) leave(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, o := range q.waiting {
		if o == w {
			q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
			return
		}
	}
	select {
	case c := <-w.ch:
		q.offer(c)
	default:
	}
}

// release forgets a run that is no longer at work here.
func (q *queue) release(k runKey) {
	q.mu.Lock()
	delete(q.held, k)
	q.mu.Unlock()
}

// claims asks for ready runs whenever somebody waits and there may be some.
func (s *Store) claims(ctx context.Context) {
	q := &s.queue
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.ready:
		case <-t.C:
			if s.idle() {
				_ = s.again(ctx, s.giveBack) // what fails is tried again at the next tick
			}
		}
		for s.ask(ctx) {
		}
	}
}

// idle says whether runs are claimed that nobody here takes up.
func (s *Store) idle() bool {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return (len(s.queue.stash) > 0 || s.queue.unsure) && len(s.queue.waiting) == 0 || s.queue.unsure
}

// ask claims for each sort of waiter; true is that it got as much as it asked for and there may be more.
func (s *Store) ask(ctx context.Context) bool {
	s.queue.asking.Lock()
	defer s.queue.asking.Unlock()
	more := false
	for _, w := range s.sorts() {
		n, err := s.askFor(ctx, w)
		if err != nil {
			return false
		}
		more = more || n > 0
	}
	return more && len(s.sorts()) > 0
}

// sorts are the different wishes of those who wait.
func (s *Store) sorts() []journal.Want {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	var out []journal.Want
	seen := map[journal.Want]bool{}
	for _, w := range s.queue.waiting {
		if !seen[w.want] {
			seen[w.want] = true
			out = append(out, w.want)
		}
	}
	return out
}

func (s *Store) askFor(ctx context.Context, w journal.Want) (int, error) {
	q := &s.queue
	q.mu.Lock()
	n, rumours := q.room(w, s.cfg.Node.Workers), q.rumours
	q.mu.Unlock()
	if n == 0 {
		return 0, nil
	}
	site := s.cfg.Node.Site
	var got []claimRow
	err := s.again(ctx, func(ctx context.Context) error {
		rows, err := s.claimer.Query(ctx, "select id, spec, seq, sum, inbox, consumed, abandoned from claim_runs($1,$2,$3,$4,$5,$6,$7,$8)",
			string(s.cfg.Node.ID), int64(s.Epoch()), n, string(w.Tenant), string(w.Root), site.Cloud, site.Region, notNil(site.Labels))
		if err != nil {
			return err
		}
		got, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c claimRow, err error) {
			return c, row.Scan(&c.ID, &c.Spec, (*int64)(&c.Seq), &c.sum, (*int64)(&c.Inbox), (*int64)(&c.Consumed), &c.Left)
		})
		return err
	})
	if err != nil {
		return 0, err
	}
	q.take(s, got)
	q.mu.Lock()
	if len(got) < n && q.rumours == rumours {
		q.dry[w] = true
	}
	q.mu.Unlock()
	return len(got), nil
}

// giveBack makes runs ready that were claimed here and that nobody has taken up, and those that this node does not know it has claimed.
func (s *Store) giveBack(ctx context.Context) error {
	q := &s.queue
	q.asking.Lock()
	defer q.asking.Unlock()
	s.group.mu.Lock()
	quiet := !s.group.leading
	if quiet {
		s.group.leading = true // no batch claims meanwhile
	}
	s.group.mu.Unlock()
	if !quiet {
		return nil
	}
	defer s.passLead()
	q.mu.Lock()
	for _, c := range q.stash {
		delete(q.held, runKey{c.Run.Tenant, c.Run.ID})
	}
	q.stash = nil
	known := make([]int64, 0, len(q.held))
	for _, id := range q.held {
		known = append(known, id)
	}
	q.mu.Unlock()
	_, err := s.pool.Exec(ctx, "update work set status = 'ready', node = '', epoch = 0 where status = 'running' and epoch = $1 and id <> all($2)", int64(s.Epoch()), known)
	q.mu.Lock()
	q.unsure = err != nil
	q.mu.Unlock()
	q.news()
	return err
}

// Reclaim makes the runs of a tree ready that a node whose lease has ended left running, or that were interrupted.
func (s *Store) Reclaim(ctx context.Context, t decouple.TenantID, root decouple.RunID) (int, error) {
	n := 0
	err := s.again(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `with gone as (select w.id, w.status from work w left join lease l on l.epoch = w.epoch
				where w.tenant = $1 and w.root = $2 and (w.status = 'running' and (l.epoch is null or l.until <= clock()) or w.status = 'parked' and w.waits = 'interrupted') for update of w),
			freed as (update work set status = 'ready', waits = '', wait = '', node = '', epoch = 0, until = 0, wake = 0, abandoned = abandoned or gone.status = 'running', updated = $3
				from gone where work.id = gone.id returning 1)
			select count(*) from freed`, string(t), string(root), s.now()).Scan(&n)
	})
	if n > 0 {
		s.queue.news()
	}
	return n, err
}

// chores looks after timers, after the leases of others, and after what is old.
func (s *Store) chores(ctx context.Context) {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		var fired, freed int
		_ = s.claimer.QueryRow(ctx, "select fire_timers($1)", s.now()).Scan(&fired) // what fails is tried again at the next tick
		if s.cfg.Fleet && n%3 == 0 {
			_ = s.claimer.QueryRow(ctx, "select free_left($1)", s.now()).Scan(&freed)
		}
		if fired+freed > 0 {
			s.queue.news()
		}
		if n%6000 == 5999 {
			s.tidy(ctx)
		}
	}
}

// tidy deletes what nobody needs any more: ids of commits after a week, messages of runs that have ended, leases after a day.
func (s *Store) tidy(ctx context.Context) {
	week := s.now() - (7 * 24 * time.Hour).Microseconds()
	for _, q := range []string{
		"delete from done where id in (select id from done where time < $1 limit 5000)",
		"delete from inbox where (run, seq) in (select i.run, i.seq from inbox i join work w on w.id = i.run where w.status = 'ended' and w.updated < $1 limit 5000)",
		"delete from lease where until < $1 and not exists (select 1 from work where work.epoch = lease.epoch and work.status = 'running')",
		"delete from served s where $1 > 0 and not exists (select 1 from work w where w.tenant = s.tenant and w.root = s.root and w.status <> 'ended')",
	} {
		_, _ = s.pool.Exec(ctx, q, week) // tried again at the next time
	}
}

// Send says something to the other nodes.
func (s *Store) Send(ctx context.Context, body []byte) error {
	if len(body) > journal.MaxWire {
		return decouple.Errorf(decouple.TooLarge, "%d bytes cannot be sent to the other nodes at once", len(body))
	}
	_, err := s.pool.Exec(ctx, "select pg_notify('decouple_wire', $1)", "w "+itoa(int64(s.Epoch()))+" "+string(body))
	return asError(err, s.cfg.URL)
}

// Hear has fn called with what other nodes say.
func (s *Store) Hear(fn func([]byte)) { s.wire.Store(&fn) }

func (s *Store) heard(body string) {
	if fn := s.wire.Load(); fn != nil {
		(*fn)([]byte(body))
	}
}

// listen hears the hints of other nodes.
func (s *Store) listen(ctx context.Context) {
	for ctx.Err() == nil {
		_ = s.hear(ctx) // polling goes on without it
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (s *Store) hear(ctx context.Context) error {
	c, err := pgx.Connect(ctx, s.cfg.URL)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	if _, err := c.Exec(ctx, "listen decouple; listen decouple_wire", pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	for {
		n, err := c.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		switch what, rest, _ := strings.Cut(n.Payload, " "); what {
		case "w":
			if from, body, ok := strings.Cut(rest, " "); ok && from != itoa(int64(s.Epoch())) {
				s.heard(body)
			}
		case "r":
			s.queue.news()
			s.group.ring()
		case "e":
			s.group.ring()
		case "u":
			if epoch, run, ok := strings.Cut(rest, " "); ok && epoch == itoa(int64(s.Epoch())) {
				s.tell(decouple.RunID(run))
			}
		}
	}
}
