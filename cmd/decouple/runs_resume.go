package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
)

// resumeFlags are the flags of runs resume.
type resumeFlags struct {
	output output
	model  modelFlags
	agents string
}

func newRunsResume(a *app) *cobra.Command {
	var f resumeFlags
	c := &cobra.Command{
		Use: "resume ID", Short: "Go on with a run that was interrupted, and write its report",
		Long: `Goes on from the last durable point of a run that was interrupted, or whose process was killed, and ends exactly as
research does. Of a run that has ended it writes the report again. Runs of other agents than lead have an answer instead of a report. A model server is named again, as for research.` + modelHelp,
		Example: "  decouple runs resume rk3v\n  decouple runs resume rk3v --out report.md",
		Args:    exactly("the id of a run"),
		RunE:    func(c *cobra.Command, args []string) error { return a.resume(c.Context(), args[0], f) },
	}
	c.Flags().StringVar(&f.agents, "agents", "", "`DIR` of agent files that go before the built-in ones")
	f.model.add(c.Flags())
	f.output.add(c.Flags())
	return c
}

func (a *app) resume(ctx context.Context, name string, f resumeFlags) error {
	if err := f.output.check(); err != nil {
		return err
	}
	dir, err := a.dir()
	if err != nil {
		return err
	}
	s, err := a.stateOf(ctx, name)
	if err != nil {
		return err
	}
	d := driven{id: s.Run.ID, plain: isPlain(s.Run.Agent), output: f.output, again: append(f.model.again(), agentsAgain(f.agents)...)}
	there, err := a.serving(ctx)
	switch {
	case err != nil:
		return err
	case there != nil && !s.Ended():
		if _, err := there.Resume(ctx, decouple.LocalTenant, s.Run.ID); err != nil {
			return errors.Join(err, there.Close())
		}
		return errors.Join(a.follow(ctx, there, d), there.Close())
	case there != nil:
		return errors.Join(a.reportThere(ctx, there, d), there.Close())
	case s.Ended():
		return a.reportAgain(ctx, s, d)
	}
	m, err := a.choose(f.model, s.Price)
	if err != nil {
		return err
	}
	if here := m.Price("").Local; here != s.Price.Local {
		was := "a model server: name it again with --model-url and --model, or set OPENAI_API_KEY"
		if s.Price.Local {
			was = "the builtin model: give --model builtin"
		}
		return decouple.Errorf(decouple.Invalid, "run %s was begun with %s", s.Run.ID, was)
	}
	a.say("%s", m.Describe())
	v := newView(a.err)
	o, err := a.own(ctx, dir, plan{doing: "decouple runs resume", model: m, agents: f.agents, watch: v.watch})
	if err != nil {
		return err
	}
	defer func() { _ = o.close() }() // what is acknowledged is kept, whatever closing says
	rows, err := tree(ctx, o.store, s.Run.ID)
	if err != nil {
		return err
	}
	v.fill(rows)
	if _, err := o.engine.Resume(ctx, decouple.LocalTenant, s.Run.ID); err != nil {
		return err
	}
	return a.drive(ctx, o, v, d)
}

// stateOf reads the root run that a name stands for.
func (a *app) stateOf(ctx context.Context, name string) (engine.State, error) {
	log, err := a.readLog(ctx)
	if err != nil {
		return engine.State{}, err
	}
	defer func() { _ = log.Close() }()
	r, err := findRun(ctx, log, name)
	if err != nil {
		return engine.State{}, err
	}
	if r.Parent != "" {
		return engine.State{}, decouple.Errorf(decouple.Invalid, "%s is part of run %s: resume that", r.ID, r.Root)
	}
	return engine.Load(ctx, log, decouple.LocalTenant, r.ID)
}
