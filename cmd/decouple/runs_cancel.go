package main

import (
	"context"
	"os/user"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/engine"
)

func newRunsCancel(a *app) *cobra.Command {
	var why string
	var asJSON bool
	c := &cobra.Command{
		Use: "cancel ID", Short: "End a run and all agents under it",
		Long:    "Ends a run and all agents under it. The process that is at work on it stops at once; a parked run ends here and now.",
		Example: "  decouple runs cancel rk3v --why \"wrong folder\"",
		Args:    exactly("the id of a run"),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			log, err := a.readLog(ctx)
			if err != nil {
				return err
			}
			r, err := findRun(ctx, log, args[0])
			_ = log.Close()
			if err != nil {
				return err
			}
			told := 0
			wish := engine.Cancellation{By: person(), Why: why}
			err = a.reach(ctx, "decouple runs cancel",
				func(client *api.Client) error {
					told, err = client.Cancel(ctx, decouple.LocalTenant, r.ID, wish)
					return err
				},
				func(o *owner) error { told, err = o.cancel(ctx, r.ID, wish); return err })
			if err != nil {
				return err
			}
			a.say("run %s: %s told to end", r.ID, count(told, "agent"))
			if asJSON {
				return a.json(struct {
					api.Begun
					api.Told
				}{api.Begun{Run: r.ID}, api.Told{Told: told}})
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	c.Flags().StringVar(&why, "why", "", "`reason`, which the journal keeps")
	return c
}

// person is who sits at the terminal.
func person() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return me.ID
}

// cancel ends a run that no process works on. A whole tree is driven to its end, which asks no model; a part of one ends when its tree is resumed.
func (o *owner) cancel(ctx context.Context, id decouple.RunID, c engine.Cancellation) (int, error) {
	n, err := o.engine.Cancel(ctx, decouple.LocalTenant, id, c)
	if err != nil || id.Depth() > 0 {
		return n, err
	}
	if _, err := o.engine.Resume(ctx, decouple.LocalTenant, id); err != nil {
		return n, err
	}
	_, err = o.engine.Drive(ctx, decouple.LocalTenant, id)
	return n, err
}
