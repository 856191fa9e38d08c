package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"queen-rbee/hives"
)

// ErrSuperseded ends an agent when a newer one runs under its hive's id.
var ErrSuperseded = errors.New("a newer agent has registered under this hive's id; this one stops so that both do not fight: give each machine an --id of its own")

// errAnew ends a session whose hive has to register anew.
var errAnew = errors.New("register anew")

// session keeps the hive registered: one after the other, each with both pipes open.
type session struct {
	queens *queens
	call   *caller
	table  *table
	down   *pipeDown
	up     *pipeUp
	about  func(context.Context) hives.Registration
	logger hclog.Logger

	epoch       string // of the newest registration; only run touches it
	incarnation uint64 // that it gave; 0 before the first
}

// run blocks until ctx ends (nil) or a newer agent has this hive's id (ErrSuperseded).
func (s *session) run(ctx context.Context) error {
	pause := newPace(s.queens.count)
	for ctx.Err() == nil {
		reg, sent, err := s.register(ctx, pause)
		switch {
		case errors.Is(err, ErrSuperseded):
			return err
		case err != nil:
			return nil // only ctx ends it otherwise
		}
		s.table.adopt(reg.Epoch, reg.Incarnation)
		s.up.begin(sent)
		s.up.interval(reg.IntervalMillis)
		began := time.Now()
		g, pipes := errgroup.WithContext(ctx)
		g.Go(func() error { return s.up.run(pipes, reg.Epoch) })
		g.Go(func() error { return s.down.run(pipes, reg.Epoch) })
		err = g.Wait()
		if err != nil && !errors.Is(err, errAnew) {
			return err
		}
		// A cluster that forgets the hive as fast as it registers must not be flooded.
		if time.Since(began) < time.Second && !sleep(ctx, time.Second) {
			return nil
		}
	}
	return nil
}

// register tells one queen after the other of this start until one takes it, or says that a
// newer start has superseded it, and gives when that was sent.
func (s *session) register(ctx context.Context, pause *pace) (hives.Registered, time.Time, error) {
	for {
		queen, _ := s.queens.current()
		reg, sent, err := s.registerAt(ctx, queen)
		if err == nil {
			pause.ok()
			s.queens.learn(reg.Queens)
			s.epoch, s.incarnation = reg.Epoch, reg.Incarnation
			s.logger.Info("registered", "queen", queen, "epoch", reg.Epoch, "incarnation", reg.Incarnation)
			return reg, sent, nil
		}
		if ctx.Err() != nil {
			return reg, sent, ctx.Err()
		}
		if errors.Is(err, ErrSuperseded) {
			return reg, sent, err
		}
		v := judge(err)
		switch v {
		case overtaken:
			return reg, sent, fmt.Errorf("%w (%w)", ErrSuperseded, err)
		case unknownHere:
			v = refused // what answers 404 here is no queen
		}
		wait := pause.failed(v)
		s.logger.Error("cannot register", "queen", queen, "error", explain(err), "again_in", wait)
		if v != outrun {
			s.queens.fail(queen)
		}
		if !sleep(ctx, wait) {
			return reg, sent, ctx.Err()
		}
	}
}

// registerAt registers at one queen as the one that replaces the newest incarnation. So a
// registration that lies somewhere until another start has registered is worth nothing; and a
// start that meets one newer than itself does not take the hive back.
func (s *session) registerAt(ctx context.Context, queen string) (reg hives.Registered, sent time.Time, err error) {
	epoch, newest, err := s.call.standing(ctx, queen)
	if err != nil {
		return reg, sent, err
	}
	if s.incarnation > 0 && epoch == s.epoch && newest > s.incarnation {
		return reg, sent, fmt.Errorf("%w (this one was incarnation %d, the newest is %d)", ErrSuperseded, s.incarnation, newest)
	}
	about := s.about(ctx)
	about.Replaces = newest
	sent = time.Now()
	reg, err = s.call.register(ctx, queen, about)
	return reg, sent, err
}

// explain adds what a person can do about a refusal.
func explain(err error) error {
	e, ok := errors.AsType[*queenError](err)
	if !ok {
		return err
	}
	switch e.Status {
	case 401, 403:
		return fmt.Errorf("%w (is --token the hive token of this cluster?)", err)
	case 404:
		return fmt.Errorf("%w (is --queen the URL of a queen?)", err)
	}
	return err
}
