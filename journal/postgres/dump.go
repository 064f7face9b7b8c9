package postgres

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"hash"
	"io"

	"github.com/jackc/pgx/v5"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

var _ journal.Dumper = (*Reader)(nil)

// Dump gives the whole journal as it is at one moment, in one read transaction.
func (r *Reader) Dump(ctx context.Context, fn func(journal.Record) error) error {
	err := pgx.BeginTxFunc(ctx, r.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		d := &dump{ctx: ctx, tx: tx, fn: fn, keys: map[subjectKey][]byte{}}
		for _, part := range []func() error{d.subjects, d.blobs, d.runs, d.events, d.messages, d.commits} {
			if err := part(); err != nil {
				return err
			}
		}
		return nil
	})
	return asError(err, r.url)
}

// dump is a dump under way.
type dump struct {
	ctx  context.Context
	tx   pgx.Tx
	fn   func(journal.Record) error
	keys map[subjectKey][]byte
}

// each calls fn for every row.
func (d *dump) each(query string, fn func(rows pgx.Rows) error, args ...any) error {
	rows, err := d.tx.Query(d.ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (d *dump) subjects() error {
	return d.each(`select tenant, subject, key from secret order by tenant collate "C", subject collate "C"`, func(rows pgx.Rows) error {
		k := &journal.SubjectKey{}
		if err := rows.Scan((*string)(&k.Tenant), (*string)(&k.Subject), &k.Key); err != nil {
			return err
		}
		d.keys[subjectKey{k.Tenant, k.Subject}] = k.Key
		return d.fn(journal.Record{Key: k})
	})
}

// blobPage is how many rows of the table of blobs are read at once.
const blobPage = 500

func (d *dump) blobs() error {
	var last journal.StoredBlob
	for {
		var page []journal.StoredBlob
		var uploads []int64
		err := d.each(`select tenant, id, subject, upload, size, created from blob where pinned and (tenant collate "C", id collate "C") > ($1, $2)
			order by tenant collate "C", id collate "C" limit $3`, func(rows pgx.Rows) error {
			var b journal.StoredBlob
			var upload, created int64
			err := rows.Scan((*string)(&b.Tenant), (*string)(&b.ID), (*string)(&b.Subject), &upload, &b.Size, &created)
			b.Created = micros(created)
			page, uploads = append(page, b), append(uploads, upload)
			return err
		}, string(last.Tenant), string(last.ID), blobPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			if err := d.blob(&page[i], uploads[i]); err != nil {
				return err
			}
		}
		last = page[len(page)-1]
	}
}

func (d *dump) blob(b *journal.StoredBlob, upload int64) error {
	key := d.keys[subjectKey{b.Tenant, b.Subject}]
	if key == nil {
		return nil // it was destroyed: nobody can read this blob any more
	}
	body := &dumpedBlob{d: d, id: b.ID, upload: upload, left: b.Size, mac: hmac.New(sha256.New, key)}
	b.Content = body
	if err := d.fn(journal.Record{Blob: b}); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, body) // what fn left, so that all of it is checked
	return err
}

// dumpedBlob reads the chunks of a blob within the transaction of a dump.
type dumpedBlob struct {
	d      *dump
	id     decouple.BlobID
	upload int64
	n      int64
	left   int64
	mac    hash.Hash
	chunk  bytes.Reader
}

// Read reads the blob; at its end the keyed hash of all that was read must be its address.
func (b *dumpedBlob) Read(p []byte) (int, error) {
	for b.chunk.Len() == 0 {
		if b.left == 0 {
			if address(b.mac) != b.id {
				return 0, decouple.Errorf(decouple.Internal, "the journal is damaged: blob %s does not match its address; restore the database from a copy", b.id)
			}
			return 0, io.EOF
		}
		var data []byte
		if err := b.d.tx.QueryRow(b.d.ctx, "select data from chunk where upload = $1 and n = $2", b.upload, b.n).Scan(&data); err != nil {
			return 0, decouple.Errorf(decouple.Internal, "the journal is damaged: blob %s lacks a chunk: %w", b.id, err)
		}
		if len(data) == 0 || int64(len(data)) > b.left {
			return 0, decouple.Errorf(decouple.Internal, "the journal is damaged: blob %s has a chunk of another size", b.id)
		}
		b.n++
		b.left -= int64(len(data))
		b.mac.Write(data)
		b.chunk.Reset(data)
	}
	return b.chunk.Read(p)
}

func (d *dump) runs() error {
	return d.each(`select r.id, r.spec, w.status, w.wait, w.body, w.node, w.epoch, w.seq, w.inbox, w.consumed, w.until, w.wake, w.updated, w.abandoned
		from run r join work w using (id) order by r.id`, func(rows pgx.Rows) error {
		x := &journal.StoredRun{}
		row, err := scanRun(rows, &x.Left)
		if err != nil {
			return err
		}
		if row.Status == decouple.RunRunning {
			row.Status, x.Left = decouple.RunReady, true
		}
		row.Node, row.Epoch, row.Row = "", 0, 0
		x.RunRow = row
		return d.fn(journal.Record{Run: x})
	})
}

func (d *dump) events() error {
	last := decouple.Position(0)
	return d.each(`select e.pos, e.seq, e.record, e.checksum, before.checksum from event e
		left join event before on before.stream = e.stream and before.seq = e.seq - 1 order by e.pos`, func(rows pgx.Rows) error {
		var before []byte
		v, err := scanEvent(rows, &before)
		if err != nil {
			return err
		}
		var prev [32]byte
		copy(prev[:], before)
		e, err := v.check(prev)
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
	return d.each(`select r.spec, i.seq, i.kind, i.sender, i.body from inbox i join run r on r.id = i.run order by i.run, i.seq`, func(rows pgx.Rows) error {
		var text string
		var spec runSpec
		m := &journal.StoredMessage{}
		if err := rows.Scan(&text, (*int64)(&m.Seq), &m.Kind, &m.From, &m.Body); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(text), &spec); err != nil {
			return decouple.Errorf(decouple.Internal, "a row of the view of runs cannot be read: %w", err)
		}
		m.Tenant, m.Run = spec.Run.Tenant, spec.Run.ID
		return d.fn(journal.Record{Message: m})
	})
}

func (d *dump) commits() error {
	return d.each(`select id, seq, pos, event, time from done order by pos, id collate "C"`, func(rows pgx.Rows) error {
		c := &journal.StoredCommit{}
		var at int64
		if err := rows.Scan((*string)(&c.ID), (*int64)(&c.Seq), (*int64)(&c.Position), (*string)(&c.Event), &at); err != nil {
			return err
		}
		c.Time = micros(at)
		return d.fn(journal.Record{Commit: c})
	})
}
