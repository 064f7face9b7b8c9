package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/builtin"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/route"
)

func newEndpoints(a *app) *cobra.Command {
	return group("endpoints", "Show and test the models that can be reached: where, how well, at what price", newEndpointsLs(a), newEndpointsTest(a))
}

func newEndpointsLs(a *app) *cobra.Command {
	var m modelFlags
	var asJSON bool
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List the endpoints of models, with their health, room and prices", Args: noArgs,
		Long: `Lists every endpoint: one model at one place under one account. The accounts come from the environment and the config file. ` + "`OPENAI_API_KEY=... decouple endpoints ls`" + `
is enough to begin with. Health and room are those that the process at work has seen: the node that is named with --server, or that owns the data folder.
Without one nothing has been seen yet.

STATE is ready, degraded (fails often), suspect (refuses more than it used to), open (its breaker: it failed), half-open and probing (about to be tried again),
limited (it asked to be left alone) or no-headroom. ROOM is the part of its tightest limit that is free. Prices are dollars per million tokens in a short call;
? is not known, which is not zero. A note says when price data is more than 60 days old, and which models retire within 90 days.` + modelHelp,
		Example: "  decouple endpoints ls\n  decouple endpoints ls --server http://127.0.0.1:8585\n  decouple endpoints ls --json",
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := a.inventory(c.Context(), m)
			if err != nil {
				return err
			}
			a.warnOf(list)
			if asJSON {
				return a.json(list)
			}
			return a.print(a.endpointTable(list))
		},
	}
	m.add(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

// inventory asks whoever is at work: the server that is named, or the process that owns the data folder. If nobody is, it is what this process could reach.
func (a *app) inventory(ctx context.Context, m modelFlags) (gateway.Inventory, error) {
	there, err := a.atWork(ctx)
	if err != nil {
		return gateway.Inventory{}, err
	}
	if there != nil {
		defer func() { _ = there.Close() }()
		return there.Endpoints(ctx)
	}
	mine, err := a.choose(m, decouple.Price{})
	if err != nil {
		return gateway.Inventory{}, err
	}
	return mine.Gateway.Inventory(), nil
}

// atWork is a client of whoever is at work: the server that is named, or the process that owns the data folder; nil if nobody is.
func (a *app) atWork(ctx context.Context) (*api.Client, error) {
	if there, err := a.remote(); err != nil || there != nil {
		return there, err
	}
	if url, err := a.shared(); err != nil || url != "" {
		return nil, err
	}
	dir, err := a.dir()
	if err != nil {
		return nil, err
	}
	there, err := api.Dial(ctx, dir)
	if decouple.KindOf(err) == decouple.NotFound {
		return nil, nil
	}
	return there, err
}

// warnOf says what an operator should see to.
func (a *app) warnOf(list gateway.Inventory) {
	if list.Stale {
		a.say("%s the price data is of %s, older than 60 days: use a newer version, or write prices under gateway: catalog: in the config file", a.err.paint(yellow, "note:"), list.PricesOf.Format(time.DateOnly))
	}
	for _, r := range list.Retiring {
		what := "retires on"
		if r.Past {
			what = "was to retire on"
		}
		a.say("%s %s %s %s: name another model before", a.err.paint(yellow, "note:"), printable(string(r.Endpoint)), what, r.At.Format(time.DateOnly))
	}
}

// endpointTable is the list for people.
func (a *app) endpointTable(list gateway.Inventory) string {
	var rows [][]string
	var states []string
	for _, e := range list.Endpoints {
		in, out := "?", "?"
		if e.Priced {
			in, out = cents(e.In), cents(e.Out)
		}
		text := "stays"
		switch {
		case !e.Local && !e.Secure:
			text = "leaves, in the clear"
		case !e.Local:
			text = "leaves"
		}
		format := e.Format
		if e.Provider == builtin.Name {
			format = "-"
		}
		why := ""
		if e.Health.State != route.Ready && e.Health.State != route.Chosen {
			why = e.Health.Why
			if !e.Health.Until.IsZero() {
				why += ", until " + e.Health.Until.Local().Format("15:04:05")
			}
		}
		rows = append(rows, []string{string(e.ID), string(e.Model), format, e.Host, string(e.Health.State), fmt.Sprintf("%.0f%%", e.Health.Headroom*100), in, out, text, clip(printable(why), 90)})
		states = append(states, string(e.Health.State))
	}
	return a.tinted(table("ENDPOINT MODEL FORMAT WHERE STATE ROOM $/M_IN $/M_OUT TEXT WHY", rows), states)
}

// tinted colours the rows of a table by their states, if standard output is a terminal that shows colours.
func (a *app) tinted(text string, states []string) string {
	s := newScreen(a.out, a.env)
	if !s.colour {
		return text
	}
	lines := strings.SplitAfter(text, "\n")
	for i, state := range states {
		line := strings.TrimSuffix(lines[i+1], "\n")
		switch state {
		case "ready", "ok", "chosen":
		case "open", "failed", "denied":
			lines[i+1] = s.paint(red, line) + "\n"
		default:
			lines[i+1] = s.paint(yellow, line) + "\n"
		}
	}
	return strings.Join(lines, "")
}

func newEndpointsTest(a *app) *cobra.Command {
	var m modelFlags
	var all, asJSON bool
	c := &cobra.Command{
		Use: "test [ID...]", Short: "Ask endpoints for a few tokens, really",
		Long: `Asks each endpoint that is named, or with --all every one, for a few tokens: a real call, which costs what it costs and is kept in the accounts.
It is made whatever the endpoint's breaker says, and what comes of it counts for its health. The exit code is 0 if all have answered, else that of the first that has not.` + modelHelp,
		Example: "  decouple endpoints test azure/swedencentral/gpt-5.4\n  decouple endpoints test --all\n  decouple endpoints test --all --server http://127.0.0.1:8585 --json",
		RunE: func(c *cobra.Command, ids []string) error {
			ctx := c.Context()
			if all == (len(ids) > 0) {
				return decouple.Errorf(decouple.Invalid, "name the endpoints to ask, or all of them with --all; `decouple endpoints ls` lists them")
			}
			by := decouple.Actor{Kind: decouple.ActorPerson, ID: person()}
			var trials []gateway.Trial
			run := func(list gateway.Inventory, try func(catalog.EndpointID) (gateway.Trial, error)) error {
				for _, id := range testable(list, ids) {
					t, err := try(id)
					if err != nil {
						return err
					}
					trials = append(trials, t)
				}
				return nil
			}
			planned := func() (plan, error) {
				mine, err := a.choose(m, decouple.Price{})
				return plan{doing: "decouple endpoints test", model: mine}, err
			}
			err := a.reachWith(ctx, planned,
				func(there *api.Client) error {
					list, err := there.Endpoints(ctx)
					if err != nil {
						return err
					}
					return run(list, func(id catalog.EndpointID) (gateway.Trial, error) { return there.TryEndpoint(ctx, id, by) })
				},
				func(o *owner) error {
					return run(o.gateway.Inventory(), func(id catalog.EndpointID) (gateway.Trial, error) {
						return o.gateway.Try(ctx, gateway.Caller{Tenant: decouple.LocalTenant, Key: "test", Actor: by}, id)
					})
				})
			if err != nil {
				return err
			}
			if err := a.showTrials(trials, asJSON); err != nil {
				return err
			}
			return firstFailure(trials)
		},
	}
	m.add(c.Flags())
	c.Flags().BoolVar(&all, "all", false, "ask every endpoint")
	c.Flags().BoolVar(&asJSON, "json", false, "write a JSON array")
	return c
}

// testable are the endpoints to be asked.
func testable(list gateway.Inventory, named []string) []catalog.EndpointID {
	var out []catalog.EndpointID
	for _, id := range named {
		out = append(out, catalog.EndpointID(id))
	}
	if len(named) == 0 {
		for _, e := range list.Endpoints {
			out = append(out, e.ID)
		}
	}
	return out
}

func (a *app) showTrials(trials []gateway.Trial, asJSON bool) error {
	if asJSON {
		if trials == nil {
			trials = []gateway.Trial{}
		}
		return a.json(trials)
	}
	var rows [][]string
	var states []string
	for _, t := range trials {
		state, cost := "ok", "?"
		if t.Priced {
			cost = t.Usage.Cost.String()
		}
		if !t.OK {
			state = "failed"
		}
		rows = append(rows, []string{string(t.Endpoint), state, millis(t.FirstToken), millis(t.Took), fmt.Sprintf("%d/%d", t.Usage.TokensIn, t.Usage.TokensOut), cost, t.Error})
		states = append(states, state)
	}
	return a.print(a.tinted(table("ENDPOINT RESULT FIRST_TOKEN TOOK TOKENS USD WHAT_IS_WRONG", rows), states))
}

// millis is a short time for people; nothing for none.
func millis(d time.Duration) string {
	switch {
	case d <= 0:
		return "-"
	case d < 10*time.Second:
		return fmt.Sprintf("%.0fms", float64(d)/1e6)
	}
	return elapsed(d)
}

// firstFailure is the error of the first endpoint that has not answered.
func firstFailure(trials []gateway.Trial) error {
	bad := 0
	var first gateway.Trial
	for _, t := range trials {
		if !t.OK {
			if bad++; bad == 1 {
				first = t
			}
		}
	}
	if bad == 0 {
		return nil
	}
	return decouple.Errorf(first.Kind, "%d of %s did not answer; the first: %s", bad, count(len(trials), "endpoint"), printable(first.Error))
}
