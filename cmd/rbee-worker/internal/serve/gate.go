package serve

import "sync"

// gate counts the requests that run and lets the last one out be waited for, which
// http.Server.Close does not do.
type gate struct {
	mu     sync.Mutex
	inside int
	closed chan struct{} // nil while open; closed when the last one has left
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.closed != nil && g.inside == 0 {
		close(g.closed)
	}
}

// close may be called more than once.
func (g *gate) close() {
	g.mu.Lock()
	if g.closed == nil {
		g.closed = make(chan struct{})
		if g.inside == 0 {
			close(g.closed)
		}
	}
	g.mu.Unlock()
	<-g.closed
}
