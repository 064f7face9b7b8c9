package knowledge

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/knowledge/document"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// MaxSize is the largest file that becomes a note, in bytes.
const MaxSize = document.MaxSize

// maxPath bounds the path of a note that is uploaded, in bytes.
const maxPath = 1024

// How an Add spreads its work.
const (
	readers    = 2                      // files that are read at once
	committers = 16                     // commits that are under way at once, so that the journal can join them
	inFlight   = 128 << 20              // bytes of files that are read and not yet committed, counted three times for what is made of them
	settled    = 100 * time.Millisecond // a file that changed less long ago may change again within the same tick of its clock
)

// Request says what to add.
type Request struct {
	Paths    []string       // files and folders
	Stdin    io.Reader      // a note from standard input, if not nil
	Name     string         // of that note
	Path     string         // absolute, of the file that standard input holds the bytes of, which then has no other name
	Folder   string         // of that path, as it was given
	Actor    decouple.Actor // who adds
	Progress func(Progress) // called now and then, never twice at once
}

// Progress says how far an Add is.
type Progress struct {
	Done, Files     int
	Bytes, AllBytes int64
}

// Summary says what an Add did.
type Summary struct {
	Added     int               `json:"added"`
	Changed   int               `json:"changed"`
	Unchanged int               `json:"unchanged"`
	Removed   int               `json:"removed"` // files that are gone from a folder given
	Bytes     int64             `json:"bytes"`   // of the files that were read
	Skipped   []Skip            `json:"skipped,omitempty"`
	Position  decouple.Position `json:"position"` // from which all of it is in force
}

// Add makes notes of files and folders, and brings the index up to date. A file that has not changed costs a look at its size and times. What cannot
// become a note is named in the summary and stops nothing.
func (b *Base) Add(ctx context.Context, r Request) (Summary, error) {
	if b.cfg.Writer == nil {
		return Summary{}, decouple.Errorf(decouple.Denied, "notes cannot be added here: the journal is open for reading only")
	}
	if r.Actor == (decouple.Actor{}) {
		r.Actor = decouple.Actor{Kind: decouple.ActorSystem, ID: "knowledge"}
	}
	if err := b.CatchUp(ctx, 0); err != nil {
		return Summary{}, err
	}
	paths, err := absolute(r.Paths)
	if err != nil {
		return Summary{}, err
	}
	if r.Path != "" && (!filepath.IsAbs(r.Path) || filepath.Clean(r.Path) != r.Path || !utf8.ValidString(r.Path) || len(r.Path) > maxPath) {
		return Summary{}, decouple.Errorf(decouple.Invalid, "the path of a note is absolute and clean, such as /handbook/leave.md, which %q is not", r.Path)
	}
	a := &adding{b: b, r: r, w: walk(paths), room: semaphore.NewWeighted(inFlight), wake: make(chan struct{}, 1)}
	if a.known, err = b.index.known(ctx, r.Path); err != nil {
		return Summary{}, err
	}
	if err := a.run(ctx); err != nil {
		return a.sum, err
	}
	if err := a.gone(ctx, paths); err != nil {
		return a.sum, err
	}
	if err := b.CatchUp(ctx, 0); err != nil {
		return a.sum, err
	}
	if err := b.index.remember(ctx, a.seen); err != nil {
		return a.sum, err
	}
	a.sum.Position = decouple.Position(b.index.reached.Load())
	a.sum.Skipped = append(a.sum.Skipped, a.w.skips...)
	slices.SortFunc(a.sum.Skipped, func(x, y Skip) int { return cmp.Or(cmp.Compare(x.Path, y.Path), cmp.Compare(x.Why, y.Why)) })
	return a.sum, nil
}

// absolute makes paths absolute and clean.
func absolute(paths []string) ([]string, error) {
	out := make([]string, len(paths))
	for i, p := range paths {
		if !utf8.ValidString(p) {
			return nil, decouple.Errorf(decouple.Invalid, "the path %q is not UTF-8", p)
		}
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, decouple.Errorf(decouple.Invalid, "the path %s cannot be made absolute: %w", p, err)
		}
		out[i] = abs
	}
	return out, nil
}

