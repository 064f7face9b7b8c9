//go:build !linux

package sqlite

import "os"

// Datasync brings a file's data, and what is needed to read it again, to the disk.
func Datasync(f *os.File) error { return f.Sync() }
