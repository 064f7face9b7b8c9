package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
)

func newRunsEffects(a *app) *cobra.Command {
	var json, redo, failed bool
	var resolve, result, why, as string
	c := &cobra.Command{
		Use: "effects ID", Short: "Show the ledger of effects of a run, and say what became of a call that is in doubt",
		Long: `Shows every call of a run, and of all under it, that has an effect: its key, its attempts, and what became of it. "unknown" means that the call was begun
and nobody recorded its outcome, because a process died in the middle of it. It is never repeated by itself: say what became of it with --resolve.`,
		Example: `  decouple runs effects rk3v
  decouple runs effects rk3v --resolve 2/1 --result "refund 4711 is on the statement" --why "asked the bank"
  decouple runs effects rk3v --resolve 2/1 --redo --why "the bank knows nothing of it"`,
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
			if resolve != "" {
				if redo == (result != "") {
					return decouple.Errorf(decouple.Invalid, "say what became of call %s: either --result TEXT, or --redo if it never happened", resolve)
				}
				res := engine.Resolution{
					Tenant: decouple.LocalTenant, Run: r.ID, Call: decouple.CallID(resolve), Redo: redo, Text: result, Failed: failed, Why: why,
					By: decouple.Actor{Kind: decouple.ActorPerson, ID: as},
				}
				err := a.act(ctx, "decouple runs effects", func(v verbs) error { return v.Resolve(ctx, res) })
				if err != nil {
					return err
				}
				what := "result"
				if redo {
					what = "redo"
				}
				if err := a.told(ctx, r.ID, fmt.Sprintf("run %s is told what became of call %s", r.ID, resolve)); err != nil || !json {
					return err
				}
				return a.json(toldCall{r.ID, decouple.CallID(resolve), what, as})
			}
			list, err := engine.Effects(ctx, log, decouple.LocalTenant, r.ID)
			if err != nil {
				return err
			}
			if json {
				return a.json(append([]engine.EffectRecord{}, list...))
			}
			if len(list) == 0 {
				a.say("run %s made no call with an effect", r.ID)
			}
			return a.print(effectLedger(list))
		},
	}
	f := c.Flags()
	f.BoolVar(&json, "json", false, "write a JSON array, or with --resolve one object")
	f.StringVar(&resolve, "resolve", "", "say what became of this `CALL`, such as 2/1")
	f.StringVar(&result, "result", "", "it happened, and this `TEXT` is its result")
	f.BoolVar(&failed, "failed", false, "it failed, and the result says why")
	f.BoolVar(&redo, "redo", false, "it did not happen: make it again")
	f.StringVar(&why, "why", "", "`reason`, which the journal keeps")
	f.StringVar(&as, "as", person(), "`NAME` of who says so")
	return c
}

// ledger is a list of effects for people.
func effectLedger(list []engine.EffectRecord) string {
	var b strings.Builder
	for _, e := range list {
		fmt.Fprintf(&b, "%s  %s %s: %s, %s", e.Key, e.Tool, e.Effect, e.State, count(e.Attempts, "attempt"))
		if len(e.Approved) > 0 {
			fmt.Fprintf(&b, ", approved by %s", strings.Join(e.Approved, ", "))
		}
		if e.Resolved != "" {
			fmt.Fprintf(&b, ", resolved by %s", e.Resolved)
		}
		fmt.Fprintf(&b, "\n  %s\n", shorten(string(e.Args), 200))
		if e.Result != "" {
			fmt.Fprintf(&b, "  -> %s\n", shorten(e.Result, 200))
		}
	}
	return b.String()
}
