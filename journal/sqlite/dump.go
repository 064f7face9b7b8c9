package sqlite

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/json"
	"io"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

var _ journal.Dumper = (*Reader)(nil)

// Dump gives the whole journal as it is at one moment. It holds one read transaction, during which the write-ahead log grows.
func (r *Reader) Dump(ctx context.Context, fn func(journal.Record) error) error {
	c, err := openConn(dsn(r.dir, "ro", "query_only(1)", "busy_timeout(10000)", "cache_size(-4000)"))
	if err != nil {
		return asError(err, r.dir)
	}
	defer func() { _ = c.close() }()
	if _, err := c.exec("begin"); err != nil {
		return asError(err, r.dir)
	}
	d := &dump{ctx: ctx, c: c, r: r, fn: func(x journal.Record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return fn(x)
	}}
	for _, part := range []func() error{d.keys, d.blobs, d.runs, d.events, d.messages, d.commits} {
		if err := part(); err != nil {
			return asError(err, r.dir)
		}
	}
	return nil
}

// dump is a dump under way.
type dump struct {
	ctx context.Context
	c   *conn
	r   *Reader
	fn  func(journal.Record) error
}

// each calls fn for every row of a table, checked.
func (d *dump) each(table, query string, fn func(v []driver.Value) error) error {
	return d.c.each(query, func(v []driver.Value) error {
		v, err := checkRow(table, v)
		if err != nil {
			return err
		}
		return fn(v)
	})
}

func (d *dump) keys() error {
	return d.each("secret", "select * from secret order by tenant, subject", func(v []driver.Value) error {
		return d.fn(journal.Record{Key: &journal.SubjectKey{Tenant: decouple.TenantID(str(v[0])), Subject: decouple.SubjectID(str(v[1])), Key: raw(v[2])}})
	})
}

func (d *dump) blobs() error {
	return d.each("blob", "select * from blob where pinned = 1 order by tenant, id", func(v []driver.Value) error {
		b := &journal.StoredBlob{
			Tenant: decouple.TenantID(str(v[0])), ID: decouple.BlobID(str(v[1])), Subject: decouple.SubjectID(str(v[2])), Size: num(v[4]), Created: micros(num(v[6])),
		}
		key, err := d.c.one("select * from secret where tenant = ? and subject = ?", v[0], v[2])
		if err != nil {
			return err
		}
		if key == nil {
			return nil // it was destroyed: nobody can read this blob any more
		}
		if key, err = checkRow("secret", key); err != nil {
			return err
		}
		// The pages of the snapshot are read through the snapshot's connection.
		body := &blobReader{ctx: d.ctx, r: d.r, id: b.ID, upload: num(v[3]), left: b.Size, mac: hmac.New(sha256.New, raw(key[2])), from: d.c}
		b.Content = body
		if err := d.fn(journal.Record{Blob: b}); err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, body) // what fn left, so that all of it is checked
		return err
	})
}

func (d *dump) runs() error {
	return d.c.each(workQuery+" order by run.id", func(v []driver.Value) error {
		w, spec, err := scanWork(v)
		if err != nil {
			return err
		}
		row := &journal.StoredRun{RunRow: w.row(spec), Left: w.body.Left}
		if row.Status == decouple.RunRunning {
			row.Status, row.Left = decouple.RunReady, true
		}
		row.Node, row.Epoch, row.Row = "", 0, 0
		return d.fn(journal.Record{Run: row})
	})
}

func (d *dump) events() error {
	last := decouple.Position(0)
	return d.c.each(`select event.pos, event.seq, event.record, event.checksum, before.checksum from event
		left join event before on before.stream = event.stream and before.seq = event.seq - 1 order by event.pos`, func(v []driver.Value) error {
		var prev [32]byte
		copy(prev[:], raw(v[4]))
		e, err := checkEvent(v, prev)
		if err != nil {
			return err
		}
		if last++; e.Position != last {
			return damaged(last, "is missing: the next is %d", e.Position)
		}
		return d.fn(journal.Record{Event: &e})
	})
}

func (d *dump) messages() error {
	return d.c.each(`select run.spec, inbox.* from inbox join run on run.id = inbox.run order by inbox.run, inbox.seq`, func(v []driver.Value) error {
		var spec runSpec
		if err := json.Unmarshal([]byte(str(v[0])), &spec); err != nil {
			return err
		}
		v, err := checkRow("inbox", v[1:])
		if err != nil {
			return err
		}
		m := &journal.StoredMessage{Tenant: spec.Run.Tenant, Run: spec.Run.ID, Message: journal.Message{Seq: journal.InboxSeq(num(v[1])), Kind: str(v[2]), From: str(v[3]), Body: raw(v[4])}}
		return d.fn(journal.Record{Message: m})
	})
}

func (d *dump) commits() error {
	return d.each("done", "select * from done order by pos, id", func(v []driver.Value) error {
		return d.fn(journal.Record{Commit: &journal.StoredCommit{ID: decouple.CommitID(str(v[0])), Receipt: journal.Receipt{
			Seq: decouple.Seq(num(v[1])), Position: decouple.Position(num(v[2])), Event: decouple.EventID(str(v[3])), Time: time.UnixMicro(num(v[4])).UTC(),
		}}})
	})
}
