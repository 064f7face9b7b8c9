package exit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/knowledge"
	"decouple.dev/decouple/registry"
)

// Fold is what a reader of the journal makes of it, as a hash: the same before and after, or something was lost.
type Fold struct {
	Fold   string            `json:"fold"` // run, notes, keys, usage, budgets or stream
	Tenant decouple.TenantID `json:"tenant,omitempty"`
	ID     string            `json:"id,omitempty"`
	SHA256 string            `json:"sha256"`
	Shows  string            `json:"shows,omitempty"` // in a few words
}

// Log is a journal that can be carried.
type Log interface {
	journal.Reader
	journal.Dumper
}

// pinned is a journal as far as a position: what is written behind it is not seen.
type pinned struct {
	journal.Reader
	head decouple.Position
}

func (p pinned) upTo(events []decouple.Event, err error) ([]decouple.Event, error) {
	for i, e := range events {
		if e.Position > p.head {
			return events[:i], err
		}
	}
	return events, err
}

// Head is the position that the journal is pinned to.
func (p pinned) Head(context.Context) (decouple.Position, error) { return p.head, nil }

// Read returns events of a stream.
func (p pinned) Read(ctx context.Context, s decouple.Stream, after decouple.Seq, limit int) ([]decouple.Event, error) {
	return p.upTo(p.Reader.Read(ctx, s, after, limit))
}

// Scan returns events in order of position.
func (p pinned) Scan(ctx context.Context, f journal.Filter) ([]decouple.Event, error) {
	return p.upTo(p.Reader.Scan(ctx, f))
}

// Commit refuses: folds only read.
func (p pinned) Commit(context.Context, journal.Mutation) (journal.Receipt, error) {
	return journal.Receipt{}, decouple.Errorf(decouple.Internal, "a fold writes")
}

// folder makes folds of a journal.
type folder struct {
	log  pinned
	pdf  []string
	temp string // a folder
	fn   func(Fold) error
}

// foldAll makes all folds of a journal up to a position, in an order that is the same in every store.
func foldAll(ctx context.Context, log journal.Reader, head decouple.Position, pdf []string, fn func(Fold) error) error {
	temp, err := os.MkdirTemp("", "decouple-exit-*")
	if err != nil {
		return decouple.Errorf(decouple.Unavailable, "there is no place for a temporary index: %w", err)
	}
	f := &folder{log: pinned{log, head}, pdf: pdf, temp: temp, fn: fn}
	for _, part := range []func(context.Context) error{f.streams, f.runs, f.keys, f.usage, f.budgets} {
		if err = part(ctx); err != nil {
			break
		}
	}
	return errors.Join(err, os.RemoveAll(temp))
}

// hashed is a fold of values that JSON can write.
func hashed(name string, tenant decouple.TenantID, id, shows string, values ...any) (Fold, error) {
	h := sha256.New()
	e := json.NewEncoder(h)
	for _, v := range values {
		if err := e.Encode(v); err != nil {
			return Fold{}, decouple.Errorf(decouple.Internal, "the fold %s of %s cannot be written: %w", name, id, err)
		}
	}
	return Fold{name, tenant, id, hex.EncodeToString(h.Sum(nil)), shows}, nil
}

func (f *folder) say(x Fold, err error) error {
	if err != nil {
		return err
	}
	return f.fn(x)
}

// streamSum is the events of a kind of stream of a tenant.
type streamSum struct {
	n    int64
	hash hash.Hash
}

type streamKind struct {
	tenant decouple.TenantID
	kind   decouple.StreamKind
}

// each calls fn for all events, of one kind of stream or, if it is empty, of all.
func (f *folder) each(ctx context.Context, kind decouple.StreamKind, fn func(decouple.Event) error) error {
	q := journal.Filter{Kind: kind, Limit: 2000}
	for {
		events, err := f.log.Scan(ctx, q)
		if err != nil || len(events) == 0 {
			return err
		}
		for _, e := range events {
			if err := fn(e); err != nil {
				return err
			}
			q.After = e.Position
		}
	}
}

