package builtin_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/builtin"
	"decouple.dev/decouple/prose"
)

// shelf is a small library of texts and a world in which an agent can act: it answers every tool from the texts, and runs sub-agents on the spot.
type shelf struct {
	t        *testing.T
	notes    []note
	findings []decouple.Finding
	offer    []string // tools of the first agent; sub-agents may not spawn
	refuse   string   // quotations that contain it are refused
	broken   string   // the tool that always fails
	log      strings.Builder
}

// note is a text of headings ("# A", "## B"), paragraphs, lists and code (indented), with an empty line between them.
type note struct {
	id       decouple.NoteID
	text     string
	sections []decouple.Section
	units    []decouple.Unit
}

func (s *shelf) add(name, text string) {
	n := note{id: decouple.NoteID(name), text: text}
	var path []string
	for at := 0; at < len(text); {
		block, _, _ := strings.Cut(text[at:], "\n\n")
		level := len(block) - len(strings.TrimLeft(block, "#"))
		switch {
		case level > 0:
			path = append(slices.Clone(path[:min(level-1, len(path))]), strings.TrimSpace(block[level:]))
			n.sections = append(n.sections, decouple.Section{Path: path, Start: at, End: len(text)})
			for i := range n.sections {
				if o := &n.sections[i]; i < len(n.sections)-1 && o.End == len(text) && len(o.Path) >= len(path) {
					o.End = at
				}
			}
		case strings.TrimSpace(block) != "":
			kind := "paragraph"
			if strings.HasPrefix(block, "- ") || strings.Contains(block, "\n- ") {
				kind = "list"
			} else if strings.HasPrefix(block, "\t") {
				kind = "code"
			}
			block = strings.TrimRight(block, "\n")
			n.units = append(n.units, decouple.Unit{Note: n.id, Title: strings.TrimSuffix(name, ".md"), Path: name, Section: slices.Clone(path), Kind: kind, Start: at, End: at + len(block), Text: block})
		}
		at += len(block)
		for at < len(text) && text[at] == '\n' {
			at++
		}
	}
	s.notes = append(s.notes, n)
}

func (s *shelf) note(id decouple.NoteID) note {
	for _, n := range s.notes {
		if n.id == id {
			return n
		}
	}
	s.t.Fatalf("no note %q", id)
	return note{}
}

func (s *shelf) search(a decouple.SearchArgs) decouple.SearchResult {
	r := decouple.SearchResult{}
	terms, holds := prose.Unique(a.Query), map[string]int{}
	for _, n := range s.notes {
		for _, u := range n.units {
			r.Passages++
			set := prose.Set(u.Text + " " + strings.Join(u.Section, " "))
			for _, t := range terms {
				if set[t] {
					holds[t]++
					u.Score++
					u.Matched = append(u.Matched, t)
				}
			}
			if u.Score > 0 && (len(a.Sources) == 0 || slices.Contains(a.Sources, n.id)) {
				r.Units = append(r.Units, u)
			}
		}
	}
	for _, t := range terms {
		r.Terms = append(r.Terms, decouple.Term{Term: t, Passages: holds[t]})
	}
	slices.SortStableFunc(r.Units, func(x, y decouple.Unit) int { return cmp.Compare(y.Score, x.Score) })
	r.Units = r.Units[:min(len(r.Units), a.Limit)]
	return r
}

func (s *shelf) read(a decouple.ReadArgs) decouple.ReadResult {
	n := s.note(a.Note)
	a.End = min(a.End, len(n.text))
	for _, u := range n.units { // widened to whole blocks
		if u.Start < a.Start && a.Start < u.End {
			a.Start = u.Start
		}
		if u.Start < a.End && a.End < u.End {
			a.End = u.End
		}
	}
	r := decouple.ReadResult{Note: n.id, Title: string(n.id), Start: a.Start, End: a.End, Size: len(n.text), Text: n.text[a.Start:a.End]}
	for _, u := range n.units {
		if a.Start <= u.Start && u.End <= a.End {
			r.Units = append(r.Units, u)
		}
	}
	return r
}

