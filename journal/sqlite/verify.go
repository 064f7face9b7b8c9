package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"decouple.dev/decouple"
)

// Report is what Verify found.
type Report struct {
	Events  int      `json:"events"`
	Streams int      `json:"streams"`
	Runs    int      `json:"runs"`
	Blobs   int      `json:"blobs"`
	Bytes   int64    `json:"bytes"`  // of records and blobs that were read
	Faults  []string `json:"faults"` // each names its place; empty: all is as it was written
	Notes   []string `json:"notes"`  // worth knowing, no loss
}

const maxFaults = 100

func (r *Report) fault(format string, args ...any) {
	if len(r.Faults) < maxFaults {
		r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
	}
}

// Verify reads the whole journal in dir, while it may be in use, and checks every event, row and blob. The error is for what kept it from looking; what it found is in the report.
func Verify(ctx context.Context, dir string) (Report, error) {
	v := verifier{heads: map[int64]*stream{}, names: map[int64]decouple.Stream{}}
	v.walNotes(dir)
	r, err := OpenReader(ctx, dir)
	if err != nil {
		var own *decouple.Error
		if errors.As(err, &own) && own.Kind == decouple.Internal {
			v.report.fault("%v", err)
			return v.report, nil
		}
		return v.report, err
	}
	defer r.Close()
	v.Reader = r
	for _, check := range []func(context.Context) error{v.structure, v.marked, v.streams, v.events, v.rows, v.runs, v.blobs} {
		if err := check(ctx); ctx.Err() != nil {
			return v.report, ctx.Err()
		} else if err != nil {
			v.report.fault("%v", err)
		}
	}
	return v.report, nil
}

type verifier struct {
	*Reader
	report Report
	heads  map[int64]*stream
	names  map[int64]decouple.Stream
}

// structure has SQLite check pages, cells and indexes.
func (v *verifier) structure(ctx context.Context) error {
	return v.query(ctx, "pragma integrity_check(20)", func(row []driver.Value) error {
		if s := str(row[0]); s != "ok" {
			v.report.fault("%s: %s", dbFile, s)
		}
		return nil
	})
}

// marked compares the newest event with what was acknowledged.
func (v *verifier) marked(ctx context.Context) error {
	m, ok, err := readMark(v.dir)
	if err != nil {
		return err
	}
	head, err := v.Head(ctx)
	if err != nil {
		return err
	}
	c, err := openConn(dsn(v.dir, "ro", "query_only(1)", "busy_timeout(10000)"))
	if err != nil {
		return err
	}
	defer c.close()
	return markFault(c, v.dir, m, ok, head)
}

func (v *verifier) streams(ctx context.Context) error {
	return v.query(ctx, "select * from stream", func(row []driver.Value) error {
		row, err := checkRow("stream", row)
		if err != nil {
			v.report.fault("%v", err)
			return nil
		}
		v.report.Streams++
		v.heads[num(row[0])] = &stream{id: num(row[0])}
		v.names[num(row[0])] = decouple.Stream{Tenant: decouple.TenantID(str(row[1])), Kind: decouple.StreamKind(str(row[2])), ID: str(row[3])}
		return nil
	})
}

// events walks the log in short reads and follows the chain of every stream.
func (v *verifier) events(ctx context.Context) error {
	last := int64(0)
	for {
		n := 0
		err := v.query(ctx, "select pos, seq, record, checksum, stream from event where pos > ? order by pos limit 2000", func(row []driver.Value) error {
			n++
			if num(row[0]) != last+1 {
				v.report.fault("events %d to %d are missing", last+1, num(row[0])-1)
			}
			last = num(row[0])
			v.event(row)
			return nil
		}, last)
		if err != nil || n == 0 {
			return err
		}
	}
}

