package parity

import (
	"fmt"
	"strings"
	"time"

	"decouple.dev/decouple"
)

// Head is a line about what was compared.
func (r Report) Head() string {
	return fmt.Sprintf("%s as alternate for %s: %s. %s.", r.Alternate.Endpoint, r.Primary.Endpoint, strings.ToUpper(string(r.Verdict)), r.Why)
}

// MetricRows are the metrics as rows of text: metric, cases, primary, alternate, difference with its interval, verdict, why.
func (r Report) MetricRows() [][]string {
	var rows [][]string
	for _, c := range r.Metrics {
		rows = append(rows, []string{string(c.Metric), fmt.Sprint(c.Cases), percent(c.Primary.Value), percent(c.Alternate.Value),
			fmt.Sprintf("%+.1f [%+.1f, %+.1f]", c.Difference.Value*100, c.Difference.Low*100, c.Difference.High*100), string(c.Verdict), c.Why})
	}
	return rows
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", share*100) }

// RatioRows are cost and times as rows of text: of what, primary, alternate, times with its interval.
func (r Report) RatioRows() [][]string {
	a, b := r.Primary, r.Alternate
	values := map[string][2]string{
		"cost":        {usd(a.Usage.Cost) + " USD", usd(b.Usage.Cost) + " USD"},
		"tokens out":  {fmt.Sprint(a.Usage.TokensOut), fmt.Sprint(b.Usage.TokensOut)},
		"first token": {spread(a.FirstToken), spread(b.FirstToken)},
		"total time":  {spread(a.Took), spread(b.Took)},
	}
	var rows [][]string
	for _, k := range r.Ratios {
		times := "-"
		if k.Known {
			times = fmt.Sprintf("%.2f [%.2f, %.2f]", k.Times.Value, k.Times.Low, k.Times.High)
		}
		rows = append(rows, []string{k.Of, values[k.Of][0], values[k.Of][1], times})
	}
	return rows
}

func usd(m decouple.Money) string { return m.String() }

func spread(s Spread) string {
	return fmt.Sprintf("p50 %s, p95 %s", s.P50.Round(time.Millisecond), s.P95.Round(time.Millisecond))
}

// MissRows are the misses as rows of text.
func (r Report) MissRows() [][]string {
	var rows [][]string
	for _, m := range r.Misses {
		rows = append(rows, []string{m.Case, m.Side, string(m.Metric), m.Why})
	}
	return rows
}

// Markdown writes the report.
func (r Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Parity\n\n%s\n\n", cell(r.Head()))
	fmt.Fprintf(&b, "%s, suite %s (%s), each case %d times, margin %.1f points, seed %d. Shares are of cases; intervals leave out 5 %% on either side.\n\n",
		r.At.Format("2006-01-02 15:04 MST"), cell(r.Suite), r.Hash, r.Repeats, r.Margin*100, r.Seed)
	for _, n := range r.Notes {
		b.WriteString("- " + cell(n) + "\n")
	}
	grid(&b, []string{"metric", "cases", "primary", "alternate", "difference, points", "verdict", "why"}, r.MetricRows())
	grid(&b, []string{"of", "primary", "alternate", "times as much"}, r.RatioRows())
	if len(r.Misses) > 0 {
		b.WriteString("\n## What went wrong\n")
		grid(&b, []string{"case", "side", "metric", "why"}, r.MissRows())
		if r.More > 0 {
			fmt.Fprintf(&b, "\n%d more are not listed.\n", r.More)
		}
	}
	return b.String()
}

// grid writes a table of Markdown.
func grid(b *strings.Builder, head []string, rows [][]string) {
	b.WriteString("\n| " + strings.Join(head, " | ") + " |\n" + "|" + strings.Repeat("---|", len(head)) + "\n")
	for _, row := range rows {
		b.WriteString("|")
		for _, c := range row {
			b.WriteString(" " + cell(c) + " |")
		}
		b.WriteString("\n")
	}
}

// cell is a text that Markdown takes for nothing else.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "\n", " ", "*", `\*`, "_", `\_`, "`", "'", "[", `\[`).Replace(s)
}
