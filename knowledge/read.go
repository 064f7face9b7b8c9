package knowledge

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"decouple.dev/decouple"
)

// Limits of a read, in bytes.
const (
	defaultRead = 4 << 10
	maxRead     = 8 << 10
)

const noteColumns = "id, note, path, folder, title, source, media, sha256, size, text_size, file_time, added_time, added, superseded, problem"

// scanNote reads the columns above.
func scanNote(row interface{ Scan(...any) error }) (int64, Note, error) {
	var n Note
	var id, fileTime, addedTime int64
	err := row.Scan(&id, &n.ID, &n.Path, &n.Folder, &n.Title, &n.Source, &n.Media, &n.SHA256, &n.Size, &n.TextSize, &fileTime, &addedTime, &n.Position, &n.Superseded, &n.Problem)
	if fileTime != 0 {
		n.Time = time.UnixMicro(fileTime).UTC()
	}
	n.Added = time.UnixMicro(addedTime).UTC()
	return id, n, err
}

// List gives the notes that sources allow, by path.
func (b *Base) List(ctx context.Context, src decouple.Sources) ([]Note, error) {
	if err := b.CatchUp(ctx, src.AsOf); err != nil {
		return nil, err
	}
	where, args := "superseded = 0", []any{}
	if src.AsOf > 0 {
		where, args = inForce, []any{int64(src.AsOf), int64(src.AsOf)}
	}
	rows, err := b.index.db.QueryContext(ctx, "select "+noteColumns+" from note where "+where+" order by path", args...)
	if err != nil {
		return nil, indexError(err)
	}
	defer func() { _ = rows.Close() }()
	notes := []Note{}
	for rows.Next() {
		_, n, err := scanNote(rows)
		if err != nil {
			return nil, indexError(err)
		}
		if allowed(src, n.Path) {
			notes = append(notes, n)
		}
	}
	return notes, indexError(rows.Err())
}

// allowed says that sources hold a path.
func allowed(src decouple.Sources, path string) bool {
	if len(src.Paths) == 0 {
		return true
	}
	for _, p := range src.Paths {
		if under(path, trimSlash(p)) {
			return true
		}
	}
	return false
}

// Get finds a note by its id, whether in force or not, or the version in force by its path.
func (b *Base) Get(ctx context.Context, idOrPath string) (Note, error) {
	_, n, err := b.find(ctx, idOrPath)
	return n, err
}

func (b *Base) find(ctx context.Context, idOrPath string) (int64, Note, error) {
	if err := b.CatchUp(ctx, 0); err != nil {
		return 0, Note{}, err
	}
	where, arg := "path = ? and superseded = 0", idOrPath
	if isNoteID(idOrPath) {
		where = "note = ?"
	} else if !strings.HasPrefix(idOrPath, "stdin:") {
		if abs, err := filepath.Abs(idOrPath); err == nil {
			arg = abs
		}
	}
	id, n, err := scanNote(b.index.db.QueryRowContext(ctx, "select "+noteColumns+" from note where "+where+" order by added desc limit 1", arg))
	if errors.Is(err, sql.ErrNoRows) {
		return 0, Note{}, decouple.Errorf(decouple.NotFound, "there is no note %s; `decouple notes ls` lists them", idOrPath)
	}
	return id, n, indexError(err)
}

// Text gives the quotable text of a note, found as by [Base.Get].
func (b *Base) Text(ctx context.Context, idOrPath string) (string, error) {
	row, n, err := b.find(ctx, idOrPath)
	if err != nil {
		return "", err
	}
	if n.Problem != "" {
		return "", decouple.Errorf(decouple.Invalid, "%s has no text: %s", n.Path, n.Problem)
	}
	return b.index.stretch(ctx, row, 0, n.TextSize)
}

// stretch gives a part of a note's text.
func (ix *index) stretch(ctx context.Context, row int64, start, end int) (string, error) {
	rows, err := ix.db.QueryContext(ctx, "select first, text from passage where note = ? and first < ? and last > ? order by first", row, end, start)
	if err != nil {
		return "", indexError(err)
	}
	defer func() { _ = rows.Close() }()
	var b strings.Builder
	for rows.Next() {
		var first int
		var text string
		if err := rows.Scan(&first, &text); err != nil {
			return "", indexError(err)
		}
		b.WriteString(text[max(start-first, 0):min(end-first, len(text))])
	}
	return b.String(), indexError(rows.Err())
}

// permitted finds a note that sources allow.
func (b *Base) permitted(ctx context.Context, src decouple.Sources, id decouple.NoteID) (int64, Note, error) {
	if err := b.CatchUp(ctx, src.AsOf); err != nil {
		return 0, Note{}, err
	}
	where, args := "note = ? and superseded = 0", []any{string(id)}
	if src.AsOf > 0 {
		where, args = "note = ? and "+inForce, append(args, int64(src.AsOf), int64(src.AsOf))
	}
	row, n, err := scanNote(b.index.db.QueryRowContext(ctx, "select "+noteColumns+" from note where "+where, args...))
	if errors.Is(err, sql.ErrNoRows) || err == nil && !allowed(src, n.Path) {
		return 0, Note{}, decouple.Errorf(decouple.NotFound, "there is no note %q among the sources of this run; notes.search gives the notes' names in the field note", id)
	}
	return row, n, indexError(err)
}

// Permit is NotFound unless sources allow the note.
func (b *Base) Permit(ctx context.Context, src decouple.Sources, id decouple.NoteID) error {
	_, _, err := b.permitted(ctx, src, id)
	return err
}

