package hives

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

// headerTime is how long a hive may take to begin its answer, maxHeader how long its head may be.
const (
	headerTime = 15 * time.Second
	maxHeader  = 64 << 10
)

// errStale is a kept connection that the hive had closed meanwhile.
var errStale = errors.New("the kept connection was closed")

// withPort is the address that a URL's host names; without a port it is HTTP's.
func withPort(host string) string {
	if u := (url.URL{Host: host}); u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "80")
	}
	return host
}

// direct posts on a connection of the client's own making, without the two goroutines and
// buffers that net/http's transport has for each. Only for http: URLs.
func (c *Client) direct(ctx context.Context, host, path string, body []byte) (*Stream, error) {
	addr := withPort(host)
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		path, host, c.token(), len(body))
	for {
		conn := c.keep.take(addr)
		fresh := conn == nil
		if fresh {
			var err error
			if conn, err = c.dial(ctx, "tcp", addr); err != nil {
				return nil, err
			}
		}
		s, err := c.exchange(ctx, conn, addr, head, body)
		if errors.Is(err, errStale) && !fresh && ctx.Err() == nil {
			continue
		}
		if ctx.Err() != nil && err != nil {
			err = ctx.Err()
		}
		return s, err
	}
}

// exchange sends one request and reads the head of its answer. It owns conn.
func (c *Client) exchange(ctx context.Context, conn net.Conn, addr, head string, body []byte) (_ *Stream, err error) {
	w := &wire{Conn: conn, addr: addr, keep: &c.keep}
	w.release = context.AfterFunc(ctx, w.interrupt)
	defer func() {
		if err != nil {
			_ = w.Close()
		}
	}()
	out := net.Buffers{[]byte(head), body}
	_, unsent := out.WriteTo(conn) // a hive may refuse what it has not read, and hang up
	if err := w.within(headerTime); err != nil {
		return nil, err
	}
	in := bufio.NewReader(&io.LimitedReader{R: conn, N: maxHeader})
	if _, err := in.Peek(1); errors.Is(err, os.ErrDeadlineExceeded) { // its others will not be better
		c.keep.drop(addr)
		return nil, err
	} else if err != nil {
		return nil, errors.Join(errStale, unsent, err)
	}
	resp, err := http.ReadResponse(in, &http.Request{Method: http.MethodPost}) //nolint:bodyclose // the wire is its body
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, problem(resp)
	}
	if unsent != nil {
		return nil, unsent
	}
	if len(resp.TransferEncoding) != 1 || resp.TransferEncoding[0] != "chunked" {
		return nil, errChunk
	}
	if err := w.within(0); err != nil {
		return nil, err
	}
	w.last = resp.Close
	if n := in.Buffered(); n > 0 { // or in, and its buffer, would stay as long as the stream
		w.ahead, _ = in.Peek(n)
	}
	return NewStream(w), nil
}

// wire is a connection with a chunked answer under way.
type wire struct {
	net.Conn
	addr    string
	keep    *keep
	release func() bool // stops the watch of the request's context
	last    bool        // the hive closes the connection after this answer

	chunks chunks
	ahead  []byte // read with the head, and still encoded

	mu          sync.Mutex
	interrupted bool
	lent        bool // the descriptor is elsewhere: see Stream.Lend
}

// within limits the reads to come, 0 to no time, unless the request is over.
func (w *wire) within(d time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.interrupted {
		return context.Canceled
	}
	if d == 0 {
		return w.SetReadDeadline(time.Time{})
	}
	return w.SetReadDeadline(time.Now().Add(d))
}

// interrupt closes the connection, whatever is under way: the request's context has ended.
func (w *wire) interrupt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.interrupted = true
	if w.keep != nil && !w.lent {
		_ = w.Conn.Close()
	}
}

// Read implements io.Reader, without the encoding.
func (w *wire) Read(b []byte) (int, error) { return w.chunks.read(readerFunc(w.raw), b) }

func (w *wire) raw(b []byte) (int, error) {
	if len(w.ahead) > 0 {
		n := copy(b, w.ahead)
		if w.ahead = w.ahead[n:]; len(w.ahead) == 0 {
			w.ahead = nil
		}
		return n, nil
	}
	return w.Conn.Read(b)
}

// Close keeps the connection if its answer was read to the end, and closes it if not. It may be
// called again, and while a read is under way, which it breaks off.
func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.keep == nil || w.lent {
		return w.Conn.Close()
	}
	k := w.keep
	w.keep = nil
	w.release()
	if w.chunks.over() && !w.last && !w.interrupted && len(w.ahead) == 0 {
		k.put(w.addr, w.Conn)
		return nil
	}
	return w.Conn.Close()
}
