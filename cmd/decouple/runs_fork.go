package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/engine"
)

func newRunsFork(a *app) *cobra.Command {
	var f engine.Fork
	var asJSON bool
	c := &cobra.Command{
		Use: "fork ID", Short: "Begin a new run from a step of another one",
		Long: `Begins a new run that knows what another one knew after a step: its answers up to there and their results. Calls with effects after that step are refused, unless
--effects says that they may happen again.`,
		Example: "  decouple runs fork rk3v --step 2",
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
			f.Tenant, f.Run, f.By = decouple.LocalTenant, r.ID, decouple.Actor{Kind: decouple.ActorPerson, ID: person()}
			var id decouple.RunID
			err = a.act(ctx, "decouple runs fork", func(v verbs) error { id, err = v.Fork(ctx, f); return err })
			if err != nil {
				return err
			}
			if err := a.told(ctx, id, fmt.Sprintf("run %s begins at step %d of %s", id, f.Step, r.ID)); err != nil {
				return err
			}
			if asJSON {
				return a.json(api.Begun{Run: id})
			}
			return a.print(string(id) + "\n")
		},
	}
	c.Flags().IntVar(&f.Step, "step", 0, "the last `STEP` that is kept")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	c.Flags().StringVar(&f.Key, "idempotency-key", "", "`KEY` that stands for this fork: a second one with it begins nothing")
	c.Flags().BoolVar(&f.Effects, "effects", false, "let calls with effects after that step be made again")
	_ = c.MarkFlagRequired("step")
	return c
}

func newRunsSignal(a *app) *cobra.Command {
	var body, id string
	var asJSON bool
	c := &cobra.Command{
		Use: "signal ID NAME", Short: "Send a run the signal that it waits for",
		Long:    "Sends a run a signal: what its tool signal.wait waits for. A signal that comes before the run waits is kept for it.",
		Example: `  decouple runs signal rk3v paid --body '{"amount": 12}'`,
		Args:    exactly("the id of a run", "the name of a signal"),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			if body != "" && !json.Valid([]byte(body)) {
				return decouple.Errorf(decouple.Invalid, "--body is not JSON: put a text between quotation marks")
			}
			log, err := a.readLog(ctx)
			if err != nil {
				return err
			}
			r, err := findRun(ctx, log, args[0])
			_ = log.Close()
			if err != nil {
				return err
			}
			d := engine.Delivery{Tenant: decouple.LocalTenant, Run: r.ID, Name: args[1], Body: json.RawMessage(body), ID: id, By: decouple.Actor{Kind: decouple.ActorPerson, ID: person()}}
			if body == "" {
				d.Body = json.RawMessage("null")
			}
			err = a.act(ctx, "decouple runs signal", func(v verbs) error { return v.Deliver(ctx, d) })
			if err != nil {
				return err
			}
			if err := a.told(ctx, r.ID, fmt.Sprintf("run %s: the signal %s is sent", r.ID, d.Name)); err != nil || !asJSON {
				return err
			}
			return a.json(struct {
				api.Begun
				Signal string `json:"signal"`
			}{api.Begun{Run: r.ID}, d.Name})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	c.Flags().StringVar(&body, "body", "", "`JSON` that the signal brings")
	c.Flags().StringVar(&id, "id", "", "`ID` of the signal, an idempotency key: the same signal with it again changes nothing")
	return c
}
