//go:build !linux

package ledger

import "os"

// datasync brings a file's data, and what is needed to read it again, to the disk.
func datasync(f *os.File) error { return f.Sync() }
