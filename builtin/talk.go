package builtin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"decouple.dev/decouple"
)

// talk is a conversation understood: what is asked, which tools are offered, and what came of each call so far.
type talk struct {
	task    decouple.Task
	offered map[string]bool
	calls   []exchange
}

// exchange is a call and its result. A call that nobody has answered has an empty one that is an error.
type exchange struct {
	tool   string
	args   json.RawMessage
	result decouple.ToolResult
}

// hear reads a request.
func hear(req decouple.Request) (talk, error) {
	t := talk{offered: map[string]bool{}}
	for _, s := range req.Tools {
		t.offered[s.Name] = !req.NoTools
	}
	asked := false
	results := map[string]decouple.ToolResult{}
	for _, m := range req.Messages {
		if m.Role == decouple.User && !asked {
			asked = true
			t.task = task(m.Text())
		}
		for _, p := range m.Parts {
			if p.Result != nil {
				results[p.Result.ID] = *p.Result
			}
		}
	}
	if !asked {
		return talk{}, decouple.Errorf(decouple.Invalid, "builtin: the conversation has no user message; send the task as one")
	}
	for _, m := range req.Messages {
		for _, c := range m.Calls() {
			r, ok := results[c.ID]
			if !ok {
				r = decouple.ToolResult{Error: true, Text: "no result"}
			}
			t.calls = append(t.calls, exchange{c.Name, c.Args, r})
		}
	}
	return t, nil
}

// task reads a first message: a task as JSON, or a question in plain words.
func task(text string) decouple.Task {
	var task decouple.Task
	if err := json.Unmarshal([]byte(text), &task); err != nil || strings.TrimSpace(task.Question) == "" {
		return decouple.Task{Question: strings.TrimSpace(text)}
	}
	return task
}

// asked says whether a call of a tool with these very arguments has been made.
func (t talk) asked(c call) bool {
	want := encode(c.args)
	for _, e := range t.calls {
		if e.tool == c.tool && same(e.args, want) {
			return true
		}
	}
	return false
}

// same compares JSON, white space aside and whatever the order of an object's members.
func same(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	return bytes.Equal(encode(x), encode(y))
}

// wanting is the calls that have not been made yet and whose tools are offered.
func (t talk) wanting(calls []call) []call {
	var missing []call
	for _, c := range calls {
		if t.offered[c.tool] && !t.asked(c) {
			missing = append(missing, c)
		}
	}
	return missing
}

// called counts the calls of a tool.
func (t talk) called(tool string) int {
	n := 0
	for _, e := range t.calls {
		if e.tool == tool {
			n++
		}
	}
	return n
}

// results decodes what a tool has answered; errors and what cannot be read are left out.
func results[T any](t talk, tool string) []T {
	var all []T
	for _, e := range t.calls {
		if e.tool != tool || e.result.Error {
			continue
		}
		var v T
		if json.Unmarshal([]byte(e.result.Text), &v) == nil {
			all = append(all, v)
		}
	}
	return all
}

// failure is the first error that a tool has answered with, empty if there is none.
func (t talk) failure(tool string) string {
	for _, e := range t.calls {
		if e.tool == tool && e.result.Error {
			return e.result.Text
		}
	}
	return ""
}

// accepted is the claims of the findings of which at least one quotation was found.
func (t talk) accepted() []string {
	var claims []string
	for _, e := range t.calls {
		var args decouple.FindingArgs
		var r decouple.FindingResult
		if e.tool != decouple.ToolFindingsAdd || e.result.Error || json.Unmarshal(e.args, &args) != nil || json.Unmarshal([]byte(e.result.Text), &r) != nil {
			continue
		}
		if r.Accepted > 0 {
			claims = append(claims, args.Claim)
		}
	}
	return claims
}

// summary is the last word of a researching agent.
func (t talk) summary() string {
	claims, spawned := t.accepted(), t.called(decouple.ToolSpawn)
	switch {
	case len(claims) > 0:
		return fmt.Sprintf("Found: %s", strings.Join(claims, " "))
	case spawned > 0:
		return fmt.Sprintf("Asked %d sub-agents; what they found stands in their findings.", spawned)
	case t.failure(decouple.ToolSearch) != "" && len(results[decouple.SearchResult](t, decouple.ToolSearch)) == 0:
		return "Not found: " + t.task.Question + " (the search failed: " + t.failure(decouple.ToolSearch) + ")"
	}
	return NotFound
}
