package postgres

import (
	"context"
	"encoding/json"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// split takes a batch off a queue: its first request always, so that who leads is in it.
func split(queue []*request) (batch, rest []*request) {
	seen := map[decouple.Stream]bool{}
	size := 0
	for i, r := range queue {
		if len(batch) == maxBatch || size > maxBytes {
			return batch, append(rest, queue[i:]...)
		}
		if s := r.m.Stream; s.Kind != "" && seen[s] {
			rest = append(rest, r)
			continue
		}
		seen[r.m.Stream] = true
		for _, e := range r.m.Events {
			size += len(e.Payload)
		}
		for _, p := range r.m.Put {
			size += len(p.Body)
		}
		batch = append(batch, r)
	}
	return batch, rest
}

// separate takes those out of a batch that depend on an earlier one of it: the server looks at them one after the other.
func separate(batch []*request) (set, rest []*request) {
	type message struct {
		tenant     decouple.TenantID
		to         decouple.RunID
		kind, from string
	}
	type key struct {
		tenant decouple.TenantID
		key    string
	}
	ids, runs, keys, messages := map[decouple.CommitID]bool{}, map[runKey]bool{}, map[key]bool{}, map[message]bool{}
	for _, r := range batch {
		m := r.m
		alone := !ids[m.ID]
		ids[m.ID] = true
		for _, n := range m.Create {
			run, idem := runKey{n.Run.Tenant, n.Run.ID}, key{n.Run.Tenant, n.Run.IdempotencyKey}
			alone = alone && !runs[run] && (idem.key == "" || !keys[idem])
			runs[run], keys[idem] = true, true
		}
		for _, p := range m.Put {
			to := message{m.Stream.Tenant, p.To, p.Kind, p.From}
			alone = alone && !messages[to] && decouple.RunStream(m.Stream.Tenant, p.To) != m.Stream
			messages[to] = true
		}
		if alone {
			set = append(set, r)
		} else {
			rest = append(rest, r)
		}
	}
	return set, rest
}

// checked says whether the stream must be where the caller expects it.
func checked(m journal.Mutation) bool {
	return len(m.Events) > 0 || m.Status != nil || m.Consume > 0 || m.Expect > 0
}

// own says whether a mutation changes the run whose stream it names.
func own(m journal.Mutation) bool {
	return m.Stream.Kind == decouple.StreamRun && (len(m.Events) > 0 || m.Status != nil || m.Consume > 0)
}

// chained are the events of a batch as they are stored, each after the one before it in its stream.
type chained struct {
	now   int64
	heads map[decouple.Stream]streamHead // the group's
	recs  [][]byte
	sums  [][]byte
	news  []map[decouple.Stream]streamHead // where streams end after each mutation
}

func (s *Store) chain(mutations int) chained {
	return chained{now: s.now(), heads: s.group.heads, news: make([]map[decouple.Stream]streamHead, mutations)}
}

// append adds events of mutation i to a stream.
func (b *chained) append(i int, id decouple.CommitID, name decouple.Stream, events []journal.NewEvent) {
	if len(events) == 0 {
		return
	}
	h := b.heads[name]
	if b.news[i] == nil {
		b.news[i] = map[decouple.Stream]streamHead{}
	}
	for _, n := range events {
		h.seq++
		record := journal.Encode(decouple.Event{
			Stream: name, Seq: h.seq, Kind: n.Kind, KindVersion: n.KindVersion, Time: time.UnixMicro(b.now).UTC(), Actor: n.Actor, Causation: n.Causation,
			RootRun: n.RootRun, Trace: n.Trace, Subject: n.Subject, Commit: id, Payload: n.Payload,
		})
		h.sum = journal.Chain(h.sum, record)
		sum := h.sum
		b.recs, b.sums = append(b.recs, record), append(b.sums, sum[:])
	}
	b.news[i][name] = h
}

// begin adds the first events of a new run; what this node may remember of a run of its name is of one that a failover has lost.
func (b *chained) begin(i int, id decouple.CommitID, n journal.NewRun) {
	name := decouple.RunStream(n.Run.Tenant, n.Run.ID)
	delete(b.heads, name)
	b.append(i, id, name, n.Events)
}

// create is the stored form of a new run.
type create struct {
	Tenant   string   `json:"t"`
	Name     string   `json:"n"`
	Root     string   `json:"root"`
	Parent   string   `json:"parent"`
	Idem     string   `json:"idem"`
	Agent    string   `json:"agent"`
	Priority int      `json:"priority"`
	Cloud    string   `json:"cloud"`
	Region   string   `json:"region"`
	Labels   []string `json:"labels"`
	Spec     string   `json:"spec"`
	Body     string   `json:"body"`
	Wake     int64    `json:"wake"`
	Events   int      `json:"ev"`
	Last     int      `json:"last"` // place of its last event among those of all the creations of the mutation, from 1
}

// status is the stored form of a change of status.
type status struct {
	Status string `json:"status"`
	Waits  string `json:"waits"`
	Wait   string `json:"wait"`
	Body   string `json:"body"`
	Seen   int64  `json:"seen"`
	Until  int64  `json:"until"`
	Wake   int64  `json:"wake"`
}

// packRun gives a new run its stored form; a wake that is past is now.
func packRun(n journal.NewRun, now int64) (create, error) {
	r := n.Run
	spec, err := json.Marshal(runSpec{r, n.Label, now})
	if err != nil {
		return create{}, err
	}
	c := create{
		Tenant: string(r.Tenant), Name: string(r.ID), Root: string(r.Root), Parent: string(r.Parent), Idem: escape(r.IdempotencyKey), Agent: string(r.Agent), Priority: r.Priority,
		Cloud: r.Site.Cloud, Region: r.Site.Region, Labels: r.Site.Labels, Spec: string(spec), Body: "{}", Events: len(n.Events),
	}
	if c.Labels == nil {
		c.Labels = []string{}
	}
	if at := n.Wake.UnixMicro(); !n.Wake.IsZero() && at > now {
		c.Wake = at
	}
	return c, nil
}

func packStatus(c *journal.StatusChange) (*status, error) {
	if c == nil {
		return nil, nil
	}
	body, err := json.Marshal(workBody{c.Cause, c.Steps, c.Usage})
	if err != nil {
		return nil, err
	}
	st := &status{Status: string(c.Status), Waits: string(c.Wait.Kind), Body: string(body), Seen: int64(c.Seen), Until: int64(c.Until)}
	if c.Wait != (decouple.Wait{}) {
		wait, err := json.Marshal(c.Wait)
		if err != nil {
			return nil, err
		}
		st.Wait = string(wait)
	}
	if !c.Wake.IsZero() {
		st.Wake = c.Wake.UnixMicro()
	}
	return st, nil
}

// readHeads reads the ends of the streams that a batch appends to, where they are not known or are not as expected.
func (s *Store) readHeads(ctx context.Context, batch []*request) error {
	var tenants, kinds, names []string
	for _, r := range batch {
		h, ok := s.group.heads[r.m.Stream]
		if len(r.m.Events) == 0 || r.m.Expect == 0 || ok && h.seq == r.m.Expect {
			if r.m.Expect == 0 {
				delete(s.group.heads, r.m.Stream) // a new stream begins with zeros
			}
			continue
		}
		tenants, kinds, names = append(tenants, string(r.m.Stream.Tenant)), append(kinds, string(r.m.Stream.Kind)), append(names, r.m.Stream.ID)
	}
	if len(names) == 0 {
		return nil
	}
	rows, err := s.writer.Query(ctx, `select s.tenant, s.kind, s.name, s.seq, s.sum from unnest($1::text[], $2::text[], $3::text[]) as w(t, k, n)
		cross join lateral (select * from stream where tenant = w.t and kind = w.k and name = w.n offset 0) s`, tenants, kinds, names)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var st decouple.Stream
		var h streamHead
		var sum []byte
		if err := rows.Scan((*string)(&st.Tenant), (*string)(&st.Kind), &st.ID, (*int64)(&h.seq), &sum); err != nil {
			return err
		}
		copy(h.sum[:], sum)
		s.group.heads[st] = h
	}
	return rows.Err()
}
