// Package postgres answers "how does a fleet keep its journal?": in one PostgreSQL database that any number of nodes share.
//
// Commits of a node are joined in batches, and a batch is one statement and one round trip: the function commit_set checks all callers by a few joins and writes those that
// are good by a few statements. The rest, seldom anything, is what fails, was committed before or builds on another caller of its batch: the function commit_batch looks
// at that one after the other, in a call of its own. Both lock the one row of the head first, so that positions are dense and in the order of commits; the lock lasts as
// long as the server works, never over a round trip. A node holds a lease, in the server's time; who has lost it can write nothing.
//
// It needs PostgreSQL 15 or newer. Durability is the server's: synchronous_commit and the standbys that it waits for are left as they are set there.
package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Config says where a store is and who opens it. URL is required.
type Config struct {
	URL   string           // postgres://user:password@host:port/database
	Node  journal.NodeSpec // its ID is random if empty
	Lease time.Duration    // of a node, default 5 s
	// Fleet has this node look after others: runs of a node whose lease has ended are made ready without being asked for.
	Fleet bool
	// Patience is how long a lost connection is tried again before a call fails, default 30 s.
	Patience time.Duration
}

// Store is a journal in a database, as one node sees it.
type Store struct {
	wire atomic.Pointer[func([]byte)]
	*Reader
	writer  *pgxpool.Pool // one connection for batches: its server process has their plans ready, and one batch goes at a time anyway
	claimer *pgxpool.Pool // one connection for claims and chores, likewise
	cfg     Config
	group   group
	queue   queue
	lease   lease
	inboxes inboxes
	quit    context.CancelFunc
	bg      context.Context
	tasks   sync.WaitGroup

	mu     sync.Mutex
	keys   map[subjectKey][]byte
	urgent func(decouple.RunID)
	closed bool
}

var _ journal.Store = (*Store)(nil)

// Open opens the journal in a database, makes its schema if there is none or an older one, and takes a lease.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Lease <= 0 {
		cfg.Lease = 5 * time.Second
	}
	if cfg.Patience <= 0 {
		cfg.Patience = 30 * time.Second
	}
	if cfg.Node.ID == "" {
		cfg.Node.ID = decouple.NodeID("n" + strings.ToLower(rand.Text()[:8]))
	}
	r, err := connect(ctx, cfg.URL)
	if err != nil {
		return nil, err
	}
	s := &Store{Reader: r, cfg: cfg, keys: map[subjectKey][]byte{}, urgent: func(decouple.RunID) {}}
	if err = s.open(ctx); err != nil {
		s.disconnect()
		return nil, asError(err, cfg.URL)
	}
	return s, nil
}

// disconnect closes all connections but that of listen, which ends with its context.
func (s *Store) disconnect() {
	for _, p := range []*pgxpool.Pool{s.pool, s.writer, s.claimer} {
		if p != nil {
			p.Close()
		}
	}
}

func (s *Store) open(ctx context.Context) error {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	err = migrate(ctx, c.Conn())
	c.Release()
	if err != nil {
		return err
	}
	if err := inUse(ctx, s.pool, s.cfg.URL); err != nil {
		return err
	}
	if s.writer, err = newPool(ctx, s.cfg.URL, 1); err != nil {
		return err
	}
	if s.claimer, err = newPool(ctx, s.cfg.URL, 1); err != nil {
		return err
	}
	if s.group.head, err = s.Reader.Head(ctx); err != nil {
		return err
	}
	s.group.init()
	s.queue.init()
	if err := s.take(ctx); err != nil {
		return err
	}
	s.Reader.tail = s.group.tail
	s.bg, s.quit = context.WithCancel(context.Background())
	for _, task := range []func(context.Context){s.renew, s.listen, s.claims, s.chores} {
		s.tasks.Go(func() { task(s.bg) })
	}
	return nil
}

// newPool makes a pool of connections, which are opened when they are needed.
func newPool(ctx context.Context, url string, most int32) (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "the address of the store is not one of PostgreSQL: write postgres://USER:PASSWORD@HOST:PORT/DATABASE")
	}
	pc.MaxConns, pc.MinConns = most, 1
	pc.ConnConfig.RuntimeParams["application_name"] = "decouple"
	pc.ConnConfig.ConnectTimeout = 5 * time.Second
	return pgxpool.NewWithConfig(ctx, pc)
}