// knownNote is what the index knows of the newest version of a path.
type knownNote struct {
	note  decouple.NoteID // empty: removed
	sha   string
	seq   decouple.Seq // of the path's stream
	size  int64        // of the file when it was last read, -1 if that is not known here
	time  int64
	inode int64
}

// known lists the newest versions by path, or only that of one path.
func (ix *index) known(ctx context.Context, only string) (map[string]knownNote, error) {
	rows, err := ix.db.QueryContext(ctx, `select stream.path, stream.seq, coalesce(note.note, ''), coalesce(note.sha256, ''), coalesce(seen.size, -1), coalesce(seen.time, 0), coalesce(seen.inode, 0)
		from stream left join note on note.path = stream.path and note.superseded = 0 left join seen on seen.path = stream.path and seen.sha256 = note.sha256
		where ?1 = '' or stream.path = ?1`, only)
	if err != nil {
		return nil, indexError(err)
	}
	defer func() { _ = rows.Close() }()
	known := map[string]knownNote{}
	for rows.Next() {
		var k knownNote
		var p string
		if err := rows.Scan(&p, &k.seq, &k.note, &k.sha, &k.size, &k.time, &k.inode); err != nil {
			return nil, indexError(err)
		}
		known[p] = k
	}
	return known, indexError(rows.Err())
}

// seenFile is what a file looked like when it had a content.
type seenFile struct {
	path              string
	size, time, inode int64
	sha               string
}

