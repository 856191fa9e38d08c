package httpapi

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestAStreamThatCannotBeTakenOverIsCountedOut: its connection is lost, as where no descriptor is
// left; nothing goes on counting it, and its job hears that the client has gone.
func TestAStreamThatCannotBeTakenOverIsCountedOut(t *testing.T) {
	w := newWorld(t)
	w.ready()
	addr := w.listen()
	w.api.pump.cut() // takes nobody any more
	c := dial(t, addr)
	c.say(strings.Replace(whole("POST", "/v2/tasks", task), "Connection: close\r\n", "", 1))
	r := w.hive.next()
	r.tokens(1, 3)
	if all, _ := io.ReadAll(c.in); !strings.Contains(string(all), "id: 1.3\n") || strings.HasSuffix(string(all), "0\r\n\r\n") {
		t.Errorf("got %q", all)
	}
	if l := <-w.hive.leaves; l.Attempt != 1 {
		t.Errorf("leave %+v", l)
	}
	eventually(t, "the connection counts no longer", func() bool { return w.api.door.Open() == 0 })
	w.api.taken.wait(t.Context())
}

// TestABodyNobodyReadIsNoRequest: what a client sends as the body of its GET is not served as
// its next request, once the stream is over.
func TestABodyNobodyReadIsNoRequest(t *testing.T) {
	w := newWorld(t)
	w.ready()
	addr := w.listen()
	s := w.stream("POST", "/v2/tasks", task)
	s.want("assigned", "")
	w.hive.next().tokens(1, 3)
	c := dial(t, addr)
	inner := "GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
	c.say(head("GET /v2/jobs/"+s.resp.Header.Get(headerJob)+"/events", "Content-Length: "+strconv.Itoa(len(inner))) + "\r\n" + inner)
	r := w.hive.next()
	r.tokens(1, 3)
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !resp.Close {
		t.Error("the answer does not say that it is the last")
	}
	eventually(t, "both streams are taken over", func() bool { return w.api.pump.sides() == 4 })
	r.tokens(4, 4)
	r.end(completed(4), "")
	rest, err := io.ReadAll(c.in) // chunks and all
	if err != nil || !strings.HasSuffix(string(rest), "\r\n0\r\n\r\n") || strings.Contains(string(rest), "HTTP/1.1") {
		t.Errorf("got %q, %v", rest, err)
	}
}

// descriptors counts this process's.
func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// TestWhateverStreamsMeetTheyLeaveNoDescriptor: clients that hang up, reset, half close, stop
// reading or send ahead, and hives that break off meanwhile.
func TestWhateverStreamsMeetTheyLeaveNoDescriptor(t *testing.T) {
	w := newWorld(t)
	w.ownHive(1024)
	addr := w.listen()
	ways := []func(c *net.TCPConn){
		func(c *net.TCPConn) { _ = c.Close() },
		func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
		func(c *net.TCPConn) { _ = c.CloseWrite(); _, _ = io.Copy(io.Discard, c); _ = c.Close() },
		func(c *net.TCPConn) { _, _ = io.WriteString(c, strings.Repeat("x", 3*maxEarly)); _ = c.Close() },
		func(c *net.TCPConn) { _, _ = io.WriteString(c, "GET / HT"); _ = c.CloseWrite(); _ = c.Close() },
	}
	round := func(n int) {
		var clients sync.WaitGroup
		for k := range n {
			clients.Go(func() {
				c := dial(t, addr)
				prompt := []string{"tokens", "end"}[k%2]
				ask := whole("POST", "/v2/tasks", fmt.Sprintf(`{"model":%q,"prompt":%q}`, testModel, prompt), headerGrace, "0s")
				c.say(strings.Replace(ask, "Connection: close\r\n", "", 1))
				for job := ""; ; {
					line, err := c.in.ReadString('\n')
					if err != nil {
						t.Error(err)
						return
					}
					if id, ok := strings.CutPrefix(line, headerJob+": "); ok {
						job = strings.TrimSpace(id)
					}
					if strings.HasPrefix(line, "id: 1.3") || strings.HasPrefix(line, "event: end") {
						ways[k/2%len(ways)](c.Conn.(*net.TCPConn))
						w.over(job)
						return
					}
				}
			})
		}
		clients.Wait()
	}
	w.quiet(addr)
	round(20) // what is made once is made now
	empty := func() bool {
		w.api.cfg.Hives.Close()
		return w.api.streams.Load() == 0 && w.api.door.Open() == 0 && w.api.pump.sides() == 0
	}
	eventually(t, "all have gone", empty)
	before := descriptors(t)
	for range 10 {
		round(40)
	}
	eventually(t, "all have gone", empty)
	w.api.taken.wait(t.Context())
	eventually(t, "their descriptors are closed", func() bool { return empty() && descriptors(t) <= before })
	w.nothingHeld()
}

func (p *pump) sides() (n int) {
	p.each(func(*side) { n++ })
	return n
}
