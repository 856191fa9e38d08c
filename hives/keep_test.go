package hives

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestKeptConnectionsAreClosedInTime: also those of a hive that is never asked again.
func TestKeptConnectionsAreClosedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k keep
		first, far := net.Pipe()
		k.put("gone:1", far)
		<-time.After(keptFor / 2)
		second, far2 := net.Pipe()
		k.put("gone:2", far2)
		began := time.Now()
		for _, c := range []net.Conn{first, second} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("read %v", err)
			}
		}
		if took := time.Since(began); took > 2*keptFor {
			t.Errorf("closed after %v", took)
		}
		synctest.Wait()
		k.mu.Lock()
		if k.timer != nil || len(k.byAddr) > 0 {
			t.Error("it goes on looking")
		}
		k.mu.Unlock()
	})
}

// TestTheYoungestIsTakenFirst, and one that is too old is not taken.
func TestTheYoungestIsTakenFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k keep
		defer k.close()
		_, old := net.Pipe()
		_, young := net.Pipe()
		k.put("a", old)
		<-time.After(keptFor - 1)
		k.put("a", young)
		if k.take("b") != nil || k.take("a") != young || k.take("a") != old || k.take("a") != nil {
			t.Error("not that")
		}
		k.put("a", young)
		<-time.After(keptFor)
		if k.take("a") != nil {
			t.Error("too old")
		}
	})
}

// TestAHiveThatHangsIsDialledAnew: one kept connection that says nothing speaks for its others,
// which the next attempt must not try in turn.
func TestAHiveThatHangsIsDialledAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dialled := errors.New("dialled")
		c := NewClient(func() string { return "t" }, func(context.Context, string, string) (net.Conn, error) { return nil, dialled })
		for range 3 {
			near, far := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, far) }()
			c.keep.put("h:1", near)
		}
		began := time.Now()
		_, err := c.Execute(t.Context(), "http://h:1/w/w", Execute{JobID: "j"})
		if took := time.Since(began); err == nil || errors.Is(err, dialled) || took != headerTime {
			t.Errorf("%v after %v", err, took)
		}
		if _, err := c.Execute(t.Context(), "http://h:1/w/w", Execute{JobID: "j"}); !errors.Is(err, dialled) {
			t.Errorf("the next attempt: %v", err)
		}
	})
}

// TestAHiveURLNeedsNoPort: HTTP's is meant then.
func TestAHiveURLNeedsNoPort(t *testing.T) {
	for host, want := range map[string]string{"h": "h:80", "h:8": "h:8", "[::1]": "[::1]:80", "[::1]:8": "[::1]:8"} {
		got := ""
		c := NewClient(func() string { return "t" }, func(_ context.Context, _, addr string) (net.Conn, error) {
			got = addr
			return nil, net.ErrClosed
		})
		if _, err := c.Execute(t.Context(), "http://"+host+"/w/w", Execute{}); !errors.Is(err, net.ErrClosed) || got != want {
			t.Errorf("%s: dialled %q (%v), want %q", host, got, err, want)
		}
	}
}

// TestARefusalBeforeTheBodyIsHeard: a hive that hangs up on what it does not read has said why.
func TestARefusalBeforeTheBodyIsHeard(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	hungUp := make(chan struct{})
	go func() {
		defer close(hungUp)
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		_, _ = c.Read(make([]byte, 100))
		_, _ = io.WriteString(c, "HTTP/1.1 409 Conflict\r\nContent-Length: 16\r\nConnection: close\r\n\r\n{\"code\":\"stale\"}")
		_ = c.Close() // unread bytes make it a reset
	}()
	c := NewClient(func() string { return "t" }, func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil { // or all of the body would find room on the way
			_ = conn.(*net.TCPConn).SetWriteBuffer(4 << 10)
		}
		return conn, err
	})
	defer c.Close()
	body := []byte(`"` + strings.Repeat("x", 4<<20) + `"`)
	_, err = c.Execute(t.Context(), "http://"+l.Addr().String()+"/w/w", Execute{JobID: "j", Body: body})
	if <-hungUp; CodeOf(err) != CodeStale {
		t.Errorf("got %v", err)
	}
}
