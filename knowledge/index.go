package knowledge

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"

	"decouple.dev/decouple"
	"decouple.dev/decouple/knowledge/document"
	_ "modernc.org/sqlite" // the driver
)

// indexVersion is the version of the schema and of what is stored in it. A file of another version is made anew.
const indexVersion = 2*1000 + document.Version

// schema of the index. In now are the passages of the versions in force, in old those of versions that were replaced or removed; both have the rowids of
// passage and hold no text, only terms.
const schema = `
create table state (name text primary key, value integer not null) without rowid;
create table note (
	id integer primary key,
	note text not null, path text not null, folder text not null, title text not null, source text not null, media text not null, sha256 text not null,
	size integer not null, text_size integer not null, file_time integer not null, added_time integer not null,
	added integer not null, superseded integer not null, passages integer not null,
	sections text not null, blocks blob not null, problem text not null
);
create index note_id on note (note);
create index note_path on note (path, superseded);
create index note_added on note (added);
create index note_superseded on note (superseded) where superseded > 0;
create table passage (id integer primary key, note integer not null, first integer not null, last integer not null, text text not null, card blob not null);
create index passage_note on passage (note, first);
create table stream (path text primary key, seq integer not null) without rowid;
create table seen (path text primary key, size integer not null, time integer not null, inode integer not null, sha256 text not null) without rowid;
create virtual table now using fts5 (scope, head, body, content='', contentless_delete=1, tokenize="ascii tokenchars '-_./:+#'");
create virtual table old using fts5 (scope, head, body, content='', tokenize="ascii tokenchars '-_./:+#'");
create virtual table vocabulary using fts5vocab (now, row);
`

// index is the SQLite file.
type index struct {
	path    string
	db      *sql.DB      // for reading
	wdb     *sql.DB      // one connection, for writing
	reached atomic.Int64 // position in the journal
	changed atomic.Int64 // position of the newest note event in it
}

// openIndex opens the file, and makes it anew if it is damaged or of another version.
func openIndex(ctx context.Context, path string) (*index, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, decouple.Errorf(decouple.Unavailable, "the folder of the index of notes cannot be made: %w", err)
	}
	ix, err := tryIndex(ctx, path)
	if err == nil || ctx.Err() != nil || decouple.KindOf(err) == decouple.Unavailable {
		return ix, err
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, decouple.Errorf(decouple.Unavailable, "the index of notes is damaged and cannot be deleted: %w", err)
		}
	}
	return tryIndex(ctx, path)
}

func tryIndex(ctx context.Context, path string) (*index, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, decouple.Errorf(decouple.Unavailable, "the index of notes cannot be opened: %w", err)
	}
	_ = file.Close()
	pragmas := "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=cache_size(-8000)"
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + pragmas
	ix := &index{path: path}
	if ix.wdb, err = sql.Open("sqlite", dsn+"&_txlock=immediate"); err != nil {
		return nil, indexError(err)
	}
	ix.wdb.SetMaxOpenConns(1)
	if ix.db, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		return nil, indexError(err)
	}
	ix.db.SetMaxOpenConns(4)
	if err := ix.migrate(ctx); err != nil {
		_ = ix.close()
		return nil, err
	}
	return ix, nil
}

// indexError wraps an error of the index file.
func indexError(err error) error {
	var e *decouple.Error
	if err == nil || errors.As(err, &e) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return decouple.Errorf(decouple.Internal, "the index of notes: %w; if this stays, delete the index file and it will be made anew", err)
}

// migrate makes the tables, or says by an error that the file is not what it should be.
func (ix *index) migrate(ctx context.Context) error {
	return ix.write(ctx, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, "pragma user_version").Scan(&version); err != nil {
			return err
		}
		switch version {
		case indexVersion:
			return ix.loadReached(ctx, tx)
		case 0:
			return create(ctx, tx)
		}
		return decouple.Errorf(decouple.Conflict, "the index of notes has version %d, not %d", version, indexVersion)
	})
}

// create makes the tables in an empty file.
func create(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "pragma user_version = "+decimal(indexVersion))
	return err
}

// loadReached reads the position that the file has reached.
func (ix *index) loadReached(ctx context.Context, tx *sql.Tx) error {
	var pos int64
	err := tx.QueryRowContext(ctx, "select value from state where name = 'position'").Scan(&pos)
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		ix.reached.Store(max(pos, ix.reached.Load()))
		ix.changed.Store(max(pos, ix.changed.Load()))
		return nil
	}
	return err
}

// write runs fn in a transaction that holds the file's write lock from its beginning.
func (ix *index) write(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := ix.wdb.BeginTx(ctx, nil)
	if err != nil {
		return indexError(err)
	}
	if err := fn(tx); err != nil {
		_ = tx.Rollback()
		return indexError(err)
	}
	return indexError(tx.Commit())
}

func (ix *index) close() error {
	var errs []error
	for _, db := range []*sql.DB{ix.db, ix.wdb} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
