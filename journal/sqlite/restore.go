package sqlite

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Restorer is the journal of a folder that takes a whole journal, in one transaction.
type Restorer struct {
	*Reader
	s *Store
}

var _ journal.Restorer = (*Restorer)(nil)

// OpenRestorer opens the journal in cfg.Dir to be restored, and makes it if there is none. Conflict says that another process writes there.
func OpenRestorer(_ context.Context, cfg Config) (*Restorer, error) {
	if cfg.Dir == "" {
		return nil, decouple.Errorf(decouple.Invalid, "the journal needs a folder")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, decouple.Errorf(decouple.Unavailable, "the data folder cannot be made: %w; choose another one with --data", err)
	}
	if cfg.Owner == "" {
		cfg.Owner = filepath.Base(os.Args[0])
	}
	s := newStore(cfg)
	if err := s.openFiles(cfg); err != nil {
		return nil, asError(errors.Join(err, s.Close()), cfg.Dir)
	}
	return &Restorer{s.Reader, s}, nil
}

// Close closes the files.
func (r *Restorer) Close() error { return r.s.Close() }

// restored is the stored form of what says that a journal was restored, under the key "restored" of the table meta.
type restored struct {
	ID      string `json:"id"`
	Settled bool   `json:"settled,omitempty"`
}

// readRestored gives the id under which a journal was restored, empty if it was not.
func readRestored(c *conn) (id string, settled bool, err error) {
	v, err := c.one("select * from meta where key = 'restored'")
	if err != nil || v == nil {
		return "", false, err
	}
	if v, err = checkRow("meta", v); err != nil {
		return "", false, err
	}
	var r restored
	err = json.Unmarshal([]byte(str(v[1])), &r)
	return r.ID, r.Settled, err
}

func writeRestored(c *conn, r restored) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = c.exec("insert into meta values (?,?,?) on conflict (key) do update set value = excluded.value, sum = excluded.sum", withSum("meta", "restored", string(b))...)
	return err
}

// Restore writes all records, or none.
func (r *Restorer) Restore(ctx context.Context, id string, records iter.Seq2[journal.Record, error]) error {
	s := r.s
	s.db.Lock()
	defer s.db.Unlock()
	had, settled, err := readRestored(s.c)
	if err == nil && had == id && !settled {
		return nil
	}
	if err == nil {
		err = empty(s.c, s.dir, had)
	}
	if err != nil {
		return asError(err, s.dir)
	}
	w := &restoring{batch: &batch{Store: s, now: time.Now().UTC()}, ctx: ctx}
	if _, err := s.c.exec("begin immediate"); err != nil {
		return asError(err, s.dir)
	}
	if err = w.all(id, records); err == nil {
		_, err = s.c.exec("commit")
	}
	if err != nil {
		_, _ = s.c.exec("rollback")
		s.die(decouple.Errorf(decouple.Unavailable, "the import failed: open the journal again"))
		s.head, s.streams, s.works = 0, cache[decouple.Stream, *stream]{}, cache[runKey, *work]{}
		return asError(err, s.dir)
	}
	return s.lastSync()
}

// lastSync brings what was restored to the disk, and moves it out of the log.
func (s *Store) lastSync() error {
	if err := s.sync(markValue{s.head, s.lastSum, s.beat}); err != nil {
		return err
	}
	_, err := s.c.one("pragma wal_checkpoint(restart)")
	return asError(err, s.dir)
}

// empty refuses a journal that holds anything. The leases of processes that had it open and wrote nothing do not count.
func empty(c *conn, dir, had string) error {
	v, err := c.one(`select exists (select 1 from stream) or exists (select 1 from run) or exists (select 1 from blob) or exists (select 1 from done) or exists (select 1 from secret)`)
	switch {
	case err != nil:
		return err
	case num(v[0]) != 0 || had != "":
		return journal.NotEmpty(dir)
	}
	return nil
}

// Settle makes what was restored a journal like any other.
func (r *Restorer) Settle(context.Context) error {
	s := r.s
	s.db.Lock()
	defer s.db.Unlock()
	id, settled, err := readRestored(s.c)
	switch {
	case err != nil:
		return asError(err, s.dir)
	case id == "":
		return decouple.Errorf(decouple.Conflict, "nothing was restored to %s", s.dir)
	case settled:
		return nil
	}
	if err := writeRestored(s.c, restored{id, true}); err != nil {
		return asError(err, s.dir)
	}
	return asError(Datasync(s.wal), s.dir)
}

// restoring is a restoration under way.
type restoring struct {
	*batch
	ctx  context.Context
	keys map[subjectKey][]byte
}

// all writes what there is, and last under which id.
func (w *restoring) all(id string, records iter.Seq2[journal.Record, error]) error {
	w.keys = map[subjectKey][]byte{}
	for x, err := range records {
		if err = errors.Join(err, w.ctx.Err()); err == nil {
			err = w.one(x)
		}
		if err != nil {
			return err
		}
	}
	return writeRestored(w.c, restored{ID: id})
}

