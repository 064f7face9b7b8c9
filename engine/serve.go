package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Serve drives all runs of all tenants, and starts what is scheduled, until ctx ends; then it hands what it has to other nodes. One run's failure ends nobody else.
func (e *Engine) Serve(ctx context.Context) error {
	d := &drive{Engine: e, node: true, ended: make(chan error, 1), idle: make(chan struct{}, 1)}
	var clock sync.WaitGroup
	clock.Go(func() { e.keepSchedules(ctx) })
	err := d.run(ctx)
	clock.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// rest pauses after a failure of the store, which a node outlives; false is that ctx has ended.
func (d *drive) rest(ctx context.Context, err error) bool {
	d.Log.Warn("no work can be had for now", "error", err)
	return pause(ctx, time.Second)
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// handOver makes the run ready for another node. What had come back and is not committed is asked for again there.
func (j *job) handOver() error {
	id := decouple.CommitID(string(j.s.Run.ID) + "/over/" + rand.Text()[:8])
	_, err := j.Store.Commit(context.WithoutCancel(j.ctx), journal.Mutation{
		ID: id, Stream: decouple.RunStream(j.s.Run.Tenant, j.s.Run.ID), Expect: j.s.Seq, Epoch: j.claim.Epoch,
		Status: &journal.StatusChange{Status: decouple.RunReady, Steps: j.s.Steps, Usage: j.s.Usage},
	})
	j.drop()
	return err
}

// again is how long a run that failed in this node is left alone, and how long one that this program cannot read.
const (
	again     = time.Second
	unread    = time.Minute
	maxParked = 500 // bytes of a reason
)

// tolerate keeps one run's failure from ending a node: a run that is somebody else's by now is forgotten, one that the store failed is taken up again, and one that this program cannot
// read is put aside for a node that can.
func (d *drive) tolerate(ctx context.Context, c journal.Claim, err error) error {
	if err == nil || !d.node {
		return err
	}
	if errors.Is(err, errLost) || !d.Store.Holds(c.Epoch) {
		return nil
	}
	d.Log.Error("a run failed in this node", "run", c.Run.ID, "error", err)
	pause(ctx, again)
	ctx = context.WithoutCancel(ctx)
	rows, lerr := d.Store.Runs(ctx, journal.RunFilter{Tenant: c.Run.Tenant, ID: c.Run.ID})
	if lerr != nil || len(rows) != 1 || rows[0].Status != decouple.RunRunning || rows[0].Epoch != c.Epoch {
		return nil // its lease is what frees it, if it is still this node's
	}
	st := journal.StatusChange{Status: decouple.RunReady, Steps: rows[0].Steps, Usage: rows[0].Usage}
	if decouple.KindOf(err) == decouple.Internal {
		why := err.Error()
		st.Status, st.Wake = decouple.RunParked, time.Now().Add(unread)
		st.Wait = decouple.Wait{Kind: decouple.WaitCapacity, For: "a node that can go on with it: " + why[:min(len(why), maxParked)]}
		st.Seen, st.Until = rows[0].Inbox, rows[0].Inbox+1<<30
	}
	_, lerr = d.Store.Commit(ctx, journal.Mutation{
		ID: decouple.CommitID(string(c.Run.ID) + "/aside/" + rand.Text()[:8]), Stream: decouple.RunStream(c.Run.Tenant, c.Run.ID), Expect: rows[0].Seq, Epoch: c.Epoch, Status: &st,
	})
	if lerr != nil {
		d.Log.Error("a run could not be put aside", "run", c.Run.ID, "error", lerr)
	}
	return nil
}
