package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Reader reads a journal that this or another process writes.
type Reader struct {
	dir   string
	db    *sql.DB
	stmts sync.Map                                                 // prepared, by text; the texts are few
	tail  func(ctx context.Context, after decouple.Position) error // waits for an event after a position
	// synced is the newest position on disk, where this process writes; nil elsewhere.
	synced func() decouple.Position
}

var _ journal.Reader = (*Reader)(nil)

// OpenReader opens the journal in dir for reading only, while another process may write it. No journal there is NotFound.
func OpenReader(_ context.Context, dir string) (*Reader, error) {
	if _, err := os.Stat(filepath.Join(dir, dbFile)); err != nil {
		if m, marked, _ := readMark(dir); marked && m.pos > 0 {
			return nil, decouple.Errorf(decouple.Internal, "the journal in %s is gone: %s is not there, and %d events had been acknowledged: restore the folder from a copy", dir, dbFile, m.pos)
		}
		return nil, decouple.Errorf(decouple.NotFound, "there is no journal in %s yet: start with `decouple research` or `decouple notes add`", dir)
	}
	r, err := openReader(dir)
	if err != nil {
		return nil, asError(err, dir)
	}
	var version int
	if err := r.db.QueryRow("pragma user_version").Scan(&version); err != nil {
		r.Close()
		return nil, asError(err, dir)
	}
	if version != len(migrations) {
		r.Close()
		return nil, decouple.Errorf(decouple.Invalid, "the journal in %s has schema version %d and this program reads %d: open it once with a program that writes, of the newest version", dir, version, len(migrations))
	}
	if err := r.inUse(); err != nil {
		r.Close()
		return nil, asError(err, dir)
	}
	return r, nil
}

// inUse refuses a journal whose import was not finished.
func (r *Reader) inUse() error {
	c, err := openConn(dsn(r.dir, "ro", "query_only(1)", "busy_timeout(10000)"))
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	if id, settled, err := readRestored(c); err != nil || id != "" && !settled {
		if err != nil {
			return err
		}
		return journal.Unsettled(r.dir, id)
	}
	return nil
}

