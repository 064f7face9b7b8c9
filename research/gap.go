package research

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"decouple.dev/decouple"
)

// Gap is a question that was not answered, and why.
type Gap struct {
	Question string `json:"question"`
	Why      string `json:"why"`
}

// gapsIn lists what a tree did not find or did not do.
func gapsIn(t Tree, h harvest) []Gap {
	gaps := []Gap{}
	add := func(question, why string) {
		g := Gap{strings.TrimSpace(question), why}
		if !slices.Contains(gaps, g) {
			gaps = append(gaps, g)
		}
	}
	for _, r := range t.Records {
		if r.Run.ID == t.Writer {
			continue
		}
		found := slices.ContainsFunc(h.findings, func(f decouple.Finding) bool {
			return f.Run == r.Run.ID || strings.HasPrefix(string(f.Run), string(r.Run.ID)+".")
		})
		handedIn := slices.ContainsFunc(h.dropped, func(d Dropped) bool { return d.Run == r.Run.ID })
		if why := unfinished(r, found); why != "" {
			add(r.Task.Question, why)
		} else if !found && !answeredElsewhere(r, h) {
			add(r.Task.Question, notFoundWhy(handedIn))
		}
		for _, what := range notFoundLines(r.Answer) {
			add(what, "the agent reports that it did not find this in the sources")
		}
		for _, g := range refusedSpawns(r) {
			add(g.Question, g.Why)
		}
	}
	return gaps
}

func notFoundWhy(handedIn bool) string {
	if handedIn {
		return "what was handed in did not pass the citation check"
	}
	return "not found in the sources"
}

// unfinished says why a run did not do all it was asked, empty if it did.
func unfinished(r Record, found bool) string {
	why := ""
	switch {
	case r.Status != decouple.RunEnded && r.Wait.Kind != decouple.WaitNone:
		why = fmt.Sprintf("not finished: it waits for %s", strings.TrimSpace(string(r.Wait.Kind)+" "+r.Wait.For))
	case r.Status != decouple.RunEnded:
		why = "not finished"
	case r.Cause.Kind == decouple.CauseDone:
		return ""
	default:
		why = string(r.Cause.Kind)
		if r.Cause.Why != "" {
			why += ": " + r.Cause.Why
		}
	}
	if found {
		why += "; what it had found until then is in the report"
	}
	return why
}

// answeredElsewhere says that a run without findings of its own asked what another run answered: its findings repeated that one's.
func answeredElsewhere(r Record, h harvest) bool {
	for _, c := range r.Calls {
		if c.Name != decouple.ToolFindingsAdd || c.Outcome == nil || !accepted(c.Outcome) {
			continue
		}
		args, err := parseFinding(c.Args)
		if err == nil && slices.ContainsFunc(h.findings, func(f decouple.Finding) bool {
			return len(args.Quotes) > 0 && alike(args.Quotes[0].Text, f.Quotes[0].Text, 0.6)
		}) {
			return true
		}
	}
	return false
}

// notFoundLines are the things that an agent's last message says it did not find.
func notFoundLines(answer string) []string {
	var lines []string
	for _, line := range strings.Split(answer, "\n") {
		line = strings.TrimLeft(strings.TrimSpace(line), "-*• ")
		if rest, ok := strings.CutPrefix(line, "Not found:"); ok && strings.TrimSpace(rest) != "" {
			lines = append(lines, shorten(strings.TrimSpace(rest), 300))
		}
	}
	return lines
}

// refusedSpawns are the parts of a question for which no agent could be sent.
func refusedSpawns(r Record) []Gap {
	var gaps []Gap
	for _, c := range r.Calls {
		var args decouple.SpawnArgs
		if c.Name != decouple.ToolSpawn || c.Child != "" || c.Outcome == nil || !c.Outcome.Error || json.Unmarshal(c.Args, &args) != nil || args.Task.Question == "" {
			continue
		}
		gaps = append(gaps, Gap{args.Task.Question, "no agent was sent: " + shorten(c.Outcome.Text, 300)})
	}
	return gaps
}
