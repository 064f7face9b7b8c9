package decouple_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"decouple.dev/decouple"
	"github.com/google/go-cmp/cmp"
)

func TestRunID(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id, root, parent decouple.RunID
		depth            int
	}{{"r1", "r1", "", 0}, {"r1.2", "r1", "r1", 1}, {"r1.2.30", "r1", "r1.2", 2}, {"", "", "", 0}} {
		if c.id.Root() != c.root || c.id.Parent() != c.parent || c.id.Depth() != c.depth {
			t.Errorf("%q: root %q, parent %q, depth %d", c.id, c.id.Root(), c.id.Parent(), c.id.Depth())
		}
	}
}

// TestExitCodes holds the table to what users were promised.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	want := map[decouple.Kind]int{
		decouple.Internal: 1, decouple.Invalid: 2, decouple.TooLarge: 2, decouple.NotFound: 3, decouple.Denied: 4, decouple.Unauthenticated: 4, decouple.Conflict: 5,
		decouple.Exhausted: 6, decouple.Unavailable: 7, decouple.Deadline: 7, decouple.RateLimited: 7, decouple.Unknown: 8, decouple.Canceled: 130, "something else": 1,
	}
	for k, exit := range want {
		if r := k.Rule(); r.Exit != exit || r.HTTP < 400 {
			t.Errorf("%s: exit code %d and HTTP %d, want %d", k, r.Exit, r.HTTP, exit)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("outside: %w", decouple.Errorf(decouple.NotFound, "no file: %w", io.EOF))
	if decouple.KindOf(err) != decouple.NotFound || !errors.Is(err, io.EOF) || err.Error() != "outside: no file: EOF" {
		t.Errorf("%v is %s", err, decouple.KindOf(err))
	}
	for err, want := range map[error]decouple.Kind{context.Canceled: decouple.Canceled, context.DeadlineExceeded: decouple.Deadline, io.EOF: decouple.Internal} {
		if got := decouple.KindOf(err); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
	if k := decouple.KindOf(nil); k != "" {
		t.Errorf("no error is %q", k)
	}
}

func TestMessage(t *testing.T) {
	t.Parallel()
	call := decouple.ToolCall{ID: "1", Name: "look"}
	m := decouple.Message{Role: decouple.Assistant, Parts: []decouple.Part{{Text: "a"}, {Call: &call}, {Text: "b"}}}
	if m.Text() != "ab" {
		t.Error(m.Text())
	}
	if d := cmp.Diff([]decouple.ToolCall{call}, m.Calls()); d != "" {
		t.Error(d)
	}
	sum := decouple.Usage{TokensIn: 1, TokensOut: 2, Cost: 3}.Add(decouple.Usage{TokensIn: 10, Estimated: true})
	if d := cmp.Diff(decouple.Usage{TokensIn: 11, TokensOut: 2, Cost: 3, Estimated: true}, sum); d != "" {
		t.Error(d)
	}
	if n := decouple.EstimateTokens("twelve bytes"); n != 4 {
		t.Error(n)
	}
	if s := decouple.RunStream("t", "r").String(); s != "t/run/r" {
		t.Error(s)
	}
}
