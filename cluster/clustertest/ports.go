package clustertest

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// reserve takes an address of this machine that nobody else is given until release: a queen
// that is down finds its own again, whatever runs beside its test. A socket that is bound and
// does not listen does that. It does not keep the queen from listening there (with SO_REUSEADDR,
// as package net does), and who calls while none listens is refused.
func reserve() (addr string, release func(), err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return "", nil, err
	}
	unix.CloseOnExec(fd)
	if addr, err = bind(fd); err != nil {
		_ = unix.Close(fd)
		return "", nil, err
	}
	return addr, func() { _ = unix.Close(fd) }, nil
}

// bind gives a socket a port that is free.
func bind(fd int) (addr string, err error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return "", err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port), nil
}

// reserve takes one for as long as the cluster lives.
func (c *Cluster) reserve() string {
	c.t.Helper()
	addr, release, err := reserve()
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(release)
	return addr
}
