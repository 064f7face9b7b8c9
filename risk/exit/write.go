package exit

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/risk/sign"
)

//go:embed README.txt
var readme []byte

// partSize is about how much of a kind of line one file holds.
const partSize = 4 << 20

// Config says what a bundle is made of. Log and Key are required.
type Config struct {
	Log      Log
	Key      *sign.Key
	Program  string   // the version that writes it
	Store    string   // sqlite or postgres
	PDF      []string // the command line of a process that reads PDFs, for the fold of notes
	Made     time.Time
	Progress func(stage string, done int64) // may be nil
}

// Summary says what a bundle is.
type Summary struct {
	Path     string   `json:"path,omitempty"`
	ID       string   `json:"id"` // SHA-256 of the manifest
	Bytes    int64    `json:"bytes"`
	Key      string   `json:"key"` // that signed it
	Manifest Manifest `json:"manifest"`
}

// leftOut says what stays: secrets, and what is no part of the journal.
var leftOut = []string{
	"The signing key (signing.key) and the key that secrets are sealed with (seal.key): keep them apart; secrets of keys that sign in the manner of AWS are in the bundle as they are sealed, and open to nobody without seal.key.",
	"The secrets of bearer keys: only their hashes were ever kept.",
	"Credentials of vendors: they are references in the config file, which is no part of the journal.",
	"The leases of nodes: a run that was at work is ready again after the import, and known to have been left.",
	"Blobs that no event refers to, and those whose subject's key was destroyed.",
	"Views that are made anew from the journal: the index of notes, sums of usage.",
}

// Write writes a bundle to path, which must not exist yet; a file that is not whole never stands there.
func Write(ctx context.Context, path string, cfg Config) (Summary, error) {
	if _, err := os.Lstat(path); err == nil {
		return Summary{}, decouple.Errorf(decouple.Conflict, "there is a file %s already: choose another name", path)
	}
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return Summary{}, decouple.Errorf(decouple.Unavailable, "the bundle cannot be written: %w", err)
	}
	s, err := newWriter(cfg, f).all(ctx)
	err = errors.Join(err, f.Sync())
	if info, statErr := f.Stat(); err == nil && statErr == nil {
		s.Bytes = info.Size()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = publish(part, path)
	}
	if err != nil {
		_ = os.Remove(part)
		return Summary{}, asFileError(err)
	}
	s.Path = path
	return s, nil
}

