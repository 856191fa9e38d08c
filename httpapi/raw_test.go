package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// listen serves the API as a queen does, on a port of its own, and gives the address.
func (w *world) listen() string {
	w.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.api.Serve(ctx, l, 0) }()
	w.Cleanup(func() {
		cancel(errors.New("the test is over")) // without a drain
		if err := <-done; err != nil {
			w.Error(err)
		}
	})
	return l.Addr().String()
}

// wire is one client's connection, on which a test writes what it likes.
type wire struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

func dial(t *testing.T, addr string) *wire {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &wire{c, t, bufio.NewReader(c)}
}

// say writes as much as the other side takes: it may hang up in the middle.
func (w *wire) say(text string) { _, _ = io.WriteString(w, text) }

// answer reads one answer; its body is read to the end. Who still sends what nobody reads may
// be reset behind it.
func (w *wire) answer() (*http.Response, string) {
	w.t.Helper()
	resp, err := http.ReadResponse(w.in, nil)
	if err != nil {
		w.t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		w.t.Fatalf("the answer breaks off after %q: %v", body, err)
	}
	return resp, string(body)
}

// hungUp reads to the end that the server must make of the connection.
func (w *wire) hungUp() {
	w.t.Helper()
	if _, err := io.Copy(io.Discard, w.in); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		w.t.Errorf("the connection stays open: %v", err)
	}
}

// head is a request's first lines with the API key; more lines follow, then an empty one.
func head(ask string, lines ...string) string {
	return ask + " HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + apiKey + "\r\n" + strings.Join(append(lines, ""), "\r\n")
}

// whole is a whole request; a body has its length.
func whole(method, path, body string, headers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: h\r\n", method, path)
	auth := true
	for i := 0; i < len(headers); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", headers[i], headers[i+1])
		auth = auth && headers[i] != "Authorization"
	}
	if auth {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", apiKey)
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	return b.String() + "Connection: close\r\n\r\n" + body
}
