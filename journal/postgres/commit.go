package postgres

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

const (
	maxBatch = 1024
	maxBytes = 8 << 20              // of records and messages in a batch
	hintGap  = 3 * time.Millisecond // between two hints that other nodes are given
	maxHeads = 50_000               // stream heads that are kept in memory
)

// request is one caller's mutation, waiting to be committed.
type request struct {
	m       journal.Mutation
	receipt journal.Receipt
	err     error
	turn    chan bool // true: lead the next batch; false: done
}

// group joins callers.
type group struct {
	mu      sync.Mutex
	queue   []*request
	leading bool
	failed  error
	active  sync.WaitGroup

	heads map[decouple.Stream]streamHead // the leader's
	hint  time.Time

	headMu   sync.Mutex
	head     decouple.Position // newest that this node knows of
	followed chan struct{}     // closed and renewed when head grows

	commits, batches atomic.Int64
}

// streamHead is the end of a stream.
type streamHead struct {
	seq decouple.Seq
	sum [32]byte
}

func (g *group) init() {
	g.heads = map[decouple.Stream]streamHead{}
	g.followed = make(chan struct{})
}

func (g *group) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed == nil {
		g.failed = err
	}
}

func (g *group) err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failed
}

// advance notes that there are events up to a position.
func (g *group) advance(pos decouple.Position) {
	g.headMu.Lock()
	defer g.headMu.Unlock()
	if pos > g.head {
		g.head = pos
		close(g.followed)
		g.followed = make(chan struct{})
	}
}

// ring has followers look for news.
func (g *group) ring() {
	g.headMu.Lock()
	defer g.headMu.Unlock()
	close(g.followed)
	g.followed = make(chan struct{})
}

// tail waits until there may be an event after pos: until this node commits one, another one says so, or a moment has passed.
func (g *group) tail(ctx context.Context, pos decouple.Position) error {
	g.headMu.Lock()
	ring, news := g.followed, g.head > pos
	g.headMu.Unlock()
	if err := g.err(); err != nil {
		return err
	}
	if news {
		return nil
	}
	t := time.NewTimer(pollEvery)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-ring:
	case <-t.C:
	}
	return nil
}

// Stats says how many commits and batches there were since Open.
func (s *Store) Stats() (commits, batches int64) {
	return s.group.commits.Load(), s.group.batches.Load()
}

// Commit makes all of m happen, or nothing.
func (s *Store) Commit(ctx context.Context, m journal.Mutation) (journal.Receipt, error) {
	if err := m.Check(); err != nil {
		return journal.Receipt{}, err
	}
	if err := checkTexts(m); err != nil {
		return journal.Receipt{}, err
	}
	if err := ctx.Err(); err != nil {
		return journal.Receipt{}, err
	}
	g, r := &s.group, &request{m: m}
	g.mu.Lock()
	if g.failed != nil {
		defer g.mu.Unlock()
		return journal.Receipt{}, g.failed
	}
	g.active.Add(1)
	defer g.active.Done()
	g.queue = append(g.queue, r)
	if g.leading {
		turn := make(chan bool, 1)
		r.turn = turn
		g.mu.Unlock()
		if lead := <-turn; !lead {
			return r.receipt, r.err
		}
	} else {
		g.leading = true
		g.mu.Unlock()
	}
	s.lead()
	return r.receipt, r.err
}

// lead commits the head of the queue as one batch, passes the lead on, and tells everyone in it. Of two mutations of one stream the second is in the next batch.
func (s *Store) lead() {
	g := &s.group
	g.mu.Lock()
	batch, rest := split(g.queue)
	g.queue = rest
	g.mu.Unlock()
	s.commit(batch)
	s.passLead()
	for _, r := range batch {
		if r.turn != nil {
			r.turn <- false
		}
	}
}

// passLead wakes the next leader, if anybody waits.
func (s *Store) passLead() {
	g := &s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		g.leading = false
		return
	}
	next := g.queue[0]
	turn := next.turn
	next.turn = nil // a leader needs no telling
	turn <- true
}

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

// commit sends a batch, again and again over a connection that is lost: the server recognises what it has done already.
func (s *Store) commit(batch []*request) {
	ctx := context.Background()
	var b *sending
	var answer reply
	err := s.again(ctx, func(ctx context.Context) error {
		var err error
		if b, err = s.pack(ctx, batch); err != nil {
			return err
		}
		if answer, err = s.send(ctx, b); err != nil {
			clear(s.group.heads) // the server may have gone on without what it had told this node
		}
		return err
	})
	if err != nil {
		for _, r := range batch {
			r.err = err
		}
		clear(s.group.heads)
		return
	}
	s.group.batches.Add(1)
	s.group.commits.Add(int64(len(batch)))
	for i, r := range batch {
		s.settle(r, answer.Results[i], b.news[i])
	}
	s.group.advance(answer.Head)
	for _, u := range answer.Urgent {
		if u.epoch == s.Epoch() {
			s.tell(u.run)
		}
	}
	s.queue.take(s, answer.Claims)
	if answer.Ready > 0 {
		s.queue.ringReady()
	}
}

