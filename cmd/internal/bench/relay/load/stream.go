package main

import (
	"bytes"
	"fmt"
	"net"
	"sync"

	"queen-rbee/cmd/internal/bench/relay/order"
)

// opening is how many connections are made at once.
const opening = 64

// streams opens one connection for each request and counts the chunks that come.
func (l *load) streams(requests []order.Request, ready chan struct{}) {
	var begun sync.WaitGroup
	begun.Add(len(requests))
	turns := make(chan struct{}, opening)
	for _, r := range requests {
		turns <- struct{}{}
		go func() {
			var once sync.Once
			first := func() { once.Do(func() { <-turns; begun.Done() }) }
			if err := l.stream(r, first); err != nil {
				l.fail(err) // before ready can be told
			}
			first()
		}()
	}
	begun.Wait()
	close(ready)
}

// chunk begins every event that is counted.
var chunk = []byte("data: {")

// stream reads without parsing more than it must: neither HTTP's chunks nor the events matter
// here. A stream that ends is a failure: what is measured is streams that go on.
func (l *load) stream(r order.Request, first func()) error {
	c, err := net.Dial("tcp", r.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte(r.Text)); err != nil {
		return err
	}
	// What was read last time and may be the beginning of a mark stands before what is read next.
	buf, kept, status := make([]byte, 2<<10), 0, false
	for {
		n, err := c.Read(buf[kept:])
		if err != nil {
			return fmt.Errorf("a stream of %s broke off: %w", r.Addr, err)
		}
		n += kept
		if !status {
			if status = bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 200 ")); !status {
				return fmt.Errorf("%s answered %.400q", r.Addr, buf[:n])
			}
		}
		if found := bytes.Count(buf[:n], chunk); found > 0 {
			l.counted.Add(int64(found))
			first()
		}
		if n == len(buf) && len(buf) < 64<<10 {
			buf = append(buf, make([]byte, len(buf))...)
		}
		kept = copy(buf, buf[max(0, n-len(chunk)+1):n])
	}
}
