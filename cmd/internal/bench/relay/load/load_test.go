package main

import (
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"queen-rbee/cmd/internal/bench/relay/order"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers one connection: what is sent to say goes out piece by piece.
func serve(t *testing.T, say <-chan string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		for text := range say {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { l.Close(); <-over })
	return l.Addr().String()
}

// A chunk counts once, however the network has cut it; the end of a stream is a failure.
func TestChunksAreCountedOnce(t *testing.T) {
	say := make(chan string)
	l := &load{failed: make(chan error, 1)}
	ready := make(chan struct{})
	go l.streams([]order.Request{{Addr: serve(t, say), Text: "GET / HTTP/1.1\r\n\r\n"}}, ready)
	say <- "HTTP/1.1 200 OK\r\n\r\n: a comment\n"
	for _, piece := range []string{"dat", "a: ", "{\"a\":1}\n\ndata: {\"b\":2}\n\nda", "ta: {}\n\ndata: [DONE]\n\n"} {
		say <- piece
	}
	<-ready
	close(say)
	if err := <-l.failed; err == nil || !strings.Contains(err.Error(), "broke off") {
		t.Errorf("failed with %v", err)
	}
	if n := l.counted.Load(); n != 3 {
		t.Errorf("counted %d chunks of 3", n)
	}
}

func TestARefusalIsAFailure(t *testing.T) {
	for kind, answer := range map[string]string{
		order.Stream: "HTTP/1.1 503 no\r\nContent-Length: 2\r\n\r\nno",
		order.Submit: "HTTP/1.1 503 no\r\nContent-Length: 2\r\n\r\nno",
	} {
		say := make(chan string, 1)
		say <- answer
		o := order.Order{Kind: kind, Requests: []order.Request{{Addr: serve(t, say), Text: "GET / HTTP/1.1\r\n\r\n"}}}
		text, _ := json.Marshal(o)
		err := run(strings.NewReader(string(text)+"\n"), io.Discard)
		if err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("%s: %v", kind, err)
		}
		close(say)
	}
}
