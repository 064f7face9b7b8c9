package research

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/prose"
)

// shelf is a few documents in memory: a small true implementation of Sources.
type shelf map[decouple.NoteID]string

// shelfOf reads the documents of testdata; a note's id is its file's name.
func shelfOf(t *testing.T) shelf {
	t.Helper()
	s := shelf{}
	files, err := filepath.Glob(filepath.Join("testdata", "*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no documents in testdata: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s[decouple.NoteID(filepath.Base(f))] = string(text)
	}
	return s
}

func (s shelf) Text(_ context.Context, _ decouple.Sources, note decouple.NoteID) (string, error) {
	text, ok := s[note]
	if !ok {
		return "", decouple.Errorf(decouple.NotFound, "there is no note %q", note)
	}
	return text, nil
}

func (s shelf) Locate(ctx context.Context, may decouple.Sources, note decouple.NoteID, text string, hint int) (decouple.Quote, bool, error) {
	source, err := s.Text(ctx, may, note)
	if err != nil {
		return decouple.Quote{}, false, err
	}
	best := -1
	for from := 0; from <= len(source); {
		i := strings.Index(source[from:], text)
		if i < 0 {
			break
		}
		if i += from; best < 0 || distance(i, hint) < distance(best, hint) {
			best = i
		}
		from = i + 1
	}
	if best < 0 {
		return decouple.Quote{}, false, nil
	}
	sum := sha256.Sum256([]byte(source))
	title, _, _ := strings.Cut(strings.TrimPrefix(source, "# "), "\n")
	return decouple.Quote{Note: note, Text: text, Source: title, Path: string(note), SHA256: hex.EncodeToString(sum[:]),
		Start: best, End: best + len(text), Line: 1 + strings.Count(source[:best], "\n")}, true, nil
}

func (s shelf) Search(_ context.Context, _ decouple.Sources, args decouple.SearchArgs) (decouple.SearchResult, error) {
	var r decouple.SearchResult
	wanted := prose.Set(args.Query)
	for note, text := range s {
		for _, span := range prose.Sentences(text) {
			if n := common(wanted, prose.Set(span.Of(text))); n > 0 {
				r.Units = append(r.Units, decouple.Unit{Note: note, Path: string(note), Start: span.Start, End: span.End, Text: span.Of(text), Score: float64(n)})
			}
		}
	}
	slices.SortFunc(r.Units, func(a, b decouple.Unit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Note, b.Note), cmp.Compare(a.Start, b.Start))
	})
	r.Passages = len(r.Units)
	r.Units = r.Units[:min(len(r.Units), max(args.Limit, 1))]
	return r, nil
}
