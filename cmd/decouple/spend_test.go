package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/postgres/pgtest"
	"decouple.dev/decouple/journal/sqlite"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/sim"
)

// bought is a settlement in the journal.
type bought struct {
	ID      string         `json:"id"`
	Key     string         `json:"key"`
	USD     decouple.Money `json:"usd"`
	Outcome ledger.Outcome `json:"outcome"`
	Lines   []boughtLine   `json:"lines"`
}

type boughtLine struct {
	Attempt    int            `json:"attempt"`
	Endpoint   string         `json:"endpoint"`
	In         int64          `json:"in"`
	Out        int64          `json:"out"`
	Cached     int64          `json:"cached"`
	CacheWrite int64          `json:"cache_write"`
	CacheLong  int64          `json:"cache_long"`
	Cost       decouple.Money `json:"cost"`
	Source     ledger.Source  `json:"source"`
	Unpriced   bool           `json:"unpriced"`
}

// settlements reads what a journal has, by call.
func settlements(t *testing.T, log journal.Reader) map[string][]bought {
	t.Helper()
	out := map[string][]bought{}
	for after := decouple.Position(0); ; {
		events, err := log.Scan(context.Background(), journal.Filter{Kind: ledger.StreamUsage, After: after})
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			return out
		}
		for _, e := range events {
			var p struct {
				Calls []bought `json:"calls"`
			}
			if err := json.Unmarshal(e.Payload, &p); err != nil {
				t.Fatal(err)
			}
			for _, c := range p.Calls {
				out[c.ID] = append(out[c.ID], c)
			}
			after = e.Position
		}
	}
}

// audit holds settlements against the clouds' invoice.
type audit struct {
	t        *testing.T
	settled  map[string][]bought
	billed   map[string]map[int][]sim.Line // by call and attempt
	lines    int                           // of the invoice
	exact    int                           // lines that are settled to the nano-dollar
	atLeast  int                           // lines whose end was not seen: marked, and settled at not less
	lost     int                           // calls whose node was killed
	over     decouple.Money                // what is settled beyond what was billed
	invoiced decouple.Money
	bad      int
}

func (a *audit) fault(format string, args ...any) {
	if a.bad++; a.bad <= 20 {
		a.t.Errorf(format, args...)
	}
}

// newAudit sorts the invoice by call.
func newAudit(t *testing.T, invoice []sim.Line, settled map[string][]bought) *audit {
	t.Helper()
	a := &audit{t: t, settled: settled, billed: map[string]map[int][]sim.Line{}}
	for _, l := range invoice {
		id, n, _ := strings.Cut(l.Client, "/")
		attempt, err := strconv.Atoi(n)
		if err != nil || id == "" {
			a.fault("the invoice of %s has a line for %q, which is no attempt of a call: %+v", l.Cloud, l.Client, l)
			continue
		}
		if a.billed[id] == nil {
			a.billed[id] = map[int][]sim.Line{}
		}
		a.billed[id][attempt] = append(a.billed[id][attempt], l)
		a.lines++
		a.invoiced += l.Amount
	}
	return a
}

// all compares every call.
func (a *audit) all() {
	ids := maps.Clone(a.settled)
	for id := range a.billed {
		ids[id] = a.settled[id]
	}
	for id, list := range ids {
		if len(list) != 1 {
			a.fault("call %s is settled %d times, and billed for %+v", id, len(list), a.billed[id])
			continue
		}
		a.call(list[0])
	}
}

// call compares one call's lines.
func (a *audit) call(c bought) {
	bills := a.billed[c.ID]
	var billed decouple.Money
	for _, list := range bills {
		for _, l := range list {
			billed += l.Amount
		}
	}
	if c.Outcome == ledger.Lost {
		a.lost++
		switch {
		case len(bills) > 0 && len(c.Lines) != 1:
			a.fault("call %s was lost with its node, was billed for %+v, and has the lines %+v", c.ID, bills, c.Lines)
		case len(bills) > 0 && (c.Lines[0].Source != ledger.Unknown || c.Lines[0].Cost < billed || c.USD < billed):
			a.fault("call %s was lost with its node, was billed %s, and is settled as %+v", c.ID, billed, c)
		default:
			for _, list := range bills {
				a.atLeast += len(list)
			}
			a.over += c.USD - billed
		}
		return
	}
	settled := map[int]boughtLine{}
	for _, l := range c.Lines {
		if _, twice := settled[l.Attempt]; twice || l.Attempt == 0 {
			a.fault("call %s has two lines of attempt %d, or one of none: %+v", c.ID, l.Attempt, c.Lines)
		}
		settled[l.Attempt] = l
		a.line(c, l, bills[l.Attempt])
	}
	for n, list := range bills {
		if _, ok := settled[n]; !ok {
			a.fault("attempt %d of call %s (%s) is on the invoice and has no line: %s", n, c.ID, c.Outcome, describeBills(list))
		}
	}
	if c.USD < billed {
		a.fault("call %s was billed %s and counts as %s in budgets", c.ID, billed, c.USD)
	}
	a.over += c.USD - billed
}