func (v *verifier) event(row []driver.Value) {
	v.report.Events++
	v.report.Bytes += int64(len(raw(row[2])))
	h := v.heads[num(row[4])]
	if h == nil {
		v.report.fault("the event at position %d belongs to a stream that is not there", num(row[0]))
		return
	}
	e, err := checkEvent(row, h.sum)
	switch {
	case err != nil:
		v.report.fault("%v", err)
		copy(h.sum[:], raw(row[3])) // so that one fault is one line
		h.seq = decouple.Seq(num(row[1]))
		return
	case e.Seq != h.seq+1:
		v.report.fault("%s: number %d follows number %d", e.Stream, e.Seq, h.seq)
	case e.Stream != v.names[h.id]:
		v.report.fault("the event at position %d says %s and is stored under %s", e.Position, e.Stream, v.names[h.id])
	}
	h.seq, h.sum = e.Seq, e.Checksum
}

// rows checks the sum of every row of the tables that have one.
func (v *verifier) rows(ctx context.Context) error {
	for _, table := range []string{"meta", "lease", "done", "run", "work", "inbox", "secret", "blob"} {
		err := v.query(ctx, "select * from "+table, func(row []driver.Value) error {
			if _, err := checkRow(table, row); err != nil {
				v.report.fault("%v", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// runs compares the view with the log.
func (v *verifier) runs(ctx context.Context) error {
	rows := 0
	err := v.query(ctx, workQuery, func(row []driver.Value) error {
		rows++
		w, _, err := scanWork(row)
		if err != nil {
			return nil // rows has named it
		}
		v.report.Runs++
		if h := v.heads[w.id]; h == nil || v.names[w.id] != decouple.RunStream(w.run.Tenant, w.run.ID) {
			v.report.fault("run %s has no stream", w.run.ID)
		} else if h.seq != w.body.Seq && len(v.report.Faults) == 0 {
			v.stale(ctx, w, h)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var total int
	if err := v.db.QueryRowContext(ctx, "select max((select count(*) from run), (select count(*) from work), (select count(*) from stream where kind = 'run'))").Scan(&total); err != nil {
		return err
	}
	if total != rows {
		v.report.fault("the view of runs has %d whole rows of %d", rows, total)
	}
	return nil
}

// stale reports a run whose row is behind its stream, unless the writer was at work meanwhile.
func (v *verifier) stale(ctx context.Context, w *work, h *stream) {
	events, err := v.Read(ctx, decouple.RunStream(w.run.Tenant, w.run.ID), h.seq, 1)
	if err == nil && len(events) == 0 && w.body.Seq < h.seq {
		v.report.fault("run %s is at %d in the view and at %d in the log", w.run.ID, w.body.Seq, h.seq)
	}
}

// blobs reads every blob to its end.
func (v *verifier) blobs(ctx context.Context) error {
	type key struct {
		t  decouple.TenantID
		id decouple.BlobID
	}
	var all []key
	err := v.query(ctx, "select tenant, id from blob", func(row []driver.Value) error {
		all = append(all, key{decouple.TenantID(str(row[0])), decouple.BlobID(str(row[1]))})
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range all {
		var rc io.ReadCloser
		if rc, err = v.GetBlob(ctx, k.t, k.id); err == nil {
			var n int64
			n, err = io.Copy(io.Discard, rc)
			v.report.Bytes += n
		}
		if err != nil {
			v.report.fault("%v", err)
		}
		v.report.Blobs++
	}
	return v.orphans(ctx)
}

// orphans checks the chunks that no blob claims: uploads that never ended.
func (v *verifier) orphans(ctx context.Context) error {
	n := 0
	err := v.query(ctx, "select upload, n, data, sum from chunk where upload not in (select upload from blob)", func(row []driver.Value) error {
		n++
		if _, err := checkRow("chunk", row); err != nil {
			v.report.fault("%v", err)
		}
		return nil
	})
	if n > 0 {
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("%d chunks of uploads that never ended wait for the sweeper", n))
	}
	return err
}

// Accept opens a journal that Verify or Open refused for missing events and makes what is there the new truth. It returns the position it ends at.
func Accept(ctx context.Context, dir string) (decouple.Position, error) {
	s, err := Open(ctx, Config{Dir: dir, Owner: "decouple verify --accept", AcceptLoss: true})
	if err != nil {
		return 0, err
	}
	return s.head, s.Close()
}
