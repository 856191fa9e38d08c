package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Ran is a program that has ended.
type Ran struct {
	Code     int
	Out, Err string
}

// Keeper runs rbee-keeper with the cluster's queens and key in its environment.
func (c *Cluster) Keeper(t testing.TB, queens []*Process, args ...string) Ran {
	t.Helper()
	env := []string{"RBEE_QUEENS=" + strings.Join(URLs(queens), ","), "RBEE_API_KEY=" + c.Key}
	return c.Run(t, "rbee-keeper", env, args...)
}

// Run runs a program of ours to its end, for a minute at most. A stack trace fails the test.
func (c *Cluster) Run(t testing.TB, bin string, env []string, args ...string) Ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, Bin(bin), args...)
	cmd.Env = append(environ(c.Dir, c.Dir), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := Ran{Out: out.String(), Err: errs.String()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Fatalf("%s %s has not ended:\n%s%s", bin, strings.Join(args, " "), r.Out, r.Err)
	case errors.As(err, &exit):
		r.Code = exit.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	if trace := stackTrace(r.Out + r.Err); trace != "" {
		t.Errorf("%s %s left a stack trace:\n%s", bin, strings.Join(args, " "), trace)
	}
	return r
}

// Await waits until an engine runs so many requests.
func (c *Cluster) Await(t testing.TB, w Worker, busy int) {
	t.Helper()
	Await(t, readyTime, fmt.Sprintf("%d requests in the engine", busy), func(ctx context.Context) error {
		n, err := c.Busy(ctx, w)
		if err == nil && n != busy {
			err = fmt.Errorf("there are %d", n)
		}
		return err
	})
}
