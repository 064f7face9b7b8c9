package tool

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/prose"
)

// MemoryLog is the part of a journal that memories are kept in.
type MemoryLog interface {
	Read(ctx context.Context, s decouple.Stream, after decouple.Seq, limit int) ([]decouple.Event, error)
	Commit(ctx context.Context, m journal.Mutation) (journal.Receipt, error)
}

// The kinds of event in a stream of memories.
const (
	MemoryPut     decouple.EventKind = "memory.put"
	MemoryRemoved decouple.EventKind = "memory.removed"
)

// Bounds of a memory.
const (
	maxMemory    = 16 << 10 // bytes of its text
	maxMemoryKey = 200
	maxScopes    = 1024 // streams that are kept folded
)

// remembered is the payload of memory.put and memory.removed: what, and which call of which run of which version of an agent said so.
type remembered struct {
	Key     string               `json:"key"`
	Text    string               `json:"text,omitempty"`
	Run     decouple.RunID       `json:"run"`
	Call    decouple.CallID      `json:"call"`
	Agent   decouple.AgentName   `json:"agent"`
	Version decouple.VersionHash `json:"version"`
}

// Memory gives the tools by which agents remember: memory.put, memory.get and memory.search. A memory is of an agent, of the tenant, or of a tree of runs; each is
// a stream of events, so that what was remembered when, and by which run, is never lost.
func Memory(log MemoryLog) []decouple.Tool {
	m := &memory{log: log, scopes: map[decouple.Stream]*scope{}}
	return []decouple.Tool{memoryPut{m}, memoryGet{m}, memorySearch{m}}
}

// memory is what is remembered, folded as far as it was asked for.
type memory struct {
	log    MemoryLog
	mu     sync.Mutex
	scopes map[decouple.Stream]*scope
}

// scope is a stream of memories, folded.
type scope struct {
	mu    sync.Mutex
	seq   decouple.Seq
	facts map[string]fact
}

// fact is what is remembered under a key, with where it is from.
type fact struct {
	Scope string             `json:"scope"`
	Key   string             `json:"key"`
	Text  string             `json:"text"`
	By    decouple.AgentName `json:"by"`
	Run   decouple.RunID     `json:"run"`
	At    time.Time          `json:"at"`
}

// The scopes, in the order in which they are looked through.
var scopeNames = []string{"tree", "agent", "tenant"}

// streamOf is the stream of a scope as a run sees it.
func streamOf(run decouple.Run, name string) decouple.Stream {
	id := name
	switch name {
	case "tree":
		id += ":" + string(run.Root)
	case "agent":
		id += ":" + string(run.Agent)
	}
	return decouple.Stream{Tenant: run.Tenant, Kind: decouple.StreamMemory, ID: id}
}

// look brings a scope up to date and hands it to fn.
func (m *memory) look(ctx context.Context, stream decouple.Stream, fn func(*scope)) error {
	m.mu.Lock()
	s := m.scopes[stream]
	if s == nil {
		if len(m.scopes) >= maxScopes {
			clear(m.scopes) // they are folded again when they are asked for
		}
		s = &scope{facts: map[string]fact{}}
		m.scopes[stream] = s
	}
	m.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	events, err := m.log.Read(ctx, stream, s.seq, 0)
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(stream.ID, ":")
	for _, e := range events {
		var p remembered
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			return decouple.Errorf(decouple.Internal, "the memory at position %d cannot be read: %w", e.Position, err)
		}
		switch s.seq = e.Seq; e.Kind {
		case MemoryPut:
			s.facts[p.Key] = fact{Scope: name, Key: p.Key, Text: p.Text, By: p.Agent, Run: p.Run, At: e.Time}
		case MemoryRemoved:
			delete(s.facts, p.Key)
		}
	}
	fn(s)
	return nil
}

const scopeSchema = `"scope":{"type":"string","enum":["agent","tenant","tree"],"description":"agent: only runs of this agent see it; tenant: every agent does; tree: only this tree of runs does."}`

type memoryPut struct{ *memory }

