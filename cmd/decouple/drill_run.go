package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/risk/drill"
)

// drillFlags are the flags of `decouple drill run`.
type drillFlags struct {
	mode           string
	seed           uint64
	short, lasts   timeFlag
	since          string
	share, most    shareFlag
	enough         int64
	keys, teams    []string
	classes        []string
	md, html, file string
	json           bool
	model          modelFlags
}

func newDrillRun(a *app) *cobra.Command {
	var f drillFlags
	c := &cobra.Command{
		Use: "run SCENARIO", Short: "Play a scenario, and keep what it showed as a signed result", Args: exactly("a scenario: its id, or a file"),
		Long: `Plays a scenario: one that ships (decouple drill ls) or a file of your own.

  --mode sim     simulated clouds in virtual time: the real router, beside a router that trusts status codes
  --mode shadow  the calls that were recorded are decided again without what is lost; nothing is sent
  --mode live    faults are pretended at the gateway of a server for a canary of its calls. Ctrl-C aborts; so does
                 "decouple drill abort", a canary of which more than --abort-share failed, any breach of a contract, and the end of --for

The result is kept in the journal, signed with this installation's key. The exit code is 7 if the drill was not passed.` + modelHelp,
		Example: "  decouple drill run azure-2026-03-09 --html drill.html\n  decouple drill run own.yaml --mode shadow --since 7d\n  decouple drill run anthropic-2026-04-28 --mode live --server http://127.0.0.1:8585 --share 5% --for 5m",
		RunE: func(c *cobra.Command, args []string) error {
			n, err := f.order(args[0])
			if err != nil {
				return err
			}
			r, envelope, err := a.drill(c.Context(), n, f)
			if r == nil {
				return err
			}
			return errors.Join(a.showDrill(r, envelope, f), err, notPassed(r))
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.mode, "mode", "sim", "`MODE`: sim, shadow or live")
	flags.Uint64Var(&f.seed, "seed", 1, "`SEED` of a simulation: the same one gives the same figures")
	flags.Var(&f.short, "short", "of a simulation: no loss is longer than this, such as 20m; a short drill counts for no grade")
	flags.StringVar(&f.since, "since", "30d", "of a shadow drill: `TIME` from which on calls count: a span such as 7d, a date, or a time in RFC 3339")
	flags.Var(&f.share, "share", "of a live drill: share of the calls that are the canary (default 5%)")
	flags.StringSliceVar(&f.keys, "key", nil, "of a live drill: only calls with this key `ID`; may be repeated")
	flags.StringSliceVar(&f.teams, "team", nil, "of a live drill: only calls of this `TEAM`; may be repeated")
	flags.StringSliceVar(&f.classes, "class", nil, "of a live drill: only calls of this workload `CLASS`; may be repeated")
	flags.Var(&f.lasts, "for", "of a live drill: how long it lasts, all in all (default 5m, at most 1h)")
	flags.Var(&f.most, "abort-share", "of a live drill: abort when more than this share of the canary's calls failed (default 10%)")
	flags.Int64Var(&f.enough, "abort-after", 0, "of a live drill: but not before `N` calls of the canary (default 20)")
	flags.StringVar(&f.md, "md", "", "write the report as Markdown to `FILE`, too")
	flags.StringVar(&f.html, "html", "", "write the report as one HTML page with charts to `FILE`, too")
	flags.StringVar(&f.file, "envelope", "", "write the signed result to `FILE`, too")
	flags.BoolVar(&f.json, "json", false, "write the result as one JSON object")
	f.model.add(flags)
	return c
}

// order is the drill that the flags ask for. A file that is wrong is told of before anything is asked.
func (f *drillFlags) order(name string) (api.NewDrill, error) {
	s, err := scenario(name)
	if err != nil {
		return api.NewDrill{}, err
	}
	n := api.NewDrill{File: s.Text, Name: name, Mode: drill.Mode(f.mode), Seed: f.seed, Short: f.short.d,
		Canary: drill.Canary{Share: f.share.v, Keys: f.keys, Teams: f.teams, Classes: f.classes, For: f.lasts.d, Most: f.most.v, Enough: f.enough}}
	if n.Mode == drill.Shadow {
		n.Since, err = moment("--since", f.since, time.Now())
	}
	return n, err
}

// drill plays a drill at the server that is named or owns the data folder, or else here.
func (a *app) drill(ctx context.Context, n api.NewDrill, f drillFlags) (r *drill.Result, envelope []byte, err error) {
	planned := func() (plan, error) {
		mine, err := a.choose(f.model, decouple.Price{})
		return plan{doing: "decouple drill run", model: mine}, err
	}
	by := decouple.Actor{Kind: decouple.ActorPerson, ID: person()}
	err = a.reachWith(ctx, planned,
		func(there *api.Client) (err error) {
			r, envelope, err = a.drillThere(ctx, there, n)
			return err
		},
		func(o *owner) error {
			ask, err := n.Asked()
			if err != nil {
				return err
			}
			ask.Tenant, ask.By = decouple.LocalTenant, by
			r, envelope, err = o.drills.Run(ctx, ask)
			return err
		})
	return r, envelope, err
}

// drillThere begins a drill at a server and waits for its end. Whoever interrupts aborts a live one; another one goes on.
func (a *app) drillThere(ctx context.Context, there *api.Client, n api.NewDrill) (*drill.Result, []byte, error) {
	by := decouple.Actor{Kind: decouple.ActorPerson, ID: person()}
	id, err := there.StartDrill(ctx, n, by)
	if err != nil {
		return nil, nil, err
	}
	a.say("drill %s has begun; Ctrl-C ends %s", id, map[bool]string{true: "it", false: "the waiting, and it goes on"}[n.Mode == drill.Live])
	tick := time.NewTicker(drillPoll)
	defer tick.Stop()
	for {
		interrupted := false
		select {
		case <-ctx.Done():
			if n.Mode != drill.Live {
				return nil, nil, decouple.Errorf(decouple.Canceled, "interrupted; the drill goes on at the server: %s", a.command(append([]string{"drill", "report", id}, a.where()...)...))
			}
			interrupted = true
			ctx = context.WithoutCancel(ctx)
			if _, err := there.AbortDrill(ctx, id, by); err != nil && decouple.KindOf(err) != decouple.NotFound {
				return nil, nil, err
			}
		case <-tick.C:
		}
		d, err := there.Drill(ctx, id)
		switch {
		case err != nil && interrupted:
			return nil, nil, err
		case err != nil:
			return nil, nil, decouple.Errorf(decouple.KindOf(err), "the drill %s was begun, and the server does not answer; it ends by itself: %w", id, err)
		case d.State == drill.Running:
			continue
		case d.Envelope == "":
			return nil, nil, decouple.Errorf(decouple.Unavailable, "the drill %s has no result: its node ended", id)
		}
		r, err := drill.Peek([]byte(d.Envelope))
		return r, []byte(d.Envelope), err
	}
}

// drillPoll is how often a server is asked how a drill stands.
const drillPoll = 250 * time.Millisecond

// showDrill writes a result as it was asked for.
func (a *app) showDrill(r *drill.Result, envelope []byte, f drillFlags) error {
	var errs []error
	for _, w := range []struct {
		file string
		text func() string
	}{{f.md, r.Markdown}, {f.html, r.HTML}, {f.file, func() string { return string(envelope) }}} {
		if w.file == "" {
			continue
		}
		if err := os.WriteFile(w.file, []byte(w.text()), 0o644); err != nil {
			errs = append(errs, decouple.Errorf(decouple.Unavailable, "the report cannot be written: %w", err))
		}
	}
	if f.json {
		return errors.Join(append(errs, a.json(r))...)
	}
	return errors.Join(append(errs, a.print(r.Text()))...)
}

// notPassed is the error of a drill that was not passed, for the exit code.
func notPassed(r *drill.Result) error {
	switch {
	case r.Passed:
		return nil
	case r.Aborted != "":
		return decouple.Errorf(decouple.Unavailable, "the drill %s was aborted: %s", r.ID, printable(r.Aborted))
	}
	var failed []string
	for _, c := range r.Checks {
		if !c.Passed {
			failed = append(failed, c.What+": "+c.Got)
		}
	}
	return decouple.Errorf(decouple.Unavailable, "the drill %s was not passed: %s", r.ID, printable(strings.Join(failed, "; ")))
}

// shareFlag is a share such as 5% or 0.05.
type shareFlag struct{ v float64 }

// Set reads a share.
func (f *shareFlag) Set(s string) error {
	v, err := drill.ParseShare(s)
	f.v = v
	return err
}

// String is the share, or nothing.
func (f *shareFlag) String() string { return "" }

// Type names the kind of value.
func (f *shareFlag) Type() string { return "SHARE" }
