package journaltest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// randomCases compare a store with the model over random mutations. A seed that fails is in the name of the test, and replays alone.
func randomCases() []testCase {
	var cases []testCase
	for seed := range uint64(6) {
		cases = append(cases, testCase{fmt.Sprint("seed ", seed), func(f *fixture) {
			(&walk{f: f, w: newModel(f.Epoch()), r: rand.New(rand.NewPCG(seed, 0))}).run()
		}})
	}
	return cases
}

// walk is a random walk of a store and a model side by side.
type walk struct {
	f   *fixture
	w   *model
	r   *rand.Rand
	log []string // what was done, newest last
}

// steps of one walk, and how often the two worlds are compared.
const (
	walkSteps = 350
	walkCheck = 35
)

func (k *walk) run() {
	k.f.t.Cleanup(func() {
		if k.f.t.Failed() {
			k.f.t.Logf("the last steps were:\n%v", k.log[max(0, len(k.log)-12):])
		}
	})
	for i := range walkSteps {
		k.step()
		if i%walkCheck == 0 {
			k.compare()
		}
	}
	k.reopen()
	k.compare()
}

func (k *walk) compare() {
	k.f.t.Helper()
	equal(k.f, "the store against the model", k.f.world(), k.w.world())
}

// step does one thing.
func (k *walk) step() {
	k.f.t.Helper()
	switch n := k.r.IntN(100); {
	case n < 15:
		k.claim()
	case n < 20:
		k.repeat()
	case n < 26:
		k.blob()
	case n < 28:
		k.note("sweep")
		k.f.sweep(0, k.w.sweep())
	case n < 30:
		k.reopen()
	case n < 34:
		k.reclaim()
	case n < 42:
		k.submit(k.onNote())
	case n < 50 || len(k.w.order) == 0:
		k.submit(k.newTree())
	default:
		k.submit(k.onRun())
	}
}

func (k *walk) note(format string, args ...any) {
	k.log = append(k.log, fmt.Sprintf(format, args...)+"\n")
}

// submit commits m, sometimes spoilt, and demands what the model says.
func (k *walk) submit(m journal.Mutation) {
	k.f.t.Helper()
	m.ID = k.f.id()
	k.spoil(&m)
	faults := k.w.faults(m)
	k.note("%s, faults %v", brief(m), faults)
	r, err := k.f.Commit(k.f.ctx(), m)
	switch {
	case len(faults) > 0 && !slices.Contains(faults, decouple.KindOf(err)):
		k.f.t.Fatalf("%s = %+v, %v, want one of %v", brief(m), r, err, faults)
	case len(faults) == 0 && err != nil:
		k.f.t.Fatalf("%s: %v, want it to go through", brief(m), err)
	case len(faults) == 0:
		before := k.w.position
		k.w.apply(m, r)
		if k.w.position > before {
			equal(k.f, "position of the receipt", r.Position, k.w.position)
		}
		equal(k.f, "sequence of the receipt", r.Seq, decouple.Seq(len(k.w.streams[m.Stream])))
	}
}

// brief is a mutation in one line.
func brief(m journal.Mutation) string {
	s := fmt.Sprintf("%s: %s at %d, epoch %d, %d events", m.ID, m.Stream, m.Expect, m.Epoch, len(m.Events))
	for _, n := range m.Create {
		s += fmt.Sprintf(", create %s", n.Run.ID)
	}
	if m.Status != nil {
		s += fmt.Sprintf(", %s seen %d until %d", m.Status.Status, m.Status.Seen, m.Status.Until)
	}
	for _, p := range m.Put {
		s += fmt.Sprintf(", put %s/%s to %s", p.Kind, p.From, p.To)
	}
	return s + fmt.Sprintf(", consume %d, pin %d", m.Consume, len(m.Pin))
}

