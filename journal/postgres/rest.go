package postgres

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// sending is a batch as commit_batch takes it.
type sending struct {
	chained
	Muts   []mutation
	bodies [][]byte
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

type put struct {
	To     string `json:"to"`
	Kind   string `json:"kind"`
	From   string `json:"from"`
	Urgent bool   `json:"urgent"`
	Body   int    `json:"b"`
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

// parseUrgent reads what a node is told: its epoch and the run.
func parseUrgent(text string) (urgent, bool) {
	epoch, run, ok := strings.Cut(text, " ")
	n, err := strconv.ParseInt(epoch, 10, 64)
	return urgent{journal.Epoch(n), decouple.RunID(run)}, ok && err == nil
}

// UnmarshalJSON reads [epoch, run].
func (u *urgent) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&u.epoch, &u.run})
}

// pack makes the records of a batch and their checksums.
func (s *Store) pack(ctx context.Context, batch []*request) (*sending, error) {
	b := &sending{chained: s.chain(len(batch))}
	if err := s.readHeads(ctx, batch); err != nil {
		return nil, err
	}
	for i, r := range batch {
		m := r.m
		out := mutation{
			ID: string(m.ID), Tenant: string(m.Stream.Tenant), Kind: string(m.Stream.Kind), Name: m.Stream.ID, Expect: int64(m.Expect), Epoch: int64(m.Epoch),
			At: len(b.recs), Events: len(m.Events), Create: []create{}, Put: []put{}, Pin: []string{}, Consume: int64(m.Consume),
			Checked: checked(m), Own: own(m),
		}
		prev := s.group.heads[m.Stream]
		out.Prev = hex.EncodeToString(prev.sum[:])
		b.append(i, m.ID, m.Stream, m.Events)
		last := 0
		for _, n := range m.Create {
			c, err := packRun(n, b.now)
			if err != nil {
				return nil, err
			}
			b.begin(i, m.ID, n)
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

// send calls commit_batch.
func (s *Store) send(ctx context.Context, b *sending) (reply, error) {
	muts, err := json.Marshal(b.Muts)
	if err != nil {
		return reply{}, err
	}
	var out []byte
	limited, cancel := context.WithTimeout(ctx, s.cfg.Patience)
	defer cancel()
	args := append([]any{string(s.cfg.Node.ID), int64(s.Epoch()), b.now, string(muts), notNil(b.recs), notNil(b.sums), notNil(b.bodies)}, s.claiming()...)
	err = s.writer.QueryRow(limited, "select commit_batch($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14)", args...).Scan(&out)
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
