package engine

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// recording is one exchange with a real llama-server: see testdata/transcripts.
type recording struct {
	path   string   // of the request
	body   []byte   // of the request
	answer [][]byte // raw, one element a read
}

// load parses "">>> request", then blocks "<<< +N ms, SIZE bytes" of that size.
func load(t testing.TB, name string) recording {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "transcripts", name+".http"))
	if err != nil {
		t.Fatal(err)
	}
	var r recording
	request, rest, _ := bytes.Cut(bytes.TrimPrefix(b, []byte(">>> request\n")), []byte("<<< +"))
	head, body, _ := bytes.Cut(request, []byte("\r\n\r\n"))
	r.path = strings.Fields(string(head))[1]
	r.body = bytes.TrimSuffix(body, []byte("\n"))
	for rest = append([]byte("<<< +"), rest...); bytes.HasPrefix(rest, []byte("<<< +")); {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		_, size, _ := strings.Cut(string(line), ", ")
		n, err := strconv.Atoi(strings.TrimSuffix(size, " bytes"))
		if err != nil || n > len(after) {
			t.Fatalf("%s: %q: %v", name, line, err)
		}
		r.answer = append(r.answer, after[:n])
		rest = bytes.TrimPrefix(after[n:], []byte("\n"))
	}
	if len(r.answer) == 0 || !bytes.HasPrefix(rest, []byte("---")) {
		t.Fatalf("%s: not read to its end: %.80q", name, rest)
	}
	return r
}

// sse returns the recording's answer as the client's parser gets it: without header and chunking.
func (r recording) sse(t testing.TB) []byte {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(bytes.Join(r.answer, nil))), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	return b
}

// server answers one connection after another with what answer does, once it has read a request.
func server(t testing.TB, answer func(net.Conn, *http.Request, []byte)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				body, _ := io.ReadAll(req.Body)
				answer(c, req, body)
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String()
}

// replay serves a recording as it was read, in pieces of at most size bytes.
func replay(t testing.TB, r recording, size int) string {
	return server(t, func(c net.Conn, _ *http.Request, _ []byte) {
		for _, b := range r.answer {
			for len(b) > 0 {
				n := min(size, len(b))
				if _, err := c.Write(b[:n]); err != nil {
					return
				}
				b = b[n:]
			}
		}
	})
}

const sseHeader = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

// sends serves text/event-stream with that body and closes.
func sends(t testing.TB, body string) string {
	return server(t, func(c net.Conn, _ *http.Request, _ []byte) { fmt.Fprint(c, sseHeader+body) })
}
