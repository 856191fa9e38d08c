package agent

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"queen-rbee/hives/agent/agenttest"
	"queen-rbee/hives/door"
	"queen-rbee/hives/door/doortest"
)

// dialServer runs the hive's HTTP server over h and connects to it once.
func dialServer(t *testing.T, h http.Handler) net.Conn {
	l := doortest.Listen()
	s := newHTTPServer(h, door.New(8), hclog.NewNullLogger())
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	client := l.Dial()
	t.Cleanup(func() {
		_ = client.Close()
		_ = s.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("server ended with %v", err)
		}
	})
	return client
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// TestSlowBodyIsCutOff: no connection is held for longer than bodyTime by a body that does not
// come, whether or not the route reads one, whoever asks.
func TestSlowBodyIsCutOff(t *testing.T) {
	const token = "Authorization: Bearer " + agenttest.Token + "\r\n"
	for name, c := range map[string]struct {
		line, header, begun string
		status              string
		atOnce              bool // the answer; a route that reads the body waits for it
	}{
		"open route":        {"GET /v1/health", "", "", "200 OK", true},
		"no token":          {"GET /v1/status", "", "", "401 Unauthorized", true},
		"no token, chunks":  {"POST /v1/workers/spawn", "Transfer-Encoding: chunked\r\n", "5\r\n{", "401 Unauthorized", true},
		"no such route":     {"GET /v1/nothing", "", "", "404 Not Found", true},
		"no such method":    {"PUT /v1/workers/spawn", "", "{", "405 Method Not Allowed", true},
		"path to be mended": {"GET /v1//health", "", "", "301 Moved Permanently", true},
		"the whole server":  {"OPTIONS *", "", "", "200 OK", false},
		"route with a body": {"POST /v1/workers/spawn", token, "{", "408 Request Timeout", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := dialServer(t, bareRoutes())
				if !strings.Contains(c.header, "chunked") {
					c.header += "Content-Length: 10\r\n"
				}
				began := time.Now()
				say(t, conn, c.line+" HTTP/1.1\r\nHost: x\r\n"+c.header+"\r\n"+c.begun)
				in := bufio.NewReader(conn)
				status, err := in.ReadString('\n')
				if err != nil || !strings.Contains(status, c.status) {
					t.Fatalf("%v %q", err, status)
				}
				if took := time.Since(began); took > 0 && c.atOnce || took > bodyTime {
					t.Fatalf("answered after %v", took)
				}
				rest, err := io.ReadAll(in)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > bodyTime+time.Second {
					t.Fatalf("held for %v", took)
				}
				if c.atOnce && !strings.Contains(string(rest), "Connection: close\r\n") {
					t.Fatalf("no word of the closing: %s", rest)
				}
			})
		})
	}
}

// bareRoutes are the hive's routes without a hive behind them.
func bareRoutes() http.Handler {
	s := &server{gate: &gateway{}, reads: &reads{}, logger: hclog.NewNullLogger(), metrics: prometheus.NewRegistry(), token: sha256.Sum256([]byte(agenttest.Token))}
	return s.routes()
}

// TestBodyThatBreaksOff is told apart from one that is slow.
func TestBodyThatBreaksOff(t *testing.T) {
	r := newRig(t)
	conn, err := net.Dial("tcp", r.agent.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	say(t, conn, "POST /w/w1/v1/execute HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+agenttest.Token+"\r\nContent-Length: 10\r\n\r\n{")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(answer), "400 Bad Request") || !strings.Contains(string(answer), "broke off") {
		t.Fatalf("%v %s", err, answer)
	}
}

// TestStreamsOutliveTheReadTimeout, and the connection serves the next request.
func TestStreamsOutliveTheReadTimeout(t *testing.T) {
	stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 0 {
			var into map[string]any
			if err := decode(w, r, 100, &into); err != nil {
				t.Error(err)
			}
		}
		for range 3 {
			select {
			case <-time.After(bodyTime):
			case <-r.Context().Done():
				t.Error("cut")
			}
			_, _ = io.WriteString(w, "more ")
			_ = http.NewResponseController(w).Flush()
		}
	})
	synctest.Test(t, func(t *testing.T) {
		conn := dialServer(t, stream)
		in := bufio.NewReader(conn)
		for _, request := range []string{
			"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
			"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		} {
			say(t, conn, request)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || string(text) != "more more more " || resp.Close {
				t.Fatalf("%v %q, closes: %v", err, text, resp.Close)
			}
		}
	})
}
