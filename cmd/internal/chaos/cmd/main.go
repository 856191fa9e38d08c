// Command cmd is make chaos: a cluster of real processes, faults, clients, and a table that
// says what was lost. See docs/chaos.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"

	"queen-rbee/cmd/internal/chaos"
	"queen-rbee/cmd/internal/e2e/rig"
)

func main() {
	rig.Guard()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run is 0 without a violation, 1 with one or when nothing was proven, 2 when it was told wrong.
func run(ctx context.Context, args []string) int {
	var c chaos.Config
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	c.Flags(flags, rand.Uint64N(1_000_000))
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if err := c.Validate(); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 2
	}
	if err := chaos.Run(ctx, c, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 1
	}
	return 0
}
