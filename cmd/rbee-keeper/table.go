package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"go.yaml.in/yaml/v3"

	"queen-rbee/cmd/rbee-keeper/client"
)

// printList prints raw items: the queens' own JSON as json or yaml, or a table of one row
// each.
func printList[T any](k *keeper, items []json.RawMessage, none string, columns []string, row func(T) []string) error {
	if k.output != "table" {
		if items == nil {
			items = []json.RawMessage{}
		}
		return k.print(map[string]any{"items": items})
	}
	rows := make([][]string, len(items))
	for i, raw := range items {
		var item T
		if err := json.Unmarshal(raw, &item); err != nil {
			return fmt.Errorf("item %d of the answer: %w", i+1, err)
		}
		rows[i] = row(item)
	}
	if len(rows) == 0 {
		k.say("%s", none)
		return nil
	}
	return printTable(k.out, columns, rows)
}

// printOne gets one thing and prints it: the queen's own JSON as json or yaml, or what details
// makes of it.
func printOne[T any](k *keeper, get func(*client.Client) (json.RawMessage, error), details func(T) error) error {
	c, err := k.client(nil)
	if err != nil {
		return err
	}
	defer c.Close()
	raw, err := get(c)
	if err != nil {
		return err
	}
	if k.output != "table" {
		return k.print(raw)
	}
	var thing T
	if err := json.Unmarshal(raw, &thing); err != nil {
		return err
	}
	return details(thing)
}

// print writes a value as json or yaml.
func (k *keeper) print(v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if k.output != "yaml" {
		_, err = fmt.Fprintf(k.out, "%s\n", data)
		return err
	}
	// JSON is YAML: parsing it as such keeps the order of the keys.
	var node yaml.Node
	if err := yaml.Unmarshal(data, &node); err != nil {
		return err
	}
	blockStyle(&node)
	enc := yaml.NewEncoder(k.out)
	enc.SetIndent(2)
	if err := enc.Encode(&node); err != nil {
		return err
	}
	return enc.Close()
}

func blockStyle(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode {
		n.Style = 0
	} else if n.Tag == "!!str" && n.Style == yaml.DoubleQuotedStyle {
		n.Style = 0 // the encoder quotes what needs it
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}

// printTable aligns columns for people.
func printTable(w io.Writer, columns []string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(columns) > 0 {
		fmt.Fprintln(tw, strings.Join(columns, "\t"))
	}
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, c := range row {
			cells[i] = cell(c)
		}
		fmt.Fprintln(tw, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	return tw.Flush()
}

// cell keeps foreign text from breaking the table or the terminal.
func cell(s string) string {
	if s == "" {
		return "-"
	}
	return printable(s, false)
}

// printable drops control characters, which could drive the terminal; lines keeps line
// breaks and tabs.
func printable(s string, lines bool) string {
	return strings.Map(func(r rune) rune {
		switch {
		case lines && (r == '\n' || r == '\t'):
			return r
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return -1
		}
		return r
	}, s)
}

// ago is the time since an RFC 3339 text, in words for a table.
func ago(at string, now time.Time) string {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return at
	}
	return short(now.Sub(t))
}

// short is a duration with one unit.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// size is a number of bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, exp := float64(n)/unit, 0
	for value >= unit && exp < 4 {
		value /= unit
		exp++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTP"[exp])
}
