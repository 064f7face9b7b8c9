package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/risk/whatif"
)

func newContractsReplay(a *app) *cobra.Command {
	var with []string
	var q api.ReplayQuery
	var since, until, asOf string
	var asJSON bool
	c := &cobra.Command{
		Use: "replay --with DRAFT", Short: "Decide recorded calls again under a draft: who loses a place, what it costs, which shares break", Args: noArgs,
		Long: `Decides the calls that were made again: under the contracts in force, and with drafts laid over them (a draft takes the place of the contract of its id). It says which agents and teams
lose the endpoint that answered them and by which clause, where the same calls would go instead, whether any would be denied or held, what they would cost there, and which
promised shares would break. Nothing is sent and nothing is changed.

All calls are decided as of one day: now, or --as-of, such as the first day of the new contract. The cost elsewhere is that of the same tokens at the list price of the cheapest endpoint that is
allowed; what the prompt cache saved is taken to be saved there too.`,
		Example: "  decouple contracts replay --with draft.yaml --since 30d\n  decouple contracts replay --with drafts/ --since 2026-01-01 --as-of 2026-07-01 --json",
		RunE: func(c *cobra.Command, _ []string) error {
			if len(with) == 0 {
				return decouple.Errorf(decouple.Invalid, "say what is to be tried: --with a contract's file, or a folder of them")
			}
			err := moments(map[string]string{"--since": since, "--until": until, "--as-of": asOf}, map[string]*time.Time{"--since": &q.Since, "--until": &q.Until, "--as-of": &q.AsOf})
			if err != nil {
				return err
			}
			if q.Drafts, err = drafts(with); err != nil {
				return err
			}
			return a.asking(c.Context(), func(who asker) error {
				r, err := who.Replay(c.Context(), q)
				if err != nil {
					return err
				}
				if asJSON {
					return a.json(r)
				}
				return a.print(replayText(r))
			})
		},
	}
	f := c.Flags()
	f.StringSliceVar(&with, "with", nil, "`DRAFT`: a contract's file or a folder of them; may be repeated")
	f.StringVar(&since, "since", "30d", "`TIME` from which on calls are decided: a span such as 30d, or a date")
	f.StringVar(&until, "until", "", "`TIME` before which (default: now)")
	f.StringVar(&asOf, "as-of", "", "the `DATE` of the contracts, for all calls (default: now)")
	f.BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

// drafts reads files of contracts that are not in force.
func drafts(paths []string) ([]api.Draft, error) {
	files, _, err := checkedFiles(paths)
	var out []api.Draft
	for _, f := range files {
		out = append(out, api.Draft{File: f.Name, Text: string(f.Text)})
	}
	return out, err
}

func replayText(r whatif.Replayed) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("calls", "%d since %s, decided as of %s", r.Calls, day(r.Since), day(r.AsOf))
	line("stay", "%d", r.Stay)
	line("move", "%d to another endpoint", r.Move)
	line("denied", "%d have no place left", r.Denied)
	line("held", "%d wait for a sign-off", r.Held)
	if r.Already > 0 {
		line("already", "%d may not go where they went by the contracts in force either; the draft lets %d of them", r.Already, r.Gain)
	}
	would := fmt.Sprintf("$%s, would be $%s for the %d that can be made", r.Was.USD, r.Would.USD, r.Stay+r.Move)
	if r.Would.Unpriced > 0 {
		would += fmt.Sprintf(", and %d at prices that are not known", r.Would.Unpriced)
	}
	line("cost", "%s", would)
	if len(r.Agents) > 0 {
		const most = 30
		var rows [][]string
		for _, m := range r.Agents[:min(len(r.Agents), most)] {
			to := m.To
			if m.To == "" {
				to = map[placement.Effect]string{placement.Hold: "on hold", placement.Stop: "denied"}[m.Effect]
			}
			rows = append(rows, []string{dashed(m.Team), dashed(string(m.Agent)), dashed(m.Class), fmt.Sprint(m.Calls), m.From, to, m.Was.USD, m.Would.USD, strings.Join(m.Clauses, ",")})
		}
		b.WriteString("\nwho loses a place\n" + table("TEAM AGENT CLASS CALLS FROM TO USD_WAS USD_WOULD CLAUSES", rows))
		if more := len(r.Agents) - most; more > 0 {
			fmt.Fprintf(&b, "%d more are in --json\n", more)
		}
	} else {
		b.WriteString("\nnobody loses a place\n")
	}
	if len(r.Shares) > 0 {
		var rows [][]string
		for _, s := range r.Shares {
			state := "kept"
			if !s.Kept {
				state = "broken"
			}
			if s.Broke {
				state = "BREAKS"
			}
			rows = append(rows, []string{s.ID, promised(s.Share), s.Was, s.Stands, state})
		}
		b.WriteString("\npromised shares\n" + table("CLAUSE PROMISED WAS WOULD STATE", rows))
	}
	b.WriteString(clauseText(r.Clauses))
	return b.String()
}

