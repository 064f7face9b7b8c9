package ledger_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/postgres"
	"decouple.dev/decouple/journal/postgres/pgtest"
)

// link is a node's way to the store, which can be cut; when it is bad, commits are made and their answers are lost.
type link struct {
	journal.Log
	state atomic.Int32
}

const (
	linkGood = iota
	linkBad
	linkCut
	linkLost // every answer
)

var errLink = decouple.Errorf(decouple.Unavailable, "the store does not answer")

func (k *link) Commit(ctx context.Context, m journal.Mutation) (journal.Receipt, error) {
	switch k.state.Load() {
	case linkCut:
		return journal.Receipt{}, errLink
	case linkLost:
		_, _ = k.Log.Commit(ctx, m)
		return journal.Receipt{}, errLink
	case linkBad:
		if rand.IntN(2) == 0 {
			_, _ = k.Log.Commit(ctx, m)
			return journal.Receipt{}, errLink
		}
	}
	return k.Log.Commit(ctx, m)
}

func (k *link) Read(ctx context.Context, s decouple.Stream, after decouple.Seq, limit int) ([]decouple.Event, error) {
	if k.state.Load() == linkCut {
		return nil, errLink
	}
	return k.Log.Read(ctx, s, after, limit)
}

func (k *link) Scan(ctx context.Context, f journal.Filter) ([]decouple.Event, error) {
	if k.state.Load() == linkCut {
		return nil, errLink
	}
	return k.Log.Scan(ctx, f)
}

// fleet is some nodes that spend the same budgets.
type fleet struct {
	t       *testing.T
	seed    uint64
	ids     atomic.Int64
	usd     atomic.Int64 // spent, and reserved by calls under way, at least
	tokens  atomic.Int64
	refused atomic.Int64
	cut     atomic.Int64 // refused for want of the store
	crashes atomic.Int64
	over    bool // calls use more than they reserve
	excess  atomic.Int64

	mu      sync.Mutex
	settled map[string]ledger.Amount // what the journal must say in the end
	maybe   map[string]bool          // begun, and the process ended before an endpoint was asked
}

const (
	fleetUSD    = 700_000
	fleetTokens = 1_400_000
)

// node is one of them.
type node struct {
	*fleet
	rnd  *rand.Rand
	dir  string
	link *link
	l    *ledger.Ledger
	open []*work
}

type work struct {
	id    string
	e     *ledger.Entry
	most  ledger.Amount
	asked bool
}

func (n *node) start() {
	n.t.Helper()
	var err error
	n.l, err = ledger.Open(ledger.Config{Dir: n.dir, Store: n.link, Journal: 5 * time.Millisecond, Refresh: 3 * time.Millisecond, Segment: 20_000, Batch: 30, Patience: 3 * time.Second})
	if err != nil {
		n.t.Errorf("seed %d: %v", n.seed, err)
	}
}

func (n *node) step(ctx context.Context) {
	switch p := n.rnd.IntN(1000); {
	case p < 3:
		n.crash()
	case p < 12:
		n.link.state.Store(int32(n.rnd.IntN(3)))
	case p < 40:
		n.link.state.Store(linkGood)
	case p < 500 && len(n.open) < 8:
		n.begin(ctx)
	case len(n.open) > 0:
		n.settle(n.rnd.IntN(len(n.open)))
	}
}

func (n *node) begin(ctx context.Context) {
	w := &work{id: strconv.FormatInt(n.ids.Add(1), 10), most: ledger.Amount{USD: decouple.Money(n.rnd.Int64N(2000)), Tokens: n.rnd.Int64N(4000)}}
	c := call(w.id, w.most.USD, w.most.Tokens)
	e, err := n.l.Begin(ctx, c)
	switch decouple.KindOf(err) {
	case "":
	case decouple.Exhausted:
		n.refused.Add(1)
		return
	case decouple.Unavailable:
		n.cut.Add(1)
		return
	default:
		n.t.Errorf("seed %d: begin: %v", n.seed, err)
		return
	}
	if usd, tokens := n.usd.Add(int64(w.most.USD)), n.tokens.Add(w.most.Tokens); !n.over && (usd > fleetUSD || tokens > fleetTokens) {
		n.t.Errorf("seed %d: %d of %d dollars and %d of %d tokens are spent or reserved", n.seed, usd, fleetUSD, tokens, fleetTokens)
	}
	w.e = e
	if n.rnd.IntN(10) > 0 {
		w.asked = true
		if err := e.Attempt(ctx, "azure/x", "gpt", ledger.Amount{}); err != nil {
			n.t.Errorf("seed %d: attempt: %v", n.seed, err)
		}
	}
	n.open = append(n.open, w)
}

func (n *node) settle(i int) {
	w := n.open[i]
	n.open = append(n.open[:i], n.open[i+1:]...)
	a := ledger.Amount{USD: decouple.Money(n.rnd.Int64N(int64(w.most.USD) + 1)), Tokens: n.rnd.Int64N(w.most.Tokens + 1)}
	if n.over && n.rnd.IntN(4) == 0 {
		a.USD = w.most.USD + decouple.Money(n.rnd.Int64N(100))
		n.excess.Add(int64(a.USD - w.most.USD))
	}
	n.count(w, a)
	if err := w.e.Settle(used("azure/x", a.Tokens, 0, a.USD)); err != nil {
		n.t.Errorf("seed %d: settle: %v", n.seed, err)
	}
}

