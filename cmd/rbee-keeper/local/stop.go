package local

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// stopTime is what a process gets between SIGTERM and SIGKILL.
const stopTime = 10 * time.Second

// Watch tells by Say when a process ends or comes back, until ctx ends.
func (c *Cluster) Watch(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	told := map[string]bool{}
	for {
		for _, s := range append(append([]Spec(nil), c.queens...), c.hives...) {
			c.look(s, told)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look notes what became of one process since the last time.
func (c *Cluster) look(s Spec, told map[string]bool) {
	c.mu.Lock()
	ch, pid := c.children[s.Name], c.adopted[s.Name]
	c.mu.Unlock()
	if now := readPid(s); now != 0 && now != pid && (ch == nil || now != ch.pid) && runs(now, c.cfg.Dir) {
		c.mu.Lock()
		c.adopted[s.Name] = now
		c.mu.Unlock()
		told[s.Name] = false
		c.say("%s is back (pid %d)", s.Name, now)
		return
	}
	if told[s.Name] {
		return
	}
	switch {
	case pid != 0 && !runs(pid, c.cfg.Dir):
		c.say("%s (pid %d) has ended; start it again with: rbee-keeper dev --restart %s --dir %s", s.Name, pid, s.Name, Quote(c.cfg.Dir))
	case pid == 0 && ch != nil && ch.ended():
		c.say("%s (pid %d) has ended: %s; start it again with: rbee-keeper dev --restart %s --dir %s", s.Name, ch.pid, ch.how, s.Name, Quote(c.cfg.Dir))
	default:
		return
	}
	told[s.Name] = true
}

// Kill sends SIGKILL to a process and returns when it is over.
func (c *Cluster) Kill(ctx context.Context, name string) error {
	ch := c.child(name)
	if ch == nil || ch.ended() {
		return fmt.Errorf("%s does not run", name)
	}
	if err := syscall.Kill(ch.pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	select {
	case <-ch.over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Again starts a process of this cluster that has ended and waits until it is ready.
func (c *Cluster) Again(ctx context.Context, name string) error {
	for _, s := range append(append([]Spec(nil), c.queens...), c.hives...) {
		if s.Name != name {
			continue
		}
		if ch := c.child(name); ch != nil && !ch.ended() {
			return fmt.Errorf("%s runs already (pid %d)", name, ch.pid)
		}
		if err := c.launch(s); err != nil {
			return err
		}
		if s.Kind == KindHive {
			return c.awaitHives(ctx)
		}
		return c.awaitReady(ctx, s)
	}
	return errUnknown(name, c.queens)
}

// Stop ends everything: hives first, since they tell the queens that they leave, then the
// queens, then whatever a killed hive left behind. Nothing runs on when it returns.
func (c *Cluster) Stop() error {
	if c.api != nil {
		c.api.Close()
	}
	err := errors.Join(c.stopAll(c.hives), c.stopAll(c.queens))
	left := descendants(c.cfg.Dir)
	for _, pid := range left {
		err = errors.Join(err, endPid(pid, c.cfg.Dir, c.stopTime))
	}
	return err
}

func (c *Cluster) stopAll(specs []Spec) error {
	var wait sync.WaitGroup
	errs := make([]error, len(specs))
	for i, s := range specs {
		wait.Go(func() { errs[i] = c.stop(s) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (c *Cluster) stop(s Spec) error {
	if ch := c.child(s.Name); ch != nil {
		if err := endChild(ch, c.stopTime); err != nil {
			return err
		}
	}
	if pid := readPid(s); runs(pid, c.cfg.Dir) {
		return endPid(pid, c.cfg.Dir, c.stopTime)
	}
	return nil
}

// endChild ends a process of our own and waits until it is reaped.
func endChild(ch *child, patience time.Duration) error {
	if ch.ended() {
		return nil
	}
	_ = syscall.Kill(ch.pid, syscall.SIGTERM)
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-ch.over:
		return nil
	case <-t.C:
	}
	_ = syscall.Kill(ch.pid, syscall.SIGKILL)
	<-ch.over // nothing survives SIGKILL but a process stuck in the kernel
	return fmt.Errorf("%s (pid %d) did not end within %s of SIGTERM and was killed; its log: %s", ch.spec.Name, ch.pid, patience, ch.spec.logFile())
}

// endPid ends a process of this cluster that is not our child.
func endPid(pid int, dir string, patience time.Duration) error {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if !runs(pid, dir) {
			return nil
		}
		if err := syscall.Kill(pid, sig); err != nil {
			if errors.Is(err, syscall.ESRCH) {
				return nil
			}
			return fmt.Errorf("pid %d: %w", pid, err)
		}
		deadline := time.NewTimer(patience)
		tick := time.NewTicker(pollTime)
		gone := awaitGone(pid, dir, deadline.C, tick.C)
		deadline.Stop()
		tick.Stop()
		if gone {
			return nil
		}
	}
	return fmt.Errorf("pid %d does not end", pid)
}

func awaitGone(pid int, dir string, deadline, tick <-chan time.Time) bool {
	for {
		if !runs(pid, dir) {
			return true
		}
		select {
		case <-deadline:
			return false
		case <-tick:
		}
	}
}