func (w *restoring) one(x journal.Record) error {
	switch {
	case x.Key != nil:
		k := subjectKey{x.Key.Tenant, x.Key.Subject}
		w.keys[k] = append([]byte{}, x.Key.Key...)
		_, err := w.c.exec("insert into secret values (?,?,?,?)", withSum("secret", string(k.tenant), string(k.subject), w.keys[k])...)
		return err
	case x.Blob != nil:
		return w.blob(x.Blob)
	case x.Run != nil:
		return w.run(x.Run)
	case x.Event != nil:
		return w.event(x.Event)
	case x.Message != nil:
		return w.message(x.Message)
	case x.Commit != nil:
		c := x.Commit
		_, err := w.c.exec("insert into done values (?,?,?,?,?,?)", withSum("done", string(c.ID), int64(c.Seq), int64(c.Position), string(c.Event), c.Time.UnixMicro())...)
		return err
	}
	return journal.Misplaced("a record is empty")
}

func (w *restoring) blob(b *journal.StoredBlob) error {
	key := w.keys[subjectKey{b.Tenant, b.Subject}]
	if key == nil {
		return journal.Misplaced("the blob %s has no key", b.ID)
	}
	mac := hmac.New(sha256.New, key)
	w.upload++
	var size int64
	for n := int64(0); size < b.Size || n == 0; n++ {
		chunk := make([]byte, min(journal.ChunkSize, b.Size-size))
		if _, err := io.ReadFull(b.Content, chunk); err != nil && len(chunk) > 0 {
			return decouple.Errorf(decouple.KindOf(err), "the blob %s cannot be read: %w", b.ID, err)
		}
		mac.Write(chunk)
		size += int64(len(chunk))
		if _, err := w.c.exec("insert into chunk (upload, n, data, sum) values (?,?,?,?)", w.upload, n, chunk, rowSum("chunk", w.upload, n, chunk)); err != nil {
			return err
		}
	}
	if address(mac) != b.ID {
		return journal.Misplaced("the blob %s does not match its address", b.ID)
	}
	_, err := w.c.exec("insert into blob values (?,?,?,?,?,?,?,?)",
		withSum("blob", string(b.Tenant), string(b.ID), string(b.Subject), w.upload, b.Size, int64(1), b.Created.UnixMicro())...)
	return err
}

func (w *restoring) event(e *decouple.Event) error {
	h, err := w.stream(e.Stream)
	if err == nil {
		err = w.begin(e.Stream, h)
	}
	if err != nil {
		return err
	}
	record := journal.Encode(*e)
	sum := journal.Chain(h.sum, record)
	switch {
	case e.Position != w.head+1:
		return journal.Misplaced("the event at position %d follows that at %d", e.Position, w.head)
	case e.Seq != h.seq+1:
		return journal.Misplaced("the event at position %d is number %d of %s and follows number %d", e.Position, e.Seq, e.Stream, h.seq)
	case sum != e.Checksum:
		return journal.Misplaced("the event at position %d (%s, number %d) does not match its checksum", e.Position, e.Stream, e.Seq)
	}
	h.seq, h.sum, w.head, w.lastSum = e.Seq, sum, e.Position, sum
	_, err = w.c.exec("insert into event values (?,?,?,?,?)", int64(w.head), h.id, int64(h.seq), record, sum[:])
	return err
}

func (w *restoring) run(x *journal.StoredRun) error {
	name := decouple.RunStream(x.Tenant, x.ID)
	h, err := w.stream(name)
	if err == nil && h.id != 0 {
		return journal.Misplaced("the run %s comes twice, or after its events", x.ID)
	}
	if err == nil {
		err = w.begin(name, h)
	}
	if err != nil {
		return err
	}
	row := &work{id: h.id, run: x.Run, body: workBody{
		Status: x.Status, Wait: x.Wait, Cause: x.Cause, Left: x.Left, Seq: x.Seq, Inbox: x.Inbox, Consumed: x.Consumed, Until: x.Until, Steps: x.Steps, Usage: x.Usage, Updated: x.Updated.UnixMicro(),
	}}
	if !x.Wake.IsZero() {
		row.body.Wake = x.Wake.UnixMicro()
	}
	if err := row.create(w.c, x.Label, x.Created); err != nil {
		return err
	}
	return row.store(w.c)
}

func (w *restoring) message(m *journal.StoredMessage) error {
	h, err := w.stream(decouple.RunStream(m.Tenant, m.Run))
	if err != nil {
		return err
	}
	if h.id == 0 {
		return journal.Misplaced("there is no run %s for a message", m.Run)
	}
	body := m.Body
	if body == nil {
		body = []byte{}
	}
	_, err = w.c.exec("insert into inbox values (?,?,?,?,?,?)", withSum("inbox", h.id, int64(m.Seq), m.Kind, m.From, body)...)
	return err
}
