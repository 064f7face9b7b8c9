package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/postgres"
	"decouple.dev/decouple/journal/postgres/pgtest"
)

const tenant = decouple.LocalTenant

func open(t *testing.T, url string, more func(*postgres.Config)) *postgres.Store {
	t.Helper()
	cfg := postgres.Config{URL: url, Fleet: true, Lease: time.Second, Node: journal.NodeSpec{Workers: 4}}
	if more != nil {
		more(&cfg)
	}
	s, err := postgres.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func named(id decouple.NodeID) func(*postgres.Config) {
	return func(c *postgres.Config) { c.Node.ID = id }
}

func newRun(id decouple.RunID) journal.NewRun {
	return journal.NewRun{Run: decouple.Run{ID: id, Tenant: tenant, Parent: id.Parent(), Root: id.Root(), Agent: "a", Version: "v"}, Events: []journal.NewEvent{event(0)}}
}

func event(n int) journal.NewEvent {
	return journal.NewEvent{Kind: "test.happened", KindVersion: 1, Payload: []byte(fmt.Sprint(n))}
}

var ids atomic.Int64

func commit(t *testing.T, s journal.Log, m journal.Mutation) journal.Receipt {
	t.Helper()
	if m.ID == "" {
		m.ID = decouple.CommitID(fmt.Sprint("c", ids.Add(1)))
	}
	r, err := s.Commit(context.Background(), m)
	if err != nil {
		t.Fatalf("commit of %s: %v", m.Stream, err)
	}
	return r
}

func claim(t *testing.T, s journal.Queue, w journal.Want) journal.Claim {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := s.Claim(ctx, w)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ending(c journal.Claim) journal.Mutation {
	return journal.Mutation{
		Stream: decouple.RunStream(tenant, c.Run.ID), Expect: c.Seq, Epoch: c.Epoch, Events: []journal.NewEvent{event(1)},
		Status: &journal.StatusChange{Status: decouple.RunEnded, Cause: decouple.Cause{Kind: decouple.CauseDone}},
	}
}

// TestNodesShareWork has two nodes take 300 runs that one of them made: each is claimed once, and both get some.
func TestNodesShareWork(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	nodes := []*postgres.Store{open(t, url, named("a")), open(t, url, named("b"))}
	const runs = 300
	var mu sync.Mutex
	got := map[decouple.RunID]int{}
	took := map[int]int{}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for {
				c, err := nodes[i%2].Claim(ctx, journal.Want{})
				if err != nil {
					return
				}
				m := ending(c)
				m.ID = decouple.CommitID("end/" + string(c.Run.ID))
				if _, err := nodes[i%2].Commit(context.Background(), m); err != nil {
					t.Errorf("%s: %v", c.Run.ID, err)
				}
				mu.Lock()
				got[c.Run.ID]++
				took[i%2]++
				done := len(got) == runs
				mu.Unlock()
				if done {
					cancel()
				}
			}
		})
	}
	for i := range runs / 10 {
		m := journal.Mutation{}
		for k := range 10 {
			m.Create = append(m.Create, newRun(decouple.RunID(fmt.Sprintf("r%d-%d", i, k))))
		}
		commit(t, nodes[0], m)
	}
	wg.Wait()
	if len(got) != runs || took[1] == 0 || took[0] == 0 {
		t.Errorf("%d of %d runs were claimed, by the nodes %v", len(got), runs, took)
	}
	for id, n := range got {
		if n != 1 {
			t.Errorf("run %s was claimed %d times", id, n)
		}
	}
}

// TestNodesWakeAndPoke wakes a run by a message from the other node, and tells the node that works on it of an urgent one.
func TestNodesWakeAndPoke(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	a, b := open(t, url, named("a")), open(t, url, named("b"))
	poked := make(chan decouple.RunID, 1)
	b.Urgent(func(id decouple.RunID) { poked <- id })
	commit(t, a, journal.Mutation{Create: []journal.NewRun{newRun("r")}})
	c := claim(t, b, journal.Want{})
	commit(t, b, journal.Mutation{Stream: decouple.RunStream(tenant, "r"), Expect: 1, Epoch: c.Epoch, Status: &journal.StatusChange{
		Status: decouple.RunParked, Wait: decouple.Wait{Kind: decouple.WaitChild, For: "x"}, Until: 2}})
	put := func(s journal.Log, from string, urgent bool) {
		commit(t, s, journal.Mutation{Stream: decouple.RunStream(tenant, "r"), Put: []journal.Put{{To: "r", Kind: "k", From: from, Body: []byte("1"), Urgent: urgent}}})
	}
	put(a, "1", false)
	put(a, "2", false)
	if c = claim(t, b, journal.Want{}); c.Run.ID != "r" || c.Inbox != 2 {
		t.Fatalf("claimed %+v", c)
	}
	put(a, "3", true)
	select {
	case id := <-poked:
		if id != "r" {
			t.Errorf("poked for %s", id)
		}
	case <-time.After(20 * time.Second):
		t.Error("the node that works on the run does not hear of an urgent message")
	}
}

