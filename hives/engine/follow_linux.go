package engine

import (
	"errors"

	"golang.org/x/sys/unix"
)

// exitWatch tells when a process ends that is no child of this one.
type exitWatch struct{ pidfd int }

// followExit begins to watch whatever process has the pid now.
func followExit(pid int) (exitWatch, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	return exitWatch{fd}, err
}

// wait blocks until the process has exited.
func (e exitWatch) wait(*process) {
	fds := []unix.PollFd{{Fd: int32(e.pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, -1)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func (e exitWatch) close() { _ = unix.Close(e.pidfd) }
