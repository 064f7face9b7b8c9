package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal/postgres"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/risk/exit"
	"decouple.dev/decouple/risk/sign"
)

// carrier is a journal here that can be carried.
type carrier interface {
	exit.Log
	Close() error
}

// carried opens the journal to be read whole: that of the data folder or of the store, never over a server.
func (a *app) carried(ctx context.Context) (carrier, string, error) {
	url, err := a.shared()
	if err != nil {
		return nil, "", err
	}
	if url != "" {
		r, err := postgres.OpenReader(ctx, url)
		return r, "postgres", err
	}
	dir, err := a.dir()
	if err != nil {
		return nil, "", err
	}
	r, err := sqlite.OpenReader(ctx, dir)
	return r, "sqlite", err
}

// settleFirst has what the gateway has spent and not journaled yet journaled, if no other process writes the journal.
func (a *app) settleFirst(ctx context.Context) error {
	err := a.owning(ctx, func(o *owner) error { return o.ledger.Flush(ctx) })
	if decouple.KindOf(err) == decouple.Conflict {
		a.say("note: another process writes the journal: what it settles within the last second may be missing")
		return nil
	}
	return err
}

// noting notes a bundle in the journal, or beside it if another process writes it.
func (a *app) noting(ctx context.Context, kind decouple.EventKind, s exit.Summary) error {
	err := a.owning(ctx, func(o *owner) error { return exit.Note(ctx, o.store, kind, s, me) })
	if decouple.KindOf(err) != decouple.Conflict {
		return err
	}
	dir, err := a.dir()
	if err != nil {
		return err
	}
	line, err := json.Marshal(exit.NoteOf(kind, s, time.Now()))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, notesFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.Write(append(line, '\n'))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		return decouple.Errorf(decouple.Unavailable, "what was done cannot be noted: %w", err)
	}
	return nil
}

// notesFile is where a data folder keeps notes of bundles that the journal could not take.
const notesFile = "exit-notes.jsonl"

// notedBeside reads those notes.
func (a *app) notedBeside() ([]exit.BundleNote, error) {
	dir, err := a.dir()
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, notesFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var out []exit.BundleNote
	for line := range bytes.Lines(b) {
		var n exit.BundleNote
		if json.Unmarshal(line, &n) == nil { // one that was cut by a crash is none
			out = append(out, n)
		}
	}
	return out, err
}

// owning does something as the owner of the journal. Conflict says that another process is.
func (a *app) owning(ctx context.Context, do func(*owner) error) error {
	dir, err := a.dir()
	if err != nil {
		return err
	}
	o, err := a.own(ctx, dir, plan{doing: "decouple exit"})
	if err != nil {
		return err
	}
	return errors.Join(do(o), o.close())
}

// exitProgress says every two seconds how far something is.
func (a *app) exitProgress() func(stage string, done int64) {
	last := time.Now()
	return func(stage string, done int64) {
		if time.Since(last) >= 2*time.Second {
			last = time.Now()
			a.say("%s: %d", stage, done)
		}
	}
}

func (a *app) exitConfig(log exit.Log, store string, quiet bool) (exit.Config, error) {
	cfg := exit.Config{Log: log, Store: store, Program: version, Made: time.Now()}
	if self, err := os.Executable(); err == nil {
		cfg.PDF = []string{self, pdfCommand}
	}
	if !quiet {
		cfg.Progress = a.exitProgress()
	}
	return cfg, nil
}

func newExitBundle(a *app) *cobra.Command {
	var out string
	var asJSON bool
	c := &cobra.Command{
		Use: "bundle", Short: "Write everything into one signed archive of open formats", Args: noArgs,
		Long: `Writes the whole journal into one archive: agents and their versions, contracts, notes with their originals, memories, runs with every event, inboxes and timers,
sessions, schedules, keys (hashes only), usage, budgets and the audit log. It is a tar file of JSON Lines, which any program reads; its manifest has the hash of every file
and is signed with this installation's key. What is not in it is listed in the manifest.

The journal may be in use meanwhile: the bundle is of one moment. Before an import elsewhere is put to use, stop this installation: runs that are parked or ready go on in
both, and would act twice. A bundle holds all your data, in the clear: keep it as you keep the data folder.`,
		Example: "  decouple exit bundle --out leave.tar\n  decouple exit key > decouple.pub",
		RunE: func(c *cobra.Command, _ []string) error {
			if out == "" {
				out = "decouple-" + time.Now().UTC().Format("20060102-150405") + ".tar"
			}
			s, err := a.bundle(c.Context(), out, asJSON)
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(s)
			}
			n := s.Manifest.Counts
			a.say("%s: %d events, %d runs (%d not ended), %d blobs, %d messages, in %d files; signed by %s", megabytes(s.Bytes), n.Events, n.Runs, n.Live, n.Blobs, n.Messages, len(s.Manifest.Files), s.Key)
			for _, l := range s.Manifest.LeftOut {
				a.say("left out: %s", l)
			}
			return a.print(s.Path + "\n")
		},
	}
	c.Flags().StringVar(&out, "out", "", "write to `FILE`, which must not exist (default decouple-DATE.tar here)")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

