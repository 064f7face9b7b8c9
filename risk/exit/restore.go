package exit

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Proof says that what was imported is what was in the bundle.
type Proof struct {
	Bundle string         `json:"bundle"`
	Into   string         `json:"into"`
	At     time.Time      `json:"at"`
	Head   int64          `json:"head"`
	Counts Counts         `json:"counts"`
	Files  int            `json:"files_equal"` // files of the bundle that the imported journal gives again, byte for byte
	Folds  map[string]int `json:"folds_equal"` // by what they are of
	Shows  []string       `json:"shows"`       // what the folds that are not of runs say
}

// Store is what a bundle is imported into.
type Store interface {
	journal.Restorer
	journal.Dumper
}

// Import restores a bundle into an empty store, and proves that it holds the same: by dumping it again, which must give the same files, and by comparing folds. Only
// then it is settled; before, the store can be opened by imports only.
func (b *Bundle) Import(ctx context.Context, into Store, cfg Config) (Proof, error) {
	if err := into.Restore(ctx, b.ID, b.records(ctx, cfg.Progress)); err != nil {
		return Proof{}, err
	}
	p, err := b.prove(ctx, into, cfg)
	if err != nil {
		return Proof{}, err
	}
	return p, into.Settle(ctx)
}

// records reads the records of a bundle in the order in which they were written.
func (b *Bundle) records(ctx context.Context, progress func(string, int64)) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		stop := errors.New("enough")
		did := int64(0)
		for _, f := range b.Manifest.Files {
			folder, _, _ := strings.Cut(f.Name, "/")
			if folder == contentFolder || folder == foldsFolder || f.Name == readmeName {
				continue
			}
			err := b.eachLine(ctx, f.Name, func(n int, line []byte) error {
				r, err := b.record(folder, line)
				if err != nil {
					return decouple.Errorf(decouple.KindOf(err), "%s, line %d: %w", f.Name, n, err)
				}
				if did++; progress != nil && did%4096 == 0 {
					progress("restored", did)
				}
				if !yield(r, nil) {
					return stop
				}
				return nil
			})
			if err != nil {
				if !errors.Is(err, stop) {
					yield(journal.Record{}, err)
				}
				return
			}
		}
	}
}

// record reads one record.
func (b *Bundle) record(folder string, line []byte) (r journal.Record, err error) {
	switch folder {
	case keysFolder:
		r.Key, err = decodeKey(line)
	case blobsFolder:
		r.Blob, err = b.blob(line)
	case runsFolder:
		r.Run, err = decodeRun(line)
	case eventsFolder:
		var e decouple.Event
		e, err = decodeEvent(line)
		r.Event = &e
	case messagesFolder:
		r.Message, err = decodeMessage(line)
	case commitsFolder:
		r.Commit, err = decodeCommit(line)
	default:
		err = decouple.Errorf(decouple.Invalid, "this program does not know the folder %q of a bundle", folder)
	}
	return r, err
}

func (b *Bundle) blob(line []byte) (*journal.StoredBlob, error) {
	var l blobLine
	if err := decode(line, &l); err != nil {
		return nil, err
	}
	content, err := b.part(l.File)
	if err != nil {
		return nil, err
	}
	if content.Size() != l.Size {
		return nil, decouple.Errorf(decouple.Invalid, "the blob %s has %d bytes in %s, and %d were written", l.ID, content.Size(), l.File, l.Size)
	}
	return &journal.StoredBlob{Tenant: l.Tenant, Subject: l.Subject, ID: l.ID, Size: l.Size, Created: l.Created, Content: content}, nil
}

// prove dumps what was imported and folds it, and compares both with the bundle.
func (b *Bundle) prove(ctx context.Context, log Store, cfg Config) (Proof, error) {
	p := Proof{Bundle: b.ID, At: cfg.Made.UTC().Truncate(time.Second), Head: int64(b.Manifest.Head), Counts: b.Manifest.Counts, Folds: map[string]int{}}
	again, err := dumpedFiles(ctx, log, cfg)
	if err != nil {
		return p, err
	}
	i := 1 // the text for people may be that of another version
	for _, want := range b.Manifest.Files {
		if strings.HasPrefix(want.Name, foldsFolder+"/") || want.Name == readmeName {
			continue
		}
		if i >= len(again) || again[i].Name != want.Name || again[i].SHA256 != want.SHA256 {
			return p, unequal("the file %s is another one when the imported journal is dumped", want.Name)
		}
		i++
	}
	if i != len(again) {
		return p, unequal("the imported journal has the file %s more", again[i].Name)
	}
	p.Files = i
	return p, b.proveFolds(ctx, log, cfg, &p)
}

func unequal(format string, args ...any) error {
	return decouple.Errorf(decouple.Internal, "what was imported is not what was in the bundle: "+format+"; it is not put to use: begin with an empty place, and keep the bundle for whoever looks into it", args...)
}

// dumpedFiles are the files of a bundle that would be written now, but for those of folds.
func dumpedFiles(ctx context.Context, log journal.Dumper, cfg Config) ([]File, error) {
	w := newWriter(cfg, io.Discard)
	if err := w.dump(ctx, log); err != nil {
		return nil, err
	}
	return w.p.files, nil
}

// proveFolds compares the folds one by one, in their order.
func (b *Bundle) proveFolds(ctx context.Context, log journal.Reader, cfg Config, p *Proof) error {
	next, stop := iter.Pull2(b.folds(ctx))
	defer stop()
	err := foldAll(ctx, log, b.Manifest.Head, cfg.PDF, func(have Fold) error {
		want, err, ok := next()
		switch {
		case err != nil:
			return err
		case !ok:
			return unequal("it has the fold %s of %s more", have.Fold, have.ID)
		case have != want:
			return unequal("the fold %s of %s %s is another one (%s, and %s in the bundle)", want.Fold, want.Tenant, want.ID, have.Shows, want.Shows)
		}
		p.Folds[have.Fold]++
		if n := p.Folds["run"]; cfg.Progress != nil && n%256 == 1 {
			cfg.Progress("proved", int64(n))
		}
		if have.Fold != "run" {
			p.Shows = append(p.Shows, strings.Join(strings.Fields(have.Fold+" "+string(have.Tenant)+" "+have.ID), " ")+": "+have.Shows)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if want, _, ok := next(); ok {
		return unequal("the fold %s of %s is missing", want.Fold, want.ID)
	}
	return nil
}

// folds reads the folds of a bundle.
func (b *Bundle) folds(ctx context.Context) iter.Seq2[Fold, error] {
	return func(yield func(Fold, error) bool) {
		stop := errors.New("enough")
		for _, f := range b.Manifest.Files {
			if !strings.HasPrefix(f.Name, foldsFolder+"/") {
				continue
			}
			err := b.eachLine(ctx, f.Name, func(n int, line []byte) error {
				var x Fold
				if err := decode(line, &x); err != nil {
					return decouple.Errorf(decouple.KindOf(err), "%s, line %d: %w", f.Name, n, err)
				}
				if !yield(x, nil) {
					return stop
				}
				return nil
			})
			if err != nil {
				if !errors.Is(err, stop) {
					yield(Fold{}, err)
				}
				return
			}
		}
	}
}
