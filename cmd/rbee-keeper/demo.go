package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"queen-rbee/cmd/rbee-keeper/local"
)

// demoTime bounds the whole story; it takes well under half of that.
const demoTime = 3 * time.Minute

func demoCommand(k *keeper) *cobra.Command {
	var cfg local.Config
	s := &story{k: k, lag: 5 * time.Second}
	cmd := &cobra.Command{
		Use: "demo", Short: "Kill the leader under load and show that nothing is lost", Args: cobra.NoArgs,
		Long: `Start a cluster of real processes on this machine, run dozens of prompts through all queens,
kill the leading queen with SIGKILL in mid-stream, and check that every stream is whole, that
every accepted job ended exactly once and that all replicas are equal. The exit code is 0
only if all of that is true.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case cfg.Queens < 3:
				return usagef(cmd, "--queens: with %d the death of the leader leaves no majority; use 3 or more", cfg.Queens)
			case cfg.Hives < 1:
				return usagef(cmd, "--hives: at least 1 is needed")
			case s.size.streams < 1 || s.size.jobs < 2 || s.size.tokens < 10:
				return usagef(cmd, "--streams must be 1 or more, --jobs 2 or more, --tokens 10 or more")
			}
			return k.demo(cmd.Context(), cfg, s)
		},
	}
	clusterFlags(cmd.Flags(), &cfg)
	f := cmd.Flags()
	f.IntVar(&s.size.streams, "streams", 24, "prompts to stream")
	f.IntVar(&s.size.jobs, "jobs", 60, "detached jobs to queue")
	f.IntVar(&s.size.tokens, "tokens", 120, "tokens of each answer")
	f.StringVar(&s.model, "model", "builtin/markov", "model to ask")
	return cmd
}

func (k *keeper) demo(ctx context.Context, cfg local.Config, s *story) error {
	ctx, cancel := context.WithTimeoutCause(ctx, demoTime, fmt.Errorf("the demo is not over after %s", demoTime))
	defer cancel()
	s.screen = newScreen(k)
	cfg.Say = func(text string) { s.screen.step("%s", text) }
	s.began = time.Now()
	s.screen.step("starting %d queens and %d hives as processes of this machine", cfg.Queens, cfg.Hives)
	err := k.withCluster(ctx, cfg, func(ctx context.Context, c *local.Cluster) error {
		s.cluster, s.cfg = c, cfg
		defer s.screen.clear()
		return s.tell(ctx)
	})
	if err != nil {
		return err
	}
	s.report.TotalMS = millis(time.Since(s.began))
	if err := s.print(); err != nil {
		return err
	}
	if !s.report.True {
		return errors.New("the story is not true, see above")
	}
	return nil
}

func millis(d time.Duration) int64 { return d.Milliseconds() }
