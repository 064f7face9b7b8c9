package ledger

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
)

// Open opens the ledger in a folder, and makes it if there is none. Calls that were under way when the process that had it ended are settled: at their
// reservation and marked Unknown if an endpoint had been asked, else at nothing; all of them as Lost. Errors: Conflict if another process has the
// folder, Unavailable if it cannot be written. The store need not be reachable, but until it was, Begin is Unavailable.
func Open(cfg Config) (*Ledger, error) {
	if cfg.Dir == "" || cfg.Store == nil {
		return nil, decouple.Errorf(decouple.Invalid, "a ledger needs a folder and a journal")
	}
	lock, all, err := openFiles(cfg.Dir)
	if err != nil {
		return nil, err
	}
	l := &Ledger{
		cfg: cfg.withDefaults(), open: map[string]*Entry{}, accounts: map[accountKey]*account{}, windows: map[spentKey]*account{},
		view:  NewView(cfg.Store),
		files: files{dir: cfg.Dir, lock: lock, all: all, dirty: make(chan struct{}, 1)},
	}
	l.cond.L = &l.mu
	l.files.cond = &l.cond
	l.wake.journal, l.wake.tend = make(chan struct{}, 1), make(chan struct{}, 1)
	l.rates.nodes = 1
	l.ctx, l.quit = context.WithCancel(context.Background())
	l.holder, err = identity(cfg.Dir)
	if err == nil {
		err = l.recover()
	}
	if err != nil {
		l.quit()
		for _, s := range l.files.all {
			err = errors.Join(err, s.f.Close())
		}
		return nil, errors.Join(err, unlock(lock))
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.cfg.Patience)
	defer cancel()
	if err := l.refresh(ctx); err != nil {
		l.cfg.Log.Warn("the ledger cannot read budgets yet, and takes no calls until it can", "error", err)
	}
	l.tasks.Go(l.syncLoop)
	l.tasks.Go(l.journalLoop)
	l.tasks.Go(l.tendLoop)
	return l, nil
}

// identity is the name of a folder, which it keeps for ever.
func identity(dir string) (string, error) {
	name := filepath.Join(dir, "id")
	if b, err := os.ReadFile(name); err == nil {
		id := strings.TrimSpace(string(b))
		if id == "" || len(id) > 60 || !isID(id) {
			return "", decouple.Errorf(decouple.Internal, "the file id of the ledger's folder is damaged: restore it from a copy, or the slices it names stay spent")
		}
		return id, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", decouple.Errorf(decouple.Unavailable, "the ledger's folder cannot be read: %w", err)
	}
	id := "l" + strings.ToLower(rand.Text()[:12])
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		_, err = f.WriteString(id + "\n")
		err = errors.Join(err, datasync(f), f.Close())
	}
	if err == nil {
		err = errors.Join(os.Rename(name+".new", name), syncDir(dir))
	}
	if err != nil {
		return "", decouple.Errorf(decouple.Unavailable, "the ledger's folder cannot be written: %w", err)
	}
	return id, nil
}

// recover folds what an earlier process left, and begins a new segment with it.
func (l *Ledger) recover() error {
	t := newTally()
	bySegment := map[int64]*segment{}
	last := int64(0)
	for _, s := range l.files.all {
		p, err := io.ReadAll(s.f)
		if err != nil {
			return decouple.Errorf(decouple.Unavailable, "the ledger's file cannot be read: %w", err)
		}
		s.size = int64(len(p))
		t.read(s.n, p)
		bySegment[s.n], last = s, s.n
	}
	l.damaged, l.settled, l.seal = t.damaged, t.settled, t.seal
	for k, w := range t.windows {
		l.windows[k] = w.account()
	}
	for _, p := range t.pending {
		s := bySegment[p.segment]
		s.refs++
		l.pending = append(l.pending, pending{p.n, p.tenant, s, p.offset, p.size})
	}
	b, err := l.head(last + 1)
	if err == nil {
		err = l.files.begin(last+1, b)
	}
	if err != nil {
		return decouple.Errorf(decouple.Unavailable, "the ledger's folder cannot be written: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range t.order {
		if o := t.open[id]; o != nil {
			delete(t.open, id)
			l.lose(o, bySegment[o.at.segment])
		}
	}
	return l.files.written(l.files.appended)
}

// lose settles a call whose process ended. The caller holds mu.
func (l *Ledger) lose(o *openCall, began *segment) {
	e := &Entry{l: l, call: o.call(), begun: o.began(), reserved: Amount{o.USD, o.Tokens}, segment: began, ended: true}
	began.refs++
	s := Settlement{Outcome: Lost}
	if n := len(o.asked); n > 0 {
		e.spent = e.reserved
		s.Lines = []Line{{Endpoint: o.asked[n-1].Endpoint, Model: o.asked[n-1].Model, Source: Unknown, Usage: decouple.Usage{TokensOut: o.Tokens, Cost: o.USD, Estimated: true}}}
	}
	for _, stream := range o.Budgets {
		k := spentKey{o.Tenant, stream}
		a := l.windows[k]
		if a == nil {
			a = &account{stream: stream, tenant: o.Tenant}
			l.windows[k] = a
		}
		a.spent = a.spent.plus(e.spent)
		e.accounts = append(e.accounts, a)
	}
	l.record(e, &s)
}

// head gives the first lines of a segment: what all before came to, and the calls under way, so that no earlier segment is kept for them. The caller
// holds mu, or is alone.
func (l *Ledger) head(n int64) ([]byte, error) {
	h := storedHead{Version: 1, Segment: n, Settled: l.settled}
	now := l.cfg.Now()
	for k, a := range l.windows {
		_, name, _ := strings.Cut(k.budget, "/")
		if (a.noted || a.spent != Amount{}) && !ended(name, now.Add(-24*time.Hour)) {
			h.Windows = append(h.Windows, a.stored())
		}
	}
	slices.SortFunc(h.Windows, func(a, b storedWindow) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Budget, b.Budget))
	})
	return appendJSON(nil, recordHead, h)
}

// roll begins a new segment.
func (l *Ledger) roll() error {
	return l.files.roll(func() ([]byte, error) {
		b, err := l.head(l.files.current.n + 1)
		for _, e := range l.open {
			b = appendBegin(b, e)
			if e.asked != (Line{}) {
				b = appendAttempt(b, e.call.ID, e.asked, Amount{})
			}
		}
		return b, err
	}, func() {
		for _, e := range l.open {
			e.segment.refs--
			e.segment = l.files.current
			e.segment.refs++
		}
	})
}

// Close journals what it can within the patience of the store, gives slices back, and closes the files. Calls that are still under way are settled when
// the ledger is opened again.
func (l *Ledger) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	l.quit()
	l.tasks.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.Patience)
	defer cancel()
	if err := l.Flush(ctx); err != nil {
		l.cfg.Log.Warn("usage stays in the ledger's files until it is opened again", "error", err)
	}
	l.giveAll(ctx)
	return l.files.close()
}

// syncLoop brings what is written to the disk, in groups.
func (l *Ledger) syncLoop() {
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.files.dirty:
		}
		if !l.pause(l.cfg.Sync, nil) {
			return
		}
		if err := l.files.sync(); err != nil {
			l.cfg.Log.Error("the ledger takes no more calls", "error", err)
			return
		}
	}
}

// pause waits for a while or until it is woken, and says whether to go on.
func (l *Ledger) pause(d time.Duration, wake <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-l.ctx.Done():
		return false
	case <-wake:
	case <-t.C:
	}
	return true
}
