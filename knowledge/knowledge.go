package knowledge

import (
	"context"
	"io"
	"sync"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Source is the part of a journal that the index is made from.
type Source interface {
	Scan(ctx context.Context, f journal.Filter) ([]decouple.Event, error)
	Head(ctx context.Context) (decouple.Position, error)
	GetBlob(ctx context.Context, t decouple.TenantID, id decouple.BlobID) (io.ReadCloser, error)
}

// Writer is the part of a journal that notes are added to.
type Writer interface {
	Read(ctx context.Context, s decouple.Stream, after decouple.Seq, limit int) ([]decouple.Event, error)
	Commit(ctx context.Context, m journal.Mutation) (journal.Receipt, error)
	PutBlob(ctx context.Context, t decouple.TenantID, s decouple.SubjectID, r io.Reader) (journal.Blob, error)
}

// Config says what a base is made of. Source and Index are required.
type Config struct {
	Source Source
	Writer Writer // nil: notes cannot be added here
	Index  string // path of the index file; it and its folder are made if missing
	Tenant decouple.TenantID
	// PDF is the command line of a process that runs [PDFMain]; without it PDFs are refused.
	PDF []string
}

// Base is what is known. Its methods may be called from many goroutines, and several processes may have the same index open.
type Base struct {
	cfg   Config
	index *index
	pdf   pdfReader

	mu       sync.Mutex // of whoever brings the index up to date
	prepared sync.Map   // decouple.NoteID to *entry: read already by an Add that goes on
	memo     memo
}

// Open opens the index, or makes it if it is missing, damaged or of another version.
func Open(ctx context.Context, cfg Config) (*Base, error) {
	if cfg.Source == nil || cfg.Index == "" {
		return nil, decouple.Errorf(decouple.Invalid, "knowledge needs a journal and the path of an index file")
	}
	if cfg.Tenant == "" {
		cfg.Tenant = decouple.LocalTenant
	}
	ix, err := openIndex(ctx, cfg.Index)
	if err != nil {
		return nil, err
	}
	return &Base{cfg: cfg, index: ix, pdf: pdfReader{argv: cfg.PDF}}, nil
}

// Close closes the index.
func (b *Base) Close() error { return b.index.close() }
