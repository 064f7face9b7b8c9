package postgres

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

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

// commit writes a batch: what is good as the database stands by one call, and what is left, which is seldom anything, one after the other by a second one.
func (s *Store) commit(batch []*request) {
	s.group.batches.Add(1)
	s.group.commits.Add(int64(len(batch)))
	set, rest := separate(batch)
	if len(set) > 0 {
		rest = append(s.commitSet(set), rest...)
	}
	if len(rest) > 0 {
		s.commitRest(rest)
	}
}

// commitSet writes those of a batch that do not depend on each other, and gives back those that the server did not take. It is sent again and again over a connection that
// is lost: what the server has done already it does not take, and says so when it looks at them one by one.
func (s *Store) commitSet(batch []*request) []*request {
	var b *set
	var a setReply
	err := s.again(context.Background(), func(ctx context.Context) error {
		var err error
		if b, err = s.packSet(ctx, batch); err != nil {
			return err
		}
		if a, err = s.sendSet(ctx, b); err != nil {
			clear(s.group.heads) // the server may have gone on without what it had told this node
		}
		return err
	})
	if err != nil {
		s.failAll(batch, err)
		return nil
	}
	var left []*request
	pos := a.pos
	for i, r := range batch {
		if !a.taken[i] {
			delete(s.group.heads, r.m.Stream)
			left = append(left, r)
			continue
		}
		pos += decouple.Position(b.mAll[i])
		s.settle(r, b.result(i, pos), b.news[i])
	}
	s.heed(a.head, a.urgent, a.claims, a.ready)
	return left
}

// commitRest has the server look at mutations one after the other.
func (s *Store) commitRest(batch []*request) {
	var b *sending
	var a reply
	err := s.again(context.Background(), func(ctx context.Context) error {
		var err error
		if b, err = s.pack(ctx, batch); err != nil {
			return err
		}
		if a, err = s.send(ctx, b); err != nil {
			clear(s.group.heads)
		}
		return err
	})
	if err != nil {
		s.failAll(batch, err)
		return
	}
	for i, r := range batch {
		s.settle(r, a.Results[i], b.news[i])
	}
	s.heed(a.Head, a.Urgent, a.Claims, a.Ready)
}

func (s *Store) failAll(batch []*request, err error) {
	for _, r := range batch {
		r.err = err
	}
	clear(s.group.heads)
}

// heed acts on what a call of the server says beside its receipts.
func (s *Store) heed(head decouple.Position, pokes []urgent, claims []claimRow, ready int) {
	s.group.advance(head)
	for _, u := range pokes {
		if u.epoch == s.Epoch() {
			s.tell(u.run)
		}
	}
	s.queue.take(s, claims)
	if ready > 0 {
		s.queue.news()
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

func notNil[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

// claimRow is a claimed run as the server tells of it; commit_batch spells the checksum in hexadecimal.
type claimRow struct {
	ID       int64            `json:"id"`
	Spec     string           `json:"spec"`
	Seq      decouple.Seq     `json:"seq"`
	Sum      string           `json:"sum"`
	Inbox    journal.InboxSeq `json:"inbox"`
	Consumed journal.InboxSeq `json:"consumed"`
	Left     bool             `json:"left"`
	sum      []byte
}

func (c claimRow) claim(epoch journal.Epoch, lost <-chan struct{}) (journal.Claim, error) {
	var spec runSpec
	if err := json.Unmarshal([]byte(c.Spec), &spec); err != nil {
		return journal.Claim{}, decouple.Errorf(decouple.Internal, "a row of the view of runs cannot be read: %w", err)
	}
	out := journal.Claim{Run: spec.Run, Epoch: epoch, Seq: c.Seq, Inbox: c.Inbox, Consumed: c.Consumed, Left: c.Left, Lost: lost}
	sum := c.sum
	if sum == nil {
		sum, _ = hex.DecodeString(c.Sum)
	}
	if len(sum) == 32 {
		out.Event = journal.EventIDOf([32]byte(sum))
	}
	return out, nil
}

// checkTexts refuses what PostgreSQL's texts cannot hold.
func checkTexts(m journal.Mutation) error {
	texts := []string{string(m.ID), string(m.Stream.Tenant), string(m.Stream.Kind), m.Stream.ID}
	for _, n := range m.Create {
		texts = append(texts, string(n.Run.ID), string(n.Run.Tenant), string(n.Run.Root), string(n.Run.Parent), string(n.Run.Agent), n.Run.Site.Cloud, n.Run.Site.Region)
		texts = append(texts, n.Run.Site.Labels...)
	}
	for _, p := range m.Put {
		texts = append(texts, string(p.To), p.Kind, p.From)
	}
	for _, t := range texts {
		if strings.ContainsRune(t, 0) || !utf8.ValidString(t) {
			return decouple.Errorf(decouple.Invalid, "commit %q: the name %q holds the character NUL or is not UTF-8", m.ID, t)
		}
	}
	return nil
}

// escape spells a key that its user has chosen so that a text of PostgreSQL can hold it.
func escape(key string) string { return strings.ToValidUTF8(escaper.Replace(key), "\uFFFD") }

var escaper = strings.NewReplacer("\\", "\\\\", "\x00", "\\0")
