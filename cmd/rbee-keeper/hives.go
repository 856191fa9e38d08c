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
			devices = append(devices, fmt.Sprintf("%s %s%s", d.ID, size(d.TotalBytes), figures(d)))
		}
		for _, name := range slices.Sorted(maps.Keys(h.Labels)) {
			labels = append(labels, name+"="+h.Labels[name])
		}
		return []string{h.ID, h.Status, h.Desired, strings.Join(devices, ", "), strings.Join(labels, ","), ago(h.LastHeartbeatAt, now), h.URL}
	})
}

// figures is what was measured of a device, in brackets; nothing where nothing was.
func figures(d client.Device) string {
	var list []string
	if d.FreeBytes != nil {
		list = append(list, size(*d.FreeBytes)+" free")
	}
	if d.Utilisation != nil {
		list = append(list, fmt.Sprintf("%.0f %% busy", 100**d.Utilisation))
	}
	if d.TemperatureC != nil {
		list = append(list, fmt.Sprintf("%.0f °C", *d.TemperatureC))
	}
	if d.Note != "" {
		list = append(list, d.Note)
	}
	if len(list) == 0 {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}
