package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/postgres/pgtest"
)

// progAgent runs programs.
const progAgent = `---
name: prog
description: Runs a program.
tools: [http.get, http.put, http.request, http.once, time.sleep]
agents: [prog]
approve:
  - tool: http.request
    when: url contains '/approve/'
  - tool: http.request
    when: url contains '/deny/'
envelope:
  tokens: 2000M
  tool_calls: 2000000
  agents: 2000000
  depth: 8
  children: 20
  steps: 40
  time: 30m
---
Run the program.
`

// operator is who starts programs and decides on what waits for a person.
type operator interface {
	journal.Reader
	Start(ctx context.Context, st engine.Start) (decouple.RunID, error)
	Cancel(ctx context.Context, t decouple.TenantID, id decouple.RunID, why engine.Cancellation) (int, error)
	Decide(ctx context.Context, d engine.Decision) error
	Resolve(ctx context.Context, r engine.Resolution) error
}

// onStore is an operator in this process, over a shared journal.
type onStore struct {
	journal.Reader
	*engine.Engine
}

// fleet is the nodes that run the programs, and what is done to them.
type fleet struct {
	t      *testing.T
	world  *world
	dir    string
	args   []string // of serve, but for those of one node
	log    sync.Mutex
	said   []string
	faults atomic.Int64
}

// member is one node of it, which is started again whenever it ends.
type member struct {
	*fleet
	name string
	n    int // starts
	cmd  *exec.Cmd
}

// up starts a node and waits until it is at work. While the store is down it tries again.
func (m *member) up(ctx context.Context) {
	for try := 0; ctx.Err() == nil; try++ {
		if try == 100 {
			m.t.Errorf("node %s does not start", m.name)
			return
		}
		m.n++
		name := fmt.Sprintf("%s%d", m.name, m.n)
		data := filepath.Join(m.dir, m.name)
		c := exec.Command("decouple", append([]string{"serve", "--data", data, "--node", name, "--listen", "off", "--history", filepath.Join(m.dir, name+".history"), "--agents", filepath.Join(m.dir, "agents"),
			"--model-url", m.world.model.URL + "/v1", "--model", "prog", "--allow-private", "--http-timeout", "1s", "--allow-host", strings.TrimPrefix(m.world.web.URL, "http://")}, m.args...)...)
		c.Env = append(os.Environ(), "OPENAI_API_KEY=", "OPENAI_BASE_URL=")
		errs, err := c.StderrPipe()
		if err != nil {
			m.t.Error(err)
			return
		}
		if err := c.Start(); err != nil {
			m.t.Error(err)
			return
		}
		ready := make(chan bool, 1)
		go func() {
			lines := bufio.NewScanner(errs)
			for lines.Scan() {
				m.log.Lock()
				m.said = append(m.said, name+": "+lines.Text())
				m.log.Unlock()
				if strings.Contains(lines.Text(), " is at work") {
					ready <- true
				}
			}
			_, _ = io.Copy(io.Discard, errs)
			ready <- false
		}()
		if m.cmd = c; <-ready {
			return
		}
		_ = c.Wait()
		<-time.After(100 * time.Millisecond)
	}
}

// down ends a node.
func (m *member) down(how os.Signal) {
	if m.cmd != nil {
		_ = m.cmd.Process.Signal(how)
		_ = m.cmd.Wait()
		m.cmd = nil
	}
}

// trouble does something bad to a node, and makes it good again.
func (m *member) trouble(ctx context.Context, chance *rand.Rand, pause time.Duration) {
	m.faults.Add(1)
	if m.cmd == nil {
		m.up(ctx)
		return
	}
	switch chance.IntN(5) {
	case 0: // in good order
		m.down(syscall.SIGTERM)
	case 1: // it sleeps until its lease is over, and wakes up as an owner of nothing
		_ = m.cmd.Process.Signal(syscall.SIGSTOP)
		<-time.After(pause)
		_ = m.cmd.Process.Signal(syscall.SIGCONT)
		return
	default:
		m.down(os.Kill)
	}
	<-time.After(time.Duration(chance.IntN(300)) * time.Millisecond)
	m.up(ctx)
}

// begun is a program under way.
type begun struct {
	program *program
	id      decouple.RunID
	cancel  bool // it will be canceled at some time
	tokens  int64
}

