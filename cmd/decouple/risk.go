package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/ledger"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/risk/exposure"
	"decouple.dev/decouple/risk/parity"
)

// riskFlags are the flags of `decouple risk`.
type riskFlags struct {
	since, facts string
	json         bool
	md, html     string
	model        modelFlags
}

func newRisk(a *app) *cobra.Command {
	var f riskFlags
	c := &cobra.Command{
		Use: "risk", Short: "Say what hangs on whom: concentration, what is lost without each vendor or ancestor, and grades", Args: noArgs,
		Long: `Says what the calls of models hang on: sellers, labs, clouds, regions, accelerators, identity providers, networks. It sums recorded calls, closes
the graph over the catalog and over public facts about who stands behind whom, and tells how concentrated spend, tokens, calls and critical work are, what is lost
when each of them is gone, which are single points, and grades every vendor and every critical workload from A to F with the reason for each point.

--facts FILE lays facts of your own over those that ship: further ancestors, corrections, and how critical your workloads are. docs/risk.md
describes the file, the table of rules and how to read the figures. Without recorded calls the catalog alone is assessed, and the report says so.` + modelHelp,
		Example: "  decouple risk --since 30d\n  decouple risk --facts risk.yaml --html exposure.html --md exposure.md\n  decouple risk --json --server http://127.0.0.1:8585",
		RunE: func(c *cobra.Command, _ []string) error {
			q, err := f.query()
			if err != nil {
				return err
			}
			r, err := a.risk(c.Context(), q, f.model)
			if err != nil {
				return err
			}
			return a.showRisk(r, f)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.since, "since", "30d", "`TIME` from which on calls count: a span such as 24h or 30d, a date, or a time in RFC 3339")
	flags.StringVar(&f.facts, "facts", "", "`FILE` of ancestors and criticality of your own")
	flags.BoolVar(&f.json, "json", false, "write one JSON object")
	flags.StringVar(&f.md, "md", "", "write the report as Markdown to `FILE`, too")
	flags.StringVar(&f.html, "html", "", "write the report as one HTML page with the graph to `FILE`, too")
	f.model.add(flags)
	return c
}

// query reads the file of facts and the time. A file that is wrong is told of before anything is asked.
func (f riskFlags) query() (api.RiskQuery, error) {
	since, err := moment("--since", f.since, time.Now())
	if err != nil || f.facts == "" {
		return api.RiskQuery{Since: since}, err
	}
	b, err := os.ReadFile(f.facts)
	if err != nil {
		return api.RiskQuery{}, decouple.Errorf(decouple.NotFound, "--facts: the file cannot be read: %w", err)
	}
	_, err = exposure.Facts{}.Over(f.facts, b)
	return api.RiskQuery{Since: since, File: f.facts, Facts: string(b)}, err
}

// risk asks whoever keeps the accounts.
func (a *app) risk(ctx context.Context, q api.RiskQuery, m modelFlags) (exposure.Report, error) {
	var r exposure.Report
	planned := func() (plan, error) {
		mine, err := a.choose(m, decouple.Price{})
		return plan{doing: "decouple risk", model: mine}, err
	}
	err := a.reachWith(ctx, planned,
		func(there *api.Client) (err error) { r, err = there.Risk(ctx, q); return err },
		func(o *owner) (err error) { r, err = o.risk(ctx, decouple.LocalTenant, q); return err })
	return r, err
}

// risk assesses what the calls of a tenant hang on.
func (o *owner) risk(ctx context.Context, tenant decouple.TenantID, q api.RiskQuery) (exposure.Report, error) {
	facts, err := exposure.Embedded()
	if err != nil {
		return exposure.Report{}, err
	}
	if q.Facts != "" {
		if facts, err = facts.Over(factsName(q.File), []byte(q.Facts)); err != nil {
			return exposure.Report{}, err
		}
	}
	in := exposure.Input{Catalog: o.catalog, Facts: facts, Since: q.Since, Now: time.Now(), Class: gateway.StatelessAPI}
	in.Place = func(ep catalog.Endpoint) placement.Place { return gateway.PlaceOf(o.catalog, ep) }
	terms, err := o.contracts.Policy(tenant)
	if err != nil {
		return exposure.Report{}, err
	}
	if terms != nil {
		in.Judge = terms
	}
	if in.Flows, err = o.flows(ctx, tenant, q.Since); err != nil {
		return exposure.Report{}, err
	}
	if in.Drills, err = o.rehearsed(ctx, tenant, facts); err != nil {
		return exposure.Report{}, err
	}
	reports, err := parity.Latest(ctx, o.store, tenant)
	if err != nil {
		return exposure.Report{}, err
	}
	for _, p := range reports {
		in.Parity = append(in.Parity, exposure.Parity{Primary: p.Primary.Endpoint, Alternate: p.Alternate.Endpoint, Pass: p.Verdict == parity.Pass, At: p.At})
	}
	return exposure.Assess(in), nil
}

// factsName is the name of the file of facts in errors: it comes from a caller.
func factsName(file string) string {
	if file == "" {
		return "facts"
	}
	return printable(clip(file, 200))
}

// flows are the calls of a tenant that reached an endpoint, summed by who asked for what and who answered.
func (o *owner) flows(ctx context.Context, tenant decouple.TenantID, since time.Time) ([]exposure.Flow, error) {
	var list []exposure.Flow
	at := map[string]int{}
	err := o.ledger.Calls(ctx, ledger.Span{Tenant: tenant, Since: since}, func(r ledger.Recorded) error {
		if r.Endpoint == "" || len(r.Lines) == 0 || strings.HasPrefix(string(r.Run), parity.Prefix) { // answered from memory, refused, or an evaluation's
			return nil
		}
		key := fmt.Sprintf("%q", append([]string{r.Class, string(r.Agent), r.Team, r.Key, r.Asked, r.Model, r.Endpoint}, r.Labels...))
		i, ok := at[key]
		if !ok {
			i = len(list)
			at[key] = i
			list = append(list, exposure.Flow{Class: r.Class, Agent: string(r.Agent), Team: r.Team, Key: r.Key, Labels: slices.Clone(r.Labels), Asked: r.Asked, Model: r.Model, Endpoint: catalog.EndpointID(r.Endpoint)})
		}
		f := &list[i]
		f.Calls, f.Tokens, f.Spend = f.Calls+1, f.Tokens+r.Usage.TokensIn+r.Usage.TokensOut, f.Spend+r.Usage.Cost
		if slices.ContainsFunc(r.Lines, func(l ledger.Line) bool { return l.Unpriced }) {
			f.Unpriced++
		}
		return nil
	})
	return list, err
}

// showRisk writes the report as it was asked for.
func (a *app) showRisk(r exposure.Report, f riskFlags) error {
	var errs []error
	for _, w := range []struct {
		file string
		text func() string
	}{{f.md, r.Markdown}, {f.html, r.HTML}} {
		if w.file == "" {
			continue
		}
		if err := os.WriteFile(w.file, []byte(w.text()), 0o644); err != nil {
			errs = append(errs, decouple.Errorf(decouple.Unavailable, "%s cannot be written: %w", w.file, err))
			continue
		}
		a.say("written: %s", w.file)
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if f.json {
		return a.json(r)
	}
	return a.print(riskText(r))
}

// riskText is the report for people at a terminal.
func riskText(r exposure.Report) string {
	var b strings.Builder
	b.WriteString(printable(r.Head()) + "\n")
	for _, n := range r.Notes {
		b.WriteString("- " + printable(n) + "\n")
	}
	const most = 15
	for _, t := range r.Tables()[:5] {
		fmt.Fprintf(&b, "\n%s\n", strings.ToUpper(t.Title))
		if len(t.Rows) == 0 {
			b.WriteString(t.None + "\n")
			continue
		}
		var rows [][]string
		for _, row := range t.Rows[:min(len(t.Rows), most)] {
			cells := make([]string, len(row))
			for i, c := range row {
				cells[i] = clip(printable(c), 64)
			}
			rows = append(rows, cells)
		}
		head := make([]string, len(t.Head))
		for i, h := range t.Head {
			head[i] = strings.ReplaceAll(strings.ToUpper(h), " ", "_")
		}
		b.WriteString(table(strings.Join(head, " "), rows))
		if more := len(t.Rows) - most; more > 0 {
			fmt.Fprintf(&b, "%d more are in --json\n", more)
		}
	}
	b.WriteString("\nTHE REASON FOR EACH POINT\n")
	for _, g := range r.Reasons() {
		fmt.Fprintf(&b, "%s: %s, %d of 100\n", printable(g.Name), g.Mark, g.Points)
		for _, p := range g.Why {
			fmt.Fprintf(&b, "  %-12s %2d/%d  %s\n", p.Rule, p.Got, p.Of, printable(p.Why))
		}
		if g.Cap != "" {
			b.WriteString("  " + printable(g.Cap) + "\n")
		}
	}
	return b.String()
}
