package exposure

import (
	"fmt"
	"html"
	"strings"
)

// Table is a part of a report as rows of text, the same for people at a terminal, for Markdown and for HTML.
type Table struct {
	Title string
	Text  string // that explains it
	Head  []string
	Rows  [][]string
	None  string // said where there are no rows
}

// mostRows is how many rows of a table a written report has; the JSON has all.
const mostRows = 25

// Tables are the parts of the report, in the order of reading.
func (r Report) Tables() []Table {
	return []Table{r.vendorTable(), r.workloadTable(), r.singleTable(), r.dimensionTable(), r.removalTable(), r.edgeTable()}
}

func (r Report) vendorTable() Table {
	t := Table{Title: "Vendors", Text: "A to F by the table of rules in docs/risk.md. The reasons for each point follow below.", Head: []string{"vendor", "grade", "points"}, None: "No vendor was called."}
	for _, rule := range Rules() {
		t.Head = append(t.Head, rule.Name)
	}
	t.Head = append(t.Head, "held down by")
	for _, g := range r.Vendors {
		t.Rows = append(t.Rows, gradeRow(g))
	}
	return t
}

// gradeRow is a grade in one line.
func gradeRow(g Grade) []string {
	row := []string{g.Name, g.Mark, fmt.Sprint(g.Points)}
	for _, p := range g.Why {
		row = append(row, fmt.Sprintf("%d/%d", p.Got, p.Of))
	}
	return append(row, dash(g.Cap))
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (r Report) workloadTable() Table {
	t := Table{Title: "Workloads", Text: "How much depends on each, and the grade of the critical ones.", Head: []string{"workload", "level", "calls", "USD", "grade", "points", "why this level"}, None: "There are none."}
	for _, k := range r.Workloads {
		mark, points := "-", "-"
		if k.Grade != nil {
			mark, points = k.Grade.Mark, fmt.Sprint(k.Grade.Points)
		}
		calls := "-"
		if r.Basis == Recorded {
			calls = fmt.Sprint(k.Calls)
		}
		t.Rows = append(t.Rows, []string{k.Name, string(k.Level), calls, k.USD, mark, points, k.Why})
	}
	return t
}

func (r Report) singleTable() Table {
	t := Table{Title: "Single points", Text: "Without it, the workload has nothing left that may answer.", Head: []string{"workload", "level", "single points"}, None: "None: every workload has a permitted alternate for at least some of its calls, whatever single thing is gone."}
	if len(r.Workloads) == 0 {
		t.None = "Nothing to assess: no workload is known." // and not that all is well
	}
	at := map[string]int{}
	for _, p := range r.Singles {
		i, ok := at[p.Workload]
		if !ok {
			i = len(t.Rows)
			at[p.Workload] = i
			t.Rows = append(t.Rows, []string{p.Workload, string(p.Level), p.Node.String()})
			continue
		}
		t.Rows[i][2] += ", " + p.Node.String()
	}
	return t
}

func (r Report) dimensionTable() Table {
	t := Table{Title: "Concentration", Text: "HHI is the sum of the squares of the shares: 1 is all in one hand. Effective is 1/HHI: as many equal parts would be as concentrated. What is not known counts as one hand. The last four columns are by criticality.",
		Head: []string{"dimension", "HHI by spend", "by tokens", "by calls", "by criticality", "effective", "largest", "its share", "not known"}, None: "Nothing to measure."}
	for _, d := range r.Dimensions {
		row := []string{string(d.Kind)}
		for _, c := range d.By {
			if c.Known {
				row = append(row, fmt.Sprintf("%.2f", c.HHI))
			} else {
				row = append(row, "-")
			}
		}
		if last := d.By[ByCriticality]; last.Known {
			t.Rows = append(t.Rows, append(row, fmt.Sprintf("%.1f", last.Effective), unknown(last.Top), percent(last.TopShare), percent(last.Unknown)))
		}
	}
	return t
}

func unknown(name string) string {
	if name == "" {
		return "(not known)"
	}
	return name
}

func (r Report) removalTable() Table {
	t := Table{Title: "What is lost without it", Text: "Shares of all calls. Measured: by a drill; computed: from the catalog, the names that were asked for and the contracts.",
		Head: []string{"gone", "hang on it", "in part", "lost", "at risk", "basis", "drill"}, None: "Nothing."}
	for _, n := range r.Removals {
		if (n.Node.Kind == OfEndpoint || n.Node.Kind == OfAccount) && n.Drill == "" {
			continue
		}
		drill := dash(n.Drill)
		if n.Drill != "" {
			drill += " (" + n.DrillMode + ") " + n.DrillAt.Format("2006-01-02")
		}
		if n.Overdue {
			drill += ", overdue"
		}
		t.Rows = append(t.Rows, []string{n.Node.String(), percent(n.Exposed), percent(n.Touched), percent(n.Lost), percent(n.AtRisk), n.Basis, drill})
	}
	return t
}

func (r Report) edgeTable() Table {
	t := Table{Title: "Who stands behind whom, and who says so", Text: "What follows from the catalog itself is left out.", Head: []string{"this", "hangs on", "how", "confidence", "since", "checked", "source"}, None: "Nothing but the catalog."}
	for _, e := range r.Graph.Edges {
		if e.Confidence == FromCatalog {
			continue
		}
		since, known := "-", "-"
		if !e.Since.IsZero() {
			since = e.Since.Format("2006-01-02")
		}
		if !e.Known.IsZero() {
			known = e.Known.Format("2006-01-02")
		}
		source := e.Source
		if e.Note != "" {
			source += " (" + e.Note + ")"
		}
		t.Rows = append(t.Rows, []string{e.From.String(), e.To.String(), string(e.Strength), string(e.Confidence), since, known, source})
	}
	return t
}

// Reasons are the grades with the reason for each point.
func (r Report) Reasons() []Grade {
	out := append([]Grade(nil), r.Vendors...)
	for _, k := range r.Workloads {
		if k.Grade != nil {
			out = append(out, *k.Grade)
		}
	}
	return out
}

// Head is a line about what was assessed.
func (r Report) Head() string {
	if r.Basis == Assumed {
		return fmt.Sprintf("As of %s, from the catalog alone.", r.AsOf.Format("2006-01-02 15:04 MST"))
	}
	since := "ever"
	if !r.Since.IsZero() {
		since = r.Since.Format("2006-01-02")
	}
	return fmt.Sprintf("As of %s: %d calls since %s, %d tokens, %s USD.", r.AsOf.Format("2006-01-02 15:04 MST"), r.Calls, since, r.Tokens, r.USD)
}

// Markdown writes the report.
func (r Report) Markdown() string {
	var b strings.Builder
	b.WriteString("# Exposure\n\n" + cell(r.Head()) + "\n\n")
	for _, n := range r.Notes {
		b.WriteString("- " + cell(n) + "\n")
	}
	for _, t := range r.Tables() {
		fmt.Fprintf(&b, "\n## %s\n\n", t.Title)
		if len(t.Rows) == 0 {
			b.WriteString(t.None + "\n")
			continue
		}
		b.WriteString(t.Text + "\n\n|")
		for _, h := range t.Head {
			b.WriteString(" " + h + " |")
		}
		b.WriteString("\n|" + strings.Repeat("---|", len(t.Head)) + "\n")
		for _, row := range t.Rows[:min(len(t.Rows), mostRows)] {
			b.WriteString("|")
			for _, c := range row {
				b.WriteString(" " + cell(c) + " |")
			}
			b.WriteString("\n")
		}
		if more := len(t.Rows) - mostRows; more > 0 {
			fmt.Fprintf(&b, "\n%d more are in the JSON.\n", more)
		}
	}
	b.WriteString("\n## The reason for each point\n")
	for _, g := range r.Reasons() {
		fmt.Fprintf(&b, "\n### %s: %s, %d of 100\n\n", cell(g.Name), g.Mark, g.Points)
		for _, p := range g.Why {
			fmt.Fprintf(&b, "- %s, %d of %d: %s\n", p.Rule, p.Got, p.Of, cell(p.Why))
		}
		if g.Cap != "" {
			b.WriteString("- " + cell(g.Cap) + "\n")
		}
	}
	return b.String()
}

// cell is a text that Markdown takes for nothing else.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "\n", " ", "*", `\*`, "_", `\_`, "`", "'", "[", `\[`).Replace(s)
}

