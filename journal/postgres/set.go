package postgres

import (
	"context"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// set is a batch as commit_set takes it: arrays side by side, named as its parameters are.
type set struct {
	chained

	mID, mTenant, mKind, mName              []string
	mAt, mEpoch, mConsume                   []int64
	mChecked, mOwn                          []bool
	mEvents, mAll                           []int32 // of the stream, and with those of the runs that are created
	mPrev, mSum                             [][]byte
	mStatus, mWaits, mWait, mBody           []string // an empty status changes nothing
	mSeen, mUntil, mWake                    []int64
	eM, eC                                  []int32 // eC is 0 for events of the stream
	eSeq                                    []int64
	cM, cPriority, cEvents                  []int32
	cTenant, cName, cRoot, cParent, cIdem   []string
	cAgent, cCloud, cRegion, cLabels, cSpec []string
	cWake                                   []int64
	cSum                                    [][]byte
	pM, bM                                  []int32
	pOf, pTo, pKind, pFrom, bTenant, bID    []string
	pUrgent                                 []bool
	pBody                                   [][]byte
}

// setReply is what commit_set answers.
type setReply struct {
	taken  []bool
	pos    decouple.Position // before the first event of the batch
	head   decouple.Position
	ready  int
	urgent []urgent
	claims []claimRow
}

// packSet makes the arrays of a batch.
func (s *Store) packSet(ctx context.Context, batch []*request) (*set, error) {
	if err := s.readHeads(ctx, batch); err != nil {
		return nil, err
	}
	b := &set{chained: s.chain(len(batch))}
	for i, r := range batch {
		if err := b.add(i, r.m); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// add adds mutation i.
func (b *set) add(i int, m journal.Mutation) error {
	prev := b.heads[m.Stream]
	b.mID, b.mTenant, b.mKind, b.mName = append(b.mID, string(m.ID)), append(b.mTenant, string(m.Stream.Tenant)), append(b.mKind, string(m.Stream.Kind)), append(b.mName, m.Stream.ID)
	b.mAt, b.mEpoch, b.mConsume = append(b.mAt, int64(m.Expect)), append(b.mEpoch, int64(m.Epoch)), append(b.mConsume, int64(m.Consume))
	b.mChecked, b.mOwn = append(b.mChecked, checked(m)), append(b.mOwn, own(m))
	before := len(b.recs)
	b.append(i, m.ID, m.Stream, m.Events)
	b.place(i, 0, prev.seq, before)
	b.mEvents, b.mPrev, b.mSum = append(b.mEvents, int32(len(m.Events))), append(b.mPrev, prev.sum[:]), append(b.mSum, b.last(before))
	for _, n := range m.Create {
		if err := b.addRun(i, m.ID, n); err != nil {
			return err
		}
	}
	b.mAll = append(b.mAll, int32(len(b.recs)-before))
	for _, p := range m.Put {
		b.pM, b.pOf, b.pTo = append(b.pM, int32(i+1)), append(b.pOf, string(m.Stream.Tenant)), append(b.pTo, string(p.To))
		b.pKind, b.pFrom, b.pUrgent, b.pBody = append(b.pKind, p.Kind), append(b.pFrom, p.From), append(b.pUrgent, p.Urgent), append(b.pBody, notNil(p.Body))
	}
	for _, id := range m.Pin {
		b.bM, b.bTenant, b.bID = append(b.bM, int32(i+1)), append(b.bTenant, string(m.Stream.Tenant)), append(b.bID, string(id))
	}
	st, err := packStatus(m.Status)
	if err != nil {
		return err
	}
	if st == nil {
		st = &status{}
	}
	b.mStatus, b.mWaits, b.mWait, b.mBody = append(b.mStatus, st.Status), append(b.mWaits, st.Waits), append(b.mWait, st.Wait), append(b.mBody, st.Body)
	b.mSeen, b.mUntil, b.mWake = append(b.mSeen, st.Seen), append(b.mUntil, st.Until), append(b.mWake, st.Wake)
	return nil
}

// addRun adds a run that mutation i creates.
func (b *set) addRun(i int, id decouple.CommitID, n journal.NewRun) error {
	c, err := packRun(n, b.now)
	if err != nil {
		return err
	}
	before := len(b.recs)
	b.begin(i, id, n)
	b.place(i, len(b.cM)+1, 0, before)
	b.cM, b.cPriority, b.cEvents = append(b.cM, int32(i+1)), append(b.cPriority, int32(c.Priority)), append(b.cEvents, int32(c.Events))
	b.cTenant, b.cName, b.cRoot, b.cParent, b.cIdem = append(b.cTenant, c.Tenant), append(b.cName, c.Name), append(b.cRoot, c.Root), append(b.cParent, c.Parent), append(b.cIdem, c.Idem)
	b.cAgent, b.cCloud, b.cRegion = append(b.cAgent, c.Agent), append(b.cCloud, c.Cloud), append(b.cRegion, c.Region)
	b.cLabels, b.cSpec = append(b.cLabels, arrayText(c.Labels)), append(b.cSpec, c.Spec)
	b.cWake, b.cSum = append(b.cWake, c.Wake), append(b.cSum, b.last(before))
	return nil
}

// place says of the events from before on that they are of mutation i, and of the run c if it is not 0.
func (b *set) place(i, c int, at decouple.Seq, before int) {
	for n := range len(b.recs) - before {
		b.eM, b.eC, b.eSeq = append(b.eM, int32(i+1)), append(b.eC, int32(c)), append(b.eSeq, int64(at)+int64(n)+1)
	}
}

// last is the checksum of the newest event, if there is one from before on.
func (b *set) last(before int) []byte {
	if len(b.sums) == before {
		return []byte{}
	}
	return b.sums[len(b.sums)-1]
}

// result is the receipt of mutation i, whose last event is at pos.
func (b *set) result(i int, pos decouple.Position) result {
	r := result{Seq: decouple.Seq(b.mAt[i] + int64(b.mEvents[i])), Pos: pos, Time: b.now}
	if b.mEvents[i] > 0 {
		r.Event = journal.EventIDOf([32]byte(b.mSum[i]))
	}
	return r
}

// arrayText spells an array of texts as PostgreSQL reads it.
func arrayText(texts []string) string {
	if len(texts) == 0 {
		return "{}"
	}
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = `"` + quoter.Replace(t) + `"`
	}
	return "{" + strings.Join(quoted, ",") + "}"
}

var quoter = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// setQuery calls commit_set with its 60 parameters.
var setQuery = func() string {
	const parameters = 60
	names := make([]string, parameters)
	for i := range names {
		names[i] = "$" + itoa(int64(i+1))
	}
	return `select o_taken, o_pos, o_head, o_ready, o_urgent, k_id, k_spec, k_seq, k_sum, k_inbox, k_consumed, k_left from commit_set(` + strings.Join(names, ",") + ")"
}()

// args are the arrays in the order of commit_set's parameters.
func (b *set) args() []any {
	return []any{
		b.mID, b.mTenant, b.mKind, b.mName, b.mAt, b.mChecked, b.mOwn, b.mEpoch, b.mEvents, b.mAll, b.mPrev, b.mSum, b.mConsume,
		b.mStatus, b.mWaits, b.mWait, b.mBody, b.mSeen, b.mUntil, b.mWake,
		notNil(b.eM), notNil(b.eC), notNil(b.eSeq), notNil(b.recs), notNil(b.sums),
		notNil(b.cM), notNil(b.cTenant), notNil(b.cName), notNil(b.cRoot), notNil(b.cParent), notNil(b.cIdem), notNil(b.cAgent), notNil(b.cPriority), notNil(b.cCloud),
		notNil(b.cRegion), notNil(b.cLabels), notNil(b.cSpec), notNil(b.cWake), notNil(b.cEvents), notNil(b.cSum),
		notNil(b.pM), notNil(b.pOf), notNil(b.pTo), notNil(b.pKind), notNil(b.pFrom), notNil(b.pUrgent), notNil(b.pBody),
		notNil(b.bM), notNil(b.bTenant), notNil(b.bID),
	}
}

// sendSet calls commit_set.
func (s *Store) sendSet(ctx context.Context, b *set) (setReply, error) {
	args := append([]any{string(s.cfg.Node.ID), int64(s.Epoch()), b.now}, b.args()...)
	args = append(args, s.claiming()...)
	limited, cancel := context.WithTimeout(ctx, s.cfg.Patience)
	defer cancel()
	var a setReply
	var pokes, specs []string
	var ids, seqs, inboxes, consumed []int64
	var sums [][]byte
	var left []bool
	err := s.writer.QueryRow(limited, setQuery, args...).Scan(&a.taken, (*int64)(&a.pos), (*int64)(&a.head), &a.ready, &pokes,
		&ids, &specs, &seqs, &sums, &inboxes, &consumed, &left)
	if err != nil {
		return a, err
	}
	if len(a.taken) != len(b.mID) {
		return a, decouple.Errorf(decouple.Internal, "the store answered %d of %d commits", len(a.taken), len(b.mID))
	}
	for i, id := range ids {
		a.claims = append(a.claims, claimRow{
			ID: id, Spec: specs[i], Seq: decouple.Seq(seqs[i]), sum: sums[i], Inbox: journal.InboxSeq(inboxes[i]), Consumed: journal.InboxSeq(consumed[i]), Left: left[i],
		})
	}
	for _, p := range pokes {
		if u, ok := parseUrgent(p); ok {
			a.urgent = append(a.urgent, u)
		}
	}
	return a, nil
}

// claiming are the last parameters of a batch: what is to be claimed with it for those who wait, and whether other nodes are given a hint.
func (s *Store) claiming() []any {
	g := &s.group
	now := time.Now()
	hint := now.Sub(g.hint) >= hintGap
	if hint {
		g.hint = now
	}
	want, w := s.queue.wanted(s.cfg.Node.Workers)
	site := s.cfg.Node.Site
	return []any{want, string(w.Tenant), string(w.Root), site.Cloud, site.Region, notNil(site.Labels), hint}
}
