package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/risk/parity"
)

// parityFlags are the flags of `decouple parity`.
type parityFlags struct {
	primary    string
	alternates []string
	cases      string
	json       bool
	md         string
	query      api.ParityQuery
	model      modelFlags
}

func newParity(a *app) *cobra.Command {
	var f parityFlags
	c := &cobra.Command{
		Use: "parity", Short: "Give a primary endpoint and its alternates the same cases, and say whether an alternate is as good", Args: noArgs,
		Long: `Asks a primary endpoint and its alternates the same cases, through the gateway, and compares: do tool calls follow their schemas, is JSON of the form
that was asked for, is refused what must be and nothing else, does every quotation stand letter for letter in its source, what does it cost, how long does it take.
An alternate passes if it is, with 95 % certainty, no worse than the primary by more than --margin in each of these; else it fails, or there are too few cases,
and the report says how many it takes. The result is kept, and ` + "`decouple risk`" + ` counts alternates that have passed.

These are real calls, which cost what they cost. Without --cases the 74 cases that ship are asked. docs/risk.md describes the form of a file of one's own.
The exit code is 0 if every alternate passes and 7 if one does not.

` + "`decouple parity ls`" + ` lists the newest results.` + modelHelp,
		Example: "  decouple parity --primary azure/swedencentral/gpt-5.4 --alternate openai/us/gpt-5.4\n  decouple parity --primary openai/us/gpt-5.4 --alternate cerebras/gpt-oss-120b,groq/gpt-oss-120b --cases cases.yaml --repeats 3 --md parity.md",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.read(); err != nil {
				return err
			}
			list, err := a.parity(c.Context(), f)
			if err != nil {
				return err
			}
			return a.showParity(list, f)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.primary, "primary", "", "`ENDPOINT` that answers now; `decouple endpoints ls` lists them")
	flags.StringSliceVar(&f.alternates, "alternate", nil, "`ENDPOINT` that is to stand in for it; may be repeated")
	flags.StringVar(&f.cases, "cases", "", "`FILE` of cases (default: those that ship)")
	flags.IntVar(&f.query.Repeats, "repeats", 1, "how often each case is asked")
	flags.IntVar(&f.query.Parallel, "parallel", 4, "how many cases are asked at once")
	flags.Float64Var(&f.query.Margin, "margin", 0.1, "how much worse an alternate may be, as a share of the cases")
	flags.Uint64Var(&f.query.Seed, "seed", 1, "`NUMBER` from which the chance in the intervals follows")
	flags.StringVar(&f.query.Class, "class", "stateless_api", "`CLASS` of work as which it is asked: contracts judge it")
	flags.StringSliceVar(&f.query.Labels, "label", nil, "`LABEL` of the data, which contracts judge, too; may be repeated")
	flags.BoolVar(&f.json, "json", false, "write a JSON array of reports")
	flags.StringVar(&f.md, "md", "", "write the reports as Markdown to `FILE`, too")
	f.model.add(flags)
	c.AddCommand(newParityLs(a))
	return c
}

// read reads the file of cases. What is wrong with it is told of before anything is asked.
func (f *parityFlags) read() error {
	if f.primary == "" || len(f.alternates) == 0 {
		return decouple.Errorf(decouple.Invalid, "name --primary ENDPOINT and --alternate ENDPOINT; `decouple endpoints ls` lists them")
	}
	f.query.Primary = catalog.EndpointID(f.primary)
	for _, id := range f.alternates {
		f.query.Alternates = append(f.query.Alternates, catalog.EndpointID(id))
	}
	if f.cases == "" {
		return nil
	}
	b, err := os.ReadFile(f.cases)
	if err != nil {
		return decouple.Errorf(decouple.NotFound, "--cases: the file cannot be read: %w", err)
	}
	f.query.File, f.query.Cases = f.cases, string(b)
	_, err = parity.Parse(f.cases, b)
	return err
}

// parity asks whoever is at work.
func (a *app) parity(ctx context.Context, f parityFlags) ([]parity.Report, error) {
	var list []parity.Report
	by := decouple.Actor{Kind: decouple.ActorPerson, ID: person()}
	planned := func() (plan, error) {
		mine, err := a.choose(f.model, decouple.Price{})
		return plan{doing: "decouple parity", model: mine}, err
	}
	err := a.reachWith(ctx, planned,
		func(there *api.Client) (err error) {
			a.say("the process that is at work asks; that takes as long as the calls do")
			list, err = there.EvaluateParity(ctx, f.query, by)
			return err
		},
		func(o *owner) (err error) {
			list, err = evaluator{o}.evaluate(ctx, decouple.LocalTenant, f.query, by, func(done, of int) {
				a.err.draw([]string{fmt.Sprintf("%d of %s asked", done, count(of, "case"))})
			})
			a.err.draw(nil)
			return err
		})
	return list, err
}

// evaluator runs parity evaluations for an owner.
type evaluator struct{ *owner }

// Evaluate asks and keeps what came of it.
func (e evaluator) Evaluate(ctx context.Context, tenant decouple.TenantID, q api.ParityQuery, by decouple.Actor) ([]parity.Report, error) {
	return e.evaluate(ctx, tenant, q, by, nil)
}

