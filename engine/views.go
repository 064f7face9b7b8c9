package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/placement"
)

// PendingApproval is a call that waits for people to decide.
type PendingApproval struct {
	Run      decouple.RunID       `json:"run"`
	Root     decouple.RunID       `json:"root"`
	Call     decouple.CallID      `json:"call"`
	Agent    decouple.AgentName   `json:"agent"`
	Version  decouple.VersionHash `json:"version"`
	Tool     string               `json:"tool"`
	Args     json.RawMessage      `json:"args"`
	Hash     string               `json:"hash"` // binds arguments, tool definition, agent version and effect key
	By       []string             `json:"by,omitempty"`
	Quorum   int                  `json:"quorum"`
	Approved []string             `json:"approved,omitempty"` // who has approved so far
	Asked    time.Time            `json:"asked"`
	Expires  time.Time            `json:"expires,omitzero"`
	Clauses  []HeldClause         `json:"clauses,omitempty"` // of contracts, that are to be signed off for the run
	Why      string               `json:"why,omitempty"`     // they hold it, in a sentence
}

// HeldClause is a clause of a contract that holds a call until a person signs it off.
type HeldClause struct {
	ID         string               `json:"id"`              // contract/clause
	Reads      placement.Verdict    `json:"reads,omitempty"` // what it says: disputed, unknown
	Text       string               `json:"text,omitempty"`
	Confidence placement.Confidence `json:"confidence,omitempty"`
}

// Approvals lists what waits for people to decide, oldest first; an empty run is all runs of the tenant, else one run's.
func Approvals(ctx context.Context, log journal.Reader, tenant decouple.TenantID, run decouple.RunID) ([]PendingApproval, error) {
	rows, err := log.Runs(ctx, journal.RunFilter{Tenant: tenant, ID: run, Status: []decouple.RunStatus{decouple.RunReady, decouple.RunRunning}})
	if err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(r journal.RunRow) bool { return r.Steps == 0 }) // it has called nothing yet
	parked, err := log.Runs(ctx, journal.RunFilter{Tenant: tenant, ID: run, Wait: []decouple.WaitKind{decouple.WaitPerson, decouple.WaitContract}})
	if err != nil {
		return nil, err
	}
	var out []PendingApproval
	seen, rules := map[decouple.RunID]bool{}, map[agentVersion]bool{}
	for _, row := range append(rows, parked...) {
		if seen[row.ID] || row.Status == decouple.RunParked && row.Wait.For == waitInput {
			continue // it has parked meanwhile, or waits for a person's word and for no decision
		}
		seen[row.ID] = true
		if row.Wait.Kind != decouple.WaitContract {
			if may, err := mayAsk(ctx, log, row, rules); err != nil {
				return nil, err
			} else if !may {
				continue
			}
		}
		s, err := Load(ctx, log, row.Tenant, row.ID)
		if err != nil {
			return nil, err
		}
		for i := s.open; i < len(s.Calls); i++ {
			if c := s.Calls[i]; c.ask != nil && c.verdict == nil && c.Outcome == nil && !s.Ended() {
				out = append(out, pending(&s, c))
			}
		}
		if g := s.gate; g != nil && g.verdict == nil && !s.Ended() {
			out = append(out, pending(&s, *g))
		}
	}
	slices.SortStableFunc(out, func(a, b PendingApproval) int { return a.Asked.Compare(b.Asked) })
	return out, nil
}

// mayAsk says whether the agent of a run has rules of approval; most have none, and their runs need not be read.
func mayAsk(ctx context.Context, log journal.Reader, r journal.RunRow, known map[agentVersion]bool) (bool, error) {
	key := agentVersion{r.Tenant, r.Agent, r.Version}
	may, ok := known[key]
	if !ok {
		a, err := loadAgent(ctx, log, r.Tenant, r.Agent, r.Version)
		if err != nil {
			return false, err
		}
		may = len(a.Approve) > 0
		known[key] = may
	}
	return may, nil
}

func pending(s *State, c CallRecord) PendingApproval {
	p := PendingApproval{
		Run: s.Run.ID, Root: s.Run.Root, Call: c.ID, Agent: s.Run.Agent, Version: s.Run.Version, Tool: c.Name, Args: c.Args, Hash: c.ask.Hash,
		By: c.ask.who(), Approved: c.approved, Asked: c.ask.At, Expires: c.ask.Expires,
	}
	for _, k := range c.clauses {
		p.Clauses, p.Why = append(p.Clauses, HeldClause(k)), c.heldBy
	}
	for _, r := range c.ask.Rules {
		p.Quorum = max(p.Quorum, r.Quorum)
	}
	return p
}

