package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Restorer is the journal of a database that takes a whole journal, in one transaction.
type Restorer struct{ *Reader }

var _ journal.Restorer = (*Restorer)(nil)

// OpenRestorer opens the journal in a database to be restored, and makes its schema if there is none.
func OpenRestorer(ctx context.Context, url string) (*Restorer, error) {
	r, err := connect(ctx, url)
	if err != nil {
		return nil, err
	}
	c, err := r.pool.Acquire(ctx)
	if err == nil {
		err = migrate(ctx, c.Conn())
		c.Release()
	}
	if err != nil {
		r.pool.Close()
		return nil, asError(err, url)
	}
	return &Restorer{r}, nil
}

// readRestored gives the id under which a journal was restored, empty if it was not.
func readRestored(ctx context.Context, q querier) (id string, settled bool, err error) {
	err = q.QueryRow(ctx, "select id, settled from restored").Scan(&id, &settled)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", false, nil
	}
	return id, settled, err
}

// inUse refuses a journal whose import was not finished.
func inUse(ctx context.Context, q querier, url string) error {
	id, settled, err := readRestored(ctx, q)
	if err == nil && id != "" && !settled {
		err = journal.Unsettled(place(url), id)
	}
	return err
}

// Restore writes all records, or none.
func (r *Restorer) Restore(ctx context.Context, id string, records iter.Seq2[journal.Record, error]) error {
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		// Under the lock of migrations, so that no node opens the journal meanwhile, and under that of the head, so that none which has it open writes.
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", int64(lockKey)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "select 1 from head for update"); err != nil {
			return err
		}
		had, settled, err := readRestored(ctx, tx)
		if err != nil || had == id && !settled {
			return err
		}
		if err := r.empty(ctx, tx, had); err != nil {
			return err
		}
		w := &restoring{ctx: ctx, tx: tx, keys: map[subjectKey][]byte{}, heads: map[decouple.Stream]*restoredHead{}}
		for x, err := range records {
			if err == nil {
				err = w.one(x)
			}
			if err != nil {
				return err
			}
		}
		if err := w.flush(); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "update head set pos = $1, stream = $2, upload = $3", int64(w.pos), w.stream, w.upload); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "insert into restored (id, settled) values ($1, false)", id)
		return err
	})
	return asError(err, r.url)
}

// empty refuses a journal that holds anything, or that nodes have open.
func (r *Restorer) empty(ctx context.Context, tx pgx.Tx, had string) error {
	var full, nodes bool
	err := tx.QueryRow(ctx, `select exists (select 1 from stream) or exists (select 1 from run) or exists (select 1 from blob) or exists (select 1 from done) or exists (select 1 from secret),
		exists (select 1 from lease where until > clock())`).Scan(&full, &nodes)
	switch {
	case err != nil:
		return err
	case full || had != "":
		return journal.NotEmpty("the store at " + place(r.url))
	case nodes:
		return decouple.Errorf(decouple.Conflict, "nodes have the store at %s open: stop them, or wait until their leases have ended", place(r.url))
	}
	return nil
}

// Settle makes what was restored a journal like any other.
func (r *Restorer) Settle(ctx context.Context) error {
	tag, err := r.pool.Exec(ctx, "update restored set settled = true")
	if err == nil && tag.RowsAffected() == 0 {
		err = decouple.Errorf(decouple.Conflict, "nothing was restored to the store at %s", place(r.url))
	}
	return asError(err, r.url)
}

// restoring is a restoration under way. Rows are gathered and written many at a time.
type restoring struct {
	ctx    context.Context
	tx     pgx.Tx
	keys   map[subjectKey][]byte
	heads  map[decouple.Stream]*restoredHead // that are known; all of them are in the database after a flush
	pos    decouple.Position
	stream int64 // newest id
	upload int64

	events            []*decouple.Event
	size              int
	streams           []*restoredHead
	runs, work, inbox [][]any
	done              [][]any
}

// restoredHead is a stream as it is at the moment.
type restoredHead struct {
	name   decouple.Stream
	id     int64 // 0 is not in the database yet
	seq    decouple.Seq
	sum    [32]byte
	listed bool // in streams
}

const (
	restoreRows  = 4096
	restoreBytes = 8 << 20
)

func (w *restoring) one(x journal.Record) error {
	if len(w.events)+len(w.runs)+len(w.inbox)+len(w.done) >= restoreRows || w.size >= restoreBytes {
		if err := w.flush(); err != nil {
			return err
		}
	}
	switch {
	case x.Key != nil:
		w.keys[subjectKey{x.Key.Tenant, x.Key.Subject}] = append([]byte{}, x.Key.Key...)
		return w.exec("insert into secret values ($1,$2,$3)", string(x.Key.Tenant), string(x.Key.Subject), x.Key.Key)
	case x.Blob != nil:
		return w.blob(x.Blob)
	case x.Run != nil:
		return w.run(x.Run)
	case x.Event != nil:
		e := *x.Event
		w.events = append(w.events, &e)
		w.size += len(e.Payload) + 256
		return w.text(string(e.Stream.Tenant), string(e.Stream.Kind), e.Stream.ID)
	case x.Message != nil:
		return w.message(x.Message)
	case x.Commit != nil:
		c := x.Commit
		w.done = append(w.done, []any{string(c.ID), int64(c.Seq), int64(c.Position), string(c.Event), c.Time.UnixMicro()})
		return w.text(string(c.ID))
	}
	return journal.Misplaced("a record is empty")
}

