package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Config says where a store is. Dir is required.
type Config struct {
	Dir   string
	Node  journal.NodeSpec // its ID is random unless it is set; runs that may not execute at its site are not claimed
	Owner string           // what the lock file says of this process, default the program's name
	// AcceptLoss opens a journal whose newest acknowledged events are missing, and forgets them. See Verify.
	AcceptLoss bool
}

// Store is a journal in a folder. It is the only writer of that folder.
type Store struct {
	*Reader
	spec  journal.NodeSpec
	node  decouple.NodeID
	site  decouple.Site
	epoch journal.Epoch
	lock  *os.File
	mark  *mark
	wal   *os.File
	stats stats

	// db is held by the leader of a batch and guards what follows.
	db         sync.Mutex
	c          *conn
	head       decouple.Position
	lastSum    [32]byte
	beat       int64 // of the newest transaction without an event
	changes    int64 // rows that this connection had changed then
	streams    cache[decouple.Stream, *stream]
	works      cache[runKey, *work]
	claimed    map[runKey]*work
	unwritten  map[runKey]*work // claimed, and the row does not say so yet
	upload     int64            // newest
	uploadBase int64            // newest of an earlier process
	newest     int64            // stream id
	pages      int              // written since the last checkpoint was asked for, roughly
	keys       map[subjectKey][]byte

	urgent func(decouple.RunID)
	group  group
	queue  queue
	quit   context.CancelFunc
	tasks  sync.WaitGroup
}

var _ journal.Store = (*Store)(nil)

// Open opens the journal in cfg.Dir for writing and makes it if there is none. Errors: Conflict if another process writes there, Unavailable if the
// folder cannot be written, Internal if the journal is damaged.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Dir == "" {
		return nil, decouple.Errorf(decouple.Invalid, "the journal needs a folder")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, decouple.Errorf(decouple.Unavailable, "the data folder cannot be made: %w; choose another one with --data", err)
	}
	if cfg.Owner == "" {
		cfg.Owner = filepath.Base(os.Args[0])
	}
	if cfg.Node.ID == "" {
		cfg.Node.ID = decouple.NodeID("n" + strings.ToLower(rand.Text()[:8]))
	}
	s := newStore(cfg)
	if err := s.open(ctx, cfg); err != nil {
		s.Close()
		return nil, asError(err, cfg.Dir)
	}
	return s, nil
}

func newStore(cfg Config) *Store {
	s := &Store{spec: cfg.Node, node: cfg.Node.ID, site: cfg.Node.Site, urgent: func(decouple.RunID) {}, claimed: map[runKey]*work{}, unwritten: map[runKey]*work{}, keys: map[subjectKey][]byte{}}
	s.group.init()
	s.queue.init()
	return s
}