// TestLeaseLost cuts a node off: it stops acting by itself before the server gives its runs to another, it can write nothing afterwards, and then it goes on under a new lease.
func TestLeaseLost(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	p := newProxy(t, url)
	b := open(t, url, named("b"))
	a := open(t, p.url, func(c *postgres.Config) { c.Node.ID, c.Patience = "a", time.Minute })
	commit(t, b, journal.Mutation{Create: []journal.NewRun{newRun("r")}})
	c := claim(t, a, journal.Want{Root: "r"})
	commit(t, a, journal.Mutation{Stream: decouple.RunStream(tenant, "r"), Expect: 1, Epoch: c.Epoch, Events: []journal.NewEvent{event(1)}})
	if !a.Holds(c.Epoch) {
		t.Fatal("a fresh lease is not held")
	}
	p.cut()
	began := time.Now()
	select {
	case <-c.Lost:
	case <-time.After(10 * time.Second):
		t.Fatal("a node that is cut off goes on acting")
	}
	if a.Holds(c.Epoch) {
		t.Error("a lost lease is held")
	}
	again := claim(t, b, journal.Want{Root: "r"})
	if took := time.Since(began); !again.Left || again.Epoch == c.Epoch || took > 3*time.Second {
		t.Errorf("the run came back after %v as %+v", took, again)
	}
	p.mend()
	m := ending(c)
	m.ID, m.Expect = "stale", 2
	if _, err := a.Commit(t.Context(), m); decouple.KindOf(err) != decouple.Conflict {
		t.Errorf("a commit under a lost lease: %v", err)
	}
	again.Seq = 2
	commit(t, b, ending(again))
	commit(t, b, journal.Mutation{Create: []journal.NewRun{newRun("s")}})
	if next := claim(t, a, journal.Want{Root: "s"}); next.Epoch <= c.Epoch || !a.Holds(next.Epoch) {
		t.Errorf("the node does not go on under a new lease: %+v", next)
	}
}

// proxy stands between a node and the server, and can be cut.
type proxy struct {
	url   string
	to    string
	mu    sync.Mutex
	conns []net.Conn
	down  bool
}

func newProxy(t *testing.T, url string) *proxy {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	to := fmt.Sprintf("%s:%d", cfg.Host, cfg.Port)
	p := &proxy{url: strings.Replace(url, to, l.Addr().String(), 1), to: to}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.carry(c)
		}
	}()
	return p
}

func (p *proxy) carry(c net.Conn) {
	defer c.Close()
	p.mu.Lock()
	if p.down {
		p.mu.Unlock()
		return
	}
	d, err := net.Dial("tcp", p.to)
	if err == nil {
		p.conns = append(p.conns, c, d)
	}
	p.mu.Unlock()
	if err != nil {
		return
	}
	defer d.Close()
	go func() { _, _ = io.Copy(d, c); d.Close() }()
	_, _ = io.Copy(c, d)
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// TestFollowMany has eight writers on two nodes, and a follower on each: both see every position once and in order.
func TestFollowMany(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	nodes := []*postgres.Store{open(t, url, nil), open(t, url, nil)}
	const writers, each = 8, 60
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				commit(t, nodes[w%2], journal.Mutation{
					ID:     decouple.CommitID(fmt.Sprintf("f/%d/%d", w, i)),
					Stream: decouple.Stream{Tenant: tenant, Kind: decouple.StreamNote, ID: fmt.Sprint(w)}, Expect: decouple.Seq(i), Events: []journal.NewEvent{event(i)},
				})
			}
		})
	}
	errAll := errors.New("all")
	for _, n := range nodes {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			var last decouple.Position
			err := n.Follow(ctx, 0, func(e decouple.Event) error {
				if e.Position != last+1 {
					t.Errorf("position %d after %d", e.Position, last)
				}
				if last = e.Position; last == writers*each {
					return errAll
				}
				return nil
			})
			if !errors.Is(err, errAll) {
				t.Errorf("a follower saw %d of %d: %v", last, writers*each, err)
			}
		})
	}
	wg.Wait()
}

