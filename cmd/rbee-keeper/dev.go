package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"queen-rbee/cmd/rbee-keeper/local"
)

func devCommand(k *keeper) *cobra.Command {
	var cfg local.Config
	var restart string
	cmd := &cobra.Command{
		Use: "dev", Short: "Run a whole cluster on this machine until Ctrl-C", Args: cobra.NoArgs,
		Long: `Run a whole cluster of real processes on this machine, with the built-in engine, until Ctrl-C.
Relays are queens that hold the state and serve every call, but never vote or lead.

D/dev.env holds what a client needs (". D/dev.env"), D/NAME/log what each process says and
D/NAME/pid its pid. Kill what you like: rbee-keeper dev --restart NAME --dir D starts it again.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if restart != "" {
				return k.devRestart(cmd, cfg.Dir, restart)
			}
			return k.dev(cmd.Context(), cfg)
		},
	}
	clusterFlags(cmd.Flags(), &cfg)
	cmd.Flags().IntVar(&cfg.Relays, "relays", 0, "how many queens beside them that never vote")
	cmd.Flags().StringVar(&restart, "restart", "", "start this process of a running dev again, e.g. queen-1 or relay-1")
	return cmd
}

// clusterFlags are those of dev and demo.
func clusterFlags(f *pflag.FlagSet, cfg *local.Config) {
	f.IntVar(&cfg.Queens, "queens", 3, "how many queens")
	f.IntVar(&cfg.Hives, "hives", 2, "how many hives")
	f.IntVar(&cfg.Slots, "slots", 8, "runs at once on each worker")
	f.Float64Var(&cfg.TokenRate, "token-rate", 50, "tokens per second of each run")
	f.StringVar(&cfg.Dir, "dir", "", "directory for everything (default: a temporary one, removed at the end)")
	f.IntVar(&cfg.BasePort, "base-port", 0, "first of the ports to use (default: any that are free)")
	f.StringVar(&cfg.HiveConfig, "hive-config", "", "config file for the hives instead of the generated one")
}

func (k *keeper) devRestart(cmd *cobra.Command, dir, name string) error {
	if dir == "" {
		return usagef(cmd, "--restart needs --dir: the directory of the running dev")
	}
	pid, err := local.Restart(cmd.Context(), dir, name)
	if err != nil {
		return err
	}
	k.say("%s runs again (pid %d)", name, pid)
	return nil
}

// withCluster runs do while a cluster is up, and ends the cluster whatever happens.
func (k *keeper) withCluster(ctx context.Context, cfg local.Config, do func(context.Context, *local.Cluster) error) (err error) {
	defer k.hold()()
	if cfg.Dir == "" {
		dir, err := os.MkdirTemp("", "rbee-dev-")
		if err != nil {
			return err
		}
		cfg.Dir = dir
		defer func() {
			if errors.Is(err, errNotStopped) { // it names logs in there
				return
			}
			_ = os.RemoveAll(dir)
		}()
	}
	c, err := local.New(cfg)
	if err != nil {
		return &usageError{err: err}
	}
	defer func() {
		if stopErr := c.Stop(); stopErr != nil {
			err = errors.Join(err, fmt.Errorf("%w: %w", errNotStopped, stopErr))
		}
	}()
	if err := c.Start(ctx); err != nil {
		return err
	}
	return do(ctx, c)
}

// errNotStopped is a cluster that did not end as it should.
var errNotStopped = errors.New("not everything ended in order")

func (k *keeper) dev(ctx context.Context, cfg local.Config) error {
	cfg.Say = func(text string) { k.say("%s", text) }
	return k.withCluster(ctx, cfg, func(ctx context.Context, c *local.Cluster) error {
		rows := [][]string{{"queens", strings.Join(c.VoterURLs(), " ")}}
		if relays := c.RelayURLs(); len(relays) > 0 {
			rows = append(rows, []string{"relays", strings.Join(relays, " ")})
		}
		err := printTable(k.out, nil, append(rows, [][]string{
			{"hives", strings.Join(c.HiveURLs(), " ")},
			{"api key", c.Key()},
			{"directory", c.Dir()},
		}...))
		if err != nil {
			return err
		}
		fmt.Fprintf(k.out, "\nin another terminal:\n  . %s\n  rbee-keeper infer builtin/markov \"Once upon a time\"\n\nready; Ctrl-C ends it\n", local.Quote(filepath.Join(c.Dir(), "dev.env")))
		c.Watch(ctx)
		k.say("stopping")
		return nil
	})
}
