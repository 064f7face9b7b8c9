package knowledge

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/knowledge/document"
	"decouple.dev/decouple/prose"
	"golang.org/x/sync/errgroup"
)

// foldBatch is how many events go into one transaction of the index.
const foldBatch = 64

// CatchUp brings the index to a position, or to the newest event if it is 0.
func (b *Base) CatchUp(ctx context.Context, until decouple.Position) error {
	if until > 0 && decouple.Position(b.index.reached.Load()) >= until {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		reached := decouple.Position(b.index.reached.Load())
		if until > 0 && reached >= until {
			return nil
		}
		head, err := b.cfg.Source.Head(ctx)
		if err != nil {
			return err
		}
		if until > head {
			return decouple.Errorf(decouple.NotFound, "the journal ends at position %d, before %d", head, until)
		}
		if reached >= head {
			return nil
		}
		events, err := b.cfg.Source.Scan(ctx, journal.Filter{Tenant: b.cfg.Tenant, Kind: decouple.StreamNote, After: reached, Limit: foldBatch})
		if err != nil {
			return err
		}
		if len(events) == 0 {
			if err := b.rest(ctx, reached, head); err != nil {
				return err
			}
			continue
		}
		if err := b.fold(ctx, events, reached); err != nil {
			return err
		}
	}
}

// rest notes that there is nothing for the index up to head. It is written down only now and then: reading the journal again costs little.
func (b *Base) rest(ctx context.Context, reached, head decouple.Position) error {
	if head-reached > 10_000 {
		if err := b.index.write(ctx, func(tx *sql.Tx) error { return setPosition(ctx, tx, head) }); err != nil {
			return err
		}
	}
	b.index.reached.Store(max(int64(head), b.index.reached.Load()))
	return nil
}

