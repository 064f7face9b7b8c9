package ledger_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
)

// child makes calls until it is killed, and says what has happened for certain: begun, asked, settled.
func child(dir, round string) error {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, sqlite.Config{Dir: filepath.Join(dir, "journal")})
	if err != nil {
		return err
	}
	l, err := ledger.Open(ledger.Config{Dir: filepath.Join(dir, "ledger"), Store: store, Journal: 3 * time.Millisecond, Refresh: 2 * time.Millisecond, Segment: 40_000, Batch: 40})
	if err != nil {
		return err
	}
	if err := l.SetBudget(ctx, ledger.Budget{ID: "all", Tenant: "acme", Scope: ledger.ForTenant, Period: ledger.Total, Limit: ledger.Amount{Tokens: 1 << 50}}, by); err != nil {
		return err
	}
	failed := make(chan error)
	for w := range 4 {
		go func() { failed <- childCalls(ctx, l, fmt.Sprintf("%s/%d", round, w)) }()
	}
	return <-failed
}

func childCalls(ctx context.Context, l *ledger.Ledger, name string) error {
	for i := 0; ; i++ {
		c := call(fmt.Sprintf("%s/%d", name, i), decouple.Money(rand.Int64N(1000)), 1+rand.Int64N(1000))
		c.Tenant = []decouple.TenantID{"acme", "other"}[i%2]
		e, err := l.Begin(ctx, c)
		if err != nil {
			return err
		}
		say("begun", c.ID, c.Reserve)
		if rand.IntN(20) > 0 {
			if err := e.Attempt(ctx, "azure/x", "gpt", ledger.Amount{}); err != nil {
				return err
			}
			say("asked", c.ID, c.Reserve)
		}
		in := rand.Int64N(c.Reserve.Tokens)
		cost := decouple.Money(rand.Int64N(int64(c.Reserve.USD) + 1))
		if err := e.Settle(used("azure/x", in, 1, cost)); err != nil {
			return err
		}
		say("settled", c.ID, ledger.Amount{USD: cost, Tokens: in + 1})
	}
}

func say(what, id string, a ledger.Amount) {
	_, _ = fmt.Fprintf(os.Stdout, "%s %s %d %d\n", what, id, a.USD, a.Tokens)
}

// fate is what is known of a call.
type fate struct {
	reserved, settled ledger.Amount
	asked, done       bool
}

// TestKill kills a process at random points, again and again in one folder: every call that it said was settled is in the journal once, with its exact
// figures, and every call that had asked an endpoint is there once, settled or at its reservation and marked.
func TestKill(t *testing.T) {
	t.Parallel()
	rounds, dir := 12, t.TempDir()
	if testing.Short() {
		rounds = 5
	}
	fates := map[string]*fate{}
	for r := range rounds {
		run(t, dir, strconv.Itoa(r), fates)
	}
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: filepath.Join(dir, "journal")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	l := openLedger(t, filepath.Join(dir, "ledger"), store)
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept := journaled(t, store)
	settled, lost := 0, 0
	var spent ledger.Amount
	for id, c := range kept {
		f := fates[id]
		if f == nil {
			f = &fate{} // it was written before the child could say so
		}
		got := ledger.Amount{USD: c.cost(), Tokens: c.tokens()}
		switch {
		case f.done && (got != f.settled || c.Outcome != ledger.OK):
			t.Errorf("%s was settled at %+v and is %+v", id, f.settled, c)
		case c.Outcome == ledger.Lost && len(c.Lines) > 0 && (c.Lines[0].Source != ledger.Unknown || f.asked && got != f.reserved):
			t.Errorf("%s was lost with %+v reserved and is %+v", id, f.reserved, c)
		case c.Outcome == ledger.Lost && len(c.Lines) == 0 && f.asked:
			t.Errorf("%s had asked and counts nothing: %+v", id, c)
		case c.Outcome == ledger.Lost:
			lost++
		default:
			settled++
		}
		if c.tenant == "acme" {
			spent.USD, spent.Tokens = spent.USD+got.USD, spent.Tokens+got.Tokens
		}
	}
	for id, f := range fates {
		if kept[id] == nil && (f.asked || f.done) {
			t.Errorf("%s is gone: %+v", id, f)
		}
	}
	if settled < 100*rounds/5 || lost == 0 {
		t.Errorf("%d settled and %d lost calls prove little", settled, lost)
	}
	st, err := l.Budgets(t.Context(), "acme")
	if err != nil || len(st) != 1 || st[0].Spent != spent || st[0].Held.Tokens < spent.Tokens {
		t.Errorf("the budget stands at %+v, %v; spent is %+v", st, err, spent)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "ledger", "*.log")); len(names) > 2 {
		t.Errorf("%d files are left", len(names))
	}
	t.Logf("%d settled, %d lost", settled, lost)
}

// run has a child make calls and kills it.
func run(t *testing.T, dir, round string, fates map[string]*fate) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "child", dir, round)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	after := 50 + rand.IntN(3000)
	var once sync.Once
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		note(fates, lines.Text())
		if n >= after {
			once.Do(func() { _ = cmd.Process.Kill() })
		}
	}
	if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
		t.Fatalf("the child ended by itself: %v, %s", err, &stderr)
	}
}

func note(fates map[string]*fate, text string) {
	f := strings.Fields(text)
	if len(f) != 4 {
		return // cut off by the kill
	}
	usd, err := strconv.ParseInt(f[2], 10, 64)
	tokens, err2 := strconv.ParseInt(f[3], 10, 64)
	if err != nil || err2 != nil {
		return
	}
	c := fates[f[1]]
	if c == nil {
		c = &fate{}
		fates[f[1]] = c
	}
	a := ledger.Amount{USD: decouple.Money(usd), Tokens: tokens}
	switch f[0] {
	case "begun":
		c.reserved = a
	case "asked":
		c.asked = true
	case "settled":
		c.done, c.settled = true, a
	}
}

// keptCall is a call as the journal has it.
type keptCall struct {
	N       int64          `json:"n"`
	ID      string         `json:"id"`
	Outcome ledger.Outcome `json:"outcome"`
	Lines   []struct {
		In     int64          `json:"in"`
		Out    int64          `json:"out"`
		Cost   decouple.Money `json:"cost"`
		Source ledger.Source  `json:"source"`
	} `json:"lines"`
	tenant decouple.TenantID
}

func (c *keptCall) cost() (sum decouple.Money) {
	for _, l := range c.Lines {
		sum += l.Cost
	}
	return sum
}

func (c *keptCall) tokens() (sum int64) {
	for _, l := range c.Lines {
		sum += l.In + l.Out
	}
	return sum
}

// journaled reads all calls from the journal, each of which must be there once.
func journaled(t *testing.T, store journal.Reader) map[string]*keptCall {
	t.Helper()
	all := map[string]*keptCall{}
	after := decouple.Position(0)
	for {
		events, err := store.Scan(t.Context(), journal.Filter{Kind: ledger.StreamUsage, After: after})
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			return all
		}
		for _, e := range events {
			after = e.Position
			var p struct{ Calls []*keptCall }
			if err := json.Unmarshal(e.Payload, &p); err != nil {
				t.Fatal(err)
			}
			for _, c := range p.Calls {
				if all[c.ID] != nil {
					t.Errorf("%s is in the journal twice: %+v and %+v", c.ID, all[c.ID], c)
				}
				c.tenant = e.Stream.Tenant
				all[c.ID] = c
			}
		}
	}
}
