package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/postgres"
)

func (p place) store() string {
	if p.url == "" {
		return "sqlite"
	}
	return "postgresql, nodes " + strconv.Itoa(p.nodes)
}

func (p place) durability() string {
	if p.url == "" {
		return "every commit synced (WAL and fdatasync)"
	}
	return "every commit synced (fsync and synchronous_commit on)"
}

// newSharedBed makes a database of its own on the server that --store names, and as many nodes as wanted. The database is dropped in the end.
func newSharedBed(ctx context.Context, at place, m engine.Model, watch func(engine.Signal)) (*bed, error) {
	admin, err := pgx.Connect(ctx, at.url)
	if err != nil {
		return nil, decouple.Errorf(decouple.Unavailable, "the store does not answer: see its address, and that the server runs")
	}
	var fsync, commit string
	if err := admin.QueryRow(ctx, "select current_setting('fsync'), current_setting('synchronous_commit')").Scan(&fsync, &commit); err != nil {
		return nil, err
	}
	if fsync != "on" || commit == "off" {
		return nil, decouple.Errorf(decouple.Invalid, "the server has fsync %s and synchronous_commit %s: a figure of a server that does not sync says nothing", fsync, commit)
	}
	name := "decouple_bench_" + strings.ToLower(rand.Text()[:8])
	if _, err := admin.Exec(ctx, "create database "+name); err != nil {
		return nil, err
	}
	u, err := url.Parse(at.url)
	if err != nil {
		return nil, err
	}
	u.Path = "/" + name
	b := &bed{address: u.String(), again: func() (log, error) { return postgres.OpenReader(ctx, u.String()) }}
	var stores []*postgres.Store
	b.done = func() error {
		var errs []error
		for _, s := range stores {
			errs = append(errs, s.Close())
		}
		_, err := admin.Exec(context.WithoutCancel(ctx), "drop database "+name+" with (force)")
		return errors.Join(append(errs, err, admin.Close(context.WithoutCancel(ctx)))...)
	}
	for i := range at.nodes {
		s, err := postgres.Open(ctx, postgres.Config{URL: u.String(), Fleet: true, Node: journal.NodeSpec{ID: decouple.NodeID(fmt.Sprint("bench", i+1)), Workers: 256}})
		if err != nil {
			return nil, errors.Join(err, b.done())
		}
		stores = append(stores, s)
		e, err := benchEngine(s, m, watch)
		if err != nil {
			return nil, errors.Join(err, b.done())
		}
		if i == 0 {
			b.store, b.engine = s, e
		} else {
			b.nodes = append(b.nodes, e)
		}
	}
	b.stats = func() (commits, transactions, syncs int64) {
		for _, s := range stores {
			c, n := s.Stats()
			commits, transactions = commits+c, transactions+n
		}
		return commits, transactions, transactions
	}
	b.pids = func() []int { return serverPIDs(ctx, admin) }
	return b, nil
}

// serverPIDs are the processes of the database's server, if it runs on this machine.
func serverPIDs(ctx context.Context, c *pgx.Conn) []int {
	rows, err := c.Query(ctx, "select pid from pg_stat_activity")
	if err != nil {
		return nil
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return nil
	}
	return pids
}

// cpuOf is the processor time that other processes of this machine have used, as far as it can be seen.
func cpuOf(pids []int) time.Duration {
	const tick = 10 * time.Millisecond // of the kernel's account
	var sum time.Duration
	for _, pid := range pids {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			continue
		}
		_, rest, ok := strings.Cut(string(b), ") postgres")
		if !ok {
			_, rest, ok = strings.Cut(string(b), ") ")
		}
		if f := strings.Fields(rest); ok && len(f) > 13 {
			user, _ := strconv.Atoi(f[11])
			system, _ := strconv.Atoi(f[12])
			sum += time.Duration(user+system) * tick
		}
	}
	return sum
}