// fold reads the documents of events and puts them in the index, all in one transaction, unless another process has been faster.
func (b *Base) fold(ctx context.Context, events []decouple.Event, reached decouple.Position) error {
	entries := make([]*entry, len(events))
	notes := make([]added, len(events))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for i, e := range events {
		if e.Kind != NoteAdded || e.KindVersion != eventVersion {
			continue
		}
		a, err := decodeAdded(e)
		if err != nil {
			return err
		}
		notes[i] = a
		if p, ok := b.prepared.LoadAndDelete(a.Note); ok {
			entries[i] = p.(*entry)
			continue
		}
		group.Go(func() error {
			var err error
			entries[i], err = b.reread(gctx, a)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	last := events[len(events)-1].Position
	err := b.index.write(ctx, func(tx *sql.Tx) error {
		var at int64
		err := tx.QueryRowContext(ctx, "select value from state where name = 'position'").Scan(&at)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		for i, e := range events {
			if int64(e.Position) <= at {
				continue
			}
			if err := apply(ctx, tx, e, notes[i], entries[i]); err != nil {
				return err
			}
		}
		last = max(last, decouple.Position(at))
		return setPosition(ctx, tx, last)
	})
	if err != nil {
		return err
	}
	b.index.reached.Store(max(int64(last), int64(reached)))
	b.index.changed.Store(max(int64(last), b.index.changed.Load()))
	return nil
}

// reread makes the entry of a version from its blob. A document that can no longer be read has an entry that says why.
func (b *Base) reread(ctx context.Context, a added) (*entry, error) {
	r, err := b.cfg.Source.GetBlob(ctx, b.cfg.Tenant, a.Blob)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, decouple.Errorf(decouple.KindOf(err), "the original of %s cannot be read: %w", a.Path, err)
	}
	d, err := b.extract(ctx, a.Source, data)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return &entry{media: a.Media, title: a.Title, problem: err.Error()}, nil
	}
	return prepare(d), nil
}

// extract reads a document from the bytes of a file. A document that makes this program fail is refused like any other: it must not stop the rest.
func (b *Base) extract(ctx context.Context, name string, data []byte) (doc *document.Document, err error) {
	defer func() {
		if p := recover(); p != nil {
			doc, err = nil, decouple.Errorf(decouple.Internal, "reading it failed, which is a fault of this program: %v", p)
		}
	}()
	media, text, err := document.Decode(name, data)
	if err != nil {
		return nil, err
	}
	if media == document.PDF {
		if text, err = b.pdf.read(ctx, text); err != nil {
			return nil, err
		}
	}
	return document.Read(media, strings.TrimSuffix(name, ".gz"), text)
}

// setPosition writes down what the index has reached.
func setPosition(ctx context.Context, tx *sql.Tx, pos decouple.Position) error {
	_, err := tx.ExecContext(ctx, "insert into state (name, value) values ('position', ?) on conflict (name) do update set value = max(value, excluded.value)", int64(pos))
	return err
}

// apply changes the index by one event. Kinds and versions that this program does not know change nothing.
func apply(ctx context.Context, tx *sql.Tx, e decouple.Event, a added, x *entry) error {
	if e.KindVersion != eventVersion {
		return nil
	}
	p := a.Path
	switch e.Kind {
	case NoteAdded:
	case NoteRemoved:
		var r removed
		if err := json.Unmarshal(e.Payload, &r); err != nil {
			return decouple.Errorf(decouple.Internal, "the event %s at position %d is not a note: %w", e.ID, e.Position, err)
		}
		p = r.Path
	default:
		return nil
	}
	_, err := tx.ExecContext(ctx, "insert into stream (path, seq) values (?, ?) on conflict (path) do update set seq = excluded.seq", p, int64(e.Seq))
	if err != nil {
		return err
	}
	if err := supersede(ctx, tx, p, e.Position); err != nil {
		return err
	}
	if e.Kind == NoteRemoved {
		return nil
	}
	return insert(ctx, tx, e, a, x)
}

// supersede ends the version of a path that is in force and moves its passages from now to old.
func supersede(ctx context.Context, tx *sql.Tx, p string, at decouple.Position) error {
	var id int64
	var note, sections, title string
	err := tx.QueryRowContext(ctx, "select id, note, sections, title from note where path = ? and superseded = 0", p).Scan(&id, &note, &sections, &title)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	var stored []storedSection
	if err := json.Unmarshal([]byte(sections), &stored); err != nil {
		return err
	}
	rows, err := tx.QueryContext(ctx, "select id, first, last, text from passage where note = ?", id)
	if err != nil {
		return err
	}
	type row struct {
		id         int64
		head, body string
	}
	var moved []row
	for rows.Next() {
		var r row
		var first, last int
		var text string
		if err := rows.Scan(&r.id, &first, &last, &text); err != nil {
			_ = rows.Close()
			return err
		}
		heads := prose.Terms(title)
		for _, s := range stored {
			if s.Start < last && s.End > first {
				heads = append(heads, prose.Terms(strings.Join(s.Path, " / "))...)
			}
		}
		r.head, r.body = strings.Join(heads, " "), strings.Join(prose.Terms(text), " ")
		moved = append(moved, r)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	tokens := scope(decouple.NoteID(note), p)
	for _, r := range moved {
		if _, err := tx.ExecContext(ctx, "delete from now where rowid = ?", r.id); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "insert into old (rowid, scope, head, body) values (?, ?, ?, ?)", r.id, tokens, r.head, r.body); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, "update note set superseded = ? where id = ?", int64(at), id)
	return err
}

// insert adds a version with its passages.
func insert(ctx context.Context, tx *sql.Tx, e decouple.Event, a added, x *entry) error {
	sections, err := encodeSections(x.sections, x.passages)
	if err != nil {
		return err
	}
	fileTime := int64(0)
	if !a.FileTime.IsZero() {
		fileTime = a.FileTime.UnixMicro()
	}
	blocks := x.blocks
	if blocks == nil {
		blocks = []byte{}
	}
	r, err := tx.ExecContext(ctx, `insert into note (note, path, folder, title, source, media, sha256, size, text_size, file_time, added_time, added, superseded, passages, sections, blocks, problem)
		values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?)`, string(a.Note), a.Path, a.Folder, a.Title, a.Source, x.media, a.SHA256, a.Size, x.textSize, fileTime,
		e.Time.UnixMicro(), int64(e.Position), len(x.passages), sections, blocks, x.problem)
	if err != nil {
		return err
	}
	id, err := r.LastInsertId()
	if err != nil {
		return err
	}
	tokens := scope(a.Note, a.Path)
	for _, p := range x.passages {
		r, err := tx.ExecContext(ctx, "insert into passage (note, first, last, text, card) values (?, ?, ?, ?, ?)", id, p.start, p.end, p.text, p.card)
		if err != nil {
			return err
		}
		row, err := r.LastInsertId()
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "insert into now (rowid, scope, head, body) values (?, ?, ?, ?)", row, tokens, p.head, p.body); err != nil {
			return err
		}
	}
	return nil
}

func decimal(n int) string { return strconv.Itoa(n) }
