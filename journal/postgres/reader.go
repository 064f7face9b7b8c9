package postgres

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Reader reads a journal that nodes write.
type Reader struct {
	pool *pgxpool.Pool
	url  string
	tail func(ctx context.Context, after decouple.Position) error // waits for an event after a position
}

var _ journal.Reader = (*Reader)(nil)

// OpenReader opens the journal in a database for reading only. No journal there is NotFound.
func OpenReader(ctx context.Context, url string) (*Reader, error) {
	r, err := connect(ctx, url)
	if err != nil {
		return nil, err
	}
	have, err := version(ctx, r.pool)
	if err == nil && have != len(migrations) {
		err = decouple.Errorf(decouple.Invalid, "the journal has schema version %d and this program reads %d: start a node of the newest version", have, len(migrations))
	}
	if err == nil {
		err = inUse(ctx, r.pool, url)
	}
	if err != nil {
		r.pool.Close()
		return nil, asError(err, url)
	}
	return r, nil
}

// Close closes the reader's connections.
func (r *Reader) Close() error {
	r.pool.Close()
	return nil
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// micros is a stored time; 0 is none.
func micros(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.UnixMicro(at).UTC()
}

// pollEvery is how often news is looked for where nobody says that there is any.
const pollEvery = 100 * time.Millisecond

// poll looks for news.
func (r *Reader) poll(ctx context.Context, after decouple.Position) error {
	tick := time.NewTicker(pollEvery)
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

// readPatience is how long a read that failed for its connection is tried again: that the server ended connections is seen only when they are used.
const readPatience = 2 * time.Second

// query calls fn for every row.
func (r *Reader) query(ctx context.Context, q string, fn func(pgx.Rows) error, args ...any) error {
	pause := 5 * time.Millisecond
	for end := time.Now().Add(readPatience); ; pause *= 2 {
		n, err := r.queryOnce(ctx, q, fn, args)
		if n > 0 || !transient(err) || ctx.Err() != nil || time.Now().Add(pause).After(end) {
			return asError(err, r.url)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// queryOnce says how many rows fn was called for.
func (r *Reader) queryOnce(ctx context.Context, q string, fn func(pgx.Rows) error, args []any) (n int, err error) {
	rows, err := r.pool.Query(ctx, q, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for ; rows.Next(); n++ {
		if err := fn(rows); err != nil {
			return n + 1, err
		}
	}
	if ctx.Err() != nil {
		return n, ctx.Err()
	}
	return n, rows.Err()
}

// Head is the position of the newest event.
func (r *Reader) Head(ctx context.Context) (decouple.Position, error) {
	var pos int64
	err := r.query(ctx, "select pos from head", func(rows pgx.Rows) error { return rows.Scan(&pos) })
	return decouple.Position(pos), err
}

// Read returns events of a stream, each checked against the one before it.
func (r *Reader) Read(ctx context.Context, s decouple.Stream, after decouple.Seq, limit int) ([]decouple.Event, error) {
	if limit <= 0 {
		limit = 1 << 30
	}
	from := max(after, 0)
	var out []decouple.Event
	var prev [32]byte
	err := r.query(ctx, `select e.pos, e.seq, e.record, e.checksum from event e join stream s on s.id = e.stream
		where s.tenant = $1 and s.kind = $2 and s.name = $3 and e.seq >= $4 order by e.seq limit $5`, func(rows pgx.Rows) error {
		v, err := scanEvent(rows)
		if err != nil {
			return err
		}
		if v.seq == from {
			copy(prev[:], v.sum) // its own record was checked by whoever read it
			return nil
		}
		e, err := v.check(prev)
		if err != nil {
			return err
		}
		if want := from + decouple.Seq(len(out)) + 1; e.Seq != want || e.Stream != s {
			return damaged(e.Position, "stands at %s %d, where %s %d belongs", e.Stream, e.Seq, s, want)
		}
		prev = e.Checksum
		out = append(out, e)
		return nil
	}, string(s.Tenant), string(s.Kind), s.ID, int64(from), limit+min(1, int(from)))
	return out, err
}

// stored is a row of the table of events.
type stored struct {
	pos    decouple.Position
	seq    decouple.Seq
	record []byte
	sum    []byte
}

func scanEvent(rows pgx.Rows, more ...any) (stored, error) {
	var v stored
	err := rows.Scan(append([]any{(*int64)(&v.pos), (*int64)(&v.seq), &v.record, &v.sum}, more...)...)
	return v, err
}

// check decodes an event and checks it against its predecessor's checksum.
func (v stored) check(prev [32]byte) (decouple.Event, error) {
	e, err := journal.Decode(v.record)
	if err != nil {
		return e, damaged(v.pos, "cannot be read: %v", err)
	}
	sum := journal.Chain(prev, v.record)
	if string(v.sum) != string(sum[:]) {
		return e, damaged(v.pos, "(%s of %s, number %d) does not match its checksum", e.Kind, e.Stream, e.Seq)
	}
	if e.Seq != v.seq {
		return e, damaged(v.pos, "says it is number %d and is stored as number %d", e.Seq, v.seq)
	}
	e.Position, e.Checksum, e.ID = v.pos, sum, journal.EventIDOf(sum)
	return e, nil
}

func damaged(pos decouple.Position, format string, args ...any) error {
	return decouple.Errorf(decouple.Internal, "the journal is damaged: the event at position %d "+format+"; restore the database from a copy", append([]any{pos}, args...)...)
}

// Scan returns events in order of position, each checked against its predecessor in its stream.
func (r *Reader) Scan(ctx context.Context, f journal.Filter) ([]decouple.Event, error) {
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	var out []decouple.Event
	err := r.query(ctx, `select e.pos, e.seq, e.record, e.checksum, before.checksum, s.tenant, s.kind, s.name
		from event e join stream s on s.id = e.stream left join event before on before.stream = e.stream and before.seq = e.seq - 1
		where e.pos > $1 and ($2 = '' or s.tenant = $2) and ($3 = '' or s.kind = $3) order by e.pos limit $4`, func(rows pgx.Rows) error {
		var before []byte
		var s decouple.Stream
		v, err := scanEvent(rows, &before, (*string)(&s.Tenant), (*string)(&s.Kind), &s.ID)
		if err != nil {
			return err
		}
		var prev [32]byte
		copy(prev[:], before)
		e, err := v.check(prev)
		if err != nil {
			return err
		}
		if s != e.Stream {
			return damaged(e.Position, "belongs to %s and is stored under %s", e.Stream, s)
		}
		out = append(out, e)
		return nil
	}, int64(f.After), string(f.Tenant), string(f.Kind), f.Limit)
	return out, err
}

// Follow calls fn for every event after a position, in order, and waits for new ones.
func (r *Reader) Follow(ctx context.Context, after decouple.Position, fn func(decouple.Event) error) error {
	for {
		events, err := r.Scan(ctx, journal.Filter{After: after, Limit: 256})
		if err != nil {
			return err
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

// runSpec is the stored form of what is fixed of a run.
type runSpec struct {
	Run     decouple.Run `json:"run"`
	Label   string       `json:"label,omitempty"`
	Created int64        `json:"created"`
}

// workBody is the stored form of what only people look at.
type workBody struct {
	Cause decouple.Cause `json:"cause,omitzero"`
	Steps int            `json:"steps,omitempty"`
	Usage decouple.Usage `json:"usage,omitzero"`
}

// Runs lists rows of the view of runs, oldest first unless f says otherwise.
func (r *Reader) Runs(ctx context.Context, f journal.RunFilter) ([]journal.RunRow, error) {
	var where []string
	var args []any
	add := func(cond string, v any) {
		args = append(args, v)
		where = append(where, strings.ReplaceAll(cond, "?", "$"+itoa(int64(len(args)))))
	}
	for cond, v := range map[string]string{"r.tenant = ?": string(f.Tenant), "r.name = ?": string(f.ID), "r.root = ?": string(f.Root), "r.agent = ?": string(f.Agent), "r.idem = ?": escape(f.Key)} {
		if v != "" {
			add(cond, v)
		}
	}
	if f.Roots {
		where = append(where, "r.parent = ''")
	}
	if len(f.Status) > 0 {
		add("w.status = any(?)", texts(f.Status))
	}
	if len(f.Wait) > 0 {
		where = append(where, "w.status = 'parked'")
		add("w.waits = any(?)", texts(f.Wait))
	}
	order := " order by r.id"
	if f.Newest {
		order += " desc"
	}
	if f.After > 0 && f.Newest {
		add("r.id < ?", f.After)
	} else if f.After > 0 {
		add("r.id > ?", f.After)
	}
	q := `select r.id, r.spec, w.status, w.wait, w.body, w.node, w.epoch, w.seq, w.inbox, w.consumed, w.until, w.wake, w.updated from run r join work w using (id)`
	if len(where) > 0 {
		q += " where " + strings.Join(where, " and ")
	}
	if q += order; f.Limit > 0 {
		q += " limit " + itoa(int64(f.Limit))
	}
	var out []journal.RunRow
	err := r.query(ctx, q, func(rows pgx.Rows) error {
		row, err := scanRun(rows)
		out = append(out, row)
		return err
	}, args...)
	return out, err
}

func texts[S ~string](names []S) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return out
}

func scanRun(rows pgx.Rows, more ...any) (journal.RunRow, error) {
	var row journal.RunRow
	var spec, wait, body string
	var wake, updated int64
	err := rows.Scan(append([]any{&row.Row, &spec, (*string)(&row.Status), &wait, &body, (*string)(&row.Node), (*int64)(&row.Epoch), (*int64)(&row.Seq), (*int64)(&row.Inbox),
		(*int64)(&row.Consumed), (*int64)(&row.Until), &wake, &updated}, more...)...)
	if err != nil {
		return row, err
	}
	var fixed runSpec
	var moving workBody
	for _, f := range []struct {
		text string
		into any
	}{{spec, &fixed}, {wait, &row.Wait}, {body, &moving}} {
		if f.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(f.text), f.into); err != nil {
			return row, decouple.Errorf(decouple.Internal, "a row of the view of runs cannot be read: %w", err)
		}
	}
	row.Run, row.Label, row.Created = fixed.Run, fixed.Label, micros(fixed.Created)
	row.Cause, row.Steps, row.Usage = moving.Cause, moving.Steps, moving.Usage
	row.Wake, row.Updated = micros(wake), micros(updated)
	return row, nil
}

// Inbox lists the messages of a run that are not consumed.
func (r *Reader) Inbox(ctx context.Context, t decouple.TenantID, id decouple.RunID) ([]journal.Message, error) {
	var out []journal.Message
	// Lookups one in the other are planned in a tenth of the time of a join, and every connection plans anew.
	err := r.query(ctx, `with r as materialized (select id from run where tenant = $1 and name = $2)
		select seq, kind, sender, body from inbox where run = (select id from r) and seq > (select consumed from work where id = (select id from r)) order by seq`, func(rows pgx.Rows) error {
		var m journal.Message
		if err := rows.Scan((*int64)(&m.Seq), &m.Kind, &m.From, &m.Body); err != nil {
			return err
		}
		out = append(out, m)
		return nil
	}, string(t), string(id))
	return out, err
}
