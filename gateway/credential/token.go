package credential

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"decouple.dev/decouple"
)

const (
	// renewAhead is how long before its end a token is renewed, in the background, while it still serves.
	renewAhead = 5 * time.Minute
	// lastUse is how long before its end a token is no longer sent: it must still be good when it arrives.
	lastUse = 10 * time.Second
	// fetchTime bounds one request for a token.
	fetchTime = 30 * time.Second
	// retryAfter is how long nobody asks again after a failure.
	retryAfter = 5 * time.Second
)

// token is what a provider of identities gave.
type token struct {
	text Secret
	ends time.Time
}

// tokens keeps one token and renews it ahead of its end. However many calls need a new one, it is asked for once.
type tokens struct {
	fetch func(context.Context) (token, error)

	mu     sync.Mutex
	have   token
	flight chan struct{} // closed when the request that is under way has ended
	failed error         // of the last request
	notYet time.Time     // when asking again makes sense
}

// get is a token that is good now.
func (t *tokens) get(ctx context.Context) (Secret, error) {
	for {
		t.mu.Lock()
		now := time.Now()
		good := t.have.ends.Sub(now) > lastUse
		if t.flight == nil && t.have.ends.Sub(now) <= renewAhead && !now.Before(t.notYet) {
			t.flight = make(chan struct{})
			go t.renew(t.flight)
		}
		flight, have, failed := t.flight, t.have.text, t.failed
		t.mu.Unlock()
		switch {
		case good:
			return have, nil
		case flight == nil:
			return Secret{}, failed
		}
		select {
		case <-flight:
		case <-ctx.Done():
			return Secret{}, decouple.Errorf(decouple.KindOf(ctx.Err()), "no token came in time: %w", ctx.Err())
		}
	}
}

// renew asks once. It belongs to no call, so that none that hangs up takes the others with it.
func (t *tokens) renew(flight chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	got, err := t.fetch(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if err == nil && got.ends.Sub(now) <= lastUse {
		err = decouple.Errorf(decouple.Unavailable, "the provider of identities gave a token that has already ended: is the clock of this machine right?")
	}
	t.failed = err
	if err == nil {
		t.have, t.notYet = got, now
		if got.ends.Sub(now) <= renewAhead {
			t.notYet = now.Add(got.ends.Sub(now) / 2) // a short one is renewed at its half
		}
	} else {
		t.notYet = now.Add(retryAfter)
	}
	t.flight = nil
	close(flight)
}

// bearer sends a token that is kept.
type bearer struct{ tokens tokens }

// Authorize adds the token.
func (b *bearer) Authorize(ctx context.Context, c Call) ([]Field, error) {
	s, err := b.tokens.get(ctx)
	if err != nil {
		return nil, err
	}
	return append(c.Header, Field{"Authorization", "Bearer " + s.Reveal()}), nil
}

// Format prints what it is.
func (b *bearer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[token]") }
