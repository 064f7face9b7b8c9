package ledger

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// StreamUsage is the kind of the streams that settlements are journaled in: one for each tenant and file, named holder/segment.
const StreamUsage decouple.StreamKind = "usage"

// UsageRecorded is the event of a batch of settlements.
const UsageRecorded decouple.EventKind = "usage.recorded"

// storedUsage is the payload of a batch's event. Calls are in order of their number.
type storedUsage struct {
	Calls []storedCall `json:"calls"`
}

// maxEvent is how many bytes of calls one event has: what follows it is well below what a commit may carry.
const maxEvent = journal.MaxPayload - 4<<10

// journalLoop hands settlements to the journal.
func (l *Ledger) journalLoop() {
	for wait := l.cfg.Journal; l.pause(wait, l.wake.journal); {
		wait = l.cfg.Journal
		ctx, cancel := context.WithTimeout(l.ctx, 30*time.Second)
		err := l.Flush(ctx)
		cancel()
		if err == nil || l.ctx.Err() != nil {
			continue
		}
		l.cfg.Log.Warn("usage waits in the ledger's files: the journal does not take it", "error", err)
		wait = max(time.Second, wait)
		select {
		case <-l.wake.journal: // it would only fail again
		default:
		}
	}
}

// Flush hands all settlements to the journal that there are now.
func (l *Ledger) Flush(ctx context.Context) error {
	l.mu.Lock()
	last := l.settled
	l.mu.Unlock()
	for {
		rest, err := l.journal(ctx)
		if err != nil || rest == 0 || rest > last {
			return err
		}
	}
}

// journal commits one batch, and gives the number of the first settlement that the journal does not have then; 0 is none. A batch is sealed in the file, and on the disk, before it is committed: whatever happens then, the
// same settlements are committed again under the same ids, and the journal recognises them.
func (l *Ledger) journal(ctx context.Context) (int64, error) {
	l.batching.Lock()
	defer l.batching.Unlock()
	batch, s, err := l.sealBatch()
	if err != nil || s == nil {
		return 0, err
	}
	if err := l.files.sync(); err != nil {
		return 0, err
	}
	parts, err := readBatch(batch)
	if err != nil {
		return 0, err
	}
	for _, tenant := range slices.Sorted(maps.Keys(parts)) {
		if err := l.commitUsage(ctx, s, tenant, parts[tenant]); err != nil {
			return 0, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range batch {
		p.segment.refs--
	}
	l.pending = slices.Delete(l.pending, 0, len(batch))
	l.seal = nil
	var bad error
	l.files.append(func(b []byte) []byte {
		b, bad = appendJSON(b, recordDone, storedDone{s.Last})
		return b
	})
	if err := l.files.written(l.files.appended); err != nil || bad != nil {
		return 0, errorOf(err, bad)
	}
	if err := l.files.trim(); err != nil {
		return 0, decouple.Errorf(decouple.Unavailable, "a file of the ledger that is not needed any more cannot be deleted: %w", err)
	}
	if len(l.pending) == 0 {
		return 0, nil
	}
	return l.pending[0].n, nil
}

func errorOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// sealBatch takes the oldest settlements and writes down that they are one batch. A batch whose fate is not known comes first, as it was.
func (l *Ledger) sealBatch() ([]pending, *storedSeal, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) == 0 {
		l.seal = nil
		return nil, nil, nil
	}
	if l.seal != nil && l.pending[0].n > l.seal.Last {
		l.seal = nil
	}
	if l.seal == nil {
		n := min(len(l.pending), l.cfg.Batch)
		stream := l.holder + "/" + strconv.FormatInt(l.files.current.n, 10)
		if stream != l.stream {
			l.stream, l.seqs = stream, map[decouple.TenantID]decouple.Seq{}
		}
		s := &storedSeal{First: l.pending[0].n, Last: l.pending[n-1].n, Stream: stream, Expects: map[decouple.TenantID]decouple.Seq{}}
		for _, p := range l.pending[:n] {
			s.Expects[p.tenant] = l.seqs[p.tenant]
		}
		var bad error
		l.files.append(func(b []byte) []byte {
			b, bad = appendJSON(b, recordSeal, s)
			return b
		})
		if bad != nil {
			return nil, nil, bad
		}
		l.seal = s
	}
	n := 0
	for n < len(l.pending) && l.pending[n].n <= l.seal.Last {
		n++
	}
	return slices.Clone(l.pending[:n]), l.seal, nil
}

// readBatch reads the settlements of a batch from the files, by tenant.
func readBatch(batch []pending) (map[decouple.TenantID][][]byte, error) {
	parts := map[decouple.TenantID][][]byte{}
	for i := 0; i < len(batch); {
		// All that is in one file is read at once.
		j, from := i, batch[i].offset
		for j < len(batch) && batch[j].segment == batch[i].segment {
			j++
		}
		p := make([]byte, batch[j-1].offset+int64(batch[j-1].size)-from)
		if _, err := batch[i].segment.f.ReadAt(p, from); err != nil {
			return nil, decouple.Errorf(decouple.Unavailable, "the ledger's file cannot be read: %w", err)
		}
		for ; i < j; i++ {
			at := batch[i].offset - from
			kind, body, ok := line(bytes.TrimSuffix(p[at:at+int64(batch[i].size)], []byte("\n")))
			if !ok || kind != recordSettle {
				return nil, decouple.Errorf(decouple.Internal, "the settlement %d in the ledger's file has changed since it was written: its disk or its memory is damaged", batch[i].n)
			}
			parts[batch[i].tenant] = append(parts[batch[i].tenant], body)
		}
	}
	return parts, nil
}

// commitUsage commits a tenant's part of a batch.
func (l *Ledger) commitUsage(ctx context.Context, s *storedSeal, tenant decouple.TenantID, calls [][]byte) error {
	m := journal.Mutation{
		ID:     decouple.CommitID(fmt.Sprintf("usage/%s/%d-%d/%s", l.holder, s.First, s.Last, tenant)),
		Stream: decouple.Stream{Tenant: tenant, Kind: StreamUsage, ID: s.Stream}, Expect: s.Expects[tenant], Events: usageEvents(l.actor(), calls),
	}
	r, err := l.cfg.Store.Commit(ctx, m)
	if decouple.KindOf(err) == decouple.Conflict {
		// The stream is this folder's own, so this is a folder that was copied back, or a journal that was. What it has is found out, and stays.
		events, readErr := l.cfg.Store.Read(ctx, m.Stream, 0, 0)
		if readErr != nil {
			return readErr
		}
		if m.Expect = 0; len(events) > 0 {
			m.Expect = events[len(events)-1].Seq
		}
		r, err = l.cfg.Store.Commit(ctx, m)
	}
	if err != nil {
		return err
	}
	if s.Stream == l.stream {
		l.seqs[tenant] = r.Seq
	}
	return nil
}

// usageEvents puts calls in as few events as they fit in.
func usageEvents(by decouple.Actor, calls [][]byte) []journal.NewEvent {
	var out []journal.NewEvent
	var b []byte
	for _, c := range calls {
		if len(b) > 0 && len(b)+len(c) > maxEvent {
			out = append(out, usageEvent(by, b))
			b = nil
		}
		if len(b) > 0 {
			b = append(b, ',')
		} else {
			b = append(b, `{"calls":[`...)
		}
		b = append(b, c...)
	}
	return append(out, usageEvent(by, b))
}

func usageEvent(by decouple.Actor, b []byte) journal.NewEvent {
	return journal.NewEvent{Kind: UsageRecorded, KindVersion: 1, Actor: by, Payload: append(b, "]}"...)}
}
