// Command decouple answers "how does it start?": it reads flags and the environment, opens the data folder, plugs the rooms together, and says how it ended in an
// exit code. Each subcommand is a file; app.go is what all of them share, and owner.go is how the rooms are put together.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	_ "time/tzdata" // a schedule names a time zone, and not every machine has the database

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300) // the heap is small: collecting it a third as often costs some ten megabytes and saves a tenth of a tree's processor time
	}
	ctx, stop := interruptible()
	a := &app{name: os.Args[0], in: os.Stdin, out: os.Stdout, err: newScreen(os.Stderr, os.Getenv), env: os.Getenv}
	code := a.main(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// parked says that an error has its own words on the interruption.
func parked(err error) bool {
	var own *decouple.Error
	return errors.As(err, &own)
}

// interruptible is a context that ends at the first SIGINT or SIGTERM, so that what is under way is parked; at the second one the process ends at once.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(decouple.Canceled.Rule().Exit)
	}()
	return ctx, cancel
}

// main runs a command line and gives the exit code. An error is one line on standard error; standard output has none of it.
func (a *app) main(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	kind := decouple.KindOf(err)
	if !a.began && kind == decouple.Internal { // said by the parser of the command line
		kind = decouple.Invalid
	}
	text := oneLine(err.Error())
	if ctx.Err() != nil && errors.Is(err, context.Canceled) && kind == decouple.Canceled && !parked(err) {
		text = "interrupted"
	}
	fmt.Fprintln(a.err, a.err.paint(red, "decouple:"), text)
	return kind.Rule().Exit
}

// oneLine puts an error of several lines on one.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

const rootLong = `Decouple runs agents that research a question in your own documents and answer with quotations
that are found, letter for letter, in their sources.

  decouple research "How are backups made?" --docs ~/handbook

It needs no account and no network: without a model server the builtin model answers, which
only quotes. Everything is kept in one data folder, and a run that was interrupted goes on with
"decouple runs resume".

Exit codes: 0 done (also: not found in the sources), 1 internal, 2 invalid input or usage, 3 not found,
4 denied, 5 conflict (the data folder is in use), 6 budget exhausted (the partial report is written),
7 unavailable or too slow, 8 outcome unknown, 130 interrupted and parked, or canceled.`

// root is the command line with all its subcommands.
func (a *app) root() *cobra.Command {
	c := &cobra.Command{
		Use: "decouple", Short: "Agents that research your documents and prove what they say", Long: rootLong,
		SilenceErrors: true, SilenceUsage: true,
		Args: noArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if a.began = true; a.server != "" && slices.Contains([]string{"serve", "verify", "bench", "eval", "sim", "clouds", "simulate"}, c.Name()) || a.server != "" && c.HasParent() && c.Parent().Name() == "exit" {
				return decouple.Errorf(decouple.Invalid, "`%s` works on this machine only: leave out --server", c.CommandPath())
			}
			if c.Name() == "config" || c.Hidden {
				return nil
			}
			return a.configure(c)
		},
	}
	c.SetIn(a.in)
	c.SetOut(a.out)
	c.SetErr(a.err)
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return decouple.Errorf(decouple.Invalid, "%w; `%s --help` lists the flags", err, c.CommandPath())
	})
	c.PersistentFlags().StringVar(&a.folder, "data", "", "data folder: a `DIR` (default $DECOUPLE_DATA, or $XDG_DATA_HOME/decouple, or ~/.local/share/decouple)")
	c.PersistentFlags().StringVar(&a.storeURL, "store", "", "journal: a `URL` such as postgres://user:password@host/database, shared by many nodes (default $DECOUPLE_STORE, or SQLite in the data folder)")
	c.PersistentFlags().StringVar(&a.server, "server", "", "work with the server at this `URL`, such as http://127.0.0.1:8585, instead of the data folder here (default $DECOUPLE_SERVER)")
	c.PersistentFlags().StringSliceVar(&a.contracts, "contracts", nil, "contracts that hold here, before those of the journal: a `FILE` or folder of YAML files; may be repeated")
	c.PersistentFlags().StringVar(&a.config, "config", "", "config `FILE` (default $DECOUPLE_CONFIG, or decouple.yaml in $XDG_CONFIG_HOME/decouple or ~/.config/decouple)")
	c.PersistentFlags().StringVar(&a.keyFile, "key-file", "", "`FILE` that holds the key for the server (default: the key in $DECOUPLE_KEY)")
	c.AddCommand(newServe(a), newNodes(a), newKeys(a), newConfig(a), newApprovals(a), newSessions(a), newResearch(a), newNotes(a), newRuns(a), newAgents(a), newEval(a), newVerify(a), newBench(a), newSimulate(a), newSim(a), newDemo(a), newEndpoints(a), newExplain(a), newContracts(a), newUsage(a), newBudgets(a), newRisk(a), newDrill(a), newParity(a), newExit(a), newBenchReopen(), newVersion(a), newPDF())
	return c
}

// noArgs refuses arguments: a word there is meant as a subcommand.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !c.HasSubCommands() {
		return decouple.Errorf(decouple.Invalid, "`%s` takes no arguments, and %q was given; `%s --help` says more", c.CommandPath(), args[0], c.CommandPath())
	}
	hint := ""
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf(" (did you mean %q?)", near[0])
	}
	return decouple.Errorf(decouple.Invalid, "there is no command %q under %s%s; `%s --help` lists them", args[0], c.CommandPath(), hint, c.CommandPath())
}

// exactly wants as many arguments as names are given.
func exactly(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return decouple.Errorf(decouple.Invalid, "`%s` needs %s; `%s --help` has an example", c.CommandPath(), names[len(args)], c.CommandPath())
		case len(args) > len(names):
			return decouple.Errorf(decouple.Invalid, "`%s` does not take %q: put words that belong together between quotation marks; `%s --help` has an example",
				c.CommandPath(), args[len(names)], c.CommandPath())
		}
		return nil
	}
}

// atMost takes one argument or none.
func atMost(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return decouple.Errorf(decouple.Invalid, "`%s` does not take %q: it takes one argument at most; `%s --help` has an example", c.CommandPath(), args[1], c.CommandPath())
	}
	return nil
}

// filled refuses a flag that is given without a value, such as one of an unset variable: it would silently be as if it were not given.
func filled(c *cobra.Command, flag string) error {
	if f := c.Flags().Lookup(flag); f.Changed && f.Value.String() == "" {
		return decouple.Errorf(decouple.Invalid, "--%s is empty: name a file, or leave the flag out", flag)
	}
	return nil
}

// group is a command that only holds others.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: noArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(subs...)
	return c
}
