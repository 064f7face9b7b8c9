package postgres

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// inboxes joins those who read inboxes at the same time: what came while one query was under way is read by the next one.
type inboxes struct {
	mu      sync.Mutex
	waiting []*opening
	reading bool
}

// opening is a call of Inbox.
type opening struct {
	run      runKey
	messages []journal.Message
	err      error
	done     chan struct{}
}

// Inbox lists the messages of a run that are not consumed.
func (s *Store) Inbox(ctx context.Context, t decouple.TenantID, id decouple.RunID) ([]journal.Message, error) {
	o := &opening{run: runKey{t, id}, done: make(chan struct{})}
	b := &s.inboxes
	b.mu.Lock()
	b.waiting = append(b.waiting, o)
	idle := !b.reading
	b.reading = true
	b.mu.Unlock()
	if idle {
		go s.readInboxes()
	}
	select {
	case <-o.done:
		return o.messages, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// readInboxes reads until nobody waits.
func (s *Store) readInboxes() {
	b := &s.inboxes
	for {
		b.mu.Lock()
		batch := b.waiting
		b.waiting = nil
		b.reading = len(batch) > 0
		b.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		err := asError(s.unread(s.bg, batch), s.cfg.URL)
		if closed := s.group.err(); err != nil && closed != nil {
			err = closed
		}
		for _, o := range batch {
			if o.err = err; err != nil {
				o.messages = nil
			}
			close(o.done)
		}
	}
}

// unread reads the inboxes of a batch.
func (s *Store) unread(ctx context.Context, batch []*opening) error {
	var tenants, names []string
	for _, o := range batch {
		tenants, names = append(tenants, string(o.run.tenant)), append(names, string(o.run.id))
	}
	rows, err := s.claimer.Query(ctx, "select n, seq, kind, sender, body from unread($1, $2)", tenants, names)
	if err != nil {
		return err
	}
	var n int64
	var m journal.Message
	_, err = pgx.ForEachRow(rows, []any{&n, (*int64)(&m.Seq), &m.Kind, &m.From, &m.Body}, func() error {
		o := batch[n-1]
		o.messages = append(o.messages, m)
		m.Body = nil
		return nil
	})
	return err
}