// TestRestart restarts, and then kills, the server under load: every commit that was submitted happens once, and no reader fails once the server is back.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "pgrestart")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	server, err := pgtest.Start(t.Context(), filepath.Join(dir, "own"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	url, err := server.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, url, func(c *postgres.Config) { c.Lease = 30 * time.Second })
	const writers = 6
	var stop atomic.Bool
	var counts [writers]int
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				commit(t, s, journal.Mutation{
					ID:     decouple.CommitID(fmt.Sprintf("w/%d/%d", w, i)),
					Stream: decouple.Stream{Tenant: tenant, Kind: decouple.StreamNote, ID: fmt.Sprint(w)}, Expect: decouple.Seq(i), Events: []journal.NewEvent{event(i)},
				})
				counts[w]++
			}
		})
	}
	for i := range 3 {
		if i == 1 {
			err = server.Restart(t.Context())
		} else {
			server.Kill()
			err = server.Up(t.Context())
		}
		if err != nil {
			t.Error(err)
		}
		var readers sync.WaitGroup // the pool's connections are dead, and no reader is to notice
		for range 2 * writers {
			readers.Go(func() {
				if _, err := s.Head(t.Context()); err != nil {
					t.Errorf("a reader after restart %d: %v", i, err)
				}
			})
		}
		readers.Wait()
		commit(t, s, journal.Mutation{Stream: decouple.Stream{Tenant: tenant, Kind: decouple.StreamNote, ID: fmt.Sprint("round", i)}, Events: []journal.NewEvent{event(i)}})
	}
	stop.Store(true)
	wg.Wait()
	for w, n := range counts {
		events, err := s.Read(t.Context(), decouple.Stream{Tenant: tenant, Kind: decouple.StreamNote, ID: fmt.Sprint(w)}, 0, 0)
		if err != nil || len(events) != n || n == 0 {
			t.Errorf("writer %d was told of %d commits, and %d are there: %v", w, n, len(events), err)
		}
	}
}

// TestOpenTogether has eight nodes make the schema at the same moment.
func TestOpenTogether(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	var wg sync.WaitGroup
	epochs := make(chan journal.Epoch, 8)
	for range 8 {
		wg.Go(func() {
			s, err := postgres.Open(context.Background(), postgres.Config{URL: url})
			if err != nil {
				t.Error(err)
				return
			}
			epochs <- s.Epoch()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(epochs)
	seen := map[journal.Epoch]bool{}
	for e := range epochs {
		if e == 0 || seen[e] {
			t.Errorf("the lease %d was given twice, or none", e)
		}
		seen[e] = true
	}
}

// TestFairShares has a run of one come to its turn while a tree of hundreds is ready, and two tenants share.
func TestFairShares(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.Database(t), func(c *postgres.Config) { c.Node.Workers = 1 })
	m := journal.Mutation{}
	for i := range 300 {
		m.Create = append(m.Create, newRun(decouple.RunID(fmt.Sprintf("big.%d", i+1))))
	}
	commit(t, s, m)
	for range 5 {
		claim(t, s, journal.Want{})
	}
	other := newRun("theirs")
	other.Run.Tenant = "acme"
	commit(t, s, journal.Mutation{Create: []journal.NewRun{newRun("small"), other}})
	seen := map[decouple.RunID]int{}
	for i := range 6 {
		seen[claim(t, s, journal.Want{}).Run.ID] = i + 1
	}
	if seen["small"] == 0 || seen["theirs"] == 0 {
		t.Errorf("after six claims the small run and the other tenant's had none: %v", seen)
	}
}

// TestSites gives each node only what may execute where it is.
func TestSites(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	site := func(cloud, region string, labels ...string) func(*postgres.Config) {
		return func(c *postgres.Config) { c.Node.Site = decouple.Site{Cloud: cloud, Region: region, Labels: labels} }
	}
	a, b := open(t, url, site("aws", "eu-central-1", "gpu", "own")), open(t, url, site("gcp", "europe-west3"))
	var m journal.Mutation
	for id, s := range map[decouple.RunID]decouple.Site{"cloud": {Cloud: "gcp"}, "label": {Labels: []string{"gpu"}}, "both": {Cloud: "aws", Region: "eu-central-1", Labels: []string{"own", "gpu"}}} {
		r := newRun(id)
		r.Run.Site = s
		m.Create = append(m.Create, r)
	}
	commit(t, a, m)
	for id, n := range map[decouple.RunID]*postgres.Store{"cloud": b, "label": a, "both": a} {
		if c := claim(t, n, journal.Want{Root: id}); c.Run.ID != id {
			t.Errorf("claimed %s, want %s", c.Run.ID, id)
		}
	}
	nodes, err := a.Nodes(t.Context())
	if err != nil || len(nodes) != 2 || !nodes[0].Alive || nodes[0].Site.Cloud != "aws" || nodes[0].Running != 2 || nodes[1].Running != 1 {
		t.Errorf("the nodes are %+v, %v", nodes, err)
	}
}

// TestBadAddresses says what is wrong with an address, and never its password.
func TestBadAddresses(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	for url, kind := range map[string]decouple.Kind{
		"nonsense://x":                        decouple.Invalid,
		server.URL("missing"):                 decouple.NotFound,
		"postgres://u:secret@127.0.0.1:1/d":   decouple.Unavailable,
		"postgres://u:secret@127.0.0.1:bad/d": decouple.Invalid,
	} {
		_, err := postgres.Open(t.Context(), postgres.Config{URL: url})
		if decouple.KindOf(err) != kind || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: %v (kind %s), want %s", url, err, decouple.KindOf(err), kind)
		}
	}
}
