package schedule

import (
	"github.com/zeebo/xxh3"

	"queen-rbee/fsm"
)

// affineAmong bounds how many vacant workers are looked at for a session.
const affineAmong = 256

// affine finds the worker on which a session's earlier jobs most likely ran, so that what it
// has cached of them serves again: the vacant one of highest hash with the session
// (rendezvous hashing, Thaler and Ravishankar 1998). It needs no state, and a worker that
// comes or goes moves only the sessions that are its own. s is a worker that suits the job.
func (p *planner) affine(pl *pool, j *fsm.Job, s *slot) *slot {
	for len(pl.free) < affineAmong && p.next(pl) != nil {
		p.pull(pl)
	}
	best := s
	for _, c := range pl.free[:min(len(pl.free), affineAmong)] {
		if suits(c.hive, j) && c.hive.ID != j.Avoid && closer(j.Session, c, best) {
			best = c
		}
	}
	return best
}

// closer tells whether a is nearer to a session than b.
func closer(session string, a, b *slot) bool {
	x, y := xxh3.HashString(session+"\x00"+a.worker.ID), xxh3.HashString(session+"\x00"+b.worker.ID)
	return x > y || x == y && a.worker.ID < b.worker.ID
}
