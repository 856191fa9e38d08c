// Command queen-rbee is a queen: one address for all models, and a member of the cluster
// that keeps it alive.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"queen-rbee/cluster"
	"queen-rbee/cmd/internal/settings"
	"queen-rbee/cmd/internal/version"
	"queen-rbee/fsm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := execute(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "queen-rbee:", err)
		os.Exit(exitCode(err))
	}
}

// execute runs the command line. What fails before a command has begun is its caller's mistake.
func execute(ctx context.Context) error {
	began := false
	cmd := root(&began)
	err := cmd.ExecuteContext(ctx)
	if err != nil && !began {
		return &usageError{err}
	}
	return err
}

func root(began *bool) *cobra.Command {
	cmd := &cobra.Command{
		Use: "queen-rbee", Short: "A queen: one address for all your models",
		Version: version.String(), SilenceUsage: true, SilenceErrors: true,
		PersistentPreRun: func(*cobra.Command, []string) { *began = true },
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(serveCommand(), recoverCommand())
	return cmd
}

// usageError is a mistake on the command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// exitCode is 2 for what the caller said wrong, 1 for what went wrong.
func exitCode(err error) int {
	if _, ok := errors.AsType[*usageError](err); ok {
		return 2
	}
	if _, ok := errors.AsType[*settings.Error](err); ok {
		return 2
	}
	if _, ok := errors.AsType[*cluster.ConfigError](err); ok {
		return 2
	}
	if e, ok := errors.AsType[*fsm.Error](err); ok && e.Code == fsm.CodeInvalid {
		return 2
	}
	return 1
}
