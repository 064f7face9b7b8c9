package research

import (
	"fmt"
	"path/filepath"
	"strings"

	"decouple.dev/decouple"
)

// Markdown writes the report for people: the answer first, then the findings with their quotations, the sources, what is missing, what was removed,
// and the agents. Paths under folder, if it is not empty, are relative to it.
func (r Report) Markdown(folder string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n", oneLine(r.Question), r.Answer)
	r.writeFindings(&b, folder)
	r.writeSources(&b, folder)
	if len(r.Gaps) > 0 {
		b.WriteString("\n## Gaps\n\n")
		for _, g := range r.Gaps {
			fmt.Fprintf(&b, "- %s: %s\n", oneLine(g.Question), oneLine(g.Why))
		}
	}
	if len(r.Dropped) > 0 {
		b.WriteString("\n## Removed by the citation check\n\n")
		for _, d := range r.Dropped {
			fmt.Fprintf(&b, "- %q (run %s): %s\n", shorten(oneLine(d.Text), 300), d.Run, oneLine(d.Why))
		}
	}
	r.writeAgents(&b)
	return b.String()
}

// writeFindings writes each claim, and its quotations numbered 1.1, 1.2 and so on.
func (r Report) writeFindings(b *strings.Builder, folder string) {
	if len(r.Findings) == 0 {
		return
	}
	b.WriteString("\n## Findings\n")
	for i, f := range r.Findings {
		fmt.Fprintf(b, "\n**[%d]** %s\n", i+1, f.Claim)
		for j, q := range f.Quotes {
			b.WriteString("\n")
			for _, line := range strings.Split(q.Text, "\n") {
				b.WriteString(strings.TrimRight("> "+line, " ") + "\n")
			}
			fmt.Fprintf(b, "\n(%d.%d) %s, %s:%d\n", i+1, j+1, oneLine(q.Source), relative(folder, q.Path), q.Line)
		}
	}
}

// writeSources writes each document with the lines at which it is quoted.
func (r Report) writeSources(b *strings.Builder, folder string) {
	if len(r.Sources) == 0 {
		return
	}
	b.WriteString("\n## Sources\n\n")
	for _, s := range r.Sources {
		var lines []string
		for _, f := range r.Findings {
			for _, q := range f.Quotes {
				if q.Path == s.Path && q.SHA256 == s.SHA256 {
					lines = append(lines, fmt.Sprint(q.Line))
				}
			}
		}
		word := "lines"
		if len(lines) == 1 {
			word = "line"
		}
		fmt.Fprintf(b, "- %s, %s, %s %s (sha256 %.12s)\n", oneLine(s.Title), relative(folder, s.Path), word, strings.Join(lines, ", "), s.SHA256)
	}
}

// writeAgents writes the table of agents and its sum.
func (r Report) writeAgents(b *strings.Builder) {
	b.WriteString("\n## Agents\n\n| run | agent | question | end | steps | tokens in | tokens out | cost (USD) | findings |\n|---|---|---|---|---:|---:|---:|---:|---:|\n")
	var sum decouple.Money
	for _, a := range r.Agents {
		sum += a.Usage.Cost
		fmt.Fprintf(b, "| %s | %s | %s | %s | %d | %d | %d | %s | %d |\n", a.Run, a.Name, cell(a.Question), a.End, a.Steps, a.Usage.TokensIn, a.Usage.TokensOut, a.Usage.Cost, a.Found)
	}
	fmt.Fprintf(b, "| **sum** | %d agents | %d tool calls | %d ms | %d | %d | %d | %s | %d |\n",
		r.Run.Agents, r.Run.ToolCalls, r.Run.WallMS, r.Run.Steps, r.Run.TokensIn, r.Run.TokensOut, sum, len(r.Findings))
}

// relative is a path as seen from a folder, if it lies under it.
func relative(folder, path string) string {
	if folder == "" {
		return path
	}
	rel, err := filepath.Rel(folder, path)
	if err != nil || rel == "." || strings.HasPrefix(rel, "..") {
		return path
	}
	return rel
}

// oneLine puts a text on one line.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// cell is a text for a cell of a table.
func cell(s string) string { return strings.ReplaceAll(shorten(oneLine(s), 100), "|", `\|`) }
