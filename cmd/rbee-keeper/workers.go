package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"queen-rbee/cmd/rbee-keeper/client"
)

func workersCommand(k *keeper) *cobra.Command {
	return group("workers", "Show, start and stop the processes that hold models", workersList(k), workersSpawn(k), workersStop(k))
}

func workersList(k *keeper) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the workers", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return k.list(cmd.Context(), "/v2/workers", nil, 0, k.workerTable)
		},
	}
}

func (k *keeper) workerTable(items []json.RawMessage) error {
	now := time.Now()
	none := "no workers; the first request for a model starts one"
	return printList(k, items, none, []string{"ID", "HIVE", "DEVICE", "MODEL", "ENGINE", "STATE", "BUSY", "MEMORY", "USED"}, func(w client.Worker) []string {
		return []string{
			w.ID, w.Hive, w.Device, w.Model, w.Engine, w.State, fmt.Sprintf("%d/%d", w.Busy, w.Slots),
			size(w.VRAMBytes), ago(w.LastUsedAt, now),
		}
	})
}

func workersSpawn(k *keeper) *cobra.Command {
	var s client.Spawn
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "spawn MODEL", Short: "Start a worker for a model", Args: exactly("the model"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if s.Slots < 0 || wait < 0 {
				return usagef(cmd, "--slots and --wait take nothing below 0 (%s, %s)", strconv.Itoa(s.Slots), wait)
			}
			c, err := k.client(nil)
			if err != nil {
				return err
			}
			defer c.Close()
			s.Model = args[0]
			out, err := c.SpawnWorker(cmd.Context(), s, wait)
			if err != nil {
				return err
			}
			if k.output != "table" {
				return k.print(out)
			}
			fmt.Fprintln(k.out, out.WorkerID, out.State)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.Hive, "hive", "", "on this hive (default: where it fits best)")
	f.StringVar(&s.Device, "device", "", "on this device of the hive")
	f.IntVar(&s.Slots, "slots", 0, "runs at once (default: the engine's)")
	f.DurationVar(&wait, "wait", 0, "wait so long for it to be ready")
	return cmd
}

func workersStop(k *keeper) *cobra.Command {
	return &cobra.Command{
		Use: "stop ID...", Short: "Stop workers",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef(cmd, "the worker's id is missing")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := k.client(nil)
			if err != nil {
				return err
			}
			defer c.Close()
			return each(k, args, func(id string) (string, error) {
				return id + " stopping", c.StopWorker(cmd.Context(), id)
			})
		},
	}
}
