package httpapi

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// givenBack serves a connection that rests after a stream, and gives its client's end.
func givenBack(t *testing.T, early string) (client net.Conn, a *again) {
	a = newAgain(2*time.Minute, 5*time.Second)
	srv := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") }),
		ReadHeaderTimeout: a.header, IdleTimeout: a.idle,
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = srv.Serve(a)
	}()
	client, far := net.Pipe()
	if !a.give(far, []byte(early)) {
		t.Error("nobody takes it")
	}
	t.Cleanup(func() {
		_ = client.Close()
		_ = srv.Close()
		<-over
	})
	return client, a
}

// TestAStreamsConnectionRestsAsLongAsAny: it is kept for its client's next request as long as
// after another answer, and then has to send its headers as soon as any.
func TestAStreamsConnectionRestsAsLongAsAny(t *testing.T) {
	for name, c := range map[string]struct {
		early, says string
		rest        time.Duration
		served      bool
		within      time.Duration // until it is hung up on
	}{
		"a request after a minute":   {"", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", time.Minute, true, 2 * time.Minute},
		"nothing at all":             {"", "", 0, false, 2 * time.Minute},
		"headers without an end":     {"", "GET / HTTP/1.1\r\nHost", time.Minute, false, 5 * time.Second},
		"early and without an end":   {"GET / HTTP/1.1\r\nHost", "", 0, false, 5 * time.Second},
		"early and whole afterwards": {"GET / HTTP/1.1\r\nHost", ": h\r\n\r\n", time.Second, true, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, _ := givenBack(t, c.early)
				<-time.After(c.rest)
				if _, err := io.WriteString(client, c.says); err != nil {
					t.Fatalf("it did not rest for %v: %v", c.rest, err)
				}
				began := time.Now()
				all, _ := io.ReadAll(client)
				if took := time.Since(began); took != c.within {
					t.Errorf("hung up on after %v, want %v", took, c.within)
				}
				if strings.Contains(string(all), "served") != c.served {
					t.Errorf("got %q", all)
				}
			})
		})
	}
}

// TestAShutdownClosesWhatRests, as it closes idle connections, and leaves others their answers.
func TestAShutdownClosesWhatRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, a := givenBack(t, "")
		began := time.Now()
		_ = a.Close()
		if _, err := client.Read(make([]byte, 1)); err == nil || time.Since(began) > 0 {
			t.Errorf("read %v after %v", err, time.Since(began))
		}
		if _, far := net.Pipe(); a.give(far, nil) {
			t.Error("one more is taken")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		client, a := givenBack(t, "GET / HTTP/1.1\r\n")
		_ = a.Close()
		_, _ = io.WriteString(client, "Host: h\r\nConnection: close\r\n\r\n")
		if all, _ := io.ReadAll(client); !strings.Contains(string(all), "served") {
			t.Errorf("got %q", all)
		}
	})
}
