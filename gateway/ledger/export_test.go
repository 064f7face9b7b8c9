package ledger

import (
	"encoding/json"
	"errors"
	"time"
)

// Kill stops a ledger as kill -9 would: what is in its memory is gone, what it sent to the store may arrive or not.
func (l *Ledger) Kill() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.quit()
	l.tasks.Wait()
	l.files.toDisk.Lock()
	defer l.files.toDisk.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.files.writing {
		l.cond.Wait()
	}
	var err error
	for _, s := range l.files.all {
		err = errors.Join(err, s.f.Close())
	}
	return errors.Join(err, unlock(l.files.lock))
}

// Tend does once what is done in the background, as if nothing had been used for a minute, and waits for what the background does at the time.
func (l *Ledger) Tend() {
	l.look()
	l.answered()
	l.mu.Lock()
	for _, a := range l.windows {
		a.rest = time.Time{}
		a.used = a.used.Add(-time.Minute)
	}
	l.mu.Unlock()
	l.tend()
	l.answered()
}

// answered waits for the questions that are under way.
func (l *Ledger) answered() {
	for _, a := range l.listAccounts() {
		l.mu.Lock()
		q := a.busy
		l.mu.Unlock()
		if q != nil {
			<-q.done
		}
	}
}

// Fold reads a file's lines; it says how many calls are under way, settled and not journaled, and what cannot be read.
func Fold(p []byte) (open, pending, damaged int) {
	t := newTally()
	t.read(1, p)
	return len(t.open), len(t.pending), t.damaged
}

// RoundTrip writes a settlement as a line and reads it; kept is false if it is refused.
func RoundTrip(c Call, s Settlement) (id, model, endpoint string, kept bool) {
	if c.check() != nil || s.check() != nil {
		return "", "", "", false
	}
	b := appendSettle(nil, &Entry{call: c}, 1, &s)
	var got storedCall
	if kind, body, ok := line(b[:len(b)-1]); !ok || kind != recordSettle || json.Unmarshal(body, &got) != nil {
		return "", "", "", true
	}
	return got.ID, got.Model, got.Lines[0].Endpoint, true
}
