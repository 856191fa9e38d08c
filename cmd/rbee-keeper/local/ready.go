package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"queen-rbee/cmd/rbee-keeper/client"
)

// How long a start may take, and how often it is looked at.
const (
	startTime = 60 * time.Second
	pollTime  = 25 * time.Millisecond
	tailLines = 20
)

// poll asks check until it says nothing is missing. A process of ours that ends meanwhile
// ends the wait at once; that, and the deadline, is told with the tail of the log of the
// process that check blames.
func (c *Cluster) poll(ctx context.Context, check func(context.Context) (blame Spec, missing error)) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		blame, missing := check(ctx)
		if missing == nil {
			return nil
		}
		if dead := c.deadChild(); dead != nil {
			return fmt.Errorf("%s ended while starting (%s); its log says:\n%s", dead.spec.Name, dead.how, tail(dead.spec.logFile(), tailLines))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
				return context.Cause(ctx)
			}
			return fmt.Errorf("%s is not ready after %s: %w; its log says:\n%s", blame.Name, startTime, missing, tail(blame.logFile(), tailLines))
		}
	}
}

func (c *Cluster) deadChild() *child {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range append(append([]Spec(nil), c.queens...), c.hives...) {
		if ch := c.children[s.Name]; ch != nil && ch.ended() {
			return ch
		}
	}
	return nil
}

// awaitReady waits until a queen serves and knows a leader.
func (c *Cluster) awaitReady(ctx context.Context, q Spec) error {
	api, err := impatient(q.URL, c.key)
	if err != nil {
		return err
	}
	defer api.Close()
	return c.poll(ctx, func(ctx context.Context) (Spec, error) {
		_, err := api.Ready(ctx, true)
		return q, err
	})
}

// impatient asks one queen once per call.
func impatient(url, key string) (*client.Client, error) {
	return client.New(client.Config{Queens: []string{url}, APIKey: key, Patience: time.Nanosecond, AnswerTimeout: 3 * time.Second})
}

// awaitQueens waits until each queen is ready and the first sees all alive, voters voting.
func (c *Cluster) awaitQueens(ctx context.Context) error {
	for _, q := range c.queens {
		if err := c.awaitReady(ctx, q); err != nil {
			return err
		}
	}
	return c.poll(ctx, func(ctx context.Context) (Spec, error) {
		cl, err := c.api.Cluster(ctx)
		if err != nil {
			return c.queens[0], err
		}
		seen := map[string]client.Queen{}
		for _, q := range cl.Queens {
			seen[q.ID] = q
		}
		for _, q := range c.queens {
			switch got, ok := seen[q.Name]; {
			case !ok:
				return q, errors.New("it has not joined")
			case got.Votes == (q.Role == roleRelay) || got.Status != "alive":
				return q, fmt.Errorf("the cluster sees it as %s, votes: %v, %s", got.Role, got.Votes, got.Status)
			}
		}
		return Spec{}, nil
	})
}

// awaitHives waits until every hive is online.
func (c *Cluster) awaitHives(ctx context.Context) error {
	return c.poll(ctx, func(ctx context.Context) (Spec, error) {
		hives, err := c.api.Hives(ctx)
		if err != nil {
			return c.queens[0], err
		}
		status := map[string]string{}
		for _, h := range hives {
			status[h.ID] = h.Status
		}
		for _, h := range c.hives {
			switch status[h.Name] {
			case "online":
			case "":
				return h, errors.New("it has not registered")
			default:
				return h, fmt.Errorf("the cluster sees it as %s", status[h.Name])
			}
		}
		return Spec{}, nil
	})
}