func describeBills(list []sim.Line) string {
	out := ""
	for _, l := range list {
		out += fmt.Sprintf("%s %s %s: in %d cached %d write %d long %d out %d, %s, ended by %s, stream %t; ", l.Cloud, l.Region, l.Model, l.In, l.Cached, l.CacheWrite, l.CacheLong, l.Out, l.Amount, l.Ended, l.Stream)
	}
	return out
}

// line compares an attempt's line with what it was billed.
func (a *audit) line(c bought, l boughtLine, bills []sim.Line) {
	var cost decouple.Money
	for _, b := range bills {
		cost += b.Amount
	}
	same := l.Cost == cost
	for _, b := range bills {
		same = same && (len(bills) > 1 || l.Out == b.Out && l.Cached == b.Cached && l.CacheWrite == b.CacheWrite && l.CacheLong == b.CacheLong && l.In == b.In+b.Cached+b.CacheWrite+b.CacheLong)
	}
	switch {
	case l.Unpriced:
		a.fault("attempt %d of call %s at %s has no price", l.Attempt, c.ID, l.Endpoint)
	case l.Source == ledger.Reported && same:
		a.exact += len(bills)
	case l.Source == ledger.Reported:
		a.fault("attempt %d of call %s (%s): %+v is said to be reported, and was billed %s", l.Attempt, c.ID, c.Outcome, l, describeBills(bills))
	case l.Cost < cost:
		a.fault("attempt %d of call %s (%s): %+v is less than was billed: %s", l.Attempt, c.ID, c.Outcome, l, describeBills(bills))
	default:
		a.atLeast += len(bills)
	}
}

// callers holds what clients saw against the settlements: whoever has read an answer to its end finds it settled, to the nano-dollar, whatever became of the node after that.
func (a *audit) callers(seen []sight) (whole int) {
	for _, s := range seen {
		if !s.whole {
			continue
		}
		whole++
		list := a.settled[s.id]
		if len(list) != 1 {
			a.fault("a caller has read all of call %s (%+v), which is settled %d times", s.id, s, len(list))
			continue
		}
		at := slices.IndexFunc(list[0].Lines, func(l boughtLine) bool { return l.Attempt == s.winner })
		if at < 0 || list[0].Lines[at].Source != ledger.Reported || list[0].Outcome != ledger.OK {
			a.fault("a caller has read all of call %s (%+v), which is settled as %+v", s.id, s, list[0])
		}
	}
	return whole
}

// usage holds what `decouple usage` sums against the settlements.
func (a *audit) usage(log journal.Reader) {
	a.t.Helper()
	rows, err := ledger.NewView(log).Usage(context.Background(), ledger.Query{By: []ledger.By{ledger.BySource}})
	if err != nil {
		a.t.Fatal(err)
	}
	sums := map[ledger.Source]decouple.Money{}
	for _, r := range rows {
		sums[r.Group.Source] += r.Usage.Cost
	}
	for _, list := range a.settled {
		for _, l := range list[0].Lines {
			sums[l.Source] -= l.Cost
		}
	}
	for source, rest := range sums {
		if rest != 0 {
			a.fault("the usage of source %q is %s beside the settlements", source, rest)
		}
	}
}

// invoice waits until the clouds have no call at work: their invoice grows no more.
func (s *spending) invoice() []sim.Line {
	lines := s.clouds.Invoice()
	for {
		<-time.After(300 * time.Millisecond)
		more := s.clouds.Invoice()
		if len(more) == len(lines) {
			return lines
		}
		lines = more
	}
}

// budgets is how many keys have one.
const budgets = 30

