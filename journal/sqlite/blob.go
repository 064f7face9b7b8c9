package sqlite

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// subjectKey names the key that the addresses of a subject's blobs are made with.
type subjectKey struct {
	tenant  decouple.TenantID
	subject decouple.SubjectID
}

// PutBlob stores content in chunks, each in a change of its own; the last one makes it visible.
func (s *Store) PutBlob(ctx context.Context, t decouple.TenantID, sub decouple.SubjectID, r io.Reader) (journal.Blob, error) {
	key, err := s.key(ctx, subjectKey{t, sub})
	if err != nil {
		return journal.Blob{}, err
	}
	mac := hmac.New(sha256.New, key)
	var size, upload, n int64
	for {
		chunk := make([]byte, journal.ChunkSize)
		got, err := io.ReadFull(r, chunk)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return journal.Blob{}, decouple.Errorf(decouple.KindOf(err), "reading what was to be stored: %w", err)
		}
		mac.Write(chunk[:got])
		size += int64(got)
		var end *journal.Blob
		if last {
			end = &journal.Blob{ID: address(mac), Size: size}
		}
		err = s.submit(ctx, &request{apply: func(b *batch) error { return b.putChunk(&upload, n, chunk[:got], end, subjectKey{t, sub}) }})
		if err != nil || last {
			if err != nil {
				return journal.Blob{}, err
			}
			return *end, nil
		}
		n++
	}
}

func address(mac hash.Hash) decouple.BlobID { return decouple.BlobID(hex.EncodeToString(mac.Sum(nil))) }

// putChunk stores one chunk and, with the last one, the blob's row; a blob that is there already drops what was uploaded.
func (b *batch) putChunk(upload *int64, n int64, data []byte, end *journal.Blob, k subjectKey) error {
	if *upload == 0 {
		b.upload++
		*upload = b.upload
	}
	if end != nil {
		v, err := b.c.one("select * from blob where tenant = ? and id = ?", string(k.tenant), string(end.ID))
		if err != nil {
			return err
		}
		if v != nil {
			if _, err := b.c.exec("delete from chunk where upload = ?", *upload); err != nil {
				return err
			}
			return b.touch(v, 6, b.now.UnixMicro()) // its time before the sweeper begins anew
		}
	}
	if _, err := b.c.exec("insert into chunk (upload, n, data, sum) values (?,?,?,?)", *upload, n, data, rowSum("chunk", *upload, n, data)); err != nil {
		return err
	}
	b.pages += 1 + len(data)/4096
	if end == nil {
		return nil
	}
	_, err := b.c.exec("insert into blob values (?,?,?,?,?,?,?,?)",
		withSum("blob", string(k.tenant), string(end.ID), string(k.subject), *upload, end.Size, int64(0), b.now.UnixMicro())...)
	return err
}

// pin keeps a blob from being swept.
func (b *batch) pin(t decouple.TenantID, id decouple.BlobID) error {
	v, err := b.c.one("select * from blob where tenant = ? and id = ?", string(t), string(id))
	if err != nil {
		return err
	}
	return b.touch(v, 5, 1)
}

// touch changes a number in a row of the table of blobs.
func (b *batch) touch(row []driver.Value, column int, value int64) error {
	v, err := checkRow("blob", row)
	if err != nil || num(v[column]) == value {
		return err
	}
	v[column] = value
	_, err = b.c.exec("update blob set pinned = ?, created = ?, sum = ? where tenant = ? and id = ?", v[5], v[6], rowSum("blob", v...), v[0], v[1])
	return err
}

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
	s.db.Lock()
	key := s.keys[k]
	s.db.Unlock()
	if key != nil {
		return key, nil
	}
	fresh := make([]byte, 32)
	rand.Read(fresh)
	err := s.submit(ctx, &request{apply: func(b *batch) error {
		v, err := b.c.one("select * from secret where tenant = ? and subject = ?", string(k.tenant), string(k.subject))
		if err != nil {
			return err
		}
		if v != nil {
			if v, err = checkRow("secret", v); err != nil {
				return err
			}
			key = raw(v[2])
		} else {
			key = fresh
			if _, err := b.c.exec("insert into secret values (?,?,?,?)", withSum("secret", string(k.tenant), string(k.subject), key)...); err != nil {
				return err
			}
		}
		b.keys[k] = key
		return nil
	}})
	return key, err
}

// Sweep deletes blobs that no commit pinned and that are older than age, and chunks of uploads that an earlier process never finished.
func (s *Store) Sweep(ctx context.Context, age time.Duration) (int, error) {
	n := 0
	err := s.submit(ctx, &request{apply: func(b *batch) error {
		n = 0
		before := b.now.Add(-age).UnixMicro()
		if _, err := b.c.exec("delete from chunk where upload in (select upload from blob where pinned = 0 and created <= ?)", before); err != nil {
			return err
		}
		swept, err := b.c.exec("delete from blob where pinned = 0 and created <= ?", before)
		if err != nil {
			return err
		}
		n = int(swept)
		_, err = b.c.exec("delete from chunk where upload <= ? and upload not in (select upload from blob)", b.uploadBase)
		return err
	}})
	return n, err
}

// GetBlob opens a blob; every chunk is checked, and at the end the whole against its size.
func (r *Reader) GetBlob(ctx context.Context, t decouple.TenantID, id decouple.BlobID) (io.ReadCloser, error) {
	b := &blobReader{ctx: ctx, r: r, id: id}
	var subject string
	found := false
	err := r.query(ctx, "select * from blob where tenant = ? and id = ?", func(v []driver.Value) error {
		v, err := checkRow("blob", v)
		if err == nil {
			found, subject, b.upload, b.left = true, str(v[2]), num(v[3]), num(v[4])
		}
		return err
	}, string(t), string(id))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, decouple.Errorf(decouple.NotFound, "there is no blob %s", id)
	}
	err = r.query(ctx, "select * from secret where tenant = ? and subject = ?", func(v []driver.Value) error {
		v, err := checkRow("secret", v)
		if err == nil {
			b.mac = hmac.New(sha256.New, raw(v[2]))
		}
		return err
	}, string(t), subject)
	if err != nil {
		return nil, err
	}
	if b.mac == nil {
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
	from   *conn // of a dump; nil is the reader's own
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
		return decouple.Errorf(decouple.Internal, "the journal is damaged: blob %s %s; run `decouple verify`", b.id, what)
	}
	if b.left == 0 && b.n > 0 {
		b.done = true
		if address(b.mac) != b.id {
			return fault("does not match its address")
		}
		return nil
	}
	var data []byte
	found := false
	const query = "select upload, n, data, sum from chunk where upload = ? and n = ?"
	take := func(v []driver.Value) error {
		v, err := checkRow("chunk", v)
		if err == nil {
			found, data = true, raw(v[2])
		}
		return err
	}
	var err error
	if b.from != nil {
		err = b.from.each(query, take, b.upload, b.n)
	} else {
		err = b.r.query(b.ctx, query, take, b.upload, b.n)
	}
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
