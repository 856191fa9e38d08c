package httpapi

import (
	"context"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/hives/fleet"
	"queen-rbee/schedule"
)

// proposeFor bounds a proposal that nobody waits for: beyond it the pipes settle the matter.
const proposeFor = 30 * time.Second

// reported is what came of telling the leader how a run ended.
type reported struct {
	index uint64
	err   error
}

// report carries a hive's terminal record to the leader. It goes on when the client has gone.
func (s *Server) report(t hives.Terminal) <-chan reported {
	out := make(chan reported, 1)
	f, err := fleet.Finished(t)
	if err != nil {
		out <- reported{err: err}
		return out
	}
	s.goBackground(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, proposeFor)
		defer cancel()
		ans, err := s.queen.Do(ctx, schedule.Request{Finished: &f})
		out <- reported{index: ans.Index, err: err}
	})
	return out
}

// hint asks the leader for something off every path. Its failure costs nothing lasting:
// every such request is a hint that the two pipes or a timer make good.
func (s *Server) hint(r schedule.Request) {
	s.goBackground(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, proposeFor)
		defer cancel()
		if _, err := s.queen.Do(ctx, r); err != nil {
			s.log.Debug("proposal off the path failed", "error", err)
		}
	})
}

// openStream reserves one of this queen's streams, before anything is accepted for it.
func (s *Server) openStream() (closeStream func(), err error) {
	if n := s.streams.Add(1); n > int64(s.cfg.MaxStreams) {
		s.streams.Add(-1)
		s.streamsRefused.Add(1)
		return nil, fsm.Errorf(codeBusy, "this queen has its limit of %d streams open; ask another", s.cfg.MaxStreams)
	}
	return func() { s.streams.Add(-1) }, nil
}

// untilDrain ties what a client can simply ask again, elsewhere, to the queen's stay.
func (s *Server) untilDrain(ctx context.Context) (context.Context, context.CancelFunc) {
	return tied(ctx, s.drain)
}

// tied is a context that ends with either of two.
func tied(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(other, cancel)
	return ctx, func() { stop(); cancel() }
}
