package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"decouple.dev/decouple/journal/postgres/pgtest"
)

// TestMain lets this test binary be the command: scripts and tests run it under the name decouple.
func TestMain(m *testing.M) {
	testscript.Main(withServers{m}, map[string]func(){"decouple": main})
}

// withServers runs the tests and then ends the servers that they started.
type withServers struct{ m *testing.M }

// Run runs the tests.
func (w withServers) Run() int { return pgtest.Main(w.m) }

// TestScripts drives the real binary. Beside the usual commands, scripts have:
//
//	exits CODE command...  the command ends with this exit code
//	call URL KEY MODEL     a call of a model at a door, whose answer is then standard output and whose decision $FOUND; with ! one that is refused
//	asked N                waits until the model server at $MODEL_URL was asked N times, all in all
//	hold N                 the server leaves every call after the Nth without an answer
//	release                the server answers again
//	serve ARGS...          a node at a free port, whose address is then $SERVER; the first key that it shows is $KEY
//	sim ARGS...            simulated clouds at free ports until the script ends: $SIM is the operator's address, $OPENAI that of the first cloud
//	halt [kill]            ends the node with SIGTERM, or with SIGKILL
//	until REGEXP command.. runs a command again until its standard output has this, for at most 20 s
func TestScripts(t *testing.T) {
	t.Parallel()
	docs, err := filepath.Abs("testdata/docs")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			s := newModelServer()
			e.Defer(s.close)
			e.Values[serverKey{}] = s
			n := &scriptNode{}
			e.Defer(func() { n.end(os.Kill) })
			e.Values[nodeKey{}] = n
			e.Setenv("MODEL_URL", s.url())
			w := newWorld(1)
			e.Defer(w.close)
			e.Setenv("WEB", strings.TrimPrefix(w.web.URL, "http://"))
			e.Setenv("DOCS", docs)
			e.Setenv("EXAMPLES", examples)
			e.Setenv("DECOUPLE_DATA", e.WorkDir+"/data")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits,
			"call":  callScript,
			"asked": func(ts *testscript.TestScript, _ bool, args []string) {
				if n := number(ts, args); !server(ts).awaitCalls(n) {
					ts.Fatalf("the model server was asked %d times, not %d", len(server(ts).asked()), n)
				}
			},
			"hold":    func(ts *testscript.TestScript, _ bool, args []string) { server(ts).hold(number(ts, args)) },
			"release": func(ts *testscript.TestScript, _ bool, _ []string) { server(ts).release() },
			"serve":   serveScript,
			"halt":    haltScript,
			"sim":     simScript,
			"until":   untilScript,
		},
	})
}

type serverKey struct{}

func server(ts *testscript.TestScript) *modelServer { return ts.Value(serverKey{}).(*modelServer) }

// exits runs a command and wants an exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE command...")
	}
	want, code := number(ts, args[:1]), 0
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

func number(ts *testscript.TestScript, args []string) int {
	if len(args) != 1 {
		ts.Fatalf("one number is wanted, not %q", args)
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	return n
}

// command is this test binary as the command, with a data folder of its own.
func command(dir string, args ...string) *exec.Cmd {
	c := exec.Command("decouple", append(args, "--data", dir)...)
	c.Env = append(os.Environ(), "OPENAI_API_KEY=", "OPENAI_BASE_URL=")
	return c
}
