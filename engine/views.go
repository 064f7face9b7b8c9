package engine

import (
	"context"
	"encoding/json"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
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
}

// Approvals lists what waits for people to decide, oldest first; an empty run is all runs of the tenant, else one run's.
func Approvals(ctx context.Context, log journal.Reader, tenant decouple.TenantID, run decouple.RunID) ([]PendingApproval, error) {
	return nil, errUnbuilt
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
	return nil, errUnbuilt
}

// Standing says what an unfinished run waits for and since when.
type Standing struct {
	Run    decouple.RunID     `json:"run"`
	Agent  decouple.AgentName `json:"agent"`
	Label  string             `json:"label,omitempty"`
	Status decouple.RunStatus `json:"status"`
	Wait   decouple.WaitKind  `json:"wait,omitempty"`
	For    string             `json:"for"` // in words: which child, call, person, time, node
	Since  time.Time          `json:"since"`
	Until  time.Time          `json:"until,omitzero"`  // when it goes on by itself at the latest
	Stuck  bool               `json:"stuck,omitempty"` // nobody and nothing will ever wake it
	Remedy string             `json:"remedy,omitempty"`
}

// Explain says what each unfinished run of a tree waits for, parents before children.
func Explain(ctx context.Context, log journal.Reader, tenant decouple.TenantID, root decouple.RunID) ([]Standing, error) {
	return nil, errUnbuilt
}
