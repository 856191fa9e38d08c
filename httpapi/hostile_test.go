package httpapi

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/cluster"
	"queen-rbee/hives"
	"queen-rbee/hives/door/doortest"
	"queen-rbee/hives/fleet"
)

// served checks that a client who means well gets an answer, whatever others do.
func (w *world) served(addr string) {
	w.Helper()
	conn := dial(w.T, addr)
	conn.say(whole("GET", "/v2/jobs", ""))
	if resp, text := conn.answer(); resp.StatusCode != 200 {
		w.Errorf("somebody else gets %d %s", resp.StatusCode, text)
	}
}

// TestBytesThatAreNoRequest are answered or hung up on, one by one, and hurt nobody else.
func TestBytesThatAreNoRequest(t *testing.T) {
	w := newWorld(t)
	w.api.cfg.BodyTimeout, w.api.headerTime = 500*time.Millisecond, time.Second
	w.register()
	addr := w.listen()
	post := func(lines ...string) string { return head("POST /v2/tasks", lines...) + "\r\n" }
	cases := map[string]struct {
		says   string
		status int // 0: it is just hung up on
	}{
		"nothing":                    {"", 0},
		"half a line":                {"GET /hea", 0},
		"TLS":                        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\xa7", 500), 0},
		"TLS with a line end":        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
		"SSH":                        {"SSH-2.0-OpenSSH_9.6\r\n\r\n", 400},
		"garbage":                    {strings.Repeat("\x00\xff\r\n", 100), 400},
		"HTTP/2 preface":             {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404},
		"HTTP/0.9":                   {"GET /health\r\n\r\n", 400},
		"HTTP/1.0":                   {"GET /health HTTP/1.0\r\n\r\n", 200},
		"HTTP/9.9":                   {"GET /health HTTP/9.9\r\nHost: h\r\n\r\n", 505},
		"no host":                    {"GET /health HTTP/1.1\r\n\r\n", 400},
		"two hosts":                  {"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		"NUL in a header":            {"GET /health HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n", 400},
		"blank in a header's name":   {"GET /health HTTP/1.1\r\nHost: h\r\nX y: z\r\n\r\n", 400},
		"header without a colon":     {"GET /health HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", 400},
		"broken escape":              {"GET /% HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		"CONNECT":                    {"CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n", 404},
		"a strange expectation":      {"GET /health HTTP/1.1\r\nHost: h\r\nExpect: a miracle\r\n\r\n", 417},
		"one endless header":         {"GET /health HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 1<<20), 431},
		"endless headers":            {"GET /health HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: y\r\n", 100_000), 431},
		"a path without end":         {"GET /" + strings.Repeat("x", 1<<20), 431},
		"two lengths":                {post("Content-Length: 5", "Content-Length: 6") + "{}", 400},
		"a length below 0":           {post("Content-Length: -5") + "{}", 400},
		"a length of words":          {post("Content-Length: five") + "{}", 400},
		"a length beyond 2^63":       {post("Content-Length: 9223372036854775808") + "{}", 400},
		"a length that is too long":  {post("Content-Length: 20") + "{}", 408},
		"a length that is too short": {post("Content-Length: 2", "Connection: close") + "{}garbage\r\n\r\n", 400},
		"chunks and a length":        {post("Transfer-Encoding: chunked", "Content-Length: 3", "Connection: close") + "2\r\n{}\r\n0\r\n\r\n", 400},
		"chunks of no number":        {post("Transfer-Encoding: chunked") + "zz\r\n{}\r\n0\r\n\r\n", 400},
		"a chunk of 2^64":            {post("Transfer-Encoding: chunked") + "fffffffffffffffff\r\n{}\r\n0\r\n\r\n", 400},
		"a chunk that says too much": {post("Transfer-Encoding: chunked") + "ffff\r\n{}\r\n0\r\n\r\n", 408},
		"chunks without an end":      {post("Transfer-Encoding: chunked") + "2\r\n{}\r\n", 408},
		"chunk extensions":           {post("Transfer-Encoding: chunked") + "2;" + strings.Repeat("x", 100_000) + "\r\n{}\r\n", 400},
		"an encoding of its own":     {post("Transfer-Encoding: gzip") + "{}", 501},
		"100 MB announced":           {post("Content-Length: 104857600") + "{", 413},
		"a body where none belongs":  {head("GET /v2/jobs", "Content-Length: 104857600") + "\r\n{", 200},
	}
	t.Run("at once", func(t *testing.T) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				conn := dial(t, addr)
				go conn.say(c.says)
				if c.status > 0 {
					resp, text := conn.answer()
					if resp.StatusCode != c.status {
						t.Fatalf("%d %s, want %d", resp.StatusCode, text, c.status)
					}
				}
				if c.status != http.StatusNotFound { // an odd request, but one
					conn.hungUp()
				}
			})
		}
	})
	w.served(addr)
	if n := len(mustJobs(w)); n > 0 {
		t.Errorf("%d jobs came of it", n)
	}
}