// count puts what a call used in the place of what it had reserved.
func (n *node) count(w *work, a ledger.Amount) {
	n.usd.Add(int64(a.USD - w.most.USD))
	n.tokens.Add(a.Tokens - w.most.Tokens)
	n.mu.Lock()
	n.settled[w.id] = a
	n.mu.Unlock()
}

// crash kills the node and starts it again.
func (n *node) crash() {
	n.crashes.Add(1)
	for _, w := range n.open {
		if w.asked {
			n.count(w, w.most)
			continue
		}
		n.count(w, ledger.Amount{})
		n.mu.Lock()
		n.maybe[w.id] = true
		n.mu.Unlock()
	}
	n.open = nil
	if err := n.l.Kill(); err != nil {
		n.t.Errorf("seed %d: kill: %v", n.seed, err)
	}
	n.start()
}

// TestNodes has three nodes spend one budget, with crashes, cuts and lost answers: it is never exceeded, and nothing is lost.
func TestNodes(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		store := openStore(t, t.TempDir())
		runFleet(t, false, store, store, store)
	})
	t.Run("over", func(t *testing.T) {
		t.Parallel()
		store := openStore(t, t.TempDir())
		runFleet(t, true, store, store, store)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		url := pgtest.Database(t)
		var stores []journal.Log
		for range 3 {
			s, err := postgres.Open(t.Context(), postgres.Config{URL: url})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			stores = append(stores, s)
		}
		runFleet(t, false, stores...)
	})
}

func runFleet(t *testing.T, over bool, stores ...journal.Log) {
	t.Helper()
	f := &fleet{t: t, seed: rand.Uint64(), over: over, settled: map[string]ledger.Amount{}, maybe: map[string]bool{}}
	if s, err := strconv.ParseUint(os.Getenv("DECOUPLE_SEED"), 10, 64); err == nil {
		f.seed = s
	}
	var nodes []*node
	for i, s := range stores {
		n := &node{fleet: f, rnd: rand.New(rand.NewPCG(f.seed, uint64(i))), dir: t.TempDir(), link: &link{Log: s}}
		n.start()
		nodes = append(nodes, n)
	}
	for _, b := range []ledger.Budget{
		{ID: "usd", Scope: ledger.ForTenant, Period: ledger.Total, Limit: ledger.Amount{USD: fleetUSD}},
		{ID: "tokens", Scope: ledger.ForTeam, Name: "search", Period: ledger.Total, Limit: ledger.Amount{Tokens: fleetTokens}},
	} {
		b.Tenant = "acme"
		if err := nodes[0].l.SetBudget(t.Context(), b, by); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range nodes {
		n.l.Tend() // reads them
	}
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() {
			for range 1500 {
				n.step(t.Context())
			}
			n.link.state.Store(linkGood)
			n.crash()
		})
	}
	wg.Wait()
	f.check(nodes, stores[0])
}

// check compares what is in the journal with what happened, and has one node spend what is left to the last.
func (f *fleet) check(nodes []*node, store journal.Reader) {
	t := f.t
	t.Helper()
	for _, n := range nodes[1:] {
		if err := n.l.Close(); err != nil {
			t.Errorf("seed %d: %v", f.seed, err)
		}
	}
	l := nodes[0].l
	if err := l.Flush(t.Context()); err != nil {
		t.Fatalf("seed %d: %v", f.seed, err)
	}
	kept := journaled(t, store)
	for id, want := range f.settled {
		c := kept[id]
		if c == nil {
			if !f.maybe[id] {
				t.Errorf("seed %d: %s is gone", f.seed, id)
			}
			continue
		}
		if got := (ledger.Amount{USD: c.cost(), Tokens: c.tokens()}); got != want {
			t.Errorf("seed %d: %s is %+v in the journal and was %+v", f.seed, id, got, want)
		}
		delete(kept, id)
	}
	if len(kept) > 0 {
		t.Errorf("seed %d: %d calls are in the journal that nobody made", f.seed, len(kept))
	}
	usd, tokens := f.usd.Load(), f.tokens.Load()
	t.Logf("seed %d: %d calls, %d refused, %d refused without the store, %d crashes, %d dollars over; %d dollars, %d tokens", f.seed, len(f.settled), f.refused.Load(), f.cut.Load(), f.crashes.Load(), f.excess.Load(), usd, tokens)
	if usd > fleetUSD+f.excess.Load() || tokens > fleetTokens {
		t.Errorf("seed %d: %d dollars and %d tokens are spent", f.seed, usd, tokens)
	}
	st, err := l.Budgets(t.Context(), "")
	if err != nil || len(st) != 2 || st[0].Spent.Tokens != tokens || st[1].Spent.USD != decouple.Money(usd) {
		t.Errorf("seed %d: the budgets stand at %+v, %v", f.seed, st, err)
	}
	if f.over {
		return
	}
	rest := call("rest", decouple.Money(fleetUSD-usd), fleetTokens-tokens)
	e, err := l.Begin(t.Context(), rest)
	for until := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(until); { // a refusal is remembered for a moment
		runtime.Gosched()
		e, err = l.Begin(t.Context(), rest)
	}
	if err != nil {
		t.Errorf("seed %d: the rest of the budget cannot be spent: %v", f.seed, err)
	} else if err := e.Settle(ledger.Settlement{Outcome: ledger.Failed}); err != nil {
		t.Error(err)
	}
	var refusal *ledger.Refusal
	if _, err := l.Begin(t.Context(), call("more", rest.Reserve.USD+1, 0)); !errors.As(err, &refusal) || refusal.Budget != "usd" {
		t.Errorf("seed %d: one more than the rest: %v", f.seed, err)
	}
}
