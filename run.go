package decouple

import (
	"slices"
	"time"
)

// RunStatus says where a run stands.
type RunStatus string

// The statuses of a run.
const (
	RunReady   RunStatus = "ready"   // waits for a worker
	RunRunning RunStatus = "running" // a node works on it
	RunParked  RunStatus = "parked"  // waits for something that Wait names
	RunEnded   RunStatus = "ended"   // Cause says why
)

// CauseKind says why a run ended.
type CauseKind string

// The causes of an end.
const (
	CauseDone      CauseKind = "done"
	CauseExhausted CauseKind = "exhausted" // a limit of its envelope
	CauseCanceled  CauseKind = "canceled"
	CauseDeadline  CauseKind = "deadline"
	CauseFailed    CauseKind = "failed"
	CauseUnknown   CauseKind = "unknown" // an effect's outcome is not known
)

// Cause is why a run ended, in one word and one sentence.
type Cause struct {
	Kind CauseKind `json:"kind"`
	Why  string    `json:"why,omitempty"`
	Err  Kind      `json:"err,omitempty"` // of a failed run, the kind of its error
}

// WaitKind says what a parked run waits for.
type WaitKind string

// What a run can wait for.
const (
	WaitNone        WaitKind = ""
	WaitChild       WaitKind = "child"
	WaitPerson      WaitKind = "person"
	WaitTool        WaitKind = "tool"
	WaitTimer       WaitKind = "timer"
	WaitLease       WaitKind = "lease"
	WaitCapacity    WaitKind = "capacity"
	WaitContract    WaitKind = "contract"
	WaitInterrupted WaitKind = "interrupted" // until somebody resumes it
)

// Wait is what a parked run waits for, and for which one.
type Wait struct {
	Kind WaitKind `json:"kind,omitempty"`
	For  string   `json:"for,omitempty"`
}

// Site is a constraint on where a run may execute; the zero value allows any site.
type Site struct {
	Cloud  string   `json:"cloud,omitempty"`
	Region string   `json:"region,omitempty"`
	Labels []string `json:"labels,omitempty"`
}

// Allows says whether a node at a site may execute what s constrains: every set field of s must be the node's, every label among its labels.
func (s Site) Allows(node Site) bool {
	if s.Cloud != "" && s.Cloud != node.Cloud || s.Region != "" && s.Region != node.Region {
		return false
	}
	for _, l := range s.Labels {
		if !slices.Contains(node.Labels, l) {
			return false
		}
	}
	return true
}

// Run is what a run is from its first day to its last: fixed when it is created.
type Run struct {
	ID             RunID       `json:"id"`
	Tenant         TenantID    `json:"tenant"`
	Parent         RunID       `json:"parent,omitempty"`
	Root           RunID       `json:"root"`
	Agent          AgentName   `json:"agent"`
	Version        VersionHash `json:"version"`
	Class          string      `json:"class,omitempty"`  // the workload class that contracts speak of
	Labels         []string    `json:"labels,omitempty"` // of its data
	Team           string      `json:"team,omitempty"`   // of the key that it was started with, and Caller is the key's id: contracts bind both
	Caller         string      `json:"caller,omitempty"`
	Site           Site        `json:"site,omitzero"`
	Priority       int         `json:"priority,omitempty"` // larger goes first
	Deadline       time.Time   `json:"deadline,omitzero"`
	IdempotencyKey string      `json:"idempotency_key,omitempty"` // unique per tenant
	Subject        SubjectID   `json:"subject,omitempty"`
	Trace          TraceID     `json:"trace,omitempty"`
	Sources        Sources     `json:"sources,omitzero"` // what its tools may read; a child has its parent's
}

// Sources bounds what a run may read: the notes at or under Paths (all notes if empty), in the versions that were in force at AsOf, so that
// a file that changes while a run is going on, or is parked, changes nothing for it.
type Sources struct {
	Tenant TenantID `json:"tenant,omitempty"` // whose notes; empty is the local one's
	Paths  []string `json:"paths,omitempty"`
	AsOf   Position `json:"as_of,omitempty"`
}
