package enginetest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// Llama is a llama-server with a replay buffer: it keeps the stream of a request that names a
// conversation, for who comes again, and goes on with it whether anybody reads or not. It says a
// token for each step it is given, numbered from 0, and ends with the last of max_tokens. A
// request that was ended stays in its slot until the next step, as one in a batch does.
type Llama struct {
	Slots int
	Deaf  bool // it has no replay buffer

	mu    sync.Mutex
	steps int
	wake  chan struct{} // closed by the next change
	kept  map[string]*kept
	busy  int
	ended []string // conversations that were deleted
}

// kept is one stream and whoever makes it.
type kept struct {
	data    []byte
	dropped int // bytes lost at its beginning
	over    bool
	stopped bool
}

// ServeHTTP implements http.Handler.
func (l *Llama) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /health":
		_, _ = io.WriteString(w, `{"status":"ok"}`)
	case "GET /props":
		_, _ = fmt.Fprintf(w, `{"total_slots":%d,"default_generation_settings":{"n_ctx":4096}}`, l.Slots)
	case "GET /slots":
		l.slots(w)
	case "POST /test/step":
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		l.Step(n)
	case "POST /v1/chat/completions", "POST /v1/completions":
		l.generate(w, r)
	case "GET /v1/stream", "DELETE /v1/stream":
		if l.Deaf {
			http.Error(w, `{"error":{"message":"File Not Found","type":"not_found_error","code":404}}`, http.StatusNotFound)
			return
		}
		l.stream(w, r, r.URL.Query().Get("conv_id"))
	default:
		http.NotFound(w, r)
	}
}

// Step lets all requests together say n tokens more.
func (l *Llama) Step(n int) { l.change(func() { l.steps += n }) }

// Lose forgets the first bytes of a conversation, as a full ring does.
func (l *Llama) Lose(name string, n int) {
	l.change(func() { l.kept[name].data, l.kept[name].dropped = l.kept[name].data[n:], n })
}

// Kept is how many bytes a conversation has had so far, lost ones too.
func (l *Llama) Kept(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.kept[name]; k != nil {
		return k.dropped + len(k.data)
	}
	return 0
}

// Busy is how many slots work.
func (l *Llama) Busy() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy
}

// Ended is the conversations that were ended by name, in order.
func (l *Llama) Ended() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.ended...)
}

func (l *Llama) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept == nil {
		l.kept = map[string]*kept{}
	}
	f()
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

// await waits until ok holds, which it asks under the lock, or over is closed.
func (l *Llama) await(over <-chan struct{}, ok func() bool) bool {
	for {
		l.mu.Lock()
		if ok() {
			l.mu.Unlock()
			return true
		}
		if l.wake == nil {
			l.wake = make(chan struct{})
		}
		wake := l.wake
		l.mu.Unlock()
		select {
		case <-wake:
		case <-over:
			return false
		}
	}
}

func (l *Llama) slots(w http.ResponseWriter) {
	type slot struct {
		ID   int  `json:"id"`
		Busy bool `json:"is_processing"`
	}
	busy := l.Busy()
	all := []slot{}
	for i := range l.Slots {
		all = append(all, slot{i, i < busy})
	}
	_ = json.NewEncoder(w).Encode(all)
}

// generate makes a stream on the request's own goroutine, also when its client has gone.
func (l *Llama) generate(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		MaxTokens int `json:"max_tokens"`
	}
	if json.NewDecoder(r.Body).Decode(&ask) != nil {
		http.Error(w, `{"error":{"message":"parse error at line 1","type":"server_error"}}`, http.StatusInternalServerError)
		return
	}
	name, mine := r.Header.Get("X-Conversation-Id"), &kept{}
	gone := r.Context().Done()
	l.change(func() {
		l.busy++
		if name != "" && !l.Deaf {
			if old := l.kept[name]; old != nil {
				old.stopped = true
			}
			l.kept[name], gone = mine, nil // nobody's going ends it
		}
	})
	defer l.change(func() { l.busy-- })
	defer l.change(func() { mine.over = true })
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range ask.MaxTokens {
		if !l.await(gone, func() bool { return l.steps > 0 }) {
			return
		}
		stopped := false
		l.change(func() {
			if stopped = mine.stopped; !stopped {
				l.steps--
			}
		})
		if stopped {
			return
		}
		l.say(w, mine, fmt.Sprintf(`{"choices":[{"index":0,"delta":{"content":"t%d "}}]}`, i))
	}
	l.say(w, mine, `{"choices":[{"index":0,"delta":{},"finish_reason":"length"}],"timings":{"predicted_n":1}}`)
	l.say(w, mine, fmt.Sprintf(`{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":%d,"total_tokens":%d}}`, ask.MaxTokens, 3+ask.MaxTokens))
	l.say(w, mine, "[DONE]")
}

func (l *Llama) say(w http.ResponseWriter, to *kept, data string) {
	frame := []byte("data: " + data + "\n\n")
	l.change(func() { to.data = append(to.data, frame...) })
	_, _ = w.Write(frame) // its client may be gone
	_ = http.NewResponseController(w).Flush()
}

// stream replays, or ends.
func (l *Llama) stream(w http.ResponseWriter, r *http.Request, name string) {
	if name == "" {
		http.Error(w, `{"error":{"message":"Missing conversation id in path","type":"invalid_request_error","code":400}}`, http.StatusBadRequest)
		return
	}
	var of *kept
	l.change(func() { of = l.kept[name] })
	if r.Method == http.MethodDelete {
		l.change(func() {
			l.ended = append(l.ended, name)
			if of != nil {
				of.stopped = true
				delete(l.kept, name)
			}
		})
		w.WriteHeader(http.StatusNoContent)
		return
	}
	from, err := strconv.Atoi(r.URL.Query().Get("from"))
	switch {
	case of == nil:
		http.Error(w, `{"error":{"message":"Stream not found or expired","type":"not_found_error","code":404}}`, http.StatusNotFound)
		return
	case err != nil || from < of.dropped:
		http.Error(w, `{"error":{"message":"Stream offset lost, please restart","type":"invalid_request_error","code":400}}`, http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	for at, over := from-of.dropped, false; !over; {
		if !l.await(r.Context().Done(), func() bool { return at < len(of.data) || of.over || of.stopped }) {
			return
		}
		l.mu.Lock()
		piece := append([]byte(nil), of.data[at:]...)
		over = of.over || of.stopped
		l.mu.Unlock()
		at += len(piece)
		_, _ = w.Write(piece)
		_ = http.NewResponseController(w).Flush()
	}
}
