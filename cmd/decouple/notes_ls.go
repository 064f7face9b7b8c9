package main

import (
	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/knowledge"
)

func newNotesLs(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "ls [PATH...]", Aliases: []string{"list"}, Short: "List the notes, or those under paths",
		RunE: func(c *cobra.Command, args []string) error {
			list, err := a.listNotes(c, args)
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(list)
			}
			var rows [][]string
			for _, n := range list {
				title := n.Title
				if n.Problem != "" {
					title = "(cannot be read: " + n.Problem + ")"
				}
				rows = append(rows, []string{string(n.ID), megabytes(n.Size), clip(title, 60), n.Path})
			}
			if len(rows) == 0 {
				a.say("there are no notes yet: add some with `decouple notes add PATH`")
				return nil
			}
			return a.print(table("ID SIZE TITLE PATH", rows))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON array")
	return c
}

// listNotes gives the notes at or under paths; a folder without a journal has none.
func (a *app) listNotes(c *cobra.Command, args []string) ([]knowledge.Note, error) {
	paths, err := absolute(args)
	if err != nil {
		return nil, err
	}
	r, err := a.read(c.Context())
	if decouple.KindOf(err) == decouple.NotFound {
		return []knowledge.Note{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.close() }()
	return r.notes.List(c.Context(), decouple.Sources{Paths: paths})
}
