package main

import (
	"context"
	"encoding/json"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// The command completion itself is cobra's. What follows lets it know what the cluster has.

// completionTime is how long a person at a prompt waits for a queen.
const completionTime = time.Second

// words are alternatives known beforehand.
func words(all ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp)
}

// noWords completes nothing: above all no file names.
var noWords = words()

// named completes the names of what a list of the API holds; the shell drops those that do not fit.
func (k *keeper) named(path string, query url.Values) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		names, err := k.names(cmd, path, query)
		if err != nil {
			cobra.CompDebugln(err.Error(), false)
			return nil, cobra.ShellCompDirectiveError
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// names asks the queens once; cobra has not run what settles the flags.
func (k *keeper) names(cmd *cobra.Command, path string, query url.Values) ([]cobra.Completion, error) {
	if err := k.settle(cmd); err != nil {
		return nil, err
	}
	k.patience = 0
	c, err := k.client(nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), completionTime)
	defer cancel()
	items, err := c.List(ctx, path, query, 200)
	if err != nil {
		return nil, err
	}
	var names []cobra.Completion
	for _, raw := range items {
		var item struct{ ID, State, Status, Model string }
		if err := json.Unmarshal(raw, &item); err != nil {
			return nil, err
		}
		names = append(names, cobra.CompletionWithDesc(item.ID, printable(joined(item.State, item.Status, item.Model), false)))
	}
	return names, nil
}

func joined(parts ...string) (s string) {
	for _, p := range parts {
		if s != "" && p != "" {
			s += " "
		}
		s += p
	}
	return s
}

// firstOf completes only the first argument.
func firstOf(f cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f(cmd, args, toComplete)
	}
}

// flagWords registers what a flag may be.
func flagWords(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // a flag of that name was not defined just before
	}
}

// completions tells each command what its arguments and flags may be. Queens are left out of
// it: they are no list of items.
func (k *keeper) completions(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	if shells, _, err := root.Find([]string{"completion"}); err == nil {
		shells.Args, shells.RunE = unknownCommand, showHelp // like our own groups
		shells.Short = "Print a script that completes commands in a shell"
	}
	flagWords(root, "output", words("table", "json", "yaml"))
	flagWords(root, "queen", noWords)
	flagWords(root, "api-key", noWords)
	models := k.named("/v2/models", nil)
	alive := url.Values{"state": {"running"}}
	arguments := map[string]cobra.CompletionFunc{
		"infer": firstOf(models), "chat": firstOf(models), "pull": firstOf(models), "show": firstOf(models), "rm": models,
		"models download": firstOf(models), "models show": firstOf(models), "models remove": models,
		"workers spawn": firstOf(models),
		"jobs show":     firstOf(k.named("/v2/jobs", nil)), "jobs watch": firstOf(k.named("/v2/jobs", nil)),
		"jobs cancel":  k.named("/v2/jobs", alive),
		"workers stop": k.named("/v2/workers", nil),
	}
	flags := map[string]cobra.CompletionFunc{
		"model": models, "hive": k.named("/v2/hives", nil), "priority": words("interactive", "batch"),
		"on-worker-loss": words("fail", "restart"),
		"state":          words("queued", "running", "complete", "failed", "cancelled"),
	}
	each := func(cmd *cobra.Command, path string) {
		if f, ok := arguments[path]; ok {
			cmd.ValidArgsFunction = f
		}
		for name, f := range flags {
			if cmd.Flags().Lookup(name) != nil {
				flagWords(cmd, name, f)
			}
		}
	}
	for _, cmd := range root.Commands() {
		each(cmd, cmd.Name())
		for _, sub := range cmd.Commands() {
			each(sub, cmd.Name()+" "+sub.Name())
		}
	}
}
