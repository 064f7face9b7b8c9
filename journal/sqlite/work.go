package sqlite

import (
	"database/sql/driver"
	"encoding/json"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// runKey names a run.
type runKey struct {
	tenant decouple.TenantID
	id     decouple.RunID
}

// work is a row of the view of runs: what is fixed, and what changes.
type work struct {
	id   int64 // of its stream
	run  decouple.Run
	body workBody
}

// workBody is the stored form of what changes.
type workBody struct {
	Status   decouple.RunStatus `json:"status"`
	Wait     decouple.Wait      `json:"wait,omitzero"`
	Cause    decouple.Cause     `json:"cause,omitzero"`
	Node     decouple.NodeID    `json:"node,omitempty"`
	Epoch    journal.Epoch      `json:"epoch,omitempty"`
	Left     bool               `json:"left,omitempty"` // running when an earlier lease ended, and nothing committed since
	Seq      decouple.Seq       `json:"seq"`
	Inbox    journal.InboxSeq   `json:"inbox,omitempty"`    // newest message
	Consumed journal.InboxSeq   `json:"consumed,omitempty"` // newest consumed
	Until    journal.InboxSeq   `json:"until,omitempty"`
	Wake     int64              `json:"wake,omitempty"` // microseconds
	Steps    int                `json:"steps,omitempty"`
	Usage    decouple.Usage     `json:"usage,omitzero"`
	Updated  int64              `json:"updated"`
}

// runSpec is the stored form of what is fixed.
type runSpec struct {
	Run     decouple.Run `json:"run"`
	Label   string       `json:"label,omitempty"`
	Created int64        `json:"created"`
}

const workQuery = `select run.id, run.tenant, run.root, run.parent, run.idem, run.spec, run.sum,
	work.id, work.status, work.wake, work.body, work.sum
	from run join work using (id) join stream using (id)`

// scanWork reads a row of workQuery and checks both sums.
func scanWork(v []driver.Value) (*work, runSpec, error) {
	fixed, err := checkRow("run", v[:7])
	if err != nil {
		return nil, runSpec{}, err
	}
	moving, err := checkRow("work", v[7:])
	if err != nil {
		return nil, runSpec{}, err
	}
	var spec runSpec
	w := &work{id: num(fixed[0])}
	if err := json.Unmarshal([]byte(str(fixed[5])), &spec); err != nil {
		return nil, spec, err
	}
	if err := json.Unmarshal([]byte(str(moving[3])), &w.body); err != nil {
		return nil, spec, err
	}
	w.run = spec.Run
	return w, spec, nil
}

// work finds a run; nil if there is none.
func (s *Store) work(k runKey) (*work, error) {
	if w, ok := s.claimed[k]; ok {
		return w, nil
	}
	if w, ok := s.works.get(k); ok {
		return w, nil
	}
	v, err := s.c.one(workQuery+" where stream.tenant = ? and stream.kind = 'run' and stream.name = ?", string(k.tenant), string(k.id))
	if err != nil || v == nil {
		return nil, err
	}
	w, _, err := scanWork(v)
	if err != nil {
		return nil, err
	}
	s.works.put(k, w)
	return w, nil
}

// work finds a run as this batch leaves it: its row is written when all requests are applied.
func (b *batch) work(k runKey) (*work, error) {
	if w, ok := b.dirty[k]; ok {
		return w, nil
	}
	return b.Store.work(k)
}

func (w *work) key() runKey { return runKey{w.run.Tenant, w.run.ID} }

func (w *work) ready() readyRun {
	return readyRun{key: w.key(), root: w.run.Root, priority: w.run.Priority, age: w.id, site: w.run.Site}
}

// create inserts the rows of a new run.
func (w *work) create(c *conn, label string, now time.Time) error {
	spec, err := json.Marshal(runSpec{w.run, label, now.UnixMicro()})
	if err != nil {
		return err
	}
	r := w.run
	_, err = c.exec("insert into run values (?,?,?,?,?,?,?)",
		withSum("run", w.id, string(r.Tenant), string(r.Root), string(r.Parent), r.IdempotencyKey, string(spec))...)
	return err
}

// store writes what changes.
func (w *work) store(c *conn) error {
	body, err := json.Marshal(w.body)
	if err != nil {
		return err
	}
	_, err = c.exec("insert into work values (?,?,?,?,?) on conflict (id) do update set status = excluded.status, wake = excluded.wake, body = excluded.body, sum = excluded.sum",
		withSum("work", w.id, string(w.body.Status), w.body.Wake, string(body))...)
	return err
}

// row is the view's row as readers see it.
func (w *work) row(spec runSpec) journal.RunRow {
	b := w.body
	return journal.RunRow{
		Run: w.run, Label: spec.Label, Status: b.Status, Wait: b.Wait, Cause: b.Cause, Node: b.Node, Epoch: b.Epoch,
		Seq: b.Seq, Inbox: b.Inbox, Consumed: b.Consumed, Until: b.Until, Wake: micros(b.Wake), Row: w.id, Steps: b.Steps, Usage: b.Usage,
		Created: time.UnixMicro(spec.Created).UTC(), Updated: time.UnixMicro(b.Updated).UTC(),
	}
}

// micros is a stored time; 0 is none.
func micros(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.UnixMicro(at).UTC()
}
