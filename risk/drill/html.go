package drill

import (
	"fmt"
	"html"
	"strings"
)

// style is of the report: light or dark as the reader's machine is. There is no script, and nothing is fetched.
const style = `:root{color-scheme:light dark;--ink:#1d2430;--soft:#5b6676;--page:#fff;--card:#f5f7fa;--line:#dde3ea;--good:#12805c;--bad:#c0392b;--ours:#1463c2;--naive:#c0392b;--loss:#c0392b18;
--e0:#4c78a8;--e1:#f58518;--e2:#54a24b;--e3:#b279a2;--e4:#eeca3b;--e5:#72b7b2;--e6:#9d9d9d}
@media (prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa6b6;--page:#12161c;--card:#1a2029;--line:#2c3541;--good:#46c496;--bad:#ff7b6b;--ours:#6db1ff;--naive:#ff7b6b;--loss:#ff7b6b1f}}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}main{max-width:920px;margin:0 auto;padding:32px 24px 64px}
h1{font-size:26px;line-height:1.25;margin:0 0 12px}h2{font-size:18px;margin:36px 0 10px}p{margin:8px 0}.soft{color:var(--soft)}
.verdict{display:inline-block;padding:2px 12px;border-radius:999px;color:#fff;font-weight:600;background:var(--good)}.verdict.bad{background:var(--bad)}
@media (prefers-color-scheme:dark){.verdict{color:#12161c}}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13px}th,td{text-align:left;padding:6px 10px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}th{color:var(--soft);font-weight:600}
td.n{font-variant-numeric:tabular-nums;white-space:nowrap}.yes{color:var(--good);font-weight:600}.no{color:var(--bad);font-weight:600}
figure{margin:12px 0;padding:12px;background:var(--card);border:1px solid var(--line);border-radius:8px}figcaption{font-size:13px;color:var(--soft);margin-top:6px}
.chart{width:100%;height:auto;display:block}.chart .grid{stroke:var(--line)}.chart .axis{fill:var(--soft);font:11px system-ui,sans-serif}.chart .loss{fill:var(--loss)}
.chart .ours{fill:none;stroke:var(--ours);stroke-width:2}.chart .naive{fill:none;stroke:var(--naive);stroke-width:2;stroke-dasharray:5 4}
.key{display:inline-block;width:12px;height:12px;border-radius:3px;margin:0 5px 0 12px;vertical-align:-1px}`

// HTML is a result as a page for people, with its charts.
func (r *Result) HTML() string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	class := ""
	if !r.Passed {
		class = " bad"
	}
	title := plainLong(r.Scenario.Title)
	p("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Drill: %s</title><style>%s%s</style></head><body><main>\n", html.EscapeString(title), style, endpointStyles())
	p("<p class=\"soft\">Drill of %s</p><h1>%s</h1>\n<p><span class=\"verdict%s\">%s</span></p><p>%s</p>\n", html.EscapeString(r.Scenario.ID), html.EscapeString(title), class, r.verdict(), html.EscapeString(plainLong(r.summary())))
	if c := r.Chart; c != nil && len(c.Well) > 0 {
		p("<h2>Calls that went well</h2><figure>%s<figcaption><span class=\"key\" style=\"background:var(--ours);margin-left:0\"></span>this router", c.Success())
		if len(c.Naive) > 0 {
			p("<span class=\"key\" style=\"background:var(--naive)\"></span>a router that trusts status codes")
		}
		p("<span class=\"key\" style=\"background:var(--loss)\"></span>the loss</figcaption></figure>\n")
		p("<h2>Who answered</h2><figure>%s<figcaption>", c.Answers())
		for i, e := range c.Endpoints {
			p("<span class=\"key\" style=\"background:var(--e%d)\"></span>%s", i%7, html.EscapeString(plainLong(e.Name)))
		}
		p("</figcaption></figure>\n")
	}
	r.htmlTables(&b)
	p("</main></body></html>\n")
	return b.String()
}

func (r *Result) htmlTables(b *strings.Builder) {
	p := func(format string, args ...any) { fmt.Fprintf(b, format, args...) }
	items := func(list []string) {
		p("<ul>")
		for _, s := range list {
			p("<li>%s</li>", html.EscapeString(plainLong(s)))
		}
		p("</ul>\n")
	}
	p("<h2>What was expected</h2>")
	var rows [][]string
	for _, c := range r.Checks {
		rows = append(rows, []string{c.What, c.Want, c.Got, passed(c.Passed)})
	}
	htmlTable(b, []string{"expectation", "wanted", "came", "held"}, rows)
	p("<h2>What was lost</h2>")
	items(r.Scenario.Lost)
	p("<h2>Workloads</h2>")
	htmlTable(b, workloadHead, r.workloadRows())
	if len(r.Gaps) > 0 {
		p("<h2>What had no alternate</h2>")
		var list []string
		for i := range r.Gaps {
			list = append(list, r.Gaps[i].say())
		}
		items(list)
	}
	if len(r.Unproved) > 0 {
		p("<h2>Alternates that nobody has proved as good</h2>")
		items(r.unprovedWords())
	}
	if r.Naive != nil {
		p("<h2>Beside a router that trusts status codes</h2><p class=\"soft\">The same calls, drawn with the same dice: such a router takes a 4xx for its caller's fault, waits where it is told 429, and holds a connection as long as it is open.</p>")
		htmlTable(b, naiveHead, r.naiveRows())
	}
	p("<h2>Who answered during the loss</h2>")
	htmlTable(b, []string{"endpoint", "answers", "share"}, r.shareRows())
	p("<h2>About this drill</h2>")
	rows = nil
	for _, kv := range r.header() {
		rows = append(rows, kv[:])
	}
	htmlTable(b, nil, rows)
	p("<h2>What the figures mean</h2>")
	items(append(append([]string{}, r.Measures...), r.Simplified...))
}

func htmlTable(b *strings.Builder, head []string, rows [][]string) {
	b.WriteString("<div class=\"wide\"><table>")
	if len(head) > 0 {
		b.WriteString("<tr>")
		for _, h := range head {
			fmt.Fprintf(b, "<th>%s</th>", html.EscapeString(h))
		}
		b.WriteString("</tr>")
	}
	for _, row := range rows {
		b.WriteString("<tr>")
		for _, v := range row {
			class := ""
			switch {
			case v == "yes":
				class = " class=\"yes\""
			case v == "NO":
				class = " class=\"no\""
			case v != "" && v[0] >= '0' && v[0] <= '9' && len(v) < 16 || strings.HasPrefix(v, "$"):
				class = " class=\"n\""
			}
			fmt.Fprintf(b, "<td%s>%s</td>", class, html.EscapeString(plainLong(v)))
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</table></div>\n")
}

func endpointStyles() string {
	var b strings.Builder
	for i := range 7 {
		fmt.Fprintf(&b, ".chart .e%d{fill:var(--e%d)}", i, i)
	}
	return b.String()
}