// streams folds positions and checksums by tenant and kind of stream, and the notes of each tenant that has some.
func (f *folder) streams(ctx context.Context) error {
	sums := map[streamKind]*streamSum{}
	err := f.each(ctx, "", func(e decouple.Event) error {
		k := streamKind{e.Stream.Tenant, e.Stream.Kind}
		s := sums[k]
		if s == nil {
			s = &streamSum{hash: sha256.New()}
			sums[k] = s
		}
		s.n++
		fmt.Fprintf(s.hash, "%d %q %d ", e.Position, e.Stream.ID, e.Seq)
		s.hash.Write(e.Checksum[:])
		return nil
	})
	if err != nil {
		return err
	}
	keys := slices.SortedFunc(maps.Keys(sums), func(a, b streamKind) int {
		return slices.Compare([]string{string(a.tenant), string(a.kind)}, []string{string(b.tenant), string(b.kind)})
	})
	for _, k := range keys {
		s := sums[k]
		if err := f.fn(Fold{"stream", k.tenant, string(k.kind), hex.EncodeToString(s.hash.Sum(nil)), fmt.Sprintf("%d events", s.n)}); err != nil {
			return err
		}
	}
	for _, k := range keys {
		if k.kind == decouple.StreamNote {
			if err := f.notes(ctx, k.tenant); err != nil {
				return err
			}
		}
	}
	return nil
}

// notes folds the index of a tenant's notes: what they are, and their text.
func (f *folder) notes(ctx context.Context, tenant decouple.TenantID) (err error) {
	library := knowledge.NewLibrary(knowledge.Config{Source: f.log, Index: filepath.Join(f.temp, "notes.db"), PDF: f.pdf})
	defer func() { err = errors.Join(err, library.Close()) }()
	base, err := library.Of(ctx, tenant)
	if err != nil {
		return err
	}
	list, err := base.List(ctx, decouple.Sources{})
	if err != nil {
		return err
	}
	values := []any{}
	for _, n := range list {
		text := ""
		if n.Problem == "" {
			if text, err = base.Text(ctx, string(n.ID)); err != nil {
				return err
			}
		}
		sum := sha256.Sum256([]byte(text))
		values = append(values, n, hex.EncodeToString(sum[:]))
	}
	return f.say(hashed("notes", tenant, "", fmt.Sprintf("%d notes", len(list)), values...))
}

// runs folds each run as the engine does.
func (f *folder) runs(ctx context.Context) error {
	after := int64(0)
	for {
		rows, err := f.log.Runs(ctx, journal.RunFilter{After: after, Limit: 1000})
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, row := range rows {
			after = row.Row
			x, err := f.run(ctx, row.Tenant, row.ID)
			if decouple.KindOf(err) == decouple.NotFound {
				continue // it was created behind the head
			}
			if err := f.say(x, err); err != nil {
				return err
			}
		}
	}
}

// run folds one run. What the engine cannot fold, such as a run of a newer program, has the reason instead.
func (f *folder) run(ctx context.Context, tenant decouple.TenantID, id decouple.RunID) (Fold, error) {
	s, err := engine.Load(ctx, f.log, tenant, id)
	switch {
	case decouple.KindOf(err) == decouple.NotFound, ctx.Err() != nil:
		return Fold{}, err
	case err != nil:
		return hashed("run", tenant, string(id), "not read by this program", err.Error())
	}
	shows := "open"
	if s.Ended() {
		shows = string(s.Cause.Kind)
	}
	return hashed("run", tenant, string(id), fmt.Sprintf("%s after %d steps", shows, s.Steps), s, s.Used(), s.Ended())
}

// keys folds who may do what.
func (f *folder) keys(ctx context.Context) error {
	list, err := registry.NewKeys(f.log).List(ctx, "")
	if err != nil {
		return err
	}
	return f.say(hashed("keys", "", "", fmt.Sprintf("%d keys", len(list)), list))
}

// usage folds what model calls have used, by all that it is summed by.
func (f *folder) usage(ctx context.Context) error {
	view := ledger.NewView(f.log)
	rows, err := view.Usage(ctx, ledger.Query{By: []ledger.By{ledger.ByTenant, ledger.ByKey, ledger.ByTeam, ledger.ByAgent, ledger.ByAsked, ledger.ByModel, ledger.ByEndpoint, ledger.ByDoor,
		ledger.BySource, ledger.ByOutcome, ledger.ByHour}})
	if err != nil {
		return err
	}
	total, err := view.Usage(ctx, ledger.Query{})
	if err != nil {
		return err
	}
	shows := "no calls"
	if len(total) > 0 {
		shows = fmt.Sprintf("%d calls, $%s", total[0].Calls, total[0].Usage.Cost)
	}
	return f.say(hashed("usage", "", "", shows, rows))
}

// budgets folds the budgets that are set: the last word on each.
func (f *folder) budgets(ctx context.Context) error {
	last := map[string]string{}
	err := f.each(ctx, ledger.StreamBudget, func(e decouple.Event) error {
		last[e.Stream.String()] = string(e.Kind) + " " + string(e.Payload)
		if e.Kind == ledger.BudgetRemoved {
			delete(last, e.Stream.String())
		}
		return nil
	})
	if err != nil {
		return err
	}
	return f.say(hashed("budgets", "", "", fmt.Sprintf("%d budgets", len(last)), last))
}
