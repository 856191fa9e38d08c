package models

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"queen-rbee/hives"
)

// tuning is what tests shorten.
type tuning struct {
	partMin, partMax int64
	stall            time.Duration // without a byte, before a part is asked for again
	backoff          time.Duration // after the first failure; doubled to backoffMax
	backoffMax       time.Duration
	waitMax          time.Duration // however long a server wants to be left alone
	header           time.Duration // for a header to come
	tries            int           // failures of a part in a row, without progress between
	progress         int64         // bytes that are progress
	anew             int           // how often a file is begun anew
	save             time.Duration // between two states on disk, and so what a kill costs
	tell             time.Duration // between two calls of a progress function
	partialAge       time.Duration // of what nobody goes on with
	free             func(dir string) (int64, error)
}

func standardTuning() tuning {
	return tuning{
		partMin: 16 << 20, partMax: 256 << 20, stall: 30 * time.Second, backoff: time.Second, backoffMax: 30 * time.Second,
		waitMax: 2 * time.Minute, header: 2 * time.Minute, tries: 6, progress: 64 << 10, anew: 3, save: time.Second, tell: 200 * time.Millisecond,
		partialAge: 7 * 24 * time.Hour, free: freeBytes,
	}
}

// peerTries is how often a part is asked of a hive that fails: another one or the source has it too.
const peerTries = 2

var (
	// errAnew: what comes is of another content than what is on disk, or there is no such range.
	errAnew = errors.New("the content at the source has changed")
	// errWholeOnly: the server does not know ranges.
	errWholeOnly = errors.New("the server does not know ranges")
	errStalled   = errors.New("no byte came")
)

// transfer fetches the parts of one file from one place. Its state is on disk when run returns.
type transfer struct {
	tune  *tuning
	pace  *pace
	place *place
	root  *os.Root
	file  *os.File
	name  string
	meter *meter
	many  int // parts at once

	mu    sync.Mutex
	state *partial
	next  int // part to be begun
}

// run fetches what is missing. It returns when all is there, ctx has ended, errAnew,
// errWholeOnly, or a part cannot be had.
func (t *transfer) run(ctx context.Context) error {
	saving, stop := context.WithCancel(context.WithoutCancel(ctx))
	var saver errgroup.Group
	saver.Go(func() error { return t.keepSaved(saving) })
	g, ctx := errgroup.WithContext(ctx)
	for range t.many {
		g.Go(func() error {
			for {
				n, ok := t.take()
				if !ok {
					return nil
				}
				if err := t.part(ctx, n); err != nil {
					return err
				}
			}
		})
	}
	err := g.Wait()
	stop()
	if saved := saver.Wait(); err == nil {
		err = saved
	}
	return err
}

// take gives the next part that is not whole.
func (t *transfer) take() (int, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ; t.next < len(t.state.Parts); t.next++ {
		if s := t.state.Parts[t.next]; s.Done < s.To-s.From {
			t.next++
			return t.next - 1, true
		}
	}
	return 0, false
}

// keepSaved writes the state now and then, and at the end.
func (t *transfer) keepSaved(ctx context.Context) error {
	tick := time.NewTicker(t.tune.save)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := t.saveNow(); err != nil {
				t.meter.trouble(err.Error())
			}
		case <-ctx.Done():
			return coded(CodeDisk, t.saveNow())
		}
	}
}

// saveNow writes what is known to be on disk: what came before the sync.
func (t *transfer) saveNow() error {
	t.mu.Lock()
	state := t.state.copied()
	t.mu.Unlock()
	if err := t.file.Sync(); err != nil {
		return err
	}
	return state.save(t.root, t.name)
}

// part fetches one part, however often it breaks off, as long as it gets on.
func (t *transfer) part(ctx context.Context, n int) error {
	for tries, got := 0, int64(0); ; {
		came, err := t.once(ctx, n)
		got += came
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		later, may := errors.AsType[*laterError](err)
		if !may {
			return err
		}
		if got >= t.tune.progress {
			tries, got = 0, 0
		}
		if tries++; tries > t.tune.tries || t.place.peer && tries > peerTries {
			return hives.Errorf(CodeUnreachable, "part %d of %s was tried %d times: %s", n+1, t.name, tries, later.why)
		}
		t.meter.trouble(fmt.Sprintf("part %d of %s: %s; trying again", n+1, t.name, later.why))
		if err := pause(ctx, t.tune.wait(tries, later.after)); err != nil {
			return err
		}
	}
}

// wait is how long to wait after so many failures, when the server asks for a time.
func (t *tuning) wait(tries int, asked time.Duration) time.Duration {
	own := min(t.backoff<<min(tries-1, 20), t.backoffMax)
	return max(own, min(asked, t.waitMax))
}

// once asks for what is missing of a part and writes what comes. It gives how much came.
func (t *transfer) once(ctx context.Context, n int) (int64, error) {
	t.mu.Lock()
	s := t.state.Parts[n]
	t.mu.Unlock()
	asking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(t.tune.stall, func() { cancel(errStalled) })
	defer stall.Stop()
	a, err := t.place.get(asking, s.From+s.Done, s.To)
	switch {
	case errors.Is(err, errStalled):
		return 0, t.stalled()
	case errors.Is(err, errNoSuchRange):
		return 0, fmt.Errorf("%w: %w", errAnew, err)
	case err != nil:
		return 0, err
	}
	defer func() { _ = a.body.Close() }()
	if !a.is.same(t.state.Is) {
		return 0, errAnew
	}
	if a.from != s.From+s.Done {
		return 0, errWholeOnly
	}
	came, err := t.copy(asking, a, n, stall)
	if errors.Is(err, errStalled) {
		err = t.stalled()
	}
	if err == nil && s.Done+came < s.To-s.From {
		err = &laterError{why: fmt.Sprintf("%d bytes of %d came", came, s.To-s.From-s.Done)}
	}
	return came, err
}

func (t *transfer) stalled() error {
	return &laterError{why: fmt.Sprintf("no byte came for %v", t.tune.stall)}
}

var buffers = sync.Pool{New: func() any { return new([128 << 10]byte) }}

// copy writes a body to its place in the file, and no byte beyond what it is said to hold.
func (t *transfer) copy(ctx context.Context, a *answer, n int, stall *time.Timer) (came int64, err error) {
	buf := buffers.Get().(*[128 << 10]byte)
	defer buffers.Put(buf)
	t.mu.Lock()
	to := min(a.to, t.state.Parts[n].To)
	t.mu.Unlock()
	for at := a.from; at < to; {
		stall.Reset(t.tune.stall)
		got, err := a.body.Read(buf[:min(int64(len(buf)), to-at)])
		stall.Stop()
		if got > 0 {
			if _, err := t.file.WriteAt(buf[:got], at); err != nil {
				return came, coded(CodeDisk, err)
			}
			at, came = at+int64(got), came+int64(got)
			t.mu.Lock()
			t.state.Parts[n].Done += int64(got)
			t.mu.Unlock()
			t.meter.add(int64(got))
			if err := t.pace.wait(ctx, got); err != nil {
				return came, err
			}
		}
		switch {
		case ctx.Err() != nil:
			return came, context.Cause(ctx)
		case errors.Is(err, io.EOF):
			return came, nil
		case err != nil:
			return came, &laterError{why: "the connection broke off: " + err.Error()}
		}
	}
	return came, nil
}