// keys makes a key without a limit, and others with a budget each.
func (s *spending) keys(log registry.KeyLog, budget decouple.Money) {
	s.t.Helper()
	keys := registry.NewKeys(log)
	for n := range 1 + budgets {
		want := registry.Key{Tenant: decouple.LocalTenant, Actor: decouple.Actor{Kind: decouple.ActorService, ID: "shop"}, Role: registry.RoleDeveloper, By: me}
		if n > 0 {
			want.Scope = &registry.Scope{Budgets: []registry.KeyBudget{{Period: "total", USD: budget}}}
		}
		made, bearer, err := keys.Create(s.t.Context(), want)
		if err != nil {
			s.t.Fatal(err)
		}
		if n == 0 {
			s.key = bearer
			continue
		}
		s.tight, s.tightID = append(s.tight, bearer), append(s.tightID, made.ID)
	}
}

// spendLoad is how much is asked: until the time is over, and never less than that.
type spendLoad struct {
	calls   int
	clients int
	length  time.Duration
	every   time.Duration // between two kills
}

// run makes the load while clouds and nodes fail, and then ends the nodes in good order.
func (s *spending) run(l spendLoad, runs func(ctx context.Context)) {
	ctx, stop := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	tasks := []func(context.Context){s.sicken, func(ctx context.Context) { s.trouble(ctx, l.every) }}
	if runs != nil {
		tasks = append(tasks, runs)
	}
	for _, do := range tasks {
		go func() {
			do(ctx)
			done <- struct{}{}
		}()
	}
	began := time.Now()
	for from := 0; from == 0 || time.Since(began) < l.length && !s.t.Failed(); from += l.calls {
		s.round.Store(int64(from / l.calls))
		s.load(ctx, from, l.calls, l.clients)
	}
	stop()
	for range tasks {
		<-done
	}
	s.rest()
	for _, n := range s.nodes {
		n.down(syscall.SIGTERM)
	}
}

// rest spends what is left of the budget at one node, with clouds that are well: ever smaller calls, until there is no room for one of a single token. The other nodes give back what they hold.
func (s *spending) rest() {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	limits, n := []int{200, 200, 20, 1, 1}, 0
	for _, most := range limits {
		for ctx.Err() == nil {
			n++
			seen := s.ask(ctx, *s.nodes[0].at.Load(), wish{n: n, door: "chat", model: "gpt-5.4", said: "long " + strconv.Itoa(n), max: most, tight: true})
			s.seen = append(s.seen, seen)
			if seen.kind == string(decouple.Exhausted) {
				break
			}
		}
		<-time.After(700 * time.Millisecond)
	}
}

// rounds is how many budgets the load has used.
func (s *spending) rounds() int { return min(int(s.round.Load())+1, budgets) }

// budgets checks that none was exceeded, neither by what is settled nor by what was billed, and that the last one was used up.
func (s *spending) budgets(a *audit, budget decouple.Money) (used, billed decouple.Money) {
	for n := range s.rounds() {
		var settled, invoiced decouple.Money
		for id, list := range a.settled {
			if list[0].Key != s.tightID[n] {
				continue
			}
			settled += list[0].USD
			for _, attempt := range a.billed[id] {
				for _, l := range attempt {
					invoiced += l.Amount
				}
			}
		}
		if settled > budget || invoiced > budget {
			s.t.Errorf("of budget %d, %s, %s is settled and %s was billed", n, budget, settled, invoiced)
		}
		if last := n == s.rounds()-1; last && settled < budget-budget/20 {
			s.t.Errorf("of budget %d, %s, only %s could be used, although more was wanted", n, budget, settled)
		}
		used, billed = used+settled, billed+invoiced
	}
	return used, billed
}

// report checks everything and says what was found.
func (s *spending) report(log journal.Reader, budget decouple.Money) {
	s.t.Helper()
	a := newAudit(s.t, s.invoice(), settlements(s.t, log))
	a.all()
	whole := a.callers(s.seen)
	a.usage(log)
	used, billed := s.budgets(a, budget)
	status, kinds := map[int]int{}, map[string]int{}
	for _, v := range s.seen {
		status[v.status]++
		if v.kind != "" {
			kinds[v.kind]++
		}
	}
	s.t.Logf("%d calls of clients (%v %v), %d read to their end, %d settlements, %d kills with %d calls under way", len(s.seen), status, kinds, whole, len(a.settled), s.kills.Load(), a.lost)
	s.t.Logf("%d lines of invoices over %s: %d settled to the nano-dollar, %d at least and marked, %s beyond them; of %d budgets of %s %s is settled, %s was billed", a.lines, a.invoiced, a.exact, a.atLeast, a.over, s.rounds(), budget, used, billed)
	if a.bad > 20 {
		s.t.Errorf("and %d more", a.bad-20)
	}
}

