package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/knowledge"
)

func newNotesAdd(a *app) *cobra.Command {
	var title string
	var asJSON bool
	c := &cobra.Command{
		Use: "add PATH...|-", Short: "Add folders, files, or a text from standard input",
		Long: `Adds Markdown, HTML, plain text (also .gz) and PDF files, one by one or by the folder. What has not changed since
the last time costs nothing; what is gone from a folder is removed. What cannot be read is named and stops nothing.
While another process owns the data folder, that process adds them.`,
		Example: "  decouple notes add ~/handbook report.pdf\n  echo 'Backups run at 02:00.' | decouple notes add - --title backups",
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return decouple.Errorf(decouple.Invalid, "`%s` needs a folder, a file, or - for standard input; `%s --help` has an example", c.CommandPath(), c.CommandPath())
			case title != "" && !slices.Contains(args, "-"):
				return decouple.Errorf(decouple.Invalid, "--title names a note from standard input: give - as a path too")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			sum, err := a.addNotes(c.Context(), args, title)
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(sum)
			}
			a.sayAdded(sum, len(sum.Skipped))
			return nil
		},
	}
	c.Flags().StringVar(&title, "title", "", "title of the note from standard input")
	c.Flags().BoolVar(&asJSON, "json", false, "write the summary as JSON")
	return c
}

// addNotes adds notes here, or has the owner of the data folder add them.
func (a *app) addNotes(ctx context.Context, args []string, title string) (knowledge.Summary, error) {
	req := knowledge.Request{Name: title, Actor: me, Progress: a.progress()}
	for _, arg := range args {
		if arg == "-" {
			req.Stdin = a.in
			continue
		}
		req.Paths = append(req.Paths, arg)
	}
	var err error
	if req.Paths, err = existing("notes add", req.Paths); err != nil {
		return knowledge.Summary{}, err
	}
	var sum knowledge.Summary
	err = a.reach(ctx, "decouple notes add",
		func(c *api.Client) error { sum, err = c.Add(ctx, req); return err },
		func(o *owner) error { sum, err = o.notes.Add(ctx, req); return err })
	a.err.draw(nil)
	if err != nil {
		return sum, interruptedAdd(ctx, err)
	}
	return sum, nil
}
