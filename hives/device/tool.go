package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

const (
	maxOutput  = 4 << 20 // of a tool; a machine with sixteen GPUs and all their processes writes a quarter of it
	maxMessage = 200
)

// runner gives what a tool of the system writes. exec.ErrNotFound: this machine has none.
type runner func(ctx context.Context, name string, args ...string) ([]byte, error)

// run is the runner of real tools. When ctx ends the tool is killed.
func run(ctx context.Context, name string, args ...string) ([]byte, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, err
	}
	out, said := limited{left: maxOutput}, limited{left: maxMessage, cut: true}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "RBEE_") }), "LC_ALL=C")
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.WaitDelay = endTime / 2 // somebody else may hold its pipes
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case out.over:
		return nil, fmt.Errorf("it writes more than %d MiB", maxOutput>>20)
	case err != nil:
		// nvidia-smi says what is wrong where it else answers.
		return nil, &toolError{err: err, said: message(said.text.String(), out.text.String())}
	}
	return out.text.Bytes(), nil
}

// toolError is a tool that ended with an error, and what it said.
type toolError struct {
	err  error
	said string
}

func (e *toolError) Error() string {
	if e.said == "" {
		return e.err.Error()
	}
	return fmt.Sprintf("%v: %s", e.err, e.said)
}

func (e *toolError) Unwrap() error { return e.err }

// code is the exit code a tool ended with; -1 if it did not come so far.
func code(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// limited keeps so many bytes. The rest it refuses, or cuts off.
type limited struct {
	text bytes.Buffer
	left int
	cut  bool
	over bool
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	l.text.Write(p[:n])
	if l.over = l.over || n < len(p); l.over && !l.cut {
		return n, errors.New("too much")
	}
	return len(p), nil
}

// message is the first line that says something.
func message(texts ...string) string {
	for _, text := range texts {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				return strings.ToValidUTF8(line[:min(len(line), maxMessage)], "")
			}
		}
	}
	return ""
}
