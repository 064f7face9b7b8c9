package main

import (
	"context"
	"fmt"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/knowledge"
)

// progress draws a bar while notes are added, on a terminal only.
func (a *app) progress() func(knowledge.Progress) {
	if !a.err.live {
		return nil
	}
	return func(p knowledge.Progress) {
		const width = 30
		full := width
		if p.AllBytes > 0 {
			full = int(p.Bytes * width / p.AllBytes)
		}
		full = min(max(full, 0), width)
		a.err.draw([]string{fmt.Sprintf("reading [%s%s] %d of %d files, %s of %s", strings.Repeat("#", full), strings.Repeat(".", width-full),
			p.Done, p.Files, megabytes(p.Bytes), megabytes(p.AllBytes))})
	}
}

// sayAdded names what could not be read, at most so many, and sums up.
func (a *app) sayAdded(s knowledge.Summary, most int) {
	for i, skip := range s.Skipped {
		if i == most {
			a.say("skipped: %d more; `decouple notes add` names them all", len(s.Skipped)-most)
			break
		}
		a.say("skipped: %s: %s", printable(skip.Path), printable(skip.Why))
	}
	parts := []string{}
	for _, p := range []struct {
		n    int
		word string
	}{{s.Added, "added"}, {s.Changed, "changed"}, {s.Unchanged, "unchanged"}, {s.Removed, "removed"}, {len(s.Skipped), "skipped"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.word))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing to read")
	}
	a.say("notes: %s", strings.Join(parts, ", "))
}

// megabytes is a size in few characters.
func megabytes(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// interruptedAdd says what became of notes when their adding was interrupted.
func interruptedAdd(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return decouple.Errorf(decouple.Canceled, "interrupted while reading documents: what was read is kept, give the same command again to go on")
}