// play is a round of random programs.
type play struct {
	*fleet
	op     operator
	chance *rand.Rand
	runs   []*begun
	looked int // times that a tree was asked what it waits for
}

// willing does something until the store is there.
func willing(ctx context.Context, do func() error) error {
	for {
		err := do()
		if k := decouple.KindOf(err); err == nil || ctx.Err() != nil || k != decouple.Unavailable && k != decouple.Deadline && k != decouple.Unknown && k != decouple.NotFound {
			return err
		}
		<-time.After(50 * time.Millisecond)
	}
}

// begin starts n programs.
func (p *play) begin(ctx context.Context, seed uint64, n int) {
	p.t.Helper()
	for i := range n {
		room := 6 + p.chance.IntN(20)
		b := &begun{program: newProgram(p.chance, fmt.Sprintf("%d-%d", seed, i), 0, &room), cancel: p.chance.IntN(8) == 0}
		st := engine.Start{Agent: "prog", Task: decouple.Task{Question: "program " + b.program.id + ";"}, Key: b.program.id, By: decouple.Actor{Kind: decouple.ActorService, ID: "starter"}}
		if p.chance.IntN(8) == 0 { // too little to come to its end
			b.tokens = 400 + int64(p.chance.IntN(6000))
			st.Envelope.Tokens = b.tokens
		}
		p.world.add(b.program)
		if err := willing(ctx, func() (err error) { b.id, err = p.op.Start(ctx, st); return err }); err != nil {
			p.t.Fatal(err)
		}
		p.runs = append(p.runs, b)
	}
}

// attend decides on what waits for a person, and cancels what is to be canceled, until every program has ended.
func (p *play) attend(ctx context.Context) error {
	left := map[decouple.RunID]*begun{}
	for _, b := range p.runs {
		left[b.id] = b
	}
	for len(left) > 0 {
		if ctx.Err() != nil {
			return fmt.Errorf("%d programs have not ended: %v", len(left), slices.Collect(maps.Keys(left)))
		}
		for id, b := range left {
			rows, err := p.op.Runs(ctx, journal.RunFilter{Tenant: decouple.LocalTenant, ID: id})
			switch {
			case err != nil || len(rows) != 1:
				continue
			case rows[0].Status == decouple.RunEnded:
				delete(left, id)
			case b.cancel && p.chance.IntN(20) == 0:
				_, _ = p.op.Cancel(ctx, decouple.LocalTenant, id, engine.Cancellation{By: "operator", Why: "by chance"})
			default:
				p.resolve(ctx, id)
				p.awake(ctx, id)
			}
		}
		p.decide(ctx)
		<-time.After(50 * time.Millisecond)
	}
	return nil
}

var operatorActor = decouple.Actor{Kind: decouple.ActorPerson, ID: "operator"}

// decide says yes or no to what waits for approval. What fails is tried again.
func (p *play) decide(ctx context.Context) {
	list, err := engine.Approvals(ctx, p.op, decouple.LocalTenant, "")
	if err != nil {
		return
	}
	for _, a := range list {
		_ = p.op.Decide(ctx, engine.Decision{Tenant: decouple.LocalTenant, Run: a.Run, Call: a.Call, Approve: !strings.Contains(string(a.Args), "/deny/"), By: operatorActor})
	}
}

// awake demands that everything in a tree that waits is waited for by something that will wake it: what is named stuck is a fault, but for want of a node.
func (p *play) awake(ctx context.Context, id decouple.RunID) {
	why, err := engine.Explain(ctx, p.op, decouple.LocalTenant, id)
	if err != nil {
		return
	}
	p.looked++
	for _, w := range why {
		if w.Stuck && w.Status == decouple.RunParked && w.Wait != decouple.WaitInterrupted {
			p.t.Errorf("run %s waits for %s since %v, and nothing will ever wake it", w.Run, w.For, w.Since)
		}
	}
}

// late is how long after its beginning a call that has not happened never will.
const late = 500 * time.Millisecond

