package main

import (
	"context"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
)

func newNotesRm(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "rm ID|PATH...", Short: "Remove notes, or all under a folder; the files themselves stay",
		Long: "Removes notes. Runs that began before still see them. The files that they were made from are not touched.",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return decouple.Errorf(decouple.Invalid, "`%s` needs the id or the path of a note; `decouple notes ls` lists them", c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			removed := 0
			for _, arg := range args {
				what, err := a.removable(c.Context(), arg)
				if err != nil {
					return err
				}
				n := 0
				err = a.reach(c.Context(), "decouple notes rm",
					func(client *api.Client) error { n, err = client.Remove(c.Context(), me, what); return err },
					func(o *owner) error { n, err = o.notes.Remove(c.Context(), me, what); return err })
				if err != nil {
					return err
				}
				removed += n
			}
			a.say("notes: %d removed", removed)
			if asJSON {
				return a.json(api.Removed{Removed: removed})
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

// removable is the id of the note that an argument names, or, as it may be a folder, the argument as an absolute path.
func (a *app) removable(ctx context.Context, arg string) (string, error) {
	r, err := a.read(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.close() }()
	n, err := r.note(ctx, arg)
	if err == nil {
		return string(n.ID), nil
	}
	if decouple.KindOf(err) != decouple.NotFound {
		return "", err
	}
	paths, err := absolute([]string{arg})
	if err != nil {
		return "", err
	}
	return paths[0], nil
}