// settle gives a caller its receipt or its refusal, and keeps the heads of the streams that it wrote.
func (s *Store) settle(r *request, a result, news map[decouple.Stream]streamHead) {
	if a.Kind != "" {
		r.err = &decouple.Error{Kind: a.Kind, Msg: a.Msg}
		delete(s.group.heads, r.m.Stream)
		return
	}
	r.receipt = journal.Receipt{Seq: a.Seq, Position: a.Pos, Event: a.Event, Time: micros(a.Time), Repeated: a.Repeated}
	if a.Repeated {
		delete(s.group.heads, r.m.Stream)
		return
	}
	if st := r.m.Status; st != nil && st.Status != decouple.RunRunning {
		s.queue.release(runKey{r.m.Stream.Tenant, decouple.RunID(r.m.Stream.ID)})
	}
	if len(s.group.heads) > maxHeads {
		clear(s.group.heads)
	}
	for stream, head := range news {
		s.group.heads[stream] = head
	}
}

// sending is a batch as commit_batch takes it.
type sending struct {
	Muts   []mutation
	recs   [][]byte
	sums   [][]byte
	bodies [][]byte
	now    int64
	news   []map[decouple.Stream]streamHead // after each mutation
}

// The stored forms of a mutation; the names are those that commit_batch knows.
type mutation struct {
	ID      string   `json:"id"`
	Tenant  string   `json:"t"`
	Kind    string   `json:"k"`
	Name    string   `json:"n"`
	Expect  int64    `json:"x"`
	Checked bool     `json:"checked"`
	Own     bool     `json:"own"`
	Epoch   int64    `json:"ep"`
	At      int      `json:"at"`
	Events  int      `json:"ev"`
	Prev    string   `json:"prev"` // checksum that the events follow
	Create  []create `json:"create"`
	Put     []put    `json:"put"`
	Pin     []string `json:"pin"`
	Consume int64    `json:"consume"`
	Status  *status  `json:"status"`
}

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

type put struct {
	To     string `json:"to"`
	Kind   string `json:"kind"`
	From   string `json:"from"`
	Urgent bool   `json:"urgent"`
	Body   int    `json:"b"`
}

type status struct {
	Status string `json:"status"`
	Waits  string `json:"waits"`
	Wait   string `json:"wait"`
	Body   string `json:"body"`
	Seen   int64  `json:"seen"`
	Until  int64  `json:"until"`
	Wake   int64  `json:"wake"`
}

// reply is what commit_batch answers.
type reply struct {
	Results []result          `json:"results"`
	Claims  []claimRow        `json:"claims"`
	Urgent  []urgent          `json:"urgent"`
	Ready   int               `json:"ready"`
	Head    decouple.Position `json:"head"`
}

type result struct {
	Kind     decouple.Kind     `json:"kind"`
	Msg      string            `json:"msg"`
	Seq      decouple.Seq      `json:"seq"`
	Pos      decouple.Position `json:"pos"`
	Event    decouple.EventID  `json:"event"`
	Time     int64             `json:"time"`
	Repeated bool              `json:"repeated"`
}

// urgent is a run at work that got an urgent message, and the lease that it belongs to.
type urgent struct {
	epoch journal.Epoch
	run   decouple.RunID
}

// UnmarshalJSON reads [epoch, run].
func (u *urgent) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&u.epoch, &u.run})
}

// pack makes the records of a batch and their checksums.
func (s *Store) pack(ctx context.Context, batch []*request) (*sending, error) {
	b := &sending{now: s.now(), news: make([]map[decouple.Stream]streamHead, len(batch))}
	if err := s.readHeads(ctx, batch); err != nil {
		return nil, err
	}
	for i, r := range batch {
		m := r.m
		b.news[i] = map[decouple.Stream]streamHead{}
		out := mutation{
			ID: string(m.ID), Tenant: string(m.Stream.Tenant), Kind: string(m.Stream.Kind), Name: m.Stream.ID, Expect: int64(m.Expect), Epoch: int64(m.Epoch),
			At: len(b.recs), Events: len(m.Events), Create: []create{}, Put: []put{}, Pin: []string{}, Consume: int64(m.Consume),
			Checked: len(m.Events) > 0 || m.Status != nil || m.Consume > 0 || m.Expect > 0,
		}
		out.Own = m.Stream.Kind == decouple.StreamRun && (len(m.Events) > 0 || m.Status != nil || m.Consume > 0)
		prev := s.group.heads[m.Stream]
		out.Prev = hex.EncodeToString(prev.sum[:])
		b.append(i, m.ID, m.Stream, prev, m.Events)
		last := 0
		for _, n := range m.Create {
			c, err := b.create(n)
			if err != nil {
				return nil, err
			}
			b.append(i, m.ID, decouple.RunStream(n.Run.Tenant, n.Run.ID), streamHead{}, n.Events)
			last += len(n.Events)
			c.Last = last
			out.Create = append(out.Create, c)
		}
		for _, p := range m.Put {
			body := p.Body
			if body == nil {
				body = []byte{}
			}
			b.bodies = append(b.bodies, body)
			out.Put = append(out.Put, put{To: string(p.To), Kind: p.Kind, From: p.From, Urgent: p.Urgent, Body: len(b.bodies)})
		}
		for _, id := range m.Pin {
			out.Pin = append(out.Pin, string(id))
		}
		var err error
		if out.Status, err = packStatus(m.Status); err != nil {
			return nil, err
		}
		b.Muts = append(b.Muts, out)
	}
	return b, nil
}

