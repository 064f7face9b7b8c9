package ledger

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// datasync brings a file's data, and what is needed to read it again, to the disk.
func datasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
