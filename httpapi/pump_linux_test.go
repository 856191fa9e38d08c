package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"queen-rbee/hives"
)

// piped is a pipe between a client of the test and a run that the test plays.
type piped struct {
	*testing.T
	*pipe
	client net.Conn
	hive   chan string // what the hive sends
	stream *hives.Stream
	result <-chan followed
	gone   chan struct{}
	bug    any
}

func newPiped(t *testing.T) *piped {
	p := &piped{T: t, hive: make(chan string), gone: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if p.client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	pump := newPump(func(uint64) {}, func(bug any) { p.bug = bug })
	if p.pipe, err = pump.open(served, nil, func() { close(p.gone) }); err != nil {
		t.Fatal(err)
	}
	hive := newPlayedHive(t)
	client := hives.NewClient(func() string { return "token" }, nil)
	if p.stream, err = openRun(t, client, hive, p.hive); err != nil {
		t.Fatal(err)
	}
	var ok bool
	if p.result, ok = p.follow(p.stream, 1, time.Hour, time.Hour); !ok {
		t.Fatal("the run is not followed")
	}
	t.Cleanup(func() {
		close(p.hive)
		_, _ = p.unfollow()
		_ = p.stream.Close()
		_, _, _ = p.close(false)
		pump.close()
		_ = p.client.Close()
		client.Close()
		hive.close()
	})
	return p
}

// openRun reads the first record of a run of which the hive then sends what comes.
func openRun(t *testing.T, c *hives.Client, h *playedHive, say <-chan string) (*hives.Stream, error) {
	go func() {
		r := h.next()
		r.send("id: 1.1\n")
		for text := range say {
			r.send("%s", text)
		}
	}()
	s, err := c.Execute(t.Context(), h.srv.URL+"/w/w", hives.Execute{JobID: "j", Attempt: 1})
	if err == nil {
		_, err = s.Next()
	}
	return s, err
}

// TestASlowReaderStopsItsRunAlone: what a client does not take waits in the hive, and comes whole
// and in order once it reads.
func TestASlowReaderStopsItsRunAlone(t *testing.T) {
	p := newPiped(t)
	var want strings.Builder
	stalled := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.pending) > 4*pumpRead {
			t.Fatalf("%d bytes wait for the client", len(p.pending))
		}
		return len(p.pending) > 0 && p.pipe.hive.events == 0
	}
	for n := 2; !stalled(); {
		text := fmt.Sprintf("data: {\"n\":%d,\"t\":%q}\nid: 1.%d\n\n", n, strings.Repeat("x", 32<<10), n)
		select {
		case p.hive <- text:
			want.WriteString(text)
			n++
		case <-time.After(10 * time.Millisecond): // to look again
		}
	}
	got := make([]byte, want.Len())
	if _, err := io.ReadFull(httputil.NewChunkedReader(bufio.NewReader(p.client)), got); err != nil {
		t.Fatal(err)
	}
	if string(got) != want.String() {
		t.Error("what came is not what was sent")
	}
}

// TestAReaderThatTakesNothingIsDropped: by the write deadline, which ends the request too.
func TestAReaderThatTakesNothingIsDropped(t *testing.T) {
	p := newPiped(t)
	p.mu.Lock()
	for len(p.pending) == 0 {
		p.push(appendChunk(nil, make([]byte, 1<<20)))
	}
	p.due(p.wrote.Add(writeTimeout)) // not yet over it
	early := p.pipe.gone
	p.due(p.wrote.Add(writeTimeout + 1))
	p.mu.Unlock()
	if early != nil {
		t.Errorf("dropped early: %v", early)
	}
	<-p.gone
	if f := <-p.result; !errors.Is(f.err, errClient) {
		t.Errorf("following ended with %+v", f)
	}
	if err := p.write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a later write: %v", err)
	}
}

// TestWaitingStreamsAreKeptAwake and given up when their hive says nothing at all.
func TestWaitingStreamsAreKeptAwake(t *testing.T) {
	p := newPiped(t)
	p.mu.Lock()
	p.due(p.wrote.Add(p.awake))
	p.mu.Unlock()
	line, err := bufio.NewReader(httputil.NewChunkedReader(bufio.NewReader(p.client))).ReadString('\n')
	if err != nil || line != string(keepAliveLine) {
		t.Errorf("got %q, %v", line, err)
	}
	p.mu.Lock()
	p.due(p.heard.Add(p.silence + 1))
	p.mu.Unlock()
	if f := <-p.result; !errors.Is(f.err, os.ErrDeadlineExceeded) {
		t.Errorf("following ended with %+v", f)
	}
}

// TestAGoneClientEndsItsRequest: also one that had something else to say first.
func TestAGoneClientEndsItsRequest(t *testing.T) {
	p := newPiped(t)
	if _, err := io.WriteString(p.client, strings.Repeat("x", 2*maxEarly)); err != nil {
		t.Fatal(err)
	}
	_ = p.client.Close()
	<-p.gone
	if f := <-p.result; !errors.Is(f.err, errClient) {
		t.Errorf("following ended with %+v", f)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.early) > maxEarly+512 {
		t.Errorf("%d bytes of a next request were read ahead", len(p.early))
	}
}

// TestAStreamsConnectionServesTheNextRequest: also one that came before the stream's end.
func TestAStreamsConnectionServesTheNextRequest(t *testing.T) {
	for _, early := range []bool{false, true} {
		w := newWorld(t)
		w.ready()
		c := dial(t, w.listen())
		health := "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
		c.say(fmt.Sprintf("POST /v2/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", apiKey, len(task), task))
		resp, err := http.ReadResponse(c.in, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &streamOf{t: t, resp: resp, sc: bufio.NewScanner(resp.Body)}
		s.want("assigned", "")
		r := w.hive.next()
		r.tokens(1, 2)
		s.want("started", "1.1")
		s.want("token", "1.2")
		r.tokens(3, 3)
		s.want("token", "1.3")
		if early {
			c.say(health)
		}
		r.end(completed(3), "")
		s.want("end", "1.4")
		s.wantClosed()
		if !early {
			c.say(health)
		}
		if resp, body := c.answer(); resp.StatusCode != http.StatusOK || !strings.Contains(body, "ok") {
			t.Errorf("early %v: the next request got %s %s", early, resp.Status, body)
		}
	}
}

// TestADrainWaitsForStreamsTakenOver: an OpenAI stream may end in the drain's time, as before.
func TestADrainWaitsForStreamsTakenOver(t *testing.T) {
	w := newWorld(t)
	w.ready()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- w.api.Serve(ctx, l, patience) }()
	c := dial(t, l.Addr().String())
	body := `{"model":"builtin/markov","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	c.say(fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", apiKey, len(body), body))
	r := w.hive.next()
	r.send("id: 1.1\ndata: {\"n\":2}\nid: 1.2\n\n")
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &streamOf{t: t, resp: resp, sc: bufio.NewScanner(resp.Body)}
	s.want("", "1.2")
	cancel()
	<-w.api.drain.Done()
	r.send("data: {\"n\":3}\nid: 1.3\n\n")
	s.want("", "1.3")
	r.end(completed(3), "data: [DONE]\nid: 1.4\n\n")
	s.want("", "1.4")
	s.wantClosed()
	if err := <-over; err != nil {
		t.Error(err)
	}
	if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the drain the connection says %v", err)
	}
}
