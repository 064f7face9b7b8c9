//go:build unix

package knowledge

import (
	"io/fs"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limitProcess bounds the memory and the processor time of this process for good.
func limitProcess(memory uint64, cpu time.Duration) error {
	seconds := uint64(cpu / time.Second)
	if err := unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: seconds, Max: seconds + 1}); err != nil {
		return err
	}
	return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: memory, Max: memory})
}

// inode is the number of a file in its file system.
func inode(info fs.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(s.Ino)
	}
	return 0
}
