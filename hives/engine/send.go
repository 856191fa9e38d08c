package engine

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"time"
)

// inline is the largest body in bytes that is written before anybody reads the answer: a socket
// takes as much whether or not its other end reads, so an engine that refuses early is heard.
const inline = 64 << 10

// until is a context that ends by its deadline alone. One that can be cancelled costs a dialer a
// goroutine and its wake-ups, a third of the time that a connection takes on one machine.
type until struct {
	context.Context
	at time.Time
}

func (u until) Deadline() (time.Time, bool) { return u.at, true }

// call is one request to an engine, sent but for what net/http's transport has to send. It is
// for one goroutine.
type call struct {
	req     *http.Request
	conn    net.Conn    // nil: the transport's
	release func() bool // stops the watch of the request's context
	unsent  error       // why not all of the request was taken
}

// send begins a request. A small one to an engine of this machine is written here: net/http's
// transport passes each through three goroutines on its way out and two on its way in, which on
// a machine at rest takes longer than the engine itself. The end of the request's context breaks
// the call off, but not the dial, which has dialTimeout. The caller closes the call.
func send(req *http.Request) (*call, error) {
	c := &call{req: req}
	here := net.ParseIP(req.URL.Hostname()).IsLoopback()
	if !here || req.URL.Scheme != "http" || req.ContentLength > inline {
		return c, nil
	}
	var d net.Dialer
	conn, err := d.DialContext(until{context.Background(), time.Now().Add(dialTimeout)}, "tcp", withPort(req.URL))
	if err != nil {
		return nil, err
	}
	c.conn = conn
	c.release = context.AfterFunc(req.Context(), func() { _ = conn.Close() })
	req.Close = true
	var out bytes.Buffer
	if err := req.Write(&out); err != nil {
		c.close()
		return nil, err
	}
	_, c.unsent = conn.Write(out.Bytes()) // an engine may refuse what it has not read, and hang up
	return c, nil
}

func withPort(u *url.URL) string {
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "80")
	}
	return u.Host
}

// answer waits for the head of the answer. Its body is to be closed.
func (c *call) answer() (*http.Response, error) {
	if c.conn == nil {
		return transport.RoundTrip(c.req)
	}
	bounded := &io.LimitedReader{R: c.conn, N: maxHeaderBytes}
	in := bufio.NewReader(bounded)
	for {
		resp, err := http.ReadResponse(in, c.req)
		switch {
		case err != nil && bounded.N == 0:
			return nil, fmt.Errorf("headers of more than %d bytes", maxHeaderBytes)
		case err != nil:
			return nil, errors.Join(c.unsent, err)
		case resp.StatusCode >= 100 && resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols:
			continue // of no answer yet; they count against the headers
		}
		bounded.N = math.MaxInt64
		resp.Body = answered{resp.Body, c}
		return resp, nil
	}
}

// close ends the call's connection, once or again: the engine is told that nobody reads it.
func (c *call) close() {
	if c.conn != nil {
		c.release()
		_ = c.conn.Close()
	}
}

// answered is a body whose connection ends with it, however much of it was read.
type answered struct {
	io.Reader
	call *call
}

func (a answered) Close() error {
	a.call.close()
	return nil
}