// remember keeps what files looked like, so that they need not be read again.
func (ix *index) remember(ctx context.Context, files []seenFile) error {
	if len(files) == 0 {
		return nil
	}
	return ix.write(ctx, func(tx *sql.Tx) error {
		for _, f := range files {
			_, err := tx.ExecContext(ctx, "insert or replace into seen (path, size, time, inode, sha256) values (?, ?, ?, ?, ?)", f.path, f.size, f.time, f.inode, f.sha)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// adding is one Add under way.
type adding struct {
	b     *Base
	r     Request
	w     *walker
	known map[string]knownNote
	room  *semaphore.Weighted
	wake  chan struct{} // there is something for the index

	mu   sync.Mutex
	sum  Summary
	seen []seenFile
	prog Progress
}

// made is a document on its way to the journal.
type made struct {
	note  added
	data  []byte
	entry *entry
	known knownNote
	room  int64
}

// run reads the files on two workers while others commit what was read and one brings the index up to date.
func (a *adding) run(ctx context.Context) error {
	a.prog.Files = len(a.w.files)
	for _, f := range a.w.files {
		a.prog.AllBytes += f.info.Size()
	}
	group, gctx := errgroup.WithContext(ctx)
	files, docs := make(chan file), make(chan made)
	group.Go(func() error {
		defer close(files)
		for _, f := range a.w.files {
			select {
			case files <- f:
			case <-gctx.Done():
				return gctx.Err()
			}
		}
		return nil
	})
	var reading, committing sync.WaitGroup
	for range readers {
		reading.Add(1)
		group.Go(func() error {
			defer reading.Done()
			return a.readAll(gctx, files, docs)
		})
	}
	group.Go(func() error {
		err := a.stdin(gctx, docs)
		reading.Wait()
		close(docs)
		return err
	})
	for range committers {
		committing.Add(1)
		group.Go(func() error {
			defer committing.Done()
			for d := range docs {
				if err := a.commit(gctx, d); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		committing.Wait()
		close(a.wake)
		return nil
	})
	group.Go(func() error {
		for range a.wake {
			if err := a.b.CatchUp(gctx, 0); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// readAll reads files until there are none.
func (a *adding) readAll(ctx context.Context, files <-chan file, docs chan<- made) error {
	for f := range files {
		if err := a.readFile(ctx, f, docs); err != nil {
			return err
		}
		a.step(f.info.Size())
	}
	return nil
}

// step counts a file as done.
func (a *adding) step(size int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.prog.Done++
	a.prog.Bytes += size
	if a.r.Progress != nil {
		a.r.Progress(a.prog)
	}
}

// readFile makes a document of a file, unless it has not changed.
func (a *adding) readFile(ctx context.Context, f file, docs chan<- made) error {
	k := a.known[f.path]
	now := seenFile{f.path, f.info.Size(), f.info.ModTime().UnixNano(), inode(f.info), ""}
	if k.note != "" && k.size == now.size && k.time == now.time && k.inode == now.inode {
		a.count(func(s *Summary) { s.Unchanged++ })
		return nil
	}
	weight := min(3*f.info.Size()+4096, inFlight)
	if err := a.room.Acquire(ctx, weight); err != nil {
		return err
	}
	started := time.Now()
	data, err := readLimited(f.path)
	if err != nil {
		a.room.Release(weight)
		a.skip(f.path, reason(err))
		return nil
	}
	sum := sha256.Sum256(data)
	now.sha = hex.EncodeToString(sum[:])
	if started.Sub(f.info.ModTime()) > settled && int64(len(data)) == now.size {
		a.mu.Lock()
		a.seen = append(a.seen, now)
		a.mu.Unlock()
	}
	d := made{known: k, data: data, room: weight, note: added{Path: f.path, Folder: f.folder, Source: f.source(), FileTime: f.info.ModTime().UTC()}}
	return a.makeNote(ctx, d, now.sha, docs)
}

// readLimited reads a file, but no more than what is refused anyway.
func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, document.MaxSize+1))
}

// makeNote reads the document and hands it on, unless the note has the same content already.
func (a *adding) makeNote(ctx context.Context, d made, sha string, docs chan<- made) error {
	if d.known.note != "" && d.known.sha == sha {
		a.room.Release(d.room)
		a.count(func(s *Summary) { s.Unchanged++ })
		return nil
	}
	doc, err := a.b.extract(ctx, d.note.Source, d.data)
	if err != nil {
		a.room.Release(d.room)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.skip(d.note.Path, err.Error())
		return nil
	}
	d.entry = prepare(doc)
	d.note.Note, d.note.SHA256, d.note.Size = noteID(d.note.Path, sha), sha, int64(len(d.data))
	d.note.Title, d.note.Media, d.note.Extractor = shorten(doc.Title), string(doc.Media), document.Version
	select {
	case docs <- d:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stdin makes a note of standard input.
func (a *adding) stdin(ctx context.Context, docs chan<- made) error {
	if a.r.Stdin == nil {
		return nil
	}
	name := cmp.Or(strings.TrimSpace(a.r.Name), "note")
	p, title := "stdin:"+name, name
	if a.r.Path != "" {
		p, name, title = a.r.Path, filepath.Base(a.r.Path), ""
		if rel, err := filepath.Rel(a.r.Folder, p); a.r.Folder != "" && err == nil {
			name = rel
		}
	}
	data, err := io.ReadAll(io.LimitReader(a.r.Stdin, document.MaxSize+1))
	if err != nil {
		a.skip(p, err.Error())
		return nil
	}
	weight := min(3*int64(len(data))+4096, inFlight)
	if err := a.room.Acquire(ctx, weight); err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	d := made{known: a.known[p], data: data, room: weight, note: added{Path: p, Folder: a.r.Folder, Source: name, Title: title}}
	return a.makeNote(ctx, d, hex.EncodeToString(sum[:]), docs)
}

// commit puts a version in the journal and tells the index of it.
func (a *adding) commit(ctx context.Context, d made) error {
	defer a.room.Release(d.room)
	blob, err := a.b.cfg.Writer.PutBlob(ctx, a.b.cfg.Tenant, "", bytes.NewReader(d.data))
	if err != nil {
		return err
	}
	d.note.Blob = blob.ID
	payload, err := json.Marshal(d.note)
	if err != nil {
		return err
	}
	a.b.prepared.Store(d.note.Note, d.entry)
	err = a.b.append(ctx, a.r.Actor, d.note.Path, d.known.seq, journal.NewEvent{Kind: NoteAdded, Payload: payload}, string(d.note.Note), blob.ID)
	if err != nil {
		a.b.prepared.Delete(d.note.Note)
		return err
	}
	a.count(func(s *Summary) {
		s.Bytes += d.note.Size
		if d.known.note != "" {
			s.Changed++
		} else {
			s.Added++
		}
	})
	select {
	case a.wake <- struct{}{}:
	default:
	}
	return nil
}

// append adds an event to the stream of a path. The commit's id follows from what it says, so that two who say the same say it once.
func (b *Base) append(ctx context.Context, actor decouple.Actor, path string, expect decouple.Seq, e journal.NewEvent, what string, pin ...decouple.BlobID) error {
	stream := noteStream(b.cfg.Tenant, path)
	e.KindVersion, e.Actor = eventVersion, actor
	for attempt := 0; ; attempt++ {
		id := decouple.CommitID("note/" + stream.ID + "/" + decimal(int(expect)) + "/" + what)
		_, err := b.cfg.Writer.Commit(ctx, journal.Mutation{ID: id, Stream: stream, Expect: expect, Events: []journal.NewEvent{e}, Pin: pin})
		if decouple.KindOf(err) != decouple.Conflict || attempt == 3 {
			return err
		}
		events, err := b.cfg.Writer.Read(ctx, stream, 0, 0)
		if err != nil {
			return err
		}
		expect = decouple.Seq(len(events)) // another process was faster
	}
}

// gone removes the notes of files that are no longer in the folders given.
func (a *adding) gone(ctx context.Context, paths []string) error {
	paths = slices.DeleteFunc(paths, func(p string) bool {
		info, err := os.Stat(p)
		return err != nil || !info.IsDir() // a whole folder that is missing may come back
	})
	for p, k := range a.known {
		if k.note == "" || a.w.taken[p] || !slices.ContainsFunc(paths, func(dir string) bool { return under(p, dir) }) {
			continue
		}
		if _, err := os.Lstat(p); !os.IsNotExist(err) {
			continue
		}
		if err := a.b.remove(ctx, a.r.Actor, p, k.note, k.seq, "the file is gone"); err != nil {
			return err
		}
		a.sum.Removed++
	}
	return nil
}

// under says that path is dir or in it.
func under(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, string(filepath.Separator))+string(filepath.Separator))
}

// remove says in the journal that there is no note at a path any more.
func (b *Base) remove(ctx context.Context, actor decouple.Actor, path string, id decouple.NoteID, seq decouple.Seq, why string) error {
	payload, err := json.Marshal(removed{Note: id, Path: path, Why: why})
	if err != nil {
		return err
	}
	return b.append(ctx, actor, path, seq, journal.NewEvent{Kind: NoteRemoved, Payload: payload}, "removed")
}

// Remove takes notes away: the one with that id or path, or all under a folder. Runs that began before still see them. It says how many
// there were; none is NotFound.
func (b *Base) Remove(ctx context.Context, actor decouple.Actor, idOrPath string) (int, error) {
	if b.cfg.Writer == nil {
		return 0, decouple.Errorf(decouple.Denied, "notes cannot be removed here: the journal is open for reading only")
	}
	if err := b.CatchUp(ctx, 0); err != nil {
		return 0, err
	}
	known, err := b.index.known(ctx, "")
	if err != nil {
		return 0, err
	}
	p := idOrPath
	if !isNoteID(p) && !strings.HasPrefix(p, "stdin:") {
		if p, err = filepath.Abs(p); err != nil {
			return 0, decouple.Errorf(decouple.Invalid, "the path %s cannot be made absolute: %w", idOrPath, err)
		}
	}
	n := 0
	for path, k := range known {
		if k.note == "" || string(k.note) != p && !under(path, p) {
			continue
		}
		if err := b.remove(ctx, actor, path, k.note, k.seq, "removed by hand"); err != nil {
			return n, err
		}
		n++
	}
	if n == 0 {
		return 0, decouple.Errorf(decouple.NotFound, "there is no note %s; `decouple notes ls` lists them", idOrPath)
	}
	return n, b.CatchUp(ctx, 0)
}

func (a *adding) count(fn func(*Summary)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fn(&a.sum)
}

func (a *adding) skip(path, why string) {
	a.count(func(s *Summary) { s.Skipped = append(s.Skipped, Skip{path, why}) })
}
