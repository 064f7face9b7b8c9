package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/knowledge"
)

func newNotesShow(a *app) *cobra.Command {
	var text, asJSON bool
	c := &cobra.Command{
		Use: "show ID|PATH", Short: "Show a note: where it is from and its headings, or its text",
		Long: "Shows a note by its id (a unique beginning is enough) or its path. --text writes the quotable text,\nin which every quotation of a report is found.",
		Args: exactly("the id or the path of a note"),
		RunE: func(c *cobra.Command, args []string) error {
			if text && asJSON {
				return decouple.Errorf(decouple.Invalid, "--text and --json are two forms: leave one of them out")
			}
			r, err := a.read(c.Context())
			if err != nil {
				return err
			}
			defer func() { _ = r.close() }()
			n, err := r.note(c.Context(), args[0])
			if err != nil {
				return err
			}
			if text {
				s, err := r.notes.Text(c.Context(), string(n.ID))
				if err != nil {
					return err
				}
				return a.print(s)
			}
			if asJSON {
				return a.json(n)
			}
			o, err := r.notes.Outline(c.Context(), decouple.Sources{AsOf: n.Position}, decouple.OutlineArgs{Note: n.ID})
			if err != nil {
				return err
			}
			return a.print(described(n, o))
		},
	}
	c.Flags().BoolVar(&text, "text", false, "write the quotable text and nothing else")
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}

// note finds a note by its path, its id, or the beginning of one.
func (r *reader) note(ctx context.Context, name string) (knowledge.Note, error) {
	n, err := r.notes.Get(ctx, name)
	if decouple.KindOf(err) != decouple.NotFound || strings.ContainsRune(name, filepath.Separator) || len(name) < 2 {
		return n, err
	}
	list, lerr := r.notes.List(ctx, decouple.Sources{})
	if lerr != nil {
		return n, lerr
	}
	var hits []knowledge.Note
	for _, n := range list {
		if strings.HasPrefix(string(n.ID), name) {
			hits = append(hits, n)
		}
	}
	switch len(hits) {
	case 0:
		return n, err
	case 1:
		return hits[0], nil
	}
	return n, decouple.Errorf(decouple.Invalid, "%s begins the ids of %d notes: give more of it", name, len(hits))
}

// described is a note for people.
func described(n knowledge.Note, o decouple.Outline) string {
	var b strings.Builder
	for _, f := range []struct{ name, value string }{
		{"id", string(n.ID)}, {"title", n.Title}, {"path", n.Path}, {"source", n.Source}, {"media", n.Media}, {"size", megabytes(n.Size)},
		{"text", megabytes(int64(n.TextSize))}, {"sha256", n.SHA256}, {"added", n.Added.Local().Format("2006-01-02 15:04:05")}, {"problem", n.Problem},
	} {
		if f.value != "" {
			fmt.Fprintf(&b, "%-8s %s\n", f.name, printable(f.value))
		}
	}
	if len(o.Sections) > 0 {
		b.WriteString("headings\n")
	}
	for _, s := range o.Sections {
		if len(s.Path) > 0 {
			fmt.Fprintf(&b, "  %s%s (%s)\n", strings.Repeat("  ", len(s.Path)-1), printable(s.Path[len(s.Path)-1]), count(s.Units, "quotable unit"))
		}
	}
	return b.String()
}
