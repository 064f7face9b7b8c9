package sqlite

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"golang.org/x/sys/unix"
)

func newRun(id string) journal.NewRun {
	return journal.NewRun{
		Run:    decouple.Run{ID: decouple.RunID(id), Tenant: decouple.LocalTenant, Root: decouple.RunID(id), Agent: "a"},
		Events: []journal.NewEvent{{Kind: "run.created", KindVersion: 1}},
	}
}

// TestLargeBatch looks that a run stays known within the batch that created it, even when the batch is larger than the cache.
func TestLargeBatch(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.submit(t.Context(), &request{apply: func(b *batch) error {
		if _, err := b.mutate(journal.Mutation{ID: "1", Create: []journal.NewRun{newRun("first")}}); err != nil {
			return err
		}
		for i := range 2*cacheSize + 1 {
			k := runKey{"other", decouple.RunID(fmt.Sprint(i))}
			b.works.put(k, &work{})
		}
		_, err := b.mutate(journal.Mutation{
			ID: "2", Stream: decouple.RunStream(decouple.LocalTenant, "first"), Put: []journal.Put{{To: "first", Kind: "hello", From: "me"}},
		})
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := s.Claim(t.Context(), journal.Want{Root: "first"}); err != nil || c.Inbox != 1 {
		t.Errorf("the claim is %+v, %v", c, err)
	}
}

// TestClaimTooLate looks that a caller whose time is over takes no run away from others.
func TestClaimTooLate(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Commit(t.Context(), journal.Mutation{ID: "1", Create: []journal.NewRun{newRun("r")}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if c, err := s.Claim(ctx, journal.Want{Root: ""}); !errors.Is(err, context.Canceled) {
		t.Errorf("the claim is %+v, %v", c, err)
	}
}

// TestCloseFreesFolder closes a store while a child that is just being forked still shares its files.
func TestCloseFreesFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	shared, err := unix.Dup(int(s.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(shared)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	s.Close()
}
