package registry

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"decouple.dev/decouple"
)

// Change is a difference between two versions of an agent.
type Change struct {
	Field string   `json:"field"`           // its key in the agent file; "prompt" is the text below
	From  string   `json:"from,omitempty"`  // JSON; empty where the earlier version does not have it
	To    string   `json:"to,omitempty"`    // JSON; empty where the later version does not have it
	Lines []string `json:"lines,omitempty"` // of the prompt: what went begins with "-", what came with "+", what stayed beside them with " "
}

// Diff lists what a later version of an agent changes, by field, the prompt last.
func Diff(from, to decouple.Agent) ([]Change, error) {
	a, err := fields(from)
	if err != nil {
		return nil, err
	}
	b, err := fields(to)
	if err != nil {
		return nil, err
	}
	out := []Change{}
	for _, name := range slices.Sorted(slices.Values(append(keysOf(a), keysOf(b)...))) {
		if name == "version" || name == "prompt" || bytes.Equal(a[name], b[name]) || len(out) > 0 && out[len(out)-1].Field == name {
			continue
		}
		out = append(out, Change{Field: name, From: string(a[name]), To: string(b[name])})
	}
	if from.Prompt != to.Prompt {
		out = append(out, Change{Field: "prompt", Lines: diffLines(strings.Split(from.Prompt, "\n"), strings.Split(to.Prompt, "\n"))})
	}
	return out, nil
}

// fields is an agent by its keys.
func fields(a decouple.Agent) (map[string]json.RawMessage, error) {
	b, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	var m map[string]json.RawMessage
	return m, json.Unmarshal(b, &m)
}

func keysOf(m map[string]json.RawMessage) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return out
}

// around is how many lines that stayed are shown beside those that changed.
const around = 2

// maxTable bounds the work of a comparison; what is larger is shown as all gone and all new.
const maxTable = 4 << 20

// diffLines compares by the longest common subsequence.
func diffLines(a, b []string) []string {
	if len(a)*len(b) > maxTable {
		var all []string
		for _, l := range a {
			all = append(all, "-"+l)
		}
		for _, l := range b {
			all = append(all, "+"+l)
		}
		return all
	}
	rest := make([][]int32, len(a)+1) // rest[i][j] is how many lines a[i:] and b[j:] share
	for i := range rest {
		rest[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				rest[i][j] = rest[i+1][j+1] + 1
			} else {
				rest[i][j] = max(rest[i+1][j], rest[i][j+1])
			}
		}
	}
	var all []string
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			all = append(all, " "+a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && rest[i+1][j] >= rest[i][j+1]:
			all = append(all, "-"+a[i])
			i++
		default:
			all = append(all, "+"+b[j])
			j++
		}
	}
	return near(all)
}

// near keeps the lines that changed and those right beside them.
func near(lines []string) []string {
	keep := make([]bool, len(lines))
	for i, l := range lines {
		if l[0] == ' ' {
			continue
		}
		for k := max(0, i-around); k <= min(len(lines)-1, i+around); k++ {
			keep[k] = true
		}
	}
	var out []string
	for i, l := range lines {
		switch {
		case keep[i]:
			out = append(out, l)
		case i > 0 && keep[i-1]:
			out = append(out, " ...")
		}
	}
	return out
}
