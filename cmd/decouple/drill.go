package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/risk/drill"
)

func newDrill(a *app) *cobra.Command {
	c := group("drill", "Rehearse the loss of a vendor, a region, a model or a contract, and measure who noticed",
		newDrillRun(a), newDrillLs(a), newDrillShow(a), newDrillReport(a), newDrillVerify(a), newDrillCompare(a), newDrillTrend(a), newDrillDue(a), newDrillAbort(a))
	c.Long = `Rehearses what is lost when a vendor, a cloud, a region, a model, a clause of a contract or something that several of them hang on is gone. Nine real incidents ship
as scenarios; a file of your own is as good (docs/drills.md). A drill is played in the simulated world (--mode sim, the default), over the calls that
were recorded (--mode shadow, nothing is sent), or at a server with faults pretended for a canary of calls (--mode live).`
	c.Example = "  decouple drill ls\n  decouple drill run azure-2026-03-09 --html drill.html\n  decouple drill run own.yaml --mode shadow --since 7d\n  decouple drill run azure-2026-03-09 --mode live --server http://127.0.0.1:8585 --share 5% --for 5m"
	return c
}

// drillDesk is where drills of an owner are played.
func (a *app) drillDesk(ctx context.Context, o *owner, p plan) (*drill.Desk, error) {
	node, err := o.node(ctx)
	if err != nil {
		return nil, err
	}
	d := &drill.Desk{
		Log: o.store, Sign: a.signer, Catalog: func() *catalog.Catalog { return o.catalog }, Ledger: o.ledger, Contract: o.contracts.Book, Node: string(node), Program: version, Errors: p.log,
		Judge: func(t decouple.TenantID, n *placement.Need, at *placement.Place) (placement.Ruling, bool) {
			j, err := policies{o.contracts}.Policy(t)
			if err != nil || j == nil {
				return placement.Ruling{}, false
			}
			return j.Judge(n, at), true
		},
	}
	if p.serves {
		d.Gateway = o.gateway
	}
	return d, nil
}

// scenario is that of a file, or one that ships.
func scenario(name string) (drill.Scenario, error) {
	if !strings.ContainsAny(name, "/\\") && !strings.HasSuffix(name, ".yaml") && !strings.HasSuffix(name, ".yml") {
		return drill.Find(name)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return drill.Scenario{}, decouple.Errorf(decouple.NotFound, "the scenario cannot be read: %w", err)
	}
	return drill.Read(name, b)
}

// drillLog hands what drills are read from to fn.
func (a *app) drillLog(ctx context.Context, theirs func(*api.Client) error, ours func(drill.Reader) error) error {
	from, err := a.readLog(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	if there, ok := from.(*api.Client); ok {
		return theirs(there)
	}
	return ours(from)
}

// drills lists the drills that there were; none where there is no journal yet.
func (a *app) drills(ctx context.Context) (list []drill.Entry, err error) {
	err = a.drillLog(ctx,
		func(there *api.Client) (err error) { list, err = there.Drills(ctx); return err },
		func(log drill.Reader) (err error) {
			list, err = drill.List(ctx, log, decouple.LocalTenant, time.Now())
			return err
		})
	if decouple.KindOf(err) == decouple.NotFound && a.address() == "" {
		return []drill.Entry{}, nil
	}
	return list, err
}

// drilled gives a drill by its id, or the signed result in a file, with the envelope.
func (a *app) drilled(ctx context.Context, name string) (*drill.Result, []byte, error) {
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, decouple.Errorf(decouple.NotFound, "the result cannot be read: %w", err)
		}
		r, err := drill.Peek(b)
		return r, b, err
	}
	var envelope []byte
	var e drill.Entry
	err := a.drillLog(ctx,
		func(there *api.Client) error {
			d, err := there.Drill(ctx, name)
			e, envelope = d.Entry, []byte(d.Envelope)
			return err
		},
		func(log drill.Reader) (err error) {
			e, envelope, err = drill.Get(ctx, log, decouple.LocalTenant, name, time.Now())
			return err
		})
	if err != nil {
		return nil, nil, err
	}
	if len(envelope) == 0 {
		return nil, nil, decouple.Errorf(decouple.NotFound, "the drill %s is %s and has no result", printable(name), e.State)
	}
	r, err := drill.Peek(envelope)
	return r, envelope, err
}

func newDrillShow(a *app) *cobra.Command {
	var asYAML, asJSON bool
	c := &cobra.Command{
		Use: "show SCENARIO", Short: "Say what a scenario is about, or print its file to begin one of your own with", Args: exactly("a scenario: its id, or a file"),
		Example: "  decouple drill show azure-2026-01-27\n  decouple drill show azure-2026-01-27 --yaml > own.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := scenario(args[0])
			switch {
			case err != nil:
				return err
			case asYAML:
				return a.print(s.Text)
			case asJSON:
				return a.json(s.About())
			}
			return a.print(s.Describe())
		},
	}
	c.Flags().BoolVar(&asYAML, "yaml", false, "print the scenario's file")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

func newDrillAbort(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "abort [DRILL]", Short: "End a live drill at once", Args: atMost,
		Long: `Ends the live drill of an id, or whichever is under way at the server: no further call is harmed from that moment on. Its result is kept, and says that it was
aborted. A drill lives in the memory of the node that was asked for it: abort it there.`,
		Example: "  decouple drill abort --server http://127.0.0.1:8585",
		RunE: func(c *cobra.Command, args []string) error {
			id := ""
			if len(args) > 0 {
				id = args[0]
			}
			there, err := a.serving(c.Context())
			if err == nil && there == nil {
				err = decouple.Errorf(decouple.NotFound, "no server is at work in this data folder: name one with --server")
			}
			if err != nil {
				return err
			}
			defer func() { _ = there.Close() }()
			if id, err = there.AbortDrill(c.Context(), id, decouple.Actor{Kind: decouple.ActorPerson, ID: person()}); err != nil {
				return err
			}
			if asJSON {
				return a.json(map[string]string{"aborted": id})
			}
			a.say("the drill %s is aborted; its result: %s", id, a.command(append([]string{"drill", "report", id}, a.where()...)...))
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}
