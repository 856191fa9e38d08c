package engine

import (
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestPortsComeFromTheRangeAndRest(t *testing.T) {
	r := twoPorts(t)
	now := time.Unix(0, 0)
	s := portSet{taken: map[int]bool{}, left: map[int]time.Time{}, now: func() time.Time { return now }}
	take := func() int {
		t.Helper()
		port, err := s.take(r)
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	if got := take(); got != r.Low {
		t.Fatal(got)
	}
	s.giveBack(r.Low)
	if got := take(); got != r.High {
		t.Fatalf("%d again at once", got)
	}
	if got, err := s.take(r); err == nil || !strings.Contains(err.Error(), "give a larger range") {
		t.Fatal(got, err)
	}
	now = now.Add(quarantine)
	if got := take(); got != r.Low {
		t.Fatal(got)
	}
	s.giveBack(r.High)
	now = now.Add(quarantine)
	other, err := net.Listen("tcp4", net.JoinHostPort(loopback, strconv.Itoa(r.High)))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if got, err := s.take(r); err == nil {
		t.Fatalf("%d is somebody else's", got)
	}
	if got, err := s.take(PortRange{}); err != nil || got == 0 {
		t.Fatal(got, err)
	}
}

// twoPorts finds two neighbours that nobody has, below those that the system gives out.
func twoPorts(t *testing.T) PortRange {
	t.Helper()
	open := func(port int) bool {
		l, err := net.Listen("tcp4", net.JoinHostPort(loopback, strconv.Itoa(port)))
		if err == nil {
			l.Close()
		}
		return err == nil
	}
	for range 100 {
		if low := 20_000 + rand.IntN(10_000); open(low) && open(low+1) {
			return PortRange{low, low + 1}
		}
	}
	t.Fatal("no two free ports between 20000 and 30000")
	return PortRange{}
}

func TestParsePorts(t *testing.T) {
	for in, want := range map[string]PortRange{"": {}, "20000-20999": {20000, 20999}, " 5 - 5 ": {5, 5}} {
		if got, err := ParsePorts(in); err != nil || got != want {
			t.Errorf("%q: %v %v", in, got, err)
		}
	}
	for _, in := range []string{"1", "a-b", "0-5", "9-8", "1-70000"} {
		if got, err := ParsePorts(in); err == nil || !strings.Contains(err.Error(), "such as 20000-20999") {
			t.Errorf("%q: %v %v", in, got, err)
		}
	}
}
