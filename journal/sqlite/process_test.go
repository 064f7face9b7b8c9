package sqlite_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
)

// TestSecondWriter opens a folder that is open: the error says who has it. When that one is gone the folder is free.
func TestSecondWriter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	holder := fmt.Sprint("process ", os.Getpid())
	_, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if decouple.KindOf(err) != decouple.Conflict || !strings.Contains(err.Error(), holder) {
		t.Errorf("a second writer in this process: %v, want conflict that names %q", err, holder)
	}
	cmd := process(t, "open", dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err == nil || !strings.Contains(stderr.String(), "open: conflict: ") || !strings.Contains(stderr.String(), holder) {
		t.Errorf("a second writer in another process: %v, %s, want conflict that names %q", err, stderr.String(), holder)
	}
	if _, err := s.Commit(t.Context(), journal.Mutation{ID: "1", Stream: note("s"), Events: []journal.NewEvent{event(`1`)}}); err != nil {
		t.Errorf("the first writer after that: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, process(t, "open", dir))
}

// TestReaderElsewhere has another process follow and verify while this one writes.
func TestReaderElsewhere(t *testing.T) {
	t.Parallel()
	const total = 1500
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	commit := func(n int) {
		t.Helper()
		m := journal.Mutation{ID: decouple.CommitID(fmt.Sprint(n)), Stream: note("s"), Expect: decouple.Seq(n), Events: []journal.NewEvent{event(fmt.Sprint(n))}}
		if _, err := s.Commit(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Commit(t.Context(), journal.Mutation{ID: "runs", Create: []journal.NewRun{newRun("a"), newRun("a.1")}}); err != nil {
		t.Fatal(err)
	}
	commit(0)
	cmd := process(t, "read", dir, total)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); err != nil || line != "following\n" {
		t.Fatalf("the reader says %q, %v: %s", line, err, stderr.String())
	}
	for n := 1; n < total; n++ {
		commit(n)
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || string(rest) != fmt.Sprintf("%d events, 2 runs, faults []\n", total) {
		t.Fatalf("the reader says %q, %v: %s", rest, err, stderr.String())
	}
	commit(total)
}

// TestReaderAlone reads a folder that nobody writes, and one where nothing is.
func TestReaderAlone(t *testing.T) {
	t.Parallel()
	p := newSample(t, true)
	r, err := sqlite.OpenReader(t.Context(), p.folder(t))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	es, err := r.Scan(t.Context(), journal.Filter{Limit: 1 << 20})
	if err != nil || len(es) != int(p.want.Head) {
		t.Errorf("a reader of a journal whose writer is gone sees %d events of %d, %v", len(es), p.want.Head, err)
	}
	if _, err := sqlite.OpenReader(t.Context(), t.TempDir()); decouple.KindOf(err) != decouple.NotFound {
		t.Errorf("a reader where no journal is: %v, want not_found", err)
	}
}