// HTML writes the report as one page without scripts and without anything from elsewhere.
func (r Report) HTML() string {
	var b strings.Builder
	b.WriteString(pageHead)
	fmt.Fprintf(&b, "<h1>Exposure</h1><p>%s</p><ul class=notes>", html.EscapeString(r.Head()))
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "<li>%s</li>", html.EscapeString(n))
	}
	b.WriteString("</ul><div class=marks>")
	for _, g := range r.Reasons() {
		fmt.Fprintf(&b, `<div class="mark m%s"><b>%s</b><span>%s</span><small>%d of 100</small></div>`, g.Mark, g.Mark, html.EscapeString(g.Name), g.Points)
	}
	b.WriteString("</div><h2>What calls hang on</h2><p>A box is filled by the share of calls that cannot do without it. A dashed line: in part. Point at a line for its source.</p><div class=wide>" + r.SVG() + "</div>")
	for _, t := range r.Tables() {
		fmt.Fprintf(&b, "<h2>%s</h2>", html.EscapeString(t.Title))
		if len(t.Rows) == 0 {
			fmt.Fprintf(&b, "<p>%s</p>", html.EscapeString(t.None))
			continue
		}
		fmt.Fprintf(&b, "<p>%s</p><div class=wide><table><thead><tr>", html.EscapeString(t.Text))
		for _, h := range t.Head {
			fmt.Fprintf(&b, "<th>%s</th>", html.EscapeString(h))
		}
		b.WriteString("</tr></thead><tbody>")
		for _, row := range t.Rows {
			b.WriteString("<tr>")
			for _, c := range row {
				fmt.Fprintf(&b, "<td>%s</td>", html.EscapeString(c))
			}
			b.WriteString("</tr>")
		}
		b.WriteString("</tbody></table></div>")
	}
	b.WriteString("<h2>The reason for each point</h2>")
	for _, g := range r.Reasons() {
		fmt.Fprintf(&b, "<h3>%s: %s, %d of 100</h3><ul>", html.EscapeString(g.Name), g.Mark, g.Points)
		for _, p := range g.Why {
			fmt.Fprintf(&b, "<li><b>%s %d/%d</b> %s</li>", html.EscapeString(p.Rule), p.Got, p.Of, html.EscapeString(p.Why))
		}
		if g.Cap != "" {
			fmt.Fprintf(&b, "<li>%s</li>", html.EscapeString(g.Cap))
		}
		b.WriteString("</ul>")
	}
	b.WriteString("</body></html>\n")
	return b.String()
}

