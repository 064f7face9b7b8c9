package decouple

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// TenantID names the owner of data; nothing of one tenant is visible to another.
type TenantID string

// LocalTenant is the tenant of an embedded installation without accounts.
const LocalTenant TenantID = "local"

// RunID names a run. A root's is random; a child's is its parent's, a dot and its ordinal among the parent's children from 1,
// so the path to the root can be read off it.
type RunID string

// Root is the first run of the tree.
func (id RunID) Root() RunID {
	root, _, _ := strings.Cut(string(id), ".")
	return RunID(root)
}

// Depth counts from 0 at the root.
func (id RunID) Depth() int { return strings.Count(string(id), ".") }

// Parent is the run that spawned this one, empty for a root.
func (id RunID) Parent() RunID {
	if i := strings.LastIndexByte(string(id), '.'); i >= 0 {
		return id[:i]
	}
	return ""
}

// Compare orders runs as a tree: a parent before its children, children by their ordinals.
func (id RunID) Compare(other RunID) int {
	return slices.CompareFunc(strings.Split(string(id), "."), strings.Split(string(other), "."), func(x, y string) int {
		n, errN := strconv.Atoi(x)
		m, errM := strconv.Atoi(y)
		if errN == nil && errM == nil {
			return cmp.Compare(n, m)
		}
		return strings.Compare(x, y)
	})
}

// AgentName names an agent, as in its file.
type AgentName string

// VersionHash is the SHA-256, in hex, of an agent's file.
type VersionHash string

// NoteID names one version of a note: content under a path. A changed file is a new note at the same path.
type NoteID string

// BlobID is the keyed hash, in hex, of a blob's content within (tenant, subject).
type BlobID string

// NodeID names a process that runs agents.
type NodeID string

// CommitID recognises a commit that is submitted again; its issuer makes it unique.
type CommitID string

// CallID names a tool call within its run: "step/ordinal".
type CallID string

// EventID names an event: the first 16 bytes of its checksum, in hex.
type EventID string

// TraceID is a W3C trace id, in hex.
type TraceID string

// SubjectID names whose data an event or blob holds, so that its key can be destroyed; empty means the tenant itself.
type SubjectID string