// text refuses names that PostgreSQL's texts cannot hold.
func (w *restoring) text(names ...string) error {
	for _, n := range names {
		if strings.ContainsRune(n, 0) || !utf8.ValidString(n) {
			return decouple.Errorf(decouple.Invalid, "the name %q holds the character NUL or is not UTF-8, which PostgreSQL cannot keep: import into SQLite", n)
		}
	}
	return nil
}

func (w *restoring) exec(query string, args ...any) error {
	_, err := w.tx.Exec(w.ctx, query, args...)
	return err
}

func (w *restoring) blob(b *journal.StoredBlob) error {
	key := w.keys[subjectKey{b.Tenant, b.Subject}]
	if key == nil {
		return journal.Misplaced("the blob %s has no key", b.ID)
	}
	mac := hmac.New(sha256.New, key)
	w.upload++
	var size int64
	chunk := make([]byte, min(journal.ChunkSize, b.Size))
	for n := int64(0); size < b.Size || n == 0; n++ {
		chunk = chunk[:min(int64(len(chunk)), b.Size-size)]
		if _, err := io.ReadFull(b.Content, chunk); err != nil && len(chunk) > 0 {
			return decouple.Errorf(decouple.KindOf(err), "the blob %s cannot be read: %w", b.ID, err)
		}
		mac.Write(chunk)
		size += int64(len(chunk))
		if err := w.exec("insert into chunk values ($1,$2,$3,$4)", w.upload, n, notNil(chunk), b.Created.UnixMicro()); err != nil {
			return err
		}
	}
	if address(mac) != b.ID {
		return journal.Misplaced("the blob %s does not match its address", b.ID)
	}
	return w.exec("insert into blob values ($1,$2,$3,$4,$5,true,$6)", string(b.Tenant), string(b.ID), string(b.Subject), w.upload, b.Size, b.Created.UnixMicro())
}

// list notes that a stream is to be written, and gives a new one its id.
func (w *restoring) list(h *restoredHead) {
	if h.id == 0 {
		w.stream++
		h.id = w.stream
	}
	if !h.listed {
		h.listed = true
		w.streams = append(w.streams, h)
	}
}

func (w *restoring) run(x *journal.StoredRun) error {
	if err := checkTexts(journal.Mutation{ID: "import", Create: []journal.NewRun{{Run: x.Run}}}); err != nil {
		return err
	}
	name := decouple.RunStream(x.Tenant, x.ID)
	if w.pos > 0 || len(w.events) > 0 || w.heads[name] != nil {
		return journal.Misplaced("the run %s comes twice, or after events", x.ID)
	}
	h := &restoredHead{name: name}
	w.heads[name] = h
	w.list(h)
	c, err := packRun(journal.NewRun{Run: x.Run, Label: x.Label}, x.Created.UnixMicro())
	if err != nil {
		return err
	}
	st, err := packStatus(&journal.StatusChange{Status: x.Status, Wait: x.Wait, Cause: x.Cause, Until: x.Until, Wake: x.Wake, Steps: x.Steps, Usage: x.Usage})
	if err != nil {
		return err
	}
	if x.Status != decouple.RunParked {
		st.Waits, st.Wake = "", 0
	}
	w.runs = append(w.runs, []any{h.id, c.Tenant, c.Name, c.Root, c.Parent, c.Idem, c.Agent, c.Spec})
	w.work = append(w.work, []any{h.id, c.Tenant, c.Root, int32(c.Priority), c.Cloud, c.Region, c.Labels, st.Status, st.Waits, st.Wait, st.Body, "", int64(0), x.Left, int64(x.Seq),
		int64(x.Inbox), int64(x.Consumed), st.Until, st.Wake, x.Updated.UnixMicro()})
	w.size += 1024
	return nil
}

func (w *restoring) message(m *journal.StoredMessage) error {
	if len(w.events) > 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	hs, err := w.known([]decouple.Stream{decouple.RunStream(m.Tenant, m.Run)})
	if err != nil {
		return err
	}
	if hs[0].id == 0 {
		return journal.Misplaced("there is no run %s for a message", m.Run)
	}
	if err := w.text(m.Kind, m.From); err != nil {
		return err
	}
	w.inbox = append(w.inbox, []any{hs[0].id, int64(m.Seq), m.Kind, m.From, notNil(m.Body)})
	w.size += len(m.Body)
	return nil
}

