package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/journal"
)

func newRunsShow(a *app) *cobra.Command {
	var json bool
	c := &cobra.Command{
		Use: "show ID", Short: "Show a run's tree with causes, costs and times",
		Args: exactly("the id of a run"),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			log, err := a.readLog(ctx)
			if err != nil {
				return err
			}
			defer func() { _ = log.Close() }()
			r, err := findRun(ctx, log, args[0])
			if err != nil {
				return err
			}
			rows, err := tree(ctx, log, r.Root)
			if err != nil {
				return err
			}
			kept := rows[:0:0]
			for _, row := range rows {
				if row.ID == r.ID || strings.HasPrefix(string(row.ID), string(r.ID)+".") {
					kept = append(kept, row)
				}
			}
			if json {
				return a.json(api.RunsOf(kept))
			}
			left := r.Status != decouple.RunEnded && !a.owned(ctx)
			if left {
				a.say("note: no process is at work; go on with: %s", a.resumeCommand(r.Root))
			}
			return a.print(drawn(kept, left))
		},
	}
	c.Flags().BoolVar(&json, "json", false, "write one JSON array of the runs of the tree")
	return c
}

// drawn is a tree of runs for people.
func drawn(rows []journal.RunRow, left bool) string {
	var b strings.Builder
	for _, r := range rows {
		indent := strings.Repeat("  ", r.ID.Depth()-rows[0].ID.Depth())
		fmt.Fprintf(&b, "%s%s %s: %s\n", indent, r.ID, r.Agent, printable(r.Label))
		fmt.Fprintf(&b, "%s  %s", indent, standing(r, left))
		switch {
		case r.Cause.Why != "":
			fmt.Fprintf(&b, " (%s)", oneLine(printable(r.Cause.Why)))
		case r.Status == decouple.RunParked && r.Wait.For != "":
			fmt.Fprintf(&b, " (%s)", printable(r.Wait.For))
		}
		fmt.Fprintf(&b, ", %s, %s tokens in, %s out, %s USD, %s\n", count(r.Steps, "step"), short(r.Usage.TokensIn), short(r.Usage.TokensOut), r.Usage.Cost, elapsed(took(r, left)))
	}
	steps, usage := total(rows)
	fmt.Fprintf(&b, "sum: %s, %s, %s tokens in, %s out, %s USD; began %s, took %s\n", count(len(rows), "agent"), count(steps, "step"), short(usage.TokensIn), short(usage.TokensOut),
		usage.Cost, rows[0].Created.Local().Format("2006-01-02 15:04:05"), elapsed(took(rows[0], left)))
	return b.String()
}
