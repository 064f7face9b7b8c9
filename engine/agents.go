package engine

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
)

// deployed is what is known of the newest version that was put of an agent.
type deployed struct {
	agent *decouple.Agent // nil: none was put
	seq   decouple.Seq    // of the agent's stream, as far as it is read
	at    time.Time
	by    decouple.Actor // who put it
	since time.Time      // when its schedule was changed by a put; zero is never
}

// fresh is how long an engine goes on with the agents that it knows before it looks whether another node was given a newer version.
const fresh = time.Second

// PutAgent deploys a version of an agent for a tenant: new runs begin with it within a second on every node, runs under way stay on theirs. An agent may not: it would give
// itself what it may do.
func (e *Engine) PutAgent(ctx context.Context, tenant decouple.TenantID, a decouple.Agent, by decouple.Actor) error {
	if by.Kind == decouple.ActorAgent {
		return decouple.Errorf(decouple.Denied, "agent %s may not deploy agents, itself least of all: a person or a service has to", by.ID)
	}
	if a.Name == "" || a.Version == "" {
		return decouple.Errorf(decouple.Invalid, "an agent needs a name and a version")
	}
	if err := e.complete(a); err != nil {
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
	for {
		events, err := e.Store.Read(ctx, agentStream(tenant, a.Name), 0, 0)
		if err != nil {
			return err
		}
		seq := decouple.Seq(len(events))
		_, err = e.Store.Commit(ctx, journal.Mutation{
			ID: decouple.CommitID("put/" + string(tenant) + "/" + string(a.Name) + "/" + string(a.Version) + "/" + newTraceText()), Stream: agentStream(tenant, a.Name), Expect: seq,
			Events: []journal.NewEvent{{Kind: kindPut, KindVersion: kindVersion, Actor: by, Payload: b}}, Pin: pins,
		})
		if decouple.KindOf(err) == decouple.Conflict {
			continue // another one wrote a version meanwhile
		}
		if err == nil {
			e.mu.Lock()
			delete(e.puts, agentVersion{tenant: tenant, name: a.Name})
			e.mu.Unlock()
		}
		return err
	}
}

func newTraceText() string { return string(newTrace())[:12] }

// lookup gives the agent that a new run of a tenant begins with: the version that was put last, or else the one that this process was started with.
func (e *Engine) lookup(ctx context.Context, tenant decouple.TenantID, name decouple.AgentName) (decouple.Agent, error) {
	key := agentVersion{tenant: tenant, name: name}
	e.mu.Lock()
	d, known := e.puts[key]
	e.mu.Unlock()
	if !known || time.Since(d.at) > fresh {
		events, err := e.Store.Read(ctx, agentStream(tenant, name), d.seq, 0)
		if err != nil {
			return decouple.Agent{}, err
		}
		d.at = time.Now()
		for _, ev := range events {
			if d.seq = ev.Seq; ev.Kind != kindPut {
				continue
			}
			a, err := readAgent(ctx, e.Store, tenant, ev)
			if err != nil {
				return decouple.Agent{}, err
			}
			if d.agent != nil && !sameSchedule(d.agent.Schedule, a.Schedule) {
				d.since = ev.Time
			}
			d.agent, d.by = &a, ev.Actor
		}
		e.mu.Lock()
		e.puts[key] = d
		e.mu.Unlock()
	}
	if d.agent != nil {
		return *d.agent, nil
	}
	if a, ok := e.agents[name]; ok {
		return a, nil
	}
	return decouple.Agent{}, decouple.Errorf(decouple.NotFound, "there is no agent %q; `decouple agents ls` lists them", name)
}

func sameSchedule(a, b *decouple.Schedule) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// put gives what is known of the newest version that was put, as it was looked up last.
func (e *Engine) put(tenant decouple.TenantID, name decouple.AgentName) deployed {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.puts[agentVersion{tenant: tenant, name: name}]
}

// Agent gives the agent that a new run of a tenant begins with.
func (e *Engine) Agent(ctx context.Context, tenant decouple.TenantID, name decouple.AgentName) (decouple.Agent, error) {
	return e.lookup(ctx, tenant, name)
}

// AgentVersion is a version of an agent that the journal holds.
type AgentVersion struct {
	decouple.Agent
	Seq decouple.Seq   `json:"seq"`
	At  time.Time      `json:"at"`
	By  decouple.Actor `json:"by"`
	Put bool           `json:"put"` // deployed; else it came with the first run of a process that was started with it
}

// Versions lists the versions of an agent that the journal holds, oldest first.
func Versions(ctx context.Context, log journal.Reader, tenant decouple.TenantID, name decouple.AgentName) ([]AgentVersion, error) {
	events, err := log.Read(ctx, agentStream(tenant, name), 0, 0)
	if err != nil {
		return nil, err
	}
	var out []AgentVersion
	for _, ev := range events {
		a, err := readAgent(ctx, log, tenant, ev)
		if err != nil {
			return nil, err
		}
		out = append(out, AgentVersion{Agent: a, Seq: ev.Seq, At: ev.Time, By: ev.Actor, Put: ev.Kind == kindPut})
	}
	return out, nil
}

// Deployed lists the agents of a tenant that were put.
func Deployed(ctx context.Context, log journal.Reader, tenant decouple.TenantID) ([]decouple.AgentName, error) {
	var names []decouple.AgentName
	f := journal.Filter{Tenant: tenant, Kind: decouple.StreamAgent}
	for {
		events, err := log.Scan(ctx, f)
		if err != nil || len(events) == 0 {
			return names, err
		}
		for _, e := range events {
			if name := decouple.AgentName(e.Stream.ID); e.Kind == kindPut && !slices.Contains(names, name) {
				names = append(names, name)
			}
			f.After = e.Position
		}
	}
}

func readAgent(ctx context.Context, log journal.Reader, tenant decouple.TenantID, ev decouple.Event) (decouple.Agent, error) {
	var a decouple.Agent
	b, err := fetch(ctx, log, tenant, ev.Payload)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return a, decouple.Errorf(decouple.Internal, "version %d of agent %s cannot be read: %w", ev.Seq, ev.Stream.ID, err)
	}
	return a, nil
}
