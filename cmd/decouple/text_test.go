package main

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
)

// TestQuoted asks a shell what it makes of a quoted word.
func TestQuoted(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"plain", "", "two words", "it's", `"$HOME" \`, "a;b|c&d", "*?[x]", "~/x", "line\nbreak", "Ünïcode", "-n"} {
		out, err := exec.Command("sh", "-c", "printf %s "+quoted(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("%q is quoted as %s, which a shell reads as %q, %v", word, quoted(word), out, err)
		}
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		s    string
		n    int
		want string
	}{{"short", 5, "short"}, {"longer", 5, "long…"}, {"漢字漢字", 5, "漢字…"}, {"漢字漢字", 4, "漢…"}, {"e\u0301e\u0301", 2, "e\u0301e\u0301"}, {"x", 0, ""}, {"xy", 1, "…"}} {
		if got := clip(tt.s, tt.n); got != tt.want || columns(got) > tt.n {
			t.Errorf("%q in %d columns is %q, want %q", tt.s, tt.n, got, tt.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	if got := printable("a\nb\x1b[2J\x07c\u009bd\xff"); strings.ContainsAny(got, "\n\x1b\x07\u009b") || got != "a b[2Jcd" {
		t.Errorf("%q", got)
	}
}

func TestFigures(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		short(9_999): "9999", short(12_345): "12.3k", short(3_400_000): "3.4M", cents(decouple.USD / 4): "0.25", cents(123_456): "0.0001",
		elapsed(1500 * time.Millisecond): "1.5s", elapsed(61 * time.Second): "1m01s", elapsed(3 * time.Hour): "3h00m", count(1, "step"): "1 step", count(0, "step"): "0 steps",
		megabytes(999): "999 B", megabytes(2_500): "2.5 kB", megabytes(64_000_000): "64.0 MB",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func FuzzLimit(f *testing.F) {
	for _, s := range []string{"3", "200k", "1M", "-1", "k", "9007199254740993", "9999999999999M", "0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l := limitFlag{min: 1}
		if err := l.Set(s); err == nil && l.n < 1 {
			t.Errorf("%q is a limit of %d", s, l.n)
		}
	})
}

func TestComparePaths(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b decouple.RunID
		want int
	}{{"r", "r.1", -1}, {"r.2", "r.10", -1}, {"r.1.9", "r.2", -1}, {"r.3", "r.3", 0}} {
		if got := tt.a.Compare(tt.b); got != tt.want {
			t.Errorf("%s and %s: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

// FuzzEventLine makes a line of any payload: it stays one line that drives no terminal.
func FuzzEventLine(f *testing.F) {
	f.Add([]byte(`{"label":"What?","usage":{"tokens_in":3},"message":{"parts":[{"call":{"name":"notes.search"}}]},"spawned":[{"child":"r.1"}]}`))
	f.Add([]byte(`{"in_blob":"00"}`))
	f.Add([]byte(`{"cause":{"kind":"done","why":"a\nb"}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		line := eventLine(decouple.Event{Kind: "run.created", Payload: payload})
		if strings.ContainsAny(line, "\n\r\x1b") {
			t.Errorf("%q", line)
		}
	})
}

// TestJSON has every command that prints something print JSON.
func TestJSON(t *testing.T) {
	t.Parallel()
	a := &app{name: "decouple", in: strings.NewReader(""), out: io.Discard, err: newScreen(os.Stderr, os.Getenv), env: func(string) string { return "" }}
	n := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if strings.HasPrefix(c.CommandPath(), "decouple sim ") { // a tool of tests: setting and clearing a fault writes a name, or nothing
			return
		}
		if c.HasSubCommands() || c.Hidden || c.Name() == "serve" || c.Name() == "help" || c.Parent() != nil && c.Parent().Name() == "completion" {
			return
		}
		if n++; c.Flags().Lookup("json") == nil {
			t.Errorf("%s has no --json", c.CommandPath())
		}
		if c.Long == "" && c.Short == "" {
			t.Errorf("%s says nothing of itself", c.CommandPath())
		}
	}
	walk(a.root())
	if n < 25 {
		t.Errorf("only %d commands", n)
	}
}
