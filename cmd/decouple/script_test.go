package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

type nodeKey struct{}

// scriptNode is the node that a script has started.
type scriptNode struct {
	cmd  *exec.Cmd
	said bytes.Buffer
	done chan struct{}
}

// end ends the node, if there is one, and waits for it.
func (n *scriptNode) end(how os.Signal) {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Signal(how)
	select {
	case <-n.done:
	case <-time.After(30 * time.Second):
		_ = n.cmd.Process.Kill()
		<-n.done
	}
	_ = n.cmd.Wait()
	n.cmd = nil
}

// serveScript starts a node and waits until it answers.
func serveScript(ts *testscript.TestScript, _ bool, args []string) {
	n := ts.Value(nodeKey{}).(*scriptNode)
	if n.cmd != nil {
		ts.Fatalf("a node is at work already")
	}
	n.cmd = exec.Command("decouple", append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	n.cmd.Env = append(os.Environ(), "OPENAI_API_KEY=", "OPENAI_BASE_URL=", "DECOUPLE_DATA="+ts.Getenv("DECOUPLE_DATA"))
	n.cmd.Dir = ts.Getenv("WORK")
	out, err := n.cmd.StderrPipe()
	ts.Check(err)
	ts.Check(n.cmd.Start())
	n.done = make(chan struct{})
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		n.said.WriteString(line)
		if err != nil {
			close(n.done)
			ts.Fatalf("the node ended: %s", n.said.String())
		}
		if key := strings.TrimSpace(line); strings.HasPrefix(key, "dck_") {
			ts.Setenv("KEY", key)
		}
		if address, ok := strings.CutPrefix(strings.TrimSpace(line), "answering at "); ok {
			ts.Setenv("SERVER", address)
			break
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		close(n.done)
	}()
}

func haltScript(ts *testscript.TestScript, _ bool, args []string) {
	how := os.Signal(syscall.SIGTERM)
	if len(args) == 1 && args[0] == "kill" {
		how = os.Kill
	}
	ts.Value(nodeKey{}).(*scriptNode).end(how)
}

// untilScript runs a command until it says something.
func untilScript(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: until REGEXP command...")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	late := time.Now().Add(20 * time.Second)
	for {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout")
		if err == nil && want.MatchString(out) {
			ts.Setenv("FOUND", fmt.Sprint(lastGroup(want, out)))
			return
		}
		if time.Now().After(late) {
			ts.Fatalf("it never said %s: %s %s", args[0], out, ts.ReadFile("stderr"))
		}
		<-time.After(20 * time.Millisecond)
	}
}

// lastGroup is what the last group of an expression has found.
func lastGroup(re *regexp.Regexp, text string) string {
	m := re.FindStringSubmatch(text)
	return m[len(m)-1]
}
