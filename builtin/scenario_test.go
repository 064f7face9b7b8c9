package builtin_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"decouple.dev/decouple"
)

var update = flag.Bool("update", false, "rewrite the expected parts of the scenarios")

// TestScenarios runs the conversations in testdata/scenario. A file has directives (offer, refuse, broken, task, ask), then notes, each after
// "-- name --", and after "----" what came of it: every call, what was handed in, and the last word.
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "scenario", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(data), "\n----\n")
			got := play(t, input)
			if *update {
				if err := os.WriteFile(file, []byte(input+"\n----\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// play runs one scenario and gives its log.
func play(t *testing.T, input string) string {
	s := &shelf{t: t, offer: []string{decouple.ToolSearch, decouple.ToolOutline, decouple.ToolRead, decouple.ToolFindingsAdd, decouple.ToolSpawn}}
	var task decouple.Task
	head, rest, _ := strings.Cut(input, "\n-- ")
	for line := range strings.Lines(head) {
		word, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "offer":
			s.offer = strings.Fields(value)
		case "refuse":
			s.refuse = value
		case "broken":
			s.broken = value
		case "section":
			task.Section = strings.Split(value, " > ")
		case "source":
			task.Sources = append(task.Sources, decouple.NoteID(value))
		case "ask":
			task.Question = value
		}
	}
	for _, part := range strings.Split(rest, "\n-- ") {
		if name, text, ok := strings.Cut(part, " --\n"); ok {
			s.add(name, strings.TrimSpace(text)+"\n")
		}
	}
	s.run(task, s.offer, 0)
	s.log.WriteString("report\n")
	s.run(task, []string{decouple.ToolFindingsList}, 0)
	return s.log.String()
}
