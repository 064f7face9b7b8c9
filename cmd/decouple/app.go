package main

import (
	"encoding/json"
	"fmt"
	"go.yaml.in/yaml/v3"
	"io"
	"os"
	"path/filepath"
	"strings"

	"decouple.dev/decouple"
)

// app is what every subcommand works with: the outside world, and the flags that all share. Nothing else in this program reads the environment.
type app struct {
	name      string // by which this program was called
	in        io.Reader
	out       io.Writer
	err       *screen
	env       func(string) string
	folder    string     // --data
	storeURL  string     // --store
	server    string     // --server
	keyFile   string     // --key-file
	config    string     // --config
	contracts []string   // --contracts, or of the config file
	gateway   *yaml.Node // what the config file has below gateway
	began     bool       // the command line was understood
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

// print writes to standard output.
func (a *app) print(text string) error {
	_, err := io.WriteString(a.out, text)
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

// command is how this program is called with arguments, as a shell reads it.
func (a *app) command(args ...string) string {
	words := []string{quoted(a.name)}
	for _, arg := range args {
		words = append(words, quoted(arg))
	}
	return strings.Join(words, " ")
}
