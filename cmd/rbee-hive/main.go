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
	gentle, hard, release := signals()
	code := run(hard, gentle, os.Args[1:], os.Stdout, os.Stderr)
	release()
	os.Exit(code)
}

// signals gives a context that ends with the first SIGTERM or interrupt and one that ends
// with the second.
func signals() (gentle, hard context.Context, release func()) {
	gentle, first := context.WithCancel(context.Background())
	hard, second := context.WithCancel(context.Background())
	got := make(chan os.Signal, 2)
	signal.Notify(got, os.Interrupt, syscall.SIGTERM)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for range got {
			if gentle.Err() != nil {
				second()
			}
			first()
		}
	}()
	return gentle, hard, func() { signal.Stop(got); close(got); <-over; first(); second() }
}

// run is the program: 0 when it was asked to end, 1 when it failed, 2 when it was told wrong.
func run(hard, gentle context.Context, args []string, stdout, stderr io.Writer) int {
	s := NewServe(stderr)
	if len(args) > 0 && args[0] == "serve" {
		args = args[1:]
	}
	err := s.ParseFlags(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		_, _ = fmt.Fprint(stdout, s.Usage())
		return 0
	case err == nil && s.Options.Version:
		_, _ = fmt.Fprintln(stdout, "rbee-hive", version.String())
		return 0
	case err == nil:
		err = s.Validate()
	}
	if err == nil && s.Options.PrintModels {
		_, _ = fmt.Fprint(stdout, s.Models())
		return 0
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "rbee-hive: %v\nSee rbee-hive serve --help.\n", err)
		return 2
	}
	if err := s.Run(hard, gentle); err != nil {
		_, _ = fmt.Fprintf(stderr, "rbee-hive: %v\n", err)
		return 1
	}
	return 0
}
