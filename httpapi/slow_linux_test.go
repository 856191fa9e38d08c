package httpapi

import "time"

// awaitBlocked waits until a client takes nothing more, so that the queen no longer reads its hive.
func (w *world) awaitBlocked() {
	w.Helper()
	over := time.NewTimer(patience)
	defer over.Stop()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !w.api.pump.blocked() {
		select {
		case <-look.C:
		case <-over.C:
			w.Fatal("no client is blocked")
		}
	}
}

func (p *pump) blocked() bool {
	blocked := false
	p.each(func(s *side) {
		own := s.pipe
		blocked = blocked || own.hive != nil && own.hive.events == 0 && !own.hive.over && len(own.pending) > 0
	})
	return blocked
}
