package ledger_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
)

func recorded(t *testing.T, log journal.Reader, s ledger.Span) []ledger.Recorded {
	t.Helper()
	var out []ledger.Recorded
	err := ledger.Calls(t.Context(), log, s, func(c ledger.Recorded) error { out = append(out, c); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCalls reads calls back as they were made.
func TestCalls(t *testing.T) {
	t.Parallel()
	store := openStore(t, t.TempDir())
	l := openLedger(t, t.TempDir(), store)
	c := call("dec_r1_3_abcdef", 100, 10)
	c.Class, c.Labels = "batch", []string{"eu-personal", `a "quoted" one`}
	s := used("azure/x", 7, 3, 42)
	s.Lines[0].Attempt, s.Lines[0].Usage.Cached = 1, 5
	s.Lines = append(s.Lines, ledger.Line{Attempt: 2, Endpoint: "aws/y", Model: "gpt", Source: ledger.Unknown, Usage: decouple.Usage{TokensIn: 1, Cost: 1}})
	s.Won, s.Policy, s.Decision, s.First = 1, "0123abcd", c.ID, time.Millisecond
	s.Signed = []string{"quarrel/runtime"}
	s.Refused = []ledger.Refused{{Endpoint: "us/z", Clauses: []string{"house/eu-only", "house/no-training"}}, {Endpoint: "us/q"}}
	do(t, l, c, s)
	other := call("other", 1, 1)
	other.Tenant, other.Run = "globex", "r2"
	do(t, l, other, used("azure/x", 1, 1, 1))
	var got []ledger.Recorded
	err := l.Calls(t.Context(), ledger.Span{Tenant: "acme"}, func(c ledger.Recorded) error { got = append(got, c); return nil })
	want := []ledger.Recorded{{
		ID: c.ID, Decision: c.ID, Tenant: "acme", Key: "k1", Team: "search", Agent: "researcher", Run: "r1", Door: ledger.Chat, Asked: "smart", Class: "batch", Labels: c.Labels, Endpoint: "azure/x", Model: "gpt",
		Usage: decouple.Usage{TokensIn: 8, TokensOut: 3, Cost: 43, Cached: 5, Estimated: true}, First: time.Millisecond, Took: time.Second, Outcome: ledger.OK, Policy: "0123abcd", Signed: s.Signed, Refused: s.Refused,
	}}
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(ledger.Recorded{}, "At", "Lines")); d != "" || err != nil {
		t.Errorf("%s, %v", d, err)
	}
	if len(got[0].Lines) != 2 || time.Since(got[0].At) > time.Minute {
		t.Errorf("%+v", got[0])
	}
	for name, tt := range map[string]struct {
		span ledger.Span
		want int
	}{
		"all": {ledger.Span{}, 2}, "a tenant": {ledger.Span{Tenant: "globex"}, 1}, "no tenant": {ledger.Span{Tenant: "nobody"}, 0}, "an id": {ledger.Span{ID: "other"}, 1}, "no id": {ledger.Span{ID: "oth"}, 0},
		"a run": {ledger.Span{Run: "r1"}, 1}, "an odd id": {ledger.Span{ID: `o"`}, 0}, "later": {ledger.Span{Since: time.Now().Add(time.Hour)}, 0}, "much later": {ledger.Span{Since: time.Now().Add(48 * time.Hour)}, 0},
		"before": {ledger.Span{Until: time.Now().Add(-time.Hour)}, 0}, "around": {ledger.Span{Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour)}, 2},
	} {
		if n := len(recorded(t, store, tt.span)); n != tt.want {
			t.Errorf("%s: %d calls, not %d", name, n, tt.want)
		}
	}
	if one, err := ledger.Find(t.Context(), store, "acme", c.ID); err != nil || one.Endpoint != "azure/x" {
		t.Errorf("%+v, %v", one, err)
	}
	if _, err := ledger.Find(t.Context(), store, "globex", c.ID); decouple.KindOf(err) != decouple.NotFound {
		t.Errorf("of another tenant: %v", err)
	}
	tail := ledger.NewTail(store, ledger.Span{})
	stop := errors.New("enough")
	n := 0
	count := func(ledger.Recorded) error { n++; return nil }
	if err := tail.Read(t.Context(), func(ledger.Recorded) error {
		if n++; n == 2 {
			n--
			return stop
		}
		return nil
	}); !errors.Is(err, stop) {
		t.Error(err)
	}
	if err := tail.Read(t.Context(), count); err != nil || n != 2 {
		t.Errorf("after an error it has read %d, %v", n, err)
	}
	do(t, l, call("third", 1, 1), used("azure/x", 1, 1, 1))
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tail.Read(t.Context(), count); err != nil || n != 3 {
		t.Errorf("it has read %d, %v", n, err)
	}
	if err := ledger.Calls(t.Context(), store, ledger.Span{}, func(ledger.Recorded) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

// TestRefusedIsBounded settles a call that was refused nearly everywhere: that never makes its record too long, and never refuses the settlement.
func TestRefusedIsBounded(t *testing.T) {
	t.Parallel()
	store := openStore(t, t.TempDir())
	l := openLedger(t, t.TempDir(), store)
	s := used("azure/x", 1, 1, 1)
	for i := range 1000 {
		s.Refused = append(s.Refused, ledger.Refused{Endpoint: fmt.Sprintf("cloud/region/model-%d", i), Clauses: []string{"house/eu-only"}})
	}
	do(t, l, call("c1", 1, 1), s)
	s.Refused = []ledger.Refused{{Endpoint: "fine"}, {Endpoint: "a\nb"}, {Endpoint: strings.Repeat("x", 300)}}
	do(t, l, call("c2", 1, 1), s)
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := recorded(t, store, ledger.Span{})
	if n := len(got[0].Refused); n < 20 || n > 100 {
		t.Errorf("%d are kept", n)
	}
	if len(got[1].Refused) != 1 || got[1].Refused[0].Endpoint != "fine" {
		t.Errorf("%+v", got[1].Refused)
	}
}

// TestCallsOfHistory reads calls as the first version journaled them, and as the one that knows labels did.
func TestCallsOfHistory(t *testing.T) {
	t.Parallel()
	store := openStore(t, t.TempDir())
	for i, name := range []string{"usage.recorded.1.json", "usage.recorded.1.labels.json"} {
		b, err := os.ReadFile(filepath.Join("testdata", "history", name))
		if err != nil {
			t.Fatal(err)
		}
		_, err = store.Commit(t.Context(), journal.Mutation{ID: decouple.CommitID(name), Stream: decouple.Stream{Tenant: "acme", Kind: "usage", ID: fmt.Sprintf("l%d/1", i)},
			Events: []journal.NewEvent{{Kind: ledger.UsageRecorded, KindVersion: 1, Payload: b}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	got := recorded(t, store, ledger.Span{})
	if len(got) != 4 {
		t.Fatalf("%d calls", len(got))
	}
	if c := got[0]; c.ID != "r1/3/1" || c.Decision != "d1" || c.Class != "autonomous-research" || c.Endpoint != "azure/swedencentral/gpt-5.4" || c.Usage.Cost != 12345 || c.Labels != nil || c.Policy != "" {
		t.Errorf("%+v", c)
	}
	if c := got[1]; c.Endpoint != "y" || c.Usage.TokensOut != 9 {
		t.Errorf("%+v", c)
	}
	want := []ledger.Refused{{Endpoint: "openai/gpt-5.4", Clauses: []string{"house/eu-only"}}}
	if c := got[3]; c.Endpoint != "azure/swedencentral/gpt-5.4" || len(c.Labels) != 1 || c.Labels[0] != "eu-personal" || c.Policy != "9f86d081884c" || len(c.Signed) != 1 || c.Signed[0] != "quarrel/runtime" || cmp.Diff(want, c.Refused) != "" {
		t.Errorf("%+v", c)
	}
	if c, err := ledger.Find(t.Context(), store, "acme", "d1"); err != nil || c.ID != "r1/3/1" {
		t.Errorf("%+v, %v", c, err)
	}
}
