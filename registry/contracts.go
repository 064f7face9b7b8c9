package registry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/placement"
)

// ContractLog is the part of a journal that contracts are kept in.
type ContractLog interface {
	KeyLog
	Read(ctx context.Context, s decouple.Stream, after decouple.Seq, limit int) ([]decouple.Event, error)
}

// Contracts knows the contracts of all tenants: versions of files in the journal, and files of this node, which hold for every tenant and go before those of the journal.
// What is decided by them is never older than a second while the journal answers. When it does not, what was last known holds; when nothing was known, nothing is allowed.
type Contracts struct {
	log   ContractLog // nil has no journal: the files are all there is
	files []placement.Contract
	texts map[string]string // of files, by contract

	mu    sync.Mutex
	known map[decouple.TenantID]map[string]*contractState
	dirty map[decouple.TenantID]bool
	upTo  decouple.Position

	now     atomic.Pointer[contractSnapshot]
	failed  atomic.Int64 // when the journal was last found not to answer, nanoseconds
	flights sync.Mutex
	flight  *keyFlight // a refresh under way
	none    *holding   // of tenants without contracts of their own
}

// contractSnapshot is what was known of contracts at a time. It is never changed.
type contractSnapshot struct {
	tenants map[decouple.TenantID]*holding
	read    time.Time // from before the journal was asked
}

// holding is what holds for one tenant: the book, and the policy that it was compiled to last.
type holding struct {
	book    placement.Book
	signed  []SignedOff
	version string
	err     error // of a contract that cannot be read

	mu       sync.Mutex // one at a time compiles
	compiled atomic.Pointer[Terms]
}

// Terms are what holds for a tenant at a time, compiled. As long as nothing changes they are the same.
type Terms struct {
	*placement.Policy
	version string
	until   time.Time // the day on which they have to be compiled anew; zero is never
}

// Version names what holds: the same contracts and sign-offs have the same one, on every node.
func (t *Terms) Version() string { return t.version }

// ContractFile is a file of contracts of this node.
type ContractFile struct {
	Name string
	Text []byte
}

