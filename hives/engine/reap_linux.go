package engine

import (
	"errors"

	"golang.org/x/sys/unix"
)

// awaitExit blocks until the child has exited and leaves it to be reaped; false when it cannot.
func awaitExit(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}
