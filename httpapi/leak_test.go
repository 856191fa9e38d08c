package httpapi

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

// abandonments is how many streams are opened and left; RBEE_LEAKS=10000 asks for more.
func abandonments(t *testing.T, usual int) int {
	if n, err := strconv.Atoi(os.Getenv("RBEE_LEAKS")); err == nil {
		return max(n, usual)
	}
	return usual
}

const waitingModel = "builtin/waiting" // offered, with no worker that is ready

// ownHive serves its readers by itself: what a run does stands in its prompt. Runs of "silent"
// send nothing, those of "tokens" three records and no end; all others end.
func (w *world) ownHive(slots int) {
	w.Helper()
	models := []hives.EngineModel{{Ref: testModel, VRAMBytes: 1 << 20, Slots: slots}, {Ref: waitingModel, VRAMBytes: 1 << 20, Slots: 1}}
	engines := []hives.Engine{{Name: "builtin", Models: models}}
	ans, err := w.fleet.Register(w.Context(), hives.Registration{
		ID: "h1", Boot: "b1", URL: w.hive.srv.URL, Version: "test",
		Devices: []hives.Device{{ID: "cpu", Kind: "cpu", TotalBytes: 1 << 30}}, Engines: engines,
	})
	if err != nil {
		w.Fatal(err)
	}
	w.inc = ans.Incarnation
	a := w.queen.must(schedule.Request{SpawnWorker: &schedule.SpawnWorker{ID: "w-1", Model: testModel}})
	w.beat(func(hb *hives.Heartbeat) {
		hb.Engines = engines
		hb.Workers = []hives.WorkerReport{{ID: a.Worker, State: hives.WorkerReady, Slots: slots}}
	})
	w.goOnBeating()
	go func() { // until the world ends
		for {
			select {
			case r := <-w.hive.reads:
				go serveAlone(r)
			case <-w.hive.leaves:
			case <-w.hive.gone:
				return
			}
		}
	}()
}

func serveAlone(r *playedRead) {
	switch {
	case bytes.Contains(r.Req.Body, []byte("silent")):
		r.send(": \n")
	case bytes.Contains(r.Req.Body, []byte("tokens")):
		r.tokens(1, 3)
	default:
		r.tokens(1, 3)
		r.end(completed(3), "data: {\"text\":\"so it is\"}\n\n")
	}
}

// over ends a job as its hive or an operator would.
func (w *world) over(id string) {
	j, ok := w.queen.View().Job(id)
	if !ok || j.State.Ended() {
		return
	}
	if j.State == fsm.JobRunning {
		_, _ = w.queen.Do(w.Context(), schedule.Request{Finished: &schedule.Finished{Job: id, Attempt: j.Attempt, Outcome: fsm.JobCancelled, Events: 1}})
		return
	}
	_, _ = w.queen.Do(w.Context(), schedule.Request{Cancel: &schedule.Cancel{Job: id}})
}

// abandon opens a stream, reads to a line that begins so (to the end where there is none), and
// goes. It gives the job's id.
func abandon(t *testing.T, addr, request, until string) (job string) {
	c, err := net.Dial("tcp", addr) // not dial, which would keep it until the test's end
	if err != nil {
		t.Error(err)
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	conn := &wire{c, t, bufio.NewReader(c)}
	conn.say(request)
	for until != "at once" {
		line, err := conn.in.ReadString('\n')
		if err != nil {
			if until != "" {
				t.Errorf("the stream ended before %q: %v", until, err)
			}
			break
		}
		if id, ok := strings.CutPrefix(line, headerJob+": "); ok {
			job = strings.TrimSpace(id)
		}
		if until != "" && strings.HasPrefix(line, until) {
			break
		}
	}
	return job
}

// quiet is how many goroutines there are when nobody asks for anything.
func (w *world) quiet(addr string) int {
	w.Helper()
	w.served(addr) // so that all of the server runs, and its pump
	ask := fmt.Sprintf(`{"model":%q,"prompt":"tokens"}`, testModel)
	if id := abandon(w.T, addr, whole("POST", "/v2/tasks", ask, headerGrace, "0s"), "id: 1.3"); id != "" {
		w.over(id)
	}
	for w.api.streams.Load() > 0 {
		runtime.Gosched()
	}
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	least := runtime.NumGoroutine()
	for range 100 {
		<-look.C
		w.api.cfg.Hives.Close()
		http.DefaultClient.CloseIdleConnections()
		least = min(least, runtime.NumGoroutine())
	}
	return least
}

// settled waits until no more goroutines are left than were before.
func (w *world) settled(before int) {
	w.Helper()
	over := time.NewTimer(patience)
	defer over.Stop()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		w.api.cfg.Hives.Close() // idle connections to the hive
		http.DefaultClient.CloseIdleConnections()
		if runtime.NumGoroutine() <= before {
			return
		}
		select {
		case <-look.C:
		case <-over.C:
			var all strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&all, 1)
			w.Fatalf("%d goroutines, before %d:\n%s", runtime.NumGoroutine(), before, all.String())
		}
	}
}

