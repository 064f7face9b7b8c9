package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple/journal"
)

func newNodes(a *app) *cobra.Command {
	var json bool
	c := &cobra.Command{
		Use: "nodes", Short: "List the nodes that work on the journal",
		Long: "Lists the nodes that hold a lease, and for an hour those whose lease has ended.",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := a.readLog(c.Context())
			if err != nil {
				return err
			}
			defer func() { _ = log.Close() }()
			nodes, err := log.Nodes(c.Context())
			if err != nil {
				return err
			}
			if json {
				if nodes == nil {
					nodes = []journal.Node{}
				}
				return a.json(nodes)
			}
			if len(nodes) == 0 {
				a.say("no node is at work: start one with `decouple serve`")
			}
			var b strings.Builder
			for _, n := range nodes {
				fmt.Fprintf(&b, "%-12s %-8s %s at work, %s, since %s\n", n.ID, lifeOf(n), count(n.Running, "run"), siteText(n), n.Taken.Local().Format("2006-01-02 15:04:05"))
			}
			return a.print(b.String())
		},
	}
	c.Flags().BoolVar(&json, "json", false, "write a JSON array")
	return c
}

func lifeOf(n journal.Node) string {
	switch {
	case n.Alive:
		return "alive"
	case n.Until.IsZero():
		return "gone"
	}
	return "gone " + elapsed(time.Since(n.Until)) + " ago"
}

// siteText is where a node is, for people.
func siteText(n journal.Node) string {
	s := n.Site.Cloud
	if n.Site.Region != "" {
		s += "/" + n.Site.Region
	}
	for _, l := range n.Site.Labels {
		s += "," + l
	}
	if s == "" {
		return "no site"
	}
	return "site " + s
}
