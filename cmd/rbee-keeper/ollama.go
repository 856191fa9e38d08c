package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"queen-rbee/cmd/rbee-keeper/client"
)

// ollamaWords are commands under the names that Ollama has for them; run is an alias of infer.
func ollamaWords(k *keeper) []*cobra.Command {
	as := func(name string, cmd *cobra.Command) *cobra.Command {
		cmd.Short += ", as models " + cmd.Name()
		cmd.Use, cmd.Aliases, cmd.Example = strings.Replace(cmd.Use, cmd.Name(), name, 1), nil, ""
		return cmd
	}
	return []*cobra.Command{
		as("pull", modelsDownload(k)), as("rm", modelsRemove(k)), as("list", modelsList(k)), as("show", modelsShow(k)), psCommand(k),
	}
}

func psCommand(k *keeper) *cobra.Command {
	return &cobra.Command{
		Use: "ps", Short: "List the models that are loaded, where, and until when", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return k.list(cmd.Context(), "/v2/workers", nil, 0, k.psTable)
		},
	}
}

func (k *keeper) psTable(items []json.RawMessage) error {
	loaded := slices.DeleteFunc(items, func(raw json.RawMessage) bool {
		var w client.Worker
		return json.Unmarshal(raw, &w) == nil && (w.State == "stopped" || w.State == "failed")
	})
	now := time.Now()
	none := "nothing is loaded; the first request for a model loads it"
	return printList(k, loaded, none, []string{"MODEL", "HIVE", "DEVICE", "VRAM", "SLOTS", "STATE", "UNTIL"}, func(w client.Worker) []string {
		return []string{w.Model, w.Hive, w.Device, size(w.VRAMBytes), fmt.Sprintf("%d/%d", w.Busy, w.Slots), w.State, untilWord(w, now)}
	})
}

// untilWord says when a worker leaves by itself.
func untilWord(w client.Worker, now time.Time) string {
	at, err := time.Parse(time.RFC3339, w.KeepUntil)
	switch {
	case w.State == "draining":
		return "its last run ends"
	case w.State != "idle" && w.State != "busy":
		return ""
	case w.Busy > 0:
		return "in use"
	case err != nil:
		return "for ever"
	case at.Before(now):
		return "now"
	}
	return "in " + short(at.Sub(now))
}