// append chains events to a stream.
func (b *sending) append(i int, id decouple.CommitID, name decouple.Stream, h streamHead, events []journal.NewEvent) {
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
	if len(events) > 0 {
		b.news[i][name] = h
	}
}

func (b *sending) create(n journal.NewRun) (create, error) {
	r := n.Run
	spec, err := json.Marshal(runSpec{r, n.Label, b.now})
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
	if at := n.Wake.UnixMicro(); !n.Wake.IsZero() && at > b.now {
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
	rows, err := s.pool.Query(ctx, `select s.tenant, s.kind, s.name, s.seq, s.sum from unnest($1::text[], $2::text[], $3::text[]) as w(t, k, n)
		join stream s on s.tenant = w.t and s.kind = w.k and s.name = w.n`, tenants, kinds, names)
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

// send calls commit_batch.
func (s *Store) send(ctx context.Context, b *sending) (reply, error) {
	muts, err := json.Marshal(b.Muts)
	if err != nil {
		return reply{}, err
	}
	g := &s.group
	now := time.Now()
	hint := now.Sub(g.hint) >= hintGap
	if hint {
		g.hint = now
	}
	want, w := s.queue.wanted(s.cfg.Node.Workers)
	site := s.cfg.Node.Site
	var out []byte
	limited, cancel := context.WithTimeout(ctx, s.cfg.Patience)
	defer cancel()
	err = s.pool.QueryRow(limited, "select commit_batch($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14)", string(s.cfg.Node.ID), int64(s.Epoch()), b.now, string(muts),
		notNil(b.recs), notNil(b.sums), notNil(b.bodies), want, string(w.Tenant), string(w.Root), site.Cloud, site.Region, notNil(site.Labels), hint).Scan(&out)
	if err != nil {
		return reply{}, err
	}
	var a reply
	if err := json.Unmarshal(out, &a); err != nil {
		return a, decouple.Errorf(decouple.Internal, "the store's answer to a batch cannot be read: %w", err)
	}
	if len(a.Results) != len(b.Muts) {
		return a, decouple.Errorf(decouple.Internal, "the store answered %d of %d commits", len(a.Results), len(b.Muts))
	}
	return a, nil
}

func notNil[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

// claimRow is a claimed run as the server tells of it.
type claimRow struct {
	ID       int64            `json:"id"`
	Spec     string           `json:"spec"`
	Seq      decouple.Seq     `json:"seq"`
	Sum      string           `json:"sum"`
	Inbox    journal.InboxSeq `json:"inbox"`
	Consumed journal.InboxSeq `json:"consumed"`
	Left     bool             `json:"left"`
}

func (c claimRow) claim(epoch journal.Epoch, lost <-chan struct{}) (journal.Claim, error) {
	var spec runSpec
	if err := json.Unmarshal([]byte(c.Spec), &spec); err != nil {
		return journal.Claim{}, decouple.Errorf(decouple.Internal, "a row of the view of runs cannot be read: %w", err)
	}
	out := journal.Claim{Run: spec.Run, Epoch: epoch, Seq: c.Seq, Inbox: c.Inbox, Consumed: c.Consumed, Left: c.Left, Lost: lost}
	if sum, err := hex.DecodeString(c.Sum); err == nil && len(sum) == 32 {
		out.Event = journal.EventIDOf([32]byte(sum))
	}
	return out, nil
}

// checkTexts refuses what PostgreSQL's texts cannot hold.
func checkTexts(m journal.Mutation) error {
	texts := []string{string(m.ID), string(m.Stream.Tenant), m.Stream.ID}
	for _, n := range m.Create {
		texts = append(texts, string(n.Run.ID), string(n.Run.Tenant), string(n.Run.Agent), n.Run.Site.Cloud, n.Run.Site.Region)
		texts = append(texts, n.Run.Site.Labels...)
	}
	for _, p := range m.Put {
		texts = append(texts, string(p.To), p.Kind, p.From)
	}
	for _, t := range texts {
		if strings.ContainsRune(t, 0) {
			return decouple.Errorf(decouple.Invalid, "commit %q: the name %q holds the character NUL", m.ID, t)
		}
	}
	return nil
}

// escape spells a key that its user has chosen so that a text of PostgreSQL can hold it.
func escape(key string) string { return escaper.Replace(key) }

var escaper = strings.NewReplacer("\\", "\\\\", "\x00", "\\0")
