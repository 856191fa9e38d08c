package enginetest

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Engine answers a request that says "play:NAME" anywhere in its body with the recording of that
// name, then closes. NAME@N is played in pieces of N bytes; of NAME,NAME each time the next one. Safe for concurrent use.
type Engine struct {
	Dir   string // of the recordings
	Slots int    // as /props tells
	Ctx   int    // tokens per slot, likewise

	mu     sync.Mutex
	played map[string]int
	asked  [][]byte
}

var cue = regexp.MustCompile(`play:([a-z0-9@,-]+)`)

// ServeHTTP implements http.Handler.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/health":
		_, _ = io.WriteString(w, `{"status":"ok"}`)
	case "/props":
		_, _ = fmt.Fprintf(w, `{"total_slots":%d,"default_generation_settings":{"n_ctx":%d}}`, e.Slots, e.Ctx)
	case "/slots":
		_, _ = io.WriteString(w, `[]`)
	default:
		body, _ := io.ReadAll(r.Body)
		found := cue.FindSubmatch(body)
		if found == nil {
			http.Error(w, `{"error":{"message":"File Not Found","type":"not_found_error","code":404}}`, http.StatusNotFound)
			return
		}
		e.play(w, e.next(string(found[1]), body))
	}
}

// Asked is the bodies of the requests so far.
func (e *Engine) Asked() [][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([][]byte(nil), e.asked...)
}

// next is which of the names it is the turn of; the last one stays.
func (e *Engine) next(names string, body []byte) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.played == nil {
		e.played = map[string]int{}
	}
	e.asked = append(e.asked, body)
	list := strings.Split(names, ",")
	n := min(e.played[names], len(list)-1)
	e.played[names]++
	return list[n]
}

func (e *Engine) play(w http.ResponseWriter, name string) {
	name, size, _ := strings.Cut(name, "@")
	most, err := strconv.Atoi(size)
	if err != nil {
		most = 1 << 20
	}
	rec, err := Load(e.Dir, name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer func() { _ = conn.Close() }()
	for _, b := range rec.Reads {
		for len(b) > 0 {
			n := min(most, len(b))
			if _, err := conn.Write(b[:n]); err != nil {
				return
			}
			b = b[n:]
		}
	}
}

// envEngine makes Main an engine: where it listens, and where its recordings are; "llama" for a Llama.
const envEngine = "TEST_PLAYED_ENGINE"

// Env is the environment of a process in which Main plays the recordings of dir.
func Env(dir string) map[string]string { return map[string]string{envEngine: "{{.Addr}} " + dir} }

// EnvLlama is that of one in which it is a Llama.
func EnvLlama() map[string]string { return Env("llama") }

// Main is for a TestMain: it never returns in a process started with Env.
func Main() {
	addr, dir, ok := strings.Cut(os.Getenv(envEngine), " ")
	if !ok {
		return
	}
	var engine http.Handler = &Engine{Dir: dir, Slots: 4, Ctx: 512}
	if dir == "llama" {
		engine = &Llama{Slots: 2}
	}
	fmt.Println(http.ListenAndServe(addr, engine))
	os.Exit(1)
}