// Outline gives the headings of a note.
func (b *Base) Outline(ctx context.Context, src decouple.Sources, args decouple.OutlineArgs) (decouple.Outline, error) {
	row, n, err := b.permitted(ctx, src, args.Note)
	if err != nil {
		return decouple.Outline{}, err
	}
	stored, err := b.index.sections(ctx, row)
	if err != nil {
		return decouple.Outline{}, err
	}
	out := decouple.Outline{Note: n.ID, Title: n.Title, Path: n.Path, Sections: []decouple.Section{}}
	for i, s := range stored {
		if s.Level == 0 && s.Units == 0 {
			continue
		}
		end := n.TextSize
		for _, next := range stored[i+1:] {
			if next.Level <= s.Level || s.Level == 0 {
				end = next.Start
				break
			}
		}
		out.Sections = append(out.Sections, decouple.Section{Path: notNil(s.Path), Start: s.Start, End: end, Units: s.Units})
	}
	return out, nil
}

// sections reads the sections of a note.
func (ix *index) sections(ctx context.Context, row int64) ([]storedSection, error) {
	var data string
	if err := ix.db.QueryRowContext(ctx, "select sections from note where id = ?", row).Scan(&data); err != nil {
		return nil, indexError(err)
	}
	var stored []storedSection
	return stored, indexError(json.Unmarshal([]byte(data), &stored))
}

// Read gives a stretch of a note's text, widened to whole blocks, with the units in it.
func (b *Base) Read(ctx context.Context, src decouple.Sources, args decouple.ReadArgs) (decouple.ReadResult, error) {
	row, n, err := b.permitted(ctx, src, args.Note)
	if err != nil {
		return decouple.ReadResult{}, err
	}
	if args.End == 0 {
		args.End = args.Start + defaultRead
	}
	if args.Start < 0 || args.Start > args.End || args.Start > n.TextSize {
		return decouple.ReadResult{}, decouple.Errorf(decouple.Invalid, "the stretch from %d to %d is not within the %d bytes of %s", args.Start, args.End, n.TextSize, n.ID)
	}
	var blocks []byte
	if err := b.index.db.QueryRowContext(ctx, "select blocks from note where id = ?", row).Scan(&blocks); err != nil {
		return decouple.ReadResult{}, indexError(err)
	}
	start, end := widen(blocks, args.Start, min(args.End, args.Start+maxRead, n.TextSize))
	out := decouple.ReadResult{Note: n.ID, Title: n.Title, Section: []string{}, Start: start, End: end, Size: n.TextSize, Units: []decouple.Unit{}}
	whole, err := b.index.stretch(ctx, row, start, end)
	if err != nil {
		return decouple.ReadResult{}, err
	}
	out.Text = strings.ToValidUTF8(whole, "")
	stored, err := b.index.sections(ctx, row)
	if err != nil {
		return decouple.ReadResult{}, err
	}
	for _, s := range stored {
		if s.Start <= start {
			out.Section = notNil(s.Path)
		}
	}
	out.Units, err = b.index.unitsIn(ctx, row, n, start, end, whole)
	return out, err
}

// unitsIn lists the units within a stretch of a note.
func (ix *index) unitsIn(ctx context.Context, row int64, n Note, start, end int, text string) ([]decouple.Unit, error) {
	rows, err := ix.db.QueryContext(ctx, "select card from passage where note = ? and first < ? and last > ? order by first", row, end, start)
	if err != nil {
		return nil, indexError(err)
	}
	defer func() { _ = rows.Close() }()
	units := []decouple.Unit{}
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return nil, indexError(err)
		}
		c, err := decodeCard(data)
		if err != nil {
			return nil, err
		}
		for _, u := range c.units {
			if u.start >= start && u.end <= end {
				units = append(units, decouple.Unit{Note: n.ID, Title: n.Title, Path: n.Path, Section: notNil(c.sections[u.section].path), Kind: u.kind,
					Start: u.start, End: u.end, Text: text[u.start-start : u.end-start], Matched: []string{}})
			}
		}
	}
	return units, indexError(rows.Err())
}

// Locate looks a quotation up, letter for letter, in the quotable text of a note. Of several places the one nearest to hint counts. It says false if the text
// does not stand there; an unknown note is NotFound.
func (b *Base) Locate(ctx context.Context, id decouple.NoteID, text string, hint int) (decouple.Quote, bool, error) {
	if text == "" || !isNoteID(string(id)) {
		return decouple.Quote{}, false, nil
	}
	row, n, err := b.find(ctx, string(id))
	if err != nil {
		return decouple.Quote{}, false, err
	}
	whole, err := b.index.stretch(ctx, row, 0, n.TextSize)
	if err != nil {
		return decouple.Quote{}, false, err
	}
	at := nearest(whole, text, hint)
	if at < 0 {
		return decouple.Quote{}, false, nil
	}
	return decouple.Quote{Note: n.ID, Text: text, Source: n.Title, Path: n.Path, SHA256: n.SHA256, Start: at, End: at + len(text),
		Line: 1 + strings.Count(whole[:at], "\n")}, true, nil
}

// nearest is where part stands in whole, closest to hint; -1 if it does not.
func nearest(whole, part string, hint int) int {
	best := -1
	for at := 0; ; {
		i := strings.Index(whole[at:], part)
		if i < 0 {
			return best
		}
		at += i
		if best >= 0 && max(hint-at, at-hint) >= max(hint-best, best-hint) {
			return best
		}
		best = at
		at++
	}
}
