package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/engine"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/research"
	"decouple.dev/decouple/tool"
)

func newAgents(a *app) *cobra.Command {
	return group("agents", "See, check, deploy and compare agents", newAgentsLs(a), newAgentsShow(a), newAgentsCheck(a), newAgentsPut(a), newAgentsDiff(a))
}

// agentSet reads agents for looking at them only: their tools have nothing behind them.
func agentSet(folder string) (*registry.Set, error) {
	return loadAgents(folder, slices.Concat(tool.Notes(nil), tool.Memory(nil), tool.HTTP(tool.HTTPConfig{}), []decouple.Tool{research.NewAdd(nil, nil), research.NewList(nil)}))
}

func newAgentsLs(a *app) *cobra.Command {
	var asJSON bool
	var folder string
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List the agents", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := a.agents(c.Context(), folder)
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(list)
			}
			var rows [][]string
			for _, ag := range list {
				rows = append(rows, []string{string(ag.Name), fmt.Sprintf("%.12s", ag.Version), ag.Source, ag.Description})
			}
			return a.print(table("NAME VERSION FILE DESCRIPTION", rows))
		},
	}
	c.Flags().StringVar(&folder, "agents", "", "`DIR` of agent files that go before the built-in ones")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON array")
	return c
}

func newAgentsShow(a *app) *cobra.Command {
	var asJSON bool
	var folder string
	c := &cobra.Command{
		Use: "show NAME", Short: "Show an agent", Args: exactly("the name of an agent"),
		RunE: func(c *cobra.Command, args []string) error {
			list, err := a.agents(c.Context(), folder)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(list, func(ag api.Agent) bool { return string(ag.Name) == args[0] })
			if i < 0 {
				set, err := agentSet(folder)
				if err == nil {
					_, err = set.Agent(decouple.AgentName(args[0])) // says which name is near
				}
				return err
			}
			if asJSON {
				return a.json(list[i])
			}
			return a.print(agentText(list[i].Agent, list[i].Source))
		},
	}
	c.Flags().StringVar(&folder, "agents", "", "`DIR` of agent files that go before the built-in ones")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

// agents lists the agents that new runs begin with: of the server, or of the data folder, where those that were put go before the files.
func (a *app) agents(ctx context.Context, folder string) ([]api.Agent, error) {
	if there, err := a.remote(); err != nil || there != nil {
		if err != nil {
			return nil, err
		}
		defer func() { _ = there.Close() }()
		return there.Agents(ctx)
	}
	set, err := agentSet(folder)
	if err != nil {
		return nil, err
	}
	byName := map[decouple.AgentName]api.Agent{}
	for _, ag := range set.Agents() {
		byName[ag.Name] = api.Agent{Agent: ag, Source: set.File(ag.Name)}
	}
	log, err := a.readLog(ctx)
	if err == nil {
		defer func() { _ = log.Close() }()
		var put []decouple.AgentName
		put, err = engine.Deployed(ctx, log, decouple.LocalTenant)
		for _, name := range put {
			versions, verr := engine.Versions(ctx, log, decouple.LocalTenant, name)
			for _, v := range versions {
				if v.Put {
					byName[name] = api.Agent{Agent: v.Agent, Source: "deployed"}
				}
			}
			err = errors.Join(err, verr)
		}
	}
	if err != nil && decouple.KindOf(err) != decouple.NotFound {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(byName), func(x, y api.Agent) int { return strings.Compare(string(x.Name), string(y.Name)) }), nil
}

func newAgentsPut(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "put FILE", Short: "Deploy a version of an agent: runs that begin from now on have it", Args: exactly("an agent file"),
		Long: "Deploys a version of an agent. Within a second every node begins new runs with it; runs under way, parked ones too, stay on the version that they began with.",
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			data, err := os.ReadFile(args[0])
			if err != nil {
				return decouple.Errorf(decouple.NotFound, "the agent file cannot be read: %w", err)
			}
			ag, err := registry.Parse(args[0], data)
			if err != nil {
				return err
			}
			by := decouple.Actor{Kind: decouple.ActorPerson, ID: person()}
			err = a.reach(ctx, "decouple agents put",
				func(there *api.Client) error { _, err := there.PutAgent(ctx, string(ag.Name), data, by); return err },
				func(o *owner) error {
					if ag, err = o.agents.Check(args[0], data); err != nil {
						return err
					}
					return o.engine.PutAgent(ctx, decouple.LocalTenant, ag, by)
				})
			if err != nil {
				return err
			}
			a.say("agent %s: version %.12s is deployed", ag.Name, ag.Version)
			if asJSON {
				return a.json(api.Agent{Agent: ag, Source: "deployed"})
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

func newAgentsDiff(a *app) *cobra.Command {
	var asJSON bool
	var from, to string
	c := &cobra.Command{
		Use: "diff NAME", Short: "Say what a version of an agent changes", Args: exactly("the name of an agent"),
		Long:    "Compares two versions of an agent that the journal holds: by default the newest with the one before it. A version is named by the beginning of its hash.",
		Example: "  decouple agents diff researcher\n  decouple agents diff researcher --from 3f2a --to 9c01",
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			log, err := a.readLog(ctx)
			if err != nil {
				return err
			}
			defer func() { _ = log.Close() }()
			name := decouple.AgentName(args[0])
			versions, err := engine.Versions(ctx, log, decouple.LocalTenant, name)
			if err != nil {
				return err
			}
			diff, err := api.DiffVersions(name, versions, from, to)
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(diff)
			}
			var b strings.Builder
			fmt.Fprintf(&b, "%s %.12s to %.12s\n", name, diff.From, diff.To)
			for _, ch := range diff.Changes {
				if ch.Lines == nil {
					fmt.Fprintf(&b, "%s\n- %s\n+ %s\n", ch.Field, cmp.Or(printable(ch.From), "(none)"), cmp.Or(printable(ch.To), "(none)"))
					continue
				}
				fmt.Fprintf(&b, "%s\n", ch.Field)
				for _, l := range ch.Lines {
					fmt.Fprintf(&b, "%s %s\n", l[:1], printable(l[1:]))
				}
			}
			if len(diff.Changes) == 0 {
				b.WriteString("no difference\n")
			}
			return a.print(b.String())
		},
	}
	c.Flags().StringVar(&from, "from", "", "the earlier version: the beginning of its `HASH` (default: the one before --to)")
	c.Flags().StringVar(&to, "to", "", "the later version: the beginning of its `HASH` (default: the newest)")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

// agentText is an agent for people.
func agentText(ag decouple.Agent, file string) string {
	var b strings.Builder
	e := ag.Envelope
	var spawns []string
	for _, n := range ag.Agents {
		spawns = append(spawns, string(n))
	}
	var limits []string
	limit := func(name string, set bool, value string) {
		if set {
			limits = append(limits, name+" "+value)
		}
	}
	limit("usd", e.USD > 0, e.USD.String())
	limit("tokens", e.Tokens > 0, short(e.Tokens))
	limit("tool_calls", e.ToolCalls > 0, fmt.Sprint(e.ToolCalls))
	limit("time", e.Time > 0, e.Time.String())
	limit("step_time", e.StepTime > 0, e.StepTime.String())
	limit("agents", e.Agents > 0, fmt.Sprint(e.Agents))
	limit("depth", e.Depth > 0, fmt.Sprint(e.Depth))
	limit("children", e.Children > 0, fmt.Sprint(e.Children))
	limit("steps", e.Steps > 0, fmt.Sprint(e.Steps))
	limit("writeup", e.WriteUp > 0, fmt.Sprintf("%d%%", e.WriteUp))
	var rules []string
	for _, r := range ag.Approve {
		rules = append(rules, r.String())
	}
	when := ""
	if ag.Schedule != nil {
		when = ag.Schedule.String()
	}
	for _, f := range []struct{ name, value string }{
		{"name", string(ag.Name)}, {"version", string(ag.Version)}, {"file", file}, {"owner", ag.Owner}, {"about", ag.Description}, {"class", ag.Class}, {"model", ag.Model},
		{"tools", strings.Join(ag.Tools, ", ")}, {"spawns", strings.Join(spawns, ", ")}, {"writer", string(ag.Writer)}, {"envelope", strings.Join(limits, ", ")},
		{"approve", strings.Join(rules, "; ")}, {"schedule", when},
	} {
		if f.value != "" {
			fmt.Fprintf(&b, "%-9s %s\n", f.name, f.value)
		}
	}
	return b.String() + "\n" + strings.TrimSpace(ag.Prompt) + "\n"
}

func newAgentsCheck(a *app) *cobra.Command {
	var folder string
	var asJSON bool
	c := &cobra.Command{
		Use: "check FILE", Short: "Check an agent file", Args: exactly("an agent file"),
		Long: "Checks an agent file as if it were loaded after the built-in agents, and says everything that is wrong with it, line by line.",
		RunE: func(_ *cobra.Command, args []string) error {
			data, err := os.ReadFile(args[0])
			if err != nil {
				return decouple.Errorf(decouple.NotFound, "the agent file cannot be read: %w", err)
			}
			set, err := agentSet(folder)
			if err != nil {
				return err
			}
			ag, err := set.Check(args[0], data)
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(api.Agent{Agent: ag, Source: args[0]})
			}
			return a.print(fmt.Sprintf("%s: agent %s is well, version %.12s\n", args[0], ag.Name, ag.Version))
		},
	}
	c.Flags().StringVar(&folder, "agents", "", "`DIR` of agent files that it may refer to")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}
