package drill

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Markdown is a result for people, without charts.
func (r *Result) Markdown() string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("# Drill: %s\n\n", cell(r.Scenario.Title))
	p("**%s.** %s\n\n", r.verdict(), cell(r.summary()))
	p("| | |\n|---|---|\n")
	for _, kv := range r.header() {
		p("| %s | %s |\n", kv[0], cell(kv[1]))
	}
	p("\n## What was lost\n\n")
	for _, l := range r.Scenario.Lost {
		p("- %s\n", cell(l))
	}
	p("\n## What was expected\n\n| expectation | wanted | came | |\n|---|---|---|---|\n")
	for _, c := range r.Checks {
		p("| %s | %s | %s | %s |\n", cell(c.What), cell(c.Want), cell(c.Got), passed(c.Passed))
	}
	p("\n## Workloads\n\n%s", table(workloadHead, r.workloadRows()))
	if len(r.Gaps) > 0 {
		p("\n## What had no alternate\n\n")
		for _, g := range r.Gaps {
			p("- %s\n", cell(g.say()))
		}
	}
	if len(r.Unproved) > 0 {
		p("\n## Alternates that nobody has proved as good\n\n")
		for _, s := range r.unprovedWords() {
			p("- %s\n", cell(s))
		}
	}
	if r.Naive != nil {
		p("\n## Beside a router that trusts status codes\n\nThe same calls, drawn with the same dice: such a router takes a 4xx for its caller's fault, waits where it is told 429, and holds a connection as long as it is open.\n\n%s", table(naiveHead, r.naiveRows()))
	}
	p("\n## Who answered during the loss\n\n%s", table([]string{"endpoint", "answers", "share"}, r.shareRows()))
	p("\n## What the figures mean\n\n")
	for _, m := range append(append([]string{}, r.Measures...), r.Simplified...) {
		p("- %s\n", cell(m))
	}
	return b.String()
}

// verdict is the result in two words.
func (r *Result) verdict() string {
	switch {
	case r.Aborted != "":
		return "Aborted"
	case r.Passed:
		return "Passed"
	}
	return "Not passed"
}

// summary is the result in a sentence or two.
func (r *Result) summary() string {
	t := &r.Total
	var s string
	switch {
	case r.Mode == Shadow:
		s = fmt.Sprintf("Of %s, %d are touched by the loss; %d of those have no alternate (%s).", r.World, t.During.Calls, t.During.Failed, percent(t.FailedShare()))
		if c := t.CostTimes(); c > 0 {
			s += fmt.Sprintf(" The others would have cost %.2f times what they did.", c)
		}
	case r.Mode == Live && t.During.Calls == 0:
		s = "No call of the canary was made during the loss, so nothing was measured: choose a larger share or a longer time, or make calls of your own meanwhile."
	default:
		s = fmt.Sprintf("During the loss %d calls were made; %d failed and %d were late (%s).", t.During.Calls, t.During.Failed, t.During.Late, percent(t.FailedShare()))
		if worst, ok := r.slowest(); ok {
			s += " Callers with an alternate were well " + recovered(worst) + "."
		} else {
			s += " Not every workload with an alternate came to be well."
		}
	}
	if r.Naive != nil {
		s += fmt.Sprintf(" A router that trusts status codes would have lost %d (%s).", r.Naive.During.Bad(), percent(r.Naive.FailedShare()))
	}
	if n := len(r.gapNames()); n > 0 {
		s += fmt.Sprintf(" Without an alternate: %s.", strings.Join(r.gapNames(), ", "))
	}
	return s
}

func (r *Result) gapNames() []string {
	var out []string
	seen := map[string]bool{}
	for _, g := range r.Gaps {
		if !seen[g.Workload] {
			seen[g.Workload] = true
			out = append(out, g.Workload)
		}
	}
	return out
}

