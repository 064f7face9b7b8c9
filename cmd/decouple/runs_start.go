package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/research"
)

// startFlags are the flags of runs start.
type startFlags struct {
	usd    moneyFlag
	tokens limitFlag
	time   timeFlag
	key    string
	wait   bool
	asJSON bool
	agents string
	model  modelFlags
}

func newRunsStart(a *app) *cobra.Command {
	f := startFlags{tokens: limitFlag{min: 1}}
	c := &cobra.Command{
		Use: `start AGENT "TASK"`, Short: "Start a run of any agent, and write its id",
		Long: `Starts a run of an agent and writes its id; with --wait, its answer once it has ended. With - the task is standard input. Its agents read the notes as they
are now. A server works on the run, if one serves this journal; without one, --wait works on it here and ` + "`decouple runs resume ID`" + ` goes on with it.
The same command with the same --idempotency-key starts nothing and speaks of the run that is there already.` + modelHelp,
		Example: "  decouple runs start payer \"Refund order 4711\" --usd 0.50 --wait\n  decouple runs start reporter \"What is due?\" --idempotency-key due-2027-01-04 --json",
		Args:    exactly("the name of an agent", "a task between quotation marks"),
		RunE:    func(c *cobra.Command, args []string) error { return a.startRun(c.Context(), args[0], args[1], f) },
	}
	c.Flags().Var(&f.usd, "usd", "most that the run may cost, in `USD`")
	c.Flags().Var(&f.tokens, "tokens", "most tokens that the run may use, such as 200k")
	c.Flags().Var(&f.time, "time", "most time that the run may take: a `TIME` such as 90s or 5m")
	c.Flags().StringVar(&f.key, "idempotency-key", "", "`KEY` that stands for this run: a second start with it starts nothing")
	c.Flags().BoolVar(&f.wait, "wait", false, "wait until the run has ended, and write its answer")
	c.Flags().BoolVar(&f.asJSON, "json", false, "write one JSON object")
	c.Flags().StringVar(&f.agents, "agents", "", "`DIR` of agent files that go before the built-in ones")
	f.model.add(c.Flags())
	return c
}

// startRun starts a run and, if it is to, waits for its end.
func (a *app) startRun(ctx context.Context, agent, task string, f startFlags) error {
	text, err := a.text(task)
	if err != nil {
		return err
	}
	if f.usd.set && f.usd.money == 0 {
		return decouple.Errorf(decouple.Invalid, "--usd 0 leaves nothing to work with: give a larger amount")
	}
	st := engine.Start{
		Agent: decouple.AgentName(agent), Task: decouple.Task{Question: text}, Freeze: true, Key: f.key, By: decouple.Actor{Kind: decouple.ActorPerson, ID: person()},
		Envelope: decouple.Envelope{USD: f.usd.money, Tokens: f.tokens.n, Time: f.time.d},
	}
	there, err := a.serving(ctx)
	if err != nil {
		return err
	}
	if there != nil {
		return errors.Join(a.startThere(ctx, there, st, f), there.Close())
	}
	m, err := a.choose(f.model, decouple.Price{})
	if err != nil {
		return err
	}
	dir, err := a.dir()
	if err != nil {
		return err
	}
	v := newView(a.err)
	o, err := a.own(ctx, dir, plan{doing: "decouple runs start", model: m, agents: f.agents, watch: v.watch})
	if err != nil {
		return err
	}
	defer func() { _ = o.close() }() // what is acknowledged is kept, whatever closing says
	id, err := o.engine.Start(ctx, st)
	if err != nil {
		return err
	}
	d := driven{id: id, plain: true, output: output{asJSON: f.asJSON}, again: append(f.model.again(), agentsAgain(f.agents)...)}
	if !f.wait {
		return a.started(ctx, o.store, d, "is ready; go on with: "+a.resumeCommand(id, d.again...))
	}
	a.say("%s", m.Describe())
	if _, err := o.engine.Resume(ctx, decouple.LocalTenant, id); err != nil { // one that the key stands for may have been interrupted
		return err
	}
	return a.drive(ctx, o, v, d)
}

