// Package hubtest gives tests a hub for models: an HTTP server as Hugging Face is one to those
// who fetch, that can also do whatever a server should not. Its models are made up (GGUF).
package hubtest

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Commit is what every branch of the hub stands for.
const Commit = "0123456789abcdef0123456789abcdef01234567"

// Ask is a request for bytes of a file, after all redirects.
type Ask struct {
	Path     string
	Nth      int   // of this path, from 1
	From, To int64 // the bytes [From, To); all of them without a Range
	Header   http.Header
}

// Fault is what goes wrong with an answer. The zero value is none.
type Fault struct {
	Status     int    // instead of an answer
	RetryAfter string // with Status
	Redirect   string // instead of an answer
	Ignore     bool   // of the Range: all bytes with 200
	Total      int64  // said to be the file's length
	Length     int64  // said to be the body's length
	Stop       bool   // after After bytes nothing more comes, until the client has gone
	Cut        bool   // after After bytes the connection breaks
	End        bool   // after After bytes the body ends in order, without a word of its length
	After      int64
	Hold       <-chan struct{} // the body waits for this after After bytes, then goes on
}

// Hub is the server. Its methods are safe for concurrent use.
type Hub struct {
	URL    string
	server *httptest.Server

	mu    sync.Mutex
	files map[string][]byte
	tags  map[string]string
	token string
	asks  []Ask
	nth   map[string]int
	sent  int64
	fault func(Ask) Fault
}

// New starts a hub without files. It ends with the test.
func New(t testing.TB) *Hub {
	h := &Hub{files: map[string][]byte{}, tags: map[string]string{}, nth: map[string]int{}}
	h.server = httptest.NewServer(http.HandlerFunc(h.serve))
	h.URL = h.server.URL
	t.Cleanup(h.Close)
	return h
}

// Close ends the hub before the test ends.
func (h *Hub) Close() {
	h.server.CloseClientConnections()
	h.server.Close()
}

// Put sets a file, org/repo/path, and gives its digest, "sha256:hex".
func (h *Hub) Put(path string, content []byte) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	sum := fmt.Sprintf("%x", sha256.Sum256(content))
	h.files[path], h.tags[path] = content, sum
	return "sha256:" + sum
}

// Break has f tell what goes wrong with each answer; nil for nothing.
func (h *Hub) Break(f func(Ask) Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = f
}

// Want has the hub refuse who does not show the token.
func (h *Hub) Want(token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.token = token
}

// Asks are all requests so far for more than a first byte.
func (h *Hub) Asks() []Ask {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.asks), func(a Ask) bool { return a.To-a.From == 1 && a.From == 0 })
}

// Requests is how many requests for files there were.
func (h *Hub) Requests() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.asks)
}

// Sent is how many bytes of files were sent so far.
func (h *Hub) Sent() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sent
}

// Plain is where a file is without the hub's redirect, as on any server.
func (h *Hub) Plain(path string) string { return h.URL + "/plain/" + path }

func (h *Hub) serve(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	token := h.token
	h.mu.Unlock()
	if path, ok := strings.CutPrefix(r.URL.Path, "/cdn/"); ok {
		h.bytes(w, r, path)
		return
	}
	if path, ok := strings.CutPrefix(r.URL.Path, "/plain/"); ok {
		h.bytes(w, r, path)
		return
	}
	if token != "" && r.Header.Get("Authorization") != "Bearer "+token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	part := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if len(part) < 5 || part[2] != "resolve" || part[3] != "main" && part[3] != Commit {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	path := strings.Join(slices.Concat(part[:2], part[4:]), "/")
	h.mu.Lock()
	content, ok := h.files[path]
	tag := h.tags[path]
	h.mu.Unlock()
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("X-Linked-Etag", strconv.Quote(tag))
	w.Header().Set("X-Linked-Size", strconv.Itoa(len(content)))
	w.Header().Set("X-Repo-Commit", Commit)
	w.Header().Set("Location", (&url.URL{Path: "/cdn/" + path}).EscapedPath()+"?X-Amz-Signature=secret")
	w.WriteHeader(http.StatusFound)
}

// bytes serves a file, with what goes wrong.
func (h *Hub) bytes(w http.ResponseWriter, r *http.Request, path string) {
	h.mu.Lock()
	content, ok := h.files[path]
	h.nth[path]++
	a := Ask{Path: path, Nth: h.nth[path], To: int64(len(content)), Header: r.Header.Clone()}
	ranged := false
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &a.From, &a.To); n == 2 {
		a.To++
		ranged = true
	}
	h.asks = append(h.asks, a)
	fault := h.fault
	tag := h.tags[path]
	h.mu.Unlock()
	var f Fault
	if fault != nil {
		f = fault(a)
	}
	switch {
	case f.Redirect != "":
		w.Header().Set("Location", f.Redirect)
		w.WriteHeader(http.StatusFound)
	case f.Status != 0:
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
		w.WriteHeader(f.Status)
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case ranged && a.From >= int64(len(content)):
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
	default:
		w.Header().Set("ETag", strconv.Quote(tag[:16]))
		h.send(w, r, content, a, f, ranged && !f.Ignore)
	}
}

// send writes the head and the body of an answer.
func (h *Hub) send(w http.ResponseWriter, r *http.Request, content []byte, a Ask, f Fault, ranged bool) {
	total := int64(len(content))
	body := content
	if ranged {
		to := min(a.To, total)
		body = content[a.From:to]
		if f.Total != 0 {
			total = f.Total
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", a.From, to-1, total))
	}
	length := int64(len(body))
	if f.Length != 0 {
		length = f.Length
	}
	if !f.End {
		w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	}
	w.WriteHeader(map[bool]int{true: http.StatusPartialContent, false: http.StatusOK}[ranged])
	if !f.Stop && !f.Cut && !f.End && f.Hold == nil {
		h.write(w, body)
		return
	}
	after := min(f.After, int64(len(body)))
	h.write(w, body[:after])
	_ = http.NewResponseController(w).Flush()
	switch {
	case f.Hold != nil:
		select {
		case <-f.Hold:
			h.write(w, body[after:])
		case <-r.Context().Done():
		}
	case f.Stop:
		<-r.Context().Done()
	case f.Cut:
		panic(http.ErrAbortHandler)
	}
}

func (h *Hub) write(w http.ResponseWriter, body []byte) {
	for len(body) > 0 {
		n, err := w.Write(body[:min(len(body), 32<<10)])
		h.mu.Lock()
		h.sent += int64(n)
		h.mu.Unlock()
		if err != nil {
			return
		}
		body = body[n:]
	}
}
