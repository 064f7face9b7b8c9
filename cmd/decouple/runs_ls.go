package main

import (
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/journal"
)

func newRunsLs(a *app) *cobra.Command {
	var all, json bool
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List the runs, newest first",
		Long: "Lists the runs, newest first, each with the sums of its tree. --all lists the agents of each tree too; --json always does.",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := a.readLog(c.Context())
			var rows []journal.RunRow
			if decouple.KindOf(err) != decouple.NotFound {
				if err != nil {
					return err
				}
				defer func() { _ = log.Close() }()
				if rows, err = log.Runs(c.Context(), journal.RunFilter{Tenant: decouple.LocalTenant}); err != nil {
					return err
				}
			}
			rows = newestFirst(rows)
			if json {
				return a.json(api.RunsOf(rows))
			}
			if len(rows) == 0 {
				a.say("there are no runs yet: start one with `decouple research \"QUESTION\" --docs PATH`")
				return nil
			}
			left := slices.ContainsFunc(rows, unfinished) && !a.owned(c.Context())
			if left {
				a.say("note: no process is at work; `decouple runs resume ID` goes on with a run that has not ended")
			}
			return a.print(runTable(rows, all, left))
		},
	}
	c.Flags().BoolVar(&all, "all", false, "list the agents of each tree too")
	c.Flags().BoolVar(&json, "json", false, "write one JSON array of all runs")
	return c
}

func unfinished(r journal.RunRow) bool { return r.Status != decouple.RunEnded }

// newestFirst orders trees by when their root was made, the newest first, and each tree as a tree.
func newestFirst(rows []journal.RunRow) []journal.RunRow {
	began := map[decouple.RunID]time.Time{}
	for _, r := range rows {
		if r.ID == r.Root {
			began[r.ID] = r.Created
		}
	}
	slices.SortFunc(rows, func(x, y journal.RunRow) int {
		if c := began[y.Root].Compare(began[x.Root]); c != 0 {
			return c
		}
		return x.ID.Compare(y.ID)
	})
	return rows
}

// runTable lists trees, by their sums, or, with all, every run.
func runTable(rows []journal.RunRow, all, left bool) string {
	var cells [][]string
	add := func(r journal.RunRow, agents string, steps int, u decouple.Usage) {
		cells = append(cells, []string{string(r.ID), r.Created.Local().Format("2006-01-02T15:04:05"), string(r.Agent), standing(r, left), agents,
			strconv.Itoa(steps), short(u.TokensIn + u.TokensOut), cents(u.Cost), elapsed(took(r, left)), clip(r.Label, 60)})
	}
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].Root == rows[0].Root {
			n++
		}
		if !all {
			steps, usage := total(rows[:n])
			add(rows[0], strconv.Itoa(n), steps, usage)
		}
		for _, r := range rows[:n] {
			if all {
				add(r, "", r.Steps, r.Usage)
			}
		}
		rows = rows[n:]
	}
	head := "ID CREATED AGENT STATUS AGENTS STEPS TOKENS USD TOOK QUESTION"
	return table(head, cells)
}

// total sums up runs.
func total(rows []journal.RunRow) (int, decouple.Usage) {
	steps, usage := 0, decouple.Usage{}
	for _, r := range rows {
		steps, usage = steps+r.Steps, usage.Add(r.Usage)
	}
	return steps, usage
}
