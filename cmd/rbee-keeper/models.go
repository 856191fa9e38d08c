package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

func modelsCommand(k *keeper) *cobra.Command {
	return group("models", "Show what can be asked", &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the models", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return k.list(cmd.Context(), "/v2/models", nil, 0, k.modelTable)
		},
	})
}

// model is one item of the list: the OpenAI shape with what the hives say of it.
type model struct {
	ID      string   `json:"id"`
	Ref     string   `json:"ref"`
	State   string   `json:"state"`
	Engines []string `json:"engines"`
	Hives   []string `json:"hives"`
	Workers int      `json:"workers"`
	Slots   int      `json:"slots"`
	Busy    int      `json:"busy"`
}

func (k *keeper) modelTable(items []json.RawMessage) error {
	none := "no models; hives that are online bring theirs"
	return printList(k, items, none, []string{"MODEL", "STATE", "ENGINES", "HIVES", "WORKERS", "BUSY"}, func(m model) []string {
		return []string{
			cmp.Or(m.Ref, m.ID), m.State, strings.Join(m.Engines, ","), strings.Join(m.Hives, ","),
			strconv.Itoa(m.Workers), fmt.Sprintf("%d/%d", m.Busy, m.Slots),
		}
	})
}
