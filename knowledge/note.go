package knowledge

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"decouple.dev/decouple"
)

// The kinds of event in a note's stream.
const (
	NoteAdded   decouple.EventKind = "note.added"
	NoteRemoved decouple.EventKind = "note.removed"
)

// eventVersion is the version of both kinds that is written and understood.
const eventVersion = 1

// added is the payload of note.added: a version of a note. It replaces the one before it in the same stream.
type added struct {
	Note      decouple.NoteID `json:"note"`
	Path      string          `json:"path"`
	Folder    string          `json:"folder,omitempty"` // the folder that was given
	Title     string          `json:"title"`
	Source    string          `json:"source"` // path within the folder, or where else it came from
	Media     string          `json:"media"`
	SHA256    string          `json:"sha256"` // of the file's bytes
	Size      int64           `json:"size"`
	Blob      decouple.BlobID `json:"blob"`
	FileTime  time.Time       `json:"file_time,omitzero"`
	Extractor int             `json:"extractor"` // document.Version
}

// removed is the payload of note.removed: there is no note at this path any more.
type removed struct {
	Note decouple.NoteID `json:"note"`
	Path string          `json:"path"`
	Why  string          `json:"why,omitempty"`
}

// Note is one version of a note.
type Note struct {
	ID         decouple.NoteID   `json:"id"`
	Path       string            `json:"path"`
	Folder     string            `json:"folder,omitempty"`
	Title      string            `json:"title"`
	Source     string            `json:"source"`
	Media      string            `json:"media"`
	SHA256     string            `json:"sha256"`
	Size       int64             `json:"size"`
	TextSize   int               `json:"text_size"` // bytes of quotable text
	Time       time.Time         `json:"time,omitzero"`
	Added      time.Time         `json:"added"`
	Position   decouple.Position `json:"position"`             // from which it is in force
	Superseded decouple.Position `json:"superseded,omitempty"` // from which it is not; 0 is still in force
	Problem    string            `json:"problem,omitempty"`    // why it could not be read when the index was made
}

// noteID names the version of a path that has these bytes.
func noteID(path, sha string) decouple.NoteID {
	return decouple.NoteID("n" + digest(path+"\x00"+sha, 12))
}

// noteStream names the stream of a path.
func noteStream(t decouple.TenantID, path string) decouple.Stream {
	return decouple.Stream{Tenant: t, Kind: decouple.StreamNote, ID: "p" + digest(path, 24)}
}

// digest is the beginning of the SHA-256 of s, in hex.
func digest(s string, n int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:n]
}

// isNoteID says that s has the shape of a note's id.
func isNoteID(s string) bool {
	if len(s) != 13 || s[0] != 'n' {
		return false
	}
	return strings.Trim(s[1:], "0123456789abcdef") == ""
}

// shorten cuts a title so that its event stays small.
func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= 200 {
		return s
	}
	end := 200
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// decodeAdded reads the payload of an event.
func decodeAdded(e decouple.Event) (added, error) {
	var a added
	if err := json.Unmarshal(e.Payload, &a); err != nil {
		return a, decouple.Errorf(decouple.Internal, "the event %s at position %d is not a note: %w", e.ID, e.Position, err)
	}
	return a, nil
}
