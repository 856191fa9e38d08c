package hives

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// gatewayOf is a hive that answers each execute with do, and counts its connections.
func gatewayOf(t *testing.T, do http.HandlerFunc) (c *Client, url string, srv *httptest.Server, conns *atomic.Int64) {
	t.Helper()
	conns = new(atomic.Int64)
	srv = httptest.NewUnstartedServer(do)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	c = NewClient(func() string { return "token" }, nil)
	t.Cleanup(func() { c.Close(); srv.Close() })
	return c, srv.URL + "/w/w-1", srv, conns
}

const oneRun = "event: started\nid: 1.1\ndata: {}\n\n" + EndMark + "{\"events\":1}\n"

// readRun reads a run to its end.
func readRun(t *testing.T, c *Client, url string) {
	t.Helper()
	s, err := c.Execute(t.Context(), url, Execute{JobID: "j"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if p, err := s.Next(); err != nil || p.End == nil || p.Seq != 1 {
		t.Fatalf("got %+v, %v", p, err)
	}
	if _, err := s.Rest(); err != nil {
		t.Fatal(err)
	}
}

// TestAReadRunLeavesItsConnection: runs that were read to their ends share one, and when the
// hive has closed it meanwhile another is made.
func TestAReadRunLeavesItsConnection(t *testing.T) {
	c, url, srv, conns := gatewayOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/w/w-1/v1/execute" || r.Header.Get("Authorization") != "Bearer token" || !strings.Contains(string(body), `"job_id":"j"`) {
			t.Errorf("asked %s %v: %s", r.URL, r.Header, body)
		}
		_, _ = io.WriteString(w, oneRun)
		_ = http.NewResponseController(w).Flush()
	})
	for range 3 {
		readRun(t, c, url)
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("three runs took %d connections", n)
	}
	srv.CloseClientConnections()
	readRun(t, c, url)
	if n := conns.Load(); n != 2 {
		t.Errorf("after the hive closed it there are %d connections, want a second", n)
	}
}

// TestARunLeftEarlyClosesItsConnection: nobody may read the rest of it as another answer.
func TestARunLeftEarlyClosesItsConnection(t *testing.T) {
	left := make(chan struct{}, 2)
	c, url, _, conns := gatewayOf(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "id: 1.1\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		left <- struct{}{}
	})
	for _, leave := range []func(*Stream, context.CancelFunc){
		func(s *Stream, _ context.CancelFunc) { s.Close() },
		func(_ *Stream, cancel context.CancelFunc) { cancel() },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		s, err := c.Execute(ctx, url, Execute{JobID: "j"})
		if err != nil {
			t.Fatal(err)
		}
		if p, err := s.Next(); err != nil || p.Seq != 1 {
			t.Fatalf("got %+v, %v", p, err)
		}
		leave(s, cancel)
		<-left // the hive sees it
		if _, err := s.Next(); err == nil {
			t.Error("a stream that was left goes on")
		}
		s.Close()
		cancel()
	}
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections, want one each", n)
	}
}

// TestRefusalsKeepTheirCodes: what is no stream is an Error with the hive's code.
func TestRefusalsKeepTheirCodes(t *testing.T) {
	c, url, _, _ := gatewayOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		fmt.Fprint(w, `{"code":"stale","detail":"too old"}`)
	})
	if _, err := c.Execute(t.Context(), url, Execute{JobID: "j"}); CodeOf(err) != CodeStale {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Execute(ctx, url, Execute{JobID: "j"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestALentConnectionComesBack: what a loop left in the socket is read on.
func TestALentConnectionComesBack(t *testing.T) {
	more := make(chan string)
	c, url, _, _ := gatewayOf(t, func(w http.ResponseWriter, _ *http.Request) {
		for text := range more {
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
		}
	})
	go func() { more <- "id: 1.1\n" }()
	s, err := c.Execute(t.Context(), url, Execute{JobID: "j"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if p, err := s.Next(); err != nil || p.Seq != 1 {
		t.Fatalf("got %+v, %v", p, err)
	}
	fd, ok := s.Lend()
	if !ok {
		t.Fatal("the stream is not lent")
	}
	if _, again := s.Lend(); again {
		t.Error("lent twice")
	}
	more <- "id: 1.2\n"
	if err := s.Return(fd); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Next(); err != nil || p.Seq != 2 {
		t.Fatalf("got %+v, %v", p, err)
	}
	close(more)
}
