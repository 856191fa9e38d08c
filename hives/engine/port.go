package engine

import (
	"crypto/rand"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// loopback is the only address engines listen on: they have no protection of their own.
	loopback = "127.0.0.1"
	// quarantine is how long a port is given to nobody after an engine had it: who still asks
	// for the old engine there must not be answered by another.
	quarantine = time.Minute
)

// PortRange is where engines get their ports from; the zero value leaves it to the system.
type PortRange struct{ Low, High int }

// ParsePorts reads LOW-HIGH; an empty text is the zero value.
func ParsePorts(text string) (PortRange, error) {
	if text == "" {
		return PortRange{}, nil
	}
	low, high, ok := strings.Cut(text, "-")
	a, errLow := strconv.Atoi(strings.TrimSpace(low))
	b, errHigh := strconv.Atoi(strings.TrimSpace(high))
	if !ok || errLow != nil || errHigh != nil || a < 1 || b > 65535 || a > b {
		return PortRange{}, fmt.Errorf("%.40q is no range of ports: use one such as 20000-20999", text)
	}
	return PortRange{a, b}, nil
}

// ports are those given to workers of this process. Loopback ports are one for the whole
// process, hence a variable of the package: two workers that start at the same time must not
// get the same one, or the health of the first passes for that of the second.
var ports = portSet{taken: map[int]bool{}, left: map[int]time.Time{}, now: time.Now}

type portSet struct {
	now   func() time.Time
	mu    sync.Mutex
	taken map[int]bool
	left  map[int]time.Time // given back, and when
	last  int               // of a range
}

// take picks a port that is free now. A process of someone else may take it before the engine
// does; that is a failed start like any other.
func (s *portSet) take(r PortRange) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for port, at := range s.left {
		if s.now().Sub(at) >= quarantine {
			delete(s.left, port)
		}
	}
	if r == (PortRange{}) {
		return s.anyLocked()
	}
	n := r.High - r.Low + 1
	for i := range n { // one after the other, so that a port rests as long as it can
		port := r.Low + (max(s.last, r.Low-1)-r.Low+1+i)%n
		if s.openLocked(port) {
			s.taken[port], s.last = true, port
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port on %s from %d to %d: each is taken, or was until %v ago; give a larger range", loopback, r.Low, r.High, quarantine)
}

// anyLocked has the system pick one.
func (s *portSet) anyLocked() (int, error) {
	for range 20 {
		l, err := net.Listen("tcp4", loopback+":0")
		if err != nil {
			return 0, fmt.Errorf("no free port on %s: %w", loopback, err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if _, resting := s.left[port]; !resting && !s.taken[port] {
			s.taken[port] = true
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port on %s that no other worker has", loopback)
}

// openLocked tells whether a port is nobody's.
func (s *portSet) openLocked(port int) bool {
	if _, resting := s.left[port]; resting || s.taken[port] {
		return false
	}
	l, err := net.Listen("tcp4", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// hold keeps the port of an adopted engine from being given to another.
func (s *portSet) hold(port int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[port] = true
}

func (s *portSet) giveBack(port int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.taken, port)
	s.left[port] = s.now()
}

// newKey makes an API key for one start of an engine.
func newKey() string { return strings.ToLower(rand.Text()) }