// resolve says what became of calls whose outcome nobody knows.
func (p *play) resolve(ctx context.Context, id decouple.RunID) {
	list, err := engine.Effects(ctx, p.op, decouple.LocalTenant, id)
	if err != nil {
		return
	}
	for _, e := range list {
		if e.State != engine.EffectUnknown {
			continue
		}
		_, counter, _ := strings.Cut(string(e.Args), "/"+string(opBlind)+"/")
		if _, rest, ok := strings.Cut(string(e.Args), "/"+string(opOnce)+"/"); ok {
			counter = rest
		}
		counter, _, _ = strings.Cut(counter, "?")
		r := engine.Resolution{Tenant: decouple.LocalTenant, Run: e.Run, Call: e.Call, Why: "looked", By: operatorActor}
		if yes, v := p.world.happened(counter); yes {
			r.Text = fmt.Sprintf("value=%d;", v)
		} else if r.Redo = true; time.Since(e.Started) < late {
			continue // a request may still be on its way
		}
		_ = p.op.Resolve(ctx, r)
	}
}

// judge holds what came of the programs against their models.
func (p *play) judge(ctx context.Context) {
	p.t.Helper()
	ended := map[decouple.CauseKind]int{}
	for _, b := range p.runs {
		s, err := engine.Load(ctx, p.op, decouple.LocalTenant, b.id)
		if err != nil {
			p.t.Errorf("run %s: %v", b.id, err)
			continue
		}
		ended[s.Cause.Kind]++
		whole := s.Cause.Kind == decouple.CauseDone
		switch {
		case whole && b.tokens == 0 && brought(s.Answer) != b.program.want():
			p.t.Errorf("program %s, run %s: the result is %q, want value=%d", b.program.id, b.id, s.Answer, b.program.want())
		case !whole && !(b.cancel && s.Cause.Kind == decouple.CauseCanceled) && !(b.tokens > 0 && s.Cause.Kind == decouple.CauseExhausted):
			p.t.Errorf("program %s, run %s: it ended %s (%s)", b.program.id, b.id, s.Cause.Kind, s.Cause.Why)
		}
		for _, fault := range p.world.wrong(b.program, whole && b.tokens == 0) {
			p.t.Errorf("program %s, run %s: %s", b.program.id, b.id, fault)
		}
		if used := s.Used(); used.Tokens > s.Envelope.Tokens || used.ToolCalls > s.Envelope.ToolCalls || used.Agents > s.Envelope.Agents {
			p.t.Errorf("program %s, run %s: used %+v of %+v", b.program.id, b.id, used, s.Envelope)
		}
		rows, err := p.op.Runs(ctx, journal.RunFilter{Tenant: decouple.LocalTenant, Root: b.id})
		if err != nil {
			p.t.Error(err)
		}
		sum := int64(0)
		for _, r := range rows {
			sum += r.Usage.TokensIn + r.Usage.TokensOut
			if r.Status != decouple.RunEnded {
				p.t.Errorf("program %s has ended and run %s under it is %s", b.program.id, r.ID, r.Status)
			}
		}
		if sum > s.Envelope.Tokens {
			p.t.Errorf("program %s: its runs used %d tokens of %d", b.program.id, sum, s.Envelope.Tokens)
		}
	}
	p.t.Logf("%d programs ended: %v, after %d faults; %d times a tree was looked at, and nothing in it waited for nothing", len(p.runs), ended, p.faults.Load(), p.looked)
}

// history holds the nodes' own logs against the journal: nobody was told that a commit is durable which is not there, no sequence has a gap, and no run was worked on
// under one lease by two nodes, or under an earlier lease after a later one had it.
func (p *play) history(ctx context.Context) {
	p.t.Helper()
	files, err := filepath.Glob(filepath.Join(p.dir, "*.history"))
	if err != nil || len(files) == 0 {
		p.t.Fatalf("no logs: %v", err)
	}
	h := nodeLogs{owner: map[journal.Epoch]string{}, claimed: map[decouple.Stream][]recordLine{}, written: map[decouple.Stream][]recordLine{}}
	for _, f := range files {
		if err := h.read(f); err != nil {
			p.t.Error(err)
		}
	}
	commits := 0
	for stream, lines := range h.written {
		commits += len(lines)
		events, err := p.op.Read(ctx, stream, 0, 0)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, fault := range h.faults(stream, events) {
			p.t.Errorf("%s: %s", stream, fault)
		}
	}
	p.t.Logf("%d streams and %d acknowledged commits of %d nodes agree with the journal", len(h.written), commits, len(files))
}

