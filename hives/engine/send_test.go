package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"queen-rbee/hives"
)

// What takes its time beside the engine may take it once the engine has the request, and before
// it answers.
func TestSentComesBetweenRequestAndAnswer(t *testing.T) {
	asked, sent := make(chan struct{}), make(chan struct{})
	url := server(t, func(c net.Conn, _ *http.Request, _ []byte) {
		close(asked)
		<-sent
		fmt.Fprint(c, sseHeader+tok+finish+done)
	})
	res, err := Stream(context.Background(), url, chatPath, []byte("{}"), StreamOptions{Sent: func() error {
		<-asked
		close(sent)
		return nil
	}}, func(Chunk) error { return nil })
	if err != nil || res.Content != 1 {
		t.Fatal(res, err)
	}
}

func TestAnErrorOfSentEndsTheStream(t *testing.T) {
	full := errors.New("disk full")
	for _, size := range []int{0, 2 * inline} {
		url, closed := silent(t, "")
		_, err := Stream(context.Background(), url, chatPath, fmt.Appendf(nil, `{"prompt":"%*s"}`, size, ""), StreamOptions{
			Sent: func() error { return full }}, nil)
		if !errors.Is(err, full) {
			t.Fatal(err)
		}
		if size <= inline { // a large one was not even sent
			<-closed
		}
	}
}

// A request goes out whole whichever way it takes.
func TestRequestsOfEverySize(t *testing.T) {
	asked := make(chan int, 1)
	serve := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- len(body)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, tok+finish+done)
	}
	plain := httptest.NewServer(http.HandlerFunc(serve))
	defer plain.Close()
	frame := len(`{"prompt":"","stream":true,"stream_options":{"include_usage":true}}`)
	for _, size := range []int{0, 1000, inline - frame, inline - frame + 1, 4 << 20} {
		body := fmt.Sprintf(`{"prompt":"%s"}`, strings.Repeat("x", size))
		if _, _, err := collect(context.Background(), plain.URL, chatPath, body, StreamOptions{}); err != nil {
			t.Fatal(size, err)
		}
		if got := <-asked; got != size+frame {
			t.Errorf("%d bytes of %d came", got, size+frame)
		}
	}
}

// An engine may say no before it has read everything.
func TestAnEarlyRefusalIsHeard(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-over })
	go func() {
		defer close(over)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(c)
			if _, err := http.ReadRequest(in); err != nil { // its head
				t.Error(err)
			}
			fmt.Fprint(c, "HTTP/1.1 413 X\r\nContent-Length: 8\r\n\r\ntoo much")
			_, _ = io.Copy(io.Discard, in) // or the answer would be lost with a reset
			c.Close()
		}
	}()
	for _, size := range []int{10, inline / 2, 16 << 20} {
		body := fmt.Sprintf(`{"prompt":"%s"}`, strings.Repeat("x", size))
		_, _, err := collect(context.Background(), "http://"+l.Addr().String(), chatPath, body, StreamOptions{})
		if hives.CodeOf(err) != hives.CodeInvalid || !strings.Contains(err.Error(), "too much") {
			t.Errorf("%d: %v", size, err)
		}
	}
}

func TestHeadsOfAnswers(t *testing.T) {
	long := "X: " + strings.Repeat("x", maxHeaderBytes)
	for name, c := range map[string]struct{ head, code, message string }{
		"early hints":    {"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + sseHeader, "", ""},
		"endless":        {strings.Replace(sseHeader, "Connection", long+"\r\nConnection", 1), hives.CodeWorkerDied, "headers of more than 65536 bytes"},
		"hints for ever": {strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", maxHeaderBytes/10), hives.CodeWorkerDied, "headers of more than"},
		"no HTTP":        {"SSH-2.0-OpenSSH\r\n", hives.CodeWorkerDied, "malformed"},
		"cut":            {"HTTP/1.1 200 OK\r\nContent-", hives.CodeWorkerDied, "before it answered"},
		"old HTTP":       {"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", "", ""},
	} {
		url := server(t, func(conn net.Conn, _ *http.Request, _ []byte) {
			fmt.Fprint(conn, c.head)
			if strings.HasSuffix(c.head, "\r\n\r\n") {
				fmt.Fprint(conn, tok+finish+done)
			}
		})
		got, _, err := collect(context.Background(), url, chatPath, "{}", StreamOptions{})
		if hives.CodeOf(err) != c.code || err == nil && got.text != "a" || err != nil && !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %q, %v", name, got.text, err)
		}
	}
}
