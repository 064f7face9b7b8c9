package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"decouple.dev/decouple"
	"golang.org/x/sys/unix"
)

const segmentSuffix = ".log"

// segment is one file. It is deleted when the journal has all that it holds, the oldest first.
type segment struct {
	n    int64
	path string
	f    *os.File
	size int64 // with what is still in the buffer, if it is the current one
	refs int   // calls under way that began in it, and settlements in it that the journal does not have
}

// files appends to the newest segment. Callers put lines in a buffer, and the first of them who has to wait writes what all have put there.
// Everything but toDisk is guarded by the ledger's mutex, whose condition cond is.
type files struct {
	dir     string
	lock    *os.File
	cond    *sync.Cond
	all     []*segment // oldest first
	current *segment

	buf, spare []byte
	writing    bool
	appended   int64 // bytes ever put in the buffer
	wrote      int64 // of these, in the file
	dirty      chan struct{}
	err        error // nothing can be kept any more

	toDisk sync.Mutex // one at a time brings files to the disk, or begins a new one; taken before the ledger's
	synced int64      // guarded by toDisk
}

// append puts a line in the buffer and gives its size. The caller holds mu.
func (f *files) append(put func([]byte) []byte) int {
	before := len(f.buf)
	f.buf = put(f.buf)
	n := len(f.buf) - before
	f.appended += int64(n)
	f.current.size += int64(n)
	return n
}

// written waits until what was appended up to a place is in the file, and writes it if nobody does. The caller holds mu, which is free meanwhile.
func (f *files) written(upTo int64) error {
	for f.wrote < upTo && f.err == nil {
		if f.writing {
			f.cond.Wait()
			continue
		}
		f.writing = true
		buf, end, to := f.buf, f.appended, f.current.f
		f.buf, f.spare = f.spare[:0], nil
		f.cond.L.Unlock()
		_, err := to.Write(buf)
		f.cond.L.Lock()
		f.writing = false
		if f.spare = buf; cap(buf) > 4<<20 {
			f.spare = nil
		}
		if err != nil {
			f.fail(err)
		} else {
			f.wrote = end
			ring(f.dirty)
		}
		f.cond.Broadcast()
	}
	return f.err
}

// fail ends all keeping: what a file holds after a failed write or sync is not known, and trying again could hide it.
func (f *files) fail(err error) {
	if f.err == nil {
		f.err = decouple.Errorf(decouple.Unavailable, "the ledger's file cannot be written: %w; free the disk and start again", err)
	}
}

// sync brings what is written to the disk. The caller does not hold mu.
func (f *files) sync() error {
	f.toDisk.Lock()
	defer f.toDisk.Unlock()
	f.cond.L.Lock()
	err := f.written(f.appended)
	end, to := f.wrote, f.current.f
	f.cond.L.Unlock()
	if err != nil || end == f.synced {
		return err
	}
	if err := datasync(to); err != nil {
		f.cond.L.Lock()
		defer f.cond.L.Unlock()
		f.fail(err)
		f.cond.Broadcast()
		return f.err
	}
	f.synced = end
	return nil
}

// roll begins a new segment with the lines that head gives, and runs then with the mutex held once the old one is left.
func (f *files) roll(head func() ([]byte, error), then func()) error {
	if err := f.sync(); err != nil { // most of it, while calls go on
		return err
	}
	f.toDisk.Lock()
	defer f.toDisk.Unlock()
	f.cond.L.Lock()
	defer f.cond.L.Unlock()
	for f.wrote < f.appended || f.writing {
		if f.writing {
			f.cond.Wait()
			continue
		}
		if err := f.written(f.appended); err != nil {
			return err
		}
	}
	old := f.current
	b, err := head()
	if err == nil {
		err = f.begin(old.n+1, b)
	}
	if err == nil {
		err = datasync(old.f)
	}
	if err != nil {
		f.fail(err)
		return f.err
	}
	f.synced = f.wrote
	then()
	return nil
}

// begin makes segment n, with its first lines in it and on the disk. The caller holds mu, or is alone.
func (f *files) begin(n int64, head []byte) error {
	s := &segment{n: n, path: filepath.Join(f.dir, fmt.Sprintf("%012d%s", n, segmentSuffix)), size: int64(len(head))}
	var err error
	if s.f, err = os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600); err != nil {
		return err
	}
	if _, err := s.f.Write(head); err != nil {
		return errors.Join(err, s.f.Close())
	}
	if err := errors.Join(datasync(s.f), syncDir(f.dir)); err != nil {
		return errors.Join(err, s.f.Close())
	}
	f.all = append(f.all, s)
	f.current = s
	return nil
}

// trim deletes the oldest segments while nothing in them is needed. The caller holds mu.
func (f *files) trim() error {
	for len(f.all) > 1 && f.all[0].refs == 0 {
		s := f.all[0]
		f.all = slices.Delete(f.all, 0, 1)
		if err := errors.Join(s.f.Close(), os.Remove(s.path)); err != nil {
			return err
		}
	}
	return nil
}

// close writes what is left and gives the folder up.
func (f *files) close() error {
	err := f.sync()
	for _, s := range f.all {
		err = errors.Join(err, s.f.Close())
	}
	return errors.Join(err, unlock(f.lock))
}

// openFiles takes the folder and lists the segments in it.
func openFiles(dir string) (*os.File, []*segment, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, decouple.Errorf(decouple.Unavailable, "the ledger's folder cannot be made: %w", err)
	}
	lock, err := takeLock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, nil, err
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, errors.Join(err, unlock(lock))
	}
	var all []*segment
	for _, e := range names {
		digits, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		n, err := strconv.ParseInt(digits, 10, 64)
		if !ok || err != nil {
			continue
		}
		s := &segment{n: n, path: filepath.Join(dir, e.Name())}
		if s.f, err = os.Open(s.path); err != nil {
			return nil, nil, errors.Join(decouple.Errorf(decouple.Unavailable, "the ledger's file cannot be read: %w", err), unlock(lock))
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *segment) int { return int(a.n - b.n) })
	return lock, all, nil
}

func takeLock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, decouple.Errorf(decouple.Unavailable, "the ledger's folder cannot be written: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		err = decouple.Errorf(decouple.Conflict, "the ledger in %s is in use by another process: each gateway needs a folder of its own", filepath.Dir(name))
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// unlock gives the folder up. Closing the file would not be enough while a child that is just being forked shares it.
func unlock(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

// syncDir brings the names in a folder to the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