// startThere has a server do it.
func (a *app) startThere(ctx context.Context, there *api.Client, st engine.Start, f startFlags) error {
	if len(f.model.again()) > 0 || f.agents != "" {
		return decouple.Errorf(decouple.Invalid, "the server has its own model and agents: give --model, --model-url and --agents to `decouple serve`, and deploy agents with `decouple agents put`")
	}
	id, err := there.Start(ctx, st)
	d := driven{id: id, plain: true, output: output{asJSON: f.asJSON}}
	switch {
	case err != nil:
		return err
	case !f.wait:
		return a.started(ctx, there, d, "is at the server; follow it with: "+a.command(append([]string{"runs", "tail", string(id)}, a.where()...)...))
	}
	return a.follow(ctx, there, d)
}

// started writes the id of a run that was begun, and says how it goes on, unless it is one that a key stands for and that has ended.
func (a *app) started(ctx context.Context, log journal.Reader, d driven, next string) error {
	rows, err := log.Runs(ctx, journal.RunFilter{Tenant: decouple.LocalTenant, ID: d.id})
	if err == nil && len(rows) == 1 && rows[0].Status == decouple.RunEnded {
		next = "has ended already: " + string(rows[0].Cause.Kind)
	}
	a.say("run %s %s", d.id, next)
	if d.output.asJSON {
		return a.json(api.Begun{Run: d.id})
	}
	return a.print(string(d.id) + "\n")
}

// text is an argument, or standard input for -.
func (a *app) text(arg string) (string, error) {
	if arg == "-" {
		b, err := io.ReadAll(io.LimitReader(a.in, maxQuestion+1))
		if err != nil {
			return "", decouple.Errorf(decouple.Invalid, "standard input cannot be read: %w", err)
		}
		arg = string(b)
	}
	arg = strings.TrimSpace(arg)
	switch {
	case arg == "":
		return "", decouple.Errorf(decouple.Invalid, "the text is empty: put one between quotation marks, or - for standard input")
	case !utf8.ValidString(arg):
		return "", decouple.Errorf(decouple.Invalid, "the text is not UTF-8")
	case len(arg) > maxQuestion:
		return "", decouple.Errorf(decouple.Invalid, "the text may have %d bytes: add long texts as notes, with `decouple notes add`", maxQuestion)
	}
	return arg, nil
}

// isPlain says whether a run of an agent ends with an answer: every one but a research, which ends with a report.
func isPlain(agent decouple.AgentName) bool { return agent != research.Lead }

// answered is a run that has ended, with its answer.
type answered struct {
	api.Run
	Answer string `json:"answer"`
}

// answer writes the answer of a run that has ended, and gives the error that its cause stands for.
func (a *app) answer(ctx context.Context, log journal.Reader, d driven) error {
	s, err := engine.Load(ctx, log, decouple.LocalTenant, d.id)
	if err != nil {
		return err
	}
	rows, err := log.Runs(ctx, journal.RunFilter{Tenant: decouple.LocalTenant, ID: d.id})
	if err != nil || len(rows) != 1 {
		return errors.Join(err, decouple.Errorf(decouple.Internal, "run %s is not in the list of runs", d.id))
	}
	ended := endError(s.Cause, 0, d.id)
	switch {
	case d.output.file != "":
		if err := replace(d.output.file, []byte(strings.TrimSpace(s.Answer)+"\n")); err != nil {
			return err
		}
		a.say("answer written to %s", d.output.file)
		return ended
	case d.output.asJSON:
		return errors.Join(a.json(answered{api.RunOf(rows[0]), s.Answer}), ended)
	case strings.TrimSpace(s.Answer) == "":
		return ended
	}
	return errors.Join(a.print(safeLines(s.Answer)+"\n"), ended)
}
