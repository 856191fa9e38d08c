package rig

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener of connections that a test hands it.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, open := <-p
	if !open {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error { close(p); return nil }
func (pipes) Addr() net.Addr { return nil }

func TestDelayCarriesAllAndLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := make(pipes)
		far, served := net.Pipe()
		d := NewDelay(t, l, func(context.Context) (net.Conn, error) { return far, nil })
		near, client := net.Pipe()
		l <- near
		go func() { _, _ = io.Copy(served, served) }() // echoes until the proxy closes it

		say := func(text string) time.Duration {
			t.Helper()
			began := time.Now()
			if _, err := io.WriteString(client, text); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(text))
			if _, err := io.ReadFull(client, got); err != nil || string(got) != text {
				t.Fatalf("%q came back as %q, %v", text, got, err)
			}
			return time.Since(began)
		}
		if took := say("soon"); took != 0 {
			t.Errorf("without a delay it took %s", took)
		}
		d.Set(200 * time.Millisecond)
		if took := say("late"); took != 400*time.Millisecond {
			t.Errorf("with 200 ms each way it took %s", took)
		}
		d.Set(0)
		if took := say("soon again"); took != 0 {
			t.Errorf("after the delay it took %s", took)
		}
	})
}

func TestDelayRefusesForItsTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := make(pipes)
		NewDelay(t, l, func(context.Context) (net.Conn, error) { return nil, net.ErrClosed })
		near, client := net.Pipe()
		l <- near
		if _, err := client.Read(make([]byte, 1)); err == nil {
			t.Error("a connection to nobody was answered")
		}
	})
}
