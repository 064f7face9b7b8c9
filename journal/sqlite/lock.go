package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"decouple.dev/decouple"
	"golang.org/x/sys/unix"
)

// takeLock makes this process the one that writes in dir, or says who is.
func takeLock(dir, owner string) (*os.File, error) {
	name := filepath.Join(dir, "lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || try == 5 {
			break
		}
		time.Sleep(2 * time.Millisecond) // it may be somebody who only looks whether it is taken
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		defer f.Close()
		b, _ := os.ReadFile(name)
		return nil, decouple.Errorf(decouple.Conflict, "the data folder %s is in use by %s: wait until it ends, or use another folder with --data", dir, holder(b))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", name, err)
	}
	text := fmt.Sprintf("process %d (%s) since %s\n", os.Getpid(), owner, time.Now().Format(time.DateTime))
	if err := errors.Join(f.Truncate(0), writeAll(f, text)); err != nil {
		f.Close()
		return nil, fmt.Errorf("writing %s: %w", name, err)
	}
	return f, nil
}

// locked says whether a process writes in dir.
func locked(dir string) bool {
	f, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// freeLock gives the folder up. Closing the file would not be enough while a child that is just being forked shares it.
func freeLock(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

func writeAll(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

func holder(b []byte) string {
	if s := strings.TrimSpace(string(b)); s != "" {
		return s
	}
	return "another process"
}
