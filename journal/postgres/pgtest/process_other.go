//go:build !linux

package pgtest

import "syscall"

// attributes give a server a group of its own.
func attributes(cred *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: cred, Setpgid: true}
}
