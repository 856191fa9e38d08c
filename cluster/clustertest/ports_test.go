package clustertest

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// A reserved address is the queen's own, up or down.
func TestAReservedAddress(t *testing.T) {
	addr, release, err := reserve()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for range 3 {
		if conn, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("%v, %v: somebody answers for a queen that is down", conn, err)
		}
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatalf("its queen cannot come back: %v", err)
		}
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		_ = ln.Close()
	}
}
