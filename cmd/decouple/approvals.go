package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
)

func newApprovals(a *app) *cobra.Command {
	return group("approvals", "See and decide what agents may not do without a person",
		newApprovalsLs(a), newApprovalsShow(a), newDecision(a, "approve", true), newDecision(a, "deny", false))
}

// waitingFor reads what waits for approval; the name of one is "run/step/ordinal", of which the run may be the beginning of an id.
func (a *app) waitingFor(ctx context.Context, name string) ([]engine.PendingApproval, error) {
	log, err := a.readLog(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	if name == "" {
		return engine.Approvals(ctx, log, decouple.LocalTenant, "")
	}
	run, call, ok := strings.Cut(name, "/")
	if !ok {
		return nil, decouple.Errorf(decouple.Invalid, "%q is not the name of an approval, such as rk3v/2/1; `decouple approvals ls` lists them", name)
	}
	r, err := findRun(ctx, log, run)
	if err != nil {
		return nil, err
	}
	list, err := engine.Approvals(ctx, log, decouple.LocalTenant, r.ID)
	for _, p := range list {
		if string(p.Call) == call {
			return []engine.PendingApproval{p}, err
		}
	}
	if err == nil {
		err = decouple.Errorf(decouple.NotFound, "call %s of run %s does not wait for approval; `decouple approvals ls` lists what does", call, r.ID)
	}
	return nil, err
}

func newApprovalsLs(a *app) *cobra.Command {
	var json bool
	c := &cobra.Command{
		Use: "ls", Short: "List what waits for approval, oldest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := a.waitingFor(c.Context(), "")
			if err != nil {
				return err
			}
			if json {
				return a.json(append([]engine.PendingApproval{}, list...))
			}
			if len(list) == 0 {
				a.say("nothing waits for approval")
			}
			var b strings.Builder
			for _, p := range list {
				what := ""
				if len(p.Clauses) > 0 {
					what = ", held by " + printable(p.Clauses[0].ID)
				}
				fmt.Fprintf(&b, "%s/%s  %s wants %s %s, asked %s%s\n", p.Run, p.Call, p.Agent, p.Tool, shorten(string(p.Args), 80), p.Asked.Local().Format("2006-01-02 15:04:05"), what)
			}
			return a.print(b.String())
		},
	}
	c.Flags().BoolVar(&json, "json", false, "write a JSON array")
	return c
}

// shorten cuts a text for one line.
func shorten(s string, n int) string {
	if s = oneLine(printable(s)); len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "..."
	}
	return s
}

func newApprovalsShow(a *app) *cobra.Command {
	var json bool
	c := &cobra.Command{
		Use: "show ID", Short: "Show exactly what is asked for", Args: exactly("the id of an approval"),
		RunE: func(c *cobra.Command, args []string) error {
			list, err := a.waitingFor(c.Context(), args[0])
			if err != nil {
				return err
			}
			p := list[0]
			if json {
				return a.json(p)
			}
			var b strings.Builder
			fmt.Fprintf(&b, "%s/%s\n  agent      %s, version %.12s\n  tool       %s\n  arguments  %s\n  bound by   %s\n  asked      %s\n", p.Run, p.Call, p.Agent, p.Version, p.Tool,
				printable(string(p.Args)), p.Hash, p.Asked.Local().Format("2006-01-02 15:04:05"))
			if !p.Expires.IsZero() {
				fmt.Fprintf(&b, "  expires    %s\n", p.Expires.Local().Format("2006-01-02 15:04:05"))
			}
			fmt.Fprintf(&b, "  needs      %s", count(p.Quorum, "approval"))
			if len(p.By) > 0 {
				fmt.Fprintf(&b, " of %s", strings.Join(p.By, ", "))
			}
			if len(p.Approved) > 0 {
				fmt.Fprintf(&b, "; approved by %s", strings.Join(p.Approved, ", "))
			}
			b.WriteString("\n")
			for i, k := range p.Clauses {
				if i == 0 {
					fmt.Fprintf(&b, "  held       %s\n", printable(p.Why))
				}
				fmt.Fprintf(&b, "  clause     %s reads %s (%s): %s\n", printable(k.ID), k.Reads, k.Confidence, printable(k.Text))
			}
			return a.print(b.String())
		},
	}
	c.Flags().BoolVar(&json, "json", false, "write JSON")
	return c
}

func newDecision(a *app, name string, yes bool) *cobra.Command {
	var why, as string
	var json bool
	c := &cobra.Command{
		Use: name + " ID", Short: map[bool]string{true: "Let a call be made", false: "Refuse a call; one denial is enough"}[yes],
		Long: `Decides on a call that waits. Where clauses of contracts hold it, to approve is to sign them off for this run; ` + "`decouple contracts sign-off`" + ` does so for everybody. Who started a run may not decide on it: name who decides with --as. On the command line that name is what the
journal keeps, and nobody checks it: whoever may write the data folder may say it.`,
		Example: "  decouple approvals " + name + " rk3v/2/1 --as ada --why \"agreed with finance\"",
		Args:    exactly("the id of an approval"),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			list, err := a.waitingFor(ctx, args[0])
			if err != nil {
				return err
			}
			d := engine.Decision{Tenant: decouple.LocalTenant, Run: list[0].Run, Call: list[0].Call, Hash: list[0].Hash, Approve: yes, Why: why, By: decouple.Actor{Kind: decouple.ActorPerson, ID: as}}
			err = a.act(ctx, "decouple approvals "+name, func(v verbs) error { return v.Decide(ctx, d) })
			if err != nil {
				return err
			}
			if err := a.told(ctx, d.Run, fmt.Sprintf("%s: %s/%s is told", name, d.Run, d.Call)); err != nil || !json {
				return err
			}
			return a.json(toldCall{d.Run, d.Call, name, as})
		},
	}
	c.Flags().StringVar(&as, "as", person(), "`NAME` of who decides")
	c.Flags().StringVar(&why, "why", "", "`reason`, which the journal keeps")
	c.Flags().BoolVar(&json, "json", false, "write one JSON object")
	return c
}

// toldCall is what was said of a call of a run.
type toldCall struct {
	Run  decouple.RunID  `json:"run"`
	Call decouple.CallID `json:"call"`
	What string          `json:"what"` // approve, deny, redo or result
	By   string          `json:"by"`
}

// told says that a run was told something, and how it goes on if no process is at work.
func (a *app) told(ctx context.Context, id decouple.RunID, what string) error {
	if a.owned(ctx) {
		a.say("%s", what)
		return nil
	}
	a.say("%s; no process is at work, go on with: %s", what, a.resumeCommand(id.Root()))
	return nil
}
