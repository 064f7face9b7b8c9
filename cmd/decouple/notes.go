package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func newNotes(a *app) *cobra.Command {
	return group("notes", "Keep the documents that agents may read",
		newNotesAdd(a), newNotesLs(a), newNotesSearch(a), newNotesShow(a), newNotesRm(a))
}

// table lines up rows of cells under a head.
func table(head string, rows [][]string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll(head, " ", "\t"))
	for _, r := range rows {
		for i := range r {
			r[i] = printable(r[i])
		}
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	_ = w.Flush() // to memory
	return b.String()
}
