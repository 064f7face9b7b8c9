package credential

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"decouple.dev/decouple"
)

// issuer gives a token after a while, and counts.
type issuer struct {
	n     atomic.Int64
	takes time.Duration
	lives time.Duration
	fail  atomic.Bool
}

func (i *issuer) fetch(ctx context.Context) (token, error) {
	n := i.n.Add(1)
	select {
	case <-time.After(i.takes):
	case <-ctx.Done():
		return token{}, decouple.Errorf(decouple.Unavailable, "too slow")
	}
	if i.fail.Load() {
		return token{}, decouple.Errorf(decouple.Unavailable, "down")
	}
	return token{NewSecret("token" + string(rune('0'+n))), time.Now().Add(i.lives)}, nil
}

func TestTokenIsAskedForOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{takes: time.Second, lives: time.Hour}
		ts := &tokens{fetch: i.fetch}
		hurried, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if s, err := ts.get(t.Context()); err != nil || s.Reveal() != "token1" {
					t.Errorf("%q, %v", s.Reveal(), err)
				}
			})
		}
		if _, err := ts.get(hurried); decouple.KindOf(err) != decouple.Deadline {
			t.Errorf("a call that cannot wait: %v", err)
		}
		all.Wait()
		if i.n.Load() != 1 {
			t.Errorf("%d requests", i.n.Load())
		}
	})
}

func TestTokenIsRenewedAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{takes: time.Second, lives: time.Hour}
		ts := &tokens{fetch: i.fetch}
		get := func() string {
			before := time.Now()
			s, err := ts.get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if i.n.Load() > 1 && time.Since(before) > 0 {
				t.Error("a renewal held a call up")
			}
			return s.Reveal()
		}
		if get() != "token1" {
			t.Error("the first token")
		}
		time.Sleep(54 * time.Minute)
		if get() != "token1" || i.n.Load() != 1 {
			t.Error("renewed too early")
		}
		time.Sleep(2 * time.Minute)
		if get() != "token1" {
			t.Error("the old one serves while the new one is under way")
		}
		time.Sleep(2 * time.Second)
		if get() != "token2" || i.n.Load() != 2 {
			t.Error("not renewed")
		}
		// The provider of identities fails: the old token serves to its end, and nobody asks without pause.
		i.fail.Store(true)
		time.Sleep(56 * time.Minute)
		for range 200 {
			if get() != "token2" {
				t.Error("the old token still serves")
			}
			time.Sleep(time.Second)
		}
		if n := i.n.Load(); n < 10 || n > 45 {
			t.Errorf("%d requests", n)
		}
		time.Sleep(5 * time.Minute)
		if _, err := ts.get(t.Context()); decouple.KindOf(err) != decouple.Unavailable {
			t.Errorf("an ended token: %v", err)
		}
		before := i.n.Load()
		for range 10 {
			if _, err := ts.get(t.Context()); decouple.KindOf(err) != decouple.Unavailable {
				t.Errorf("%v", err)
			}
		}
		if i.n.Load() != before {
			t.Error("asked again at once after a failure")
		}
		i.fail.Store(false)
		time.Sleep(retryAfter)
		if _, err := ts.get(t.Context()); err != nil {
			t.Errorf("it is back: %v", err)
		}
	})
}

func TestShortAndEndedTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{lives: time.Minute}
		ts := &tokens{fetch: i.fetch}
		for range 60 {
			if _, err := ts.get(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := i.n.Load(); n < 2 || n > 3 {
			t.Errorf("%d requests in a minute for tokens that live a minute", n)
		}
		ended := &tokens{fetch: (&issuer{lives: -time.Hour}).fetch}
		if _, err := ended.get(t.Context()); decouple.KindOf(err) != decouple.Unavailable {
			t.Errorf("%v", err)
		}
	})
}
