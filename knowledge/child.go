package knowledge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"runtime/debug"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/knowledge/document"
)

// Limits of the process that reads a PDF.
const (
	pdfTime   = 30 * time.Second
	pdfMemory = 512 << 20
)

// The exit codes of PDFMain.
const (
	pdfDone    = 0
	pdfRefused = 3
)

// PDFMain reads a PDF from in and writes its text to out, under limits of memory and time that it sets for its own process first. It is what the
// hidden subcommand named in [Config].PDF runs, and it returns the exit code. A PDF that cannot be read is said on diag.
func PDFMain(in io.Reader, out, diag io.Writer) int {
	if err := limitProcess(pdfMemory, pdfTime); err != nil {
		_, _ = io.WriteString(diag, "the limits cannot be set: "+err.Error())
		return pdfRefused
	}
	debug.SetMemoryLimit(pdfMemory * 3 / 4)
	data, err := io.ReadAll(io.LimitReader(in, document.MaxSize+1))
	if err == nil {
		var text string
		if text, err = document.ReadPDF(bytes.NewReader(data), int64(len(data))); err == nil {
			_, err = io.WriteString(out, text)
		}
	}
	if err != nil {
		_, _ = io.WriteString(diag, err.Error())
		return pdfRefused
	}
	return pdfDone
}

// pdfReader reads PDFs in a process of their own.
type pdfReader struct {
	argv []string
}

// read gives the text of a PDF. Errors are Invalid or TooLarge and say why there is none.
func (p pdfReader) read(ctx context.Context, data string) (string, error) {
	if len(p.argv) == 0 {
		return "", decouple.Errorf(decouple.Invalid, "PDFs cannot be read here")
	}
	ctx, cancel := context.WithTimeout(ctx, pdfTime)
	defer cancel()
	out, diag := &bounded{left: document.MaxSize + 1}, &bounded{left: 4 << 10}
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
	cmd.Env = []string{"GOTRACEBACK=none"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(data), out, diag
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "", decouple.Errorf(decouple.Invalid, "the PDF takes longer than %s to read", pdfTime)
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.As(err, &exit) && exit.ExitCode() == pdfRefused:
		return "", decouple.Errorf(decouple.Invalid, "%s", strings.TrimSpace(diag.String()))
	case errors.As(err, &exit):
		return "", decouple.Errorf(decouple.Invalid, "broken PDF: reading it needs more than %d MB or %s (%s)", pdfMemory>>20, pdfTime, exit.ProcessState)
	case err != nil:
		return "", decouple.Errorf(decouple.Invalid, "the PDF reader cannot be run: %w", err)
	}
	return strings.ToValidUTF8(out.String(), "\ufffd"), nil
}

// bounded keeps the beginning of what is written to it.
type bounded struct {
	bytes.Buffer
	left int
}

// Write never fails, so that the writer is not stopped by a broken pipe.
func (b *bounded) Write(p []byte) (int, error) {
	keep := min(len(p), b.left)
	b.left -= keep
	_, _ = b.Buffer.Write(p[:keep])
	return len(p), nil
}