// nodeLogs is what the nodes say that they were told.
type nodeLogs struct {
	owner            map[journal.Epoch]string // log by lease
	claimed, written map[decouple.Stream][]recordLine
}

// read reads one node's log.
func (h nodeLogs) read(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		var l recordLine
		if json.Unmarshal([]byte(line), &l) != nil {
			continue // the last one, of a node that was killed
		}
		if l.Did == "commit" {
			h.written[l.Stream] = append(h.written[l.Stream], l)
			continue
		}
		if by, ok := h.owner[l.Epoch]; ok && by != file {
			return fmt.Errorf("lease %d was held by %s and %s", l.Epoch, by, file)
		}
		h.owner[l.Epoch] = file
		h.claimed[l.Stream] = append(h.claimed[l.Stream], l)
	}
	return nil
}

// faults says what of a stream cannot be.
func (h nodeLogs) faults(stream decouple.Stream, events []decouple.Event) (out []string) {
	fault := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for i, e := range events {
		if e.Seq != decouple.Seq(i+1) {
			fault("event %d is in place %d", e.Seq, i+1)
		}
	}
	lines := h.written[stream]
	slices.SortFunc(lines, func(a, b recordLine) int { return int(a.Seq - b.Seq) })
	last, by := decouple.Seq(0), map[decouple.Seq]journal.Epoch{}
	for _, l := range lines {
		switch {
		case int(l.Seq) > len(events):
			fault("event %d was acknowledged and is not there", l.Seq)
			continue
		case events[l.Seq-1].ID != l.Event || events[l.Seq-1].Commit != l.Commit:
			fault("event %d is %s of commit %s, and %s of %s was acknowledged", l.Seq, events[l.Seq-1].ID, events[l.Seq-1].Commit, l.Event, l.Commit)
		case l.Seq-decouple.Seq(l.Events) < last:
			fault("event %d was acknowledged twice", l.Seq)
		}
		last = l.Seq
		for s := l.Seq - decouple.Seq(l.Events) + 1; s <= l.Seq; s++ {
			by[s] = l.Epoch
		}
	}
	for _, l := range lines {
		before := l.Seq - decouple.Seq(l.Events)
		if l.Epoch == 0 {
			continue // of somebody without a lease
		}
		from := decouple.Seq(-1) // where its lease was given the run
		for _, c := range h.claimed[stream] {
			if c.Epoch == l.Epoch && c.Seq <= before {
				from = max(from, c.Seq)
			}
		}
		if from < 0 {
			fault("event %d was written under lease %d, which was never given the run", l.Seq, l.Epoch)
		}
		for s := from + 1; s <= before && from >= 0; s++ {
			if e := by[s]; e != 0 && e != l.Epoch {
				fault("event %d was written under lease %d, and event %d, after that lease was given the run, under lease %d", l.Seq, l.Epoch, s, e)
			}
		}
	}
	return out
}

// soaking says how long random programs are run, and from which seed.
func soaking(t *testing.T) (length time.Duration, seed uint64) {
	length, seed = 5*time.Second, uint64(time.Now().UnixNano())
	if d, err := time.ParseDuration(os.Getenv("DECOUPLE_SOAK")); err == nil {
		length = d
	}
	if n, err := strconv.ParseUint(os.Getenv("DECOUPLE_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("seed %d: again with DECOUPLE_SEED=%d", seed, seed)
	return length, seed
}

func newFleet(t *testing.T, seed uint64, args ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, world: newWorld(seed), dir: t.TempDir(), args: args}
	t.Cleanup(f.world.close)
	if err := os.MkdirAll(filepath.Join(f.dir, "agents"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "agents", "prog.md"), []byte(progAgent), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			f.log.Lock()
			defer f.log.Unlock()
			t.Logf("the nodes said, at last:\n%s", strings.Join(f.said[max(0, len(f.said)-60):], "\n"))
		}
	})
	return f
}