// Latest lists the newest reports.
func (e evaluator) Latest(ctx context.Context, tenant decouple.TenantID) ([]parity.Report, error) {
	return parity.Latest(ctx, e.store, tenant)
}

func (e evaluator) evaluate(ctx context.Context, tenant decouple.TenantID, q api.ParityQuery, by decouple.Actor, progress func(done, of int)) ([]parity.Report, error) {
	suite, err := parity.Shipped()
	if q.Cases != "" {
		suite, err = parity.Parse(printable(clip(q.File, 200)), []byte(q.Cases))
	}
	if err != nil {
		return nil, err
	}
	for _, id := range append([]catalog.EndpointID{q.Primary}, q.Alternates...) {
		if _, ok := e.catalog.Endpoints[id]; !ok {
			return nil, decouple.Errorf(decouple.NotFound, "there is no endpoint %s: `decouple endpoints ls` lists them", printable(clip(string(id), 200)))
		}
	}
	list, err := parity.Run(ctx, parity.Evaluation{
		ID: parity.Prefix + strings.ToLower(rand.Text()[:12]), Suite: suite, Primary: q.Primary, Alternates: q.Alternates,
		Model: func(id catalog.EndpointID) parity.Model { return gateway.Agents{Gateway: e.gateway, Model: string(id)} },
		For:   decouple.Asker{Tenant: tenant, Agent: "parity", Class: q.Class, Labels: q.Labels, Team: q.Team, Caller: q.Caller}, Repeats: q.Repeats, Parallel: q.Parallel, Margin: q.Margin, Seed: q.Seed, Progress: progress,
	})
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if err := parity.Keep(ctx, e.store, tenant, r, by); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// showParity writes the reports as they were asked for.
func (a *app) showParity(list []parity.Report, f parityFlags) error {
	var md, out strings.Builder
	failed := 0
	for _, r := range list {
		md.WriteString(r.Markdown() + "\n")
		out.WriteString(parityText(r) + "\n")
		if r.Verdict != parity.Pass {
			failed++
		}
	}
	if f.md != "" {
		if err := os.WriteFile(f.md, []byte(md.String()), 0o644); err != nil {
			return decouple.Errorf(decouple.Unavailable, "%s cannot be written: %w", f.md, err)
		}
		a.say("written: %s", f.md)
	}
	var err error
	if f.json {
		err = a.json(list)
	} else {
		err = a.print(out.String())
	}
	if err == nil && failed > 0 {
		err = decouple.Errorf(decouple.Unavailable, "%d of %s did not pass: it does not count as one", failed, count(len(list), "alternate"))
	}
	return err
}

// parityText is a report for people at a terminal.
func parityText(r parity.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nsuite %s (%s), each case %d times, margin %.0f points\n", printable(r.Head()), printable(r.Suite), r.Hash, r.Repeats, r.Margin*100)
	for _, n := range r.Notes {
		b.WriteString("note: " + printable(n) + "\n")
	}
	b.WriteString("\n" + table("METRIC CASES PRIMARY ALTERNATE DIFFERENCE VERDICT WHY", r.MetricRows()))
	b.WriteString("\n" + table("OF PRIMARY ALTERNATE TIMES", r.RatioRows()))
	const most = 12
	rows := r.MissRows()
	if len(rows) == 0 {
		return b.String()
	}
	for _, row := range rows {
		row[3] = clip(printable(row[3]), 100)
	}
	b.WriteString("\n" + table("CASE SIDE METRIC WHAT_WENT_WRONG", rows[:min(most, len(rows))]))
	if more := len(rows) - most + r.More; more > 0 {
		fmt.Fprintf(&b, "%d more are in --json\n", more)
	}
	return b.String()
}

func newParityLs(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List the newest result for every pair of primary and alternate", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := a.parityReports(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(list)
			}
			var rows [][]string
			for _, r := range list {
				rows = append(rows, []string{string(r.Primary.Endpoint), string(r.Alternate.Endpoint), string(r.Verdict), r.At.Format("2006-01-02"), r.Suite, clip(r.Why, 90)})
			}
			if len(rows) == 0 {
				a.say("no evaluation was run yet: `decouple parity --primary ENDPOINT --alternate ENDPOINT` runs one")
				return nil
			}
			return a.print(table("PRIMARY ALTERNATE VERDICT AT SUITE WHY", rows))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write a JSON array of reports")
	return c
}

// parityReports reads the newest results: of the server that is named, or of the journal, whoever writes it.
func (a *app) parityReports(ctx context.Context) ([]parity.Report, error) {
	if there, err := a.remote(); err != nil || there != nil {
		if err != nil {
			return nil, err
		}
		defer func() { _ = there.Close() }()
		return there.ParityReports(ctx)
	}
	log, err := a.readLog(ctx)
	if decouple.KindOf(err) == decouple.NotFound {
		return []parity.Report{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	return parity.Latest(ctx, log, decouple.LocalTenant)
}
