package rig

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Ports lie below the range that systems hand out to outgoing connections, so that a killed
// process finds its own free when it is started again.
const (
	lowPort  = 10000
	highPort = 18000
)

var (
	portsMu    sync.Mutex
	portsGiven = map[int]bool{}
)

// Addr is host:port on 127.0.0.1, free for TCP and UDP and given to nobody else here.
func Addr(t testing.TB) string {
	t.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 1000 {
		p := lowPort + rand.IntN(highPort-lowPort)
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(p))
		if !portsGiven[p] && free(addr) == nil {
			portsGiven[p] = true
			return addr
		}
	}
	t.Fatal("no free port was found on 127.0.0.1")
	return ""
}

// free listens for a moment.
func free(addr string) error {
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = tcp.Close() }()
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	if err := udp.Close(); err != nil {
		return fmt.Errorf("closing a probe: %w", err)
	}
	return nil
}
