package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"queen-rbee/cluster"
	"queen-rbee/cmd/internal/settings"
)

func recoverCommand() *cobra.Command {
	var dir string
	var yes bool
	cmd := &cobra.Command{
		Use: "recover", Short: "Make a cluster of one from a queen whose majority is lost for good", Args: cobra.NoArgs,
		Long: `Make a cluster of one from a stopped queen (or relay) when a majority of its cluster is lost
for good. It keeps everything this queen had in its log, under a new cluster id and epoch.

Without --yes it only tells what it would do. If several queens are left, look at each and
recover the one with the highest term, then index; never more than one. The others, and
new ones, join it with empty data directories.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			src, err := settings.Load(cmd.Flags(), nil)
			if err != nil {
				return err
			}
			if dir == "" {
				return src.Errorf("data-dir", "is empty: give the data directory of the queen that is left")
			}
			return recoverQueen(cmd.OutOrStdout(), dir, yes)
		},
	}
	cmd.Flags().StringVar(&dir, "data-dir", "", "data directory of the queen that is left, stopped")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it; else only tell what would be done")
	return cmd
}

func recoverQueen(out io.Writer, dir string, yes bool) error {
	log := hclog.New(&hclog.LoggerOptions{Name: "recover", Level: hclog.Warn, Output: os.Stderr})
	act := cluster.Inspect
	if yes {
		act = cluster.Recover
	}
	r, err := act(dir, log)
	if err != nil {
		return err
	}
	lost := "no other member"
	if len(r.Lost) > 0 {
		lost = strings.Join(r.Lost, ", ")
	}
	fmt.Fprintf(out, `queen    %s of cluster %s
log      ends with term %d, index %d; %d entries since the last snapshot
state    at index %d
lost     %s

Kept: everything in this queen's log, committed or not. May be lost: what the others committed
and this queen had not heard of: jobs they had acknowledged, and ends they had told. A job that
had ended there may run again.
`, r.Queen, r.Cluster, r.LogTerm, r.LogIndex, r.Unsettled, r.Index, lost)
	if !yes {
		return errors.New("nothing was changed: see that the lost queens stay off, then give --yes")
	}
	fmt.Fprintf(out, `
Done: queen %s is all of cluster %s, which has a new epoch. %d jobs wait, %d that ran wait again
with attempts raised by 1000, %d ended as failed and %d as cancelled.
Start it as before (without --role). Others join it with empty data directories.
`, r.Queen, r.NewCluster, r.Jobs.Queued, r.Jobs.Requeued, r.Jobs.Failed, r.Jobs.Ended)
	return nil
}