// Spec says what memory.put is. A call has one effect: the journal knows its key.
func (t memoryPut) Spec() decouple.ToolSpec {
	return decouple.ToolSpec{Name: decouple.ToolMemoryPut, Effect: decouple.EffectKeyed, Description: "Remembers a text under a key for later runs, in place of what was remembered under it; an empty text forgets it.",
		Params: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["key","text"],"properties":{"key":{"type":"string"},"text":{"type":"string"},` + scopeSchema + `}}`)}
}

// memoryArgs are the arguments of all of them.
type memoryArgs struct {
	Scope string `json:"scope"`
	Key   string `json:"key"`
	Text  string `json:"text"`
	Query string `json:"query"`
	Limit int    `json:"limit"`
}

const memoryExample = `{"scope": "agent", "key": "name", "text": "what to remember"}, where the scope may be left out`

// readMemory reads arguments.
func readMemory(raw json.RawMessage, scopeDefault string) (memoryArgs, string) {
	var a memoryArgs
	why := decode(raw, &a)
	a.Scope = cmp.Or(a.Scope, scopeDefault)
	switch {
	case why != "":
	case a.Scope != "" && !slices.Contains(scopeNames, a.Scope):
		why = "the scope must be agent, tenant or tree"
	case len(a.Key) > maxMemoryKey:
		why = "a key has up to 200 bytes"
	case len(a.Text) > maxMemory:
		why = "a text has up to 16 kB: remember what matters of it"
	}
	return a, why
}

// Do remembers.
func (t memoryPut) Do(ctx context.Context, inv decouple.Invocation) (decouple.Outcome, error) {
	a, why := readMemory(inv.Args, "agent")
	if why == "" && strings.TrimSpace(a.Key) == "" {
		why = "the key is missing"
	}
	if why != "" {
		return refuse(t.Spec(), why, memoryExample), nil
	}
	kind := MemoryPut
	if a.Text == "" {
		kind = MemoryRemoved
	}
	payload, err := json.Marshal(remembered{Key: a.Key, Text: a.Text, Run: inv.Run.ID, Call: inv.Call, Agent: inv.Run.Agent, Version: inv.Run.Version})
	if err != nil {
		return decouple.Outcome{}, err
	}
	stream := streamOf(inv.Run, a.Scope)
	for {
		var seq decouple.Seq
		if err := t.look(ctx, stream, func(s *scope) { seq = s.seq }); err != nil {
			return decouple.Outcome{}, err
		}
		_, err := t.log.Commit(ctx, journal.Mutation{
			ID: decouple.CommitID("memory/" + inv.Key), Stream: stream, Expect: seq,
			Events: []journal.NewEvent{{Kind: kind, KindVersion: 1, Actor: decouple.Actor{Kind: decouple.ActorAgent, ID: string(inv.Run.Agent)}, RootRun: inv.Run.Root, Trace: inv.Run.Trace, Payload: payload}},
		})
		if decouple.KindOf(err) == decouple.Conflict && ctx.Err() == nil {
			continue // another run has remembered something meanwhile
		}
		if err != nil {
			return decouple.Outcome{}, err
		}
		return decouple.Outcome{Text: `{"remembered":` + string(quote(a.Key)) + `,"scope":"` + a.Scope + `"}`}, nil
	}
}

func quote(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		return []byte(`""`)
	}
	return b
}

type memoryGet struct{ *memory }

// Spec says what memory.get is.
func (t memoryGet) Spec() decouple.ToolSpec {
	return decouple.ToolSpec{Name: decouple.ToolMemoryGet, Effect: decouple.EffectNone, Description: "Gives what is remembered under a key, with who remembered it in which run and when; without a scope in the tree, then the agent, then the tenant.",
		Params: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["key"],"properties":{"key":{"type":"string"},` + scopeSchema + `}}`)}
}

// Do looks a key up.
func (t memoryGet) Do(ctx context.Context, inv decouple.Invocation) (decouple.Outcome, error) {
	a, why := readMemory(inv.Args, "")
	if why != "" {
		return refuse(t.Spec(), why, memoryExample), nil
	}
	for _, name := range scopeNames {
		if a.Scope != "" && a.Scope != name {
			continue
		}
		var f fact
		var ok bool
		if err := t.look(ctx, streamOf(inv.Run, name), func(s *scope) { f, ok = s.facts[a.Key] }); err != nil {
			return decouple.Outcome{}, err
		}
		if ok {
			return answer(f, nil)
		}
	}
	return decouple.Outcome{Text: `{"found":false}`}, nil
}

type memorySearch struct{ *memory }

// Spec says what memory.search is.
func (t memorySearch) Spec() decouple.ToolSpec {
	return decouple.ToolSpec{Name: decouple.ToolMemorySearch, Effect: decouple.EffectNone, Description: "Finds what is remembered that answers a query best, in all scopes or in one. An empty query gives the newest.",
		Params: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["query"],"properties":{"query":{"type":"string"},"limit":{"type":"integer","minimum":1,"maximum":50},` + scopeSchema + `}}`)}
}

// Do searches.
func (t memorySearch) Do(ctx context.Context, inv decouple.Invocation) (decouple.Outcome, error) {
	a, why := readMemory(inv.Args, "")
	if why == "" && (a.Limit < 0 || a.Limit > 50) {
		why = "the limit is not between 1 and 50"
	}
	if why != "" {
		return refuse(t.Spec(), why, `{"query": "words", "scope": "agent", "limit": 10}, where all but query may be left out`), nil
	}
	var all []fact
	for _, name := range scopeNames {
		if a.Scope != "" && a.Scope != name {
			continue
		}
		err := t.look(ctx, streamOf(inv.Run, name), func(s *scope) {
			for _, f := range s.facts {
				all = append(all, f)
			}
		})
		if err != nil {
			return decouple.Outcome{}, err
		}
	}
	best := bestFacts(all, a.Query, cmp.Or(a.Limit, 10))
	size := 0
	for i, f := range best {
		if size += len(f.Text) + len(f.Key); size > maxText && i > 0 {
			best = best[:i]
			break
		}
	}
	return answer(struct {
		Memories []fact `json:"memories"`
		Of       int    `json:"of"` // that there are
	}{best, len(all)}, nil)
}

// bestFacts ranks memories by the rare terms of the query that they hold, then by age. Without a query the newest come first.
func bestFacts(all []fact, query string, limit int) []fact {
	terms := prose.Set(query)
	holds := map[string]int{}
	sets := make([]map[string]bool, len(all))
	for i, f := range all {
		sets[i] = prose.Set(f.Key + " " + f.Text)
		for term := range terms {
			if sets[i][term] {
				holds[term]++
			}
		}
	}
	type scored struct {
		fact
		score float64
	}
	ranked := make([]scored, 0, len(all))
	for i, f := range all {
		score := 0.0
		for term := range terms {
			if sets[i][term] {
				score += math.Log1p(float64(len(all)) / float64(holds[term]))
			}
		}
		if score > 0 || strings.TrimSpace(query) == "" {
			ranked = append(ranked, scored{f, score})
		}
	}
	slices.SortFunc(ranked, func(x, y scored) int {
		return cmp.Or(cmp.Compare(y.score, x.score), y.At.Compare(x.At), cmp.Compare(x.Scope, y.Scope), cmp.Compare(x.Key, y.Key))
	})
	out := []fact{}
	for _, r := range ranked[:min(limit, len(ranked))] {
		out = append(out, r.fact)
	}
	return out
}