// spoil gives one mutation in five something that a store must refuse.
func (k *walk) spoil(m *journal.Mutation) {
	switch k.r.IntN(25) {
	case 0:
		m.Expect += decouple.Seq(1 + k.r.IntN(2))
	case 1:
		m.Put = append(m.Put, put("nobody", "joined", "x", `1`))
	case 2:
		m.Pin = append(m.Pin, k.f.address(fmt.Append(nil, "never put ", len(k.log))))
	case 3:
		if m.Epoch != 0 {
			m.Epoch--
		}
	case 4:
		if len(k.w.order) > 0 {
			m.Create = append(m.Create, newRun(k.anyRun()))
		}
	}
	if m.Stream == (decouple.Stream{}) {
		m.Expect, m.Put, m.Pin = 0, nil, nil
	}
}

func (k *walk) anyRun() decouple.RunID { return k.w.order[k.r.IntN(len(k.w.order))] }

func (k *walk) events(most int) []journal.NewEvent {
	var ps []string
	for range k.r.IntN(most + 1) {
		ps = append(ps, fmt.Sprintf(`{"r":%d}`, k.r.IntN(1e9)))
	}
	return events(ps...)
}

func (k *walk) onNote() journal.Mutation {
	s := note(fmt.Sprint("n", k.r.IntN(4)))
	return journal.Mutation{Stream: s, Expect: decouple.Seq(len(k.w.streams[s])), Events: k.events(4), Put: k.puts(""), Pin: k.pins()}
}

func (k *walk) newTree() journal.Mutation {
	var m journal.Mutation
	for i := range 1 + k.r.IntN(3) {
		n := newRun(decouple.RunID(fmt.Sprintf("t%d-%d", len(k.log), i)))
		n.Run.Priority, n.Events = k.r.IntN(4)-1, k.events(3)
		if k.r.IntN(4) == 0 {
			n.Run.IdempotencyKey = fmt.Sprint("key-", k.r.IntN(12))
		}
		m.Create = append(m.Create, n)
	}
	return m
}

// onRun is what the engine does: a step of a run, with children, results and a park or an end.
func (k *walk) onRun() journal.Mutation {
	id := k.anyRun()
	r := k.w.runs[id]
	s := decouple.RunStream(tenant, id)
	if r.row.Status == decouple.RunEnded {
		return k.onNote()
	}
	m := journal.Mutation{Stream: s, Expect: decouple.Seq(len(k.w.streams[s])), Events: k.events(3), Put: k.puts(id), Pin: k.pins()}
	if r.row.Status == decouple.RunRunning {
		m.Epoch = r.row.Epoch
		if k.r.IntN(15) == 0 {
			m.Epoch = 0
		}
	}
	for range k.r.IntN(3) {
		child := newRun(decouple.RunID(fmt.Sprintf("%s.%d", id, 1+len(k.w.order)+len(m.Create))))
		child.Run.Priority = k.r.IntN(4) - 1
		m.Create = append(m.Create, child)
	}
	if k.r.IntN(3) == 0 {
		m.Consume = journal.InboxSeq(k.r.IntN(int(r.row.Inbox) + 1))
	}
	m.Status = k.status(r)
	return m
}

func (k *walk) status(r *modelRun) *journal.StatusChange {
	s := &journal.StatusChange{Steps: k.r.IntN(100), Usage: decouple.Usage{
		TokensIn: k.r.Int64N(1e9), TokensOut: k.r.Int64N(1e9), Cost: decouple.Money(k.r.Int64N(1e9)), Estimated: k.r.IntN(2) == 0,
	}}
	n := k.r.IntN(10)
	switch {
	case n < 2 || r.row.Status != decouple.RunRunning && n < 9:
		return nil
	case n < 3:
		s.Status = decouple.RunReady
	case n < 4:
		s.Status = decouple.RunRunning
	case n < 8:
		s.Status, s.Wait = decouple.RunParked, decouple.Wait{Kind: decouple.WaitChild, For: "somebody"}
		s.Seen = r.row.Inbox
		if k.r.IntN(4) == 0 && s.Seen > 0 {
			s.Seen--
		}
		if k.r.IntN(3) == 0 {
			s.Until = r.row.Inbox + 1 + journal.InboxSeq(k.r.IntN(4))
		}
		if k.r.IntN(4) == 0 {
			s.Wait = decouple.Wait{Kind: decouple.WaitInterrupted}
		}
	default:
		s.Status, s.Cause = decouple.RunEnded, decouple.Cause{Kind: decouple.CauseDone, Why: "all done"}
	}
	if r.row.Status != decouple.RunRunning && s.Status == decouple.RunRunning {
		return nil
	}
	return s
}