// TestPipelinedGarbage: what stands in front of it is answered.
func TestPipelinedGarbage(t *testing.T) {
	w := newWorld(t)
	addr := w.listen()
	conn := dial(t, addr)
	good := head("GET /health") + "\r\n"
	conn.say(good + good + "garbage\r\n\r\n" + good)
	for _, want := range []int{200, 200, 400} {
		if resp, text := conn.answer(); resp.StatusCode != want {
			t.Fatalf("%d %s, want %d", resp.StatusCode, text, want)
		}
	}
	conn.hungUp()
	w.served(addr)
}

// TestBodyOf100MB is refused when its bound is reached, and most of it is never read.
func TestBodyOf100MB(t *testing.T) {
	w := newWorld(t)
	addr := w.listen()
	conn := dial(t, addr)
	sent := make(chan int, 1)
	go func() {
		conn.say(head("POST /v2/tasks", "Transfer-Encoding: chunked") + "\r\n")
		chunk, n := "10000\r\n"+strings.Repeat(" ", 64<<10)+"\r\n", 0
		for ; n < 100<<20; n += 64 << 10 {
			if _, err := io.WriteString(conn, chunk); err != nil {
				break
			}
		}
		sent <- n
	}()
	if resp, text := conn.answer(); resp.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(text, "at most 65536") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	_ = conn.Close()
	if n := <-sent; n > 32<<20 { // what buffers of sockets take
		t.Errorf("%d bytes of it were taken", n)
	}
	if held := w.api.clients.held.Load(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
	w.served(addr)
}

// TestIdleConnections: a thousand that say nothing cost a queen no client of hers, neither one
// that waits on a connection of its own, nor a stream, nor who comes new.
func TestIdleConnections(t *testing.T) {
	w := newWorld(t)
	w.ready()
	cfg := w.api.cfg
	cfg.MaxConns, cfg.Registry = 32, nil
	w.api = New(cfg)
	addr := w.listen()
	polite := dial(t, addr)
	keep := head("GET /v2/jobs") + "\r\n"
	polite.say(keep)
	polite.answer()
	stream := dial(t, addr)
	stream.say(strings.Replace(whole("POST", "/v2/tasks", task), "Connection: close\r\n", "", 1))
	r := w.hive.next()
	crowd := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.9")}} // another host
	for i := range 1000 {
		c, err := crowd.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 { // headers that never end
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nX-Slow: ")
		}
	}
	w.served(addr)
	polite.say(keep)
	if resp, text := polite.answer(); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	r.tokens(1, 2)
	r.end(completed(2), "")
	if resp, text := stream.answer(); resp.StatusCode != 200 || !strings.Contains(text, "event: end") {
		t.Errorf("the stream: %d %s", resp.StatusCode, text)
	}
	if n := w.api.door.Open(); n > 32 {
		t.Errorf("%d connections are open", n)
	}
	if w.api.door.Evicted() < 900 || w.api.door.Refused() != 0 {
		t.Errorf("%d closed, %d refused", w.api.door.Evicted(), w.api.door.Refused())
	}
}

// TestBusyConnections: where all are in use, who comes is told so in the API's own shape.
func TestBusyConnections(t *testing.T) {
	w := newWorld(t)
	w.register()
	cfg := w.api.cfg
	cfg.MaxConns, cfg.Registry = 2, nil
	w.api = New(cfg)
	addr := w.listen()
	for range 2 {
		conn := dial(t, addr)
		conn.say(strings.Replace(whole("POST", "/v2/tasks", task), "Connection: close\r\n", "", 1))
		for line := ""; !strings.HasPrefix(line, "event: queued"); {
			var err error
			if line, err = conn.in.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, path := range []string{"/v2/jobs", "/v1/models"} {
		conn := dial(t, addr)
		conn.say(head("GET "+path) + "\r\n")
		resp, text := conn.answer()
		code, message := told(t, text, path == "/v1/models")
		if resp.StatusCode != 503 || code != codeBusy || !strings.Contains(message, "2 connections") || resp.Header.Get("Retry-After") == "" || !resp.Close {
			t.Errorf("%d %s %v", resp.StatusCode, text, resp.Header)
		}
		conn.hungUp()
	}
	if n := w.api.door.Refused(); n != 2 {
		t.Errorf("%d refused", n)
	}
}

// bubble serves an API without hives over pipes and connects to it once.
func bubble(t *testing.T, h func(*Server) http.Handler) net.Conn {
	q := newSoleQueen(t)
	client := hives.NewClient(func() string { return cluster.HiveToken(testToken) }, nil)
	s := New(Config{Queen: q, Fleet: fleet.New(q, time.Second), Hives: client, Name: "q1", Boot: "boot", Logger: hclog.NewNullLogger()})
	srv := s.httpServer()
	srv.Handler = h(s)
	l := doortest.Listen()
	done := make(chan error, 1)
	go func() { done <- srv.Serve(s.door.Listen(l)) }()
	near := l.Dial()
	t.Cleanup(func() {
		_ = near.Close()
		_ = srv.Close()
		<-done
		s.close()
		q.close()
		client.Close()
	})
	return near
}

func api(s *Server) http.Handler { return s }

// TestOneByteAMinute: no connection is held by one who sends so slowly, or nothing.
func TestOneByteAMinute(t *testing.T) {
	answered := head("GET /health") + "\r\n"
	for name, c := range map[string]struct {
		first, drip string
		status      string
		within      time.Duration
	}{
		"silence":            {"", "", "", 5 * time.Second},
		"request line":       {"", "GET /health HTTP/1.1\r\n", "400", 5 * time.Second},
		"headers":            {"GET /health HTTP/1.1\r\nHost: h\r\n", "X-Slow: a", "400", 5 * time.Second},
		"a body":             {head("POST /v2/tasks", "Content-Length: 1000") + "\r\n", `{"model":`, "408", 31 * time.Second},
		"a body of chunks":   {head("POST /v2/tasks", "Transfer-Encoding: chunked") + "\r\n", "2\r\n{}\r\n", "408", 31 * time.Second},
		"after an answer":    {answered, "", "200", 2*time.Minute + time.Second},
		"a second request":   {answered, "\r\nGET /", "200", 4*time.Minute + time.Second}, // blank lines are let be
		"nobody's long body": {"POST /v2/tasks HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n", "x", "401", 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := bubble(t, api)
				began, over := time.Now(), make(chan struct{})
				defer close(over)
				_, _ = io.WriteString(conn, c.first)
				go func() {
					for i := range c.drip { // until it is hung up on
						if _, err := io.WriteString(conn, c.drip[i:i+1]); err != nil {
							return
						}
						select {
						case <-time.After(time.Minute):
						case <-over:
							return
						}
					}
				}()
				all, _ := io.ReadAll(conn)
				if took := time.Since(began); took > c.within {
					t.Errorf("held for %v", took)
				}
				if got, _, _ := strings.Cut(strings.TrimPrefix(string(all), "HTTP/1.1 "), " "); got != c.status {
					t.Errorf("answered %q, want %q", got, c.status)
				}
			})
		})
	}
}

