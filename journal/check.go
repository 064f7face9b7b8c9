package journal

import (
	"encoding/json"

	"decouple.dev/decouple"
)

// Check refuses what no state of a journal could make valid; every store asks it first.
func (m Mutation) Check() error {
	if m.ID == "" {
		return decouple.Errorf(decouple.Invalid, "a commit needs an id")
	}
	whole := m.Stream.Tenant != "" && m.Stream.Kind != "" && m.Stream.ID != ""
	if !whole && (m.Stream != decouple.Stream{} || len(m.Events) > 0 || m.Status != nil || m.Consume > 0 || len(m.Pin) > 0 || len(m.Put) > 0 || m.Expect != 0) {
		return decouple.Errorf(decouple.Invalid, "commit %s: the stream %q is not whole: it needs tenant, kind and id", m.ID, m.Stream)
	}
	if m.Stream.Kind != decouple.StreamRun && (m.Status != nil || m.Consume > 0) {
		return decouple.Errorf(decouple.Invalid, "commit %s: only a run has a status and an inbox, not %s", m.ID, m.Stream)
	}
	if err := checkEvents(m.ID, m.Events); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, n := range m.Create {
		name, key := "run "+string(n.Run.Tenant)+"/"+string(n.Run.ID), "key "+string(n.Run.Tenant)+"/"+n.Run.IdempotencyKey
		if seen[name] {
			return decouple.Errorf(decouple.Conflict, "commit %s: there is a run %s already: it comes twice", m.ID, n.Run.ID)
		}
		if n.Run.IdempotencyKey != "" && seen[key] {
			return decouple.Errorf(decouple.Conflict, "commit %s: the idempotency key %q belongs to another run of this commit", m.ID, n.Run.IdempotencyKey)
		}
		seen[name], seen[key] = true, true
		if n.Run.ID == "" || n.Run.Tenant == "" || n.Run.Root == "" || n.Run.Agent == "" {
			return decouple.Errorf(decouple.Invalid, "commit %s: a new run needs id, tenant, root and agent", m.ID)
		}
		if err := checkEvents(m.ID, n.Events); err != nil {
			return err
		}
	}
	for _, p := range m.Put {
		if p.To == "" || p.Kind == "" || p.From == "" || !jsonOrEmpty(p.Body) {
			return decouple.Errorf(decouple.Invalid, "commit %s: a message needs a run, a kind, a sender and a body of JSON", m.ID)
		}
		if len(p.Body) > MaxPayload {
			return decouple.Errorf(decouple.TooLarge, "commit %s: a message of %d bytes is over %d: put it as a blob first", m.ID, len(p.Body), MaxPayload)
		}
	}
	return checkStatus(m)
}

func checkStatus(m Mutation) error {
	if m.Status == nil {
		return nil
	}
	switch st := m.Status; st.Status {
	case decouple.RunReady, decouple.RunRunning:
	case decouple.RunParked:
		if st.Wait.Kind == decouple.WaitNone {
			return decouple.Errorf(decouple.Invalid, "commit %s: a run that parks must say what it waits for", m.ID)
		}
	case decouple.RunEnded:
		if st.Cause.Kind == "" {
			return decouple.Errorf(decouple.Invalid, "commit %s: a run that ends must say why", m.ID)
		}
	default:
		return decouple.Errorf(decouple.Invalid, "commit %s: %q is not a status", m.ID, st.Status)
	}
	return nil
}

func checkEvents(id decouple.CommitID, events []NewEvent) error {
	for _, e := range events {
		if e.Kind == "" || e.KindVersion < 1 {
			return decouple.Errorf(decouple.Invalid, "commit %s: an event needs a kind and a kind version from 1", id)
		}
		if len(e.Payload) > MaxPayload {
			return decouple.Errorf(decouple.TooLarge, "commit %s: the payload of %s has %d bytes, over %d: put it as a blob first", id, e.Kind, len(e.Payload), MaxPayload)
		}
		if !jsonOrEmpty(e.Payload) {
			return decouple.Errorf(decouple.Invalid, "commit %s: the payload of %s is not JSON", id, e.Kind)
		}
	}
	return nil
}

func jsonOrEmpty(b []byte) bool { return len(b) == 0 || json.Valid(b) }
