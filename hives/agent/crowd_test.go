package agent

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
)

// dialAgent opens a connection that a test writes to by hand.
func (r *rig) dialAgent() (net.Conn, *bufio.Reader) {
	r.t.Helper()
	c, err := net.Dial("tcp", r.agent.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c, bufio.NewReader(c)
}

// TestIdleConnectionsKeepNoQueenOut: more of them than the hive may have open, and a queen is
// served all the same, on her old connection and on a new one.
func TestIdleConnectionsKeepNoQueenOut(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxReaders = 1 })
	limit := r.agent.hive.door.Limit()
	crowd := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.9")}} // another host
	if status, _ := r.ask("GET", "/v1/status", nil); status != 200 {
		t.Fatal(status)
	}
	for range 3 * limit {
		c, err := crowd.DialContext(t.Context(), "tcp", r.agent.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for range 2 {
		if status, text := r.ask("GET", "/v1/status", nil); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
		http.DefaultClient.CloseIdleConnections()
	}
	if d := r.agent.hive.door; d.Open() > limit || d.Evicted() == 0 || d.Refused() > 0 {
		t.Errorf("%d of %d open, %d closed, %d refused", d.Open(), limit, d.Evicted(), d.Refused())
	}
}

// TestEveryBoundIsShown: what docs/limits.md lists of a hive is at /v1/metrics, and no more.
func TestEveryBoundIsShown(t *testing.T) {
	text, err := os.ReadFile("../../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rows, _ := strings.Cut(string(text), "## Hives")
	listed := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(rows, -1) {
		listed[row[1]] = true
	}
	r := newRig(t)
	_, metrics := r.ask("GET", "/v1/metrics", nil)
	for _, name := range []string{"limit", "used"} {
		shown := map[string]bool{}
		for _, m := range regexp.MustCompile(`rbee_hive_bound_`+name+`\{bound="([a-z_]+)"\} `).FindAllStringSubmatch(metrics, -1) {
			shown[m[1]] = true
		}
		if !maps.Equal(listed, shown) || len(shown) < 5 {
			t.Errorf("listed %v, %s of %v", slices.Sorted(maps.Keys(listed)), name, slices.Sorted(maps.Keys(shown)))
		}
	}
	for _, name := range regexp.MustCompile("`(rbee_hive_[a-z]+_[a-z_]+)").FindAllStringSubmatch(rows, -1) {
		if !strings.Contains(metrics, "\n"+name[1]) {
			t.Errorf("there is no %s", name[1])
		}
	}
}

// TestReadersThatComeAndGo leave no goroutine behind, no connection and no memory, whether
// they leave a run that says nothing yet, one that has spoken, or one that has ended.
func TestReadersThatComeAndGo(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 4)
	r.list("ended", "w1", "one two", nil)
	r.queen.Await(t, "a run has ended", func(hb *hives.Heartbeat) bool { return agenttest.Ended(hb, "ended") != nil })
	r.list("silent", "w1", "hold", nil)
	r.list("spoken", "w1", "one hold", nil)
	agenttest.Eventually(t, "both runs hold", func() bool { return r.engine.held() == 2 })
	bells := map[string]string{"ended": "", "silent": ": \n", "spoken": "event: token"}
	bell := map[string]string{}
	for job := range bells {
		body, err := json.Marshal(r.bell(job, ""))
		if err != nil {
			t.Fatal(err)
		}
		bell[job] = fmt.Sprintf("POST /w/w1/v1/execute HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", agenttest.Token, len(body), body)
	}
	read := func(job, until string) {
		c, in := r.dialAgent()
		defer c.Close()
		_, _ = io.WriteString(c, bell[job])
		for {
			line, err := in.ReadString('\n')
			if err != nil || until != "" && strings.HasPrefix(line, until) || job == "silent" && strings.HasPrefix(line, "X-Accel") {
				return
			}
		}
	}
	readers := func(n int) {
		var all sync.WaitGroup
		for job, until := range bells {
			all.Go(func() {
				for range n / len(bells) {
					read(job, until)
				}
			})
		}
		all.Wait()
	}
	door := r.agent.hive.door
	quiet := func() int {
		agenttest.Eventually(t, "only queens and their connections are left", func() bool {
			http.DefaultClient.CloseIdleConnections()
			return door.Open() == 0
		})
		return runtime.NumGoroutine()
	}
	readers(60)
	before, bytes := quiet(), inUse()
	readers(600)
	agenttest.Eventually(t, "no goroutine is left behind", func() bool { return quiet() <= before })
	if now := inUse(); now > bytes+512<<10 {
		t.Errorf("%d bytes are left behind", now-bytes)
	}
	if _, text := r.ask("GET", "/v1/metrics", nil); !strings.Contains(text, `rbee_hive_bound_used{bound="readers"} 0`) {
		t.Error("readers are left")
	}
	r.engine.letGo()
}

// inUse is how many bytes are in use once all garbage is gone.
func inUse() uint64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
