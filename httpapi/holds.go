package httpapi

import (
	"context"
	"slices"
	"sync"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

// holds counts this queen's clients by job and keeps the state's word on it (this queen as a
// holder) in step: one goroutine a job proposes, in order, whatever the two differ in.
type holds struct {
	mu   sync.Mutex
	jobs map[string]*hold
}

type hold struct {
	clients int
	grace   time.Duration // of the client that left last
	since   uint64        // batch index below which the row does not tell yet
	unsure  bool          // nobody could say whether there is a row: a view that has it all must
	busy    bool          // its goroutine lives
}

// take counts a client of a job in. The row tells of this queen from index since on.
func (h *holds) take(job string, since uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.jobs == nil {
		h.jobs = map[string]*hold{}
	}
	if h.jobs[job] == nil {
		h.jobs[job] = &hold{}
	}
	h.jobs[job].clients++
	h.jobs[job].since = max(h.jobs[job].since, since)
}

// leave counts a client out and tells whether it was the last.
func (h *holds) leave(job string, grace time.Duration) (last bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.jobs[job]
	e.clients--
	e.grace = grace
	return e.clients == 0
}

// doubt notes that a job may have been accepted although nobody could say so.
func (h *holds) doubt(job string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.jobs[job]; e != nil {
		e.unsure = true
	}
}

// unsure tells whether a job is in doubt.
func (h *holds) unsure(job string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.jobs[job].unsure
}

// settled ends the doubt: a view of this index has the job if there is one.
func (h *holds) settled(job string, index uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.jobs[job]
	e.unsure, e.since = false, max(e.since, index)
}

// drop forgets a job without clients that nobody works on.
func (h *holds) drop(job string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.jobs[job]; e != nil && e.clients == 0 && !e.busy {
		delete(h.jobs, job)
	}
}

// hold makes sure that an attached job which is read here names this queen as a holder.
func (s *Server) hold(j *fsm.Job) {
	if !j.Detached && !j.State.Ended() && !slices.Contains(j.Holders, s.holder()) {
		s.syncHold(j.ID)
	}
}

// syncHold starts the job's goroutine unless it lives.
func (s *Server) syncHold(job string) {
	s.holds.mu.Lock()
	e := s.holds.jobs[job]
	if e == nil || e.busy {
		s.holds.mu.Unlock()
		return
	}
	e.busy = true
	s.holds.mu.Unlock()
	if !s.goBackground(func(ctx context.Context) { s.keepHold(ctx, job) }) {
		s.holds.mu.Lock()
		e.busy = false
		s.holds.mu.Unlock()
	}
}

// keepHold proposes holds and releases until the row says what is true here. A release that
// fails is tried again: while this queen lives nobody else can make it.
func (s *Server) keepHold(ctx context.Context, job string) {
	for ctx.Err() == nil {
		if s.holds.unsure(job) {
			view, err := s.queen.Strong(ctx)
			if err != nil {
				pause(ctx, time.Second)
				continue
			}
			s.holds.settled(job, view.Meta().Index)
		}
		req, since, done := s.nextHold(job)
		if done {
			return
		}
		ans, err := schedule.Answer{}, error(nil)
		if req != nil {
			ans, err = s.queen.Do(ctx, *req)
		}
		if err == nil {
			since = max(since, ans.Index)
			_, err = s.queen.WaitIndex(ctx, since)
		}
		if err != nil {
			s.log.Debug("hold not settled, trying again", "job", job, "error", err)
			pause(ctx, time.Second)
		}
	}
	s.holds.mu.Lock()
	s.holds.jobs[job].busy = false
	s.holds.mu.Unlock()
	s.holds.drop(job)
}

// nextHold compares clients and row: what to propose, or that nothing is left to do.
func (s *Server) nextHold(job string) (req *schedule.Request, since uint64, done bool) {
	s.holds.mu.Lock()
	defer s.holds.mu.Unlock()
	e := s.holds.jobs[job]
	view := s.queen.View()
	if view.Meta().Index < e.since {
		return nil, e.since, false
	}
	j, ok := view.Job(job)
	over := !ok || j.State.Ended() || j.Detached
	switch held := !over && slices.Contains(j.Holders, s.holder()); {
	case over, held == (e.clients > 0):
		e.busy = false
		if e.clients == 0 {
			delete(s.holds.jobs, job)
		}
		return nil, 0, true
	case held:
		return &schedule.Request{Release: &schedule.Release{Job: job, Holder: s.holder(), Grace: e.grace}}, 0, false
	default:
		return &schedule.Request{Hold: &schedule.Hold{Job: job, Holder: s.holder()}}, 0, false
	}
}

// release takes back what a request held of a job that it leaves without having read it: the
// job waits grace for another client. In doubt nobody has said whether there is one.
func (s *Server) release(job string, since uint64, grace time.Duration, doubt bool) {
	s.holds.take(job, since)
	if doubt {
		s.holds.doubt(job)
	}
	s.holds.leave(job, grace)
	s.syncHold(job)
}

// pause waits for d or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// leave tells the cluster that a client has gone before its job's end. A queen that is
// leaving itself says nothing: its clients come back at another within the grace time.
func (s *Server) leave(r *reader, grace time.Duration) {
	last := s.holds.leave(r.id, grace)
	defer s.holds.drop(r.id)
	if !last || s.drain.Err() != nil {
		return
	}
	j, ok := s.queen.View().Job(r.id)
	if !ok {
		j = r.hint
	}
	if j == nil || j.Detached || j.State.Ended() {
		return
	}
	s.syncHold(j.ID)
	url, ok := r.hiveURL(j)
	if j.State != fsm.JobRunning || !ok {
		return
	}
	s.goBackground(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, proposeFor)
		defer cancel()
		err := s.hives.Leave(ctx, hives.WorkerURL(url, j.Worker), j.ID, hives.Leave{Attempt: j.Attempt, GraceMillis: grace.Milliseconds()})
		if err != nil {
			s.log.Debug("hive not told that a client left", "job", j.ID, "hive", j.Hive, "error", err)
		}
	})
}
