package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"queen-rbee/cmd/internal/e2e/rig"
)

// Slow and hostile clients of a queen hurt only themselves: beside hundreds of connections that
// say nothing, headers and bodies that never end, and clients that never read, every stream
// through her gets its whole text, and her bounds show what was refused.
func TestHostileClientsHurtOnlyThemselves(t *testing.T) {
	ref := rig.NewReference(t)
	c := rig.Start(t, rig.Options{Queens: 1, Hives: 1, Slots: 8, TokenRate: 100, QueenArgs: []string{"--max-connections", "160"}})
	addr := strings.TrimPrefix(c.Queens[0].URL, "http://")
	streams := start(t, c, ref, 4, func(i int, s *rig.Stream) { s.Task, s.Queens = task(i, 60), from(c.Queens, 0) })
	streams.all(3)

	crowd := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.9")}} // another host
	hostile := func(says string) {
		conn, err := crowd.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		go func() { _, _ = io.WriteString(conn, says) }() // as much as the queen takes
	}
	key := "Authorization: Bearer " + c.Key + "\r\n"
	body := fmt.Sprintf(`{"model":%q,"prompt":"x","max_tokens":2000}`, rig.Model)
	for i := range 300 {
		switch i % 6 {
		case 0:
			hostile("")
		case 1:
			hostile("GET / HTTP/1.1\r\nX-Slow: ")
		case 2:
			hostile("GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: y\r\n", 20_000))
		case 3:
			hostile("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
		case 4:
			hostile("POST /v2/tasks HTTP/1.1\r\nHost: h\r\n" + key + "Content-Length: 104857600\r\n\r\n{" + strings.Repeat(" ", 1<<20))
		case 5:
			if i < 24 { // four that never read
				hostile("POST /v2/tasks HTTP/1.1\r\nHost: h\r\n" + key + "X-Rbee-Grace: 0s\r\n" + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body))
			}
		}
	}
	late := start(t, c, ref, 4, func(i int, s *rig.Stream) {
		s.Task, s.Key, s.Queens = task(10+i, 20), fmt.Sprintf("late-%d", i), from(c.Queens, 0)
	})
	late.end()
	streams.end()
	r, err := c.Call(t.Context(), http.MethodGet, c.Queens[0].URL+"/metrics", nil)
	if err != nil || r.Status != http.StatusOK {
		t.Fatalf("%+v %v", r, err)
	}
	for _, want := range []string{`rbee_bound_limit{bound="connections"} 160`, "rbee_connections_evicted_total ", `rbee_bound_used{bound="streams"} `} {
		if !strings.Contains(string(r.Body), want) {
			t.Errorf("%s is not in the metrics", want)
		}
	}
	if strings.Contains(string(r.Body), "rbee_connections_evicted_total 0\n") {
		t.Error("no idle connection was closed to make room")
	}
}
