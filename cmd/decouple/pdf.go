package main

import (
	"os"

	"github.com/spf13/cobra"

	"decouple.dev/decouple/knowledge"
)

// pdfCommand is the hidden subcommand that reads a PDF in a process of its own, within limits of memory and time.
const pdfCommand = "read-pdf"

func newPDF() *cobra.Command {
	return &cobra.Command{
		Use: pdfCommand, Short: "Read a PDF from standard input", Hidden: true, Args: noArgs,
		Run: func(*cobra.Command, []string) { os.Exit(knowledge.PDFMain(os.Stdin, os.Stdout, os.Stderr)) },
	}
}
