package sqlite

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Datasync brings a file's data, and what is needed to read it again, to the disk.
func Datasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