func (s *Store) open(ctx context.Context, cfg Config) error {
	if err := s.openFiles(cfg); err != nil {
		return err
	}
	if id, settled, err := readRestored(s.c); err != nil || id != "" && !settled {
		if err != nil {
			return err
		}
		return journal.Unsettled(cfg.Dir, id)
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	bg, quit := context.WithCancel(context.Background())
	s.quit = quit
	s.Reader.tail = s.group.tail
	s.Reader.synced = func() decouple.Position { return decouple.Position(s.group.durable.Load()) }
	s.tasks.Go(func() { s.checkpoints(bg) })
	s.tasks.Go(func() { s.timers(bg) })
	s.tasks.Go(func() { s.claims(bg) })
	return nil
}

// openFiles takes the lock, opens the database and its log and mark, and sees that nothing that was acknowledged is missing.
func (s *Store) openFiles(cfg Config) error {
	var err error
	if s.lock, err = takeLock(cfg.Dir, cfg.Owner); err != nil {
		return err
	}
	m, marked, err := readMark(cfg.Dir)
	if err != nil && !cfg.AcceptLoss {
		return err
	}
	if err := private(filepath.Join(cfg.Dir, dbFile)); err != nil {
		return err
	}
	if s.c, err = openConn(dsn(cfg.Dir, "rw", "journal_mode(WAL)", "synchronous(NORMAL)", "wal_autocheckpoint(0)", "busy_timeout(10000)", "cache_size(-16000)")); err != nil {
		return err
	}
	if err := migrate(s.c); err != nil {
		return err
	}
	if s.Reader, err = openReader(cfg.Dir); err != nil {
		return err
	}
	if err := s.checkMark(m, marked, cfg); err != nil {
		return err
	}
	if s.wal, err = os.OpenFile(filepath.Join(cfg.Dir, dbFile+"-wal"), os.O_RDWR, 0); err != nil {
		return err
	}
	s.mark, err = openMark(cfg.Dir, markValue{s.head, s.lastSum, s.beat})
	return err
}

// private makes an empty file that only this user may read; SQLite gives the log beside it the same mode.
func private(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// checkMark compares the newest event with what had been acknowledged.
func (s *Store) checkMark(m markValue, marked bool, cfg Config) error {
	v, err := s.c.one("select pos, checksum from event order by pos desc limit 1")
	if err != nil {
		return err
	}
	if v != nil {
		s.head = decouple.Position(num(v[0]))
		copy(s.lastSum[:], raw(v[1]))
	}
	s.group.durable.Store(int64(s.head))
	s.beat, err = readBeat(s.c)
	s.group.beat = s.beat
	if err != nil || cfg.AcceptLoss {
		return err
	}
	return markFault(s.c, cfg.Dir, m, marked, s.head)
}

// readBeat gives the number of the newest transaction without an event.
func readBeat(c *conn) (int64, error) {
	v, err := c.one("select * from meta where key = 'beat'")
	if err != nil || v == nil {
		return 0, err
	}
	if v, err = checkRow("meta", v); err != nil {
		return 0, err
	}
	return strconv.ParseInt(str(v[1]), 10, 64)
}

// markFault says what of the acknowledged events is missing, or nil.
func markFault(c *conn, dir string, m markValue, marked bool, head decouple.Position) error {
	const remedy = "restore the folder from a copy, or run `decouple verify --accept` to go on without them"
	switch {
	case !marked && head > 0:
		return decouple.Errorf(decouple.Internal, "the journal in %s holds %d events but its mark %s is gone, so it cannot be known whether all are there: restore the file, or run `decouple verify --accept`", dir, head, markFile)
	case m.pos > head:
		return decouple.Errorf(decouple.Internal, "the journal in %s lost its tail: events %d to %d were acknowledged and are not there (the write-ahead log was cut or damaged): %s", dir, head+1, m.pos, remedy)
	}
	beat, err := readBeat(c)
	if err != nil {
		return err
	}
	if m.beat > beat {
		return decouple.Errorf(decouple.Internal, "the journal in %s lost its tail: %d changes without events, after event %d, were acknowledged and are not there (the write-ahead log was cut or damaged): %s", dir, m.beat-beat, head, remedy)
	}
	if m.pos == 0 {
		return nil
	}
	v, err := c.one("select checksum from event where pos = ?", int64(m.pos))
	if err != nil {
		return err
	}
	if v == nil || [32]byte(append(raw(v[0]), make([]byte, 32)...)) != m.sum {
		return decouple.Errorf(decouple.Internal, "the journal in %s holds another event at position %d than the one acknowledged: %s", dir, m.pos, remedy)
	}
	return nil
}

// start takes the lease, sets the counters and fills the ready queue.
func (s *Store) start(ctx context.Context) error {
	v, err := s.c.one("select coalesce(max(epoch), 0) from lease")
	if err != nil {
		return err
	}
	s.epoch = journal.Epoch(num(v[0])) + 1
	if v, err = s.c.one("select coalesce(max(upload), 0) from chunk"); err != nil {
		return err
	}
	s.upload, s.uploadBase = num(v[0]), num(v[0])
	node, err := json.Marshal(s.spec)
	if err != nil {
		return err
	}
	if err := s.submit(ctx, &request{apply: func(b *batch) error {
		_, err := b.c.exec("insert into lease values (?,?,?,?)", withSum("lease", int64(s.epoch), string(node), b.now.UnixMicro())...)
		return err
	}}); err != nil {
		return err
	}
	var live []runKey
	err = s.c.each("select run.tenant, stream.name from work join run using (id) join stream using (id) where work.status = 'ready'", func(v []driver.Value) error {
		live = append(live, runKey{decouple.TenantID(str(v[0])), decouple.RunID(str(v[1]))})
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range live {
		w, err := s.work(k)
		if err != nil {
			return err
		}
		s.offer(w.ready())
	}
	return s.loadTimers()
}

// Epoch is the number of this process's lease. The lock on the folder is what makes it exclusive: it ends with the process, never before.
func (s *Store) Epoch() journal.Epoch { return s.epoch }

// Close lets the changes under way end, ends what runs in the background and closes the files. Closing twice does nothing.
func (s *Store) Close() error {
	if s.quit != nil {
		s.quit()
	}
	s.die(decouple.Errorf(decouple.Unavailable, "the journal is closed"))
	s.tasks.Wait()
	s.group.active.Wait()
	s.db.Lock()
	defer s.db.Unlock()
	if s.lock == nil {
		return nil
	}
	var errs []error
	if s.Reader != nil {
		errs = append(errs, s.Reader.Close())
	}
	if s.c != nil {
		errs = append(errs, s.c.close())
		s.c = nil
	}
	if s.mark != nil {
		errs = append(errs, s.mark.close())
		s.mark = nil
	}
	if s.wal != nil {
		errs = append(errs, s.wal.Close())
	}
	errs = append(errs, freeLock(s.lock))
	s.wal, s.lock = nil, nil
	return errors.Join(errs...)
}

const dbFile = "journal.db"

// dsn is the driver's name for the database with its settings.
func dsn(dir, mode string, pragmas ...string) string {
	q := url.Values{"mode": {mode}, "_pragma": pragmas}
	return "file:" + (&url.URL{Path: filepath.Join(dir, dbFile)}).EscapedPath() + "?" + q.Encode()
}

// asError gives errors of the operating system and of SQLite a kind and a remedy.
func asError(err error, dir string) error {
	var own *decouple.Error
	switch {
	case err == nil || errors.As(err, &own):
		return err
	case errors.Is(err, os.ErrPermission), strings.Contains(err.Error(), "readonly"), strings.Contains(err.Error(), "unable to open"):
		return decouple.Errorf(decouple.Unavailable, "the journal in %s cannot be written: %w; give this user the right to write there, or choose another folder with --data", dir, err)
	case strings.Contains(err.Error(), "full"):
		return decouple.Errorf(decouple.Unavailable, "the disk of the journal in %s is full: %w; make room and start again: all that was acknowledged is kept", dir, err)
	case strings.Contains(err.Error(), "disk I/O error"):
		return decouple.Errorf(decouple.Unavailable, "the disk of the journal in %s refuses: %w; see that it is well and has room, and start again: all that was acknowledged is kept", dir, err)
	case strings.Contains(err.Error(), "malformed"), strings.Contains(err.Error(), "not a database"):
		return decouple.Errorf(decouple.Internal, "the journal in %s is damaged: %w; run `decouple verify` and restore the folder from a copy", dir, err)
	}
	return fmt.Errorf("the journal in %s: %w", dir, err)
}

// checkpoints moves the write-ahead log into the database whenever it has grown, on a connection of its own, off the path of commits.
func (s *Store) checkpoints(ctx context.Context) {
	var c *conn
	defer func() {
		if c != nil {
			c.close()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.group.grown:
		}
		if c == nil {
			var err error
			if c, err = openConn(dsn(s.dir, "rw", "synchronous(NORMAL)", "busy_timeout(1000)", "wal_autocheckpoint(0)")); err != nil {
				continue // the log grows until the next try
			}
		}
		if v, err := c.one("pragma wal_checkpoint(passive)"); err == nil {
			s.group.frames.Store(num(v[1]))
		}
	}
}

// Checkpoint moves all of the write-ahead log into the database and begins the log anew, in the same file.
func (s *Store) Checkpoint(ctx context.Context) error {
	return s.submit(ctx, &request{apply: func(b *batch) error { b.restart = true; return nil }})
}

// timers makes parked runs ready when their time has come.
func (s *Store) timers(ctx context.Context) {
	for {
		at, ok := s.queue.nextTimer()
		wait := time.Hour
		if ok {
			wait = max(0, time.Until(at))
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-s.queue.timerSet:
			t.Stop()
		case <-t.C:
			if ok {
				s.fireTimers(ctx)
			}
		}
	}
}