// nothingHeld checks that every bound is as empty as before.
func (w *world) nothingHeld() {
	w.Helper()
	for _, b := range w.api.bounds() {
		if n := b.Used(); n != 0 {
			w.Errorf("%d are left of %s", n, b.Name)
		}
	}
	w.api.holds.mu.Lock()
	if n := len(w.api.holds.jobs); n > 0 {
		w.Errorf("%d jobs are still held", n)
	}
	w.api.holds.mu.Unlock()
	w.queen.mu.Lock()
	if n := len(w.queen.watches); n > 0 {
		w.Errorf("%d watches are left", n)
	}
	w.queen.mu.Unlock()
}

// TestAbandonedStreams: clients that leave in whatever moment leave no goroutine behind, no
// connection, no watch and no hold on their jobs.
func TestAbandonedStreams(t *testing.T) {
	w := newWorld(t)
	w.ownHive(1024)
	addr := w.listen()
	ask := func(model, prompt, more string) string {
		return whole("POST", "/v2/tasks", fmt.Sprintf(`{"model":%q,"prompt":%q%s}`, model, prompt, more), headerGrace, "0s")
	}
	chat := func(model, prompt string) string {
		body := fmt.Sprintf(`{"model":%q,"stream":true,"messages":[{"role":"user","content":%q}]}`, model, prompt)
		return whole("POST", "/v1/chat/completions", body, headerGrace, "0s")
	}
	phases := []struct{ request, until string }{
		{ask(waitingModel, "x", ""), "event: queued"},
		{ask(testModel, "silent", ""), "event: assigned"},
		{ask(testModel, "tokens", ""), "event: token"},
		{ask(testModel, "end", ""), ""},
		{ask(testModel, "silent", ""), "at once"},
		{ask(testModel, "silent", `,"stream":false`), "at once"},
		{ask(waitingModel, "x", `,"stream":false`), "at once"},
		{chat(waitingModel, "x"), ": queued"},
		{chat(testModel, "tokens"), "id: 1.1"},
		{head("POST /v2/tasks", "Content-Length: 500") + "\r\n{", "at once"},
		{"GET /health HTT", "at once"},
	}
	round := func() {
		var clients sync.WaitGroup
		for _, p := range phases {
			clients.Go(func() {
				if id := abandon(t, addr, p.request, p.until); id != "" {
					w.over(id)
				}
			})
		}
		clients.Wait()
	}
	end := func() {
		for { // those whose clients left before they knew an id may still come
			left := 0
			for _, state := range []fsm.JobState{fsm.JobQueued, fsm.JobRunning} {
				jobs, _ := w.queen.View().Jobs(fsm.JobFilter{State: state}, "", 1000)
				for _, j := range jobs {
					left++
					w.over(j.ID)
				}
			}
			if left == 0 && w.api.streams.Load() == 0 {
				return
			}
			runtime.Gosched()
		}
	}
	before := w.quiet(addr)
	for i := range abandonments(t, 440) / len(phases) {
		if round(); i%50 == 49 {
			end()
		}
	}
	end()
	w.settled(before)
	end()
	w.nothingHeld()
}

// TestReadersThatComeAndGo leave no memory behind either: the state is the same after them, so
// whatever grows is theirs.
func TestReadersThatComeAndGo(t *testing.T) {
	w := newWorld(t)
	w.ownHive(16)
	addr := w.listen()
	job := func(model, prompt string) string {
		_, _, h := w.read("POST", "/v2/tasks", fmt.Sprintf(`{"model":%q,"prompt":%q,"detach":true}`, model, prompt))
		return h.Get(headerJob)
	}
	ended := job(testModel, "end")
	abandon(t, addr, whole("GET", "/v2/jobs/"+ended+"/events", ""), "")
	w.awaitJob(ended, "complete")
	queued, silent, tokens := job(waitingModel, "x"), job(testModel, "silent"), job(testModel, "tokens")
	phases := []struct{ job, until string }{
		{queued, "event: queued"}, {silent, "event: assigned"}, {tokens, "event: token"}, {ended, ""}, {ended, "event: token"}, {silent, "at once"},
	}
	readers := func(n int) {
		var clients sync.WaitGroup
		for k := range phases {
			clients.Go(func() {
				for range n / len(phases) {
					abandon(t, addr, whole("GET", "/v2/jobs/"+phases[k].job+"/events", ""), phases[k].until)
				}
			})
		}
		clients.Wait()
	}
	base := w.quiet(addr)
	readers(120) // what is made once is made now
	w.settled(base)
	before := heap()
	n := abandonments(t, 900)
	readers(n)
	w.settled(base)
	w.nothingHeld()
	if after := heap(); after > before+256<<10+uint64(n)*100 {
		t.Errorf("%d readers left %d bytes behind", n, after-before)
	}
}

// heap is how many bytes are in use once all garbage is gone.
func heap() uint64 {
	var m runtime.MemStats
	for range 3 { // pools are emptied by the second
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
