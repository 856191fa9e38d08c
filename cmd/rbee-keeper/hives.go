package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"queen-rbee/cmd/rbee-keeper/client"
)

func hivesCommand(k *keeper) *cobra.Command {
	return group("hives", "Show the machines that run models", &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the hives", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return k.list(cmd.Context(), "/v2/hives", nil, 0, k.hiveTable)
		},
	})
}

func (k *keeper) hiveTable(items []json.RawMessage) error {
	now := time.Now()
	none := "no hives; rbee-keeper queens token prints the command that starts one"
	return printList(k, items, none, []string{"ID", "STATUS", "DESIRED", "DEVICES", "LABELS", "HEARTBEAT", "URL"}, func(h client.Hive) []string {
		var devices, labels []string
		for _, d := range h.Devices {
			text := fmt.Sprintf("%s %s", d.ID, size(d.TotalBytes))
			if d.FreeBytes != nil {
				text += fmt.Sprintf(" (%s free)", size(*d.FreeBytes))
			}
			devices = append(devices, text)
		}
		for _, name := range slices.Sorted(maps.Keys(h.Labels)) {
			labels = append(labels, name+"="+h.Labels[name])
		}
		return []string{h.ID, h.Status, h.Desired, strings.Join(devices, ", "), strings.Join(labels, ","), ago(h.LastHeartbeatAt, now), h.URL}
	})
}
