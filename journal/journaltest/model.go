package journaltest

import (
	"slices"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// model is the contract in memory: what a store must have done after a list of mutations. It says nothing where the contract says nothing, so
// whoever feeds it keeps to mutations whose outcome is laid down.
type model struct {
	epoch    journal.Epoch
	position decouple.Position
	streams  map[decouple.Stream][]string
	runs     map[decouple.RunID]*modelRun
	order    []decouple.RunID
	keys     map[string]bool
	blobs    map[decouple.BlobID]bool // pinned or not
	receipts map[decouple.CommitID]journal.Receipt
	done     []journal.Mutation
}

// modelRun is a run of the model. Its inbox holds all messages, consumed ones too.
type modelRun struct {
	row      journal.RunRow
	inbox    []journal.Message
	consumed journal.InboxSeq
	until    journal.InboxSeq
	left     bool
}

func newModel(e journal.Epoch) *model {
	return &model{
		epoch: e, streams: map[decouple.Stream][]string{}, runs: map[decouple.RunID]*modelRun{}, keys: map[string]bool{},
		blobs: map[decouple.BlobID]bool{}, receipts: map[decouple.CommitID]journal.Receipt{},
	}
}

// run is the run whose stream s is, if there is one.
func (w *model) run(s decouple.Stream) *modelRun {
	if s.Kind != decouple.StreamRun {
		return nil
	}
	return w.runs[decouple.RunID(s.ID)]
}

// faults are the kinds of error for which m may be refused; none means that it must go through.
func (w *model) faults(m journal.Mutation) []decouple.Kind {
	var ks []decouple.Kind
	fault := func(is bool, k decouple.Kind) {
		if is {
			ks = append(ks, k)
		}
	}
	if m.Stream != (decouple.Stream{}) {
		fault(m.Expect != decouple.Seq(len(w.streams[m.Stream])), decouple.Conflict)
	}
	fault(m.Epoch != 0 && m.Epoch != w.epoch, decouple.Conflict)
	if r := w.run(m.Stream); r != nil {
		touches := len(m.Events) > 0 || m.Status != nil || m.Consume > 0
		fault(touches && r.row.Status == decouple.RunRunning && r.row.Epoch != m.Epoch, decouple.Conflict)
		fault(m.Status != nil && m.Status.Status == decouple.RunParked && r.row.Inbox > m.Status.Seen, decouple.Conflict)
	}
	made, keys := map[decouple.RunID]bool{}, map[string]bool{}
	for _, n := range m.Create {
		id, key := n.Run.ID, n.Run.IdempotencyKey
		fault(w.runs[id] != nil || made[id], decouple.Conflict)
		fault(key != "" && (w.keys[key] || keys[key]), decouple.Conflict)
		made[id], keys[key] = true, true
	}
	for _, p := range m.Put {
		fault(w.runs[p.To] == nil, decouple.NotFound)
	}
	for _, id := range m.Pin {
		_, ok := w.blobs[id]
		fault(!ok, decouple.NotFound)
	}
	return ks
}

// apply does what a store does with a mutation that has no faults.
func (w *model) apply(m journal.Mutation, r journal.Receipt) {
	w.append(m.Stream, m.Events)
	if run := w.run(m.Stream); run != nil {
		run.left = run.left && len(m.Events) == 0 && m.Status == nil && m.Consume == 0
		run.row.Seq += decouple.Seq(len(m.Events))
		run.consumed = max(run.consumed, m.Consume)
		if s := m.Status; s != nil {
			run.row.Status, run.row.Wait, run.row.Cause, run.row.Steps, run.row.Usage, run.until = s.Status, s.Wait, s.Cause, s.Steps, s.Usage, s.Until
		}
	}
	for _, n := range m.Create {
		s := decouple.RunStream(n.Run.Tenant, n.Run.ID)
		w.append(s, n.Events)
		w.runs[n.Run.ID] = &modelRun{row: journal.RunRow{Run: n.Run, Label: n.Label, Status: decouple.RunReady, Seq: decouple.Seq(len(n.Events))}}
		w.order = append(w.order, n.Run.ID)
		if n.Run.IdempotencyKey != "" {
			w.keys[n.Run.IdempotencyKey] = true
		}
	}
	for _, p := range m.Put {
		w.put(p)
	}
	for _, id := range m.Pin {
		w.blobs[id] = true
	}
	w.receipts[m.ID] = r
	w.done = append(w.done, m)
}

func (w *model) append(s decouple.Stream, es []journal.NewEvent) {
	for _, e := range es {
		w.streams[s] = append(w.streams[s], string(e.Payload))
		w.position++
	}
}

func (w *model) put(p journal.Put) {
	r := w.runs[p.To]
	if slices.ContainsFunc(r.inbox, func(m journal.Message) bool { return m.Kind == p.Kind && m.From == p.From }) {
		return
	}
	r.row.Inbox++
	r.inbox = append(r.inbox, journal.Message{Seq: r.row.Inbox, Kind: p.Kind, From: p.From, Body: p.Body})
	if r.row.Status == decouple.RunParked && (p.Urgent || r.row.Inbox >= r.until) {
		r.row.Status = decouple.RunReady
	}
}

// next are the runs of a tree that may be claimed now: the ready ones of the highest priority.
func (w *model) next(root decouple.RunID) []decouple.RunID {
	var best []decouple.RunID
	top := 0
	for _, id := range w.order {
		r := w.runs[id].row
		if r.Status != decouple.RunReady || root != "" && r.Root != root {
			continue
		}
		if len(best) == 0 || r.Priority > top {
			best, top = nil, r.Priority
		}
		if r.Priority == top {
			best = append(best, id)
		}
	}
	return best
}

// claim makes a run running under the present lease.
func (w *model) claim(id decouple.RunID) journal.Claim {
	r := w.runs[id]
	r.row.Status, r.row.Epoch = decouple.RunRunning, w.epoch
	return journal.Claim{Run: r.row.Run, Epoch: w.epoch, Seq: r.row.Seq, Inbox: r.row.Inbox, Consumed: r.consumed, Left: r.left}
}

// reclaim does what [journal.Queue.Reclaim] does.
func (w *model) reclaim(root decouple.RunID) int {
	n := 0
	for _, r := range w.runs {
		left := r.row.Status == decouple.RunRunning && r.row.Epoch < w.epoch
		interrupted := r.row.Status == decouple.RunParked && r.row.Wait.Kind == decouple.WaitInterrupted
		if r.row.Root == root && (left || interrupted) {
			r.row.Status, r.left = decouple.RunReady, r.left || left
			n++
		}
	}
	return n
}

// sweep does what a sweep of every age does.
func (w *model) sweep() int {
	n := len(w.blobs)
	for id, pinned := range w.blobs {
		if !pinned {
			delete(w.blobs, id)
		}
	}
	return n - len(w.blobs)
}

// world is what a model and a store are compared by.
type world struct {
	Head    decouple.Position
	Streams map[decouple.Stream][]string
	Runs    []journal.RunRow
	Inboxes map[decouple.RunID][]journal.Message
}

func (w *model) world() world {
	out := world{Head: w.position, Streams: map[decouple.Stream][]string{}, Inboxes: map[decouple.RunID][]journal.Message{}}
	for s, es := range w.streams {
		if len(es) > 0 {
			out.Streams[s] = es
		}
	}
	for _, id := range w.order {
		row := w.runs[id].row
		row.Consumed, row.Until = w.runs[id].consumed, w.runs[id].until
		out.Runs = append(out.Runs, laidDown(row))
		if left := w.runs[id].inbox[w.runs[id].consumed:]; len(left) > 0 {
			out.Inboxes[id] = left
		}
	}
	return out
}

// world reads the store.
func (f *fixture) world() world {
	f.t.Helper()
	s := f.state()
	out := world{Head: s.Head, Streams: map[decouple.Stream][]string{}, Inboxes: map[decouple.RunID][]journal.Message{}}
	for i, e := range s.Events {
		equal(f, "position", e.Position, decouple.Position(i+1))
		out.Streams[e.Stream] = append(out.Streams[e.Stream], string(e.Payload))
		equal(f, "sequence in "+e.Stream.String(), e.Seq, decouple.Seq(len(out.Streams[e.Stream])))
	}
	for _, r := range s.Runs {
		out.Runs = append(out.Runs, laidDown(r))
		if len(s.Inboxes[r.ID]) > 0 {
			out.Inboxes[r.ID] = s.Inboxes[r.ID]
		}
	}
	return out
}

// laidDown is a row without what the contract leaves to the store: clocks, the node's name, what a run waited for that waits no more, and who
// held one that nobody holds.
func laidDown(r journal.RunRow) journal.RunRow {
	r.Node, r.Created, r.Updated, r.Row = "", time.Time{}, time.Time{}, 0
	if r.Status != decouple.RunParked {
		r.Wait, r.Until, r.Wake = decouple.Wait{}, 0, time.Time{}
	}
	if r.Status != decouple.RunEnded {
		r.Cause = decouple.Cause{}
	}
	if r.Status != decouple.RunRunning {
		r.Epoch = 0
	}
	return r
}
