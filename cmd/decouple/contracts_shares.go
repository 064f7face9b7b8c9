package main

import (
	"context"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/risk/whatif"
)

// lookEvery is how old the figures may be by which endpoints are preferred that keep a promised share.
const lookEvery = 5 * time.Second

// liveShares are the promised shares that are not kept, counted anew every few seconds for tenants that make calls. Nobody waits for it: until the first count is there, nobody is preferred.
type liveShares struct {
	ctx       context.Context // of the process
	contracts *registry.Contracts
	log       journal.Reader
	catalog   *catalog.Catalog

	mu      sync.Mutex
	tenants map[decouple.TenantID]*liveShare
}

// liveShare is what was counted for a tenant.
type liveShare struct {
	terms    *registry.Terms
	promised bool // they hold a share
	behind   *gateway.Behind
	looked   time.Time
	busy     bool

	tail  *tail // of one who counts at a time, as is the rest
	tally *whatif.Tally
}

func newLiveShares(ctx context.Context, o *owner) *liveShares {
	return &liveShares{ctx: context.WithoutCancel(ctx), contracts: o.contracts, log: o.store, catalog: o.catalog, tenants: map[decouple.TenantID]*liveShare{}}
}

// Behind are the shares of a tenant that are not kept, as last counted.
func (l *liveShares) Behind(t decouple.TenantID) *gateway.Behind {
	terms, err := l.contracts.Policy(t)
	if err != nil || terms == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.tenants[t]
	if s == nil {
		s = &liveShare{tail: &tail{Reader: l.log}, tally: whatif.NewTally(l.catalog)}
		l.tenants[t] = s
	}
	if s.terms != terms {
		s.terms, s.promised = terms, len(terms.Shares()) > 0
	}
	if !s.promised {
		return nil
	}
	if !s.busy && time.Since(s.looked) > lookEvery {
		s.busy = true
		go l.look(t, s, terms)
	}
	return s.behind
}

// look counts what is new.
func (l *liveShares) look(t decouple.TenantID, s *liveShare, terms *registry.Terms) {
	ctx, cancel := context.WithTimeout(l.ctx, time.Minute)
	defer cancel()
	err := ledger.Calls(ctx, s.tail, ledger.Span{Tenant: t}, func(c ledger.Recorded) error {
		s.tally.Add(c)
		return nil
	})
	behind := &gateway.Behind{}
	for _, share := range terms.Shares() {
		if !share.State(s.tally.Uses(share.Window)).Kept {
			behind.Shares = append(behind.Shares, share)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.busy, s.looked = false, time.Now()
	if err == nil {
		s.behind = behind
	}
}

// tail is a journal that is read on from where it was read to.
type tail struct {
	journal.Reader
	upTo decouple.Position
}

// Scan reads on.
func (t *tail) Scan(ctx context.Context, f journal.Filter) ([]decouple.Event, error) {
	f.After = max(f.After, t.upTo)
	events, err := t.Reader.Scan(ctx, f)
	if n := len(events); n > 0 && err == nil {
		t.upTo = events[n-1].Position
	}
	return events, err
}
