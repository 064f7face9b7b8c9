package postgres

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// subjectKey names the key that the addresses of a subject's blobs are made with.
type subjectKey struct {
	tenant  decouple.TenantID
	subject decouple.SubjectID
}

// PutBlob stores content in chunks, each in a transaction of its own; the row of the blob makes it visible.
func (s *Store) PutBlob(ctx context.Context, t decouple.TenantID, sub decouple.SubjectID, r io.Reader) (journal.Blob, error) {
	key, err := s.key(ctx, subjectKey{t, sub})
	if err != nil {
		return journal.Blob{}, err
	}
	var upload int64
	if err := s.again(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, "update head set upload = upload + 1 returning upload").Scan(&upload)
	}); err != nil {
		return journal.Blob{}, err
	}
	mac := hmac.New(sha256.New, key)
	var size int64
	chunk := make([]byte, journal.ChunkSize)
	for n := int64(0); ; n++ {
		got, err := io.ReadFull(r, chunk)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return journal.Blob{}, decouple.Errorf(decouple.KindOf(err), "reading what was to be stored: %w", err)
		}
		mac.Write(chunk[:got])
		size += int64(got)
		err = s.again(ctx, func(ctx context.Context) error {
			_, err := s.pool.Exec(ctx, "insert into chunk values ($1,$2,$3,$4) on conflict do nothing", upload, n, chunk[:got], s.now())
			return err
		})
		if err != nil {
			return journal.Blob{}, err
		}
		if last {
			b := journal.Blob{ID: address(mac), Size: size}
			return b, s.finishBlob(ctx, subjectKey{t, sub}, b, upload)
		}
	}
}

// finishBlob writes the blob's row; one that is there already drops what was uploaded, and its time before the sweeper begins anew.
func (s *Store) finishBlob(ctx context.Context, k subjectKey, b journal.Blob, upload int64) error {
	return s.again(ctx, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			var kept int64
			err := tx.QueryRow(ctx, `insert into blob values ($1,$2,$3,$4,$5,false,$6) on conflict (tenant, id) do update set created = excluded.created returning upload`,
				string(k.tenant), string(b.ID), string(k.subject), upload, b.Size, s.now()).Scan(&kept)
			if err != nil || kept == upload {
				return err
			}
			_, err = tx.Exec(ctx, "delete from chunk where upload = $1", upload)
			return err
		})
	})
}

func address(mac hash.Hash) decouple.BlobID { return decouple.BlobID(hex.EncodeToString(mac.Sum(nil))) }

// Address is the keyed hash that content has within (tenant, subject).
func (s *Store) Address(ctx context.Context, t decouple.TenantID, sub decouple.SubjectID, content []byte) (decouple.BlobID, error) {
	key, err := s.key(ctx, subjectKey{t, sub})
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(content)
	return address(mac), nil
}

// key finds or makes the key of a subject.
func (s *Store) key(ctx context.Context, k subjectKey) ([]byte, error) {
	if k.tenant == "" {
		return nil, decouple.Errorf(decouple.Invalid, "a blob needs a tenant")
	}
	if err := s.group.err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	key := s.keys[k]
	s.mu.Unlock()
	if key != nil {
		return key, nil
	}
	fresh := make([]byte, 32)
	rand.Read(fresh)
	err := s.again(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, "insert into secret values ($1,$2,$3) on conflict (tenant, subject) do update set key = secret.key returning key",
			string(k.tenant), string(k.subject), fresh).Scan(&key)
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.keys[k] = key
	s.mu.Unlock()
	return key, nil
}

// Sweep deletes blobs that no commit pinned and that are older than age, and chunks of uploads that were not finished within a day.
func (s *Store) Sweep(ctx context.Context, age time.Duration) (int, error) {
	n := 0
	err := s.again(ctx, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			before := s.now() - age.Microseconds()
			// The head is locked, so that no batch pins a blob that is about to go.
			if _, err := tx.Exec(ctx, "select 1 from head for update"); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "delete from chunk where upload in (select upload from blob where not pinned and created <= $1)", before); err != nil {
				return err
			}
			tag, err := tx.Exec(ctx, "delete from blob where not pinned and created <= $1", before)
			if err != nil {
				return err
			}
			n = int(tag.RowsAffected())
			_, err = tx.Exec(ctx, "delete from chunk where created < $1 and upload not in (select upload from blob)", s.now()-(24*time.Hour).Microseconds())
			return err
		})
	})
	return n, err
}

// GetBlob opens a blob; at its end the whole is checked against its address.
func (r *Reader) GetBlob(ctx context.Context, t decouple.TenantID, id decouple.BlobID) (io.ReadCloser, error) {
	b := &blobReader{ctx: ctx, r: r, id: id}
	found := false
	err := r.query(ctx, `select b.upload, b.size, s.key from blob b left join secret s on s.tenant = b.tenant and s.subject = b.subject where b.tenant = $1 and b.id = $2`,
		func(rows pgx.Rows) error {
			var key []byte
			found = true
			if err := rows.Scan(&b.upload, &b.left, &key); err != nil || key == nil {
				return err
			}
			b.mac = hmac.New(sha256.New, key)
			return nil
		}, string(t), string(id))
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, decouple.Errorf(decouple.NotFound, "there is no blob %s", id)
	case b.mac == nil:
		return nil, decouple.Errorf(decouple.NotFound, "the key of blob %s was destroyed", id)
	}
	return b, nil
}

type blobReader struct {
	ctx    context.Context
	r      *Reader
	id     decouple.BlobID
	upload int64
	n      int64
	left   int64
	mac    hash.Hash
	chunk  bytes.Reader
	done   bool
}

// Read reads the blob; at its end the keyed hash of all that was read must be its address.
func (b *blobReader) Read(p []byte) (int, error) {
	for {
		if n, err := b.chunk.Read(p); err == nil {
			return n, nil
		}
		if b.done {
			return 0, io.EOF
		}
		if err := b.next(); err != nil {
			return 0, err
		}
	}
}

func (b *blobReader) next() error {
	fault := func(what string) error {
		return decouple.Errorf(decouple.Internal, "the journal is damaged: blob %s %s; restore the database from a copy", b.id, what)
	}
	if b.left == 0 && b.n > 0 {
		if b.done = true; address(b.mac) != b.id {
			return fault("does not match its address")
		}
		return nil
	}
	var data []byte
	found := false
	err := b.r.query(b.ctx, "select data from chunk where upload = $1 and n = $2", func(rows pgx.Rows) error {
		found = true
		return rows.Scan(&data)
	}, b.upload, b.n)
	if err != nil {
		return err
	}
	if !found || int64(len(data)) > b.left {
		return fault("lacks a chunk")
	}
	b.n++
	b.left -= int64(len(data))
	b.mac.Write(data)
	b.chunk.Reset(data)
	return nil
}

// Close ends the reading.
func (b *blobReader) Close() error { return nil }
