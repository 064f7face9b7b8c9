package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/risk/drill"
	"decouple.dev/decouple/risk/sign"
)

// drillList is what there is to drill and was drilled, as JSON.
type drillList struct {
	Scenarios []drill.About `json:"scenarios"`
	Drills    []drill.Entry `json:"drills"`
}

func newDrillLs(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List the scenarios that ship, and the drills that there were", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := drill.Embedded()
			if err != nil {
				return err
			}
			list, err := a.drills(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				out := drillList{Scenarios: []drill.About{}, Drills: list}
				for i := range all {
					out.Scenarios = append(out.Scenarios, all[i].About())
				}
				return a.json(out)
			}
			var rows [][]string
			for i := range all {
				s := &all[i]
				rows = append(rows, []string{s.ID, s.Lasts.String(), cmp.Or(s.Mark, "-"), days(s.Every), clip(printable(s.Title), 90)})
			}
			text := table("SCENARIO LASTS MARK EVERY WHAT", rows)
			if len(list) > 0 {
				text += "\n" + a.drillTable(list)
			}
			return a.print(text)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

func (a *app) drillTable(list []drill.Entry) string {
	var rows [][]string
	var states []string
	for i := range list {
		e := &list[i]
		failed, well := "-", "-"
		if r := e.Result; r != nil {
			failed = fmt.Sprintf("%d/%d", r.Total.During.Bad(), r.Total.During.Calls)
			well = r.Well()
		}
		due := "-"
		if !e.Due.IsZero() {
			due = e.Due.Format(time.DateOnly)
		}
		rows = append(rows, []string{e.ID, string(e.Mode), e.Started.Local().Format("2006-01-02 15:04"), string(e.State), failed, well, due, clip(printable(e.Aborted), 60)})
		states = append(states, map[drill.State]string{drill.Passed: "ok", drill.Failed: "open", drill.Aborted: "degraded", drill.Lost: "degraded"}[e.State])
	}
	return a.tinted(table("DRILL MODE STARTED RESULT BAD WELL DUE WHY", rows), states)
}

// days is a span for people.
func days(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	return d.String()
}

func newDrillReport(a *app) *cobra.Command {
	var f drillFlags
	c := &cobra.Command{
		Use: "report DRILL", Short: "Show what a drill showed: as Markdown, as a page with charts, or signed", Args: exactly("the id of a drill, or a file with a signed result"),
		Example: "  decouple drill report azure-2026-03-09-20261130-k3v9aa --html drill.html\n  decouple drill report drill.dsse.json",
		RunE: func(c *cobra.Command, args []string) error {
			r, envelope, err := a.drilled(c.Context(), args[0])
			if err != nil {
				return err
			}
			if f.md == "" && f.html == "" && f.file == "" && !f.json {
				return a.print(r.Markdown())
			}
			return a.showDrill(r, envelope, f)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.md, "md", "", "write it as Markdown to `FILE`")
	flags.StringVar(&f.html, "html", "", "write it as one HTML page with charts to `FILE`")
	flags.StringVar(&f.file, "envelope", "", "write the signed result to `FILE`")
	flags.BoolVar(&f.json, "json", false, "write one JSON object")
	return c
}

func newDrillVerify(a *app) *cobra.Command {
	var keyFile string
	var asJSON bool
	c := &cobra.Command{
		Use: "verify FILE|DRILL", Short: "Check that a result is as it was signed", Args: exactly("a file with a signed result, or the id of a drill"),
		Long: `Checks the signature of a result. With --key FILE that holds the public key of the installation that made it (decouple exit key), nothing else is needed: no data
folder, no network. Without it, this installation's own key is taken. A document with one byte changed is refused, with exit code 4 or 2.`,
		Example: "  decouple drill verify drill.dsse.json --key decouple.pub",
		RunE: func(c *cobra.Command, args []string) error {
			if err := filled(c, "key"); err != nil {
				return err
			}
			public, err := a.publicKey(keyFile)
			if err != nil {
				return err
			}
			b, err := os.ReadFile(args[0])
			if errors.Is(err, os.ErrNotExist) {
				_, b, err = a.drilled(c.Context(), args[0])
			}
			if err != nil {
				return err
			}
			r, err := drill.Verify(b, public)
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(r)
			}
			return a.print(fmt.Sprintf("the signature of key %s holds\ndrill     %s\nscenario  %s, sha256 %s\nmode      %s\nran       %s\nresult    %s\n", public.ID()[:16], printable(r.ID), printable(r.Scenario.ID), printable(r.Scenario.Hash), r.Mode, r.Ran.Format(time.RFC3339), r.Verdict()))
		},
	}
	c.Flags().StringVar(&keyFile, "key", "", "`FILE` with the public key (default: of this installation)")
	c.Flags().BoolVar(&asJSON, "json", false, "write the result that was signed as one JSON object")
	return c
}

// publicKey is that of a file, or this installation's own.
func (a *app) publicKey(file string) (sign.Public, error) {
	if file != "" {
		return a.public(file)
	}
	k, err := a.signer()
	if err != nil {
		return sign.Public{}, err
	}
	return k.Public(), nil
}

func newDrillCompare(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "compare A B", Short: "Say how two drills differ", Args: exactly("the id of a drill or a file", "another one"),
		RunE: func(c *cobra.Command, args []string) error {
			x, _, err := a.drilled(c.Context(), args[0])
			if err != nil {
				return err
			}
			y, _, err := a.drilled(c.Context(), args[1])
			if err != nil {
				return err
			}
			list := drill.Compare(x, y)
			if asJSON {
				return a.json(list)
			}
			var rows [][]string
			for _, d := range list {
				rows = append(rows, []string{printable(d.What), printable(d.A), printable(d.B), cmp.Or(d.Better, "-")})
			}
			return a.print(table("FIGURE A B BETTER", rows))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write a JSON array")
	return c
}

func newDrillTrend(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "trend SCENARIO", Short: "Show the drills of a scenario one after the other", Args: exactly("the id of a scenario"),
		RunE: func(c *cobra.Command, args []string) error {
			list, err := a.drills(c.Context())
			if err != nil {
				return err
			}
			rows := drill.Trend(list, args[0])
			if asJSON {
				return a.json(rows)
			}
			if len(rows) == 0 {
				a.say("%s was never drilled: decouple drill run %s", printable(args[0]), printable(args[0]))
				return nil
			}
			var out [][]string
			for _, r := range rows {
				out = append(out, []string{r.Started.Format(time.DateOnly), string(r.Mode), string(r.State), fmt.Sprintf("%.2f%%", r.FailedShare*100), r.Well, fmt.Sprintf("%.3f", r.Amplification), fmt.Sprintf("%.2f", r.CostTimes), fmt.Sprint(r.Breaches), r.ID})
			}
			return a.print(table("DAY MODE RESULT BAD WELL ATTEMPTS COST_TIMES BREACHES DRILL", out))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write a JSON array")
	return c
}

// drillsDue is how scenarios stand, as JSON.
type drillsDue struct {
	Grade     int              `json:"grade"`
	Scenarios []drill.Standing `json:"scenarios"`
}

func newDrillDue(a *app) *cobra.Command {
	var asJSON, strict bool
	c := &cobra.Command{
		Use: "due", Short: "Say which scenarios are to be drilled again, and the grade that they make", Args: noArgs,
		Long: `Says of every scenario when it was last drilled, when it is due (its file's every:), and what that is worth: 100 points if it was passed over real calls, 80 in the
simulated world only, 30 if it was drilled and not passed, 0 if never; half of that when it is overdue. Short, aborted and cut-off drills count for nothing.`,
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := drill.Embedded()
			if err != nil {
				return err
			}
			list, err := a.drills(c.Context())
			if err != nil {
				return err
			}
			standings, grade := drill.Grade(all, list, time.Now())
			overdue := 0
			var rows [][]string
			for _, s := range standings {
				last, due := "never", "now"
				if s.Last != nil {
					last, due = s.Last.Started.Format(time.DateOnly), "-"
				}
				if !s.Due.IsZero() {
					due = s.Due.Format(time.DateOnly)
				}
				if s.Overdue {
					overdue++
				}
				rows = append(rows, []string{s.Scenario, last, due, fmt.Sprint(s.Points), s.Why})
			}
			if asJSON {
				err = a.json(drillsDue{grade, standings})
			} else {
				err = a.print(table("SCENARIO LAST DUE POINTS WHY", rows) + fmt.Sprintf("\ngrade %d of 100, %d of %d scenarios overdue or never drilled\n", grade, overdue, len(standings)))
			}
			if err == nil && strict && overdue > 0 {
				err = decouple.Errorf(decouple.Unavailable, "%d scenarios are overdue", overdue)
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	c.Flags().BoolVar(&strict, "strict", false, "exit with 7 if any is overdue")
	return c
}
