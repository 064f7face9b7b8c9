package postgres

import (
	"time"

	"golang.org/x/sys/unix"
)

// uptime is a clock that runs on while the machine is suspended.
func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return time.Since(began)
	}
	return time.Duration(ts.Nano())
}

var began = time.Now()
