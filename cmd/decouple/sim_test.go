package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// simScript starts simulated clouds and reads from what they say where they are.
func simScript(ts *testscript.TestScript, _ bool, args []string) {
	c := exec.Command("decouple", append([]string{"sim", "--listen", "127.0.0.1:0", "--json"}, args...)...)
	c.Env = append(os.Environ(), "DECOUPLE_DATA="+ts.Getenv("DECOUPLE_DATA"))
	c.Dir, c.Stderr = ts.Getenv("WORK"), os.Stderr
	out, err := c.StdoutPipe()
	ts.Check(err)
	ts.Check(c.Start())
	ts.Defer(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		if err := c.Wait(); err != nil {
			ts.Fatalf("the simulated clouds ended with %v", err)
		}
	})
	var shown simShown
	ts.Check(json.NewDecoder(out).Decode(&shown))
	go func() { _, _ = io.Copy(io.Discard, out) }()
	ts.Setenv("SIM", shown.Admin)
	ts.Setenv("OPENAI", shown.Clouds[0].URL)
}
