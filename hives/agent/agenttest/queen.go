// Package agenttest gives tests a queen that speaks the two pipes of hives and does nothing else:
// what it wants of a hive is what the test says, and what the hive says can be looked at.
package agenttest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"queen-rbee/hives"
)

// Token is the hive token the queen wants.
const Token = "hive-token-of-the-test"

// Queen is a queen of one hive. All methods are safe for concurrent use.
type Queen struct {
	URL    string
	server *httptest.Server

	mu          sync.Mutex
	epoch       string
	incarnation uint64
	boots       []string
	want        hives.Desired
	changed     uint64
	bodies      map[string]string
	beats       []hives.Heartbeat
	asked       []string // queries for the desired state
	fail        func(r *http.Request) (status int, code string)
	wake        chan struct{}
	members     []string // named in answers
}

// New starts a queen that wants nothing yet. It ends with the test.
func New(t testing.TB) *Queen {
	q := &Queen{epoch: "e1", changed: 1, bodies: map[string]string{}, wake: make(chan struct{})}
	q.want = hives.Desired{Index: 1, Desired: hives.HiveRunning}
	q.server = httptest.NewServer(http.HandlerFunc(q.serve))
	q.URL = q.server.URL
	t.Cleanup(func() {
		q.server.CloseClientConnections()
		q.server.Close()
	})
	return q
}

// Beside starts another queen of the same cluster and gives its URL. It ends with the test.
func (q *Queen) Beside(t testing.TB) string {
	s := httptest.NewServer(http.HandlerFunc(q.serve))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}

// Name makes answers name these queens as members.
func (q *Queen) Name(urls ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.members = urls
}

// Close ends the queen before the test ends.
func (q *Queen) Close() {
	q.server.CloseClientConnections()
	q.server.Close()
}

// Fail makes requests fail for which f gives a status; nil ends that.
func (q *Queen) Fail(f func(r *http.Request) (status int, code string)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fail = f
}

// Want changes what is desired, at the next index, which it gives. The change sets indexes of
// records by itself.
func (q *Queen) Want(change func(index uint64, d *hives.Desired)) uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.changed++
	q.want.Index = q.changed
	q.want.Workers, q.want.Runs = slices.Clone(q.want.Workers), slices.Clone(q.want.Runs)
	change(q.changed, &q.want)
	q.wakeLocked()
	return q.changed
}

// Pass lets indexes go by that do not touch the hive, and gives the newest.
func (q *Queen) Pass(n uint64) uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.changed += n
	return q.changed
}

// NewEpoch makes the cluster another one: its hives unregistered, its indexes low again.
func (q *Queen) NewEpoch(epoch string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.epoch, q.incarnation, q.boots = epoch, 0, nil
	q.changed, q.want.Index = 1, 1
	q.wakeLocked()
}

// Supersede registers a newer agent under the hive's id.
func (q *Queen) Supersede() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.incarnation++
	q.boots = append(q.boots, "another")
}

// Body sets the request's body of a job.
func (q *Queen) Body(job, body string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bodies[job] = body
}

// Registered gives epoch and incarnation of the hive as it is registered now; 0 when it is not.
func (q *Queen) Registered() (epoch string, incarnation uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.epoch, q.incarnation
}

// Last is the newest heartbeat, nil when there was none.
func (q *Queen) Last() *hives.Heartbeat {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.beats) == 0 {
		return nil
	}
	hb := q.beats[len(q.beats)-1]
	return &hb
}

// Beats are all heartbeats so far.
func (q *Queen) Beats() []hives.Heartbeat {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.beats)
}

// Asked are the queries for the desired state so far.
func (q *Queen) Asked() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.asked)
}

// Await waits until a heartbeat that came after the call satisfies ok, and gives it. What a hive
// says only once may have come before: see Heard.
func (q *Queen) Await(t testing.TB, what string, ok func(*hives.Heartbeat) bool) hives.Heartbeat {
	t.Helper()
	q.mu.Lock()
	from := len(q.beats)
	q.mu.Unlock()
	var found *hives.Heartbeat
	Eventually(t, what, func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		for ; from < len(q.beats); from++ {
			if ok(&q.beats[from]) {
				found = &q.beats[from]
				return true
			}
		}
		return false
	})
	return *found
}

// Heard tells whether any heartbeat so far satisfies ok. What has been said is not said again.
func (q *Queen) Heard(ok func(*hives.Heartbeat) bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.beats {
		if ok(&q.beats[i]) {
			return true
		}
	}
	return false
}

// Ended finds the terminal record of a job in a heartbeat.
func Ended(hb *hives.Heartbeat, job string) *hives.Terminal {
	for i := range hb.Ended {
		if hb.Ended[i].JobID == job {
			return &hb.Ended[i]
		}
	}
	return nil
}

