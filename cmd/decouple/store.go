package main

import (
	"context"
	"io"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/postgres"
	"decouple.dev/decouple/journal/sqlite"
)

// log is a journal that is open for reading.
type log interface {
	journal.Reader
	io.Closer
}

// shared is the address of the journal that many nodes share, empty if the journal is in the data folder.
func (a *app) shared() (string, error) {
	url := a.storeURL
	if url == "" {
		url = a.env("DECOUPLE_STORE")
	}
	if url != "" && !strings.HasPrefix(url, "postgres://") && !strings.HasPrefix(url, "postgresql://") {
		return "", decouple.Errorf(decouple.Invalid, "the store must be an address such as postgres://user:password@host/database; leave it out for SQLite in the data folder")
	}
	return url, nil
}

// openStore opens the journal for writing. Conflict says that another process writes the data folder.
func (a *app) openStore(ctx context.Context, dir string, p plan) (journal.Store, error) {
	url, err := a.shared()
	if err != nil {
		return nil, err
	}
	if url == "" {
		return sqlite.Open(ctx, sqlite.Config{Dir: dir, Owner: p.doing, Node: p.node})
	}
	return postgres.Open(ctx, postgres.Config{URL: url, Node: p.node, Lease: p.lease, Fleet: p.serves})
}

// readLog opens the journal for reading: that of the server, if one is named. NotFound says that there is none yet.
func (a *app) readLog(ctx context.Context) (log, error) {
	if there, err := a.remote(); err != nil || there != nil {
		return there, err
	}
	url, err := a.shared()
	if err != nil {
		return nil, err
	}
	if url != "" {
		return postgres.OpenReader(ctx, url)
	}
	dir, err := a.dir()
	if err != nil {
		return nil, err
	}
	return sqlite.OpenReader(ctx, dir)
}
