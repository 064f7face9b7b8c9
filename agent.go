package decouple

import (
	"strconv"
	"strings"
	"time"
)

// Agent is what an agent file says. Version is the hash of the file, so that a run stays on the text it began with.
type Agent struct {
	Name        AgentName   `json:"name"`
	Version     VersionHash `json:"version"`
	Owner       string      `json:"owner,omitempty"`
	Description string      `json:"description"`
	Class       string      `json:"class,omitempty"`
	Model       string      `json:"model,omitempty"`
	Tools       []string    `json:"tools,omitempty"`
	Agents      []AgentName `json:"agents,omitempty"`   // whom it may spawn
	Writer      AgentName   `json:"writer,omitempty"`   // who writes up when a root run of this agent has stopped searching
	Envelope    Envelope    `json:"envelope,omitzero"`  // of a root run of this agent
	Approve     []Approval  `json:"approve,omitempty"`  // calls that a person decides on; a call under several rules needs all of them
	Schedule    *Schedule   `json:"schedule,omitempty"` // when runs of it start by themselves
	Prompt      string      `json:"prompt"`
}

// Approval is a rule that has people decide on a tool call before it is made. One denial vetoes.
type Approval struct {
	Tool    string        `json:"tool"`
	When    Condition     `json:"when,omitempty"`    // on the arguments; empty is always
	By      []string      `json:"by,omitempty"`      // ids of people who may decide; empty is anyone with the right to approve
	Quorum  int           `json:"quorum,omitempty"`  // approvals that are needed, default 1
	Expires time.Duration `json:"expires,omitempty"` // from the question; then the answer is no. Zero is never
}

// String is the rule on one line.
func (a *Approval) String() string {
	s := a.Tool
	if a.When != "" {
		s += " when " + string(a.When)
	}
	if a.Quorum > 1 {
		s += " by " + strconv.Itoa(a.Quorum)
		if len(a.By) == 0 {
			s += " people"
		}
	}
	if len(a.By) > 0 {
		if a.Quorum <= 1 {
			s += " by one"
		}
		s += " of " + strings.Join(a.By, ", ")
	}
	if a.Expires > 0 {
		s += " within " + a.Expires.String()
	}
	return s
}

// Schedule starts runs by the clock.
type Schedule struct {
	Cron   string       `json:"cron"`             // minute hour day month weekday, or @hourly, @daily, @weekly, @monthly
	Zone   string       `json:"zone,omitempty"`   // of the IANA database, default UTC
	Missed MissedPolicy `json:"missed,omitempty"` // what to do about times at which no node was up, default once
	Task   string       `json:"task"`             // the question of each run
}

// String is the schedule on one line, or nothing.
func (s *Schedule) String() string {
	if s == nil {
		return "none"
	}
	return s.Cron + " " + s.Zone + " missed " + string(s.Missed) + ": " + s.Task
}

// MissedPolicy says what becomes of scheduled times that nobody was there for.
type MissedPolicy string

// The policies for missed times.
const (
	MissedSkip MissedPolicy = "skip"
	MissedOnce MissedPolicy = "once" // one run for all of them
	MissedAll  MissedPolicy = "all"  // a run for each, at most 100
)

// Envelope limits a tree of runs. A zero field is no limit, except where a root's default fills it.
type Envelope struct {
	USD       Money         `json:"usd,omitempty"`
	Tokens    int64         `json:"tokens,omitempty"`     // in and out, all models together
	ToolCalls int64         `json:"tool_calls,omitempty"` // spawns are not tool calls
	Agents    int64         `json:"agents,omitempty"`     // runs in the tree, the root included
	Depth     int           `json:"depth,omitempty"`      // of the deepest run; the root is at 0
	Children  int           `json:"children,omitempty"`   // of one run
	Steps     int           `json:"steps,omitempty"`      // model calls of one run
	Time      time.Duration `json:"time,omitempty"`       // from start to deadline; waiting for a person does not count
	StepTime  time.Duration `json:"step_time,omitempty"`  // of one model call or one tool call
	WriteUp   int           `json:"writeup,omitempty"`    // percent of money, tokens, tool calls and time kept for the root's write-up
}
