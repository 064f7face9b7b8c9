package engine

import (
	"context"
	"encoding/json"
	"io"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// Load folds a run from the journal. An unknown run is NotFound.
func Load(ctx context.Context, log journal.Reader, tenant decouple.TenantID, id decouple.RunID) (State, error) {
	return loadUpTo(ctx, log, tenant, origin{Run: id})
}

// loadUpTo folds a run as far as an origin says: up to the results of a step, or all of it. What it has from a run before it is loaded too.
func loadUpTo(ctx context.Context, log journal.Reader, tenant decouple.TenantID, o origin) (State, error) {
	events, err := log.Read(ctx, decouple.RunStream(tenant, o.Run), 0, 0)
	if err != nil {
		return State{}, err
	}
	if len(events) == 0 {
		return State{}, decouple.Errorf(decouple.NotFound, "there is no run %s", o.Run)
	}
	var s State
	for i, e := range events {
		if e.Payload, err = fetch(ctx, log, tenant, e.Payload); err != nil {
			return s, err
		}
		if o.Step > 0 && e.Kind == kindAnswered {
			var next answered
			if err := json.Unmarshal(e.Payload, &next); err == nil && next.Step > o.Step {
				s.applyResults(next.Results)
				break
			}
		}
		if s, err = Apply(s, e); err != nil {
			return s, err
		}
		if i == 0 && s.From != nil {
			before, err := loadUpTo(ctx, log, tenant, *s.From)
			if err != nil {
				return s, err
			}
			s.inherit(before)
		}
	}
	s.Agent, err = loadAgent(ctx, log, tenant, s.Run.Agent, s.Run.Version)
	return s, err
}

// fetch gives the body itself, or what it says is kept as a blob.
func fetch(ctx context.Context, log journal.Reader, tenant decouple.TenantID, b []byte) ([]byte, error) {
	const short = 128 // an elsewhere is never longer
	var at elsewhere
	if len(b) > short || json.Unmarshal(b, &at) != nil || at.Blob == "" {
		return b, nil
	}
	r, err := log.GetBlob(ctx, tenant, at.Blob)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func agentStream(tenant decouple.TenantID, name decouple.AgentName) decouple.Stream {
	return decouple.Stream{Tenant: tenant, Kind: decouple.StreamAgent, ID: string(name)}
}

// loadAgent finds the version of an agent that a run is pinned to.
func loadAgent(ctx context.Context, log journal.Reader, tenant decouple.TenantID, name decouple.AgentName, version decouple.VersionHash) (decouple.Agent, error) {
	events, err := log.Read(ctx, agentStream(tenant, name), 0, 0)
	if err != nil {
		return decouple.Agent{}, err
	}
	for _, e := range events {
		a, err := readAgent(ctx, log, tenant, e)
		if err != nil || a.Version == version {
			return a, err
		}
	}
	return decouple.Agent{}, decouple.Errorf(decouple.Internal, "the journal lacks version %.12s of agent %s", version, name)
}

// keepVersion writes an agent's version into its stream, once.
func (e *Engine) keepVersion(ctx context.Context, tenant decouple.TenantID, a decouple.Agent) error {
	key := agentVersion{tenant, a.Name, a.Version}
	e.mu.Lock()
	ok := e.known[key]
	e.mu.Unlock()
	if ok {
		return nil
	}
	for {
		if _, err := loadAgent(ctx, e.Store, tenant, a.Name, a.Version); err == nil {
			break
		}
		events, err := e.Store.Read(ctx, agentStream(tenant, a.Name), 0, 0)
		if err != nil {
			return err
		}
		b, err := json.Marshal(a)
		if err != nil {
			return err
		}
		b, pins, err := e.shrink(ctx, decouple.Run{Tenant: tenant}, b)
		if err != nil {
			return err
		}
		_, err = e.Store.Commit(ctx, journal.Mutation{
			ID: decouple.CommitID("agent/" + string(tenant) + "/" + string(a.Name) + "/" + string(a.Version)), Stream: agentStream(tenant, a.Name), Expect: decouple.Seq(len(events)),
			Events: []journal.NewEvent{{Kind: kindAgent, KindVersion: kindVersion, Actor: e.Actor, Payload: b}}, Pin: pins,
		})
		if decouple.KindOf(err) == decouple.Conflict {
			continue // another one wrote a version meanwhile
		}
		if err != nil {
			return err
		}
		break
	}
	e.mu.Lock()
	e.known[key] = true
	e.mu.Unlock()
	return nil
}

// stateCache keeps folded states of parked runs, so that a wake-up need not read them again. It is emptied when it has grown too large.
type stateCache struct {
	m    map[decouple.RunID]*State
	size int64
}

const maxCached = 24 << 20 // bytes of conversation, roughly

func (c *stateCache) put(s *State) {
	size := s.promptTokens()*3 + 2048
	if c.m == nil || c.size+size > maxCached {
		c.m, c.size = map[decouple.RunID]*State{}, 0
	}
	c.m[s.Run.ID] = s
	c.size += size
}

// take removes the state of a run, if it is there and up to date.
func (c *stateCache) take(id decouple.RunID, seq decouple.Seq) *State {
	s := c.m[id]
	if s == nil {
		return nil
	}
	delete(c.m, id)
	c.size -= s.promptTokens()*3 + 2048
	if s.Seq != seq {
		return nil
	}
	return s
}
