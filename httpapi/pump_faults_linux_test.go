package httpapi

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// eventually waits for what must come to be.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	over := time.NewTimer(patience)
	defer over.Stop()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !is() {
		select {
		case <-look.C:
		case <-over.C:
			t.Fatalf("never: %s", what)
		}
	}
}

// TestAPausedHiveIsNotSilent: who was not read from while the client was slow has its whole time
// again when the client has caught up.
func TestAPausedHiveIsNotSilent(t *testing.T) {
	p := newPiped(t)
	p.mu.Lock()
	p.silence = time.Minute
	for len(p.pending) == 0 {
		p.push(appendChunk(nil, make([]byte, 1<<20)))
	}
	p.pipe.hive.watch(0)
	p.heard = time.Now().Add(-time.Hour)
	p.mu.Unlock()
	go func() { _, _ = io.Copy(io.Discard, p.client) }()
	if err := p.write([]byte("x")); err != nil { // waits for all that is before it
		t.Fatal(err)
	}
	p.mu.Lock()
	p.due(time.Now())
	p.mu.Unlock()
	select {
	case f := <-p.result:
		t.Errorf("following ended with %+v", f)
	default:
	}
}

// TestTheEndOfTheDrainWaitsForNoClient: who writes to one that does not read is told at once.
func TestTheEndOfTheDrainWaitsForNoClient(t *testing.T) {
	p := newPiped(t)
	wrote := make(chan error, 1)
	go func() {
		for {
			if err := p.write(make([]byte, 1<<20)); err != nil {
				wrote <- err
				return
			}
		}
	}()
	eventually(t, "the writer waits", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.room != nil
	})
	p.pump.cut()
	if err := <-wrote; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	<-p.gone
	if f := <-p.result; !errors.Is(f.err, errClient) {
		t.Errorf("following ended with %+v", f)
	}
	if _, err := p.pump.loopFor(); err == nil {
		t.Error("another is taken over")
	}
}

// TestABugEndsOneStream, and the loop serves the others.
func TestABugEndsOneStream(t *testing.T) {
	p := newPiped(t)
	p.mu.Lock()
	p.pipe.pump = &pump{relayed: func(uint64) { panic("a bug") }, broke: p.pump.broke}
	p.mu.Unlock()
	p.hive <- "id: 1.2\n"
	<-p.gone
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bug != "a bug" || !errors.Is(p.pipe.gone, errBug) {
		t.Errorf("told %v, gone by %v", p.bug, p.pipe.gone)
	}
}

// TestWhoSendsAheadIsNotReadFurther: nor when much of it was there before.
func TestWhoSendsAheadIsNotReadFurther(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	pump, gone := newPump(func(uint64) {}, func(any) {}), make(chan struct{})
	defer pump.close()
	p, err := pump.open(served, make([]byte, maxEarly+1), func() { close(gone) })
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	if p.client.events&syscall.EPOLLIN != 0 {
		t.Error("it is read")
	}
	p.mu.Unlock()
	_ = client.Close()
	<-gone // which is heard all the same
	if _, _, err := p.close(false); err != nil {
		t.Error(err)
	}
}
