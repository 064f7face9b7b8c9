package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// clients has the clients for Node at work: a process for each file of clients. What they find wrong is in what they print.
func (w *world) clients(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("clients/*.mjs")
	if err != nil || len(files) < 6 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".mjs")
		if name == "with" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := exec.CommandContext(t.Context(), w.node, "--test-reporter=spec", file)
			c.Env = append(os.Environ(), "GATEWAY_URL="+w.url, "GATEWAY_KEY="+w.key)
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