func openReader(dir string) (*Reader, error) {
	db, err := sql.Open("sqlite", dsn(dir, "ro", "query_only(1)", "busy_timeout(10000)", "cache_size(-4000)"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(4)
	r := &Reader{dir: dir, db: db}
	r.tail = r.poll
	return r, nil
}

// Close closes the reader's connections.
func (r *Reader) Close() error { return r.db.Close() }

// poll looks for news of another process's journal.
func (r *Reader) poll(ctx context.Context, after decouple.Position) error {
	const every = 50 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if head, err := r.Head(ctx); err != nil || head > after {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// query calls fn for every row; the values are valid until the next row.
func (r *Reader) query(ctx context.Context, q string, fn func(v []driver.Value) error, args ...any) error {
	stmt, err := r.stmt(ctx, q)
	if err != nil {
		return readError(ctx, err, r.dir)
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return readError(ctx, err, r.dir)
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		return readError(ctx, err, r.dir)
	}
	v := make([]driver.Value, len(cols))
	into := make([]any, len(cols))
	for i := range v {
		into[i] = (*any)(&v[i])
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return readError(ctx, err, r.dir)
		}
		if err := fn(v); err != nil {
			return err
		}
	}
	return readError(ctx, rows.Err(), r.dir)
}

func (r *Reader) stmt(ctx context.Context, q string) (*sql.Stmt, error) {
	if s, ok := r.stmts.Load(q); ok {
		return s.(*sql.Stmt), nil
	}
	s, err := r.db.PrepareContext(ctx, q)
	if err != nil {
		return nil, err
	}
	if first, ok := r.stmts.LoadOrStore(q, s); ok {
		s.Close()
		return first.(*sql.Stmt), nil
	}
	return s, nil
}

func readError(ctx context.Context, err error, dir string) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return asError(err, dir)
}

// Head is the position of the newest event.
func (r *Reader) Head(ctx context.Context) (decouple.Position, error) {
	var head int64
	err := r.query(ctx, "select coalesce(max(pos), 0) from event", func(v []driver.Value) error {
		head = num(v[0])
		return nil
	})
	return decouple.Position(head), err
}

// Read returns events of a stream, each checked against the one before it.
func (r *Reader) Read(ctx context.Context, s decouple.Stream, after decouple.Seq, limit int) ([]decouple.Event, error) {
	if limit <= 0 {
		limit = 1 << 30
	}
	from := max(after, 0)
	var out []decouple.Event
	var prev [32]byte
	err := r.query(ctx, `select event.pos, event.seq, event.record, event.checksum from event join stream on stream.id = event.stream
		where stream.tenant = ? and stream.kind = ? and stream.name = ? and event.seq >= ? order by event.seq limit ?`,
		func(v []driver.Value) error {
			seq := decouple.Seq(num(v[1]))
			if seq == from {
				copy(prev[:], raw(v[3])) // its own record was checked by whoever read it, or is by Verify
				return nil
			}
			e, err := checkEvent(v, prev)
			if err != nil {
				return err
			}
			if want := from + decouple.Seq(len(out)) + 1; e.Seq != want || e.Stream != s {
				return damaged(decouple.Position(num(v[0])), "stands at %s %d, where %s %d belongs", e.Stream, e.Seq, s, want)
			}
			prev = e.Checksum
			out = append(out, e)
			return nil
		}, string(s.Tenant), string(s.Kind), s.ID, int64(from), limit+min(1, int(from)))
	return out, err
}

// checkEvent decodes a row of (pos, seq, record, checksum) and checks it against its predecessor's checksum.
func checkEvent(v []driver.Value, prev [32]byte) (decouple.Event, error) {
	pos := decouple.Position(num(v[0]))
	record := raw(v[2])
	e, err := journal.Decode(record)
	if err != nil {
		return e, damaged(pos, "cannot be read: %v", err)
	}
	sum := journal.Chain(prev, record)
	if stored := raw(v[3]); string(stored) != string(sum[:]) {
		return e, damaged(pos, "(%s of %s, number %d) does not match its checksum", e.Kind, e.Stream, e.Seq)
	}
	if int64(e.Seq) != num(v[1]) {
		return e, damaged(pos, "says it is number %d and is stored as number %d", e.Seq, num(v[1]))
	}
	e.Position, e.Checksum, e.ID = pos, sum, journal.EventIDOf(sum)
	return e, nil
}

func damaged(pos decouple.Position, format string, args ...any) error {
	return decouple.Errorf(decouple.Internal, "the journal is damaged: the event at position %d "+format+"; run `decouple verify` and restore the folder from a copy", append([]any{pos}, args...)...)
}

// Scan returns events in order of position, each checked against its predecessor in its stream.
func (r *Reader) Scan(ctx context.Context, f journal.Filter) ([]decouple.Event, error) {
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	q := `select event.pos, event.seq, event.record, event.checksum, before.checksum, stream.tenant, stream.kind, stream.name
		from event join stream on stream.id = event.stream left join event before on before.stream = event.stream and before.seq = event.seq - 1
		where event.pos > ?`
	args := []any{int64(f.After)}
	if f.Tenant != "" {
		q, args = q+" and stream.tenant = ?", append(args, string(f.Tenant))
	}
	if f.Kind != "" {
		q, args = q+" and stream.kind = ?", append(args, string(f.Kind))
	}
	var out []decouple.Event
	err := r.query(ctx, q+" order by event.pos limit ?", func(v []driver.Value) error {
		var prev [32]byte
		copy(prev[:], raw(v[4]))
		e, err := checkEvent(v, prev)
		if err != nil {
			return err
		}
		if s := (decouple.Stream{Tenant: decouple.TenantID(str(v[5])), Kind: decouple.StreamKind(str(v[6])), ID: str(v[7])}); s != e.Stream {
			return damaged(e.Position, "belongs to %s and is stored under %s", e.Stream, s)
		}
		out = append(out, e)
		return nil
	}, append(args, f.Limit)...)
	return out, err
}

// Follow calls fn for every event after a position, in order, and waits for new ones.
func (r *Reader) Follow(ctx context.Context, after decouple.Position, fn func(decouple.Event) error) error {
	for {
		events, err := r.Scan(ctx, journal.Filter{After: after, Limit: 256})
		if err != nil {
			return err
		}
		if r.synced != nil {
			events = upTo(events, r.synced())
		}
		for _, e := range events {
			if e.Position != after+1 {
				return damaged(after+1, "is missing: the next is %d", e.Position)
			}
			if err := fn(e); err != nil {
				return err
			}
			after = e.Position
		}
		if len(events) == 0 {
			if err := r.tail(ctx, after); err != nil {
				return err
			}
		}
	}
}

// upTo drops events after a position.
func upTo(events []decouple.Event, pos decouple.Position) []decouple.Event {
	for i, e := range events {
		if e.Position > pos {
			return events[:i]
		}
	}
	return events
}

// Runs lists rows of the view of runs, oldest first unless f says otherwise.
func (r *Reader) Runs(ctx context.Context, f journal.RunFilter) ([]journal.RunRow, error) {
	var where []string
	var args []any
	add := func(cond string, vals ...any) {
		where, args = append(where, cond), append(args, vals...)
	}
	if f.Tenant != "" {
		add("run.tenant = ?", string(f.Tenant))
	}
	if f.ID != "" {
		add("stream.name = ?", string(f.ID))
	}
	if f.Root != "" {
		add("run.root = ?", string(f.Root))
	}
	if f.Roots {
		add("run.parent = ''")
	}
	if f.Key != "" {
		add("run.idem = ?", f.Key)
	}
	if f.Agent != "" {
		add("json_extract(run.spec, '$.run.agent') = ?", string(f.Agent))
	}
	if len(f.Status) > 0 {
		add("work.status in ("+marks(len(f.Status))+")", texts(f.Status)...)
	}
	if len(f.Wait) > 0 {
		add("work.status = 'parked' and json_extract(work.body, '$.wait.kind') in ("+marks(len(f.Wait))+")", texts(f.Wait)...)
	}
	if f.After > 0 && f.Newest {
		add("run.id < ?", f.After)
	} else if f.After > 0 {
		add("run.id > ?", f.After)
	}
	q := workQuery
	if len(where) > 0 {
		q += " where " + strings.Join(where, " and ")
	}
	q += " order by run.id"
	if f.Newest {
		q += " desc"
	}
	if f.Limit > 0 {
		q, args = q+" limit ?", append(args, f.Limit)
	}
	var out []journal.RunRow
	err := r.query(ctx, q, func(v []driver.Value) error {
		w, spec, err := scanWork(v)
		if err != nil {
			return err
		}
		out = append(out, w.row(spec))
		return nil
	}, args...)
	return out, err
}

// Inbox lists the messages of a run that are not consumed.
func (r *Reader) Inbox(ctx context.Context, t decouple.TenantID, id decouple.RunID) ([]journal.Message, error) {
	var out []journal.Message
	err := r.query(ctx, `select json_extract(work.body, '$.consumed'), inbox.* from inbox join work on work.id = inbox.run join stream on stream.id = inbox.run
		where stream.tenant = ? and stream.kind = 'run' and stream.name = ? order by seq`,
		func(v []driver.Value) error {
			consumed := num(v[0])
			v, err := checkRow("inbox", v[1:])
			if err != nil || num(v[1]) <= consumed {
				return err
			}
			m := journal.Message{Seq: journal.InboxSeq(num(v[1])), Kind: str(v[2]), From: str(v[3]), Body: raw(v[4])}
			if len(m.Body) > 0 && !json.Valid(m.Body) {
				return decouple.Errorf(decouple.Internal, "message %d of run %s is not JSON", m.Seq, id)
			}
			out = append(out, m)
			return nil
		}, string(t), string(id))
	return out, err
}

// marks is n parameters of a list.
func marks(n int) string { return strings.Repeat(",?", n)[1:] }

// texts are names as parameters.
func texts[S ~string](names []S) []any {
	vals := make([]any, len(names))
	for i, n := range names {
		vals[i] = string(n)
	}
	return vals
}

// Nodes gives the one node that writes here, or that wrote here last.
func (r *Reader) Nodes(ctx context.Context) ([]journal.Node, error) {
	var out []journal.Node
	err := r.query(ctx, "select * from lease order by epoch desc limit 1", func(v []driver.Value) error {
		v, err := checkRow("lease", v)
		if err != nil {
			return err
		}
		n := journal.Node{Epoch: journal.Epoch(num(v[0])), Taken: micros(num(v[2])), Alive: locked(r.dir)}
		if err := json.Unmarshal([]byte(str(v[1])), &n.NodeSpec); err != nil {
			n.NodeSpec = journal.NodeSpec{ID: decouple.NodeID(str(v[1]))} // as earlier versions wrote it
		}
		out = append(out, n)
		return nil
	})
	if err != nil || len(out) == 0 || !out[0].Alive {
		return out, err
	}
	rows, err := r.Runs(ctx, journal.RunFilter{Status: []decouple.RunStatus{decouple.RunRunning}})
	for _, row := range rows {
		if row.Epoch == out[0].Epoch {
			out[0].Running++
		}
	}
	return out, err
}