// rounds plays rounds of programs while bad things happen, until the time is over.
func (f *fleet) rounds(op operator, length time.Duration, seed uint64, trouble func(ctx context.Context, chance *rand.Rand)) {
	f.t.Helper()
	until := time.Now().Add(length)
	for round := uint64(0); round == 0 || time.Now().Before(until); round++ {
		ctx, cancel := context.WithTimeout(f.t.Context(), roundTime)
		p := &play{fleet: f, op: op, chance: rand.New(rand.NewPCG(seed, 2+round))}
		bad, stop := context.WithCancel(ctx)
		var work sync.WaitGroup
		work.Go(func() {
			chance := rand.New(rand.NewPCG(seed, 1<<32+round))
			for bad.Err() == nil {
				select {
				case <-bad.Done():
				case <-time.After(time.Duration(200+chance.IntN(1200)) * time.Millisecond):
					trouble(ctx, chance)
				}
			}
		})
		p.begin(ctx, seed+round, 8)
		err := p.attend(ctx)
		stop()
		work.Wait()
		if err != nil {
			f.t.Error(err)
			f.explain(op, p)
			cancel()
			return
		}
		p.judge(ctx)
		p.history(ctx)
		cancel()
		if f.t.Failed() {
			return
		}
	}
}

// explain says what programs that did not end wait for.
func (f *fleet) explain(op operator, p *play) {
	for _, b := range p.runs {
		why, err := engine.Explain(context.WithoutCancel(f.t.Context()), op, decouple.LocalTenant, b.id)
		for _, w := range why {
			f.t.Logf("%+v", w)
		}
		if err != nil {
			f.t.Log(err)
		}
	}
}

