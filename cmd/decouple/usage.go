package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/gateway/ledger"
)

func newUsage(a *app) *cobra.Command {
	var by []string
	var since, until, tenant string
	var asCSV, asJSON bool
	c := &cobra.Command{
		Use: "usage", Short: "Sum what model calls have used, by key, team, agent, model, endpoint or day", Args: noArgs,
		Long: `Sums the calls, tokens and dollars of model calls. --by says by what: tenant, key, team, agent, asked (the model as callers name it), model, endpoint,
door, source, outcome, day or hour; it may be repeated. Times count in whole hours, in UTC.

Amounts are exact, to the nano-dollar. A call that two endpoints were asked for counts at both. UNPRICED counts calls whose price is not
known, UNSEEN those whose end was not seen, for which the amounts hold what was reserved.`,
		Example: "  decouple usage --by model --since 24h\n  decouple usage --by team --by day --since 2026-10-01 --csv\n  decouple usage --by key --server http://127.0.0.1:8585 --json",
		RunE: func(c *cobra.Command, _ []string) error {
			if asCSV && asJSON {
				return decouple.Errorf(decouple.Invalid, "--csv and --json exclude each other")
			}
			q := ledger.Query{Tenant: decouple.TenantID(tenant)}
			for _, b := range by {
				q.By = append(q.By, ledger.By(b))
			}
			if err := q.Check(); err != nil {
				return decouple.Errorf(decouple.Invalid, "--by: %w", err)
			}
			var err error
			if q.Since, err = moment("--since", since, time.Now()); err != nil {
				return err
			}
			if q.Until, err = moment("--until", until, time.Now()); err != nil {
				return err
			}
			sum, err := a.usage(c.Context(), q)
			switch {
			case err != nil:
				return err
			case asJSON:
				return a.json(sum)
			case asCSV:
				return a.usageCSV(q.By, sum)
			}
			return a.print(usageTable(q.By, sum))
		},
	}
	f := c.Flags()
	f.StringSliceVar(&by, "by", []string{"model"}, "`WHAT` to sum by; may be repeated")
	f.StringVar(&since, "since", "", "`TIME` from which on: a span such as 24h or 7d, a date, or a time in RFC 3339 (default: ever)")
	f.StringVar(&until, "until", "", "`TIME` before which, likewise (default: now)")
	f.StringVar(&tenant, "tenant", "", "only this `TENANT` (default: all that the caller may see)")
	f.BoolVar(&asCSV, "csv", false, "write CSV with a head")
	f.BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

// moment reads a time of the past: a span before now, a date or a time.
func moment(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n < 100_000 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, nil
		}
	}
	return time.Time{}, decouple.Errorf(decouple.Invalid, "%s: %q is not a span such as 24h or 7d, a date such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z", flag, printable(s))
}

// usage asks whoever keeps the accounts. A shared journal is read as it is: nodes may have settled calls within the last second that it does not have yet.
func (a *app) usage(ctx context.Context, q ledger.Query) (api.Usage, error) {
	if url, err := a.shared(); err == nil && url != "" && a.address() == "" {
		log, err := a.readLog(ctx)
		if err != nil {
			return api.Usage{}, err
		}
		defer func() { _ = log.Close() }()
		rows, err := ledger.NewView(log).Usage(ctx, q)
		return api.UsageOf(q, rows), err
	}
	var sum api.Usage
	err := a.reach(ctx, "decouple usage",
		func(there *api.Client) (err error) { sum, err = there.Usage(ctx, q); return err },
		func(o *owner) error {
			rows, err := o.ledger.Usage(ctx, q)
			sum = api.UsageOf(q, rows)
			return err
		})
	return sum, err
}

// groupOf are the fields of a row that were asked for, in their order.
func groupOf(by []ledger.By, g ledger.Group) []string {
	var out []string
	for _, b := range by {
		v := map[ledger.By]string{ledger.ByTenant: string(g.Tenant), ledger.ByKey: g.Key, ledger.ByTeam: g.Team, ledger.ByAgent: string(g.Agent), ledger.ByAsked: g.Asked, ledger.ByModel: g.Model,
			ledger.ByEndpoint: g.Endpoint, ledger.ByDoor: string(g.Door), ledger.BySource: string(g.Source), ledger.ByOutcome: string(g.Outcome), ledger.ByDay: g.Day, ledger.ByHour: g.Hour}[b]
		out = append(out, v)
	}
	return out
}

func usageTable(by []ledger.By, sum api.Usage) string {
	var head []string
	for _, b := range by {
		head = append(head, strings.ToUpper(string(b)))
	}
	figures := func(r api.UsageRow) []string {
		usd := r.USD
		if r.Estimated {
			usd += " ~"
		}
		return []string{strconv.FormatInt(r.Calls, 10), short(r.TokensIn), short(r.Cached), short(r.TokensOut), usd, dash(r.Unpriced), dash(r.Unseen)}
	}
	var rows [][]string
	for _, r := range sum.Rows {
		group := groupOf(by, r.Group)
		for i := range group {
			if group[i] == "" {
				group[i] = "-"
			}
		}
		rows = append(rows, append(group, figures(r)...))
	}
	if len(by) > 0 && len(sum.Rows) != 1 {
		total := append([]string{"total"}, make([]string, len(by)-1)...)
		rows = append(rows, append(total, figures(sum.Total)...))
	}
	return table(strings.Join(append(head, "CALLS IN CACHED OUT USD UNPRICED UNSEEN"), " "), rows)
}

// dash is a number, and a dash for none.
func dash(n int64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

func (a *app) usageCSV(by []ledger.By, sum api.Usage) error {
	var b strings.Builder
	w := csv.NewWriter(&b)
	var head []string
	for _, name := range by {
		head = append(head, string(name))
	}
	_ = w.Write(append(head, "calls", "tokens_in", "cached", "cache_write", "cache_long", "tokens_out", "thought", "usd", "cost_nano_usd", "unpriced", "unseen", "estimated")) // to memory
	for _, r := range sum.Rows {
		row := groupOf(by, r.Group)
		for i := range row {
			row[i] = cell(row[i])
		}
		for _, n := range []int64{r.Calls, r.TokensIn, r.Cached, r.CacheWrite, r.CacheLong, r.TokensOut, r.Thought} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		_ = w.Write(append(row, r.USD, strconv.FormatInt(int64(r.Cost), 10), strconv.FormatInt(r.Unpriced, 10), strconv.FormatInt(r.Unseen, 10), fmt.Sprint(r.Estimated)))
	}
	w.Flush()
	return a.print(b.String())
}

// cell is a text that a spreadsheet takes for nothing but text: names come from callers.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
