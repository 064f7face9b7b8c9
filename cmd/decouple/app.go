package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"decouple.dev/decouple"
)

// app is what every subcommand works with: the outside world, and the flags that all share. Nothing else in this program reads the environment.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	folder   string // --data
	began    bool   // the command line was understood
}

// dir is the absolute path of the data folder, which need not exist yet.
func (a *app) dir() (string, error) {
	for _, place := range []struct{ base, below string }{{a.folder, ""}, {a.env("DECOUPLE_DATA"), ""}, {a.env("XDG_DATA_HOME"), "decouple"}, {a.env("HOME"), ".local/share/decouple"}} {
		if place.base == "" {
			continue
		}
		dir, err := filepath.Abs(filepath.Join(place.base, place.below))
		if err != nil {
			return "", decouple.Errorf(decouple.Invalid, "the data folder %s cannot be made absolute: %w", place.base, err)
		}
		if info, err := os.Stat(dir); err == nil && !info.IsDir() {
			return "", decouple.Errorf(decouple.Invalid, "the data folder %s is a file: name a folder with --data", dir)
		}
		return dir, nil
	}
	return "", decouple.Errorf(decouple.Invalid, "there is no home folder to keep data in: name a folder with --data")
}

// say writes a line for people to standard error.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }

// printf writes to standard output.
func (a *app) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(a.out, format, args...)
	return asOutput(err)
}

// json writes a value to standard output, indented.
func (a *app) json(v any) error {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return asOutput(e.Encode(v))
}

// asOutput is the error of writing to standard output.
func asOutput(err error) error {
	if err == nil {
		return nil
	}
	return decouple.Errorf(decouple.Unavailable, "standard output cannot be written: %w", err)
}

// terminal gives the width and height of the terminal behind w, and whether there is one that can be drawn on.
func (a *app) terminal(w io.Writer) (width, height int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || a.env("TERM") == "dumb" || a.env("TERM") == "" {
		return 0, 0, false
	}
	width, height, err := term.GetSize(int(f.Fd()))
	return width, height, err == nil && width > 0 && height > 0
}

// The colours, as a terminal is told them.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
	bold   = "1"
)

// paint colours a text if w is a terminal and NO_COLOR is not set.
func (a *app) paint(w io.Writer, colour, text string) string {
	if _, _, ok := a.terminal(w); !ok || a.env("NO_COLOR") != "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
