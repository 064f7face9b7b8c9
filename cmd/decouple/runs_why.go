package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
)

func newRunsWhy(a *app) *cobra.Command {
	var json bool
	c := &cobra.Command{
		Use: "why ID", Short: "Say what each unfinished agent of a run waits for, and since when",
		Long: "Says what each unfinished agent of a run waits for, since when, and until when at the latest. What nobody and nothing will ever wake is called stuck, with what to do about it.",
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
			why, err := engine.Explain(ctx, log, decouple.LocalTenant, r.ID)
			if err != nil {
				return err
			}
			if json {
				return a.json(append([]engine.Standing{}, why...))
			}
			if len(why) == 0 {
				a.say("run %s and all under it have ended", r.ID)
			}
			var b strings.Builder
			for _, w := range why {
				indent := strings.Repeat("  ", w.Run.Depth()-r.ID.Depth())
				fmt.Fprintf(&b, "%s%s %s: %s, waits for %s, since %s", indent, w.Run, w.Agent, w.Status, printable(w.For), elapsed(time.Since(w.Since)))
				if !w.Until.IsZero() {
					fmt.Fprintf(&b, ", until %s", w.Until.Local().Format("2006-01-02 15:04:05"))
				}
				if w.Stuck {
					b.WriteString("; STUCK: nobody will wake it")
				}
				if w.Remedy != "" {
					fmt.Fprintf(&b, "; %s", w.Remedy)
				}
				b.WriteString("\n")
			}
			return a.print(b.String())
		},
	}
	c.Flags().BoolVar(&json, "json", false, "write a JSON array")
	return c
}
