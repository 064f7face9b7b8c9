package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/research"
)

func newSessions(a *app) *cobra.Command {
	return group("sessions", "Talk with one agent over many turns", newSessionsOpen(a), newSessionsLs(a), newSessionsSay(a), newSessionsShow(a))
}

func newSessionsOpen(a *app) *cobra.Command {
	var n engine.NewSession
	var asJSON bool
	c := &cobra.Command{
		Use: "open", Short: "Open a session with an agent, and write its id",
		Long: `Opens a session: a conversation with one agent in which every turn is a run that knows all turns before it. It lasts until
` + "`decouple runs cancel ID`" + ` ends it. --busy says what becomes of input that comes while a turn is going on: queue keeps it for
later, reject refuses it, interrupt cancels the turn.`,
		Example: "  decouple sessions open --agent researcher\n  decouple sessions say rk3v \"When do backups run?\"",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			n.By = decouple.Actor{Kind: decouple.ActorPerson, ID: person()}
			var id decouple.RunID
			err := a.act(ctx, "decouple sessions open", func(v verbs) (err error) { id, err = v.OpenSession(ctx, n); return err })
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(api.Begun{Run: id})
			}
			return a.print(string(id) + "\n")
		},
	}
	f := c.Flags()
	f.BoolVar(&asJSON, "json", false, "write one JSON object")
	f.StringVar((*string)(&n.Agent), "agent", string(research.Lead), "`NAME` of the agent")
	f.StringVar((*string)(&n.Busy), "busy", string(engine.BusyQueue), "what becomes of input during a turn: `POLICY` queue, reject or interrupt")
	f.StringVar(&n.Label, "label", "", "`TEXT` to know it by")
	return c
}

