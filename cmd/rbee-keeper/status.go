package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"queen-rbee/cmd/rbee-keeper/client"
)

// countLimit is how far status counts jobs.
const countLimit = 2000

// overview is what status gathers.
type overview struct {
	Cluster client.Cluster  `json:"cluster"`
	Hives   []client.Hive   `json:"hives"`
	Workers []client.Worker `json:"workers"`
	Queued  int             `json:"queued_jobs"`
	Running int             `json:"running_jobs"`
	Capped  bool            `json:"jobs_capped"` // there are more than were counted
}

func statusCommand(k *keeper) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how the cluster is", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := k.client(nil)
			if err != nil {
				return err
			}
			defer c.Close()
			o, err := gather(cmd.Context(), c)
			if err != nil {
				return err
			}
			show := k.statusTable
			if k.output != "table" {
				show = func(o overview) error { return k.print(o) }
			}
			if err := show(o); err != nil {
				return err
			}
			if o.Cluster.Leader == "" {
				return errors.New("the cluster has no leader: nothing can change until a majority of queens is alive")
			}
			return nil
		},
	}
}

func gather(ctx context.Context, c *client.Client) (overview, error) {
	var o overview
	var err error
	if o.Cluster, err = c.Cluster(ctx); err != nil { // alone first: it finds the queen that answers
		return o, err
	}
	count := func(state string, n *int) func() error {
		return func() error {
			items, err := c.List(ctx, "/v2/jobs", url.Values{"state": {state}}, countLimit)
			*n = len(items)
			return err
		}
	}
	var g errgroup.Group
	g.Go(func() (err error) { o.Hives, err = c.Hives(ctx); return err })
	g.Go(func() (err error) { o.Workers, err = c.Workers(ctx); return err })
	g.Go(count(client.JobQueued, &o.Queued))
	g.Go(count(client.JobRunning, &o.Running))
	err = g.Wait()
	o.Capped = o.Queued == countLimit || o.Running == countLimit
	return o, err
}

func (k *keeper) statusTable(o overview) error {
	leader := o.Cluster.Leader
	if leader == "" {
		leader = "none"
	}
	alive := 0
	for _, q := range o.Cluster.Queens {
		if q.Status == "alive" {
			alive++
		}
	}
	online, slots, busy := 0, 0, 0
	for _, h := range o.Hives {
		if h.Status == "online" {
			online++
		}
	}
	workers := 0
	for _, w := range o.Workers {
		if w.Desired == "running" {
			workers, slots, busy = workers+1, slots+w.Slots, busy+w.Busy
		}
	}
	number := func(n int) string {
		if n == countLimit {
			return strconv.Itoa(n) + "+"
		}
		return strconv.Itoa(n)
	}
	return printTable(k.out, nil, [][]string{
		{"leader", fmt.Sprintf("%s (term %d, commit %d)", leader, o.Cluster.Term, o.Cluster.CommitIndex)},
		{"queens", fmt.Sprintf("%d of %d alive", alive, len(o.Cluster.Queens))},
		{"hives", fmt.Sprintf("%d of %d online", online, len(o.Hives))},
		{"workers", fmt.Sprintf("%d, %d of %d slots busy", workers, busy, slots)},
		{"jobs", fmt.Sprintf("%s running, %s queued", number(o.Running), number(o.Queued))},
	})
}
