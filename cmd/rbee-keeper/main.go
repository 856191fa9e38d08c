package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// Main is the whole program; it returns the exit code. The first SIGINT, SIGTERM or SIGHUP
// ends it in order; the second at once, unless there are processes to be ended first.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	k := &keeper{in: stdin, out: stdout, err: stderr}
	defer context.AfterFunc(ctx, func() {
		if !k.holding.Load() {
			stop()
		}
	})()
	cmd := root(k)
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	return k.exit(cmd.ExecuteContext(ctx))
}

// hold is called by commands that have processes to end: from here on, neither a second
// signal nor a closed pipe ends this one early.
func (k *keeper) hold() (release func()) {
	k.holding.Store(true)
	pipe := make(chan os.Signal, 1) // never read: a write to a closed pipe is then just an error
	signal.Notify(pipe, syscall.SIGPIPE)
	return func() {
		signal.Stop(pipe)
		k.holding.Store(false)
	}
}