// TestClientThatNeverReads is dropped when one write has waited for writeTimeout; what it does
// not take is not kept for it.
func TestClientThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrote, over := make(chan int, 1), make(chan time.Duration, 1)
		conn := bubble(t, func(*Server) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				out, frame, n, began := newSSE(w, r), []byte(strings.Repeat("x", 1<<10)), 0, time.Now()
				for out.write(frame) == nil {
					n++
				}
				wrote <- n
				over <- time.Since(began)
			})
		})
		_, _ = io.WriteString(conn, head("GET /")+"\r\n")
		if n := <-wrote; n > 64 {
			t.Errorf("%d KiB were taken for a client that reads nothing", n)
		}
		if took := <-over; took != writeTimeout {
			t.Errorf("dropped after %v", took)
		}
	})
}

// TestSlowReaderSlowsOnlyItself: beside a client that takes nothing others get their streams,
// of the same job too, and the run's end enters the state.
func TestSlowReaderSlowsOnlyItself(t *testing.T) {
	w := newWorld(t)
	w.ready()
	addr := w.listen()
	stuck := dial(t, addr)
	_ = stuck.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	stuck.say(strings.Replace(whole("POST", "/v2/tasks", task, "Idempotency-Key", "k"), "Connection: close\r\n", "", 1))
	r := w.hive.next()
	id := mustJobs(w)[0].ID
	full := make(chan struct{})
	go func() { // until nothing of it fits on the way any more
		defer close(full)
		text := strings.Repeat("x", 32<<10)
		for n := 1; ; n++ {
			select {
			case <-r.gone:
				return
			default:
				r.send("event: token\nid: 1.%d\ndata: {\"t\":\"%s\",\"i\":%d}\n\n", n, text, n)
			}
		}
	}()
	w.awaitBlocked()
	second := w.later("GET", "/v2/jobs/"+id+"/events", "")
	r2 := w.hive.next()
	r2.tokens(1, 3)
	s := second()
	s.want("assigned", "")
	s.want("started", "1.1")
	s.want("token", "1.2")
	s.want("token", "1.3")
	r2.end(completed(3), "")
	s.want("end", "1.4")
	w.awaitJob(id, "complete")
	other := w.stream("POST", "/v2/tasks", strings.Replace(task, "hello", "other", 1))
	other.want("assigned", "")
	r3 := w.hive.next()
	r3.tokens(1, 2)
	other.want("started", "1.1")
	r3.end(completed(2), "")
	other.want("token", "1.2")
	other.want("end", "1.3")
	_ = stuck.Close()
	<-full
}
