package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"queen-rbee/cmd/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program: 0 when it was asked to end, 1 when it failed, 2 when it was told wrong.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	w := NewWorker(stderr)
	err := w.ParseFlags(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		_, _ = fmt.Fprint(stdout, w.Usage())
		return 0
	case err == nil && w.Options.Version:
		_, _ = fmt.Fprintln(stdout, "rbee-worker", version.String())
		return 0
	case err == nil:
		err = w.Validate()
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "rbee-worker: %v\nSee rbee-worker --help.\n", err)
		return 2
	}
	err = w.Run(ctx)
	var told *StartExit
	switch {
	case errors.As(err, &told):
		_, _ = fmt.Fprintf(stderr, "rbee-worker: %v\n", err)
		return told.Code
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "rbee-worker: %v\n", err)
		return 1
	}
	return 0
}
