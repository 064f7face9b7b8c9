package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"decouple.dev/decouple"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/journal/sqlite"
)

// nobody is the user that may write nowhere.
const nobody = 65534

// TestFileLimit lets a child write until its files may not grow any more.
func TestFileLimit(t *testing.T) {
	t.Parallel()
	for _, kb := range []int{200, 1000, 3000} {
		t.Run(fmt.Sprint(kb, " kB"), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			out := run(t, process(t, "fill", dir, kb))
			checkFilled(t.Context(), t.Fatalf, dir, out)
		})
	}
}

// TestDiskFull lets a child fill a small file system of its own, makes it larger and looks at what is there. Where this user may not mount, not
// even in a name space of its own, TestFileLimit stands alone.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	for _, kb := range []int{400, 2000} {
		t.Run(fmt.Sprint(kb, " kB"), func(t *testing.T) {
			t.Parallel()
			cmd := process(t, "fillmount", t.TempDir(), kb)
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
			if os.Getuid() != 0 {
				cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
				cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			}
			out, err := cmd.CombinedOutput()
			if errors.Is(err, fs.ErrPermission) || bytes.Contains(out, []byte(noMount)) {
				t.Logf("no file system of its own can be mounted here: %v %s", err, out)
				return
			}
			if err != nil || !bytes.HasSuffix(out, []byte("all there\n")) {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

// childFill commits until it is refused because a file has reached its limit.
func childFill(args []string) error {
	kb, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGXFSZ)
	limit := unix.Rlimit{Cur: uint64(kb) << 10, Max: uint64(kb) << 10}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	return fillUp(args[0], os.Stdout)
}

const noMount = "cannot mount"

// childFillMount does the same on a file system of its own, which then grows.
func childFillMount(args []string) error {
	dir := args[0]
	if err := errors.Join(unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""), unix.Mount("none", dir, "tmpfs", 0, "size="+args[1]+"k")); err != nil {
		fmt.Println(noMount, err)
		return nil
	}
	var out bytes.Buffer
	if err := fillUp(dir, &out); err != nil {
		return err
	}
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT, "size=256m"); err != nil {
		return err
	}
	var fault error
	checkFilled(context.Background(), func(format string, args ...any) {
		if fault == nil {
			fault = fmt.Errorf(format, args...)
		}
	}, dir, out.String())
	if fault == nil {
		fmt.Println("all there")
	}
	return fault
}

// fillUp commits until a commit fails, says what was acknowledged and demands that the store is dead from then on: a claim that waits ends, and
// no later commit goes through.
func fillUp(dir string, w io.Writer) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		return err
	}
	defer s.Close()
	waits := make(chan error, 1)
	go func() {
		_, err := s.Claim(ctx, journal.Want{Root: ""})
		waits <- err
	}()
	for i := 1; ; i++ {
		if _, err = s.Commit(ctx, filling(i)); err != nil {
			break
		}
		fmt.Fprintln(w, i)
		if i > 100_000 {
			return fmt.Errorf("the disk does not get full")
		}
	}
	if k := decouple.KindOf(err); k != decouple.Unavailable {
		return fmt.Errorf("a full disk gives an error of kind %s: %w", k, err)
	}
	if _, err := s.Commit(ctx, journal.Mutation{ID: "small", Stream: note("small"), Events: []journal.NewEvent{event(`1`)}}); decouple.KindOf(err) != decouple.Unavailable {
		return fmt.Errorf("a commit after the disk was full: %v, want unavailable", err)
	}
	select {
	case err := <-waits:
		if decouple.KindOf(err) != decouple.Unavailable {
			return fmt.Errorf("a claim that waited when the disk was full: %v, want unavailable", err)
		}
	case <-time.After(10 * time.Second):
		return fmt.Errorf("a claim goes on waiting for a store that is dead")
	}
	return nil
}

// filling is the i-th commit that fills the disk.
func filling(i int) journal.Mutation {
	payload := fmt.Sprintf(`{"i":%d,"x":"%s"}`, i, strings.Repeat("x", 500+i%7*900))
	return journal.Mutation{
		ID: decouple.CommitID(fmt.Sprint(i)), Stream: note("fill"), Expect: decouple.Seq(2*i - 2),
		Events: []journal.NewEvent{event(payload), event(payload)},
	}
}

// checkFilled demands that what was acknowledged before the disk was full is there, and nothing by halves.
func checkFilled(ctx context.Context, fatal func(string, ...any), dir, out string) {
	acked := 0
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); acked++ {
	}
	if acked < 3 {
		fatal("only %d commits fit", acked)
	}
	report, err := sqlite.Verify(ctx, dir)
	if err != nil || len(report.Faults) > 0 {
		fatal("Verify: %v, faults %q", err, report.Faults)
		return
	}
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		fatal("Open after the disk was full: %v", err)
		return
	}
	defer s.Close()
	es, err := s.Read(ctx, note("fill"), 0, 0)
	if err != nil || len(es)%2 != 0 || len(es) < 2*acked {
		fatal("%d events for %d acknowledged commits of two, %v", len(es), acked, err)
	}
	if _, err := s.Commit(ctx, filling(len(es)/2+1)); err != nil {
		fatal("Commit after the disk was full: %v", err)
	}
}

// TestUnwritable opens folders that cannot be written.
func TestUnwritable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("not a folder"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"a file": file, "under a file": filepath.Join(file, "data")} {
		_, err := sqlite.Open(t.Context(), sqlite.Config{Dir: path})
		if decouple.KindOf(err) != decouple.Unavailable || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v (kind %q), want unavailable and the folder's name", name, err, decouple.KindOf(err))
		}
	}
	kept := filepath.Join(dir, "kept")
	s := open(t, kept)
	if _, err := s.Commit(t.Context(), journal.Mutation{ID: "1", Stream: note("s"), Events: []journal.NewEvent{event(`1`)}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := errors.Join(os.Mkdir(empty, 0o755), os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, kept} {
		if err := os.Chmod(path, 0o555); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(path, 0o755) })
		out := run(t, process(t, "unwritten", path))
		if !strings.HasPrefix(out, string(decouple.Unavailable)+": ") || !strings.Contains(out, path) {
			t.Errorf("a folder without the right to write: %s, want unavailable and the folder's name", out)
		}
	}
	if err := os.Chmod(kept, 0o755); err != nil {
		t.Fatal(err)
	}
	sound(t, kept)
}

// childUnwritten gives up being root, if it is, and opens a folder that it has no right to write.
func childUnwritten(args []string) error {
	if os.Getuid() == 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)); err != nil {
			return err
		}
	}
	s, err := sqlite.Open(context.Background(), sqlite.Config{Dir: args[0]})
	if err == nil {
		return errors.Join(s.Close(), fmt.Errorf("the folder was opened"))
	}
	fmt.Printf("%s: %v\n", decouple.KindOf(err), err)
	return nil
}
