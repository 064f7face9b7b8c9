package knowledge

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"

	"decouple.dev/decouple"
)

// Library is what all tenants know: a [Base] for each, opened when it is first asked. Its questions go to the base of the tenant that the sources name.
type Library struct {
	cfg Config

	mu    sync.Mutex
	bases map[decouple.TenantID]*Base
}

// NewLibrary makes a library. The configuration is that of the local tenant's base; the index of another tenant is a file beside it.
func NewLibrary(cfg Config) *Library {
	return &Library{cfg: cfg, bases: map[decouple.TenantID]*Base{}}
}

// Of gives the base of a tenant; empty is the local one.
func (l *Library) Of(ctx context.Context, tenant decouple.TenantID) (*Base, error) {
	if tenant == "" {
		tenant = decouple.LocalTenant
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.bases[tenant]; b != nil {
		return b, nil
	}
	cfg := l.cfg
	if cfg.Tenant = tenant; tenant != decouple.LocalTenant {
		ext := filepath.Ext(cfg.Index)
		cfg.Index = strings.TrimSuffix(cfg.Index, ext) + "-" + digest(string(tenant), 16) + ext // any name is a file's name then
	}
	b, err := Open(ctx, cfg)
	if err == nil {
		l.bases[tenant] = b
	}
	return b, err
}

// Search finds the units that answer a question best, as [Base.Search] does.
func (l *Library) Search(ctx context.Context, src decouple.Sources, args decouple.SearchArgs) (decouple.SearchResult, error) {
	b, err := l.Of(ctx, src.Tenant)
	if err != nil {
		return decouple.SearchResult{}, err
	}
	return b.Search(ctx, src, args)
}

// Outline gives the headings of a note.
func (l *Library) Outline(ctx context.Context, src decouple.Sources, args decouple.OutlineArgs) (decouple.Outline, error) {
	b, err := l.Of(ctx, src.Tenant)
	if err != nil {
		return decouple.Outline{}, err
	}
	return b.Outline(ctx, src, args)
}

// Read gives a stretch of a note's text.
func (l *Library) Read(ctx context.Context, src decouple.Sources, args decouple.ReadArgs) (decouple.ReadResult, error) {
	b, err := l.Of(ctx, src.Tenant)
	if err != nil {
		return decouple.ReadResult{}, err
	}
	return b.Read(ctx, src, args)
}

// Locate looks a quotation up in a note that sources allow.
func (l *Library) Locate(ctx context.Context, src decouple.Sources, id decouple.NoteID, text string, hint int) (decouple.Quote, bool, error) {
	b, err := l.Of(ctx, src.Tenant)
	if err == nil {
		err = b.Permit(ctx, src, id)
	}
	if err != nil {
		return decouple.Quote{}, false, err
	}
	return b.Locate(ctx, id, text, hint)
}

// Text is the quotable text of a note that sources allow.
func (l *Library) Text(ctx context.Context, src decouple.Sources, id decouple.NoteID) (string, error) {
	b, err := l.Of(ctx, src.Tenant)
	if err == nil {
		err = b.Permit(ctx, src, id)
	}
	if err != nil {
		return "", err
	}
	return b.Text(ctx, string(id))
}

// Close closes all indexes.
func (l *Library) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, b := range l.bases {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}
