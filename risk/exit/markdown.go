package exit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Markdown is the report for people.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# How ready we are to leave\n\nMade %s by Decouple %s, of the journal as far as position %d", r.Made.Format(time.RFC3339), cmp.Or(r.Program, "(a build without a version)"), r.Head)
	if !r.Since.IsZero() {
		fmt.Fprintf(&b, "; calls count from %s on", r.Since.Format(time.DateOnly))
	}
	b.WriteString(".\n\n")
	var rows [][]string
	for _, p := range r.Points {
		rows = append(rows, []string{p.Question, p.Answer, map[bool]string{true: "ready", false: "**gap**"}[p.Ready]})
	}
	table(&b, "", []string{"Question", "Answer", ""}, rows)
	r.writeDrills(&b)
	r.writeData(&b)
	r.writeTerms(&b)
	rows = nil
	for _, n := range r.Bundles {
		rows = append(rows, []string{day(n.At), n.What, n.File, fmt.Sprintf("%.16s", n.ID), fmt.Sprint(n.Head), fmt.Sprint(n.Runs)})
	}
	table(&b, "Bundles", []string{"On", "", "File", "Bundle", "Position", "Runs"}, rows)
	rows = nil
	for _, w := range slices.Sorted(maps.Keys(r.Open)) {
		rows = append(rows, []string{w, fmt.Sprint(r.Open[w])})
	}
	table(&b, "Runs that have not ended, by what they wait for", []string{"Waits for", "Runs"}, rows)
	return b.String()
}

func (r *Report) writeDrills(b *strings.Builder) {
	var rows [][]string
	for _, d := range r.Drills {
		recover := "never"
		if d.Recover != nil {
			recover = d.Recover.Round(time.Millisecond).String()
		}
		rows = append(rows, []string{day(d.Ran), d.Scenario, strings.Join(d.Lost, "; "), d.Mode, word(d.Passed, "passed", "failed"), recover, fmt.Sprintf("%d of %d", d.Failed, d.Calls), fmt.Sprint(d.Duplicated), fmt.Sprint(d.Breaches),
			strings.Join(d.Gaps, ", "), day(d.Due), word(d.Signed, "holds", "does not hold")})
	}
	table(b, "Rehearsed losses", []string{"On", "Scenario", "Lost", "Mode", "", "Recovered after", "Calls failed", "Effects twice", "Breaches", "No alternate", "Due again", "Signature"}, rows)
	rows = nil
	for _, a := range r.Alternate {
		rows = append(rows, []string{cmp.Or(a.Model, "-"), strings.Join(a.Providers, ", "), cmp.Or(strings.Join(a.Others, ", "), "-")})
	}
	table(b, "Models in use, and who else serves them", []string{"Model", "Asked at", "Also at"}, rows)
}

func (r *Report) writeData(b *strings.Builder) {
	var rows [][]string
	for _, f := range r.Data {
		rows = append(rows, []string{string(f.Tenant), cmp.Or(f.Class, "-"), cmp.Or(f.Agent, "-"), cmp.Or(strings.Join(f.Labels, ", "), "-"), f.Endpoint, cmp.Or(f.Cloud, "-"), cmp.Or(f.Region, "-"), cmp.Or(f.Geo, "not known"), fmt.Sprint(f.Calls), "$" + f.Spend.String(), day(f.First), day(f.Last)})
	}
	table(b, "Where data went", []string{"Tenant", "Class", "Agent", "Labels", "Endpoint", "Cloud", "Region", "Geography", "Calls", "Spend", "First", "Last"}, rows)
	rows = nil
	for _, k := range r.Rest {
		rows = append(rows, []string{string(k.Tenant), string(k.Kind), fmt.Sprint(k.Events), fmt.Sprint(k.Subjects)})
	}
	table(b, "What is kept here", []string{"Tenant", "Kind", "Events", "Subjects"}, rows)
	rows = nil
	for _, k := range r.Keys {
		rows = append(rows, []string{k.ID, string(k.Tenant), string(k.Actor.Kind) + " " + k.Actor.ID, string(k.Role), day(k.Expires)})
	}
	table(b, "Keys to revoke", []string{"Key", "Tenant", "Of", "Role", "Expires"}, rows)
	rows = nil
	for _, a := range r.Accounts {
		rows = append(rows, []string{cmp.Or(a.Provider, "-"), cmp.Or(a.Account, "-"), fmt.Sprint(a.Calls), "$" + a.Spend.String(), day(a.Last)})
	}
	table(b, "Accounts at vendors to close", []string{"Vendor", "Account", "Calls", "Spend", "Last call"}, rows)
}

func (r *Report) writeTerms(b *strings.Builder) {
	var rows [][]string
	for _, c := range r.Clocks {
		days := "-"
		if c.Days > 0 {
			days = fmt.Sprint(c.Days)
		}
		rows = append(rows, []string{string(c.Tenant), c.Clause, string(c.Kind), c.Text, days, day(c.Ends)})
	}
	table(b, "Notices and ends", []string{"Tenant", "Clause", "Kind", "Says", "Days of notice", "Ends"}, rows)
	rows = nil
	for _, c := range r.Commits {
		rows = append(rows, []string{string(c.Tenant), c.Clause, "$" + c.Amount.String(), "$" + c.Spent.String(), "$" + c.Forfeit.String(), "$" + c.Forecast.String(), day(c.Ends)})
	}
	table(b, "Commitments", []string{"Tenant", "Clause", "Promised", "Spent", "Forfeited by leaving now", "By going on as of late", "Ends"}, rows)
}

func word(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

func day(t time.Time) string { return cmp.Or(date(t), "-") }

// table writes a table under a heading; one without rows says so.
func table(b *strings.Builder, title string, head []string, rows [][]string) {
	if title != "" {
		fmt.Fprintf(b, "\n## %s\n\n", title)
	}
	if len(rows) == 0 {
		b.WriteString("None.\n")
		return
	}
	line := func(cells []string) {
		for _, c := range cells {
			b.WriteString("| " + escapes.Replace(c) + " ")
		}
		b.WriteString("|\n")
	}
	line(head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, r := range rows {
		line(r)
	}
}

// escapes keep names, which come from callers, from being anything but text.
var escapes = strings.NewReplacer("|", "\\|", "\n", " ", "\r", " ", "<", "&lt;", "[", "\\[", "`", "\\`")
