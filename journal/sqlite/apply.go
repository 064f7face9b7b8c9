package sqlite

import (
	"fmt"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// stream is the head of a stream.
type stream struct {
	id  int64
	seq decouple.Seq
	sum [32]byte
}

// mutate checks everything first, so that a mutation that fails has done nothing, and then writes.
func (b *batch) mutate(m journal.Mutation) (journal.Receipt, error) {
	if r, ok, err := b.repeated(m.ID); ok || err != nil {
		return r, err
	}
	own, err := b.checkStream(m)
	if err != nil {
		return journal.Receipt{}, err
	}
	targets, err := b.checkPuts(m)
	if err != nil {
		return journal.Receipt{}, err
	}
	if err := b.checkCreates(m); err != nil {
		return journal.Receipt{}, err
	}
	if err := b.checkPins(m); err != nil {
		return journal.Receipt{}, err
	}
	return b.write(m, own, targets)
}

// repeated finds the receipt of a commit that was made before.
func (b *batch) repeated(id decouple.CommitID) (journal.Receipt, bool, error) {
	v, err := b.c.one("select * from done where id = ?", string(id))
	if err != nil || v == nil {
		return journal.Receipt{}, false, err
	}
	if v, err = checkRow("done", v); err != nil {
		return journal.Receipt{}, false, err
	}
	return journal.Receipt{
		Seq: decouple.Seq(num(v[1])), Position: decouple.Position(num(v[2])), Event: decouple.EventID(str(v[3])),
		Time: time.UnixMicro(num(v[4])).UTC(), Repeated: true,
	}, true, nil
}

// checkStream checks expectation, lease and inbox of the mutation's own stream; the work is nil unless it is a run's.
func (b *batch) checkStream(m journal.Mutation) (*work, error) {
	if m.Epoch != 0 && m.Epoch != b.epoch {
		return nil, decouple.Errorf(decouple.Conflict, "commit %s: lease %d is over; this node holds lease %d", m.ID, m.Epoch, b.epoch)
	}
	if m.Stream.Kind == "" {
		return nil, nil
	}
	head, err := b.stream(m.Stream)
	if err != nil {
		return nil, err
	}
	if len(m.Events) > 0 || m.Status != nil || m.Consume > 0 || m.Expect > 0 {
		if head.seq != m.Expect {
			return nil, decouple.Errorf(decouple.Conflict, "commit %s: %s is at %d, not at %d as expected: read it again", m.ID, m.Stream, head.seq, m.Expect)
		}
	}
	if m.Stream.Kind != decouple.StreamRun || len(m.Events) == 0 && m.Status == nil && m.Consume == 0 {
		return nil, nil
	}
	w, err := b.work(runKey{m.Stream.Tenant, decouple.RunID(m.Stream.ID)})
	switch {
	case err != nil:
		return nil, err
	case w == nil:
		return nil, decouple.Errorf(decouple.NotFound, "commit %s: there is no run %s", m.ID, m.Stream.ID)
	case w.body.Status == decouple.RunRunning && m.Epoch != w.body.Epoch:
		return nil, decouple.Errorf(decouple.Conflict, "commit %s: run %s belongs to lease %d of node %s, not to lease %d", m.ID, w.run.ID, w.body.Epoch, w.body.Node, m.Epoch)
	case m.Consume > w.body.Inbox:
		return nil, decouple.Errorf(decouple.Invalid, "commit %s: the inbox of run %s ends at %d, before %d", m.ID, w.run.ID, w.body.Inbox, m.Consume)
	case m.Status != nil && m.Status.Status == decouple.RunParked && w.body.Inbox > m.Status.Seen:
		return nil, decouple.Errorf(decouple.Conflict, "commit %s: run %s cannot park: its inbox has moved to %d, past %d", m.ID, w.run.ID, w.body.Inbox, m.Status.Seen)
	}
	return w, nil
}

// checkPuts finds the runs that messages are for. A run that this mutation creates is not among them: nothing has to be said to it yet.
func (b *batch) checkPuts(m journal.Mutation) ([]*work, error) {
	var targets []*work
	for _, p := range m.Put {
		w, err := b.work(runKey{m.Stream.Tenant, p.To})
		if err != nil {
			return nil, err
		}
		if w == nil {
			return nil, decouple.Errorf(decouple.NotFound, "commit %s: there is no run %s to put a message for", m.ID, p.To)
		}
		targets = append(targets, w)
	}
	return targets, nil
}

func (b *batch) checkCreates(m journal.Mutation) error {
	for _, n := range m.Create {
		w, err := b.work(runKey{n.Run.Tenant, n.Run.ID})
		if err != nil {
			return err
		}
		if w != nil {
			return decouple.Errorf(decouple.Conflict, "commit %s: there is a run %s already", m.ID, n.Run.ID)
		}
		if n.Run.IdempotencyKey == "" {
			continue
		}
		v, err := b.c.one("select name from run join stream using (id) where run.tenant = ? and run.idem = ?", string(n.Run.Tenant), n.Run.IdempotencyKey)
		if err != nil {
			return err
		}
		if v != nil {
			return decouple.Errorf(decouple.Conflict, "commit %s: the idempotency key %q belongs to run %s", m.ID, n.Run.IdempotencyKey, str(v[0]))
		}
	}
	return nil
}

func (b *batch) checkPins(m journal.Mutation) error {
	for _, id := range m.Pin {
		v, err := b.c.one("select 1 from blob where tenant = ? and id = ?", string(m.Stream.Tenant), string(id))
		if err != nil {
			return err
		}
		if v == nil {
			return decouple.Errorf(decouple.NotFound, "commit %s: there is no complete blob %s", m.ID, id)
		}
	}
	return nil
}

// write performs a mutation that was checked; an error is fatal.
func (b *batch) write(m journal.Mutation, own *work, targets []*work) (journal.Receipt, error) {
	r := journal.Receipt{Seq: m.Expect, Position: b.head, Time: b.now}
	if len(m.Events) > 0 {
		head, err := b.stream(m.Stream)
		if err != nil {
			return r, err
		}
		if err := b.appendEvents(m.ID, m.Stream, head, m.Events); err != nil {
			return r, err
		}
		r.Seq, r.Event = head.seq, journal.EventIDOf(head.sum)
		if own != nil {
			own.body.Seq = head.seq
		}
	}
	for _, n := range m.Create {
		if err := b.create(m.ID, n); err != nil {
			return r, err
		}
	}
	for i, p := range m.Put {
		if err := b.put(targets[i], p); err != nil {
			return r, err
		}
	}
	if own != nil {
		own.body.Left = false
		own.body.Consumed = max(own.body.Consumed, m.Consume)
		b.setStatus(own, m)
	}
	for _, id := range m.Pin {
		if err := b.pin(m.Stream.Tenant, id); err != nil {
			return r, err
		}
	}
	r.Position = b.head
	_, err := b.c.exec("insert into done values (?,?,?,?,?,?)", withSum("done", string(m.ID), int64(r.Seq), int64(r.Position), string(r.Event), b.now.UnixMicro())...)
	b.pages++
	return r, err
}

// stream finds the head of a stream, which may not exist yet (id 0).
func (s *Store) stream(name decouple.Stream) (*stream, error) {
	if h, ok := s.streams.get(name); ok {
		return h, nil
	}
	v, err := s.c.one("select * from stream where tenant = ? and kind = ? and name = ?", string(name.Tenant), string(name.Kind), name.ID)
	if err != nil {
		return nil, err
	}
	h := &stream{}
	if v != nil {
		if v, err = checkRow("stream", v); err != nil {
			return nil, err
		}
		h.id = num(v[0])
		last, err := s.c.one("select seq, checksum from event where stream = ? order by seq desc limit 1", h.id)
		if err != nil {
			return nil, err
		}
		if last != nil {
			h.seq = decouple.Seq(num(last[0]))
			copy(h.sum[:], raw(last[1]))
		}
	}
	s.streams.put(name, h)
	return h, nil
}

// begin gives a stream its row.
func (b *batch) begin(name decouple.Stream, h *stream) error {
	if h.id != 0 {
		return nil
	}
	if b.newest == 0 {
		v, err := b.c.one("select coalesce(max(id), 0) from stream")
		if err != nil {
			return err
		}
		b.newest = num(v[0])
	}
	b.newest++
	h.id = b.newest
	_, err := b.c.exec("insert into stream values (?,?,?,?,?)", withSum("stream", h.id, string(name.Tenant), string(name.Kind), name.ID)...)
	return err
}

func (b *batch) appendEvents(id decouple.CommitID, name decouple.Stream, h *stream, events []journal.NewEvent) error {
	if err := b.begin(name, h); err != nil {
		return err
	}
	for _, n := range events {
		h.seq++
		b.head++
		record := journal.Encode(decouple.Event{
			Stream: name, Seq: h.seq, Kind: n.Kind, KindVersion: n.KindVersion, Time: b.now, Actor: n.Actor, Causation: n.Causation,
			RootRun: n.RootRun, Trace: n.Trace, Subject: n.Subject, Commit: id, Payload: n.Payload,
		})
		h.sum = journal.Chain(h.sum, record)
		if _, err := b.c.exec("insert into event values (?,?,?,?,?)", int64(b.head), h.id, int64(h.seq), record, h.sum[:]); err != nil {
			return fmt.Errorf("appending to %s: %w", name, err)
		}
		b.lastSum = h.sum
		b.pages += 1 + len(record)/4096
	}
	return nil
}

// create makes a run with its first events.
func (b *batch) create(id decouple.CommitID, n journal.NewRun) error {
	name := decouple.RunStream(n.Run.Tenant, n.Run.ID)
	h, err := b.stream(name)
	if err != nil {
		return err
	}
	if err := b.begin(name, h); err != nil {
		return err
	}
	if err := b.appendEvents(id, name, h, n.Events); err != nil {
		return err
	}
	w := &work{id: h.id, run: n.Run, body: workBody{Status: decouple.RunReady, Seq: h.seq, Updated: b.now.UnixMicro()}}
	if n.Wake.After(b.now) {
		w.body.Status, w.body.Wait, w.body.Wake = decouple.RunParked, decouple.Wait{Kind: decouple.WaitTimer}, n.Wake.UnixMicro()
		b.times = append(b.times, timer{n.Wake, w.key()})
	} else {
		b.wakes = append(b.wakes, w.ready())
	}
	b.works.put(w.key(), w)
	b.dirty[w.key()] = w
	b.pages++
	return w.create(b.c, n.Label, b.now)
}

// put adds a message to an inbox, once for each kind and sender, and wakes the run if it waits for it.
func (b *batch) put(w *work, p journal.Put) error {
	body := p.Body
	if body == nil {
		body = []byte{}
	}
	n, err := b.c.exec("insert into inbox values (?,?,?,?,?,?) on conflict (run, kind, sender) do nothing",
		withSum("inbox", w.id, int64(w.body.Inbox)+1, p.Kind, p.From, body)...)
	if err != nil || n == 0 {
		return err
	}
	w.body.Inbox++
	b.dirty[w.key()] = w
	b.pages++
	switch {
	case w.body.Status == decouple.RunParked && (p.Urgent || w.body.Inbox >= w.body.Until):
		b.wake(w)
	case w.body.Status == decouple.RunRunning && p.Urgent:
		b.urgents = append(b.urgents, w.run.ID)
	}
	return nil
}

// wake makes a parked run ready.
func (b *batch) wake(w *work) {
	w.body.Status, w.body.Wait, w.body.Until, w.body.Wake = decouple.RunReady, decouple.Wait{}, 0, 0
	w.body.Updated = b.now.UnixMicro()
	b.dirty[w.key()] = w
	b.wakes = append(b.wakes, w.ready())
}

// setStatus changes the row of the mutation's own run.
func (b *batch) setStatus(w *work, m journal.Mutation) {
	c := m.Status
	b.dirty[w.key()] = w
	w.body.Updated = b.now.UnixMicro()
	if c == nil {
		return
	}
	w.body.Status, w.body.Wait, w.body.Cause, w.body.Until, w.body.Wake = c.Status, c.Wait, c.Cause, c.Until, 0
	w.body.Steps, w.body.Usage = c.Steps, c.Usage
	if c.Status != decouple.RunRunning {
		w.body.Node, w.body.Epoch = "", 0
		delete(b.claimed, w.key())
		b.works.put(w.key(), w)
	}
	switch {
	case c.Status == decouple.RunRunning:
		w.body.Epoch = m.Epoch
		if m.Epoch != 0 {
			w.body.Node = b.node
			b.claimed[w.key()] = w
		}
	case c.Status == decouple.RunReady:
		b.wakes = append(b.wakes, w.ready())
	case c.Status == decouple.RunParked && !c.Wake.IsZero():
		w.body.Wake = c.Wake.UnixMicro()
		b.times = append(b.times, timer{c.Wake, w.key()})
	}
}
