//go:build unix

package knowledge_test

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// asNobody in the environment has the test process give up the rights of root: root may read everything.
const asNobody = "DECOUPLE_TEST_AS_NOBODY"

func giveUpRoot() error {
	const nobody = 65534
	if os.Getenv(asNobody) == "" {
		return nil
	}
	return errors.Join(syscall.Setgid(nobody), syscall.Setuid(nobody))
}

func TestUnreadableFile(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir+"/..", 0o755); err != nil { // the testing package's own folder above it
			t.Fatal(err)
		}
		child := exec.Command(os.Args[0], "-test.run=^TestUnreadableFile$", "-test.count=1")
		child.Env = append(os.Environ(), asNobody+"=1", "TMPDIR="+dir)
		if out, err := child.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return
	}
	w := newWorld(t)
	if err := os.Chmod(w.file("a.txt", "Nobody may read this."), 0); err != nil {
		t.Fatal(err)
	}
	if sum := w.add(); len(sum.Skipped) != 1 || sum.Skipped[0].Why != "no permission to read it" {
		t.Errorf("%+v", sum)
	}
}
