package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"queen-rbee/cmd/rbee-keeper/catalog"
	"queen-rbee/cmd/rbee-keeper/client"
)

type applyOptions struct {
	file               string
	yes, dryRun, prune bool
}

func applyCommand(k *keeper) *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Make the catalog of models what a file says",
		Long: `Make the catalog of models what a file says. What would change is shown first, and asked about.

The file is declarative: a field that an entry does not have is as by default. Models that the file
does not name stay, unless --prune is given. "-" is stdin.`,
		Example: `  rbee-keeper apply -f models.yaml --dry-run
  rbee-keeper apply -f models.yaml --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.file == "":
				return usagef(cmd, "the file is missing: give it with -f")
			case !o.yes && !o.dryRun && (o.file == "-" || !isTerminal(k.in)):
				return usagef(cmd, "nobody can be asked here: give --yes, or --dry-run")
			}
			return k.apply(cmd, o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "the file, or - for stdin")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&o.dryRun, "dry-run", false, "only show what would change")
	f.BoolVar(&o.prune, "prune", false, "remove the models of the catalog that the file does not name")
	return cmd
}

// applied is the outcome for scripts.
type applied struct {
	Changes   []catalog.Change `json:"changes"`
	Unchanged int              `json:"unchanged"`
	Applied   bool             `json:"applied"`
}

func (k *keeper) apply(cmd *cobra.Command, o applyOptions) error {
	file, err := readCatalog(o.file, k.in)
	if e, ok := errors.AsType[*catalog.Error](err); ok {
		return usagef(nil, "%s: %v", o.file, e)
	}
	if err != nil {
		return err
	}
	c, err := k.client(nil)
	if err != nil {
		return err
	}
	defer c.Close()
	now, err := catalogNow(cmd.Context(), c)
	if err != nil {
		return err
	}
	changes, same, err := catalog.Diff(file, now, o.prune)
	if err != nil {
		return err
	}
	k.showChanges(changes, same)
	out := applied{Changes: append([]catalog.Change{}, changes...), Unchanged: same}
	if len(changes) > 0 && !o.dryRun {
		if !o.yes && !k.agree("apply this? [y/N] ") {
			return errors.New("nothing was changed")
		}
		if err := k.carryOut(cmd.Context(), c, changes); err != nil {
			return err
		}
		out.Applied = true
	}
	if k.output != "table" {
		return k.print(out)
	}
	return nil
}

func readCatalog(name string, in io.Reader) ([]catalog.Entry, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, catalog.MaxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > catalog.MaxFile {
		return nil, &catalog.Error{Problem: fmt.Sprintf("is over %d MiB", catalog.MaxFile>>20)}
	}
	return catalog.Read(data)
}

// catalogNow is what the catalog holds, by ref, as the leader has it.
func catalogNow(ctx context.Context, c *client.Client) (map[string]json.RawMessage, error) {
	items, err := c.List(ctx, "/v2/models", map[string][]string{"consistency": {"strong"}}, 0)
	if err != nil {
		return nil, err
	}
	now := map[string]json.RawMessage{}
	for _, raw := range items {
		var m client.Model
		if err := json.Unmarshal(raw, &m); err != nil {
			return nil, err
		}
		if m.Catalog {
			now[m.ID] = raw
		}
	}
	return now, nil
}

var signs = map[string]string{catalog.Create: "+", catalog.Update: "~", catalog.Delete: "-"}

// showChanges prints them for people.
func (k *keeper) showChanges(changes []catalog.Change, same int) {
	if k.output != "table" {
		return
	}
	for _, c := range changes {
		fmt.Fprintf(k.out, "%s %s\n", signs[c.Action], printable(c.Ref, false))
		for _, f := range c.Fields {
			to := valueWord(f.To)
			if c.Action == catalog.Update {
				to = valueWord(f.From) + " -> " + to
			}
			fmt.Fprintf(k.out, "    %s: %s\n", f.Name, printable(to, false))
		}
	}
	word := "unchanged"
	if len(changes) == 0 {
		word += "; there is nothing to do"
	}
	fmt.Fprintf(k.out, "%d %s\n", same, word)
}

func valueWord(v any) string {
	switch v := v.(type) {
	case nil:
		return "(default)"
	case string:
		return v
	case float64:
		return fmt.Sprintf("%.0f", v)
	}
	data, err := json.Marshal(v)
	if err != nil { // it came out of JSON or YAML
		return fmt.Sprint(v)
	}
	return string(data)
}

// agree asks a person.
func (k *keeper) agree(question string) bool {
	fmt.Fprint(k.err, question)
	line, err := bufio.NewReader(k.in).ReadString('\n')
	word := strings.ToLower(strings.TrimSpace(line))
	return err == nil && (word == "y" || word == "yes")
}

func (k *keeper) carryOut(ctx context.Context, c *client.Client, changes []catalog.Change) error {
	byRef := map[string]catalog.Change{}
	var refs []string
	for _, ch := range changes {
		byRef[ch.Ref], refs = ch, append(refs, ch.Ref)
	}
	var failed error
	for _, ref := range refs {
		ch, done := byRef[ref], "updated"
		var err error
		switch ch.Action {
		case catalog.Delete:
			done, err = "removed", c.DropModel(ctx, ref)
		default:
			if ch.Action == catalog.Create {
				done = "created"
			}
			err = c.PutModel(ctx, ref, ch.Body)
		}
		switch {
		case err != nil && failed != nil:
			k.say("rbee-keeper: %v", failed)
			fallthrough
		case err != nil:
			failed = fmt.Errorf("%s: %w", ref, err)
		case k.output == "table":
			fmt.Fprintln(k.out, ref, done)
		}
	}
	return failed
}
