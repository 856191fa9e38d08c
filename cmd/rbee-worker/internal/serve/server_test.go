package serve

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"queen-rbee/cmd/rbee-worker/internal/engine"
	"queen-rbee/cmd/rbee-worker/markov"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// oneConn is a listener with a single connection, of which the test holds the other end. No
// socket is involved, so that the clock of a synctest bubble drives the deadlines.
type oneConn struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error   { close(l.done); return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// dial serves an engine with one slot and returns the client's end of a connection to it.
func dial(t *testing.T, slots *engine.Slots) net.Conn {
	t.Helper()
	model, err := markov.Learn(markov.Corpus())
	if err != nil {
		t.Fatal(err)
	}
	site := New(Config{Model: "builtin/markov", Log: hclog.NewNullLogger()})
	site.Ready(engine.New(engine.Config{
		Model: model, Slots: slots, Faults: engine.NewFaults(engine.NoFaults()), Context: 100000,
	}))
	client, served := net.Pipe()
	l := &oneConn{conns: make(chan net.Conn, 1), done: make(chan struct{})}
	l.conns <- served
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{Handler: site.Handler(), BaseContext: func(net.Listener) context.Context { return ctx }}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		cancel()
		_ = client.Close()
		_ = server.Close()
		site.Close()
		<-over
	})
	return client
}

func TestABodyThatDoesNotComeIsA408(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, engine.NewSlots(1, 1))
		start := time.Now()
		if _, err := io.WriteString(conn, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 1024)
		n, err := conn.Read(answer)
		if err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 408 ") {
			t.Errorf("got %q, %v", answer[:n], err)
		}
		if took := time.Since(start); took != bodyTimeout {
			t.Errorf("after %s, want %s", took, bodyTimeout)
		}
	})
}

func TestAClientThatDoesNotReadLosesItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots := engine.NewSlots(1, 1)
		conn := dial(t, slots)
		body := `{"prompt":"a","stream":true,"max_tokens":50000}`
		if _, err := io.WriteString(conn, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 47\r\n\r\n"+body); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 16)); err != nil { // the answer has begun
			t.Fatal(err)
		}
		start := time.Now()
		slot, err := slots.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slots.Release(slot)
		if took := time.Since(start); took != writeTimeout {
			t.Errorf("the slot came free after %s, want %s", took, writeTimeout)
		}
	})
}
