//go:build !linux

package postgres

import "time"

// uptime is the wall clock here, which runs on while the machine is suspended; a step of it makes a lease shorter or longer by as much.
func uptime() time.Duration { return time.Duration(time.Now().UnixNano()) }