// puts are up to two messages for runs other than the sender.
func (k *walk) puts(sender decouple.RunID) []journal.Put {
	var ps []journal.Put
	for range k.r.IntN(3) {
		if len(k.w.order) == 0 {
			break
		}
		if to := k.anyRun(); to != sender {
			p := put(to, []string{"joined", "cancel"}[k.r.IntN(2)], fmt.Sprint("from-", k.r.IntN(6)), fmt.Sprint(k.r.IntN(1e6)))
			p.Urgent = k.r.IntN(8) == 0
			ps = append(ps, p)
		}
	}
	return ps
}

// pins are up to one blob that is there.
func (k *walk) pins() []decouple.BlobID {
	if k.r.IntN(4) > 0 || len(k.w.blobs) == 0 {
		return nil
	}
	var ids []decouple.BlobID
	for id := range k.w.blobs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids[:1]
}

func (k *walk) blob() {
	k.f.t.Helper()
	b := content(k.r.IntN(3000), uint64(k.r.IntN(40)))
	id := k.f.blob(b)
	k.note("blob %s of %d bytes", id, len(b))
	if !k.w.blobs[id] {
		k.w.blobs[id] = false
	}
}

// claim takes a run, if the model says that there is one.
func (k *walk) claim() {
	k.f.t.Helper()
	var root decouple.RunID
	if k.r.IntN(2) == 0 && len(k.w.order) > 0 {
		root = k.anyRun().Root()
	}
	allowed := k.w.next(root)
	if len(allowed) == 0 {
		return
	}
	c, err := k.f.Claim(k.f.ctx(), journal.Want{Root: root})
	k.note("claim of %q gave %s, %v", root, c.Run.ID, err)
	if err != nil || !slices.Contains(allowed, c.Run.ID) {
		k.f.t.Fatalf("Claim(%q) = %s, %v, want one of %v", root, c.Run.ID, err, allowed)
	}
	s := decouple.RunStream(tenant, c.Run.ID)
	want := k.w.claim(c.Run.ID)
	want.Event = k.f.last(s)
	equal(k.f, "the claim", c, want)
	m := journal.Mutation{ID: k.f.id(), Stream: s, Expect: decouple.Seq(len(k.w.streams[s])), Epoch: c.Epoch, Events: numbered(1)}
	k.w.apply(m, k.f.commit(m)) // from here on every store remembers that it is running
}

func (k *walk) reclaim() {
	k.f.t.Helper()
	if len(k.w.order) == 0 {
		return
	}
	root := k.anyRun().Root()
	k.note("reclaim %s", root)
	n, err := k.f.Reclaim(k.f.ctx(), tenant, root)
	if want := k.w.reclaim(root); err != nil || n != want {
		k.f.t.Fatalf("Reclaim(%s) = %d, %v, want %d", root, n, err, want)
	}
}

// repeat submits again what was committed at any time before.
func (k *walk) repeat() {
	k.f.t.Helper()
	if len(k.w.done) == 0 {
		return
	}
	m := k.w.done[k.r.IntN(len(k.w.done))]
	want := k.w.receipts[m.ID]
	want.Repeated = true
	k.note("repeat %s", m.ID)
	equal(k.f, "receipt of a repeated commit", k.f.commit(m), want)
}

func (k *walk) reopen() {
	k.f.t.Helper()
	k.note("reopen")
	k.f.reopen()
	k.w.epoch = k.f.Epoch()
}