// spendSoak is the load of a test: what `make test` can wait for, or as long as a soak is.
func spendSoak(t *testing.T, calls int) (spendLoad, uint64) {
	length, seed := soaking(t)
	l := spendLoad{calls: calls, clients: 16, every: 900 * time.Millisecond}
	if os.Getenv("DECOUPLE_SOAK") != "" {
		l.length = length
	}
	return l, seed
}

// TestRandomCallsOnThreeNodes makes random calls through three nodes over PostgreSQL while clouds fail, callers hang up and nodes are killed. What is settled equals the clouds' own invoice to
// the nano-dollar for every attempt whose end was seen; for the others it is at least that, and marked. No call is settled twice, none is missing, and the budget that the nodes share is
// neither exceeded, by what is settled or by what was billed, nor left unused.
func TestRandomCallsOnThreeNodes(t *testing.T) {
	t.Parallel()
	load, seed := spendSoak(t, 600)
	url := pgtest.Database(t)
	s := newSpending(t, seed, "--store", url, "--lease", "1s")
	agents := filepath.Join(s.dir, "agents")
	if err := os.Mkdir(agents, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(agents, "talker.md"), []byte("---\nname: talker\ndescription: Talks.\nmodel: any\n---\nYou talk.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = append(s.args, "--agents", agents)
	o := onShared(t, url, agents)
	const budget = decouple.USD / 4
	s.keys(o.store, budget)
	for _, name := range []string{"a", "b", "c"} {
		s.node(name)
	}
	s.run(load, func(ctx context.Context) {
		for n := 0; ctx.Err() == nil; n++ {
			if _, err := o.engine.Start(ctx, engine.Start{Agent: "talker", Task: decouple.Task{Question: spendTexts[n%len(spendTexts)] + " to agent " + strconv.Itoa(n)}}); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
			<-time.After(200 * time.Millisecond)
		}
	})
	s.report(o.store, budget)
}

// ownSpending is one node over SQLite, not started, with a key whose budget is given.
func ownSpending(t *testing.T, seed uint64, budget decouple.Money) *spending {
	t.Helper()
	s := newSpending(t, seed)
	a := &app{name: "decouple", in: strings.NewReader(""), out: os.Stderr, err: newScreen(os.Stderr, os.Getenv), env: func(string) string { return "" }}
	o, err := a.own(t.Context(), filepath.Join(s.dir, "a"), plan{doing: "test"})
	if err != nil {
		t.Fatal(err)
	}
	s.keys(o.store, budget)
	if err := o.close(); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRandomCallsOnOneNode is the same on one node over SQLite.
func TestRandomCallsOnOneNode(t *testing.T) {
	t.Parallel()
	load, seed := spendSoak(t, 300)
	load.clients = 8
	const budget = decouple.USD / 8
	s := ownSpending(t, seed, budget)
	s.node("a")
	s.run(load, nil)
	log, err := sqlite.OpenReader(t.Context(), filepath.Join(s.dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	s.report(log, budget)
}

// TestUsageSurvivesTheLastByte kills a node at the moment in which a caller has read the last byte of an answer: the usage has that call ever after, to the nano-dollar.
func TestUsageSurvivesTheLastByte(t *testing.T) {
	t.Parallel()
	_, seed := soaking(t)
	chance := rand.New(rand.NewPCG(seed, 1<<35))
	s := ownSpending(t, seed, 1000*decouple.USD)
	n := s.node("a")
	for round := range 6 {
		ctx, cancel := context.WithCancel(t.Context())
		left := atomic.Int64{}
		left.Store(1 + chance.Int64N(15))
		s.after = func(v sight) {
			if v.whole && left.Add(-1) == 0 {
				_ = n.cmd.Process.Kill()
				cancel()
			}
		}
		s.load(ctx, 1000*round, 500, 6)
		cancel()
		n.down(os.Kill)
		if err := n.up(); err != nil {
			t.Fatal(err)
		}
	}
	n.down(syscall.SIGTERM)
	log, err := sqlite.OpenReader(t.Context(), filepath.Join(s.dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	a := newAudit(t, s.invoice(), settlements(t, log))
	a.all()
	a.usage(log)
	whole := a.callers(s.seen)
	if whole < 6 {
		t.Errorf("only %d answers were read to their end", whole)
	}
	t.Logf("%d answers were read to their end before one of 6 kills, of %d calls; %d were lost and marked", whole, len(s.seen), a.lost)
}