func (a *app) bundle(ctx context.Context, out string, quiet bool) (exit.Summary, error) {
	key, err := a.signer()
	if err != nil {
		return exit.Summary{}, err
	}
	log, kind, err := a.carried(ctx)
	if err != nil {
		return exit.Summary{}, err
	}
	// What the gateway has spent and not journaled yet is journaled first.
	if err := a.settleFirst(ctx); err != nil {
		return exit.Summary{}, errors.Join(err, log.Close())
	}
	cfg, err := a.exitConfig(log, kind, quiet)
	if err != nil {
		return exit.Summary{}, errors.Join(err, log.Close())
	}
	cfg.Key = key
	s, err := exit.Write(ctx, out, cfg)
	if err = errors.Join(err, log.Close()); err != nil {
		return s, err
	}
	return s, a.noting(ctx, exit.Bundled, s)
}

// public is the key that bundles are checked with: of a file, or else this installation's own.
func (a *app) public(file string) (sign.Public, error) {
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return sign.Public{}, decouple.Errorf(decouple.NotFound, "--key: %w", err)
		}
		p, err := sign.ParsePublic(b)
		if err != nil {
			return p, decouple.Errorf(decouple.KindOf(err), "--key %s: %w", file, err)
		}
		return p, nil
	}
	if text := a.env(signVariable); text != "" {
		k, err := sign.Parse(text, signVariable)
		if err != nil {
			return sign.Public{}, err
		}
		return k.Public(), nil
	}
	dir, err := a.dir()
	if err != nil {
		return sign.Public{}, err
	}
	k, err := sign.Load(filepath.Join(dir, signFile))
	if err != nil {
		return sign.Public{}, decouple.Errorf(decouple.Invalid, "name the public key of the installation that made the bundle with --key FILE (`decouple exit key` prints it there); here is none of its own: %w", err)
	}
	return k.Public(), nil
}

const keyUsage = "public key `FILE` of the installation that signed it (default: the key of this one)"

func newExitVerify(a *app) *cobra.Command {
	var keyFile string
	var asJSON bool
	c := &cobra.Command{
		Use: "verify BUNDLE", Short: "Check a bundle to the last byte, offline, with the public key alone", Args: exactly("the bundle"),
		Long: `Reads the whole bundle and checks it against its signature, and then every line of it: that events follow one another and match their checksums. It needs no data folder and
no network. Exit code 4 says that the bundle is not as it was signed; the error names the file and the line or bytes.`,
		Example: "  decouple exit verify leave.tar --key decouple.pub",
		RunE: func(c *cobra.Command, args []string) error {
			if err := filled(c, "key"); err != nil {
				return err
			}
			key, err := a.public(keyFile)
			if err != nil {
				return err
			}
			s, err := a.checked(c.Context(), args[0], key, asJSON)
			if err != nil {
				return err
			}
			if err := a.noteVerified(c.Context(), s); err != nil {
				return err
			}
			if asJSON {
				return a.json(s)
			}
			n := s.Manifest.Counts
			return a.print(fmt.Sprintf("ok: %s as signed by %s on %s: %d events to position %d, %d runs, %d blobs, %d folds\n", megabytes(s.Bytes), s.Key, s.Manifest.Made.Format(time.RFC3339), n.Events, s.Manifest.Head, n.Runs, n.Blobs, n.Folds))
		},
	}
	c.Flags().StringVar(&keyFile, "key", "", keyUsage)
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

func (a *app) checked(ctx context.Context, path string, key sign.Public, quiet bool) (exit.Summary, error) {
	progress := a.exitProgress()
	if quiet {
		progress = nil
	}
	b, err := exit.Open(ctx, path, key, progress)
	if err != nil {
		return exit.Summary{}, err
	}
	return b.Summary, errors.Join(b.Check(ctx, progress), b.Close())
}

// noteVerified notes in the journal that a bundle of this installation was verified, if it is here.
func (a *app) noteVerified(ctx context.Context, s exit.Summary) error {
	dir, err := a.dir()
	if err != nil {
		return nil // there is no installation here
	}
	url, err := a.shared()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "journal.db")); url == "" && err != nil {
		return nil
	}
	if own, err := a.public(""); err != nil || own.ID() != s.Key {
		return nil
	}
	return a.noting(ctx, exit.Verified, s)
}

