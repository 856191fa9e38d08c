package rig

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// Guard is the guard's main function for a program that uses Alone: it must be called first
// thing, and does not return in the process that Alone starts as its guard.
func Guard() {
	if dir := os.Getenv(guardOf); dir != "" {
		os.Exit(guard(dir))
	}
}

// Alone lets a program that is no test use the rig: it builds the binaries, or takes those
// in the directory RBEE_E2E_BIN, and calls do on a goroutine of its own with something that
// fails like a test. say is told what a test would log, by one goroutine at a time. The
// error is what do failed of; ctx is the one that t.Context derives from.
func Alone(ctx context.Context, say func(text string), do func(t testing.TB)) error {
	stop, err := open()
	if err != nil {
		return err
	}
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	p := &program{ctx: ctx, say: say}
	var wait sync.WaitGroup
	wait.Go(func() { do(p) })
	wait.Wait()
	cancel()
	for _, f := range slices.Backward(p.cleanups) {
		wait.Go(f)
		wait.Wait()
	}
	return p.err
}

// open makes the root directory, its guard and the binaries.
func open() (stop func(), err error) {
	if root, err = os.MkdirTemp("", "rbee-e2e-"); err != nil {
		return nil, err
	}
	stop, err = startGuard()
	if err != nil {
		return nil, err
	}
	if bins = os.Getenv("RBEE_E2E_BIN"); bins == "" {
		bins = filepath.Join(root, "bin")
		if err := build(); err != nil {
			stop()
			return nil, err
		}
	}
	return stop, nil
}

// Root is the directory of everything this program makes; it goes away with the program.
func Root() string { return root }

// program is what Alone gives in place of a test. The embedded interface is nil: what the rig
// does not use, is not there.
type program struct {
	testing.TB
	ctx context.Context
	say func(string)

	mu       sync.Mutex
	err      error
	cleanups []func()
}

func (p *program) Helper()                  {}
func (p *program) Name() string             { return "alone" }
func (p *program) Context() context.Context { return p.ctx }
func (p *program) Fatal(args ...any)        { p.Error(args...); runtime.Goexit() }
func (p *program) Skip(args ...any)         { p.Fatal(args...) }
func (p *program) Log(args ...any)          { p.Logf("%s", fmt.Sprint(args...)) }
func (p *program) Error(args ...any)        { p.Errorf("%s", fmt.Sprint(args...)) }

func (p *program) Fatalf(format string, args ...any) {
	p.Errorf(format, args...)
	runtime.Goexit()
}

func (p *program) Logf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.say(fmt.Sprintf(format, args...))
}

// Errorf keeps the first as the program's error and tells of all.
func (p *program) Errorf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	p.Logf("%v", err)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

func (p *program) Failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err != nil
}

func (p *program) Cleanup(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleanups = append(p.cleanups, f)
}