// NewContracts reads the contracts of a journal when it is first asked; a nil journal has none. The files of this node are in force for every tenant, without the journal; what
// is wrong with them is Invalid, with file and line.
func NewContracts(log ContractLog, files ...ContractFile) (*Contracts, error) {
	c := &Contracts{log: log, texts: map[string]string{}, known: map[decouple.TenantID]map[string]*contractState{}, dirty: map[decouple.TenantID]bool{}}
	var faults placement.Faults
	from := map[string]string{}
	for _, f := range files {
		one, wrong := placement.Read(f.Name, f.Text)
		faults = append(faults, wrong...)
		if len(wrong) > 0 {
			continue
		}
		if first, taken := from[one.ID]; taken {
			return nil, decouple.Errorf(decouple.Invalid, "%s: the contract %s is also in %s: give one of them another id", f.Name, one.ID, first)
		}
		from[one.ID] = f.Name
		c.files = append(c.files, one)
		c.texts[one.ID] = string(f.Text)
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(c.files, func(a, b placement.Contract) int { return cmp.Compare(a.ID, b.ID) })
	c.none = c.holdingOf(nil)
	return c, nil
}

// Policy is what holds for a tenant now, compiled; nil is that it never had a contract. It takes no lock and does not wait for the journal while what is known is fresh.
func (c *Contracts) Policy(tenant decouple.TenantID) (*Terms, error) {
	t, err := c.holdsNow(context.Background(), tenant)
	if err != nil || len(t.book.Contracts) == 0 {
		return nil, err
	}
	return t.terms(time.Now())
}

// Book is every version of every contract of a tenant, with the sign-offs for everybody: what held at any moment, by what was known at any other, can be compiled of it.
func (c *Contracts) Book(ctx context.Context, tenant decouple.TenantID) (placement.Book, error) {
	t, err := c.holdsNow(ctx, tenant)
	if err != nil {
		return placement.Book{}, err
	}
	return placement.Book{Contracts: slices.Clone(t.book.Contracts), SignOffs: slices.Clone(t.book.SignOffs)}, nil
}

// Signed are the clauses (contract/clause) that are signed off for one run of a tenant and a class of work now, beside those that are for everybody.
func (c *Contracts) Signed(ctx context.Context, tenant decouple.TenantID, run decouple.RunID, class string) ([]string, error) {
	t, err := c.holdsNow(ctx, tenant)
	if err != nil || run == "" {
		return nil, err
	}
	var out []string
	now := time.Now()
	for _, s := range t.signed {
		if s.Run == run && (s.Class == "" || s.Class == class) && s.HoldsAt(now) {
			out = append(out, s.Clause)
		}
	}
	return out, nil
}

// holdsNow is what holds for a tenant.
func (c *Contracts) holdsNow(ctx context.Context, tenant decouple.TenantID) (*holding, error) {
	s, err := c.fresh(ctx)
	if err != nil {
		return nil, err
	}
	t := c.none
	if s != nil && s.tenants[tenant] != nil {
		t = s.tenants[tenant]
	}
	return t, t.err
}

// terms are what holds, compiled for a moment that is now.
func (t *holding) terms(now time.Time) (*Terms, error) {
	if p := t.compiled.Load(); p != nil && (p.until.IsZero() || now.Before(p.until)) {
		return p, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.compiled.Load(); p != nil && (p.until.IsZero() || now.Before(p.until)) {
		return p, nil
	}
	policy, err := placement.Compile(t.book, placement.Moment{AsOf: now, Known: now})
	if err != nil {
		return nil, err
	}
	p := &Terms{policy, t.version, t.ends(now, policy.Until())}
	t.compiled.Store(p)
	return p, nil
}

// ends is when terms end that would hold until then: earlier where a sign-off for one run ends, so that calls of that run are judged again.
func (t *holding) ends(now, then time.Time) time.Time {
	for _, s := range t.signed {
		if at := s.until(); s.Run != "" && at.After(now) && (then.IsZero() || at.Before(then)) {
			then = at
		}
	}
	return then
}

// holdingOf makes what holds of the files of this node and the contracts of a tenant.
func (c *Contracts) holdingOf(own map[string]*contractState) *holding {
	t := &holding{book: placement.Book{Contracts: slices.Clone(c.files)}}
	sum := sha256.New()
	for _, f := range c.files {
		fmt.Fprintln(sum, "file", f.ID, HashContract([]byte(c.texts[f.ID])))
	}
	for _, id := range slices.Sorted(maps.Keys(own)) {
		s := own[id]
		if s.err != nil {
			t.err = s.err
		}
		if _, file := c.texts[id]; !file {
			t.book.Contracts = append(t.book.Contracts, s.parsed...)
			if v, ok := s.current(); ok {
				fmt.Fprintln(sum, "contract", id, v.Version, v.Hash)
			}
		}
		t.signed = append(t.signed, s.signed...)
	}
	for _, s := range t.signed {
		fmt.Fprintln(sum, "signed", s.Clause, s.Class, s.Run, s.At.UnixMicro(), s.until().UnixMicro())
		if s.Run == "" {
			t.book.SignOffs = append(t.book.SignOffs, placement.SignOff{Clause: s.Clause, Class: s.Class, Who: s.By.ID, Why: s.Why, From: s.At, Until: s.until()})
		}
	}
	if len(t.book.Contracts) > 0 {
		t.version = hex.EncodeToString(sum.Sum(nil))[:versionLen]
	}
	return t
}

// versionLen is how many digits name what holds.
const versionLen = 12

// fresh is a snapshot that is fresh enough; nil is of contracts without a journal.
func (c *Contracts) fresh(ctx context.Context) (*contractSnapshot, error) {
	if c.log == nil {
		return nil, nil
	}
	s := c.now.Load()
	if s != nil {
		age := time.Since(s.read)
		if age < keysRefresh {
			return s, nil
		}
		if age < keysFresh || time.Since(time.Unix(0, c.failed.Load())) < keysFresh {
			c.fly()
			return s, nil
		}
	}
	return c.await(ctx, s)
}

// await waits for a refresh; where something was known, not for long.
func (c *Contracts) await(ctx context.Context, had *contractSnapshot) (*contractSnapshot, error) {
	f := c.fly()
	var patience <-chan time.Time
	if had != nil {
		t := time.NewTimer(keysPatience)
		defer t.Stop()
		patience = t.C
	}
	select {
	case <-f.done:
		if f.err != nil && had == nil {
			return nil, decouple.Errorf(decouple.Unavailable, "the contracts cannot be read, and nothing is decided without them: %w", f.err)
		}
	case <-patience:
		c.failed.Store(time.Now().UnixNano())
	case <-ctx.Done():
		return nil, decouple.Errorf(decouple.KindOf(ctx.Err()), "the call ended before its contracts were looked at: %w", ctx.Err())
	}
	return c.now.Load(), nil
}

// fly reads what is new in the journal, in the background; there is one who does at a time.
func (c *Contracts) fly() *keyFlight {
	c.flights.Lock()
	defer c.flights.Unlock()
	if c.flight != nil {
		return c.flight
	}
	f := &keyFlight{done: make(chan struct{})}
	c.flight = f
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*keysFresh)
		defer cancel()
		c.mu.Lock()
		f.err = c.refresh(ctx)
		c.mu.Unlock()
		if f.err != nil {
			c.failed.Store(time.Now().UnixNano())
		}
		c.flights.Lock()
		c.flight = nil
		c.flights.Unlock()
		close(f.done)
	}()
	return f
}

// refresh folds what is new in the journal, and publishes it. The caller holds mu.
func (c *Contracts) refresh(ctx context.Context) error {
	if c.log == nil {
		return decouple.Errorf(decouple.Unavailable, "there is no journal to keep contracts in")
	}
	at := time.Now()
	for {
		events, err := c.log.Scan(ctx, journal.Filter{Kind: StreamContract, After: c.upTo})
		if err != nil {
			return err
		}
		for _, e := range events {
			c.apply(e)
			c.upTo = e.Position
		}
		if len(events) > 0 {
			continue
		}
		next := &contractSnapshot{read: at}
		if had := c.now.Load(); had != nil {
			next.tenants = had.tenants
		}
		if len(c.dirty) > 0 {
			next.tenants = maps.Clone(next.tenants)
			if next.tenants == nil {
				next.tenants = map[decouple.TenantID]*holding{}
			}
			for tenant := range c.dirty {
				next.tenants[tenant] = c.holdingOf(c.known[tenant])
			}
			clear(c.dirty)
		}
		c.now.Store(next)
		return nil
	}
}

// apply folds an event. What is wrong with it closes the tenant that it is of, and nobody else.
func (c *Contracts) apply(e decouple.Event) {
	own := c.known[e.Stream.Tenant]
	if own == nil {
		own = map[string]*contractState{}
		c.known[e.Stream.Tenant] = own
	}
	s := own[e.Stream.ID]
	if s == nil {
		s = &contractState{}
		own[e.Stream.ID] = s
	}
	if err := s.apply(e); err != nil || e.Kind == ContractPut || e.Kind == ContractWithdrawn {
		s.err = err // a later version that can be read takes the place of one that could not
	}
	c.dirty[e.Stream.Tenant] = true
}
