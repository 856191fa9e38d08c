package door

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what must come.
const patience = 20 * time.Second

// house is a server behind a door. "/hold" stays in work until its client goes, or may end.
type house struct {
	*testing.T
	door *Door
	addr string
	held chan struct{}
	let  chan struct{} // closed when they may end
}

func newHouse(t *testing.T, limit int) *house {
	h := &house{T: t, door: New(limit), held: make(chan struct{}, 1000), let: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = l.Addr().String()
	s := &http.Server{Handler: http.HandlerFunc(h.serve), ReadHeaderTimeout: patience}
	h.door.Guard(s)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Serve(h.door.Listen(l)); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		_ = s.Close()
		wg.Wait()
	})
	return h
}

func (h *house) serve(w http.ResponseWriter, r *http.Request) {
	if Crowded(r.Context()) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path == "/hold" {
		h.held <- struct{}{}
		select {
		case <-h.let:
		case <-r.Context().Done():
			return
		}
	}
	_, _ = io.WriteString(w, "ok")
}

// guest is one client's connection.
type guest struct {
	net.Conn
	in *bufio.Reader
}

// from connects from one of this machine's addresses.
func (h *house) from(ip string) *guest {
	h.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	c, err := d.DialContext(context.Background(), "tcp", h.addr)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &guest{c, bufio.NewReader(c)}
}

func (g *guest) ask(path string) error {
	_, err := io.WriteString(g, "GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n")
	return err
}

// status asks and reads the answer; 0 when the connection ended instead.
func (g *guest) status(path string) int {
	if g.ask(path) != nil {
		return 0
	}
	resp, err := http.ReadResponse(g.in, nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// ended tells that the server closed the connection.
func (g *guest) ended() bool {
	_, err := g.in.ReadByte()
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}

// TestTheCrowdMakesRoom: a newcomer is served whatever waits, and those who go are the oldest
// of the host that holds most.
func TestTheCrowdMakesRoom(t *testing.T) {
	h := newHouse(t, 4)
	polite := h.from("127.0.0.2")
	if s := polite.status("/"); s != 200 {
		t.Fatal(s)
	}
	var greedy []*guest
	for range 3 {
		greedy = append(greedy, h.from("127.0.0.3"))
	}
	if _, err := io.WriteString(greedy[0], "GET / HTTP/1.1\r\nHost: h\r\nX-Slow: "); err != nil { // headers without an end
		t.Fatal(err)
	}
	late := h.from("127.0.0.4")
	if s := late.status("/"); s != 200 {
		t.Fatalf("a newcomer at the limit gets %d", s)
	}
	if !greedy[0].ended() {
		t.Fatal("the oldest of the greedy host stays")
	}
	if polite.status("/") != 200 || greedy[1].status("/") != 200 {
		t.Fatal("somebody else went")
	}
	if h.door.Open() != 4 || h.door.Evicted() != 1 || h.door.Refused() != 0 {
		t.Fatalf("open %d, evicted %d, refused %d", h.door.Open(), h.door.Evicted(), h.door.Refused())
	}
}

// TestWorkIsNotInterrupted: where all are in work, who comes beyond the limit is told so, and
// the place of who goes is given on.
func TestWorkIsNotInterrupted(t *testing.T) {
	h := newHouse(t, 2)
	busy := []*guest{h.from("127.0.0.2"), h.from("127.0.0.2")}
	for _, g := range busy {
		if err := g.ask("/hold"); err != nil {
			t.Fatal(err)
		}
		<-h.held
	}
	told := h.from("127.0.0.3")
	if s := told.status("/"); s != http.StatusServiceUnavailable || !told.ended() {
		t.Fatalf("beyond the limit: %d", s)
	}
	if h.door.Refused() != 1 || h.door.Evicted() != 0 {
		t.Fatalf("refused %d, evicted %d", h.door.Refused(), h.door.Evicted())
	}
	_ = busy[0].Close()
	for h.from("127.0.0.3").status("/") != 200 { // once its end is noticed
		continue
	}
	close(h.let)
	if resp, err := http.ReadResponse(busy[1].in, nil); err != nil || resp.StatusCode != 200 {
		t.Fatalf("the other one's work was interrupted: %v", err)
	}
}

// TestBeyondTheSpare: a flood of work cannot open more than the limit and a few.
func TestBeyondTheSpare(t *testing.T) {
	h := newHouse(t, 1)
	g := h.from("127.0.0.2")
	if err := g.ask("/hold"); err != nil {
		t.Fatal(err)
	}
	<-h.held
	silent := make([]*guest, spare)
	for i := range silent { // let in to be told, but they never ask
		silent[i] = h.from("127.0.0.3")
	}
	more := h.from("127.0.0.2")
	if s := more.status("/"); s != http.StatusServiceUnavailable {
		t.Fatalf("who asks gets %d", s)
	}
	if n := h.door.Open(); n > 1+spare {
		t.Fatalf("%d are open", n)
	}
}

func TestHosts(t *testing.T) {
	for addr, want := range map[string]string{
		"10.1.2.3:4":               "10.1.2.3/32",
		"[::ffff:10.1.2.3]:4":      "10.1.2.3/32",
		"[2001:db8:1:2:3:4:5:6]:7": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:7":         "fe80::/64",
	} {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := hostOf(a).String(); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if hostOf(&net.UnixAddr{}).IsValid() {
		t.Error("no address is no host")
	}
}