// TestRandomProgramsOnAFleet runs random programs on three nodes over PostgreSQL under kill -9, suspended nodes, cut connections and restarts of the server.
func TestRandomProgramsOnAFleet(t *testing.T) {
	t.Parallel()
	length, seed := soaking(t)
	dir, err := os.MkdirTemp("", "dcpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := pgtest.Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	url, err := server.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, seed, "--store", url, "--lease", "1s")
	o := onShared(t, url, filepath.Join(f.dir, "agents"))
	var nodes []*member
	for _, name := range []string{"a", "b", "c"} {
		m := &member{fleet: f, name: name}
		m.up(t.Context())
		t.Cleanup(func() { m.down(os.Kill) })
		nodes = append(nodes, m)
	}
	f.rounds(onStore{o.store, o.engine}, length, seed, func(ctx context.Context, chance *rand.Rand) {
		switch chance.IntN(8) {
		case 0:
			f.faults.Add(1)
			if err := server.Restart(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		case 1, 2:
			f.faults.Add(1)
			_ = server.Cut(ctx)
		default:
			nodes[chance.IntN(len(nodes))].trouble(ctx, chance, 2500*time.Millisecond)
		}
	})
}

// TestRandomProgramsOnOneNode runs random programs on one node over SQLite under kill -9 and a suspended node.
func TestRandomProgramsOnOneNode(t *testing.T) {
	t.Parallel()
	length, seed := soaking(t)
	f := newFleet(t, seed)
	m := &member{fleet: f, name: "a"}
	m.up(t.Context())
	t.Cleanup(func() { m.down(os.Kill) })
	f.rounds(&redialing{dir: filepath.Join(f.dir, "a")}, length, seed, func(ctx context.Context, chance *rand.Rand) {
		m.trouble(ctx, chance, 300*time.Millisecond)
	})
}

// redialing is an operator through the socket of whoever owns a data folder at the time.
type redialing struct{ dir string }

func reached[T any](ctx context.Context, r *redialing, do func(*api.Client) (T, error)) (T, error) {
	c, err := api.Dial(ctx, r.dir)
	if err != nil {
		var none T
		return none, decouple.Errorf(decouple.Unavailable, "%w", err)
	}
	defer func() { _ = c.Close() }()
	return do(c)
}

func (r *redialing) Start(ctx context.Context, st engine.Start) (decouple.RunID, error) {
	return reached(ctx, r, func(c *api.Client) (decouple.RunID, error) { return c.Start(ctx, st) })
}

func (r *redialing) Cancel(ctx context.Context, t decouple.TenantID, id decouple.RunID, why engine.Cancellation) (int, error) {
	return reached(ctx, r, func(c *api.Client) (int, error) { return c.Cancel(ctx, t, id, why) })
}

func (r *redialing) Decide(ctx context.Context, d engine.Decision) error {
	_, err := reached(ctx, r, func(c *api.Client) (int, error) { return 0, c.Decide(ctx, d) })
	return err
}

func (r *redialing) Resolve(ctx context.Context, d engine.Resolution) error {
	_, err := reached(ctx, r, func(c *api.Client) (int, error) { return 0, c.Resolve(ctx, d) })
	return err
}

func (r *redialing) Read(ctx context.Context, s decouple.Stream, after decouple.Seq, limit int) ([]decouple.Event, error) {
	return reached(ctx, r, func(c *api.Client) ([]decouple.Event, error) { return c.Read(ctx, s, after, limit) })
}

func (r *redialing) Follow(context.Context, decouple.Position, func(decouple.Event) error) error {
	return decouple.Errorf(decouple.Internal, "nobody follows here")
}

func (r *redialing) Scan(ctx context.Context, f journal.Filter) ([]decouple.Event, error) {
	return reached(ctx, r, func(c *api.Client) ([]decouple.Event, error) { return c.Scan(ctx, f) })
}

func (r *redialing) Head(ctx context.Context) (decouple.Position, error) {
	return reached(ctx, r, func(c *api.Client) (decouple.Position, error) { return c.Head(ctx) })
}

func (r *redialing) Runs(ctx context.Context, f journal.RunFilter) ([]journal.RunRow, error) {
	return reached(ctx, r, func(c *api.Client) ([]journal.RunRow, error) { return c.Runs(ctx, f) })
}

func (r *redialing) Nodes(ctx context.Context) ([]journal.Node, error) {
	return reached(ctx, r, func(c *api.Client) ([]journal.Node, error) { return c.Nodes(ctx) })
}

func (r *redialing) Inbox(ctx context.Context, t decouple.TenantID, id decouple.RunID) ([]journal.Message, error) {
	return reached(ctx, r, func(c *api.Client) ([]journal.Message, error) { return c.Inbox(ctx, t, id) })
}

func (r *redialing) GetBlob(ctx context.Context, t decouple.TenantID, id decouple.BlobID) (io.ReadCloser, error) {
	return reached(ctx, r, func(c *api.Client) (io.ReadCloser, error) {
		body, err := c.GetBlob(ctx, t, id)
		if err != nil {
			return nil, err
		}
		defer func() { _ = body.Close() }()
		b, err := io.ReadAll(body)
		return io.NopCloser(strings.NewReader(string(b))), err
	})
}

// roundTime bounds a round: what has not ended by then never will.
const roundTime = 2 * time.Minute

// TestServerFailover kills a primary server of PostgreSQL while random programs run, and promotes its synchronous standby: nothing that was acknowledged is lost, and
// the programs go on and come to their results.
func TestServerFailover(t *testing.T) {
	t.Parallel()
	_, seed := soaking(t)
	dir, err := os.MkdirTemp("", "dcpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, sub := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	primary, err := pgtest.Start(t.Context(), filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(primary.Stop)
	standby, err := primary.Standby(t.Context(), filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standby.Stop)
	url, err := primary.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Both servers are in the address; a client takes the one that can be written.
	url = strings.Replace(url, primary.Addr(), primary.Addr()+","+standby.Addr(), 1)
	sep := "?"
	if strings.Contains(url, "?") {
		sep = "&"
	}
	url += sep + "target_session_attrs=read-write"
	f := newFleet(t, seed, "--store", url, "--lease", "1s")
	o := onShared(t, url, filepath.Join(f.dir, "agents"))
	for _, name := range []string{"a", "b"} {
		m := &member{fleet: f, name: name}
		m.up(t.Context())
		t.Cleanup(func() { m.down(os.Kill) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), roundTime)
	defer cancel()
	p := &play{fleet: f, op: onStore{o.store, o.engine}, chance: rand.New(rand.NewPCG(seed, 7))}
	p.begin(ctx, seed, 8)
	<-time.After(700 * time.Millisecond)
	before, err := o.store.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	primary.Kill()
	killed := time.Now()
	if err := standby.Promote(ctx); err != nil {
		t.Fatal(err)
	}
	promoted := time.Now()
	for {
		if head, err := o.store.Head(ctx); err == nil && head > before {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("nothing was committed after the standby was promoted")
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Logf("the primary was killed; promoting the standby took %v, and %v after that the fleet committed again", promoted.Sub(killed).Round(time.Millisecond), time.Since(promoted).Round(time.Millisecond))
	if err := p.attend(ctx); err != nil {
		t.Error(err)
		f.explain(p.op, p)
		return
	}
	p.judge(ctx)
	p.history(ctx)
}