func newExitImport(a *app) *cobra.Command {
	var keyFile string
	var asJSON bool
	c := &cobra.Command{
		Use: "import BUNDLE", Short: "Restore a bundle into an empty installation, and prove that it is the same", Args: exactly("the bundle"),
		Long: `Checks a bundle, restores it into an empty data folder (--data) or an empty PostgreSQL database (--store), and proves that nothing was lost: the restored journal is written out again
and must give the same files, and what readers make of it (the state of every run, the text of every note, keys, usage, budgets, the checksums of all streams) must have the
hashes that the bundle was signed with. Only then the installation can be used. An import that was interrupted has left nothing that can be used: run it again.

Afterwards: put the seal.key of the old installation into the data folder if keys sign in the manner of AWS, write the config file, and start with "decouple serve". Stop the old
installation before: runs that wait go on in both.`,
		Example: "  decouple exit import leave.tar --key decouple.pub --data /var/lib/decouple\n  decouple exit import leave.tar --key decouple.pub --store postgres://decouple@db/decouple",
		RunE: func(c *cobra.Command, args []string) error {
			if err := filled(c, "key"); err != nil {
				return err
			}
			key, err := a.public(keyFile)
			if err != nil {
				return err
			}
			p, err := a.restore(c.Context(), args[0], key, asJSON)
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(p)
			}
			return a.print(proofText(p))
		},
	}
	c.Flags().StringVar(&keyFile, "key", "", keyUsage)
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

func (a *app) restore(ctx context.Context, path string, key sign.Public, quiet bool) (exit.Proof, error) {
	cfg, err := a.exitConfig(nil, "", quiet)
	if err != nil {
		return exit.Proof{}, err
	}
	b, err := exit.Open(ctx, path, key, cfg.Progress)
	if err != nil {
		return exit.Proof{}, err
	}
	p, err := a.restoreFrom(ctx, b, cfg)
	return p, errors.Join(err, b.Close())
}

func (a *app) restoreFrom(ctx context.Context, b *exit.Bundle, cfg exit.Config) (exit.Proof, error) {
	if err := b.Check(ctx, cfg.Progress); err != nil {
		return exit.Proof{}, err
	}
	url, err := a.shared()
	if err != nil {
		return exit.Proof{}, err
	}
	var into exit.Store
	where := "the store"
	if url != "" {
		into, err = postgres.OpenRestorer(ctx, url)
	} else {
		if where, err = a.dir(); err != nil {
			return exit.Proof{}, err
		}
		into, err = sqlite.OpenRestorer(ctx, sqlite.Config{Dir: where, Owner: "decouple exit import"})
	}
	if err != nil {
		return exit.Proof{}, err
	}
	p, err := b.Import(ctx, into, cfg)
	p.Into = where
	return p, errors.Join(err, into.Close())
}

// proofText says what was proved.
func proofText(p exit.Proof) string {
	n := p.Counts
	s := fmt.Sprintf("imported into %s: %d events to position %d, %d runs (%d not ended), %d blobs\nequal: %d files when it is written out again\n", printable(p.Into), n.Events, p.Head, n.Runs, n.Live, n.Blobs, p.Files)
	var kinds []string
	for k := range p.Folds {
		kinds = append(kinds, k)
	}
	sort.Strings(kinds)
	for _, k := range kinds {
		s += fmt.Sprintf("equal: %d %s\n", p.Folds[k], map[string]string{"run": "states of runs", "notes": "indexes of notes, with their texts", "keys": "list of keys", "usage": "sums of usage", "budgets": "list of budgets",
			"stream": "kinds of stream, with positions and checksums"}[k])
	}
	for _, line := range p.Shows {
		s += "  " + printable(line) + "\n"
	}
	return s
}
