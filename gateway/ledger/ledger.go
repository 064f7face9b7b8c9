package ledger

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Config says where a ledger is and what it writes to. Dir and Store are required.
type Config struct {
	Dir   string      // of its files; one process at a time
	Store journal.Log // shared by all nodes
	Log   *slog.Logger

	Now      func() time.Time // default time.Now
	Sync     time.Duration    // how long what is written may wait for the disk, default 5 ms
	Journal  time.Duration    // how long a settlement may wait for the journal, default 1 s
	Refresh  time.Duration    // how often budgets and nodes are looked at, default 1 s
	Patience time.Duration    // how long a call waits for the store when it needs a new slice, default 2 s
	Segment  int64            // bytes of a file before a new one is begun, default 16 MB
	Batch    int              // settlements that are journaled at once, default 2,000
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&c.Sync, 5*time.Millisecond)
	set(&c.Journal, time.Second)
	set(&c.Refresh, time.Second)
	set(&c.Patience, 2*time.Second)
	if c.Segment <= 0 {
		c.Segment = 16 << 20
	}
	if c.Batch <= 0 {
		c.Batch = 2000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Ledger keeps the accounts of one node. All methods may be called from many goroutines.
type Ledger struct {
	cfg    Config
	holder string // the name of this folder
	files  files
	quit   context.CancelFunc
	ctx    context.Context
	tasks  sync.WaitGroup

	batching sync.Mutex                         // one at a time journals; guards stream and seqs; taken before mu
	stream   string                             // that batches go to
	seqs     map[decouple.TenantID]decouple.Seq // of its last events
	reading  sync.Mutex                         // one at a time reads budgets; taken before mu
	mu       sync.Mutex
	cond     sync.Cond // of mu: something was written
	closed   bool
	open     map[string]*Entry
	settled  int64 // number of the last settlement
	pending  []pending
	seal     *storedSeal // of a batch whose fate is not known
	accounts map[accountKey]*account
	windows  map[spentKey]*account
	budgets  budgets
	rates    rates
	damaged  int

	view *View
	wake struct{ journal, tend chan struct{} }
}

// errClosed says that the process is about to end.
var errClosed = decouple.Errorf(decouple.Unavailable, "the ledger is closed: this process is about to end")

// pending is a settlement that the journal does not have yet.
type pending struct {
	n       int64
	tenant  decouple.TenantID
	segment *segment
	offset  int64
	size    int
}

// Entry is a call under way. Settle ends it; whoever begins a call sees to it that this happens.
type Entry struct {
	l        *Ledger
	call     Call
	begun    time.Time
	accounts []*account
	few      [4]*account // what accounts points to, mostly
	bucket   *bucket
	reserved Amount
	spent    Amount
	asked    Line // the last endpoint
	segment  *segment
	ended    bool
}

// Begin reserves the most that a call can use in every budget that counts it, in all or none. An Exhausted or RateLimited error holds a [Refusal]; Unavailable
// is that a budget could not be looked at, and the call must not be made. The call's record is in the file when Attempt or Settle returns.
func (l *Ledger) Begin(ctx context.Context, c Call) (*Entry, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	e := &Entry{l: l, call: c, begun: l.cfg.Now(), reserved: c.Reserve}
	for {
		l.mu.Lock()
		short, err := l.admit(e)
		l.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if short == nil {
			return e, nil
		}
		if err := l.extend(ctx, short, c.Reserve); err != nil {
			return nil, err
		}
	}
}

// admit reserves for a call, or says which account has too little here. The caller holds mu.
func (l *Ledger) admit(e *Entry) (*account, error) {
	if err := l.usable(); err != nil {
		return nil, err
	}
	if l.open[e.call.ID] != nil {
		return nil, decouple.Errorf(decouple.Conflict, "the call %s is under way already", e.call.ID)
	}
	if err := l.find(e); err != nil {
		return nil, err
	}
	for _, a := range e.accounts {
		if !e.reserved.only(a.budget.Limit).within(a.free()) {
			return a, nil
		}
	}
	if err := l.rates.take(e); err != nil {
		return nil, err
	}
	for _, a := range e.accounts {
		a.reserved = a.reserved.plus(e.reserved)
		a.used = e.begun
		if a.scarce() {
			ring(l.wake.tend)
		}
	}
	l.open[e.call.ID] = e
	e.segment = l.files.current
	e.segment.refs++
	l.files.append(func(b []byte) []byte { return appendBegin(b, e) })
	return nil, nil
}

// usable says whether calls can be kept. The caller holds mu.
func (l *Ledger) usable() error {
	if l.closed {
		return errClosed
	}
	if l.files.err != nil {
		return l.files.err
	}
	return l.budgets.known()
}

// Attempt notes that an endpoint is about to be asked, and reserves more for it if the call may cost more than was reserved. When it returns nil the note
// is in the file: if the process is killed from here on, the call is settled at what is reserved. A call that asked nobody owes nothing.
func (e *Entry) Attempt(ctx context.Context, endpoint, model string, more Amount) error {
	l := e.l
	if !isName(endpoint) || !isName(model) || more.USD < 0 || more.Tokens < 0 {
		return decouple.Errorf(decouple.Invalid, "the call %s asks an endpoint that cannot be noted", e.call.ID)
	}
	for {
		l.mu.Lock()
		short, err := e.attempt(Line{Endpoint: endpoint, Model: model}, more)
		l.mu.Unlock()
		if err != nil || short == nil {
			return err
		}
		if err := l.extend(ctx, short, more); err != nil {
			return err
		}
	}
}

// attempt does it if there is enough here. The caller holds mu.
func (e *Entry) attempt(asked Line, more Amount) (*account, error) {
	l := e.l
	if e.ended {
		return nil, decouple.Errorf(decouple.Conflict, "the call %s is settled", e.call.ID)
	}
	if l.closed {
		return nil, errClosed
	}
	if more != (Amount{}) {
		for _, a := range e.accounts {
			if !more.only(a.budget.Limit).within(a.free()) {
				return a, nil
			}
		}
		for _, a := range e.accounts {
			a.reserved = a.reserved.plus(more)
		}
		e.reserved = e.reserved.plus(more)
	}
	e.asked = asked
	l.files.append(func(b []byte) []byte { return appendAttempt(b, e.call.ID, asked, more) })
	return nil, l.files.written(l.files.appended)
}

// Settle says what the call used in the end. It returns when that is written to the file, so send the caller's last byte after it. It works once: a second time
// is Conflict and changes nothing. An error other than that means that the figure may be lost with the process.
func (e *Entry) Settle(s Settlement) error {
	if err := s.check(); err != nil {
		return err
	}
	l := e.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.ended {
		return decouple.Errorf(decouple.Conflict, "the call %s is settled", e.call.ID)
	}
	if l.closed {
		return decouple.Errorf(decouple.Unavailable, "the ledger is closed: the call %s is settled at its reservation when it is opened again", e.call.ID)
	}
	e.ended = true
	delete(l.open, e.call.ID)
	e.spent = s.amount(e.reserved)
	l.rates.correct(e)
	for _, a := range e.accounts {
		a.reserved = a.reserved.minus(e.reserved)
		a.spent = a.spent.plus(e.spent)
		if a.scarce() {
			ring(l.wake.tend)
		}
	}
	l.record(e, &s)
	return l.files.written(l.files.appended)
}

// record appends a settlement. The caller holds mu.
func (l *Ledger) record(e *Entry, s *Settlement) {
	l.settled++
	offset := l.files.current.size
	size := l.files.append(func(b []byte) []byte { return appendSettle(b, e, l.settled, s) })
	l.pending = append(l.pending, pending{l.settled, e.call.Tenant, l.files.current, offset, size})
	l.files.current.refs++
	e.segment.refs--
	if len(l.pending) == l.cfg.Batch {
		ring(l.wake.journal)
	}
}

// Reserved is what the call may use now.
func (e *Entry) Reserved() Amount {
	e.l.mu.Lock()
	defer e.l.mu.Unlock()
	return e.reserved
}

// Under lists how many calls are under way, for metrics.
func (l *Ledger) Under() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// Holder is the name of this node's folder, under which its slices and its usage are kept in the journal.
func (l *Ledger) Holder() string { return l.holder }

// Damaged is how many lines of the files could not be read when the ledger was opened: a torn end is one, and more are damage.
func (l *Ledger) Damaged() int { return l.damaged }

// ring wakes a task; it need not be told twice.
func ring(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
