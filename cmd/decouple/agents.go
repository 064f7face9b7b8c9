package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/research"
	"decouple.dev/decouple/tool"
)

func newAgents(a *app) *cobra.Command {
	return group("agents", "See and check the files that agents are made of", newAgentsLs(a), newAgentsShow(a), newAgentsCheck(a))
}

// agentSet reads agents for looking at them only: their tools have nothing behind them.
func agentSet(folder string) (*registry.Set, error) {
	return loadAgents(folder, slices.Concat(tool.Notes(nil), tool.HTTP(tool.HTTPConfig{}), []decouple.Tool{research.NewAdd(nil, nil), research.NewList(nil)}))
}

func newAgentsLs(a *app) *cobra.Command {
	var asJSON bool
	var folder string
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List the agents", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			set, err := agentSet(folder)
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(set.Agents())
			}
			var rows [][]string
			for _, ag := range set.Agents() {
				rows = append(rows, []string{string(ag.Name), fmt.Sprintf("%.12s", ag.Version), set.File(ag.Name), ag.Description})
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
		RunE: func(_ *cobra.Command, args []string) error {
			set, err := agentSet(folder)
			if err != nil {
				return err
			}
			ag, err := set.Agent(decouple.AgentName(args[0]))
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(ag)
			}
			return a.print(agentText(ag, set.File(ag.Name)))
		},
	}
	c.Flags().StringVar(&folder, "agents", "", "`DIR` of agent files that go before the built-in ones")
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
	limit("agents", e.Agents > 0, fmt.Sprint(e.Agents))
	limit("depth", e.Depth > 0, fmt.Sprint(e.Depth))
	limit("children", e.Children > 0, fmt.Sprint(e.Children))
	limit("steps", e.Steps > 0, fmt.Sprint(e.Steps))
	limit("writeup", e.WriteUp > 0, fmt.Sprintf("%d%%", e.WriteUp))
	for _, f := range []struct{ name, value string }{
		{"name", string(ag.Name)}, {"version", string(ag.Version)}, {"file", file}, {"owner", ag.Owner}, {"about", ag.Description}, {"class", ag.Class}, {"model", ag.Model},
		{"tools", strings.Join(ag.Tools, ", ")}, {"spawns", strings.Join(spawns, ", ")}, {"writer", string(ag.Writer)}, {"envelope", strings.Join(limits, ", ")},
	} {
		if f.value != "" {
			fmt.Fprintf(&b, "%-9s %s\n", f.name, f.value)
		}
	}
	return b.String() + "\n" + strings.TrimSpace(ag.Prompt) + "\n"
}

func newAgentsCheck(a *app) *cobra.Command {
	var folder string
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
			return a.print(fmt.Sprintf("%s: agent %s is well, version %.12s\n", args[0], ag.Name, ag.Version))
		},
	}
	c.Flags().StringVar(&folder, "agents", "", "`DIR` of agent files that it may refer to")
	return c
}
