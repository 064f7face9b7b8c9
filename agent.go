package decouple

import "time"

// Agent is what an agent file says. Version is the hash of the file, so that a run stays on the text it began with.
type Agent struct {
	Name        AgentName   `json:"name"`
	Version     VersionHash `json:"version"`
	Owner       string      `json:"owner,omitempty"`
	Description string      `json:"description"`
	Class       string      `json:"class,omitempty"`
	Model       string      `json:"model,omitempty"`
	Tools       []string    `json:"tools,omitempty"`
	Agents      []AgentName `json:"agents,omitempty"`  // whom it may spawn
	Writer      AgentName   `json:"writer,omitempty"`  // who writes up when a root run of this agent has stopped searching
	Envelope    Envelope    `json:"envelope,omitzero"` // of a root run of this agent
	Prompt      string      `json:"prompt"`
}

// Envelope limits a tree of runs. A zero field is no limit, except where a root's default fills it.
type Envelope struct {
	USD       Money         `json:"usd,omitempty"`
	Tokens    int64         `json:"tokens,omitempty"`     // in and out, all models together
	ToolCalls int64         `json:"tool_calls,omitempty"` // spawns are not tool calls
	Agents    int64         `json:"agents,omitempty"`     // runs in the tree, the root included
	Depth     int           `json:"depth,omitempty"`      // of the deepest run; the root is at 0
	Children  int           `json:"children,omitempty"`   // of one run
	Steps     int           `json:"steps,omitempty"`      // model calls of one run
	Time      time.Duration `json:"time,omitempty"`       // from start to deadline
	WriteUp   int           `json:"writeup,omitempty"`    // percent of money, tokens, tool calls and time kept for the root's write-up
}
