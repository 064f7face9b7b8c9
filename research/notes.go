package research

import (
	"context"

	"decouple.dev/decouple"
	"decouple.dev/decouple/knowledge"
)

// notes answers the questions of the check from what knowledge holds.
type notes struct{ base *knowledge.Base }

// NewSources makes the sources of a check from the notes that are known.
func NewSources(base *knowledge.Base) Sources { return notes{base} }

// Locate finds a quotation in a note that the run may read.
func (n notes) Locate(ctx context.Context, may decouple.Sources, note decouple.NoteID, text string, hint int) (decouple.Quote, bool, error) {
	if err := n.base.Permit(ctx, may, note); err != nil {
		return decouple.Quote{}, false, err
	}
	return n.base.Locate(ctx, note, text, hint)
}

// Text is a note's quotable text, if the run may read it.
func (n notes) Text(ctx context.Context, may decouple.Sources, note decouple.NoteID) (string, error) {
	if err := n.base.Permit(ctx, may, note); err != nil {
		return "", err
	}
	return n.base.Text(ctx, string(note))
}

// Search ranks units of the notes that the run may read.
func (n notes) Search(ctx context.Context, may decouple.Sources, args decouple.SearchArgs) (decouple.SearchResult, error) {
	return n.base.Search(ctx, may, args)
}