func newSessionsSay(a *app) *cobra.Command {
	var asJSON, quick bool
	var m modelFlags
	c := &cobra.Command{
		Use: `say ID "TEXT"`, Short: "Say something in a session and wait for the answer",
		Long: "Says something in a session and writes the answer of the agent. With - the text is standard input. A server works on it, if one serves this journal, or else\nthis process does." + modelHelp,
		Args: exactly("the id of a session", "what to say, between quotation marks"),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := a.text(args[1])
			if err != nil {
				return err
			}
			turn, err := a.sayIn(c.Context(), args[0], text, m, quick)
			if err != nil {
				return err
			}
			switch {
			case asJSON:
				return a.json(turn)
			case quick:
				return a.print(turn.Input + "\n")
			case turn.State != engine.TurnAnswered:
				return decouple.Errorf(decouple.Canceled, "the turn has ended without an answer: %s %s", turn.Cause.Kind, turn.Cause.Why)
			}
			return a.print(safeLines(turn.Answer) + "\n")
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write the turn as JSON")
	c.Flags().BoolVar(&quick, "no-wait", false, "write the id of the input and do not wait for the answer")
	m.add(c.Flags())
	return c
}

// sayIn says something in a session and, unless it is to be quick, waits until the turn is over.
func (a *app) sayIn(ctx context.Context, name, text string, m modelFlags, quick bool) (engine.Turn, error) {
	log, err := a.readLog(ctx)
	if err != nil {
		return engine.Turn{}, err
	}
	defer func() { _ = log.Close() }()
	r, err := findRun(ctx, log, name)
	if err != nil {
		return engine.Turn{}, err
	}
	in := engine.Input{Tenant: r.Tenant, Session: r.ID, Text: text, By: decouple.Actor{Kind: decouple.ActorPerson, ID: person()}}
	there, err := a.serving(ctx)
	if err != nil {
		return engine.Turn{}, err
	}
	if there != nil {
		defer func() { _ = there.Close() }()
		if in.ID, err = there.Say(ctx, in); err != nil || quick {
			return engine.Turn{Input: in.ID, State: engine.TurnWaiting}, err
		}
		return awaitTurn(ctx, there, r, in.ID)
	}
	url, err := a.shared()
	if err != nil {
		return engine.Turn{}, err
	}
	mo, err := a.choose(m, decouple.Price{})
	if err != nil {
		return engine.Turn{}, err
	}
	dir, err := a.dir()
	if err != nil {
		return engine.Turn{}, err
	}
	o, err := a.own(ctx, dir, plan{doing: "decouple sessions say", model: mo})
	if err != nil {
		return engine.Turn{}, err
	}
	defer func() { _ = o.close() }()
	if in.ID, err = o.engine.Say(ctx, in); err != nil || quick {
		return engine.Turn{Input: in.ID, State: engine.TurnWaiting}, err
	}
	if url == "" || !a.owned(ctx) { // nobody else works on it
		driving, stop := context.WithCancel(ctx)
		defer stop()
		done := make(chan error, 1)
		go func() { _, err := o.engine.Drive(driving, r.Tenant, r.ID); done <- err }()
		turn, err := awaitTurn(ctx, o.store, r, in.ID)
		stop()
		if derr := <-done; err != nil && derr != nil && ctx.Err() == nil {
			err = errors.Join(err, derr)
		}
		return turn, err
	}
	return awaitTurn(ctx, o.store, r, in.ID)
}

// awaitTurn waits until a turn is over.
func awaitTurn(ctx context.Context, log journal.Reader, r journal.RunRow, input string) (engine.Turn, error) {
	var turn engine.Turn
	look := func() (bool, error) {
		turns, err := engine.Turns(ctx, log, r.Tenant, r.ID)
		for _, t := range turns {
			if t.Input == input {
				turn = t
			}
		}
		return turn.State == engine.TurnAnswered || turn.State == engine.TurnEnded || turn.State == engine.TurnRejected, err
	}
	head, err := log.Head(ctx)
	if err != nil {
		return turn, err
	}
	if over, err := look(); over || err != nil {
		return turn, err
	}
	one := func(e decouple.Event) error {
		if e.Stream.Kind != decouple.StreamRun || e.Stream.ID != string(r.ID) {
			return nil
		}
		over, err := look()
		if err == nil && (over || e.Kind == ended) {
			err = errEnded
		}
		return err
	}
	if there, ok := log.(*api.Client); ok {
		err = there.Watch(ctx, r.ID, head, one, nil)
	} else {
		err = log.Follow(ctx, head, one)
	}
	if errors.Is(err, errEnded) {
		err = nil
	}
	return turn, err
}

func newSessionsLs(a *app) *cobra.Command {
	var asJSON bool
	limit := limitFlag{min: 1}
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List the sessions, newest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			n := 100
			if limit.set {
				n = int(min(limit.n, 1000))
			}
			list, err := a.sessions(c.Context(), n)
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(append([]api.Run{}, list...))
			}
			if len(list) == 0 {
				a.say("there are no sessions yet: open one with `decouple sessions open --agent NAME`")
				return nil
			}
			var rows [][]string
			for _, r := range list {
				state := string(r.Status)
				switch {
				case r.Status == decouple.RunEnded:
					state = string(r.Cause)
				case r.Status == decouple.RunParked && r.Wait.Kind == decouple.WaitPerson:
					state = "waits for input"
				case r.Status == decouple.RunParked:
					state = "answering"
				}
				rows = append(rows, []string{string(r.ID), r.Created.Local().Format("2006-01-02T15:04:05"), string(r.Agent), state, r.Updated.Local().Format("2006-01-02T15:04:05"), clip(printable(r.Question), 60)})
			}
			return a.print(table("ID OPENED AGENT STATE CHANGED LABEL", rows))
		},
	}
	c.Flags().Var(&limit, "limit", "at most `N` of them, default 100")
	c.Flags().BoolVar(&asJSON, "json", false, "write a JSON array")
	return c
}

// sessions lists the newest sessions; a folder without a journal has none.
func (a *app) sessions(ctx context.Context, limit int) ([]api.Run, error) {
	log, err := a.readLog(ctx)
	if err != nil {
		if decouple.KindOf(err) == decouple.NotFound {
			err = nil
		}
		return nil, err
	}
	defer func() { _ = log.Close() }()
	if there, ok := log.(*api.Client); ok {
		return there.Sessions(ctx, limit)
	}
	rows, err := engine.Sessions(ctx, log, decouple.LocalTenant, 0, limit)
	return api.RunsOf(rows), err
}

func newSessionsShow(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "show ID", Short: "Show what was said and answered", Args: exactly("the id of a session"),
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
			turns, err := engine.Turns(ctx, log, r.Tenant, r.ID)
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(turns)
			}
			var b strings.Builder
			for _, t := range turns {
				fmt.Fprintf(&b, "%s %s: %s\n", t.At.Local().Format(time.DateTime), printable(t.By.ID), printable(t.Text))
				switch t.State {
				case engine.TurnAnswered:
					fmt.Fprintf(&b, "%s\n\n", strings.TrimSpace(printable(t.Answer)))
				case engine.TurnEnded:
					fmt.Fprintf(&b, "(%s %s)\n\n", t.Cause.Kind, printable(t.Cause.Why))
				default:
					fmt.Fprintf(&b, "(%s)\n\n", t.State)
				}
			}
			if len(turns) == 0 {
				a.say("nothing has been said yet: %s", a.command(append([]string{"sessions", "say", string(r.ID), "TEXT"}, a.where()...)...))
			}
			return a.print(b.String())
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write a JSON array")
	return c
}
