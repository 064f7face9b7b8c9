package postgres

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// lease is a node's right to write, as far as this process knows.
type lease struct {
	mu     sync.Mutex
	epoch  journal.Epoch
	until  time.Duration // on this machine's clock that runs through suspend; a margin before the server's end
	lost   chan struct{}
	offset time.Duration // of the server's clock from this one's
}

// margin is the part of a lease at whose beginning a node stops acting.
const margin = 5

// Epoch is the number of this node's lease.
func (s *Store) Epoch() journal.Epoch {
	s.lease.mu.Lock()
	defer s.lease.mu.Unlock()
	return s.lease.epoch
}

// Holds says whether what was claimed under an epoch may still act.
func (s *Store) Holds(e journal.Epoch) bool {
	s.lease.mu.Lock()
	defer s.lease.mu.Unlock()
	return e == s.lease.epoch && uptime() < s.lease.until && s.group.err() == nil
}

// now is the store's time, to the microsecond.
func (s *Store) now() int64 {
	s.lease.mu.Lock()
	defer s.lease.mu.Unlock()
	return time.Now().Add(s.lease.offset).UnixMicro()
}

func (s *Store) lostSignal() <-chan struct{} {
	s.lease.mu.Lock()
	defer s.lease.mu.Unlock()
	return s.lease.lost
}

// hold notes a lease that the server gave, counted from before it was asked for.
func (s *Store) hold(epoch journal.Epoch, asked time.Duration, before time.Time, server int64) {
	l := &s.lease
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch, l.until = epoch, asked+s.cfg.Lease-s.cfg.Lease/margin
	l.offset = time.UnixMicro(server).Sub(before.Add(time.Since(before) / 2))
	if l.lost == nil {
		l.lost = make(chan struct{})
	}
}

// take gets a new lease.
func (s *Store) take(ctx context.Context) error {
	spec, err := json.Marshal(s.cfg.Node)
	if err != nil {
		return err
	}
	asked, before := uptime(), time.Now()
	var epoch, server int64
	err = s.pool.QueryRow(ctx, "insert into lease select nextval('lease_epoch'), $1, $2, at, at + $3 from (select clock() as at) c returning epoch, taken",
		string(s.cfg.Node.ID), string(spec), s.cfg.Lease.Microseconds()).Scan(&epoch, &server)
	if err != nil {
		return err
	}
	s.hold(journal.Epoch(epoch), asked, before, server)
	return nil
}

// end gives the lease back.
func (s *Store) end(ctx context.Context) error {
	if err := s.giveBack(ctx); err != nil {
		return err
	}
	_, err := s.pool.Exec(ctx, "update lease set until = least(until, clock()) where epoch = $1", int64(s.Epoch()))
	return err
}

// renew keeps the lease, and takes a new one when it is lost.
func (s *Store) renew(ctx context.Context) {
	t := time.NewTicker(s.cfg.Lease / 3)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		s.renewOnce(ctx)
	}
}

func (s *Store) renewOnce(ctx context.Context) {
	epoch, asked, before := s.Epoch(), uptime(), time.Now()
	limited, cancel := context.WithTimeout(ctx, s.cfg.Lease/3)
	defer cancel()
	var server int64
	err := s.pool.QueryRow(limited, "update lease set until = clock() + $2 where epoch = $1 and until > clock() returning until - $2", int64(epoch), s.cfg.Lease.Microseconds()).Scan(&server)
	switch {
	case err == nil && s.stillCounts():
		s.hold(epoch, asked, before, server)
		return
	case err != nil && (transient(err) || limited.Err() != nil) && s.Holds(epoch):
		return // it is tried again before the lease is over
	}
	s.lose(epoch)
	if s.take(limited) == nil {
		s.queue.news()
	}
}

// stillCounts says whether this process has not stopped acting: a machine that was suspended comes back to a lease that it has given up.
func (s *Store) stillCounts() bool {
	s.lease.mu.Lock()
	defer s.lease.mu.Unlock()
	return uptime() < s.lease.until
}

// lose tells everyone who works under a lease that it has ended.
func (s *Store) lose(epoch journal.Epoch) {
	s.lease.mu.Lock()
	if s.lease.epoch == epoch && s.lease.lost != nil {
		close(s.lease.lost)
		s.lease.lost, s.lease.until, s.lease.epoch = make(chan struct{}), 0, 0
	}
	s.lease.mu.Unlock()
	s.queue.forget()
}

// Nodes lists the nodes that hold a lease, and for an hour those whose lease has ended.
func (r *Reader) Nodes(ctx context.Context) ([]journal.Node, error) {
	var out []journal.Node
	err := r.query(ctx, `select epoch, spec, taken, until, until > clock(), (select count(*) from work where work.status = 'running' and work.epoch = lease.epoch)
		from lease where until > clock() - 3600000000 order by epoch`, func(rows pgx.Rows) error {
		var n journal.Node
		var epoch, taken, until int64
		var spec string
		if err := rows.Scan(&epoch, &spec, &taken, &until, &n.Alive, &n.Running); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(spec), &n.NodeSpec); err != nil {
			return decouple.Errorf(decouple.Internal, "the lease %d of the journal cannot be read: %w", epoch, err)
		}
		n.Epoch, n.Taken, n.Until = journal.Epoch(epoch), micros(taken), micros(until)
		out = append(out, n)
		return nil
	})
	return out, err
}
