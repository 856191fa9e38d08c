package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"queen-rbee/cmd/rbee-keeper/client"
)

func modelsCommand(k *keeper) *cobra.Command {
	return group("models", "Show and change what can be asked", modelsList(k), modelsShow(k), modelsDownload(k), modelsRemove(k))
}

func modelsList(k *keeper) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the models", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return k.list(cmd.Context(), "/v2/models", nil, 0, k.modelTable)
		},
	}
}

func (k *keeper) modelTable(items []json.RawMessage) error {
	none := "no models; hives that are online bring theirs, rbee-keeper models download adds others"
	columns := []string{"MODEL", "STATE", "ENGINES", "HIVES", "WORKERS", "BUSY", "SIZE", "MEMORY", "ALIASES"}
	return printList(k, items, none, columns, func(m client.Model) []string {
		return []string{
			m.ID, m.State, strings.Join(m.Engines, ","), strings.Join(m.Hives, ","), strconv.Itoa(m.Workers),
			fmt.Sprintf("%d/%d", m.Busy, m.Workers*m.Slots), known(m.SizeBytes), known(needOf(m)), strings.Join(m.Aliases, ","),
		}
	})
}

// needOf is what a worker takes: as it was declared, or as its parts come to.
func needOf(m client.Model) int64 {
	if m.VRAMBytes > 0 || m.Memory == nil {
		return m.VRAMBytes
	}
	return m.Memory.Total
}

// known is a size, empty while nobody knows it.
func known(n int64) string {
	if n == 0 {
		return ""
	}
	return size(n)
}

func modelsShow(k *keeper) *cobra.Command {
	return &cobra.Command{
		Use: "show MODEL", Short: "Show a model: what it takes, where it is, what is loading", Args: exactly("the model"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return printOne(k, func(c *client.Client) (json.RawMessage, error) {
				return c.Model(cmd.Context(), args[0])
			}, k.modelDetails)
		},
	}
}

func (k *keeper) modelDetails(m client.Model) error {
	state := m.State
	if m.Reason != "" {
		state += ": " + m.Reason
	}
	from := "the catalog"
	if !m.Catalog {
		from = "hives' own configuration"
	}
	most := "one on each hive"
	if m.MaxReplicas > 0 {
		most = strconv.Itoa(m.MaxReplicas)
	}
	rows := [][]string{
		{"model", m.ID}, {"aliases", strings.Join(m.Aliases, ", ")}, {"from", from}, {"state", state},
		{"source", m.Source}, {"engine", strings.Join(orOne(m.Engines, m.Engine), ", ")}, {"digest", m.Digest}, {"size", known(m.SizeBytes)},
	}
	if p := m.Memory; p != nil {
		rows = append(rows, []string{"memory", fmt.Sprintf("%s: weights %s, KV cache %s, overhead %s", size(p.Total), size(p.Weights), size(p.KV), size(p.Overhead))})
	}
	if m.VRAMBytes > 0 {
		rows = append(rows, []string{"memory as declared", size(m.VRAMBytes)})
	}
	rows = append(rows,
		[]string{"slots", strconv.Itoa(m.Slots)}, []string{"context", count(m.Context, "as the engine has it")},
		[]string{"idle for", idleWord(m)}, []string{"workers", fmt.Sprintf("%d (at least %d, at most %s)", m.Workers, m.MinReplicas, most)},
		[]string{"busy", fmt.Sprintf("%d/%d", m.Busy, m.Workers*m.Slots)},
		[]string{"labels", labelWords(m.Labels)}, []string{"hives that could", strings.Join(m.Hives, ", ")},
	)
	if err := printTable(k.out, nil, rows); err != nil {
		return err
	}
	return k.modelPlaces(m)
}

// modelPlaces are a model's copies and what is on its way.
func (k *keeper) modelPlaces(m client.Model) error {
	if len(m.Copies) > 0 {
		fmt.Fprintln(k.out)
		var rows [][]string
		for _, c := range m.Copies {
			why := ""
			if c.Error != nil {
				why = c.Error.Code + ": " + c.Error.Message
			}
			rows = append(rows, []string{c.Hive, c.State, known(c.Bytes), yes(c.Wanted), why})
		}
		if err := printTable(k.out, []string{"COPY ON", "STATE", "SIZE", "WANTED", "ERROR"}, rows); err != nil {
			return err
		}
	}
	if len(m.Loads) == 0 {
		return nil
	}
	fmt.Fprintln(k.out)
	var rows [][]string
	for _, l := range m.Loads {
		far := fmt.Sprintf("%.0f%%", 100*l.Progress)
		if l.TotalBytes > 0 {
			far += fmt.Sprintf(" (%s of %s)", size(l.Bytes), size(l.TotalBytes))
		}
		rows = append(rows, []string{l.WorkerID, l.Hive, l.Device, l.State, far})
	}
	return printTable(k.out, []string{"LOADING", "HIVE", "DEVICE", "STATE", "PROGRESS"}, rows)
}

func orOne(many []string, one string) []string {
	if len(many) > 0 || one == "" {
		return many
	}
	return []string{one}
}

func count(n int, otherwise string) string {
	if n == 0 {
		return otherwise
	}
	return strconv.Itoa(n)
}

func idleWord(m client.Model) string {
	switch {
	case m.Pin, m.IdleTTL == "-1", m.IdleTTL == "" && m.Source == "": // unless a request says otherwise
		return "ever"
	case m.IdleTTL == "":
		return "the default"
	}
	return m.IdleTTL
}

func labelWords(labels map[string]string) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		words = append(words, name+"="+labels[name])
	}
	return strings.Join(words, ",")
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func modelsRemove(k *keeper) *cobra.Command {
	var files bool
	var hives []string
	cmd := &cobra.Command{
		Use: "remove MODEL...", Aliases: []string{"rm"}, Short: "Take models out of the catalog, or only their files off hives",
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 || slices.Contains(args, ""):
				return usagef(cmd, "the model is missing")
			case len(hives) > 0 && !files:
				return usagef(cmd, "--hive names where files go: say --files too")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := k.client(nil)
			if err != nil {
				return err
			}
			defer c.Close()
			return each(k, args, func(ref string) (string, error) {
				if files {
					return ref + " is wanted there no more", c.EvictModel(cmd.Context(), ref, hives)
				}
				return ref + " removed", c.DropModel(cmd.Context(), ref)
			})
		},
	}
	cmd.Flags().BoolVar(&files, "files", false, "keep the model, but not its files; ends downloads too")
	cmd.Flags().StringSliceVar(&hives, "hive", nil, "with --files: only on this hive (repeatable)")
	return cmd
}
