package main

import (
	"context"
	"encoding/json"
	"io"
	"sync"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// recorded is a store that writes down what it was told: which runs it was given under which lease, and which commits were acknowledged. A checker holds the
// logs of all nodes against the journal.
type recorded struct {
	journal.Store
	mu  sync.Mutex
	out io.WriteCloser
}

// recordLine is a line of such a log.
type recordLine struct {
	Did      string            `json:"did"` // claim or commit
	Node     decouple.NodeID   `json:"node"`
	Epoch    journal.Epoch     `json:"epoch"`
	Stream   decouple.Stream   `json:"stream"`
	Seq      decouple.Seq      `json:"seq"` // of the stream's last event
	Event    decouple.EventID  `json:"event"`
	Events   int               `json:"events"`
	Position decouple.Position `json:"position"`
	Commit   decouple.CommitID `json:"commit,omitempty"`
}

func (r *recorded) write(l recordLine) {
	b, err := json.Marshal(l)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.out.Write(append(b, '\n')) // a line that is missing can only hide a fault, never make one
}

// Claim hands out a run and writes it down.
func (r *recorded) Claim(ctx context.Context, w journal.Want) (journal.Claim, error) {
	c, err := r.Store.Claim(ctx, w)
	if err == nil {
		r.write(recordLine{Did: "claim", Epoch: c.Epoch, Stream: decouple.RunStream(c.Run.Tenant, c.Run.ID), Seq: c.Seq, Event: c.Event})
	}
	return c, err
}

// Commit commits and writes down what was acknowledged.
func (r *recorded) Commit(ctx context.Context, m journal.Mutation) (journal.Receipt, error) {
	got, err := r.Store.Commit(ctx, m)
	if err == nil && len(m.Events) > 0 {
		r.write(recordLine{Did: "commit", Epoch: m.Epoch, Stream: m.Stream, Seq: got.Seq, Event: got.Event, Events: len(m.Events), Position: got.Position, Commit: m.ID})
	}
	return got, err
}

// Close closes the log too.
func (r *recorded) Close() error {
	_ = r.out.Close()
	return r.Store.Close()
}