// known gives the heads of streams, from the database where they are not in memory. A new one has the id 0.
func (w *restoring) known(names []decouple.Stream) ([]*restoredHead, error) {
	var tenants, kinds, ids []string
	for _, n := range names {
		if w.heads[n] == nil {
			w.heads[n] = &restoredHead{name: n}
			tenants, kinds, ids = append(tenants, string(n.Tenant)), append(kinds, string(n.Kind)), append(ids, n.ID)
		}
	}
	if len(ids) > 0 {
		rows, err := w.tx.Query(w.ctx, `select s.tenant, s.kind, s.name, s.id, s.seq, s.sum from unnest($1::text[], $2::text[], $3::text[]) as w(t, k, n)
			cross join lateral (select * from stream where tenant = w.t and kind = w.k and name = w.n offset 0) s`, tenants, kinds, ids)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var n decouple.Stream
			var id, seq int64
			var sum []byte
			if err := rows.Scan((*string)(&n.Tenant), (*string)(&n.Kind), &n.ID, &id, &seq, &sum); err != nil {
				return nil, err
			}
			h := w.heads[n]
			h.id, h.seq = id, decouple.Seq(seq)
			copy(h.sum[:], sum)
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	out := make([]*restoredHead, len(names))
	for i, n := range names {
		out[i] = w.heads[n]
	}
	return out, nil
}

// chained gives the rows of the events that are gathered, each checked against those before it.
func (w *restoring) chained() ([][]any, error) {
	names := make([]decouple.Stream, len(w.events))
	for i, e := range w.events {
		names[i] = e.Stream
	}
	heads, err := w.known(names)
	if err != nil {
		return nil, err
	}
	rows := make([][]any, len(w.events))
	for i, e := range w.events {
		h := heads[i]
		record := journal.Encode(*e)
		sum := journal.Chain(h.sum, record)
		switch {
		case e.Position != w.pos+1:
			return nil, journal.Misplaced("the event at position %d follows that at %d", e.Position, w.pos)
		case e.Seq != h.seq+1:
			return nil, journal.Misplaced("the event at position %d is number %d of %s and follows number %d", e.Position, e.Seq, e.Stream, h.seq)
		case sum != e.Checksum:
			return nil, journal.Misplaced("the event at position %d (%s, number %d) does not match its checksum", e.Position, e.Stream, e.Seq)
		}
		w.list(h)
		w.pos, h.seq, h.sum = e.Position, e.Seq, sum
		rows[i] = []any{int64(e.Position), h.id, int64(e.Seq), record, sum[:]}
	}
	return rows, nil
}

// flush writes what was gathered.
func (w *restoring) flush() error {
	events, err := w.chained()
	if err != nil {
		return err
	}
	if err := w.flushStreams(); err != nil {
		return err
	}
	for _, t := range []struct {
		table string
		rows  [][]any
	}{{"run", w.runs}, {"work", w.work}, {"event", events}, {"inbox", w.inbox}, {"done", w.done}} {
		if len(t.rows) == 0 {
			continue
		}
		columns, err := w.columns(t.table)
		if err != nil {
			return err
		}
		if _, err := w.tx.CopyFrom(w.ctx, pgx.Identifier{t.table}, columns, pgx.CopyFromRows(t.rows)); err != nil {
			return err
		}
	}
	w.events, w.runs, w.work, w.inbox, w.done, w.size = nil, nil, nil, nil, nil, 0
	if len(w.heads) > maxHeads {
		clear(w.heads)
	}
	return nil
}

// columns are the names of a table's columns, in its order.
func (w *restoring) columns(table string) ([]string, error) {
	var text string
	err := w.tx.QueryRow(w.ctx, "select json_agg(attname order by attnum)::text from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped", table).Scan(&text)
	if err != nil {
		return nil, err
	}
	var names []string
	err = json.Unmarshal([]byte(text), &names)
	return names, err
}

// flushStreams writes the heads of the streams that have moved.
func (w *restoring) flushStreams() error {
	var tenants, kinds, names []string
	var ids, seqs []int64
	var sums [][]byte
	for _, h := range w.streams {
		sum := h.sum[:]
		if h.seq == 0 {
			sum = []byte{}
		}
		ids, tenants, kinds, names = append(ids, h.id), append(tenants, string(h.name.Tenant)), append(kinds, string(h.name.Kind)), append(names, h.name.ID)
		seqs, sums = append(seqs, int64(h.seq)), append(sums, sum)
		h.listed = false
	}
	w.streams = nil
	if len(ids) == 0 {
		return nil
	}
	return w.exec(`insert into stream select * from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bytea[])
		on conflict (id) do update set seq = excluded.seq, sum = excluded.sum`, ids, tenants, kinds, names, seqs, sums)
}