// dashed is a text, and a dash for none.
func dashed(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// clauseText is clauses in full.
func clauseText(list []placement.Cited) string {
	if len(list) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\nclauses\n")
	for _, c := range list {
		fmt.Fprintf(&b, "%s (%s, %s)\n  %s\n", whatif.ClauseID(c), c.Reads, c.Confidence, printable(c.Text))
	}
	return b.String()
}

// promised is what a share promises, in a few words.
func promised(s whatif.Share) string {
	least := "at least"
	if s.AtMost {
		least = "at most"
	}
	return fmt.Sprintf("%s %s of %s by %s with %s", least, s.Promised, s.Of, s.By, strings.Join(s.With, ", "))
}

func newContractsShares(a *app) *cobra.Command {
	var since, asOf string
	var asJSON bool
	c := &cobra.Command{
		Use: "shares", Short: "Say how promised shares stand, and what was used by vendor, cloud, region and class", Args: noArgs,
		Long: `Sums the recorded calls against the clauses of the kind share: what was used with whom in the period that each clause counts, and what is lacking. Below are the parts of vendors,
clouds, regions and classes in spend, tokens and calls since the beginning of the month, or --since.`,
		Example: "  decouple contracts shares\n  decouple contracts shares --since 2026-01-01 --json",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.standing(c, []string{since, asOf}, func(s api.Standing) error {
				if asJSON {
					return a.json(s)
				}
				return a.print(a.sharesText(s))
			})
		},
	}
	f := c.Flags()
	f.StringVar(&since, "since", "", "`TIME` from which on the parts are summed: a span such as 30d, or a date (default: the beginning of the month)")
	f.StringVar(&asOf, "as-of", "", "as of this `DATE` (default: now)")
	f.BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

// standing asks how promises stand; times are since and as of.
func (a *app) standing(c *cobra.Command, times []string, show func(api.Standing) error) error {
	var q api.StandingQuery
	err := moments(map[string]string{"--since": times[0], "--as-of": times[1]}, map[string]*time.Time{"--since": &q.Since, "--as-of": &q.AsOf})
	if err != nil {
		return err
	}
	return a.asking(c.Context(), func(who asker) error {
		s, err := who.Standing(c.Context(), q)
		if err != nil {
			return err
		}
		return show(s)
	})
}

func (a *app) sharesText(s api.Standing) string {
	var rows [][]string
	var states []string
	for _, sh := range s.Shares {
		state, lack := "ok", "-"
		if !sh.Kept {
			state, lack = "broken", lackOf(sh)
		}
		rows = append(rows, []string{sh.ID, promised(sh), dated(sh.From) + " to " + dated(sh.To), sh.Stands, state, lack})
		states = append(states, state)
	}
	out := "no clause promises a share\n"
	if len(rows) > 0 {
		out = a.tinted(table("CLAUSE PROMISED COUNTED STANDS STATE LACKS", rows), states)
	}
	rows = nil
	for _, p := range s.Parts {
		rows = append(rows, []string{p.By, dashed(p.Name), p.USD, tenths(p.OfSpend), short(p.Tokens), tenths(p.OfTokens), short(p.Calls), tenths(p.OfCalls)})
	}
	if len(rows) == 0 {
		return out + "\nnothing was used since " + dated(s.Since) + "\n"
	}
	return out + "\nused since " + dated(s.Since) + "\n" + table("BY NAME USD OF_SPEND TOKENS OF_TOKENS CALLS OF_CALLS", rows)
}

// lackOf is what a broken share lacks, in words.
func lackOf(s whatif.Share) string {
	if s.Lack < 0 {
		return "no amount is enough"
	}
	what := short(s.Lack) + " " + string(s.Of)
	if s.Of == placement.Spend {
		what = "$" + decouple.Money(s.Lack).String()
	}
	if s.AtMost {
		return what + " more with others"
	}
	return what + " more with them"
}

func tenths(thousandths int64) string {
	return fmt.Sprintf("%d.%d%%", thousandths/10, thousandths%10)
}

func dated(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.DateOnly)
}

func newContractsCommitments(a *app) *cobra.Command {
	var asOf string
	var asJSON bool
	c := &cobra.Command{
		Use: "commitments", Short: "Say how minimums of spend burn down, with a forecast", Args: noArgs,
		Long: `Sums the recorded calls against the clauses of the kind min_commit. LINEAR is what would be spent at the end of the term if it goes on as in the whole term so far, TREND as in the last
fourteen days; FORFEIT is what would be lost by the trend; NEEDED is what has to be spent a day from now on.`,
		Example: "  decouple contracts commitments\n  decouple contracts commitments --as-of 2026-06-30 --json",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.standing(c, []string{"", asOf}, func(s api.Standing) error {
				if asJSON {
					return a.json(s.Commitments)
				}
				return a.print(a.commitmentText(s))
			})
		},
	}
	c.Flags().StringVar(&asOf, "as-of", "", "as of this `DATE` (default: now)")
	c.Flags().BoolVar(&asJSON, "json", false, "write a JSON array")
	return c
}

func (a *app) commitmentText(s api.Standing) string {
	if len(s.Commitments) == 0 {
		return "no clause promises a minimum of spend\n"
	}
	var rows [][]string
	var states []string
	for _, c := range s.Commitments {
		state := "ok"
		if c.ForfeitTrend > 0 {
			state = "short"
		}
		rows = append(rows, []string{c.ID, c.Amount.String(), dated(c.From) + " to " + dated(c.To), fmt.Sprintf("%d/%d", c.Days, c.Of), c.Spent.String(), c.Left.String(), c.Needed.String(), c.Recent.String(), c.Linear.String(), c.Trend.String(), c.ForfeitTrend.String(), dated(c.Met)})
		states = append(states, state)
	}
	return a.tinted(table("CLAUSE AMOUNT TERM DAYS SPENT LEFT NEEDED/DAY RECENT/DAY LINEAR TREND FORFEIT MET", rows), states)
}
