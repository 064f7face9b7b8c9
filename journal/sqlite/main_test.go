package sqlite_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
)

// TestMain lets the test binary be the other process of a test: "child NAME ARGS...".
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "child" {
		os.Exit(child(os.Args[2], os.Args[3:]))
	}
	os.Exit(m.Run())
}

// child does one thing in a process of its own; what it found goes to standard output, what went wrong to standard error.
func child(name string, args []string) int {
	children := map[string]func(args []string) error{
		"commit":    childCommit,
		"open":      childOpen,
		"read":      childRead,
		"fill":      childFill,
		"fillmount": childFillMount,
		"unwritten": childUnwritten,
	}
	if err := children[name](args); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s: %v\n", name, decouple.KindOf(err), err)
		return 1
	}
	return 0
}

// process is a command that runs a child; the test's end ends it.
func process(t *testing.T, name string, args ...any) *exec.Cmd {
	t.Helper()
	line := []string{"child", name}
	for _, a := range args {
		line = append(line, fmt.Sprint(a))
	}
	return exec.CommandContext(t.Context(), os.Args[0], line...)
}

// childOpen tries to become the writer of a folder.
func childOpen(args []string) error {
	s, err := sqlite.Open(context.Background(), sqlite.Config{Dir: args[0]})
	if err != nil {
		return err
	}
	return s.Close()
}

// childRead follows a journal that another process writes until it has seen so many events, and reads what else there is.
func childRead(args []string) error {
	ctx := context.Background()
	r, err := sqlite.OpenReader(ctx, args[0])
	if err != nil {
		return err
	}
	defer r.Close()
	want, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	enough := fmt.Errorf("enough")
	seen := 0
	err = r.Follow(ctx, 0, func(e decouple.Event) error {
		if seen++; e.Position != decouple.Position(seen) {
			return fmt.Errorf("event %d has position %d", seen, e.Position)
		}
		if seen == 1 {
			fmt.Println("following")
		}
		if seen == want {
			return enough
		}
		return nil
	})
	if err != enough {
		return err
	}
	rows, err := r.Runs(ctx, journal.RunFilter{})
	if err != nil {
		return err
	}
	report, err := sqlite.Verify(ctx, args[0])
	if err != nil {
		return err
	}
	fmt.Printf("%d events, %d runs, faults %q\n", seen, len(rows), report.Faults)
	return nil
}

// event is a new event with a payload.
func event(payload string) journal.NewEvent {
	return journal.NewEvent{Kind: "test.happened", KindVersion: 1, Actor: decouple.Actor{Kind: decouple.ActorSystem, ID: "test"}, Payload: []byte(payload)}
}

func newRun(id decouple.RunID, payloads ...string) journal.NewRun {
	n := journal.NewRun{Run: decouple.Run{ID: id, Tenant: tenant, Parent: id.Parent(), Root: id.Root(), Agent: "lead", Version: "1f2e"}}
	for _, p := range payloads {
		n.Events = append(n.Events, event(p))
	}
	return n
}

const tenant = decouple.LocalTenant

func note(id string) decouple.Stream {
	return decouple.Stream{Tenant: tenant, Kind: decouple.StreamNote, ID: id}
}

// sound demands that Verify finds nothing wrong in dir.
func sound(t *testing.T, dir string) {
	t.Helper()
	r, err := sqlite.Verify(t.Context(), dir)
	if err != nil || len(r.Faults) > 0 {
		t.Fatalf("Verify: %v, faults %q", err, r.Faults)
	}
}

// run runs a child to its end and gives what it says.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, stderr.String())
	}
	return string(out)
}
