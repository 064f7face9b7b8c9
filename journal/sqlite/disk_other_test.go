//go:build !linux

package sqlite_test

import "errors"

// Full disks and folders that cannot be written are tested on Linux only, where a test can have a mount of its own.
var errLinuxOnly = errors.New("on linux only")

func childFill([]string) error      { return errLinuxOnly }
func childFillMount([]string) error { return errLinuxOnly }
func childUnwritten([]string) error { return errLinuxOnly }