// connect opens what a reader needs.
func connect(ctx context.Context, url string) (*Reader, error) {
	pool, err := newPool(ctx, url, 8)
	if err != nil {
		return nil, asError(err, url)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, asError(err, url)
	}
	r := &Reader{pool: pool, url: url}
	r.tail = r.poll
	return r, nil
}

// Close gives back what was claimed and never begun, ends the lease and the connections.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.die(decouple.Errorf(decouple.Unavailable, "the journal is closed"))
	s.quit()
	s.group.active.Wait()
	s.tasks.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := s.end(ctx) // one that fails runs out by itself
	s.disconnect()
	if transient(err) {
		return nil
	}
	return err
}

// die makes every later call answer err and wakes who waits.
func (s *Store) die(err error) {
	s.group.fail(err)
	s.queue.close()
	s.group.ring()
}

// Urgent has fn called for runs at work here that get an urgent message.
func (s *Store) Urgent(fn func(decouple.RunID)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.urgent = fn
}

func (s *Store) tell(id decouple.RunID) {
	s.mu.Lock()
	fn := s.urgent
	s.mu.Unlock()
	fn(id)
}

// transient says whether an error is of the connection, or of a server that is about to be well again.
func transient(err error) bool {
	var pg *pgconn.PgError
	var own *decouple.Error
	var network net.Error
	switch {
	case err == nil, errors.As(err, &own), errors.Is(err, context.Canceled), errors.Is(err, pgx.ErrNoRows):
		return false
	case errors.As(err, &pg):
		switch {
		case strings.HasPrefix(pg.Code, "08"), strings.HasPrefix(pg.Code, "57P"), strings.HasPrefix(pg.Code, "40"), strings.HasPrefix(pg.Code, "53"), pg.Code == "25006":
			return true // connection, shutdown, deadlock or serialisation, resources, read only: a standby that is not promoted yet
		}
		return false
	}
	var failed *pgconn.ConnectError
	return errors.As(err, &failed) || errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || pgconn.SafeToRetry(err) ||
		strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "closed pool") || errors.Is(err, net.ErrClosed)
}

// again calls do until it succeeds, fails for good, or the patience with the connection is over.
func (s *Store) again(ctx context.Context, do func(ctx context.Context) error) error {
	pause := 5 * time.Millisecond
	for end := time.Now().Add(s.cfg.Patience); ; {
		err := do(ctx)
		if !transient(err) || ctx.Err() != nil {
			return asError(err, s.cfg.URL)
		}
		s.queue.doubt()
		if time.Now().Add(pause).After(end) || s.group.err() != nil {
			return asError(err, s.cfg.URL)
		}
		select {
		case <-ctx.Done():
			return asError(err, s.cfg.URL)
		case <-time.After(pause):
		}
		pause = min(2*pause, 500*time.Millisecond)
	}
}

// asError gives errors of the connection and the server a kind and a remedy. The password is never in them.
func asError(err error, url string) error {
	var own *decouple.Error
	var pg *pgconn.PgError
	switch {
	case err == nil || errors.As(err, &own) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && !transient(err):
		return err
	case errors.As(err, &pg) && (pg.Code == "28P01" || pg.Code == "28000"):
		return decouple.Errorf(decouple.Unauthenticated, "the store at %s does not let this user in: %s; see user and password in its address", place(url), pg.Message)
	case errors.As(err, &pg) && pg.Code == "3D000":
		return decouple.Errorf(decouple.NotFound, "the store at %s lacks the database: %s; make it with createdb", place(url), pg.Message)
	case errors.As(err, &pg) && pg.Code == "42501":
		return decouple.Errorf(decouple.Denied, "the store at %s refuses: %s; give this user the right to create tables and functions", place(url), pg.Message)
	case errors.As(err, &pg) && pg.Code == "42P01":
		return decouple.Errorf(decouple.NotFound, "there is no journal in the store at %s yet: `decouple serve --store ...` makes it", place(url))
	case errors.As(err, &pg):
		kind := decouple.Internal
		if transient(err) {
			kind = decouple.Unavailable
		}
		return decouple.Errorf(kind, "the store at %s: %s (%s)", place(url), pg.Message, pg.Code)
	}
	return decouple.Errorf(decouple.Unavailable, "the store at %s does not answer: see that the server runs and can be reached", place(url))
}

// place is where a store is, without who may use it.
func place(url string) string {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return "that address"
	}
	return net.JoinHostPort(c.Host, itoa(int64(c.Port))) + "/" + c.Database
}