// header is what stands above everything.
func (r *Result) header() [][2]string {
	source := r.Scenario.Source
	if r.Scenario.Mark != "" {
		source += " (" + r.Scenario.Mark + ")"
	}
	mode := string(r.Mode)
	if r.Scenario.Short {
		mode += ", short form"
	}
	out := [][2]string{{"scenario", r.Scenario.ID}, {"what happened", r.Scenario.Facts}, {"source", source}, {"mode", mode}, {"drilled", r.World}, {"ran", r.Ran.UTC().Format("2006-01-02 15:04:05") + " UTC, took " + brief(r.Took) + " for " + brief(r.Played)},
		{"by", string(r.By.Kind) + " " + r.By.ID}, {"drill", r.ID}}
	if r.Trace != "" {
		out = append(out, [2]string{"seed and trace", fmt.Sprintf("%d, %s", r.Seed, r.Trace)})
	}
	kept := out[:0]
	for _, kv := range out {
		if strings.TrimSpace(kv[1]) != "" {
			kept = append(kept, kv)
		}
	}
	return kept
}

var workloadHead = []string{"workload", "calls", "failed", "late", "well", "attempts a call", "first token p50, before", "during", "cost of an answer, before", "during", "steps repeated", "effects twice", "breaches"}

func (r *Result) workloadRows() [][]string {
	var rows [][]string
	row := func(name string, f *Figures) {
		if f.Critical {
			name += " (critical)"
		}
		if !f.Alternate {
			name += ", no alternate"
		}
		twice := itoa(f.Duplicated)
		if r.Mode != Sim {
			twice = "not measured"
		}
		well, tries := recovered(f.Recover), fmt.Sprintf("%.3f", f.Amplification())
		if r.Mode == Shadow {
			well, tries = "not measured", "not measured"
		}
		rows = append(rows, []string{name, itoa(f.During.Calls), itoa(f.During.Failed), itoa(f.During.Late), well, tries,
			brief(f.Before.First50), brief(f.During.First50), usd(f.Before.PerCall), usd(f.During.PerCall), itoa(f.Repeated), twice, itoa(f.Residency + f.Contract)})
	}
	for i := range r.Workloads {
		row(r.Workloads[i].Workload, &r.Workloads[i])
	}
	if len(r.Workloads) > 1 {
		row("all", &r.Total)
	}
	return rows
}

var naiveHead = []string{"router", "workload", "calls", "failed", "late", "bad", "well", "attempts a call"}

func (r *Result) naiveRows() [][]string {
	var rows [][]string
	row := func(who, name string, f *Figures) {
		rows = append(rows, []string{who, name, itoa(f.During.Calls), itoa(f.During.Failed), itoa(f.During.Late), percent(f.FailedShare()), recovered(f.Recover), fmt.Sprintf("%.3f", f.Amplification())})
	}
	for i := range r.Workloads {
		row("this one", r.Workloads[i].Workload, &r.Workloads[i])
		if i < len(r.NaiveBy) {
			row("trusting status codes", r.NaiveBy[i].Workload, &r.NaiveBy[i])
		}
	}
	return rows
}

func (r *Result) shareRows() [][]string {
	var rows [][]string
	for _, s := range r.Total.Shares {
		rows = append(rows, []string{s.Endpoint, itoa(s.Answers), percent(s.Share)})
	}
	return rows
}

// say describes a gap for people.
func (g *Gap) say() string {
	s := g.Workload
	if g.From > 0 {
		s += ", from " + brief(g.From) + " after the loss began"
	}
	if g.Calls > 0 {
		s += " (" + itoa(g.Calls) + " calls)"
	}
	s += ": lost " + cmp.Or(strings.Join(g.Lost, ", "), "nothing")
	if len(g.Refused) > 0 {
		s += "; there, and not permitted: " + strings.Join(g.Refused, "; ")
	}
	if g.Expected {
		s += " (known to have none)"
	}
	return s
}

func passed(ok bool) string {
	if ok {
		return "yes"
	}
	return "NO"
}

// table is a table of Markdown.
func table(head []string, rows [][]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, row := range rows {
		for i := range row {
			row[i] = cell(row[i])
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	return b.String()
}

// cell makes a text fit for a table of Markdown: names come from files and catalogs of others.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "`", "'", "[", `\[`).Replace(plainLong(s))
}

// plainLong is plain without its bound.
func plainLong(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return ' '
		}
		return r
	}, s)
}

// day is a date for people.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
