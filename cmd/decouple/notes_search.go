package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
)

func newNotesSearch(a *app) *cobra.Command {
	limit := limitFlag{min: 1, n: 5}
	var asJSON bool
	var docs []string
	c := &cobra.Command{
		Use: `search "WORDS"`, Short: "Find the places in the notes that answer best",
		Example: `  decouple notes search "when do backups run"`,
		Args:    exactly("words to look for"),
		RunE: func(c *cobra.Command, args []string) error {
			paths, err := absolute(docs)
			if err != nil {
				return err
			}
			r, err := a.read(c.Context())
			if err != nil {
				return err
			}
			defer func() { _ = r.close() }()
			found, err := r.notes.Search(c.Context(), decouple.Sources{Paths: paths}, decouple.SearchArgs{Query: args[0], Limit: int(min(limit.n, 50))})
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(found)
			}
			return a.printFound(found)
		},
	}
	c.Flags().Var(&limit, "limit", "how many places to show, at most 50 (default 5)")
	c.Flags().StringArrayVar(&docs, "docs", nil, "look only at or under this `PATH`; may be given again")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

// printFound writes what a search found, and which words the notes never use.
func (a *app) printFound(found decouple.SearchResult) error {
	var b strings.Builder
	for i, u := range found.Units {
		fmt.Fprintf(&b, "%d. %s, %s, bytes %d-%d\n", i+1, printable(u.Title), printable(u.Path), u.Start, u.End)
		if len(u.Section) > 0 {
			fmt.Fprintf(&b, "   %s\n", printable(strings.Join(u.Section, " > ")))
		}
		for _, line := range strings.Split(u.Text, "\n") {
			fmt.Fprintf(&b, "   | %s\n", printable(line))
		}
		b.WriteString("\n")
	}
	var never []string
	for _, t := range found.Terms {
		if t.Passages == 0 {
			never = append(never, t.Term)
		}
	}
	if len(never) > 0 {
		a.say("the notes never say: %s", strings.Join(never, ", "))
	}
	if len(found.Units) == 0 {
		a.say("not found in the notes (%s searched)", count(found.Passages, "passage"))
	}
	return a.print(b.String())
}
