package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"queen-rbee/cmd/internal/settings"
	"queen-rbee/cmd/internal/version"
	"queen-rbee/cmd/rbee-keeper/client"
)

// keeper is one run of the program: its streams and global settings.
type keeper struct {
	in       io.Reader
	out, err io.Writer

	queens   []string
	apiKey   string
	output   string
	patience time.Duration
	src      settings.Sources
	holding  atomic.Bool
	running  bool // the command line was understood, the command runs

	signals <-chan os.Signal // Ctrl-C of a test's person
}

const defaultQueen = "http://127.0.0.1:7833"

func root(k *keeper) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rbee-keeper",
		Short: "Run prompts on a cluster of queens and hives, and look after it",
		Long: `Run prompts on a cluster of queens and hives, and look after it.

Every global flag can also stand in the file named by --config, or in the environment
(RBEE_QUEENS, RBEE_API_KEY, RBEE_OUTPUT, ...). With several queens the next one is asked
when one does not answer. No cluster yet? Try: rbee-keeper demo`,
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          unknownCommand,
		RunE:          showHelp,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return k.settle(cmd)
		},
	}
	f := cmd.PersistentFlags()
	f.StringSliceVar(&k.queens, "queen", []string{defaultQueen}, "URL of a queen (repeat, or separate by commas)")
	f.StringVar(&k.apiKey, "api-key", "", "API key; the first queen wrote one to DATA/admin.key")
	f.StringVarP(&k.output, "output", "o", "table", "table, json or yaml")
	f.DurationVar(&k.patience, "patience", 5*time.Second, "how long to go on asking when no queen can answer")
	settings.ConfigFlag(f)
	settings.Env(f, "queen", "RBEE_QUEENS")
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return &usageError{err: err, command: c} })
	cmd.SetVersionTemplate("rbee-keeper {{.Version}}\n")
	cmd.AddCommand(
		inferCommand(k), chatCommand(k), jobsCommand(k), hivesCommand(k), workersCommand(k), modelsCommand(k),
		applyCommand(k), queensCommand(k), statusCommand(k), devCommand(k), demoCommand(k),
	)
	cmd.AddCommand(ollamaWords(k)...)
	k.completions(cmd)
	return cmd
}

// settle reads what the command line left open and checks it, before any command runs.
func (k *keeper) settle(cmd *cobra.Command) error {
	src, err := settings.Load(cmd.Root().PersistentFlags(), nil)
	if err != nil {
		return err
	}
	switch k.output {
	case "table", "json", "yaml":
	default:
		return src.Errorf("output", "%q is not known: use table, json or yaml", k.output)
	}
	if k.patience < 0 {
		return src.Errorf("patience", "%s is below 0", k.patience)
	}
	k.src, k.running = src, true
	return nil
}

// client makes the client of the global settings. Close it.
func (k *keeper) client(notice func(string)) (*client.Client, error) {
	c, err := client.New(client.Config{Queens: k.queens, APIKey: k.apiKey, Patience: max(k.patience, time.Nanosecond), Notice: notice})
	if ce, ok := errors.AsType[*client.ConfigError](err); ok {
		return nil, k.src.Errorf(ce.Field, "%s", ce.Problem)
	}
	return c, err
}

// say writes a line for people.
func (k *keeper) say(format string, args ...any) {
	fmt.Fprintf(k.err, format+"\n", args...)
}

// isTerminal is true for a writer or reader that a person sits at.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// group makes a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: unknownCommand, RunE: showHelp}
	cmd.AddCommand(commands...)
	return cmd
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// unknownCommand refuses words behind a command that only holds others.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("%q is no command of %s", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %q?", err, near[0])
	}
	return &usageError{err: err, command: cmd}
}

// usageError is a mistake on the command line.
type usageError struct {
	err     error
	command *cobra.Command
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...), command: cmd}
}

// exactly wants one argument for each name.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef(cmd, "%s is missing", names[len(args)])
		case len(args) > len(names):
			return usagef(cmd, "%q is one argument too many", args[len(names)])
		}
		for i, a := range args {
			if a == "" {
				return usagef(cmd, "%s is empty", names[i])
			}
		}
		return nil
	}
}

// errInterrupted says nothing of what was asked for: a job that is only watched goes on.
var errInterrupted = errors.New("interrupted")
