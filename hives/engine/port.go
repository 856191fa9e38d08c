package engine

import (
	"crypto/rand"
	"fmt"
	"net"
	"strings"
	"sync"
)

// loopback is the only address engines listen on: they have no protection of their own.
const loopback = "127.0.0.1"

// ports are those given to workers of this process and not given back. Loopback ports are one
// for the whole process, hence a variable of the package: two workers that start at the same
// time must not get the same one, or the health of the first passes for that of the second.
var ports = portSet{taken: map[int]bool{}}

type portSet struct {
	mu    sync.Mutex
	taken map[int]bool
}

// take picks a port that is free now. A process of someone else may take it before the engine
// does; that is a failed start like any other.
func (s *portSet) take() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range 20 {
		l, err := net.Listen("tcp4", loopback+":0")
		if err != nil {
			return 0, fmt.Errorf("no free port on %s: %w", loopback, err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if !s.taken[port] {
			s.taken[port] = true
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port on %s that no other worker has", loopback)
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
}

// newKey makes an API key for one start of an engine.
func newKey() string { return strings.ToLower(rand.Text()) }
