package agent

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// boundUnacknowledged bounds how long sent data may stay unacknowledged. Accepted connections
// inherit it from their listener.
func boundUnacknowledged(_, _ string, c syscall.RawConn) error {
	var err error
	if err := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(hangUp.Milliseconds()))
	}); err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt TCP_USER_TIMEOUT", err)
}
