package exit

import (
	"context"
	"encoding/json"
	"path/filepath"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// StreamExit is the kind of the one stream that bundles are noted in.
const StreamExit decouple.StreamKind = "exit"

// The kinds of event in it.
const (
	Bundled  decouple.EventKind = "exit.bundled"
	Verified decouple.EventKind = "exit.verified"
)

// noted is the payload of both.
type noted struct {
	ID     string            `json:"id"` // of the bundle
	File   string            `json:"file"`
	Made   time.Time         `json:"made"`
	Head   decouple.Position `json:"head"`
	Bytes  int64             `json:"bytes"`
	Events int64             `json:"events"`
	Runs   int64             `json:"runs"`
	Key    string            `json:"key"` // that signed it
}

func exitStream() decouple.Stream {
	return decouple.Stream{Tenant: decouple.LocalTenant, Kind: StreamExit, ID: "bundles"}
}

func notedOf(s Summary) noted {
	return noted{s.ID, filepath.Base(s.Path), s.Manifest.Made, s.Manifest.Head, s.Bytes, s.Manifest.Counts.Events, s.Manifest.Counts.Runs, s.Key}
}

// NoteOf is a note of a bundle that is kept elsewhere than in the journal.
func NoteOf(kind decouple.EventKind, s Summary, at time.Time) BundleNote {
	return BundleNote{What: words[kind], At: at.UTC().Truncate(time.Second), noted: notedOf(s)}
}

// words are the kinds of event as reports have them.
var words = map[decouple.EventKind]string{Bundled: "bundled", Verified: "verified"}

// Note notes in the journal that a bundle was made or verified.
func Note(ctx context.Context, log journal.Log, kind decouple.EventKind, s Summary, by decouple.Actor) error {
	b, err := json.Marshal(notedOf(s))
	if err != nil {
		return decouple.Errorf(decouple.Internal, "a note of a bundle cannot be written: %w", err)
	}
	for {
		had, err := log.Read(ctx, exitStream(), 0, 0)
		if err != nil {
			return err
		}
		_, err = log.Commit(ctx, journal.Mutation{
			ID: decouple.CommitID(string(kind) + "/" + s.ID + "/" + time.Now().UTC().Format(time.RFC3339Nano)), Stream: exitStream(), Expect: decouple.Seq(len(had)),
			Events: []journal.NewEvent{{Kind: kind, KindVersion: 1, Actor: by, Payload: b}},
		})
		if decouple.KindOf(err) != decouple.Conflict {
			return err
		}
	}
}
