package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"queen-rbee/cmd/internal/bench/relay/order"
)

// submits sends each request again and again, each on a connection of its own, and counts what
// was accepted. What is refused is a failure.
func (l *load) submits(requests []order.Request, ready chan struct{}) {
	var begun sync.WaitGroup
	begun.Add(len(requests))
	for _, r := range requests {
		go func() {
			var once sync.Once
			first := func() { once.Do(begun.Done) }
			if err := l.submit(r, first); err != nil {
				l.fail(err) // before ready can be told
			}
			first()
		}()
	}
	begun.Wait()
	close(ready)
}

func (l *load) submit(r order.Request, first func()) error {
	c, err := net.Dial("tcp", r.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	for {
		if _, err := io.WriteString(c, r.Text); err != nil {
			return err
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusAccepted {
			return fmt.Errorf("%s answered %s: %.400s", r.Addr, resp.Status, body)
		}
		l.counted.Add(1)
		first()
	}
}