// State is a worker's state in a heartbeat, empty when it is not named.
func State(hb *hives.Heartbeat, worker string) hives.WorkerState {
	for _, w := range hb.Workers {
		if w.ID == worker {
			return w.State
		}
	}
	return ""
}

// Eventually asks until ok, at most half a minute: for real processes and connections.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func (q *Queen) wakeLocked() {
	close(q.wake)
	q.wake = make(chan struct{})
}

func (q *Queen) serve(w http.ResponseWriter, r *http.Request) {
	q.mu.Lock()
	fail := q.fail
	q.mu.Unlock()
	if fail != nil {
		if status, code := fail(r); status != 0 {
			refuse(w, status, code)
			return
		}
	}
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.Header.Get("Authorization") != "Bearer "+Token:
		refuse(w, http.StatusUnauthorized, hives.CodeUnauthenticated)
	case r.Method == "POST" && r.URL.Path == "/v2/hives":
		q.register(w, r)
	case r.Method == "POST" && len(part) == 4 && part[3] == "heartbeat":
		q.heartbeat(w, r)
	case r.Method == "GET" && len(part) == 4 && part[3] == "desired":
		q.desired(w, r)
	case r.Method == "GET" && len(part) == 4 && part[1] == "jobs" && part[3] == "body":
		q.body(w, part[2])
	default:
		refuse(w, http.StatusNotFound, hives.CodeNotFound)
	}
}

func (q *Queen) register(w http.ResponseWriter, r *http.Request) {
	var reg hives.Registration
	if err := json.NewDecoder(r.Body).Decode(&reg); err != nil || reg.ID == "" || reg.Boot == "" {
		refuse(w, http.StatusBadRequest, hives.CodeInvalid)
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.boots); n == 0 || q.boots[n-1] != reg.Boot {
		if reg.Replaces != q.incarnation {
			refuse(w, http.StatusConflict, "conflict")
			return
		}
		q.boots = append(q.boots, reg.Boot)
		q.incarnation++
		q.changed++
		q.want.Index = q.changed
	}
	answer(w, hives.Registered{Epoch: q.epoch, Incarnation: q.incarnation, Index: q.changed, IntervalMillis: 50, Queens: q.members})
}

func (q *Queen) heartbeat(w http.ResponseWriter, r *http.Request) {
	var hb hives.Heartbeat
	if err := json.NewDecoder(r.Body).Decode(&hb); err != nil {
		refuse(w, http.StatusBadRequest, hives.CodeInvalid)
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.incarnation == 0 || hb.Epoch != q.epoch:
		refuse(w, http.StatusNotFound, hives.CodeNotFound)
		return
	case hb.Incarnation != q.incarnation:
		refuse(w, http.StatusConflict, hives.CodeStale)
		return
	}
	if n := len(q.beats); n > 0 && q.beats[n-1].Incarnation == hb.Incarnation && q.beats[n-1].Epoch == hb.Epoch && q.beats[n-1].Seq >= hb.Seq {
		refuse(w, http.StatusConflict, hives.CodeStale)
		return
	}
	q.beats = append(q.beats, hb)
	answer(w, hives.HeartbeatAnswer{Epoch: q.epoch, Index: q.want.Index, IntervalMillis: 50, Queens: q.members})
}

func (q *Queen) desired(w http.ResponseWriter, r *http.Request) {
	index, err := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	wait, bad := time.ParseDuration(r.URL.Query().Get("wait"))
	if err != nil || bad != nil {
		refuse(w, http.StatusBadRequest, hives.CodeInvalid)
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	if wait > 0 { // else it asks only where the hive stands, before it registers
		q.asked = append(q.asked, r.URL.RawQuery)
	}
	for q.want.Index <= index {
		wake := q.wake
		q.mu.Unlock()
		select {
		case <-wake:
		case <-timer.C:
			index = 0
		case <-r.Context().Done():
			index = 0
		}
		q.mu.Lock()
	}
	if q.incarnation == 0 {
		refuse(w, http.StatusNotFound, hives.CodeNotFound)
		return
	}
	d := q.want
	d.Epoch, d.Incarnation = q.epoch, q.incarnation
	answer(w, d)
}

func (q *Queen) body(w http.ResponseWriter, job string) {
	q.mu.Lock()
	body, ok := q.bodies[job]
	q.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, hives.CodeNotFound)
		return
	}
	_, _ = w.Write([]byte(body))
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"type":"about:blank","title":%q,"status":%d,"detail":"the test's queen says so","code":%q}`, http.StatusText(status), status, code)
}
