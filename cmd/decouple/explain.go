package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/route"
)

func newExplain(a *app) *cobra.Command {
	var last int
	var tenant string
	var asJSON bool
	var place placeFlags
	c := &cobra.Command{
		Use: "explain [DECISION | RUN[/STEP]]", Short: "Say where a model call goes or went, and why: contracts, candidates, attempts, times, cost",
		Long: `Says where a model may be asked, with --model: every place where it is served, with what the contracts say of it, the clauses that decided, and what would lift
a denial. --class, --label, --team and --agent say who asks and with what; --as-of and --known ask for any day, by what was known on any other; --contracts tries drafts. It needs no server
and no account: where no account serves the model, the places are those where the catalog knows it to be.

Says how a call of a model went. Its id is in the header x-decouple-decision of the answer, and --last N shows the newest ones. Decisions are remembered
by the node that made them, the last 20,000, until it ends: ask it with --server, or in its data folder while it is at work. The journal keeps who asked for what, where it went, at
which cost and by which contracts: with that, and the history of the contracts, the verdicts are worked out again for a decision that nobody remembers, and for the calls of a RUN or of a STEP of it.

Each round is one decision of the router: which endpoints could take the call, what it expected of each, and why it chose one. Nothing that the
caller or the model said is shown or kept.`,
		Example: "  decouple explain --model gpt-5.4 --class stateful_runtime --at aws --as-of 2026-03-21 --contracts examples/contracts\n  decouple explain k3j2h1/4\n  decouple explain dec_h2k9... --server http://127.0.0.1:8585\n  decouple explain --last 20 --server http://127.0.0.1:8585",
		Args: func(c *cobra.Command, args []string) error {
			if last > 0 || place.q.Model != "" {
				return noArgs(c, args)
			}
			return exactly("the id of a decision, a run and its step (RUN/STEP), --model NAME or --last N")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			switch {
			case place.q.Model != "":
				return a.explainPlace(ctx, place, c.Flags().Changed("contracts"), asJSON)
			case last == 0 && !strings.HasPrefix(args[0], "dec_"):
				return a.explainPast(ctx, args[0], asJSON)
			}
			var list []gateway.Record
			there, err := a.atWork(ctx)
			if err == nil && there == nil && last == 0 {
				return a.explainPast(ctx, args[0], asJSON)
			}
			if err == nil && there == nil {
				err = decouple.Errorf(decouple.NotFound, "no process is at work in this data folder, and decisions are remembered by the one that made them until it ends: name a node with --server")
			}
			if err != nil {
				return err
			}
			defer func() { _ = there.Close() }()
			if last > 0 {
				list, err = there.Decisions(ctx, decouple.TenantID(tenant), last)
			} else {
				var r gateway.Record
				r, err = there.Decision(ctx, decouple.TenantID(tenant), args[0])
				list = []gateway.Record{r}
				if decouple.KindOf(err) == decouple.NotFound && tenant == "" {
					return a.explainPast(ctx, args[0], asJSON)
				}
			}
			if err != nil {
				return err
			}
			if asJSON && last == 0 {
				return a.json(list[0])
			}
			if asJSON {
				return a.json(list)
			}
			if last > 0 {
				return a.print(a.recordTable(list))
			}
			return a.print(a.recordText(list[0]))
		},
	}
	f := c.Flags()
	place.add(f)
	f.IntVar(&last, "last", 0, "list the newest `N` decisions, at most 1,000")
	f.StringVar(&tenant, "tenant", "", "`TENANT` whose decision it is, for the installation's owner (default: the caller's)")
	f.BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

// clausesText says which clauses keep a call from which endpoints, in full.
func clausesText(list []route.Candidate) string {
	var b strings.Builder
	for _, c := range list {
		if len(c.Clauses) > 0 {
			fmt.Fprintf(&b, "%s %s by %s (%s): %s\n", c.Endpoint, c.Verdict, printable(strings.Join(c.Clauses, ", ")), c.Ruling, printable(c.Why))
		}
	}
	return b.String()
}

// recordTable lists decisions, a line each.
func (a *app) recordTable(list []gateway.Record) string {
	var rows [][]string
	var states []string
	for _, r := range list {
		rows = append(rows, []string{r.ID, r.Began.Local().Format("15:04:05"), r.Asked, string(r.Chosen), fmt.Sprint(len(r.Attempts)), millis(r.Took), fmt.Sprintf("%d/%d", r.Usage.TokensIn, r.Usage.TokensOut), r.Usage.Cost.String(), endOf(r)})
		states = append(states, endOf(r))
	}
	return a.tinted(table("DECISION AT ASKED ANSWERED_BY ATTEMPTS TOOK TOKENS USD ENDED", rows), states)
}

// endOf is how a call ended, in a word.
func endOf(r gateway.Record) string {
	switch {
	case r.Outcome != "":
		return string(r.Outcome)
	case r.Cache != "":
		return "cache " + r.Cache
	}
	return "ok"
}

// recordText is one decision in full.
func (a *app) recordText(r gateway.Record) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); strings.TrimSpace(text) != "" {
			fmt.Fprintf(&b, "%-10s %s\n", name, printable(text))
		}
	}
	line("decision", "%s", r.ID)
	asked := r.Asked + ", strategy " + string(r.Strategy)
	if r.Format != "" {
		asked += ", at the door " + r.Format
	}
	if r.Stream {
		asked += ", as a stream"
	}
	line("asked for", "%s", asked)
	var who []string
	for _, w := range []struct{ name, value string }{{"tenant", string(r.Tenant)}, {"key", r.Key}, {"team", r.Team}, {"agent", string(r.Agent)}, {"run", string(r.Run)}, {"class", r.Class}, {"labels", strings.Join(r.Labels, ",")}} {
		if w.value != "" {
			who = append(who, w.name+" "+w.value)
		}
	}
	line("by", "%s", strings.Join(who, ", "))
	line("began", "%s, took %s", r.Began.Local().Format("2006-01-02 15:04:05.000"), millis(r.Took))
	line("used", "%d tokens in (%d cached), %d out, %s USD", r.Usage.TokensIn, r.Usage.Cached, r.Usage.TokensOut, r.Usage.Cost)
	ended := endOf(r)
	if r.Chosen != "" {
		ended += ", answered by " + string(r.Chosen)
	}
	line("ended", "%s", ended)
	line("why", "%s", r.Why)
	for i, d := range r.Decisions {
		fmt.Fprintf(&b, "\nround %d: %s\n", i+1, printable(d.Why))
		var rows [][]string
		var states []string
		for _, c := range d.Candidates {
			price := "?"
			if c.Priced {
				price = c.Price.String()
			}
			rows = append(rows, []string{string(c.Endpoint), string(c.Verdict), millis(c.FirstToken), millis(c.Total), price, fmt.Sprintf("%.0f%%", c.Headroom*100), fmt.Sprintf("%.3f", c.Score), clip(printable(c.Why), 100)})
			states = append(states, string(c.Verdict))
		}
		b.WriteString(a.tinted(table("CANDIDATE VERDICT FIRST_TOKEN TOTAL USD ROOM SCORE WHY", rows), states))
		b.WriteString(clausesText(d.Candidates))
	}
	if len(r.Attempts) > 0 {
		var rows [][]string
		var states []string
		for i, t := range r.Attempts {
			status := "-"
			if t.Status != 0 {
				status = fmt.Sprint(t.Status)
			}
			rows = append(rows, []string{fmt.Sprintf("%d %s", i+1, t.Endpoint), string(t.Outcome), status, millis(t.FirstToken), millis(t.Took), fmt.Sprintf("%d/%d", t.Usage.TokensIn, t.Usage.TokensOut), t.Usage.Cost.String(), clip(printable(t.Why), 120)})
			states = append(states, string(t.Outcome))
		}
		b.WriteString("\nattempts\n" + a.tinted(table("ENDPOINT OUTCOME STATUS FIRST_TOKEN TOOK TOKENS USD WHY", rows), states))
	}
	return b.String()
}
