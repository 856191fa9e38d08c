package relay

import (
	"context"
	"fmt"
	"time"
)

// account is a relay with the clients that read through it.
type account struct {
	load *load
	pids []int
	idle float64 // share of a core that it uses without any client
}

// spent is what an account did in a window.
type spent struct {
	tokens int64
	cpu    time.Duration // less what it uses when idle
	wall   time.Duration
}

// perToken is CPU in us.
func (s spent) perToken() float64 {
	return float64(s.cpu) / float64(time.Microsecond) / float64(max(1, s.tokens))
}

// perSecond is tokens relayed.
func (s spent) perSecond() float64 { return float64(s.tokens) / s.wall.Seconds() }

// window watches accounts for a while, all at the same time.
func window(ctx context.Context, d time.Duration, accounts ...account) ([]spent, error) {
	before, err := look(accounts)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, d); err != nil {
		return nil, err
	}
	after, err := look(accounts)
	if err != nil {
		return nil, err
	}
	out := make([]spent, len(accounts))
	for i := range out {
		wall := after[i].at.Sub(before[i].at)
		out[i] = spent{
			tokens: after[i].tokens - before[i].tokens, wall: wall,
			cpu: after[i].cpu - before[i].cpu - time.Duration(accounts[i].idle*float64(wall)),
		}
		if out[i].tokens == 0 {
			return nil, fmt.Errorf("nothing came through in %v", wall)
		}
	}
	return out, nil
}

type reading struct {
	at     time.Time
	tokens int64
	cpu    time.Duration
}

func look(accounts []account) ([]reading, error) {
	out := make([]reading, len(accounts))
	for i, a := range accounts {
		var err error
		if out[i].tokens, err = a.load.count(); err != nil {
			return nil, err
		}
		if out[i].cpu, err = cpuOf(a.pids); err != nil {
			return nil, err
		}
		out[i].at = time.Now()
	}
	return out, nil
}

// idle is the share of a core that processes use now, without any client.
func idle(ctx context.Context, d time.Duration, pids []int) (float64, error) {
	before, err := cpuOf(pids)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := pause(ctx, d); err != nil {
		return 0, err
	}
	after, err := cpuOf(pids)
	return float64(after-before) / float64(time.Since(began)), err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
