package agent

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestUnpluggedQueenIsNoticed: every connection that the agent accepts is given up by the
// kernel when its other end does not acknowledge, or answer, for hangUp.
func TestUnpluggedQueenIsNoticed(t *testing.T) {
	l, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	option := func(level, name int) (value int) {
		if cerr := raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), level, name) }); cerr != nil || err != nil {
			t.Fatal(cerr, err)
		}
		return value
	}
	if got := time.Duration(option(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)) * time.Millisecond; got != hangUp {
		t.Errorf("sent data may stay unacknowledged for %v", got)
	}
	quiet := option(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE) + option(unix.IPPROTO_TCP, unix.TCP_KEEPCNT)*option(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)
	if got := time.Duration(quiet) * time.Second; option(unix.SOL_SOCKET, unix.SO_KEEPALIVE) == 0 || got != hangUp {
		t.Errorf("a quiet connection may stay unanswered for %v", got)
	}
}