// publish gives a whole file its name, and makes the name durable. It never replaces a file.
func publish(part, path string) error {
	if err := os.Link(part, path); err != nil {
		return err
	}
	if err := os.Remove(part); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func asFileError(err error) error {
	var own *decouple.Error
	if errors.As(err, &own) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return decouple.Errorf(decouple.Unavailable, "the bundle cannot be written: %w; choose another place with --out", err)
}

// writer writes the files of a bundle, part after part.
type writer struct {
	cfg    Config
	p      *packer
	m      Manifest
	folder string // of the lines in buf
	part   int
	buf    bytes.Buffer
	blobs  [][]byte // lines of blobs, whose contents come first
	size   int      // of those
	did    int64
}

func newWriter(cfg Config, to io.Writer) *writer {
	return &writer{cfg: cfg, p: &packer{w: bufio.NewWriterSize(to, 1<<20)}, m: Manifest{
		Format: formatName, Version: formatVersion, Made: cfg.Made.UTC().Truncate(time.Second), Program: cfg.Program, Store: cfg.Store, LeftOut: leftOut, Counts: Counts{Streams: map[string]int64{}},
	}}
}

// dump writes all that a journal holds.
func (w *writer) dump(ctx context.Context, log journal.Dumper) error {
	if _, err := w.p.add(readmeName, int64(len(readme)), bytes.NewReader(readme)); err != nil {
		return err
	}
	if err := log.Dump(ctx, w.record); err != nil {
		return err
	}
	if err := w.listBlobs(); err != nil {
		return err
	}
	return w.flush()
}

func (w *writer) all(ctx context.Context) (Summary, error) {
	if err := w.dump(ctx, w.cfg.Log); err != nil {
		return Summary{}, err
	}
	err := foldAll(ctx, w.cfg.Log, w.m.Head, w.cfg.PDF, func(f Fold) error {
		w.m.Counts.Folds++
		line, err := encode(f)
		if err != nil {
			return err
		}
		return w.line(foldsFolder, line)
	})
	if err == nil {
		err = w.flush()
	}
	if err != nil {
		return Summary{}, err
	}
	return w.seal()
}

// record writes one record of the journal.
func (w *writer) record(r journal.Record) error {
	c := &w.m.Counts
	var line []byte
	var err error
	folder := ""
	switch {
	case r.Key != nil:
		folder, c.Keys = keysFolder, c.Keys+1
		line, err = encodeKey(r.Key)
	case r.Blob != nil:
		return w.blob(r.Blob)
	case r.Run != nil:
		folder, c.Runs = runsFolder, c.Runs+1
		if r.Run.Status != decouple.RunEnded {
			c.Live++
		}
		line, err = encodeRun(r.Run)
	case r.Event != nil:
		folder, c.Events = eventsFolder, c.Events+1
		c.Streams[string(r.Event.Stream.Kind)]++
		w.m.Head = r.Event.Position
		line, err = encodeEvent(r.Event)
	case r.Message != nil:
		folder, c.Messages = messagesFolder, c.Messages+1
		line, err = encodeMessage(r.Message)
	case r.Commit != nil:
		folder, c.Commits = commitsFolder, c.Commits+1
		line, err = encodeCommit(r.Commit)
	}
	if err != nil {
		return err
	}
	return w.line(folder, line)
}

// blob writes a blob's content, and keeps its line for the list behind it.
func (w *writer) blob(b *journal.StoredBlob) error {
	if err := w.flush(); err != nil {
		return err
	}
	w.m.Counts.Blobs++
	name := fmt.Sprintf("%s/%08d", contentFolder, w.m.Counts.Blobs)
	if _, err := w.p.add(name, b.Size, b.Content); err != nil {
		return err
	}
	line, err := encode(blobLine{b.Tenant, b.Subject, b.ID, b.Size, b.Created, name})
	if err != nil {
		return err
	}
	w.blobs = append(w.blobs, line)
	if w.size += len(line); w.size < partSize {
		return nil
	}
	return w.listBlobs()
}

// listBlobs writes the lines of the blobs whose contents stand before.
func (w *writer) listBlobs() error {
	list := w.blobs
	w.blobs, w.size = nil, 0
	for _, line := range list {
		if err := w.line(blobsFolder, line); err != nil {
			return err
		}
	}
	return nil
}

// line adds a line to a folder.
func (w *writer) line(folder string, line []byte) error {
	if len(w.blobs) > 0 && folder != blobsFolder {
		if err := w.listBlobs(); err != nil {
			return err
		}
	}
	if folder != w.folder || w.buf.Len() >= partSize {
		if err := w.flush(); err != nil {
			return err
		}
		if folder != w.folder {
			w.folder, w.did, w.part = folder, 0, 0
		}
	}
	w.buf.Write(line)
	w.did++
	if w.cfg.Progress != nil && w.did%1024 == 0 {
		w.cfg.Progress(folder, w.did)
	}
	return nil
}

// flush writes the part that is gathered.
func (w *writer) flush() error {
	if w.buf.Len() == 0 {
		return nil
	}
	w.part++
	_, err := w.p.add(fmt.Sprintf("%s/%06d.jsonl", w.folder, w.part), int64(w.buf.Len()), bytes.NewReader(w.buf.Bytes()))
	w.buf.Reset()
	return err
}

// seal writes the manifest under its signature.
func (w *writer) seal() (Summary, error) {
	w.m.Files = w.p.files
	b, err := json.Marshal(w.m)
	if err != nil {
		return Summary{}, decouple.Errorf(decouple.Internal, "the manifest cannot be written: %w", err)
	}
	e, err := w.cfg.Key.Envelope(PayloadType, b)
	if err != nil {
		return Summary{}, err
	}
	if _, err := w.p.add(manifestName, int64(len(e)), bytes.NewReader(e)); err != nil {
		return Summary{}, err
	}
	return Summary{ID: idOf(b), Key: w.cfg.Key.Public().ID(), Manifest: w.m}, w.p.end()
}
