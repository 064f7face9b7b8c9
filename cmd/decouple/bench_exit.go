package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/risk/exit"
	"decouple.dev/decouple/risk/sign"
)

// exitRuns is how many runs the bundle of `decouple bench exit` has.
const exitRuns = 10_000

// benchExit makes 10,000 runs, writes them into a bundle, verifies it, and imports it with proof.
func benchExit(ctx context.Context, at place) (figures, error) {
	source := place{dir: at.dir}
	if _, err := benchRuns(ctx, source, noModel{steps: 3, depth: -1}, exitRuns); err != nil {
		return nil, err
	}
	key, err := sign.Make(filepath.Join(at.dir, signFile))
	if err != nil {
		return nil, err
	}
	log, err := sqlite.OpenReader(ctx, at.dir)
	if err != nil {
		return nil, err
	}
	f := figures{}
	took := func(name string, began time.Time) { f[name] = time.Since(began).Seconds() }
	began := time.Now()
	path := filepath.Join(at.dir, "bundle.tar")
	s, err := exit.Write(ctx, path, exit.Config{Log: log, Key: key, Store: "sqlite", Made: began})
	if err = errors.Join(err, log.Close()); err != nil {
		return nil, err
	}
	took("export_s", began)
	verified := time.Now()
	b, err := exit.Open(ctx, path, key.Public(), nil)
	if err != nil {
		return nil, err
	}
	if err := b.Check(ctx, nil); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	took("verify_s", verified)
	imported := time.Now()
	p, err := benchImport(ctx, at, b)
	if err = errors.Join(err, b.Close()); err != nil {
		return nil, err
	}
	took("import_s", imported)
	took("all_s", began)
	if p.Folds["run"] != exitRuns {
		return nil, decouple.Errorf(decouple.Internal, "%d states of runs are equal, of %d", p.Folds["run"], exitRuns)
	}
	f["runs"], f["events"], f["bundle_mb"] = float64(s.Manifest.Counts.Runs), float64(s.Manifest.Counts.Events), float64(s.Bytes)/1e6
	return f, nil
}

// benchImport imports a bundle with proof.
func benchImport(ctx context.Context, at place, b *exit.Bundle) (exit.Proof, error) {
	into, err := sqlite.OpenRestorer(ctx, sqlite.Config{Dir: filepath.Join(at.dir, "into")})
	if err != nil {
		return exit.Proof{}, err
	}
	p, err := b.Import(ctx, into, exit.Config{Made: time.Now()})
	return p, errors.Join(err, into.Close())
}
