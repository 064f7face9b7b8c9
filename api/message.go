package api

import (
	"encoding/json"
	"io"

	"decouple.dev/decouple"
	"decouple.dev/decouple/knowledge"
)

// Owner says which process owns a data folder.
type Owner struct {
	PID   int    `json:"pid"`
	Doing string `json:"doing"` // its command
}

// Addition begins a request to add notes.
type Addition struct {
	Paths []string       `json:"paths"`          // absolute: the owner works in another folder
	Stdin bool           `json:"stdin"`          // the bytes after this object are a note
	Name  string         `json:"name,omitempty"` // of that note
	Actor decouple.Actor `json:"actor"`
}

// Frame is a line of the answer to an [Addition]; exactly one field is set.
type Frame struct {
	Progress *knowledge.Progress `json:"progress,omitempty"`
	Summary  *knowledge.Summary  `json:"summary,omitempty"`
	Error    *Fault              `json:"error,omitempty"`
}

// Fault is an error on its way to the client.
type Fault struct {
	Kind    decouple.Kind `json:"kind"`
	Message string        `json:"message"`
}

func faultOf(err error) *Fault { return &Fault{decouple.KindOf(err), err.Error()} }

// asError is the error that a fault stands for.
func (f Fault) asError() error { return decouple.Errorf(f.Kind, "%s", f.Message) }

// none answers what has nothing to say but that it was done.
type none struct{}

// begun answers what makes a run.
type begun struct {
	Run decouple.RunID `json:"run"`
}

// told answers a cancellation.
type told struct {
	Told int `json:"told"`
}

// removal asks to remove a note.
type removal struct {
	Note  string         `json:"note"`
	Actor decouple.Actor `json:"actor"`
}

// removed answers a removal.
type removed struct {
	Removed int `json:"removed"`
}

// maxBody bounds what is decoded at once.
const maxBody = 16 << 20

// decode reads one JSON value strictly and gives what follows it.
func decode[T any](r io.Reader, into *T) (rest io.Reader, err error) {
	d := json.NewDecoder(io.LimitReader(r, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "the request's JSON cannot be read: %w", err)
	}
	return io.MultiReader(d.Buffered(), r), nil
}