// run runs an agent to its last word.
func (s *shelf) run(task decouple.Task, offer []string, depth int) string {
	req := decouple.Request{Messages: []decouple.Message{decouple.Text(decouple.System, "You are an agent."), decouple.Text(decouple.User, text(task))}}
	for _, name := range offer {
		req.Tools = append(req.Tools, decouple.ToolSpec{Name: name})
	}
	for range 12 {
		a, err := builtin.Answer(req)
		if err != nil {
			s.t.Fatal(err)
		}
		again, err := builtin.Answer(req)
		if err != nil || text(again) != text(a) {
			s.t.Fatalf("the same request is answered twice, differently: %v", err)
		}
		req.Messages = append(req.Messages, a.Message)
		if a.Finish != decouple.FinishTools {
			fmt.Fprintf(&s.log, "%*ssays %s\n", 2*depth, "", a.Message.Text())
			return a.Message.Text()
		}
		reply := decouple.Message{Role: decouple.ToolRole}
		for _, c := range a.Message.Calls() {
			out, failed := s.do(c, task, depth)
			reply.Parts = append(reply.Parts, decouple.Part{Result: &decouple.ToolResult{ID: c.ID, Name: c.Name, Text: out, Error: failed}})
		}
		req.Messages = append(req.Messages, reply)
	}
	s.t.Fatal("the agent does not come to an end")
	return ""
}

// do performs a call and logs it.
func (s *shelf) do(c decouple.ToolCall, task decouple.Task, depth int) (string, bool) {
	fmt.Fprintf(&s.log, "%*s%s ", 2*depth, "", c.Name)
	if c.Name == s.broken {
		fmt.Fprintln(&s.log, "fails")
		return "the index is being rebuilt; try again later", true
	}
	switch c.Name {
	case decouple.ToolSearch:
		a := args[decouple.SearchArgs](s.t, c)
		fmt.Fprintf(&s.log, "%q theme %v section %q\n", a.Query, a.Theme, a.Section)
		return text(s.search(a)), false
	case decouple.ToolOutline:
		n := s.note(args[decouple.OutlineArgs](s.t, c).Note)
		fmt.Fprintln(&s.log, n.id)
		return text(decouple.Outline{Note: n.id, Title: string(n.id), Sections: n.sections}), false
	case decouple.ToolRead:
		a := args[decouple.ReadArgs](s.t, c)
		fmt.Fprintf(&s.log, "%s %d-%d\n", a.Note, a.Start, a.End)
		return text(s.read(a)), false
	case decouple.ToolFindingsAdd:
		return s.take(args[decouple.FindingArgs](s.t, c), task), false
	case decouple.ToolFindingsList:
		fmt.Fprintln(&s.log)
		return text(decouple.FindingsResult{Question: task.Question, Findings: s.findings}), false
	case decouple.ToolSpawn:
		a := args[decouple.SpawnArgs](s.t, c)
		fmt.Fprintf(&s.log, "%s %q\n", a.Agent, a.Task.Question)
		if s.refuse == decouple.ToolSpawn {
			return "the envelope allows no more agents", true
		}
		return s.run(a.Task, []string{decouple.ToolSearch, decouple.ToolOutline, decouple.ToolRead, decouple.ToolFindingsAdd}, depth+1), false
	}
	s.t.Fatalf("the model calls %q, which nobody offers", c.Name)
	return "", true
}

// take checks a finding and keeps it.
func (s *shelf) take(f decouple.FindingArgs, task decouple.Task) string {
	r := decouple.FindingResult{}
	finding := decouple.Finding{Number: len(s.findings) + 1, Claim: f.Claim, Asked: task.Question}
	for _, q := range f.Quotes {
		n := s.note(q.Note)
		if !strings.HasPrefix(n.text[q.Start:], q.Text) {
			s.t.Errorf("the quotation %q does not stand at %d in %s", q.Text, q.Start, q.Note)
		}
		if s.refuse != "" && strings.Contains(q.Text, s.refuse) {
			r.Refused = append(r.Refused, decouple.Refusal{Text: q.Text, Why: "it is not relevant"})
			continue
		}
		r.Accepted++
		finding.Quotes = append(finding.Quotes, decouple.Quote{Note: q.Note, Text: q.Text, Start: q.Start})
	}
	if r.Accepted > 0 {
		s.findings = append(s.findings, finding)
	}
	fmt.Fprintf(&s.log, "accepted %d\n  claim %s\n  quote %s\n", r.Accepted, f.Claim, strings.ReplaceAll(f.Quotes[0].Text, "\n", "\n        "))
	return text(r)
}

func args[T any](t *testing.T, c decouple.ToolCall) T {
	var v T
	if err := json.Unmarshal(c.Args, &v); err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	return v
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