// EffectState says what is known of a call with an effect.
type EffectState string

// What can be known of a call.
const (
	EffectWaiting EffectState = "waiting" // for approval, a retry or its turn
	EffectStarted EffectState = "started" // and no outcome is recorded: it is at work now, or its node is gone
	EffectDone    EffectState = "done"
	EffectFailed  EffectState = "failed"
	EffectRefused EffectState = "refused" // never made: denied, expired, over a limit
	EffectUnknown EffectState = "unknown" // nobody knows whether it happened
)

// EffectRecord is a line of the ledger: a call with an effect other than none, and what became of it.
type EffectRecord struct {
	Run      decouple.RunID  `json:"run"`
	Call     decouple.CallID `json:"call"`
	Tool     string          `json:"tool"`
	Effect   decouple.Effect `json:"effect"`
	Key      string          `json:"key"`
	Args     json.RawMessage `json:"args"`
	State    EffectState     `json:"state"`
	Attempts int             `json:"attempts"`
	Approved []string        `json:"approved,omitempty"`
	Resolved string          `json:"resolved,omitempty"` // by whom or by which query
	Result   string          `json:"result,omitempty"`
	Started  time.Time       `json:"started,omitzero"`
	Ended    time.Time       `json:"ended,omitzero"`
}

// Effects is the effect ledger of a run and all under it, in order of runs and calls.
func Effects(ctx context.Context, log journal.Reader, tenant decouple.TenantID, run decouple.RunID) ([]EffectRecord, error) {
	rows, err := under(ctx, log, tenant, run)
	if err != nil {
		return nil, err
	}
	var out []EffectRecord
	for _, row := range rows {
		s, err := Load(ctx, log, tenant, row.ID)
		if err != nil {
			return nil, err
		}
		for _, c := range s.Calls {
			if c.Effect != "" && c.Effect != decouple.EffectNone {
				out = append(out, c.ledger(&s, row.Status == decouple.RunRunning))
			}
		}
	}
	return out, nil
}

// ledger is a call's line; running says that a node has the run.
func (c CallRecord) ledger(s *State, running bool) EffectRecord {
	r := EffectRecord{
		Run: s.Run.ID, Call: c.ID, Tool: c.Name, Effect: c.Effect, Key: effectKey(s.Run.ID, c.ID), Args: c.Args, Attempts: c.Attempts,
		Approved: c.approved, Resolved: c.Resolved, Started: c.Started, Ended: c.Ended,
	}
	switch {
	case c.Outcome != nil && c.Refused != "":
		r.State = EffectRefused
	case c.Outcome != nil && c.Outcome.Error:
		r.State = EffectFailed
	case c.Outcome != nil:
		r.State = EffectDone
	case !c.Doubted.IsZero(), !c.Started.IsZero() && s.Ended():
		r.State = EffectUnknown
	case !c.Started.IsZero():
		r.State = EffectStarted
	case s.Ended() && c.unmade(s):
		r.State = EffectRefused
	case s.Ended():
		r.State = EffectUnknown
	case running && !c.unmade(s) && !c.Retry.After(time.Now()):
		r.State = EffectStarted
		r.Attempts++
	default:
		r.State = EffectWaiting
	}
	switch {
	case c.Outcome != nil:
		r.Result = c.Outcome.Text
	case r.State == EffectUnknown:
		r.Result = c.doubt
	case r.State == EffectWaiting:
		r.Result = c.failure
	}
	return r
}

// unmade says that a call which nobody announced was surely not made: one that must not be made twice is announced, one that is asked about waits, and what a
// model asks for after it was told to finish is left alone.
func (c CallRecord) unmade(s *State) bool {
	return c.Effect == decouple.EffectOnce || c.ask != nil && (c.verdict == nil || !c.verdict.Approve) || s.final != "" && strings.HasPrefix(string(c.ID), fmt.Sprintf("%d/", s.Steps))
}

// under gives the rows of a run and of all below it, parents before children. No such run is NotFound.
func under(ctx context.Context, log journal.Reader, tenant decouple.TenantID, run decouple.RunID) ([]journal.RunRow, error) {
	rows, err := log.Runs(ctx, journal.RunFilter{Tenant: tenant, Root: run.Root()})
	if err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(r journal.RunRow) bool { return r.ID != run && !strings.HasPrefix(string(r.ID), string(run)+".") })
	if len(rows) == 0 {
		return nil, decouple.Errorf(decouple.NotFound, "there is no run %s", run)
	}
	slices.SortStableFunc(rows, func(a, b journal.RunRow) int { return cmp.Compare(a.ID.Depth(), b.ID.Depth()) })
	return rows, nil
}
