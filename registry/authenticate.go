package registry

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"maps"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

const (
	// keysFresh is how old what is known of keys may be: a revoked key is refused everywhere after this time.
	keysFresh = time.Second
	// keysRefresh is the age at which it is read again while callers go on with what there is.
	keysRefresh = keysFresh / 2
	// keysPatience is how long callers wait for a journal that does not answer before Grace holds.
	keysPatience = keysFresh / 4
)

// keySnapshot is what was known of keys at a time. It is never changed.
type keySnapshot struct {
	keys map[string]*knownKey
	read time.Time // from before the journal was asked
}

// keyFlight is a refresh that callers may wait for.
type keyFlight struct {
	done chan struct{}
	err  error
}

// nobody takes the place of a key that is not known, so that it takes as long as one that is.
var nobody = &knownKey{Key: Key{Revoked: time.Unix(0, 0)}}

// Authenticate says who calls with a bearer string. Unauthenticated does not say what is wrong with it. It takes no lock and does not wait for the journal
// while what is known is fresh.
func (k *Keys) Authenticate(ctx context.Context, bearer string) (Principal, error) {
	rest, ok := strings.CutPrefix(bearer, prefix)
	id, _, two := strings.Cut(rest, "_")
	if !ok || !two || len(bearer) > 200 {
		return Principal{}, wrongKey()
	}
	s, err := k.fresh(ctx)
	if err != nil {
		return Principal{}, err
	}
	key := s.keys[id]
	if key == nil {
		key = nobody
	}
	sum := sha256.Sum256([]byte(bearer))
	if subtle.ConstantTimeCompare(sum[:], key.hash[:]) != 1 || !key.inForce() {
		return Principal{}, wrongKey()
	}
	return key.principal(), nil
}

func wrongKey() error {
	return decouple.Errorf(decouple.Unauthenticated, "the key is unknown, revoked or expired: ask who runs this server for one")
}

// fresh is a snapshot that is fresh enough.
func (k *Keys) fresh(ctx context.Context) (*keySnapshot, error) {
	for {
		s := k.now.Load()
		age := keysFresh
		if s != nil {
			age = time.Since(s.read)
		}
		if age < keysRefresh {
			return s, nil
		}
		f := k.fly()
		if age < keysFresh {
			return s, nil
		}
		if err := k.wait(ctx, f, s, age); err != nil {
			return nil, err
		}
		if age < k.Grace && k.now.Load() == s {
			return s, nil
		}
	}
}

// wait waits for a refresh, or until there is no use in it because what is known may still be used.
func (k *Keys) wait(ctx context.Context, f *keyFlight, s *keySnapshot, age time.Duration) error {
	lenient := s != nil && age < k.Grace
	var patience <-chan time.Time
	if lenient {
		t := time.NewTimer(max(0, keysFresh+keysPatience-age))
		defer t.Stop()
		patience = t.C
	}
	select {
	case <-f.done:
		if lenient {
			return nil
		}
		return f.err
	case <-patience:
		return nil
	case <-ctx.Done():
		return decouple.Errorf(decouple.KindOf(ctx.Err()), "the call ended before its key was looked at: %w", ctx.Err())
	}
}

// fly reads what is new in the journal, in the background; there is one who does at a time.
func (k *Keys) fly() *keyFlight {
	k.flights.Lock()
	defer k.flights.Unlock()
	if k.flight != nil {
		return k.flight
	}
	f := &keyFlight{done: make(chan struct{})}
	k.flight = f
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*keysFresh)
		defer cancel()
		k.mu.Lock()
		f.err = k.refresh(ctx)
		k.mu.Unlock()
		k.flights.Lock()
		k.flight = nil
		k.flights.Unlock()
		close(f.done)
	}()
	return f
}

// refresh folds what is new in the journal, and publishes it. The caller holds mu.
func (k *Keys) refresh(ctx context.Context) error {
	at := time.Now()
	for {
		events, err := k.log.Scan(ctx, journal.Filter{Kind: decouple.StreamKey, After: k.upTo})
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := k.apply(e); err != nil {
				return err
			}
			k.upTo, k.unseen = e.Position, true
		}
		if len(events) > 0 {
			continue
		}
		s := &keySnapshot{read: at}
		if had := k.now.Load(); had != nil && !k.unseen {
			s.keys = had.keys
		} else {
			s.keys = maps.Clone(k.known)
		}
		k.now.Store(s)
		k.unseen = false
		return nil
	}
}