// pageHead begins the page.
const pageHead = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>Exposure</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"><style>
:root{color-scheme:light dark;--line:#d4d9e2;--soft:#5a6475}
body{font:15px/1.5 system-ui,sans-serif;max-width:1240px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem;margin:0}h2{font-size:1.2rem;margin:2.2rem 0 .3rem}h3{font-size:1rem;margin:1.2rem 0 .2rem}
p{margin:.3rem 0 .8rem;color:var(--soft)}ul{margin:.3rem 0;padding-left:1.2rem}.notes{color:var(--soft)}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.86rem}th,td{text-align:left;padding:.3rem .7rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}th{white-space:nowrap}
.marks{display:flex;flex-wrap:wrap;gap:.6rem;margin:1.2rem 0}.mark{display:grid;grid-template-columns:auto 1fr;column-gap:.7rem;align-items:center;border:1px solid var(--line);border-left:6px solid;border-radius:6px;padding:.4rem .9rem .4rem .7rem}
.mark b{font-size:1.7rem;grid-row:span 2}.mark small{color:var(--soft)}.mA,.mB{border-left-color:#2e7d4f}.mC{border-left-color:#b58900}.mD,.mE{border-left-color:#c4641d}.mF{border-left-color:#b3261e}
@media (prefers-color-scheme:dark){:root{--line:#3a4252;--soft:#a9b3c4}}
</style></head><body>
`
