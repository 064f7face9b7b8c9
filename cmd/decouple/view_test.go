package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/engine"
)

// signals are those of a small tree, in the order of the engine.
func signals(at time.Time) []engine.Signal {
	return []engine.Signal{
		{Kind: engine.SignalWorking, Run: "r", Agent: "lead", Label: "What is\x1b[31m true?", Time: at},
		{Kind: engine.SignalStep, Run: "r", Agent: "lead", Step: 1, Time: at, Usage: decouple.Usage{TokensIn: 12_000, TokensOut: 345, Cost: 12_300_000}},
		{Kind: engine.SignalCreated, Run: "r.10", Agent: "researcher", Label: "the tenth", Time: at},
		{Kind: engine.SignalCreated, Run: "r.2", Agent: "researcher", Label: strings.Repeat("漢字", 60), Time: at},
		{Kind: engine.SignalParked, Run: "r", Agent: "lead", Text: "child", Time: at},
		{Kind: engine.SignalTool, Run: "r.2", Agent: "researcher", Text: decouple.ToolSearch, Time: at},
		{Kind: engine.SignalEnded, Run: "r.10", Agent: "researcher", Step: 3, Cause: decouple.Cause{Kind: decouple.CauseFailed, Why: "no\nluck"}, Time: at.Add(time.Second)},
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	v := newView(&screen{w: &out, live: true})
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, g := range signals(at) {
		v.watch(g)
	}
	lines := v.lines(at.Add(90 * time.Second))
	if len(lines) != 4 || out.Len() > 0 {
		t.Fatalf("%d lines and %q on the side: %q", len(lines), &out, lines)
	}
	for i, want := range [][]string{
		{"lead What is[31m true?", "waits for agents", "1 st", "12.3k tok", "0.0123 $", "1m30s"},
		{"  researcher 漢", "notes.search", "0 st"},
		{"  researcher the tenth", "failed", "3 st", "1.0s"},
		{"3 agents, 4 steps, 12.3k tokens"},
	} {
		for _, part := range want {
			if !strings.Contains(lines[i], part) {
				t.Errorf("line %d lacks %q: %q", i, part, lines[i])
			}
		}
		if columns(lines[i]) > 79 || strings.Contains(lines[i], "\x1b") {
			t.Errorf("line %d has %d columns or drives the terminal: %q", i, columns(lines[i]), lines[i])
		}
	}
}

func TestTreeOfMany(t *testing.T) {
	t.Parallel()
	v := newView(&screen{w: &bytes.Buffer{}, live: true})
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for i := range 100 {
		id := decouple.RunID("r")
		if i > 0 {
			id += "." + decouple.RunID(short(int64(i)))
		}
		v.watch(engine.Signal{Kind: engine.SignalWorking, Run: id, Agent: "a", Time: at})
		if i > 0 && i != 77 {
			v.watch(engine.Signal{Kind: engine.SignalEnded, Run: id, Agent: "a", Cause: decouple.Cause{Kind: decouple.CauseDone}, Time: at})
		}
	}
	lines := v.lines(at)
	if len(lines) != 3 || !strings.Contains(lines[2], "(98 more) 100 agents") {
		t.Errorf("%d lines: %q", len(lines), lines)
	}
}

func TestPlainLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	v := newView(&screen{w: &out})
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, g := range signals(at) {
		v.watch(g)
	}
	want := "r lead begins: What is[31m true?\n" +
		"r.10 researcher begins: the tenth\n" +
		"r.2 researcher begins: " + strings.Repeat("漢字", 60) + "\n" +
		"r.10 researcher failed (no luck): 3 steps, 0 tokens, 0.00 USD, 1.0s\n"
	if out.String() != want {
		t.Errorf("%q, want %q", &out, want)
	}
}

// TestScreen has lines written while a block stands below them: the block is taken away first, and drawn again.
func TestScreen(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{w: &out, live: true, colour: true}
	s.draw([]string{"one", "two"})
	_, _ = s.Write([]byte("a line\n"))
	s.draw([]string{"three"})
	s.keep()
	_, _ = s.Write([]byte(s.paint(red, "end") + "\n"))
	if want := "one\ntwo\n\x1b[2A\r\x1b[Ja line\nthree\n\x1b[31mend\x1b[0m\n"; out.String() != want {
		t.Errorf("%q, want %q", &out, want)
	}
}

func TestNoColour(t *testing.T) {
	t.Parallel()
	s := newScreen(&bytes.Buffer{}, func(string) string { return "xterm" })
	if got := s.paint(red, "x"); got != "x" || s.live {
		t.Errorf("what is no terminal is painted: %q", got)
	}
}
