// Command load is the client of the relay's rows, in a process of its own so that its work is
// in nobody else's account. It reads one Order as JSON from standard input, prints "ready" once
// every connection serves, and then answers each line "count" with what it has counted so far.
// The end of its input ends it.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"queen-rbee/cmd/internal/bench/relay/order"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// load is the work under way.
type load struct {
	counted atomic.Int64
	failed  chan error // the first failure ends everything
}

func (l *load) fail(err error) {
	select {
	case l.failed <- err:
	default:
	}
}

func run(in io.Reader, out io.Writer) error {
	lines := bufio.NewReaderSize(in, 1<<20)
	text, err := lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	var o order.Order
	if err := json.Unmarshal(text, &o); err != nil {
		return err
	}
	l := &load{failed: make(chan error, 1)}
	ready := make(chan struct{})
	switch o.Kind {
	case order.Stream:
		go l.streams(o.Requests, ready)
	case order.Submit:
		go l.submits(o.Requests, ready)
	default:
		return fmt.Errorf("kind %q is not known", o.Kind)
	}
	<-ready
	select {
	case err := <-l.failed:
		return err
	default:
	}
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return err
	}
	asked := make(chan error)
	go func() {
		for {
			_, err := lines.ReadString('\n')
			asked <- err
		}
	}()
	for {
		select {
		case err := <-asked:
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(out, l.counted.Load()); err != nil {
				return err
			}
		case err := <-l.failed:
			return err
		}
	}
}
